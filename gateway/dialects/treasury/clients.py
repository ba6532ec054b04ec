"""Who asks: the merchants of a variant by their client number (numcli), with what the book says of their protocol."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, StringConstraints, field_validator, model_validator

from gateway.core.errors import SettingsError
from gateway.dialects import House
from gateway.dialects.book import Table, read_protocol
from gateway.settings.merchant import Merchant

Kind = Literal["regie", "titre", "role"]

# Guide, debt references: a régie's own; the ledger's title (year, 8, number on 6); the ledger's roll (year, revenue
# code, 00, invoice number on 13).
REFERENCES: Mapping[Kind, re.Pattern[str]] = {
    "regie": re.compile(r"[A-Za-z0-9]{6,30}"),
    "titre": re.compile(r"[0-9]{18}"),
    "role": re.compile(r"[A-Z0-9]{21}"),
}

NUMCLI_LENGTH = 6


class Debt(Table):
    """One debt of the treasury's ledger.

    :ivar exer: the budget year, four digits
    :ivar amount: what must be paid, in cents; the whole of it
    :ivar label: what the payer reads when the request says nothing
    """

    reference: Annotated[str, StringConstraints(min_length=1, max_length=30)]
    exer: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")]
    amount: int = Field(ge=100, le=99_999_999)
    label: str = Field("", max_length=100)


class Terms(Table):
    """A merchant's ``protocol`` table, as far as both variants read it.

    :ivar numcli: the client number the treasury gave; leading zeros are part of it
    :ivar kind: ``regie`` (its debts are known to its own software alone), ``titre`` or ``role`` (debts of the ledger)
    :ivar notify: where a notification carries its parameters: ``body``, ``query`` or ``both``. The real service wrote
        them into the query for some days of August 2024
    :ivar debts: the ledger of a ``titre`` or ``role`` client; nothing else can be paid there
    """

    numcli: str
    kind: Kind = "regie"
    notify: Literal["body", "query", "both"] = "body"
    debts: tuple[Debt, ...] = ()

    @field_validator("numcli")
    @classmethod
    def _six_digits(cls, numcli: str) -> str:
        if not re.fullmatch(r"[0-9]{6}", numcli, re.ASCII):
            raise ValueError('must be six digits in quotes, such as "004200"')
        return numcli

    @model_validator(mode="after")
    def _ledger_fits(self) -> "Terms":
        if self.kind == "regie" and self.debts:
            raise ValueError("debts: only a titre or role client has a ledger; remove them or set kind")
        if self.kind != "regie" and not self.debts:
            raise ValueError(f"debts: a {self.kind} client can be paid nothing but debts of its ledger; list them")
        for debt in self.debts:
            if not REFERENCES[self.kind].fullmatch(debt.reference):
                raise ValueError(f"debts: {debt.reference} is no reference of a {self.kind}")
        if len({(debt.exer, debt.reference) for debt in self.debts}) != len(self.debts):
            raise ValueError("debts: the same exer and reference stand twice")
        return self

    def debt(self, year: str, reference: str) -> Debt | None:
        """Find a debt in the ledger."""
        return next((debt for debt in self.debts if (debt.exer, debt.reference) == (year, reference)), None)


T = TypeVar("T", bound=Terms)


@dataclass(frozen=True, slots=True)
class Client(Generic[T]):
    """A merchant with its own terms."""

    merchant: Merchant
    terms: T


class Clients(Generic[T]):
    """The merchants of one variant.

    Raises :class:`SettingsError` with every fault of their ``protocol`` tables.
    """

    def __init__(self, merchants: Mapping[str, Merchant], terms: type[T], house: House) -> None:
        faults: list[str] = []
        others = (merchant for name, merchant in house.book.items() if name not in merchants)
        self._elsewhere = frozenset(str(merchant.protocol.get("numcli", "")) for merchant in others)
        self._by_number: dict[str, Client[T]] = {}
        self._by_merchant: dict[str, Client[T]] = {}
        for merchant in merchants.values():
            read = read_protocol(terms, merchant, faults)
            if read is None:
                continue
            client = Client(merchant, read)
            if merchant.currency != "EUR":
                faults.append(f"merchants.{merchant.id}.currency: this protocol counts in euros alone; set EUR")
            number = client.terms.numcli
            if other := self._by_number.get(number):
                place = f"merchants.{merchant.id}.protocol.numcli"
                faults.append(f"{place}: {number} is {other.merchant.id}'s already; give each client its own")
            self._by_number[number] = self._by_merchant[merchant.id] = client
        if faults:
            raise SettingsError(tuple(faults))

    @property
    def merchants(self) -> frozenset[str]:
        """The ids of all of them."""
        return frozenset(self._by_merchant)

    def numbered(self, numcli: str) -> Client[T] | None:
        """Find a client by its number, with or without its leading zeros."""
        return self._by_number.get(numcli.zfill(NUMCLI_LENGTH))

    def is_elsewhere(self, numcli: str) -> bool:
        """Say whether a number is that of a client of the other variant: a contract is for one of them."""
        return numcli.zfill(NUMCLI_LENGTH) in self._elsewhere

    def of(self, merchant: str) -> Client[T] | None:
        """Find a client by its merchant id; ``None`` when the book lost it since."""
        return self._by_merchant.get(merchant)
