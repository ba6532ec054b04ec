"""What an acquirer's statement is compared with: our own messages that asked for money, and what became of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal_column, select

from gateway.core.states import FRONT, Status
from gateway.store import tables as t

# SQLite takes 32,766 parameters in one statement; a batch stays far below.
_BATCH = 500


class Statements:
    """Queries over ``operation``, ``attempt`` and ``payment`` as one book."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def asked(self, op_ids: Sequence[str]) -> dict[str, Row[Any]]:
        """Find our side of these authorisations; one we do not know is left out."""
        found: dict[str, Row[Any]] = {}
        for first in range(0, len(op_ids), _BATCH):
            batch = _ours().where(t.operation.c.op_id.in_(op_ids[first : first + _BATCH]))
            found.update((row.op_id, row) for row in self._db.execute(batch))
        return found

    def approved(self, since: datetime, until: datetime) -> list[Row[Any]]:
        """List the authorisations of a period that count as approved here."""
        o = t.operation.c
        return list(self._db.execute(_ours().where(o.outcome == "approved", o.asked_at.between(since, until))))

    def waiting(self) -> list[Row[Any]]:
        """List the cards that wait for their payer's last word: nothing is known to have been asked for them."""
        a, p = t.attempt.c, t.payment.c
        asked = (
            select(a.id, a.token, p.public_id, p.amount_cents, p.currency)
            .join_from(t.attempt, t.payment, a.payment_id == p.id)
            .where(t.among(a.status, FRONT), a.token != "")
            # Said twice: once for the index, which holds the pages nobody has opened too.
            .where(t.among(p.status, (Status.CREATED, Status.OPENED)), p.status == Status.OPENED)
        )
        return list(self._db.execute(asked))


def _ours() -> Select[Any]:
    o, a, p, r, later = t.operation.c, t.attempt.c, t.payment.c, t.refund.c, t.operation.alias("later")
    refunded = select(func.coalesce(func.sum(r.amount_cents), 0)).where(r.payment_id == p.id, r.attempt_id == a.id)
    changed = select(func.max(later.c.answered_at)).where(later.c.attempt_id == a.id)
    return (
        select(
            o.op_id,
            o.amount_cents,
            o.asked_at,
            o.attempt_id,
            a.status,
            p.public_id,
            p.currency,
            refunded.where(r.status == "done").scalar_subquery().label("refunded"),
            changed.scalar_subquery().label("changed_at"),
        )
        .join_from(t.operation, t.attempt, o.attempt_id == a.id)
        .join(t.payment, p.id == a.payment_id)
        .where(o.kind == literal_column("'authorise'"))
    )
