"""The lab: what it shows of payments without touching them, what it may wish of the bank, and for whom it is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.acquirers.simulator import Simulator
from gateway.acquirers.wishes import WORDS, Attentive, Wishes
from gateway.app import create_app
from gateway.core.payment import PaymentResult
from gateway.parts import Parts
from gateway.settings import load
from gateway.web import lab
from tests import factories
from tests.support.clock import Clock


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite only: wishes lie in the bank's own file."""
    return sqlite_url


@pytest.fixture
def wishes(home: Path) -> Wishes:
    return Wishes(home / "var/acquirer.sqlite3")


@pytest.fixture
def challenged(parts: Parts) -> PaymentResult:
    """Bring a payment to its code page."""
    payment = factories.open_payment(parts, reference="FACT-2026-1")
    factories.enter(parts, payment, factories.CHALLENGE)
    factories.deliver(parts)
    return payment


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" (?:type="hidden" )?value="([^"]+)"', page)
    assert found
    return found[1]


def _wish(client: FlaskClient, payment: PaymentResult, verb: str, word: str) -> TestResponse:
    address = f"/_test/lab/{payment.id}"
    form = {"csrf_token": _token(client.get(address).text), "verb": verb, "word": word}
    return client.post(address, data=form)


def _pay(client: FlaskClient, parts: Parts, payment: PaymentResult, number: str, **more: str) -> str:
    """Type a card on the payer's page, without script; tell the page that comes of it."""
    address = parts.links.page(payment.id)
    card = {"number": number, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
    client.post(address, data={"csrf_token": _token(client.get(address).text), "action": "pay", **card, **more})
    return _stage(client, address)


def _confirm(client: FlaskClient, parts: Parts, payment: PaymentResult) -> str:
    address = parts.links.page(payment.id)
    client.post(address, data={"csrf_token": _token(client.get(address).text), "action": "confirm"})
    return _stage(client, address)


def _stage(client: FlaskClient, address: str) -> str:
    found = re.search(r'data-page="(\w+)"', client.get(address, follow_redirects=True).text)
    assert found
    return found[1]


def test_the_payment_s_sms_is_shown_as_the_telephone_has_it(client: FlaskClient, challenged: PaymentResult) -> None:
    page = client.get(f"/_test/lab/{challenged.id}").text

    text = re.search(r'<p class="sms-text">(.*?)</p>', page, re.DOTALL)
    code = re.search(r'<span class="list-code">(\d{6})</span>', page)
    assert text
    assert code
    assert text[1].startswith(f"{code[1]} : votre code pour payer 96,12 EUR")
    assert text[1].endswith(f"\n@127.0.0.1 #{code[1]}")
    assert f'data-copy="{code[1]}"' in page
    assert ">Code page</span>" in page


def test_tries_codes_and_their_times_are_counted_down(
    client: FlaskClient, parts: Parts, challenged: PaymentResult, clock: Clock
) -> None:
    def told() -> dict[str, str]:
        page = client.get(f"/_test/lab/{challenged.id}").text
        return dict(re.findall(r"<div><dt>([^<]+)</dt><dd>([^<]+)</dd></div>", page))

    fresh = told()
    assert (fresh["Tries left"], fresh["Codes that can still be sent"]) == ("5", "2")
    assert (fresh["Next code"], fresh["This code ends"]) == ("from 11:00:30", "11:05:00")
    assert fresh["A code"] == "5 minutes, 5 tries whatever the resends"

    parts.checkout.paying.answer_challenge(challenged.id, "000000")
    clock.advance(seconds=31)
    assert (told()["Tries left"], told()["Next code"]) == ("4", "now")

    parts.checkout.paying.resend_code(challenged.id)
    factories.deliver(parts)
    assert (told()["Codes that can still be sent"], told()["Next code"]) == ("1", "from 11:01:31")
    page = client.get(f"/_test/lab/{challenged.id}").text
    assert page.count('class="sms-text"') == 2
    assert re.findall(r'class="bubble-from">.*?</time>(, replaced)?</p>', page) == [", replaced", ""]

    clock.advance(minutes=6)
    assert told()["This code ends"] == "11:05:31: over"


def test_the_history_and_the_cards_are_told(client: FlaskClient, parts: Parts) -> None:
    payment = factories.open_payment(parts)
    factories.pay(parts, payment, factories.FUNDS)

    page = client.get(f"/_test/lab/{payment.id}").text

    assert re.findall(r'<span class="code">([a-z]+\.[a-z]+)</span>', page) == [
        "attempt.declined",
        "attempt.authorising",
        "attempt.authenticated",
        "attempt.started",
        "payment.opened",
        "payment.created",
    ]
    assert '<dd class="code">51 funds</dd>' in page
    assert '<dd class="code">05</dd>' in page


def test_payments_under_way_come_first_and_the_newest_is_on_the_bench(client: FlaskClient, parts: Parts) -> None:
    over, first, newest = (factories.open_payment(parts, reference=f"REF-{name}") for name in "ABC")
    parts.checkout.paying.cancel(over.id)

    page = client.get("/_test/lab").text

    assert re.findall(r'href="/_test/lab/(pay_\w+)"', page) == [newest.id, first.id, over.id]
    assert f'href="/_test/lab/{newest.id}" aria-current="true"' in page
    assert page.index(">Over</h2>") < page.index("REF-A")


def test_a_look_opens_and_ends_nothing(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    created, _ = parts.checkout.opening.open(factories.an_open(), "native")

    assert client.get(f"/_test/lab/{created.id}").status_code == 200
    assert parts.checkout.opening.told(created.id).status == "created"
    clock.advance(minutes=31)
    assert client.get("/_test/lab").status_code == 200
    assert parts.checkout.opening.told(created.id).status == "created"


def test_the_mark_changes_with_what_is_shown_and_with_nothing_else(
    client: FlaskClient, parts: Parts, clock: Clock
) -> None:
    payment = factories.open_payment(parts)
    address = f"/_test/lab/{payment.id}"

    def mark() -> str:
        shown = re.search(r'data-mark="(\w+)" data-ask="([^"]+)"', client.get(address).text)
        assert shown
        told = client.get(shown[2]).get_json()["mark"]
        assert told == shown[1]
        return str(told)

    seen = [mark()]
    assert mark() == seen[0]
    for change in (
        lambda: factories.enter(parts, payment, factories.CHALLENGE),
        lambda: factories.deliver(parts),
        lambda: parts.checkout.paying.answer_challenge(payment.id, "000000"),
        lambda: clock.advance(seconds=31),
        lambda: _wish(client, payment, "authorise", "funds"),
        lambda: factories.open_payment(parts),
    ):
        change()
        seen.append(mark())
    assert len(set(seen)) == len(seen)


def test_a_wish_is_played_once_on_the_payer_s_page(client: FlaskClient, parts: Parts) -> None:
    payment, other = factories.open_payment(parts), factories.open_payment(parts)

    answer = _wish(client, payment, "enrol", "refused")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/_test/lab/{payment.id}")
    assert 'value="refused" aria-pressed="true"' in client.get(f"/_test/lab/{payment.id}").text
    assert 'aria-pressed="true"' not in client.get(f"/_test/lab/{other.id}").text
    assert _pay(client, parts, other, factories.FRICTIONLESS) == "review"
    assert _pay(client, parts, payment, factories.FRICTIONLESS) == "refused"
    assert 'aria-pressed="true"' not in client.get(f"/_test/lab/{payment.id}").text


def test_a_wish_about_money_holds_for_a_card_that_is_entered_already(client: FlaskClient, parts: Parts) -> None:
    payment = factories.open_payment(parts)
    assert _pay(client, parts, payment, factories.FRICTIONLESS) == "review"

    _wish(client, payment, "authorise", "stolen")

    assert _confirm(client, parts, payment) == "refused"
    attempt = parts.checkout.opening.told(payment.id).attempt
    assert attempt
    assert (attempt.response_code, attempt.response_family) == ("43", "stolen")


def test_a_wish_can_be_taken_back(client: FlaskClient, parts: Parts, wishes: Wishes) -> None:
    payment = factories.open_payment(parts)
    _wish(client, payment, "enrol", "refused")
    assert wishes.pending(payment.id) == {"enrol": "refused"}

    _wish(client, payment, "enrol", "")

    assert wishes.pending(payment.id) == {}
    assert _pay(client, parts, payment, factories.FRICTIONLESS) == "review"


def test_only_the_lab_s_own_form_may_wish(client: FlaskClient, parts: Parts, wishes: Wishes) -> None:
    payment = factories.open_payment(parts)
    form = {"verb": "enrol", "word": "refused"}

    assert client.post(f"/_test/lab/{payment.id}", data=form).status_code == 400
    assert client.post(f"/_test/lab/{payment.id}", data=form | {"csrf_token": "forged"}).status_code == 400
    assert _pay(client, parts, payment, factories.FRICTIONLESS, **form) == "review"
    assert wishes.pending(payment.id) == {}


def test_what_cannot_be_wished_is_refused(client: FlaskClient, parts: Parts, wishes: Wishes) -> None:
    payment, over = factories.open_payment(parts), factories.open_payment(parts)
    token = _token(client.get(f"/_test/lab/{payment.id}").text)
    parts.checkout.paying.cancel(over.id)

    def post(to: str, **form: str) -> int:
        return client.post(f"/_test/lab/{to}", data={"csrf_token": token, **form}).status_code

    assert post(payment.id, verb="enrol", word="lottery") == 400
    assert post(payment.id, verb="capture", word="approved") == 400
    assert post(payment.id, verb="enrol") == 400
    assert post(over.id, verb="enrol", word="refused") == 409
    assert post("pay_nobody", verb="enrol", word="refused") == 404
    assert 'name="word"' not in client.get(f"/_test/lab/{over.id}").text
    assert wishes.pending(payment.id) == wishes.pending(over.id) == {}


def test_every_outcome_the_bank_knows_has_one_button() -> None:
    assert tuple(lab.SECURE) == WORDS["enrol"]
    assert sorted([*lab.ANSWERS, *lab.REFUSALS]) == sorted(WORDS["authorise"])


def test_the_lab_may_stand_in_no_frame_and_loads_nothing_foreign(
    client: FlaskClient, challenged: PaymentResult
) -> None:
    answer = client.get(f"/_test/lab/{challenged.id}")

    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<iframe|<script(?![^>]* src=)", answer.text) == []
    loaded = re.findall(r'<(?:link|script)[^>]*?(?:href|src)="([^"]+)"', answer.text)
    assert len(loaded) == 4
    assert all(address.startswith("/static/") for address in loaded)


def test_texts_of_portals_are_escaped(client: FlaskClient, parts: Parts) -> None:
    payment = factories.open_payment(parts, reference="<b>REF</b>", label="<i>Cantine</i>")

    page = client.get(f"/_test/lab/{payment.id}").text

    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;REF&lt;/b&gt;" in page


def test_an_empty_server_says_what_to_do(client: FlaskClient) -> None:
    assert "No payment is under way." in client.get("/_test/lab").text
    assert client.get("/_test/lab/pay_nobody").status_code == 404


def test_the_code_page_leads_to_the_lab_and_so_does_home(
    client: FlaskClient, parts: Parts, challenged: PaymentResult
) -> None:
    page = client.get(f"{parts.links.page(challenged.id)}/challenge").text

    assert f'<a href="/_test/lab/{challenged.id}" target="_blank" rel="noopener">' in page
    assert '<a href="/_test/lab">' in client.get("/").text


@pytest.fixture
def live(home: Path, database_url: str, clock: Clock) -> Iterator[Flask]:
    """Give a server where one merchant is past its tests."""
    book = home / "config/merchants.toml"
    text = book.read_text("utf-8").replace("[merchants.jvs-demo]", '[merchants.jvs-demo]\nmode = "activation"')
    book.write_text(text, "utf-8")
    app = create_app(home, clock.now, settings=load(home, {"GUICHET_DATABASE_URL": database_url}))
    yield app
    app.extensions["gateway"].checkout.desk.store.engine.dispose()


def test_beside_a_live_merchant_there_is_no_lab_and_nobody_before_the_bank(
    app: Flask, live: Flask, parts: Parts, wishes: Wishes
) -> None:
    client, payment = live.test_client(), factories.open_payment(parts)
    wishes.make(payment.id, "enrol", "refused")

    answers = [client.get(f"/_test/lab{path}").status_code for path in ("", "/mark", f"/{payment.id}")]
    answers.append(client.post(f"/_test/lab/{payment.id}", data={"verb": "enrol", "word": "refused"}).status_code)

    assert set(answers) <= {400, 404}
    assert _pay(client, parts, payment, factories.FRICTIONLESS) == "review"
    assert isinstance(live.extensions["gateway"].checkout.desk.acquirer, Simulator)
    assert isinstance(app.extensions["gateway"].checkout.desk.acquirer, Attentive)
    factories.enter(parts, challenge := factories.open_payment(parts), factories.CHALLENGE)
    assert "_test/lab" not in client.get(f"{parts.links.page(challenge.id)}/challenge").text
