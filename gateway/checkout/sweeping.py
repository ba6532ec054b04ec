"""What heals by itself: lost answers, reversals, captures, late pages and idle challenges.

Everything here is safe to run twice at once, on any number of machines: a due attempt is claimed by compare-and-set.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from gateway.acquirers import Outcome
from gateway.checkout.capturing import Capturing
from gateway.checkout.desk import Desk
from gateway.checkout.settling import Settling, backoff
from gateway.core.challenge import CHALLENGE_LIFE
from gateway.core.errors import AcquirerUnreachable, StoreBusy, WrongStatus
from gateway.core.money import Money
from gateway.core.states import AttemptStatus, Status

log = logging.getLogger(__name__)

# While one sweeper works on an attempt, others leave it alone for this long.
_SWEEP_LEASE = timedelta(seconds=60)
_INQUIRIES_MAX = 5
# Doubling from 5 seconds up to 4 hours, this many tries last about a day; then people must look.
_REVERSALS_MAX = 16
_REVERSAL_WAIT_MAX_SECONDS = 4 * 3600
# A sweep gives the word back after this long; what is still due is due at the next one.
_SWEEP_SECONDS_MAX = 30
# No doubt waits for more than a minute, no reversal for more than four hours; nor do the clocks of two machines differ by
# so much. What waits longer was written down before the clock was set back.
_LONGEST = (
    (timedelta(minutes=15), (AttemptStatus.AUTHORISING, AttemptStatus.UNKNOWN)),
    (timedelta(hours=5), (AttemptStatus.REVERSING, AttemptStatus.CAPTURE_ERROR)),
)
_BATCH = 100
# What waits for a paused endpoint is given up when its own last try would have been over: 12 tries take 75 h 37 min.
_PAUSE_MAX = timedelta(hours=76)
_PAUSED = "the endpoint was paused: it had failed ten times in a row, and every probe since"


def all_taken(steps: Iterable[Callable[[], int | None]]) -> int:
    """Take one step of a sweep after the other, and count what they did; one that breaks is told, and stops no other."""
    count = 0
    for step in steps:
        try:
            count += step() or 0
        except StoreBusy:
            raise
        except Exception:
            log.exception("a part of the sweep broke")
    return count


class Sweeping:
    """Settles what silence, crashes and idle payers left open."""

    def __init__(self, desk: Desk, settling: Settling, capturing: Capturing) -> None:
        self._desk, self._settling, self._capturing = desk, settling, capturing

    def sweep(self) -> int:
        """Settle everything that is due once; returns how many things were looked at."""
        # What needs no acquirer comes first, so that a silent one delays nobody else.
        return all_taken((self._sweep_overdue, self._sweep_challenges, self._sweep_paused, self._sweep_attempts))

    def _sweep_attempts(self) -> int:
        steps: dict[str, Callable[[Row[Any]], None]] = {
            # Only a later instalment waits for the sweep; a payer's own attempt waits for the payer.
            AttemptStatus.AUTHENTICATED: self._authorise,
            AttemptStatus.AUTHORISING: lambda attempt: self._settling.doubt(attempt.id),
            AttemptStatus.UNKNOWN: self._inquire,
            AttemptStatus.REVERSING: self._reverse,
            AttemptStatus.APPROVED: self._capture,
            AttemptStatus.CAPTURE_ERROR: self._capture,
        }
        with self._desk.store.reading() as tx:
            due = tx.attempts.due(self._desk.now(), _BATCH)
            for longest, statuses in _LONGEST:
                due += tx.attempts.stranded(self._desk.now() + longest, _BATCH, statuses)
        until = self._desk.now() + timedelta(seconds=_SWEEP_SECONDS_MAX)
        for attempt in due:
            if self._desk.now() > until:
                break
            with self._desk.store.transaction() as tx:
                mine = tx.attempts.claim(attempt, self._desk.now() + _SWEEP_LEASE)
                attempt = tx.attempts.get(attempt.id)
            if mine and attempt.status in steps:
                self._calmly(steps[attempt.status], attempt)
            elif mine:
                with self._desk.store.transaction() as tx:
                    tx.attempts.reschedule(attempt, None)
        return len(due)

    def _calmly(self, step: Callable[[Row[Any]], None], attempt: Row[Any]) -> None:
        """Do one step of the sweep; a silent acquirer, a faster sweeper or a broken step does not stop the others."""
        try:
            step(attempt)
        except (AcquirerUnreachable, WrongStatus) as error:
            log.info("sweep will look again", extra={"attempt": attempt.public_id, "reason": error.code})
        except StoreBusy:
            raise
        except Exception:
            log.exception("a step of the sweep broke", extra={"attempt": attempt.public_id})
        else:
            return
        with self._desk.store.transaction() as tx:
            longest = _REVERSAL_WAIT_MAX_SECONDS if attempt.status == AttemptStatus.REVERSING else 60
            tx.attempts.reschedule(attempt, self._desk.now() + backoff(attempt.tries, longest))

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
                row = tx.payments.take_by_id(row.id)
                self._settling.reverse_soon(tx, row, tx.attempts.get(attempt.id))
            return
        self._settling.record(attempt.id, operation.op_id, answer)

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
            row = tx.payments.take_by_id(row.id)
            tx.attempts.answer_operation(reversal.op_id, answer.outcome, now)
            self._settling.reversed(tx, row, tx.attempts.get(attempt.id))

    def _to_review(self, attempt: Row[Any]) -> None:
        """Leave it to people: the debt stays blocked until they have settled it with evidence."""
        with self._desk.store.transaction() as tx:
            row = tx.payments.take_by_id(attempt.payment_id)
            attempt = tx.attempts.get(attempt.id)
            tx.attempts.move(attempt, AttemptStatus.REVIEW, next_at=None)
            self._desk.note(tx, row, "attempt.review", attempt=attempt.public_id)
        log.error("attempt needs a person", extra={"payment": row.public_id, "attempt": attempt.public_id})

    def _sweep_overdue(self) -> int:
        now = self._desk.now()
        with self._desk.store.reading() as tx:
            overdue = tx.payments.overdue(now, _BATCH)
        for public_id in overdue:
            # Another sweeper, or the payer, may have been faster.
            with suppress(WrongStatus), self._desk.store.transaction() as tx:
                row = tx.payments.take(public_id)
                if row.status in (Status.CREATED, Status.OPENED) and row.expires_at <= now:
                    self._desk.give_up(tx, row, Status.EXPIRED, why="the page's time had run out")
        return len(overdue)

    def _sweep_challenges(self) -> int:
        """Close challenges left open for ten minutes, so that the merchant hears of a payment that went nowhere."""
        before: datetime = self._desk.now() - CHALLENGE_LIFE
        with self._desk.store.reading() as tx:
            stale = tx.attempts.stale_challenges(before, _BATCH)
        for payment_id in stale:
            with suppress(WrongStatus), self._desk.store.transaction() as tx:
                row, front = tx.payments.take_by_id(payment_id), tx.attempts.front(payment_id)
                challenge = tx.attempts.challenge(front.id) if front else None
                # Its payer may have taken another card meanwhile, and wait for that one's code.
                is_stale = challenge is not None and challenge.opened_at <= before
                if front is not None and front.status == AttemptStatus.AUTHENTICATING and is_stale:
                    self._desk.fail_authentication(tx, row, front, family="challenge_timeout")
        return len(stale)

    def _sweep_paused(self) -> int:
        """Give up the notices that a paused endpoint has kept waiting for longer than any schedule."""
        with self._desk.store.reading() as tx:
            stale = tx.notices.stale(self._desk.now() - _PAUSE_MAX, _BATCH)
        for notice in stale:
            with self._desk.store.transaction() as tx:
                if tx.notices.bury(notice.id, notice.lease, _PAUSED):
                    self._desk.outbox.raise_alarm(tx, notice, _PAUSED)
        return len(stale)

    def _authorise(self, attempt: Row[Any]) -> None:
        with self._desk.store.reading() as tx:
            public_id = tx.payments.by_id(attempt.payment_id).public_id
        self._settling.authorise(public_id)

    def _capture(self, attempt: Row[Any]) -> None:
        self._capturing.capture(attempt.id)
