"""Contract of the dialect socket: one merchant protocol, translated.

A dialect is pure: bytes in, one of the commands below out; results in, bytes out. It knows no database, no clock but the
instant it is handed, and no network. Signatures are checked before anything is parsed for meaning.

A new dialect is one class with the members of :class:`Dialect`, one line in ``gateway.parts`` and one merchant in the
book; ``tests/dialects/test_contract.py`` runs over it at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.core.errors import GatewayError
from gateway.core.money import Money
from gateway.core.payment import Event, PaymentRequest, PaymentResult, Recipient
from gateway.core.payment import Which as Which
from gateway.core.states import Status
from gateway.dialects.http import Departure as Departure
from gateway.dialects.http import ErrorPage as ErrorPage
from gateway.dialects.http import HttpCall as HttpCall
from gateway.dialects.http import HttpReply as HttpReply
from gateway.dialects.http import Try as Try
from gateway.settings.merchant import Merchant


@dataclass(frozen=True, slots=True)
class House:
    """What every dialect is told of the server it speaks for.

    :ivar origin: scheme, host and port under which the world reaches it, without a trailing slash
    :ivar zone: the treasury's calendar and clock
    :ivar loopback_allowed: development only; merchants in test mode may then name addresses on this very machine
    :ivar draw: gives so many random bytes fit for secrets
    :ivar sign: gives headers that prove a try to whoever holds a merchant's own keys; they harm no client that ignores them
    :ivar book: every merchant, whatever dialect it speaks: some protocols have a word for "known, but not by this door"
    """

    origin: str
    zone: ZoneInfo
    loopback_allowed: bool
    draw: Callable[[int], bytes]
    book: Mapping[str, Merchant] = field(default_factory=dict)
    sign: "Callable[[str, Try], Mapping[str, str]]" = field(default=lambda _merchant, _try: {})


@dataclass(frozen=True, slots=True)
class Signed:
    """What makes a request single: the merchant's own id for it, and a digest of what it says.

    An unsigned or unnumbered protocol draws ``jti`` at random: then only the debts tell two requests apart.

    :ivar jti: unique per merchant for ever (RFC 7519 section 4.1.7)
    :ivar digest: SHA-256 over the meaning (every claim but ``iat``, ``exp``, ``jti``), in hex
    """

    merchant: str
    jti: str
    digest: str


@dataclass(frozen=True, slots=True)
class Open:
    """Asks for a checkout page.

    :ivar by_browser: the payer's own browser carried the request
    :ivar handle: the name this dialect gives the new payment (an idOp, a token); empty when it gives none
    :ivar replaces: a live payment of the same debts in one of these states gives way to this one
    :ivar spares: but no opened one whose payer is at one of these pages: ``card``, ``challenge``, ``review``
    :ivar resumes: the same wish again, while its payment is live, gets the same payment
    :ivar once: its debts are paid a single time, even where the merchant lets a reference repeat
    :ivar page_minutes: how long the page lives, where the protocol says so; 0 for the merchant's own setting
    :ivar life: the longest it may live, whatever its payer asks for, where the protocol says so
    :ivar is_activation: it says that it is made to put the merchant into service; believed of one in test mode
    :ivar marks: facts to keep beside the payment's first event (such as how weak a signature was)
    """

    request: PaymentRequest
    signed: Signed
    by_browser: bool = False
    handle: str = ""
    replaces: frozenset[Status] = frozenset()
    spares: frozenset[str] = frozenset()
    resumes: bool = True
    once: bool = False
    page_minutes: int = 0
    life: timedelta | None = None
    is_activation: bool = False
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Say:
    """Asks nothing: the dialect knows the answer by itself (a WSDL, a setting, a fault)."""

    reply: HttpReply


@dataclass(frozen=True, slots=True)
class Resume:
    """The payer arrives with the handle the merchant was given."""

    which: Which


@dataclass(frozen=True, slots=True)
class LookUp:
    """Asks what became of one payment.

    :ivar is_receipt: whoever is told the end of the payment need not be notified of it any more
    """

    which: Which
    is_receipt: bool = False


@dataclass(frozen=True, slots=True)
class Find:
    """Asks for the payments of ``merchants`` that carry ``reference`` (the payment's own or one of its lines')."""

    merchants: frozenset[str]
    reference: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Asks that a payment nobody has begun to debit be closed."""

    which: Which
    signed: Signed
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """Asks that an authorisation that waits for the merchant be paid out, in whole.

    :ivar amount: what the merchant believes that is; ``None`` when it did not say
    """

    which: Which
    signed: Signed
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Asks that part or all of a paid payment be given back.

    :ivar amount: ``None`` for all that is left
    :ivar before_settlement: only if the day's settlement has not taken it yet (a reset); refused as ``settled`` afterwards.
        A payment nobody has begun to debit is cancelled
    """

    which: Which
    amount: Money | None
    signed: Signed
    reason: str = ""
    before_settlement: bool = False


# What is asked about one payment that there is already.
About = Resume | LookUp | Cancel | Capture | Refund

Command = Open | Say | Find | About


class Dialect(Protocol):
    """Translates one merchant protocol.

    Its constructor is ``(merchants, house)``: the book's entries that speak it, by id, and the server's own facts.

    :ivar paths: the addresses it answers, as werkzeug rules without converters (``/V4/services/<api>``), taken by GET and
        POST or by the one method written before them (``POST /v1/payments``)
    :ivar body_max: the longest body it reads, in bytes
    :ivar popup: its portals open the payer's pages in a window of their own, and watch it close
    :ivar weaknesses: what a merchant should know of the protocol's own security
    :ivar tells_first: the merchant is told before the payer sees the result, if it answers in time
    """

    name: str
    paths: tuple[str, ...]
    body_max: int
    popup: bool
    tells_first: bool
    weaknesses: tuple[str, ...]

    def read(self, call: HttpCall, now: datetime) -> Command:
        """Check who is asking, then say what is asked.

        Raises :class:`~gateway.core.errors.NotAuthentic` or :class:`~gateway.core.errors.BadRequest` (with every fault).
        """
        ...

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:
        """Send the merchant (or the payer's browser) to the page; the same request again gets the same answer."""
        ...

    def found(self, command: About, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:
        """Tell the state of the payment that ``command`` was about. May raise what :meth:`refused` words."""
        ...

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:
        """Tell the state of several payments, newest first."""
        ...

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply | ErrorPage:
        """Say no, in this dialect's own form: to a program, or to the payer whose browser carried the request."""
        ...

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:
        """Say how the payer goes back; ``None`` when there is nowhere to go (the page then offers to close the window)."""
        ...

    def due(self, result: PaymentResult, event: Event) -> datetime | None:
        """Say when the merchant is to be told of ``event``; ``None`` when never."""
        ...

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the body of the notice of ``event``; made once, the same over all tries."""
        ...

    def target(self, to: Recipient) -> str:
        """Give the address notices of this payment go to; empty for nowhere."""
        ...

    def copies(self, to: Recipient) -> tuple[str, ...]:
        """Give the further addresses that are told the same, each by itself; usually none."""
        ...

    def delivery(self, to: Recipient, this: Try) -> HttpCall:
        """Wrap a notice's body for one try: method, headers, fresh signatures.

        An empty ``url`` is the notice's own target; a dialect gives one where it adds to the query.
        """
        ...

    def received(self, status: int, body: bytes) -> bool:
        """Say whether the merchant's answer to a notice means that it has it.

        Raises :class:`~gateway.core.errors.DeliveryFailed` when it means that there is no use in trying again.
        """
        ...

    def retry_at(self, tries: int, now: datetime, *, merchant: str = "") -> datetime | None:
        """Say when a notice that failed ``tries`` times goes out again; ``None`` when it is given up.

        :param merchant: whose it is, where merchants may choose; empty for the dialect's usual schedule
        """
        ...

    def code(self, result: PaymentResult, event: Event) -> str:
        """Give this dialect's own words for ``event`` (``etat=10``, ``REFUSED/05``); empty when it has none."""
        ...
