"""The words, amounts and dates of receipts, shared by the PDF ticket, the mails and the HTML ticket.

One file per language in ``checkout_templates/ticket/words``. Pages have catalogues of their own (gettext): a ticket must
print the same words whoever renders it, in a worker that knows no web as well, and years later.
"""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal

from gateway.core.money import Money

# Tickets show the merchant's legal time with its abbreviation (CET or CEST), as card terminals do.
ZONE = ZoneInfo("Europe/Paris")

_FOLDER = Path(__file__).resolve().parents[2] / "checkout_templates" / "ticket" / "words"


def _read(path: Path) -> Mapping[str, str]:
    return MappingProxyType({key: str(text) for key, text in tomllib.loads(path.read_text("utf-8")).items()})


# What each language calls things, and how it writes a date (``locale``, ``day`` and ``moment``: CLDR names and patterns).
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.toml"))}
)

# Written from right to left.
RIGHT_TO_LEFT = frozenset({"ar"})

# Brands as their owners spell them.
SCHEMES = MappingProxyType(
    {"cb": "CB", "visa": "Visa", "mastercard": "Mastercard", "maestro": "Maestro", "amex": "American Express"}
)


def receipt_language(asked: str) -> str:
    """Choose the language of a receipt: its own for any ``fr``, ``fr-BE`` or ``pt_BR``, English for those we lack."""
    spoken = asked.lower().replace("_", "-").partition("-")[0]
    return spoken if spoken in WORDS else "en"


def direction(language: str) -> str:
    """Say which way a language is written, as HTML's ``dir`` does."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


# A mail with its ticket says its amounts seventeen times.
@lru_cache(1000)
def format_money(amount: Money, language: str) -> str:
    """Write an amount with its currency code: ``1 234,50 EUR`` or ``1,234.50 EUR``.

    The code, not the sign: tickets are read by accountants of any country. The spaces are U+202F and U+00A0. Arabic has
    Latin digits too, as the card's own and the bank's statement have.
    """
    pattern = "#,##0" + "." * bool(amount.exponent) + "0" * amount.exponent
    value = Decimal(amount.cents).scaleb(-amount.exponent)
    digits = format_decimal(value, pattern, locale=WORDS[language]["locale"])
    return f"{digits}\u00a0{amount.currency}"


def format_moment(moment: datetime, language: str) -> str:
    """Write an instant to the minute with its zone: ``17/03/2015 à 14:31 CET`` or ``17 Mar 2015 at 14:31 CET``."""
    words, local = WORDS[language], moment.astimezone(ZONE)
    day = format_date(local.date(), words["day"], locale=words["locale"])
    return words["moment"].format(day=day, time=f"{local:%H:%M}", zone=f"{local:%Z}")
