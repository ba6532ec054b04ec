"""The least HTTP/1.1 that a payer needs, on a plain socket: what loads the server must cost little.

Bodies are told by ``Content-Length``; nothing else is understood, because nothing of ours speaks otherwise.
"""

import re
import socket
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TIMEOUT_SECONDS = 30.0


class Closed(ConnectionError):
    """The other side closed the connection instead of speaking."""


def read_message(stream: socket.socket) -> tuple[bytes, bytes]:
    """Read one message; gives its head and its body. Raises :class:`Closed`."""
    seen = b""
    while (end := seen.find(b"\r\n\r\n")) < 0:
        if not (more := stream.recv(65536)):
            raise Closed("closed")
        seen += more
    head, body = seen[:end], seen[end + 4 :]
    said = _LENGTH.search(head)
    missing = (int(said[1]) if said else 0) - len(body)
    while missing > 0:
        if not (more := stream.recv(65536)):
            raise Closed("closed in a body")
        body, missing = body + more, missing - len(more)
    return head, body


@dataclass
class Browser:
    """One payer's connection and cookies; each comes from an address of its own, as payers do.

    :param source: an address of this machine (Linux answers to all of 127.0.0.0/8)
    :param headers: what else each request says
    :ivar cookies: by name; whose payments take turns on one connection puts each one's here
    """

    host: str
    port: int
    source: str = "127.0.0.1"
    headers: tuple[str, ...] = ()
    cookies: dict[bytes, bytes] = field(default_factory=dict)
    _stream: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes, bytes]:
        """Send one request; gives the status, the head and the body of its answer."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Sec-Fetch-Mode: navigate"]
        lines += ["Accept: text/html", "Accept-Language: fr", *self.headers]
        if self.cookies:
            pairs = (name + b"=" + value for name, value in self.cookies.items())
            lines.append("Cookie: " + b"; ".join(pairs).decode())
        if kind:
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        head, answer = self._exchange("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        for pair in re.findall(rb"\r\nset-cookie: *([^;\r]*)", head, re.IGNORECASE):
            name, _, value = pair.partition(b"=")
            self.cookies[name] = value
        if b"\r\nConnection: close" in head:
            self.close()
        return int(head[9:12]), head, answer

    def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Speak; a server that let go of an idle connection just then (a web process was replaced) is asked once more."""
        was_idle = self._stream is not None
        try:
            return self._send(request)
        except ConnectionError:
            self.close()
            if not was_idle:
                raise
            return self._send(request)

    def _send(self, request: bytes) -> tuple[bytes, bytes]:
        if self._stream is None:
            address = (self.host, self.port)
            self._stream = socket.create_connection(address, _TIMEOUT_SECONDS, (self.source, 0))
            self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream.sendall(request)
        return read_message(self._stream)

    def close(self) -> None:
        """Hang up."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
