"""How a worker takes notices in hand: one statement that finds what is due and has room, and leases it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, TextualSelect, bindparam, text

from gateway.store import tables as t
from gateway.store.types import UtcDateTime

# One statement on both engines, which walks once over what is undelivered and joins it with nothing but the few endpoints
# in trouble: a plan that a planner cannot get wrong, whatever it believes of how much there is. (Joined with itself, two
# thousand due notices took longer than the statement may, and no worker ever got to deliver them.)
#
# A notice waits while an older one of the same payment and target is undelivered. What is under way and what this claim
# takes make at most `per_place` for one place: the endpoint of a confirmation, the target of anything else. Where all goes
# well and nothing is under way it takes `run`, to be brought there `per_place` at a time; a backlog then waits for the end
# of that run, or it would be two by two for ever. Nothing goes to an endpoint that is paused; when its time is up, the
# oldest notice alone does and speaks for the others. What a person has sent again does not wait for that. Codes know none
# of these rules: the newest is the one that counts, and it cannot wait.
#
# Each lane has room of its own, given to the places that wait longest; a backlog for one place takes no room from another.
# What there is no room for is not looked at. A portal may have an address for each payment, none of which ever fails often
# enough to be paused: so a host where `others` are under way takes no more of the last `others` of the room.
#
# What was promised by a clock that was set back since is due now, not when that time comes by again.
_CLAIM = """
WITH waiting AS (
  SELECT id, channel, endpoint, CASE WHEN tries = 0 AND created_at > :now THEN :now ELSE next_at END AS next_at,
    by_hand AND tries = 0 AS is_asked_for, coalesce(lease_until > :now, false) AS is_held,
    coalesce(nullif(endpoint, ''), target) AS place, substr(endpoint, 1, 7 + {find}(substr(endpoint || '/', 9), '/')) AS host,
    CASE channel WHEN 'sms' THEN 'codes' WHEN 'confirmation' THEN 'confirmations' ELSE 'mails' END AS lane,
    seq > min(seq) OVER (PARTITION BY payment_id, channel, target) AS follows
  FROM notice WHERE state = 'new' AND 0 <
    CASE channel WHEN 'sms' THEN :codes WHEN 'confirmation' THEN :confirmations ELSE :mails END),
counted AS (
  SELECT *, sum(CASE WHEN is_held THEN 1 ELSE 0 END) OVER (PARTITION BY lane, place) AS held FROM waiting),
visited AS (
  SELECT host, CASE WHEN count(*) < :per_place THEN count(*) ELSE :per_place END AS hands
  FROM waiting WHERE is_held AND lane = 'confirmations' GROUP BY host, place),
visits AS (SELECT host, sum(hands) AS hands FROM visited GROUP BY host),
ranked AS (
  SELECT w.id, w.next_at, w.lane, w.host, w.held,
    row_number() OVER (PARTITION BY w.lane, w.place ORDER BY w.next_at, w.id) AS number,
    CASE WHEN e.paused_until IS NOT NULL THEN 1
      WHEN e.address IS NOT NULL OR w.lane <> 'confirmations' THEN :per_place
      WHEN w.held = 0 THEN :run
      WHEN count(*) OVER (PARTITION BY w.lane, w.place) >= :run THEN 0
      ELSE :per_place END AS most
  FROM counted AS w LEFT JOIN endpoint AS e ON e.address = w.endpoint
  WHERE w.next_at <= :now AND NOT w.is_held AND (w.lane = 'codes' OR NOT w.follows)
    AND (e.paused_until IS NULL OR e.paused_until <= :now OR w.is_asked_for)),
fitting AS (
  SELECT id, next_at, lane, host, CASE WHEN lane = 'codes' OR number <= :per_place THEN 1 ELSE 0 END AS hand
  FROM ranked WHERE lane = 'codes' OR number + held <= most),
crowding AS (
  SELECT f.*, lane = 'confirmations' AND
    coalesce(v.hands, 0) + sum(hand) OVER (PARTITION BY lane, f.host ORDER BY next_at, id) > :others AS is_crowd
  FROM fitting AS f LEFT JOIN visits AS v ON v.host = f.host),
placed AS (
  SELECT id, lane, is_crowd, sum(hand) OVER (PARTITION BY lane ORDER BY is_crowd, next_at, id) AS abreast FROM crowding),
chosen AS (
  SELECT id FROM placed WHERE abreast <= CASE lane WHEN 'codes' THEN :codes WHEN 'mails' THEN :mails
    ELSE :confirmations - CASE WHEN is_crowd THEN :others ELSE 0 END END),
pick AS MATERIALIZED (
  SELECT id FROM notice WHERE id {among} AND state = 'new' AND (lease_until IS NULL OR lease_until <= :now) {lock})
UPDATE notice SET lease = :lease, lease_until = :until, tries = tries + 1
FROM pick WHERE notice.id = pick.id
RETURNING {columns}
"""
# Locked where PostgreSQL finds them by their ids, whatever the planner thinks of their number.
_BY_ENGINE = {
    "postgresql": {
        "find": "strpos",
        "among": "= ANY (ARRAY(SELECT id FROM chosen))",
        "lock": "FOR UPDATE SKIP LOCKED",
    },
    "sqlite": {"find": "instr", "among": "IN (SELECT id FROM chosen)", "lock": ""},
}


@dataclass(frozen=True, slots=True)
class Room:
    """How much a claim may take.

    :ivar codes, confirmations, mails: of each, as many as can be brought out abreast; none of what others bring out
    :ivar per_place: abreast to one place
    :ivar run: to one place in all, one after the other, where nothing is in the way
    :ivar others: of ``confirmations``, what a host where so many are under way leaves to the others
    """

    codes: int = 0
    confirmations: int = 0
    mails: int = 0
    per_place: int = 2
    run: int = 2
    others: int = 0


def claim(db: Connection, lease: str, *, now: datetime, until: datetime, room: Room) -> list[Row[Any]]:
    """Lease to one deliverer until ``until`` what is due and there is room for, the longest due first."""
    facts = {"lease": lease, "now": now, "until": until, **asdict(room)}
    return sorted(db.execute(_claiming(db.dialect.name), facts), key=lambda row: (row.next_at, row.id))


@cache
def _claiming(engine: str) -> TextualSelect:
    columns = ", ".join(f"notice.{column.name}" for column in t.notice.c)
    moments = (bindparam(name, type_=UtcDateTime()) for name in ("now", "until"))
    asked = text(_CLAIM.format(columns=columns, **_BY_ENGINE[engine])).bindparams(*moments)
    return asked.columns(*t.notice.c)
