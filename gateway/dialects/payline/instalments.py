"""Purchases paid in several times (mode ``NX``): what is debited now, and what falls due when."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.core.money import Money
from gateway.core.payment import Instalment
from gateway.dialects.payline.schema import Value

# billingCycle: a number of days, or of months.
_DAYS = {"10": 1, "20": 7, "30": 14}
_MONTHS = {"40": 1, "50": 2, "60": 3, "70": 6, "80": 12, "90": 24}
_EVERY_MONTH = "40"

# Three years of monthly parts: more is a subscription.
LATER_MAX = 36


@dataclass(frozen=True, slots=True)
class Plan:
    """What is debited now and what later."""

    first: Money
    later: tuple[Instalment, ...]


def plan(recurring: Mapping[str, Value], total: Money, today: date) -> Plan:
    """Spread ``total`` over the dates ``recurring`` names.

    Whether ``billingLeft`` counts the first part is told by the sums: the parts must add up to the whole.
    Raises :class:`ValueError`, whose text says what does not fit.
    """
    amount, left = _number(recurring, "amount"), _number(recurring, "billingLeft")
    first = _number(recurring, "firstAmount") if recurring.get("firstAmount") else amount
    later, rest = divmod(total.cents - first, amount)
    if rest or later not in (left, left - 1) or not 1 <= later <= LATER_MAX:
        raise ValueError("firstAmount and billingLeft times amount must add up to the payment's amount")
    cycle, day = str(recurring.get("billingCycle")), str(recurring.get("billingDay") or "")
    start = _start(recurring.get("startDate"), today)
    if start and _step(start, cycle, 0, day) < start:
        # In the month to start in, that day is over by then: the next month's is meant.
        start = _step(start, _EVERY_MONTH, 1, day)
    parts = []
    for place in range(later):
        due = _step(start or today, cycle, place if start else place + 1, day)
        parts.append(Instalment(due, Money(amount, total.currency)))
    return Plan(Money(first, total.currency), tuple(parts))


def _number(recurring: Mapping[str, Value], name: str) -> int:
    told = recurring.get(name)
    if not isinstance(told, str) or not (told.isascii() and told.isdigit() and len(told) <= 12) or int(told) < 1:
        raise ValueError(f"{name} must be numeric")
    return int(told)


def _start(told: Value, today: date) -> date | None:
    """Read the date of the first later part; one that is past is the day of the order itself."""
    if not isinstance(told, str):
        return None
    try:
        # A calendar date has no zone.
        start = datetime.strptime(told, "%d/%m/%Y" if len(told) == 10 else "%d/%m/%y").date()  # noqa: DTZ007
    except ValueError as error:
        raise ValueError("startDate must be dd/mm/yyyy") from error
    return start if start > today else None


def _step(start: date, cycle: str, times: int, day: str) -> date:
    if cycle in _DAYS:
        try:
            return start + timedelta(days=_DAYS[cycle] * times)
        except OverflowError as error:
            raise ValueError("startDate must be earlier") from error
    if cycle not in _MONTHS:
        raise ValueError("billingCycle must be one of " + ", ".join((*_DAYS, *_MONTHS)))
    years, month = divmod(start.month - 1 + _MONTHS[cycle] * times, 12)
    wanted = int(day) if day.isascii() and day.isdigit() and 1 <= int(day) <= 31 else start.day
    last = calendar.monthrange(start.year + years, month + 1)[1]
    return date(start.year + years, month + 1, min(wanted, last))
