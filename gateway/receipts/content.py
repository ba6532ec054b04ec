"""What a receipt says: the facts of one debit or refund, for the payer or for the merchant.

A :class:`Receipt` is plain values, already safe to print: control characters are gone, a card number typed into a free
text is masked, and nothing of the card but its last four digits came in. PDF, mails and HTML all read its rows.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from gateway.core.card import luhn_valid, scheme_of
from gateway.core.errors import BadField
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Line, Mode, PaymentResult, RefundResult
from gateway.core.states import MONEY, AttemptStatus
from gateway.receipts.words import SCHEMES, WORDS, format_moment, format_money, receipt_language

# Attempts that did debit the payer once, whatever was given back since.
_DEBITED = MONEY | {AttemptStatus.REFUNDED}

# Thirteen to nineteen digits, with the separators people type between them.
_DIGIT_RUN = re.compile(r"(?<!\d)\d(?:[ .\-\u00a0\u202f]?\d){12,18}(?!\d)")


class Audience(StrEnum):
    """Whose copy it is."""

    PAYER = "payer"
    MERCHANT = "merchant"


class Operation(StrEnum):
    """Which way the money went."""

    DEBIT = "debit"
    REFUND = "refund"


_OPERATIONS = {"payment.succeeded": Operation.DEBIT, "payment.refunded": Operation.REFUND}


@dataclass(frozen=True, slots=True)
class Row:
    """One printed fact; ``key`` is stable, ``label`` and ``value`` are in the reader's language."""

    key: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt, ready to be printed in any language.

    :ivar number: the gateway's transaction number; ``order`` is the merchant's reference of the payment
    :ivar refund: the refund's id; empty for the payment itself
    :ivar amount: what this operation moved; ``total`` is what the payment debited
    :ivar test: true outside production: no money moved
    :ivar statement: what the payer's bank statement is to call the payment, when the merchant said so
    """

    payment: str
    number: str
    order: str
    operation: Operation
    audience: Audience
    duplicate: bool
    test: bool
    payee_name: str
    payee_service: str
    payee_address: tuple[str, ...]
    payee_contact: tuple[str, ...]
    contract: str
    lines: tuple[Line, ...]
    amount: Money
    total: Money
    at: datetime
    paid_at: datetime
    email: str
    payer_name: str
    beneficiary: str
    comment: str
    scheme: str
    last4: str
    authorisation: str
    statement: str
    refund: str = ""

    @classmethod
    def of(
        cls,
        result: PaymentResult,
        event_type: str,
        audience: Audience | str,
        duplicate: bool = False,
        *,
        refund: str = "",
    ) -> Self:
        """Gather what the receipt of one event says.

        :param event_type: ``payment.succeeded`` or ``payment.refunded``; raises :class:`BadField` for others
        :param refund: the id of the refund meant; the latest one when empty
        """
        if event_type not in _OPERATIONS:
            raise BadField("event_type", "no_receipt", f"receipts exist for {', '.join(_OPERATIONS)}")
        request, payee, attempt = result.request, result.payee, _debit(result)
        paid_at = result.paid_at or result.ended_at or result.created_at
        operation, amount, at = _OPERATIONS[event_type], request.amount, paid_at
        if operation is Operation.REFUND:
            given = _refund(result, refund)
            amount, at, refund = given.amount, given.requested_at, given.id
        return cls(
            payment=result.id,
            number=result.number,
            order=plain(request.reference),
            operation=operation,
            audience=Audience(audience),
            duplicate=duplicate,
            test=payee.mode is not Mode.PRODUCTION,
            payee_name=plain(payee.name),
            payee_service=plain(payee.service),
            payee_address=tuple(plain(line) for line in payee.address),
            payee_contact=tuple(plain(way) for way in (payee.contact_email, payee.contact_phone) if way),
            contract=plain(payee.contract),
            lines=tuple(Line(plain(line.reference), _free(line.label), line.amount) for line in _lines(result)),
            amount=amount,
            total=request.amount,
            at=at,
            paid_at=paid_at,
            email=plain(result.email or request.email),
            payer_name=_free(request.payer_name),
            beneficiary=_free(request.beneficiary),
            comment=_free(request.comment) if audience == Audience.MERCHANT else "",
            scheme=SCHEMES.get(attempt.scheme, attempt.scheme) if attempt else "",
            last4=attempt.last4[-4:] if attempt else "",
            authorisation=attempt.authorisation_number if attempt else "",
            statement=_free(request.statement),
            refund=refund if operation is Operation.REFUND else "",
        )

    @property
    def file_name(self) -> str:
        """The ticket's file name: whose copy, and the transaction number."""
        copy = "client" if self.audience is Audience.PAYER else "merchant"
        return f"ticket-{copy}-{re.sub(r'[^A-Za-z0-9_-]', '-', self.number)}.pdf"

    @property
    def masked_card(self) -> str:
        """The card as it may be printed: its last four digits, the rest as dots."""
        return f"•••• •••• •••• {self.last4}" if self.last4 else ""

    def title(self, language: str) -> str:
        """Name the document."""
        return WORDS[language][f"title_{self.operation}"]

    def money(self, amount: Money, language: str) -> str:
        """Write an amount as the whole receipt does."""
        return format_money(amount, language)

    def moment(self, language: str) -> str:
        """Write when the operation took place."""
        return format_moment(self.at, language)

    def payment_rows(self, language: str) -> tuple[Row, ...]:
        """List the facts of the payment, those that are known."""
        words = WORDS[language]
        original = f"{format_money(self.total, language)}, {format_moment(self.paid_at, language)}"
        return _known(
            language,
            order=self.order,
            number=self.number,
            date=self.moment(language),
            operation=words[self.operation],
            amount=format_money(self.amount, language),
            original=original if self.operation is Operation.REFUND else "",
            means=f"{words['means_card']} {self.scheme}".strip(),
            statement=self.statement,
            payer_name=self.payer_name,
            email=self.email,
            beneficiary=self.beneficiary,
            comment=self.comment,
        )

    def card_rows(self, language: str) -> tuple[Row, ...]:
        """List what a card terminal would print, as far as it is known."""
        return _known(
            language,
            scheme=self.scheme,
            card=self.masked_card,
            contract=self.contract,
            authorisation=self.authorisation,
            entry=WORDS[language]["entry_mode"],
        )

    def rows(self, language: str) -> tuple[Row, ...]:
        """List every fact, payment first."""
        return self.payment_rows(language) + self.card_rows(language)


def language_of(result: PaymentResult, audience: Audience | str) -> str:
    """Choose the language a copy is written in: the payer's own, or the merchant's staff's."""
    return receipt_language(result.language if audience == Audience.PAYER else result.payee.language)


def plain(text: str) -> str:
    """Make a text printable on one line: control, format and surrogate characters become a space.

    Format characters go because they can reorder what is read (bidirectional overrides).
    """
    kept = "".join(" " if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char for char in text)
    return re.sub(r" {2,}", " ", kept).strip()


def _free(text: str) -> str:
    """Print a text somebody typed freely, which may hold a card number by mistake."""
    return _DIGIT_RUN.sub(_mask, plain(text))


def _mask(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return f"•••• {digits[-4:]}" if scheme_of(digits) and luhn_valid(digits) else match[0]


def _known(language: str, **facts: str) -> tuple[Row, ...]:
    return tuple(Row(key, WORDS[language][key], value) for key, value in facts.items() if value)


def _lines(result: PaymentResult) -> tuple[Line, ...]:
    request = result.request
    return request.lines or (Line(request.reference, request.label, request.amount),)


def _debit(result: PaymentResult) -> AttemptResult | None:
    """Find the card submission that took the money; refused ones before it are not the receipt's business."""
    return next((attempt for attempt in reversed(result.attempts) if attempt.status in _DEBITED), result.attempt)


def _refund(result: PaymentResult, wanted: str) -> RefundResult:
    for refund in reversed(result.refunds):
        if wanted in ("", refund.id):
            return refund
    raise BadField("refund", "unknown_refund", "name a refund of this payment")
