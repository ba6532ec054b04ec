"""Where a payer stands: one page per state, decided here and nowhere else."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil
from typing import Any

from sqlalchemy import Row

from gateway.checkout.extending import TimeLimit, time_limit
from gateway.core.challenge import CHALLENGE_LIFE, RESEND_AFTER, SENDS_MAX, TRIES_MAX
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.store import Transaction
from gateway.store.payments import PaymentRow


class Stage(StrEnum):
    """Which page a payment is at; the state decides, never the address."""

    CARD = "card"
    REVIEW = "review"
    CHALLENGE = "challenge"
    WAITING = "waiting"
    PAID = "paid"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_FINAL = {
    Status.WORKING: Stage.WAITING,
    Status.PAID: Stage.PAID,
    Status.FAILED: Stage.REFUSED,
    Status.CANCELLED: Stage.CANCELLED,
    Status.EXPIRED: Stage.EXPIRED,
}
_BY_ATTEMPT = {
    AttemptStatus.AUTHENTICATING: Stage.CHALLENGE,
    AttemptStatus.AUTHENTICATED: Stage.REVIEW,
    AttemptStatus.DECLINED: Stage.REFUSED,
    AttemptStatus.AUTHN_FAILED: Stage.REFUSED,
    AttemptStatus.REVERSED: Stage.REFUSED,
}


@dataclass(frozen=True, slots=True)
class ChallengeView:
    """What the code page shows of the challenge: never the code.

    :ivar resend_at: when the next SMS may be asked for; ``None`` when it may be now
    :ivar seconds_left: how long the code is good for
    :ivar error: the latest code typed was not the right one
    """

    phone: str
    tries_left: int
    sends_left: int
    resend_at: datetime | None
    expires_at: datetime
    seconds_left: int
    error: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a payer stands.

    :ivar time_limit: ``None`` when time does not run against the payer
    :ivar may_enter: whether the page takes one more card
    """

    result: PaymentResult
    stage: Stage
    challenge: ChallengeView | None = None
    time_limit: TimeLimit | None = None
    may_enter: bool = True

    @property
    def can_retry(self) -> bool:
        """Whether another card may be tried."""
        return self.stage is Stage.REFUSED and self.result.is_live


@dataclass(frozen=True, slots=True)
class Turn:
    """The last card of a payment that waits for its payer, if one was entered, and its code, if one is awaited."""

    attempt: Row[Any] | None = None
    challenge: Row[Any] | None = None

    def is_idle(self, now: datetime) -> bool:
        """Whether a code has been awaited for too long."""
        return self.challenge is not None and bool(self.challenge.opened_at + CHALLENGE_LIFE <= now)


def turn(tx: Transaction, row: PaymentRow) -> Turn:
    """Look at what the payer of a payment did last, while it is the payer's turn."""
    attempt = tx.attempts.latest(row.id) if row.status == Status.OPENED else None
    if attempt is None or attempt.status != AttemptStatus.AUTHENTICATING:
        return Turn(attempt)
    return Turn(attempt, tx.attempts.challenge(attempt.id))


def situation(tx: Transaction, now: datetime, row: PaymentRow, known: Turn | None = None) -> Situation:
    """Say where the payer of a payment stands.

    :param known: what :func:`turn` says of the row, if it was asked already
    """
    result, known = tx.payments.result(row), known or turn(tx, row)
    attempt = known.attempt
    stage = Stage.WAITING if result.parent and result.is_live else _FINAL.get(result.status)
    if stage is None:
        shown = attempt is not None and not attempt.dismissed
        stage = _BY_ATTEMPT.get(AttemptStatus(attempt.status), Stage.CARD) if attempt and shown else Stage.CARD
    challenge = known.challenge if stage is Stage.CHALLENGE else None
    view = _view(now, attempt, challenge) if attempt and challenge else None
    return Situation(result, stage, view, time_limit(row, now))


def _view(now: datetime, attempt: Row[Any], challenge: Row[Any]) -> ChallengeView:
    sends_left = SENDS_MAX - challenge.sends
    resend_at = challenge.sent_at + RESEND_AFTER[challenge.sends - 1] if sends_left else None
    return ChallengeView(
        phone=attempt.phone,
        tries_left=TRIES_MAX - challenge.tries,
        sends_left=sends_left,
        resend_at=resend_at if resend_at and resend_at > now else None,
        expires_at=challenge.expires_at,
        seconds_left=max(ceil((challenge.expires_at - now).total_seconds()), 0),
        error=challenge.tries > 0,
    )
