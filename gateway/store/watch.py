"""What an operator's alarms rest on: how old the oldest trouble is, how many cards are refused, what the last check found.

Each question is one statement over an index that holds the few rows concerned; Prometheus asks every few seconds.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, case, delete, func, insert, or_, select

from gateway.core.states import REFUSED, AttemptStatus
from gateway.store import tables as t

# Over which time the share of refused cards is taken.
_LATELY = timedelta(minutes=10)
# Checks keep their result beside the other counts, and are forgotten with them after two days.
_CHECK = "check"


class Watch:
    """Queries over several tables, for metrics."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def ages(self, now: datetime) -> dict[str, int]:
        """Say for how many seconds the oldest due notice and the oldest unknown authorisation have waited; 0 for none.

        What waits for a paused endpoint is not late: its portal is.
        """
        n, a, o, e = t.notice.c, t.attempt.c, t.operation.c, t.endpoint.c
        is_paused = select(e.address).where(e.address == n.endpoint, e.paused_until.is_not(None)).exists()
        due = select(func.min(n.next_at)).where(n.state == "new", n.next_at <= now, ~is_paused)
        # Not joined: SQLite would look for the least of them along all that was ever asked.
        doubtful = select(a.id).where(
            t.among(a.status, t.WATCHED), a.status == AttemptStatus.UNKNOWN, a.next_at.is_not(None)
        )
        unknown = select(func.min(o.asked_at)).where(o.attempt_id.in_(doubtful), o.kind == "authorise")
        return {"notice_due": self._age(due, now), "attempt_unknown": self._age(unknown, now)}

    def cards(self, now: datetime) -> dict[str, int]:
        """Count the cards of the last ten minutes: all that were typed, and those of them that were refused."""
        c, a = t.card_entry.c, t.attempt.c
        is_refused = or_(c.state == "withheld", a.status.in_(REFUSED))
        asked = (
            select(func.count(), func.count(case((is_refused, 1))))
            .select_from(t.card_entry.outerjoin(t.attempt, a.id == c.attempt_id))
            .where(c.at > now - _LATELY)
        )
        entered, refused = self._db.execute(asked).one()
        return {"entered": entered, "refused": refused}

    def found(self, check: str, differences: int, now: datetime) -> None:
        """Keep the result of a check that somebody runs now and then."""
        y = t.tally
        self._db.execute(delete(y).where(y.c.scope == _CHECK, y.c.subject == check))
        self._db.execute(insert(y).values(scope=_CHECK, subject=check, at=now, count=differences))

    def checks(self, now: datetime) -> dict[str, dict[str, int]]:
        """Tell what each check found last, and how many seconds ago; nothing of one not run for two days."""
        y = t.tally.c
        rows = self._db.execute(select(y.subject, y.count, y.at).where(y.scope == _CHECK)).all()
        ages = {str(row.subject): max(int((now - row.at).total_seconds()), 0) for row in rows}
        return {"check_findings": {str(row.subject): int(row[1]) for row in rows}, "check_age_seconds": ages}

    def _age(self, asked: Select[Any], now: datetime) -> int:
        oldest: datetime | None = self._db.execute(asked).scalar()
        return max(int((now - oldest).total_seconds()), 0) if oldest else 0
