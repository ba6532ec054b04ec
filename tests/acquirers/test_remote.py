"""An ambiguous answer is never guessed: neither approved nor declined, whatever it looks like."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import requests
import responses

from gateway.acquirers import Outcome
from gateway.acquirers.remote import Deadlines, RemoteAcquirer
from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.errors import AcquirerUnreachable, CardRefused, SettingsError
from gateway.core.money import Money
from tests.acquirers.conftest import BankProcess
from tests.support.flood import MOST, flooding

BASE = "http://127.0.0.1:9"
TEN_EUROS = Money(1000)
CARD = CardEntry(CardNumber("4242424242424242"), Expiry(2030, 12), "739")
APPROVED: dict[str, object] = {
    "op_id": "op1",
    "amount_cents": 1000,
    "currency": "EUR",
    "outcome": "approved",
    "response_code": "00",
    "family": "",
    "authorisation_number": "A1B2C3",
}
DECLINED = {**APPROVED, "outcome": "declined", "response_code": "51", "family": "funds", "authorisation_number": ""}
ENROLLED: dict[str, object] = {
    "token": "tok",
    "flow": "challenge",
    "schemes": ["visa"],
    "eci": "05",
    "phone": "",
    "response_code": "",
    "op_id": "op1",
    "amount_cents": 1000,
    "currency": "EUR",
}


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def authorise() -> Outcome:
    bank = RemoteAcquirer(BASE)
    return bank.authorise("tok", TEN_EUROS, op_id="op1", scheme="visa", authentication="proof").outcome


def changed(**changes: object) -> str:
    return json.dumps({**APPROVED, **changes})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in APPROVED.items() if key != name})


@pytest.mark.parametrize(("reply", "outcome"), [(APPROVED, Outcome.APPROVED), (DECLINED, Outcome.DECLINED)])
def test_a_clear_answer_is_taken(wire: responses.RequestsMock, reply: dict[str, object], outcome: Outcome) -> None:
    wire.post(f"{BASE}/authorise", json=reply)

    assert authorise() is outcome


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("approved", id="not json"),
        pytest.param("<html>Bad gateway</html>", id="a page"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="an empty object"),
        pytest.param(json.dumps(APPROVED)[:-9], id="cut short"),
        pytest.param(json.dumps(APPROVED) + "{}", id="two objects"),
        pytest.param(json.dumps(APPROVED)[:-1] + ', "outcome": "approved"}', id="said twice"),
        pytest.param(json.dumps(APPROVED)[:-1] + ', "outcome": "declined"}', id="said twice, differently"),
        pytest.param(changed(op_id="op2"), id="another id"),
        pytest.param(changed(op_id=None), id="null id"),
        pytest.param(without("op_id"), id="no id"),
        pytest.param(changed(amount_cents=999), id="partial approval"),
        pytest.param(changed(amount_cents=100000), id="another amount"),
        pytest.param(changed(amount_cents="1000"), id="amount as text"),
        pytest.param(changed(amount_cents=1000.0), id="amount as a float"),
        pytest.param(changed(amount_cents=True), id="amount as a boolean"),
        pytest.param(without("amount_cents"), id="no amount"),
        pytest.param(changed(currency="CHF"), id="another currency"),
        pytest.param(changed(currency="eur"), id="currency in another case"),
        pytest.param(without("currency"), id="no currency"),
        pytest.param(changed(outcome="maybe"), id="unknown outcome"),
        pytest.param(changed(outcome="APPROVED"), id="outcome in another case"),
        pytest.param(changed(outcome="reversed", response_code=""), id="an outcome of another verb"),
        pytest.param(changed(outcome="not_found", response_code="25"), id="not found is no refusal"),
        pytest.param(without("outcome"), id="no outcome"),
        pytest.param(changed(response_code="51"), id="approved with a refusal's code"),
        pytest.param(changed(response_code="10"), id="approved in part"),
        pytest.param(changed(response_code=""), id="approved without a code"),
        pytest.param(changed(authorisation_number=""), id="approved without a number"),
        pytest.param(changed(authorisation_number="12345"), id="a number cut short"),
        pytest.param(changed(outcome="declined"), id="declined with an approval's code"),
        pytest.param(changed(outcome="declined", response_code="51"), id="declined with a number"),
        pytest.param(changed(outcome="declined", response_code="", authorisation_number=""), id="declined, no code"),
        pytest.param(
            changed(outcome="declined", response_code="5", authorisation_number=""), id="declined, half a code"
        ),
        pytest.param(changed(note="approved"), id="a member nobody knows"),
        pytest.param(changed(family="x" * 20_000), id="too long"),
        pytest.param(changed(family="x" * 33), id="a word longer than is kept"),
        pytest.param(changed(family="fu\0nds"), id="a word that no database keeps"),
        pytest.param("[" * 9_000, id="too deep"),
        pytest.param("\x00" + json.dumps(APPROVED), id="a null byte"),
    ],
)
def test_an_answer_that_is_not_clear_is_not_an_answer(wire: responses.RequestsMock, body: str) -> None:
    wire.post(f"{BASE}/authorise", body=body, content_type="application/json")

    with pytest.raises(AcquirerUnreachable):
        authorise()


@pytest.mark.parametrize(
    "status", [201, 202, 204, 301, 302, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504]
)
def test_only_http_200_is_an_answer(wire: responses.RequestsMock, status: int) -> None:
    wire.post(f"{BASE}/authorise", json=DECLINED, status=status, headers={"Location": f"{BASE}/elsewhere"})
    wire.get(f"{BASE}/elsewhere", json=APPROVED)

    with pytest.raises(AcquirerUnreachable):
        authorise()


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectTimeout(),
        requests.ReadTimeout(),
        requests.ConnectionError("reset"),
        requests.exceptions.SSLError(),
        requests.exceptions.ChunkedEncodingError(),
        requests.exceptions.ContentDecodingError(),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_broken_connection_is_not_an_answer(wire: responses.RequestsMock, error: Exception) -> None:
    wire.post(f"{BASE}/authorise", body=error)

    with pytest.raises(AcquirerUnreachable):
        authorise()


def test_an_operation_id_used_for_something_else_is_a_fault_of_ours(wire: responses.RequestsMock) -> None:
    wire.post(f"{BASE}/authorise", json={"error": "contradiction"}, status=409)

    with pytest.raises(ValueError, match="operation"):
        authorise()


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("reverse", APPROVED),
        ("capture", {**APPROVED, "outcome": "reversed", "response_code": ""}),
        ("refund", {**APPROVED, "outcome": "not_found", "response_code": "25"}),
        ("status", {**APPROVED, "amount_cents": 999}),
        ("status", {**APPROVED, "authorisation_number": ""}),
    ],
)
def test_each_verb_knows_its_own_outcomes(wire: responses.RequestsMock, verb: str, reply: dict[str, object]) -> None:
    wire.post(f"{BASE}/{verb}", json=reply)
    bank = RemoteAcquirer(BASE)
    asked: dict[str, Callable[[], object]] = {
        "reverse": lambda: bank.reverse("op0", TEN_EUROS, op_id="op1"),
        "capture": lambda: bank.capture("op0", TEN_EUROS, op_id="op1"),
        "refund": lambda: bank.refund("op0", TEN_EUROS, op_id="op1"),
        "status": lambda: bank.status("op1", TEN_EUROS),
    }

    with pytest.raises(AcquirerUnreachable):
        asked[verb]()


# What an attempt could not keep is among them: PostgreSQL writes no longer word than its column, and no null sign.
@pytest.mark.parametrize(
    "change",
    [
        {"op_id": "op2"}, {"amount_cents": 1}, {"flow": "maybe"}, {"schemes": []}, {"token": ""}, {"more": 1},
        {"token": "t" * 65}, {"token": "a\0"}, {"schemes": ["c" * 17]}, {"schemes": ["c\0"]}, {"eci": "005"},
        {"phone": "0" * 33}, {"phone": "06\0"}, {"response_code": "123456789"},
    ],
)  # fmt: skip
def test_an_unclear_enrolment_is_not_an_enrolment(wire: responses.RequestsMock, change: dict[str, object]) -> None:
    wire.post(f"{BASE}/enrol", json={**ENROLLED, **change})

    with pytest.raises(AcquirerUnreachable):
        RemoteAcquirer(BASE).enrol(CARD, TEN_EUROS, op_id="op1")


def test_a_refused_card_names_its_field(wire: responses.RequestsMock) -> None:
    refusal = {"error": "card_refused", "field": "cc-number", "rule": "not_a_test_card"}
    wire.post(f"{BASE}/enrol", json=refusal, status=422)

    with pytest.raises(CardRefused, match="cc-number: not_a_test_card"):
        RemoteAcquirer(BASE).enrol(CARD, TEN_EUROS, op_id="op1")


@pytest.mark.parametrize("field", ["pan", "", "email", "csrf_token"])
def test_a_card_refused_for_no_field_of_a_card_is_not_refused(wire: responses.RequestsMock, field: str) -> None:
    """The page could not say where; and a refusal nobody can read is none."""
    wire.post(f"{BASE}/enrol", json={"error": "card_refused", "field": field, "rule": "length"}, status=422)

    with pytest.raises(AcquirerUnreachable):
        RemoteAcquirer(BASE).enrol(CARD, TEN_EUROS, op_id="op1")


@pytest.mark.parametrize("brand", ["v" * 17, "visa\0"])
def test_a_brand_that_cannot_be_kept_is_unknown(wire: responses.RequestsMock, brand: str) -> None:
    wire.post(f"{BASE}/schemes", json={"schemes": [brand]})

    assert RemoteAcquirer(BASE).schemes("497010") == ()


def test_brands_are_unknown_when_the_bank_is_away(wire: responses.RequestsMock) -> None:
    wire.post(f"{BASE}/schemes", body=requests.ConnectionError())

    assert RemoteAcquirer(BASE).schemes("497010") == ()


def test_no_number_is_left_in_an_error_or_a_log(wire: responses.RequestsMock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wire.post(f"{BASE}/enrol", body=requests.ConnectionError("reset"))

    with pytest.raises(AcquirerUnreachable) as caught:
        RemoteAcquirer(BASE).enrol(CARD, TEN_EUROS, op_id="op1")

    assert "4242" not in f"{caught.value!r} {caught.value} {caplog.text}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "address",
    [
        "http://bank.example",
        "http://10.0.0.1:8002",
        "http://0.0.0.0:8002",
        "http://127.0.0.1.example",
        "http://127.0.0.1@bank.example",
        "https://user:password@bank.example",
        "https://bank.example/?to=elsewhere",
        "ftp://127.0.0.1",
        "127.0.0.1:8002",
        "",
    ],
)
def test_a_card_is_never_sent_in_clear_to_another_machine(address: str) -> None:
    with pytest.raises(SettingsError):
        RemoteAcquirer(address)


def test_nothing_in_the_environment_leads_a_card_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")

        with pytest.raises(AcquirerUnreachable):
            RemoteAcquirer(BASE, deadlines=Deadlines(1, 1)).enrol(CARD, TEN_EUROS, op_id="op1")

        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize("address", ["https://bank.example/v1", "http://127.0.0.1:8002", "http://[::1]:8002/"])
def test_https_and_this_machine_are_good_addresses(address: str) -> None:
    assert RemoteAcquirer(address).name == "remote"


# How an answer begins, and what is said again and again of it.
_OK = b"HTTP/1.1 200 OK\r\n"
TRICKLES = {
    "body": (_OK + b"Content-Length: 9000\r\n\r\n", b" "),
    "header": (_OK + b"X-Mark: ", b"a"),
    "not yet": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "size of a chunk": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailer": (_OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n", b"X: y\r\n"),
    "packed nothing": (_OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08" + bytes(6) + b"\xff", b"\0\0\0\xff\xff"),
}


@pytest.fixture(params=TRICKLES.values(), ids=list(TRICKLES))
def trickle(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that says a little each tenth of a second, for a minute."""
    over, (begun, piece) = threading.Event(), request.param
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):
                peer.recv(65536)
                peer.sendall(begun)
                for _ in range(600):
                    if over.wait(0.1):
                        return
                    peer.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        thread.join()


def test_an_answer_that_trickles_is_given_up(trickle: str) -> None:
    bank, start = RemoteAcquirer(trickle, deadlines=Deadlines(answer_seconds=0.5)), time.monotonic()

    with pytest.raises(AcquirerUnreachable):
        bank.status("op1", TEN_EUROS)

    assert time.monotonic() - start < 30


def test_a_chunk_of_less_than_nothing_is_not_taken_for_all_that_comes() -> None:
    endless = flooding(_OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b" " * 60_000)
    with endless as flood, pytest.raises(AcquirerUnreachable):
        RemoteAcquirer(flood.url).status("op1", TEN_EUROS)

    assert flood.sent < MOST


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        ("/status", "application/json", b"{}", 400),
        ("/status", "application/json", b"x" * 17_000, 400),
        ("/status", "text/plain", b'{"op_id":"a","amount_cents":1,"currency":"EUR"}', 415),
        ("/status", "application/json", b'{"op_id":"a","amount_cents":0,"currency":"EUR"}', 400),
        ("/status", "application/json", b'{"op_id":"a","amount_cents":1,"currency":"XXX"}', 400),
        ("/nothing", "application/json", b"{}", 404),
    ],
)
def test_the_bank_refuses_what_is_no_message(
    bank_process: BankProcess, path: str, content_type: str, body: bytes, status: int
) -> None:
    url = bank_process.start()

    reply = requests.post(f"{url}{path}", data=body, headers={"Content-Type": content_type}, timeout=60)

    assert reply.status_code == status
