"""The machine's clock: the one place that reads it. Everything else is handed a ``now``."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Tell the time, aware and in UTC."""
    return datetime.now(UTC)
