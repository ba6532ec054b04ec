"""What leaves the store: rows told in the frozen words of ``gateway.core.payment``."""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select

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

# The first debit of a purchase has rank 1: the instalment at position 0 is the second.
FIRST_RANK = 2


def payment_result(db: Connection, row: Row[Any], payee: Payee) -> PaymentResult:
    """Tell everything known of a payment."""
    instalments = _instalments(db, row)
    return PaymentResult(
        id=row.public_id,
        number=_number(row.id),
        request=_request(db, row, tuple(Instalment(part.due, part.amount) for part in instalments)),
        payee=replace(payee, mode=Mode(row.mode)),
        status=Status(row.status),
        created_at=row.created_at,
        expires_at=row.expires_at,
        paid_at=row.paid_at,
        ended_at=row.ended_at,
        email=row.receipt_email,
        spoken=row.spoken,
        attempts=_attempts(db, row.id),
        refunds=_refunds(db, row),
        events=_events(db, row.id),
        refunded_cents=row.refunded_cents,
        attempts_max=row.attempts_max,
        dialect=row.dialect,
        handle=row.handle,
        instalments=instalments,
        parent=_public_id(db, row.parent_id) if row.parent_id else "",
        rank=row.rank,
    )


def is_part(purchase: ColumnElement[int] | int, position: ColumnElement[int] | int) -> ColumnElement[bool]:
    """Match the payment that the instalment at ``position`` of a purchase has become."""
    return and_(t.payment.c.parent_id == purchase, t.payment.c.rank == position + FIRST_RANK)


def _number(payment_id: int) -> str:
    return f"{payment_id:010d}"


def _public_id(db: Connection, payment_id: int) -> str:
    return str(db.execute(select(t.payment.c.public_id).where(t.payment.c.id == payment_id)).scalar_one())


def _request(db: Connection, row: Row[Any], instalments: tuple[Instalment, ...]) -> PaymentRequest:
    lines = db.execute(select(t.line).where(t.line.c.payment_id == row.id).order_by(t.line.c.position))
    return PaymentRequest(
        merchant=row.merchant_id,
        reference=row.reference,
        amount=Money(row.amount_cents, row.currency),
        lines=tuple(Line(r.reference, r.label, Money(r.amount_cents, row.currency)) for r in lines),
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


def _attempts(db: Connection, payment_id: int) -> tuple[AttemptResult, ...]:
    rows = db.execute(select(t.attempt).where(t.attempt.c.payment_id == payment_id).order_by(t.attempt.c.n))
    return tuple(
        AttemptResult(
            id=r.public_id,
            number=r.n,
            status=AttemptStatus(r.status),
            scheme=r.scheme,
            bin=r.bin,
            last4=r.last4,
            expiry=r.expiry,
            started_at=r.started_at,
            flow=r.flow,
            response_code=r.response_code,
            response_family=r.response_family,
            authorisation_number=r.authorisation_number,
            eci=r.eci,
            ended_at=r.ended_at,
        )
        for r in rows
    )


def _refunds(db: Connection, row: Row[Any]) -> tuple[RefundResult, ...]:
    rows = db.execute(select(t.refund).where(t.refund.c.payment_id == row.id).order_by(t.refund.c.id))
    return tuple(
        RefundResult(r.public_id, Money(r.amount_cents, row.currency), r.status, r.requested_at, r.reason) for r in rows
    )


def _events(db: Connection, payment_id: int) -> tuple[Event, ...]:
    rows = db.execute(select(t.event).where(t.event.c.payment_id == payment_id).order_by(t.event.c.seq))
    return tuple(Event(r.public_id, r.seq, r.type, r.at, json.loads(r.facts)) for r in rows)


def _instalments(db: Connection, row: Row[Any]) -> tuple[InstalmentResult, ...]:
    i, p = t.instalment, t.payment
    joined = i.outerjoin(p, is_part(i.c.payment_id, i.c.position))
    asked = select(i, p.c.id.label("part_id"), p.c.public_id, p.c.status, p.c.paid_at).select_from(joined)
    rows = db.execute(asked.where(i.c.payment_id == row.id).order_by(i.c.position)).all()
    return tuple(_instalment(db, part, row.currency) for part in rows)


def _instalment(db: Connection, part: Row[Any], currency: str) -> InstalmentResult:
    # A try that waits for its day was not made yet.
    tried = [a for a in _attempts(db, part.part_id) if a.status not in FRONT] if part.part_id else []
    return InstalmentResult(
        rank=part.position + FIRST_RANK,
        due=part.due,
        amount=Money(part.amount_cents, currency),
        status=_standing(part, is_tried=bool(tried)),
        payment=part.public_id or "",
        number=_number(part.part_id) if part.part_id else "",
        paid_at=part.paid_at,
        attempt=tried[-1] if tried else None,
    )


def _standing(part: Row[Any], *, is_tried: bool) -> InstalmentStatus:
    """Say where an instalment stands; its own payment knows first, the purchase hears of it at the next sweep."""
    if part.state != "asked":
        return InstalmentStatus(part.state)
    if part.status == Status.PAID:
        return InstalmentStatus.PAID
    if part.status == Status.OPENED and is_tried:
        return InstalmentStatus.RETRYING
    return InstalmentStatus.WORKING if part.status in LIVE else InstalmentStatus.REFUSED
