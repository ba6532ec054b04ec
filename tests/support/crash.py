"""For tests that break things: a merchant's receiver that checks what it gets, and processes to be killed."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Told:
    """One notice that arrived.

    :ivar is_genuine: the published library found the signature right
    """

    id: str
    type: str
    payment: str
    sequence: int
    digest: str
    is_genuine: bool
    status: int


@dataclass
class Receiver:
    """A merchant's endpoint on this machine; answers ``answer(n)`` to its n-th request (0, 1, ...).

    :ivar secret: ``whsec_...``, or empty when signatures do not matter
    """

    secret: str = ""
    answer: Callable[[int], tuple[int, Mapping[str, str]]] = lambda _: (204, {})
    told: list[Told] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        """Write one request down and say what to answer."""
        said = json.loads(body)
        with self._lock:
            status, more = self.answer(len(self.told))
            self.told.append(
                Told(
                    id=headers.get("webhook-id", ""),
                    type=str(said.get("type", "")),
                    payment=str(said["data"]["id"]),
                    sequence=max(event["seq"] for event in said["data"]["events"]),
                    digest=hashlib.sha256(body).hexdigest(),
                    is_genuine=self._is_genuine(headers, body),
                    status=status,
                )
            )
        return status, more

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        if not self.secret:
            return False
        try:
            Webhook(self.secret).verify(body, {name.lower(): value for name, value in headers.items()})
        except WebhookVerificationError:
            return False
        return True


@contextmanager
def listening(receiver: Receiver) -> Iterator[Receiver]:
    """Serve the receiver while the body runs; ``receiver.url`` says where."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers = receiver.take(dict(self.headers.items()), body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 - the library's signature
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/confirmations"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def rises(numbers: Sequence[int]) -> bool:
    """Say whether each number is greater than the one before."""
    return all(before < after for before, after in zip(numbers, numbers[1:], strict=False))
