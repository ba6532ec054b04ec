"""Which language a payer hears, how it writes amounts and moments, and that nothing in it is left in another."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.core.languages import CODES, LANGUAGES, spoken
from gateway.core.money import Money
from gateway.dialects.native.merchant import NativeMerchant
from gateway.dialects.spplus import refusals
from gateway.dialects.spplus.entry import ValidityPast
from gateway.parts import Parts
from gateway.receipts.content import language_of
from gateway.web import formats
from tests.factories import CHALLENGE, deliver, open_payment
from tests.web.test_templates import OWN, a_payment, draw

EVENING = datetime(2026, 8, 21, 17, 5, tzinfo=UTC)
NBSP = "\u00a0"

# What the payee, the shop and the schemes are called is said in no language; nor are the languages themselves.
NAMES = {"CB", "Visa", "Mastercard", "American Express", "Guichet", *(name for _, name in LANGUAGES)}

# Where a page has words for more than one case: the one that others do not show.
TURNS: dict[str, dict[str, object]] = {"paid": {"test_mode": False}, "refused": {"can_retry": False}}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use one engine: no language depends on it."""
    return sqlite_url


def spoken_at(client: FlaskClient, address: str, **headers: str) -> str:
    """Give the language of the page at an address."""
    match = re.search(r'<html lang="(\w+)"', client.get(address, headers=headers).text)
    return match[1] if match else ""


def page_of(app: Flask, parts: Parts, language: str) -> str:
    page = str(app.extensions["gateway"].links.page(open_payment(parts, language=language).id))
    return page.removeprefix("http://127.0.0.1:8000")


def test_a_page_speaks_the_language_the_merchant_asked_for(app: Flask, parts: Parts) -> None:
    pages = {language: page_of(app, parts, language) for language in CODES}

    for language, page in pages.items():
        assert spoken_at(app.test_client(), page, **{"Accept-Language": "sv,en;q=0.5"}) == language


def test_what_the_payer_chose_holds_on_every_page_after_it(app: Flask, parts: Parts, client: FlaskClient) -> None:
    first, second = page_of(app, parts, "de"), page_of(app, parts, "it")

    assert spoken_at(client, f"{first}?lang=ar") == "ar"
    assert [spoken_at(client, page) for page in (first, second, "/p/nowhere")] == ["ar", "ar", "ar"]
    assert spoken_at(client, f"{second}?lang=xx") == "ar"
    assert spoken_at(client, "/p/nowhere?lang=nl") == spoken_at(client, first) == "nl"


def test_the_code_and_the_receipts_are_in_the_language_the_payer_chose(
    app: Flask, parts: Parts, client: FlaskClient
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    page = page_of(app, parts, "fr")
    payment = parts.links.payment_of(page.removeprefix("/p/"))
    typed = {"number": CHALLENGE, "expiry": "12/30", "security_code": "123", "email": "a@example.org", "action": "pay"}

    client.get(f"{page}?lang=de")
    client.post(page, data=typed)
    deliver(parts)

    (sms,) = parts.inbox.messages(kind="sms", payment=payment)
    assert " ist Ihr Code, um " in sms.text
    assert language_of(parts.checkout.opening.told(payment), "payer") == "de"


def test_the_browser_is_heard_when_the_merchant_says_so(app: Flask, parts: Parts, client: FlaskClient) -> None:
    page, wish = page_of(app, parts, "fr"), {"Accept-Language": "sv;q=0.9,pt-BR;q=0.8,en;q=0.1"}

    assert spoken_at(client, f"{page}?lang=browser", **wish) == "pt"
    assert spoken_at(client, page) == "pt"


def test_the_browser_is_not_heard_against_the_payer(app: Flask, parts: Parts, client: FlaskClient) -> None:
    page = page_of(app, parts, "fr")

    client.get(f"{page}?lang=nl")

    assert spoken_at(client, f"{page}?lang=browser", **{"Accept-Language": "es"}) == "nl"


def test_a_language_we_do_not_speak_gives_way_to_the_browsers(app: Flask, parts: Parts, client: FlaskClient) -> None:
    page = page_of(app, parts, "ja")

    for liked, heard in (("es-MX,es;q=0.9", "es"), ("nl;q=0,de;q=0.1", "de"), ("sv", "fr"), ("", "fr")):
        assert spoken_at(client, page, **{"Accept-Language": liked}) == heard


def test_a_page_without_a_payment_speaks_as_the_browser_likes(client: FlaskClient) -> None:
    for liked, heard, title in (
        ("de-AT,de;q=0.9", "de", "Seite nicht gefunden"),
        ("ar", "ar", "الصفحة غير موجودة"),
        ("en-US", "en", "Page not found"),
        ("sv", "fr", "Page introuvable"),
    ):
        reply = client.get("/p/nowhere", headers={"Accept-Language": liked})
        assert f'<html lang="{heard}"' in reply.text
        assert f"<h1>{title}</h1>" in reply.text


def test_what_http_refuses_is_said_in_the_payers_language(client: FlaskClient) -> None:
    reply = client.delete("/p/nowhere", headers={"Accept-Language": "it"})

    assert reply.status_code == 405
    assert "<h1>Si è verificato un errore</h1>" in reply.text
    assert "Not Allowed" not in reply.text
    # Of the payment, which may be paid, it says nothing.
    assert "Nothing was debited by opening this address." in client.delete("/p/nowhere?lang=en").text


def test_a_refused_request_is_told_in_the_payers_language_unless_the_protocol_words_it(client: FlaskClient) -> None:
    liked = {"Accept-Language": "de"}

    ours = client.post("/vads-payment/", headers=liked)
    treasury = client.get("/tpa/paiement.web?numcli=9999", headers=liked)

    assert '<html lang="de"' in ours.text
    assert "Diese Zahlung kann nicht begonnen werden" in ours.text
    assert '<html lang="fr"' in treasury.text
    assert "Ce paiement ne peut pas commencer" in treasury.text


@pytest.mark.parametrize(("asked", "language"), [("de", "de"), ("ar", "ar"), ("sv", "fr")])
def test_a_protocols_own_sentence_names_its_language(asked: str, language: str) -> None:
    page = refusals.page(ValidityPast(date(2026, 11, 20), asked))

    assert page.language == language
    assert "20/11/2026" in page.wording


@pytest.mark.parametrize(
    ("tag", "code"), [("DE", "de"), ("pt-BR", "pt"), ("nl_BE", "nl"), ("est", ""), ("frx", ""), ("", ""), ("sv", "")]
)
def test_a_tag_is_read_by_its_first_part(tag: str, code: str) -> None:
    assert spoken(tag) == code


def test_merchants_may_ask_for_each_language_of_the_pages() -> None:
    assert NativeMerchant(id="mairie").languages == set(CODES) == {"fr", "en", "es", "de", "nl", "pt", "it", "ar"}


@pytest.mark.parametrize(
    ("language", "money", "moment", "month"),
    [
        ("fr", f"1\u202f234,50{NBSP}€", "21 août 2026, 19:05 CEST", "août 2026"),
        ("en", "€1,234.50", "21 August 2026, 19:05 CEST", "August 2026"),
        ("es", f"1.234,50{NBSP}€", "21 de agosto de 2026, 19:05 CEST", "agosto 2026"),
        ("de", f"1.234,50{NBSP}€", "21. August 2026, 19:05 CEST", "August 2026"),
        ("nl", f"€{NBSP}1.234,50", "21 augustus 2026, 19:05 CEST", "augustus 2026"),
        ("pt", f"1{NBSP}234,50{NBSP}€", "21 de agosto de 2026, 19:05 CEST", "agosto 2026"),
        ("it", f"1.234,50{NBSP}€", "21 agosto 2026, 19:05 CEST", "agosto 2026"),
        ("ar", f"\u2068\u200f1.234,50{NBSP}€\u2069", "21 أغسطس 2026، 19:05 CEST", "أغسطس 2026"),
    ],
)
def test_amounts_and_moments_are_written_as_its_readers_do(language: str, money: str, moment: str, month: str) -> None:
    assert formats.money(Money(123_450), language) == money
    assert formats.moment(EVENING, language) == moment
    assert formats.month(8, 2026, language) == month


def test_a_currency_without_decimals_has_none_on_the_pages() -> None:
    assert formats.money(Money(1500, "XPF"), "fr") == f"1\u202f500{NBSP}FCFP"


@pytest.mark.parametrize(
    ("on", "language", "words"),
    [
        (date(2026, 12, 1), "fr", "1er décembre 2026"),
        (date(2026, 11, 11), "fr", "11 novembre 2026"),
        (date(2026, 12, 1), "it", "1 dicembre 2026"),
    ],
)
def test_the_first_of_a_month_is_an_ordinal_in_french_alone(on: date, language: str, words: str) -> None:
    assert formats.day(on, language) == words


@pytest.mark.parametrize("language", sorted(set(CODES) - {"en"}))
@pytest.mark.parametrize("page", sorted(set(OWN) - {"error"}))
def test_no_page_keeps_words_of_the_english_one(drawing: Flask, page: str, language: str) -> None:
    payment = a_payment()
    lines = [word for line in payment.request.lines for word in (line.label, line.reference)]
    payee = (payment.payee.name, payment.payee.service, payment.payee.contact_email)
    known = {*NAMES, *lines, *payee, payment.request.label, payment.email}

    said, english = (set(_phrases(draw(drawing, page, each, **TURNS.get(page, {})))) for each in (language, "en"))

    assert len(said) > 10
    assert {phrase for phrase in said & english if not _of_names(phrase, known)} == set()


def _phrases(html: str) -> Iterator[str]:
    """Give what people read or hear of a page, piece by piece: its texts, and the attributes that hold words."""
    html = re.sub(r"<(script|svg)\b.*?</\1>|<!doctype[^>]*>", "", html, flags=re.DOTALL)
    attributes = re.findall(
        r'\s(?:aria-label|title|alt|placeholder|data-(?:text-\w+|busy|minutes-left))="([^"]*)"', html
    )
    for piece in [*re.split(r"<[^>]+>", html), *attributes]:
        phrase = " ".join(unescape(piece).split())
        if len(re.findall(r"[^\W\d_]{2,}", phrase)) > 1:
            yield phrase


def _of_names(phrase: str, known: set[str]) -> bool:
    """Say whether a phrase is made of names alone, such as a list of brands."""
    for name in sorted(known, key=len, reverse=True):
        phrase = phrase.replace(name, "")
    return re.search(r"[^\W\d_]{2,}", phrase) is None
