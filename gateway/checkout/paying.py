"""What a payer can do: see where things stand, enter a card, type the code, change card, cancel."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from gateway.acquirers import Enrolment, Flow
from gateway.channels.code_text import compose_code_sms
from gateway.checkout.desk import Desk
from gateway.checkout.limiting import Limiting
from gateway.checkout.settling import Intent, Settling
from gateway.checkout.situation import Situation, Stage, is_idle, must_touch, situation
from gateway.core.card import CardEntry
from gateway.core.challenge import (
    CODE_LIFE,
    RESEND_AFTER,
    SENDS_MAX,
    TRIES_MAX,
    Bound,
    code_mac,
    draw_code,
    is_code,
)
from gateway.core.errors import AcquirerUnreachable, CardRefused, WrongStatus
from gateway.core.limits import WITHHELD
from gateway.core.money import Money
from gateway.core.states import AttemptStatus, Status
from gateway.outbox import Parcel
from gateway.store import Transaction
from gateway.store.looks import Look
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Guess:
    """A code that was typed, once its comparison is counted on disk.

    :ivar is_counted: a try was left, and the code lives
    :ivar is_compared: the card may still be guessed for, too
    """

    payment_id: int
    attempt_id: int
    is_counted: bool
    is_compared: bool


class Paying:
    """The payer's verbs."""

    def __init__(self, desk: Desk, limiting: Limiting, settling: Settling) -> None:
        self._desk, self._limiting, self._settling = desk, limiting, settling

    def show(self, public_id: str) -> Situation:
        """Say where the payer stands; the first look opens the payment, a late one expires it."""
        with self._desk.store.glance() as tx:
            look = tx.payments.look(public_id)
        if not must_touch(look.row, self._desk.now()):
            return self.situation(look)
        with self._desk.store.transaction() as tx:
            self.touch(tx, tx.payments.take(public_id))
            return self.situation(tx.payments.look(public_id))

    def situation(self, look: Look) -> Situation:
        """Say where the payer stands, and whether the page takes one more card."""
        seen, may_enter = situation(look, self._desk.now()), self._limiting.may_enter(look.row.entered)
        return replace(seen, may_enter=False) if seen.stage is Stage.CARD and not may_enter else seen

    def touch(self, tx: Transaction, row: PaymentRow) -> None:
        """Open a payment that is looked at, or end what its payer has left waiting for too long."""
        if row.status in (Status.CREATED, Status.OPENED) and row.expires_at <= self._desk.now():
            self._desk.give_up(tx, row, Status.EXPIRED, why="the page's time had run out")
        elif row.status == Status.CREATED:
            self._desk.move(tx, row, Status.OPENED, "payment.opened", at={})
        elif is_idle(tx.payments.look(row.public_id).row, self._desk.now()) and (front := tx.attempts.front(row.id)):
            self._desk.fail_authentication(tx, row, front, family="challenge_timeout")

    def _payable(self, tx: Transaction, public_id: str) -> PaymentRow:
        """Take a payment that still waits for the payer. Raises :class:`WrongStatus`."""
        row = tx.payments.take(public_id)
        is_late = row.status not in (Status.CREATED, Status.OPENED) or row.expires_at <= self._desk.now()
        # Nobody is shown the page of a later instalment: its card is known.
        if is_late or row.parent_id:
            raise WrongStatus("this payment does not wait for a card any more")
        return row

    def enter_card(  # noqa: PLR0913 - what a card page asks
        self, public_id: str, card: CardEntry, *, scheme: str, email: str, language: str = "", origin: str = ""
    ) -> bool:
        """Exchange the card for a token and begin an attempt; the number is known to nobody after this call.

        Returns whether the bank asks the payer for a code.

        :param scheme: the brand the payer chose on a co-badged card (regulation 2015/751 art. 8), or empty
        :param email: where the receipt goes; empty keeps the merchant's
        :param language: which the page was in: the code and the receipts are, too; empty keeps the merchant's
        :param origin: the network the card is typed in (``gateway.core.limits.network_of``)

        Raises :class:`CardRefused` for a card the acquirer does not take, :class:`WrongStatus` when it is too late.
        """
        with self._desk.store.transaction() as tx:
            row = self._payable(tx, public_id)
            entry, may_ask = self._limiting.admit(tx, row, card.number, origin)
            limits = tx.payments.result(row).schemes if row.schemes or row.schemes_again else ()
        amount = Money(row.amount_cents, row.currency)
        enrolment = self._enrol(card, amount, entry) if may_ask else self._limiting.stand_in(card)
        usable = _usable(limits, enrolment.schemes if enrolment else (card.number.scheme,))
        with self._desk.store.transaction() as tx:
            row = self._payable(tx, public_id)
            if row.status == Status.CREATED:
                self.touch(tx, row)
                row = tx.payments.by_id(row.id)
            self._supersede(tx, row)
            row = tx.payments.set_receipt(row, email=email, language=language)
            attempt = self._begin(tx, row, card, enrolment, scheme if scheme in usable else usable[0])
            tx.limits.become(entry, "withheld" if attempt.token == WITHHELD else "begun", attempt.id)
        return bool(attempt.flow == Flow.CHALLENGE)

    def _enrol(self, card: CardEntry, amount: Money, entry: int) -> Enrolment | None:
        acquirer, op_id = self._desk.acquirer, self._desk.new_id("op")
        try:
            return self._limiting.timed("enrol", lambda: acquirer.enrol(card, amount, op_id=op_id))
        except AcquirerUnreachable:
            log.warning("acquirer silent at enrolment")
            return None
        except CardRefused:
            with self._desk.store.transaction() as tx:
                tx.limits.become(entry, "invalid")
            raise

    def _supersede(self, tx: Transaction, row: PaymentRow) -> None:
        if front := tx.attempts.front(row.id):
            tx.attempts.move(front, AttemptStatus.ABANDONED, ended_at=self._desk.now(), token="")
            self._desk.note(tx, row, "attempt.abandoned", attempt=front.public_id)

    def _begin(
        self, tx: Transaction, row: PaymentRow, card: CardEntry, enrolment: Enrolment | None, scheme: str
    ) -> Row[Any]:
        phone = row.payer_phone or self._desk.test_phone
        if enrolment and enrolment.flow is Flow.CHALLENGE and not self._limiting.may_send(tx, row, phone):
            enrolment = self._limiting.withheld(enrolment.schemes)
        attempt = tx.attempts.add(
            row.id,
            public_id=self._desk.new_id("att"),
            status=AttemptStatus.AUTHENTICATING,
            scheme=scheme,
            bin=card.number.bin,
            last4=card.number.last4,
            expiry=f"{card.expiry.month:02d}{card.expiry.year % 100:02d}",
            token=enrolment.token if enrolment else "",
            flow=enrolment.flow if enrolment else "",
            eci=enrolment.eci if enrolment else "",
            phone=f"•• •• •• •• {phone[-2:]}",
            started_at=self._desk.now(),
        )
        flow = enrolment.flow if enrolment else None
        self._desk.note(tx, row, "attempt.started", attempt=attempt.public_id, scheme=scheme, flow=flow or "none")
        if flow is Flow.CHALLENGE:
            self._open_challenge(tx, row, attempt, phone)
        elif flow in (Flow.FRICTIONLESS, Flow.ATTEMPTED):
            tx.attempts.move(attempt, AttemptStatus.AUTHENTICATED, authentication=flow.value)
            self._desk.note(tx, row, "attempt.authenticated", attempt=attempt.public_id, flow=flow)
        elif enrolment is None:
            self._desk.fail_authentication(tx, row, attempt, family="technical")
        else:
            code = enrolment.response_code
            self._desk.fail_authentication(tx, row, attempt, family="authentication", response_code=code)
        return attempt

    # The code.

    def _bound(self, row: PaymentRow, attempt: Row[Any]) -> Bound:
        return Bound(attempt.public_id, row.merchant_id, Money(row.amount_cents, row.currency))

    def _open_challenge(self, tx: Transaction, row: PaymentRow, attempt: Row[Any], phone: str) -> None:
        code, now = draw_code(self._desk.chance.randrange), self._desk.now()
        mac = code_mac(self._desk.code_key, code, self._bound(row, attempt))
        tx.attempts.open_challenge(attempt.id, mac, now, now + CODE_LIFE)
        self._send(tx, row, attempt, code, phone)

    def _send(self, tx: Transaction, row: PaymentRow, attempt: Row[Any], code: str, phone: str) -> None:
        event = self._desk.note(tx, row, "challenge.sent", attempt=attempt.public_id)
        payee = self._desk.merchant(row.merchant_id).name
        text = compose_code_sms(
            code, Money(row.amount_cents, row.currency), payee, self._desk.host, row.spoken or row.language
        )
        sealed = self._desk.seal(text.encode())
        self._desk.outbox.promise(tx, row.id, event, Parcel("sms", phone, sealed))

    def resend_code(self, public_id: str) -> bool:
        """Send a new code, which kills the old one; tries are not reset. False when it is too soon or too often."""
        with self._desk.store.transaction() as tx:
            row = self._payable(tx, public_id)
            attempt = tx.attempts.front(row.id)
            challenge = tx.attempts.challenge(attempt.id) if attempt else None
            if attempt is None or challenge is None or challenge.sends >= SENDS_MAX:
                return False
            phone = row.payer_phone or self._desk.test_phone
            if not self._limiting.may_send(tx, row, phone):
                return False
            now, code = self._desk.now(), draw_code(self._desk.chance.randrange)
            mac = code_mac(self._desk.code_key, code, self._bound(row, attempt))
            wait = RESEND_AFTER[challenge.sends - 1]
            if not tx.attempts.replace_code(attempt.id, mac, now, sent_before=now - wait, life=now + CODE_LIFE):
                return False
            self._send(tx, row, attempt, code, phone)
            return True

    def answer_challenge(self, public_id: str, typed: str) -> bool:
        """Compare a code; true once, for the right one in time."""
        with self._judged(public_id, typed) as (_, row):
            return row is not None

    def pay_by_code(self, public_id: str, typed: str) -> Intent | None:
        """Compare a code, and for the right one write down in one go that the money is about to be asked for.

        ``None`` for a wrong code, or when it is too late to ask.
        """
        with self._judged(public_id, typed) as (tx, row):
            return self._settling.intend_within(tx, row) if row is not None else None

    @contextmanager
    def _judged(self, public_id: str, typed: str) -> Iterator[tuple[Transaction, PaymentRow | None]]:
        """Compare a code, after the comparison was counted; gives the payment for the right one.

        The count is committed before the comparison, so that parallel guesses cannot share a try.
        """
        with self._desk.store.transaction() as tx:
            guess = self._count_guess(tx, public_id)
        with self._desk.store.transaction() as tx:
            yield tx, self._judge(tx, guess, typed)

    def _count_guess(self, tx: Transaction, public_id: str) -> _Guess:
        row = self._payable(tx, public_id)
        attempt = tx.attempts.front(row.id)
        if attempt is None or attempt.status != AttemptStatus.AUTHENTICATING:
            raise WrongStatus("no code is awaited")
        counted = tx.attempts.count_try(attempt.id, self._desk.now())
        compared = counted and self._limiting.may_compare(tx, attempt)
        return _Guess(row.id, attempt.id, counted, compared)

    def _judge(self, tx: Transaction, guess: _Guess, typed: str) -> PaymentRow | None:
        row, attempt = tx.payments.take_by_id(guess.payment_id), tx.attempts.challenged(guess.attempt_id)
        if attempt is None or attempt.status != AttemptStatus.AUTHENTICATING:
            raise WrongStatus("the code was answered elsewhere")
        if guess.is_compared and self._is_right(typed, attempt.code_mac, self._bound(row, attempt)):
            self._authenticate(tx, row, attempt)
            return row
        self._desk.note(tx, row, "challenge.failed", attempt=attempt.public_id, tries=str(attempt.tried))
        # Only a guess that was compared ends the attempt: one that came too late must not overtake those that count.
        if guess.is_counted and attempt.tried >= TRIES_MAX:
            self._desk.fail_authentication(tx, row, attempt, family="challenge_failed")
        return None

    def _is_right(self, typed: str, mac: bytes, bound: Bound) -> bool:
        keys = (self._desk.code_key, *self._desk.old_code_keys)
        return any(is_code(key, typed, mac, bound) for key in keys)

    def _authenticate(self, tx: Transaction, row: PaymentRow, attempt: Row[Any]) -> None:
        if not tx.attempts.close_challenge(attempt.id, self._desk.now()):
            raise WrongStatus("the code was used already")
        tx.limits.take_guess_back(attempt.id)
        proof = self._desk.new_id("auth")
        tx.attempts.move(attempt, AttemptStatus.AUTHENTICATED, authentication=proof)
        self._desk.note(tx, row, "attempt.authenticated", attempt=attempt.public_id, flow=Flow.CHALLENGE)

    # Going back, going away.

    def change_card(self, public_id: str) -> None:
        """Go back to the card page: from a refusal, or from a card that waits for its code or its confirmation."""
        with self._desk.store.transaction() as tx:
            row = self._payable(tx, public_id)
            self._supersede(tx, row)
            latest = tx.attempts.latest(row.id)
            if latest is not None:
                tx.attempts.dismiss(latest.id)

    def cancel(self, public_id: str) -> None:
        """End the payment because the payer says so; the debt is free at once. Nothing happens once it is over."""
        with self._desk.store.transaction() as tx:
            row = tx.payments.take(public_id)
            if row.status == Status.CREATED:
                self.touch(tx, row)
                row = tx.payments.by_id(row.id)
            if row.status == Status.OPENED and not row.parent_id:
                self._desk.give_up(tx, row, Status.CANCELLED, by="payer")


def _usable(limits: tuple[str, ...], schemes: tuple[str, ...]) -> tuple[str, ...]:
    """Give the brands of a card that this payment takes. Raises :class:`CardRefused` when there is none."""
    usable = tuple(scheme for scheme in schemes if not limits or scheme in limits)
    if not usable:
        raise CardRefused("cc-number", "scheme")
    return usable
