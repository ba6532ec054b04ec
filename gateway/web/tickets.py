"""The ticket by its signed link: a page, and the same as PDF at the link with ``.pdf``."""

from flask import Blueprint, Response, g, render_template

from gateway.core.errors import NotFound
from gateway.core.states import Status
from gateway.receipts.content import Receipt
from gateway.receipts.words import WORDS
from gateway.web import services

tickets = Blueprint("tickets", __name__, url_prefix="/t")


@tickets.get("/<token>.pdf")
def ticket_pdf(token: str) -> Response:
    """Give the ticket as a PDF file."""
    # fpdf2 takes most of a second to load; only a process that makes a ticket should pay for it.
    from gateway.receipts import pdf

    receipt, language = _receipt(token)
    response = Response(pdf.render(receipt, language), mimetype="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="{receipt.file_name}"'
    return response


@tickets.get("/<token>")
def ticket(token: str) -> Response:
    """Show the ticket as a page."""
    receipt, language = _receipt(token)
    g.language = language
    page = render_template(
        "ticket/ticket.html",
        receipt=receipt,
        words=WORDS[language],
        language=language,
        pdf_url=f"/t/{token}.pdf",
        test_mode=receipt.test,
    )
    return Response(page)


def _receipt(token: str) -> tuple[Receipt, str]:
    known = services()
    payment, audience, refund, duplicate = known.links.ticket_of(token)
    result = known.checkout.opening.told(payment)
    if result.status is not Status.PAID:
        raise NotFound("no ticket without a payment")
    kind = "payment.refunded" if refund else "payment.succeeded"
    receipt = Receipt.of(result, kind, audience, duplicate=duplicate, refund=refund)
    language = result.request.language if result.request.language in WORDS else "fr"
    return receipt, language
