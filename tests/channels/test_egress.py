"""The way out: whatever a merchant's address says, nothing but a server out there is ever connected to."""

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.channels.egress import WayOut
from gateway.core.errors import DeliveryFailed
from gateway.core.ranges import is_public
from tests.support.figures import record
from tests.support.flood import MOST, flooding

PUBLIC = ["8.8.8.8", "1.1.1.1", "192.0.1.1", "100.63.255.255", "172.15.0.1", "2a00:1450::1", "64:ff9b::808:808"]
SPECIAL = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254"),  # noqa: S104
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1"),
    *("192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::808:808", "100::1", "100:0:0:1::1"),
    *("2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::"),
    *("2002:808:808::1", "2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd12:3456::1"),
    *("fe80::1", "fe80::1%lo", "2a00::1%lo", "fec0::1", "ff02::1", "ff0e::1", "", "nothing", "127.1", "0x7f.0.0.1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_somebodys_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", SPECIAL)
def test_a_special_address_is_not(address: str) -> None:
    assert not is_public(address)


@dataclass
class Listener:
    """Counts every connection to this machine's own addresses, on one port, and closes it."""

    port: int = 0
    connections: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def open(self) -> None:
        """Listen on IPv4 and, where the machine has it, IPv6."""
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):  # noqa: S104 - to catch all
            with suppress(OSError):
                listening = socket.create_server((address, self.port), family=family)
                self.port = listening.getsockname()[1]
                self._sockets.append(listening)
                threading.Thread(target=self._count, args=(listening,), daemon=True).start()

    def _count(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        for listening in self._sockets:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    listener.open()
    yield listener
    listener.close()


def hostile_urls(port: int) -> list[str]:
    """Spell this machine, its network and what parsers disagree on, in every way that has been seen."""
    hosts = [
        *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001"),
        *("0", "0.0.0.0", "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]"),  # noqa: S104
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("[fe80::1%25lo]", "[::1%25lo]", "127.0.0.1%00.example.org", "127。0。0。1", "①②⑦.⓪.⓪.①", "ⓛocalhost"),
        *("10.0.0.1", "192.168.0.1", "169.254.169.254", "metadata.google.internal", "100.64.0.1", "198.18.0.1"),
    ]  # fmt: skip
    forms = [
        "http://{host}:{port}/", "https://{host}:{port}/", "http://{host}:{port}/?a=https://example.org",
        "http://example.org@{host}:{port}/", "http://{host}:{port}#@example.org/", "http://{host}:{port}\\@example.org/",
    ]  # fmt: skip
    made = [form.format(host=host, port=port) for host, form in product(hosts, forms)]
    return [
        *made,
        *(f"http:127.0.0.1:{port}/", f"http:/127.0.0.1:{port}/", f"http:///127.0.0.1:{port}/", f"//127.0.0.1:{port}/"),
        *(f"ftp://127.0.0.1:{port}/", f"file://127.0.0.1:{port}/", f"gopher://127.0.0.1:{port}/_GET", "file:///etc/passwd"),
        *(f" http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/\r\nX: y", f"http://example.org\t@127.0.0.1:{port}/"),
        *(f"http://example.org:80@127.0.0.1:{port}/", f"http://example.org%40127.0.0.1:{port}/", "http://", "", "http://:80/"),
        *(f"http://[::1]@127.0.0.1:{port}/", f"http://127.0.0.1:{port}:80/", f"HTTP://127.0.0.1:{port}/", "http://[/"),
        *(f"http://127.0.0.1:{port}/a?b\r\nHost: example.org", f"http://localhost:{port}/a?b c", f"http://localhost:{port}/?\x00"),
    ]  # fmt: skip


def call(way_out: WayOut, url: str) -> str:
    """Post to an address; gives why that failed."""
    try:
        with way_out.call("POST", url, b"told", {}) as reply:
            return f"answered {reply.status_code}"
    except DeliveryFailed as failure:
        return str(failure)


def test_no_spelling_of_an_address_reaches_this_machine(listener: Listener) -> None:
    urls = hostile_urls(listener.port)
    way_out = WayOut(allow_loopback=False)

    answers = [call(way_out, url) for url in urls]

    assert len(urls) >= 200
    assert not [answer for answer in answers if answer.startswith("answered")]
    assert listener.connections == 0
    record("promise 21", urls=len(urls), connections=listener.connections)


def test_the_listener_would_have_seen_it(listener: Listener) -> None:
    call(WayOut(allow_loopback=True), f"http://127.0.0.1:{listener.port}/")

    assert listener.connections == 1


@pytest.mark.parametrize("bad", SPECIAL[:-4])
@pytest.mark.parametrize("first", [True, False])
def test_one_bad_address_among_good_ones_is_enough(listener: Listener, bad: str, *, first: bool) -> None:
    found = [bad, "8.8.8.8"] if first else ["8.8.8.8", "2a00:1450::1", bad]
    way_out = WayOut(allow_loopback=False, find=lambda *_: found)

    assert "forbidden" in call(way_out, f"http://portal.example.org:{listener.port}/")
    assert listener.connections == 0


def test_an_answer_that_changes_in_between_changes_nothing(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look-up gives a public address, each further one this machine: there must be no further one."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: object, **named: object) -> object:
        asked.append(host)
        if host != "portal.example.org":
            return real(host, port, *args, **named)  # type: ignore[arg-type]
        address = "192.0.1.1" if asked.count(host) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr("gateway.channels.egress._TIMEOUT", (0.2, 0.2))

    answer = call(WayOut(allow_loopback=False), f"http://portal.example.org:{listener.port}/")

    assert answer.startswith(("ConnectTimeout", "ConnectionError"))
    assert asked.count("portal.example.org") == 1
    assert listener.connections == 0


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serve one answer on this machine; gives the port."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None], context: ssl.SSLContext | None = None) -> int:
        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with suppress(OSError):
                    answer(self)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        server.daemon_threads = True
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_is_told_anything_when_time_is_up(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr("gateway.channels.egress._TOTAL_SECONDS", 0.2)

    def slow(*_: object) -> list[str]:
        threading.Event().wait(0.5)
        return ["127.0.0.1"]

    answer = call(WayOut(allow_loopback=True, find=slow), f"{scheme}://portal.example.org:{listener.port}/")

    # One that was made would be counted by now.
    threading.Event().wait(0.3)
    assert answer.startswith("Connect")
    assert listener.connections == 0


def test_an_interim_answer_is_not_taken_for_the_answer(serve: Callable[..., int]) -> None:
    """Nor the answer that follows it for that to the next call, which takes the same connection."""
    final = [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.close_connection = False
        if len(final) == 2:
            handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            threading.Event().wait(0.3)
        handler.wfile.write(final.pop(0))

    way_out, url, answered = WayOut(allow_loopback=True), f"http://127.0.0.1:{serve(answer)}/", []
    for _ in range(2):
        with way_out.call("POST", url, b"told", {}) as reply:
            reply.read(1)
            answered.append(reply.status_code)

    assert answered == [204, 500]


def test_no_more_is_unpacked_than_is_asked_for(serve: Callable[..., int]) -> None:
    packed = gzip.compress(bytes(1_000_000))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(packed)

    with WayOut(allow_loopback=True).call("POST", f"http://127.0.0.1:{serve(answer)}/", b"", {}) as reply:
        assert reply.read(len(packed)) == bytes(len(packed))


def test_a_redirect_is_neither_followed_nor_read(listener: Listener, serve: Callable[..., int]) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", f"http://127.0.0.1:{listener.port}/")
        handler.end_headers()
        # Whoever reads this goes on until its time is up.
        with suppress(OSError):
            while not over.wait(0.05):
                handler.wfile.write(b"x" * 65536)

    over = threading.Event()
    port = serve(redirect)

    answer = call(WayOut(allow_loopback=True), f"http://127.0.0.1:{port}/")

    over.set()
    assert answer == "answered 307"
    assert listener.connections == 0


def test_nothing_in_the_environment_leads_elsewhere(
    listener: Listener, serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        seen.extend(f"{name}: {value}" for name, value in handler.headers.items())
        handler.send_response(204)
        handler.send_header("Set-Cookie", "known=1")
        handler.end_headers()

    port, way_out = serve(note), WayOut(allow_loopback=True)
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")

    assert [call(way_out, f"http://127.0.0.1:{port}/") for _ in range(2)] == ["answered 204"] * 2
    assert listener.connections == 0
    assert not [line for line in seen if line.lower().startswith(("authorization", "cookie", "proxy"))]


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs one certificate for a name.

    :ivar trusted: the file that clients trust
    """

    trusted: Path
    context: ssl.SSLContext


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal.example.org")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("portal.example.org")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    trusted, private = tmp_path / "trusted.pem", tmp_path / "private.pem"
    trusted.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return Authority(trusted, context)


def test_tls_checks_the_name_at_the_address_that_was_looked_up(authority: Authority, serve: Callable[..., int]) -> None:
    asked_for: list[str] = []
    authority.context.sni_callback = lambda _socket, name, _context: asked_for.append(name or "")
    port = serve(lambda handler: handler.send_response(204) or handler.end_headers(), authority.context)
    trusted = str(authority.trusted)
    way_out = WayOut(allow_loopback=True, find=lambda *_: ["127.0.0.1"], trusted=trusted)

    assert call(way_out, f"https://portal.example.org:{port}/") == "answered 204"
    assert call(way_out, f"https://another.example.org:{port}/") == "SSLError"
    assert asked_for == ["portal.example.org", "another.example.org"]


def test_a_kept_connection_is_for_the_name_it_was_made_for(authority: Authority, serve: Callable[..., int]) -> None:
    """Two names may lead to one address, as they do behind any proxy: TLS has checked one of them."""

    def keep(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.close_connection = False
        handler.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    port = serve(keep, authority.context)
    way_out = WayOut(allow_loopback=True, find=lambda *_: ["127.0.0.1"], trusted=str(authority.trusted))

    with way_out.call("POST", f"https://portal.example.org:{port}/", b"told", {}) as reply:
        reply.read(1)

    assert call(way_out, f"https://another.example.org:{port}/") == "SSLError"


def test_a_stranger_with_a_certificate_of_nobodys_is_told_nothing(
    authority: Authority, serve: Callable[..., int]
) -> None:
    port = serve(lambda handler: handler.send_response(204), authority.context)

    answer = call(WayOut(allow_loopback=True, find=lambda *_: ["127.0.0.1"]), f"https://portal.example.org:{port}/")

    assert answer == "SSLError"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_drips_before_it_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Also while TLS is still being agreed upon: each byte comes in time, the whole never ends."""
    monkeypatch.setattr("gateway.channels.egress._TOTAL_SECONDS", 1.0)
    stop = threading.Event()
    # The beginning of a TLS record that announces 16 KiB of handshake.
    opening = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" if scheme == "https" else b"HTTP/1.1 200 OK\r\nX-Drip: "
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(opening)
            while not stop.wait(0.1):
                connection.sendall(b"x")

    threading.Thread(target=drip, daemon=True).start()
    began = monotonic()

    answer = call(WayOut(allow_loopback=True), f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/")

    stop.set()
    listening.close()
    assert not answer.startswith("answered")
    # A second in all, or the three that TLS has to be agreed upon.
    assert monotonic() - began < 30


# How an answer begins, and what follows for as long as anybody reads.
_OK = b"HTTP/1.1 200 OK\r\n"
_LONG = b"a" * 60_000
FLOODS = {
    "a chunk of less than nothing": (_OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", _LONG),
    "trailers": (_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + _LONG + b"\r\n"),
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: " + _LONG + b"\r\n\r\n"),
}


@pytest.mark.parametrize(("begun", "piece"), FLOODS.values(), ids=list(FLOODS))
def test_a_flood_for_an_answer_is_not_taken_in(begun: bytes, piece: bytes) -> None:
    """Sixteen kibibytes are asked for."""
    with (
        flooding(begun, piece) as flood,
        suppress(DeliveryFailed, OSError, ValueError),
        WayOut(allow_loopback=True).call("POST", f"{flood.url}/", b"", {}) as reply,
    ):
        reply.read(16 * 1024)

    assert flood.sent < MOST
