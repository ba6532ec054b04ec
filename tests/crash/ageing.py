"""What the passing of time does, done at once: rows of one debt are made older, and waited for until nothing is under way."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ScalarSelect, func, select, update

from gateway.clock import utc_now
from gateway.core.errors import StoreBusy
from gateway.core.states import AttemptStatus, Status
from gateway.delivering import LEASE
from gateway.store import tables as t
from tests.crash.rig import Rig

SETTLE_SECONDS = 90.0
UNSETTLED = (AttemptStatus.AUTHORISING, AttemptStatus.UNKNOWN, AttemptStatus.REVERSING, AttemptStatus.APPROVED)


def settle(rig: Rig, reference: str, seconds: float = SETTLE_SECONDS) -> None:
    """Wait until nothing of a debt is under way."""
    until = time.monotonic() + seconds
    while left := unsettled(rig, reference):
        assert time.monotonic() < until, f"{reference} is still under way: {left}\n{rig.tail()}"
        grow_old(rig, reference)
        time.sleep(0.05)


def unsettled(rig: Rig, reference: str) -> dict[str, int]:
    """Count what is under way."""
    p, a, n, here = t.payment, t.attempt, t.notice, payments(reference)
    asked = {
        "payments": select(func.count()).where(p.c.id.in_(here), p.c.status == Status.WORKING),
        "attempts": select(func.count()).where(a.c.payment_id.in_(here), a.c.status.in_(UNSETTLED)),
        "notices": select(func.count()).where(n.c.payment_id.in_(here), n.c.state == "new"),
    }
    try:
        with rig.parts.store.reading() as tx:
            counts = {name: int(tx.connection.execute(query).scalar_one()) for name, query in asked.items()}
    except StoreBusy:
        return {"database away": 1}
    return {name: count for name, count in counts.items() if count}


def grow_old(rig: Rig, reference: str) -> None:
    """Let deadlines and pauses pass, and the leases that workers took who are no more.

    An attempt that a sweeper is at work on is offered to another one, too: sweeping twice at once must be safe.
    """
    a, n, here, now = t.attempt, t.notice, payments(reference), utc_now()
    due = now - timedelta(seconds=1)
    # A lease taken before this worker was born is a dead one's; one taken from a database that then died is lost, too.
    orphaned = datetime.fromtimestamp(max(rig.role("worker").born_at, rig.healed_at), UTC) + LEASE
    mine: tuple[Any, ...] = (n.c.payment_id.in_(here), n.c.state == "new")
    with suppress(StoreBusy), rig.parts.store.transaction() as tx:
        db = tx.connection
        db.execute(update(a).where(a.c.payment_id.in_(here), a.c.next_at > now).values(next_at=due))
        db.execute(update(n).where(*mine, n.c.lease_until.is_(None), n.c.next_at > now).values(next_at=due))
        db.execute(update(n).where(*mine, n.c.lease_until.between(now, orphaned)).values(lease_until=due))


def payments(reference: str) -> ScalarSelect[Any]:
    """Name the payments of a debt."""
    return select(t.payment.c.id).where(t.payment.c.reference == reference).scalar_subquery()
