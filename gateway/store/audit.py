"""The audit log: every act is written in the transaction that does it; the worker links the rows into a chain.

Each row carries a MAC of its own from the start, so that none can be changed or made up; and, when it is about a payment,
a digest of all that payment's rows, so that none of those can either. The chain (``seal``) comes within about a second:
it shows what was taken out, put elsewhere or cut off. Rows are chained by the worker and not at once because the head of
a chain is one row that every payment would have to wait for.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal, literal_column, or_, select, union_all

from gateway.acting import actor
from gateway.store import tables as t
from gateway.store.engine import take_time
from gateway.store.state import State, states_of

# A row is inserted just before its transaction commits. One that so many younger rows overtook meanwhile would be left to
# `guichet verify-audit`, which names rows without a link; below it nothing need be looked for.
_OVERTAKEN = 5000

# What the first link is linked to.
GENESIS = hashlib.sha256(b"guichet audit chain").hexdigest()

# Without RETURNING: whoever acts for one merchant may add a row here, and read none.
_ADD = insert(t.audit).inline()
_HEAD = select(t.seal.c.n, t.seal.c.mac).order_by(t.seal.c.n.desc()).limit(literal_column("1"))
_NEWEST = select(t.seal.c.audit_id).order_by(t.seal.c.audit_id.desc()).limit(literal_column("1"))
# Said to be no more than there can be, or the planner expects a third of the chain.
_LINKED = (
    select(t.seal.c.audit_id)
    .where(t.seal.c.audit_id > bindparam("after"))
    .order_by(t.seal.c.audit_id)
    .limit(literal_column(str(_OVERTAKEN)))
)
_UNSEALED = (
    select(t.audit.c.id, t.audit.c.mac)
    .where(t.audit.c.id > bindparam("after"), t.audit.c.id.not_in(_LINKED))
    .order_by(t.audit.c.id)
    .limit(bindparam("most"))
)

_COLUMNS = ("public_id", "who", "what", "object", "payment_id", "facts", "result", "origin", "state")


@dataclass(frozen=True)
class Pen:
    """What the log is written with.

    :param keys: HMAC-SHA-256 keys, oldest first: the last writes, all verify
    :param draw: gives so many random bytes, in hex
    """

    keys: Sequence[bytes] = field(repr=False)
    now: Callable[[], datetime]
    draw: Callable[[int], str] = secrets.token_hex

    def mac(self, message: bytes) -> str:
        """Make the MAC of a row or of a link, in hex."""
        return hmac.new(self.keys[-1], message, hashlib.sha256).hexdigest()

    def wrote(self, message: bytes, mac: str) -> bool:
        """Say whether one of the keys made ``mac``."""
        macs = [hmac.new(key, message, hashlib.sha256).hexdigest() for key in self.keys]
        return any(hmac.compare_digest(known.encode(), mac.encode()) for known in macs)


def row_message(row: Row[Any] | Mapping[str, Any]) -> bytes:
    """Give the bytes a row's MAC is over."""
    values = row if isinstance(row, Mapping) else row._mapping
    told = [values["at"].astimezone(UTC).isoformat(), *(values[name] for name in _COLUMNS)]
    return json.dumps(["row", *told]).encode()


def link_message(previous: str, n: int, audit_id: int, mac: str) -> bytes:
    """Give the bytes a link's MAC is over: the link before it, its own place, and the row."""
    return json.dumps(["link", previous, n, audit_id, mac]).encode()


class Audit:
    """Queries over ``audit`` and ``seal``, and what this transaction must tell them."""

    def __init__(self, connection: Connection, pen: Pen) -> None:
        self._db, self._pen = connection, pen
        self._acts: dict[int, list[str]] = {}

    def touch(self, payment_id: int, event: str = "") -> None:
        """Note that rows of a payment were changed, and by which event of its history, if there is one."""
        events = self._acts.setdefault(payment_id, [])
        if event:
            events.append(event)

    def flush(self) -> None:
        """Write one row for each payment this transaction has changed; the last thing it does."""
        if not self._acts:
            return
        states = states_of(self._db, self._acts)
        for payment_id, events in self._acts.items():
            state = states[payment_id]
            what = events[0] if events else "payment.changed"
            facts = {"after": state.status, **({"also": events[1:]} if events[1:] else {})}
            self.add(what, state.payment, payment_id=payment_id, state=state.digest, facts=facts)
        self._acts = {}

    def add(  # noqa: PLR0913 - a row is what these say
        self,
        what: str,
        about: str = "",
        *,
        result: str = "done",
        payment_id: int | None = None,
        state: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Write one row: what was done by whoever acts, to what, and how it ended."""
        who = actor()
        row = {
            "public_id": f"aud_{self._pen.draw(12)}",
            "at": self._pen.now(),
            "who": who.who[:80],
            "what": what,
            "object": about[:200],
            "payment_id": payment_id,
            "facts": json.dumps(facts or {}, ensure_ascii=False),
            "result": result[:40],
            "origin": who.origin[:80],
            "state": state,
        }
        self._db.execute(_ADD, {**row, "mac": self._pen.mac(row_message(row))})

    # The chain.

    def head(self) -> tuple[int, str]:
        """Give the newest link's place and MAC."""
        last = self._db.execute(_HEAD).one_or_none()
        return (last.n, last.mac) if last else (0, GENESIS)

    def unsealed(self, limit: int) -> list[Row[Any]]:
        """Find the rows that have no link yet, oldest first.

        Asked in two statements: in one, PostgreSQL would not know how few rows are meant, and over a long log it starts
        two processes more to look for them, each second.
        """
        after = (self._db.execute(_NEWEST).scalar() or 0) - _OVERTAKEN
        return list(self._db.execute(_UNSEALED, {"after": after, "most": limit}))

    def seal(self, rows: Iterable[Row[Any]]) -> None:
        """Link these rows to the chain. Whoever is slower than another worker runs into its links' places."""
        n, mac = self.head()
        links = []
        for row in rows:
            n += 1
            mac = self._pen.mac(link_message(mac, n, row.id, row.mac))
            links.append({"n": n, "audit_id": row.id, "mac": mac})
        if links:
            self._db.execute(insert(t.seal), links)

    def links(self, after: int, limit: int) -> list[Row[Any]]:
        """Walk along the chain: links with their rows, whose columns are empty where the row is gone."""
        a, s = t.audit, t.seal
        asked = select(s.c.n, s.c.audit_id, s.c.mac.label("link"), *a.c).outerjoin(a, a.c.id == s.c.audit_id)
        return list(self._db.execute(asked.where(s.c.n > after).order_by(s.c.n).limit(limit)))

    def loose(self, after: int, limit: int) -> list[Row[Any]]:
        """Walk over the rows without a link."""
        a, s = t.audit, t.seal
        asked = select(a).outerjoin(s, s.c.audit_id == a.c.id).where(s.c.n.is_(None), a.c.id > after)
        return list(self._db.execute(asked.order_by(a.c.id).limit(limit)))

    def doubles(self) -> list[str]:
        """Find entries that are there twice, which only a database without its unique index can hold."""
        take_time(self._db)
        a = t.audit
        return list(self._db.execute(select(a.c.public_id).group_by(a.c.public_id).having(func.count() > 1)).scalars())

    def strays(self) -> list[Row[Any]]:
        """Find what is numbered below the first, or not at all: the walks over these tables begin at one."""
        counted = ((table, key) for table in (t.audit, t.seal, t.payment) for key in table.primary_key.columns)
        asked = (
            select(literal(table.name).label("table"), key.label("number")).where(or_(key < 1, key.is_(None)))
            for table, key in counted
        )
        return list(self._db.execute(union_all(*asked)))

    def book(self) -> dict[str, dict[str, object] | None]:
        """Tell what the last start was told of each thing, merchants and keys; nothing of those that were gone."""
        a = t.audit
        newest = select(func.max(a.c.id)).where(t.is_book).group_by(a.c.object)
        rows = self._db.execute(select(a.c.object, a.c.facts).where(a.c.id.in_(newest)))
        return {row.object: json.loads(row.facts)["whole"] for row in rows}

    def states(self, payment_ids: Iterable[int]) -> dict[int, State]:
        """Tell what these payments' rows say now."""
        return states_of(self._db, payment_ids)

    def told(self) -> set[int]:
        """Name the payments that an entry tells of, by row id."""
        take_time(self._db)
        told = select(t.audit.c.payment_id).where(t.audit.c.payment_id.is_not(None)).distinct()
        return set(self._db.execute(told).scalars())

    def payments(self, after: int, limit: int, *, is_taken: bool = False) -> list[int]:
        """Walk over all payments, by row id; taken, they wait for this transaction."""
        p = t.payment
        asked = select(p.c.id).where(p.c.id > after).order_by(p.c.id).limit(limit)
        return list(self._db.execute(asked.with_for_update() if is_taken else asked).scalars())
