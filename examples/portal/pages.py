"""The pages of both skins, and the way to Guichet and back."""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import confirmations
import ledger
from desk import the_desk
from flask import Blueprint, abort, redirect, render_template, request, url_for
from guichet_client import BrowserReturn, GuichetRefused, GuichetUnreachable, KeyMissing, NotVerified
from invoices import PORTALS, Portal, draft_invoices
from werkzeug.wrappers import Response

log = logging.getLogger("portal")
pages = Blueprint("pages", __name__)

# What a top-up may be, in cents.
TOP_UP_MIN, TOP_UP_MAX = 500, 10_000

# With the slug in the address, every view serves both skins.
_SKIN = f"/<any({', '.join(PORTALS)}):slug>"


@pages.get("/")
def show_chooser() -> str:
    return render_template("chooser.html", portals=PORTALS.values(), guichet=the_desk().guichet.origin)


@pages.get(f"{_SKIN}/")
def show_invoices(slug: str) -> str:
    return _invoices_page(PORTALS[slug])


@pages.post(f"{_SKIN}/pay")
def pay(slug: str) -> Response | tuple[str, int]:
    portal = PORTALS[slug]
    chosen = [int(number) for number in request.form.getlist("invoice") if re.fullmatch(r"[0-9]{1,9}", number)]
    try:
        with the_desk().ledger.transaction() as db:
            payment = ledger.begin_payment(db, portal, chosen)
    except ledger.NotPayable as refusal:
        if refusal.checkout_url:
            return redirect(refusal.checkout_url, 303)
        return _invoices_page(portal, fault=refusal.reason), 409
    return _send_to_guichet(portal, payment)


@pages.post("/mairie/top-up")
def top_up() -> Response | tuple[str, int]:
    portal = PORTALS["mairie"]
    account, typed = request.form.get("account", ""), request.form.get("amount", "")
    if account not in portal.accounts:
        abort(400, "compte inconnu")
    cents = _cents(typed)
    if not TOP_UP_MIN <= cents <= TOP_UP_MAX:
        fault = "Indiquez un montant entre 5 et 100 euros, par exemple 20 ou 12,50."
        return _invoices_page(portal, top_up_fault=fault, account=account, typed=typed), 422
    with the_desk().ledger.transaction() as db:
        payment = ledger.begin_top_up(db, portal, account, cents)
    return _send_to_guichet(portal, payment)


@pages.get(f"{_SKIN}/return")
def come_back(slug: str) -> Response | tuple[str, int]:
    """Read what the browser brings, then leave the address with the token behind."""
    portal, pay_id = PORTALS[slug], request.args.get("payment", "")
    try:
        result = the_desk().guichet.read_return(request.args.get("result", ""), frozenset(portal.merchants))
    except GuichetUnreachable as error:
        log.warning("return not checked: %s", error)
        return redirect(url_for(".show_payment", slug=slug, key=pay_id) if pay_id else _home(slug), 303)
    except NotVerified as error:
        log.warning("return refused: %s", error)
        return render_template("return_refused.html", portal=portal), 400
    if not _keep_return(result, pay_id):
        return render_template("return_refused.html", portal=portal), 400
    return redirect(url_for(".show_payment", slug=slug, key=result.reference), 303)


@pages.get(f"{_SKIN}/payments/<key>")
def show_payment(slug: str, key: str) -> str:
    portal = PORTALS[slug]
    with the_desk().ledger.transaction() as db:
        payment = ledger.find_payment(db, key)
        if payment is None or payment.portal != slug:
            abort(404)
        events = confirmations.list_events(db, portal, payment.reference)
    return render_template("payment.html", portal=portal, payment=payment, events=events)


@pages.get(f"{_SKIN}/history")
def show_history(slug: str) -> str:
    with the_desk().ledger.transaction() as db:
        payments = ledger.list_payments(db, PORTALS[slug])
    return render_template("history.html", portal=PORTALS[slug], payments=payments)


@pages.get(f"{_SKIN}/feed")
def show_feed(slug: str) -> str:
    with the_desk().ledger.transaction() as db:
        events = confirmations.list_events(db, PORTALS[slug])
    return render_template("feed.html", portal=PORTALS[slug], events=events)


@pages.post(f"{_SKIN}/restart")
def restart(slug: str) -> Response:
    """Put the present invoices away and send new ones, with new numbers; the history stays."""
    portal = PORTALS[slug]
    with the_desk().ledger.transaction() as db:
        ledger.archive_invoices(db, portal)
        ledger.add_invoices(db, portal, draft_invoices(portal, datetime.now(UTC).date()))
    return redirect(_home(slug), 303)


def _invoices_page(portal: Portal, **told: str) -> str:
    with the_desk().ledger.transaction() as db:
        invoices = ledger.list_invoices(db, portal)
        balances = {account: ledger.account_balance(db, portal, account) for account in portal.accounts}
    due = [invoice for invoice in invoices if invoice.state == "due"]
    return render_template(
        f"{portal.slug}.html",
        portal=portal,
        invoices=invoices,
        due_count=len(due),
        due_cents=sum(invoice.due_cents for invoice in due),
        balances=balances,
        told=told,
    )


def _send_to_guichet(portal: Portal, payment: ledger.Payment) -> Response | tuple[str, int]:
    claims = _claims(portal, payment)
    try:
        opened = the_desk().guichet.open_payment(portal.credential, claims)
    except (GuichetRefused, GuichetUnreachable, KeyMissing) as error:
        with the_desk().ledger.transaction() as db:
            ledger.note_not_opened(db, payment.reference)
        log.warning("payment %s not opened: %s", payment.reference, error)
        sent = json.dumps(claims, ensure_ascii=False, indent=2)
        kind = type(error).__name__
        return render_template("not_opened.html", portal=portal, kind=kind, error=error, sent=sent), 502
    with the_desk().ledger.transaction() as db:
        ledger.note_opened(
            db,
            payment.reference,
            pay_id=opened.id,
            checkout_url=opened.checkout_url,
            expires_at=opened.expires_at,
        )
    return redirect(opened.checkout_url, 303)


def _claims(portal: Portal, payment: ledger.Payment) -> Mapping[str, object]:
    address = the_desk().settings.address
    return {
        "iss": payment.merchant,
        "amount": payment.amount_cents,
        "currency": "EUR",
        "reference": payment.reference,
        "email": portal.email,
        "label": payment.label,
        "kind": payment.kind,
        "lines": [
            {"reference": line.reference, "label": line.label, "amount": line.amount_cents} for line in payment.lines
        ],
        "payer": {"name": portal.payer, "phone": portal.phone},
        "beneficiary": payment.beneficiary,
        "fiscal_year": str(payment.created_at.year),
        "language": "fr",
        "return_url": f"{address}/{portal.slug}/return",
        "notify_url": f"{address}/confirmations",
        "metadata": {"portal": portal.slug},
    }


def _keep_return(result: BrowserReturn, pay_id: str) -> bool:
    if result.payment != pay_id:
        return False
    with the_desk().ledger.transaction() as db:
        return ledger.note_return(db, result.reference, pay_id, result.status)


def _cents(typed: str) -> int:
    """Read an amount in euros; 0 for what is not one."""
    match = re.fullmatch(r"([0-9]{1,4})(?:[.,]([0-9]{1,2}))?\s*€?", typed.strip(), re.ASCII)
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) if match else 0


def _home(slug: str) -> str:
    return url_for(".show_invoices", slug=slug)
