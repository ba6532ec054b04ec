"""Payline over bare HTTP: what no library would send, what only the wire shows, and the notification.

The recorded envelopes are those of clients that cannot run here (see test_payline.py).
"""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.foreign.driver import Driver
from tests.foreign.payer import Person, deliveries, let_pass
from tests.foreign.payline import BASIC, CARD, DIRECT, EXTENDED, MERCHANT, WEB, Client, new_order, wish
from tests.foreign.raw import Reply, post
from tests.foreign.shop import Answer, Shop
from tests.support.server import ROOT, Server, get, wait_until

RECORDED = ROOT / "tests/dialects/vectors/payline"
LET_IN = {"Authorization": f"Basic {BASIC}"}


@pytest.fixture
def zeep(soap: Driver, server: Server) -> Client:
    return Client("zeep", soap, server)


def send(
    server: Server, envelope: str, headers: dict[str, str] | None = None, path: str = f"/V4/services/{WEB}"
) -> Reply:
    return post(server.base_url + path, envelope, {**LET_IN, **(headers or {})})


def value(reply: Reply, name: str) -> str:
    """Read the first element of a name."""
    found = re.search(rf"<(?:\w+:)?{name}>([^<]*)<", reply.body)
    return found[1] if found else ""


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.xml")))
def test_the_envelope_of_each_client_opens_a_payment_and_its_page(server: Server, person: Person, name: str) -> None:
    envelope = (RECORDED / f"{name}.xml").read_text().replace("44023989", new_order())

    reply = send(server, envelope)

    assert (reply.status, value(reply, "code")) == (200, "00000"), reply.body
    assert person.open(value(reply, "redirectURL")).name == "card"
    legacy = f"{server.base_url}/webpayment/step2.do?reqCode=prepareStep2&token={value(reply, 'token')}"
    assert person.open(legacy).name == "card"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain", "SOAPAction": "doWebPayment"},
        {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"another"', "version": "shop 1 - PHP SDK 4.77"},
    ],
    ids=["none", "as pysimplesoap", "as the SDKs"],
)
@pytest.mark.parametrize("path", ["/V4/services", "/services"])
@pytest.mark.parametrize("api", [WEB, DIRECT, EXTENDED])
def test_neither_header_nor_path_decides_what_is_asked(
    server: Server, path: str, api: str, headers: dict[str, str]
) -> None:
    envelope = (RECORDED / "ruby-out-of-order.xml").read_text().replace("44023989", new_order())

    reply = send(server, envelope, headers, f"{path}/{api}")

    assert (reply.status, value(reply, "code")) == (200, "00000"), reply.body
    assert reply.headers["content-type"] == "text/xml; charset=UTF-8"


def test_the_directory_leads_the_sdks_to_this_server(server: Server, php: Driver, shop: Shop) -> None:
    listed = json.loads(get(f"{server.base_url}/services/servicesendpoints/SOAP/{MERCHANT}").text)

    # As the SDK does: the first address, then the name of the service, and the description it brought along.
    opened = php.ask(
        "call",
        wsdl=f"{server.base_url}/V4/services/{WEB}?wsdl",
        operation="doWebPayment",
        arguments=wish(shop),
        options={
            "login": MERCHANT,
            "password": "DJMESHXYou6LmjQFdH",
            "location": f"{listed['urls'][0]}/services/{WEB}",
        },
    )

    assert listed["ttl"] > 0
    assert opened["result"]["code"] == "00000"


def test_the_description_is_for_everybody_and_names_this_server(server: Server) -> None:
    for api in (WEB, DIRECT, EXTENDED):
        told = get(f"{server.base_url}/V4/services/{api}?wsdl")
        assert (told.status_code, f'location="{server.base_url}/V4/services/{api}"' in told.text) == (200, True)


def test_bad_credentials_are_told_by_the_status_line(server: Server) -> None:
    reply = post(f"{server.base_url}/V4/services/{WEB}", (RECORDED / "php-sdk.xml").read_text())

    assert (reply.status, reply.reason) == (401, "Unauthorized")
    assert reply.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    ("prologue", "status"),
    [
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', 500),
        ('<!DOCTYPE a [<!ENTITY x "lol">]>', 500),
        ("<!--" + "x" * 1024 * 1024 + "-->", 413),
    ],
    ids=["external entity", "entity", "more than a megabyte"],
)
def test_hostile_envelopes_open_nothing(server: Server, prologue: str, status: int) -> None:
    envelope = (RECORDED / "php-sdk.xml").read_text()
    declaration, _, rest = envelope.rpartition("?>")

    reply = send(server, f"{declaration}?>{prologue}{rest}" if declaration else prologue + envelope)

    assert (reply.status, "redirectURL" in reply.body) == (status, False), reply.body
    assert "root:" not in reply.body


def test_the_merchant_is_told_by_a_get_and_once(zeep: Client, server: Server, shop: Shop, person: Person) -> None:
    token = zeep.call("doWebPayment", **wish(shop))["token"]
    page = person.pay(person.open(f"{server.base_url}/v2/?token={token}"), CARD)

    # The payer's browser has a head start.
    let_pass(server, page.payment, timedelta(seconds=30))

    heard = shop.wait("/notify")
    assert (heard.method, heard.body) == ("GET", "")
    assert heard.query == f"shop=7&notificationType=WEBTRS&token={token}"
    wait_until(lambda: deliveries(server, page.payment) == [("sent", 1)])


def test_a_merchant_that_fails_is_told_again_until_it_asks(
    zeep: Client, server: Server, shop: Shop, person: Person
) -> None:
    shop.answers["/notify"] = lambda _: Answer(500)
    token = zeep.call("doWebPayment", **wish(shop))["token"]
    page = person.cancel(person.open(f"{server.base_url}/v2/?token={token}"))
    for tries in (1, 2):
        let_pass(server, page.payment, timedelta(minutes=2))
        wait_until(lambda tries=tries: deliveries(server, page.payment) == [("new", tries)])  # type: ignore[misc]  # bound

    code = zeep.code(token)

    assert code == "02319"
    assert deliveries(server, page.payment) == [("sent", 2)]
    assert len(shop.on("/notify")) == 2


def test_a_merchant_that_asks_at_once_is_not_told(zeep: Client, server: Server, shop: Shop, person: Person) -> None:
    token = zeep.call("doWebPayment", **wish(shop))["token"]
    page = person.pay(person.open(f"{server.base_url}/v2/?token={token}"), CARD)

    assert zeep.code(token) == "00000"

    assert deliveries(server, page.payment) == [("sent", 0)]
    assert shop.on("/notify") == []


@pytest.mark.parametrize(
    ("told", "liked", "spoken"),
    [(None, "ja,en;q=0.8,fr;q=0.5", "en"), (None, "ja", "fr"), (None, "", "fr"), ("eng", "fr", "en")],
)
def test_the_page_speaks_the_browser_s_language_when_the_merchant_names_none(
    zeep: Client, shop: Shop, told: str | None, liked: str, spoken: str
) -> None:
    opened = zeep.call("doWebPayment", **wish(shop, languageCode=told))

    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(opened["redirectURL"], headers={"Accept-Language": liked}, timeout=60)

    assert f'<html lang="{spoken}"' in page.text


def test_the_same_wish_again_is_the_same_payment(zeep: Client, shop: Shop) -> None:
    asked = wish(shop, ref=new_order())

    first, second = zeep.call("doWebPayment", **asked), zeep.call("doWebPayment", **asked)

    assert first["token"] == second["token"]


@pytest.mark.parametrize(
    "address", ["https://shop.example/a|b", "shop.example/return", "https://shop.example/" + "x" * 250]
)
def test_an_address_that_cannot_be_called_is_refused_at_once(zeep: Client, shop: Shop, address: str) -> None:
    refused = zeep.call("doWebPayment", **wish(shop, returnURL=address, cancelURL=address))

    assert refused["result"]["code"] == "02305"
    assert "Return URL" in refused["result"]["longMessage"]
    assert "Cancel URL" in refused["result"]["longMessage"]


def test_neither_card_nor_code_is_kept_anywhere(zeep: Client, server: Server, shop: Shop, person: Person) -> None:
    token = zeep.call("doWebPayment", **wish(shop))["token"]
    page = person.open(f"{server.base_url}/v2/?token={token}")
    typed = {"number": CARD, "expiry": "12/30", "security_code": "737", "email": "famille@example.org"}
    page = person.press(person.press(page, "pay", **typed), "confirm")

    told = json.dumps(zeep.details(token))
    person.wait_for("mail", page.payment, 2)

    assert page.name == "paid"
    kept = [file for file in server.home.rglob("*") if file.is_file() and "config" not in file.parts]
    assert [file for file in kept if holds(file, CARD)] == []
    assert (CARD in told, '"737"' in told) == (False, False)


def holds(file: Path, number: str) -> bool:
    try:
        return number.encode() in file.read_bytes()
    except FileNotFoundError:
        # Another test's mail, on its way from the folder where it was written to the one where it is kept.
        return False
