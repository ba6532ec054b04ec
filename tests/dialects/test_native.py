"""The native protocol with bytes alone: what opens a payment, what never does, and what is answered."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.core.errors import (
    AcquirerUnreachable,
    BadRequest,
    DeliveryFailed,
    GatewayError,
    NotAuthentic,
    NotFound,
    RequestConflict,
    WrongStatus,
)
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Event, Line, Mode, Payee, PaymentRequest, PaymentResult, RefundResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Cancel, Find, HttpCall, HttpReply, LookUp, Open, Refund, Signed, Try, Which
from gateway.dialects.native import NativeDialect, NativeMerchant
from gateway.dialects.native.wire import digest_of
from gateway.keys import Keys, credentials, ensure_demo

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ORIGIN = "https://pay.example.org"
PAGE = "https://pay.example.org/p/secret"

MAIRIE = NativeMerchant(
    "mairie-demo",
    callback_urls=("https://portal.example/notify",),
    return_urls=("https://portal.example/",),
    notify_url="https://portal.example/notify/default",
    amount_max=500_000,
)
BOOK = {
    "mairie-demo": MAIRIE,
    "jvs-demo": NativeMerchant("jvs-demo"),
    "village": NativeMerchant("village", portal="jvs-demo"),
}
LOOK_UP = LookUp(Which(frozenset({"mairie-demo"}), payment="pay_1"))
FIND = Find(frozenset({"mairie-demo"}), "R1")


@pytest.fixture(scope="module")
def keys_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("native") / "keys"
    ensure_demo(directory, ["mairie-demo", "jvs-demo"], NOW)
    return directory


@pytest.fixture(scope="module")
def keys(keys_directory: Path) -> Keys:
    return Keys.load(keys_directory, NOW)


@pytest.fixture(scope="module")
def told(keys_directory: Path) -> Mapping[str, str]:
    return credentials(keys_directory, "mairie-demo")


@pytest.fixture(scope="module")
def portal(keys_directory: Path) -> Mapping[str, str]:
    return credentials(keys_directory, "jvs-demo")


@pytest.fixture
def dialect(keys: Keys) -> NativeDialect:
    return NativeDialect(BOOK, keys, ORIGIN)


def claims(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "iss": "mairie-demo",
        "aud": ORIGIN,
        "iat": SECONDS,
        "exp": SECONDS + 600,
        "jti": "a-fresh-id-1",
        "amount": 4250,
        "currency": "EUR",
        "reference": "2026-CANT-00042",
        "label": "Cantine novembre",
        "email": "parent@example.org",
    }
    whole.update(changes)
    return {name: value for name, value in whole.items() if value is not ...}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign_text(told: Mapping[str, str], text: bytes, header: Mapping[str, object] | None = None) -> str:
    """Sign exact bytes with HMAC, by hand, so that odd headers and odd JSON can be sent."""
    whole = {"alg": "HS256", "kid": told["hs256_kid"], **(header or {})}
    signed = _b64(json.dumps(whole).encode()) + "." + _b64(text)
    secret = base64.urlsafe_b64decode(told["hs256_secret"] + "=")
    return signed + "." + _b64(hmac.digest(secret, signed.encode(), "sha256"))


def sign(told: Mapping[str, str], content: Mapping[str, object], header: Mapping[str, object] | None = None) -> str:
    return sign_text(told, json.dumps(content).encode(), header)


def sign_ed25519(told: Mapping[str, str], content: Mapping[str, object]) -> str:
    private = load_pem_private_key(Path(told["private_key_path"]).read_bytes(), None)
    return jwt.encode(dict(content), private, "EdDSA", {"kid": told["kid"]})  # type: ignore[arg-type]  # any key type


def post(token: str, path: str = "/v1/payments", content_type: str = "application/jose") -> HttpCall:
    return HttpCall("POST", path, headers={"content-type": content_type}, body=token.encode())


def opened(dialect: NativeDialect, token: str) -> Open:
    command = dialect.read(post(token), NOW)
    assert isinstance(command, Open)
    return command


def faults_of(dialect: NativeDialect, token: str) -> list[tuple[str, str]]:
    with pytest.raises(BadRequest) as caught:
        dialect.read(post(token), NOW)
    return [(fault.pointer, fault.code) for fault in caught.value.faults]


def refusal_of(dialect: NativeDialect, call: HttpCall, now: datetime = NOW) -> str:
    with pytest.raises(NotAuthentic) as caught:
        dialect.read(call, now)
    return caught.value.code


# What opens a payment


def test_a_signed_request_opens_a_payment(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    command = opened(dialect, sign_ed25519(told, claims()))

    assert command.request == PaymentRequest(
        merchant="mairie-demo",
        reference="2026-CANT-00042",
        amount=Money(4250),
        lines=(Line("2026-CANT-00042", "Cantine novembre", Money(4250)),),
        label="Cantine novembre",
        email="parent@example.org",
    )
    assert command.signed.merchant == "mairie-demo"
    assert command.signed.jti == "a-fresh-id-1"
    assert not command.by_browser


def test_every_claim_reaches_the_request(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    content = claims(
        kind="top_up",
        lines=[
            {"reference": "A 1", "label": "Cantine", "amount": 4000},
            {"reference": "B/2", "label": "Garderie", "amount": 250},
        ],
        payer={"name": "Zoé Lefèvre", "phone": "+33612345678"},
        beneficiary="Léa",
        comment="Merci\nà vous",
        fiscal_year="2026",
        language="en",
        return_url="https://portal.example/back?session=1",
        notify_url="https://portal.example/notify/42",
        pay_before="2026-11-21",
        metadata={"dossier": "é-12"},
    )

    request = opened(dialect, sign(told, content)).request

    assert [line.amount.cents for line in request.lines] == [4000, 250]
    assert (request.kind, request.payer_name, request.payer_phone) == ("top_up", "Zoé Lefèvre", "+33612345678")
    assert (request.beneficiary, request.comment, request.fiscal_year) == ("Léa", "Merci\nà vous", "2026")
    assert (request.language, request.return_url) == ("en", "https://portal.example/back?session=1")
    assert (request.notify_url, request.pay_before) == ("https://portal.example/notify/42", date(2026, 11, 21))
    assert request.metadata == {"dossier": "é-12"}


def problem_of(dialect: NativeDialect, error: GatewayError) -> bytes:
    reply = dialect.refused(post(""), error)
    assert isinstance(reply, HttpReply)
    return reply.body


@pytest.mark.parametrize("typ", ["JWT", "payment-request+jwt"])
def test_the_usual_types_are_accepted(dialect: NativeDialect, told: Mapping[str, str], typ: str) -> None:
    assert opened(dialect, sign(told, claims(), {"typ": typ})).signed.jti == "a-fresh-id-1"


@pytest.mark.parametrize("aud", [ORIGIN, ORIGIN + "/"])
def test_a_slash_after_the_origin_is_forgiven(dialect: NativeDialect, told: Mapping[str, str], aud: str) -> None:
    assert opened(dialect, sign(told, claims(aud=aud))).signed.merchant == "mairie-demo"


def test_a_portal_signs_for_the_merchants_behind_it(dialect: NativeDialect, portal: Mapping[str, str]) -> None:
    assert opened(dialect, sign_ed25519(portal, claims(iss="village"))).request.merchant == "village"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_browser_carries_a_request(dialect: NativeDialect, told: Mapping[str, str], method: str) -> None:
    form = "request=" + sign(told, claims())
    call = HttpCall(method, "/pay", query=form if method == "GET" else "")
    if method == "POST":
        call = replace(call, body=form.encode(), headers={"content-type": "application/x-www-form-urlencoded"})

    command = dialect.read(call, NOW)

    assert isinstance(command, Open)
    assert command.by_browser


def test_the_digest_tells_what_is_asked_not_when(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    first = opened(dialect, sign(told, claims())).signed.digest
    again = opened(dialect, sign(told, claims(iat=SECONDS - 5, exp=SECONDS + 5, jti="another-id"))).signed.digest
    other = opened(dialect, sign(told, claims(amount=4251))).signed.digest

    assert first == again
    assert first != other
    assert len(first) == 64


def test_the_digest_stays_what_it_was() -> None:
    """It is stored: another spelling of it would make strangers of the requests of yesterday."""
    asked = {"label": "Été", "amount": 4250, "lines": [{"b": 1, "a": 2}], "jti": "x", "iat": 1, "exp": 2}

    canonical = '{"amount":4250,"label":"Été","lines":[{"a":2,"b":1}]}'

    assert digest_of(asked) == hashlib.sha256(canonical.encode("utf-8")).hexdigest()


# What never opens a payment: authorship


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"alg": "none"}, "algorithm_not_allowed"),
        ({"alg": "None"}, "algorithm_not_allowed"),
        ({"alg": "HS512"}, "algorithm_not_allowed"),
        ({"alg": "EdDSA"}, "algorithm_not_allowed"),
        ({"alg": ["HS256"]}, "algorithm_not_allowed"),
        ({"alg": 1.5}, "algorithm_not_allowed"),
        ({"kid": "nobody"}, "unknown_key"),
        ({"kid": "jvs-demo-2026-11-hs256"}, "unknown_key"),
        ({"kid": "../../etc/passwd"}, "header_not_allowed"),
        ({"kid": "' or 1=1 --"}, "header_not_allowed"),
        ({"kid": ""}, "header_not_allowed"),
        ({"kid": "k" * 65}, "header_not_allowed"),
        ({"kid": None}, "header_not_allowed"),
        ({"typ": "refund-request+jwt"}, "wrong_type"),
        ({"typ": "payment-result+jwt"}, "wrong_type"),
        ({"typ": "jwt"}, "wrong_type"),
        ({"typ": None}, "wrong_type"),
        ({"crit": ["exp"]}, "header_not_allowed"),
        ({"b64": False}, "header_not_allowed"),
        ({"zip": "DEF"}, "header_not_allowed"),
        ({"jku": "https://evil.example/jwks.json"}, "header_not_allowed"),
        ({"jwk": {"kty": "oct", "k": "AAAA"}}, "header_not_allowed"),
        ({"x5u": "https://evil.example/c.pem"}, "header_not_allowed"),
        ({"x5c": ["MII"]}, "header_not_allowed"),
        ({"cty": "JWT"}, "header_not_allowed"),
    ],
)
def test_a_header_that_steers_verification_is_refused(
    dialect: NativeDialect, told: Mapping[str, str], header: Mapping[str, object], code: str
) -> None:
    assert refusal_of(dialect, post(sign(told, claims(), header))) == code


def test_a_header_needs_both_members(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    token = f"{_b64(b'{}')}.{sign(told, claims()).partition('.')[2]}"

    assert refusal_of(dialect, post(token)) == "header_not_allowed"


def test_a_header_that_repeats_a_member_is_refused(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    header = '{"alg":"none","alg":"HS256","kid":"' + told["hs256_kid"] + '"}'
    token = f"{_b64(header.encode())}.{sign(told, claims()).partition('.')[2]}"

    assert refusal_of(dialect, post(token)) == "header_not_allowed"


def test_an_unsigned_token_is_refused(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    unsigned = sign(told, claims(), {"alg": "none"}).rpartition(".")[0] + "."

    assert refusal_of(dialect, post(unsigned)) == "algorithm_not_allowed"


def test_a_public_key_is_no_hmac_secret(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    public = Path(told["public_key_path"]).read_bytes()
    signed = _b64(json.dumps({"alg": "HS256", "kid": told["kid"]}).encode()) + "." + _b64(json.dumps(claims()).encode())
    token = signed + "." + _b64(hmac.digest(public, signed.encode(), "sha256"))

    assert refusal_of(dialect, post(token)) == "algorithm_not_allowed"


def test_a_key_of_another_merchant_does_not_sign(dialect: NativeDialect, portal: Mapping[str, str]) -> None:
    assert refusal_of(dialect, post(sign_ed25519(portal, claims()))) == "unknown_key"


def test_a_merchant_does_not_sign_for_its_portal(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    assert refusal_of(dialect, post(sign_ed25519(told, claims(iss="village")))) == "unknown_key"


@pytest.mark.parametrize("iss", ["nobody", "", ..., 12, ["mairie-demo"], None, "Mairie-demo"])
def test_an_unknown_merchant_is_refused(dialect: NativeDialect, told: Mapping[str, str], iss: object) -> None:
    assert refusal_of(dialect, post(sign(told, claims(iss=iss)))) == "unknown_merchant"


@pytest.mark.parametrize(
    "aud", ["https://pay.example.org.evil.example", "http://pay.example.org", ORIGIN + "//", "", "pay.example.org"]
)
def test_a_request_for_another_server_is_refused(dialect: NativeDialect, told: Mapping[str, str], aud: str) -> None:
    assert refusal_of(dialect, post(sign(told, claims(aud=aud)))) == "wrong_audience"


@pytest.mark.parametrize(
    ("iat", "exp", "code"),
    [
        (SECONDS - 600, SECONDS, "expired"),
        (SECONDS - 600, SECONDS - 1, "expired"),
        (SECONDS + 30, SECONDS + 20, "expired"),
        (SECONDS + 30, SECONDS + 30, "expired"),
        (SECONDS + 61, SECONDS + 100, "not_yet_valid"),
        (SECONDS, SECONDS + 901, "lifetime_too_long"),
        (SECONDS - 10**6, SECONDS + 10, "lifetime_too_long"),
    ],
)
def test_a_request_out_of_its_time_is_refused(
    dialect: NativeDialect, told: Mapping[str, str], iat: int, exp: int, code: str
) -> None:
    assert refusal_of(dialect, post(sign(told, claims(iat=iat, exp=exp)))) == code


@pytest.mark.parametrize(("iat", "exp"), [(SECONDS + 60, SECONDS + 960), (SECONDS - 899, SECONDS + 1)])
def test_the_edges_of_time_are_inside(dialect: NativeDialect, told: Mapping[str, str], iat: int, exp: int) -> None:
    assert opened(dialect, sign(told, claims(iat=iat, exp=exp))).signed.jti == "a-fresh-id-1"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c.d", "a..c", "e30.e30.e30=", " e30.e30.e30", "é.e30.e30"]
)
def test_what_is_no_compact_jws_is_refused(dialect: NativeDialect, token: str) -> None:
    assert refusal_of(dialect, post(token)) in {"not_a_jws", "header_not_allowed"}


def test_spaces_and_line_feeds_do_not_belong_to_a_token(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    token = sign(told, claims())

    assert refusal_of(dialect, post(token + "\n")) == "not_a_jws"
    assert refusal_of(dialect, post(token + "=")) == "not_a_jws"


def test_a_detached_signature_of_other_claims_is_refused(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    cheap, dear = sign(told, claims(amount=1)).split("."), sign(told, claims(amount=9999)).split(".")

    assert refusal_of(dialect, post(".".join((cheap[0], cheap[1], dear[2])))) == "bad_signature"


# What never opens a payment: meaning


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"amount": 0}, ("/amount", "out_of_range")),
        ({"amount": -1}, ("/amount", "out_of_range")),
        ({"amount": True}, ("/amount", "not_an_integer")),
        ({"amount": 1.0}, ("/amount", "not_an_integer")),
        ({"amount": "4250"}, ("/amount", "not_an_integer")),
        ({"amount": None}, ("/amount", "not_an_integer")),
        ({"amount": 2**63}, ("/amount", "out_of_range")),
        ({"amount": 10**40}, ("/amount", "not_an_integer")),
        ({"amount": 100_000_000}, ("/amount", "out_of_range")),
        ({"amount": 500_001}, ("/amount", "amount_above_limit")),
        ({"amount": ...}, ("/amount", "missing")),
        ({"reference": ...}, ("/reference", "missing")),
        ({"reference": ""}, ("/reference", "length")),
        ({"reference": "-1"}, ("/reference", "format")),
        ({"reference": "A" * 65}, ("/reference", "length")),
        ({"reference": "A\n"}, ("/reference", "format")),
        ({"reference": "é1"}, ("/reference", "format")),
        ({"label": ...}, ("/label", "missing")),
        ({"label": ""}, ("/label", "length")),
        ({"label": "x" * 141}, ("/label", "length")),
        ({"label": "a\u0000b"}, ("/label", "control_character")),
        ({"label": "a\u202eb"}, ("/label", "control_character")),
        ({"label": "a\nb"}, ("/label", "control_character")),
        ({"label": 12}, ("/label", "not_a_string")),
        ({"currency": "USD"}, ("/currency", "currency_not_accepted")),
        ({"currency": "eur"}, ("/currency", "format")),
        ({"kind": "gift"}, ("/kind", "not_allowed")),
        ({"language": "xx"}, ("/language", "language_not_spoken")),
        ({"language": "français"}, ("/language", "format")),
        ({"fiscal_year": "1999"}, ("/fiscal_year", "format")),
        ({"fiscal_year": 2026}, ("/fiscal_year", "not_a_string")),
        ({"email": "nobody"}, ("/email", "format")),
        ({"email": "a@b"}, ("/email", "format")),
        ({"email": "a@b.c\r\nBcc: x@y.z"}, ("/email", "format")),
        ({"email": "a@b.c,d@e.f"}, ("/email", "format")),
        ({"email": "a" * 64 + "@" + "b" * 63 + ("." + "c" * 62) * 3}, ("/email", "length")),
        ({"payer": "Zoé"}, ("/payer", "not_an_object")),
        ({"payer": {"phone": "0612345678"}}, ("/payer/phone", "format")),
        ({"payer": {"age": 12}}, ("/payer/age", "unknown_member")),
        ({"comment": "x" * 501}, ("/comment", "length")),
        ({"jti": "short"}, ("/jti", "length")),
        ({"jti": "x" * 129}, ("/jti", "length")),
        ({"jti": "with space"}, ("/jti", "format")),
        ({"jti": ...}, ("/jti", "missing")),
        ({"iat": ...}, ("/iat", "missing")),
        ({"exp": ...}, ("/exp", "missing")),
        ({"exp": SECONDS + 60.5}, ("/exp", "not_an_integer")),
        ({"aud": ...}, ("/aud", "missing")),
        ({"aud": [ORIGIN]}, ("/aud", "not_a_string")),
        ({"nbf": SECONDS}, ("/nbf", "unknown_member")),
        ({"lines": []}, ("/lines", "length")),
        ({"lines": {}}, ("/lines", "not_a_list")),
        ({"lines": [{"reference": "A", "label": "x", "amount": 4249}]}, ("/lines", "sum_differs")),
        ({"lines": [{"reference": "A", "label": "x", "amount": 0}]}, ("/lines/0/amount", "out_of_range")),
        ({"lines": [{"reference": "A", "label": "x", "amount": 2125}] * 2}, ("/lines", "duplicate_reference")),
        ({"pay_before": "2026-11-20"}, ("/pay_before", "date_past")),
        ({"pay_before": "2026-02-30"}, ("/pay_before", "format")),
        ({"pay_before": "20261130"}, ("/pay_before", "format")),
        ({"metadata": {"a": 1}}, ("/metadata/a", "not_a_string")),
        ({"metadata": {"": "x"}}, ("/metadata", "length")),
        ({"metadata": {"a": "x" * 501}}, ("/metadata", "length")),
        ({"metadata": {str(n): "x" for n in range(21)}}, ("/metadata", "length")),
    ],
)
def test_a_bad_claim_is_refused_by_name(
    dialect: NativeDialect, told: Mapping[str, str], changes: Mapping[str, object], fault: tuple[str, str]
) -> None:
    assert faults_of(dialect, sign(told, claims(**changes))) == [fault]


def test_the_last_payable_day_ends_at_midnight_in_paris(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    times = {"iat": int(late.timestamp()), "exp": int(late.timestamp()) + 600}

    dialect.read(post(sign(told, claims(**times, pay_before="2026-11-22"))), late)
    with pytest.raises(BadRequest) as caught:
        dialect.read(post(sign(told, claims(**times, pay_before="2026-11-21"))), late)
    assert [fault.code for fault in caught.value.faults] == ["date_past"]


def test_a_currency_that_is_left_out_is_held_against_the_contract_too(keys: Keys, told: Mapping[str, str]) -> None:
    in_francs = {"mairie-demo": replace(MAIRIE, currencies=frozenset({"CHF"}))}
    dialect = NativeDialect(in_francs, keys, ORIGIN)

    assert faults_of(dialect, sign(told, claims(currency=...))) == [("/currency", "currency_not_accepted")]
    assert opened(dialect, sign(told, claims(currency="CHF"))).request.amount == Money(4250, "CHF")


@pytest.mark.parametrize("amount", ["1e2", "1.0", "0.1e3", "100.00", "1E+2"])
def test_an_amount_in_another_spelling_is_refused(dialect: NativeDialect, told: Mapping[str, str], amount: str) -> None:
    text = json.dumps(claims()).replace("4250", amount).encode()

    assert faults_of(dialect, sign_text(told, text)) == [("/amount", "not_an_integer")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"iss":"mairie-demo","amount":1,"amount":4250}', "duplicate_member"),
        (b'{"iss":"mairie-demo","payer":{"name":"a","name":"b"}}', "duplicate_member"),
        (b'{"iss":"mairie-demo","amount":NaN}', "not_json"),
        (b'{"iss":"mairie-demo","amount":-Infinity}', "not_json"),
        (b'{"iss":"mairie-demo","label":"\\ud800"}', "not_json"),
        (b'{"iss":"mairie-demo","label":"\xff"}', "not_json"),
        (b'\xef\xbb\xbf{"iss":"mairie-demo"}', "not_json"),
        (b'{"iss":"mairie-demo"} x', "not_json"),
        (b'{"iss":"mairie-demo",}', "not_json"),
        (b"", "not_json"),
        (b"null", "not_json"),
        (b'["mairie-demo"]', "not_json"),
        (b"[" * 8000, "too_deep"),
        (b'{"a":{"b":{"c":{"d":{}}}}}', "too_deep"),
        (b'{"iss":"mairie-demo","label":"' + b"x" * 8200 + b'"}', "too_large"),
    ],
)
def test_claims_that_two_parsers_could_read_differently_are_refused(
    dialect: NativeDialect, told: Mapping[str, str], text: bytes, code: str
) -> None:
    if not text:
        assert refusal_of(dialect, post(sign_text(told, text))) == "not_a_jws"
        return
    assert faults_of(dialect, sign_text(told, text)) == [("", code)]


def test_brackets_inside_a_text_are_no_nesting(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    assert opened(dialect, sign(told, claims(label='[[[[[{{{{{"\\"['))).request.label == '[[[[[{{{{{"\\"['


def test_all_faults_are_told_at_once_each_with_its_cure(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    content = claims(amount=0, label=..., email="nobody", colour="red", notify_url="https://evil.example/notify")

    with pytest.raises(BadRequest) as caught:
        dialect.read(post(sign(told, content)), NOW)

    found = {fault.pointer: fault for fault in caught.value.faults}
    assert set(found) == {"/amount", "/label", "/email", "/colour", "/notify_url"}
    assert "whole number of cents from 1 to 99999999" in found["/amount"].detail
    assert "1 to 140 visible characters" in found["/label"].detail
    assert "registered callback list" in found["/notify_url"].detail
    assert "correct its spelling" in found["/colour"].detail


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/notify",
        "https://portal.example.evil.example/notify",
        "https://portal.example:8443/notify",
        "https://portal.example/notifyx",
        "https://portal.example/other",
        "https://portal.example/notify/../admin",
        "https://portal.example/notify/%2e%2e/admin",
        "https://portal.example/notify/..;/admin",
        "https://portal.example/notify/..%2fadmin",
        "https://portal.example/notify//x",
        "https://user@portal.example/notify",
        "https://portal.example@evil.example/notify",
        "https://evil.example#@portal.example/notify",
        "https://portal.example/notify#x",
        "https://portal.example\\@evil.example/notify",
        "https://portal.example/notify\\x",
        "https://portal.example/notify\r\nx",
        "https://portal.example /notify",
        "https://portal.example./notify",
        "https://PORTAL.example/notify",
        "https://pörtal.example/notify",
        "//portal.example/notify",
        "http://portal.example/notify",
        "ftp://portal.example/notify",
        "javascript:alert(1)",
        "https://127.0.0.1/notify",
        "http://127.0.0.1:8001/notify",
        "http://localhost:8001/notify",
        "http://[::1]:8001/notify",
        "https://2130706433/notify",
        "https://0x7f.1/notify",
        "https://169.254.169.254/latest",
        "https:///notify",
        "https://portal.example:0/notify",
        "https://portal.example:65536/notify",
        "https://portal.example/notify" + "x" * 1024,
        "",
    ],
)
def test_an_address_off_the_list_is_refused(dialect: NativeDialect, told: Mapping[str, str], url: str) -> None:
    ((pointer, _),) = faults_of(dialect, sign(told, claims(notify_url=url)))

    assert pointer == "/notify_url"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.example/notify", "url_not_registered"),
        ("http://portal.example/notify", "url_not_https"),
        ("https://portal.example/\\notify", "url_not_allowed"),
    ],
)
def test_what_is_wrong_with_an_address_is_named(
    dialect: NativeDialect, told: Mapping[str, str], url: str, code: str
) -> None:
    assert faults_of(dialect, sign(told, claims(notify_url=url))) == [("/notify_url", code)]


@pytest.mark.parametrize("url", ["https://portal.example/notify", "https://portal.example:443/notify/a?b=c"])
def test_an_address_on_the_list_is_accepted(dialect: NativeDialect, told: Mapping[str, str], url: str) -> None:
    assert opened(dialect, sign(told, claims(notify_url=url))).request.notify_url == url


def test_a_return_address_keeps_our_two_names_free(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    token = sign(told, claims(return_url="https://portal.example/back?payment=1"))

    assert faults_of(dialect, token) == [("/return_url", "reserved_parameter")]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001/notify", "http://localhost:1/", "http://[::1]:8001/x?y"])
def test_in_development_this_machine_needs_no_registration(keys: Keys, told: Mapping[str, str], url: str) -> None:
    dialect = NativeDialect(BOOK, keys, ORIGIN, loopback_allowed=True)

    assert opened(dialect, sign(told, claims(notify_url=url))).request.notify_url == url


def test_a_production_merchant_never_names_this_machine(keys: Keys, told: Mapping[str, str]) -> None:
    book = {"mairie-demo": replace(MAIRIE, mode=Mode.PRODUCTION)}
    dialect = NativeDialect(book, keys, ORIGIN, loopback_allowed=True)

    token = sign(told, claims(notify_url="http://127.0.0.1:8001/notify"))

    assert faults_of(dialect, token) == [("/notify_url", "url_not_https")]


def test_a_fixed_address_must_come_with_the_request(keys: Keys, told: Mapping[str, str]) -> None:
    dialect = NativeDialect({"mairie-demo": replace(MAIRIE, email_rule="fixed")}, keys, ORIGIN)

    assert faults_of(dialect, sign(told, claims(email=...))) == [("/email", "missing")]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"reference": "4970100000000154"}, "/reference"),
        ({"label": "carte 4970 1000 0000 0154"}, "/label"),
        ({"label": "carte 4970\u00a01000\u00a00000\u00a00154 12 29"}, "/label"),
        ({"comment": "5555-5555-5555-4444"}, "/comment"),
        ({"beneficiary": "3782.822463.10005"}, "/beneficiary"),
        ({"payer": {"name": "4970100000000154"}}, "/payer/name"),
        ({"email": "4970100000000154@example.org"}, "/email"),
        ({"metadata": {"x": "2223003122003222"}}, "/metadata/x"),
        ({"metadata": {"4970100000000154": "x"}}, "/metadata"),
        ({"label": "\uff14\uff19\uff17\uff10100000000154"}, "/label"),
    ],
)
def test_a_card_number_in_any_field_is_refused_and_never_echoed(
    dialect: NativeDialect, told: Mapping[str, str], changes: Mapping[str, object], pointer: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        dialect.read(post(sign(told, claims(**changes))), NOW)

    assert (pointer, "card_number") in [(fault.pointer, fault.code) for fault in caught.value.faults]
    assert b"0000154" not in problem_of(dialect, caught.value)


@pytest.mark.parametrize("reference", ["497010000000015499", "4970100000000155", "X4970100000000154", "000123456789"])
def test_ordinary_numbers_are_no_card(dialect: NativeDialect, told: Mapping[str, str], reference: str) -> None:
    assert opened(dialect, sign(told, claims(reference=reference))).request.reference == reference


def test_a_rejected_value_is_never_echoed(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    with pytest.raises(BadRequest) as caught:
        dialect.read(post(sign(told, claims(email="s3cret", **{"s3cret name": "s3cret"}))), NOW)

    assert b"s3cret" not in problem_of(dialect, caught.value)
    assert "s3cret" not in str(caught.value)


# Calls


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "application/jose+json"])
def test_another_content_type_is_refused(dialect: NativeDialect, told: Mapping[str, str], content_type: str) -> None:
    call = post(sign(told, claims()), content_type=content_type)

    with pytest.raises(BadRequest) as caught:
        dialect.read(call, NOW)

    assert dialect.refused(call, caught.value).status == 415


def test_a_content_type_may_carry_parameters(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    call = post(sign(told, claims()), content_type="Application/JOSE; charset=utf-8")

    assert isinstance(dialect.read(call, NOW), Open)


def test_too_large_a_body_is_refused(dialect: NativeDialect) -> None:
    call = post("a" * (64 * 1024 + 1))

    with pytest.raises(BadRequest) as caught:
        dialect.read(call, NOW)

    assert dialect.refused(call, caught.value).status == 413


@pytest.mark.parametrize("query", ["", "request=", "request=a.b.c&request=d.e.f", "&".join(["a=1"] * 40)])
def test_the_browser_carries_one_request_exactly(dialect: NativeDialect, query: str) -> None:
    with pytest.raises(BadRequest):
        dialect.read(HttpCall("GET", "/pay", query=query), NOW)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/payments"),
        ("DELETE", "/v1/payments/pay_1"),
        ("GET", "/v1/payments/pay_1/refunds"),
        ("POST", "/v1/payments/pay_1"),
        ("HEAD", "/pay"),
        ("GET", "/v1/payments/pay_1/other"),
        ("GET", "/v1/payments/a%2fb"),
    ],
)
def test_other_calls_are_not_found(dialect: NativeDialect, method: str, path: str) -> None:
    with pytest.raises(NotFound):
        dialect.read(HttpCall(method, path), NOW)


def test_an_api_key_reads_its_own_payments(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    call = HttpCall("GET", "/v1/payments/pay_1", headers={"authorization": f"Bearer {told['api_key']}"})

    assert dialect.read(call, NOW) == LookUp(Which(frozenset({"mairie-demo"}), payment="pay_1"))


def test_a_portal_finds_the_payments_of_all_behind_it(dialect: NativeDialect, portal: Mapping[str, str]) -> None:
    headers = {"authorization": f"bearer {portal['api_key']}"}

    command = dialect.read(HttpCall("GET", "/v1/payments", "reference=A%2F1+b", headers), NOW)

    assert command == Find(frozenset({"jvs-demo", "village"}), "A/1 b")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "api_key_missing"),
        ("Basic eA==", "api_key_missing"),
        ("Bearer ", "api_key_missing"),
        ("Bearer x", "api_key_unknown"),
    ],
)
def test_a_look_up_without_a_known_key_is_refused(dialect: NativeDialect, header: str, code: str) -> None:
    for path in ("/v1/payments/pay_1", "/v1/payments"):
        assert refusal_of(dialect, HttpCall("GET", path, headers={"authorization": header})) == code


def test_a_key_of_a_merchant_that_is_gone_reads_nothing(keys: Keys, told: Mapping[str, str]) -> None:
    dialect = NativeDialect({"jvs-demo": BOOK["jvs-demo"]}, keys, ORIGIN)
    call = HttpCall("GET", "/v1/payments/pay_1", headers={"authorization": f"Bearer {told['api_key']}"})

    assert refusal_of(dialect, call) == "api_key_unknown"


def test_a_signed_refund_is_read(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    content = {**{k: claims()[k] for k in ("iss", "aud", "iat", "exp", "jti")}, "payment": "pay_1", "amount": 100}

    command = dialect.read(post(sign(told, {**content, "reason": "absence"}), "/v1/payments/pay_1/refunds"), NOW)

    assert isinstance(command, Refund)
    assert (command.which.payment, command.amount, command.reason) == ("pay_1", Money(100), "absence")


def test_a_signed_cancellation_is_read(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    content = {**{k: claims()[k] for k in ("iss", "aud", "iat", "exp", "jti")}, "payment": "pay_1"}

    command = dialect.read(post(sign(told, content), "/v1/payments/pay_1/cancel"), NOW)

    assert isinstance(command, Cancel)
    assert command.which.payment == "pay_1"


@pytest.mark.parametrize("verb", ["refunds", "cancel"])
def test_a_signature_for_one_payment_does_not_serve_another(
    dialect: NativeDialect, told: Mapping[str, str], verb: str
) -> None:
    content = {**{k: claims()[k] for k in ("iss", "aud", "iat", "exp", "jti")}, "payment": "pay_1"}
    if verb == "refunds":
        content["amount"] = 100

    with pytest.raises(BadRequest) as caught:
        dialect.read(post(sign(told, content), f"/v1/payments/pay_2/{verb}"), NOW)

    assert [fault.code for fault in caught.value.faults] == ["payment_differs"]


def test_a_payment_request_is_no_refund(dialect: NativeDialect, told: Mapping[str, str]) -> None:
    with pytest.raises(BadRequest):
        dialect.read(post(sign(told, claims()), "/v1/payments/pay_1/refunds"), NOW)


# Answers


def a_result(status: Status = Status.PAID, **request: object) -> PaymentResult:
    asked = PaymentRequest(
        "mairie-demo", "R1", Money(4250), (Line("R1", "Cantine", Money(4250)),), "Cantine", metadata={"dossier": "12"}
    )
    attempt = AttemptResult(
        "att_1",
        1,
        AttemptStatus.CAPTURED,
        "cb",
        "497010",
        "0154",
        NOW,
        response_code="00",
        authorisation_number="123456",
    )
    return PaymentResult(
        id="pay_1",
        number="2611210001",
        request=replace(asked, **request),  # type: ignore[arg-type]  # changes by name
        payee=Payee("mairie-demo", "Ville de Démonstration"),
        status=status,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
        email="parent@example.org",
        attempts=(attempt,),
        refunds=(RefundResult("ref_1", Money(100), "done", NOW),),
        events=(Event("evt_1", 1, "created", NOW),),
        refunded_cents=100,
    )


def an_open() -> Open:
    return Open(a_result().request, Signed("mairie-demo", "x", "y"))


def test_the_merchant_is_told_where_the_page_is(dialect: NativeDialect) -> None:
    reply = dialect.opened(an_open(), a_result(Status.CREATED), PAGE, NOW)

    told = json.loads(reply.body)
    assert reply.status == 201
    assert (told["id"], told["checkout_url"], told["status"]) == ("pay_1", PAGE, "created")
    assert told["expires_at"] == "2026-11-21T09:30:00Z"


def test_the_browser_is_sent_to_the_page(dialect: NativeDialect) -> None:
    reply = dialect.opened(replace(an_open(), by_browser=True), a_result(Status.CREATED), PAGE, NOW)

    assert (reply.status, reply.headers["Location"], reply.body) == (303, PAGE, b"")


def test_a_payment_is_shown_whole_with_no_more_of_the_card_than_allowed(dialect: NativeDialect) -> None:
    shown = json.loads(dialect.found(LOOK_UP, a_result(), PAGE, NOW).body)

    assert (shown["status"], shown["amount"], shown["refunded_amount"]) == ("paid", 4250, 100)
    assert shown["attempts"][0]["last4"] == "0154"
    assert shown["metadata"] == {"dossier": "12"}
    assert shown["checkout_url"] is None


def test_the_page_address_is_shown_while_it_can_serve(dialect: NativeDialect) -> None:
    assert json.loads(dialect.found(LOOK_UP, a_result(Status.OPENED), PAGE, NOW).body)["checkout_url"] == PAGE


def test_several_payments_are_listed(dialect: NativeDialect) -> None:
    shown = json.loads(dialect.listed(FIND, (a_result(Status.FAILED), a_result(Status.PAID)), NOW).body)

    assert [payment["status"] for payment in shown["payments"]] == ["refused", "paid"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAuthentic("bad_signature", "x"), 401, "bad_signature"),
        (NotAuthentic("of_another_dialect", "x"), 401, "bad_signature"),
        (NotAuthentic("api_key_unknown", "x"), 401, "api_key_unknown"),
        (NotFound("x"), 404, "not_found"),
        (RequestConflict("debt_locked", "x", "pay_9"), 409, "debt_locked"),
        (RequestConflict("jti_reused", "x"), 409, "jti_reused"),
        (WrongStatus("x"), 409, "wrong_status"),
        (BadRequest(()), 422, "invalid_request"),
        (AcquirerUnreachable("x"), 503, "acquirer_unreachable"),
        (GatewayError("disk full at /var"), 500, "internal_error"),
    ],
)
def test_an_error_is_a_problem_document(dialect: NativeDialect, error: GatewayError, status: int, code: str) -> None:
    reply = dialect.refused(post(""), error)

    assert isinstance(reply, HttpReply)
    told = json.loads(reply.body)
    assert (reply.status, told["status"], told["code"]) == (status, status, code)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert told["type"] == f"{ORIGIN}/docs#error-{code}"
    assert ("WWW-Authenticate" in reply.headers) == (status == 401)
    assert told.get("payment") == ("pay_9" if code == "debt_locked" else None)
    assert "disk" not in reply.body.decode()


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("https://portal.example/back", "https://portal.example/back?payment=pay_1&result="),
        ("https://portal.example/back?a=1&b=%20", "https://portal.example/back?a=1&b=%20&payment=pay_1&result="),
        ("https://portal.example/back?", "https://portal.example/back?payment=pay_1&result="),
    ],
)
def test_the_payer_goes_back_with_a_signed_result(dialect: NativeDialect, keys: Keys, url: str, start: str) -> None:
    departure = dialect.returned(a_result(return_url=url), NOW)

    assert departure is not None
    assert (departure.method, departure.fields) == ("GET", ())
    back = departure.url
    assert back.startswith(start)
    key = jwt.PyJWK(keys.signing_jwks()["keys"][0])
    told = jwt.decode(
        back.rpartition("=")[2],
        key,
        ["EdDSA"],
        options={"verify_exp": False, "verify_iat": False},
        audience="mairie-demo",
    )
    assert told == {
        "iss": ORIGIN,
        "aud": "mairie-demo",
        "sub": "pay_1",
        "status": "paid",
        "reference": "R1",
        "amount": 4250,
        "currency": "EUR",
        "iat": SECONDS,
        "exp": SECONDS + 900,
    }


def test_without_a_return_address_there_is_no_way_back(dialect: NativeDialect) -> None:
    assert dialect.returned(a_result(), NOW) is None


@pytest.mark.parametrize("event", ["succeeded", "refused", "cancelled", "expired", "refunded"])
def test_a_confirmation_says_what_happened_and_when(dialect: NativeDialect, event: str) -> None:
    body = dialect.confirmed(a_result(), Event("evt_2", 2, f"payment.{event}", NOW))

    told = json.loads(body)
    assert (told["type"], told["timestamp"], told["data"]["id"]) == (
        f"payment.{event}",
        "2026-11-21T09:00:00Z",
        "pay_1",
    )
    assert PAGE.encode() not in body


def test_no_confirmation_tells_of_an_unknown_event(dialect: NativeDialect) -> None:
    with pytest.raises(ValueError, match="type"):
        dialect.confirmed(a_result(), Event("evt_2", 2, "payment.opened", NOW))


def test_a_delivery_goes_to_the_address_of_the_request(dialect: NativeDialect) -> None:
    result = a_result(notify_url="https://portal.example/notify/42?a=b")

    call = dialect.delivery(result.recipient, Try("ntc_1", b"{}", 1, NOW))

    assert (call.method, call.url) == ("POST", "")
    assert dialect.target(result.recipient) == "https://portal.example/notify/42?a=b"
    assert (call.path, call.query, call.body) == ("/notify/42", "a=b", b"{}")
    assert call.headers["webhook-id"] == "ntc_1"
    assert call.headers["webhook-timestamp"] == str(SECONDS)
    assert [part.partition(",")[0] for part in call.headers["webhook-signature"].split()] == ["v1", "v1a"]


def test_a_delivery_falls_back_to_the_merchants_address(dialect: NativeDialect) -> None:
    assert dialect.target(a_result().recipient) == "https://portal.example/notify/default"


def test_a_merchant_without_an_address_cannot_be_told(dialect: NativeDialect) -> None:
    with pytest.raises(DeliveryFailed) as caught:
        dialect.delivery(a_result(merchant="jvs-demo").recipient, Try("ntc_1", b"{}", 1, NOW))

    assert not caught.value.again


def test_a_merchant_behind_a_portal_is_told_with_the_portals_keys(dialect: NativeDialect) -> None:
    def signature(merchant: str) -> str:
        result = a_result(merchant=merchant, notify_url="https://portal.example/notify")
        return dialect.delivery(result.recipient, Try("ntc_1", b"{}", 1, NOW)).headers["webhook-signature"]

    assert signature("village") == signature("jvs-demo")
    assert signature("village") != signature("mairie-demo")
