"""What the portals show: invoices, one invoice, the history, one payment, the confirmations. Paying is in ``paying.py``."""

import re
from datetime import UTC, datetime

import confirmations
import ledger
import payments
import qr
from desk import the_desk
from flask import Blueprint, abort, redirect, render_template, request, url_for
from invoices import Invoice, draft_invoices
from portals import PORTALS, Portal
from werkzeug.wrappers import Response

pages = Blueprint("pages", __name__)

# With the slug in the address, every view serves every skin.
SKIN = f"/<any({', '.join(PORTALS)}):slug>"

# The lists of sistec's invoices, as its manual names them.
LISTS = {"a-regler": "Non réglées", "reglees": "Réglées", "tresorerie": "En trésorerie"}


@pages.get("/")
def show_chooser() -> str:
    return render_template("chooser.html", portals=PORTALS.values(), guichet=the_desk().guichet.origin)


@pages.get(f"{SKIN}/")
def show_invoices(slug: str) -> str:
    return invoices_page(PORTALS[slug])


@pages.get(f"{SKIN}/invoices/<int:key>")
def show_invoice(slug: str, key: int) -> str:
    portal = PORTALS[slug]
    invoice = _invoice(portal, key)
    link = the_desk().settings.address + url_for("paying.show_scanned", token=_token(invoice)) if slug == "jvs" else ""
    side, path = qr.draw(link) if link else (0, "")
    return render_template("invoice.html", portal=portal, invoice=invoice, link=link, side=side, path=path)


@pages.get(f"{SKIN}/payments/<key>")
def show_payment(slug: str, key: str) -> str | Response:
    portal = PORTALS[slug]
    with the_desk().ledger.transaction() as db:
        payment = payments.find_payment(db, key)
        if payment is None or payment.portal != slug:
            abort(404)
        events = confirmations.list_events(db, portal, payment.reference)
    if payment.state == "draft":
        return redirect(url_for("paying.show_recap", slug=slug, reference=payment.reference), 303)
    checked = the_desk().speaker(portal).checked
    return render_template("payment.html", portal=portal, payment=payment, events=events, checked=checked)


@pages.get(f"{SKIN}/history")
def show_history(slug: str) -> str:
    portal = PORTALS[slug]
    with the_desk().ledger.transaction() as db:
        made = payments.list_payments(db, portal)
        last = {one.reference: next(iter(confirmations.list_events(db, portal, one.reference)), None) for one in made}
    return render_template("history.html", portal=portal, payments=made, last=last)


@pages.get(f"{SKIN}/feed")
def show_feed(slug: str) -> str:
    with the_desk().ledger.transaction() as db:
        events = confirmations.list_events(db, PORTALS[slug])
    return render_template("feed.html", portal=PORTALS[slug], events=events)


@pages.get("/sistec/popup")
def show_popup_test() -> str:
    return render_template("popup.html", portal=PORTALS["sistec"])


@pages.post("/sistec/switches")
def set_switches() -> Response:
    """Do what the invoicing service does at its own desk."""
    with the_desk().ledger.transaction() as db:
        for name in (ledger.SUSPENDED, ledger.TWO_HOURS):
            ledger.set_switch(db, PORTALS["sistec"], name, on=request.form.get(name) == "on")
    return redirect(url_for(".show_invoices", slug="sistec"), 303)


@pages.post(f"{SKIN}/restart")
def restart(slug: str) -> Response:
    """Put the present invoices away and send new ones, with new numbers; the history stays."""
    portal = PORTALS[slug]
    with the_desk().ledger.transaction() as db:
        ledger.archive_invoices(db, portal)
        ledger.add_invoices(db, portal, draft_invoices(portal, datetime.now(UTC).date()))
        for name in (ledger.SUSPENDED, ledger.TWO_HOURS):
            ledger.set_switch(db, portal, name, on=False)
    return redirect(url_for(".show_invoices", slug=slug), 303)


def invoices_page(portal: Portal, **told: str) -> str:
    """Write the home page of a portal.

    :param told: what was typed and what was wrong with it: ``fault``, ``top_up_fault``, ``account``, ``typed``, ...
    """
    with the_desk().ledger.transaction() as db:
        listed = ledger.list_invoices(db, portal)
        balances = {account: payments.account_balance(db, portal, account) for account in portal.accounts}
        switches = {name: ledger.switch(db, portal, name) for name in (ledger.SUSPENDED, ledger.TWO_HOURS)}
    due = [invoice for invoice in listed if invoice.state == "due"]
    return render_template(
        f"{portal.slug}.html",
        portal=portal,
        invoices=listed,
        due_count=len(due),
        due_cents=sum(invoice.due_cents for invoice in due),
        balances=balances,
        switches=switches,
        lists=LISTS,
        shown=_list_of(request.args.get("liste", "")),
        today=datetime.now(UTC),
        told=told,
    )


def scanned_invoice(token: str) -> Invoice:
    """Find the invoice of a printed code; 404 for a code nobody printed."""
    match = re.fullmatch(r"([0-9]{1,9})-[A-Za-z0-9_-]{16}", token, re.ASCII)
    if match is None:
        abort(404)
    invoice = _invoice(PORTALS["jvs"], int(match[1]))
    if token != _token(invoice):
        abort(404)
    return invoice


def _invoice(portal: Portal, key: int) -> Invoice:
    with the_desk().ledger.transaction() as db:
        invoice = ledger.find_invoice(db, portal, key)
    if invoice is None:
        abort(404)
    return invoice


def _token(invoice: Invoice) -> str:
    """Make the unguessable part of a printed address: it must last as long as the paper does."""
    with the_desk().ledger.transaction() as db:
        return f"{invoice.id}-{ledger.paper_mark(db, invoice.number)}"


def _list_of(name: str) -> str:
    return name if name in LISTS else next(iter(LISTS))
