"""Forgetting people: when a merchant's term is over, what tells of a person goes; money, references and events stay."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, select, update

from gateway.core.states import AttemptStatus
from gateway.store import tables as t

# Labels too: portals write pupils' names there. Addresses, because their queries may name a family's account.
_OF_PAYMENT = {
    "email": "", "receipt_email": "", "payer_name": "", "payer_phone": "", "beneficiary": "", "comment": "", "label": "",
    "return_url": "", "notify_url": "", "metadata": "{}", "wire": "{}",
}  # fmt: skip


class Retention:
    """Queries over everything that tells of people."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def due(self, merchant: str, ended_before: datetime, told_before: datetime, limit: int) -> list[int]:
        """Find payments of a merchant that ended long ago, and of which nothing is under way.

        :param told_before: a notice that should have gone out before then is waited for no longer
        """
        return self._due(t.payment.c.merchant_id == merchant, ended_before, told_before, limit)

    def due_of_others(
        self, merchants: Collection[str], ended_before: datetime, told_before: datetime, limit: int
    ) -> list[int]:
        """Find those of merchants that have left the book."""
        return self._due(t.payment.c.merchant_id.not_in(merchants), ended_before, told_before, limit)

    def _due(self, whose: ColumnElement[bool], ended_before: datetime, told_before: datetime, limit: int) -> list[int]:
        p, a, r, i, n = t.payment, t.attempt, t.refund, t.instalment, t.notice
        is_asked_for = exists().where(a.c.payment_id == p.c.id).where(
            a.c.next_at.is_not(None) | (a.c.status == AttemptStatus.REVIEW)
        )  # fmt: skip
        is_given_back = exists().where(r.c.payment_id == p.c.id, r.c.status.in_(("pending", "unknown")))
        is_paid_later = exists().where(i.c.payment_id == p.c.id, i.c.state.in_(("planned", "asked")))
        # Of a late refund, say.
        is_told = exists().where(n.c.payment_id == p.c.id, n.c.state == "new", n.c.next_at >= told_before)
        asked = select(p.c.id).where(whose, p.c.ended_at.is_not(None), p.c.ended_at < ended_before)
        idle = asked.where(p.c.forgotten_at.is_(None), ~is_asked_for, ~is_given_back, ~is_paid_later, ~is_told)
        return list(self._db.execute(idle.order_by(p.c.ended_at).limit(limit)).scalars())

    def forget(self, payment_id: int, now: datetime) -> bool:
        """Blank what tells of people; false when that was done before. The caller has taken the payment."""
        p = t.payment
        done = self._db.execute(
            update(p).where(p.c.id == payment_id, p.c.forgotten_at.is_(None)).values(forgotten_at=now, **_OF_PAYMENT)
        )
        if done.rowcount != 1:
            return False
        attempts = select(t.attempt.c.id).where(t.attempt.c.payment_id == payment_id)
        for statement in (
            update(t.line).where(t.line.c.payment_id == payment_id).values(label=""),
            update(t.attempt).where(t.attempt.c.payment_id == payment_id).values(phone="", expiry="", token=""),
            update(t.refund).where(t.refund.c.payment_id == payment_id).values(reason=""),
            delete(t.challenge).where(t.challenge.c.attempt_id.in_(attempts)),
            # What was told, and to whom; that it was told is an event.
            delete(t.notice).where(t.notice.c.payment_id == payment_id),
        ):
            self._db.execute(statement)
        return True
