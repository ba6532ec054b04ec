"""Every page of the payer, in each language, without server or script: hooks, policy, weight."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from flask import Flask, g, render_template

from gateway.checkout import TimeLimit
from gateway.core import languages
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Kind, Line, Payee, PaymentRequest, PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.steps.card import CardForm
from gateway.steps.challenge import ChallengeForm
from gateway.steps.review import ResultForm, ReviewForm
from gateway.web.clock import Clock
from gateway.web.rendering import template_names

NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
LANGUAGES = [(code, name, f"?lang={code}") for code, name in languages.LANGUAGES]
WEIGHT_MAX_BYTES = 60_000
LONG_NAME = "Syndicat intercommunal à vocation multiple de la restauration scolaire <des> communes"

LINES = (
    Line("2026-020-002059", "Restauration scolaire", Money(4512)),
    Line("2026-020-002117", "Accueil périscolaire", Money(5100)),
)
ATTEMPT = AttemptResult(
    "att_1", 1, AttemptStatus.CAPTURED, "visa", "497010", "1234", NOW, authorisation_number="A1B2C3"
)

Render = Callable[..., str]


def a_payment(status: Status = Status.OPENED, lines: tuple[Line, ...] = LINES, kind: Kind = Kind.DEBT) -> PaymentResult:
    request = PaymentRequest("mairie", "REF-44023989", Money(9612), lines, "Cantine, octobre 2026", kind=kind)
    payee = Payee("mairie", LONG_NAME, "Régie", contact_email="regie@ville.example", contact_phone="01 23 45 67 89")
    return PaymentResult(
        "pay_7Q2hXv",
        "20261121-000417",
        request,
        payee,
        status,
        NOW,
        NOW + timedelta(minutes=15),
        paid_at=NOW,
        email="claire@exemple.fr",
        attempts=(ATTEMPT,),
    )


@pytest.fixture
def app(drawing: Flask) -> Flask:
    return drawing


@pytest.fixture
def render(app: Flask) -> Render:
    return partial(draw, app)


def draw(app: Flask, page: str, language: str = "fr", **changes: object) -> str:
    """Render a page without a server; ``changes`` are to its context."""
    with app.test_request_context():
        g.language = language
        context: dict[str, object] = {
            "payment": a_payment(),
            "page": page,
            "base": "/p/tok",
            "language": language,
            "languages": LANGUAGES,
            "test_mode": True,
            "clock": Clock.of(TimeLimit(NOW + timedelta(minutes=15), 900, 10, is_bounded=False)),
        }
        context |= OWN[page]() | changes
        return render_template("bank/challenge.html" if page == "challenge" else f"page/{page}.html", **context)


def _card() -> dict[str, object]:
    return {"form": CardForm(today=date(2026, 11, 21)), "email_rule": "required", "attempts_left": 3, "may_enter": True}


def _challenge() -> dict[str, object]:
    challenge = SimpleNamespace(
        phone="•• 42", tries_left=3, sends_left=2, resend_at=NOW, expires_at=NOW + timedelta(minutes=5), error=False,
        seconds_left=300,
    )  # fmt: skip
    return {
        "base": "/p/tok/challenge",
        "form": ChallengeForm(),
        "challenge": challenge,
        "demo_hint_url": "/_test/inbox",
    }


def _ending() -> dict[str, object]:
    return {"form": ResultForm(), "can_return": True, "departure": None, "sent_back": None, "is_too_late": False}


OWN: dict[str, Callable[[], dict[str, object]]] = {
    "card": _card,
    "review": lambda: {"form": ReviewForm()},
    "challenge": _challenge,
    "waiting": lambda: {"form": ResultForm(), "status_url": "/p/tok/state", "seconds_waited": 2},
    "paid": lambda: _ending() | {"ticket_url": "/t/x", "ticket_pdf_url": "/t/x.pdf"},
    "refused": lambda: _ending() | {"reason": "other", "can_retry": True},
    "cancelled": _ending,
    "expired": _ending,
    "error": lambda: {
        "payment": None,
        "title": "Page introuvable",
        "message": "Rien ici.",
        "error_code": "not_found",
        "reference": "err_1",
        "status": 404,
        "fact": "not-debited",
        "verdict": "Rien n’a été débité.",
        "payee": None,
        "detail": "",
        "explained_url": "",
    },
}

ACTIONS = {
    "card": ["pay", "extend", "cancel"],
    "review": ["confirm", "extend", "retry", "cancel"],
    "challenge": ["confirm", "resend", "retry", "cancel", "extend"],
    "waiting": [],
    "paid": ["return"],
    "refused": ["retry", "return", "extend"],
    "cancelled": ["return"],
    "expired": ["return"],
    "error": [],
}

every_page = pytest.mark.parametrize("page", sorted(OWN))
every_language = pytest.mark.parametrize("language", languages.CODES)


@every_page
@every_language
def test_a_page_carries_its_hooks(render: Render, page: str, language: str) -> None:
    html = render(page, language)

    payment = "" if page == "error" else "pay_7Q2hXv"
    assert re.search(rf'<main [^>]*data-page="{page}" data-payment="{payment}"', html)
    assert re.findall(r'<button [^>]*name="action" value="(\w+)"', html) == ACTIONS[page]
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in html
    assert 'id="live" class="unseen" role="status" aria-live="polite"' in html


@every_page
def test_a_page_has_one_title_one_heading_and_no_id_twice(render: Render, page: str) -> None:
    html = render(page)

    ids = re.findall(r' id="([^"]+)"', html)
    assert html.count("<h1>") == html.count("<title>") == 1
    assert sorted(ids) == sorted(set(ids))


@every_page
def test_each_described_or_linked_place_exists(render: Render, page: str) -> None:
    html = render(page)

    ids = set(re.findall(r' id="([^"]+)"', html))
    named = re.findall(r' (?:aria-describedby|aria-labelledby|for)="([^"]+)"', html)
    assert {name for names in named for name in names.split()} <= ids
    assert set(re.findall(r'href="#([^"]+)"', html)) <= ids


@every_page
def test_a_page_obeys_a_policy_without_inline_code(render: Render, page: str) -> None:
    html = render(page)

    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<iframe|http-equiv", html) == []
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', html) == []


@every_page
def test_a_page_weighs_little(render: Render, app: Flask, page: str) -> None:
    html = render(page)

    client = app.test_client()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    sizes = []
    for address in addresses:
        with client.get(address) as file:
            assert file.status_code == 200
            sizes.append(len(file.data))
    assert len(sizes) == 3
    assert len(html.encode()) + sum(sizes) < WEIGHT_MAX_BYTES


@every_page
def test_test_mode_is_said_in_words(render: Render, page: str) -> None:
    assert "Paiement de test." in render(page)
    assert "Paiement de test." not in render(page, test_mode=False)


@pytest.mark.parametrize("page", sorted(set(OWN) - {"error"}))
def test_names_are_shown_whole_and_escaped(render: Render, page: str) -> None:
    html = render(page)

    assert LONG_NAME.replace("<des>", "&lt;des&gt;") in html
    assert "<des>" not in html


@pytest.mark.parametrize("page", sorted(set(OWN) - {"error"}))
def test_each_page_says_who_what_and_how_much(render: Render, page: str) -> None:
    html = render(page)

    assert "96,12\u00a0€" in html
    assert "REF-44023989" in html
    assert "2026-020-002117" in html
    assert "regie@ville.example" in html


def test_the_controls_of_a_card_are_found_by_their_autocomplete(render: Render) -> None:
    html = render("card")

    for name, word in (("number", "cc-number"), ("expiry", "cc-exp"), ("security_code", "cc-csc"), ("email", "email")):
        assert re.search(rf'<input id="{name}" [^>]*name="{name}" [^>]*autocomplete="{word}"', html)
    assert re.findall(r'name="brand" value="(\w*)"', html) == ["", "cb", "visa", "mastercard"]
    assert re.search(r'<button[^>]*value="pay"[^>]*>Payer 96,12\u00a0€</button>', html)


def test_the_brands_a_merchant_is_limited_to_are_said_beside_the_number(render: Render) -> None:
    payment = a_payment()
    limited = replace(payment, request=replace(payment.request, schemes=("cb", "visa")))

    page = render("card", payment=limited, language="en")

    assert 'id="number-hint">Cards accepted: CB, Visa<' in page
    assert re.search(r'id="number"[^>]*aria-describedby="number-hint"', page)
    assert re.findall(r'name="brand" value="(\w*)"', page) == ["", "cb", "visa"]


def test_the_code_is_found_by_its_autocomplete(render: Render) -> None:
    assert re.search(r'<input id="code" name="code" [^>]*autocomplete="one-time-code"', render("challenge"))


@every_page
def test_each_form_posts_with_its_own_token(render: Render, page: str) -> None:
    html = render(page)

    assert html.count('method="post"') == html.count('name="csrf_token"')


def test_a_card_in_error_keeps_what_is_no_secret(app: Flask, render: Render) -> None:
    typed = {"number": "4970100000000001", "expiry": "13/28", "security_code": "987", "email": "claire@exemple.fr"}
    with app.test_request_context(method="POST", data=typed):
        form = CardForm(today=date(2026, 11, 21))
        form.validate()
    html = render("card", form=form)

    assert "<title>Erreur\u00a0: " in html
    assert "4970100000000001" not in html
    assert "987" not in html
    assert 'value="13/28"' in html
    assert 'value="claire@exemple.fr"' in html
    assert 'aria-describedby="expiry-hint expiry-error" aria-invalid="true"' in html
    assert '<a href="#expiry">' in html


def test_a_fixed_address_is_shown_and_not_asked(app: Flask, render: Render) -> None:
    with app.test_request_context():
        form = CardForm(today=date(2026, 11, 21), email_rule="fixed", email="claire@exemple.fr")
    html = render("card", form=form, email_rule="fixed")

    assert 'name="email"' not in html
    assert "<strong>claire@exemple.fr</strong>" in html


@pytest.mark.parametrize("reason", ["do_not_honour", "funds", "expired", "stolen", "limit", "other"])
def test_refusals_by_the_bank_are_told_in_the_same_words(render: Render, reason: str) -> None:
    html = render("refused", reason=reason)

    assert "Elle seule en connaît la raison." in html
    assert "Aucun montant n’a été débité." in html
    assert re.search(r"volée|provision|plafond|opposition", html) is None


@pytest.mark.parametrize("page", ["refused", "cancelled", "expired"])
def test_an_end_without_payment_says_that_nothing_was_debited(render: Render, page: str) -> None:
    assert "Aucun montant n’a été débité." in render(page)
    assert "No money was debited." in render(page, "en")


def test_a_paid_page_is_a_receipt(render: Render) -> None:
    html = render("paid", "en")

    for fact in (
        "20261121-000417",
        "A1B2C3",
        "21 November 2026, 14:30 CET",
        "•••• 1234",
        "claire@exemple.fr",
        "€96.12",
    ):
        assert fact in html
    assert "497010" not in html


def test_a_wrong_code_says_no_more_than_that(render: Render) -> None:
    challenge = _wrong_challenge()
    html = render("challenge", challenge=challenge)

    assert "<title>Erreur\u00a0: " in html
    assert "Le code n’a pas été accepté" in html
    assert 'aria-describedby="code-hint code-error" aria-invalid="true"' in html
    assert 'value="resend"' not in html


def _wrong_challenge() -> SimpleNamespace:
    return SimpleNamespace(
        phone="", tries_left=1, sends_left=0, resend_at=None, expires_at=NOW, seconds_left=0, error=True
    )


def test_a_top_up_settles_no_debt(render: Render) -> None:
    html = render("card", payment=a_payment(kind=Kind.TOP_UP))

    assert "Référence de la dette" not in html


def test_a_merchant_may_have_pages_of_its_own() -> None:
    assert template_names("page/card.html", "mairie") == ["merchants/mairie/page/card.html", "page/card.html"]
