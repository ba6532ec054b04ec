"""Debts: what must be paid once, who holds it now, and until when it rests."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from gateway.core.errors import WrongStatus
from gateway.core.payment import normal_reference
from gateway.core.states import Status
from gateway.store import tables as t


class Debts:
    """Queries over ``debt``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def latest(self, merchant: str, fiscal_year: str, reference: str) -> Row[Any] | None:
        """Find the newest occurrence of a debt that is paid once (top-ups are found by their payment alone)."""
        asked = (
            select(t.debt)
            .where(t.debt.c.merchant_id == merchant, t.debt.c.fiscal_year == fiscal_year)
            .where(t.debt.c.reference == normal_reference(reference), t.debt.c.occurrence.not_like("pay%"))
            .order_by(t.debt.c.id.desc())
            .limit(1)
        )
        return self._db.execute(asked).one_or_none()

    def add(self, merchant: str, fiscal_year: str, reference: str, occurrence: str, holder: int) -> int:
        """Insert a debt, locked by the payment ``holder`` from the start."""
        row = self._db.execute(
            insert(t.debt)
            .values(
                merchant_id=merchant,
                fiscal_year=fiscal_year,
                reference=normal_reference(reference),
                occurrence=occurrence,
                state="locked",
                holder_id=holder,
            )
            .returning(t.debt.c.id)
        )
        return int(row.scalar_one())

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
        wanted = self._db.execute(
            select(func.count()).select_from(t.line).where(t.line.c.payment_id == payment_id)
        ).scalar_one()
        done = self._db.execute(
            update(t.debt).where(t.debt.c.holder_id == payment_id, t.debt.c.state == current).values(state=target)
        )
        if done.rowcount != wanted:
            raise WrongStatus(f"a debt of the payment was not {current}")

    def free_all(self, payment_id: int, locked_until: datetime | None) -> None:
        """Give every debt of a payment back, at once or after the merchant's waiting time."""
        self._db.execute(
            update(t.debt)
            .where(t.debt.c.holder_id == payment_id)
            .values(state="open", holder_id=None, locked_until=locked_until)
        )

    def contradictions(self) -> list[Row[Any]]:
        """Find debts in a state that the payment which holds them is not in."""
        d, p = t.debt.c, t.payment.c
        agrees = or_(
            and_(d.state == "open", d.holder_id.is_(None)),
            and_(d.state == "locked", p.status.in_((Status.CREATED, Status.OPENED))),
            and_(d.state == "busy", p.status == Status.WORKING),
            and_(d.state == "paid", p.status == Status.PAID),
        )
        asked = select(t.debt).outerjoin(t.payment, p.id == d.holder_id).where(func.coalesce(agrees, False).is_(False))
        return list(self._db.execute(asked.order_by(d.id)))
