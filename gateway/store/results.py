"""What leaves the store: rows told in the frozen words of ``gateway.core.payment``.

All that belongs to a payment comes in one answer, as JSON: asked for table by table it would be five, and a page or a
notice asks for it again and again.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, bindparam, select

from gateway.core.money import Money
from gateway.core.payment import (
    AttemptResult,
    Event,
    Instalment,
    InstalmentResult,
    Kind,
    Line,
    Mode,
    Payee,
    PaymentRequest,
    PaymentResult,
    Recipient,
    RefundResult,
)
from gateway.core.states import FRONT, LIVE, AttemptStatus, InstalmentStatus, Status
from gateway.store import tables as t
from gateway.store.types import json_rows, moment

# The first debit of a purchase has rank 1: the instalment at position 0 is the second.
FIRST_RANK = 2

# What is told of each table that belongs to a payment; the rows of each come in the order of its first column.
_TOLD: dict[Table, str] = {
    t.line: "position reference label amount_cents",
    t.attempt: "n public_id status scheme bin last4 started_at flow response_code response_family authorisation_number "
    "eci ended_at expiry",
    t.refund: "id public_id amount_cents status requested_at reason",
    t.event: "seq public_id type at facts",
}
_PUBLIC_ID = select(t.payment.c.public_id).where(t.payment.c.id == bindparam("of"))

_RECIPIENTS = select(
    *(t.payment.c[name] for name in ("id", "public_id", "merchant_id", "dialect", "notify_url", "wire"))
).where(t.payment.c.id.in_(bindparam("of", expanding=True)))

_NAMES = (*(table.name for table in _TOLD), t.instalment.name)

# The values of one row, in the order they were asked for; and all that is told of a payment, by table.
Values = list[Any]
Told = dict[str, list[Values]]


def payment_result(db: Connection, row: Row[Any], payee: Payee) -> PaymentResult:
    """Tell everything known of a payment; a row that has :func:`told_columns` needs nothing more asked."""
    return _result(db, row, payee, _read(row) if "told_line" in row._mapping else _told(db, row.id))


@cache
def telling_one(engine: str) -> Select[Any]:
    """Ask for one payment, by row id, and for all that is told of it."""
    return select(t.payment, *told_columns(engine)).where(t.payment.c.id == bindparam("of"))


@cache
def telling(engine: str) -> Select[Any]:
    """Ask for some payments, by row id, and for all that is told of them."""
    return select(t.payment, *told_columns(engine)).where(t.payment.c.id.in_(bindparam("of", expanding=True)))


def recipients(db: Connection, payment_ids: Collection[int]) -> dict[int, Recipient]:
    """Read of some payments, by row id, what their request said of who is told by calls."""
    return {
        row.id: Recipient(row.public_id, row.merchant_id, row.dialect, row.notify_url, json.loads(row.wire))
        for row in db.execute(_RECIPIENTS, {"of": list(payment_ids)})
    }


def _result(db: Connection, row: Row[Any], payee: Payee, told: Told) -> PaymentResult:
    instalments = tuple(_instalment(db, values, row.currency) for values in told["instalment"])
    return PaymentResult(
        id=row.public_id,
        number=_number(row.id),
        request=_request(row, told["line"], tuple(Instalment(part.due, part.amount) for part in instalments)),
        payee=replace(payee, mode=Mode(row.mode)),
        status=Status(row.status),
        created_at=row.created_at,
        expires_at=row.expires_at,
        paid_at=row.paid_at,
        ended_at=row.ended_at,
        email=row.receipt_email,
        spoken=row.spoken,
        attempts=tuple(map(_attempt, told["attempt"])),
        refunds=tuple(_refund(values, row.currency) for values in told["refund"]),
        events=tuple(map(_event, told["event"])),
        refunded_cents=row.refunded_cents,
        attempts_max=row.attempts_max,
        dialect=row.dialect,
        handle=row.handle,
        instalments=instalments,
        parent=str(db.execute(_PUBLIC_ID, {"of": row.parent_id}).scalar_one()) if row.parent_id else "",
        rank=row.rank,
    )


def is_part(purchase: ColumnElement[int] | int, position: ColumnElement[int] | int) -> ColumnElement[bool]:
    """Match the payment that the instalment at ``position`` of a purchase has become."""
    return and_(t.payment.c.parent_id == purchase, t.payment.c.rank == position + FIRST_RANK)


def _number(payment_id: int) -> str:
    return f"{payment_id:010d}"


def _told(db: Connection, payment_id: int) -> Told:
    """Load what belongs to a payment, by table."""
    return _read(db.execute(_statement(db.dialect.name), {"of": payment_id}).one())


def _read(row: Row[Any]) -> Told:
    told = {name: json.loads(row._mapping[f"told_{name}"] or "[]") for name in _NAMES}
    for rows in told.values():
        rows.sort(key=lambda values: int(values[0]))
    return told


@cache
def _statement(engine: str) -> Select[Any]:
    return select(t.payment.c.id, *told_columns(engine)).where(t.payment.c.id == bindparam("of"))


@cache
def told_columns(engine: str) -> tuple[ColumnElement[str], ...]:
    """Give the columns that tell of a payment what other tables know of it: of each table the rows, as one JSON array."""
    asked = {
        table.name: select(json_rows([table.c[name] for name in names.split()], engine)).where(
            table.c.payment_id == t.payment.c.id
        )
        for table, names in _TOLD.items()
    }
    asked[t.instalment.name] = _instalments(engine)
    return tuple(found.scalar_subquery().label(f"told_{name}") for name, found in asked.items())


def _instalments(engine: str) -> Select[Any]:
    """Select the later parts of a purchase, each with the payment it has become."""
    i, p = t.instalment, t.payment.alias("part")
    told = (i.c.position, i.c.due, i.c.amount_cents, i.c.state, p.c.id, p.c.public_id, p.c.status, p.c.paid_at)
    joined = i.outerjoin(p, and_(p.c.parent_id == i.c.payment_id, p.c.rank == i.c.position + FIRST_RANK))
    return select(json_rows(told, engine)).select_from(joined).where(i.c.payment_id == t.payment.c.id)


def _request(row: Row[Any], lines: list[Values], instalments: tuple[Instalment, ...]) -> PaymentRequest:
    return PaymentRequest(
        merchant=row.merchant_id,
        reference=row.reference,
        amount=Money(row.amount_cents, row.currency),
        lines=tuple(Line(reference, label, Money(cents, row.currency)) for _, reference, label, cents in lines),
        label=row.label,
        kind=Kind(row.kind),
        email=row.email,
        payer_name=row.payer_name,
        payer_phone=row.payer_phone,
        beneficiary=row.beneficiary,
        comment=row.comment,
        fiscal_year=row.fiscal_year,
        language=row.language,
        return_url=row.return_url,
        notify_url=row.notify_url,
        pay_before=row.pay_before,
        metadata=json.loads(row.metadata),
        wire=json.loads(row.wire),
        capture_by_hand=row.capture_by_hand,
        capture_days=row.capture_days,
        schemes=tuple(row.schemes.split()),
        schemes_again=tuple(row.schemes_again.split()),
        statement=row.statement,
        instalments=instalments,
    )


def _attempt(values: Values) -> AttemptResult:
    n, public_id, status, scheme, first, last, started_at, flow, code, family, number, eci, ended_at, expiry = values
    begun, ended = moment(started_at), _moment(ended_at)
    return AttemptResult(
        public_id, n, AttemptStatus(status), scheme, first, last, begun, flow, code, family, number, eci, ended, expiry
    )


def _moment(text: str | None) -> datetime | None:
    return moment(text) if text else None


def _refund(values: Values, currency: str) -> RefundResult:
    _, public_id, cents, status, requested_at, reason = values
    return RefundResult(public_id, Money(cents, currency), status, moment(requested_at), reason)


def _event(values: Values) -> Event:
    seq, public_id, kind, at, facts = values
    return Event(public_id, seq, kind, moment(at), json.loads(facts))


def _instalment(db: Connection, values: Values, currency: str) -> InstalmentResult:
    position, due, cents, state, part, public_id, status, paid_at = values
    # A try that waits for its day was not made yet.
    attempts = map(_attempt, _told(db, part)["attempt"]) if part else ()
    tried = [attempt for attempt in attempts if attempt.status not in FRONT]
    return InstalmentResult(
        rank=position + FIRST_RANK,
        due=date.fromisoformat(due),
        amount=Money(cents, currency),
        status=_standing(state, status, is_tried=bool(tried)),
        payment=public_id or "",
        number=_number(part) if part else "",
        paid_at=_moment(paid_at),
        attempt=tried[-1] if tried else None,
    )


def _standing(state: str, status: str | None, *, is_tried: bool) -> InstalmentStatus:
    """Say where an instalment stands; its own payment knows first, the purchase hears of it at the next sweep."""
    if state != "asked":
        return InstalmentStatus(state)
    if status == Status.PAID:
        return InstalmentStatus.PAID
    if status == Status.OPENED and is_tried:
        return InstalmentStatus.RETRYING
    return InstalmentStatus.WORKING if status in LIVE else InstalmentStatus.REFUSED
