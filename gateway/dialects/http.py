"""What crosses the rim in a dialect's hands: calls, replies, refusals, the way back, one try at a notice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request, coming in from a merchant or going out to one. Header names are lower-case.

    :ivar query: as it was sent, still percent-encoded; bytes above 127 as Latin-1 characters, so that none is lost
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    url: str = ""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One HTTP response. Header names are in their usual spelling.

    :ivar reason: the reason phrase, where a client reads it; empty for the usual one
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A refusal that a person reads: the web shows its own page in the payer's language.

    :ivar code: the dialect's own code, shown small; a stable hook for the merchant's support
    :ivar detail: what a developer needs, shown while every merchant is in test mode only
    :ivar wording: the dialect's own sentence for the payer; empty for the usual neutral one
    :ivar language: which language that sentence is in, so that the page around it speaks it too; empty for the payer's own
    :ivar paid: the payment that is why nothing can begin, when it was paid: the page tells that in its own words
    """

    status: int
    code: str
    detail: str = ""
    wording: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    paid: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """One try at bringing a notice out.

    :ivar id: the notice's, the same over all tries
    :ivar body: what :meth:`Dialect.confirmed` made of it, the same over all tries
    :ivar number: which try this is; the first is 1
    :ivar by_hand: a person asked for the notice to be sent again
    :ivar target: the address this notice was promised to; empty for :meth:`Dialect.target`
    """

    id: str
    body: bytes
    number: int
    at: datetime
    by_hand: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Departure:
    """How the payer's browser goes back to the merchant.

    :ivar method: ``GET`` (the address says all) or ``POST`` (a form with ``fields``)
    :ivar after_seconds: it goes by itself after so long on the last page, 0 at once; ``None``: when the payer says so
    :ivar message: what the merchant says while it waits; plain text, one line
    :ivar label: the merchant's own words for the way back; empty for ours
    :ivar site: what the merchant calls the place that it leads to; empty for "the site"
    """

    url: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    after_seconds: int | None = None
    message: str = ""
    label: str = ""
    site: str = ""
