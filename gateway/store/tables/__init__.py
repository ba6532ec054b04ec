"""The tables and the constraints that hold even when the code forgets.

One row per thing; money in integer minor units; every string has a length, every constraint a name. The partial unique
indexes are the last line against a double debit: at most one attempt that may hold money per debt.
"""

from gateway.store.tables.attempts import WATCHED, attempt, challenge, hold, ledger, operation, refund
from gateway.store.tables.audit import audit, is_book, seal
from gateway.store.tables.base import among, metadata
from gateway.store.tables.limits import alert, binding, card_entry, tally
from gateway.store.tables.notices import endpoint, heartbeat, notice
from gateway.store.tables.paylinks import link
from gateway.store.tables.payments import debt, event, instalment, line, payment, signed_request

__all__ = [
    "WATCHED",
    "alert",
    "among",
    "attempt",
    "audit",
    "binding",
    "card_entry",
    "challenge",
    "debt",
    "endpoint",
    "event",
    "heartbeat",
    "hold",
    "instalment",
    "is_book",
    "ledger",
    "line",
    "link",
    "metadata",
    "notice",
    "operation",
    "payment",
    "refund",
    "seal",
    "signed_request",
    "tally",
]
