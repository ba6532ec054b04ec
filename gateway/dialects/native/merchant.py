"""What the native protocol must know of a merchant; made from the merchant book, which knows more."""

from dataclasses import dataclass
from datetime import date

from gateway.core.languages import CODES
from gateway.core.money import AMOUNT_MAX
from gateway.core.payment import Mode


@dataclass(frozen=True, slots=True)
class NativeMerchant:
    """One merchant's terms.

    :ivar portal: the merchant whose keys also sign for this one
    :ivar callback_urls: addresses a confirmation may go to; each allows itself and everything below its path
    :ivar return_urls: the same for the payer's browser
    :ivar notify_url: where confirmations go when a request names no address
    :ivar email_rule: ``fixed`` when the payer cannot type an address, so that the request must bring it
    """

    id: str
    portal: str | None = None
    callback_urls: tuple[str, ...] = ()
    return_urls: tuple[str, ...] = ()
    notify_url: str = ""
    currencies: frozenset[str] = frozenset({"EUR"})
    amount_max: int = AMOUNT_MAX
    email_rule: str = "required"
    languages: frozenset[str] = frozenset(CODES)
    mode: Mode = Mode.TEST


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request is held against besides its own shape, at one moment.

    :ivar today: the date in Europe/Paris, where debts fall due
    :ivar loopback_allowed: development only: http to this very machine needs no registration
    """

    merchant: NativeMerchant
    today: date
    loopback_allowed: bool = False
