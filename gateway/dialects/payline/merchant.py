"""What a Payline merchant's ``protocol`` table may say, and the account it makes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway.core.errors import SettingsError
from gateway.dialects.book import Table, read_protocol
from gateway.settings.merchant import Merchant

Dates = Literal["dd/mm/yyyy HH:MM:SS", "dd/mm/yy HH:MM:SS", "dd/mm/yyyy HH:MM", "dd/mm/yy HH:MM"]

# The Java SDK crashes while masking a key of fewer than 4 or more than 24 characters.
AccessKey = Annotated[str, StringConstraints(pattern=r"^[!-~]{4,24}$")]


# The brands a contract of each kind takes; a CB contract takes what French shops' terminals do.
_BRANDS = {
    "CB": ("cb", "visa", "mastercard", "maestro"),
    "VISA": ("visa",),
    "MASTERCARD": ("mastercard",),
    "MAESTRO": ("maestro",),
    "AMEX": ("amex",),
}


class Contract(Table):
    """One card-acceptance contract, as getMerchantSettings lists it."""

    number: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,20}$")]
    label: str = Field("", max_length=100)
    card_type: Literal["CB", "VISA", "MASTERCARD", "MAESTRO", "AMEX"] = "CB"

    @property
    def brands(self) -> tuple[str, ...]:
        """The card brands payments on this contract are made with."""
        return _BRANDS[self.card_type]


class Terms(Table):
    """How one merchant is spoken with; defaults are what published clients expect."""

    merchant_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]
    access_key: AccessKey
    contracts: tuple[Contract, ...] = Field(min_length=1)
    modes: frozenset[Literal["CPT", "DIF", "NX"]] = Field(
        frozenset({"CPT", "DIF", "NX"}), description="payment modes allowed; others are answered 02308"
    )
    page_codes: frozenset[str] = Field(
        frozenset(), description="customPaymentPageCode values known, others are answered 02307; empty: any"
    )
    page_minutes: int = Field(15, ge=5, le=1440, description="how long the payer's page lives")
    not_opened: Literal["REFUSED", "INPROGRESS"] = Field(
        "REFUSED", description="shortMessage of 02533, the page not opened yet"
    )
    challenge_failed: Literal["03003", "03022"] = Field(
        "03003", description="the code after the payer typed too many wrong one-time codes"
    )
    details_dates: Dates = Field("dd/mm/yyyy HH:MM:SS", description="dates in getWebPaymentDetails")
    direct_dates: Dates = Field("dd/mm/yy HH:MM:SS", description="dates in capture, refund, reset, transaction details")
    too_long: Literal["refuse", "truncate"] = Field(
        "refuse", description="what becomes of an order line's comment of more than 255 characters"
    )
    first_notice_seconds: int = Field(
        20, ge=0, le=3600, description="head start of the payer's browser over the first notification"
    )
    retry: Literal["until_2xx", "until_details"] = Field(
        "until_2xx", description="what ends notifications: an HTTP 2xx, or getWebPaymentDetails; one for all merchants"
    )
    notice_key: Annotated[str, StringConstraints(pattern=r"^[!-~]{16,64}$")] | None = Field(
        None, description="when set, notifications carry ts and sig (HMAC-SHA-256) after Payline's own parameters"
    )
    siret: str = Field("", max_length=14)
    merchant_category: str = Field("", max_length=4, description="codeMcc in getMerchantSettings")


@dataclass(frozen=True, slots=True)
class Account:
    """One merchant of the book and its Payline terms."""

    merchant: Merchant
    terms: Terms

    def contracts(self, numbers: Iterable[str]) -> tuple[Contract, ...]:
        """Give the contracts of these numbers, in their order; those the merchant has not are left out."""
        by_number = {contract.number: contract for contract in self.terms.contracts}
        return tuple(by_number[number] for number in numbers if number in by_number)


def accounts(merchants: Mapping[str, Merchant]) -> Mapping[str, Account]:
    """Read the ``protocol`` tables, by the book's own merchant ids.

    Raises :class:`SettingsError` with every fault.
    """
    faults: list[str] = []
    read: dict[str, Account] = {}
    for name, merchant in merchants.items():
        if terms := read_protocol(Terms, merchant, faults):
            read[name] = Account(merchant, terms)
    faults.extend(_shared_faults(read))
    if faults:
        raise SettingsError(tuple(faults))
    return read


def _shared_faults(read: Mapping[str, Account]) -> list[str]:
    """Find what merchants must not share (their id), and what they must (the rule that ends notifications)."""
    faults = []
    seen: dict[str, str] = {}
    for name, account in read.items():
        owner = seen.setdefault(account.terms.merchant_id, name)
        if owner != name:
            faults.append(f"merchants.{name}.protocol.merchant_id: {owner} has it already; give each its own")
        numbers = [contract.number for contract in account.terms.contracts]
        if len(set(numbers)) != len(numbers):
            faults.append(f"merchants.{name}.protocol.contracts: a number stands twice; list each contract once")
    if len({account.terms.retry for account in read.values()}) > 1:
        faults.append(f"merchants.{next(iter(read))}.protocol.retry: differs between merchants; give all the same")
    return faults
