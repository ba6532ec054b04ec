"""REST V4 about a payment that there is already: ``Transaction/Get`` and ``Transaction/CancelOrRefund``.

A transaction is named by its ``uuid``, the ``vads_trans_uuid`` of the form: payments opened by form are told and given
back here too. All sites of one merchant may give back one another's payments; each is told its own.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.errors import BadRequest, Fault, NotFound, RequestConflict
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.dialects import House, LookUp, Refund, Signed, Which
from gateway.dialects.systempay.krypton import transaction_of
from gateway.dialects.systempay.notice import operation_of
from gateway.dialects.systempay.results import outcome_now
from gateway.dialects.systempay.shops import Shop


class Member(BaseModel):
    """Members that are not named in a model are the vendor's other options; they are let pass and change nothing."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)


class _Named(Member):
    uuid: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _CancelOrRefund(_Named):
    """What is given back. ``REFUND_ONLY`` is not taken: what is not captured yet is always cancelled instead."""

    amount: int | None = Field(None, ge=1, le=999_999_999_999)
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    comment: Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    way: Literal["AUTO", "CANCELLATION_ONLY"] = Field("AUTO", alias="resolutionMode")


@dataclass(frozen=True, slots=True)
class RestLookUp(LookUp):
    """A question about one payment of one site."""

    site: str = ""


def read_get(members: Mapping[str, object], shop: Shop) -> RestLookUp:
    """Read ``Transaction/Get``."""
    asked = _Named.model_validate(members)
    return RestLookUp(_which(shop, asked.uuid), site=shop.site.site_id)


def read_refund(members: Mapping[str, object], shop: Shop, house: House) -> Refund:
    """Read ``Transaction/CancelOrRefund``: without an amount, all that is left."""
    asked = _CancelOrRefund.model_validate(members)
    currency = asked.currency or shop.merchant.currency
    if currency != shop.merchant.currency:
        raise BadRequest((Fault("/currency", "INT_010", f"this shop takes {shop.merchant.currency} only"),))
    amount = Money(asked.amount, currency) if asked.amount else None
    digest = hashlib.sha256(f"CancelOrRefund {asked.uuid} {amount} {asked.way}".encode()).hexdigest()
    # A web service call carries no id of its own: said twice, it gives back twice, as far as there is money.
    signed = Signed(shop.merchant.id, f"{shop.site.site_id}-rest-{house.draw(16).hex()}", digest)
    is_cancelled = asked.way == "CANCELLATION_ONLY"
    return Refund(_which(shop, asked.uuid), amount, signed, asked.comment[:140], before_settlement=is_cancelled)


def _which(shop: Shop, uuid: str) -> Which:
    return Which(frozenset({shop.merchant.id}), handle=uuid)


def answer(command: RestLookUp | Refund, result: PaymentResult) -> Mapping[str, object]:
    """Tell the transaction a call was about: what was given back, or else the payment.

    Raises :class:`NotFound` when no card was tried yet or another site opened it, :class:`RequestConflict` when the
    bank refused to give back.
    """
    outcome = outcome_now(result)
    is_foreign = isinstance(command, RestLookUp) and result.request.wire["site"] != command.site
    if outcome is None or is_foreign:
        raise NotFound("no such transaction")
    if isinstance(command, RestLookUp) or not result.refunds:
        return transaction_of(result, outcome)
    last = result.refunds[-1]
    if last.status == "refused":
        raise RequestConflict("refund_refused", "the bank refused to give the money back", result.id)
    if outcome.trans_status != "CAPTURED":
        return transaction_of(result, outcome)
    credit = replace(outcome, trans_status="AUTHORISED" if last.status == "done" else "UNDER_VERIFICATION")
    return transaction_of(result, credit, operation_of(last))
