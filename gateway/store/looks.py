"""What a payer's page is made of, in one statement: whose page it is, what the payment is, and what its payer did last.

Pages are asked for more often than anything else, and most of what a statement costs is the asking.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, func, select

from gateway.core.payment import PaymentResult
from gateway.store import tables as t
from gateway.store.results import told_columns


@dataclass(frozen=True, slots=True)
class Look:
    """A payment as its page needs it.

    :ivar row: the payment's columns; ``browser``, whose page it is; ``entered``, how many cards were typed on it; of the
        latest attempt ``attempt_status``, ``dismissed`` and ``phone``; of its code ``tries``, ``sends``, ``opened_at``,
        ``sent_at`` and ``code_expires_at``. What there is none of is ``None``.
    """

    row: Row[Any]
    result: PaymentResult


@cache
def looking(engine: str) -> Select[Any]:
    """Give the statement, which is asked with a public id as ``of``."""
    p, a, c = t.payment, t.attempt, t.challenge
    newest = select(func.max(a.c.n)).where(a.c.payment_id == p.c.id).scalar_subquery()
    entered = select(func.count()).where(t.card_entry.c.payment_id == p.c.id).scalar_subquery()
    last = a.alias("last")
    return (
        select(
            p,
            t.binding.c.browser,
            entered.label("entered"),
            *(last.c.status.label("attempt_status"), last.c.dismissed, last.c.phone),
            *(c.c.tries, c.c.sends, c.c.opened_at, c.c.sent_at, c.c.expires_at.label("code_expires_at")),
            *told_columns(engine),
        )
        .outerjoin(t.binding, t.binding.c.payment_id == p.c.id)
        .outerjoin(last, and_(last.c.payment_id == p.c.id, last.c.n == newest))
        .outerjoin(c, c.c.attempt_id == last.c.id)
        .where(p.c.public_id == bindparam("of"))
    )
