"""How amounts, moments and states are written on the pages, in French."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

_PARIS = ZoneInfo("Europe/Paris")

_STATES = MappingProxyType(
    {
        "due": "À payer",
        "draft": "Non commencé",
        "waiting": "Délai 2 h",
        "suspended": "Suspendu",
        "direct_debit": "Prélèvement",
        "treasury": "À la trésorerie",
        "too_late": "Hors délai",
        "pending": "En attente",
        "paid": "Payé",
        "refused": "Refusé",
        "cancelled": "Annulé",
        "expired": "Expiré",
        "abandoned": "Abandonné",
        "refunded": "Remboursé",
        "not_opened": "Non transmis",
    }
)

_OWN_WORDS = MappingProxyType(
    {("alise", "pending"): "En attente de paiement", ("alise", "paid"): "Paiement validé"},
)

_EVENTS = MappingProxyType(
    {
        "payment.succeeded": "Paiement accepté",
        "payment.refused": "Paiement refusé",
        "payment.cancelled": "Paiement annulé",
        "payment.remittance_planned": "Remise en banque prévue",
        "payment.remitted": "Remis en banque",
        "payment.expired": "Paiement expiré",
        "payment.abandoned": "Paiement abandonné",
        "payment.refunded": "Remboursement",
    }
)

_MONTHS = (
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
)


def money(cents: int) -> str:
    """Write ``123456`` as ``1 234,56 €``, with the spaces French typography wants."""
    euros = f"{abs(cents) // 100:,}".replace(",", "\u202f")
    # U+2212 is the minus sign; a hyphen would be read out as one.
    sign = "\u2212" if cents < 0 else ""
    return f"{sign}{euros},{abs(cents) % 100:02d}\u00a0€"


def moment(at: datetime) -> str:
    """Write an instant in Paris time: ``21/11/2026 à 14 h 05``."""
    local = at.astimezone(_PARIS)
    return f"{local:%d/%m/%Y} à {local.hour}\u00a0h\u00a0{local:%M}"


def calendar(at: datetime) -> str:
    """Write the Paris date of an instant: ``21/11/2026``."""
    return f"{at.astimezone(_PARIS):%d/%m/%Y}"


def clock(at: datetime) -> str:
    """Write an instant as Paris time to the second, as a follow-up list needs it."""
    return f"{at.astimezone(_PARIS):%H:%M:%S}"


def day(on: date) -> str:
    """Write a date in full: ``3 novembre 2026``."""
    number = "1er" if on.day == 1 else str(on.day)
    return f"{number}\u00a0{_MONTHS[on.month - 1]} {on.year}"


def state(word: str, slug: str = "") -> str:
    """Name a state for people, in the words of a portal's own manual where it has some."""
    return _OWN_WORDS.get((slug, word)) or _STATES.get(word, word)


def event_name(word: str) -> str:
    """Name a kind of confirmation for people."""
    return _EVENTS.get(word, word)


FILTERS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "money": money,
        "moment": moment,
        "calendar": calendar,
        "clock": clock,
        "day": day,
        "state": state,
        "event_name": event_name,
    }
)
