"""The published test cards laid out for a page: flat rows in reading order, so that the template computes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.acquirers.cards import REFUSALS, Acs, CardTable, PublishedCard, Source, Title, Verdict
from gateway.web.formats import scheme_name

# What a developer looks for, in the order a page offers it.
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "approved": "Approved",
        "code": "Approved after a code",
        "refused": "Refused",
        "authentication": "3-D Secure fails",
        "unclear": "Slow or unclear",
        "silent": "Silent bank",
        "afterwards": "Trouble afterwards",
    }
)

_SECURE = {
    Acs.FRICTIONLESS: "3-D Secure asks nothing",
    Acs.ATTEMPTED: "3-D Secure attempted",
    Acs.CHALLENGE: "SMS code asked",
    Acs.REFUSED: "3-D Secure refuses",
    Acs.REJECTED: "3-D Secure rejects",
    Acs.UNAVAILABLE: "3-D Secure unavailable",
    Acs.SILENT: "3-D Secure never answers",
}

_BANK = {
    Verdict.APPROVED: "bank approves",
    Verdict.DECLINED: "bank refuses",
    Verdict.SLOW: "bank approves late",
    Verdict.REVIEW: "bank reviews, then approves",
    Verdict.SILENT_APPROVED: "bank approves and does not say so",
    Verdict.SILENT_DECLINED: "bank refuses and does not say so",
    Verdict.SILENT_LOST: "bank never got the request",
}


# What the network codes mean that no test card is refused with.
_BY_AMOUNT_ONLY = {"16": "3-D Secure wanted", "34": "suspected fraud, keep the card", "38": "too many tries"}


@dataclass(frozen=True, slots=True)
class Row:
    """One card of the list.

    :ivar groups: the digits as the card prints them; set side by side without a space, they are copied as one number
    :ivar facts: what the simulated bank does, step by step
    :ivar refusal: network code and family of a refusal; empty otherwise
    """

    groups: tuple[str, ...]
    brands: str
    title: Title
    facts: tuple[str, ...]
    refusal: str
    outcome: str


def lay_out(table: CardTable, outcome: str = "") -> tuple[tuple[Source, tuple[Row, ...]], ...]:
    """List the cards by service and section, those of one ``outcome`` or all; no section is left empty."""
    sections = ((source, tuple(_row(card) for card in cards)) for source, cards in table.published())
    kept = ((source, tuple(row for row in rows if outcome in ("", row.outcome))) for source, rows in sections)
    return tuple((source, rows) for source, rows in kept if rows)


@dataclass(frozen=True, slots=True)
class RefusedAmount:
    """An amount that is refused whatever good card is used.

    :ivar typed: the amount as it is typed, such as ``333.51``
    """

    typed: str
    code: str
    meaning: str


def refused_amounts(table: CardTable) -> tuple[tuple[str, bool, tuple[RefusedAmount, ...]], ...]:
    """List them by service, and say whether they hold for cards of our own set too."""
    return tuple(
        (
            service,
            service in table.amounts_on_own_cards,
            tuple(RefusedAmount(_typed(cents), code, _meaning(table, code)) for cents, code in codes.items()),
        )
        for service, codes in table.amounts.items()
    )


def _typed(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _meaning(table: CardTable, code: str) -> str:
    """Word a code as the title of a card does that is refused with it."""
    titles = (card.title.en for card in table.cards if card.code == code)
    return _BY_AMOUNT_ONLY.get(code) or next(titles, "refused").rpartition(": ")[2]


def _row(card: PublishedCard) -> Row:
    return Row(
        groups=tuple(card.grouped.split(" ")),
        brands=" / ".join(scheme_name(scheme) for scheme in card.schemes),
        title=card.title,
        facts=_facts(card),
        refusal=f"{card.code} {card.family.replace('_', ' ')}" if card.outcome in REFUSALS else "",
        outcome=_outcome(card),
    )


def _facts(card: PublishedCard) -> tuple[str, ...]:
    facts = [_SECURE[card.acs]]
    if card.acs not in {Acs.REFUSED, Acs.REJECTED}:
        facts.append(_BANK[card.outcome])
    if card.capture != "works":
        facts.append("capture fails" if card.capture == "refused" else "capture works at the second try")
    if card.refund != "works":
        facts.append("refund refused")
    if card.later != "works":
        facts.append("later instalments refused" if card.later == "refused" else "later instalments refused once")
    return tuple(facts)


def _outcome(card: PublishedCard) -> str:
    """Say under which of ``OUTCOMES`` a card is looked for: the most unusual thing about it."""
    if card.capture != "works" or card.refund != "works" or card.later != "works":
        return "afterwards"
    if card.acs in {Acs.REFUSED, Acs.REJECTED, Acs.UNAVAILABLE, Acs.SILENT}:
        return "authentication"
    if card.outcome in {Verdict.SILENT_APPROVED, Verdict.SILENT_DECLINED, Verdict.SILENT_LOST}:
        return "silent"
    if card.outcome in {Verdict.SLOW, Verdict.REVIEW}:
        return "unclear"
    if card.outcome in REFUSALS:
        return "refused"
    return "code" if card.acs is Acs.CHALLENGE else "approved"
