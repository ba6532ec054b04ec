"""Where confirmations fail, and how often in a row: a portal that is down is asked now and then, not by every notice."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, text, update

from gateway.store import tables as t

# This many failures in a row pause an endpoint (the rule of the callback schedule).
FAILURES_MAX = 10
# Seconds from one probe to the next. A portal that is back must not wait longer than the last of them.
_PROBES = (30, 120, 300, 600, 1800)

# Counts and answers in one statement, the same on both engines.
_COUNT = text(
    "INSERT INTO endpoint (address, failures) VALUES (:address, 1)"
    " ON CONFLICT (address) DO UPDATE SET failures = endpoint.failures + 1 RETURNING failures"
)


def address_of(target: str) -> str:
    """Name the endpoint behind an address: what is the same for all payments of a portal."""
    return target.partition("?")[0]


class Endpoints:
    """Queries over ``endpoint``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def works(self, address: str) -> None:
        """Note that an endpoint took a notice: whatever waited for it may go out."""
        self._db.execute(delete(t.endpoint).where(t.endpoint.c.address == address))

    def fails(self, address: str, now: datetime) -> bool:
        """Note that an endpoint took none; true when that pauses it, or keeps it paused until its next probe."""
        failures = int(self._db.execute(_COUNT, {"address": address}).scalar_one())
        if failures < FAILURES_MAX:
            return False
        wait = _PROBES[min(failures - FAILURES_MAX, len(_PROBES) - 1)]
        paused = update(t.endpoint).where(t.endpoint.c.address == address)
        self._db.execute(paused.values(paused_until=now + timedelta(seconds=wait)))
        return True

    def count_paused(self) -> int:
        """Count the endpoints that are paused, for metrics."""
        paused = select(func.count()).where(t.endpoint.c.paused_until.is_not(None))
        return int(self._db.execute(paused).scalar_one())
