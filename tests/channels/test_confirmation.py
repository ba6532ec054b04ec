"""The confirmation as a receiver sees it, and what each answer of the receiver means."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway.channels import Confirmation
from gateway.channels.confirmation import ConfirmationChannel
from gateway.core.errors import DeliveryFailed
from gateway.dialects import HttpCall
from gateway.parts import Parts
from tests.factories import open_payment, pay


@dataclass
class Portal:
    """A merchant's endpoint; keeps what it is sent, and answers as told."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            portal.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(portal.status)
            for name, value in portal.headers.items():
                self.send_header(name, value)
            self.end_headers()

        # Where a redirect leads, should anybody follow it.
        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    portal.url = f"http://127.0.0.1:{server.server_port}/confirmations"
    yield portal
    server.shutdown()
    server.server_close()


@pytest.fixture
def notice(parts: Parts, portal: Portal) -> Confirmation:
    result = pay(parts, open_payment(parts, notify_url=portal.url))
    event = next(event for event in result.events if event.type == "payment.succeeded")
    with parts.store.reading() as tx:
        rows = tx.notices.of_payment(tx.payments.get(result.id).id)
    body = next(row.body for row in rows if row.channel == "confirmation")
    return Confirmation(event.id, "confirmation", portal.url, body, recipient=result.recipient)


@pytest.fixture
def channel(parts: Parts) -> ConfirmationChannel:
    return ConfirmationChannel(parts.dialects, allow_loopback=True)


def test_the_published_library_verifies_what_is_posted(
    parts: Parts, channel: ConfirmationChannel, notice: Confirmation, portal: Portal
) -> None:
    channel.deliver(notice, datetime.now(UTC))

    ((headers, body),) = portal.asked
    (secret,) = (parts.settings.home / "keys/merchants").glob("mairie-demo-*.whsec")
    told = Webhook(secret.read_text().strip()).verify(body, headers)
    assert told["type"] == "payment.succeeded"
    assert told["data"]["id"] == notice.recipient.payment
    assert told["data"]["amount"] == 9612
    assert headers["webhook-id"] == notice.id
    assert {part.split(",")[0] for part in headers["webhook-signature"].split()} == {"v1", "v1a"}


@pytest.mark.parametrize(
    ("status", "again", "after"),
    [(500, True, None), (404, True, None), (302, True, None), (410, False, None), (429, True, 7), (503, True, 7)],
)
def test_anything_but_a_2xx_is_a_failure(
    channel: ConfirmationChannel, notice: Confirmation, portal: Portal, status: int, *, again: bool, after: int | None
) -> None:
    portal.status, portal.headers = status, {"Retry-After": "7", "Location": portal.url}

    with pytest.raises(DeliveryFailed) as failure:
        channel.deliver(notice, datetime.now(UTC))

    assert (failure.value.again, failure.value.retry_after_seconds) == (again, after)
    assert len(portal.asked) == 1


@pytest.mark.parametrize("header", ["\xb2", "9" * 5000])
def test_what_is_no_number_of_seconds_is_no_wish_to_wait(
    channel: ConfirmationChannel, notice: Confirmation, portal: Portal, header: str
) -> None:
    portal.status, portal.headers = 503, {"Retry-After": header}

    with pytest.raises(DeliveryFailed) as failure:
        channel.deliver(notice, datetime.now(UTC))

    assert (str(failure.value), failure.value.retry_after_seconds) == ("HTTP 503", None)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_never_called(parts: Parts, notice: Confirmation, address: str) -> None:
    channel = ConfirmationChannel(parts.dialects, allow_loopback=False)
    inner = replace(notice, target=f"http://{address}:9/")

    with pytest.raises(DeliveryFailed, match="forbidden address"):
        channel.deliver(inner, datetime.now(UTC))


def test_a_silent_receiver_is_given_up_in_time(
    parts: Parts, notice: Confirmation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.channels.egress._TIMEOUT", (0.5, 0.5))
    channel = ConfirmationChannel(parts.dialects, allow_loopback=True)

    given_up = Event()

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given_up.wait(60)

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Silent)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    local = replace(notice, target=url)

    with pytest.raises(DeliveryFailed, match="Timeout"):
        channel.deliver(local, datetime.now(UTC))

    given_up.set()
    server.shutdown()
    server.server_close()


def test_a_receiver_that_drips_is_cut_off(parts: Parts, notice: Confirmation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.channels.egress._TOTAL_SECONDS", 1.0)
    channel = ConfirmationChannel(parts.dialects, allow_loopback=True)
    cut_off = Event()

    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
                while not cut_off.wait(0.2):
                    self.wfile.write(b"x")

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Dripping)
    Thread(target=server.serve_forever, daemon=True).start()
    local = replace(notice, target=f"http://127.0.0.1:{server.server_port}/", body=b"")
    began = monotonic()

    with pytest.raises(DeliveryFailed):
        channel.deliver(local, datetime.now(UTC))

    assert monotonic() - began < 30
    cut_off.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("headers", [b"Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"Content-Length: 100\r\n"])
@pytest.mark.parametrize(("status", "is_receipt"), [(b"200 OK", True), (b"500 Broken", False)])
def test_a_body_nobody_can_read_changes_nothing_where_the_status_says_all(
    parts: Parts, notice: Confirmation, headers: bytes, status: bytes, *, is_receipt: bool
) -> None:
    class Garbled(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\nOK")

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Garbled)
    Thread(target=server.serve_forever, daemon=True).start()
    local = replace(notice, target=f"http://127.0.0.1:{server.server_port}/")
    channel = ConfirmationChannel(parts.dialects, allow_loopback=True)

    with nullcontext() if is_receipt else pytest.raises(DeliveryFailed, match="500"):
        channel.deliver(local, datetime.now(UTC))

    server.shutdown()
    server.server_close()


def test_an_address_goes_out_spelt_as_it_was_signed(
    parts: Parts, notice: Confirmation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some protocols sign the escapes themselves: nobody on the way may respell them."""
    asked: list[str] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    Thread(target=server.serve_forever, daemon=True).start()
    query = "siret=00000000000001%2D01&montant=25%2E00&validite=31%2f12%2f2099&a=%7e~"
    call = HttpCall("GET", "/n", url=f"http://127.0.0.1:{server.server_port}/n?{query}")
    monkeypatch.setattr(type(parts.dialects["native"]), "delivery", lambda *_: call)

    ConfirmationChannel(parts.dialects, allow_loopback=True).deliver(notice, datetime.now(UTC))
    server.shutdown()
    server.server_close()

    assert asked == [f"/n?{query}"]
