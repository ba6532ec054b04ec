"""Debts: what must be paid once, who holds it now, and until when it rests."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from gateway.core.errors import WrongStatus
from gateway.core.payment import normal_reference
from gateway.core.states import LIVE, Status
from gateway.store import tables as t


def _held_by(payment_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Find the debts a payment holds by its lines, whose keys say which they are: no index need know every holder."""
    debts = select(t.line.c.debt_id).where(t.line.c.payment_id == payment_id)
    return and_(t.debt.c.id.in_(debts), t.debt.c.holder_id == payment_id)


_d, _OF = t.debt, bindparam("of", type_=t.debt.c.id.type)
# Of those that are paid once; the occurrence of a top-up is the name of its payment.
_LATEST = (
    select(_d)
    .where(_d.c.merchant_id == bindparam("merchant"), _d.c.fiscal_year == bindparam("year"))
    .where(_d.c.reference == bindparam("named"), _d.c.occurrence.not_like(literal_column("'pay%'")))
    .order_by(_d.c.id.desc())
    .limit(literal_column("1"))
)
_PAID = _LATEST.where(_d.c.state == literal_column("'paid'"))
_ADD = insert(_d).returning(_d.c.id)
_COUNT_LINES = select(func.count()).select_from(t.line).where(t.line.c.payment_id == _OF)
_MOVE = (
    update(_d)
    .where(_held_by(_OF), _d.c.state == bindparam("was"))
    .returning(_COUNT_LINES.scalar_subquery().label("lines"))
)


class Debts:
    """Queries over ``debt``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def latest(self, merchant: str, fiscal_year: str, reference: str) -> Row[Any] | None:
        """Find the newest occurrence of a debt that is paid once (top-ups are found by their payment alone)."""
        which = {"merchant": merchant, "year": fiscal_year, "named": normal_reference(reference)}
        return self._db.execute(_LATEST, which).one_or_none()

    def paid(self, merchant: str, fiscal_year: str, reference: str) -> Row[Any] | None:
        """Find the newest occurrence of a debt that was paid: where references repeat, others may have come after it."""
        which = {"merchant": merchant, "year": fiscal_year, "named": normal_reference(reference)}
        return self._db.execute(_PAID, which).one_or_none()

    def add(self, merchant: str, fiscal_year: str, reference: str, occurrence: str, holder: int) -> int:
        """Insert a debt, locked by the payment ``holder`` from the start."""
        which = {"merchant_id": merchant, "fiscal_year": fiscal_year, "reference": normal_reference(reference)}
        added = {**which, "occurrence": occurrence, "state": "locked", "holder_id": holder}
        return int(self._db.execute(_ADD, added).scalar_one())

    def lock(self, debt_id: int, holder: int, now: datetime) -> None:
        """Take a free debt for a payment. Raises :class:`WrongStatus` when somebody else has it."""
        done = self._db.execute(
            update(t.debt)
            .where(t.debt.c.id == debt_id, t.debt.c.state == "open")
            .where(or_(t.debt.c.locked_until.is_(None), t.debt.c.locked_until <= now))
            .values(state="locked", holder_id=holder, locked_until=None)
        )
        if done.rowcount != 1:
            raise WrongStatus("the debt was not free")

    def move_all(self, payment_id: int, current: str, target: str) -> None:
        """Move every debt of a payment together. Raises :class:`WrongStatus` if one is not where it should be."""
        moved = self._db.execute(_MOVE, {"of": payment_id, "was": current, "state": target}).all()
        wanted = moved[0].lines if moved else self._db.execute(_COUNT_LINES, {"of": payment_id}).scalar_one()
        if len(moved) != wanted:
            raise WrongStatus(f"a debt of the payment was not {current}")

    def free_all(self, payment_id: int, locked_until: datetime | None) -> None:
        """Give every debt of a payment back, at once or after the merchant's waiting time."""
        freed = update(t.debt).where(_held_by(literal(payment_id)))
        self._db.execute(freed.values(state="open", holder_id=None, locked_until=locked_until))

    def contradictions(self) -> list[Row[Any]]:
        """Find debts in a state that the payment which holds them is not in, or held by another than pays for them.

        What a live payment pays for is its own, and what a paid one has paid for until all of it was given back.
        """
        d, p, line, other = t.debt.c, t.payment.c, t.line.c, t.payment.alias("other").c
        agrees = or_(
            and_(d.state == "open", d.holder_id.is_(None)),
            and_(d.state == "locked", p.status.in_((Status.CREATED, Status.OPENED))),
            and_(d.state == "busy", p.status == Status.WORKING),
            and_(d.state == "paid", p.status == Status.PAID),
        )
        is_paid_by = exists().where(line.debt_id == d.id, line.payment_id == d.holder_id)
        is_owed = or_(
            other.status.in_(LIVE), and_(other.status == Status.PAID, other.refunded_cents < other.amount_cents)
        )
        is_anothers = exists().where(
            line.debt_id == d.id, other.id == line.payment_id, d.holder_id.is_distinct_from(other.id), is_owed
        )
        is_wrong = or_(
            func.coalesce(agrees, False).is_(False), and_(d.holder_id.is_not(None), ~is_paid_by), is_anothers
        )
        asked = select(t.debt).outerjoin(t.payment, p.id == d.holder_id).where(is_wrong)
        return list(self._db.execute(asked.order_by(d.id)))
