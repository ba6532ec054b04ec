"""The states of a payment, of its attempts and of its later parts, and the sets that rules are written with.

The moves between them are in ``gateway.core.moves``.
"""

from enum import StrEnum


class Status(StrEnum):
    """Where a payment stands, from the signed request to its end."""

    CREATED = "created"
    OPENED = "opened"
    WORKING = "working"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class AttemptStatus(StrEnum):
    """Where one card submission stands."""

    AUTHENTICATING = "authenticating"
    AUTHENTICATED = "authenticated"
    AUTHORISING = "authorising"
    UNKNOWN = "unknown"
    REVERSING = "reversing"
    REVERSED = "reversed"
    REVIEW = "review"
    APPROVED = "approved"
    CAPTURE_ERROR = "capture_error"
    CAPTURED = "captured"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"
    DECLINED = "declined"
    ABANDONED = "abandoned"
    AUTHN_FAILED = "authn_failed"


LIVE = frozenset({Status.CREATED, Status.OPENED, Status.WORKING})

# Attempts in these states hold, or may hold, the payer's money: at most one per debt, ever.
MONEY = frozenset(
    {
        AttemptStatus.AUTHORISING,
        AttemptStatus.UNKNOWN,
        AttemptStatus.REVERSING,
        AttemptStatus.REVIEW,
        AttemptStatus.APPROVED,
        AttemptStatus.CAPTURE_ERROR,
        AttemptStatus.CAPTURED,
        AttemptStatus.PART_REFUNDED,
    }
)

# Attempts in these states ended badly: the card was tried and paid nothing.
REFUSED = frozenset({AttemptStatus.DECLINED, AttemptStatus.AUTHN_FAILED, AttemptStatus.REVERSED})

# Attempts in these states wait for the payer: at most one per payment.
FRONT = frozenset({AttemptStatus.AUTHENTICATING, AttemptStatus.AUTHENTICATED})


class InstalmentStatus(StrEnum):
    """Where a later part of a purchase stands."""

    PLANNED = "planned"
    WORKING = "working"  # the acquirer is being asked
    RETRYING = "retrying"  # refused, and asked for again in some days
    PAID = "paid"
    REFUSED = "refused"  # for good: the managers were told
    VOID = "void"  # never to be asked for: the purchase was not paid, cancelled, or given back
