"""What is counted so that nobody can try cards out, and who holds a page: queries over the tables of limits.

Whoever counts before adding to what is counted locks the subject first (:meth:`Limits.lock`): then the next one, in any
process, counts after this transaction has ended. No figure lives here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.core.limits import Identity
from gateway.core.states import AttemptStatus
from gateway.store import tables as t

# A refusal that says something of the card; a silent bank or a payer who went away says nothing.
_SAYS_NOTHING = ("technical", "challenge_timeout")
_REFUSED = and_(
    t.attempt.c.status.in_((AttemptStatus.DECLINED, AttemptStatus.AUTHN_FAILED)),
    t.attempt.c.response_family.not_in(_SAYS_NOTHING),
)
# The bank has been asked and has not answered yet: it may refuse any moment.
_ASKING = t.attempt.c.status.in_((AttemptStatus.AUTHORISING, AttemptStatus.UNKNOWN))
# Longer than any bank takes to say what a card is; whoever wrote the entry down has died.
_ENROLMENT_MAX = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Share:
    """How many cards were entered for a merchant, or of a range, and how many of them were refused."""

    entered: int
    refused: int
    latest: int = 0


class Limits:
    """Queries over ``card_entry``, ``tally``, ``alert`` and ``binding``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._upsert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert

    # One after the other.

    def lock(self, scope: str, subject: str, now: datetime) -> None:
        """Let nobody else count this subject until the transaction ends."""
        added = self._upsert(t.tally).values(scope=scope, subject=subject, at=now, count=0)
        self._db.execute(added.on_conflict_do_update(index_elements=["scope", "subject"], set_={"at": now}))

    def count_within(self, scope: str, subject: str, window: datetime, limit: int) -> bool:
        """Count one more in the window that begins then; false, and nothing counted, when ``limit`` were."""
        added = self._upsert(t.tally).values(scope=scope, subject=subject, at=window, count=1)
        # A machine whose clock is behind counts in the newest window that anybody has seen.
        is_same = t.tally.c.at >= added.excluded.at
        counted = added.on_conflict_do_update(
            index_elements=["scope", "subject"],
            set_={
                "count": case((is_same, t.tally.c.count + 1), else_=1),
                "at": case((is_same, t.tally.c.at), else_=added.excluded.at),
            },
            where=or_(~is_same, t.tally.c.count < limit),
        )
        return self._db.execute(counted.returning(t.tally.c.count)).one_or_none() is not None

    # Cards.

    def add_entry(self, payment_id: int, card: Identity, card_range: Identity, **facts: object) -> int:
        """Write down that a card was typed."""
        seen = {"card": card.today, "card_before": card.yesterday, "range": card_range.today}
        added = insert(t.card_entry).values(payment_id=payment_id, **seen, **facts).returning(t.card_entry.c.id)
        return int(self._db.execute(added).scalar_one())

    def become(self, entry_id: int, state: str, attempt_id: int | None = None) -> None:
        """Note what became of a card that was typed."""
        changed = update(t.card_entry).where(t.card_entry.c.id == entry_id)
        self._db.execute(changed.values(state=state, attempt_id=attempt_id))

    def withhold(self, attempt_id: int) -> None:
        """Note that the bank will not be asked about an attempt after all."""
        self._db.execute(update(t.card_entry).where(t.card_entry.c.attempt_id == attempt_id).values(state="withheld"))

    def count_of_payment(self, payment_id: int) -> int:
        """Count the cards typed on one page."""
        return self._count(t.card_entry.c.payment_id == payment_id)

    def last_of_payment(self, payment_id: int) -> datetime | None:
        """Say when a card was last typed on one page."""
        asked = select(func.max(t.card_entry.c.at)).where(t.card_entry.c.payment_id == payment_id)
        found: datetime | None = self._db.execute(asked).scalar()
        return found

    def count_of_origin(self, origin: str, since: datetime) -> int:
        """Count the cards typed by one network that were let through.

        Those withheld do not count: a town hall's address would never be under its limit again while people keep trying.
        """
        is_let_through = t.card_entry.c.state != "withheld"
        return self._count(t.card_entry.c.origin == origin, t.card_entry.c.at > since, is_let_through)

    def count_refused_of_origin(self, origin: str, since: datetime) -> int:
        """Count the cards of one network that their banks refused."""
        asked = select(func.count()).select_from(t.card_entry.join(t.attempt))
        return self._number(
            asked.where(t.card_entry.c.origin == origin, t.card_entry.c.at > since, _is_begun, _REFUSED)
        )

    def count_refusals(self, card: Identity, since: datetime, now: datetime, besides: int = 0) -> int:
        """Count how often a card was refused, and may be any moment now.

        :param besides: an attempt that is not counted: the one that asks
        """
        c, a = t.card_entry.c, t.attempt
        is_enrolling = and_(c.state == "asked", c.at > now - _ENROLMENT_MAX)
        is_counted = or_(is_enrolling, and_(_is_begun, or_(_REFUSED, _ASKING)))
        asked = select(func.count()).select_from(t.card_entry.outerjoin(a, a.c.id == c.attempt_id))
        is_other = or_(c.attempt_id.is_(None), c.attempt_id != besides)
        return self._number(asked.where(_is_of(card), c.at > since, is_other, is_counted))

    def card_of(self, attempt_id: int) -> Identity | None:
        """Recognise the card of an attempt; ``None`` when it was typed too long ago."""
        asked = select(t.card_entry.c.card, t.card_entry.c.card_before).where(t.card_entry.c.attempt_id == attempt_id)
        row = self._db.execute(asked).one_or_none()
        return Identity(row.card, row.card_before) if row else None

    def count_guesses(self, card: Identity, since: datetime) -> int:
        """Count the wrong codes that were compared for a card."""
        asked = select(func.coalesce(func.sum(t.card_entry.c.guesses), 0))
        return self._number(asked.where(_is_of(card), t.card_entry.c.at > since))

    def add_guess(self, attempt_id: int, number: int) -> None:
        """Count a comparison before it is made, or take it back (``-1``) when it turned out right."""
        changed = update(t.card_entry).where(t.card_entry.c.attempt_id == attempt_id)
        self._db.execute(changed.values(guesses=t.card_entry.c.guesses + number))

    # Who is under attack.

    def share_of_range(self, merchant: str, card_range: Identity, since: datetime) -> Share:
        """Count the cards of one range that the bank was asked about for a merchant."""
        is_range = t.card_entry.c.range.in_((card_range.today, card_range.yesterday))
        (share,) = self._shares(is_range, t.card_entry.c.merchant_id == merchant, t.card_entry.c.at > since, _is_begun)
        return share

    def shares(self, since: datetime) -> dict[str, Share]:
        """Count by merchant the cards typed since then; one that was withheld counts as refused."""
        names = select(t.card_entry.c.merchant_id).where(t.card_entry.c.at > since).distinct()
        return {
            str(merchant): self._shares(t.card_entry.c.merchant_id == merchant, t.card_entry.c.at > since)[0]
            for merchant in self._db.execute(names).scalars().all()
        }

    def _shares(self, *which: ColumnElement[bool]) -> list[Share]:
        is_refused = or_(t.card_entry.c.state == "withheld", _REFUSED)
        asked = select(
            func.count(),
            func.coalesce(func.sum(case((is_refused, 1), else_=0)), 0),
            func.max(t.card_entry.c.payment_id),
        ).select_from(t.card_entry.outerjoin(t.attempt, t.attempt.c.id == t.card_entry.c.attempt_id))
        return [Share(int(row[0]), int(row[1]), int(row[2] or 0)) for row in self._db.execute(asked.where(*which))]

    def raise_alert(self, merchant: str, kind: str, subject: str, now: datetime, until: datetime) -> bool:
        """Keep an alarm up until then; true for the one who raises it."""
        key = {"merchant_id": merchant, "kind": kind, "subject": subject}
        added = self._upsert(t.alert).values(**key, raised_at=now, until=until)
        raised = added.on_conflict_do_update(
            index_elements=list(key), set_={"raised_at": now, "until": until}, where=t.alert.c.until <= now
        )
        if self._db.execute(raised.returning(t.alert.c.until)).one_or_none() is not None:
            return True
        same = and_(*(t.alert.c[name] == value for name, value in key.items()))
        self._db.execute(update(t.alert).where(same, t.alert.c.until < until).values(until=until))
        return False

    def is_alert(self, merchant: str, kind: str, subjects: Iterable[str], now: datetime) -> bool:
        """Say whether an alarm of a merchant is up."""
        a = t.alert.c
        asked = select(func.count()).select_from(t.alert).where(a.merchant_id == merchant, a.kind == kind)
        return self._number(asked.where(a.subject.in_(list(subjects)), a.until > now)) > 0

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
        return self._number(asked.where(n.channel == "sms", n.target == phone, n.created_at > since))

    # Who holds a page.

    def holder(self, payment_id: int) -> bytes | None:
        """Name the browser a page belongs to."""
        asked = select(t.binding.c.browser).where(t.binding.c.payment_id == payment_id)
        found: bytes | None = self._db.execute(asked).scalar()
        return found

    def hold_page(self, payment_id: int, browser: bytes, now: datetime) -> bool:
        """Give a page to a browser; false when another one was faster."""
        added = self._upsert(t.binding).values(payment_id=payment_id, browser=browser, at=now)
        self._db.execute(added.on_conflict_do_nothing(index_elements=["payment_id"]))
        return self.holder(payment_id) == browser

    def release_page(self, payment_id: int) -> None:
        """Give a page to whichever browser opens it next."""
        self._db.execute(delete(t.binding).where(t.binding.c.payment_id == payment_id))

    def forget(self, before: datetime) -> int:
        """Delete what was counted before then; returns how many rows that were."""
        stale = ((t.card_entry, t.card_entry.c.at), (t.tally, t.tally.c.at), (t.alert, t.alert.c.until))
        return sum(self._db.execute(delete(table).where(at < before)).rowcount for table, at in stale) + (
            self._db.execute(delete(t.binding).where(t.binding.c.at < before)).rowcount
        )

    def _count(self, *which: ColumnElement[bool]) -> int:
        return self._number(select(func.count()).select_from(t.card_entry).where(*which))

    def _number(self, asked: Any) -> int:
        return int(self._db.execute(asked).scalar_one())


_is_begun = t.card_entry.c.state == "begun"


def _is_of(card: Identity) -> ColumnElement[bool]:
    """Recognise a card typed today, yesterday, or already tomorrow."""
    c = t.card_entry.c
    return or_(c.card.in_((card.today, card.yesterday)), c.card_before == card.today)
