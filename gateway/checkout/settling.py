"""How money is asked for and how the answer becomes true: intent, call, record.

No transaction is open across the network. If the call raises, or this process dies, the attempt stays ``authorising`` or
``unknown`` and ``gateway.checkout.sweeping`` asks the acquirer what became of it. An unclear answer is never guessed: only an explicit code
declines, and "not found" leads to a reversal that leaves a tombstone, because the message may still be on its way.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from gateway.acquirers import Answer, Outcome
from gateway.checkout.desk import Desk
from gateway.checkout.limiting import Limiting
from gateway.core.errors import AcquirerUnreachable, StoreBusy, WrongStatus
from gateway.core.money import Money
from gateway.core.states import AttemptStatus, Status
from gateway.store import Transaction
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)

# The acquirer's own deadline is 25 s; after this much more nobody is waiting for its answer any longer.
_DEADLINE = timedelta(seconds=35)
# Somebody asks about these already. Any other has been settled meanwhile, and a late doubt says nothing of it.
_ASKED_ABOUT = frozenset({AttemptStatus.UNKNOWN, AttemptStatus.REVERSING})


@dataclass(frozen=True)
class Intent:
    """An authorisation that is durable and about to be asked for.

    :ivar follows: for a later instalment, the authorisation that the payer was there for
    :ivar is_withheld: the card passed a limit: the bank is not asked, and the answer is a refusal
    """

    payment: PaymentRow
    attempt: Row[Any]
    op_id: str
    follows: str = ""
    is_withheld: bool = False


class Settling:
    """Asks for money, and makes the answer true."""

    def __init__(self, desk: Desk, limiting: Limiting) -> None:
        self._desk, self._limiting = desk, limiting

    def authorise(self, public_id: str) -> None:
        """Ask the acquirer for the money, once: the intent, then the call.

        Raises :class:`WrongStatus` when the payment is not ready for it, or not any more.
        """
        intent = self.intend(public_id, by_payer=False)
        if intent is not None:
            self.ask(intent)

    def intend(self, public_id: str, *, by_payer: bool = True, shown: str = "") -> Intent | None:
        """Write down, durably, that the money is about to be asked for; ``None`` when it is too late to ask.

        :param by_payer: a payer's page asks, and a later instalment has none
        :param shown: the attempt whose card the payer saw, where one did: another may have been typed in another tab since

        Raises :class:`WrongStatus` when the payment is not ready for it, or not any more.
        """
        with self._desk.store.transaction() as tx:
            return self.intend_within(tx, tx.payments.take(public_id), by_payer=by_payer, shown=shown)

    def intend_within(
        self, tx: Transaction, row: PaymentRow, *, by_payer: bool = True, shown: str = ""
    ) -> Intent | None:
        """Do so in a transaction that has taken the payment; nothing may be asked of the bank before it is committed."""
        attempt = tx.attempts.front(row.id)
        if row.status != Status.OPENED or attempt is None or attempt.status != AttemptStatus.AUTHENTICATED:
            raise WrongStatus("this payment does not wait for its authorisation")
        if shown not in ("", attempt.public_id):
            raise WrongStatus("another card waits for it now")
        if row.parent_id and (by_payer or self._is_given_back(tx.payments.by_id(row.parent_id))):
            raise WrongStatus("this instalment is asked for on its day, while its purchase is kept")
        if row.expires_at <= self._desk.now():
            self._desk.give_up(tx, row, Status.EXPIRED, why="the page's time had run out")
            return None
        op_id, may_ask = self._desk.new_id("op"), self._limiting.may_ask(tx, attempt)
        self.pledge(tx, row, attempt, op_id)
        first = tx.attempts.operation(tx.attempts.first_debit(row.parent_id).id, "authorise") if row.parent_id else None
        return Intent(row, attempt, op_id, first.op_id if first else "", is_withheld=not may_ask)

    @staticmethod
    def _is_given_back(purchase: PaymentRow) -> bool:
        """Say whether a purchase was given back whole, or is being given back this moment."""
        return bool(purchase.refunded_cents >= purchase.amount_cents)

    def pledge(self, tx: Transaction, row: PaymentRow, attempt: Row[Any], op_id: str) -> None:
        """Write an authorisation's intent down: from here on its debts are busy, and the sweep looks after it."""
        now = self._desk.now()
        tx.attempts.move(attempt, AttemptStatus.AUTHORISING, next_at=now + _DEADLINE, tries=0)
        tx.debts.move_all(row.id, "locked", "busy")
        tx.attempts.hold_debts(attempt.id, row.id)
        tx.attempts.add_operation(op_id, attempt.id, "authorise", row.amount_cents, now)
        self._desk.move(tx, row, Status.WORKING, "attempt.authorising", at={}, attempt=attempt.public_id)

    def ask(self, intent: Intent) -> None:
        """Make the call of an intent and record its answer.

        From here on the money may be on its way: a database that is away is no reason to tell the payer that nothing
        happened. The attempt stays ``authorising``, and the sweep asks again.
        """
        row, attempt = intent.payment, intent.attempt
        amount = Money(row.amount_cents, row.currency)
        try:
            try:
                answer = self._answer(intent, amount)
            except AcquirerUnreachable:
                self.doubt(attempt.id)
                return
            self.record(attempt.id, intent.op_id, answer)
        except StoreBusy:
            log.error("an answer could not be written down; the sweep will ask again", extra={"payment": row.public_id})

    def _answer(self, intent: Intent, amount: Money) -> Answer:
        attempt, op_id = intent.attempt, intent.op_id
        if intent.is_withheld:
            return self._limiting.refusal(op_id, amount)

        def call() -> Answer:
            return self._desk.acquirer.authorise(
                attempt.token,
                amount,
                op_id=op_id,
                scheme=attempt.scheme,
                authentication=attempt.authentication,
                follows=intent.follows,
            )

        return self._limiting.timed("authorise", call)

    def record(self, attempt_id: int, op_id: str, answer: Answer) -> None:
        """Make a clear answer true; anything else is doubt."""
        with self._desk.store.transaction() as tx:
            row, attempt = tx.payments.take_of_attempt(attempt_id), tx.attempts.get(attempt_id)
            expected = (op_id, Money(row.amount_cents, row.currency))
            if (answer.op_id, answer.amount) != expected:
                log.error("acquirer answered another question", extra={"payment": row.public_id})
            elif answer.outcome is Outcome.APPROVED:
                tx.attempts.answer_operation(op_id, answer.outcome, self._desk.now())
                self._approve(tx, row, attempt, answer)
                return
            elif answer.outcome is Outcome.DECLINED:
                tx.attempts.answer_operation(op_id, answer.outcome, self._desk.now())
                self._decline(tx, row, attempt, answer)
                return
            elif attempt.status == AttemptStatus.UNKNOWN:
                # Never seen, or reversed by somebody: make sure that it can never be debited late.
                self.reverse_soon(tx, row, attempt)
                return
        self.doubt(attempt_id)

    def _approve(self, tx: Transaction, row: PaymentRow, attempt: Row[Any], answer: Answer) -> None:
        now = self._desk.now()
        capture_at = self._desk.capture_at(row, now)
        tx.attempts.move(
            attempt,
            AttemptStatus.APPROVED,
            response_code=answer.response_code,
            authorisation_number=answer.authorisation_number,
            ended_at=now,
            token=attempt.token if tx.instalments.are_open(row.id) else "",
            next_at=capture_at,
            tries=0,
        )
        tx.attempts.post(attempt.id, "debit", Money(row.amount_cents, row.currency), now)
        tx.debts.move_all(row.id, "busy", "paid")
        moments = {"paid_at": now, "ended_at": now}
        self._desk.move(tx, row, Status.PAID, "payment.succeeded", at=moments, attempt=attempt.public_id)
        if capture_at is not None and capture_at > now:
            self._desk.note(tx, row, "payment.remittance_planned", at=capture_at.isoformat(timespec="seconds"))
        log.info("payment authorised", extra={"payment": row.public_id, "merchant": row.merchant_id})

    def _decline(self, tx: Transaction, row: PaymentRow, attempt: Row[Any], answer: Answer) -> None:
        tx.attempts.move(
            attempt,
            AttemptStatus.DECLINED,
            response_code=answer.response_code,
            response_family=answer.family,
            ended_at=self._desk.now(),
            token="",
            next_at=None,
        )
        self._desk.note(tx, row, "attempt.declined", attempt=attempt.public_id, code=answer.response_code)
        self.reopen(tx, row)

    def reopen(self, tx: Transaction, row: PaymentRow) -> None:
        """Nothing was debited: let the payer try another card, or end the payment when no try is left."""
        tx.debts.move_all(row.id, "busy", "locked")
        tx.payments.move(row, Status.OPENED)
        if tx.attempts.count_refused(row.id) >= row.attempts_max:
            self._desk.close(tx, tx.payments.by_id(row.id), Status.FAILED, why="no try left")

    def doubt(self, attempt_id: int) -> None:
        """Note that nobody knows what became of an authorisation; the resolver will ask at once."""
        now = self._desk.now()
        with self._desk.store.transaction() as tx:
            row, attempt = tx.payments.take_of_attempt(attempt_id), tx.attempts.get(attempt_id)
            if attempt.status in _ASKED_ABOUT:
                tx.attempts.reschedule(attempt, now + backoff(attempt.tries))
            if attempt.status != AttemptStatus.AUTHORISING:
                return
            tx.attempts.move(attempt, AttemptStatus.UNKNOWN, next_at=now, tries=0)
            self._desk.note(tx, row, "attempt.unknown", attempt=attempt.public_id)
            log.warning("authorisation unknown", extra={"payment": row.public_id})

    def decide(self, public_id: str, *, approved: bool) -> None:
        """Settle an attempt that waits in review, as two people found with the acquirer's own evidence.

        Raises :class:`WrongStatus` when nothing of this payment waits for people.
        """
        with self._desk.store.transaction() as tx:
            row = tx.payments.take(public_id)
            attempt = tx.attempts.money(row.id)
            if attempt.status != AttemptStatus.REVIEW:
                raise WrongStatus("no attempt of this payment is in review")
            if approved:
                amount = Money(row.amount_cents, row.currency)
                self._approve(tx, row, attempt, Answer("", Outcome.APPROVED, amount, authorisation_number="REVIEW"))
                return
            self.reversed(tx, row, attempt)

    def reversed(self, tx: Transaction, row: PaymentRow, attempt: Row[Any]) -> None:
        """Note that the money will never be debited, and let the payer try again."""
        facts = {"response_family": "technical", "ended_at": self._desk.now(), "token": "", "next_at": None}
        tx.attempts.move(attempt, AttemptStatus.REVERSED, **facts)
        self._desk.note(tx, row, "attempt.reversed", attempt=attempt.public_id)
        self.reopen(tx, row)

    def reverse_soon(self, tx: Transaction, row: PaymentRow, attempt: Row[Any]) -> None:
        now = self._desk.now()
        tx.attempts.move(attempt, AttemptStatus.REVERSING, next_at=now, tries=0)
        tx.attempts.add_operation(self._desk.new_id("op"), attempt.id, "reverse", row.amount_cents, now)
        self._desk.note(tx, row, "attempt.reversing", attempt=attempt.public_id)


def backoff(tries: int, longest_seconds: int = 60) -> timedelta:
    """Wait 5, 10, 20, 40 seconds and so on, at most ``longest_seconds``, between two looks at the same doubt."""
    return timedelta(seconds=min(5 * 2 ** max(tries - 1, 0), longest_seconds))
