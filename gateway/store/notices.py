"""The outbox's rows: written with the fact, claimed under a lease, kept in order per payment."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    TextClause,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import NotFound
from gateway.store import tables as t
from gateway.store.claims import Room, claim
from gateway.store.types import UtcDateTime

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
class Delivered:
    """What became of a notice: its receiver has it, and answered ``reply``."""

    notice_id: int
    lease: str
    reply: str = ""


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
        return claim(self._db, lease, now=now, until=until, room=room)

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
        """Count notices that wait or died, for metrics.

        Not the codes that died: they are nobody's loss, and none can be sent again to end an alarm.
        """
        is_meant = or_(t.notice.c.state != "dead", t.notice.c.channel != "sms")
        counts = (
            select(literal(state), func.count()).where(t.among(t.notice.c.state, [state]), is_meant)
            for state in _WATCHED
        )
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
