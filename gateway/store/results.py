"""What leaves the store: rows told in the frozen words of ``gateway.core.payment``.

All that belongs to a payment comes in one answer, as JSON: asked for table by table it would be five, and a page or a
notice asks for it again and again.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Table, and_, bindparam, literal_column, select
from sqlalchemy.sql.selectable import CompoundSelect, Select

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
    RefundResult,
)
from gateway.core.states import FRONT, LIVE, AttemptStatus, InstalmentStatus, Status
from gateway.store import tables as t
from gateway.store.types import json_row, moment

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

# The values of one row, in the order they were asked for.
Values = list[Any]


def payment_result(db: Connection, row: Row[Any], payee: Payee) -> PaymentResult:
    """Tell everything known of a payment."""
    return _result(db, row, payee, _told(db, [row.id])[row.id])


def payment_results(
    db: Connection, rows: Sequence[Row[Any]], payee_of: Callable[[str], Payee]
) -> dict[int, PaymentResult]:
    """Tell everything known of some payments, by row id: asked for once for them all."""
    told = _told(db, [row.id for row in rows])
    return {row.id: _result(db, row, payee_of(row.merchant_id), told[row.id]) for row in rows}


def _result(db: Connection, row: Row[Any], payee: Payee, told: dict[str, list[Values]]) -> PaymentResult:
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


def _told(db: Connection, ids: Sequence[int]) -> dict[int, dict[str, list[Values]]]:
    """Load what belongs to some payments, by row id and table."""
    told: dict[int, dict[str, list[Values]]] = {payment_id: defaultdict(list) for payment_id in ids}
    # One is by far the most frequent, and costs less where no list is written out.
    of: int | Sequence[int] = ids[0] if len(ids) == 1 else ids
    for payment_id, table, text in db.execute(_statement(db.dialect.name, len(ids) == 1), {"of": of}):
        told[payment_id][table].append(json.loads(text))
    for tables in told.values():
        for rows in tables.values():
            rows.sort(key=lambda values: int(values[0]))
    return told


@cache
def _statement(engine: str, is_one: bool) -> CompoundSelect[Any]:
    def belongs(payment_id: Column[int]) -> ColumnElement[bool]:
        return payment_id == bindparam("of") if is_one else payment_id.in_(bindparam("of", expanding=True))

    asked = (
        select(
            table.c.payment_id,
            literal_column(f"'{table.name}'"),
            json_row([table.c[name] for name in names.split()], engine),
        ).where(belongs(table.c.payment_id))
        for table, names in _TOLD.items()
    )
    return _instalments(engine).where(belongs(t.instalment.c.payment_id)).union_all(*asked)


def _instalments(engine: str) -> Select[Any]:
    """Select the later parts of a purchase, each with the payment it has become."""
    i, p = t.instalment, t.payment
    told = json_row(
        (i.c.position, i.c.due, i.c.amount_cents, i.c.state, p.c.id, p.c.public_id, p.c.status, p.c.paid_at), engine
    )
    joined = i.outerjoin(p, is_part(i.c.payment_id, i.c.position))
    return select(i.c.payment_id, literal_column("'instalment'"), told).select_from(joined)


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
    attempts = map(_attempt, _told(db, [part])[part]["attempt"]) if part else ()
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
