"""The one shape in which the portals speak with Guichet, whatever the protocol: start a payment, read a notice, read a return."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from guichet_client import Fault
from payments import Payment
from portals import Portal
from proof import Confirmation, Departure, NotVerified

Find = Callable[[str], Payment | None]


class NotOpened(Exception):
    """Guichet did not open a page.

    :ivar summary: in one French sentence, for the portal's developer
    :ivar sent: what was asked, before signature
    """

    def __init__(self, summary: str, detail: str = "", faults: tuple[Fault, ...] = (), sent: object = None) -> None:
        super().__init__(summary)
        self.summary, self.detail, self.faults = summary, detail, faults
        self.sent = json.dumps(sent, ensure_ascii=False, indent=2)


@dataclass(frozen=True, slots=True)
class Call:
    """What came in by HTTP; header names are in lower case."""

    query: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""

    def pairs(self, text: str) -> dict[str, str]:
        """Read parameters. Raises :class:`NotVerified` for a name given twice: two readers could read two notices."""
        pairs = parse_qsl(text, keep_blank_values=True)
        if len(dict(pairs)) != len(pairs):
            raise NotVerified("a parameter is given twice")
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Started:
    """Where the payer goes, and what Guichet told at once."""

    departure: Departure
    pay_id: str = ""
    expires_at: str = ""


@dataclass(frozen=True, slots=True)
class CameBack:
    """What the browser brought: words, and in some protocols a proof as good as a notice."""

    reference: str
    status: str
    proof: Confirmation | None = None


class Speaker(Protocol):
    """Speaks one protocol for the portals that use it.

    :ivar checked: how a confirmation was verified, for the payment's page
    :ivar receipt: what a notice is answered with
    """

    checked: str
    receipt: str

    def start(self, portal: Portal, payment: Payment) -> Started:
        """Ask for a page. Raises :class:`NotOpened`."""
        ...

    def notice(self, portal: Portal, call: Call, find: Find) -> Confirmation | None:
        """Verify a notice; ``None`` when nothing is decided yet. Raises :class:`NotVerified`."""
        ...

    def come_back(self, portal: Portal, call: Call, payment: Payment | None) -> CameBack:
        """Verify what the browser brought. Raises :class:`NotVerified` or :class:`GuichetUnreachable`.

        :param payment: the one our return address named; the native protocol names it itself
        """
        ...
