"""What a payment is: the two messages that cross every border. Nothing here remembers anything; ``gateway.store`` does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from gateway.core.money import Money
from gateway.core.states import LIVE, REFUSED, AttemptStatus, InstalmentStatus, Status


def normal_reference(reference: str) -> str:
    """Fold the spellings of one reference together: case and inner blanks do not make another debt."""
    return " ".join(reference.upper().split())


class Kind(StrEnum):
    """What the money is for: a debt is paid once, a top-up repeats."""

    DEBT = "debt"
    TOP_UP = "top_up"


class Mode(StrEnum):
    """How real a merchant's payments are."""

    TEST = "test"
    ACTIVATION = "activation"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Line:
    """One debt of a payment: the reference the payer knows, what it is, and how much of it is paid."""

    reference: str
    label: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Instalment:
    """A later part of a purchase paid in several times: when it falls due and how much."""

    due: date
    amount: Money


@dataclass(frozen=True, slots=True)
class Payee:
    """Who is paid, as pages, mails and tickets name it; copied from the merchant book when read.

    :ivar service: the régie or service inside the authority, empty when there is none
    :ivar address: postal address, one entry per printed line
    :ivar contract: the card-acceptance contract number printed on tickets
    :ivar language: of the copies of tickets and mails its own staff reads
    """

    id: str
    name: str
    service: str = ""
    address: tuple[str, ...] = ()
    contract: str = ""
    contact_email: str = ""
    contact_phone: str = ""
    mode: Mode = Mode.TEST
    language: str = "fr"


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What a merchant asks for, whatever dialect it was said in.

    :ivar amount: what is debited now
    :ivar metadata: the merchant's own facts, given back to it
    :ivar wire: what the dialect must remember to answer in kind; no other room reads it
    :ivar capture_by_hand: approved money is paid out only when the merchant asks
    :ivar capture_days: how many days approved money waits before it is paid out
    :ivar instalments: what is to be paid later, by the same card
    :ivar schemes: the brands the payer may use; empty for all the acquirer takes
    :ivar schemes_again: the brands after a card was refused; empty for the same as before
    :ivar statement: what the payer's bank statement is to call this payment; empty for the payee's usual name
    """

    merchant: str
    reference: str
    amount: Money
    lines: tuple[Line, ...]
    label: str
    kind: Kind = Kind.DEBT
    email: str = ""
    payer_name: str = ""
    payer_phone: str = ""
    beneficiary: str = ""
    comment: str = ""
    fiscal_year: str = ""
    language: str = "fr"
    return_url: str = ""
    notify_url: str = ""
    pay_before: date | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    wire: Mapping[str, str] = field(default_factory=dict)
    capture_by_hand: bool = False
    capture_days: int = 0
    instalments: tuple[Instalment, ...] = ()
    schemes: tuple[str, ...] = ()
    schemes_again: tuple[str, ...] = ()
    statement: str = ""

    @property
    def total(self) -> Money:
        """What is paid now and later together."""
        return Money(self.amount.cents + sum(part.amount.cents for part in self.instalments), self.amount.currency)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One card submission as the world may see it: never more of the number than BIN and last four.

    :ivar expiry: month and year of the card, ``MMYY``
    """

    id: str
    number: int
    status: AttemptStatus
    scheme: str
    bin: str
    last4: str
    started_at: datetime
    flow: str = ""
    response_code: str = ""
    response_family: str = ""
    authorisation_number: str = ""
    eci: str = ""
    ended_at: datetime | None = None
    expiry: str = ""


@dataclass(frozen=True, slots=True)
class RefundResult:
    """Money given back: one refund of a payment."""

    id: str
    amount: Money
    status: str
    requested_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InstalmentResult:
    """A later part of a purchase as it stands; once due it is a payment of its own.

    :ivar rank: its place among the debits of the purchase; the first later part is 2
    :ivar payment: the public id of that payment, empty until it is due
    :ivar number: its transaction number, likewise
    :ivar attempt: the latest time the card was asked, whose ``number`` counts the tries
    """

    rank: int
    due: date
    amount: Money
    status: InstalmentStatus
    payment: str = ""
    number: str = ""
    paid_at: datetime | None = None
    attempt: AttemptResult | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a payment's history; ``seq`` rises by one within the payment."""

    id: str
    seq: int
    type: str
    at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is told of a payment by calls, as its request said: all that is needed to bring out what is written already.

    :ivar payment: the public payment id
    :ivar dialect: the protocol it is told in
    :ivar wire: what that protocol keeps of the request
    """

    payment: str
    merchant: str
    dialect: str
    notify_url: str
    wire: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PaymentResult:
    """Everything known of a payment at one moment: what pages show, dialects say and receipts print.

    :ivar id: the public payment id (``pay_...``), safe to show and to log
    :ivar number: the gateway's own transaction number, printed beside the merchant's reference
    :ivar refunded_cents: money given back so far or asked to be, in minor units; 0 when none
    :ivar dialect: the protocol the merchant opened it with, and is answered in
    :ivar handle: the name that dialect gave it (an idOp, a token); empty when it gave none
    :ivar instalments: how the later parts of this purchase stand, in the order they fall due
    :ivar parent: the purchase this is a later part of, by its public id; empty for all other payments
    :ivar rank: the place of this debit in its purchase: 1 for the first or only one
    :ivar spoken: the language in which the payer entered a card; empty before
    """

    id: str
    number: str
    request: PaymentRequest
    payee: Payee
    status: Status
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None = None
    ended_at: datetime | None = None
    email: str = ""
    attempts: tuple[AttemptResult, ...] = ()
    refunds: tuple[RefundResult, ...] = ()
    events: tuple[Event, ...] = ()
    refunded_cents: int = 0
    attempts_max: int = 3
    dialect: str = ""
    handle: str = ""
    instalments: tuple[InstalmentResult, ...] = ()
    parent: str = ""
    rank: int = 1
    spoken: str = ""

    @property
    def recipient(self) -> Recipient:
        """Whom the merchant wants told by calls."""
        asked = self.request
        return Recipient(self.id, asked.merchant, self.dialect, asked.notify_url, asked.wire)

    @property
    def language(self) -> str:
        """The payer's language: the one of the page they paid on, or else what the merchant asked for."""
        return self.spoken or self.request.language

    @property
    def given_back(self) -> Money | None:
        """What the bank has given back; nothing while it was only asked for, since it may still be refused."""
        cents = sum(refund.amount.cents for refund in self.refunds if refund.status == "done")
        return Money(cents, self.request.amount.currency) if cents else None

    @property
    def attempt(self) -> AttemptResult | None:
        """The latest card submission, if there was one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def schemes(self) -> tuple[str, ...]:
        """The brands the payer may use now: a merchant may offer others once a card was refused."""
        is_refused = any(attempt.status in REFUSED for attempt in self.attempts)
        return (is_refused and self.request.schemes_again) or self.request.schemes

    @property
    def is_live(self) -> bool:
        """Whether the payer or the acquirer can still change the outcome."""
        return self.status in LIVE


@dataclass(frozen=True, slots=True)
class Which:
    """Names one payment by one of its names, among those of ``merchants``.

    :ivar merchants: empty when the name itself is a secret only its payer was told
    :ivar payment: the public id
    :ivar handle: the name its dialect gave it
    :ivar number: our transaction number, with or without leading zeros
    :ivar reference: the merchant's own, when it was told beside the name: both must fit
    """

    merchants: frozenset[str] = frozenset()
    payment: str = ""
    handle: str = ""
    number: str = ""
    reference: str = ""
