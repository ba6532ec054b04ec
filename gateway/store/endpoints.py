"""Where confirmations fail, and how often in a row: a portal that is down is asked now and then, not by every notice."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, text, update

from gateway.store import tables as t

# This many failures in a row pause an endpoint (the rule of the callback schedule).
FAILURES_MAX = 10
# Seconds from one probe to the next. A portal that is back must not wait longer than the last of them.
_PROBES = (30, 120, 300, 600, 1800)
# Nobody watches a pause that was over so long ago.
_KEPT = timedelta(days=1)

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

    def work(self, addresses: Collection[str]) -> None:
        """Note that endpoints took a notice each: whatever waited for them may go out."""
        if addresses:
            self._db.execute(delete(t.endpoint).where(t.endpoint.c.address.in_(sorted(addresses))))

    def fails(self, address: str, now: datetime) -> bool:
        """Note that an endpoint took none; true when that pauses it, or keeps it paused until its next probe."""
        failures = int(self._db.execute(_COUNT, {"address": address}).scalar_one())
        if failures < FAILURES_MAX:
            return False
        wait = _PROBES[min(failures - FAILURES_MAX, len(_PROBES) - 1)]
        paused = update(t.endpoint).where(t.endpoint.c.address == address)
        self._db.execute(paused.values(paused_until=now + timedelta(seconds=wait)))
        return True

    def forget(self, now: datetime) -> None:
        """Forget endpoints that nothing waits for and that nobody has asked for a day: the portals of merchants who left."""
        e, n = t.endpoint.c, t.notice.c
        waits = select(n.id).where(n.state == "new", n.endpoint == e.address).exists()
        self._db.execute(delete(t.endpoint).where(e.paused_until < now - _KEPT, ~waits))

    def count_paused(self) -> int:
        """Count the endpoints that are paused, for metrics."""
        paused = select(func.count()).where(t.endpoint.c.paused_until.is_not(None))
        return int(self._db.execute(paused).scalar_one())
