"""An acquirer reached over HTTP: the same contract, with a network in the way.

A decline is only ever an explicit one. Silence, cut connections, other statuses, other ids, other amounts, words we do
not know: all of it raises :class:`AcquirerUnreachable`, and the caller asks :meth:`RemoteAcquirer.status` later.
"""

import http.client
import io
import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gateway.acquirers import Answer, Enrolment, Outcome
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
    ShapeT,
    StatusAsked,
    TargetAsked,
    Unreadable,
    read,
)
from gateway.core.card import CardEntry
from gateway.core.errors import AcquirerContradicts, AcquirerUnreachable, CardRefused, SettingsError
from gateway.core.money import Money
from gateway.patience import Patience, Timed

log = logging.getLogger(__name__)

# What each verb may come to; any other word is unclear.
_OUTCOMES = {
    "authorise": {Outcome.APPROVED, Outcome.DECLINED},
    "status": set(Outcome),
    "reverse": {Outcome.REVERSED, Outcome.DECLINED},
    "capture": {Outcome.APPROVED, Outcome.DECLINED},
    "refund": {Outcome.APPROVED, Outcome.DECLINED},
}

# Verbs whose approval carries the issuer's six characters.
_NUMBERED = {"authorise", "status"}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long to wait: an issuer may take long, a connection may not (GOV.UK Pay: shorter values raised errors).

    :ivar answer_seconds: from the end of the question to the last byte of the answer
    """

    connect_seconds: float = 3.0
    answer_seconds: float = 25.0


@dataclass(frozen=True, slots=True)
class Said:
    """What came back over the wire, not yet judged."""

    status: int
    body: bytes


# Brings a body to an address. Raises requests.RequestException or OSError when nothing whole comes back.
Transport = Callable[[str, bytes], Said]


class RemoteAcquirer:
    """A client of one acquirer.

    :param base_url: https anywhere, or plain http on this machine only, because the first message carries a card
    :param transport: in place of HTTP, where a network is simulated

    Raises :class:`SettingsError` for any other address.
    """

    name = "remote"

    def __init__(
        self, base_url: str, *, deadlines: Deadlines | None = None, transport: Transport | None = None
    ) -> None:
        _check_address(base_url)
        self._base_url = base_url.rstrip("/")
        self._transport = transport or partial(_post, deadlines or Deadlines())

    def schemes(self, bin: str) -> tuple[str, ...]:
        """Name the brands of the cards that begin so; none when the acquirer cannot say, for no money depends on it."""
        try:
            return read(SchemesReply, self._post("schemes", SchemesAsked(bin=bin)).body).schemes
        except (AcquirerUnreachable, ValueError):
            return ()

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:
        """Exchange a card for a token."""
        asked = EnrolAsked.of(card, amount, op_id)
        said = self._post("enrol", asked)
        if said.status == 422:
            refusal = _read("enrol", CardRefusedReply, said.body)
            raise CardRefused(refusal.field, refusal.rule)
        reply = _read("enrol", EnrolReply, said.body)
        if not reply.is_about(op_id, amount):
            raise AcquirerUnreachable("enrol: the answer is to another question")
        return reply.enrolment

    def authorise(  # noqa: PLR0913 - the contract's
        self, token: str, amount: Money, *, op_id: str, scheme: str, authentication: str, follows: str = ""
    ) -> Answer:
        """Ask for the money, once per ``op_id``."""
        asked = AuthoriseAsked(
            op_id=op_id,
            amount_cents=amount.cents,
            currency=amount.currency,
            token=token,
            scheme=scheme,
            authentication=authentication,
            follows=follows,
        )
        return self._ask("authorise", asked, op_id, amount)

    def status(self, op_id: str, amount: Money) -> Answer:
        """Say what became of an authorisation."""
        asked = StatusAsked(op_id=op_id, amount_cents=amount.cents, currency=amount.currency)
        return self._ask("status", asked, op_id, amount)

    def reverse(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Undo an authorisation, seen or not."""
        return self._aim("reverse", target, amount, op_id)

    def capture(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Have the authorised money paid out."""
        return self._aim("capture", target, amount, op_id)

    def refund(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Give back part or all of a captured authorisation."""
        return self._aim("refund", target, amount, op_id)

    def _aim(self, verb: str, target: str, amount: Money, op_id: str) -> Answer:
        asked = TargetAsked(op_id=op_id, amount_cents=amount.cents, currency=amount.currency, target=target)
        return self._ask(verb, asked, op_id, amount)

    def _ask(self, verb: str, asked: Shape, op_id: str, amount: Money) -> Answer:
        said = self._post(verb, asked)
        if said.status != 200:
            raise AcquirerUnreachable(f"{verb}: HTTP {said.status}")
        reply = _read(verb, AnswerReply, said.body)
        if not reply.is_about(op_id, amount):
            raise AcquirerUnreachable(f"{verb}: the answer is to another question")
        if reply.outcome not in _OUTCOMES[verb]:
            raise AcquirerUnreachable(f"{verb}: {reply.outcome} is no answer to that")
        if verb in _NUMBERED and (reply.outcome is Outcome.APPROVED) != bool(reply.authorisation_number):
            raise AcquirerUnreachable(f"{verb}: an authorisation number goes with an approval, and only with one")
        return reply.answer

    def _post(self, verb: str, asked: Shape) -> Said:
        try:
            said = self._transport(f"{self._base_url}/{verb}", asked.model_dump_json().encode())
        except (requests.RequestException, OSError) as error:
            # Not chained: the exception holds the request, and the request may hold a card.
            raise AcquirerUnreachable(f"{verb}: {type(error).__name__}") from None
        if said.status == 409:
            _read(verb, ContradictionReply, said.body)
            log.error("the acquirer knows an operation id for something else", extra={"reason": verb})
            raise AcquirerContradicts(f"{verb}: the acquirer knows this operation id for something else")
        if said.status != 200 and (verb, said.status) != ("enrol", 422):
            raise AcquirerUnreachable(f"{verb}: HTTP {said.status}")
        return said


def _post(deadlines: Deadlines, url: str, body: bytes) -> Said:
    # One connection per message: a kept one may have died, and its error would look like a lost message.
    with (
        _session() as session,
        session.post(
            url,
            data=body,
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            timeout=(deadlines.connect_seconds, deadlines.answer_seconds),
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        return Said(response.status_code, _body(response))


def _session() -> requests.Session:
    session = requests.Session()
    # No proxy, no .netrc: nothing in the environment may lead a card elsewhere.
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    return session


class _Held(Timed):
    """Lets the library close the connection, as it does after a last answer's head, and keeps the socket until it is read."""

    def __init__(self, stream: socket.socket, patience: Patience) -> None:
        super().__init__(stream, patience)
        self._hold = stream.makefile("rb", buffering=0)

    def close(self) -> None:
        self._hold.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """Waits for the whole answer only as long as it would for one byte."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp.close()
        seconds = sock.gettimeout() or 0
        self.fp = io.BufferedReader(_Held(sock, Patience(0, seconds, time.monotonic() + seconds)))


class _Plain(HTTPConnection):
    response_class = _Answer


class _Secure(HTTPSConnection):
    response_class = _Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: object) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def _body(response: requests.Response) -> bytes:
    body = b""
    # Byte by byte: of what is packed, not much more is unpacked at once than may be said.
    for piece in response.iter_content(1):
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise AcquirerUnreachable("the answer is too long")
    return body


def _read(verb: str, shape: type[ShapeT], body: bytes) -> ShapeT:
    try:
        return read(shape, body)
    except Unreadable as error:
        raise AcquirerUnreachable(f"{verb}: {error}") from error


def _check_address(base_url: str) -> None:
    parts = urlsplit(base_url)
    is_plain_here = parts.scheme == "http" and _is_loopback(parts.hostname or "")
    is_bare = not (parts.query or parts.fragment or parts.username or parts.password)
    if not (parts.hostname and is_bare and (parts.scheme == "https" or is_plain_here)):
        raise SettingsError(("acquirer address: use https, or http on a loopback address, without user or query",))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
