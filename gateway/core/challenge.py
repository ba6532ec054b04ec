"""The one-time code of a challenge: how it is drawn, what is kept of it, and its bounds.

A code is good for one attempt, one amount and one payee (RTS 2018/389 art. 5), five minutes, once; at most five are
compared (art. 4(3)(b)) whatever the resends.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from gateway.core.money import Money

TRIES_MAX = 5
SENDS_MAX = 3
CODE_LIFE = timedelta(minutes=5)
CHALLENGE_LIFE = timedelta(minutes=10)

# Seconds the payer waits before the second and the third SMS.
RESEND_AFTER = (timedelta(seconds=30), timedelta(seconds=60))


@dataclass(frozen=True, slots=True)
class Bound:
    """What a code is bound to; a change of any field makes it worthless."""

    attempt: str
    merchant: str
    amount: Money


def draw_code(random_below: Callable[[int], int]) -> str:
    """Draw six digits."""
    return f"{random_below(1_000_000):06d}"


def code_mac(key: bytes, code: str, bound: Bound) -> bytes:
    """Compute what is stored of a code: HMAC-SHA-256 over it and everything it is bound to."""
    said = "\x1f".join((bound.attempt, bound.merchant, str(bound.amount.cents), bound.amount.currency, code))
    return hmac.digest(key, said.encode(), sha256)


def is_code(key: bytes, typed: str, mac: bytes, bound: Bound) -> bool:
    """Say, in constant time, whether ``typed`` is the code; spaces and dashes in it do not count."""
    digits = "".join(char for char in typed if char not in " \u00a0\u202f-")
    return hmac.compare_digest(code_mac(key, digits, bound), mac)
