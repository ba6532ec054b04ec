"""What every verb of the checkout works with, and the two things they all do: note a fact, close a payment."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from gateway.acquirers import Acquirer
from gateway.core.errors import NotFound
from gateway.core.payment import Event
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Signed
from gateway.outbox import Outbox
from gateway.settings import LimitSettings
from gateway.settings.merchant import Merchant
from gateway.store import Store, Transaction
from gateway.store.payments import PaymentRow

# How a payment ends, and the news of it.
_NEWS = {
    Status.PAID: "payment.succeeded",
    Status.FAILED: "payment.refused",
    Status.CANCELLED: "payment.cancelled",
    Status.EXPIRED: "payment.expired",
}

# When the simulated bank closes its day, by the treasury's clock.
SETTLEMENT = time(22, 30)


@dataclass(frozen=True)
class Desk:
    """The collaborators of the checkout.

    :ivar code_key: the key one-time codes are kept under (HMAC-SHA-256)
    :ivar old_code_keys: keys it has replaced, which challenges that are still open may be kept under
    :ivar card_key: what the keys that recognise a card for two days are drawn from
    :ivar seal: makes a code's SMS unreadable while it waits in the outbox
    :ivar host: the host name the payer's browser shows, for the origin-bound line of the SMS
    :ivar test_phone: where codes go in test mode when the portal gave no telephone (E.164)
    """

    store: Store
    acquirer: Acquirer
    outbox: Outbox
    merchants: Mapping[str, Merchant]
    now: Callable[[], datetime]
    code_key: bytes
    card_key: bytes
    limits: LimitSettings
    seal: Callable[[bytes], bytes]
    host: str
    zone: ZoneInfo
    test_phone: str = "+33639980123"
    old_code_keys: tuple[bytes, ...] = ()
    chance: random.Random = field(default_factory=random.SystemRandom)

    def new_id(self, prefix: str) -> str:
        """Draw a public id such as ``pay_5f0c...``: 96 random bits, no dot (Standard Webhooks forbids it in ids)."""
        return f"{prefix}_{self.chance.randbytes(12).hex()}"

    def merchant(self, merchant_id: str) -> Merchant:
        """Look a merchant up. Raises :class:`NotFound`."""
        if merchant_id not in self.merchants:
            raise NotFound("no such merchant")
        return self.merchants[merchant_id]

    def begin(self, tx: Transaction, row: PaymentRow, kind: str, **facts: str) -> None:
        """Write down the first fact of a payment that was inserted as having one; nobody is told of it."""
        tx.payments.begin(row, Event(self.new_id("evt"), row.seq, kind, self.now(), facts))

    def note(self, tx: Transaction, row: PaymentRow, kind: str, **facts: str) -> Event:
        """Append a fact to a payment's history, and promise the news of it to those who must know."""
        event = tx.payments.record(row.id, self.new_id("evt"), kind, self.now(), facts)
        self.outbox.announce(tx, row.id, event, row.dialect)
        return event

    def move(
        self, tx: Transaction, row: PaymentRow, target: Status, kind: str, *, at: Mapping[str, datetime], **facts: str
    ) -> Event:
        """Move a payment and do as :meth:`note` does, which costs one statement less than both by themselves.

        :param at: moments to be written into the payment's own row, by column
        """
        draft = Event(self.new_id("evt"), 0, kind, self.now(), facts)
        event = tx.payments.move_noted(row, target, at, draft)
        self.outbox.announce(tx, row.id, event, row.dialect)
        return event

    def capture_at(self, row: PaymentRow, now: datetime) -> datetime | None:
        """Say when money approved now is paid out; ``None`` when the merchant will say so."""
        merchant = self.merchants.get(row.merchant_id)
        if row.capture_by_hand:
            return None
        if row.capture_days:
            return now + timedelta(days=row.capture_days)
        return self.evening(now) if merchant and merchant.remittance == "evening" else now

    def evening(self, now: datetime) -> datetime:
        """Say when the next settlement is: what was captured before it can no longer be taken back unseen."""
        local = now.astimezone(self.zone)
        tonight = datetime.combine(local.date(), SETTLEMENT, self.zone)
        if tonight <= local:
            tonight = datetime.combine(local.date() + timedelta(days=1), SETTLEMENT, self.zone)
        return tonight.astimezone(now.tzinfo)

    def keep_signed(self, tx: Transaction, signed: Signed, kind: str, row: PaymentRow) -> None:
        """Remember, for ever, which payment a signed request was about."""
        tx.requests.add(
            merchant_id=signed.merchant,
            jti=signed.jti,
            kind=kind,
            digest=signed.digest,
            payment_id=row.id,
            at=self.now(),
        )

    def close(self, tx: Transaction, row: PaymentRow, status: Status, *, debts_rest: bool = True, **facts: str) -> None:
        """End an unpaid payment: abandon what waits for the payer, free its debts, tell the news."""
        now = self.now()
        if front := tx.attempts.front(row.id):
            tx.attempts.move(front, AttemptStatus.ABANDONED, ended_at=now, token="")
        merchant = self.merchants.get(row.merchant_id)
        rest = timedelta(minutes=merchant.retry_lock_minutes if merchant else 0)
        tx.debts.free_all(row.id, now + rest if rest and debts_rest else None)
        tx.instalments.void(row.id)
        self.move(tx, row, status, _NEWS[status], at={"ended_at": now}, **facts)

    def void_instalments(self, tx: Transaction, row: PaymentRow, by: str) -> bool:
        """Give up the later parts of a purchase that nobody is being debited for yet; false when there are none."""
        voided = tx.instalments.void(row.id)
        # Parts before their purchases would be the other order of locks: purchases first, here as everywhere.
        for part_id in tx.instalments.payments(row.id):
            part = tx.payments.take_by_id(part_id)
            if part.status == Status.OPENED:
                self.close(tx, part, Status.CANCELLED, by=by)
                voided += 1
            elif part.status == Status.WORKING:
                # Its bank is being asked this very moment; refused, it must not be asked again another day.
                tx.payments.allow_no_more_attempts(part.id)
        if voided:
            self.note(tx, row, "instalment.void", by=by, number=str(voided))
        self.forget_card(tx, row)
        return voided > 0

    def forget_card(self, tx: Transaction, row: PaymentRow) -> None:
        """Forget what stands for the card of a purchase once nothing of it can be asked for any more."""
        if not tx.instalments.are_open(row.id):
            tx.attempts.forget_tokens(row.id)

    def give_up(
        self, tx: Transaction, row: PaymentRow, otherwise: Status, *, debts_rest: bool = True, **facts: str
    ) -> None:
        """End a payment the payer left: refused when a card was refused before, ``otherwise`` when none was."""
        status = Status.FAILED if tx.attempts.count_refused(row.id) else otherwise
        self.close(tx, row, status, debts_rest=debts_rest, **facts)

    def fail_authentication(
        self, tx: Transaction, row: PaymentRow, attempt: Row[Any], *, family: str, response_code: str = ""
    ) -> None:
        """End an attempt nothing was sent for: always safe, nothing can have been debited."""
        tx.attempts.move(
            attempt,
            AttemptStatus.AUTHN_FAILED,
            response_family=family,
            response_code=response_code,
            ended_at=self.now(),
            token="",
        )
        self.note(tx, row, "attempt.not_authenticated", attempt=attempt.public_id, family=family)
        if tx.attempts.count_refused(row.id) >= row.attempts_max:
            self.close(tx, tx.payments.by_id(row.id), Status.FAILED, why=family)

    def end_of(self, day: date) -> datetime | None:
        """Say when a day is over by the treasury's clock; ``None`` for the last a calendar knows, by which "never" is meant."""
        if day == date.max:
            return None
        return datetime.combine(day + timedelta(days=1), time(), self.zone).astimezone(UTC)
