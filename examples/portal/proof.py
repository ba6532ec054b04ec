"""What every protocol comes down to for a portal: where the payer goes, and what Guichet was proved to say.

Beside one of the clients, this is all there is to copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


class NotVerified(Exception):
    """A return or a confirmation that does not prove where it comes from."""


class GuichetUnreachable(Exception):
    """No usable answer: whether Guichet heard us is not known."""


@dataclass(frozen=True, slots=True)
class Departure:
    """How the payer's browser goes to Guichet: an address, or a form to be posted there.

    :ivar fields: what the form carries; empty for an address
    """

    url: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One verified notice of Guichet.

    :ivar id: the same over all tries of one notice; the key to acting once
    :ivar type: ``payment.succeeded``, ``payment.refused``, ... in whatever words the protocol said it
    :ivar payment: Guichet's own name for the payment; empty where the protocol has none
    :ivar refunded_cents: for a refund, what has been given back so far
    :ivar card: the last card tried: ``scheme``, ``last4``, ``authorisation_number``, ...
    :ivar words: the protocol's own words, such as ``etat=10``
    """

    id: str
    type: str
    sent_at: str
    payment: str
    reference: str
    merchant: str
    amount_cents: int
    currency: str
    refunded_cents: int = 0
    card: Mapping[str, object] = field(default_factory=dict)
    words: str = ""
