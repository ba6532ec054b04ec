"""The older protocols over HTTP: what a HEAD opens, how long a payer waits for the merchant, what is kept of a bad call."""

import re
from pathlib import Path
from threading import BoundedSemaphore
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from gateway.dialects import HttpCall, Open
from gateway.parts import Parts
from gateway.store import tables as t
from tests.dialects.samples import SAMPLES, noted, systempay
from tests.support.clock import Clock

NUMBER = "4970105191909006"


@pytest.fixture
def refusals(home: Path) -> Path:
    """Name the file that the refused signatures are kept in."""
    return home / "var/signatures.jsonl"


def payments(parts: Parts) -> int:
    with parts.store.engine.connect() as db:
        return int(db.execute(select(func.count()).select_from(t.payment)).scalar_one())


@pytest.mark.parametrize("name", ["tipi", "spplus"])
def test_a_head_opens_nothing_where_a_get_opens(client: FlaskClient, parts: Parts, clock: Clock, name: str) -> None:
    call = SAMPLES[name]("ORDER0000001", clock.now())
    address = f"{call.path}?{call.query}"

    looked = (client.head(address).status_code, payments(parts))
    asked = (client.get(address).status_code, payments(parts))

    assert looked == (405, 0)
    assert asked == (303, 1)


def test_a_card_number_is_blanked_in_what_is_kept_of_a_refused_form(
    client: FlaskClient, clock: Clock, refusals: Path
) -> None:
    call = noted("systempay", NUMBER, clock.now())

    client.post(call.path, data=call.body + b"&vads_order_info2=x&card_number=" + NUMBER.encode(), headers=call.headers)

    kept = refusals.read_text()
    assert NUMBER not in kept
    assert "[card number]" in kept


def test_a_card_number_is_not_kept_of_a_refused_query(client: FlaskClient, clock: Clock, refusals: Path) -> None:
    call = SAMPLES["spplus"]("ORDER0000001", clock.now())
    altered = re.sub("hmac=[0-9A-F]{40}", f"hmac={'0' * 40}", call.query)

    client.get(f"{call.path}?{altered}&email={NUMBER}")

    kept = refusals.read_text()
    assert "ORDER0000001" in kept
    assert NUMBER not in kept


def test_a_refused_form_leads_its_developer_to_the_explanation(client: FlaskClient, clock: Clock) -> None:
    sample = SAMPLES["systempay"]("ORDER0000001", clock.now())
    live = sample.body.replace(b"vads_ctx_mode=TEST", b"vads_ctx_mode=PRODUCTION")

    page = client.post(sample.path, data=live, headers=sample.headers)

    assert page.headers["X-Form-Error"] == "00"
    link = re.search(r'href="(/_test/signatures[^"]*)"', page.text)
    assert link is not None
    explained = client.get(link[1]).text
    # The sample was signed in test mode, so its mode was changed after it was signed.
    assert "PRODUCTION" in explained
    assert "not shown: made with the PRODUCTION key" in explained


def test_a_card_page_of_systempay_offers_the_test_cards(client: FlaskClient, clock: Clock) -> None:
    sample = systempay("ORDER0000001", clock.now(), vads_payment_cards="VISA;CB")
    alone = systempay("ORDER0000002", clock.now(), vads_payment_cards="CB")

    def card_page(call: HttpCall) -> str:
        opened = client.post(call.path, data=call.body, headers=call.headers)
        return client.get(urlsplit(opened.headers["Location"]).path).text

    page, with_one = card_page(sample), card_page(alone)

    assert 'href="/_test/cards"' in page
    assert re.search(r'id="validationButtonPaymentMean"[^>]*>Carte bancaire : Visa, CB', page)
    # One brand leaves nothing to choose.
    assert 'id="validationButtonPaymentMean"' not in with_one


class Patience:
    """Stands in for the clock that waiting goes by: time passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class TestWaitingForTheMerchant:
    """PayFiP tells the portal before the payer sees the result; here nobody delivers, so a wait lasts as long as it may."""

    @pytest.fixture
    def patience(self, monkeypatch: pytest.MonkeyPatch) -> Patience:
        patience = Patience()
        monkeypatch.setattr("gateway.web.endings.monotonic", patience.monotonic)
        monkeypatch.setattr("gateway.web.endings.sleep", patience.sleep)
        return patience

    @pytest.fixture
    def page(self, app: Flask, parts: Parts, clock: Clock) -> str:
        """Open a payment and give the address of its page."""
        command = parts.dialects["payfip"].read(SAMPLES["payfip"]("ORDER0000001", clock.now()), clock.now())
        assert isinstance(command, Open)
        result, _ = parts.checkout.opening.open(command, "payfip")
        return str(app.extensions["gateway"].links.page(result.id))

    @staticmethod
    def cancel(client: FlaskClient, page: str) -> None:
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(page).text)
        assert token is not None
        assert client.post(page, data={"csrf_token": token[1], "action": "cancel"}).status_code == 303

    def test_the_payer_waits_once(self, client: FlaskClient, page: str, clock: Clock, patience: Patience) -> None:
        self.cancel(client, page)
        assert patience.seconds == pytest.approx(3, abs=0.06)

        clock.advance(seconds=4)
        self.cancel(client, page)
        assert patience.seconds == pytest.approx(3, abs=0.06)

    def test_two_payers_wait_at_most(
        self, client: FlaskClient, page: str, patience: Patience, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting = BoundedSemaphore(2)
        monkeypatch.setattr("gateway.web.endings._WAITING", waiting)
        for _ in range(2):
            assert waiting.acquire(blocking=False)

        self.cancel(client, page)

        assert patience.seconds == 0

    def test_who_has_waited_makes_room(
        self, client: FlaskClient, page: str, patience: Patience, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting = BoundedSemaphore(1)
        monkeypatch.setattr("gateway.web.endings._WAITING", waiting)

        self.cancel(client, page)

        assert patience.seconds > 0
        assert waiting.acquire(blocking=False)


def test_a_window_opened_by_a_portal_is_not_cut_off_on_the_way(client: FlaskClient, clock: Clock) -> None:
    call = SAMPLES["tipi"]("ORDER0000009", clock.now())

    entered = client.get(f"{call.path}?{call.query}")
    page = client.get(entered.headers["Location"])
    refused = client.get(f"{call.path}?numcli=1")

    policies = [reply.headers["Cross-Origin-Opener-Policy"] for reply in (entered, page, refused)]
    assert policies == ["unsafe-none"] * 3
    assert client.get("/_test/cards").headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_program_that_sends_too_much_is_told_in_its_own_form(client: FlaskClient, clock: Clock) -> None:
    call = SAMPLES["payfip"]("ORDER0000009", clock.now())

    reply = client.post(call.path, data=call.body + b" " * 70_000)

    assert reply.status_code == 413
    assert reply.content_type.startswith("text/xml")
    assert b"Fault" in reply.data


def test_an_unknown_rest_service_is_refused_as_json(client: FlaskClient) -> None:
    reply = client.post("/api-payment/V4/Transaction/Get", json={"uuid": "x"})

    assert reply.is_json
    assert reply.get_json()["status"] == "ERROR"
