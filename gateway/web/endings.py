"""How a payment's pages end: what is said of the outcome, and how the payer leaves for the merchant's site."""

from dataclasses import dataclass, replace
from datetime import timedelta
from threading import BoundedSemaphore
from time import monotonic, sleep
from urllib.parse import urlsplit

from flask import g, request

from gateway.checkout import Situation
from gateway.core.payment import PaymentResult
from gateway.core.states import Status
from gateway.dialects import Departure
from gateway.steps.phrases import gettext as _
from gateway.steps.review import ResultForm
from gateway.web import services

# What a refusal is called on the page; every other family is shown as "other". Neutral words only: a page must not
# tell live cards from dead ones.
_REASONS = frozenset(
    {"do_not_honour", "funds", "expired", "stolen", "limit", "wrong_code", "authentication", "technical"}
)
_AUTHENTICATION = frozenset({"challenge_failed", "challenge_timeout", "authentication"})

# Longer than a healthy merchant needs, shorter than a payer begins to doubt.
_TELLING_SECONDS = 3.0
# Of the threads that serve pages, so many at most wait for merchants.
_WAITING = BoundedSemaphore(2)


def ending_view(situation: Situation) -> dict[str, object]:
    """Say how it ended and, where the merchant gave an address, let the payer leave for it."""
    result = situation.result
    attempt = result.attempt
    family = attempt.response_family if attempt else ""
    family = "authentication" if family in _AUTHENTICATION else family
    departure = departure_of(result)
    if departure is not None:
        allow_leaving(departure)
    sent_back = departure and _sent_back(departure, result)
    return {
        "form": ResultForm(),
        "reason": family if family in _REASONS else "other",
        "can_retry": situation.can_retry,
        "can_return": departure is not None,
        "departure": departure,
        "sent_back": sent_back,
        "is_too_late": _is_too_late(result),
        **(_ticket_urls(result) if result.status is Status.PAID else {}),
    }


def _is_too_late(result: PaymentResult) -> bool:
    """Say whether the debt's last payable day is over, so that starting again would lead nowhere."""
    last, known = result.request.pay_before, services()
    return last is not None and known.now().astimezone(known.checkout.desk.zone).date() > last


@dataclass(frozen=True, slots=True)
class SentBack:
    """The payer goes back to the merchant without pressing anything, unless he says that he stays.

    :ivar seconds: after how long; 0 at once
    :ivar message: the merchant's own words about it
    """

    seconds: int
    message: str


def _sent_back(departure: Departure, result: PaymentResult) -> SentBack | None:
    """Have the browser leave by itself, where the merchant wants it and nothing can be paid any more.

    ``Refresh`` is a header of long standing (HTML, "shared declarative refresh steps") that needs no script; a redirect
    after a posted form would be stopped by ``form-action``. Whoever needs more time follows the link to the same page
    without it (WCAG 2.2, 2.2.1).
    """
    if departure.after_seconds is None or result.is_live or "stay" in request.args:
        return None
    url = departure.url if departure.method == "GET" else f"{request.path}/leave"
    g.refresh = f"{departure.after_seconds}; url={url}"
    return SentBack(departure.after_seconds, departure.message)


def wait_until_told(payment: PaymentResult) -> None:
    """Let the merchant hear of the end before the payer does, where its protocol promises so and the merchant is quick."""
    known = services()
    if not known.dialects[payment.dialect].tells_first:
        return
    ended_at = known.checkout.opening.ended_at(payment.id)
    is_fresh = ended_at is not None and known.now() - ended_at < timedelta(seconds=_TELLING_SECONDS)
    if not is_fresh or not _WAITING.acquire(blocking=False):
        return
    try:
        until = monotonic() + _TELLING_SECONDS
        while monotonic() < until and known.checkout.opening.is_being_told(payment.id):
            sleep(0.05)
    finally:
        _WAITING.release()


def departure_of(result: PaymentResult) -> Departure | None:
    """Say how the payer goes back, were it over now: leaving a refusal gives the payment up."""
    known = services()
    over = replace(result, status=Status.FAILED) if result.is_live else result
    return known.dialects[result.dialect].returned(over, known.now()) or _to_link(result)


def _to_link(result: PaymentResult) -> Departure | None:
    """Lead whoever came by a printed link back to its page: it says how the bill stands, and lets them begin again."""
    number = next((event.facts.get("link", "") for event in result.events if event.type == "payment.created"), "")
    return Departure(services().links.paylink(int(number)), label=_("Go back to the bill")) if number else None


def allow_leaving(departure: Departure) -> None:
    """Let this page's form lead to the merchant: ``form-action`` would stop it in Chromium otherwise."""
    parts = urlsplit(departure.url)
    if parts.netloc:
        g.form_action = (f"{parts.scheme}://{parts.netloc}",)


def _ticket_urls(result: PaymentResult) -> dict[str, object]:
    url = services().links.ticket(result, "payer")
    return {"ticket_url": url, "ticket_pdf_url": f"{url}.pdf"}
