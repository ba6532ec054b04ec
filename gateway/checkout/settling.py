"""How money is asked for and how the answer becomes true: intent, call, record; and what heals a call that was lost.

No transaction is open across the network. If the call raises, or this process dies, the attempt stays ``authorising`` or
``unknown`` and the sweep asks the acquirer what became of it. An unclear answer is never guessed: only an explicit code
declines, and "not found" leads to a reversal that leaves a tombstone, because the message may still be on its way.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from gateway.acquirers import Answer, Outcome
from gateway.checkout.desk import Desk
from gateway.core.challenge import CHALLENGE_LIFE
from gateway.core.errors import AcquirerUnreachable, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import AttemptStatus, Status
from gateway.store import Transaction
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)

# The acquirer's own deadline is 25 s; after this much more nobody is waiting for its answer any longer.
_DEADLINE = timedelta(seconds=35)
# While one sweeper works on an attempt, others leave it alone for this long.
_SWEEP_LEASE = timedelta(seconds=60)
_INQUIRIES_MAX = 5
_REVERSALS_MAX = 10
_CAPTURES_MAX = 26
_BATCH = 100


class Settling:
    """The money's verbs: authorise, and the sweeps that settle what was left open."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def authorise(self, public_id: str) -> None:
        """Ask the acquirer for the money, once.

        Raises :class:`WrongStatus` when the payment is not ready for it, or not any more.
        """
        intent = self._intend(public_id)
        if intent is None:
            return
        row, attempt, op_id = intent
        amount = Money(row.amount_cents, row.currency)
        try:
            answer = self._desk.acquirer.authorise(
                attempt.token, amount, op_id=op_id, scheme=attempt.scheme, authentication=attempt.authentication
            )
        except AcquirerUnreachable:
            self._doubt(attempt.id)
            return
        self._record(attempt.id, op_id, answer)

    def _intend(self, public_id: str) -> tuple[PaymentRow, Row[Any], str] | None:
        """Write down, durably, that the money is about to be asked for; ``None`` when it is too late to ask."""
        now = self._desk.now()
        with self._desk.store.transaction() as tx:
            row = tx.payments.get(public_id)
            attempt = tx.attempts.front(row.id)
            if row.status != Status.OPENED or attempt is None or attempt.status != AttemptStatus.AUTHENTICATED:
                raise WrongStatus("this payment does not wait for its authorisation")
            if row.expires_at <= now:
                self._desk.give_up(tx, row, Status.EXPIRED, why="the page's time had run out")
                return None
            op_id = self._desk.new_id("op")
            tx.attempts.move(attempt, AttemptStatus.AUTHORISING, next_at=now + _DEADLINE, tries=0)
            tx.payments.move(row, Status.WORKING)
            tx.debts.move_all(row.id, "locked", "busy")
            tx.attempts.hold_debts(attempt.id, row.id)
            tx.attempts.add_operation(op_id, attempt.id, "authorise", row.amount_cents, now)
            self._desk.note(tx, row, "attempt.authorising", attempt=attempt.public_id)
        return row, attempt, op_id

    def _record(self, attempt_id: int, op_id: str, answer: Answer) -> None:
        """Make a clear answer true; anything else is doubt."""
        with self._desk.store.transaction() as tx:
            attempt = tx.attempts.get(attempt_id)
            row = tx.payments.by_id(attempt.payment_id)
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
                self._reverse_soon(tx, row, attempt)
                return
        self._doubt(attempt_id)

    def _approve(self, tx: Transaction, row: PaymentRow, attempt: Row[Any], answer: Answer) -> None:
        now = self._desk.now()
        tx.attempts.move(
            attempt,
            AttemptStatus.APPROVED,
            response_code=answer.response_code,
            authorisation_number=answer.authorisation_number,
            ended_at=now,
            token="",
            next_at=now,
            tries=0,
        )
        tx.attempts.post(attempt.id, "debit", Money(row.amount_cents, row.currency), now)
        tx.debts.move_all(row.id, "busy", "paid")
        tx.payments.move(row, Status.PAID, paid_at=now, ended_at=now)
        self._desk.note(tx, row, "payment.succeeded", attempt=attempt.public_id)
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
        self._reopen(tx, row)

    def _reopen(self, tx: Transaction, row: PaymentRow) -> None:
        """Nothing was debited: let the payer try another card, or end the payment when no try is left."""
        tx.debts.move_all(row.id, "busy", "locked")
        tx.payments.move(row, Status.OPENED)
        if tx.attempts.count_refused(row.id) >= row.attempts_max:
            self._desk.close(tx, tx.payments.by_id(row.id), Status.FAILED, why="no try left")

    def _doubt(self, attempt_id: int) -> None:
        """Note that nobody knows what became of an authorisation; the resolver will ask at once."""
        now = self._desk.now()
        with self._desk.store.transaction() as tx:
            attempt = tx.attempts.get(attempt_id)
            if attempt.status != AttemptStatus.AUTHORISING:
                tx.attempts.reschedule(attempt_id, now + _backoff(attempt.tries))
                return
            tx.attempts.move(attempt, AttemptStatus.UNKNOWN, next_at=now, tries=0)
            row = tx.payments.by_id(attempt.payment_id)
            self._desk.note(tx, row, "attempt.unknown", attempt=attempt.public_id)
            log.warning("authorisation unknown", extra={"payment": row.public_id})

    def _reverse_soon(self, tx: Transaction, row: PaymentRow, attempt: Row[Any]) -> None:
        now = self._desk.now()
        tx.attempts.move(attempt, AttemptStatus.REVERSING, next_at=now, tries=0)
        tx.attempts.add_operation(self._desk.new_id("op"), attempt.id, "reverse", row.amount_cents, now)
        self._desk.note(tx, row, "attempt.reversing", attempt=attempt.public_id)

    # Sweeps: all safe to run twice at once, on any number of machines.

    def sweep(self) -> int:
        """Settle everything that is due once; returns how many things were looked at."""
        return self._sweep_attempts() + self._sweep_overdue() + self._sweep_challenges()

    def _sweep_attempts(self) -> int:
        steps: dict[str, Callable[[Row[Any]], None]] = {
            AttemptStatus.AUTHORISING: lambda attempt: self._doubt(attempt.id),
            AttemptStatus.UNKNOWN: self._inquire,
            AttemptStatus.REVERSING: self._reverse,
            AttemptStatus.APPROVED: self._capture,
            AttemptStatus.CAPTURE_ERROR: self._capture,
        }
        with self._desk.store.reading() as tx:
            due = tx.attempts.due(self._desk.now(), _BATCH)
        for attempt in due:
            with self._desk.store.transaction() as tx:
                mine = tx.attempts.claim(attempt, self._desk.now() + _SWEEP_LEASE)
                attempt = tx.attempts.get(attempt.id)
            if mine and attempt.status in steps:
                self._calmly(steps[attempt.status], attempt)
            elif mine:
                with self._desk.store.transaction() as tx:
                    tx.attempts.reschedule(attempt.id, None)
        return len(due)

    def _calmly(self, step: Callable[[Row[Any]], None], attempt: Row[Any]) -> None:
        """Do one step of the sweep; a silent acquirer or a faster sweeper is no reason to stop the others."""
        try:
            step(attempt)
        except (AcquirerUnreachable, WrongStatus) as error:
            log.info("sweep will look again", extra={"attempt": attempt.public_id, "reason": error.code})
            with self._desk.store.transaction() as tx:
                tx.attempts.reschedule(attempt.id, self._desk.now() + _backoff(attempt.tries))

    def _inquire(self, attempt: Row[Any]) -> None:
        """Ask what became of an authorisation nobody heard of; after five silences, undo it."""
        with self._desk.store.reading() as tx:
            row = tx.payments.by_id(attempt.payment_id)
            operation = tx.attempts.operation(attempt.id, "authorise")
        if operation is None:
            raise WrongStatus("an unknown attempt without a message")
        try:
            answer = self._desk.acquirer.status(operation.op_id, Money(row.amount_cents, row.currency))
        except AcquirerUnreachable:
            if attempt.tries < _INQUIRIES_MAX:
                raise
            with self._desk.store.transaction() as tx:
                self._reverse_soon(tx, row, tx.attempts.get(attempt.id))
            return
        self._record(attempt.id, operation.op_id, answer)

    def _reverse(self, attempt: Row[Any]) -> None:
        """Undo an authorisation, whatever became of it, until the acquirer has acknowledged."""
        with self._desk.store.reading() as tx:
            row = tx.payments.by_id(attempt.payment_id)
            target = tx.attempts.operation(attempt.id, "authorise")
            reversal = tx.attempts.operation(attempt.id, "reverse")
        if target is None or reversal is None:
            raise WrongStatus("a reversal without its messages")
        amount = Money(row.amount_cents, row.currency)
        try:
            answer = self._desk.acquirer.reverse(target.op_id, amount, op_id=reversal.op_id)
        except AcquirerUnreachable:
            if attempt.tries < _REVERSALS_MAX:
                raise
            self._to_review(attempt)
            return
        if (answer.op_id, answer.amount, answer.outcome) != (reversal.op_id, amount, Outcome.REVERSED):
            self._to_review(attempt)
            return
        now = self._desk.now()
        with self._desk.store.transaction() as tx:
            attempt = tx.attempts.get(attempt.id)
            tx.attempts.answer_operation(reversal.op_id, answer.outcome, now)
            facts = {"response_family": "technical", "ended_at": now, "token": "", "next_at": None}
            tx.attempts.move(attempt, AttemptStatus.REVERSED, **facts)
            self._desk.note(tx, row, "attempt.reversed", attempt=attempt.public_id)
            self._reopen(tx, row)

    def _to_review(self, attempt: Row[Any]) -> None:
        """Leave it to people: the debt stays blocked until they have settled it with evidence."""
        with self._desk.store.transaction() as tx:
            attempt = tx.attempts.get(attempt.id)
            tx.attempts.move(attempt, AttemptStatus.REVIEW, next_at=None)
            row = tx.payments.by_id(attempt.payment_id)
            self._desk.note(tx, row, "attempt.review", attempt=attempt.public_id)
        log.error("attempt needs a person", extra={"payment": row.public_id, "attempt": attempt.public_id})

    def _capture(self, attempt: Row[Any]) -> None:
        self.capture(attempt.id)

    def capture(self, attempt_id: int) -> bool:
        """Have approved money paid out, once; false when the acquirer would not yet. Tried hourly 26 times."""
        with self._desk.store.transaction() as tx:
            attempt = tx.attempts.get(attempt_id)
            row = tx.payments.by_id(attempt.payment_id)
            target = tx.attempts.operation(attempt.id, "authorise")
            operation = tx.attempts.operation(attempt.id, "capture")
            # After silence the same message goes out again; after a clear no, a new one: an acquirer repeats its answers.
            is_open = operation is not None and not operation.outcome
            op_id = operation.op_id if operation and is_open else self._desk.new_id("op")
            if not is_open:
                tx.attempts.add_operation(op_id, attempt.id, "capture", row.amount_cents, self._desk.now())
        if target is None:
            raise WrongStatus("a capture without its authorisation")
        amount = Money(row.amount_cents, row.currency)
        try:
            answer = self._desk.acquirer.capture(target.op_id, amount, op_id=op_id)
        except AcquirerUnreachable:
            return self._captured(attempt, row, op_id, None)
        is_ours = (answer.op_id, answer.amount) == (op_id, amount)
        return self._captured(attempt, row, op_id, answer.outcome if is_ours else None)

    def _captured(self, attempt: Row[Any], row: PaymentRow, op_id: str, outcome: Outcome | None) -> bool:
        """Write down what became of a capture; ``None`` is silence."""
        now, is_done = self._desk.now(), outcome is Outcome.APPROVED
        with self._desk.store.transaction() as tx:
            current = tx.attempts.get(attempt.id)
            if current.status not in (AttemptStatus.APPROVED, AttemptStatus.CAPTURE_ERROR):
                return True
            if outcome is not None:
                tx.attempts.answer_operation(op_id, outcome, now)
            if is_done:
                tx.attempts.move(current, AttemptStatus.CAPTURED, next_at=None)
                self._desk.note(tx, row, "attempt.captured", attempt=current.public_id)
            elif current.tries >= _CAPTURES_MAX:
                tx.attempts.reschedule(current.id, None)
                log.error("capture needs a person", extra={"payment": row.public_id})
            elif current.status == AttemptStatus.APPROVED:
                tx.attempts.move(current, AttemptStatus.CAPTURE_ERROR, next_at=now + timedelta(hours=1))
                self._desk.note(tx, row, "attempt.capture_error", attempt=current.public_id)
            else:
                tx.attempts.reschedule(current.id, now + timedelta(hours=1))
        return is_done

    def _sweep_overdue(self) -> int:
        now = self._desk.now()
        with self._desk.store.reading() as tx:
            overdue = tx.payments.overdue(now, _BATCH)
        for public_id in overdue:
            with self._desk.store.transaction() as tx:
                row = tx.payments.get(public_id)
                if row.status in (Status.CREATED, Status.OPENED) and row.expires_at <= now:
                    self._desk.give_up(tx, row, Status.EXPIRED, why="the page's time had run out")
        return len(overdue)

    def _sweep_challenges(self) -> int:
        """Close challenges left open for ten minutes, so that the merchant hears of a payment that went nowhere."""
        before: datetime = self._desk.now() - CHALLENGE_LIFE
        with self._desk.store.reading() as tx:
            stale = tx.attempts.stale_challenges(before, _BATCH)
        for payment_id in stale:
            with self._desk.store.transaction() as tx:
                row, front = tx.payments.by_id(payment_id), tx.attempts.front(payment_id)
                if front is not None and front.status == AttemptStatus.AUTHENTICATING:
                    self._desk.fail_authentication(tx, row, front, family="challenge_timeout")
        return len(stale)


def _backoff(tries: int) -> timedelta:
    """Wait 5, 10, 20, 40, then 60 seconds between two looks at the same doubt."""
    return timedelta(seconds=min(5 * 2 ** max(tries - 1, 0), 60))
