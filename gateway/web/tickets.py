"""The ticket by its signed link: a page, and the same as PDF at the link with ``.pdf``."""

from flask import Blueprint, Response, g, render_template
from markupsafe import Markup

from gateway.core.errors import NotFound
from gateway.core.states import Status
from gateway.receipts import Audience, Receipt
from gateway.receipts.codes import code_svg
from gateway.receipts.content import language_of
from gateway.receipts.words import WORDS, direction
from gateway.web import services
from gateway.web.languages import choose_language

tickets = Blueprint("tickets", __name__, url_prefix="/t")


@tickets.get("/<token>.pdf")
def ticket_pdf(token: str) -> Response:
    """Give the ticket as a PDF file."""
    receipt, language = _receipt(token)
    response = Response(services().press.ticket(receipt, language), mimetype="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="{receipt.file_name}"'
    return response


@tickets.get("/<token>")
def ticket(token: str) -> Response:
    """Show the ticket as a page."""
    receipt, language = _receipt(token)
    g.language = language
    check_url = services().press.check_url(receipt)
    page = render_template(
        "ticket/ticket.html",
        receipt=receipt,
        words=WORDS[language],
        language=language,
        direction=direction(language),
        pdf_url=f"/t/{token}.pdf",
        code=Markup(code_svg(check_url, WORDS[language]["check_alt"])),  # noqa: S704 - drawn here, of our own words
        check_url=check_url,
        test_mode=receipt.test,
    )
    return Response(page)


def _receipt(token: str) -> tuple[Receipt, str]:
    """Find what a link shows, and in which language: the one this payer chose on the pages, else the payment's."""
    known = services()
    payment, audience, refund, duplicate = known.links.ticket_of(token)
    result = known.checkout.opening.told(payment)
    if result.status is not Status.PAID:
        raise NotFound("no ticket without a payment")
    kind = "payment.refunded" if refund else "payment.succeeded"
    receipt = Receipt.of(result, kind, audience, duplicate=duplicate, refund=refund)
    language = language_of(result, audience)
    if audience == Audience.PAYER:
        choose_language(language)
        language = g.language
    return receipt, language
