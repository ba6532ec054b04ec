"""What is seen of a card when it is typed, and how often it was refused: each is one question to the tables of limits.

``limits`` asks; here is what is asked, and what it is told. The times are rules of ``gateway.core.limits``; the numbers
that they are held against are settings.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, bindparam, case, func, or_, select, true

from gateway.core.limits import DAY, HOUR, SPELL, Identity
from gateway.core.states import AttemptStatus
from gateway.store import tables as t

# Longer than any bank takes to say what a card is; whoever wrote the entry down has died.
_ENROLMENT_MAX = timedelta(seconds=60)

# A refusal that says something of the card; a silent bank or a payer who went away says nothing.
_SAYS_NOTHING = ("technical", "challenge_timeout")
_DIGEST = t.card_entry.c.card.type


@dataclass(frozen=True, slots=True)
class Typed:
    """A card that was typed on a page.

    :ivar origin: the network it came from; empty when nobody's network is behind it
    """

    payment_id: int
    merchant: str
    origin: str
    card: Identity
    range: Identity


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often a card was refused, and may be any moment now: within an hour, and within a day."""

    hour: int
    day: int


@dataclass(frozen=True, slots=True)
class Share:
    """How many cards were entered for a merchant, or of a range, and how many of them were refused."""

    entered: int
    refused: int
    latest: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the page, the network, the range and the number of a card that is typed.

    :ivar of_page: cards typed on the page
    :ivar of_origin: cards of the network that were let through in a spell; those withheld do not count, for a town hall's
        address would never be under its limit again while people keep trying
    :ivar of_origin_day: the same, in a day
    :ivar of_range: cards of the range that the bank was asked about for the merchant, in a spell
    :ivar is_held: the alarm that holds the range for the merchant is up
    :ivar is_attacked: the alarm about the merchant's refusals is
    """

    of_page: int
    of_origin: int
    of_origin_day: int
    refusals: Refusals
    of_range: Share
    is_held: bool
    is_attacked: bool


def see(db: Connection, typed: Typed, now: datetime) -> Seen:
    """Look at all that is counted about a card and where it was typed."""
    where = {"page": typed.payment_id, "merchant": typed.merchant, "origin": typed.origin}
    ranges = {"range": typed.range.today, "range_before": typed.range.yesterday}
    # An alarm about a range is named by the range in hex.
    subjects = {"subject": typed.range.today.hex(), "subject_before": typed.range.yesterday.hex()}
    times = {"now": now, "spell": now - SPELL}
    row = db.execute(_SEEN, {**where, **ranges, **subjects, **times, **_refused(typed.card, now, besides=0)}).one()
    return Seen(
        of_page=row.of_page,
        of_origin=row.of_origin,
        of_origin_day=row.of_origin_day,
        refusals=Refusals(row.hour, row.day),
        of_range=Share(row.entered, row.refused),
        is_held=row.held > 0,
        is_attacked=row.attacked > 0,
    )


def refusals(db: Connection, card: Identity, now: datetime, besides: int) -> Refusals:
    """Count how often a card was refused, and may be any moment now.

    :param besides: an attempt that is not counted: the one that asks
    """
    row = db.execute(_REFUSALS, _refused(card, now, besides)).one()
    return Refusals(row.hour, row.day)


def _refused(card: Identity, now: datetime, besides: int) -> dict[str, object]:
    return {
        "today": card.today,
        "yesterday": card.yesterday,
        "hour": now - HOUR,
        "day": now - DAY,
        "enrolling": now - _ENROLMENT_MAX,
        "besides": besides,
    }


def is_of_card(entry: FromClause) -> ColumnElement[bool]:
    """Recognise a card typed today, yesterday, or already tomorrow: the parameters ``today`` and ``yesterday``."""
    today, yesterday = bindparam("today", type_=_DIGEST), bindparam("yesterday", type_=_DIGEST)
    return or_(entry.c.card == today, entry.c.card == yesterday, entry.c.card_before == today)


_e, _a = t.card_entry.c, t.attempt.c

REFUSED = and_(
    t.among(_a.status, (AttemptStatus.DECLINED, AttemptStatus.AUTHN_FAILED)),
    ~t.among(_a.response_family, _SAYS_NOTHING),
)
# The bank has been asked and has not answered yet: it may refuse any moment.
_ASKING = t.among(_a.status, (AttemptStatus.AUTHORISING, AttemptStatus.UNKNOWN))
BEGUN = t.among(_e.state, ("begun",))
# Entries with what their attempts came to, if there are any.
TRIED = t.card_entry.outerjoin(t.attempt, _a.id == _e.attempt_id)

OF_PAGE = select(func.count().label("of_page")).select_from(t.card_entry).where(_e.payment_id == bindparam("page"))
_OF_ORIGIN = select(
    func.count(case((_e.at > bindparam("spell"), 1))).label("of_origin"), func.count().label("of_origin_day")
).where(_e.origin == bindparam("origin"), _e.at > bindparam("day"), ~t.among(_e.state, ("withheld",)))
_REFUSALS = (
    select(func.count(case((_e.at > bindparam("hour"), 1))).label("hour"), func.count().label("day"))
    .select_from(TRIED)
    .where(is_of_card(t.card_entry), _e.at > bindparam("day"))
    .where(or_(_e.attempt_id.is_(None), _e.attempt_id != bindparam("besides")))
    .where(
        or_(
            and_(t.among(_e.state, ("asked",)), _e.at > bindparam("enrolling")),
            and_(BEGUN, or_(REFUSED, _ASKING)),
        )
    )
)
_OF_RANGE = (
    select(func.count().label("entered"), func.count(case((REFUSED, 1))).label("refused"))
    .select_from(TRIED)
    .where(or_(_e.range == bindparam("range"), _e.range == bindparam("range_before")))
    .where(_e.merchant_id == bindparam("merchant"), _e.at > bindparam("spell"), BEGUN)
)
_IS_HELD = and_(
    t.among(t.alert.c.kind, ("range",)),
    or_(t.alert.c.subject == bindparam("subject"), t.alert.c.subject == bindparam("subject_before")),
)
_IS_ATTACKED = and_(t.among(t.alert.c.kind, ("refusals",)), t.alert.c.subject == "")
_ALERTS = select(
    func.count(case((_IS_HELD, 1))).label("held"), func.count(case((_IS_ATTACKED, 1))).label("attacked")
).where(t.alert.c.merchant_id == bindparam("merchant"), t.alert.c.until > bindparam("now"))


def _side_by_side(*counts: Select[*tuple[Any, ...]]) -> Select[Any]:
    """Join counts, of which each is one row, to one row."""
    first, *others = (asked.subquery() for asked in counts)
    joined: FromClause = first
    for other in others:
        joined = joined.join(other, true())
    return select(joined)


_SEEN = _side_by_side(OF_PAGE, _OF_ORIGIN, _REFUSALS, _OF_RANGE, _ALERTS)
