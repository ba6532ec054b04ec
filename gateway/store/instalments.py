"""Later instalments: the parts of a purchase that fall due after its first debit, and the payments they become."""

from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, literal_column, select, update

from gateway.core.errors import NotFound, WrongStatus
from gateway.core.states import FRONT, LIVE, AttemptStatus, Status
from gateway.store import tables as t
from gateway.store.results import is_part

_OPEN = ("planned", "asked")

_ARE_OPEN = (
    select(t.instalment.c.position)
    .where(t.instalment.c.payment_id == bindparam("of"), t.among(t.instalment.c.state, _OPEN))
    .limit(literal_column("1"))
)


class Instalments:
    """Queries over ``instalment``, and over the payments that are parts of a purchase."""

    def __init__(self, connection: Connection, touch: Callable[[int, str], None]) -> None:
        self._db = connection
        self._touch = touch

    def due(self, today: date, limit: int) -> list[Row[Any]]:
        """Find the parts that are due and were not asked for, the oldest first, of purchases paid and accepted."""
        i, p, a = t.instalment, t.payment, t.attempt
        is_unaccepted = exists().where(a.c.payment_id == p.c.id, a.c.status == AttemptStatus.APPROVED)
        asked = (
            select(i)
            .join(p, p.c.id == i.c.payment_id)
            .where(i.c.state == "planned", i.c.due <= today)
            .where(p.c.status == Status.PAID, p.c.refunded_cents < p.c.amount_cents)
            .where(~(p.c.capture_by_hand & is_unaccepted))
        )
        return list(self._db.execute(asked.order_by(i.c.due, i.c.payment_id).limit(limit)))

    def loose(self, limit: int) -> list[Row[Any]]:
        """Find the parts whose payment is over, or was refused and waits for a decision."""
        i, p, a = t.instalment, t.payment, t.attempt
        is_waiting = exists().where(a.c.payment_id == p.c.id, a.c.status.in_(FRONT))
        is_loose = p.c.status.not_in(LIVE) | ((p.c.status == Status.OPENED) & ~is_waiting)
        asked = select(i).join(p, is_part(i.c.payment_id, i.c.position)).where(i.c.state == "asked", is_loose)
        return list(self._db.execute(asked.limit(limit)))

    def move(self, part: Row[Any], target: str) -> None:
        """Move a part from the state it was read in. Raises :class:`WrongStatus` if it is there no longer."""
        self._touch(part.payment_id, "")
        i = t.instalment
        done = self._db.execute(
            update(i)
            .where(i.c.payment_id == part.payment_id, i.c.position == part.position, i.c.state == part.state)
            .values(state=target)
        )
        if done.rowcount != 1:
            raise WrongStatus(f"the instalment was no longer {part.state}")

    def void(self, payment_id: int) -> int:
        """Give up what was not asked for yet; returns how many parts that were."""
        self._touch(payment_id, "")
        i = t.instalment
        planned = update(i).where(i.c.payment_id == payment_id, i.c.state == "planned")
        return self._db.execute(planned.values(state="void")).rowcount

    def are_open(self, payment_id: int) -> bool:
        """Say whether a part of this purchase may still be asked for: its card's token must be kept."""
        return self._db.execute(_ARE_OPEN, {"of": payment_id}).first() is not None

    def payment_of(self, part: Row[Any]) -> int:
        """Name the payment a part has become. Raises :class:`NotFound`."""
        asked = select(t.payment.c.id).where(is_part(part.payment_id, part.position))
        payment_id = self._db.execute(asked).scalar()
        if payment_id is None:
            raise NotFound("this instalment was not asked for yet")
        return int(payment_id)

    def payments(self, payment_id: int) -> list[int]:
        """Name the payments that parts of this purchase have become, in order."""
        p = t.payment
        return list(self._db.execute(select(p.c.id).where(p.c.parent_id == payment_id).order_by(p.c.rank)).scalars())
