"""What each stage of a payment is shown with; which stage it is, the checkout says."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Response, g, render_template, request

from gateway.checkout import Situation, Stage
from gateway.core.errors import NotFound
from gateway.core.payment import PaymentResult
from gateway.steps.card import CardForm
from gateway.steps.challenge import ChallengeForm
from gateway.steps.review import ResultForm, ReviewForm
from gateway.web import Services, services
from gateway.web.again import recall
from gateway.web.clock import Clock
from gateway.web.endings import ending_view
from gateway.web.languages import LANGUAGES
from gateway.web.rendering import template_names


def card_form(known: Services, result: PaymentResult) -> CardForm:
    merchant = known.settings.merchants.get(result.request.merchant)
    if merchant is None:
        raise NotFound("this merchant takes no payments any more")
    return CardForm(
        today=known.now().astimezone(ZoneInfo(known.settings.timezone)).date(),
        email_rule=merchant.email_rule,
        email=result.email or result.request.email,
    )


def common(result: PaymentResult, page_name: str, base: str) -> dict[str, object]:
    # Whoever stays on the last page stays there in the other language too.
    stay = "&stay=1" if "stay" in request.args else ""
    return {
        "payment": result,
        "page": page_name,
        "base": base,
        "language": g.language,
        "languages": [(code, name, f"?lang={code}{stay}") for code, name in LANGUAGES],
        "test_mode": result.payee.mode != "production",
    }


def stage_page(situation: Situation, token: str) -> Response:
    """Render the page of the present stage."""
    result, stage, base = situation.result, situation.stage, f"/p/{token}"
    context = common(result, stage.value, base) | {"clock": Clock.of(situation.time_limit)}
    context |= _VIEWS[stage](situation) if stage in _VIEWS else ending_view(situation)
    names = template_names(f"page/{stage}.html", result.request.merchant)
    response = Response(render_template(names, **context))
    if "refresh" in g:
        response.headers["Refresh"] = g.refresh
    return response


def _card_view(situation: Situation) -> dict[str, object]:
    known, result = services(), situation.result
    merchant = known.settings.merchants.get(result.request.merchant)
    form = card_form(known, result)
    recall(result.id, form)
    failed = sum(attempt.status in ("declined", "authn_failed", "reversed") for attempt in result.attempts)
    return {
        "form": form,
        "email_rule": merchant.email_rule if merchant else "optional",
        "attempts_left": max(result.attempts_max - failed, 1),
        "may_enter": situation.may_enter,
        "this_year": known.now().year,
        "test_cards_url": "/_test/cards" if known.settings.is_test_kit_on else "",
    }


def _review_view(_situation: Situation) -> dict[str, object]:
    return {"form": ReviewForm()}


def _waiting_view(situation: Situation) -> dict[str, object]:
    events = [event.at for event in situation.result.events if event.type == "attempt.authorising"]
    since: datetime = events[-1] if events else situation.result.created_at
    waited = int((services().now() - since).total_seconds())
    return {"form": ResultForm(), "status_url": f"{request.path}/state", "seconds_waited": waited}


_VIEWS: dict[Stage, Callable[[Situation], dict[str, object]]] = {
    Stage.CARD: _card_view,
    Stage.REVIEW: _review_view,
    Stage.WAITING: _waiting_view,
}


def challenge_page(situation: Situation, token: str, form: ChallengeForm) -> Response:
    known, result = services(), situation.result
    context = common(result, "challenge", f"/p/{token}/challenge") | {"clock": Clock.of(situation.time_limit)}
    hint = f"/_test/lab/{result.id}" if known.settings.is_test_kit_on else ""
    context |= {"form": form, "challenge": situation.challenge, "demo_hint_url": hint}
    names = template_names("bank/challenge.html", result.request.merchant)
    return Response(render_template(names, **context))
