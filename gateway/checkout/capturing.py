"""How approved money is paid out: one message per try, hourly, until the acquirer has taken it or a person must look."""

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from gateway.acquirers import Outcome
from gateway.checkout.desk import Desk
from gateway.core.errors import AcquirerUnreachable, WrongStatus
from gateway.core.money import Money
from gateway.core.states import AttemptStatus
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)

_CAPTURES_MAX = 26


class Capturing:
    """Has approved money paid out."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def capture(self, attempt_id: int) -> bool:
        """Have approved money paid out, once; false when the acquirer would not yet. Tried hourly 26 times."""
        with self._desk.store.transaction() as tx:
            row = tx.payments.take_by_id(tx.attempts.get(attempt_id).payment_id)
            attempt = tx.attempts.get(attempt_id)
            if attempt.status not in (AttemptStatus.APPROVED, AttemptStatus.CAPTURE_ERROR):
                return True
            if tx.refunds.is_undoing(attempt.id):
                raise WrongStatus("the authorisation is being undone")
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

    def learn(self, attempt_id: int) -> None:
        """Note that approved money was paid out already, as the acquirer's own book says; nothing is asked of it."""
        with self._desk.store.transaction() as tx:
            row = tx.payments.take_by_id(tx.attempts.get(attempt_id).payment_id)
            attempt = tx.attempts.get(attempt_id)
            if attempt.status in (AttemptStatus.APPROVED, AttemptStatus.CAPTURE_ERROR):
                tx.attempts.move(attempt, AttemptStatus.CAPTURED, next_at=None)
                self._desk.note(tx, row, "attempt.captured", attempt=attempt.public_id, by="statement")

    def close_day(self) -> int:
        """Have what waits for the evening paid out by the next sweep; returns how many attempts that were."""
        with self._desk.store.transaction() as tx:
            return tx.attempts.hasten_captures(self._desk.now())

    def _captured(self, attempt: Row[Any], row: PaymentRow, op_id: str, outcome: Outcome | None) -> bool:
        """Write down what became of a capture; ``None`` is silence."""
        now, is_done = self._desk.now(), outcome is Outcome.APPROVED
        with self._desk.store.transaction() as tx:
            tx.payments.take_by_id(row.id)
            current = tx.attempts.get(attempt.id)
            if current.status not in (AttemptStatus.APPROVED, AttemptStatus.CAPTURE_ERROR):
                return True
            if outcome is not None:
                tx.attempts.answer_operation(op_id, outcome, now)
            if is_done:
                tx.attempts.move(current, AttemptStatus.CAPTURED, next_at=None)
                self._desk.note(tx, row, "attempt.captured", attempt=current.public_id)
            elif current.tries >= _CAPTURES_MAX:
                tx.attempts.reschedule(current, None)
                log.error("capture needs a person", extra={"payment": row.public_id})
            elif current.status == AttemptStatus.APPROVED:
                tx.attempts.move(current, AttemptStatus.CAPTURE_ERROR, next_at=now + timedelta(hours=1))
                self._desk.note(tx, row, "attempt.capture_error", attempt=current.public_id)
            else:
                tx.attempts.reschedule(current, now + timedelta(hours=1))
        return is_done
