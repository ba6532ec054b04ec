"""Payers come in here with an address that was printed: a summary of what they would pay, and one button.

Looking opens nothing: scanners of mails and previews of messages look at links too. The button's form carries a token that
only a browser which was shown the page has.
"""

from dataclasses import dataclass

from flask import Blueprint, Response, g, redirect, render_template, session
from werkzeug.wrappers import Response as AnyResponse

from gateway.checkout import LinkStanding, LinkState
from gateway.core.errors import NotFound
from gateway.core.languages import LANGUAGES
from gateway.core.payment import Payee, PaymentRequest
from gateway.steps.phrases import gettext as _
from gateway.steps.review import ReviewForm
from gateway.web import services
from gateway.web.errors import error_page
from gateway.web.languages import choose_language
from gateway.web.rendering import template_names
from gateway.web.visitors import refuse_repeated

linked = Blueprint("linked", __name__)
linked.before_request(refuse_repeated)

# Gone for good, or closed for now (RFC 9110 sections 15.5.11 and 15.5.4); whatever else it says, the page is there.
_STATUS = {LinkState.PAST: 410, LinkState.REVOKED: 410, LinkState.CLOSED: 403}


@dataclass(frozen=True, slots=True)
class _Invoice:
    """What the pages' frame and slip show of a payment, before there is one."""

    payee: Payee
    request: PaymentRequest
    id: str = ""


# QR codes hold the address in upper case.
@linked.get("/l/<token>")
@linked.get("/L/<token>")
def look(token: str) -> AnyResponse:
    """Show what the link asks for and how it stands."""
    standing = services().checkout.linking.show(services().links.paylink_of(token), _browser())
    return _page(standing, token)


@linked.post("/l/<token>")
@linked.post("/L/<token>")
def pay(token: str) -> AnyResponse:
    """Open the payment, or go on with it; when it cannot be, the link's page says why."""
    payment = services().checkout.linking.open(services().links.paylink_of(token), _browser())
    return redirect(f"/p/{services().links.page_token(payment)}" if payment else f"/l/{token}", code=303)


@linked.errorhandler(NotFound)
def _unknown(_error: NotFound) -> Response:
    message = _(
        "A character of it is missing or was changed. Scan the code again, or compare the address with the one on your"
        " bill."
    )
    return error_page(404, _("This address leads to no bill"), message, "link_not_found")


def _browser() -> str:
    """Name this browser as the payers' pages know it; empty for one that has been to none."""
    return str(session.get("browser", ""))


def _page(standing: LinkStanding, token: str) -> Response:
    terms, payee = standing.link.terms, standing.link.payee
    choose_language(terms.request.language)
    today = services().now().astimezone(services().checkout.desk.zone).date()
    # Within the days of grace the printed day is not held up to the payer.
    is_in_time = terms.request.pay_before is not None and today <= terms.request.pay_before
    page = render_template(
        template_names("page/link.html", terms.request.merchant),
        payment=_Invoice(payee, terms.request),
        page=f"link-{standing.state}",
        base=f"/l/{token}",
        language=g.language,
        languages=[(code, name, f"?lang={code}") for code, name in LANGUAGES],
        test_mode=payee.mode != "production",
        form=ReviewForm(),
        standing=standing,
        is_in_time=is_in_time,
    )
    return Response(page, _STATUS.get(standing.state, 200))
