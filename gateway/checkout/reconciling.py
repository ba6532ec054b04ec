"""How our book is held against the acquirer's, and what of the difference can be settled without a person.

A statement is never believed alone where the acquirer can be asked: what it says raises the question, the acquirer's own
answer makes it true. Nothing is ever invented, asked for again, or given back here (docs/operations.md says why).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from gateway.acquirers.statement import Standing, Statement, card_digest
from gateway.checkout.capturing import Capturing
from gateway.checkout.desk import Desk
from gateway.checkout.settling import Settling
from gateway.core.errors import AcquirerUnreachable, WrongStatus
from gateway.core.money import EXPONENTS, Money
from gateway.core.states import AttemptStatus

_A = AttemptStatus
_DOUBT = frozenset({_A.AUTHORISING, _A.UNKNOWN})
# The sweep is giving it back, and asks until it is done.
_LEAVING = frozenset({_A.REVERSING})
_APPROVED = frozenset({_A.APPROVED, _A.CAPTURE_ERROR})
# An answer may still be on its way to whoever asked; its deadline is 35 seconds.
_UNDER_WAY = timedelta(minutes=1)
_PAID_OUT = frozenset({_A.CAPTURED, _A.PART_REFUNDED, _A.REFUNDED})


class Remedy(StrEnum):
    """What may be done about a difference; a person must see to one without."""

    ASK = "ask the acquirer, and settle the payment by its answer"
    TAKE_UP = "write the lost authorisation down, then ask"
    PAID_OUT = "note that the money was paid out"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing the two books do not agree on, in words.

    :ivar operation: the authorisation it is about
    :ivar payment: public id; empty when none of ours is known
    """

    what: str
    operation: str
    payment: str = ""
    attempt_id: int = 0
    is_captured: bool = False
    remedy: Remedy | None = None


class Reconciling:
    """Compares the books; settles what the acquirer confirms."""

    def __init__(self, desk: Desk, settling: Settling, capturing: Capturing) -> None:
        self._desk, self._settling, self._capturing = desk, settling, capturing

    def differences(self, statement: Statement) -> list[Difference]:
        """Say on what the two books disagree: theirs in the order of the statement, then what is in ours only."""
        period, theirs = statement.period, {standing.operation: standing for standing in statement.standings}
        with self._desk.store.reading() as tx:
            ours = tx.statements.asked(list(theirs))
            waiting = tx.statements.waiting()
            ours_only = [r for r in tx.statements.approved(period.since, period.until) if r.op_id not in theirs]
        found: list[Difference] = []
        for standing in statement.standings:
            if standing.operation in ours:
                found.extend(_compared(standing, ours[standing.operation], statement))
            elif standing.holds_money:
                found.append(_unknown(standing, waiting))
        taken = Counter(one.payment for one in found if one.remedy is Remedy.TAKE_UP)
        found = [one if taken[one.payment] < 2 else replace(one, remedy=None) for one in found]
        return found + [_ours_only(row) for row in ours_only]

    def repair(self, difference: Difference) -> str:
        """Settle one difference that has a remedy; says what became of it.

        Raises :class:`WrongStatus` when the payment has moved on meanwhile and :class:`AcquirerUnreachable` when nobody
        answered: then the sweep, or the next comparison, will settle it.
        """
        if difference.remedy is None:
            raise WrongStatus("a person must see to this")
        if difference.remedy is Remedy.TAKE_UP:
            self._take_up(difference)
        if difference.remedy is not Remedy.PAID_OUT:
            self._ask(difference)
        if difference.is_captured:
            self._capturing.learn(difference.attempt_id)
        with self._desk.store.reading() as tx:
            row, attempt = tx.payments.get(difference.payment), tx.attempts.get(difference.attempt_id)
        return f"{difference.payment} is {row.status}, its card {attempt.status}"

    def _take_up(self, difference: Difference) -> None:
        """Write down what was written down before the book was lost: that this authorisation was asked for."""
        now = self._desk.now()
        with self._desk.store.transaction() as tx:
            row = tx.payments.take(difference.payment)
            attempt = tx.attempts.get(difference.attempt_id)
            if attempt.status == _A.AUTHENTICATING:
                # The acquirer would not have approved before the right code was typed.
                tx.attempts.close_challenge(attempt.id, now)
                tx.attempts.move(attempt, _A.AUTHENTICATED)
                self._desk.note(tx, row, "attempt.authenticated", attempt=attempt.public_id, by="statement")
                attempt = tx.attempts.get(attempt.id)
            self._settling.pledge(tx, row, attempt, difference.operation)

    def _ask(self, difference: Difference) -> None:
        with self._desk.store.reading() as tx:
            row = tx.payments.get(difference.payment)
        try:
            answer = self._desk.acquirer.status(difference.operation, Money(row.amount_cents, row.currency))
        except AcquirerUnreachable:
            self._settling.doubt(difference.attempt_id)
            raise
        self._settling.record(difference.attempt_id, difference.operation, answer)


def _compared(standing: Standing, ours: Row[Any], statement: Statement) -> Iterator[Difference]:
    """Hold one authorisation that both books know against itself."""
    about = {"operation": standing.operation, "payment": ours.public_id, "attempt_id": ours.attempt_id}
    told = f"{_told(standing)} for {ours.public_id}"
    if (standing.amount, standing.currency) != (ours.amount_cents, ours.currency):
        yield Difference(f"{told}; here it is {_sum(ours.amount_cents, ours.currency)}", **about)
        return
    if not standing.is_whole:
        yield Difference(f"{told}: {_sum(standing.captured, standing.currency)} paid out", **about)
        return
    until = statement.period.until
    is_under_way = ours.status == _A.AUTHORISING and until - ours.asked_at < _UNDER_WAY
    if ours.status in _LEAVING or is_under_way or (ours.changed_at and ours.changed_at > until):
        # What was answered after the statement was written is for the next one.
        return
    if standing.holds_money and ours.status in _DOUBT:
        is_captured = standing.state == "captured"
        yield Difference(f"{told}; unknown here", **about, is_captured=is_captured, remedy=Remedy.ASK)
    elif standing.state == "captured" and ours.status in _APPROVED:
        yield Difference(f"{told}; not paid out yet here", **about, is_captured=True, remedy=Remedy.PAID_OUT)
    elif standing.holds_money is not _holds_money(ours):
        yield Difference(f"{told}; here its card is {ours.status}", **about)
    elif standing.state == "approved" and ours.status in _PAID_OUT:
        yield Difference(f"{told}, not paid out; here its card is {ours.status}", **about)
    if standing.state == "captured" and standing.refunded != ours.refunded:
        here = _sum(ours.refunded, ours.currency)
        yield Difference(f"{told}: {_sum(standing.refunded, standing.currency)} given back; here {here}", **about)


def _holds_money(ours: Row[Any]) -> bool:
    return ours.status in (_APPROVED | _PAID_OUT) - {_A.REFUNDED}


def _unknown(standing: Standing, waiting: list[Row[Any]]) -> Difference:
    """Look for the one card this approval can only be for: enrolled here, waiting, and for the same sum."""
    same = [
        row
        for row in waiting
        if (card_digest(row.token), row.amount_cents, row.currency)
        == (standing.card, standing.amount, standing.currency)
    ]
    if len(same) != 1:
        return Difference(f"{_told(standing)}; no payment here knows of it", standing.operation)
    return Difference(
        f"{_told(standing)} for the card of {same[0].public_id}; here it was never asked for",
        standing.operation,
        same[0].public_id,
        same[0].id,
        standing.state == "captured",
        Remedy.TAKE_UP,
    )


def _ours_only(ours: Row[Any]) -> Difference:
    what = f"{_sum(ours.amount_cents, ours.currency)} approved here for {ours.public_id}; not in the statement"
    return Difference(what, ours.op_id, ours.public_id, ours.attempt_id)


def _told(standing: Standing) -> str:
    number = f", number {standing.authorisation_number}" if standing.authorisation_number else ""
    amount = _sum(standing.amount, standing.currency)
    return f"{amount} {standing.state} there ({standing.at:%Y-%m-%d %H:%M:%S}{number})"


def _sum(cents: int, currency: str) -> str:
    return f"{Decimal(cents).scaleb(-EXPONENTS.get(currency, 2))} {currency}"
