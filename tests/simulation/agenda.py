"""What waits for time to pass, and when the next of it is due: so that nobody looks in vain a thousand times a night."""

from datetime import datetime

from sqlalchemy import Select, case, exists, func, select, union_all

from gateway.store import tables as t
from gateway.store.engine import READ_ONLY
from tests.simulation.world import World

# The two kinds of work of a worker.
TO_DELIVER, TO_SWEEP = 0, 1


class Agenda:
    """Looks things up only when something was written since: an idle turn teaches nothing and costs as much as a busy one."""

    def __init__(self, world: World) -> None:
        self._world, self._looked_after = world, -1
        self._due_at: tuple[datetime | None, datetime | None] = (None, None)

    def next(self) -> tuple[datetime | None, datetime | None]:
        """Say when something is to be delivered, and when something is to be swept."""
        if self._looked_after != self._world.commits:
            self._looked_after = self._world.commits
            with self._world.house.engine.connect().execution_options(**READ_ONLY) as db:
                row = db.execute(_DUE).one()
            self._due_at = row[0], row[1]
        return self._due_at

    def is_due(self, kind: int) -> bool:
        """Say whether there is work of a kind by now."""
        at = self.next()[kind]
        return at is not None and at <= self._world.now()


def _when_due() -> Select[datetime | None, datetime | None]:
    """Word the question when anything is due that waits for time to pass: notices, and what the sweeper settles."""
    n, p, older = t.notice.c, t.payment.c, t.notice.alias().c
    free_at = case((n.lease_until > n.next_at, n.lease_until), else_=n.next_at)
    in_line = (older.payment_id == n.payment_id) & (older.channel == n.channel) & (older.target == n.target)
    is_blocked = exists().where(in_line, older.state == "new", older.seq < n.seq)
    to_sweep = (
        select(func.min(t.attempt.c.next_at).label("at")),
        select(func.min(t.refund.c.next_at)),
        select(func.min(p.expires_at)).where(p.status.in_(("created", "opened"))),
    )
    return select(
        select(func.min(free_at)).where(n.state == "new", ~is_blocked).scalar_subquery(),
        select(func.min(union_all(*to_sweep).subquery().c.at)).scalar_subquery(),
    )


_DUE = _when_due()
