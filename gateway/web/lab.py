"""The 3-D Secure lab, mounted in test mode only: a payment followed from beside, and what the bank is to do with it.

A page of ours may stand in no frame, so the lab is a second window: it lists the payments under way, shows of one of them
its SMS as a telephone would and its history, and takes wishes for the simulated bank. It looks only: what it shows is
read without opening, ending or hastening anything. Unlike the rest of the test kit its forms carry a token, because they
change what becomes of a payment.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType

from flask import Blueprint, Response, abort, g, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from gateway.acquirers.wishes import FAMILIES, Wishes, paying
from gateway.channels.inbox import Inbox, InboxMessage
from gateway.checkout import Situation
from gateway.checkout.watching import Watching
from gateway.core.challenge import CHALLENGE_LIFE, CODE_LIFE, RESEND_AFTER, SENDS_MAX, TRIES_MAX
from gateway.core.errors import NotFound
from gateway.core.payment import PaymentResult
from gateway.web import services
from gateway.web.formats import ZONE

# How many payments are looked at for the list; a developer's eye is on the newest.
_SHOWN = 12

# What 3-D Secure may be told to say to the next card, and what that does.
SECURE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "frictionless": ("Frictionless", "Y: no question; on to the bank"),
        "challenge": ("Challenge", "C: a code by SMS"),
        "attempted": ("Attempted", "A: could not ask; counts as proof"),
        "refused": ("Refused", "N: the card is refused"),
        "unavailable": ("Unavailable", "U: no authentication; refused"),
        "silent": ("Timed out", "no answer at all; refused"),
    }
)

# The same for the bank that is asked for the money.
ANSWERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "approved": ("Approved", "whatever the card or the amount"),
        "slow": ("Slow", "approves after six seconds"),
        "review": ("Under review", "unclear twice, then approved"),
        "silent_approved": ("Silent: approved", "debits and does not say so"),
        "silent_declined": ("Silent: refused", "refuses and does not say so"),
        "silent_lost": ("Silent: lost", "never got the request"),
    }
)

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "do_not_honour": "Do not honour",
        "funds": "Insufficient funds",
        "limit": "Limit exceeded",
        "expired": "Expired card",
        "stolen": "Stolen card",
        "fraud": "Suspected fraud",
        "bad_number": "Bad number",
        "wrong_code": "Wrong security code",
        "not_permitted": "Not permitted",
        "call_issuer": "Call the bank",
        "authentication": "Authentication wanted",
        "technical": "Technical error",
    }
)


@dataclass(frozen=True, slots=True)
class Bench:
    """One payment on the bench: what the page shows of it.

    :ivar messages: its SMS, the newest first; the others are worthless
    :ivar wished: what the bank will be asked to do, by verb
    """

    situation: Situation
    messages: tuple[InboxMessage, ...]
    wished: Mapping[str, str]

    @property
    def mark(self) -> str:
        """Change whenever the page would."""
        result, challenge = self.situation.result, self.situation.challenge
        seen = (result.id, result.status, len(result.events), [message.key for message in self.messages])
        turns = (challenge.resend_at, challenge.tries_left) if challenge else ()
        return repr((seen, sorted(self.wished.items()), turns))


def make_lab(inbox: Inbox, wishes: Wishes) -> Blueprint:
    """Make the blueprint over what was caught and what may be wished."""
    lab = Blueprint("lab", __name__, url_prefix="/_test/lab")

    @lab.before_request
    def _speak_english() -> None:
        g.language = "en"

    @lab.before_app_request
    def _note_payment() -> None:
        paying.set(_posted_to())

    def bench(payment: str) -> Bench:
        messages = inbox.messages("sms", payment, limit=SENDS_MAX)
        return Bench(_watching().look(payment), tuple(messages), wishes.pending(payment))

    @lab.get("", strict_slashes=False)
    def newest_page() -> str:
        found = _watching().newest(_SHOWN)
        return _page(found, bench(found[0].id) if found else None)

    @lab.get("/mark")
    def mark() -> Response:
        """Tell the page's script whether there is something new to be seen."""
        found, payment = _watching().newest(_SHOWN), request.args.get("payment", "")
        return jsonify(mark=_mark(found, bench(payment) if payment else None))

    @lab.get("/<payment>")
    def payment_page(payment: str) -> str:
        return _page(_watching().newest(_SHOWN), bench(payment))

    @lab.post("/<payment>")
    def wish(payment: str) -> AnyResponse:
        """Take a wish, or take one back (no word)."""
        watching = _watching()
        if not watching.look(payment).result.is_live:
            abort(409)
        try:
            verb, word = request.form["verb"], request.form["word"]
            wishes.make(payment, verb, word, watching.token(payment))
        except ValueError:
            abort(400)
        return redirect(url_for("lab.payment_page", payment=payment), code=303)

    lab.add_app_template_filter(_second, "second")
    return lab


def _posted_to() -> str:
    """Name the payment whose page is being posted to: the bank is asked for money or a code there only."""
    if request.endpoint == "pages.act":
        with suppress(NotFound):
            return services().links.payment_of((request.view_args or {})["token"])
    return ""


def _watching() -> Watching:
    return Watching(services().checkout.desk)


def _page(found: tuple[PaymentResult, ...], bench: Bench | None) -> str:
    return render_template(
        "testkit/lab.html",
        under_way=[result for result in found if result.is_live],
        ended=[result for result in found if not result.is_live],
        bench=bench,
        now=services().now(),
        mark=_mark(found, bench),
        secure=SECURE,
        answers=ANSWERS,
        refusals={family: (label, FAMILIES[family]) for family, label in REFUSALS.items()},
        limits=_limits(bench.situation.result) if bench else (),
    )


def _mark(found: tuple[PaymentResult, ...], bench: Bench | None) -> str:
    seen = repr([(result.id, result.status) for result in found]) + (bench.mark if bench else "")
    return sha256(seen.encode()).hexdigest()[:16]


def _limits(result: PaymentResult) -> tuple[tuple[str, str], ...]:
    limits, waits = services().settings.limits.scaled, " and ".join(f"{one.seconds} s" for one in RESEND_AFTER)
    return (
        ("A code", f"{_minutes(CODE_LIFE.seconds)}, {TRIES_MAX} tries whatever the resends"),
        ("A code page", _minutes(CHALLENGE_LIFE.seconds)),
        ("Codes of one card", f"{SENDS_MAX}, with {waits} between them"),
        ("Codes to one telephone", f"{limits.codes_per_phone_hour} an hour"),
        ("Cards of one payment", f"{result.attempts_max} refused, {limits.cards_per_page} tried"),
    )


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} minutes"


def _second(at: datetime) -> str:
    """Write hours, minutes and seconds, as a developer compares them with a log."""
    return f"{at.astimezone(ZONE):%H:%M:%S}"
