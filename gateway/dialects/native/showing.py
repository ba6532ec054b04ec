"""How a payment is shown in the native protocol's views."""

from gateway.core.payment import AttemptResult, InstalmentResult, Line, PaymentResult
from gateway.core.states import Status
from gateway.dialects.native.views import (
    AttemptView,
    EventView,
    InstalmentView,
    LineView,
    OpenedView,
    PayerView,
    PaymentView,
    PublicStatus,
    RefundView,
)

_STATUSES = {
    Status.CREATED: PublicStatus.CREATED,
    Status.OPENED: PublicStatus.OPENED,
    Status.WORKING: PublicStatus.WORKING,
    Status.PAID: PublicStatus.PAID,
    Status.FAILED: PublicStatus.REFUSED,
    Status.CANCELLED: PublicStatus.CANCELLED,
    Status.EXPIRED: PublicStatus.EXPIRED,
}


def public_status(status: Status) -> PublicStatus:
    """Say a status in the protocol's words."""
    return _STATUSES[status]


def opened_view(result: PaymentResult, page_url: str) -> OpenedView:
    """Show what a merchant needs to send its payer on."""
    return OpenedView(
        id=result.id,
        checkout_url=page_url,
        expires_at=result.expires_at,
        status=public_status(result.status),
        reference=result.request.reference,
        amount=result.request.amount.cents,
        currency=result.request.amount.currency,
    )


def payment_view(result: PaymentResult, page_url: str = "") -> PaymentView:
    """Show a payment whole."""
    asked = result.request
    return PaymentView(
        id=result.id,
        number=result.number,
        merchant=asked.merchant,
        mode=result.payee.mode.value,
        dialect=result.dialect,
        status=public_status(result.status),
        reference=asked.reference,
        label=asked.label,
        kind=asked.kind.value,
        amount=asked.amount.cents,
        currency=asked.amount.currency,
        refunded_amount=result.refunded_cents,
        lines=[_line(line) for line in asked.lines],
        email=result.email or asked.email,
        payer=PayerView(name=asked.payer_name, phone=asked.payer_phone),
        beneficiary=asked.beneficiary,
        comment=asked.comment,
        fiscal_year=asked.fiscal_year,
        language=asked.language,
        pay_before=asked.pay_before.isoformat() if asked.pay_before else None,
        metadata=dict(asked.metadata),
        created_at=result.created_at,
        expires_at=result.expires_at,
        paid_at=result.paid_at,
        ended_at=result.ended_at,
        checkout_url=page_url if page_url and result.is_live and not result.parent else None,
        attempts=[_attempt(attempt) for attempt in result.attempts],
        refunds=_refunds(result),
        instalments=[_instalment(part) for part in result.instalments],
        purchase=result.parent,
        events=[
            EventView(id=event.id, seq=event.seq, type=event.type, at=event.at, facts=dict(event.facts))
            for event in result.events
        ],
    )


def _line(line: Line) -> LineView:
    return LineView(reference=line.reference, label=line.label, amount=line.amount.cents)


def _attempt(attempt: AttemptResult) -> AttemptView:
    return AttemptView(
        id=attempt.id,
        number=attempt.number,
        status=attempt.status.value,
        scheme=attempt.scheme,
        bin=attempt.bin,
        last4=attempt.last4,
        flow=attempt.flow,
        eci=attempt.eci,
        response_code=attempt.response_code,
        response_family=attempt.response_family,
        authorisation_number=attempt.authorisation_number,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
    )


def _instalment(one: InstalmentResult) -> InstalmentView:
    return InstalmentView(
        rank=one.rank, due=one.due, amount=one.amount.cents, status=one.status, payment=one.payment, paid_at=one.paid_at
    )


def _refunds(result: PaymentResult) -> list[RefundView]:
    return [
        RefundView(
            id=refund.id,
            amount=refund.amount.cents,
            currency=refund.amount.currency,
            status=refund.status,
            reason=refund.reason,
            requested_at=refund.requested_at,
        )
        for refund in result.refunds
    ]
