"""Payline web payment through published SOAP clients, each over the WSDL this server serves.

Run here: zeep (strict), suds, pysimplesoap, PHP's SoapClient and Node's soap. Not run: the PHP SDK comes from Packagist
and the Java one from Maven Central, so their calls are SoapClient's and a recorded envelope of each shape (see
test_payline_raw.py); pypayline and django-payline are written in Python 2, but call pysimplesoap and suds as below;
Ruby's gateway is on no registry we use, its envelope is among the recorded ones; the rest are plug-ins of whole shops
over the same SDK. States no payment of ours can be in are not tried: waiting for a partner (02000, 02005, 02015,
02016) and held for fraud (04001, 04003). The public name ``payline`` is gone from npm: its client was ``soap`` without a version, as below.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.cli.payer import Page
from tests.foreign.driver import Driver, Failed
from tests.foreign.payer import Person, let_pass
from tests.foreign.payline import CARD, CARD_BY_SMS, DIRECT, EXTENDED, KEY, WEB, Client, new_order, wish
from tests.foreign.shop import Shop
from tests.support.server import Server

CLIENTS = {"zeep": "soap", "suds": "soap", "pysimplesoap": "soap", "php": "php", "node": "node"}
Leave = Callable[[Person, Page], Page]
VERSIONS = ("4", "13", "19", "26", "34")

# The public simulator's card for 01116: tenth digit 9, then the code, then Luhn's digit.
OVER_LIMIT = "4970103469011167"

PAYMENT = {"amount": "9612", "currency": "978", "action": "101", "mode": "CPT", "contractNumber": "1234567"}


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest, server: Server) -> Client:
    driver: Driver = request.getfixturevalue(CLIENTS[str(request.param)])
    return Client(str(request.param), driver, server)


@pytest.fixture
def strict(soap: Driver, server: Server) -> Client:
    """Raise on any element the WSDL does not know, and on one that is missing or misplaced."""
    return Client("zeep", soap, server)


def test_every_client_follows_a_payment_from_its_opening_to_the_money(
    client: Client, shop: Shop, person: Person
) -> None:
    ref = new_order()
    opened = client.call("doWebPayment", **wish(shop, ref=ref))
    codes = [client.code(opened["token"])]
    page = person.open(opened["redirectURL"])
    codes.append(client.code(opened["token"]))

    page = person.pay(page, CARD_BY_SMS)
    told = client.details(opened["token"])

    assert opened["result"]["code"] == "00000"
    assert [*codes, told["result"]["code"]] == ["02533", "02306", "00000"]
    assert told["result"]["shortMessage"] == "ACCEPTED"
    assert (told["card"]["number"], told["card"]["type"]) == ("497010XXXXXX4471", "CB")
    assert (len(told["transaction"]["id"]), told["transaction"]["isPossibleFraud"]) == (14, "0")
    assert (told["order"]["ref"], private_data(told)) == (ref, {"key": "id_cart", "value": "7"})
    carried = f"token={opened['token']}&paylinetoken={opened['token']}"
    assert person.follow_out(page, "return") == f"{shop.origin}/return?e=1&{carried}"


def private_data(told: Any) -> Any:
    """Give the one private datum, which some clients put into a list and some do not."""
    found = told["privateDataList"]["privateData"]
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize(
    ("leave", "way", "code", "short"),
    [
        (lambda person, page: person.be_refused(page, OVER_LIMIT), "return?e=1&", "01116", "REFUSED"),
        (lambda person, page: person.enter(page, OVER_LIMIT), "return?e=1&", "01116", "REFUSED"),
        (lambda person, page: person.cancel(page), "cancel?", "02319", "CANCELLED"),
    ],
    ids=["refused", "given up", "cancelled"],
)
def test_every_client_reads_what_came_to_nothing(
    client: Client, shop: Shop, person: Person, leave: Leave, way: str, code: str, short: str
) -> None:
    opened = client.call("doWebPayment", **wish(shop))

    left = person.follow_out(leave(person, person.open(opened["redirectURL"])), "return")

    told = client.details(opened["token"])
    assert (told["result"]["code"], told["result"]["shortMessage"]) == (code, short)
    assert left.startswith(f"{shop.origin}/{way}token={opened['token']}")


def test_every_client_reads_what_time_ended(client: Client, shop: Shop, person: Person, server: Server) -> None:
    never, seen = client.call("doWebPayment", **wish(shop)), client.call("doWebPayment", **wish(shop))
    page = person.open(seen["redirectURL"])

    for opened in (never, seen):
        let_pass(server, opened["token"], timedelta(minutes=16))
    person.open(never["redirectURL"])
    page = person.open(page.url)

    assert page.name == "expired"
    assert [client.code(opened["token"]) for opened in (never, seen)] == ["02534", "02324"]
    unknown = client.details("NobodyKnowsThisToken01795244132962")
    assert (unknown["result"]["code"], unknown["result"]["shortMessage"]) == ("02304", "ERROR")


@pytest.mark.parametrize(
    ("amount", "code"),
    [("33305", "01100"), ("33363", "01122"), ("33334", "01202"), ("33312", "01902"), ("33394", "01913")],
)
def test_an_amount_of_the_public_simulator_forces_its_code(
    strict: Client, shop: Shop, person: Person, amount: str, code: str
) -> None:
    asked = wish(shop, payment={**PAYMENT, "amount": amount})
    opened = strict.call("doWebPayment", **{**asked, "order": {**asked["order"], "amount": amount}})

    person.be_refused(person.open(opened["redirectURL"]), CARD)

    assert strict.code(opened["token"]) == code


def test_a_payment_that_gave_way_to_another_of_its_order_says_so(strict: Client, shop: Shop) -> None:
    ref = new_order()
    first = strict.call("doWebPayment", **wish(shop, ref=ref))

    second = strict.call("doWebPayment", **wish(shop, ref=ref, payment={**PAYMENT, "amount": "5000"}))

    told = strict.details(first["token"])["result"]
    assert (told["code"], told["shortMessage"]) == ("02014", "CANCELLED")
    assert strict.code(second["token"]) == "02533"


def test_every_client_reads_what_is_wrong_with_a_wish(client: Client, shop: Shop) -> None:
    refused = client.call("doWebPayment", **wish(shop, returnURL="ftp://shop.example/"))

    assert refused["result"]["code"] == "02305"
    assert "Return URL" in refused["result"]["longMessage"]
    # Absent for Node, which leaves nil elements out; nil for those that raise when it is absent.
    assert refused.get("token") is None
    assert refused.get("redirectURL") is None


def test_two_private_data_come_back_as_they_went(strict: Client, shop: Shop) -> None:
    data = [{"key": "id_cart", "value": "7"}, {"key": "secure_key", "value": " é&< "}]
    opened = strict.call("doWebPayment", **wish(shop, privateDataList={"privateData": data}))

    assert strict.details(opened["token"])["privateDataList"]["privateData"] == data


@pytest.mark.parametrize("of_version", [False, True], ids=["whole WSDL", "WSDL of the version"])
@pytest.mark.parametrize("version", VERSIONS)
def test_strict_zeep_reads_every_state_at_every_version(
    soap: Driver, server: Server, shop: Shop, person: Person, version: str, of_version: bool
) -> None:
    strict = Client("zeep", soap, server, version=version if of_version else "")
    tokens = [strict.call("doWebPayment", **wish(shop, version))["token"] for _ in range(5)]
    new, opened, cancelled, refused, paid = tokens
    pages = {token: person.open(f"{server.base_url}/v2/?token={token}") for token in tokens[1:]}
    person.cancel(pages[cancelled])
    person.follow_out(person.enter(pages[refused], OVER_LIMIT), "return")
    person.pay(pages[paid], CARD)

    told = {token: strict.details(token, version) for token in tokens}

    codes = [told[token]["result"]["code"] for token in (new, opened, cancelled, refused, paid)]
    assert codes == ["02533", "02306", "02319", "01116", "00000"]
    assert told[paid]["order"]["details"]["details"][0]["comment"] == "Cantine de novembre"
    # The buyer is told from version 19 on; before that, a parser of the time raises on the tag.
    assert (told[paid].get("buyer") is not None) == (int(version) >= 19)


@pytest.mark.parametrize("version", VERSIONS)
def test_pysimplesoap_knows_every_tag_of_its_version(
    soap: Driver, server: Server, shop: Shop, person: Person, version: str
) -> None:
    client = Client("pysimplesoap", soap, server, version=version)
    opened = client.call("doWebPayment", **wish(shop, version))
    before = client.details(opened["token"], version)

    person.pay(person.open(opened["redirectURL"]), CARD)

    assert before["result"]["code"] == "02533"
    assert client.details(opened["token"], version)["card"]["number"] == "497010XXXXXX1646"


def test_node_without_a_version_is_answered_as_by_the_oldest(
    node: Driver, server: Server, shop: Shop, person: Person
) -> None:
    # As the public npm client of 2016 asked: no version, no notification, an empty buyer, a bare contract list.
    client = Client("node", node, server)
    asked = wish(shop, None, notificationURL=None, buyer={}, selectedContractList=None, privateDataList=None)
    opened = client.call("doWebPayment", **asked)

    person.pay(person.open(opened["redirectURL"]), CARD)

    told = client.details(opened["token"], None)
    assert told["result"]["code"] == "00000"
    assert "buyer" not in told
    assert "partnerCode" not in told["result"]


@pytest.mark.parametrize("version", ["4", "19", "34"])
def test_strict_zeep_reads_each_debit_of_a_purchase_in_parts(
    soap: Driver, server: Server, shop: Shop, person: Person, version: str
) -> None:
    strict = Client("zeep", soap, server, version=version)
    parts = {"amount": "3204", "billingCycle": "40", "billingLeft": "3"}
    asked = wish(shop, version, payment={**PAYMENT, "mode": "NX"}, recurring=parts)
    opened = strict.call("doWebPayment", **asked)

    person.pay(person.open(opened["redirectURL"]), CARD)

    told = strict.details(opened["token"], version)
    records = told["billingRecordList"]["billingRecord"]
    assert [(one["rank"], one["status"], one["amount"]) for one in records] == [
        ("1", "1", "3204"), ("2", "0", "3204"), ("3", "0", "3204"),
    ]  # fmt: skip
    assert records[0]["transaction"]["id"] == told["transaction"]["id"]


# A call of each kind, with the objects merchants' code builds from the description.
CARD_GIVEN = {"number": CARD, "type": "CB", "expirationDate": "1230", "cvx": "123"}
NOT_CARRIED_OUT: list[tuple[str, str, dict[str, Any]]] = [
    (WEB, "createWebWallet", {"contractNumber": "1234567", "buyer": {"email": "famille@example.org"}}),
    (DIRECT, "doAuthorization", {"payment": PAYMENT, "card": CARD_GIVEN, "privateDataList": {"privateData": []}}),
    (DIRECT, "createWallet", {"contractNumber": "1234567", "wallet": {"walletId": "7", "card": CARD_GIVEN}}),
    (DIRECT, "getPaymentRecord", {"contractNumber": "1234567", "paymentRecordId": "1"}),
    (DIRECT, "disableWallet", {"contractNumber": "1234567", "walletIdList": {"walletId": "7"}}),
    (DIRECT, "prepareSession", {}),
    (EXTENDED, "transactionsSearch", {"orderRef": "44023989"}),
    (EXTENDED, "getAlertDetails", {"AlertId": "1", "TransactionId": "2"}),
]


@pytest.mark.parametrize(("api", "operation", "arguments"), NOT_CARRIED_OUT, ids=[one[1] for one in NOT_CARRIED_OUT])
def test_every_client_reads_that_a_function_is_not_available(
    client: Client, api: str, operation: str, arguments: dict[str, Any]
) -> None:
    told = client.call(operation, api=api, **arguments)

    # Of a reply that holds one element alone, zeep and suds give that element.
    result = told.get("result", told)
    assert (result["code"], result["shortMessage"]) == ("02010", "ERROR")


def test_a_wrong_key_is_said_in_the_word_that_plugins_compare(php: Driver, server: Server, shop: Shop) -> None:
    stranger = Client("php", php, server, key="nope")

    with pytest.raises(Failed) as refused:
        stranger.call("doWebPayment", **wish(shop))

    assert refused.value.text == "Unauthorized"


@pytest.mark.parametrize("name", ["zeep", "suds", "node"])
def test_a_wrong_key_is_an_error_everywhere(
    name: str, request: pytest.FixtureRequest, server: Server, shop: Shop
) -> None:
    driver: Driver = request.getfixturevalue(CLIENTS[name])

    with pytest.raises(Failed) as refused:
        Client(name, driver, server, key=f"{KEY}x").call("doWebPayment", **wish(shop))

    assert "401" in refused.value.text or refused.value.facts["status"] == 401


@pytest.mark.parametrize("version", VERSIONS)
def test_strict_zeep_reads_what_a_merchant_does_with_its_money(
    soap: Driver, server: Server, shop: Shop, person: Person, version: str
) -> None:
    strict = Client("zeep", soap, server)
    payment = {**PAYMENT, "action": "100"}
    order = new_order()
    token = strict.call("doWebPayment", **wish(shop, version, ref=order, payment=payment))["token"]
    person.pay(person.open(f"{server.base_url}/v2/?token={token}"), CARD)
    number = strict.details(token, version)["transaction"]["id"]
    named = {"version": version, "transactionID": number}

    captured = strict.call("doCapture", api=DIRECT, **named, payment={**payment, "action": "201"})
    found = strict.call("getTransactionDetails", api=EXTENDED, version=version, orderRef=order)
    refunded = strict.call("doRefund", api=DIRECT, **named, payment={**payment, "action": "421"}, comment="trop payé")
    settings = strict.call("getMerchantSettings", api=DIRECT, version=version)
    keys = strict.call("getEncryptionKey", api=DIRECT, version=version)

    codes = [told["result"]["code"] for told in (captured, found, refunded, settings, keys)]
    assert codes == ["00000"] * 5
    assert found["transaction"]["id"] == number


def paid(client: Client, shop: Shop, person: Person) -> dict[str, str]:
    """Name a paid payment as the operations on money do."""
    opened = client.call("doWebPayment", **wish(shop))
    person.pay(person.open(opened["redirectURL"]), CARD)
    return {"version": "26", "transactionID": client.details(opened["token"])["transaction"]["id"]}


def test_a_reset_undoes_what_was_paid_today(client: Client, shop: Shop, person: Person) -> None:
    named = paid(client, shop, person)

    reset = client.call("doReset", api=DIRECT, **named, comment="annulation")
    again = client.call("doRefund", api=DIRECT, **named, payment=PAYMENT, comment="encore")

    assert (reset["result"]["code"], again["result"]["code"]) == ("00000", "02110")


def test_a_refund_takes_the_payment_as_it_was_told(client: Client, shop: Shop, person: Person) -> None:
    named = paid(client, shop, person)
    person.close_day()

    # One production portal sends the payment back as it got it, action 101 and all.
    refunded = client.call("doRefund", api=DIRECT, **named, payment=PAYMENT, comment="trop payé")

    assert refunded["result"]["code"] == "00000"


def test_no_reset_undoes_what_the_closed_day_has_settled(client: Client, shop: Shop, person: Person) -> None:
    named = paid(client, shop, person)
    person.close_day()

    reset = client.call("doReset", api=DIRECT, **named, comment="annulation")

    assert reset["result"]["code"] == "01917"
