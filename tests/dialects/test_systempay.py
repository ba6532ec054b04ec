"""Systempay / PayZen form V2 and REST V4 with bytes alone: the published vectors, every form error, every outcome."""

import base64
import hashlib
import hmac
import html
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    BadRequest,
    DeliveryFailed,
    Fault,
    GatewayError,
    NotAuthentic,
    NotFound,
    RequestConflict,
    SettingsError,
    StoreBusy,
)
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Event, Instalment, PaymentResult, RefundResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import ErrorPage, House, HttpCall, HttpReply, Open, Say, Try
from gateway.dialects.systempay import SystempayDialect
from gateway.dialects.systempay.fields import RULES
from gateway.dialects.systempay.proof import form_error
from gateway.dialects.systempay.results import AUTH_RESULTS
from gateway.dialects.systempay.schedule import read_plan
from gateway.dialects.systempay.signature import kr_hash, sign
from gateway.settings.merchant import Merchant

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
KEY = "1122334455667788"
UUID = "0123456789abcdef0123456789abcdef"
PAGE = "https://pay.example.org/p/secret"
ENTRY = "/vads-payment/"
IPN = "http://127.0.0.1:8001/ipn"
RETURN = "http://127.0.0.1:8001/back"
VECTORS = json.loads((Path(__file__).parent / "vectors/systempay/signatures.json").read_text("utf-8"))

HOUSE = House("https://pay.example.org", ZoneInfo("Europe/Paris"), True, lambda count: bytes.fromhex(UUID)[:count])
REST_ACCESS = {"password": "testpassword_DEMO", "hmac_key": "hmackeyDEMO", "public_key": "12345678:testpublickey_DEMO"}
HMAC_SITE = {"site_id": "12345678", "keys": {"TEST": KEY, "PRODUCTION": "9988776655443322"}, "rest": REST_ACCESS}
SHA1_SITE = {"site_id": "87654321", "algorithm": "sha1", "keys": {"TEST": KEY, "PRODUCTION": "9988776655443322"}}


def a_merchant(merchant: Mapping[str, object] | None = None, **protocol: object) -> Merchant:
    return Merchant.model_validate(
        {
            "id": "ifac-demo",
            "name": "Accueil de loisirs",
            "contract": "1999007",
            "dialect": "systempay",
            "protocol": {"sites": [HMAC_SITE, SHA1_SITE], **protocol},
            **(merchant or {}),
        }
    )


def a_dialect(
    merchant: Mapping[str, object] | None = None, house: House = HOUSE, **protocol: object
) -> SystempayDialect:
    return SystempayDialect({"ifac-demo": a_merchant(merchant, **protocol)}, house)


LIVE: Mapping[str, object] = {
    "mode": "production",
    "callback_urls": ["https://shop.example/ipn"],
    "return_urls": ["https://shop.example/back"],
}


def form(**changes: object) -> dict[str, str]:
    """Give the fields of a good form; ``...`` leaves one out."""
    whole: dict[str, object] = {
        "action_mode": "INTERACTIVE",
        "amount": "15850",
        "ctx_mode": "TEST",
        "currency": "978",
        "cust_email": "parent@example.org",
        "cust_name": "Jean Michél",
        "order_id": "CMD-1",
        "page_action": "PAYMENT",
        "payment_config": "SINGLE",
        "site_id": "12345678",
        "trans_date": "20261121090000",
        "trans_id": "A1b2C3",
        "url_check": IPN,
        "url_return": RETURN,
        "validation_mode": "",
        "version": "V2",
        **changes,
    }
    return {f"vads_{name}": str(value) for name, value in whole.items() if value is not ...}


def joined(fields: Mapping[str, str], charset: str = "utf-8") -> bytes:
    """Write the signed text by hand."""
    values = [fields[name] for name in sorted(fields) if name.startswith("vads_")]
    return "+".join(values).encode(charset)


def by_hmac(text: bytes, key: str = KEY) -> str:
    return base64.b64encode(hmac.digest(key.encode(), text + b"+" + key.encode(), "sha256")).decode()


def by_sha1(text: bytes, key: str = KEY) -> str:
    return hashlib.sha1(text + b"+" + key.encode(), usedforsecurity=False).hexdigest()


def post(fields: Mapping[str, str], signature: str | None = None, **headers: str) -> HttpCall:
    if signature is None:
        signature = (by_sha1 if fields.get("vads_site_id") == "87654321" else by_hmac)(joined(fields))
    sent = {**fields, "signature": signature} if signature else fields
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return HttpCall("POST", ENTRY, headers={**kind, **headers}, body=urlencode(sent).encode())


def read(fields: Mapping[str, str], dialect: SystempayDialect | None = None) -> Open:
    command = (dialect or a_dialect()).read(post(fields), NOW)
    assert isinstance(command, Open)
    return command


def faults(fields: Mapping[str, str], dialect: SystempayDialect | None = None) -> dict[str, str]:
    """Give the form errors of a well-signed form, by field."""
    with pytest.raises(BadRequest) as caught:
        (dialect or a_dialect()).read(post(fields), NOW)
    return {fault.pointer.removeprefix("/vads_"): fault.code for fault in caught.value.faults}


def diagnosis(call: HttpCall, dialect: SystempayDialect | None = None) -> Mapping[str, str]:
    with pytest.raises(NotAuthentic) as caught:
        (dialect or a_dialect()).read(call, NOW)
    assert KEY not in str(dict(caught.value.diagnosis))
    return caught.value.diagnosis


# Signatures: every published vector, literally.


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: vector["name"][:1])
def test_the_published_signatures_come_out(vector: dict[str, object]) -> None:
    fields = vector["fields"]
    assert isinstance(fields, dict)

    assert sign(fields, VECTORS["key"], "sha1") == vector["sha1"]
    if "hmac" in vector:
        assert sign(fields, VECTORS["key"], "hmac") == vector["hmac"]


def test_the_guides_sample_opens_a_payment_on_both_sites() -> None:
    sample = dict(VECTORS["signatures"][0]["fields"])

    command = a_dialect().read(post(sample, "ycA5Do5tNvsnKdc/eP1bj2xa19z9q3iWPy9/rpesfS0="), NOW)
    with pytest.raises(NotAuthentic):
        a_dialect().read(post(sample, "59c96b34c74b9375c332b0b6a32e6deeec87de2b"), NOW)

    assert isinstance(command, Open)
    assert command.request.amount == Money(5124)
    assert command.signed.jti == "12345678-TEST-20170129-123456"
    assert command.request.reference == "20170129-123456"
    sha1_shop = a_dialect(sites=[{**HMAC_SITE, "algorithm": {"TEST": "sha1"}}])
    assert isinstance(sha1_shop.read(post(sample, "59c96b34c74b9375c332b0b6a32e6deeec87de2b"), NOW), Open)


def test_upper_case_sorts_before_lower_case() -> None:
    fields = {"vads_threeds_eci": "3", "vads_threeds_cavvAlgorithm": "2", "vads_threeds_cavv": "1", "other": "x"}

    assert sign(fields, "k2345678", "sha1") == hashlib.sha1(b"1+2+3+k2345678").hexdigest()  # noqa: S324 - the platform's


def test_the_published_kr_hash_comes_out() -> None:
    vector = VECTORS["kr_hash"]

    assert (
        kr_hash(vector["answer"], vector["key"]) == "5e7c147e3e6bddc763e2bd27083a1bfd96da844ff33f8056a3ab3c59fcce10f8"
    )


def test_escaped_slashes_are_hashed_plain() -> None:
    assert kr_hash(r'{"url":"https:\/\/a"}', "k") == kr_hash('{"url":"https://a"}', "k")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)


@given(st.dictionaries(st.sampled_from(["cust_name", "cust_city", "order_info", "ext_info_x", "user_info"]), TEXT))
def test_whatever_is_signed_is_read_back_and_nothing_else(extra: dict[str, str]) -> None:
    fields = form(**dict(extra.items()))

    command = read(fields)

    assert json.loads(command.request.wire["fields"]) == fields
    altered = {**fields, "vads_amount": "1"}
    with pytest.raises(NotAuthentic):
        a_dialect().read(post(altered, by_hmac(joined(fields))), NOW)


@given(st.integers(0, 43), st.characters(codec="ascii", categories=["L", "N"]))
def test_any_altered_character_of_the_signature_is_refused(place: int, sign: str) -> None:
    right = by_hmac(joined(form()))
    wrong = right[:place] + sign + right[place + 1 :]
    if wrong == right:
        return

    with pytest.raises(NotAuthentic):
        a_dialect().read(post(form(), wrong), NOW)


# Opening.


def test_a_form_opens_a_payment() -> None:
    command = read(
        form(order_info="Cantine  de\tnovembre", cust_phone="06 12 34 56 78", ext_info_child="Zoé", language="EN")
    )

    assert command.request.amount == Money(15850)
    assert command.request.reference == "CMD-1"
    assert command.request.label == "Cantine de novembre"
    assert command.request.email == "parent@example.org"
    assert command.request.payer_name == "Jean Michél"
    assert command.request.payer_phone == "+33612345678"
    assert command.request.language == "en"
    assert command.request.metadata == {"vads_ext_info_child": "Zoé"}
    assert (command.request.notify_url, command.request.return_url) == (IPN, RETURN)
    assert [line.amount for line in command.request.lines] == [Money(15850)]
    assert command.by_browser
    assert command.handle == UUID
    assert command.signed.jti == "12345678-TEST-20261121-a1b2c3"
    assert command.replaces == {Status.CREATED, Status.OPENED}
    assert (command.resumes, command.page_minutes) == (False, 10)
    assert command.marks == {"algorithm": "hmac", "skew_seconds": "0"}


def test_get_and_multipart_carry_the_same_form() -> None:
    fields = {**form(cust_city="Évian + Thonon"), "custom_payment_config": "kept out"}
    fields["signature"] = by_hmac(joined(fields))
    part = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items())
    headers = {"content-type": "multipart/form-data; boundary=b"}

    by_post = a_dialect().read(post(form(cust_city="Évian + Thonon")), NOW)
    by_get = a_dialect().read(HttpCall("GET", ENTRY, urlencode(fields)), NOW)
    by_parts = a_dialect().read(HttpCall("POST", ENTRY, headers=headers, body=f"{part}--b--\r\n".encode()), NOW)

    assert isinstance(by_post, Open)
    assert by_post == by_get == by_parts


def test_the_browsers_language_stands_in_for_a_missing_one() -> None:
    command = a_dialect().read(post(form(), **{"accept-language": "es-ES,es;q=0.9,en;q=0.8"}), NOW)

    assert isinstance(command, Open)
    assert command.request.language == "es"
    assert read(form()).request.language == "fr"


def test_a_heading_cannot_turn_its_words_around() -> None:
    assert read(form(order_info="Cantine \u202e00,1 EUR\u2066")).request.label == "Cantine 00,1 EUR"


def test_the_same_id_in_another_case_is_the_same_id_with_another_content() -> None:
    first, again, other = read(form()), read(form()), read(form(trans_id="a1B2c3"))

    assert first.signed == again.signed
    assert first.signed.jti == other.signed.jti
    assert first.signed.digest != other.signed.digest


@pytest.mark.parametrize(
    ("cards", "schemes"),
    [
        ("", ()),
        ("CB", ("cb",)),
        ("VISA;CB;", ("visa", "cb")),
        ("VISA_ELECTRON;VISA;E-CARTEBLEUE", ("visa", "cb")),
        ("MAESTRO;PAYPAL;MASTERCARD;AMEX", ("maestro", "mastercard", "amex")),
    ],
)
def test_the_shops_cards_are_the_brands_the_payer_may_use(cards: str, schemes: tuple[str, ...]) -> None:
    assert read(form(payment_cards=cards)).request.schemes == schemes


@pytest.mark.parametrize(
    ("mode", "delay", "by_hand", "days"),
    [("0", "0", False, 0), ("1", "3", True, 3), ("", "", True, 2), ("0", "", False, 2)],
)
def test_empty_capture_settings_are_the_shops_own(mode: str, delay: str, by_hand: bool, days: int) -> None:
    dialect = a_dialect(capture_by_hand=True, capture_days=2)

    request = read(form(validation_mode=mode, capture_delay=delay), dialect).request

    assert (request.capture_by_hand, request.capture_days) == (by_hand, days)


def test_instalments_debit_the_first_now() -> None:
    request = read(form(payment_config="MULTI:first=5000;count=3;period=30")).request

    assert request.amount == Money(5000)
    assert request.lines[0].amount == Money(5000)
    assert request.instalments == (
        Instalment(date(2026, 12, 21), Money(5425)),
        Instalment(date(2027, 1, 20), Money(5425)),
    )


def test_dated_instalments_wait_for_the_first_date() -> None:
    request = read(form(amount="10850", payment_config="MULTI_EXT:20261201=5000;20270101=5850")).request

    assert request.amount == Money(5000)
    assert request.capture_days == 10
    assert request.instalments == (Instalment(date(2027, 1, 1), Money(5850)),)


@given(st.integers(1, 5_000_000), st.integers(1, 36), st.data())
def test_instalments_always_add_up(total: int, count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, total))
    try:
        plan = read_plan(f"MULTI:first={first};count={count};period=30", Money(total), NOW.date())
    except ValueError:
        assert total - first < count - 1 or (count == 1 and first != total)
        return

    assert plan.now.cents + sum(later.amount.cents for later in plan.later) == total
    assert len(plan.later) == count - 1
    assert [later.due for later in plan.later] == sorted({later.due for later in plan.later})


@pytest.mark.parametrize(
    "config",
    [
        "single",
        "MULTI:first=5000;count=3",
        "MULTI:first=5000;count=0;period=30",
        "MULTI:first=15850;count=2;period=30",
        "MULTI:first=5000;first=5000;period=30",
        "MULTI:first=0;count=2;period=30",
        "MULTI:first=15851;count=1;period=30",
        "MULTI_EXT:20261201=5000;20270101=5850",
        "MULTI_EXT:20270101=5850;20261201=10000",
        "MULTI_EXT:20260230=15850",
        "MULTI_EXT:20260101=15850",
        "MULTI_EXT:20261201=0;20270101=15850",
        "MULTI_EXT:20271122=15850",
        "MULTI_EXT:20261201=1;99991231=15849",
    ],
)
def test_a_wrong_payment_config_is_form_error_07(config: str) -> None:
    assert faults(form(payment_config=config)) == {"payment_config": "07"}


# Form errors.

WRONG: list[tuple[str, object, str]] = [
    ("version", "V1", "01"),
    ("site_id", "1234567", "02"),
    ("site_id", "11111111", "02"),
    ("trans_id", "12345", "03"),
    ("trans_id", "12345é", "03"),
    ("trans_id", ..., "03"),
    ("trans_date", "2026112109", "04"),
    ("trans_date", "20261321090000", "04"),
    ("validation_mode", "2", "05"),
    ("capture_delay", "366", "06"),
    ("capture_delay", "-1", "06"),
    ("payment_config", ..., "07"),
    ("payment_cards", "PAYPAL", "08"),
    ("payment_cards", "CB,VISA", "08"),
    ("amount", "0", "09"),
    ("amount", "158.50", "09"),
    ("amount", "1234567890123", "09"),
    ("amount", "500001", "09"),
    ("amount", ..., "09"),
    ("currency", "EUR", "10"),
    ("currency", "840", "10"),
    ("currency", "999", "10"),
    ("ctx_mode", "LIVE", "11"),
    ("language", "fra", "12"),
    ("order_id", "A/1", "13"),
    ("order_id", "A" * 65, "13"),
    ("order_info", "x" * 256, "14"),
    ("order_info2", "x\x00", "14"),
    ("order_info3", "x\x1b", "14"),
    ("cust_email", "nobody", "15"),
    ("cust_id", "x" * 64, "16"),
    ("cust_title", "x" * 64, "17"),
    ("cust_name", "x" * 128, "18"),
    ("cust_address", "x" * 256, "19"),
    ("cust_zip", "x" * 64, "20"),
    ("cust_city", "x" * 64, "21"),
    ("cust_country", "FRA", "22"),
    ("cust_phone", "0" * 33, "23"),
    ("url_success", "javascript:alert(1)", "24"),
    ("url_refused", "//shop.example/", "25"),
    ("url_referral", "ftp://shop.example/", "26"),
    ("url_cancel", "http://user@shop.example/", "27"),
    ("url_return", "http://shop.example/" + "x" * 1024, "28"),
    ("url_error", "http:///back", "29"),
    ("identifier", "card-1", "30"),
    ("contrib", "x" * 256, "31"),
    ("theme_config", "no pair", "32"),
    ("url_check", "http://10.0.0.1/ipn", "33"),
    ("redirect_success_timeout", "301", "34"),
    ("redirect_success_message", "x" * 256, "35"),
    ("redirect_error_timeout", "soon", "36"),
    ("redirect_error_message", "x" * 256, "37"),
    ("page_action", "REGISTER", "46"),
    ("page_action", ..., "46"),
    ("action_mode", "SILENT", "47"),
    ("return_mode", "get", "48"),
    ("user_info", "x" * 256, "61"),
    ("contracts", "CB", "62"),
    ("available_languages", "français", "71"),
    ("shop_name", "x" * 128, "72"),
    ("shop_url", "shop.example", "73"),
    ("cust_cell_phone", "0" * 33, "77"),
    ("ship_to_name", "x" * 128, "80"),
    ("ship_to_street", "x" * 256, "81"),
    ("ship_to_street2", "x" * 256, "82"),
    ("ship_to_city", "x" * 64, "83"),
    ("ship_to_state", "x" * 64, "84"),
    ("ship_to_zip", "x" * 64, "85"),
    ("ship_to_country", "F", "86"),
    ("ship_to_phone_num", "0" * 33, "87"),
    ("cust_state", "x" * 64, "88"),
    ("ext_info_x", "x" * 1025, "91"),
    ("cust_status", "x" * 64, "92"),
    ("never_heard_of", "x\x00", "99"),
    ("cust_first_name", "x" * 128, "104"),
    ("cust_last_name", "x" * 128, "105"),
    ("cust_address_number", "x" * 64, "112"),
]


@pytest.mark.parametrize(("name", "value", "code"), WRONG)
def test_each_field_has_its_form_error(name: str, value: object, code: str) -> None:
    assert faults(form(**{name: value})) == {name: code}


def test_every_rule_of_the_table_was_broken_once() -> None:
    assert {f"vads_{name}" for name, _, _ in WRONG} >= RULES.keys()


def test_all_faults_come_at_once() -> None:
    wrong = form(amount="0", currency="1", trans_id="?", page_action="", cust_email="x", url_check="no")

    assert faults(wrong) == {
        "amount": "09",
        "currency": "10",
        "trans_id": "03",
        "page_action": "46",
        "cust_email": "15",
        "url_check": "33",
    }


def test_nothing_at_all_misses_the_three_fields_that_choose_the_key() -> None:
    with pytest.raises(BadRequest) as caught:
        a_dialect().read(HttpCall("GET", ENTRY), NOW)

    assert [fault.code for fault in caught.value.faults] == ["01", "02", "11"]


@pytest.mark.parametrize("name", ["card_number", "expiry_month", "expiry_year", "cvv"])
def test_card_data_is_refused_before_the_signature_and_never_shown(name: str) -> None:
    call = post(form(**{name: "4970100000000000"}), "wrong")

    with pytest.raises(BadRequest) as caught:
        a_dialect().read(call, NOW)

    page = a_dialect().refused(call, caught.value)
    assert isinstance(page, ErrorPage)
    assert page.code == "999"
    assert "4970" not in page.detail


def test_ids_of_the_back_office_are_refused_where_the_shop_says_so() -> None:
    assert faults(form(trans_id="900000"), a_dialect(reserved_ids=True)) == {"trans_id": "03"}
    assert read(form(trans_id="9a0000"), a_dialect(reserved_ids=True)).by_browser
    assert read(form(trans_id="900000")).by_browser


def test_a_fixed_address_must_come_with_the_form() -> None:
    dialect = a_dialect({"email_rule": "fixed"})

    assert faults(form(cust_email=...), dialect) == {"cust_email": "15"}
    assert faults(form(cust_email=""), dialect) == {"cust_email": "15"}


# The clock.


def live(fields: Mapping[str, str]) -> HttpCall:
    return post(fields, by_hmac(joined(fields), "9988776655443322"))


def live_form(**changes: object) -> dict[str, str]:
    urls = {"url_check": "https://shop.example/ipn/1", "url_return": "https://shop.example/back"}
    return form(**{"ctx_mode": "PRODUCTION", **urls, **changes})


@pytest.mark.parametrize(("at", "is_taken"), [(-1800, True), (-1801, False), (5400, True), (5401, False)])
def test_in_production_the_date_is_held_against_the_clock(at: int, is_taken: bool) -> None:
    call = live(live_form(trans_date=f"{NOW + timedelta(seconds=at):%Y%m%d%H%M%S}"))

    if is_taken:
        command = a_dialect(LIVE).read(call, NOW)
        assert isinstance(command, Open)
        assert command.marks["skew_seconds"] == str(at)
        return
    with pytest.raises(BadRequest) as caught:
        a_dialect(LIVE).read(call, NOW)
    assert [fault.code for fault in caught.value.faults] == ["04"]
    assert f"{abs(at)} s" in caught.value.faults[0].detail


def test_local_time_is_recognised() -> None:
    with pytest.raises(BadRequest) as caught:
        a_dialect(LIVE).read(live(live_form(trans_date="20261121110012")), NOW)

    assert "7212 s ahead" in caught.value.faults[0].detail
    assert "UTC+02:00" in caught.value.faults[0].detail


def test_the_window_can_be_switched() -> None:
    old = form(trans_date="20200101000000")

    assert read(old).by_browser
    assert faults(old, a_dialect(time_window="on")) == {"trans_date": "04"}
    command = a_dialect(LIVE, time_window="off").read(live(live_form(trans_date="20200101000000")), NOW)
    assert isinstance(command, Open)


# Addresses.


def test_in_production_addresses_are_those_of_the_book() -> None:
    def codes(**changes: object) -> list[str]:
        with pytest.raises(BadRequest) as caught:
            a_dialect(LIVE).read(live(live_form(**changes)), NOW)
        return [fault.code for fault in caught.value.faults]

    assert isinstance(a_dialect(LIVE).read(live(live_form()), NOW), Open)
    assert codes(url_check="https://shop.example/other") == ["33"]
    assert codes(url_check="http://shop.example/ipn") == ["33"]
    assert codes(url_check=IPN) == ["33"]
    assert codes(url_cancel="https://evil.example/back") == ["27"]


def test_a_plain_address_does_not_become_good_by_being_registered() -> None:
    book = {**LIVE, "callback_urls": ["http://shop.example/ipn", "https://shop.example/ipn"]}

    with pytest.raises(BadRequest) as caught:
        a_dialect(book).read(live(live_form(url_check="http://shop.example/ipn")), NOW)

    assert [fault.code for fault in caught.value.faults] == ["33"]


def test_loopback_needs_a_server_that_allows_it() -> None:
    dialect = a_dialect(house=replace(HOUSE, loopback_allowed=False))

    # The payer's browser may well be on the machine that the shop runs on.
    assert faults(form(), dialect) == {"url_check": "33"}


# Hostile forms.


@pytest.mark.parametrize("name", ["vads_amount", "vads_ext_info_x", "signature"])
def test_a_field_named_twice_is_refused(name: str) -> None:
    call = post(form(ext_info_x="1"))
    twice = replace(call, body=call.body + f"&{name}=1".encode())

    with pytest.raises(BadRequest) as caught:
        a_dialect().read(twice, NOW)

    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [(f"/{name}", "99")]


@pytest.mark.parametrize("field", [b"vads_am%6funt=1", b"vads_caf%C3%A9=1", b"vads_=1", b"vads_a.b=1"])
def test_names_in_disguise_are_refused(field: bytes) -> None:
    call = post(form())

    with pytest.raises(BadRequest):
        a_dialect().read(replace(call, body=call.body + b"&" + field), NOW)


def test_a_boundary_cannot_be_moved_unseen() -> None:
    # Both forms sign the same text: only the rules of the fields tell them apart.
    moved = form(cust_city="a+b", cust_country="FR")
    other = {**moved, "vads_cust_city": "a", "vads_cust_country": "b+FR"}
    assert joined(moved) == joined(other)

    assert faults(other) == {"cust_country": "22"}


@pytest.mark.parametrize(
    "call",
    [
        HttpCall("POST", ENTRY, body=b"vads_order_info=" + b"x" * 70_000),
        HttpCall("GET", ENTRY, "vads_order_info=" + "x" * 70_000),
        HttpCall("POST", ENTRY, body=b"&".join(b"a%d=1" % i for i in range(500))),
        HttpCall("POST", ENTRY, headers={"content-type": "application/json"}, body=b"{}"),
        HttpCall("POST", ENTRY, headers={"content-type": "multipart/form-data"}, body=b"--b--"),
        HttpCall("POST", ENTRY, headers={"content-type": "multipart/form-data; boundary=b"}, body=b"nothing"),
        HttpCall("POST", ENTRY, headers={"content-type": "multipart/form-data; boundary=b"}, body=b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n1\r\n--b--\r\n'),
        HttpCall("POST", ENTRY, headers={"content-type": "multipart/form-data; boundary=b"}, body=b'--b\r\nContent-Disposition: form-data; name="vads_amount"\r\n\r\n1'),
        HttpCall("POST", ENTRY, headers={"content-type": "multipart/form-data; boundary=b"}, body=b'--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n'),
    ],
    ids=["long body", "long query", "many fields", "json", "no boundary", "no part", "file", "cut short", "no name"],
)  # fmt: skip
def test_what_is_no_form_is_refused(call: HttpCall) -> None:
    with pytest.raises(BadRequest):
        a_dialect().read(call, NOW)


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"]),
)
def test_no_bytes_break_the_reader(body: bytes, kind: str) -> None:
    for call in (
        HttpCall("POST", ENTRY, headers={"content-type": kind}, body=b"--b\r\n" + body),
        HttpCall("GET", ENTRY, body.decode("latin-1")),
    ):
        with pytest.raises((BadRequest, NotAuthentic)) as caught:
            a_dialect().read(call, NOW)
        assert isinstance(a_dialect().refused(call, caught.value), ErrorPage)


@pytest.mark.parametrize(("method", "path"), [("PUT", ENTRY), ("GET", "/vads-payment/other")])
def test_other_calls_are_not_found(method: str, path: str) -> None:
    call = HttpCall(method, path)

    with pytest.raises(NotFound) as caught:
        a_dialect().read(call, NOW)

    page = a_dialect().refused(call, caught.value)
    assert isinstance(page, ErrorPage)
    assert page.status == 404


# Diagnosis.


def recoded(fields: Mapping[str, str]) -> dict[str, str]:
    return {
        name: html.escape(value.replace("é", "&eacute;")).replace("&amp;eacute;", "&eacute;")
        for name, value in fields.items()
    }


def glued(fields: Mapping[str, str]) -> bytes:
    return "".join(fields[name] for name in sorted(fields)).encode() + KEY.encode()


def signed_alone(message: bytes) -> str:
    """Sign with HMAC what is given, without adding a key."""
    return base64.b64encode(hmac.digest(KEY.encode(), message, "sha256")).decode()


MISTAKES: list[tuple[str, Mapping[str, str], str, str]] = [
    ("the key of the other mode", form(), by_hmac(joined(form()), "9988776655443322"), "The PRODUCTION key was used"),
    ("the other algorithm", form(), by_sha1(joined(form())), "signed with SHA-1; this shop's algorithm is HMAC-SHA-256"),
    ("a blank after the key", form(), by_hmac(joined(form()), KEY + " "), "around the key"),
    ("a line end after the key", form(), by_hmac(joined(form()), KEY + "\n"), "around the key"),
    ("Latin-1", form(), by_hmac(joined(form(), "latin-1")), "in Latin-1"),
    ("entities", form(), by_hmac(joined(recoded(form()))), "HTML entities"),
    ("numeric entities", form(), by_hmac(joined(form()).replace("é".encode(), b"&#233;")), "HTML entities"),
    ("escaped", form(cust_name='"A" & B'), by_hmac(joined(form(cust_name="&quot;A&quot; &amp; B"))), "HTML entities"),
    ("dropped empties", form(), by_hmac(joined(form(validation_mode=...))), "Empty fields were sent but not signed"),
    ("added empties", form(), by_hmac(joined(form(capture_delay=""))), "vads_capture_delay was signed empty"),
    ("unsorted", form(), by_hmac("+".join(reversed([*form().values()])).encode()), "sort them by name"),
    ("no final key", form(), signed_alone(joined(form())), "does not end with"),
    ("hex", form(), hmac.digest(KEY.encode(), joined(form()) + b"+" + KEY.encode(), "sha256").hex(), "spelt in hex"),
    ("blanks for +", form(cust_id="9"), by_hmac(joined(form(cust_id="9"))).replace("+", " "), "arrived as blanks"),
    ("joined with nothing", form(), signed_alone(glued(form())), "without + between"),
    ("percent-encoded", form(), by_hmac(b"+".join(quote_plus(form()[n]).encode() for n in sorted(form()))), "Percent-encoded"),
    ("line ends", form(cust_address="1\r\n2"), by_hmac(joined(form(cust_address="1\n2"))), "line ends"),
    ("trimmed", form(cust_address="1 rue "), by_hmac(joined(form(cust_address="1 rue"))), "trimmed"),
    ("two at once", form(), by_sha1(joined(form(validation_mode=...))), "The algorithm is wrong too"),
    ("missing", form(), "", "no field named signature"),
    ("anything", form(), "x" * 44, "None of the usual mistakes"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "fields", "signature", "cause"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_the_usual_mistakes_are_explained(mistake: str, fields: Mapping[str, str], signature: str, cause: str) -> None:
    if mistake == "unsorted":
        fields = {name: fields[name] for name in reversed(list(fields))}

    told = diagnosis(post(fields, signature))

    assert cause in told["cause"]
    assert told.keys() == {
        "dialect",
        "merchant",
        "signed",
        "expected",
        "received",
        "first_difference",
        "cause",
        "tried",
    }
    assert told["expected"] == by_hmac(joined(fields))
    assert told["signed"].encode().startswith(joined(fields)[:27])


def test_blanks_for_plus_is_tried_on_a_signature_that_has_a_plus() -> None:
    assert "+" in by_hmac(joined(form(cust_id="9")))


def test_latin_1_bytes_are_refused_even_when_signed_as_such() -> None:
    fields = form()
    body = urlencode({**fields, "signature": by_hmac(joined(fields, "latin-1"))}, encoding="latin-1").encode()
    sent_only = urlencode({**fields, "signature": by_hmac(joined(fields))}, encoding="latin-1").encode()

    assert "sent and signed in Latin-1" in diagnosis(HttpCall("POST", ENTRY, body=body))["cause"]
    assert "UTF-8 was signed but Latin-1 was sent" in diagnosis(HttpCall("POST", ENTRY, body=sent_only))["cause"]


def test_raw_bytes_of_a_query_are_kept() -> None:
    fields = {**form(), "signature": by_hmac(joined(form()))}
    raw = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in fields.items()).encode()

    assert isinstance(a_dialect().read(HttpCall("GET", ENTRY, raw.decode("latin-1")), NOW), Open)


def test_a_key_pasted_into_a_field_does_not_come_out() -> None:
    told = diagnosis(post(form(order_info=KEY), "wrong"))

    assert "[key]" in told["signed"]


def test_the_key_of_the_sister_site_is_recognised() -> None:
    dialect = a_dialect(sites=[HMAC_SITE, {**SHA1_SITE, "keys": {"TEST": "5566778811223344"}}])

    assert (
        "key of site 87654321" in diagnosis(post(form(), by_hmac(joined(form()), "5566778811223344")), dialect)["cause"]
    )


PRODUCTION_KEY = "9988776655443322"


def test_the_test_key_in_production_mode_is_recognised_and_the_reverse() -> None:
    live, test = form(ctx_mode="PRODUCTION"), form()

    by_test_key = diagnosis(post(live, by_hmac(joined(live), KEY)))
    by_production_key = diagnosis(post(test, by_hmac(joined(test), PRODUCTION_KEY)))

    assert "The TEST key was used for a form whose vads_ctx_mode is PRODUCTION" in by_test_key["cause"]
    assert "send vads_ctx_mode=TEST" in by_test_key["cause"]
    assert "The PRODUCTION key was used for a form whose vads_ctx_mode is TEST" in by_production_key["cause"]
    assert "key of the other mode" in by_test_key["tried"]


def test_modes_are_told_apart_where_each_has_an_algorithm_of_its_own() -> None:
    dialect = a_dialect(sites=[{**HMAC_SITE, "algorithm": {"TEST": "sha1", "PRODUCTION": "hmac"}}])
    live = form(ctx_mode="PRODUCTION")

    assert "The TEST key was used" in diagnosis(post(live, by_sha1(joined(live), KEY)), dialect)["cause"]


def test_the_right_signature_of_production_mode_is_shown_to_nobody() -> None:
    live = form(ctx_mode="PRODUCTION")
    right = by_hmac(joined(live), PRODUCTION_KEY)

    for wrong in (by_hmac(joined(live), KEY), "x" * 44, ""):
        told = diagnosis(post(live, wrong))
        assert right not in str(dict(told))
        assert told["expected"] == "not shown: made with the PRODUCTION key"
        assert told["first_difference"] == ""


def test_a_form_in_production_mode_with_its_own_key_is_told_that_the_shop_is_in_test_mode() -> None:
    live = form(ctx_mode="PRODUCTION")

    with pytest.raises(BadRequest) as caught:
        a_dialect().read(post(live, by_hmac(joined(live), PRODUCTION_KEY)), NOW)

    assert [fault.code for fault in caught.value.faults] == ["11"]


def test_a_test_form_never_opens_anything_in_production() -> None:
    with pytest.raises(BadRequest) as right:
        a_dialect(LIVE).read(post(form()), NOW)
    with pytest.raises(NotAuthentic) as wrong:
        a_dialect(LIVE).read(post(form(), by_hmac(joined(form()), PRODUCTION_KEY)), NOW)

    assert [fault.code for fault in right.value.faults] == ["11"]
    assert wrong.value.diagnosis == {}


def test_a_key_that_is_not_in_the_book_is_named_as_untried() -> None:
    dialect = a_dialect(sites=[{**HMAC_SITE, "keys": {"TEST": KEY}}])
    live = form(ctx_mode="PRODUCTION")

    assert "PRODUCTION key is not known here" in diagnosis(post(form(), "x" * 44), dialect)["cause"]
    assert "The TEST key was used" in diagnosis(post(live, by_hmac(joined(live), KEY)), dialect)["cause"]
    assert "PRODUCTION key is not known here" in diagnosis(post(live, "x" * 44), dialect)["cause"]
    assert "no field named signature" in diagnosis(post(live, ""), dialect)["cause"]


def test_an_unknown_shop_is_logged_by_its_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), pytest.raises(BadRequest):
        a_dialect().read(post(form(site_id="11111111")), NOW)

    assert [record.__dict__.get("reference") for record in caplog.records] == ["11111111"]


def test_the_sha1_site_is_diagnosed_in_its_own_spelling() -> None:
    fields = form(site_id="87654321")

    assert "lower case" in diagnosis(post(fields, by_sha1(joined(fields)).upper()))["cause"]
    assert "this shop's algorithm is SHA-1" in diagnosis(post(fields, by_hmac(joined(fields))))["cause"]
    assert read(fields).marks["algorithm"] == "sha1"


def test_production_shops_are_told_nothing() -> None:
    with pytest.raises(NotAuthentic) as caught:
        a_dialect(LIVE).read(post(live_form(), "wrong"), NOW)

    assert caught.value.diagnosis == {}
    page = a_dialect(LIVE).refused(post(live_form(), "wrong"), caught.value)
    assert isinstance(page, ErrorPage)
    assert by_hmac(joined(live_form()), "9988776655443322") not in page.detail


# Refusals.

REFUSALS: list[tuple[GatewayError, int, str]] = [
    (NotAuthentic("bad_signature", "sign"), 200, "00"),
    (RequestConflict("jti_reused", "draw a new one"), 200, "03"),
    (RequestConflict("debt_already_paid", "paid"), 200, "13"),
    (RequestConflict("debt_locked", "busy"), 200, "13"),
    (StoreBusy("busy"), 503, "96"),
    (NotFound("no"), 404, "99"),
]


@pytest.mark.parametrize(("error", "status", "code"), REFUSALS)
def test_refusals_are_pages_with_their_form_error(error: GatewayError, status: int, code: str) -> None:
    page = a_dialect().refused(post(form()), error)

    assert isinstance(page, ErrorPage)
    assert (page.status, page.code, page.headers["X-Form-Error"]) == (status, code, code)


DIAGNOSIS = {
    "cause": "a",
    "signed": "b",
    "expected": "c",
    "received": "d",
    "first_difference": "e",
    "tried": "f",
    "x": "g",
}
FAULTS = (
    Fault("/vads_amount", "09", "say how much"),
    Fault("", "99", "send a form"),
    Fault("/vads_cust", "09", "less"),
)


@pytest.mark.parametrize(
    ("error", "number", "text"),
    [
        (BadRequest(FAULTS), "09,99", "vads_amount (09): say how much\nform (99): send a form\nvads_cust (09): less"),
        (NotAuthentic("bad_signature", "sign"), "00", "sign"),
        (NotAuthentic("bad_signature", "sign", {"cause": "a", "signed": ""}), "00", "cause: a"),
        (
            NotAuthentic("bad_signature", "sign", DIAGNOSIS), "00",
            "cause: a\nsigned: b\nexpected: c\nreceived: d\nfirst_difference: e\ntried: f",
        ),
        (
            RequestConflict("jti_reused", "x"), "03",
            "vads_trans_id (03): used on this UTC day already with other fields, whatever its case; draw a new one",
        ),
        (RequestConflict("debt_already_paid", "paid"), "13", "paid"),
        (RequestConflict("suspended", "wait"), "99", "wait"),
        (StoreBusy("busy"), "96", "busy"),
        (NotFound("no"), "99", "no"),
    ],
)  # fmt: skip
def test_a_form_error_has_its_number_and_its_words(error: GatewayError, number: str, text: str) -> None:
    assert form_error(error) == (number, text)


def test_a_strict_shop_answers_400() -> None:
    dialect = a_dialect(strict_status=True)
    call = post(form(amount="0", currency="1"))
    with pytest.raises(BadRequest) as caught:
        dialect.read(call, NOW)

    page = dialect.refused(call, caught.value)

    assert isinstance(page, ErrorPage)
    assert (page.status, page.code) == (400, "09,10")
    assert "vads_amount (09)" in page.detail


def test_the_page_of_a_bad_signature_says_why() -> None:
    call = post(form(), by_sha1(joined(form())))
    with pytest.raises(NotAuthentic) as caught:
        a_dialect().read(call, NOW)

    page = a_dialect().refused(call, caught.value)

    assert isinstance(page, ErrorPage)
    assert "cause: The form was signed with SHA-1" in page.detail
    assert KEY not in page.detail


# Results.


def an_attempt(**changes: object) -> AttemptResult:
    whole: dict[str, object] = {
        "id": "att_1",
        "number": 1,
        "status": AttemptStatus.CAPTURED,
        "scheme": "cb",
        "bin": "497010",
        "last4": "0000",
        "started_at": NOW,
        "flow": "frictionless",
        "response_code": "00",
        "authorisation_number": "3fcdd2",
        "eci": "05",
        "ended_at": NOW + timedelta(minutes=1),
        **changes,
    }
    return AttemptResult(**whole)  # type: ignore[arg-type]  # a test names the fields it changes


def a_result(
    fields: Mapping[str, str] | None = None,
    status: Status = Status.PAID,
    dialect: SystempayDialect | None = None,
    **changes: object,
) -> PaymentResult:
    command = read(fields or form(), dialect)
    attempts = (an_attempt(),) if status is Status.PAID else ()
    whole: dict[str, object] = {
        "id": "pay_1",
        "number": "0000000042",
        "request": command.request,
        "payee": a_merchant().payee,
        "status": status,
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=10),
        "paid_at": NOW + timedelta(minutes=1) if status is Status.PAID else None,
        "attempts": attempts,
        "dialect": "systempay",
        "handle": UUID,
        **changes,
    }
    return PaymentResult(**whole)  # type: ignore[arg-type]  # a test names the fields it changes


def an_event(kind: str, **facts: str) -> Event:
    return Event("evt_1", 7, kind, NOW + timedelta(minutes=1), facts)


ENDS = {
    Status.PAID: "payment.succeeded",
    Status.FAILED: "payment.refused",
    Status.CANCELLED: "payment.cancelled",
    Status.EXPIRED: "payment.expired",
}


def told(body: bytes) -> dict[str, str]:
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def ipn(result: PaymentResult, event: Event | None = None, dialect: SystempayDialect | None = None) -> dict[str, str]:
    """Give the fields of a notification, once its signature is proved."""
    fields = told((dialect or a_dialect()).confirmed(result, event or an_event(ENDS[result.status])))
    assert fields["signature"] == by_hmac(joined(fields))
    return fields


REFUSED = AttemptStatus.DECLINED
NOT_PROVED = AttemptStatus.AUTHN_FAILED

# (request changes, status, attempt) -> trans_status, result, auth_result
OUTCOMES: list[tuple[dict[str, str], Status, dict[str, object] | None, tuple[str, str, str]]] = [
    ({}, Status.PAID, {}, ("AUTHORISED", "00", "00")),
    ({"validation_mode": "1"}, Status.PAID, {}, ("AUTHORISED_TO_VALIDATE", "00", "00")),
    ({"capture_delay": "7"}, Status.PAID, {}, ("AUTHORISED", "00", "00")),
    ({"capture_delay": "8"}, Status.PAID, {}, ("WAITING_AUTHORISATION", "00", "00")),
    ({"capture_delay": "8", "validation_mode": "1"}, Status.PAID, {}, ("WAITING_AUTHORISATION_TO_VALIDATE", "00", "00")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "05", "response_family": "do_not_honour"}, ("REFUSED", "05", "05")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "51", "response_family": "funds"}, ("REFUSED", "05", "51")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "96", "response_family": "technical"}, ("REFUSED", "05", "96")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "02", "response_family": "call_issuer"}, ("REFUSED", "02", "02")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "82", "response_family": "wrong_code"}, ("REFUSED", "05", "55")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "16", "response_family": "do_not_honour"}, ("REFUSED", "05", "05")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "R0", "response_family": "do_not_honour"}, ("REFUSED", "05", "05")),
    ({}, Status.PAID, {"response_code": "10"}, ("AUTHORISED", "00", "00")),
    ({}, Status.FAILED, {"status": REFUSED, "response_code": "1A", "response_family": "authentication"}, ("REFUSED", "05", "")),
    ({}, Status.FAILED, {"status": NOT_PROVED, "response_code": "N", "response_family": "authentication", "flow": "refused"}, ("REFUSED", "05", "")),
    ({}, Status.FAILED, {"status": NOT_PROVED, "response_code": "", "response_family": "challenge_failed", "flow": "challenge"}, ("REFUSED", "05", "")),
    ({}, Status.FAILED, {"status": NOT_PROVED, "response_code": "", "response_family": "technical", "flow": ""}, ("", "96", "")),
    ({}, Status.FAILED, {"status": AttemptStatus.REVERSED, "response_code": "", "response_family": "technical"}, ("", "96", "")),
    ({}, Status.CANCELLED, None, ("ABANDONED", "17", "")),
    ({}, Status.EXPIRED, None, ("ABANDONED", "17", "")),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "status", "attempt", "expected"), OUTCOMES)
def test_each_outcome_has_its_words(
    asked: dict[str, str], status: Status, attempt: dict[str, object] | None, expected: tuple[str, str, str]
) -> None:
    attempts = () if attempt is None else (an_attempt(**{"authorisation_number": "", **attempt}),)
    result = a_result(form(**asked), status, attempts=attempts)

    fields = ipn(result)

    assert (fields["vads_trans_status"], fields["vads_result"], fields["vads_auth_result"]) == expected
    assert fields["vads_auth_mode"] == ("MARK" if "WAITING" in expected[0] else "FULL")
    assert fields["vads_extra_result"] == ""
    words = f"{expected[0] or '-'} {expected[1]}/{expected[2] or '-'}"
    assert a_dialect().code(result, an_event(ENDS[status])) == words


def test_every_published_authorisation_result_is_two_digits() -> None:
    assert len(AUTH_RESULTS) == 47
    assert all(len(code) == 2 and code.isdigit() for code in AUTH_RESULTS)


GENUINE_ORDER = [
    "amount",
    "auth_mode",
    "auth_number",
    "auth_result",
    "capture_delay",
    "card_brand",
    "card_number",
    "payment_certificate",
    "ctx_mode",
    "currency",
    "effective_amount",
    "effective_currency",
    "site_id",
    "trans_date",
    "trans_id",
    "trans_uuid",
    "validation_mode",
    "version",
    "warranty_result",
    "payment_src",
    "cust_email",
    "cust_name",
    "order_id",
    "contrib",
    "tid",
    "sequence_number",
    "contract_used",
    "trans_status",
    "expiry_month",
    "expiry_year",
    "bank_label",
    "bank_product",
    "pays_ip",
    "presentation_date",
    "effective_creation_date",
    "operation_type",
    "result",
    "extra_result",
    "card_country",
    "language",
    "brand_management",
    "action_mode",
    "payment_config",
    "page_action",
    "ext_info_child",
    "threeds_enrolled",
    "threeds_auth_type",
    "threeds_eci",
    "threeds_xid",
    "threeds_cavvAlgorithm",
    "threeds_status",
    "threeds_sign_valid",
    "threeds_error_code",
    "threeds_exit_status",
    "threeds_cavv",
    "url_check_src",
    "hash",
]


def test_a_notification_has_the_fields_of_a_genuine_one_in_their_order() -> None:
    fields = ipn(a_result(form(ext_info_child="Zoé", contrib="shop 1.0")))

    assert list(fields) == [*(f"vads_{name}" for name in GENUINE_ORDER), "signature"]


def test_an_accepted_notification_says_it_all() -> None:
    fields = ipn(a_result(form(ext_info_child="Zoé", contrib="shop 1.0", language="en", capture_delay="2")))

    expected = {
        "amount": "15850",
        "auth_number": "3fcdd2",
        "capture_delay": "2",
        "card_brand": "CB",
        "card_number": "497010XXXXXX0000",
        "ctx_mode": "TEST",
        "currency": "978",
        "effective_amount": "15850",
        "effective_currency": "978",
        "trans_uuid": UUID,
        "validation_mode": "0",
        "warranty_result": "YES",
        "cust_name": "Jean Michél",
        "contrib": "shop 1.0",
        "sequence_number": "1",
        "contract_used": "1999007",
        "presentation_date": "20261123090100",
        "effective_creation_date": "20261121090100",
        "operation_type": "DEBIT",
        "language": "en",
        "brand_management": '{"brandList":"CB","brand":"CB"}',
        "ext_info_child": "Zoé",
        "threeds_enrolled": "Y",
        "threeds_auth_type": "FRICTIONLESS",
        "threeds_eci": "05",
        "threeds_status": "Y",
        "threeds_exit_status": "10",
        "url_check_src": "PAY",
    }
    assert {name: fields[f"vads_{name}"] for name in expected} == expected
    assert len(fields["vads_payment_certificate"]) == 40
    assert len(fields["vads_hash"]) == 64


def test_an_abandoned_notification_has_realistic_blanks() -> None:
    fields = ipn(a_result(status=Status.CANCELLED))

    for name in [
        "auth_number",
        "auth_result",
        "card_brand",
        "card_number",
        "payment_certificate",
        "effective_amount",
        "effective_currency",
        "warranty_result",
        "presentation_date",
        "effective_creation_date",
        "brand_management",
        "threeds_status",
    ]:
        assert fields[f"vads_{name}"] == "", name
    assert fields["vads_operation_type"] == "DEBIT"


@pytest.mark.parametrize(
    ("flow", "eci", "enrolled", "kind", "status"),
    [
        ("frictionless", "05", "Y", "FRICTIONLESS", "Y"),
        ("challenge", "02", "Y", "CHALLENGE", "Y"),
        ("attempted", "06", "N", "", "A"),
        ("attempted", "07", "U", "", "U"),
        ("attempted", "00", "U", "", "U"),
        ("unavailable", "07", "U", "", "U"),
        ("", "", "", "", ""),
    ],
)
def test_3_d_secure_is_told(flow: str, eci: str, enrolled: str, kind: str, status: str) -> None:
    fields = ipn(a_result(attempts=(an_attempt(flow=flow, eci=eci),)))

    assert fields["vads_threeds_enrolled"] == enrolled
    assert fields["vads_threeds_auth_type"] == kind
    assert fields["vads_threeds_status"] == status
    assert fields["vads_warranty_result"] == {"07": "NO", "00": "NO", "": "UNKNOWN"}.get(eci, "YES")


def test_a_failed_challenge_is_told_as_such_even_when_another_card_was_begun_after_it() -> None:
    failed = an_attempt(
        status=NOT_PROVED, response_code="", response_family="challenge_failed", flow="challenge", eci="05"
    )
    left = an_attempt(number=2, status=AttemptStatus.ABANDONED, response_code="", bin="513100")

    fields = ipn(a_result(status=Status.FAILED, attempts=(failed, left)))

    assert (fields["vads_threeds_status"], fields["vads_threeds_eci"]) == ("N", "")
    assert (fields["vads_sequence_number"], fields["vads_card_number"]) == ("1", "497010XXXXXX0000")


@given(
    st.sampled_from(["", "3fcdd2", "REVIEW", "12345", "1234567"]),
    st.sampled_from(["00", "05", "1A", "N", "", "000", "٠٠"]),
    st.sampled_from(["cb", "visa", "amex", "maestro", "unknown"]),
    st.sampled_from([Status.PAID, Status.FAILED]),
)
def test_strict_clients_are_never_given_an_odd_length(number: str, code: str, scheme: str, status: Status) -> None:
    attempt = an_attempt(
        authorisation_number=number,
        response_code=code,
        scheme=scheme,
        status=REFUSED if status is Status.FAILED else AttemptStatus.CAPTURED,
    )

    fields = ipn(a_result(status=status, attempts=(attempt,)))

    assert len(fields["vads_auth_number"]) in (0, 6)
    assert len(fields["vads_auth_result"]) in (0, 2)
    assert len(fields["vads_card_number"]) in (15, 16)
    assert fields["vads_auth_mode"]


def test_what_the_form_said_of_the_buyer_comes_back_as_it_was() -> None:
    fields = ipn(
        a_result(form(cust_city=" Évian ", cust_zip="", ship_to_city="Lyon", order_info2="a+b & c", user_info="régie"))
    )

    assert fields["vads_cust_city"] == " Évian "
    assert fields["vads_cust_zip"] == ""
    assert fields["vads_ship_to_city"] == "Lyon"
    assert fields["vads_order_info2"] == "a+b & c"
    assert fields["vads_user_info"] == "régie"


def test_instalments_echo_the_whole_and_tell_what_was_debited() -> None:
    fields = ipn(a_result(form(payment_config="MULTI:first=5000;count=3;period=30")))

    assert (fields["vads_amount"], fields["vads_effective_amount"]) == ("15850", "5000")
    assert fields["vads_payment_config"] == "MULTI:first=5000;count=3;period=30"


def test_the_sha1_site_is_answered_in_sha1() -> None:
    fields = told(a_dialect().confirmed(a_result(form(site_id="87654321")), an_event("payment.succeeded")))

    assert fields["signature"] == by_sha1(joined(fields))


# When, where, how often.


def test_the_ends_are_told_at_once_and_nothing_else() -> None:
    dialect = a_dialect()

    for status, kind in ENDS.items():
        event = an_event(kind)
        assert dialect.due(a_result(status=status), event) == event.at
    for kind in ("payment.opened", "attempt.captured", "attempt.declined", "payment.refunded"):
        assert dialect.due(a_result(), an_event(kind)) is None
        assert dialect.code(a_result(status=Status.OPENED), an_event(kind)) == ""


def test_rules_choose_what_is_told() -> None:
    dialect = a_dialect(rules={"end": False, "abandon": False, "batch": True, "back_office": True})
    refund = RefundResult("ref_1", Money(5000), "done", NOW)
    result = a_result(refunds=(refund,))

    assert dialect.due(result, an_event("payment.succeeded")) is None
    assert dialect.due(a_result(status=Status.EXPIRED), an_event("payment.expired")) is None
    captured = ipn(result, an_event("attempt.captured"), dialect)
    assert (captured["vads_trans_status"], captured["vads_url_check_src"]) == ("CAPTURED", "BATCH")
    assert dialect.code(result, an_event("attempt.captured")) == "CAPTURED 00/00"
    back = ipn(result, an_event("payment.refunded", refund="ref_1"), dialect)
    assert (back["vads_operation_type"], back["vads_amount"], back["vads_url_check_src"]) == (
        "CREDIT",
        "5000",
        "MERCH_BO",
    )
    assert back["vads_trans_uuid"] != UUID


DECLINED = {"status": REFUSED, "response_code": "51", "response_family": "funds"}


def test_a_refused_card_is_told_by_itself_only_where_the_shop_asks_for_it() -> None:
    tried = a_result(status=Status.WORKING, attempts=(an_attempt(**DECLINED),))
    event = an_event("attempt.declined", attempt="att_1")
    dialect = a_dialect(rules={"tries": True})

    assert a_dialect().due(tried, event) is None
    assert dialect.due(tried, event) == event.at
    fields = ipn(tried, event, dialect)
    assert (fields["vads_trans_status"], fields["vads_result"], fields["vads_auth_result"]) == ("REFUSED", "05", "51")
    assert (fields["vads_sequence_number"], fields["vads_url_check_src"]) == ("1", "PAY")
    assert dialect.code(tried, event) == "REFUSED 05/51"


def test_the_last_refusal_is_told_as_the_end_alone() -> None:
    attempts = tuple(an_attempt(id=f"att_{number}", number=number, **DECLINED) for number in (1, 2, 3))
    last = a_result(status=Status.WORKING, attempts=attempts)

    assert a_dialect(rules={"tries": True}).due(last, an_event("attempt.declined", attempt="att_3")) is None


def test_a_try_that_created_no_transaction_is_not_told() -> None:
    failed = an_attempt(status=NOT_PROVED, response_code="", response_family="technical", flow="")
    dialect, result = a_dialect(rules={"tries": True}), a_result(status=Status.OPENED, attempts=(failed,))

    assert dialect.due(result, an_event("attempt.not_authenticated", attempt="att_1")) is None


def test_a_rest_order_stays_open_while_another_card_may_be_tried() -> None:
    result = rest_result(Status.WORKING, attempts=(an_attempt(**DECLINED),))
    dialect = a_dialect(rules={"tries": True})

    body = dialect.confirmed(result, an_event("attempt.declined", attempt="att_1"))

    answer = json.loads(told(body)["kr-answer"])
    assert (answer["orderCycle"], answer["orderStatus"]) == ("OPEN", "UNPAID")
    assert answer["transactions"][0]["detailedErrorCode"] == "51"


def test_the_address_is_the_forms_then_the_shops_then_the_merchants() -> None:
    by_rule = a_dialect(
        {"notify_url": "https://shop.example/m"}, sites=[{**HMAC_SITE, "url_check": {"TEST": "https://shop.example/t"}}]
    )
    bare = form(url_check=...)

    assert by_rule.target(a_result(dialect=by_rule).recipient) == IPN
    assert by_rule.target(a_result(bare, dialect=by_rule).recipient) == "https://shop.example/t"
    plain = a_dialect({"notify_url": "https://shop.example/m"})
    assert plain.target(a_result(bare, dialect=plain).recipient) == "https://shop.example/m"
    assert a_dialect().target(a_result(bare).recipient) == ""
    assert a_dialect().due(a_result(bare), an_event("payment.succeeded")) is None
    with pytest.raises(DeliveryFailed) as caught:
        a_dialect().delivery(a_result(bare).recipient, Try("evt_1", b"", 1, NOW))
    assert not caught.value.again


def test_a_repeat_says_so_and_is_signed_anew() -> None:
    dialect, result = a_dialect(), a_result()
    body = dialect.confirmed(result, an_event("payment.succeeded"))

    first = dialect.delivery(result.recipient, Try("evt_1", body, 1, NOW))
    second = dialect.delivery(result.recipient, Try("evt_1", body, 2, NOW))

    assert first.body == body
    assert (first.method, first.url, first.path) == ("POST", IPN, "/ipn")
    assert first.headers["content-type"].startswith("application/x-www-form-urlencoded")
    before, after = told(first.body), told(second.body)
    assert after["vads_url_check_src"] == "RETRY"
    assert after["signature"] == by_hmac(joined(after))
    changed = {"vads_url_check_src", "vads_hash", "signature"}
    assert {name for name in before if before[name] != after[name]} == changed
    assert list(before) == list(after)


@pytest.mark.parametrize("kind", ["payment.succeeded", "attempt.captured"])
def test_a_call_asked_for_by_hand_says_so_and_its_repeats_are_automatic(kind: str) -> None:
    dialect, result = a_dialect(), a_result()
    body = dialect.confirmed(result, an_event(kind))

    by_hand = told(dialect.delivery(result.recipient, Try("evt_1", body, 1, NOW, by_hand=True)).body)
    after_it = told(dialect.delivery(result.recipient, Try("evt_1", body, 2, NOW, by_hand=True)).body)

    assert [fields["vads_url_check_src"] for fields in (by_hand, after_it)] == ["BO", "RETRY"]
    assert by_hand["signature"] == by_hmac(joined(by_hand))
    assert by_hand["signature"] != after_it["signature"]


def test_a_call_by_hand_says_so_even_where_repeats_say_pay() -> None:
    dialect, result = a_dialect(retry_source="PAY"), a_result()
    body = dialect.confirmed(result, an_event("payment.succeeded"))

    call = dialect.delivery(result.recipient, Try("evt_1", body, 1, NOW, by_hand=True))

    assert told(call.body)["vads_url_check_src"] == "BO"


def test_a_shop_may_be_told_pay_each_time() -> None:
    dialect, result = a_dialect(retry_source="PAY"), a_result()
    body = dialect.confirmed(result, an_event("payment.succeeded"))

    assert dialect.delivery(result.recipient, Try("evt_1", body, 3, NOW)).body == body


def test_these_statuses_and_no_others_mean_received() -> None:
    taken = {status for status in range(100, 600) if a_dialect().received(status, b"KO-failure")}

    assert taken == {200, 201, 202, 203, 204, 205, 206, 301, 302, 303, 307, 308}


@pytest.mark.parametrize(
    ("at", "again"),
    [("09:00:00", "09:15:00"), ("09:14:59", "09:15:00"), ("09:45:01", "10:00:00"), ("23:59:59", "00:00:00")],
)
def test_repeats_go_out_at_the_quarter_hours(at: str, again: str) -> None:
    now = datetime.combine(NOW.date(), datetime.strptime(at, "%H:%M:%S").time(), UTC)  # noqa: DTZ007 - a time of day

    moments = [a_dialect().retry_at(tries, now) for tries in (1, 2, 3, 4)]

    assert [f"{moment:%H:%M:%S}" if moment else None for moment in moments] == [again, again, again, None]
    assert moments[0] is not None
    assert timedelta(0) < moments[0] - now <= timedelta(minutes=15)


# The payer's return.

URLS = {f"url_{name}": f"https://shop.example/{name}" for name in ("success", "refused", "referral", "cancel", "error")}


@pytest.mark.parametrize(
    ("status", "attempt", "address"),
    [
        (Status.PAID, {}, "success"),
        (Status.FAILED, {"status": REFUSED, "response_code": "51"}, "refused"),
        (Status.FAILED, {"status": REFUSED, "response_code": "02"}, "referral"),
        (Status.FAILED, {"status": NOT_PROVED, "response_code": "", "response_family": "technical"}, "error"),
        (Status.CANCELLED, None, "cancel"),
        (Status.EXPIRED, None, "cancel"),
    ],
)
def test_each_outcome_has_its_return(status: Status, attempt: dict[str, object] | None, address: str) -> None:
    attempts = () if attempt is None else (an_attempt(**attempt),)
    with_all = a_result(form(**URLS), status, attempts=attempts)
    with_one = a_result(form(), status, attempts=attempts)

    own, fallback = a_dialect().returned(with_all, NOW), a_dialect().returned(with_one, NOW)

    assert own is not None
    assert fallback is not None
    assert (own.url, own.method, own.fields) == (f"https://shop.example/{address}", "GET", ())
    assert fallback.url == RETURN


def test_get_brings_the_data_in_the_query() -> None:
    departure = a_dialect().returned(a_result(form(return_mode="GET", url_return=f"{RETURN}?order=1")), NOW)

    assert departure is not None
    base, _, query = departure.url.partition("?")
    fields = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True, strict_parsing=True).items()}
    assert base == RETURN
    assert fields.pop("order") == "1"
    assert fields["signature"] == by_hmac(joined(fields))
    notified = ipn(a_result(form(return_mode="GET", url_return=f"{RETURN}?order=1")))
    assert notified.keys() - fields.keys() == {"vads_url_check_src", "vads_hash"}
    assert all(notified[name] == fields[name] for name in fields if name != "signature")


def test_post_brings_the_data_in_a_form() -> None:
    departure = a_dialect().returned(a_result(form(return_mode="POST"), Status.CANCELLED), NOW)

    assert departure is not None
    assert (departure.url, departure.method) == (RETURN, "POST")
    assert dict(departure.fields)["vads_trans_status"] == "ABANDONED"


def test_nothing_is_told_of_an_open_payment() -> None:
    departure = a_dialect().returned(a_result(form(return_mode="GET"), Status.WORKING), NOW)

    assert departure is not None
    assert departure.url == RETURN


def test_the_shops_own_return_stands_in_and_without_one_the_payer_stays() -> None:
    dialect = a_dialect(sites=[{**HMAC_SITE, "url_return": "https://shop.example/"}])
    bare = form(url_return=...)

    own = dialect.returned(a_result(bare, dialect=dialect), NOW)

    assert own is not None
    assert own.url == "https://shop.example/"
    assert a_dialect().returned(a_result(bare), NOW) is None


def test_a_browser_is_sent_to_the_page() -> None:
    reply = a_dialect().opened(read(form()), a_result(status=Status.CREATED), PAGE, NOW)

    assert (reply.status, reply.headers["Location"]) == (303, PAGE)


def test_a_shop_that_left_the_book_is_told_nothing() -> None:
    result, other = a_result(), a_dialect(sites=[SHA1_SITE])

    assert other.due(result, an_event("payment.succeeded")) is None
    assert other.returned(result, NOW) is None
    with pytest.raises(DeliveryFailed):
        other.delivery(result.recipient, Try("evt_1", b"", 1, NOW))


# REST V4.


def rest(
    members: object,
    word: str = "testpassword_DEMO",
    path: str = "Charge/CreatePayment",
    user: str = "12345678",
) -> HttpCall:
    credentials = base64.b64encode(f"{user}:{word}".encode()).decode()
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return HttpCall("POST", f"/api-payment/V4/{path}", headers={"authorization": f"Basic {credentials}"}, body=body)


ASKED = {
    "amount": 15850,
    "currency": "EUR",
    "orderId": "CMD-1",
    "customer": {"email": "parent@example.org", "billingDetails": {"firstName": "Jean", "lastName": "Michél"}},
    "ipnTargetUrl": IPN,
    "metadata": {"child": "Zoé"},
}


def rest_result(status: Status = Status.PAID, **changes: object) -> PaymentResult:
    command = a_dialect().read(rest(ASKED), NOW)
    assert isinstance(command, Open)
    return replace(a_result(None, status, None, **changes), request=replace(command.request, return_url=RETURN))


def test_a_web_service_call_opens_a_payment() -> None:
    command = a_dialect().read(rest(ASKED), NOW)

    assert isinstance(command, Open)
    assert command.request.amount == Money(15850)
    assert (command.request.reference, command.request.email) == ("CMD-1", "parent@example.org")
    assert command.request.payer_name == "Jean Michél"
    assert command.request.notify_url == IPN
    assert (command.by_browser, command.handle, command.page_minutes) == (False, UUID, 10)
    reply = a_dialect().opened(command, rest_result(Status.CREATED), PAGE, NOW)
    assert reply.status == 200
    assert json.loads(reply.body) == {
        "webService": "Charge/CreatePayment",
        "version": "V4",
        "status": "SUCCESS",
        "answer": {"formToken": UUID, "paymentURL": PAGE, "_type": "V4/Charge/PaymentForm"},
        "serverDate": "2026-11-21T09:00:00+00:00",
        "_type": "V4/WebService/Response",
    }


def test_the_sdk_test_echoes() -> None:
    said = a_dialect().read(rest({"value": "my testing value"}, path="Charge/SDKTest"), NOW)

    assert isinstance(said, Say)
    assert json.loads(said.reply.body)["answer"]["value"] == "my testing value"


def test_what_is_too_deep_to_be_echoed_is_refused() -> None:
    for depth in range(800, 1000):
        call = replace(rest({}, path="Charge/SDKTest"), body=b'{"value":' + b"[" * depth + b"]" * depth + b"}")
        with suppress(BadRequest):
            assert isinstance(a_dialect().read(call, NOW), Say)


@pytest.mark.parametrize(
    "call",
    [
        rest(ASKED, "testpassword_OTHER"),
        rest(ASKED, ""),
        rest(ASKED, user="87654321"),
        rest(ASKED, user="11111111"),
        rest(ASKED, KEY),
        replace(rest(ASKED), headers={}),
        replace(rest(ASKED), headers={"authorization": "Basic é"}),
        replace(rest(ASKED), headers={"authorization": "Bearer MTIzNDU2Nzg6dGVzdHBhc3N3b3JkX0RFTU8="}),
    ],
)
def test_nobody_else_opens_one(call: HttpCall) -> None:
    with pytest.raises(NotAuthentic) as caught:
        a_dialect().read(call, NOW)

    reply = a_dialect().refused(call, caught.value)
    assert isinstance(reply, HttpReply)
    envelope = json.loads(reply.body)
    assert (reply.status, envelope["status"], envelope["answer"]["errorCode"]) == (200, "ERROR", "INT_905")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({**ASKED, "amount": 0}, "INT_009"),
        ({**ASKED, "amount": "15850"}, "INT_009"),
        ({**ASKED, "amount": 500_001}, "INT_009"),
        ({"currency": "EUR"}, "INT_009"),
        ({**ASKED, "currency": "USD"}, "INT_010"),
        ({**ASKED, "orderId": "a b"}, "INT_902"),
        ({**ASKED, "ipnTargetUrl": "file:///etc/passwd"}, "INT_902"),
        ({**ASKED, "customer": {"email": "nobody"}}, "INT_902"),
        ({**ASKED, "formAction": "REGISTER"}, "INT_902"),
        ({**ASKED, "metadata": {"a": "\x00"}}, "INT_902"),
        (b'{"amount":1,"amount":2,"currency":"EUR"}', "INT_902"),
        (b"[" * 30_000, "INT_902"),
        (b'{"amount":1,"currency":"EUR","orderId":"\\ud800"}', "INT_902"),
        (b"[]", "INT_902"),
        (b"\xff", "INT_902"),
        (b" " * 70_000, "INT_902"),
    ],
)
def test_a_wrong_call_is_answered_in_the_envelope(members: object, code: str) -> None:
    call = rest(members)
    with pytest.raises(BadRequest) as caught:
        a_dialect().read(call, NOW)

    reply = a_dialect().refused(call, caught.value)

    assert isinstance(reply, HttpReply)
    assert json.loads(reply.body)["answer"]["errorCode"] == code


@pytest.mark.parametrize("said", ["a\\/b", "a\\\\/b", "a/b"])
def test_what_a_shop_said_makes_one_hash_whether_slashes_are_unescaped_or_not(said: str) -> None:
    result = rest_result()
    result = replace(result, request=replace(result.request, metadata={"place": said}))

    posted = told(a_dialect().confirmed(result, an_event("payment.succeeded")))

    assert posted["kr-hash"] == hmac.digest(b"testpassword_DEMO", posted["kr-answer"].encode(), "sha256").hex()
    assert json.loads(posted["kr-answer"])["orderDetails"]["metadata"] == {"place": said}


def test_the_notification_is_signed_with_the_password_and_the_return_with_the_hmac_key() -> None:
    dialect, result = a_dialect(), rest_result()

    body = dialect.confirmed(result, an_event("payment.succeeded"))
    departure = dialect.returned(result, NOW)

    posted = told(body)
    assert posted["kr-hash-key"] == "password"
    assert posted["kr-hash"] == hmac.digest(b"testpassword_DEMO", posted["kr-answer"].encode(), "sha256").hex()
    assert departure is not None
    assert (departure.url, departure.method) == (RETURN, "POST")
    brought = dict(departure.fields)
    assert brought["kr-hash-key"] == "sha256_hmac"
    assert brought["kr-hash"] == hmac.digest(b"hmackeyDEMO", brought["kr-answer"].encode(), "sha256").hex()
    assert (brought["kr-hash-algorithm"], brought["kr-answer-type"]) == ("sha256_hmac", "V4/Payment")
    call = dialect.delivery(result.recipient, Try("evt_1", body, 2, NOW))
    assert (call.url, call.body) == (IPN, body)


@pytest.mark.parametrize(
    ("status", "attempt", "order_status", "detailed"),
    [
        (Status.PAID, {}, "PAID", "AUTHORISED"),
        (Status.FAILED, {"status": REFUSED, "response_code": "51"}, "UNPAID", "REFUSED"),
        (Status.CANCELLED, None, "UNPAID", None),
    ],
)
def test_the_answer_tells_the_outcome(
    status: Status, attempt: dict[str, object] | None, order_status: str, detailed: str | None
) -> None:
    attempts = () if attempt is None else (an_attempt(**attempt),)
    result = rest_result(status, attempts=attempts)

    answer = json.loads(told(a_dialect().confirmed(result, an_event(ENDS[status])))["kr-answer"])

    assert (answer["shopId"], answer["orderStatus"]) == ("12345678", order_status)
    assert answer["orderDetails"]["orderTotalAmount"] == 15850
    assert answer["orderDetails"]["orderId"] == "CMD-1"
    assert answer["orderDetails"]["metadata"] == {"child": "Zoé"}
    assert [one["detailedStatus"] for one in answer["transactions"]] == ([detailed] if detailed else [])
    if status is Status.FAILED:
        refused = answer["transactions"][0]
        assert (refused["detailedErrorCode"], refused["uuid"]) == ("51", UUID)
        assert refused["detailedErrorMessage"] == "insufficient funds or limit exceeded"


def test_the_shops_own_capture_rule_holds_for_web_service_calls_too() -> None:
    dialect = a_dialect(capture_by_hand=True, capture_days=3)

    command = dialect.read(rest(ASKED), NOW)

    assert isinstance(command, Open)
    assert (command.request.capture_by_hand, command.request.capture_days) == (True, 3)
    paid = replace(rest_result(), request=replace(command.request, return_url=RETURN))
    answer = json.loads(told(dialect.confirmed(paid, an_event("payment.succeeded")))["kr-answer"])
    assert (answer["orderStatus"], answer["transactions"][0]["detailedStatus"]) == ("RUNNING", "AUTHORISED_TO_VALIDATE")


def test_a_rest_notification_is_the_same_each_time() -> None:
    dialect, result = a_dialect(), rest_result()
    body = dialect.confirmed(result, an_event("payment.succeeded"))

    assert dialect.delivery(result.recipient, Try("evt_1", body, 1, NOW, by_hand=True)).body == body


def test_rest_shops_are_told_ends_only() -> None:
    dialect = a_dialect(rules={"batch": True, "back_office": True})

    assert dialect.due(rest_result(), an_event("payment.succeeded")) is not None
    assert dialect.due(rest_result(), an_event("attempt.captured")) is None
    assert dialect.due(rest_result(), an_event("payment.refunded")) is None


# Settings.


def settings_faults(**protocol: object) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        SystempayDialect({"ifac-demo": a_merchant({"protocol": protocol})}, HOUSE)
    assert KEY not in str(caught.value)
    return caught.value.faults


def test_one_shop_may_be_written_without_a_list() -> None:
    merchant = a_merchant({"protocol": {"site_id": "12345678", "keys": {"TEST": KEY}, "strict_status": True}})

    assert read(form(), SystempayDialect({"ifac-demo": merchant}, HOUSE)).by_browser


def test_addresses_may_be_said_once_for_all_sites() -> None:
    own = {**SHA1_SITE, "url_check": "https://shop.example/own"}
    dialect = a_dialect(sites=[HMAC_SITE, own], url_check="https://shop.example/all")

    first, second = form(url_check=...), form(url_check=..., site_id="87654321")

    assert dialect.target(a_result(first, dialect=dialect).recipient) == "https://shop.example/all"
    assert dialect.target(a_result(second, dialect=dialect).recipient) == "https://shop.example/own"


@pytest.mark.parametrize(
    ("protocol", "place"),
    [
        ({}, "protocol.sites: "),
        ({"site_id": "1", "keys": {"TEST": KEY}}, "protocol.sites.0.site_id: "),
        ({"site_id": "12345678", "keys": {"TEST": "a b c d e f"}}, "protocol.sites.0.keys.TEST: "),
        ({"site_id": "12345678", "keys": {"TEST": KEY}, "algorithm": "md5"}, "protocol.sites.0.algorithm"),
        ({"site_id": "12345678", "keys": {"TEST": KEY}, "url_check": "nowhere"}, "protocol.sites.0.url_check: "),
        ({"site_id": "12345678", "keys": {"TEST": KEY}, "colour": "red"}, "protocol.colour: "),
        ({"site_id": "12345678", "keys": {"PRODUCTION": KEY}}, "protocol.sites: 12345678 has no TEST key"),
        ({"sites": [HMAC_SITE, HMAC_SITE]}, "protocol.sites: 12345678 is ifac-demo's already"),
    ],
)
def test_wrong_settings_are_named(protocol: dict[str, object], place: str) -> None:
    assert any(fault.startswith(f"merchants.ifac-demo.{place}") for fault in settings_faults(**protocol))


def test_keys_do_not_show_in_what_is_printed() -> None:
    from gateway.dialects.systempay.shops import Terms

    text = repr(Terms.model_validate({"sites": [HMAC_SITE]}))

    assert KEY not in text
    assert "testpassword" not in text


def test_a_number_used_today_is_told_in_this_protocols_words() -> None:
    refusal = a_dialect().refused(HttpCall("POST", ENTRY), RequestConflict("jti_reused", "draw a new jti"))

    assert isinstance(refusal, ErrorPage)
    assert (refusal.headers["X-Form-Error"], refusal.code) == ("03", "03")
    assert "vads_trans_id" in refusal.detail
    assert "jti" not in refusal.detail
