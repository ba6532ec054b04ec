"""Which contracts a payment is offered on, and so which card brands the payer may use."""

from dataclasses import dataclass

from gateway.dialects import soap
from gateway.dialects.payline.form import Form
from gateway.dialects.payline.merchant import Account, Contract
from gateway.dialects.payline.schema import SCHEMA


@dataclass(frozen=True, slots=True)
class Offer:
    """The contracts the payer may pay on: at first, and once a card was refused (none: the same)."""

    first: tuple[Contract, ...]
    second: tuple[Contract, ...]


def read_offer(form: Form, account: Account) -> Offer:
    """Read the lists of a request: without a first one all the merchant's contracts are offered, the payment's own first.

    Contracts the merchant has not are noted as 02303.
    """
    own = form.text("payment", "contractNumber")
    first, second = _listed(form, "selectedContractList"), _listed(form, "secondSelectedContractList")
    every = tuple(contract.number for contract in account.terms.contracts)
    for number in dict.fromkeys((own or every[0], *first, *second)):
        if number not in every:
            form.refuse("/payment/contractNumber", "02303", number[:20])
    offered = sorted(dict.fromkeys(first or every), key=lambda number: number != own)
    return Offer(account.contracts(offered), account.contracts(dict.fromkeys(second)))


def brands(contracts: tuple[Contract, ...]) -> tuple[str, ...]:
    """Give the brands these contracts take together."""
    return tuple(dict.fromkeys(brand for contract in contracts for brand in contract.brands))


def numbers(contracts: tuple[Contract, ...]) -> str:
    """Write contracts down, each once, as :meth:`Account.contracts` reads them back."""
    return " ".join(dict.fromkeys(contract.number for contract in contracts))


def _listed(form: Form, name: str) -> tuple[str, ...]:
    listed = (SCHEMA.read(soap.child(form.element, name), "selectedContractList") or {}).get("selectedContract")
    return tuple(map(str, listed)) if isinstance(listed, tuple) else ()
