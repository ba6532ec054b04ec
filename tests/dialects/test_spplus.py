"""SP Plus with bytes alone: the published vectors, what opens a payment and what never does, and what is told back."""

import base64
import hashlib
import hmac
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    BadRequest,
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
from gateway.core.payment import (
    AttemptResult,
    Event,
    Instalment,
    InstalmentResult,
    Line,
    Mode,
    Payee,
    PaymentRequest,
    PaymentResult,
    RefundResult,
)
from gateway.core.states import AttemptStatus, InstalmentStatus, Status
from gateway.dialects import (
    Capture,
    Command,
    Departure,
    ErrorPage,
    Find,
    House,
    HttpCall,
    HttpReply,
    Open,
    Refund,
    Say,
    Try,
    Which,
)
from gateway.dialects.spplus import MerchantKey, SpplusDialect, issue_key
from gateway.dialects.spplus.administration import Inform
from gateway.settings.merchant import Merchant

# Printed in the vendor's kits: the public demonstration shop.
DEMO_KEY = "58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79"
DEMO_SIRET = "00000000000001-01"
DEMO_SECRET = bytes.fromhex("fabdb877b8ef7003f70350bb91090e76c5c75b29")
OTHER_KEY = "d1 51 d1 d0 e0 29 fc bc 86 90 d1 8b 2c 8a ef 50 17 78 47 87 00 0e 53 11"
OTHER_SECRET = bytes.fromhex("00112233445566778899aabbccddeeff01234567")

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
ORIGIN = "https://pay.example.org"
PAGE = "https://pay.example.org/p/secret"
ENTRY = "/paiement/init.do"
SERVLET = "/administration/spadm/spadminservlet"
NOTIFY = "http://127.0.0.1:8001/notify"
RETURN = "http://127.0.0.1:8001/retour"

SEVEN = {
    "siret": DEMO_SIRET,
    "reference": "ali20090528102502",
    "langue": "FR",
    "devise": "978",
    "montant": "158.50",
    "taxe": "0.00",
    "validite": "31/12/2099",
}
TOLD = (
    "siret=00000000000001-01&reference=ali20090528102502&langue=FR&devise=978&montant=158.50&taxe=0.00"
    "&refsfp=36628282&etat={etat}"
)
WORKED = (
    "siret=00000000000001-01&reference=ali20090528102502&langue=FR&devise=978&montant=158.50&taxe=0.00"
    "&validite=31%2F12%2F2099&version=1&modalite=1x&moyen=CBS&email=j.durand%40example.com"
    "&urlretour=http%3A%2F%2F127.0.0.1%3A8001%2Fretour&hmac="
)
HIDDEN = (
    "!c2lyZXQ9MDAwMDAwMDAwMDAwMDElMkQwMSZyZWZlcmVuY2U9cmVmMTIzNDU2Jmxhbmd1ZT1GUiZkZXZpc2U9OTc4Jm1vbnRhbnQ9MTAlMkUwMCZ0"
    "YXhlPTAlMkUwMCZ2YWxpZGl0ZT0zMSUyRjEyJTJGMjA5OSZtb3llbj1DQlMmbW9kYWxpdGU9MXgmZW1haWw9Ym9iJTQwZXhhbXBsZSUyRWNvbSZ1"
    "cmxyZXRvdXI9aHR0cCUzQSUyRiUyRjEyNyUyRTAlMkUwJTJFMSUzQTgwMDElMkZyZXRvdXImdmVyc2lvbj0xJmhtYWM9QkIwNTAwQjY5RUE4M0Ez"
    "NzQxRDI0OUI2RjIzNUZBOTMzQzQ0NDk0RQ=="
)


def a_shop(merchant: str = "alise-demo", mode: Mode = Mode.TEST, /, **protocol: object) -> Merchant:
    table = {"siret": DEMO_SIRET, "key": DEMO_KEY, "urlcheck": NOTIFY, **protocol}
    return Merchant(id=merchant, name="Lycée de Démonstration", mode=mode, dialect="spplus", protocol=table)


def a_dialect(*shops: Merchant, loopback_allowed: bool = True) -> SpplusDialect:
    house = House(ORIGIN, PARIS, loopback_allowed, os.urandom)
    return SpplusDialect({shop.id: shop for shop in shops or (a_shop(),)}, house)


def sign(text: str | bytes, secret: bytes = DEMO_SECRET) -> str:
    message = text.encode() if isinstance(text, str) else text
    return hmac.new(secret, message, hashlib.sha1).hexdigest().upper()


def run(pairs: Mapping[str, str]) -> str:
    return "".join(pairs.values())


def query_of(pairs: Mapping[str, str], signature: str = "") -> str:
    signed = {name: pairs.get(name, "") for name in SEVEN}
    return urlencode({**pairs, "hmac": signature or sign(run(signed))})


def read(query: str, dialect: SpplusDialect | None = None, path: str = ENTRY, now: datetime = NOW) -> Command:
    return (dialect or a_dialect()).read(HttpCall("GET", path, query), now)


def opened(query: str, dialect: SpplusDialect | None = None, now: datetime = NOW) -> Open:
    command = read(query, dialect, now=now)
    assert isinstance(command, Open)
    return command


def faults_of(query: str, dialect: SpplusDialect | None = None) -> set[tuple[str, str]]:
    with pytest.raises(BadRequest) as caught:
        read(query, dialect)
    return {(fault.pointer, fault.code) for fault in caught.value.faults}


def a_result(query: str = "", status: Status = Status.PAID, **changes: object) -> PaymentResult:
    query = query or TOLD.partition("&refsfp")[0]
    amount = Money(15850)
    request = PaymentRequest(
        merchant="alise-demo",
        reference="ali20090528102502",
        amount=amount,
        lines=(Line("ali20090528102502", "Référence ali20090528102502", amount),),
        label="Référence ali20090528102502",
        notify_url=NOTIFY,
        wire={"query": query, "urlretour": RETURN},
    )
    result = PaymentResult(
        id="pay_1",
        number="0036628282",
        request=request,
        payee=Payee("alise-demo", "Lycée de Démonstration"),
        status=status,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
        attempts=(an_attempt(AttemptStatus.APPROVED),) if status is Status.PAID else (),
    )
    return replace(result, **changes)  # type: ignore[arg-type]  # a test names the fields it changes


def an_attempt(status: AttemptStatus) -> AttemptResult:
    return AttemptResult("att_1", 1, status, "visa", "497010", "0000", NOW, authorisation_number="81290")


def wired(result: PaymentResult, **wire: str) -> PaymentResult:
    kept = {name: text for name, text in {**result.request.wire, **wire}.items() if text}
    return replace(result, request=replace(result.request, wire=kept))


def an_event(kind: str) -> Event:
    return Event("evt_1", 3, kind, NOW)


# The merchant key.


def test_the_demonstration_key_deciphers_to_the_published_bytes() -> None:
    key = MerchantKey.read(DEMO_KEY)

    assert key.secret.hex() == "fabdb877b8ef7003f70350bb91090e76c5c75b29"
    assert key.has_check


def test_a_key_is_issued_as_the_vendors_kit_expects_it() -> None:
    assert issue_key(OTHER_SECRET) == "d1 51 d1 d0 e0 29 fc bc 86 90 d1 8b 2c 8a ef 50 17 78 47 87 00 0e 53 11"
    assert MerchantKey.read(OTHER_KEY).sign(b"coin") == "84F3EBC9565746533517C276389CF1E24A314472"


@given(st.binary(min_size=20, max_size=20))
def test_an_issued_key_is_read_back(secret: bytes) -> None:
    key = MerchantKey.read(issue_key(secret).upper().replace(" ", "\t"))

    assert (key.secret, key.has_check) == (secret, True)


@pytest.mark.parametrize("text", ["", "58 6d", DEMO_KEY + " 00", DEMO_KEY.replace("58", "zz"), "٥" * 48])
def test_a_key_of_another_form_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must be 48 hex digits, with or without blanks"):
        MerchantKey.read(text)


def test_a_mistyped_key_is_told_by_its_last_bytes() -> None:
    assert not MerchantKey.read("59" + DEMO_KEY[2:]).has_check


def test_a_key_never_shows_itself() -> None:
    assert repr(MerchantKey.read(DEMO_KEY)) == "MerchantKey()"


def test_each_usual_misuse_of_a_key_has_its_signature_and_its_name() -> None:
    digits = "".join(DEMO_KEY.split()).lower()
    spaced = bytes.fromhex(digits).hex(" ")
    key, text = MerchantKey.read(DEMO_KEY), "hex text of the key used as the key"

    def by(misused: bytes) -> str:
        return hmac.new(misused, b"coin", hashlib.sha1).hexdigest().upper()

    assert list(key.mistaken(b"coin")) == [
        ("key used without deciphering it", by(bytes.fromhex(digits))),
        ("all 24 deciphered bytes used as the key", by(key.secret + key.secret[:4])),
        *[(text, by(written.encode())) for written in (digits, digits.upper(), spaced, spaced.upper())],
        ("deciphered key used as hex text", by(key.secret.hex().encode())),
    ]


def test_a_key_of_another_length_is_not_issued() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        issue_key(b"short")


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("coin", "c04f8266d6ae3ce37551cce996c751be4a95d10a"),
        ("cointoto", "ef008e02f8dbf5e70e83da416b0b3a345db203de"),
        ("wdwd%20%3Fdfgfdgd343", "04233b78bb5aff332d920d4e89394f505ec58a2a"),
        ("00000000000001-01ref123456FR97810.000.0", "B904A738323EF88372DE75C83722F6E179CC089A"),
        (
            "97823/04/20111ZYX0NIFcbZIDuiZfazQp10.0000000000000001-01FR0.00bob@example.com",
            "B43DCE98F97E5D249EF96F7F31D962F8FA5636FF",
        ),
        ("00000000000001-01ali20090528102502FR978158.500.0031/12/2099", "04206A274ECDE714C5E1953586355F639B48FED9"),
        ("00000000000001-01ali20090528102502FR978158.500.00", "0FFD9F837BD2DA1BFAB794D57A42931E9AF9E5DF"),
        ("00000000000001-01ali20090528102502FR978158.500.00CBS1x", "0B8DDAF735450B6EA6DF2996B5FB60F8302D9AB6"),
        ("00000000000001-01zBVWxRMH7nkM3xRQPcEOFR978158.500.0021/11/2026", "0C19550CFC4C95EDC6A2E3F053BC2519C3641ADA"),
    ],
)
def test_the_published_signatures(text: str, signature: str) -> None:
    assert MerchantKey.read(DEMO_KEY).sign(text.encode()) == signature.upper()


# Requests, and the variants of their signature.


@pytest.mark.parametrize(
    ("signature", "variant", "partial"),
    [
        ("04206A274ECDE714C5E1953586355F639B48FED9", "V7", "version modalite moyen email urlretour"),
        ("1A4D2D5E455DDCAA5AEAF9C1089205189C12B093", "VALL-dec", None),
        ("57BFB389C45F5B1E96576105D164A48C90487553", "VALL-raw", None),
        ("04206a274ecde714c5e1953586355f639b48fed9", "V7", "version modalite moyen email urlretour"),
    ],
)
@pytest.mark.parametrize("path", [ENTRY, "/IPaiement/initialiserPaiement.do", "/cgis-bin/spdecrypt.exe"])
def test_the_worked_request_is_taken_with_each_published_signature(
    signature: str, variant: str, partial: str | None, path: str
) -> None:
    command = read(WORKED + signature, path=path)

    assert isinstance(command, Open)
    assert command.marks.get("signature") == variant
    assert command.marks.get("partial") == partial


def test_the_worked_request_asks_for_what_it_says() -> None:
    command = opened(WORKED + "04206A274ECDE714C5E1953586355F639B48FED9")

    request = command.request
    assert (request.merchant, request.reference, request.amount) == ("alise-demo", "ali20090528102502", Money(15850))
    assert request.lines == (Line("ali20090528102502", "Référence ali20090528102502", Money(15850)),)
    assert (request.email, request.language) == ("j.durand@example.com", "fr")
    assert (request.return_url, request.notify_url) == (RETURN, NOTIFY)
    assert request.pay_before == date(2099, 12, 31)
    assert request.wire["query"] == WORKED.removesuffix("&hmac=")
    assert request.wire["montant"] == "158.50"
    assert command.by_browser
    assert command.resumes
    assert command.replaces == {Status.CREATED, Status.OPENED}


def test_the_same_wish_has_the_same_digest_and_another_id() -> None:
    first, second = (opened(WORKED + "04206A274ECDE714C5E1953586355F639B48FED9") for _ in range(2))
    other = opened(query_of({**SEVEN, "montant": "158.51"}))

    assert first.signed.digest == second.signed.digest != other.signed.digest
    assert first.signed.jti != second.signed.jti


@pytest.mark.parametrize(
    ("pairs", "signature", "variant"),
    [
        # The vendor's own self-test, without validity.
        (
            {**SEVEN, "reference": "ref123456", "montant": "10.00", "taxe": "0.0", "validite": ""},
            "B904A738323EF88372DE75C83722F6E179CC089A",
            "V7",
        ),
        ({**SEVEN, "validite": ""}, "0FFD9F837BD2DA1BFAB794D57A42931E9AF9E5DF", "V7"),
        (
            {**{k: v for k, v in SEVEN.items() if k != "validite"}, "moyen": "CBS", "modalite": "1x"},
            "0B8DDAF735450B6EA6DF2996B5FB60F8302D9AB6",
            "VALL-dec",
        ),
        (
            {**SEVEN, "reference": "zBVWxRMH7nkM3xRQPcEO", "validite": "21/11/2026"},
            "0C19550CFC4C95EDC6A2E3F053BC2519C3641ADA",
            "V7",
        ),
    ],
)
def test_published_requests_open_payments(pairs: Mapping[str, str], signature: str, variant: str) -> None:
    assert opened(query_of(pairs, signature)).marks["signature"] == variant


def test_a_shop_may_take_all_values_in_any_order() -> None:
    query = (
        "devise=978&validite=23%2F04%2F2011&version=1&reference=ZYX0NIFcbZIDuiZfazQp&montant=10.00"
        "&siret=00000000000001-01&langue=FR&taxe=0.00&email=bob%40example.com&hmac=B43DCE98F97E5D249EF96F7F31D962F8FA5636FF"
    )
    then = datetime(2011, 4, 20, tzinfo=UTC)

    loose = opened(query, a_dialect(a_shop(any_order=True)), now=then)

    assert (loose.marks["signature"], loose.request.reference) == ("VALL-dec", "ZYX0NIFcbZIDuiZfazQp")
    assert loose.marks["order"] == "any: whoever carries the request can re-cut it"
    assert faults_of(query) == {("", "ambiguous")}


@pytest.mark.parametrize("langue", [{"langue": ""}, {}], ids=["empty", "left out"])
def test_a_language_that_is_not_given_is_french(langue: Mapping[str, str]) -> None:
    pairs = {**{name: value for name, value in SEVEN.items() if name != "langue"}, **langue}

    request = opened(query_of(pairs)).request

    assert (request.reference, request.amount, request.language) == ("ali20090528102502", Money(15850), "fr")


def test_without_a_language_the_reference_cannot_swallow_one() -> None:
    genuine = {**SEVEN, "reference": "order7"}
    moved = {**SEVEN, "reference": "order7FR", "langue": ""}
    assert run(genuine) == run(moved)

    assert opened(query_of(genuine)).request.reference == "order7"
    assert faults_of(query_of(moved)) == {("", "ambiguous")}


@pytest.mark.parametrize("any_order", [True, False])
def test_without_a_language_digits_of_the_reference_cannot_become_an_amount(*, any_order: bool) -> None:
    genuine = {**SEVEN, "reference": "R1249787", "langue": "", "montant": "5.00"}
    moved = {**genuine, "reference": "R", "devise": "124", "montant": "9787978.00"}
    dialect = a_dialect(a_shop(any_order=any_order))

    assert len({meaning_of(query_of(pairs), dialect) for pairs in (genuine, moved)} - {None}) <= 1


def test_without_a_language_a_shop_that_takes_any_order_still_reads_the_usual_one_in_one_way() -> None:
    asked = {**SEVEN, "langue": "", "montant": "1000.0", "taxe": "0", "validite": ""}

    assert faults_of(query_of(asked), a_dialect(a_shop(any_order=True))) == {("", "ambiguous")}


def test_a_language_that_is_signed_before_its_place_is_no_canonical_order() -> None:
    pairs = {"langue": "FR", **{name: value for name, value in SEVEN.items() if name != "langue"}}

    assert faults_of(f"{urlencode(pairs)}&hmac={sign(run(pairs))}") == {("", "ambiguous")}


# By which means, and in how many times.


@pytest.mark.parametrize(
    ("moyen", "schemes", "mark"),
    [
        ("", (), None),
        ("CBS", ("cb", "visa", "mastercard", "maestro"), None),
        ("amx", ("amex",), None),
        ("CBS/AMX", ("cb", "visa", "mastercard", "maestro", "amex"), None),
        ("AUR/CBS/CHK", ("cb", "visa", "mastercard", "maestro"), "not taken here: AUR/CHK"),
    ],
)
def test_the_means_a_shop_names_are_the_brands_a_payer_may_use(
    moyen: str, schemes: Sequence[str], mark: str | None
) -> None:
    command = opened(query_of({**SEVEN, "moyen": moyen}))

    assert (command.request.schemes, command.marks.get("moyen")) == (schemes, mark)


@pytest.mark.parametrize("moyen", ["AUR", "DIN", "CHK", "CGA/PRE", "SIG", "VISA"])
def test_means_nobody_pays_by_here_are_refused(moyen: str) -> None:
    assert faults_of(query_of({**SEVEN, "moyen": moyen})) == {("/moyen", "means")}


@pytest.mark.parametrize(
    ("modalite", "mark"),
    [("1x", None), ("1X", None), ("1x/2x/3x", "also offered: 2x/3x"), ("xx/1x", "also offered: xx")],
)
def test_cash_is_taken_wherever_it_is_offered(modalite: str, mark: str | None) -> None:
    command = opened(query_of({**SEVEN, "modalite": modalite}), a_dialect(a_shop(instalments=True)))

    assert (command.request.amount, command.request.instalments) == (Money(15850), ())
    assert command.marks.get("modalite") == mark


def signed_whole(**more: str) -> str:
    pairs = {**SEVEN, **more}
    return f"{urlencode(pairs)}&hmac={sign(run(pairs))}"


@pytest.mark.parametrize(
    ("modalite", "parts"),
    [("2x", [7925, 7925]), ("3x", [5284, 5283, 5283]), ("3x/2x", [7925, 7925]), ("nx/3x", [5284, 5283, 5283])],
)
def test_a_shop_may_be_paid_in_several_times(modalite: str, parts: Sequence[int]) -> None:
    request = opened(signed_whole(modalite=modalite), a_dialect(a_shop(instalments=True, instalment_days=31))).request

    assert [request.amount.cents, *(part.amount.cents for part in request.instalments)] == parts
    assert sum(line.amount.cents for line in request.lines) == request.amount.cents
    assert [part.due for part in request.instalments] == [date(2026, 12, 22), date(2027, 1, 22)][: len(parts) - 1]
    assert request.wire["montant"] == "158.50"


@pytest.mark.parametrize(
    "query",
    [
        signed_whole(modalite="xx"),
        signed_whole(modalite="nx/xx"),
        query_of({**SEVEN, "modalite": "3x"}),
        signed_whole(modalite="3x", montant="0.02"),
    ],
    ids=["open", "open twice", "not signed", "too little"],
)
def test_a_plan_that_is_not_clear_or_not_the_shops_own_is_refused(query: str) -> None:
    assert faults_of(query, a_dialect(a_shop(instalments=True))) == {("/modalite", "instalments")}


def test_a_shop_is_paid_in_several_times_only_if_it_says_so() -> None:
    assert faults_of(signed_whole(modalite="2x")) == {("/modalite", "instalments")}


def test_the_seven_values_may_stand_anywhere_in_any_order() -> None:
    pairs = {"email": "bob@example.com", **dict(reversed(SEVEN.items()))}

    command = opened(query_of(pairs))

    assert command.marks == {"signature": "V7", "partial": "email"}


@pytest.mark.parametrize("email", ["bob%00@example.com", "bob@example%1B.com", "bob@example.com%7F"])
def test_an_address_with_a_control_character_is_none(email: str) -> None:
    assert opened(f"{query_of(SEVEN)}&email={email}").request.email == ""


def test_a_signature_over_the_values_before_it_is_taken() -> None:
    before = {**SEVEN, "moyen": "CBS"}
    query = f"{urlencode(before)}&hmac={sign(run(before))}&email=bob%40example.com"

    assert opened(query).marks == {"signature": "VPREFIX-dec", "partial": "email"}


def test_a_signature_over_the_raw_values_before_it_is_taken() -> None:
    before = {**SEVEN, "email": "bob@example.com"}
    raw = "".join(quote(value, safe="") for value in before.values())

    assert opened(f"{urlencode(before)}&hmac={sign(raw)}&arg1=7").marks["signature"] == "VPREFIX-raw"


def test_a_validity_after_the_signature_is_not_obeyed() -> None:
    before = {**{k: v for k, v in SEVEN.items() if k != "validite"}, "moyen": "CBS"}
    query = f"{urlencode(before)}&hmac={sign(run(before))}&validite=31%2F12%2F2099"

    assert faults_of(query) == {("", "ambiguous")}


@pytest.mark.parametrize("any_order", [True, False])
def test_nothing_after_the_signature_is_obeyed_unsigned(any_order: bool) -> None:
    dialect = a_dialect(a_shop(any_order=any_order))
    signature = sign(run(SEVEN))
    cheaper = {**SEVEN, "montant": "1.00"}

    assert faults_of(f"{urlencode({'x': run(SEVEN)})}&hmac={signature}&{urlencode(cheaper)}", dialect) == {
        ("", "ambiguous")
    }


def test_a_strict_shop_takes_signatures_over_everything_only() -> None:
    strict = a_dialect(a_shop(strict=True))

    assert opened(WORKED + "1A4D2D5E455DDCAA5AEAF9C1089205189C12B093", strict).marks == {"signature": "VALL-dec"}
    with pytest.raises(NotAuthentic) as caught:
        read(WORKED + "04206A274ECDE714C5E1953586355F639B48FED9", strict)
    assert caught.value.diagnosis["cause"] == "Only the canonical values were signed; this shop demands all."


def test_a_form_carries_a_request_too() -> None:
    body = (WORKED + "04206A274ECDE714C5E1953586355F639B48FED9").encode()
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}

    command = a_dialect().read(HttpCall("POST", ENTRY, "", headers, body), NOW)

    assert isinstance(command, Open)


@pytest.mark.parametrize(
    ("query", "content_type"), [("a=1", "application/x-www-form-urlencoded"), ("", "multipart/form-data")]
)
def test_a_form_beside_a_query_or_of_another_type_is_refused(query: str, content_type: str) -> None:
    with pytest.raises(BadRequest):
        a_dialect().read(HttpCall("POST", ENTRY, query, {"content-type": content_type}, b"siret=1"), NOW)


# The hidden form.


def test_the_published_hidden_request_is_taken() -> None:
    command = opened(HIDDEN)

    assert command.marks == {"signature": "VALL-dec"}
    assert (command.request.reference, command.request.amount) == ("ref123456", Money(1000))
    assert command.request.wire["query"].startswith("siret=00000000000001%2D01&reference=ref123456&")


@pytest.mark.parametrize("line_break", ["\n", "%0A", "%0D%0A", "\r\n"])
@pytest.mark.parametrize("ending", ["", "=", "==", "%3D%3D"])
def test_the_hidden_form_survives_what_kits_and_browsers_do(line_break: str, ending: str) -> None:
    bare = HIDDEN.rstrip("=")

    assert opened(bare[:200] + line_break + bare[200:] + ending).request.reference == "ref123456"


def test_a_plus_sign_in_the_hidden_form_is_base64() -> None:
    plain = query_of({**SEVEN, "arg1": "~>~>~>~>"}).replace("%3E", ">").replace("%7E", "~")
    hidden = "!" + base64.b64encode(plain.encode()).decode()
    assert "+" in hidden or "/" in hidden

    assert opened(hidden).request.reference == "ali20090528102502"


@pytest.mark.parametrize("query", ["!a", "!****", "!" + "é", "!YWJj=YQ%", "!!c2ly"])
def test_a_hidden_request_that_is_not_base64_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        read(query)


# What is not well written.


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"siret": "0000000000001-01"}, ("/siret", "format")),
        ({"siret": "00000000000001-1"}, ("/siret", "format")),
        ({"siret": "99999999999999-01"}, ("/siret", "unknown_shop")),
        ({"reference": "ali 1"}, ("/reference", "format")),
        ({"reference": "a.1"}, ("/reference", "format")),
        ({"reference": "a" * 65}, ("/reference", "format")),
        ({"reference": "ali1\n"}, ("/reference", "format")),
        ({"reference": ""}, ("/reference", "missing")),
        ({"langue": "FRA"}, ("/langue", "format")),
        ({"devise": "EUR"}, ("/devise", "format")),
        ({"devise": "999"}, ("/devise", "format")),
        ({"devise": "840"}, ("/devise", "currency")),
        # Currencies of the kits that nothing else here counts in.
        ({"devise": "124"}, ("/devise", "currency")),
        ({"devise": "752"}, ("/devise", "currency")),
        ({"montant": "158,50"}, ("/montant", "format")),
        ({"montant": "158.500"}, ("/montant", "format")),
        ({"montant": "0158.50"}, ("/montant", "format")),
        ({"montant": "-1"}, ("/montant", "format")),
        ({"montant": "1e3"}, ("/montant", "format")),
        ({"montant": "158."}, ("/montant", "format")),
        ({"montant": "٣"}, ("/montant", "format")),
        ({"montant": "0.00"}, ("/montant", "format")),
        ({"montant": "99999.00"}, ("/montant", "amount_above_limit")),
        ({"montant": "1000000.00"}, ("/montant", "amount_above_limit")),
        ({"taxe": "00.00"}, ("/taxe", "format")),
        ({"taxe": ""}, ("/taxe", "missing")),
        ({"validite": "31/02/2099"}, ("/validite", "format")),
        ({"validite": "2099-12-31"}, ("/validite", "format")),
        ({"validite": "1/12/2099"}, ("/validite", "format")),
        ({"validite": "20/11/2026"}, ("/validite", "validity_past")),
        ({"modalite": "2x/3x"}, ("/modalite", "instalments")),
        ({"etat": "1"}, ("/etat", "reserved")),
        ({"refsfp": "12345678"}, ("/refsfp", "reserved")),
        ({"urlretour": "javascript:alert(1)"}, ("/urlretour", "return_url")),
        ({"okURL": "http://shop.example@evil.example/"}, ("/okURL", "return_url")),
        ({"badURL": "//evil.example/"}, ("/badURL", "return_url")),
    ],
)
def test_a_fault_of_a_well_signed_request_is_named(change: Mapping[str, str], fault: tuple[str, str]) -> None:
    assert faults_of(query_of({**SEVEN, **change})) == {fault}


def test_every_fault_is_told_at_once() -> None:
    assert faults_of("montant=1,5&devise=EUR&hmac=00") == {
        ("/siret", "missing"),
        ("/reference", "missing"),
        ("/taxe", "missing"),
        ("/devise", "format"),
        ("/montant", "format"),
        ("/hmac", "format"),
    }


@pytest.mark.parametrize(
    "query",
    [
        "",
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&montant=1.00",
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&hmac=" + "0" * 40,
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&%6Dontant=1.00",
        (WORKED + "04206A274ECDE714C5E1953586355F639B48FED9").replace("&", "&amp;"),
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&x=%zz",
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&x=%2",
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&=1",
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&x=" + "a" * 8192,
        WORKED + "04206A274ECDE714C5E1953586355F639B48FED9&" + "&".join(f"x{i}=1" for i in range(64)),
    ],
)
def test_a_query_that_could_be_read_in_two_ways_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        read(query)


def test_a_request_in_latin_1_is_echoed_as_it_came() -> None:
    query = query_of({**SEVEN, "montant": "10"}) + "&arg1=Cr%E9ation&arg2=Cr\u00e9ation&vide="

    request = opened(query).request

    assert request.wire["query"].endswith(
        "&montant=10&taxe=0.00&validite=31%2F12%2F2099&arg1=Cr%E9ation&arg2=Cr%E9ation"
    )
    assert request.amount == Money(1000)


def test_a_stray_equals_sign_and_an_apostrophe_are_echoed_escaped() -> None:
    assert opened(query_of(SEVEN) + "&arg1=a=b'c").request.wire["query"].endswith("&arg1=a%3Db%27c")


@pytest.mark.parametrize(("amount", "cents"), [("10", 1000), ("10.5", 1050), ("10.05", 1005), ("0.5", 50)])
def test_amounts_with_fewer_decimals_are_taken_and_kept(amount: str, cents: int) -> None:
    request = opened(query_of({**SEVEN, "montant": amount})).request

    assert (request.amount, request.wire["montant"]) == (Money(cents), amount)


@pytest.mark.parametrize(
    ("validite", "now", "is_taken"),
    [
        ("21/11/2026", datetime(2026, 11, 21, 22, 59, tzinfo=UTC), True),
        ("21/11/2026", datetime(2026, 11, 21, 23, 1, tzinfo=UTC), False),
        ("22/11/2026", datetime(2026, 11, 21, 23, 1, tzinfo=UTC), True),
    ],
)
def test_the_last_payable_day_ends_at_midnight_in_paris(validite: str, now: datetime, is_taken: bool) -> None:
    query = query_of({**SEVEN, "validite": validite})

    if is_taken:
        assert opened(query, now=now).request.pay_before is not None
        return
    with pytest.raises(BadRequest) as caught:
        read(query, now=now)
    assert caught.value.faults[0].detail == f"the last payable day was {validite}"


@pytest.mark.parametrize("email", ["", "nobody", "a b@c.fr", "x" * 300 + "@example.org"])
def test_an_address_that_is_none_prefills_nothing(email: str) -> None:
    assert opened(query_of({**SEVEN, "email": email})).request.email == ""


def test_a_longer_reference_and_a_lone_zero_are_marked() -> None:
    marks = opened(query_of({**SEVEN, "reference": "a" * 21, "taxe": "0"})).marks

    assert marks["reference"] == "longer than 20"
    assert marks["lint"] == "a lone 0 in taxe: some kits leave it out of the signature they check"


# Whose shop it is.


@pytest.mark.parametrize("siret", ["00000000000001-001", "00000000000001", "00000000000001-02"])
def test_another_suffix_of_the_same_company_is_marked(siret: str) -> None:
    command = opened(query_of({**SEVEN, "siret": siret}))

    assert command.marks["siret"] == f"sent {siret}, registered 00000000000001-01"
    assert faults_of(query_of({**SEVEN, "siret": siret}), a_dialect(a_shop(any_suffix=False))) == {
        ("/siret", "unknown_shop")
    }


def test_two_shops_of_one_company_are_told_apart_by_their_number() -> None:
    both = a_dialect(a_shop(), a_shop("annexe", siret="00000000000001-02", key=OTHER_KEY))
    second = {**SEVEN, "siret": "00000000000001-002"}

    assert opened(query_of(second, sign(run(second), OTHER_SECRET)), both).request.merchant == "annexe"
    assert opened(query_of({**SEVEN, "siret": "00000000000001-001"}), both).request.merchant == "alise-demo"
    for siret in ("00000000000001", "00000000000001-03"):
        assert faults_of(query_of({**SEVEN, "siret": siret}), both) == {("/siret", "unknown_shop")}


def test_in_production_the_payer_goes_back_to_registered_addresses_only() -> None:
    shop = a_shop("alise-demo", Mode.PRODUCTION).model_copy(update={"return_urls": ("https://shop.example/back",)})
    dialect = a_dialect(shop, loopback_allowed=False)

    good = opened(query_of({**SEVEN, "urlretour": "https://shop.example/back/1?x=2"}), dialect)

    assert good.request.return_url == "https://shop.example/back/1?x=2"
    for url in ("https://evil.example/back", "https://shop.example/", "https://shop.example/back/../x", RETURN):
        assert faults_of(query_of({**SEVEN, "urlretour": url}), dialect) == {("/urlretour", "return_url")}


def test_loopback_needs_a_development_server() -> None:
    query = query_of({**SEVEN, "urlretour": RETURN})

    assert faults_of(query, a_dialect(loopback_allowed=False)) == {("/urlretour", "return_url")}


# Boundaries: no signed text opens two different payments.

GENUINE: Sequence[Mapping[str, str]] = (
    SEVEN,
    {**SEVEN, "validite": ""},
    {**SEVEN, "reference": "1" * 8, "validite": ""},
    {**SEVEN, "reference": "0123", "montant": "10", "validite": ""},
    {**SEVEN, "montant": "10.5", "taxe": "0"},
    {**SEVEN, "montant": "100", "taxe": "0.00", "validite": ""},
    {**SEVEN, "montant": "105", "taxe": "0.0", "validite": ""},
    {**SEVEN, "siret": "00000000000001-001", "reference": "1"},
    {**SEVEN, "montant": "1000.0", "taxe": "0", "validite": ""},
    {**SEVEN, "montant": "105", "taxe": "12", "validite": ""},
    {**SEVEN, "montant": "158.5", "taxe": "51.00", "validite": ""},
    {**SEVEN, "montant": "158.55", "taxe": "1.00", "validite": ""},
    {**SEVEN, "siret": "00000000000001", "reference": "-01ab"},
    {**SEVEN, "siret": "00000000000001-02", "reference": "1ab"},
    {**SEVEN, "siret": "00000000000001-001", "reference": "FR978100"},
    {**SEVEN, "reference": "abEN97815", "montant": "20", "taxe": "0"},
)


def shifted(pairs: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """Move one or two boundaries between neighbours by up to six characters, the run of values staying the same."""
    names, text = list(pairs), run(pairs)
    ends = list(itertools.accumulate(len(value) for value in pairs.values()))[:-1]
    moved = []
    for first, second in itertools.combinations_with_replacement(range(len(ends)), 2):
        for by_first, by_second in itertools.product(range(-6, 7), repeat=2):
            cuts = list(ends)
            cuts[first] += by_first
            cuts[second] += by_second if first != second else 0
            if sorted(cuts) == cuts and cuts[0] >= 0 and cuts[-1] <= len(text):
                bounds = itertools.pairwise([0, *cuts, len(text)])
                moved.append(dict(zip(names, (text[a:b] for a, b in bounds), strict=True)))
    return [candidate for candidate in moved if candidate != dict(pairs)]


def meaning_of(query: str, dialect: SpplusDialect) -> tuple[object, ...] | None:
    try:
        request = opened(query, dialect).request
    except (BadRequest, NotAuthentic):
        return None
    return (request.reference, request.amount, request.pay_before)


@pytest.mark.parametrize("genuine", GENUINE)
def test_no_shifted_boundary_gives_a_second_meaning(genuine: Mapping[str, str]) -> None:
    dialect, signature = a_dialect(), sign(run(genuine))

    candidates = [genuine, *shifted(genuine)]
    meanings = {meaning_of(query_of(pairs, signature), dialect) for pairs in candidates} - {None}

    assert len(candidates) > 100
    assert len(meanings) <= 1


@pytest.mark.parametrize("genuine", GENUINE[:8])
def test_the_requests_that_kits_make_are_taken(genuine: Mapping[str, str]) -> None:
    assert opened(query_of(genuine)).request.reference == genuine["reference"]


def test_an_amount_with_one_decimal_is_told_from_a_tenth_of_it() -> None:
    asked = {**SEVEN, "montant": "100.0", "validite": "", "moyen": "CBS"}
    paid = {**asked, "montant": "10", "moyen": ".00CBS"}
    assert run(asked) == run(paid)

    assert opened(query_of(asked, sign(run(asked)))).request.amount == Money(10000)
    assert faults_of(query_of(paid, sign(run(asked)))) == {("", "ambiguous")}


def test_a_shop_that_takes_any_order_still_reads_the_usual_order_in_one_way() -> None:
    asked = {**SEVEN, "montant": "1000.0", "taxe": "0", "validite": ""}

    assert faults_of(query_of(asked), a_dialect(a_shop(any_order=True))) == {("", "ambiguous")}


def test_a_digit_moved_from_the_reference_to_the_siret_does_not_pass() -> None:
    genuine = {**SEVEN, "reference": "1234"}
    moved = {**SEVEN, "siret": "00000000000001-011", "reference": "234"}
    assert run(genuine) == run(moved)

    assert opened(query_of(genuine)).request.reference == "1234"
    assert faults_of(query_of(moved)) == {("", "ambiguous")}


def test_a_tenth_of_the_amount_does_not_pass() -> None:
    asked = {**SEVEN, "montant": "1000.0", "taxe": "0", "validite": ""}
    paid = {**SEVEN, "montant": "100", "taxe": "0.00", "validite": ""}
    assert run(asked) == run(paid)

    assert faults_of(query_of(asked)) == {("", "ambiguous")}
    assert opened(query_of(paid)).request.amount == Money(10000)


@pytest.mark.parametrize("extra", [{}, {"version": "1"}, {"moyen": "CBS", "modalite": "1x", "version": "1"}])
def test_a_value_cut_in_two_by_an_invented_name_does_not_pass(extra: Mapping[str, str]) -> None:
    genuine = {**SEVEN, **extra}
    dialect, signature = a_dialect(), sign(run(genuine))
    found = set()
    for name, value in genuine.items():
        for cut in range(1, len(value) + 1):
            for before, after in ((name, "x"), ("x", name)):
                pairs: dict[str, str] = {}
                for other, text in genuine.items():
                    pairs |= {before: value[:cut], after: value[cut:]} if other == name else {other: text}
                found.add(meaning_of(f"{urlencode(pairs)}&hmac={signature}", dialect))

    assert found - {None} <= {meaning_of(f"{urlencode(genuine)}&hmac={signature}", dialect)}


def test_values_that_change_names_do_not_pass() -> None:
    genuine = {**SEVEN, "taxe": "26.42", "arg1": "5.00"}
    signature, texts = sign(run(genuine)), list(genuine.values())
    right = meaning_of(f"{urlencode(genuine)}&hmac={signature}", a_dialect())
    for first, second in itertools.combinations(genuine, 2):
        names = [{first: second, second: first}.get(name, name) for name in genuine]
        query = f"{urlencode(list(zip(names, texts, strict=True)))}&hmac={signature}"
        assert meaning_of(query, a_dialect()) in (None, right)
    assert right == ("ali20090528102502", Money(15850), date(2099, 12, 31))


@given(
    reference=st.text("ab0189-_", min_size=1, max_size=20),
    montant=st.from_regex(r"\A(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{1,2})?\Z"),
    taxe=st.from_regex(r"\A(?:0|[1-9][0-9]{0,1})(?:\.[0-9]{1,2})?\Z"),
    validite=st.sampled_from(["", "31/12/2099"]),
    moves=st.lists(st.integers(-3, 3), min_size=6, max_size=6),
)
def test_one_signed_text_has_one_meaning(
    reference: str, montant: str, taxe: str, validite: str, moves: Sequence[int]
) -> None:
    genuine = {**SEVEN, "reference": reference, "montant": montant, "taxe": taxe, "validite": validite}
    text, dialect = run(genuine), a_dialect()
    ends = list(itertools.accumulate(len(value) for value in genuine.values()))[:-1]
    cuts = sorted(max(0, min(len(text), end + move)) for end, move in zip(ends, moves, strict=True))
    pieces = (text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)]))
    moved = dict(zip(SEVEN, pieces, strict=True))

    meanings = {meaning_of(query_of(pairs, sign(text)), dialect) for pairs in (genuine, moved)} - {None}

    assert len(meanings) <= 1


@given(place=st.integers(0, 400), flip=st.integers(1, 127))
def test_any_altered_byte_of_a_full_signature_fails(place: int, flip: int) -> None:
    genuine = (WORKED + "1A4D2D5E455DDCAA5AEAF9C1089205189C12B093").encode()
    place %= len(genuine)
    altered = genuine[:place] + bytes([genuine[place] ^ flip]) + genuine[place + 1 :]
    query = altered.decode("latin-1")
    right = meaning_of(genuine.decode(), a_dialect())

    assert meaning_of(query, a_dialect()) in (None, right)


# What the payer brings back is signed, and must not serve as a request.


@pytest.mark.parametrize("name", ["a0", "arg1"])
@pytest.mark.parametrize(
    "text",
    [
        "00000000000001-01ali20090528102502FR9781.000.00",
        "00000000000001-01other1FR978158.500.0031/12/2099",
        "remboursement00000000000001ali20090528102502",
        "annulation00000000000001",
    ],
)
def test_a_free_value_cannot_get_another_request_signed(name: str, text: str) -> None:
    first = f"{name}={quote(text, safe='')}&{query_of(SEVEN)}"
    raw = f"{name}={quote(text, safe='/')}&{query_of(SEVEN)}"

    assert faults_of(first) == {("", "ambiguous")}
    assert faults_of(raw) == {("", "ambiguous")}


def test_the_query_of_a_return_address_cannot_get_another_request_signed() -> None:
    url = RETURN + "?x=00000000000001-01ali20090528102502FR9781.000.00"

    assert faults_of(query_of({**SEVEN, "urlretour": url})) == {("", "ambiguous")}
    assert opened(query_of({**SEVEN, "urlretour": RETURN + "?x=1"})).request.return_url == RETURN + "?x=1"


def test_a_return_is_no_request_for_less() -> None:
    dialect = a_dialect()
    result = wired(a_result(status=Status.CANCELLED), query=opened(query_of(SEVEN)).request.wire["query"])
    departure = dialect.returned(result, NOW)
    assert departure is not None
    values = dict(parse_qsl(departure.url.partition("?")[2]))
    signature = values.pop("hmac")
    values["montant"], values["x"] = "15", "8.50"

    with pytest.raises((BadRequest, NotAuthentic)):
        read(urlencode({**values, "hmac": signature}), dialect)


LATE = NOW + timedelta(days=30)


@pytest.mark.parametrize("stroke", ["%2F", "%2f", "/"])
def test_a_return_is_no_request_without_its_last_day(stroke: str) -> None:
    """A payer who comes too late has a text the server itself signed, for the taking."""
    dialect, asked = a_dialect(), query_of({**SEVEN, "validite": "25/11/2026"}).replace("%2F", stroke)
    result = wired(a_result(status=Status.CANCELLED), query=opened(asked, dialect).request.wire["query"])
    departure = dialect.returned(result, NOW)
    assert departure is not None
    values = dict(pair.split("=") for pair in departure.url.partition("?")[2].split("&"))
    signature = values.pop("hmac")
    renamed = {{"validite": "x", "refsfp": "y", "etat": "z"}.get(name, name): raw for name, raw in values.items()}

    assert faults_of(urlencode({**renamed, "hmac": signature}), dialect) == {("", "ambiguous")}
    with pytest.raises(BadRequest, match="validity_past"):
        read(asked, dialect, now=LATE)


@pytest.mark.parametrize("stroke", ["%2F", "%2f", "/"])
def test_a_request_signed_as_it_was_sent_keeps_its_last_day(stroke: str) -> None:
    sent = run({**SEVEN, "validite": f"25{stroke}11{stroke}2026"})
    plain, signature = urlencode({**SEVEN, "validite": ""}), sign(sent)

    assert opened(f"{plain}25{stroke}11{stroke}2026&hmac={signature}").request.pay_before == date(2026, 11, 25)
    cut = urlencode({**SEVEN, "validite": "", "x": f"25{stroke}11{stroke}2026", "hmac": signature})
    assert faults_of(cut) == {("", "ambiguous")}


@pytest.mark.parametrize("written", ["%325/11/2026", "25%2f1%31%2f2026"])
def test_no_spelling_of_the_last_day_and_nothing_before_it_frees_a_return_of_it(written: str) -> None:
    """No signature covers how a value is escaped, nor, of seven, the order."""
    signature, before = sign(run({**SEVEN, "validite": "25/11/2026"})), urlencode({**SEVEN, "validite": ""})

    assert faults_of(f"{before}{written}&hmac={signature}") == {("", "ambiguous")}
    moved = f"{before.removesuffix('validite=')}email=a%40b.fr&validite=25%2F11%2F2026&hmac={signature}"
    assert faults_of(moved) == {("", "ambiguous")}
    assert opened(moved, a_dialect(a_shop(any_order=True))).request.pay_before == date(2026, 11, 25)


# Why a signature was refused.


def cause_of(query: str, dialect: SpplusDialect | None = None) -> str:
    with pytest.raises(NotAuthentic) as caught:
        read(query, dialect)
    return caught.value.diagnosis.get("cause", "")


def signed_as(secret: bytes = DEMO_SECRET, names: Sequence[str] = tuple(SEVEN), **values: str) -> str:
    changed = {**SEVEN, **values}
    return query_of(SEVEN, sign("".join(changed[name] for name in names), secret))


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        (signed_as(bytes.fromhex(DEMO_KEY.replace(" ", ""))), "key used without deciphering it"),
        (signed_as(DEMO_KEY.encode()), "hex text of the key used as the key"),
        (signed_as(DEMO_KEY.replace(" ", "").encode()), "hex text of the key used as the key"),
        (signed_as(DEMO_SECRET + DEMO_SECRET[:4]), "all 24 deciphered bytes used as the key"),
        (
            signed_as(names=("siret", "montant", "reference", "validite", "taxe", "devise", "langue")),
            "order of the PHP manual",
        ),
        (signed_as(names=sorted(SEVEN)), "alphabetical order"),
        (signed_as(names=tuple(SEVEN)[:6]), "validite was sent but not signed"),
        (signed_as(montant="158,50"), "montant was signed as 158,50 but sent as 158.50"),
        (signed_as(montant="158,50", taxe="0,00"), "decimal comma"),
        (signed_as(montant="15850"), "montant was signed as 15850 but sent as 158.50"),
        (
            signed_as(validite="31%2F12%2F2099").replace("siret=", "arg1=7&siret="),
            "percent-encoded before they were signed",
        ),
        (signed_as(siret="00000000000001"), "without its shop number"),
        (signed_as(langue="fr"), "langue was signed in another case"),
        (signed_as(validite="31/12/2099\n"), "A blank or line end"),
        (query_of({**SEVEN, "validite": ""}, sign(run(SEVEN))), "signed as 31/12/2099 but not sent"),
        (query_of(SEVEN, sign(urlencode(SEVEN))), "The whole query was signed"),
        (
            query_of({**SEVEN, "arg1": "Créa"}, sign((run(SEVEN) + "Créa").encode("latin-1"))),
            "signed in latin-1 but sent in another charset",
        ),
        (
            query_of(SEVEN).replace("hmac=", "arg1=Cr%E9a&hmac=").rpartition("=")[0] + "=" + sign(run(SEVEN) + "Créa"),
            "signed in utf-8 but sent in another charset",
        ),
        (query_of({**SEVEN, "arg1": "a%20b"}, sign(run(SEVEN) + "a b")), "encoded twice"),
        (query_of({**SEVEN, "arg1": "R&D"}, sign(run(SEVEN) + "R&amp;D")), "HTML entities"),
        (query_of(SEVEN, "0" * 40), "None of the usual mistakes"),
    ],
)
def test_the_usual_mistakes_are_named(query: str, cause: str) -> None:
    assert cause in cause_of(query)


def test_the_key_of_a_sister_shop_is_recognised() -> None:
    both = a_dialect(a_shop(), a_shop("annexe", siret="00000000000001-02", key=OTHER_KEY))

    assert cause_of(signed_as(OTHER_SECRET), both) == (
        "Signed with the key of annexe (00000000000001-02); each shop has its own."
    )


def test_a_diagnosis_tells_all_but_the_key() -> None:
    with pytest.raises(NotAuthentic) as caught:
        read(signed_as(montant="158,50"))

    diagnosis = caught.value.diagnosis
    assert diagnosis["dialect"] == "spplus"
    assert diagnosis["merchant"] == "alise-demo"
    assert diagnosis["signed"] == "00000000000001-01ali20090528102502FR978158.500.0031/12/2099"
    assert diagnosis["expected"] == "04206A274ECDE714C5E1953586355F639B48FED9"
    assert (
        diagnosis["first_difference"]
        == "character 43: ours has '.500.0031/12/209'..., theirs has ',500.0031/12/209'..."
    )
    everything = " ".join(diagnosis.values()).replace(" ", "").lower()
    assert DEMO_KEY.replace(" ", "") not in everything
    assert DEMO_SECRET.hex() not in everything


def test_an_odd_key_in_the_book_is_mentioned() -> None:
    odd = a_dialect(a_shop(key="59" + DEMO_KEY[2:]))

    assert "does not check" in cause_of(query_of(SEVEN), odd)


def test_a_shop_in_production_is_told_nothing() -> None:
    assert cause_of(signed_as(montant="158,50"), a_dialect(a_shop("alise-demo", Mode.PRODUCTION))) == ""


# The remote signer.


def test_the_remote_signer_gives_an_address_between_apostrophes() -> None:
    command = read(urlencode({**SEVEN, "arg1": "l'an"}), path="/cgi-bin/hmac_001.exe")

    assert isinstance(command, Say)
    plain = {"Content-Type": "text/plain; charset=us-ascii", "Cache-Control": "no-store"}
    assert (command.reply.status, command.reply.headers) == (200, plain)
    line = command.reply.body.decode().splitlines()[0]
    url = re.sub(r"<[^>]*>", "", line[:2048]).split("'")[1]
    assert url.startswith(ORIGIN + ENTRY + "?siret=00000000000001-01&reference=ali20090528102502&")
    assert url.endswith("&hmac=04206A274ECDE714C5E1953586355F639B48FED9")
    assert opened(url.partition("?")[2]).request.wire["query"].endswith("arg1=l%27an")


def test_the_remote_signer_of_a_strict_shop_signs_everything() -> None:
    strict = a_dialect(a_shop(strict=True))

    command = read(urlencode({**SEVEN, "moyen": "CBS"}), strict, path="/cgi-bin/hmac_001.exe")

    assert isinstance(command, Say)
    assert opened(command.reply.body.decode().split("'")[1].partition("?")[2], strict).marks == {
        "signature": "VALL-dec"
    }


def test_the_shopkeepers_login_says_where_to_look_instead() -> None:
    command = read("action=login", path="/bo-war/identification.do")

    assert isinstance(command, Say)
    assert command.reply.status == 200
    assert f"{ORIGIN}{SERVLET}" in command.reply.body.decode()
    assert "/bo-war/identification.do" in SpplusDialect.paths


@pytest.mark.parametrize("path", ["/cgi-bin/hmac_1.exe", "/cgi-bin/hmac_0001.exe", "/cgi-bin/x", "/other"])
def test_only_signers_addresses_sign(path: str) -> None:
    with pytest.raises(NotFound):
        read(urlencode(SEVEN), path=path)


@pytest.mark.parametrize("mode", [Mode.PRODUCTION, Mode.ACTIVATION])
def test_nothing_is_signed_for_a_real_shop(mode: Mode) -> None:
    with pytest.raises(NotFound):
        read(urlencode(SEVEN), a_dialect(a_shop("alise-demo", mode)), path="/cgi-bin/hmac_001.exe")


@pytest.mark.parametrize(
    "pairs",
    [
        {**SEVEN, "hmac": "0" * 40},
        {**SEVEN, "montant": "1,5"},
        {"a0": "remboursement00000000000001x", **SEVEN},
        {**SEVEN, "arg1": "a" * 2000},
    ],
)
def test_the_remote_signer_signs_only_what_the_entry_takes(pairs: Mapping[str, str]) -> None:
    with pytest.raises(BadRequest):
        read(urlencode(pairs), path="/cgi-bin/hmac_001.exe")


# What is told.


@pytest.mark.parametrize(
    ("kind", "etat", "signature"),
    [
        ("payment.succeeded", "1", "96785F248BF349A95B7FFDABE4594B18B2599810"),
        ("payment.refused", "2", "220E08B8F9C468A79E00E4946869C40D8377AD1B"),
        ("payment.remittance_planned", "4", "C3D9AD716A4729B1479D58F781304C9B4654E697"),
        ("payment.cancelled", "12", "13BE3366C74F9D709247BEE2A459A6E3DB789F20"),
        ("payment.expired", "12", "13BE3366C74F9D709247BEE2A459A6E3DB789F20"),
        ("attempt.captured", "10", "75A596403F95B1FF33E97D35D7B3C2CCDF5EE3CC"),
    ],
)
def test_a_notice_says_the_published_bytes(kind: str, etat: str, signature: str) -> None:
    dialect, result, event = a_dialect(), a_result(), an_event(kind)

    assert dialect.confirmed(result, event) == (TOLD.format(etat=etat) + f"&hmac={signature}").encode()
    assert dialect.due(result, event) == NOW
    assert dialect.code(result, event) == f"etat={etat}"


def test_a_trial_payment_of_a_real_shop_is_told_once_as_such() -> None:
    dialect, result = a_dialect(), a_result(payee=Payee("alise-demo", "Lycée", mode=Mode.ACTIVATION))

    assert (
        dialect.confirmed(result, an_event("payment.succeeded"))
        == (TOLD.format(etat="99") + "&hmac=8C9A0F68CBD43CD3148DED380E14C843F23F2D93").encode()
    )
    assert dialect.due(result, an_event("attempt.captured")) is None


def test_the_raw_value_of_an_address_is_signed() -> None:
    query = TOLD.partition("&refsfp")[0] + "&email=j.durand%40example.com"

    body = a_dialect().confirmed(a_result(query), an_event("payment.succeeded"))

    assert body.endswith(
        b"&email=j.durand%40example.com&refsfp=36628282&etat=1&hmac=0D34B44DB9C60FDED0BFDCF571E6353AF373DAFC"
    )


@pytest.mark.parametrize(
    ("kind", "etat"), [("refund.requested", "15"), ("refund.refused", "16"), ("payment.refunded", "17")]
)
def test_a_refund_is_told_as_recorded_and_as_it_ends(kind: str, etat: str) -> None:
    body = a_dialect(a_shop(states="1")).confirmed(a_result(), an_event(kind)).decode()

    assert body.endswith(f"&refsfp=36628282&etat={etat}&hmac=" + sign(run(dict(parse_qsl(TOLD.format(etat=etat))))))


@pytest.mark.parametrize("kind", ["payment.opened", "attempt.declined", "attempt.authorising", "payment.created"])
def test_other_events_are_not_told(kind: str) -> None:
    dialect, result = a_dialect(), a_result()

    assert dialect.due(result, an_event(kind)) is None
    assert dialect.code(result, an_event(kind)) == ""
    with pytest.raises(ValueError, match="not told"):
        dialect.confirmed(result, an_event(kind))


@pytest.mark.parametrize(("states", "told"), [("1", ["1"]), ("1,10", ["1", "10"]), ("1,4,10", ["1", "4", "10"])])
def test_a_shop_chooses_the_steps_of_a_success(states: str, told: Sequence[str]) -> None:
    dialect = a_dialect(a_shop(states=states))
    kinds = ("payment.succeeded", "payment.remittance_planned", "attempt.captured")

    codes = [dialect.code(a_result(), an_event(kind)) for kind in kinds]

    assert [code.removeprefix("etat=") for code in codes if code] == told


PARTS = (
    InstalmentResult(2, date(2026, 12, 21), Money(5283), InstalmentStatus.PAID, "pay_2", "0000000043"),
    InstalmentResult(3, date(2027, 1, 20), Money(5283), InstalmentStatus.PLANNED),
)


def a_purchase(*parts: InstalmentResult) -> PaymentResult:
    result = a_result()
    later = tuple(Instalment(part.due, part.amount) for part in parts)
    return replace(result, instalments=parts, request=replace(result.request, instalments=later))


@pytest.mark.parametrize(
    ("kind", "etat"),
    [
        ("payment.succeeded", "etat=1"),
        ("payment.remittance_planned", "etat=4"),
        ("attempt.captured", "etat=30"),
        ("payment.refused", "etat=2"),
        ("instalment.paid", ""),
    ],
)
def test_the_first_part_of_a_purchase_is_not_the_whole(kind: str, etat: str) -> None:
    assert a_dialect().code(a_purchase(*PARTS), an_event(kind)) == etat


def test_a_purchase_is_complete_with_its_last_part() -> None:
    paid = a_purchase(PARTS[0], replace(PARTS[1], status=InstalmentStatus.PAID))
    remitted = (an_attempt(AttemptStatus.CAPTURED),)

    assert a_dialect().code(paid, an_event("instalment.paid")) == "etat=10"
    for purchase, etat in ((paid, "10"), (a_purchase(*PARTS), "1")):
        departure = a_dialect().returned(replace(purchase, attempts=remitted), NOW)
        assert departure is not None
        assert f"&etat={etat}&" in departure.url


@pytest.mark.parametrize(
    ("kind", "etat"),
    [
        ("payment.succeeded", "etat=4"),
        ("payment.remittance_planned", ""),
        ("attempt.captured", "etat=30"),
        ("payment.refused", "etat=5"),
        ("payment.cancelled", "etat=11"),
        ("payment.refunded", "etat=17"),
    ],
)
def test_a_later_part_is_told_as_an_instalment_of_its_own(kind: str, etat: str) -> None:
    part = a_result(rank=2, parent="pay_1", number="0000000043")

    assert a_dialect().code(part, an_event(kind)) == etat
    if etat:
        body = a_dialect().confirmed(part, an_event(kind)).decode()
        assert f"&refsfp=00000043&{etat}&" in body


def test_a_shop_of_one_state_is_told_of_no_instalment_but_a_failed_one() -> None:
    dialect, part = a_dialect(a_shop(states="1")), a_result(rank=2, parent="pay_1")

    told = [dialect.code(part, an_event(kind)) for kind in ("payment.succeeded", "attempt.captured", "payment.refused")]

    assert told == ["", "", "etat=5"]


def test_the_state_of_a_purchase_lists_its_parts() -> None:
    void = replace(PARTS[1], rank=4, status=InstalmentStatus.VOID)

    body = a_dialect().listed(Find(frozenset(), ""), (a_purchase(*PARTS, void),), NOW).body.decode("latin-1")

    assert body.splitlines()[3:] == [
        "36628282;EN_ATTENTE_DE_REMISE;En attente de remise;81290;",
        "00000043;EN_ATTENTE_DE_REMISE;En attente de remise;;",
        ";A_ECHOIR;A échoir;;",
        ";ANNULE;Annulé;;",
    ]


SECOND = "http://127.0.0.1:8001/second?caisse=2"


def test_a_second_address_is_told_the_same_by_itself() -> None:
    dialect = a_dialect(a_shop(urlcheck2=SECOND))
    body = dialect.confirmed(a_result(), an_event("payment.succeeded"))
    told = TOLD.format(etat="1")

    first = dialect.delivery(a_result().recipient, Try("evt_1", body, 1, NOW, target=NOTIFY))
    second = dialect.delivery(a_result().recipient, Try("evt_1", body, 1, NOW, target=SECOND))

    assert dialect.copies(a_result().recipient) == (SECOND,)
    assert first.url == f"{NOTIFY}?{body.decode()}"
    assert second.url == f"{SECOND}&{told}&hmac={sign('2' + run(dict(parse_qsl(told))))}"


def test_a_second_address_may_be_told_by_a_form() -> None:
    dialect = a_dialect(a_shop(urlcheck2=SECOND, method="POST"))
    body = dialect.confirmed(a_result(), an_event("payment.succeeded"))

    call = dialect.delivery(a_result().recipient, Try("evt_1", body, 1, NOW, target=SECOND))

    assert (call.method, call.url, call.body) == ("POST", SECOND, body)


def test_a_shop_with_a_second_address_alone_is_told_there() -> None:
    dialect, result = a_dialect(a_shop(urlcheck="", urlcheck2=SECOND)), a_result()
    result = replace(result, request=replace(result.request, notify_url=""))

    assert dialect.due(result, an_event("payment.succeeded")) == NOW


def test_an_address_of_yesterday_is_not_called_any_more() -> None:
    call = a_dialect().delivery(a_result().recipient, Try("evt_1", b"a=1&hmac=x", 1, NOW, target=SECOND))

    assert call.url.startswith(NOTIFY)


@pytest.mark.parametrize(
    ("number", "refsfp"),
    [("0000000042", "00000042"), ("0036628282", "36628282"), ("1236628282", "36628282"), ("7", "00000007")],
)
def test_the_transaction_number_has_eight_digits(number: str, refsfp: str) -> None:
    body = a_dialect().confirmed(a_result(number=number), an_event("payment.succeeded"))

    assert f"&refsfp={refsfp}&".encode() in body


def test_a_notice_is_a_get_with_everything_in_the_address() -> None:
    dialect = a_dialect()
    body = dialect.confirmed(a_result(), an_event("payment.succeeded"))

    call = dialect.delivery(a_result().recipient, Try("evt_1", body, 1, NOW))

    assert (call.method, call.url, call.body) == ("GET", f"{NOTIFY}?{body.decode()}", b"")
    assert (call.path, call.query) == ("/notify", body.decode())


def test_a_notice_may_be_a_form() -> None:
    dialect = a_dialect(a_shop(method="POST", urlcheck=NOTIFY + "?shop=1"))
    result = a_result()
    result = replace(result, request=replace(result.request, notify_url=NOTIFY + "?shop=1"))
    body = dialect.confirmed(result, an_event("payment.succeeded"))

    call = dialect.delivery(result.recipient, Try("evt_1", body, 1, NOW))

    assert (call.method, call.url, call.body) == ("POST", NOTIFY + "?shop=1", body)
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert body.endswith(b"&hmac=96785F248BF349A95B7FFDABE4594B18B2599810")


@pytest.mark.parametrize(("own_query_signed", "own"), [(True, "1"), (False, "")])
def test_the_query_an_address_has_of_its_own_is_signed_if_the_shop_checks_it(own_query_signed: bool, own: str) -> None:
    dialect = a_dialect(a_shop(own_query_signed=own_query_signed))
    result = a_result()
    result = replace(result, request=replace(result.request, notify_url=NOTIFY + "?shop=1"))

    body = dialect.confirmed(result, an_event("payment.succeeded")).decode()

    assert dialect.delivery(result.recipient, Try("evt_1", body.encode(), 1, NOW)).url == f"{NOTIFY}?shop=1&{body}"
    assert body.rpartition("=")[2] == sign(own + run(dict(parse_qsl(TOLD.format(etat="1")))))


def test_without_an_address_nobody_is_told() -> None:
    dialect = a_dialect(a_shop(urlcheck=""))
    result = a_result()
    result = replace(result, request=replace(result.request, notify_url=""))

    assert dialect.target(result.recipient) == ""
    assert dialect.due(result, an_event("payment.succeeded")) is None
    with pytest.raises(DeliveryFailed):
        dialect.delivery(result.recipient, Try("evt_1", b"", 1, NOW))


def test_a_merchant_that_left_the_book_is_told_nothing() -> None:
    dialect = a_dialect(a_shop("another"))

    assert dialect.due(a_result(), an_event("payment.succeeded")) is None
    assert dialect.returned(a_result(), NOW) is None


@pytest.mark.parametrize(
    ("status", "body", "is_received"),
    [
        (200, b"spcheckok", True),
        (200, b"<html>spcheckok\nERREUR_HMAC</html>", True),
        (200, b"", False),
        (200, b"ok", False),
        (302, b"spcheckok", False),
        (500, b"spcheckok", False),
    ],
)
def test_the_acknowledgement_may_stand_anywhere(status: int, body: bytes, is_received: bool) -> None:
    assert a_dialect().received(status, body) is is_received


def test_a_failed_notice_goes_out_four_times_more() -> None:
    pauses = [a_dialect().retry_at(tries, NOW) for tries in range(1, 6)]

    assert pauses == [*(NOW + timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)), None]


def test_each_shop_has_its_own_pace() -> None:
    slow = a_shop("annexe", siret="00000000000001-02", retry_minutes=[30, 1440])
    dialect = a_dialect(a_shop(), slow)

    def pauses(merchant: str) -> list[datetime | None]:
        return [dialect.retry_at(tries, NOW, merchant=merchant) for tries in (1, 2, 3)]

    assert pauses("annexe") == [NOW + timedelta(minutes=30), NOW + timedelta(days=1), None]
    assert pauses("alise-demo") == [NOW + timedelta(minutes=minutes) for minutes in (1, 5, 15)]


# The payer goes back.


@pytest.mark.parametrize(
    ("status", "attempt", "etat"),
    [
        (Status.PAID, AttemptStatus.APPROVED, "1"),
        (Status.PAID, AttemptStatus.CAPTURED, "10"),
        (Status.FAILED, AttemptStatus.DECLINED, "2"),
        (Status.CANCELLED, AttemptStatus.ABANDONED, "12"),
        (Status.EXPIRED, AttemptStatus.ABANDONED, "12"),
        (Status.WORKING, AttemptStatus.UNKNOWN, "0"),
    ],
)
def test_the_payer_brings_back_the_state_signed(status: Status, attempt: AttemptStatus, etat: str) -> None:
    result = a_result(status=status, attempts=(an_attempt(attempt),))
    query = TOLD.format(etat=etat)

    departure = a_dialect().returned(result, NOW)

    assert departure == Departure(f"{RETURN}?{query}&hmac={sign(run(dict(parse_qsl(query))))}")


@pytest.mark.parametrize(
    ("status", "wire", "protocol", "url"),
    [
        (Status.PAID, {"okURL": "http://s/ok", "badURL": "http://s/bad"}, {}, "http://s/ok"),
        (Status.FAILED, {"okURL": "http://s/ok", "badURL": "http://s/bad"}, {}, "http://s/bad"),
        (Status.PAID, {"okURL": "http://s/ok"}, {"ok_bad_first": False}, RETURN),
        (Status.PAID, {"badURL": "http://s/bad"}, {}, RETURN),
        (Status.PAID, {"okURL": "http://s/ok", "urlretour": ""}, {"ok_bad_first": False}, "http://s/ok"),
        (Status.PAID, {"urlretour": ""}, {"urlretour": "http://s/book"}, "http://s/book"),
    ],
)
def test_the_address_of_the_outcome_comes_first(
    status: Status, wire: Mapping[str, str], protocol: Mapping[str, object], url: str
) -> None:
    departure = a_dialect(a_shop(**protocol)).returned(wired(a_result(status=status), **wire), NOW)

    assert departure is not None
    assert departure.url.partition("?")[0] == url


def test_without_an_address_the_payer_stays() -> None:
    assert a_dialect().returned(wired(a_result(), urlretour=""), NOW) is None


@pytest.mark.parametrize(
    ("url", "joint"), [("http://s/r", "?"), ("http://s/r?a=1", "&"), ("http://s/r?", ""), ("http://s/r?a=1&", "")]
)
def test_the_outcome_is_added_to_the_addresses_own_query(url: str, joint: str) -> None:
    departure = a_dialect().returned(wired(a_result(), urlretour=url), NOW)

    assert departure is not None
    assert departure.url.startswith(url + joint + "siret=00000000000001-01&")


@pytest.mark.parametrize(
    ("signed_returns", "status", "is_signed"),
    [
        ("all", Status.CANCELLED, True),
        ("paid", Status.CANCELLED, False),
        ("paid", Status.PAID, True),
        ("none", Status.PAID, False),
    ],
)
def test_a_shop_may_keep_signatures_from_the_payer(signed_returns: str, status: Status, is_signed: bool) -> None:
    departure = a_dialect(a_shop(signed_returns=signed_returns)).returned(a_result(status=status), NOW)

    assert departure is not None
    assert ("&hmac=" in departure.url) is is_signed


def test_a_shop_that_knows_one_state_is_never_brought_another() -> None:
    departure = a_dialect(a_shop(states="1")).returned(a_result(attempts=(an_attempt(AttemptStatus.CAPTURED),)), NOW)

    assert departure is not None
    assert "&etat=1&" in departure.url


def test_the_payers_browser_is_sent_to_the_page() -> None:
    command = opened(query_of(SEVEN))

    reply = a_dialect().opened(command, a_result(), PAGE, NOW)

    assert (reply.status, reply.headers["Location"]) == (303, PAGE)


# Remote administration.


def order(action: str, signed: str, /, **values: str) -> Command:
    signature = sign(f"{action}00000000000001{signed}")
    return read(urlencode({"action": action, "siret": DEMO_SIRET, **values, "hmac": signature}), path=SERVLET)


def test_the_published_order_asks_for_a_state() -> None:
    query = (
        "action=etatpaiement&siret=00000000000001-01&reference=ali20090528102502"
        "&hmac=A3B246E2EE74ABB5CF8CAEDE10D349D2EF032E49"
    )

    for path in (SERVLET, "/administration_distante/adminADistance.do"):
        assert read(query, path=path) == Find(frozenset({"alise-demo"}), "ali20090528102502")


@pytest.mark.parametrize("action", ["etattrans", "informationsTransaction"])
def test_two_actions_name_the_reference_otherwise(action: str) -> None:
    assert order(action, "ali1", refcde="ali1") == Inform(frozenset({"alise-demo"}), "ali1")


def test_all_states_but_one_are_told_in_xml() -> None:
    body = a_dialect().listed(Inform(frozenset(), ""), (a_result(),), NOW).body.decode()

    assert "<resultat>spadminok</resultat><reference>ali20090528102502</reference><refsfp>36628282</refsfp>" in body
    assert "<etat>TERMINE</etat><libelle>Terminé</libelle><autorisation>81290</autorisation>" in body
    assert a_dialect().listed(Inform(frozenset(), ""), (), NOW).body == b"spadminko"


def test_orders_become_commands() -> None:
    which = Which(frozenset({"alise-demo"}), number="36628282", reference="ali1")

    paid = order("paiement", "ali13662828210.00", reference="ali1", refsfp="36628282", mnt="10.00")
    back = order("remboursement", "ali13662828210.5", reference="ali1", refsfp="36628282", mnt="10.5")
    undone = order("annulation", "ali136628282", reference="ali1", refsfp="36628282")

    assert isinstance(paid, Capture)
    assert paid.which == which
    assert isinstance(back, Refund)
    assert (back.which, back.amount, back.before_settlement) == (which, Money(1050), False)
    assert isinstance(undone, Refund)
    assert (undone.which, undone.amount, undone.before_settlement) == (which, None, True)


def test_the_same_order_again_is_the_same_order() -> None:
    def again(amount: str) -> Command:
        return order("remboursement", "ali136628282" + amount, reference="ali1", refsfp="36628282", mnt=amount)

    first, second, third = again("10.00"), again("10.0"), again("11.00")

    assert isinstance(first, Refund)
    assert isinstance(second, Refund)
    assert isinstance(third, Refund)
    assert first.signed == second.signed
    assert first.signed.jti != third.signed.jti


@pytest.mark.parametrize("action", ["url", "suspension", "resiliation", "echeance", "prolongation", "nonsense", ""])
def test_what_is_not_offered_fails_in_the_protocols_word(action: str) -> None:
    command = order(action, "")

    assert isinstance(command, Say)
    assert (command.reply.status, command.reply.body) == (200, b"spadminko")


@pytest.mark.parametrize(
    "values",
    [
        {"reference": "ali1", "refsfp": "3662828", "mnt": "10.00"},
        {"reference": "ali1", "refsfp": "366282829", "mnt": "10.00"},
        {"reference": "ali1", "refsfp": "36628282", "mnt": "0.00"},
        {"reference": "ali1", "refsfp": "36628282", "mnt": "-1"},
        {"reference": "ali1", "refsfp": "36628282"},
        {"refsfp": "36628282", "mnt": "10.00"},
    ],
)
def test_an_order_that_is_badly_written_is_refused(values: Mapping[str, str]) -> None:
    with pytest.raises(BadRequest):
        order("remboursement", "".join(values.values()), **values)


def test_an_order_of_an_unknown_shop_is_refused() -> None:
    with pytest.raises(BadRequest):
        read("action=etatpaiement&siret=99999999999999-01&reference=a&hmac=" + "0" * 40, path=SERVLET)


@pytest.mark.parametrize(
    ("signed", "cause"),
    [
        ("etatpaiement00000000000001-01ali1", "The siret was signed with its shop number"),
        ("00000000000001ali1", "The action was not signed"),
        ("etatpaiementali1", "The siret was not signed"),
        ("etatpaiement00000000000001ali2", "None of the usual mistakes"),
    ],
)
def test_an_order_with_a_wrong_signature_is_explained(signed: str, cause: str) -> None:
    query = urlencode({"action": "etatpaiement", "siret": DEMO_SIRET, "reference": "ali1", "hmac": sign(signed)})

    with pytest.raises(NotAuthentic) as caught:
        read(query, path=SERVLET)

    assert cause in caught.value.diagnosis["cause"]


def test_a_real_shops_right_signature_of_an_order_is_kept_nowhere() -> None:
    query = urlencode({"action": "etatpaiement", "siret": DEMO_SIRET, "reference": "ali1", "hmac": "0" * 40})

    with pytest.raises(NotAuthentic) as caught:
        read(query, a_dialect(a_shop("alise-demo", Mode.PRODUCTION)), path=SERVLET)

    assert not caught.value.diagnosis


STATE = (
    "reference;idtftpaie;etatpaie;libetatpaie;payscarte;numautopaie;mode\n"
    "ali20090528102502;36628282;{paid};null;{number};auto\n"
    "idtftech;etatech;libetatech;numautoech;numremiseech\n"
    "36628282;{due};{number};\n"
)


@pytest.mark.parametrize(
    ("status", "attempt", "paid", "due"),
    [
        (Status.PAID, AttemptStatus.APPROVED, "TERMINE;Terminé", "EN_ATTENTE_DE_REMISE;En attente de remise"),
        (Status.PAID, AttemptStatus.CAPTURED, "TERMINE;Terminé", "REMIS;Remis en banque"),
        (Status.PAID, AttemptStatus.REFUNDED, "TERMINE;Terminé", "REMBOURSE;Remboursé"),
        (Status.FAILED, AttemptStatus.DECLINED, "REFUSE;Refusé", "REFUSE;Refusé"),
        (Status.OPENED, AttemptStatus.AUTHENTICATING, "EN_COURS;En cours", "EN_COURS;En cours"),
    ],
)
def test_a_state_is_told_in_two_tables(status: Status, attempt: AttemptStatus, paid: str, due: str) -> None:
    result = a_result(status=status, attempts=(an_attempt(attempt),))

    reply = a_dialect().listed(Find(frozenset(), ""), (result,), NOW)

    assert reply.body.decode("latin-1") == STATE.format(paid=paid, due=due, number="81290")


def test_of_several_tries_the_paid_one_is_told() -> None:
    tries = (a_result(status=Status.CANCELLED, number="2"), a_result(number="1"))

    assert b";00000001;TERMINE;" in a_dialect().listed(Find(frozenset(), ""), tries, NOW).body


def test_an_unknown_reference_fails_in_the_protocols_word() -> None:
    assert a_dialect().listed(Find(frozenset(), ""), (), NOW).body == b"spadminko"


def test_an_order_that_was_carried_out_is_answered() -> None:
    command = order("remboursement", "ali13662828210.00", reference="ali1", refsfp="36628282", mnt="10.00")
    assert isinstance(command, Refund)

    body = a_dialect().found(command, a_result(refunded_cents=1000), "", NOW).body.decode()

    assert "<resultat>spadminok</resultat>" in body
    assert "<refsfp>36628282</refsfp><montant>158.50</montant><rembourse>10.00</rembourse>" in body


def a_refund(status: str) -> RefundResult:
    return RefundResult("ref_1", Money(1000), status, NOW)


@pytest.mark.parametrize(("newest", "is_done"), [("done", True), ("unknown", True), ("refused", False)])
def test_a_refund_the_bank_refused_is_not_called_done(newest: str, *, is_done: bool) -> None:
    command = order("remboursement", "ali13662828210.00", reference="ali1", refsfp="36628282", mnt="10.00")
    assert isinstance(command, Refund)
    result = a_result(refunds=(a_refund("refused"), a_refund("done"), a_refund(newest)))

    body = a_dialect().found(command, result, "", NOW).body

    assert (b"spadminok" in body, body == b"spadminko") == (is_done, not is_done)


@pytest.mark.parametrize(
    ("attempt", "is_done"),
    [
        (AttemptStatus.APPROVED, False),
        (AttemptStatus.CAPTURE_ERROR, False),
        (AttemptStatus.CAPTURED, True),
        (AttemptStatus.REFUNDED, True),
    ],
)
def test_a_capture_the_bank_has_not_taken_is_not_called_done(attempt: AttemptStatus, *, is_done: bool) -> None:
    command = order("paiement", "ali136628282158.50", reference="ali1", refsfp="36628282", mnt="158.50")
    assert isinstance(command, Capture)

    body = a_dialect().found(command, a_result(attempts=(an_attempt(attempt),)), "", NOW).body

    assert (b"spadminok" in body, body == b"spadminko") == (is_done, not is_done)


# Saying no.

FIX = "do otherwise"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAuthentic("bad_signature", FIX), 400, "HMAC"),
        (RequestConflict("debt_already_paid", FIX), 409, "PAYE"),
        (RequestConflict("debt_locked", FIX), 409, "OCCUPE"),
        (RequestConflict("jti_reused", FIX), 409, "ETAT"),
        (WrongStatus("no"), 409, "ETAT"),
        (NotFound("no"), 404, "ADRESSE"),
        (StoreBusy("no"), 503, "ATTENTE"),
    ],
)
def test_the_payer_is_refused_by_a_page(error: GatewayError, status: int, code: str) -> None:
    page = a_dialect().refused(HttpCall("GET", ENTRY), error)

    assert isinstance(page, ErrorPage)
    assert (page.status, page.code, page.wording) == (status, code, "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"x": "%"}, "FORM"),
        ({"montant": "x"}, "FIELD"),
        ({"siret": "99999999999999-01"}, "SIRET"),
        ({"devise": "840"}, "DEVISE"),
        ({"montant": "99999.00"}, "MONTANT"),
        ({"urlretour": "x"}, "RETOUR"),
        ({"modalite": "3x"}, "MODALITE"),
        ({"moyen": "CHK"}, "MOYEN"),
        ({"montant": "1000.0", "taxe": "0", "validite": ""}, "LECTURE"),
        ({"validite": "20/11/2026"}, "VALIDITE"),
    ],
)
def test_each_refusal_has_its_code(change: Mapping[str, str], code: str) -> None:
    query = query_of({**SEVEN, **change}).replace("x=%25", "x=%")
    with pytest.raises(BadRequest) as caught:
        read(query)

    page = a_dialect().refused(HttpCall("GET", ENTRY, query), caught.value)

    assert isinstance(page, ErrorPage)
    assert (page.status, page.code) == (400, code)
    assert page.detail


@pytest.mark.parametrize(
    ("langue", "words"),
    [
        ("FR", "valable jusqu'au 20/11/2026"),
        ("EN", "valid until 20/11/2026"),
        ("DE", "bis zum 20/11/2026 gültig"),
        ("SV", "valable"),
    ],
)
def test_a_request_that_came_too_late_is_told_its_day(langue: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(query_of({**SEVEN, "langue": langue, "validite": "20/11/2026"}))

    page = a_dialect().refused(HttpCall("GET", ENTRY), caught.value)

    assert isinstance(page, ErrorPage)
    assert words in page.wording


def test_a_developer_reads_the_cause_on_the_page() -> None:
    with pytest.raises(NotAuthentic) as caught:
        read(signed_as(montant="158,50"))

    page = a_dialect().refused(HttpCall("GET", ENTRY), caught.value)

    assert isinstance(page, ErrorPage)
    assert "montant was signed as 158,50 but sent as 158.50" in page.detail


def test_the_administration_is_refused_in_one_word() -> None:
    reply = a_dialect().refused(HttpCall("GET", SERVLET), RequestConflict("refund_exceeds", FIX))

    assert isinstance(reply, HttpReply)
    assert (reply.status, reply.body) == (200, b"spadminko")


def test_the_remote_signer_is_refused_without_an_apostrophe() -> None:
    error = NotAuthentic("bad_signature", "l'an")

    reply = a_dialect().refused(HttpCall("GET", "/cgi-bin/hmac_001.exe"), error)

    assert isinstance(reply, HttpReply)
    assert (reply.status, b"'" in reply.body) == (400, False)


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE"])
def test_other_methods_are_not_spoken(method: str) -> None:
    with pytest.raises(NotFound):
        a_dialect().read(HttpCall(method, ENTRY, WORKED), NOW)


# Settings.


@pytest.mark.parametrize(
    ("protocol", "line"),
    [
        (
            {"siret": "1"},
            "merchants.alise-demo.protocol.siret: must be 14 digits, a dash and a shop number of 2 or 3 digits",
        ),
        ({"key": "12 34"}, "merchants.alise-demo.protocol.key: must be 48 hex digits, with or without blanks"),
        ({"sirett": "1"}, "merchants.alise-demo.protocol.sirett: unknown setting; remove it or correct its spelling"),
        (
            {"retry_minutes": [0]},
            "merchants.alise-demo.protocol.retry_minutes.0: Input should be greater than or equal to 1",
        ),
        ({"states": "4"}, "merchants.alise-demo.protocol.states: Input should be '1', '1,10' or '1,4,10'"),
        (
            {"urlcheck": "ftp://x"},
            "merchants.alise-demo.protocol.urlcheck: write https://host/path in ASCII, host in lower case, no user, no fragment",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_cure(protocol: Mapping[str, object], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        a_dialect(a_shop(**protocol))

    assert caught.value.faults == (line,)


def test_a_missing_setting_is_named_and_the_faults_of_all_shops_are_told() -> None:
    empty = a_shop("vide").model_copy(update={"protocol": {"siret": "00000000000009-01"}})

    with pytest.raises(SettingsError) as caught:
        a_dialect(a_shop(), a_shop("double"), empty)

    assert caught.value.faults == (
        "merchants.vide.protocol.key: missing; give the merchant key: 48 hex digits, with or without blanks",
        "merchants.double.protocol.siret: already that of alise-demo; give each its own",
    )


@pytest.mark.parametrize(("montant", "taxe"), [("10", "0"), ("100", "0"), ("20", "0.00")])
def test_round_amounts_are_taken_as_kits_write_them(montant: str, taxe: str) -> None:
    signed = f"{DEMO_SIRET}ref123456FR978{montant}{taxe}"
    values = {
        "siret": DEMO_SIRET, "reference": "ref123456", "langue": "FR", "devise": "978", "montant": montant, "taxe": taxe,
    }  # fmt: skip

    command = read(urlencode({**values, "hmac": sign(signed)}))

    assert isinstance(command, Open)
    assert command.request.amount.cents == int(montant) * 100
