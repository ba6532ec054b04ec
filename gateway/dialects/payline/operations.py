"""What each SOAP operation asks of the checkout: the commands, carrying what their answer must remember."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.core.errors import BadRequest, Fault, NotFound
from gateway.core.money import AMOUNT_MAX, Money
from gateway.dialects import Capture, Command, Find, House, LookUp, Refund, Say, Signed, Which, soap
from gateway.dialects.payline import details
from gateway.dialects.payline.codes import CODES
from gateway.dialects.payline.form import Form, transaction_id
from gateway.dialects.payline.merchant import Account
from gateway.dialects.payline.opening import read_opening
from gateway.dialects.payline.schema import SCHEMA
from gateway.dialects.soap import Call


class UnknownOperation(BadRequest):
    """An envelope that names no operation of Payline's."""

    def __init__(self, name: str) -> None:
        super().__init__((Fault("", "unknown_operation", name),))
        self.name = name


@dataclass(frozen=True, slots=True)
class Asked:
    """Which operation was called, and the version its answer is filtered by."""

    operation: str = ""
    version: int = SCHEMA.version_min


@dataclass(frozen=True, slots=True)
class PaylineLookUp(LookUp):
    """A question about one payment, by token or by transaction number."""

    asked: Asked = Asked()


@dataclass(frozen=True, slots=True)
class PaylineFind(Find):
    """A question about the payments of one order."""

    asked: Asked = Asked()


@dataclass(frozen=True, slots=True)
class PaylineCapture(Capture):
    """A capture."""

    asked: Asked = Asked()


@dataclass(frozen=True, slots=True)
class PaylineRefund(Refund):
    """A refund, or a reset."""

    asked: Asked = Asked()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, when, and the house it calls.

    :ivar marks: what the SDKs say of themselves, and why they asked again
    """

    account: Account
    house: House
    now: datetime
    marks: Mapping[str, str] = field(default_factory=dict)

    def which(self, *, handle: str = "", number: str = "") -> Which:
        """Name a payment of the caller's own."""
        return Which(frozenset({self.account.merchant.id}), handle=handle, number=number)

    def signed(self, operation: str, *facts: str) -> Signed:
        """Number a request that has no number of its own: each is taken for another."""
        digest = hashlib.sha256("\n".join((operation, *facts)).encode()).hexdigest()
        return Signed(self.account.merchant.id, self.house.draw(16).hex(), digest)


def asked_of(call: Call) -> Asked:
    """Say which operation an envelope names, at which version."""
    return Asked(call.name.removesuffix("Request"), SCHEMA.version(soap.text(call.element, "version")))


def command_of(call: Call, caller: Caller) -> Command:
    """Say what an envelope asks.

    Raises :class:`UnknownOperation`, and :class:`BadRequest` with every fault.
    """
    asked, form = asked_of(call), Form(call.element)
    if asked.operation in SCHEMA.absent:
        values = {"result": details.outcome(CODES["02010"])}
        return Say(soap.reply(SCHEMA.reply(asked.operation, asked.version, values)))
    if asked.operation not in _READERS:
        raise UnknownOperation(asked.operation[:80])
    return _READERS[asked.operation](form, asked, caller)


def _open(form: Form, asked: Asked, caller: Caller) -> Command:  # noqa: ARG001 - one form for every operation
    opening = read_opening(form.element, caller.account, caller.house, caller.now)
    return replace(opening, marks=caller.marks)


def _details(form: Form, asked: Asked, caller: Caller) -> Command:
    token = form.text("token")
    if not is_token(token):
        raise NotFound("no such token")
    return PaylineLookUp(caller.which(handle=token), is_receipt=True, asked=asked)


def _transaction(form: Form, asked: Asked, caller: Caller) -> Command:
    if not form.text("transactionId") and (reference := form.text("orderRef")):
        return PaylineFind(frozenset({caller.account.merchant.id}), reference, asked)
    number = transaction_id(form, "transactionId")
    form.check()
    return PaylineLookUp(caller.which(number=number), asked=asked)


def _capture(form: Form, asked: Asked, caller: Caller) -> Command:
    number = transaction_id(form, "transactionID")
    amount = _amount(form, caller, "payment")
    form.check()
    return PaylineCapture(caller.which(number=number), caller.signed(asked.operation, number), amount, asked)


def _refund(form: Form, asked: Asked, caller: Caller) -> Command:
    """Read a refund. Its ``payment.action`` is not looked at: merchants send back the payment they were told of."""
    number = transaction_id(form, "transactionID")
    amount = _amount(form, caller, "payment")
    form.check()
    signed = caller.signed(asked.operation, number, str(amount))
    return PaylineRefund(caller.which(number=number), amount, signed, form.text("comment")[:140], asked=asked)


def _reset(form: Form, asked: Asked, caller: Caller) -> Command:
    number = transaction_id(form, "transactionID")
    amount = _amount(form, caller)
    form.check()
    signed = caller.signed(asked.operation, number, str(amount))
    reason = form.text("comment")[:140]
    return PaylineRefund(caller.which(number=number), amount, signed, reason, before_settlement=True, asked=asked)


def _settings(form: Form, asked: Asked, caller: Caller) -> Command:  # noqa: ARG001 - one form for every operation
    values = {
        "result": details.outcome(CODES["00000"]),
        "listPointOfSell": details.settings(caller.account),
    }
    return Say(soap.reply(SCHEMA.reply(asked.operation, asked.version, values)))


def _key(form: Form, asked: Asked, caller: Caller) -> Command:  # noqa: ARG001 - one form for every operation
    """Say that credentials are good, which is what plugins ask this for; cards are typed on our page alone, so no key."""
    return Say(soap.reply(SCHEMA.reply(asked.operation, asked.version, {"result": details.outcome(CODES["00000"])})))


def _amount(form: Form, caller: Caller, *parent: str) -> Money | None:
    """Read how much of the transaction is meant; ``None`` for all of it."""
    if not form.text(*parent, "amount"):
        return None
    cents = form.cents("Payment Amount", AMOUNT_MAX, *parent, "amount")
    named = form.text(*parent, "currency")
    currency = form.currency("Payment Currency", *parent, "currency") if named else caller.account.merchant.currency
    return Money(cents, currency)


def is_token(text: str) -> bool:
    """Whether a text has the shape of a token (at most 50 letters and digits)."""
    return text.isascii() and text.isalnum() and len(text) <= 50


_READERS: Mapping[str, Callable[[Form, Asked, Caller], Command]] = {
    "doWebPayment": _open,
    "getWebPaymentDetails": _details,
    "getTransactionDetails": _transaction,
    "doCapture": _capture,
    "doRefund": _refund,
    "doReset": _reset,
    "getMerchantSettings": _settings,
    "getEncryptionKey": _key,
}
