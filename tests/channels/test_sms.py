"""One-time codes by SMS: the text, and both drivers."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.channels import Letter
from gateway.channels.code_text import compose_code_sms
from gateway.channels.inbox import Inbox
from gateway.channels.sms import Encoding, HttpSms, InboxSms, Provider
from gateway.core.errors import DeliveryFailed
from gateway.core.money import Money
from gateway.core.payment import Event, Payee, PaymentRequest, PaymentResult
from gateway.core.states import Status
from tests.support.answering import Quiet, answering

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
URL = "https://sms.example/send"
PROVIDER = Provider(URL, {"to": "{to}", "message": "{text}", "reference": "{id}", "from": "Guichet"}, token="t0ken")
TEXT = "123456 : votre code {id}, à {to}.\n\n@guichet.example #123456"

# 3GPP TS 23.038, basic table: what one 160-character message may hold.
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


def notice(target: str = "+33612345678") -> Letter:
    request = PaymentRequest("m", "CDE-1", Money(3560), (), "Cantine")
    result = PaymentResult("pay_1", "1", request, Payee("m", "Mairie"), Status.WORKING, NOON, NOON)
    return Letter("ntc_1", "sms", target, TEXT.encode(), result=result, event=Event("evt_1", 1, "challenge.sent", NOON))


def test_the_text_names_amount_and_payee_and_ends_with_the_origin() -> None:
    text = compose_code_sms("123456", Money(123_456), "Mairie de Sistec", "guichet.example", "fr")

    assert text == (
        "123456 : votre code pour payer 1234,56 EUR à Mairie de Sistec. Ne le donnez à personne.\n\n"
        "@guichet.example #123456"
    )


def test_the_english_text() -> None:
    text = compose_code_sms("123456", Money(3560), "Sistec town hall", "guichet.example:8443", "en")

    assert text == (
        "123456 is your code to pay 35.60 EUR to Sistec town hall. Give it to nobody.\n\n@guichet.example #123456"
    )


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("es", "123456 es su clave para pagar 35,60 EUR a Mairie. No la comparta con nadie."),
        ("de", "123456 ist Ihr Code, um 35,60 EUR an Mairie zu zahlen. Geben Sie ihn niemandem."),
        ("nl", "123456 is uw code om 35,60 EUR te betalen aan Mairie. Geef hem aan niemand."),
        ("pt", "Use 123456 para pagar 35,60 EUR a Mairie. Nunca revele isto a ninguém."),
        ("it", "123456 è il codice per pagare 35,60 EUR a Mairie. Non lo comunichi a nessuno."),
        ("ar", "123456 رمزك لدفع 35,60 EUR إلى Mairie. لا تعطه لأحد."),
        ("pt-BR", "Use 123456 para pagar 35,60 EUR a Mairie. Nunca revele isto a ninguém."),
        ("ja", "123456 is your code to pay 35.60 EUR to Mairie. Give it to nobody."),
    ],
)
def test_each_language_is_written_as_its_readers_do(language: str, words: str) -> None:
    text = compose_code_sms("123456", Money(3560), "Mairie", "g.example", language)

    assert text == f"{words}\n\n@g.example #123456"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
@example("Régie périscolaire " * 9)
@example("😀" * 99)
def test_an_arabic_text_is_two_messages_of_ucs2_at_most(payee: str) -> None:
    text = compose_code_sms("000042", Money(99_999_999), payee, "paiement.guichet.example", "ar")

    assert len(text.encode("utf-16-le")) // 2 <= 2 * 67
    assert "999999,99 EUR" in text
    assert text.splitlines()[1:] == ["", "@paiement.guichet.example #000042"]


def test_letters_outside_the_alphabet_are_respelt() -> None:
    text = compose_code_sms(
        "123456", Money(1500, "XPF"), "Régie « Forêt » – l’Œuvre 😀 Łódź {x}\r\n", "g.example", "fr"
    )

    assert text.startswith('123456 : votre code pour payer 1500 XPF à Régie " Foret " - l\'OEuvre ? ?odz (x). Ne')
    assert set(text) <= GSM


def test_a_long_payee_is_shortened_to_one_message() -> None:
    text = compose_code_sms("123456", Money(99_999_999), "Régie périscolaire " * 9, "paiement.guichet.example", "fr")

    assert 157 <= len(text) <= 160
    assert "à Régie périscolaire" in text
    assert "..." in text
    assert text.endswith("\n\n@paiement.guichet.example #123456")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["fr", "en", "es", "de", "nl", "pt", "it", "ja"]))
def test_any_payee_gives_one_message_with_the_code_last(payee: str, language: str) -> None:
    text = compose_code_sms("000042", Money(1), payee, "guichet.example", language)

    assert set(text) <= GSM
    assert len(text) <= 160
    assert text.splitlines()[-1] == "@guichet.example #000042"
    assert len(text.splitlines()) == 3


def test_the_inbox_driver_keeps_the_message(tmp_path: Path) -> None:
    box = Inbox(tmp_path)

    InboxSms(box).deliver(notice(), NOON)

    (found,) = box.messages(kind="sms", payment="pay_1", to="+33612345678")
    assert (found.code, found.at, found.text) == ("123456", NOON, TEXT)


class Sent(NamedTuple):
    """A request as the provider read it; ``line`` tells connections apart."""

    target: str
    headers: Message
    body: bytes
    line: int


@dataclass
class Counter:
    """A provider's counter: it answers as told, and notes what came."""

    port: int = 0
    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b"{}"
    came: list[Sent] = field(default_factory=list)

    @property
    def provider(self) -> Provider:
        return replace(PROVIDER, url=f"http://127.0.0.1:{self.port}/send?v=2&from=%C3%A9")


@pytest.fixture
def counter() -> Iterator[Counter]:
    counter = Counter()

    class Desk(Quiet):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            counter.came.append(Sent(self.path, self.headers, body, self.client_address[1]))
            self.send_response(counter.status)
            for name, value in {"Content-Length": str(len(counter.answer)), **counter.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(counter.answer)

    with answering(Desk) as place:
        counter.port = int(place.rpartition(":")[2])
        yield counter


def test_the_http_driver_fills_the_providers_fields(counter: Counter) -> None:
    HttpSms(counter.provider).deliver(notice(), NOON)

    (sent,) = counter.came
    assert sent.target == "/send?v=2&from=%C3%A9"
    assert sent.headers["Host"] == f"127.0.0.1:{counter.port}"
    assert sent.headers["Authorization"] == "Bearer t0ken"
    assert sent.headers["Content-Type"] == "application/json"
    assert json.loads(sent.body) == {
        "to": "+33612345678",
        "message": TEXT,
        "reference": "ntc_1",
        "from": "Guichet",
    }


def test_the_http_driver_can_send_a_form(counter: Counter) -> None:
    HttpSms(replace(counter.provider, encoding=Encoding.FORM, token="")).deliver(notice(), NOON)

    (sent,) = counter.came
    assert "Authorization" not in sent.headers
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(sent.body.decode()) == {
        "to": ["+33612345678"], "message": [TEXT], "reference": ["ntc_1"], "from": ["Guichet"],
    }  # fmt: skip


def test_an_account_in_the_address_is_how_it_logs_in(counter: Counter) -> None:
    url = f"http://AC1:s%40cret@127.0.0.1:{counter.port}"

    HttpSms(replace(PROVIDER, url=url)).deliver(notice(), NOON)

    (sent,) = counter.came
    assert (sent.target, sent.headers["Host"]) == ("/", f"127.0.0.1:{counter.port}")
    assert sent.headers["Authorization"] == "Basic QUMxOnNAY3JldA=="


@pytest.mark.parametrize("answer", [b"", b"{}", b"a" * 20_000])
def test_codes_share_a_connection_unless_the_answer_is_long(counter: Counter, answer: bytes) -> None:
    counter.answer = answer
    sms = HttpSms(counter.provider)

    for _ in range(3):
        sms.deliver(notice(), NOON)

    assert len({sent.line for sent in counter.came}) == (3 if len(answer) > 16 * 1024 else 1)


def test_a_provider_that_moves_is_followed_at_once(counter: Counter) -> None:
    found = iter((["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2"]))
    sms = HttpSms(counter.provider, find=lambda _host, _port: next(found))

    for _ in range(3):
        sms.deliver(notice(), NOON)

    with pytest.raises(DeliveryFailed):
        # Nobody listens there, and the kept connection leads elsewhere.
        sms.deliver(notice(), NOON)
    assert len({sent.line for sent in counter.came}) == 1


@pytest.mark.parametrize(
    ("status", "again"),
    [(400, False), (404, False), (422, False), (302, True), (401, True), (429, True), (500, True), (503, True)],
)
def test_other_answers_are_failures(counter: Counter, status: int, again: bool) -> None:
    counter.status, counter.headers = status, {"Location": f"http://127.0.0.1:{counter.port}/elsewhere"}

    with pytest.raises(DeliveryFailed) as failed:
        HttpSms(counter.provider).deliver(notice(), NOON)

    assert failed.value.again is again
    assert len(counter.came) == 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("999999", 3600), ("Wed, 21 Oct 2026", None), ("-1", None), ("9" * 5000, None)]
)
def test_the_providers_wish_to_wait_is_passed_on(counter: Counter, header: str, seconds: int | None) -> None:
    counter.status, counter.headers = 429, {"Retry-After": header}

    with pytest.raises(DeliveryFailed) as failed:
        HttpSms(counter.provider).deliver(notice(), NOON)

    assert failed.value.retry_after_seconds == seconds


def test_a_provider_that_cannot_be_reached_is_tried_again() -> None:
    with pytest.raises(DeliveryFailed) as failed:
        HttpSms(replace(PROVIDER, url="http://127.0.0.1:1/")).deliver(notice(), NOON)

    assert failed.value.again
    assert str(failed.value) == "sms provider ConnectionError"


def test_a_name_nobody_knows_is_tried_again() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "+33612345678")

    with pytest.raises(DeliveryFailed) as failed:
        HttpSms(PROVIDER, find=unknown).deliver(notice(), NOON)

    assert failed.value.again
    assert str(failed.value) == "sms provider name does not resolve"


@pytest.mark.parametrize("url", ["sms.example/send", "ftp://sms.example:21/", "https:///send", "http://sms.example:x/"])
def test_an_address_that_is_none_is_not_tried_again(url: str) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        HttpSms(replace(PROVIDER, url=url)).deliver(notice(), NOON)

    assert not failed.value.again


class Dripping(http.server.BaseHTTPRequestHandler):
    """Answers one header line at a time, for ever as far as the client can tell."""

    def do_POST(self) -> None:
        pause = threading.Event()
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(600):
            try:
                self.wfile.write(b"X-%d: a\r\n" % number)
            except OSError:
                return
            pause.wait(0.1)


def test_a_provider_that_drips_is_given_up_in_time() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        provider = replace(PROVIDER, url=f"http://127.0.0.1:{server.server_address[1]}/", total_seconds=0.4)
        began = time.monotonic()

        with pytest.raises(DeliveryFailed) as failed:
            HttpSms(provider).deliver(notice(), NOON)

        assert failed.value.again
        assert time.monotonic() - began < 30
        server.shutdown()


def test_the_token_is_not_shown() -> None:
    assert "t0ken" not in repr(PROVIDER)
