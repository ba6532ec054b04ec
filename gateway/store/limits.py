"""What is counted so that nobody can try cards out, and who holds a page: queries over the tables of limits.

Whoever counts before adding to what is counted locks the subject first (:meth:`Limits.lock`): then the next one, in any
process, counts after this transaction has ended. No figure lives here.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.limits import Identity
from gateway.core.states import LIVE
from gateway.store import seen
from gateway.store import tables as t
from gateway.store.seen import Refusals, Seen, Share, Typed

# Of each table; a sweep comes every few seconds, so 200 rows a second, and none that holds up payers after a long pause.
_FORGOTTEN_AT_ONCE = 1000

_e = t.card_entry
_ADD_ENTRY = insert(_e).returning(_e.c.id)
_BECOME = update(_e).where(_e.c.id == bindparam("of"))
_CARD = select(_e.c.card, _e.c.card_before).where(_e.c.attempt_id == bindparam("of"))
_OTHERS = _e.alias()
_GUESSES = (
    select(func.coalesce(func.sum(_OTHERS.c.guesses), 0))
    .where(seen.is_of_card(_OTHERS), _OTHERS.c.at > bindparam("since"))
    .scalar_subquery()
)
_GUESSED = update(_e).where(_e.c.attempt_id == bindparam("of"))
_COUNT_GUESS = _GUESSED.where(bindparam("limit") > _GUESSES).values(guesses=_e.c.guesses + 1)
_TAKE_BACK = _GUESSED.values(guesses=_e.c.guesses - 1)
_IS_LIVE = exists().where(t.payment.c.id == t.binding.c.payment_id, t.among(t.payment.c.status, LIVE))
_HOLDER = select(t.binding.c.browser).where(t.binding.c.payment_id == bindparam("of"))


def _upsert(engine: str) -> Any:
    return postgresql.insert if engine == "postgresql" else sqlite.insert


@cache
def _locking(engine: str) -> Any:
    added = _upsert(engine)(t.tally)
    return added.on_conflict_do_update(index_elements=["scope", "subject"], set_={"at": added.excluded.at})


@cache
def _counting(engine: str) -> Any:
    added = _upsert(engine)(t.tally)
    # A machine whose clock is behind counts in the newest window that anybody has seen.
    is_same = t.tally.c.at >= added.excluded.at
    counted = added.on_conflict_do_update(
        index_elements=["scope", "subject"],
        set_={
            "count": case((is_same, t.tally.c.count + 1), else_=1),
            "at": case((is_same, t.tally.c.at), else_=added.excluded.at),
        },
        where=or_(~is_same, t.tally.c.count < bindparam("limit")),
    )
    return counted.returning(t.tally.c.count)


@cache
def _holding(engine: str) -> Any:
    added = _upsert(engine)(t.binding).on_conflict_do_nothing(index_elements=["payment_id"])
    return added.returning(t.binding.c.payment_id)


class Limits:
    """Queries over ``card_entry``, ``tally``, ``alert`` and ``binding``."""

    def __init__(self, connection: Connection) -> None:
        self._db, self._engine = connection, connection.dialect.name

    # One after the other.

    def lock(self, subjects: Sequence[tuple[str, str]], now: datetime) -> None:
        """Let nobody else count these subjects until the transaction ends.

        :param subjects: scope and name of each; always in the same order, so that no two wait for each other
        """
        rows = [{"scope": scope, "subject": subject, "at": now, "count": 0} for scope, subject in subjects]
        self._db.execute(_locking(self._engine), rows)

    def count_within(self, scope: str, subject: str, window: datetime, limit: int) -> bool:
        """Count one more in the window that begins then; false, and nothing counted, when ``limit`` were."""
        one = {"scope": scope, "subject": subject, "at": window, "count": 1, "limit": limit}
        return self._db.execute(_counting(self._engine), one).one_or_none() is not None

    # Cards.

    def see(self, typed: Typed, now: datetime) -> Seen:
        """Look at all that is counted about a card and where it was typed."""
        return seen.see(self._db, typed, now)

    def add_entry(self, typed: Typed, now: datetime, state: str) -> int:
        """Write down that a card was typed."""
        known = {"card": typed.card.today, "card_before": typed.card.yesterday, "range": typed.range.today}
        where = {"payment_id": typed.payment_id, "merchant_id": typed.merchant, "origin": typed.origin}
        return int(self._db.execute(_ADD_ENTRY, {**known, **where, "at": now, "state": state}).scalar_one())

    def become(self, entry_id: int, state: str, attempt_id: int | None = None) -> None:
        """Note what became of a card that was typed."""
        self._db.execute(_BECOME, {"of": entry_id, "state": state, "attempt_id": attempt_id})

    def withhold(self, attempt_id: int) -> None:
        """Note that the bank will not be asked about an attempt after all."""
        self._db.execute(update(_e).where(_e.c.attempt_id == attempt_id).values(state="withheld"))

    def last_of_payment(self, payment_id: int) -> datetime | None:
        """Say when a card was last typed on one page."""
        asked = select(func.max(_e.c.at)).where(_e.c.payment_id == payment_id)
        found: datetime | None = self._db.execute(asked).scalar()
        return found

    def count_refused_of_origin(self, origin: str, since: datetime) -> int:
        """Count the cards of one network that their banks refused."""
        asked = select(func.count()).select_from(_e.join(t.attempt)).where(seen.BEGUN, seen.REFUSED)
        return int(self._db.execute(asked.where(_e.c.origin == origin, _e.c.at > since)).scalar_one())

    def refusals(self, card: Identity, now: datetime, besides: int = 0) -> Refusals:
        """Count how often a card was refused, and may be any moment now.

        :param besides: an attempt that is not counted: the one that asks
        """
        return seen.refusals(self._db, card, now, besides)

    def card_of(self, attempt_id: int) -> Identity | None:
        """Recognise the card of an attempt; ``None`` when it was typed too long ago."""
        row = self._db.execute(_CARD, {"of": attempt_id}).one_or_none()
        return Identity(row.card, row.card_before) if row else None

    def count_guess(self, attempt_id: int, card: Identity, since: datetime, limit: int) -> bool:
        """Count a comparison before it is made; false, and nothing counted, when the card's codes were so often wrong."""
        names = {"today": card.today, "yesterday": card.yesterday}
        guess = {"of": attempt_id, "since": since, "limit": limit, **names}
        return self._db.execute(_COUNT_GUESS, guess).rowcount > 0

    def take_guess_back(self, attempt_id: int) -> None:
        """Take a comparison back that turned out right."""
        self._db.execute(_TAKE_BACK, {"of": attempt_id})

    # Who is under attack.

    def shares(self, since: datetime) -> dict[str, Share]:
        """Count by merchant the cards typed since then; one that was withheld counts as refused."""
        names = select(_e.c.merchant_id).where(_e.c.at > since).distinct()
        return {
            str(merchant): self._share(_e.c.merchant_id == merchant, _e.c.at > since)
            for merchant in self._db.execute(names).scalars().all()
        }

    def _share(self, *which: ColumnElement[bool]) -> Share:
        is_refused = or_(_e.c.state == "withheld", seen.REFUSED)
        asked = select(func.count(), func.count(case((is_refused, 1))), func.max(_e.c.payment_id))
        entered, refused, latest = self._db.execute(asked.select_from(seen.TRIED).where(*which)).one()
        return Share(entered, refused, latest or 0)

    def raise_alert(self, merchant: str, kind: str, subject: str, now: datetime, until: datetime) -> bool:
        """Keep an alarm up until then; true for the one who raises it."""
        key = {"merchant_id": merchant, "kind": kind, "subject": subject}
        added = _upsert(self._engine)(t.alert).values(**key, raised_at=now, until=until)
        raised = added.on_conflict_do_update(
            index_elements=list(key), set_={"raised_at": now, "until": until}, where=t.alert.c.until <= now
        )
        if self._db.execute(raised.returning(t.alert.c.until)).one_or_none() is not None:
            return True
        same = and_(*(t.alert.c[name] == value for name, value in key.items()))
        self._db.execute(update(t.alert).where(same, t.alert.c.until < until).values(until=until))
        return False

    def alerts(self, now: datetime) -> list[tuple[str, str]]:
        """List the alarms that are up, by merchant and kind."""
        a = t.alert.c
        asked = select(a.merchant_id, a.kind).where(a.until > now).distinct().order_by(a.merchant_id, a.kind)
        return [(str(row[0]), str(row[1])) for row in self._db.execute(asked)]

    # Telephones: every code that was sent is in the outbox.

    def count_codes(self, phone: str, since: datetime) -> int:
        """Count the codes sent to one telephone."""
        n = t.notice.c
        asked = select(func.count()).select_from(t.notice)
        asked = asked.where(t.among(n.channel, ["sms"]), n.target == phone, n.created_at > since)
        return int(self._db.execute(asked).scalar_one())

    # Who holds a page.

    def holder(self, payment_id: int) -> bytes | None:
        """Name the browser a page belongs to."""
        found: bytes | None = self._db.execute(_HOLDER, {"of": payment_id}).scalar()
        return found

    def hold_page(self, payment_id: int, browser: bytes, now: datetime) -> bool:
        """Give a page to a browser; false when another one was faster."""
        held = {"payment_id": payment_id, "browser": browser, "at": now}
        is_first = self._db.execute(_holding(self._engine), held).one_or_none() is not None
        return is_first or self.holder(payment_id) == browser

    def release_page(self, payment_id: int) -> None:
        """Give a page to whichever browser opens it next."""
        self._db.execute(delete(t.binding).where(t.binding.c.payment_id == payment_id))

    def forget(self, before: datetime) -> int:
        """Delete what was counted before then, and who held a page that is over; a batch of each table, gives how many rows."""
        c, y, a, b = t.card_entry, t.tally, t.alert, t.binding
        # A page of a day that was given more time, or a bank in doubt, is its browser's for as long as it lives.
        is_over = and_(b.c.at < before, ~_IS_LIVE)
        count = 0
        for table, is_old in ((c, c.c.at < before), (y, y.c.at < before), (a, a.c.until < before), (b, is_over)):
            keys = table.primary_key.columns
            batch = select(*keys).where(is_old).limit(_FORGOTTEN_AT_ONCE)
            # Said of the row too: somebody may count on it while this waits for them.
            count += self._db.execute(delete(table).where(tuple_(*keys).in_(batch), is_old)).rowcount
        return count
