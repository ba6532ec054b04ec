"""How amounts and moments are written for people, in their language (CLDR).

Pure functions: a value and a locale in, text out. ``gateway.web.rendering`` makes template filters of them. Wire
formats are not here; each dialect writes its own.
"""

from datetime import date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency

from gateway.core.money import Money

# French local authorities keep this clock; a payer abroad must read the time the authority will read.
ZONE = ZoneInfo("Europe/Paris")

# CLDR's bare "en" is American (July 21, 2:45 PM) and its "pt" Brazilian; the readers of these pages are in Europe. Of the
# Arabic of the Maghreb, whose digits and decimal comma are the card's own, Libya's names months as most readers do.
_REGIONS = {"en": "en_GB", "pt": "pt_PT", "ar": "ar_LY"}

_SCHEMES = {"cb": "CB", "amex": "American Express"}


# A page says its amount two or three times, and CLDR's patterns take longer to fill than a row takes to be read.
@lru_cache(1000)
def money(amount: Money, locale: str) -> str:
    """Write an amount with its currency, such as ``96,12 €`` (the space does not break).

    Among words written from right to left it is isolated (U+2068 to U+2069), or they would reorder it (UAX #9).
    """
    value, spoken = Decimal(amount.cents).scaleb(-amount.exponent), _cldr(locale)
    text = format_currency(value, amount.currency, locale=spoken)
    return f"\u2068{text}\u2069" if spoken.text_direction == "rtl" else text


def day(on: date | datetime, locale: str, zone: ZoneInfo = ZONE) -> str:
    """Write a date in words, such as ``21 novembre 2026``.

    :param on: a date as it stands, or an aware datetime, which is first moved to ``zone``
    """
    local = on.astimezone(zone).date() if isinstance(on, datetime) else on
    words = format_date(local, "long", locale=_cldr(locale))
    # CLDR leaves the ordinal out, which French writes of the first of a month, and of no other day.
    return words.replace("1", "1er", 1) if locale == "fr" and local.day == 1 else words


def time_of_day(at: datetime, locale: str, zone: ZoneInfo = ZONE) -> str:
    """Write hours and minutes, such as ``14:45``."""
    local = at.astimezone(zone)
    return _minute(local.hour, local.minute, locale)


@cache
def _minute(hour: int, minute: int, locale: str) -> str:
    return format_time(time(hour, minute), "HH:mm", locale=_cldr(locale))


def moment(at: datetime, locale: str, zone: ZoneInfo = ZONE) -> str:
    """Write date, time and zone, such as ``21 novembre 2026, 14:45 CET``.

    The zone's abbreviation tells the two 02:30 of an October night apart, as card-terminal tickets do. It comes from
    the time-zone database because CLDR has none for Paris in most languages.
    """
    local = at.astimezone(zone)
    comma = "،" if _cldr(locale).language == "ar" else ","
    return f"{day(local, locale, zone)}{comma} {time_of_day(at, locale, zone)} {local.tzname()}"


def month(number: int, year: int, locale: str) -> str:
    """Write a month and its year, such as ``novembre 2026``."""
    return format_date(date(year, number, 1), "MMMM y", locale=_cldr(locale))


def scheme_name(scheme: str) -> str:
    """Write a card brand as its owner does."""
    return _SCHEMES.get(scheme, scheme.capitalize())


def _cldr(locale: str) -> Locale:
    return Locale.parse(_REGIONS.get(locale, locale), sep="_")
