"""Refunds: money given back, never more than was taken."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from gateway.core.errors import RequestConflict
from gateway.store import tables as t


class Refunds:
    """Queries over ``refund`` and the guarded sum in ``payment``."""

    def __init__(self, connection: Connection, touch: Callable[[int, str], None]) -> None:
        self._db = connection
        self._touch = touch

    def reserve(self, payment_id: int, cents: int) -> None:
        """Add to what is given back, if it still fits. Raises :class:`RequestConflict`."""
        self._touch(payment_id, "")
        p = t.payment
        done = self._db.execute(
            update(p)
            .where(p.c.id == payment_id, p.c.refunded_cents + cents <= p.c.amount_cents)
            .values(refunded_cents=p.c.refunded_cents + cents)
        )
        if done.rowcount != 1:
            raise RequestConflict("refund_exceeds", "ask for at most what has not been refunded yet")

    def release(self, payment_id: int, cents: int) -> None:
        """Take back a reservation the acquirer refused."""
        self._touch(payment_id, "")
        p = t.payment
        self._db.execute(update(p).where(p.c.id == payment_id).values(refunded_cents=p.c.refunded_cents - cents))

    def add(self, **facts: object) -> int:
        """Insert a refund that is about to be asked for."""
        return int(self._db.execute(insert(t.refund).values(**facts).returning(t.refund.c.id)).scalar_one())

    def get(self, refund_id: int) -> Row[Any]:
        """Find one by its row id."""
        return self._db.execute(select(t.refund).where(t.refund.c.id == refund_id)).one()

    def is_undoing(self, attempt_id: int) -> bool:
        """Say whether an authorisation is being undone as a refund, and the acquirer has not answered yet."""
        r, o = t.refund, t.operation
        asked = (
            select(r.c.id).join(o, o.c.op_id == r.c.op_id).where(o.c.attempt_id == attempt_id, o.c.kind == "reverse")
        )
        return self._db.execute(asked.where(r.c.status.in_(("pending", "unknown")))).first() is not None

    def finish(self, refund_id: int, status: str) -> bool:
        """Settle a refund that was open; false when it was settled already."""
        r = t.refund
        done = self._db.execute(
            update(r)
            .where(r.c.id == refund_id, r.c.status.in_(("pending", "unknown")))
            .values(status=status, next_at=None)
            .returning(r.c.payment_id)
        ).scalar()
        if done is not None:
            self._touch(done, "")
        return done is not None

    def postpone(self, refund_id: int, next_at: datetime) -> None:
        """Note that the acquirer was silent; the same message goes out again later, unless somebody heard the answer."""
        r = t.refund
        is_open = r.c.status.in_(("pending", "unknown"))
        self._db.execute(
            update(r).where(r.c.id == refund_id, is_open).values(status="unknown", next_at=next_at, tries=r.c.tries + 1)
        )

    def due(self, now: datetime, limit: int) -> list[Row[Any]]:
        """Find the refunds whose answer is still missing."""
        return list(self._db.execute(select(t.refund).where(t.refund.c.next_at <= now).limit(limit)))

    def stranded(self, later: datetime, limit: int) -> list[Row[Any]]:
        """Find the refunds that nobody would ask for until ``later``: no such wait is planned, so the clock was set back."""
        return list(self._db.execute(select(t.refund).where(t.refund.c.next_at > later).limit(limit)))

    def claim(self, row: Row[Any], until: datetime) -> bool:
        """Take a due refund for oneself; false when another sweeper was faster."""
        r = t.refund
        done = self._db.execute(
            update(r).where(r.c.id == row.id, r.c.next_at == row.next_at).values(next_at=until)
        )  # fmt: skip
        return done.rowcount == 1
