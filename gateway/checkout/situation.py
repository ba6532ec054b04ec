"""Where a payer stands: one page per state, decided here and nowhere else."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil

from gateway.checkout.extending import TimeLimit, time_limit
from gateway.core.challenge import CHALLENGE_LIFE, RESEND_AFTER, SENDS_MAX, TRIES_MAX
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.store import Transaction
from gateway.store.looks import Look
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


def is_idle(row: PaymentRow, now: datetime) -> bool:
    """Say of a look's row whether a code has been awaited for too long."""
    awaits = row.status == Status.OPENED and row.attempt_status == AttemptStatus.AUTHENTICATING
    return awaits and row.opened_at is not None and bool(row.opened_at + CHALLENGE_LIFE <= now)


def must_touch(row: PaymentRow, now: datetime) -> bool:
    """Say of a look's row whether being looked at changes it."""
    is_left = row.status == Status.OPENED and (row.expires_at <= now or is_idle(row, now))
    return row.status == Status.CREATED or bool(is_left)


def situation(look: Look, now: datetime) -> Situation:
    """Say where the payer of a payment stands."""
    row, result = look.row, look.result
    stage = Stage.WAITING if result.parent and result.is_live else _FINAL.get(result.status)
    if stage is None:
        shown = row.attempt_status is not None and not row.dismissed
        stage = _BY_ATTEMPT.get(AttemptStatus(row.attempt_status), Stage.CARD) if shown else Stage.CARD
    view = _view(now, row) if stage is Stage.CHALLENGE and row.sends else None
    return Situation(result, stage, view, time_limit(row, now))


def stage_of(tx: Transaction, row: PaymentRow, now: datetime) -> Stage:
    """Say at which page the payer of a payment is."""
    return situation(tx.payments.look(row.public_id), now).stage


def _view(now: datetime, row: PaymentRow) -> ChallengeView:
    sends_left = SENDS_MAX - row.sends
    resend_at = row.sent_at + RESEND_AFTER[row.sends - 1] if sends_left else None
    return ChallengeView(
        phone=row.phone,
        tries_left=TRIES_MAX - row.tries,
        sends_left=sends_left,
        resend_at=resend_at if resend_at and resend_at > now else None,
        expires_at=row.code_expires_at,
        seconds_left=max(ceil((row.code_expires_at - now).total_seconds()), 0),
        error=row.tries > 0,
    )
