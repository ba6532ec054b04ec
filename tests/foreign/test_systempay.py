"""Systempay and PayZen form V2 against a live server: eopayment's ``systempayv2`` (HMAC-SHA-256) and ``payzen`` (SHA-1).

Not run: django-payzen and its tester, django-oscar-systempay, python-payzen and LaurentGrimaud's example want Python 2
or Django 1.11, which Guichet's Python does not run; omnipay-payzen, khalyomede/systempay and the Laravel packages come
from Packagist; the Odoo module is a whole application. What they send and read beyond eopayment (multipart forms, forms
by GET, repeated calls marked RETRY, an always-200 answer) is tried by raw requests.
"""

import base64
import hashlib
import hmac
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import requests

from gateway.cli.payer import Page
from tests.foreign.driver import Driver
from tests.foreign.payer import Person, deliveries, let_pass
from tests.foreign.shop import Answer, Shop
from tests.support.server import Server, wait_until

KEY = "1122334455667788"

# Two shops of one merchant; the back ends are the same class, so each takes one of the algorithms.
BACK_ENDS = {"systempayv2": ("12345678", "hmac_sha256"), "payzen": ("87654321", "sha1")}

# The platform's published test cards.
ACCEPTED, ACCEPTED_BY_SMS = "4970100000000055", "4970100000000009"
MASTERCARD, MAESTRO = "5970100300000000", "5000550000000000"


class Store:
    """A shop that leaves everything to eopayment."""

    def __init__(self, driver: Driver, kind: str, server: Server, shop: Shop) -> None:
        site, algorithm = BACK_ENDS[kind]
        options = {
            "service_url": f"{server.base_url}/vads-payment/",
            "secret_test": KEY,
            "vads_site_id": site,
            "signature_algo": algorithm,
            "automatic_return_url": f"{shop.origin}/ipn",
            "normal_return_url": f"{shop.origin}/back?panier=12",
        }
        self._driver, self._setting = driver, {"kind": kind, "origin": server.base_url, "options": options}

    def request(self, **wish: object) -> Any:
        """Ask for 96.12 EUR; gives ``number``, ``url`` and ``fields`` of the form for the payer's browser."""
        asked = {
            "amount": 96.12,
            "email": "famille@example.org",
            "orderid": secrets.token_hex(6),
            "name": "Michél d'Été",
            "info1": "Cantine de novembre",
            **wish,
        }
        return self._driver.ask("request", **self._setting, wish=asked)

    def read(self, query: str) -> Any:
        """Read a notification or a return."""
        return self._driver.ask("response", **self._setting, query=query)


@pytest.fixture(params=list(BACK_ENDS))
def store(request: pytest.FixtureRequest, eopayment: Driver, server: Server, shop: Shop) -> Store:
    return Store(eopayment, str(request.param), server, shop)


def come(person: Person, asked: dict[str, Any]) -> Page:
    """Send the form as the payer's browser does."""
    page = person.submit(asked["url"], list(asked["fields"].items()))
    assert page.name == "card", page
    return page


@pytest.mark.parametrize("card", [ACCEPTED, ACCEPTED_BY_SMS, MASTERCARD, MAESTRO])
def test_a_payment_is_told_before_the_payer_returns_and_by_the_return(
    store: Store, shop: Shop, person: Person, card: str
) -> None:
    asked = store.request()

    page = person.pay(come(person, asked), card)
    person.open(person.follow_out(page, "return"))

    notified, back = shop.heard
    assert (notified.method, notified.path, back.method, back.path) == ("POST", "/ipn", "GET", "/back")
    assert notified.form["vads_url_check_src"] == "PAY"
    assert back.form["panier"] == "12"
    for query in (notified.body, back.query):
        read = store.read(query)
        assert (read["result"], read["signed"], read["test"]) == ("PAID", True, True)
        assert read["order_id"] == asked["number"]
        assert read["bank_data"]["vads_order_info"] == "Cantine de novembre"
        assert read["bank_data"]["vads_cust_name"] == "Michél d'Été"


@pytest.mark.parametrize(
    ("card", "result", "words"),
    [
        ("4970100000000113", "DENIED", "Ne pas honorer"),
        ("5970100300000098", "DENIED", "limite"),
        ("5000550000000099", "DENIED", "refusé"),
        ("4970100000000097", "DENIED", "refusé"),
        ("4970100000000002", "ERROR", "contacter la banque"),
    ],
    ids=["refused", "limit", "security code", "3-D Secure", "call the bank"],
)
def test_a_refusal_is_told(store: Store, shop: Shop, person: Person, card: str, result: str, words: str) -> None:
    page = person.be_refused(come(person, store.request()), card)

    for query in (shop.wait("/ipn").body, person.follow_out(page, "return").partition("?")[2]):
        read = store.read(query)
        assert (read["result"], words in read["bank_status"]) == (result, True), read


def leave(person: Person, page: Page, server: Server) -> Page:  # noqa: ARG001 - the other way out needs it
    return person.cancel(page)


def stay_away(person: Person, page: Page, server: Server) -> Page:
    # The session lives ten minutes.
    let_pass(server, page.payment, timedelta(minutes=11))
    page = person.open(page.url)
    assert page.name == "expired"
    return page


@pytest.mark.parametrize("end", [leave, stay_away], ids=["cancelled", "expired"])
def test_an_abandoned_payment_is_told(
    store: Store, shop: Shop, person: Person, server: Server, end: Callable[[Person, Page, Server], Page]
) -> None:
    page = end(person, come(person, store.request()), server)

    for query in (shop.wait("/ipn").body, person.follow_out(page, "return").partition("?")[2]):
        read = store.read(query)
        assert (read["result"], read["bank_data"]["vads_trans_status"]) == ("CANCELLED", "ABANDONED")
        # Present though empty, or the library raises.
        assert read["bank_data"]["vads_auth_result"] == ""


def test_money_that_waits_for_the_shop_is_told_as_paid(store: Store, shop: Shop, person: Person) -> None:
    person.pay(come(person, store.request(manual_validation=True)), ACCEPTED)

    read = store.read(shop.wait("/ipn").body)

    assert (read["result"], read["bank_data"]["vads_trans_status"]) == ("PAID", "AUTHORISED_TO_VALIDATE")


def test_a_failed_call_is_repeated_and_signed_anew(store: Store, shop: Shop, person: Person, server: Server) -> None:
    shop.answers["/ipn"] = lambda _: Answer(500 if len(shop.on("/ipn")) == 1 else 302)
    page = person.pay(come(person, store.request()), ACCEPTED)
    wait_until(lambda: deliveries(server, page.payment) == [("new", 1)])

    let_pass(server, page.payment, timedelta(minutes=16))

    wait_until(lambda: deliveries(server, page.payment) == [("sent", 2)])
    first, second = shop.on("/ipn")
    assert [heard.form["vads_url_check_src"] for heard in (first, second)] == ["PAY", "RETRY"]
    assert first.form["signature"] != second.form["signature"]
    assert store.read(second.body)["result"] == "PAID"


def test_a_call_made_again_by_hand_says_so(store: Store, shop: Shop, person: Person, server: Server) -> None:
    page = person.pay(come(person, store.request()), ACCEPTED)
    wait_until(lambda: deliveries(server, page.payment) == [("sent", 1)])

    newest = next(line for line in guichet(server, "notice", "list").splitlines() if " confirmation " in line)
    guichet(server, "notice", "resend", newest.split()[0])

    wait_until(lambda: len(shop.on("/ipn")) == 2)
    first, second = shop.on("/ipn")
    assert [heard.form["vads_url_check_src"] for heard in (first, second)] == ["PAY", "BO"]
    assert store.read(second.body)["result"] == "PAID"


def guichet(server: Server, *words: str) -> str:
    """Run a command of the server's operator."""
    command = [sys.executable, "-m", "gateway", "--home", str(server.home), *words]
    environment = {**os.environ, "GUICHET_DATABASE_URL": f"sqlite:///{server.home}/var/guichet.sqlite"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_only_the_brands_of_the_form_are_taken(store: Store, person: Person) -> None:
    asked = store.request()
    fields = {name: text for name, text in asked["fields"].items() if name != "signature"}
    fields |= {"vads_payment_cards": "MASTERCARD"}
    fields["signature"] = signature(fields)

    page = come(person, {**asked, "fields": fields})

    assert person.enter(page, ACCEPTED).name == "card"
    assert person.pay(page, MASTERCARD).name == "paid"


def signature(fields: Mapping[str, str]) -> str:
    """Sign as the site of the form does."""
    text = "+".join(fields[name] for name in sorted(fields) if name.startswith("vads_")) + f"+{KEY}"
    if fields["vads_site_id"] == "87654321":
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return base64.b64encode(hmac.digest(KEY.encode(), text.encode(), "sha256")).decode()


def test_an_order_is_paid_once(store: Store, shop: Shop, person: Person) -> None:
    order = secrets.token_hex(6)
    person.pay(come(person, store.request(orderid=order)), ACCEPTED)

    again = store.request(orderid=order)
    reply = requests.post(again["url"], data=again["fields"], timeout=60)

    assert (reply.status_code, reply.headers["X-Form-Error"]) == (200, "13")
    assert len(shop.on("/ipn")) == 1


def test_a_form_may_come_by_get_or_in_parts(store: Store, person: Person) -> None:
    by_get, in_parts = store.request(), store.request()

    page = person.open(requests.Request("GET", by_get["url"], params=by_get["fields"]).prepare().url or "")
    parts = {name: (None, value) for name, value in in_parts["fields"].items()}
    reply = requests.post(in_parts["url"], files=parts, timeout=60)

    assert page.name == "card"
    assert (reply.status_code, 'data-page="card"' in reply.text) == (200, True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"vads_amount": "1"}, "00"),
        ({"signature": ""}, "00"),
        ({"vads_site_id": "00000000"}, "02"),
    ],
)
def test_an_altered_form_opens_nothing(store: Store, changes: dict[str, str], code: str) -> None:
    asked = store.request()

    reply = requests.post(asked["url"], data={**asked["fields"], **changes}, timeout=60)

    assert (reply.status_code, reply.headers["X-Form-Error"]) == (200, code)
    assert 'data-page="error"' in reply.text


def test_an_altered_notification_is_not_signed(store: Store, shop: Shop, person: Person) -> None:
    person.cancel(come(person, store.request()))
    body = shop.wait("/ipn").body

    forged = store.read(body.replace("vads_trans_status=ABANDONED", "vads_trans_status=AUTHORISED"))

    assert store.read(body)["signed"] is True
    assert forged["signed"] is False


def test_the_sample_of_the_guide_opens_a_page(server: Server, person: Person) -> None:
    # Hosted Payment Page guide, "Computing the signature": these fields, this key, this result.
    sample = {
        "vads_action_mode": "INTERACTIVE", "vads_amount": "5124", "vads_ctx_mode": "TEST", "vads_currency": "978",
        "vads_page_action": "PAYMENT", "vads_payment_config": "SINGLE", "vads_site_id": "12345678",
        "vads_trans_date": "20170129130025", "vads_trans_id": "123456", "vads_version": "V2",
        "signature": "ycA5Do5tNvsnKdc/eP1bj2xa19z9q3iWPy9/rpesfS0=",
    }  # fmt: skip

    page = person.submit(f"{server.base_url}/vads-payment/", list(sample.items()))

    assert page.name == "card"
