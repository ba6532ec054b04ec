"""Whoever holds a ticket asks here whether it is genuine: the address is its QR code.

It outlives the link to the ticket: it is answered for as long as the payment is known, whoever is forgotten. A ticket may
have been lost, so that this page tells a stranger nothing that is not printed on it, and less: no name, no card, no more
than the end of the reference.
"""

from dataclasses import dataclass
from enum import StrEnum

from flask import Blueprint, Response, g, render_template

from gateway.core.errors import BadField, NotFound
from gateway.core.languages import LANGUAGES
from gateway.core.money import Money
from gateway.core.payment import PaymentResult, RefundResult
from gateway.core.states import Status
from gateway.links import Checked
from gateway.receipts import Audience, Receipt
from gateway.receipts.press import signed_of
from gateway.web import services
from gateway.web.languages import choose_language

verifying = Blueprint("verifying", __name__, url_prefix="/v")

# Of the reference: enough to tell two tickets of one family apart, too little to look anybody up.
_SHOWN = 4


class Verdict(StrEnum):
    """What can be said of a code."""

    GENUINE = "genuine"
    FORGED = "forged"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the page says of a genuine ticket.

    :ivar reference: the end of it, behind an ellipsis
    :ivar given_back: what was refunded of the payment so far; nothing for the ticket of a refund
    :ivar is_settled: false while a refund is still under way
    """

    receipt: Receipt
    reference: str
    given_back: Money | None
    is_whole: bool
    is_settled: bool


@verifying.get("/<token>")
def verify(token: str) -> Response:
    """Say whether the ticket with this code is genuine, and what became of its payment."""
    choose_language("")
    try:
        said = services().links.checked(token)
    except NotFound:
        return _page(Verdict.FORGED, 404)
    try:
        result = services().checkout.opening.told(said.payment)
    except NotFound:
        return _page(Verdict.GONE, 410)
    ticket = _ticket(result, said)
    return _page(Verdict.GENUINE, 200, ticket) if ticket else _page(Verdict.FORGED, 404)


def _ticket(result: PaymentResult, said: Checked) -> Ticket | None:
    """Find the ticket a code speaks of in the books; what they do not say is no ticket, whoever signed it."""
    if result.status is not Status.PAID:
        return None
    kind = "payment.refunded" if said.refund else "payment.succeeded"
    try:
        receipt = Receipt.of(result, kind, Audience.PAYER, duplicate=said.is_duplicate, refund=said.refund)
    except BadField:
        return None
    if signed_of(receipt) != said:
        return None
    end = receipt.order[-_SHOWN:] if len(receipt.order) > 2 * _SHOWN else receipt.order[-_SHOWN // 2 :]
    return Ticket(
        receipt,
        f"…{end}",
        None if said.refund else result.given_back,
        is_whole=result.given_back == receipt.total,
        is_settled=_is_settled(result.refunds, said.refund),
    )


def _is_settled(refunds: tuple[RefundResult, ...], wanted: str) -> bool:
    return all(refund.status == "done" for refund in refunds if refund.id == wanted)


def _page(verdict: Verdict, status: int, ticket: Ticket | None = None) -> Response:
    page = render_template(
        "page/verify.html",
        payment=None,
        page="verify",
        base="",
        language=g.language,
        languages=[(code, name, f"?lang={code}") for code, name in LANGUAGES],
        test_mode=False,
        verdict=verdict.value,
        ticket=ticket,
    )
    return Response(page, status=status)
