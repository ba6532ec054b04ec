"""What a merchant may do after, or instead of, the payment: cancel it while nobody pays, refund it once paid."""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from gateway.acquirers import Outcome
from gateway.checkout.capturing import Capturing
from gateway.checkout.desk import Desk
from gateway.core.errors import AcquirerUnreachable, NotFound, RequestConflict, StoreBusy, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Cancel, Capture, Refund
from gateway.store import Transaction
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)

_SWEEP_LEASE = timedelta(seconds=60)
# A sweep gives the word back after this long; what is still due is due at the next one.
_SWEEP_SECONDS_MAX = 30
# Nobody waits for so long; who seems to was written down before the clock was set back.
_PATIENCE_MAX = timedelta(hours=5)


class Refunding:
    """The merchant's verbs on a payment it opened; each signed, each taken once by its ``jti``."""

    def __init__(self, desk: Desk, capturing: Capturing) -> None:
        self._desk, self._capturing = desk, capturing

    def _own(self, tx: Transaction, command: Cancel | Capture | Refund, dialect: str) -> PaymentRow:
        row = tx.payments.take_by_id(tx.payments.named(command.which, dialect).id)
        if row.merchant_id != command.signed.merchant:
            raise NotFound("no such payment")
        return row

    def _seen(self, tx: Transaction, command: Cancel | Capture | Refund, kind: str) -> Row[Any] | None:
        """Find this very request if it was taken before. Raises :class:`RequestConflict` (``jti_reused``)."""
        signed = command.signed
        seen = tx.requests.find(signed.merchant, signed.jti)
        if seen is None:
            return None
        if seen.kind != kind or seen.digest != signed.digest:
            raise RequestConflict("jti_reused", "draw a new jti for each new request")
        return seen

    def cancel(self, command: Cancel, dialect: str) -> PaymentResult:
        """Close a payment nobody has begun to debit, or what is left of a purchase paid in several times. Raises :class:`RequestConflict` (``payment_over``)."""
        with self._desk.store.transaction(frozenset({command.signed.merchant})) as tx:
            row = self._own(tx, command, dialect)
            if not self._seen(tx, command, "cancel"):
                if row.status in (Status.CREATED, Status.OPENED):
                    # Not its reason: somebody's own words, and an event is kept when people are forgotten.
                    self._desk.close(tx, row, Status.CANCELLED, by="merchant")
                elif not (row.status == Status.PAID and self._desk.void_instalments(tx, row, "merchant")):
                    raise RequestConflict("payment_over", f"the payment is {row.status}; look it up", row.public_id)
                self._desk.keep_signed(tx, command.signed, "cancel", row)
            return tx.payments.result(tx.payments.by_id(row.id))

    def refund(self, command: Refund, dialect: str) -> PaymentResult:
        """Give back part or all of a paid payment; the sum of refunds never exceeds it, whatever comes at once.

        The request's own refund stands last among those that are told, since it is what the merchant is answered about.
        Raises :class:`RequestConflict` (``payment_over``, ``refund_exceeds``, ``settled``).
        """
        try:
            return self._refund(command, dialect)
        except StoreBusy:
            # Lost at the very commit it may have been taken, and protocols without request numbers would repeat it.
            with self._desk.store.reading(frozenset({command.signed.merchant})) as tx:
                if not (seen := self._seen(tx, command, "refund")):
                    raise
                return _asked_again(tx.payments.result(tx.payments.by_id(seen.payment_id)), command, seen)

    def _refund(self, command: Refund, dialect: str) -> PaymentResult:
        with self._desk.store.transaction(frozenset({command.signed.merchant})) as tx:
            row = self._own(tx, command, dialect)
            if seen := self._seen(tx, command, "refund"):
                return _asked_again(tx.payments.result(row), command, seen)
            if command.before_settlement and row.status in (Status.CREATED, Status.OPENED):
                self._desk.keep_signed(tx, command.signed, "refund", row)
                self._desk.close(tx, row, Status.CANCELLED, by="merchant")
                return tx.payments.result(tx.payments.by_id(row.id))
            amount = command.amount or Money(max(row.amount_cents - row.refunded_cents, 1), row.currency)
            if row.status != Status.PAID or amount.currency != row.currency:
                raise RequestConflict(
                    "payment_over", f"only a paid payment in {row.currency} can be refunded", row.public_id
                )
            if command.before_settlement and self._is_settled(tx, row):
                raise RequestConflict("settled", "the day's settlement has taken it; refund it instead", row.public_id)
            self._desk.keep_signed(tx, command.signed, "refund", row)
            refund_id = self._intend(tx, row, amount, command.reason)
            result = tx.payments.result(tx.payments.by_id(row.id))
        own = result.refunds[-1].id
        # The refund is durable: whatever happens now, it will be asked for once and told; the answer must not say otherwise.
        with suppress(StoreBusy):
            self.ask(refund_id)
            result = self._told(row)
        return _own_last(result, own)

    def capture(self, command: Capture, dialect: str) -> PaymentResult:
        """Pay out what waits for its merchant. Raises :class:`RequestConflict` (``payment_over``, ``amount_differs``)."""
        with self._desk.store.transaction(frozenset({command.signed.merchant})) as tx:
            row = self._own(tx, command, dialect)
            result = tx.payments.result(row)
            if self._seen(tx, command, "capture"):
                if row.refunded_cents:
                    return result
            else:
                whole = Money(row.amount_cents, row.currency)
                if row.status != Status.PAID or row.refunded_cents:
                    raise RequestConflict("payment_over", "only a paid payment can be captured", row.public_id)
                if command.amount not in (None, whole):
                    raise RequestConflict("amount_differs", "capture the whole authorisation", row.public_id)
                self._desk.keep_signed(tx, command.signed, "capture", row)
            attempt = tx.attempts.money(row.id)
            if attempt.status == AttemptStatus.APPROVED and attempt.next_at is None:
                # The order is durable: the sweep carries it out if this process cannot.
                tx.attempts.reschedule(attempt, self._desk.now() + _SWEEP_LEASE)
        with suppress(StoreBusy, AcquirerUnreachable):
            self._capturing.capture(attempt.id)
            result = self._told(row)
        return result

    def _told(self, row: PaymentRow) -> PaymentResult:
        with self._desk.store.reading() as tx:
            return tx.payments.result(tx.payments.by_id(row.id))

    def _is_settled(self, tx: Transaction, row: PaymentRow) -> bool:
        events = tx.payments.result(row).events
        captured = [event.at for event in events if event.type == "attempt.captured"]
        if not captured:
            return False
        # Where the evening itself pays out, what was captured is settled.
        merchant = self._desk.merchants.get(row.merchant_id)
        is_evening = merchant is not None and merchant.remittance == "evening"
        if is_evening and not row.capture_by_hand and not row.capture_days:
            return True
        return self._desk.evening(captured[-1]) <= self._desk.now()

    def _intend(self, tx: Transaction, row: PaymentRow, amount: Money, reason: str) -> int:
        now, op_id = self._desk.now(), self._desk.new_id("op")
        tx.refunds.reserve(row.id, amount.cents)
        attempt = tx.attempts.money(row.id)
        # What nobody has begun to pay out is better undone than paid out and given back.
        is_waiting = attempt.status == AttemptStatus.APPROVED and (attempt.next_at is None or attempt.next_at > now)
        is_undone = is_waiting and amount.cents == row.amount_cents and not tx.attempts.operation(attempt.id, "capture")
        kind = "reverse" if is_undone else "refund"
        tx.attempts.add_operation(op_id, attempt.id, kind, amount.cents, now)
        refund_id = tx.refunds.add(
            public_id=self._desk.new_id("ref"),
            payment_id=row.id,
            attempt_id=attempt.id,
            op_id=op_id,
            amount_cents=amount.cents,
            status="pending",
            reason=reason,
            requested_at=now,
            next_at=now + _SWEEP_LEASE,
        )
        self._desk.note(tx, row, "refund.requested", amount=str(amount.cents))
        return refund_id

    def undo(self, tx: Transaction, row: PaymentRow, reason: str) -> int:
        """Write down that a whole payment is given back without its merchant's asking; :meth:`ask` carries it out."""
        return self._intend(tx, row, Money(row.amount_cents, row.currency), reason)

    def ask(self, refund_id: int) -> None:
        """Ask the acquirer, by the refund's own operation id: asking again asks for the same."""
        with self._desk.store.reading() as tx:
            refund = tx.refunds.get(refund_id)
            row, attempt = tx.payments.by_id(refund.payment_id), tx.attempts.get(refund.attempt_id)
            target = tx.attempts.operation(attempt.id, "authorise")
            undone = tx.attempts.operation(attempt.id, "reverse")
        amount = Money(refund.amount_cents, row.currency)
        try:
            if target is None:
                raise AcquirerUnreachable("a refund without its authorisation")
            if undone is not None and undone.op_id == refund.op_id:
                answer = self._desk.acquirer.reverse(target.op_id, amount, op_id=refund.op_id)
            # What was not paid out yet cannot be given back: wait for it as one waits for an answer.
            elif attempt.status != AttemptStatus.CAPTURE_ERROR and self._capturing.capture(attempt.id):
                answer = self._desk.acquirer.refund(target.op_id, amount, op_id=refund.op_id)
            else:
                raise AcquirerUnreachable("not captured yet")
        except (AcquirerUnreachable, WrongStatus):
            # Silence, or the sweep is capturing at this very moment: asked again later, by the same operation id.
            answer = None
        if answer is not None and (answer.op_id, answer.amount) == (refund.op_id, amount):
            self._settle(refund, row, answer.outcome)
            return
        with self._desk.store.transaction() as tx:
            tx.refunds.postpone(refund_id, self._desk.now() + _patience(refund.tries))

    def _settle(self, refund: Row[Any], row: PaymentRow, outcome: Outcome) -> None:
        now, is_done = self._desk.now(), outcome in (Outcome.APPROVED, Outcome.REVERSED)
        with self._desk.store.transaction() as tx:
            # Refunds answered at the same moment must see each other: together they may be the whole payment.
            tx.payments.take_by_id(row.id)
            if not tx.refunds.finish(refund.id, "done" if is_done else "refused"):
                return
            tx.attempts.answer_operation(refund.op_id, outcome, now)
            if not is_done:
                tx.refunds.release(row.id, refund.amount_cents)
                self._desk.note(tx, row, "refund.refused", refund=refund.public_id)
                return
            money = Money(refund.amount_cents, row.currency)
            tx.attempts.post(refund.attempt_id, "refund", money, now, refund.id)
            self._finish_attempt(tx, refund, row)
            facts = {"refund": refund.public_id, "amount": str(refund.amount_cents)}
            self._desk.note(tx, row, "payment.refunded", **facts)
            log.info("payment refunded", extra={"payment": row.public_id, "refund": refund.public_id})

    def _finish_attempt(self, tx: Transaction, refund: Row[Any], row: PaymentRow) -> None:
        """When nothing is left of the payment its debts may be asked for again."""
        attempt = tx.attempts.get(refund.attempt_id)
        given_back = sum(r.amount.cents for r in tx.payments.result(row).refunds if r.status == "done")
        is_all = given_back >= row.amount_cents
        tx.attempts.move(attempt, AttemptStatus.REFUNDED if is_all else AttemptStatus.PART_REFUNDED)
        if is_all:
            tx.debts.free_all(row.id, None)
            self._desk.void_instalments(tx, row, "refund")

    def sweep(self) -> int:
        """Ask again for the refunds whose answer is missing; returns how many were looked at."""
        now = self._desk.now()
        with self._desk.store.reading() as tx:
            due = tx.refunds.due(now, 100) + tx.refunds.stranded(now + _PATIENCE_MAX, 100)
        for refund in due:
            # A bank that is silent keeps each of them waiting, and every authorisation that is in doubt behind them.
            if self._desk.now() > now + timedelta(seconds=_SWEEP_SECONDS_MAX):
                break
            with self._desk.store.transaction() as tx:
                mine = tx.refunds.claim(refund, self._desk.now() + _SWEEP_LEASE)
            if mine:
                with suppress(WrongStatus):
                    self.ask(refund.id)
        return len(due)


def _asked_again(result: PaymentResult, command: Refund, seen: Row[Any]) -> PaymentResult:
    """Tell a request that was taken before of its own refund: the first of that amount written down since."""
    since = (one for one in result.refunds if one.requested_at >= seen.at and command.amount in (None, one.amount))
    own = next(since, None)
    return _own_last(result, own.id) if own else result


def _own_last(result: PaymentResult, own: str) -> PaymentResult:
    return replace(result, refunds=tuple(sorted(result.refunds, key=lambda refund: refund.id == own)))


def _patience(tries: int) -> timedelta:
    """Wait 1, 2, 4 minutes and so on, at most four hours, for an answer about money that is on its way back."""
    return timedelta(minutes=min(1 << min(tries, 10), 240))
