"""What the native protocol tells: JSON views of a payment, also the source of the OpenAPI document.

Nothing here shows more of a card than BIN and last four digits, nor any page token but in ``checkout_url``.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PublicStatus(StrEnum):
    """Where a payment stands, in the protocol's words."""

    CREATED = "created"
    OPENED = "opened"
    WORKING = "working"
    PAID = "paid"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LineView(_View):
    """One debt of the payment."""

    reference: str
    label: str
    amount: int = Field(description="minor units (cents)")


class AttemptView(_View):
    """One card submission."""

    id: str
    number: int = Field(description="1 for the first card tried")
    status: str = Field(description="where this submission stands, such as captured or declined")
    scheme: str = Field(description="brand the payer chose, such as cb or visa")
    bin: str = Field(description="first digits of the card, six or eight")
    last4: str = Field(description="last four digits of the card")
    flow: str = Field(description="what the cardholder's bank wanted: frictionless, challenge, ...")
    eci: str = Field(description="electronic commerce indicator of the authentication")
    response_code: str = Field(description="card network's code (ISO 8583 field 39); 00 when approved")
    response_family: str = Field(description="refusal family, such as funds or expired; empty when approved")
    authorisation_number: str
    started_at: datetime
    ended_at: datetime | None


class RefundView(_View):
    """Money given back."""

    id: str
    amount: int = Field(description="minor units (cents)")
    currency: str
    status: str
    reason: str
    requested_at: datetime


class InstalmentView(_View):
    """A later part of a purchase paid in several times."""

    rank: int = Field(description="its place among the debits of the purchase; the first later part is 2")
    due: date
    amount: int = Field(description="minor units (cents)")
    status: str = Field(description="planned, working, retrying, paid, refused or void")
    payment: str = Field(description="the payment it became when it was due; empty before")
    paid_at: datetime | None


class EventView(_View):
    """One fact of the payment's history."""

    id: str
    seq: int = Field(description="rises by one within the payment")
    type: str
    at: datetime
    facts: dict[str, str]


class PayerView(_View):
    """Who pays, as far as the merchant said."""

    name: str
    phone: str


class PaymentView(_View):
    """Everything known of a payment at one moment."""

    id: str = Field(description="public payment id, safe to show and to log")
    number: str = Field(description="transaction number printed on the ticket")
    merchant: str
    mode: str = Field(description="test, activation or production")
    dialect: str = Field(description="the protocol it was opened with; its own words stand in events as dialect_code")
    status: PublicStatus
    reference: str
    label: str
    kind: str
    amount: int = Field(description="minor units (cents)")
    currency: str
    refunded_amount: int = Field(description="given back so far, in minor units")
    lines: list[LineView]
    email: str = Field(description="where the receipt goes; empty when the payer gave none")
    payer: PayerView
    beneficiary: str
    comment: str
    fiscal_year: str
    language: str
    pay_before: str | None
    metadata: dict[str, str]
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    ended_at: datetime | None
    checkout_url: str | None = Field(description="where the payer pays; null once the payment has ended")
    attempts: list[AttemptView]
    refunds: list[RefundView]
    instalments: list[InstalmentView] = Field(description="later parts of a purchase paid in several times")
    purchase: str = Field(description="the payment this one is a later part of; empty when it is none")
    events: list[EventView]


class OpenedView(_View):
    """A checkout page that waits for its payer."""

    id: str
    checkout_url: str = Field(description="send the payer's browser here")
    expires_at: datetime
    status: PublicStatus
    reference: str
    amount: int = Field(description="minor units (cents)")
    currency: str


class ListView(_View):
    """Payments that carry one reference, newest first."""

    payments: list[PaymentView]


class NoticeView(_View):
    """Body of a confirmation (Standard Webhooks)."""

    type: Literal["payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired", "payment.refunded"]
    timestamp: datetime = Field(description="when it happened, not when it was sent")
    data: PaymentView


class ResultClaims(_View):
    """Claims of the ``result`` that the payer's browser brings back; a courtesy, the confirmation is the proof."""

    iss: str = Field(description="this server's origin")
    aud: str = Field(description="the merchant's id")
    sub: str = Field(description="payment id")
    status: PublicStatus
    reference: str
    amount: int = Field(description="minor units (cents)")
    currency: str
    iat: int
    exp: int = Field(description="15 minutes after iat")


class FaultView(_View):
    """One thing wrong in a request."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the claims; empty for the whole")
    code: str
    detail: str = Field(description="what is wrong, and how to mend it")


class ProblemView(_View):
    """An error (RFC 9457)."""

    type: str = Field(description="stable address of the error's documentation")
    title: str
    status: int
    detail: str
    code: str
    payment: str | None = Field(None, description="the payment that stands in the way, when it is yours")
    errors: list[FaultView] | None = Field(None, description="every fault at once")
