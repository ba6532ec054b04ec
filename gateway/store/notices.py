"""The outbox's rows: written with the fact, claimed under a lease, kept in order per payment."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, String, bindparam, case, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import NotFound
from gateway.store import tables as t
from gateway.store.types import UtcDateTime

# One statement on both engines. MATERIALIZED pins the pick before the update: the usual UPDATE ... WHERE id IN (SELECT
# ... FOR UPDATE SKIP LOCKED) may be planned so that it locks rows it does not take. A notice waits while an older one
# of the same payment and target is undelivered. Deliveries under way and those of this claim together make at most
# `per_target` for one place: the endpoint of a confirmation, the target of anything else. Nothing goes to an endpoint
# that is paused; when its time is up, the oldest notice alone does and speaks for the others. What a person has sent again
# does not wait for that. Codes know none of these rules: the newest is the one that counts, and it cannot wait.
_CLAIM = """
WITH busy AS (
  SELECT coalesce(nullif(endpoint, ''), target) AS place, count(*) AS number
  FROM notice WHERE state = 'new' AND lease_until > :now GROUP BY 1),
ranked AS (
  SELECT n.id, coalesce(nullif(n.endpoint, ''), n.target) AS place,
    row_number() OVER (PARTITION BY coalesce(nullif(n.endpoint, ''), n.target) ORDER BY n.next_at, n.id) AS number,
    CASE WHEN e.paused_until IS NULL THEN :per_target ELSE 1 END AS most
  FROM notice AS n LEFT JOIN endpoint AS e ON e.address = n.endpoint
  WHERE n.state = 'new' AND n.next_at <= :now AND (n.lease_until IS NULL OR n.lease_until <= :now)
    AND (e.paused_until IS NULL OR e.paused_until <= :now OR (n.by_hand AND n.tries = 0))
    AND (:lane = '' OR (n.channel = 'sms') = (:lane = 'codes'))
    AND (n.channel = 'sms' OR NOT EXISTS (
      SELECT 1 FROM notice AS older
      WHERE older.payment_id = n.payment_id AND older.channel = n.channel AND older.target = n.target
        AND older.state = 'new' AND older.seq < n.seq))),
pick AS MATERIALIZED (
  SELECT n.id FROM notice AS n JOIN ranked ON ranked.id = n.id LEFT JOIN busy ON busy.place = ranked.place
  WHERE n.state = 'new' AND (n.lease_until IS NULL OR n.lease_until <= :now)
    AND (n.channel = 'sms' OR ranked.number + coalesce(busy.number, 0) <= ranked.most)
  ORDER BY n.next_at, n.id LIMIT :limit {lock})
UPDATE notice SET lease = :lease, lease_until = :until, tries = tries + 1
FROM pick WHERE notice.id = pick.id
RETURNING notice.id
"""

# Longer than anybody looks for a worker that is gone.
_HEARTBEAT_KEPT = timedelta(days=1)


class Notices:
    """Queries over ``notice`` and ``heartbeat``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, payment_id: int, **facts: object) -> None:
        """Insert a promise to tell somebody something."""
        self._db.execute(insert(t.notice).values(payment_id=payment_id, state="new", **facts))

    def claim(  # noqa: PLR0913 - a claim is what these say
        self, lease: str, *, now: datetime, until: datetime, limit: int, per_target: int, lane: str = ""
    ) -> list[Row[Any]]:
        """Lease up to ``limit`` due notices to one deliverer until ``until``.

        :param lane: ``codes`` for SMS alone, ``others`` for everything else, empty for both
        """
        lock = "FOR UPDATE OF n SKIP LOCKED" if self._db.dialect.name == "postgresql" else ""
        asked = text(_CLAIM.format(lock=lock)).bindparams(
            bindparam("now", now, UtcDateTime()),
            bindparam("until", until, UtcDateTime()),
            bindparam("lane", lane, String()),
        )
        ids = self._db.execute(asked, {"lease": lease, "limit": limit, "per_target": per_target}).scalars().all()
        if not ids:
            return []
        return list(self._db.execute(select(t.notice).where(t.notice.c.id.in_(ids)).order_by(t.notice.c.id)))

    def finish(self, notice_id: int, lease: str, now: datetime, reply: str = "") -> None:
        """Mark a notice delivered, if the lease is still ours; ``reply`` is what the receiver said."""
        self._settle(notice_id, lease, state="sent", delivered_at=now, last_error="", last_reply=reply)

    def fetched(self, payment_id: int, now: datetime) -> None:
        """Drop the confirmations of a payment whose end the merchant has fetched by itself."""
        n = t.notice
        self._db.execute(
            update(n)
            .where(n.c.payment_id == payment_id, n.c.channel == "confirmation", n.c.state == "new")
            .values(state="sent", delivered_at=now, lease="", lease_until=None, last_reply="fetched by the merchant")
        )

    def postpone(self, notice_id: int, lease: str, next_at: datetime, error: str, reply: str = "") -> None:
        """Try again at ``next_at``."""
        self._settle(notice_id, lease, next_at=next_at, last_error=error[:200], last_reply=reply)

    def bury(self, notice_id: int, lease: str, error: str, reply: str = "") -> bool:
        """Give up; only a person can send it again. False when the lease was lost."""
        return self._settle(notice_id, lease, state="dead", last_error=error[:200], last_reply=reply)

    def _settle(self, notice_id: int, lease: str, **changes: object) -> bool:
        if "state" in changes:
            # A code is worthless once sent or given up: nothing of it stays.
            changes["body"] = case((t.notice.c.channel == "sms", b""), else_=t.notice.c.body)
        done = self._db.execute(
            update(t.notice)
            .where(t.notice.c.id == notice_id, t.notice.c.lease == lease, t.notice.c.state == "new")
            .values(lease="", lease_until=None, **changes)
        )
        return done.rowcount == 1

    def stale(self, due_before: datetime, limit: int) -> list[Row[Any]]:
        """Find the notices that have waited for too long for an endpoint that is paused."""
        n, e = t.notice, t.endpoint
        asked = select(n).join(e, e.c.address == n.c.endpoint).where(e.c.paused_until.is_not(None))
        is_idle = n.c.lease_until.is_(None)
        return list(self._db.execute(asked.where(n.c.state == "new", n.c.next_at < due_before, is_idle).limit(limit)))

    def is_promised(self, channel: str, target: str, event_id: str) -> bool:
        """Say whether somebody is, or was, to be told of an event by a channel."""
        n = t.notice
        asked = select(n.c.id).where(n.c.channel == channel, n.c.target == target, n.c.event_id == event_id)
        return self._db.execute(asked).first() is not None

    def is_under_way(self, payment_id: int, now: datetime) -> bool:
        """Say whether a confirmation of a payment is being made for the first time, or is due and waits for a worker.

        Later ones wait for the first; once that has failed, nobody is being told for a while.
        """
        n = t.notice
        asked = (
            select(n.c.tries, n.c.lease, n.c.next_at)
            .where(n.c.payment_id == payment_id, n.c.channel == "confirmation", n.c.state == "new")
            .order_by(n.c.seq)
            .limit(1)
        )
        first = self._db.execute(asked).one_or_none()
        return first is not None and first.next_at <= now and (first.tries == 0 or first.lease != "")

    def next_due(self) -> datetime | None:
        """Say when the earliest waiting notice is due, so that a worker may sleep until then."""
        moment: datetime | None = self._db.execute(
            select(t.notice.c.next_at).where(t.notice.c.state == "new").order_by(t.notice.c.next_at).limit(1)
        ).scalar()
        return moment

    def of_payment(self, payment_id: int) -> list[Row[Any]]:
        """List the notices of a payment in the order they were promised."""
        return list(
            self._db.execute(select(t.notice).where(t.notice.c.payment_id == payment_id).order_by(t.notice.c.id))
        )

    def newest(self, limit: int, state: str | None = None) -> list[Row[Any]]:
        """List the latest notices, for the operator."""
        asked = select(t.notice).order_by(t.notice.c.id.desc()).limit(limit)
        return list(self._db.execute(asked.where(t.notice.c.state == state) if state else asked))

    def resend(self, notice_id: int, now: datetime) -> None:
        """Put a notice back to be sent now: same id, same body, a whole new round of tries. Raises :class:`NotFound`."""
        done = self._db.execute(
            update(t.notice)
            .where(t.notice.c.id == notice_id, t.notice.c.channel != "sms")
            .values(state="new", next_at=now, lease="", lease_until=None, tries=0, by_hand=True)
        )
        if done.rowcount != 1:
            raise NotFound("no such notice, or one that may not be sent again (a code)")

    def count_by_state(self) -> dict[str, int]:
        """Count notices that wait or died, for metrics."""
        asked = select(t.notice.c.state, func.count()).where(t.notice.c.state != "sent").group_by(t.notice.c.state)
        return {str(row.state): int(row[1]) for row in self._db.execute(asked)}

    # The worker's pulse.

    def beat(self, name: str, at: datetime) -> None:
        """Say that a worker is alive; its first beat clears away those silent for a day, killed ones included."""
        done = self._db.execute(update(t.heartbeat).where(t.heartbeat.c.name == name).values(at=at))
        if done.rowcount == 0:
            self._db.execute(delete(t.heartbeat).where(t.heartbeat.c.at < at - _HEARTBEAT_KEPT))
            try:
                with self._db.begin_nested():
                    self._db.execute(insert(t.heartbeat).values(name=name, at=at))
            except IntegrityError:
                return

    def last_beat(self) -> datetime | None:
        """Say when any worker was last alive."""
        moment: datetime | None = self._db.execute(select(func.max(t.heartbeat.c.at))).scalar()
        return moment
