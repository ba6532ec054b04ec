"""The simulated bank as a process of its own, so that killing either side is a real test.

Test equipment for one machine: it listens on loopback only and logs verbs, never bodies. It is not a plug but the other
end of one, and may therefore import the simulator and name the real clock. Run it with
``python -m gateway.acquirers.server --home .``.
"""

import argparse
import ipaddress
import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gateway.acquirers import Acquirer
from gateway.acquirers.cards import load
from gateway.acquirers.simulator import Delays, Simulator
from gateway.acquirers.statement import written
from gateway.acquirers.wire import (
    BODY_BYTES_MAX,
    AnswerReply,
    AuthoriseAsked,
    CardRefusedReply,
    ContradictionReply,
    EnrolAsked,
    EnrolReply,
    SchemesAsked,
    SchemesReply,
    Shape,
    StatusAsked,
    TargetAsked,
    Unreadable,
    read,
)
from gateway.core.errors import AcquirerContradicts, AcquirerUnreachable, BadField, CardRefused, SettingsError

log = logging.getLogger(__name__)

# The bank's book, under the home directory.
BOOK = Path("var/acquirer.sqlite3")

# The table of test cards, under the home directory.
CARDS = Path("config/test_cards.toml")

PORT = 8002


def run(host: str, port: int, home: Path, *, delays: Delays | None = None) -> None:
    """Serve until stopped; the address is written to standard output once it can be called.

    :param port: 0 for any free one
    :param home: the directory of ``config/`` and ``var/``

    Raises :class:`SettingsError` for an address other machines could reach.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise SettingsError((f"simulated bank: {host} can be reached by others; use a loopback address",))
    simulator = _simulator(home, delays)
    with _Server(host, port, simulator) as server:
        sys.stdout.write(f"simulated bank listening on http://{host}:{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


def statement(home: Path, since: datetime) -> str:
    """Write the bank's statement of what was asked for from ``since`` on."""
    return written(_simulator(home).statement(since))


def _simulator(home: Path, delays: Delays | None = None) -> Simulator:
    return Simulator(home / BOOK, load(home / CARDS), now=lambda: datetime.now(UTC), delays=delays)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m gateway.acquirers.server", description="The simulated bank.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT, help="0 for any free one (default: %(default)s)")
    parser.add_argument("--home", type=Path, default=Path.cwd(), help="directory of config/ and var/")
    parser.add_argument("--slow-seconds", type=float, default=Delays().slow_seconds)
    parser.add_argument("--silence-seconds", type=float, default=Delays().silence_seconds)
    given = parser.parse_args()
    try:
        run(given.host, given.port, given.home, delays=Delays(given.slow_seconds, given.silence_seconds))
    except SettingsError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return


class _Server(ThreadingHTTPServer):
    # Messages in the middle of a long silence must not keep the process from ending.
    daemon_threads = True
    # Callers that arrive together wait; with the library's 5 some would find the connection reset.
    request_queue_size = 128

    def __init__(self, host: str, port: int, acquirer: Acquirer) -> None:
        self.acquirer = acquirer
        super().__init__((host, port), _Conversation)


class _Conversation(BaseHTTPRequestHandler):
    server: _Server
    # A caller that stops in the middle of its message is let go.
    timeout = 30
    server_version = "simulated-bank"
    sys_version = ""

    def do_GET(self) -> None:
        """Say that the bank is open."""
        if self.path == "/healthz":
            self._send(HTTPStatus.OK, b'{"status":"ok"}')
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take one message."""
        length = self.headers.get("Content-Length", "")
        if self.path not in _ACTS:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif self.headers.get("Content-Type") != "application/json":
            # A browser cannot send this type to another site unasked: no page can reach the bank.
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        elif not (length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= BODY_BYTES_MAX):
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            self._reply(answer(self.server.acquirer, self.path, self.rfile.read(int(length))))

    def _reply(self, reply: "Reply | None") -> None:
        if reply is None:
            # Not one byte: the caller sees the connection close, as it would when the network does.
            log.info("simulated bank silent", extra={"path": self.path})
            self.close_connection = True
        else:
            self._send(*reply)

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, _problem(status))

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log the standard library's line (verb, path and status) with everything else; it has no body in it."""
        log.debug("simulated bank asked", extra={"path": format % args})


# What goes back over the wire: a status and a body.
Reply = tuple[HTTPStatus, bytes]


def answer(acquirer: Acquirer, path: str, body: bytes) -> Reply | None:
    """Take one message, one of ``/schemes``, ``/enrol`` and so on; ``None`` is silence."""
    try:
        reply = _ACTS[path](acquirer, body)
    except AcquirerContradicts:
        return HTTPStatus.CONFLICT, ContradictionReply(error="contradiction").model_dump_json().encode()
    except AcquirerUnreachable:
        return None
    except CardRefused as error:
        refusal = CardRefusedReply(error="card_refused", field=error.field, rule=error.rule)
        return HTTPStatus.UNPROCESSABLE_ENTITY, refusal.model_dump_json().encode()
    except (Unreadable, BadField):
        return HTTPStatus.BAD_REQUEST, _problem(HTTPStatus.BAD_REQUEST)
    return HTTPStatus.OK, reply.model_dump_json().encode()


def _problem(status: HTTPStatus) -> bytes:
    return json.dumps({"error": status.phrase}).encode()


def _schemes(acquirer: Acquirer, body: bytes) -> Shape:
    return SchemesReply(schemes=acquirer.schemes(read(SchemesAsked, body).bin))


def _enrol(acquirer: Acquirer, body: bytes) -> Shape:
    asked = read(EnrolAsked, body)
    return EnrolReply.of(acquirer.enrol(asked.card, asked.amount, op_id=asked.op_id), asked)


def _authorise(acquirer: Acquirer, body: bytes) -> Shape:
    asked = read(AuthoriseAsked, body)
    answer = acquirer.authorise(
        asked.token,
        asked.amount,
        op_id=asked.op_id,
        scheme=asked.scheme,
        authentication=asked.authentication,
        follows=asked.follows,
    )
    return AnswerReply.of(answer)


def _status(acquirer: Acquirer, body: bytes) -> Shape:
    asked = read(StatusAsked, body)
    return AnswerReply.of(acquirer.status(asked.op_id, asked.amount))


def _reverse(acquirer: Acquirer, body: bytes) -> Shape:
    asked = read(TargetAsked, body)
    return AnswerReply.of(acquirer.reverse(asked.target, asked.amount, op_id=asked.op_id))


def _capture(acquirer: Acquirer, body: bytes) -> Shape:
    asked = read(TargetAsked, body)
    return AnswerReply.of(acquirer.capture(asked.target, asked.amount, op_id=asked.op_id))


def _refund(acquirer: Acquirer, body: bytes) -> Shape:
    asked = read(TargetAsked, body)
    return AnswerReply.of(acquirer.refund(asked.target, asked.amount, op_id=asked.op_id))


_ACTS: Mapping[str, Callable[[Acquirer, bytes], Shape]] = {
    "/schemes": _schemes,
    "/enrol": _enrol,
    "/authorise": _authorise,
    "/status": _status,
    "/reverse": _reverse,
    "/capture": _capture,
    "/refund": _refund,
}


if __name__ == "__main__":
    main()
