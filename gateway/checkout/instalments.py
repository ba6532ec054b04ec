"""Later instalments of a purchase: each becomes, on its day, a payment of its own that the payer is not there for.

Its debt is an occurrence of the purchase's and its attempt is authenticated from the start, by the token the purchase's
own card was exchanged for; from there on everything else treats it as any payment. The purchase is told what became of it
by the sweep. All of this is safe to run twice at once: a part leaves ``planned`` once, by compare-and-set, in the
transaction that makes its payment, and that payment's debt exists once. See ADR 11.
"""

import hashlib
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from gateway.channels.alarm_text import instalment_alarm
from gateway.checkout.desk import Desk
from gateway.checkout.settling import Settling
from gateway.core.errors import WrongStatus
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentRequest
from gateway.core.states import AttemptStatus, Status
from gateway.store import Transaction
from gateway.store.payments import PaymentRow
from gateway.store.results import FIRST_RANK

log = logging.getLogger(__name__)

# Money that was not there is often there after a weekend: the next day, then three days after that. Card schemes allow
# far more (Visa: 15 tries in 30 days), but each one is refused in the payer's own book.
_RETRY_DAYS = (1, 3)
# Refusals that no other day changes; card schemes forbid to ask again.
_FINAL_FAMILIES = frozenset({"stolen", "fraud", "bad_number"})
# A debit nobody expects any more is worse than one that is missing: what is so late, because a server was off or a bank
# away, is left to people.
_LIFE = timedelta(days=30)
# A part whose sweeper died is taken over after this long.
_LEASE = timedelta(seconds=60)
_BATCH = 100
_SWEEP_SECONDS_MAX = 30
_LABEL_MAX = 140


class Instalments:
    """Has later instalments debited when they are due."""

    def __init__(self, desk: Desk, settling: Settling) -> None:
        self._desk, self._settling = desk, settling

    def sweep(self) -> int:
        """Ask once for everything that is due, and tell purchases what became of their parts; returns how many those were."""
        now = self._desk.now()
        with self._desk.store.reading() as tx:
            due = tx.instalments.due(now.astimezone(self._desk.zone).date(), _BATCH)
            loose = tx.instalments.loose(_BATCH)
        for part in loose:
            with suppress(WrongStatus), self._desk.store.transaction() as tx:
                self._follow_up(tx, part)
        for part in due:
            if self._desk.now() > now + timedelta(seconds=_SWEEP_SECONDS_MAX):
                break
            with suppress(WrongStatus):
                self._debit(part)
        return len(due) + len(loose)

    def _debit(self, part: Row[Any]) -> None:
        """Make the part a payment of its own, durably, and then ask for its money."""
        with self._desk.store.transaction() as tx:
            payment = self._begin(tx, part)
        if payment is not None:
            self._settling.authorise(payment.public_id)

    def _begin(self, tx: Transaction, part: Row[Any]) -> PaymentRow | None:
        purchase = tx.payments.take_by_id(part.payment_id)
        first = tx.attempts.first_debit(purchase.id)
        is_kept = purchase.status == Status.PAID and purchase.refunded_cents < purchase.amount_cents
        if not is_kept or (purchase.capture_by_hand and first.status == AttemptStatus.APPROVED):
            raise WrongStatus("the purchase is being given back, or its merchant has not accepted it yet")
        if not first.token or part.due + _LIFE < self._desk.now().date():
            tx.instalments.move(part, "refused")
            self._tell_refusal(tx, purchase, part.position + FIRST_RANK, "")
            return None
        tx.instalments.move(part, "asked")
        payment = self._insert(tx, purchase, part)
        self._ask_at(tx, payment, first, self._desk.now() + _LEASE)
        facts = {"payment": payment.public_id, "rank": str(payment.rank)}
        self._desk.note(tx, purchase, "instalment.asked", **facts)
        return tx.payments.by_id(payment.id)

    def _insert(self, tx: Transaction, purchase: PaymentRow, part: Row[Any]) -> PaymentRow:
        desk, now, rank = self._desk, self._desk.now(), part.position + FIRST_RANK
        named = f"{purchase.handle}/{rank}"
        request = _request(tx, purchase, part)
        row = tx.payments.add(
            request,
            public_id=desk.new_id("pay"),
            dialect=purchase.dialect,
            mode=purchase.mode,
            digest=hashlib.sha256(f"{purchase.digest}/{rank}".encode()).hexdigest(),
            handle=hashlib.sha256(named.encode()).hexdigest()[:32] if purchase.handle else "",
            created_at=now,
            expires_at=now + _LIFE,
            attempts_max=len(_RETRY_DAYS) + 1,
            parent_id=purchase.id,
            rank=rank,
        )
        tx.payments.set_receipt(row, email=purchase.receipt_email, language=purchase.spoken)
        # One row for each part, whoever asks for it: no second attempt could hold it.
        occurrence = f"{purchase.public_id}/{rank}"
        line = request.lines[0]
        debt_id = tx.debts.add(request.merchant, request.fiscal_year, line.reference, occurrence, row.id)
        tx.payments.add_line(row.id, 0, debt_id, line)
        tx.payments.move(row, Status.OPENED)
        row = tx.payments.by_id(row.id)
        desk.note(tx, row, "payment.created", dialect=row.dialect, purchase=purchase.public_id, rank=str(rank))
        return row

    def _ask_at(self, tx: Transaction, payment: PaymentRow, card: Row[Any], at: datetime) -> None:
        """Begin an attempt by the purchase's card; the sweep asks for its money at ``at``, if nobody has before."""
        attempt = tx.attempts.add(
            payment.id,
            public_id=self._desk.new_id("att"),
            status=AttemptStatus.AUTHENTICATED,
            scheme=card.scheme,
            bin=card.bin,
            last4=card.last4,
            expiry=card.expiry,
            token=card.token,
            started_at=self._desk.now(),
            next_at=at,
        )
        facts = {"attempt": attempt.public_id, "at": at.isoformat(timespec="seconds")}
        self._desk.note(tx, payment, "attempt.planned", **facts)

    def _follow_up(self, tx: Transaction, part: Row[Any]) -> None:
        """Plan another try of a refused part, or tell its purchase how it ended."""
        purchase = tx.payments.take_by_id(part.payment_id)
        payment = tx.payments.take_by_id(tx.instalments.payment_of(part))
        if payment.status == Status.OPENED:
            self._plan_again(tx, purchase, payment)
            return
        facts = {"payment": payment.public_id, "rank": str(payment.rank)}
        if payment.status == Status.PAID:
            tx.instalments.move(part, "paid")
            self._desk.note(tx, purchase, "instalment.paid", **facts)
        elif payment.status == Status.CANCELLED:
            tx.instalments.move(part, "void")
            self._desk.note(tx, purchase, "instalment.void", **facts)
        elif payment.status in (Status.FAILED, Status.EXPIRED):
            tx.instalments.move(part, "refused")
            self._tell_refusal(tx, purchase, payment.rank, payment.public_id)
        self._desk.forget_card(tx, purchase)

    def _plan_again(self, tx: Transaction, purchase: PaymentRow, payment: PaymentRow) -> None:
        latest = tx.attempts.latest(payment.id)
        if tx.attempts.front(payment.id) or latest is None or latest.ended_at is None:
            return
        if latest.response_family in _FINAL_FAMILIES:
            self._desk.close(tx, payment, Status.FAILED, why=latest.response_family)
            return
        wait = timedelta(days=_RETRY_DAYS[min(latest.n, len(_RETRY_DAYS)) - 1])
        self._ask_at(tx, payment, tx.attempts.first_debit(purchase.id), latest.ended_at + wait)

    def _tell_refusal(self, tx: Transaction, purchase: PaymentRow, rank: int, payment: str) -> None:
        event = self._desk.note(tx, purchase, "instalment.refused", payment=payment, rank=str(rank))
        result = tx.payments.result(purchase)
        part = next(part for part in result.instalments if part.rank == rank)
        self._desk.outbox.alarm(tx, purchase.id, event, instalment_alarm(result, part))
        log.error("instalment refused", extra={"payment": purchase.public_id, "reference": f"part {rank}"})


def _request(tx: Transaction, purchase: PaymentRow, part: Row[Any]) -> PaymentRequest:
    """Say what the purchase would have asked for, had it been this part alone."""
    whole = tx.payments.result(purchase).request
    amount = Money(part.amount_cents, purchase.currency)
    mark = f" ({part.position + FIRST_RANK}/{len(whole.instalments) + 1})"
    label = whole.label[: _LABEL_MAX - len(mark)] + mark
    return replace(
        whole,
        amount=amount,
        label=label,
        lines=(Line(whole.reference, label, amount),),
        pay_before=None,
        # The merchant has accepted the purchase as a whole.
        capture_by_hand=False,
        capture_days=0,
        instalments=(),
    )
