"""The law of a payment, as data: which state may follow which (ADR 2).

A payment follows its attempt inside the same transaction.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.core.errors import WrongStatus
from gateway.core.states import AttemptStatus, Status

MOVES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.CREATED: frozenset({Status.OPENED, Status.CANCELLED, Status.EXPIRED}),
        Status.OPENED: frozenset({Status.WORKING, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
        Status.WORKING: frozenset({Status.OPENED, Status.PAID, Status.FAILED}),
        Status.PAID: frozenset(),
        Status.FAILED: frozenset(),
        Status.CANCELLED: frozenset(),
        Status.EXPIRED: frozenset(),
    }
)

_A = AttemptStatus
ATTEMPT_MOVES: Mapping[AttemptStatus, frozenset[AttemptStatus]] = MappingProxyType(
    {
        _A.AUTHENTICATING: frozenset({_A.AUTHENTICATED, _A.DECLINED, _A.ABANDONED, _A.AUTHN_FAILED}),
        _A.AUTHENTICATED: frozenset({_A.AUTHORISING, _A.ABANDONED}),
        _A.AUTHORISING: frozenset({_A.APPROVED, _A.DECLINED, _A.UNKNOWN}),
        _A.UNKNOWN: frozenset({_A.APPROVED, _A.DECLINED, _A.REVERSING}),
        _A.REVERSING: frozenset({_A.REVERSED, _A.REVIEW}),
        _A.REVIEW: frozenset({_A.APPROVED, _A.REVERSED}),
        _A.APPROVED: frozenset({_A.CAPTURED, _A.CAPTURE_ERROR, _A.REFUNDED}),
        _A.CAPTURE_ERROR: frozenset({_A.CAPTURED, _A.REVIEW}),
        _A.CAPTURED: frozenset({_A.PART_REFUNDED, _A.REFUNDED}),
        _A.PART_REFUNDED: frozenset({_A.PART_REFUNDED, _A.REFUNDED}),
        _A.REVERSED: frozenset(),
        _A.REFUNDED: frozenset(),
        _A.DECLINED: frozenset(),
        _A.ABANDONED: frozenset(),
        _A.AUTHN_FAILED: frozenset(),
    }
)


def check_move(current: Status, target: Status) -> None:
    """Refuse a move of a payment that the table does not list.

    Raises :class:`WrongStatus`.
    """
    if target not in MOVES[current]:
        raise WrongStatus(f"a payment cannot go from {current} to {target}")


def check_attempt_move(current: AttemptStatus, target: AttemptStatus) -> None:
    """Refuse a move of an attempt that the table does not list.

    Raises :class:`WrongStatus`.
    """
    if target not in ATTEMPT_MOVES[current]:
        raise WrongStatus(f"an attempt cannot go from {current} to {target}")
