"""The outbox's rows: written with the fact, claimed under a lease, kept in order per payment."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    TextClause,
    TextualSelect,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import NotFound
from gateway.store import tables as t
from gateway.store.types import UtcDateTime

# One statement on both engines, which walks once over what is undelivered and joins it with nothing but the few endpoints
# in trouble: a plan that a planner cannot get wrong, whatever it believes of how much there is. (Joined with itself, two
# thousand due notices took longer than the statement may, and no worker ever got to deliver them.)
#
# A notice waits while an older one of the same payment and target is undelivered. What is under way and what this claim
# takes make at most `per_place` for one place: the endpoint of a confirmation, the target of anything else. Where all goes
# well and nothing is under way it takes `run`, to be brought there `per_place` at a time; a backlog then waits for the end
# of that run, or it would be two by two for ever. Nothing goes to an endpoint that
# is paused; when its time is up, the oldest notice alone does and speaks for the others. What a person has sent again does
# not wait for that. Codes know none of these rules: the newest is the one that counts, and it cannot wait. Each lane has
# room of its own, given to the places that wait longest; a backlog for one place takes no room from another. What there is
# no room for is not looked at.
_CLAIM = """
WITH waiting AS (
  SELECT id, channel, endpoint, next_at, by_hand AND tries = 0 AS is_asked_for, coalesce(lease_until > :now, false) AS is_held,
    coalesce(nullif(endpoint, ''), target) AS place,
    CASE channel WHEN 'sms' THEN 'codes' WHEN 'confirmation' THEN 'confirmations' ELSE 'mails' END AS lane,
    seq > min(seq) OVER (PARTITION BY payment_id, channel, target) AS follows
  FROM notice WHERE state = 'new' AND 0 <
    CASE channel WHEN 'sms' THEN :codes WHEN 'confirmation' THEN :confirmations ELSE :mails END),
counted AS (
  SELECT *, sum(CASE WHEN is_held THEN 1 ELSE 0 END) OVER (PARTITION BY lane, place) AS held FROM waiting),
ranked AS (
  SELECT w.id, w.next_at, w.lane, w.held,
    row_number() OVER (PARTITION BY w.lane, w.place ORDER BY w.next_at, w.id) AS number,
    CASE WHEN e.paused_until IS NOT NULL THEN 1
      WHEN e.address IS NOT NULL OR w.lane <> 'confirmations' THEN :per_place
      WHEN w.held = 0 THEN :run
      WHEN count(*) OVER (PARTITION BY w.lane, w.place) >= :run THEN 0
      ELSE :per_place END AS most
  FROM counted AS w LEFT JOIN endpoint AS e ON e.address = w.endpoint
  WHERE w.next_at <= :now AND NOT w.is_held AND (w.lane = 'codes' OR NOT w.follows)
    AND (e.paused_until IS NULL OR e.paused_until <= :now OR w.is_asked_for)),
placed AS (
  SELECT id, lane, sum(CASE WHEN lane = 'codes' OR number <= :per_place THEN 1 ELSE 0 END)
    OVER (PARTITION BY lane ORDER BY next_at, id) AS abreast
  FROM ranked WHERE lane = 'codes' OR number + held <= most),
chosen AS (
  SELECT id FROM placed
  WHERE abreast <= CASE lane WHEN 'codes' THEN :codes WHEN 'confirmations' THEN :confirmations ELSE :mails END),
pick AS MATERIALIZED (
  SELECT id FROM notice WHERE id {among} AND state = 'new' AND (lease_until IS NULL OR lease_until <= :now) {lock})
UPDATE notice SET lease = :lease, lease_until = :until, tries = tries + 1
FROM pick WHERE notice.id = pick.id
RETURNING {columns}
"""
# Locked where PostgreSQL finds them by their ids, whatever the planner thinks of their number.
_BY_ENGINE = {
    "postgresql": {"among": "= ANY (ARRAY(SELECT id FROM chosen))", "lock": "FOR UPDATE SKIP LOCKED"},
    "sqlite": {"among": "IN (SELECT id FROM chosen)", "lock": ""},
}

_ADD = insert(t.notice)
# Longer than anybody looks for a worker that is gone.
_HEARTBEAT_KEPT = timedelta(days=1)
# Each has an index of its own, which those that were sent are not in.
_WATCHED = ("new", "dead")
# A code is worthless once sent or given up: nothing of it stays.
_KEPT_BODY = case((t.notice.c.channel == "sms", b""), else_=t.notice.c.body)
# One statement for all that was delivered since the last time, however many: a message for each would cost as much as all else.
_FINISH = """
UPDATE notice SET state = 'sent', delivered_at = :at, last_error = '', last_reply = told.reply, lease = '', lease_until = NULL,
  body = CASE channel WHEN 'sms' THEN {nothing} ELSE body END
FROM {told} WHERE notice.id = told.id AND notice.lease = told.lease AND notice.state = 'new'
"""
_TOLD = {
    "postgresql": {
        "told": "json_to_recordset(CAST(:told AS json)) AS told(id bigint, lease text, reply text)",
        "nothing": "CAST('' AS bytea)",
    },
    "sqlite": {
        "told": "(SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.lease') AS lease, "
        "json_extract(value, '$.reply') AS reply FROM json_each(:told)) AS told",
        "nothing": "x''",
    },
}


@dataclass(frozen=True, slots=True)
class Room:
    """How much a claim may take.

    :ivar codes, confirmations, mails: of each, as many as can be brought out abreast; none of what others bring out
    :ivar per_place: abreast to one place
    :ivar run: to one place in all, one after the other, where nothing is in the way
    """

    codes: int = 0
    confirmations: int = 0
    mails: int = 0
    per_place: int = 2
    run: int = 2


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a notice: its receiver has it, and answered ``reply``."""

    notice_id: int
    lease: str
    reply: str = ""


@cache
def _claiming(engine: str) -> TextualSelect:
    columns = ", ".join(f"notice.{column.name}" for column in t.notice.c)
    moments = (bindparam(name, type_=UtcDateTime()) for name in ("now", "until"))
    asked = text(_CLAIM.format(columns=columns, **_BY_ENGINE[engine])).bindparams(*moments)
    return asked.columns(*t.notice.c)


@cache
def _finishing(engine: str) -> TextClause:
    return text(_FINISH.format(**_TOLD[engine])).bindparams(bindparam("at", type_=UtcDateTime()))


class Notices:
    """Queries over ``notice`` and ``heartbeat``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, payment_id: int, **facts: object) -> None:
        """Insert a promise to tell somebody something."""
        self.add_all([{"payment_id": payment_id, **facts}])

    def add_all(self, promises: Sequence[Mapping[str, object]]) -> None:
        """Insert some at once."""
        self._db.execute(_ADD, [{"state": "new", **facts} for facts in promises])

    def claim(self, lease: str, *, now: datetime, until: datetime, room: Room) -> list[Row[Any]]:
        """Lease to one deliverer until ``until`` what is due and there is room for, the longest due first."""
        asked = _claiming(self._db.dialect.name)
        facts = {"lease": lease, "now": now, "until": until, **asdict(room)}
        return sorted(self._db.execute(asked, facts), key=lambda row: (row.next_at, row.id))

    def finish(self, delivered: Iterable[Delivered], now: datetime) -> None:
        """Mark notices delivered, each if its lease is still its deliverer's."""
        told = [{"id": one.notice_id, "lease": one.lease, "reply": one.reply} for one in delivered]
        if told:
            self._db.execute(_finishing(self._db.dialect.name), {"told": json.dumps(told), "at": now})

    def release(self, notice_ids: Collection[int], lease: str) -> None:
        """Give back what was claimed and not tried: due as before, and no try is lost."""
        n = t.notice
        mine = n.c.id.in_(notice_ids), n.c.lease == lease, n.c.state == "new"
        self._db.execute(update(n).where(*mine).values(lease="", lease_until=None, tries=n.c.tries - 1))

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
            changes["body"] = _KEPT_BODY
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
        n = t.notice
        asked = select(n).order_by(n.c.id.desc()).limit(limit)
        if state == "sent":
            asked = asked.where(n.c.state == state)
        elif state:
            # Few, and not to be looked for among all that were sent.
            asked = asked.where(n.c.id.in_(select(n.c.id).where(t.among(n.c.state, [state]))))
        return list(self._db.execute(asked))

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
        counts = (select(literal(state), func.count()).where(t.among(t.notice.c.state, [state])) for state in _WATCHED)
        return {state: number for state, number in self._db.execute(union_all(*counts)) if number}

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
