"""The Payline dialect with bytes alone: who is let in, what opens a payment, what is told of it, and how it says no."""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.core.errors import (
    AcquirerUnreachable,
    DeliveryFailed,
    GatewayError,
    NotAuthentic,
    NotFound,
    RequestConflict,
    SettingsError,
    StoreBusy,
    WrongStatus,
)
from gateway.core.money import Money
from gateway.core.payment import Event, Instalment, RefundResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import ErrorPage, HttpCall, HttpReply, LookUp, Open, Refund, Resume, Say, Try
from gateway.dialects.payline import PaylineDialect, codes, urls
from gateway.dialects.payline.merchant import Terms
from gateway.dialects.payline.operations import PaylineCapture
from tests.dialects.payline_counter import (
    BASIC,
    DIRECT,
    EXTENDED,
    NOW,
    ORDINARY,
    ORIGIN,
    PAGE,
    WEB,
    Counter,
    a_dialect,
    a_house,
    a_merchant,
    an_attempt,
    ask,
    basic,
    has,
    opening,
    read,
)

VECTORS = Path(__file__).parent / "vectors/payline"


@pytest.fixture
def counter() -> Counter:
    return Counter()


def opened(counter: Counter, body: bytes = b"") -> str:
    token = read(counter.post(WEB, body or opening()), "token")
    assert token
    return token


def details(counter: Counter, token: str, version: str = "34") -> HttpReply:
    return counter.post(WEB, ask("getWebPaymentDetails", f"<version>{version}</version><token>{token}</token>"))


def command_of(body: bytes, protocol: Mapping[str, object] = MappingProxyType({}), **changes: object) -> Open:
    command = a_dialect(protocol, **changes).read(
        HttpCall("POST", WEB, headers={"authorization": BASIC}, body=body), NOW
    )
    assert isinstance(command, Open)
    return command


def swap(old: str, new: str) -> Callable[[str], str]:
    assert old in ORDINARY
    return lambda content: content.replace(old, new)


# Who is asking.


def test_the_published_credentials_are_let_in(counter: Counter) -> None:
    assert basic("1234567890", "DJMESHXYou6LmjQFdH") == BASIC
    assert counter.post(WEB, opening()).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ????",
        "Basic \xe9",
        "Bearer MTIz",
        basic("1234567890", "djmeshxyou6lmjqfdh"),
        basic("1234567890", ""),
        basic("1234567891", "DJMESHXYou6LmjQFdH"),
        basic("DJMESHXYou6LmjQFdH", "1234567890"),
    ],
)
def test_bad_credentials_are_told_by_the_status_line(counter: Counter, header: str) -> None:
    reply = counter.post(WEB, b"not even XML", header)

    assert (reply.status, reply.reason) == (401, "Unauthorized")
    assert re.fullmatch(r'Basic realm="[^"]+"', reply.headers["WWW-Authenticate"])
    assert not reply.headers["Content-Type"].startswith("text/xml")


@pytest.mark.parametrize(
    ("user", "key", "cause"),
    [
        ("1234567890", "djmeshxyOU6lMJqfDh", "key in other case"),
        ("1234567890", " DJMESHXYou6LmjQFdH", "spaces around a value"),
        ("DJMESHXYou6LmjQFdH", "1234567890", "id and key exchanged"),
        ("0001234567890", "DJMESHXYou6LmjQFdH", "id with leading zeros"),
        ("1234567890", "something-else", "the access key is another"),
    ],
)
def test_the_developer_is_told_why_and_never_the_key(user: str, key: str, cause: str) -> None:
    with pytest.raises(NotAuthentic) as caught:
        a_dialect().read(HttpCall("POST", WEB, headers={"authorization": basic(user, key)}), NOW)

    assert cause in caught.value.diagnosis["cause"]
    told = " ".join(caught.value.diagnosis.values()).lower()
    assert "djmeshxyou6lmjqfdh" not in told
    assert "something-else" not in told


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "credentials_missing"), ("Bearer MTIz", "credentials_missing"), ("Basic ????", "credentials_malformed"),
        (basic("x" * 50, "y"), "bad_credentials"), (basic("1234567890", "y").replace("Basic", "BASIC"), "bad_credentials"),
    ],
)  # fmt: skip
def test_a_refusal_says_how_to_ask_and_how_it_came(header: str, code: str) -> None:
    with pytest.raises(NotAuthentic) as caught:
        a_dialect().read(HttpCall("POST", WEB, headers={"authorization": header}), NOW)

    assert (caught.value.code, caught.value.fix) == (code, "send HTTP Basic with the merchant id and the access key")


@pytest.mark.parametrize(
    ("user", "key", "received", "cause"),
    [
        ("0" * 50 + "1234567890", "DJMESHXYou6LmjQFdH", "0" * 40 + ":...", "The mistake is: id with leading zeros."),
        ("DJMESHXYou6LmjQFdH", "1234567890", "<a merchant's key>:...", "The mistake is: id and key exchanged."),
        ("01234567890 ", "other", "01234567890 :...", "The merchant id is right, the access key is another."),
    ],
)
def test_the_diagnosis_is_whole(user: str, key: str, received: str, cause: str) -> None:
    with pytest.raises(NotAuthentic) as caught:
        a_dialect().read(HttpCall("POST", WEB, headers={"authorization": basic(user, key)}), NOW)

    told = caught.value.diagnosis
    assert dict(told) == {
        "dialect": "payline",
        "merchant": told["merchant"],
        "signed": "nothing: HTTP Basic carries <merchant id>:<access key> in base64",
        "expected": "1234567890:<the access key>",
        "received": received,
        "first_difference": "",
        "cause": cause,
        "tried": "spaces around a value, id and key exchanged, key in other case, id with leading zeros",
    }


def test_a_production_merchant_s_refusal_is_not_explained() -> None:
    dialect = a_dialect(mode="production")

    with pytest.raises(NotAuthentic) as caught:
        dialect.read(HttpCall("POST", WEB, headers={"authorization": basic("1234567890", "wrong")}), NOW)

    assert not caught.value.diagnosis


# Descriptions and the directory.


@pytest.mark.parametrize("prefix", ["/V4/services/", "/services/"])
@pytest.mark.parametrize("api", ["WebPaymentAPI", "DirectPaymentAPI", "ExtendedAPI"])
def test_the_wsdl_is_served_to_anybody_with_our_address(counter: Counter, prefix: str, api: str) -> None:
    reply = counter.call(HttpCall("GET", prefix + api, "wsdl"))

    assert isinstance(reply, HttpReply)
    wsdl = etree.fromstring(reply.body)
    places = wsdl.xpath("//*[local-name()='address']/@location")
    elements = wsdl.xpath("//*[local-name()='sequence']/*[local-name()='element']")
    assert isinstance(places, list)
    assert isinstance(elements, list)
    assert [str(place) for place in places] == [ORIGIN + prefix + api]
    assert len(elements) > 100
    assert {(one.get("minOccurs"), one.get("nillable")) for one in elements} == {("0", "true")}  # type: ignore[union-attr]


@pytest.mark.parametrize(("version", "holds"), [("18", False), ("19", True), ("", True)])
def test_the_wsdl_of_one_version_holds_its_elements_only(counter: Counter, version: str, holds: bool) -> None:
    query = f"wsdl&version={version}" if version else "wsdl"

    reply = counter.call(HttpCall("GET", WEB, query))

    assert isinstance(reply, HttpReply)
    response = "//*[local-name()='element'][@name='getWebPaymentDetailsResponse']"
    assert etree.fromstring(reply.body).xpath(f"boolean({response}//*[@name='buyer'])") is holds


def test_the_endpoint_directory_names_this_server(counter: Counter) -> None:
    reply = counter.call(HttpCall("GET", "/services/servicesendpoints/SOAP/1234567890"))

    assert isinstance(reply, HttpReply)
    assert reply.body == b'{"urls": ["https://pay.example.org"], "ttl": 60}'


@pytest.mark.parametrize(("method", "path", "status"), [("GET", WEB, 405), ("GET", "/V4/services/Other", 404)])
def test_other_calls_are_refused_over_http(counter: Counter, method: str, path: str, status: int) -> None:
    reply = counter.call(HttpCall(method, path))

    assert isinstance(reply, HttpReply)
    assert reply.status == status


# Opening a payment.


@pytest.mark.parametrize("name", sorted(path.name for path in VECTORS.glob("*.xml")))
def test_every_client_s_request_opens_the_same_payment(counter: Counter, name: str) -> None:
    reply = counter.post(WEB, (VECTORS / name).read_bytes())

    request = counter.payments[-1].request
    assert read(reply, "result", "code") == "00000"
    assert (request.merchant, request.reference, request.amount) == ("falaise-demo", "44023989", Money(9612))
    assert request.return_url.startswith("https://shop.example/return")
    assert request.wire["contracts"] == "1234567"


def test_the_reply_gives_a_token_and_where_to_go(counter: Counter) -> None:
    reply = counter.post("/services/DirectPaymentAPI", opening())

    token = read(reply, "token") or ""
    assert re.fullmatch(r"[A-Za-z0-9]{19}1795251600000", token)
    assert read(reply, "redirectURL") == f"https://pay.example.org/v2/?token={token}"
    assert read(reply, "result", "shortMessage") == "ACCEPTED"
    assert read(reply, "result", "longMessage") == "Transaction approved"


def test_the_command_says_how_the_page_lives() -> None:
    command = command_of(opening())

    assert (command.page_minutes, command.resumes, command.by_browser) == (15, True, False)
    assert command.replaces == {Status.CREATED, Status.OPENED}
    assert command_of(opening(), {"page_minutes": 30}).page_minutes == 30


def test_tokens_and_numbers_are_drawn_anew_but_the_wish_is_the_same() -> None:
    first, second = command_of(opening()), command_of(opening(swap("10:00", "10:01")))

    assert first.handle != second.handle
    assert first.signed.jti != second.signed.jti
    assert first.signed.digest == second.signed.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "<amount>9612</amount><currency>978</currency><action>",
            "<amount>9613</amount><currency>978</currency><action>",
        ),
        ("<action>101", "<action>100"),
        ("44023989", "44023988"),
        ("return?e=1", "return?e=2"),
        ("cancel#top", "cancel"),
        ("notify?shop=2", "notify?shop=3"),
        (
            "</order>",
            "</order><privateDataList><privateData><key>a</key><value>b</value></privateData></privateDataList>",
        ),
    ],
)
def test_another_wish_has_another_digest(old: str, new: str) -> None:
    assert command_of(opening()).signed.digest != command_of(opening(swap(old, new))).signed.digest


@pytest.mark.parametrize(("action", "by_hand"), [("100", True), ("101", False), ("110", True), ("121", False)])
def test_the_action_says_who_captures(action: str, by_hand: bool) -> None:
    request = command_of(opening(swap("<action>101", f"<action>{action}"))).request

    assert (request.capture_by_hand, request.capture_days) == (by_hand, 0)


@pytest.mark.parametrize("when", ["26/11/26", "26/11/2026"])
def test_a_deferred_payment_waits_for_its_day(when: str) -> None:
    content = swap("<mode>CPT</mode>", f"<mode>DIF</mode><differedActionDate>{when}</differedActionDate>")

    request = command_of(opening(content)).request

    assert (request.capture_by_hand, request.capture_days) == (False, 5)


# An empty date of .NET's is the first of all days.
@pytest.mark.parametrize("when", ["", "soon", "20/11/2026", "22/11/2027", "01/01/0001", "31/12/9999"])
def test_a_deferred_payment_waits_a_year_at_most_and_for_no_day_that_is_past(counter: Counter, when: str) -> None:
    content = swap("<mode>CPT</mode>", f"<mode>DIF</mode><differedActionDate>{when}</differedActionDate>")

    reply = counter.post(WEB, opening(content))

    assert read(reply, "result", "code") == "02305"
    assert (read(reply, "result", "longMessage") or "").startswith(
        "Invalid field format : Deferred Action Date : Must "
    )
    assert counter.payments == []


@pytest.mark.parametrize(
    ("recurring", "first", "later"),
    [
        (
            "<amount>3204</amount><billingCycle>40</billingCycle><billingLeft>3</billingLeft>",
            3204,
            [(date(2026, 12, 21), 3204), (date(2027, 1, 21), 3204)],
        ),
        (
            "<firstAmount>3612</firstAmount><amount>3000</amount><billingCycle>40</billingCycle><billingLeft>2</billingLeft>"
            "<billingDay>31</billingDay>",
            3612,
            [(date(2026, 12, 31), 3000), (date(2027, 1, 31), 3000)],
        ),
        (
            "<firstAmount>9000</firstAmount><amount>306</amount><billingCycle>20</billingCycle><billingLeft>2</billingLeft>"
            "<startDate>05/12/2026</startDate>",
            9000,
            [(date(2026, 12, 5), 306), (date(2026, 12, 12), 306)],
        ),
        # The fifth of the month to start in is past: nothing is debited twice on the day of the order.
        (
            "<firstAmount>9000</firstAmount><amount>306</amount><billingCycle>50</billingCycle><billingLeft>2</billingLeft>"
            "<billingDay>5</billingDay><startDate>25/11/2026</startDate>",
            9000,
            [(date(2026, 12, 5), 306), (date(2027, 2, 5), 306)],
        ),
    ],
)
def test_several_times_are_one_now_and_the_rest_later(
    recurring: str, first: int, later: list[tuple[date, int]]
) -> None:
    content = swap("<mode>CPT", "<mode>NX")

    request = command_of(opening(lambda text: content(text) + f"<recurring>{recurring}</recurring>")).request

    assert request.amount == Money(first)
    assert request.instalments == tuple(Instalment(due, Money(cents)) for due, cents in later)


@pytest.mark.parametrize(
    "recurring",
    [
        "",
        "<amount>3000</amount><billingCycle>40</billingCycle><billingLeft>3</billingLeft>",
        "<amount>3204</amount><billingCycle>40</billingCycle><billingLeft>9</billingLeft>",
        "<amount>3204</amount><billingCycle>45</billingCycle><billingLeft>3</billingLeft>",
        "<amount>0</amount><billingCycle>40</billingCycle><billingLeft>3</billingLeft>",
        "<amount>1</amount><billingCycle>10</billingCycle><billingLeft>9612</billingLeft>",
        "<amount>3204</amount><billingCycle>40</billingCycle><billingLeft>3</billingLeft><startDate>soon</startDate>",
        # The last of all days, which some languages' empty dates are, and after it.
        "<firstAmount>12</firstAmount><amount>4800</amount><billingCycle>10</billingCycle><billingLeft>2</billingLeft>"
        "<startDate>31/12/9999</startDate>",
    ],
)
def test_parts_that_do_not_make_the_whole_are_refused(counter: Counter, recurring: str) -> None:
    content = swap("<mode>CPT", "<mode>NX")

    reply = counter.post(WEB, opening(lambda text: content(text) + f"<recurring>{recurring}</recurring>"))

    assert read(reply, "result", "code") == "02305"
    assert (read(reply, "result", "longMessage") or "").startswith("Invalid field format : Recurring : ")


def test_recurring_is_not_looked_at_in_a_payment_at_once() -> None:
    assert (
        command_of(opening(lambda text: text + "<recurring><amount>x</amount></recurring>")).request.instalments == ()
    )


@pytest.mark.parametrize(
    ("told", "language"),
    [("fr", "fr"), ("fre", "fr"), ("fra", "fr"), ("FR_fr", "fr"), ("en", "en"), ("eng", "en"), ("ger", "de"),
     ("deu", "de"), ("dut", "nl"), ("nld", "nl"), ("spa", "es"), ("por", "pt"), ("ita", "it"), ("ara", "ar"),
     ("pt_BR", "pt"), ("english", "en"), ("est", "est"), ("arm", "arm"), ("", "fr"), ("1", "fr")],
)  # fmt: skip
def test_languages_are_read_from_either_list_of_codes(told: str, language: str) -> None:
    body = opening(lambda text: text + f"<languageCode>{told}</languageCode>")

    assert command_of(body).request.language == language


def test_the_buyer_fills_the_page(counter: Counter) -> None:
    counter.post(WEB, (VECTORS / "php-sdk.xml").read_bytes())

    request = counter.payments[-1].request
    assert (request.email, request.payer_name, request.label) == ("famille@example.org", "Zoé Martin", "44023989")


def test_the_first_line_names_what_is_paid() -> None:
    assert command_of((VECTORS / "pysimplesoap.xml").read_bytes()).request.label == "Stage d'escalade"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("amount", "", "Payment Amount : Must not be null"),
        ("amount", "15,78", "Payment Amount : Must be numeric(12), ex : 15078"),
        ("amount", "96.12", "Payment Amount : Must be numeric(12), ex : 15078"),
        ("amount", "-1", "Payment Amount : Must be numeric(12), ex : 15078"),
        ("amount", "1234567890123", "Payment Amount : Must be numeric(12), ex : 15078"),
        ("amount", "٩", "Payment Amount : Must be numeric(12), ex : 15078"),
        ("amount", "0", "Payment Amount : Must be between 1 and 500000"),
        ("amount", "500001", "Payment Amount : Must be between 1 and 500000"),
        ("currency", "EUR", "Payment Currency : Must be numeric(3), ex: 978"),
        ("currency", "36", "Payment Currency : Must be one of 756, 826, 840, 953, 978"),
        ("currency", "840", "Payment Currency : Must be in EUR"),
        ("action", "108", "Payment Action : Must be 100 or 101"),
        ("ref", "", "Order Reference : Must not be null"),
        ("ref", "x" * 51, "Order Reference : Max length 50 characters"),
        ("ref", "a\\b", "Order Reference : Must hold no backslash"),
        ("returnURL", "", "Return URL : Must not be null"),
        ("returnURL", "shop", "Return URL : Must be an https:// or http:// url (max length : 255)"),
        ("returnURL", "javascript:alert(1)", "Return URL : Must be an https:// or http:// url (max length : 255)"),
        ("returnURL", "https://a.example/?a|b", "Return URL : Must be an https:// or http:// url (max length : 255)"),
        ("returnURL", "https://u@a.example/", "Return URL : Must be an https:// or http:// url (max length : 255)"),
        ("returnURL", "https://a.example/#a\\b", "Return URL : Must be an https:// or http:// url (max length : 255)"),
        (
            "cancelURL",
            "https://a.example/" + "x" * 238,
            "Cancel URL : Must be an https:// or http:// url (max length : 255)",
        ),
        ("notificationURL", "ftp://a", "Notification URL : Must be an https:// or http:// url (max length : 255)"),
    ],
)
def test_a_bad_field_is_named_with_its_rule(counter: Counter, path: str, value: str, message: str) -> None:
    body = opening(lambda text: re.sub(f"<{path}>[^<]*</{path}>", lambda _: f"<{path}>{value}</{path}>", text, count=1))

    reply = counter.post(WEB, body)

    assert reply.status == 200
    assert read(reply, "result", "code") == "02305"
    assert read(reply, "result", "shortMessage") == "ERROR"
    # Of an address the value is told too, as far as it is not too long to be read.
    shown = f" : {value[:120]}" if "url" in message else ""
    assert read(reply, "result", "longMessage") == f"Invalid field format : {message}{shown}"
    assert (read(reply, "token"), read(reply, "redirectURL")) == (None, None)


def test_all_bad_fields_are_named_at_once(counter: Counter) -> None:
    reply = counter.post(WEB, ask("doWebPayment", "<payment><amount>x</amount></payment><order/>"))

    assert read(reply, "result", "longMessage") == (
        "Invalid field format : Payment Amount : Must be numeric(12), ex : 15078; Payment Currency : Must not be null; "
        "Payment Action : Must not be null; Payment Mode : Must not be null; Order Reference : Must not be null; "
        "Return URL : Must not be null; Cancel URL : Must not be null"
    )


def test_a_long_comment_is_refused_or_cut(counter: Counter) -> None:
    line = f"</date><details><details><comment>{'é' * 256}</comment></details></details>"
    body = opening(swap("</date>", line))

    reply = counter.post(WEB, body)
    cut = command_of(body, too_long="truncate")

    assert (
        read(reply, "result", "longMessage") == "Invalid field format : OrderDetail Comment : Max length 255 characters"
    )
    assert "é" * 255 in cut.request.wire["echo"]
    assert "é" * 256 not in cut.request.wire["echo"]


@pytest.mark.parametrize(
    ("changes", "edit", "code"),
    [
        ({}, swap("<contractNumber>1234567", "<contractNumber>7654321"), "02303"),
        (
            {},
            lambda text: text + "<selectedContractList><selectedContract>9</selectedContract></selectedContractList>",
            "02303",
        ),
        ({}, lambda text: text + "<selectedContractList>9</selectedContractList>", "02303"),
        ({"page_codes": ["1"]}, lambda text: text + "<customPaymentPageCode>2</customPaymentPageCode>", "02307"),
        ({"page_codes": ["1"]}, lambda text: text + "<customPaymentPageCode>1</customPaymentPageCode>", "00000"),
        ({}, lambda text: text + "<customPaymentPageCode>2</customPaymentPageCode>", "00000"),
        ({}, swap("<mode>CPT", "<mode>REC"), "02308"),
        ({"modes": ["CPT"]}, swap("<mode>CPT", "<mode>DIF"), "02308"),
    ],
)
def test_what_the_contract_does_not_know_has_its_code(
    changes: dict[str, object], edit: Callable[[str], str], code: str
) -> None:
    reply = Counter(a_dialect(changes)).post(WEB, opening(edit))

    assert read(reply, "result", "code") == code


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("https://Shop.Example/Return", "https://shop.example/Return"),
        ("https://shop.example/?a[]=1&a[]=2", "https://shop.example/?a%5B%5D=1&a%5B%5D=2"),
        ("https://shop.example/été", "https://shop.example/%C3%A9t%C3%A9"),
        ("http://127.0.0.1:8001/r#x", "http://127.0.0.1:8001/r#x"),
    ],
)
def test_harmless_spellings_of_an_address_are_made_regular(given: str, called: str) -> None:
    assert urls.checked(given, (), a_merchant(), a_house()) == called


@pytest.mark.parametrize("mode", ["production", "activation"])
def test_outside_test_mode_merchants_name_registered_addresses_only(mode: str) -> None:
    merchant = a_merchant(mode=mode)

    assert urls.checked("https://shop.example/r/x", ("https://shop.example/r",), merchant, a_house())
    with pytest.raises(ValueError, match="list"):
        urls.checked("https://shop.example.evil/r", ("https://shop.example/r",), merchant, a_house())


def test_loopback_is_for_houses_that_allow_it() -> None:
    with pytest.raises(ValueError, match="own machine"):
        urls.checked("http://localhost/r", (), a_merchant(), a_house(loopback_allowed=False))


# What is no request at all.


@pytest.mark.parametrize(
    ("body", "wording"),
    [
        (b"", "well-formed"),
        (b"<a/>", "Envelope"),
        (b'<!DOCTYPE x [<!ENTITY y "z">]>' + opening(), "document type"),
        (opening() + b" " * 1024 * 1024, "1048576"),
        (ask("doMagic"), "doMagic is no operation"),
        (ask("getWebPaymentDetails", "<version>4</version><version>34</version><token>a</token>"), "version once"),
    ],
)
def test_what_is_no_request_is_a_fault(counter: Counter, body: bytes, wording: str) -> None:
    reply = counter.post(WEB, body)

    assert reply.status == 500
    assert read(reply, "faultcode") == "soap:Client"
    assert wording in (read(reply, "faultstring") or "")


def test_two_values_for_one_field_are_refused(counter: Counter) -> None:
    doubled = swap(
        "<amount>9612</amount><currency>978</currency><action>", "<amount>1</amount><amount>9612</amount><action>"
    )

    reply = counter.post(WEB, opening(doubled))

    assert read(reply, "result", "code") == "02305"
    assert "amount once" in (read(reply, "result", "longMessage") or "")


@pytest.mark.parametrize("operation", ["doAuthorization", "createWallet", "getBalance", "unBlock", "getAlertDetails"])
def test_functions_we_lack_say_so(counter: Counter, operation: str) -> None:
    reply = counter.post(DIRECT, ask(operation, "<version>34</version>"))

    assert reply.status == 200
    assert f"{operation}Response".encode() in reply.body
    assert (read(reply, "result", "code"), read(reply, "result", "shortMessage")) == ("02010", "ERROR")


# What became of it.


@pytest.mark.parametrize(
    ("changes", "code", "short"),
    [
        ({"status": Status.CREATED}, "02533", "REFUSED"),
        ({"status": Status.OPENED}, "02306", "INPROGRESS"),
        ({"status": Status.WORKING, "attempts": (an_attempt(),)}, "02306", "INPROGRESS"),
        ({"status": Status.PAID, "attempts": (an_attempt(),)}, "00000", "ACCEPTED"),
        ({"status": Status.CANCELLED}, "02319", "CANCELLED"),
        (
            {"status": Status.CANCELLED, "events": (Event("e", 2, "payment.cancelled", NOW, {"by": "merchant"}),)},
            "02014",
            "CANCELLED",
        ),
        ({"status": Status.EXPIRED, "events": (Event("e", 2, "payment.opened", NOW),)}, "02324", "REFUSED"),
        ({"status": Status.EXPIRED}, "02534", "REFUSED"),
    ],
)
def test_each_state_has_its_code(counter: Counter, changes: dict[str, object], code: str, short: str) -> None:
    token = opened(counter)
    counter.change(**changes)

    reply = details(counter, token)

    assert (read(reply, "result", "code"), read(reply, "result", "shortMessage")) == (code, short)
    assert read(reply, "order", "ref") == "44023989"


@pytest.mark.parametrize(
    ("attempt", "code", "short"),
    [
        ({"response_code": "05", "response_family": "do_not_honour"}, "01100", "REFUSED"),
        ({"response_code": "ZZ", "response_family": "funds"}, "01116", "REFUSED"),
        ({"response_code": "ZZ", "response_family": "news_to_us"}, "01100", "REFUSED"),
        ({"response_code": "96", "response_family": "technical"}, "01909", "ERROR"),
        ({"response_family": "authentication", "status": AttemptStatus.AUTHN_FAILED}, "03003", "REFUSED"),
        ({"response_family": "challenge_failed", "status": AttemptStatus.AUTHN_FAILED}, "03003", "REFUSED"),
        ({"response_family": "challenge_timeout", "status": AttemptStatus.AUTHN_FAILED}, "03030", "REFUSED"),
        ({"response_family": "technical", "status": AttemptStatus.AUTHN_FAILED}, "03021", "ERROR"),
        ({"status": AttemptStatus.ABANDONED}, "03030", "REFUSED"),
    ],
)
def test_each_refusal_has_its_code(counter: Counter, attempt: dict[str, object], code: str, short: str) -> None:
    token = opened(counter)
    refused = an_attempt(**{"status": AttemptStatus.DECLINED, "authorisation_number": "", **attempt})
    counter.change(status=Status.FAILED, attempts=(refused,))

    reply = details(counter, token)

    assert (read(reply, "result", "code"), read(reply, "result", "shortMessage")) == (code, short)
    assert read(reply, "authorization", "number") is None
    assert read(reply, "transaction", "id") == "00000000000001"


def test_an_abandoned_card_does_not_hide_the_refusal_before_it(counter: Counter) -> None:
    token = opened(counter)
    declined = an_attempt(status=AttemptStatus.DECLINED, response_code="51")
    counter.change(status=Status.FAILED, attempts=(declined, an_attempt(status=AttemptStatus.ABANDONED, number=2)))

    assert read(details(counter, token), "result", "code") == "01116"


# The simulator's amounts: the last two digits are the answer of the card's bank.
FORCED = {
    33305: "01100", 33360: "01103", 33302: "01108", 33303: "01109", 33313: "01110", 33314: "01111", 33351: "01116",
    33355: "01117", 33356: "01118", 33357: "01119", 33358: "01120", 33361: "01121", 33363: "01122", 33316: "01131",
    33331: "01199", 33334: "01202", 33338: "01206", 33312: "01902", 33330: "01904", 33391: "01907", 33396: "01909",
    33315: "01912", 33394: "01913", 33304: "01200", 33333: "01201", 33307: "01207", 33341: "01208", 33343: "01209",
}  # fmt: skip


@pytest.mark.parametrize(("amount", "code"), FORCED.items())
def test_the_answers_of_banks_are_those_of_the_published_simulator(amount: int, code: str) -> None:
    attempt = an_attempt(status=AttemptStatus.DECLINED, response_code=str(amount)[3:], response_family="")

    terms = Terms.model_validate(a_merchant().protocol)

    assert codes.of_attempt(attempt, terms).number == code


@pytest.mark.parametrize(
    ("number", "short"),
    [("00000", "ACCEPTED"), ("01101", "REFUSED"), ("01109", "ERROR"), ("01131", "ERROR"), ("01185", "ERROR"),
     ("01197", "ERROR"), ("01280", "REFUSED"), ("01915", "REFUSED"), ("01917", "ERROR"), ("02008", "CANCELLED"),
     ("02014", "CANCELLED"), ("02015", "REFUSED"), ("02016", "ONHOLD_PARTNER"), ("02304", "ERROR"),
     ("02306", "INPROGRESS"), ("03022", "CANCELLED"), ("04003", "PENDING_RISK")],
)  # fmt: skip
def test_codes_and_short_words_agree_as_published(number: str, short: str) -> None:
    assert codes.CODES[number].short == short


def test_codes_of_clients_and_of_hearsay_are_not_ours() -> None:
    assert not {"XXXXX", "09101"} & set(codes.CODES)
    assert not [number for number in codes.CODES if number.startswith("033")]


def test_a_page_not_opened_may_be_called_in_progress() -> None:
    counter = Counter(a_dialect(not_opened="INPROGRESS"))

    reply = details(counter, opened(counter))

    assert (read(reply, "result", "code"), read(reply, "result", "shortMessage")) == ("02533", "INPROGRESS")


def test_an_unknown_token_has_its_code_and_the_whole_skeleton(counter: Counter) -> None:
    reply = details(counter, "Unknown1430752169164")

    assert (read(reply, "result", "code"), read(reply, "result", "shortMessage")) == ("02304", "ERROR")
    for path in (
        ("transaction", "id"),
        ("payment", "amount"),
        ("authorization", "number"),
        ("card", "number"),
        ("order", "ref"),
    ):
        assert read(reply, *path) is None


@pytest.mark.parametrize("token", ["", "../etc", "a" * 51, "a b", "é"])
def test_what_cannot_be_a_token_is_an_unknown_one(counter: Counter, token: str) -> None:
    assert read(details(counter, token), "result", "code") == "02304"


def test_before_a_transaction_everything_is_there_and_empty(counter: Counter) -> None:
    reply = details(counter, opened(counter))

    assert read(reply, "transaction", "id") is None
    assert read(reply, "transaction", "isPossibleFraud") is None
    assert read(reply, "card", "number") is None
    assert (read(reply, "payment", "amount"), read(reply, "payment", "mode")) == ("9612", "CPT")


def test_a_paid_payment_is_told_whole(counter: Counter) -> None:
    token = opened(counter)
    counter.pay()

    reply = details(counter, token)

    told = {
        ("transaction", "id"): "00000000000001",
        ("transaction", "date"): "21/11/2026 10:02:00",
        ("transaction", "isDuplicated"): "0",
        ("transaction", "isPossibleFraud"): "0",
        ("transaction", "threeDSecure"): "Y",
        ("transaction", "orderReference"): "44023989",
        ("payment", "method"): "CB",
        ("payment", "contractNumber"): "1234567",
        ("authorization", "number"): "A55A",
        ("authorization", "date"): "21/11/2026 10:02:00",
        ("authorization", "authorizedAmount"): "9612",
        ("authorization", "authorizedCurrency"): "978",
        ("card", "number"): "497010XXXXXX1646",
        ("card", "type"): "CB",
        ("card", "panType"): "CARD_PAN",
        ("authentication3DSecure", "eci"): "05",
        ("numberOfAttempt",): "1",
        ("contractNumber",): "1234567",
    }
    assert {path: read(reply, *path) for path in told} == told


@pytest.mark.parametrize(
    ("scheme", "bin_", "last4", "shown", "kind"),
    [
        ("visa", "497010", "1646", "497010XXXXXX1646", "VISA"),
        ("mastercard", "51234567", "0008", "512345XXXXXX0008", "MASTERCARD"),
        ("maestro", "675964", "8453", "675964XXXXXX8453", "MAESTRO"),
        ("amex", "378282", "0005", "378282XXXXX0005", "AMEX"),
    ],
)
def test_cards_are_masked_six_and_four(
    counter: Counter, scheme: str, bin_: str, last4: str, shown: str, kind: str
) -> None:
    token = opened(counter)
    counter.pay(scheme=scheme, bin=bin_, last4=last4)

    reply = details(counter, token)

    assert (read(reply, "card", "number"), read(reply, "card", "type")) == (shown, kind)


def test_the_style_of_dates_is_a_setting() -> None:
    counter = Counter(a_dialect(details_dates="dd/mm/yy HH:MM"))
    token = opened(counter)
    counter.pay()

    assert read(details(counter, token), "transaction", "date") == "21/11/26 10:02"


def test_private_data_comes_back_as_it_went(counter: Counter) -> None:
    private = (
        "<privateDataList><privateData><key>b</key><value> x &amp; é </value></privateData>"
        "<privateData><key>a</key><value/></privateData></privateDataList>"
    )
    token = opened(counter, opening(lambda text: text + private))

    body = details(counter, token).body.decode()

    assert "<obj:privateData><obj:key>b</obj:key><obj:value> x &amp; é </obj:value></obj:privateData>" in body
    assert body.index("<obj:key>b<") < body.index("<obj:key>a<")


@given(st.lists(st.tuples(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)), min_size=1, max_size=5))  # fmt: skip
def test_any_private_data_survives(pairs: list[tuple[str, str]]) -> None:
    counter = Counter()
    content = etree.Element("privateDataList")
    for key, value in pairs:
        one = etree.SubElement(content, "privateData")
        etree.SubElement(one, "key").text, etree.SubElement(one, "value").text = key, value
    token = opened(counter, opening(lambda text: text + etree.tostring(content, encoding="unicode")))

    whole = etree.fromstring(details(counter, token).body)

    found = whole.xpath("//*[local-name()='privateData']")
    assert isinstance(found, list)
    assert [(one[0].text, one[1].text) for one in found] == pairs  # type: ignore[union-attr]


# Which version knows what: the lowest that does, element by element.
FLOORS = [
    (4, ("bankAccountData",)), (4, ("contractNumberWalletList",)), (4, ("transaction", "explanation")),
    (13, ("payment", "softDescriptor")), (13, ("transaction", "softDescriptor")),
    (14, ("result", "partnerCode")), (14, ("result", "partnerCodeLabel")),
    (14, ("authentication3DSecure", "PaResStatus")), (14, ("authentication3DSecure", "VeResStatus")),
    (15, ("payment", "cardBrand")), (16, ("transaction", "partnerAdditionalData")), (17, ("transaction", "avs")),
    (18, ("payment", "registrationToken")), (18, ("order", "deliveryCharge")), (18, ("subMerchant",)),
    (19, ("buyer",)), (20, ("payment", "cumulatedAmount")), (20, ("transaction", "scoring")),
    (20, ("order", "discountAmount")), (20, ("order", "otaPackageType")), (20, ("order", "bookingReference")),
    (20, ("order", "orderOTA")), (20, ("authentication3DSecure", "resultContainer")),
    (20, ("authentication3DSecure", "authenticationResult")), (20, ("buyer", "loyaltyMemberType")),
    (20, ("buyer", "merchantAuthentication")), (20, ("buyer", "shippingAdress", "streetNumber")),
    (23, ("authorization", "authorizedAmount")), (23, ("authorization", "authorizedCurrency")), (23, ("card", "panType")),
    (23, ("linkedTransactionId",)), (23, ("transaction", "customerId")), (23, ("transaction", "extendedCard")),
    (30, ("travelFileNumber",)), (31, ("buyer", "legalDocumentType")), (34, ("authorization", "reattempt")),
]  # fmt: skip


@pytest.mark.parametrize(("floor", "path"), FLOORS, ids=lambda value: str(value))
def test_elements_appear_at_their_version(counter: Counter, floor: int, path: tuple[str, ...]) -> None:
    address = "<buyer><shippingAdress><cityName>Falaise</cityName></shippingAdress></buyer>"
    token = opened(counter, opening(lambda text: text + address))
    counter.pay()

    assert has(details(counter, token, str(floor)), *path)
    assert not has(details(counter, token, str(floor - 1)), *path) or floor == 4


@pytest.mark.parametrize(("told", "as_if"), [("", "4"), ("2", "4"), ("abc", "4"), ("9999", "34"), ("-1", "4")])
def test_odd_versions_are_the_nearest_we_speak(counter: Counter, told: str, as_if: str) -> None:
    token = opened(counter)

    assert details(counter, token, told).body == details(counter, token, as_if).body


def test_the_order_of_elements_is_the_wsdl_s(counter: Counter) -> None:
    token = opened(counter)

    whole = etree.fromstring(details(counter, token, "4").body)

    assert [etree.QName(one).localname for one in whole[0][0]] == [
        "result", "transaction", "payment", "authorization", "privateDataList", "paymentRecordId", "billingRecordList",
        "authentication3DSecure", "card", "extendedCard", "order", "paymentAdditionalList", "media", "numberOfAttempt",
        "wallet", "contractNumberWalletList", "contractNumber", "bankAccountData",
    ]  # fmt: skip


# The other operations.


def test_a_lookup_by_token_is_a_receipt(counter: Counter) -> None:
    details(counter, opened(counter))

    last = counter.commands[-1]
    assert isinstance(last, LookUp)
    assert last.is_receipt
    assert last.which.merchants == {"falaise-demo"}


PAYMENT = "<payment><amount>612</amount><currency>978</currency><action>101</action><mode>CPT</mode></payment>"


def test_a_capture_is_told_with_its_date(counter: Counter) -> None:
    opened(counter)
    counter.pay()

    reply = counter.post(DIRECT, ask("doCapture", f"<transactionID>00000000000001</transactionID>{PAYMENT}"))

    command = counter.commands[-1]
    assert isinstance(command, PaylineCapture)
    assert (command.which.number, command.amount) == ("00000000000001", Money(612))
    assert read(reply, "result", "code") == "00000"
    assert read(reply, "transaction", "date") == "21/11/26 10:00:01"
    assert read(reply, "reAuthorization") == "0"


@pytest.mark.parametrize(
    ("at", "status", "code"),
    [(NOW - timedelta(hours=1), AttemptStatus.CAPTURED, "02105"), (None, AttemptStatus.CAPTURE_ERROR, "02102")],
)
def test_a_capture_that_did_nothing_says_so(
    counter: Counter, at: datetime | None, status: AttemptStatus, code: str
) -> None:
    opened(counter)
    event = (Event("e", 5, "attempt.captured", at),) if at else ()
    result = counter.change(status=Status.PAID, attempts=(an_attempt(status=status),), events=event)
    call = HttpCall(
        "POST", DIRECT, headers={"authorization": BASIC}, body=ask("doCapture", "<transactionID>1</transactionID>")
    )
    command = counter.dialect.read(call, NOW)
    assert isinstance(command, PaylineCapture)

    with pytest.raises(GatewayError) as caught:
        counter.dialect.found(command, result, PAGE, NOW)

    reply = counter.dialect.refused(call, caught.value)
    assert isinstance(reply, HttpReply)
    assert read(reply, "result", "code") == code


@pytest.mark.parametrize(
    ("operation", "content", "amount", "before"),
    [
        ("doRefund", PAYMENT + "<comment>trop perçu</comment>", Money(612), False),
        ("doRefund", "", None, False),
        ("doReset", "<comment>annulé</comment>", None, True),
        ("doReset", "<amount>12</amount><currency>978</currency>", Money(12), True),
    ],
)
def test_refunds_and_resets_say_how_much(
    counter: Counter, operation: str, content: str, amount: Money | None, before: bool
) -> None:
    opened(counter)
    counter.pay()

    reply = counter.post(DIRECT, ask(operation, f"<version>34</version><transactionID>1</transactionID>{content}"))

    command = counter.commands[-1]
    assert isinstance(command, Refund)
    assert (command.amount, command.before_settlement) == (amount, before)
    assert command.signed.merchant == "falaise-demo"
    assert read(reply, "result", "code") == "00000"
    assert read(reply, "transaction", "id") == "00000000000001"


def test_a_refund_the_bank_refused_is_not_told_as_done(counter: Counter) -> None:
    opened(counter)
    refused = RefundResult("ref_1", Money(612), "refused", NOW)
    result = replace(counter.pay(), refunds=(refused,))
    body = ask("doRefund", f"<transactionID>1</transactionID>{PAYMENT}")
    command = counter.dialect.read(HttpCall("POST", DIRECT, headers={"authorization": BASIC}, body=body), NOW)
    assert isinstance(command, Refund)

    reply = counter.dialect.found(command, result, PAGE, NOW)

    assert (read(reply, "result", "code"), read(reply, "result", "shortMessage")) == ("01915", "REFUSED")


@pytest.mark.parametrize(
    ("operation", "error", "code"),
    [
        ("doReset", RequestConflict("settled", ""), "01917"),
        ("doReset", RequestConflict("payment_over", ""), "01917"),
        ("doReset", RequestConflict("refund_exceeds", ""), "01917"),
        ("doReset", WrongStatus(""), "01917"),
        ("doReset", NotFound(""), "01914"),
        ("doRefund", RequestConflict("refund_exceeds", ""), "02110"),
        ("doRefund", RequestConflict("payment_over", ""), "02302"),
        ("doCapture", RequestConflict("amount_differs", ""), "02110"),
        ("doCapture", RequestConflict("payment_over", ""), "02302"),
        ("doCapture", AcquirerUnreachable(""), "02102"),
        ("doCapture", WrongStatus(""), "02302"),
        ("doWebPayment", RequestConflict("debt_already_paid", ""), "01185"),
        ("doWebPayment", RequestConflict("debt_locked", ""), "02306"),
        ("doWebPayment", StoreBusy(""), "02101"),
        ("getWebPaymentDetails", NotFound(""), "02304"),
        ("getTransactionDetails", NotFound(""), "01914"),
    ],
)
def test_each_refusal_of_the_core_has_its_code(operation: str, error: GatewayError, code: str) -> None:
    reply = a_dialect().refused(HttpCall("POST", DIRECT, body=ask(operation)), error)

    assert isinstance(reply, HttpReply)
    assert reply.status == 200
    assert read(reply, "result", "code") == code
    assert read(reply, "result", "shortMessage") == codes.CODES[code].short


@pytest.mark.parametrize("number", ["", "abc", "-1", "1 OR 1=1", "٣", "1" * 51])
@pytest.mark.parametrize("operation", ["doCapture", "doRefund", "doReset"])
def test_what_cannot_be_a_transaction_number_is_refused(counter: Counter, operation: str, number: str) -> None:
    reply = counter.post(DIRECT, ask(operation, f"<transactionID>{number}</transactionID>"))

    assert read(reply, "result", "code") == "02301"


def test_transaction_details_are_found_by_number_or_by_order(counter: Counter) -> None:
    opened(counter)
    counter.pay()
    opened(counter)

    by_number = counter.post(
        EXTENDED, ask("getTransactionDetails", "<version>34</version><transactionId>1</transactionId>")
    )
    by_order = counter.post(
        EXTENDED, ask("getTransactionDetails", "<version>34</version><orderRef>44023989</orderRef>")
    )
    not_yet = counter.post(EXTENDED, ask("getTransactionDetails", "<transactionId>2</transactionId>"))
    nobody = counter.post(EXTENDED, ask("getTransactionDetails", "<orderRef>other</orderRef>"))

    assert by_number.body == by_order.body
    assert read(by_number, "transaction", "date") == "21/11/26 10:02:00"
    assert (read(not_yet, "result", "code"), read(nobody, "result", "code")) == ("01914", "01914")


def test_test_my_settings_buttons_are_answered(counter: Counter) -> None:
    settings = counter.post(DIRECT, ask("getMerchantSettings", "<version>26</version>"))
    key = counter.post(DIRECT, ask("getEncryptionKey", "<version>26</version>"))

    contract = ("listPointOfSell", "pointOfSell", "contracts", "contract")
    assert read(settings, *contract, "contractNumber") == "1234567"
    assert read(settings, *contract, "label") == "CB en ligne"
    assert read(settings, *contract, "cardType") == "CB"
    assert read(key, "result", "code") == "00000"


# The payer comes and goes.


@pytest.mark.parametrize(
    ("path", "query"),
    [("/v2/", "token={}"), ("/v2/", "token={}&lang=fr"), ("/webpayment/step2.do", "reqCode=prepareStep2&token={}")],
)
def test_the_payer_is_sent_to_the_page(counter: Counter, path: str, query: str) -> None:
    token = opened(counter)

    reply = counter.call(HttpCall("GET", path, query.format(token)))

    assert isinstance(counter.commands[-1], Resume)
    assert isinstance(reply, HttpReply)
    assert (reply.status, reply.headers["Location"]) == (303, f"{PAGE}?lang=browser")


def test_the_browser_is_asked_for_a_language_only_when_the_merchant_named_none(counter: Counter) -> None:
    token = opened(counter, opening(lambda text: text + "<languageCode>eng</languageCode>"))

    reply = counter.call(HttpCall("GET", "/v2/", f"token={token}"))

    assert isinstance(reply, HttpReply)
    assert reply.headers["Location"] == PAGE


@pytest.mark.parametrize("query", ["", "token=", "token=unknown", "token=a&token=b", "token=%00", "token[]=a"])
def test_an_unknown_payer_sees_a_page(counter: Counter, query: str) -> None:
    reply = counter.call(HttpCall("GET", "/v2/", query))

    assert isinstance(reply, ErrorPage)
    assert (reply.status, reply.code) == (404, "02304")


@pytest.mark.parametrize(
    ("status", "base"),
    [
        (Status.PAID, "https://shop.example/return?e=1&"),
        (Status.FAILED, "https://shop.example/return?e=1&"),
        (Status.EXPIRED, "https://shop.example/return?e=1&"),
        (Status.CANCELLED, "https://shop.example/cancel?"),
    ],
)
def test_the_payer_goes_back_with_the_token_under_both_names(counter: Counter, status: Status, base: str) -> None:
    token = opened(counter)

    departure = counter.dialect.returned(counter.change(status=status), NOW)

    assert departure
    tail = "#top" if status is Status.CANCELLED else ""
    assert departure.url == f"{base}token={token}&paylinetoken={token}{tail}"
    assert (departure.method, departure.fields) == ("GET", ())


@pytest.mark.parametrize(
    ("url", "extended"),
    [
        ("https://s.example", "https://s.example?a=1"),
        ("https://s.example/r", "https://s.example/r?a=1"),
        ("https://s.example/r?", "https://s.example/r?a=1"),
        ("https://s.example/?wc-api=x&url_type=return", "https://s.example/?wc-api=x&url_type=return&a=1"),
        ("https://s.example/r#f?x", "https://s.example/r?a=1#f?x"),
        ("https://s.example/r?q=1#f", "https://s.example/r?q=1&a=1#f"),
    ],
)
def test_parameters_come_after_the_query_and_before_the_fragment(url: str, extended: str) -> None:
    assert urls.extended(url, ("a", "1")) == extended


# Notifications.


@pytest.mark.parametrize(
    ("kind", "is_told"),
    [
        ("payment.succeeded", True),
        ("payment.refused", True),
        ("payment.cancelled", True),
        ("payment.expired", True),
        ("payment.opened", False),
        ("payment.refunded", False),
        ("attempt.captured", False),
        ("attempt.declined", False),
    ],
)
def test_the_end_is_told_twenty_seconds_later(counter: Counter, kind: str, is_told: bool) -> None:
    opened(counter)

    due = counter.dialect.due(counter.payments[-1], Event("e", 2, kind, NOW))

    assert due == (NOW + timedelta(seconds=20) if is_told else None)


def test_a_payment_that_gave_way_to_a_newer_one_is_not_told(counter: Counter) -> None:
    opened(counter)
    event = Event("e", 2, "payment.cancelled", NOW, {"by": "merchant"})

    assert counter.dialect.due(counter.change(status=Status.CANCELLED, events=(event,)), event) is None


def test_the_notification_is_a_get_with_type_and_token(counter: Counter) -> None:
    token = opened(counter)
    result = counter.pay()
    body = counter.dialect.confirmed(result, Event("e", 2, "payment.succeeded", NOW))

    call = counter.dialect.delivery(result.recipient, Try("ntc_1", body, 1, NOW))

    assert call.method == "GET"
    assert call.url == f"https://shop.example/notify?shop=2&notificationType=WEBTRS&token={token}"
    assert (call.path, call.query) == ("/notify", f"shop=2&notificationType=WEBTRS&token={token}")
    assert call.body == b""
    assert counter.dialect.target(result.recipient) == "https://shop.example/notify?shop=2"


def test_a_signed_notification_adds_to_the_plain_one() -> None:
    counter = Counter(a_dialect(notice_key="0123456789abcdef"))
    token = opened(counter)
    result = counter.payments[-1]
    body = counter.dialect.confirmed(result, Event("e", 2, "payment.succeeded", NOW))

    call = counter.dialect.delivery(result.recipient, Try("ntc_1", body, 1, NOW))

    pairs = parse_qsl(urlsplit(call.url).query)
    assert pairs[:4] == [("shop", "2"), ("notificationType", "WEBTRS"), ("token", token), ("ts", "1795251600")]
    name, signature = pairs[4]
    assert name == "sig"
    assert signature == hmac.new(b"0123456789abcdef", f"1795251600.{token}".encode(), "sha256").hexdigest()


def test_a_payment_without_an_address_is_given_up(counter: Counter) -> None:
    opened(counter, opening(lambda text: re.sub("<notificationURL>.*</notificationURL>", "", text)))
    result = counter.payments[-1]

    assert counter.dialect.target(result.recipient) == ""
    with pytest.raises(DeliveryFailed) as caught:
        counter.dialect.delivery(result.recipient, Try("ntc_1", b"notificationType=WEBTRS&token=a", 1, NOW))
    assert not caught.value.again


def test_the_merchant_s_own_address_takes_the_place_of_none() -> None:
    counter = Counter(a_dialect(notify_url="https://shop.example/always"))

    opened(counter, opening(lambda text: re.sub("<notificationURL>.*</notificationURL>", "", text)))

    assert counter.dialect.target(counter.payments[-1].recipient) == "https://shop.example/always"


@pytest.mark.parametrize(("status", "until_2xx"), [(200, True), (204, True), (302, False), (404, False), (500, False)])
def test_a_2xx_ends_notifications_unless_only_the_question_does(status: int, until_2xx: bool) -> None:
    assert a_dialect().received(status, b"OK") is until_2xx
    assert a_dialect(retry="until_details").received(status, b"OK") is False


def test_notifications_go_out_every_minute_for_two_hours() -> None:
    dialect = a_dialect()

    assert [dialect.retry_at(tries, NOW) for tries in (1, 119, 120)] == [
        NOW + timedelta(minutes=1), NOW + timedelta(minutes=1), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (Status.PAID, "payment.created", "02533 REFUSED"),
        (Status.PAID, "payment.opened", "02306 INPROGRESS"),
        (Status.PAID, "attempt.declined", "01116 REFUSED"),
        (Status.PAID, "payment.succeeded", "00000 ACCEPTED"),
        (Status.CANCELLED, "payment.cancelled", "02319 CANCELLED"),
        (Status.FAILED, "payment.refused", "01116 REFUSED"),
        (Status.PAID, "refund.requested", ""),
    ],
)
def test_events_are_told_in_payline_s_words(counter: Counter, status: Status, kind: str, words: str) -> None:
    opened(counter)
    attempt = an_attempt(status=AttemptStatus.DECLINED, response_code="51")
    event = Event("e", 9, kind, NOW, {"attempt": "att_1"})

    assert counter.dialect.code(counter.change(status=status, attempts=(attempt,)), event) == words


# Settings.


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"merchant_id": "shop"}, "merchant_id"),
        ({"access_key": "abc"}, "access_key"),
        ({"access_key": "a" * 25}, "access_key"),
        ({"contracts": []}, "contracts"),
        ({"contracts": [{"number": "1"}, {"number": "1"}]}, "contracts"),
        ({"retries": 3}, "retries"),
        ({"first_notice_seconds": -1}, "first_notice_seconds"),
        ({"not_opened": "OK"}, "not_opened"),
    ],
)
def test_a_bad_setting_is_named_and_no_key_is_shown(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        a_dialect(changes)

    assert caught.value.faults[0].startswith(f"merchants.falaise-demo.protocol.{fault}")
    assert "DJMESHXYou6LmjQFdH" not in str(caught.value)
    assert "a" * 25 not in str(caught.value)


def test_two_merchants_share_no_id_and_one_rule_of_notification() -> None:
    first = a_merchant()
    second = a_merchant(id="other-demo", retry="until_details")

    with pytest.raises(SettingsError) as caught:
        PaylineDialect({"falaise-demo": first, "other-demo": second}, a_house())

    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "merchants.other-demo.protocol.merchant_id",
        "merchants.falaise-demo.protocol.retry",
    ]


def test_no_clear_card_is_kept_of_a_request_that_brings_one(counter: Counter) -> None:
    card = "<card><number>4970102121041646</number><cvx>123</cvx></card>"

    token = opened(counter, opening(lambda text: text + card))

    assert "4970102121041646" not in str(counter.payments[-1])
    assert b"4970102121041646" not in details(counter, token).body
    assert b"4970102121041646" not in counter.post(DIRECT, ask("doAuthorization", card)).body


def test_the_directory_and_the_wsdl_ask_the_core_for_nothing(counter: Counter) -> None:
    counter.call(HttpCall("GET", WEB, "wsdl"))

    assert isinstance(counter.commands[-1], Say)
