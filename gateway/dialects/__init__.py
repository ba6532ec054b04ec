"""Contract of the dialect socket: one merchant protocol, translated.

A dialect is pure: bytes in, one of the commands below out; results in, bytes out. It knows no database, no clock but the
instant it is handed, and no network. Signatures are checked before anything is parsed for meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gateway.core.errors import GatewayError
from gateway.core.money import Money
from gateway.core.payment import Event, PaymentRequest, PaymentResult


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request, coming in from a merchant or going out to one. Header names are lower-case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    url: str = ""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One HTTP response. Header names are in their usual spelling."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Signed:
    """What makes a signed request single: the merchant's own id for it, and a digest of what it says.

    :ivar jti: unique per merchant for ever (RFC 7519 section 4.1.7)
    :ivar digest: SHA-256 over the meaning (every claim but ``iat``, ``exp``, ``jti``), in hex
    """

    merchant: str
    jti: str
    digest: str


@dataclass(frozen=True, slots=True)
class Open:
    """Asks for a checkout page. ``by_browser``: the payer's own browser carried the request."""

    request: PaymentRequest
    signed: Signed
    by_browser: bool = False


@dataclass(frozen=True, slots=True)
class LookUp:
    """Asks what became of one payment; answered only when it belongs to one of ``merchants``."""

    merchants: frozenset[str]
    payment: str


@dataclass(frozen=True, slots=True)
class Find:
    """Asks for the payments of ``merchants`` that carry ``reference`` (the payment's own or one of its lines')."""

    merchants: frozenset[str]
    reference: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Asks that a payment nobody has begun to debit be closed."""

    payment: str
    signed: Signed
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """Asks that part or all of a paid payment be given back."""

    payment: str
    amount: Money
    signed: Signed
    reason: str = ""


Command = Open | LookUp | Find | Cancel | Refund


class Dialect(Protocol):
    """Translates one merchant protocol."""

    name: str

    def read(self, call: HttpCall, now: datetime) -> Command:
        """Check who is asking, then say what is asked.

        Raises :class:`~gateway.core.errors.NotAuthentic` or :class:`~gateway.core.errors.BadRequest` (with every fault).
        """
        ...

    def opened(self, command: Open, result: PaymentResult, page_url: str) -> HttpReply:
        """Send the merchant (or the payer's browser) to the page; the same request again gets the same answer."""
        ...

    def found(self, result: PaymentResult, page_url: str) -> HttpReply:
        """Tell the state of one payment."""
        ...

    def listed(self, results: tuple[PaymentResult, ...]) -> HttpReply:
        """Tell the state of several payments, newest first."""
        ...

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply:
        """Say no, in this dialect's own form."""
        ...

    def returned(self, result: PaymentResult, now: datetime) -> str:
        """Give the address the payer's browser goes back to, or an empty string when the merchant gave none."""
        ...

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the body of the notice of ``event``; made once, the same over all tries."""
        ...

    def delivery(self, result: PaymentResult, notice_id: str, body: bytes, now: datetime) -> HttpCall:
        """Wrap a notice's body for one try: address, headers and fresh signatures."""
        ...
