"""Forgetting people: when a merchant's term is over, what tells of a person goes; money, references and events stay."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, update

from gateway.core.states import AttemptStatus
from gateway.store import tables as t

# Labels too: portals write pupils' names there. Addresses, because their queries may name a family's account.
_OF_PAYMENT = {
    "email": "", "receipt_email": "", "payer_name": "", "payer_phone": "", "beneficiary": "", "comment": "", "label": "",
    "return_url": "", "notify_url": "", "metadata": "{}", "wire": "{}",
}  # fmt: skip


def _is_over(told_before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Say of a payment that it is remembered, and that nothing of it is under way."""
    p, a, r, i, n = t.payment, t.attempt, t.refund, t.instalment, t.notice
    is_asked_for = exists().where(a.c.payment_id == p.c.id).where(
        a.c.next_at.is_not(None) | (a.c.status == AttemptStatus.REVIEW)
    )  # fmt: skip
    is_given_back = exists().where(r.c.payment_id == p.c.id, r.c.status.in_(("pending", "unknown")))
    is_paid_later = exists().where(i.c.payment_id == p.c.id, i.c.state.in_(("planned", "asked")))
    # Of a late refund, say.
    is_told = exists().where(n.c.payment_id == p.c.id, n.c.state == "new", n.c.next_at >= told_before)
    return p.c.forgotten_at.is_(None), ~is_asked_for, ~is_given_back, ~is_paid_later, ~is_told


class Retention:
    """Queries over everything that tells of people."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def merchants(self) -> set[str]:
        """Name all of whom something is remembered, those that have left the book too; one look for each of them."""
        p, k = t.payment.c, t.link.c
        remembered = (
            select(func.min(p.merchant_id)).where(p.ended_at.is_not(None), p.forgotten_at.is_(None)),
            select(func.min(k.merchant_id)).where(k.forgotten_at.is_(None)),
        )
        found: set[str] = set()
        for asked, merchant in zip(remembered, (p.merchant_id, k.merchant_id), strict=True):
            name = ""
            while name := self._db.execute(asked.where(merchant > name)).scalar() or "":
                found.add(name)
        return found

    def due(self, merchant: str, ended_before: datetime, told_before: datetime, limit: int) -> list[int]:
        """Find payments of a merchant that ended long ago, and of which nothing is under way.

        :param told_before: a notice that should have gone out before then is waited for no longer
        """
        p = t.payment
        asked = select(p.c.id).where(
            p.c.merchant_id == merchant, p.c.ended_at.is_not(None), p.c.ended_at < ended_before
        )
        idle = asked.where(*_is_over(told_before))
        return list(self._db.execute(idle.order_by(p.c.ended_at).limit(limit)).scalars())

    def forget(self, payment_id: int, now: datetime, told_before: datetime) -> bool:
        """Blank what tells of people; false when that was done before, or something of it is under way again.

        The caller has taken the payment: what was true as it was found may be so no longer.
        """
        p = t.payment
        done = self._db.execute(
            update(p).where(p.c.id == payment_id, *_is_over(told_before)).values(forgotten_at=now, **_OF_PAYMENT)
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
