"""Payments, their lines, their history: queries by name.

What a journey asks often is built once, here and in the rooms beside: to build a statement anew and to look its text up
takes three to six times as long as to run it.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, insert, literal_column, select, union, update
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.core.errors import NotFound, WrongStatus
from gateway.core.moves import check_move
from gateway.core.payment import Event, Line, Payee, PaymentRequest, PaymentResult, Recipient, Which, normal_reference
from gateway.core.states import Status
from gateway.store import tables as t
from gateway.store.looks import Look, looking
from gateway.store.results import payment_result, recipients, telling, telling_one

PaymentRow = Row[Any]

# A row id has 63 bits.
_NUMBER_MAX = 18

_p = t.payment
_BY_PUBLIC_ID = select(_p).where(_p.c.public_id == bindparam("of"))
_BY_ID = select(_p).where(_p.c.id == bindparam("of"))
_TAKEN, _TAKEN_BY_ID = _BY_PUBLIC_ID.with_for_update(), _BY_ID.with_for_update()
_TAKEN_OF_ATTEMPT = (
    select(_p)
    .where(_p.c.id == select(t.attempt.c.payment_id).where(t.attempt.c.id == bindparam("of")).scalar_subquery())
    .with_for_update()
)
_MERCHANTS: BindParameter[list[str]] = bindparam("merchants", expanding=True)
_OWN = select(_p.c.id).where(_p.c.merchant_id.in_(_MERCHANTS), _p.c.reference == bindparam("named"))
_OWING = (
    select(t.line.c.payment_id)
    .join(t.debt, t.debt.c.id == t.line.c.debt_id)
    .where(t.debt.c.merchant_id.in_(_MERCHANTS), t.debt.c.reference == bindparam("owed"))
)
_BY_REFERENCE = (
    select(_p)
    # One OR over two tables, or the merchants said once more, and all the merchants' payments would be walked over.
    .where(_p.c.id.in_(union(_OWN, _OWING)))
    # Later instalments are found by their purchase.
    .where(_p.c.parent_id.is_(None), _p.c.forgotten_at.is_(None))
    .order_by(_p.c.id.desc())
    .limit(bindparam("most"))
)
_ADD, _ADD_LINE, _ADD_EVENT = insert(_p).returning(_p), insert(t.line), insert(t.event)
_CHANGE = update(_p).where(_p.c.id == bindparam("of")).returning(_p)
_MOVE = update(_p).where(_p.c.id == bindparam("of"), _p.c.status == bindparam("was")).returning(_p.c.seq)
# Whoever moves a payment and notes it counts the note in the same row.
_MOVE_NOTED = _MOVE.values(seq=_p.c.seq + 1)
_COUNT_EVENT = update(_p).where(_p.c.id == bindparam("of")).values(seq=_p.c.seq + 1).returning(_p.c.seq)


class Payments:
    """Queries over ``payment``, ``line`` and ``event``."""

    def __init__(
        self,
        connection: Connection,
        payee_of: Callable[[str], Payee],
        touch: Callable[[int, str], None],
        merchants: frozenset[str],
    ) -> None:
        self._db = connection
        self._payee_of = payee_of
        self._touch = touch
        self._merchants = merchants

    def _payment(self) -> Select[Any]:
        """Select payments: those of the merchants this transaction is for; all, when it is the server's own."""
        asked = select(t.payment)
        return asked.where(t.payment.c.merchant_id.in_(self._merchants)) if self._merchants else asked

    def get(self, public_id: str) -> PaymentRow:
        """Find one by its public id. Raises :class:`NotFound`."""
        return self._one(_BY_PUBLIC_ID, public_id)

    def look(self, public_id: str) -> Look:
        """Find all that its page is made of. Raises :class:`NotFound`."""
        row = self.look_first(public_id)
        return Look(row, self.result(row))

    def look_first(self, public_id: str) -> PaymentRow:
        """Find it for whoever must see the row before it is worth while to tell the payment. Raises :class:`NotFound`."""
        return self._one(looking(self._db.dialect.name), public_id)

    def _one(self, asked: Select[Any], public_id: str) -> PaymentRow:
        if self._merchants:
            asked = asked.where(t.payment.c.merchant_id.in_(self._merchants))
        # No id holds a NUL, and PostgreSQL takes no text with one.
        row = None if "\0" in public_id else self._db.execute(asked, {"of": public_id}).one_or_none()
        if row is None:
            raise NotFound("no such payment")
        return row

    def by_id(self, payment_id: int) -> PaymentRow:
        """Find one by its row id."""
        return self._db.execute(_BY_ID, {"of": payment_id}).one()

    def named(self, which: Which, dialect: str) -> PaymentRow:
        """Find one by whichever name it is called. Raises :class:`NotFound`, also for another merchant's."""
        asked = self._payment()
        if which.payment:
            asked = asked.where(t.payment.c.public_id == which.payment)
        elif which.handle:
            # Said aloud for the index, which holds no payment without one.
            is_named = t.payment.c.handle != literal_column("''")
            asked = asked.where(t.payment.c.dialect == dialect, t.payment.c.handle == which.handle, is_named)
        else:
            is_number = which.number.isascii() and which.number.isdigit() and len(which.number) <= _NUMBER_MAX
            asked = asked.where(t.payment.c.id == (int(which.number) if is_number else 0))
        row = self._db.execute(asked).one_or_none()
        is_other = row is not None and which.reference not in ("", row.reference)
        # What its protocol must echo is gone; the operator still finds it by its id.
        is_forgotten = row is not None and row.forgotten_at is not None
        if row is None or is_other or is_forgotten or (which.merchants and row.merchant_id not in which.merchants):
            raise NotFound("no such payment")
        return row

    def take(self, public_id: str) -> PaymentRow:
        """Find one and make its other writers wait until this transaction is over. Raises :class:`NotFound`.

        Whoever changes a payment, its attempts or its debts takes the payment first: one order of locks for everybody,
        and what is read after it stays true. SQLite has one writer at a time anyway.
        """
        return self._one(_TAKEN, public_id)

    def take_by_id(self, payment_id: int) -> PaymentRow:
        """Do the same by the row id."""
        return self._db.execute(_TAKEN_BY_ID, {"of": payment_id}).one()

    def take_of_attempt(self, attempt_id: int) -> PaymentRow:
        """Do the same by the row id of one of its attempts."""
        return self._db.execute(_TAKEN_OF_ATTEMPT, {"of": attempt_id}).one()

    def by_reference(self, merchants: frozenset[str], reference: str, limit: int = 50) -> list[PaymentRow]:
        """Find payments whose own reference, or one of whose debts', is ``reference``; newest first.

        A debt is found by any spelling that is the same debt.
        """
        mine = merchants & self._merchants if self._merchants else merchants
        which = {"merchants": sorted(mine), "named": reference, "owed": normal_reference(reference)}
        return list(self._db.execute(_BY_REFERENCE, {**which, "most": limit}))

    def newest(self, limit: int) -> list[PaymentRow]:
        """Find the latest payments of everyone, for the operator's list."""
        return list(self._db.execute(select(t.payment).order_by(t.payment.c.id.desc()).limit(limit)))

    def overdue(self, now: datetime, limit: int) -> list[str]:
        """Name the payments nobody paid in time, oldest first."""
        asked = (
            select(t.payment.c.public_id)
            .where(t.among(t.payment.c.status, (Status.CREATED, Status.OPENED)), t.payment.c.expires_at <= now)
            .order_by(t.payment.c.expires_at)
            .limit(limit)
        )
        return list(self._db.execute(asked).scalars())

    def add(self, request: PaymentRequest, **facts: object) -> PaymentRow:
        """Insert a payment for ``request``; ``facts`` are the columns the request does not hold."""
        row = self._db.execute(
            _ADD,
            dict(
                merchant_id=request.merchant,
                reference=request.reference,
                kind=request.kind,
                amount_cents=request.amount.cents,
                currency=request.amount.currency,
                label=request.label,
                email=request.email,
                receipt_email=request.email,
                payer_name=request.payer_name,
                payer_phone=request.payer_phone,
                beneficiary=request.beneficiary,
                comment=request.comment,
                fiscal_year=request.fiscal_year,
                language=request.language,
                return_url=request.return_url,
                notify_url=request.notify_url,
                pay_before=request.pay_before,
                metadata=json.dumps(dict(request.metadata), ensure_ascii=False),
                wire=json.dumps(dict(request.wire), ensure_ascii=False),
                capture_by_hand=request.capture_by_hand,
                capture_days=request.capture_days,
                schemes=" ".join(request.schemes),
                schemes_again=" ".join(request.schemes_again),
                statement=request.statement,
                status=Status.CREATED,
                **facts,
            ),
        ).one()
        self._touch(row.id, "")
        for position, part in enumerate(request.instalments):
            self._db.execute(
                insert(t.instalment).values(
                    payment_id=row.id, position=position, due=part.due, amount_cents=part.amount.cents
                )
            )
        return row

    def add_line(self, payment_id: int, position: int, debt_id: int, line: Line) -> None:
        """Insert one debt of a payment."""
        self._touch(payment_id, "")
        said = {"reference": line.reference, "label": line.label, "amount_cents": line.amount.cents}
        self._db.execute(_ADD_LINE, {"payment_id": payment_id, "position": position, "debt_id": debt_id, **said})

    def move(self, row: PaymentRow, target: Status, **changes: object) -> None:
        """Move a payment from the status it was read in. Raises :class:`WrongStatus` if it is there no longer."""
        self._move(_MOVE, row, target, changes)

    def move_noted(self, row: PaymentRow, target: Status, changes: Mapping[str, object], draft: Event) -> Event:
        """Move a payment, and append the fact to its history.

        :param draft: the fact, which gets its number here
        """
        return self._append(row.id, replace(draft, seq=self._move(_MOVE_NOTED, row, target, changes)))

    def _move(self, asked: ReturningUpdate[Any], row: PaymentRow, target: Status, changes: Mapping[str, object]) -> int:
        check_move(Status(row.status), target)
        self._touch(row.id, "")
        seq = self._db.execute(asked, {"of": row.id, "was": row.status, "status": target, **changes}).scalar()
        if seq is None:
            raise WrongStatus(f"the payment was no longer {row.status}")
        return int(seq)

    def extend(self, row: PaymentRow, until: datetime, now: datetime) -> None:
        """Give a page more time while it has some. Raises :class:`WrongStatus` when that is over, or another did."""
        p = t.payment.c
        self._touch(row.id, "")
        is_live = (p.status == Status.OPENED, p.expires_at == row.expires_at, p.expires_at > now)
        done = self._db.execute(
            update(t.payment)
            .where(p.id == row.id, *is_live)
            .values(expires_at=until, extensions=t.payment.c.extensions + 1)
        )
        if done.rowcount != 1:
            raise WrongStatus("the page's time had run out, or was extended by another")

    def allow_no_more_attempts(self, payment_id: int) -> None:
        """Make the attempt under way the last."""
        self._touch(payment_id, "")
        self._db.execute(update(t.payment).where(t.payment.c.id == payment_id).values(attempts_max=1))

    def set_receipt(self, row: PaymentRow, *, email: str = "", language: str = "") -> PaymentRow:
        """Keep where the payer wants the receipt, and in which language; what is empty stays as it was. Gives the row anew."""
        wanted = {name: value for name, value in (("receipt_email", email), ("spoken", language)) if value}
        return self._db.execute(_CHANGE, {"of": row.id, **wanted}).one() if wanted else row

    def begin(self, row: PaymentRow, first: Event) -> None:
        """Write down the fact that the row of a new payment has counted already."""
        self._append(row.id, first)

    def record(self, payment_id: int, event_id: str, kind: str, at: datetime, facts: Mapping[str, str]) -> Event:
        """Append a fact to the history; the payment's row lock makes the sequence gapless."""
        seq = int(self._db.execute(_COUNT_EVENT, {"of": payment_id}).scalar_one())
        return self._append(payment_id, Event(event_id, seq, kind, at, dict(facts)))

    def _append(self, payment_id: int, event: Event) -> Event:
        self._touch(payment_id, event.type)
        text = json.dumps(dict(event.facts), ensure_ascii=False)
        told = {"public_id": event.id, "type": event.type, "at": event.at, "facts": text}
        self._db.execute(_ADD_EVENT, {"payment_id": payment_id, "seq": event.seq, **told})
        return event

    def result(self, row: PaymentRow) -> PaymentResult:
        """Tell everything known of a payment."""
        return payment_result(self._db, row, self._payee_of(row.merchant_id))

    def tell(self, payment_id: int) -> PaymentResult:
        """Find a payment by its row id, and tell everything known of it."""
        return self.result(self._db.execute(telling_one(self._db.dialect.name), {"of": payment_id}).one())

    def recipients(self, payment_ids: Collection[int]) -> dict[int, Recipient]:
        """Tell whom some payments' merchants want told by calls, by row id; a tenth of what reading the payments costs."""
        return recipients(self._db, payment_ids) if payment_ids else {}

    def results(self, payment_ids: Collection[int]) -> dict[int, PaymentResult]:
        """Tell everything known of some payments, by row id; one statement, but for purchases in parts."""
        if not payment_ids:
            return {}
        rows = self._db.execute(telling(self._db.dialect.name), {"of": list(payment_ids)}).all()
        return {row.id: self.result(row) for row in rows}
