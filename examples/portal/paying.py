"""The way to Guichet and back: what is chosen, the recap page, the departure, the return."""

import logging
import re
from collections.abc import Mapping

import confirmations
import payments
from desk import the_desk
from endpoints import incoming
from flask import Blueprint, abort, redirect, render_template, request, url_for
from ledger import list_invoices
from pages import SKIN, invoices_page, scanned_invoice
from payments import NotPayable, Payment, Wish
from portals import PORTALS, Portal
from proof import GuichetUnreachable, NotVerified
from speaking import CameBack, NotOpened
from werkzeug.wrappers import Response

log = logging.getLogger("portal")
paying = Blueprint("paying", __name__)

# What a payer may type, in cents.
TOP_UP_MIN, TOP_UP_MAX = 500, 10_000
DEBT_MIN = 100
_BOUNDS = "Indiquez un montant entre 5 et 100 euros, par exemple 20 ou 12,50."

COMMENT_LENGTH_MAX = 200
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]{2,}")
_EMAIL_LENGTH_MAX = 80

Page = str | Response | tuple[str, int]


@paying.post(f"{SKIN}/pay")
def pay(slug: str) -> Page:
    """Leave for Guichet with a payment that was summed up before, or straight with the invoices that are ticked."""
    portal = PORTALS[slug]
    reference = request.form.get("payment", "")
    try:
        with the_desk().ledger.transaction() as db:
            if not reference:
                reference = payments.draft_debts(db, portal, _chosen(), Wish(portal.email)).reference
            payment = payments.take(db, portal, reference)
    except NotPayable as refusal:
        if refusal.checkout_url:
            return redirect(refusal.checkout_url, 303)
        return invoices_page(portal, fault=refusal.reason), 409
    return _leave(portal, payment)


@paying.post(f"{SKIN}/recap")
def sum_up(slug: str) -> Page:
    """Prepare a payment and show it once more before anything leaves."""
    portal = PORTALS[slug]
    wish = _wish(portal)
    if faults := _faults(wish):
        return invoices_page(portal, **_typed(), **faults), 422
    return _prepare(portal, _chosen(), wish)


@paying.post("/alise/credit")
def credit() -> Page:
    """Read alise's form: a payment in advance, or part of a debt, of an amount the payer types."""
    portal, account, kind = PORTALS["alise"], request.form.get("account", ""), request.form.get("kind", "")
    if account not in portal.accounts or kind not in ("top_up", "debt"):
        abort(400, "compte ou type de règlement inconnu")
    wish = _wish(portal, cents_of(request.form.get("amount", "")))
    if faults := {**_faults(wish), **_amount_faults(kind, wish.amount_cents)}:
        return invoices_page(portal, **_typed(), **faults), 422
    if kind == "debt":
        return _prepare(portal, _first_owed(portal, account), wish)
    with the_desk().ledger.transaction() as db:
        payment = payments.draft_top_up(db, portal, account, wish)
    return redirect(url_for(".show_recap", slug="alise", reference=payment.reference), 303)


@paying.post(f"{SKIN}/top-up")
def top_up(slug: str) -> Page:
    portal = PORTALS[slug]
    account, typed = request.form.get("account", ""), request.form.get("amount", "")
    if account not in portal.accounts:
        abort(400, "compte inconnu")
    cents = cents_of(typed)
    if not TOP_UP_MIN <= cents <= TOP_UP_MAX:
        return invoices_page(portal, top_up_fault=_BOUNDS, account=account, typed=typed), 422
    with the_desk().ledger.transaction() as db:
        draft = payments.draft_top_up(db, portal, account, Wish(portal.email, amount_cents=cents))
        payment = payments.take(db, portal, draft.reference)
    return _leave(portal, payment)


@paying.get(f"{SKIN}/recap/<reference>")
def show_recap(slug: str, reference: str) -> Page:
    payment = _own(slug, reference)
    if payment.state != "draft":
        return redirect(url_for("pages.show_payment", slug=slug, key=reference), 303)
    return render_template("recap.html", portal=PORTALS[slug], payment=payment)


@paying.get(f"{SKIN}/payments/<reference>/go")
def show_form(slug: str, reference: str) -> Page:
    """Show the form once more that leads to Guichet."""
    payment = _own(slug, reference)
    if not payment.may_resume or not payment.form:
        return redirect(url_for("pages.show_payment", slug=slug, key=reference), 303)
    return _form_page(PORTALS[slug], payment, payment.form)


@paying.get("/jvs/q/<token>")
def show_scanned(token: str) -> str:
    """Show the invoice behind a printed code, on the phone that read it."""
    return render_template("scanned.html", portal=PORTALS["jvs"], invoice=scanned_invoice(token))


@paying.get(f"{SKIN}/return")
@paying.get(f"{SKIN}/return/<reference>")
def come_back(slug: str, reference: str = "") -> Page:
    """Read what the browser brings, then leave the address with the proof behind."""
    portal = PORTALS[slug]
    payment = _own(slug, reference) if reference else None
    key = reference or request.args.get("payment", "")
    try:
        result = the_desk().speaker(portal).come_back(portal, incoming(), payment)
    except GuichetUnreachable as error:
        log.warning("return not checked: %s", error)
        return redirect(url_for("pages.show_payment", slug=slug, key=key) if key else _home(slug), 303)
    except NotVerified as error:
        log.warning("return refused: %s", error)
        return render_template("return_refused.html", portal=portal), 400
    if not _keep_return(portal, result, key):
        return render_template("return_refused.html", portal=portal), 400
    return redirect(url_for("pages.show_payment", slug=slug, key=result.reference), 303)


def cents_of(typed: str) -> int:
    """Read an amount in euros; 0 for what is not one."""
    match = re.fullmatch(r"([0-9]{1,4})(?:[.,]([0-9]{1,2}))?\s*€?", typed.strip(), re.ASCII)
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) if match else 0


def _chosen() -> list[int]:
    return [int(number) for number in request.form.getlist("invoice") if re.fullmatch(r"[0-9]{1,9}", number)]


def _first_owed(portal: Portal, account: str) -> list[int]:
    pupil = portal.accounts[account].beneficiary
    with the_desk().ledger.transaction() as db:
        owed = [one.id for one in list_invoices(db, portal) if (one.beneficiary, one.state) == (pupil, "due")]
    return owed[:1]


def _prepare(portal: Portal, chosen: list[int], wish: Wish) -> Page:
    try:
        with the_desk().ledger.transaction() as db:
            payment = payments.draft_debts(db, portal, chosen, wish)
    except NotPayable as refusal:
        if refusal.checkout_url:
            return redirect(refusal.checkout_url, 303)
        return invoices_page(portal, **_typed(), fault=refusal.reason), 409
    return redirect(url_for(".show_recap", slug=portal.slug, reference=payment.reference), 303)


def _wish(portal: Portal, amount_cents: int = 0) -> Wish:
    email, comment = (" ".join(request.form.get(name, "").split()) for name in ("email", "comment"))
    return Wish(email or portal.email, comment, amount_cents)


def _typed() -> dict[str, str]:
    """Give the form back as it was filled."""
    given = {name: request.form.get(name, "") for name in ("account", "kind", "email", "comment")}
    return {**given, "typed": request.form.get("amount", "")}


def _faults(wish: Wish) -> dict[str, str]:
    faults = {}
    if not _EMAIL.fullmatch(wish.email) or len(wish.email) > _EMAIL_LENGTH_MAX:
        faults["email_fault"] = "Indiquez une adresse comme nom@exemple.fr."
    if len(wish.comment) > COMMENT_LENGTH_MAX:
        faults["fault"] = f"Le commentaire dépasse {COMMENT_LENGTH_MAX} caractères."
    return faults


def _amount_faults(kind: str, cents: int) -> dict[str, str]:
    if kind == "debt":
        return (
            {} if cents >= DEBT_MIN else {"top_up_fault": "Indiquez un montant d’au moins 1 euro, par exemple 158,50."}
        )
    return {} if TOP_UP_MIN <= cents <= TOP_UP_MAX else {"top_up_fault": _BOUNDS}


def _leave(portal: Portal, payment: Payment) -> Page:
    try:
        started = the_desk().speaker(portal).start(portal, payment)
    except NotOpened as error:
        with the_desk().ledger.transaction() as db:
            payments.note_not_opened(db, payment.reference)
        log.warning("payment %s not opened: %s", payment.reference, error)
        return render_template("not_opened.html", portal=portal, error=error), 502
    departure = started.departure
    again = url_for(".show_form", slug=portal.slug, reference=payment.reference)
    with the_desk().ledger.transaction() as db:
        payments.note_opened(
            db,
            payment.reference,
            pay_id=started.pay_id,
            checkout_url=again if departure.fields else departure.url,
            form={"action": departure.url, **departure.fields} if departure.fields else {},
            expires_at=started.expires_at,
        )
    if departure.fields:
        return redirect(again, 303)
    return redirect(departure.url, 303)


def _form_page(portal: Portal, payment: Payment, form: Mapping[str, str]) -> str:
    fields = {name: text for name, text in form.items() if name != "action"}
    return render_template("go.html", portal=portal, payment=payment, action=form["action"], fields=fields)


def _keep_return(portal: Portal, result: CameBack, key: str) -> bool:
    with the_desk().ledger.transaction() as db:
        payment = payments.find_payment(db, key)
        if payment is None or payment.portal != portal.slug or payment.reference != result.reference:
            return False
        payments.note_return(db, payment.reference, result.status)
        if result.proof:
            confirmations.record_confirmation(db, portal, result.proof)
        return True


def _own(slug: str, reference: str) -> Payment:
    with the_desk().ledger.transaction() as db:
        payment = payments.find_payment(db, reference)
    if payment is None or payment.portal != slug:
        abort(404)
    return payment


def _home(slug: str) -> str:
    return url_for("pages.show_invoices", slug=slug)
