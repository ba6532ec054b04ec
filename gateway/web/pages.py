"""Payers come in here. The state of the payment decides the page, never the address; every post ends in a redirect.

A view parses, calls one verb of the checkout, and renders or redirects. When somebody was faster (two tabs, a double
click, the back button) the verb says so and the payer is shown where things stand.
"""

import gc
import logging
from collections.abc import Callable
from concurrent.futures import TimeoutError as StillWorking
from dataclasses import asdict
from functools import partial

from flask import Blueprint, Response, g, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.checkout import Intent, Situation, Stage
from gateway.core.errors import CardRefused, WrongStatus
from gateway.core.limits import network_of
from gateway.steps.challenge import ChallengeForm
from gateway.web import services
from gateway.web.again import keep, recall
from gateway.web.clock import Clock
from gateway.web.endings import allow_leaving, departure_of, wait_until_told
from gateway.web.languages import choose_language
from gateway.web.stages import card_form, challenge_page, common, stage_page
from gateway.web.visitors import guard

log = logging.getLogger(__name__)
pages = Blueprint("pages", __name__, url_prefix="/p")
pages.before_request(guard)

# What a refused card page shows again of what was typed.
_WRITTEN_BACK = ("expiry", "brand", "email")

# Longer than this and the payer is sent to the waiting page, while the bank is still being asked.
_PATIENCE_SECONDS = 4.0


@pages.before_request
def arrive() -> None:
    """Speak the payer's language from here on.

    What answers for a window must say whose it is: a redirect, too, cuts it off its opener.
    """
    result = _arrived().result
    g.is_popup = services().dialects[result.dialect].popup
    choose_language(result.language)


def _arrived() -> Situation:
    """Give where things stood when the request came in; a verb may have changed it since."""
    situation: Situation = g.situation
    return situation


@pages.get("/<token>")
def page(token: str) -> AnyResponse:
    """Show where the payment stands."""
    situation = _arrived()
    if situation.stage is Stage.CHALLENGE:
        return redirect(f"/p/{token}/challenge", code=303)
    return stage_page(situation, token)


@pages.get("/<token>/challenge")
def challenge(token: str) -> AnyResponse:
    """Show the bank's code page."""
    situation = _arrived()
    if situation.stage is not Stage.CHALLENGE:
        return _home(token)
    form = ChallengeForm()
    recall(situation.result.id, form)
    return challenge_page(situation, token, form)


@pages.get("/<token>/state")
def state(token: str) -> Response:  # noqa: ARG001 - the guard has read it
    """Tell the waiting page's script which page is due."""
    return jsonify(page=_arrived().stage.value)


@pages.get("/<token>/leave")
def leave(token: str) -> AnyResponse:
    """Bring the payer back to the merchant's site when the last page has run out of time."""
    return _way_out(token, _arrived())


@pages.post("/<token>/brands")
def brands(token: str) -> Response:  # noqa: ARG001 - the guard has read it
    """Tell the card page's script which brands a card that begins so may carry; nothing is kept."""
    limits = _arrived().result.schemes
    digits = request.form.get("bin", "")[:8]
    known = services().checkout.desk.acquirer.schemes(digits) if digits.isascii() and digits.isdigit() else ()
    return jsonify(schemes=[scheme for scheme in known if not limits or scheme in limits])


@pages.post("/<token>")
def act(token: str) -> AnyResponse:
    """Do what the pressed button says."""
    payment = services().links.payment_of(token)
    action = request.form.get("action", "pay")
    if action in ("pay", "extend"):
        reply = _pay(token, payment) if action == "pay" else _extend(token, payment)
        # What held the card may sit in reference cycles; freed now, it is overwritten now.
        reply.call_on_close(gc.collect)
        return reply
    if action == "return":
        return _leave(token, payment)
    verbs: dict[str, Callable[[str], None]] = {
        "cancel": services().checkout.paying.cancel,
        "retry": services().checkout.paying.change_card,
        "confirm": partial(_authorise, shown=request.form.get("attempt", "")),
    }
    if action in verbs:
        _calmly(verbs[action], payment)
        wait_until_told(_arrived().result)
    return _home(token)


@pages.post("/<token>/challenge")
def answer(token: str) -> AnyResponse:
    """Take the code, or what else the code page offers."""
    known, payment = services(), services().links.payment_of(token)
    action = request.form.get("action", "confirm")
    if action == "resend":
        _calmly(known.checkout.paying.resend_code, payment)
    elif action == "cancel":
        _calmly(known.checkout.paying.cancel, payment)
        wait_until_told(_arrived().result)
    elif action == "retry":
        _calmly(known.checkout.paying.change_card, payment)
    elif action == "extend":
        return _extend(token, payment)
    else:
        return _take_code(token, payment)
    return _home(token)


def _take_code(token: str, payment: str) -> AnyResponse:
    known, form = services(), ChallengeForm()
    situation = _arrived()
    if situation.stage is not Stage.CHALLENGE:
        return _home(token)
    if not form.validate():
        keep(payment, form)
        return _home(token)
    merchant = known.settings.merchants.get(situation.result.request.merchant)
    if merchant is None or merchant.always_review:
        _calmly(lambda payment: known.checkout.paying.answer_challenge(payment, form.digits), payment)
    else:
        _calmly(lambda payment: _ask(payment, known.checkout.paying.pay_by_code(payment, form.digits)), payment)
        wait_until_told(situation.result)
    return _home(token)


def _pay(token: str, payment: str) -> AnyResponse:
    known, situation = services(), _arrived()
    if situation.stage is not Stage.CARD:
        return _home(token)
    form = card_form(known, situation.result)
    if not form.validate():
        keep(payment, form, _WRITTEN_BACK)
        return _home(token)
    try:
        asks_for_code = known.checkout.paying.enter_card(
            payment,
            form.entry(),
            scheme=form.scheme,
            email=form.address,
            language=g.language,
            origin=network_of(request.remote_addr or ""),
        )
        # Straight to the bank's page: a redirect that only redirects again is a round trip of the payer's.
        return _home(token, "/challenge" if asks_for_code else "")
    except CardRefused as refusal:
        form.refuse(refusal)
        keep(payment, form, _WRITTEN_BACK)
    except WrongStatus:
        log.info("card came too late", extra={"payment": payment})
    return _home(token)


def _extend(token: str, payment: str) -> AnyResponse:
    """Give the payer more time, and lose nothing of what was typed but number and codes."""
    _calmly(services().checkout.extending.extend, payment)
    situation = services().checkout.paying.show(payment)
    if request.accept_mimetypes.best == "application/json":
        clock = Clock.of(situation.time_limit)
        return jsonify(page=situation.stage.value, **(asdict(clock) if clock else {}))
    if situation.stage is Stage.CARD:
        form = card_form(services(), situation.result)
        # A payer may have typed the number into another field: that must not be kept.
        form.validate()
        keep(payment, form, _WRITTEN_BACK, with_faults=False)
    return _home(token)


def _authorise(payment: str, shown: str) -> None:
    """Ask the bank for the money of the card that waits for it, and was shown."""
    _ask(payment, services().checkout.settling.intend(payment, shown=shown))


def _ask(payment: str, intent: Intent | None) -> None:
    """Ask the bank, for as long as a payer waits without wondering; the asking goes on behind the waiting page.

    The intent was written here and now: whoever waits for a free thread is shown the waiting page too.
    """
    if intent is None:
        return
    future = services().background.submit(services().checkout.settling.ask, intent)
    try:
        future.result(timeout=_PATIENCE_SECONDS)
    except StillWorking:
        log.info("acquirer is slow", extra={"payment": payment})


def _leave(token: str, payment: str) -> AnyResponse:
    """Leave for the merchant's site; leaving a refusal gives the payment up."""
    if _arrived().can_retry:
        _calmly(services().checkout.paying.cancel, payment)
        wait_until_told(_arrived().result)
    return _way_out(token, services().checkout.paying.show(payment))


def _way_out(token: str, situation: Situation) -> AnyResponse:
    departure = departure_of(situation.result) if not situation.result.is_live else None
    if departure is None:
        return _home(token)
    allow_leaving(departure)
    if departure.method == "GET":
        return redirect(departure.url, code=303)
    context = common(situation.result, "leaving", f"/p/{token}")
    return Response(render_template("page/leaving.html", departure=departure, **context))


def _calmly(verb: Callable[[str], object], payment: str) -> None:
    """Do a verb; when somebody was faster, the page of the real state says all there is to say."""
    try:
        verb(payment)
    except WrongStatus as error:
        log.info("somebody was faster", extra={"payment": payment, "reason": str(error)})


def _home(token: str, page: str = "") -> AnyResponse:
    return redirect(f"/p/{token}{page}", code=303)
