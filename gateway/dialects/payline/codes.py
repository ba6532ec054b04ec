"""Payline's result codes, from the table in ``codes.toml``, and which one says what became of a payment."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.payment import AttemptResult, Event, PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects.payline.merchant import Terms


@dataclass(frozen=True, slots=True)
class Code:
    """One result: what programs decide on (some on the number, some on the short word) and what people read."""

    number: str
    short: str
    long: str

    def __str__(self) -> str:
        return f"{self.number} {self.short}"


_FILE = tomllib.loads(Path(__file__).with_name("codes.toml").read_text("utf-8"))
CODES: Mapping[str, Code] = {number: Code(number, short, long) for number, (short, long) in _FILE["codes"].items()}
_ANSWERS: Mapping[str, str] = _FILE["answers"]
_FAMILIES: Mapping[str, str] = _FILE["families"]


def of_payment(result: PaymentResult, terms: Terms) -> Code:
    """Say what became of a payment, as getWebPaymentDetails tells it."""
    match result.status:
        case Status.PAID:
            return CODES["00000"]
        case Status.CREATED:
            return _not_opened(terms)
        case Status.OPENED | Status.WORKING:
            return CODES["02306"]
        case Status.FAILED:
            attempt = telling_attempt(result)
            return of_attempt(attempt, terms) if attempt else CODES["01100"]
        case Status.EXPIRED:
            return CODES["02324" if _was_opened(result) else "02534"]
        case Status.CANCELLED:
            return CODES["02014" if is_merchants_doing(result) else "02319"]


def telling_attempt(result: PaymentResult) -> AttemptResult | None:
    """Give the card submission that says how the payment ended: the last one answered, else the last one."""
    answered = [attempt for attempt in result.attempts if attempt.status is not AttemptStatus.ABANDONED]
    return answered[-1] if answered else result.attempt


def of_attempt(attempt: AttemptResult, terms: Terms) -> Code:
    """Say why a card submission did not pay."""
    if attempt.status is AttemptStatus.ABANDONED or attempt.response_family == "challenge_timeout":
        return CODES["03030"]
    if attempt.response_family == "challenge_failed":
        return CODES[terms.challenge_failed]
    if attempt.status is AttemptStatus.AUTHN_FAILED:
        return CODES["03021" if attempt.response_family == "technical" else "03003"]
    by_family = _FAMILIES.get(attempt.response_family, "01100")
    return CODES[_ANSWERS.get(attempt.response_code, by_family)]


def of_event(result: PaymentResult, event: Event, terms: Terms) -> Code | None:
    """Say one fact of a payment's history in Payline's words; ``None`` where it has none."""
    match event.type:
        case "payment.created":
            return _not_opened(terms)
        case "payment.opened":
            return CODES["02306"]
        case "payment.succeeded" | "payment.refunded" | "attempt.captured":
            return CODES["00000"]
        case "payment.refused" | "payment.cancelled" | "payment.expired":
            return of_payment(result, terms)
        case "attempt.declined" | "attempt.not_authenticated" | "attempt.abandoned":
            found = [attempt for attempt in result.attempts if attempt.id == event.facts.get("attempt")]
            return of_attempt(found[0], terms) if found else None
    return None


def is_merchants_doing(result: PaymentResult) -> bool:
    """Whether the merchant itself ended the payment, by asking for it anew: it needs no news of that."""
    ends = [event for event in result.events if event.type in {"payment.cancelled", "payment.refused"}]
    return bool(ends) and ends[-1].facts.get("by") == "merchant"


def _not_opened(terms: Terms) -> Code:
    return Code("02533", terms.not_opened, CODES["02533"].long)


def _was_opened(result: PaymentResult) -> bool:
    return any(event.type == "payment.opened" for event in result.events)
