"""A clock that tells what it was told."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Stands still until moved; ``now`` is what the code under test is handed."""

    def __init__(self, start: datetime = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """Tell the time."""
        return self._now

    def advance(self, **by: float) -> None:
        """Move on, by ``timedelta``'s own words: ``clock.advance(minutes=5)``."""
        self._now += timedelta(**by)
