"""HTTP/1.1 as the way out needs it: one request at a time on a kept connection, each wait within what is left of its time.

The standard library reads the answers. A client library above it would cost more than all the rest of a delivery, and
bring redirects, proxies and cookies that ``gateway.channels.egress`` must not have. No thread watches a call: each wait of
its socket is given no more than what is left, so that a receiver that drips cannot stretch it.
"""

import http.client
import io
import re
import select
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from certifi import where as usual_authorities

from gateway import __version__
from gateway.patience import Patience, Timed

# A connection nobody used for so long is closed: receivers and firewalls forget theirs after a minute or so.
_IDLE_SECONDS = 30.0
# Kept at once: a few for each portal that is called often.
_KEPT_MAX = 64
# What may stand in a line of the head (RFC 9110 section 5.5): nothing that ends it.
_LINE = re.compile(r"[\t -~]*", re.ASCII)
# Thirty years at most: Python refuses to read a number of thousands of digits, and headers hold them.
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
# Both packings a server may choose of those asked for (RFC 9110 section 8.4.1); zlib tells them by their first bytes.
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_EITHER_PACKING = 32 + zlib.MAX_WBITS

_USUAL = {
    "user-agent": ("User-Agent", f"Guichet/{__version__}"),
    "accept-encoding": ("Accept-Encoding", "gzip, deflate"),
    "accept": ("Accept", "*/*"),
    "connection": ("Connection", "keep-alive"),
}


class Unspoken(Exception):
    """A call came to nothing; its text is the one word that says how."""


@dataclass(frozen=True, slots=True)
class Called:
    """Who is called.

    :ivar host: the name that TLS checks
    :ivar addresses: where the name leads; one of them is connected to, and none that is not among them
    """

    is_secure: bool
    host: str
    port: int
    addresses: tuple[str, ...] = field(compare=False)


class Reply:
    """An answer, of which as much is read as the caller asks for."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer, self.status_code, self.headers = answer, answer.status, answer.headers

    @property
    def retry_after_seconds(self) -> int | None:
        """How long it asks to wait (RFC 9110 section 10.2.3); ``None`` when it names no number of seconds that can be one."""
        told = self.headers.get("Retry-After", "")
        return int(told) if _SECONDS.fullmatch(told) else None

    def read(self, limit: int) -> bytes:
        """Read the body's beginning, unpacked. Raises :class:`OSError` or :class:`ValueError` where nobody can."""
        try:
            body = self._answer.read(limit)
        except http.client.HTTPException as error:
            raise ValueError("a broken body") from error
        if self.headers.get("Content-Encoding", "").strip().lower() not in _PACKED or not body:
            return body
        try:
            return zlib.decompressobj(_EITHER_PACKING).decompress(body, limit)
        except zlib.error as error:
            raise ValueError("a badly packed body") from error


class _Answer(http.client.HTTPResponse):
    """Skips every interim answer (RFC 9110 section 15.2): the library skips 100, and takes what follows for the next call's."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]  # not in the library's stubs
        while 100 < status < 200:
            http.client.parse_headers(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, status, reason


class Line:
    """One connection, for one call after the other."""

    def __init__(self, called: Called, address: str, stream: socket.socket) -> None:
        self.called, self.address, self.stream = called, address, stream
        self.idle_since = 0.0
        self._patience = Patience(0, 0, 0)
        self._answer: http.client.HTTPResponse | None = None

    def begin(self, patience: Patience) -> None:
        """Give the next call its time."""
        self._patience, self._answer = patience, None

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request, in one piece, and read the head of its answer. Raises :class:`Unspoken`."""
        try:
            self._send(_request(method, target, headers, body))
            # HTTPResponse asks its socket for nothing but a file to read.
            self._answer = _Answer(self, method=method)  # type: ignore[arg-type]
            self._answer.begin()
        except TimeoutError as error:
            raise Unspoken("ReadTimeout") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unspoken("ConnectionError") from error
        return Reply(self._answer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Give what the answer is read from."""
        return io.BufferedReader(Timed(self.stream, self._patience))

    def _send(self, message: bytes) -> None:
        rest = memoryview(message)
        while rest:
            self.stream.settimeout(self._patience.left(self._patience.read_seconds))
            rest = rest[self.stream.send(rest) :]

    @property
    def may_be_kept(self) -> bool:
        """Whether the answer was read to its end and the receiver goes on listening."""
        return self._answer is not None and self._answer.isclosed() and not self._answer.will_close

    @property
    def is_dropped(self) -> bool:
        """Whether the receiver has hung up meanwhile, or says what nobody asked."""
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self.stream.close()


class Lines:
    """The connections of one process, kept from call to call.

    :param trusted: the file of certificate authorities, where it is not the usual one
    """

    def __init__(self, trusted: str = "") -> None:
        self._trusted = trusted
        self._lock = threading.Lock()
        # Those nobody uses just now, the one that has waited longest first.
        self._idle: deque[Line] = deque()
        weakref.finalize(self, _hang_up, self._idle)

    @staticmethod
    def patience(connect_seconds: float, read_seconds: float, total_seconds: float) -> Patience:
        """Begin the time of a call."""
        return Patience(connect_seconds, read_seconds, time.monotonic() + total_seconds)

    @contextmanager
    def speaking(self, called: Called, patience: Patience) -> Iterator[Line]:
        """Lend a connection for one call. Raises :class:`Unspoken` when none can be made."""
        line = self._kept(called) or self._made(called, patience)
        line.begin(patience)
        is_kept = False
        try:
            yield line
            is_kept = line.may_be_kept
        finally:
            # What was not read to its end is cut off with its connection.
            if is_kept:
                self._keep(line)
            else:
                line.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading the authorities takes tens of milliseconds: once for all connections.
        context = ssl.create_default_context(cafile=self._trusted or usual_authorities())
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _kept(self, called: Called) -> Line | None:
        """Take the connection to ``called`` that was used last, if there is one to an address that was just looked up."""
        while True:
            with self._lock:
                fits = (one for one in reversed(self._idle) if one.called == called and one.address in called.addresses)
                if (line := next(fits, None)) is None:
                    return None
                self._idle.remove(line)
            if not line.is_dropped:
                return line
            line.close()

    def _keep(self, line: Line) -> None:
        line.idle_since = now = time.monotonic()
        over: list[Line] = []
        with self._lock:
            self._idle.append(line)
            while len(self._idle) > _KEPT_MAX or now - self._idle[0].idle_since > _IDLE_SECONDS:
                over.append(self._idle.popleft())
        for one in over:
            one.close()

    def _made(self, called: Called, patience: Patience) -> Line:
        """Connect to one of the addresses, as long as there is time; TLS is agreed upon within the time to connect."""
        failure: OSError = OSError("no address")
        for address in called.addresses:
            try:
                stream = socket.create_connection((address, called.port), patience.left(patience.connect_seconds))
            except OSError as error:
                failure = error
                continue
            return Line(called, address, self._secured(stream, called, patience))
        raise Unspoken("ConnectTimeout" if isinstance(failure, TimeoutError) else "ConnectionError") from failure

    def _secured(self, stream: socket.socket, called: Called, patience: Patience) -> socket.socket:
        try:
            # One request is one piece: it need not wait for the receipt of the one before (Nagle).
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if called.is_secure:
                # Python's ``ssl`` reads a timeout as that of the whole handshake.
                stream.settimeout(patience.left(patience.connect_seconds))
                return self._tls.wrap_socket(stream, server_hostname=called.host)
        except OSError as error:
            stream.close()
            is_slow = isinstance(error, TimeoutError)
            word = "SSLError" if isinstance(error, ssl.SSLError) else "ConnectionError"
            raise Unspoken("ConnectTimeout" if is_slow else word) from error
        return stream


def _hang_up(lines: deque[Line]) -> None:
    while lines:
        lines.pop().close()


def _request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write one request. Raises :class:`ValueError` where a line would not be one."""
    given = {name.lower(): (name, value) for name, value in headers.items()}
    named = {"host": given.pop("host"), **_USUAL, **given}
    if body or method == "POST":
        named["content-length"] = ("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.values())]
    if not all(map(_LINE.fullmatch, lines)) or " " in target:
        raise ValueError("a header that is none")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
