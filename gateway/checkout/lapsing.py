"""Approved money that waits for its merchant's word, and that nobody asks to be paid out.

An authorisation is good for about a week; after that the hold on the payer's account is worth nothing to the merchant and
still weighs on the payer. So the managers are told in time, and when nobody has moved the hold is given back.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from gateway.channels.alarm_text import capture_alarm
from gateway.checkout.desk import Desk
from gateway.checkout.refunding import Refunding
from gateway.core.errors import WrongStatus
from gateway.core.states import AttemptStatus
from gateway.store import Transaction
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)

# Seven days: the shortest of the card schemes' terms, which issuers keep to whatever the contract says.
LIFE = timedelta(days=7)
# Two of them left: a weekend, or a day off, may lie between.
WARNED_AFTER = timedelta(days=5)
_BATCH = 100


class Lapsing:
    """Warns of captures nobody asks for, and gives back what has lapsed."""

    def __init__(self, desk: Desk, refunding: Refunding) -> None:
        self._desk, self._refunding = desk, refunding

    def sweep(self) -> int:
        """Do what is due, once for each authorisation; returns how many were looked at."""
        now = self._desk.now()
        with self._desk.store.reading() as tx:
            waiting = tx.attempts.forgotten(now - WARNED_AFTER, now - LIFE, _BATCH)
        for attempt in waiting:
            with suppress(WrongStatus):
                if attempt.ended_at <= now - LIFE:
                    self._give_back(attempt)
                else:
                    self._warn(attempt)
        return len(waiting)

    def _warn(self, attempt: Row[Any]) -> None:
        with self._desk.store.transaction() as tx:
            row = self._take(tx, attempt, mark=1)
            lapses_at = attempt.ended_at + LIFE
            event = self._desk.note(tx, row, "capture.awaited", until=lapses_at.isoformat(timespec="seconds"))
            words = capture_alarm(tx.payments.result(row), lapses_at.astimezone(self._desk.zone))
            self._desk.outbox.alarm(tx, row.id, event, words)
        log.warning("capture awaited", extra={"payment": row.public_id})

    def _give_back(self, attempt: Row[Any]) -> None:
        with self._desk.store.transaction() as tx:
            row = self._take(tx, attempt, mark=2)
            self._desk.note(tx, row, "capture.lapsed", attempt=attempt.public_id)
            refund_id = self._refunding.undo(tx, row, "the authorisation lapsed: nobody asked for its capture")
        log.warning("authorisation lapsed", extra={"payment": row.public_id})
        self._refunding.ask(refund_id)

    @staticmethod
    def _take(tx: Transaction, attempt: Row[Any], *, mark: int) -> PaymentRow:
        """Take the payment if its money still waits and nobody was faster. Raises :class:`WrongStatus`."""
        row = tx.payments.take_by_id(attempt.payment_id)
        current = tx.attempts.get(attempt.id)
        is_waiting = current.status == AttemptStatus.APPROVED and current.next_at is None and not row.refunded_cents
        if not is_waiting or current.tries >= mark:
            raise WrongStatus("this money does not wait for its merchant any more")
        tx.attempts.mark(attempt.id, mark)
        return row
