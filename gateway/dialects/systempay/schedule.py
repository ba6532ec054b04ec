"""Calendars of the protocol: payment in several times, and the quarter hours at which notifications are repeated."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.core.errors import BadField
from gateway.core.money import Money
from gateway.core.payment import Instalment

# The first call and three repeats (automatic retry, notification rules of the back office).
CALLS_MAX = 4
_QUARTER_MINUTES = 15

# Three years of months: longer plans are credit, and no shop's contract here.
_COUNT_MAX = 36
_PERIOD_DAYS_MAX = 365
# The first part waits no longer than a capture may (``vads_capture_delay``), the last no longer than in a plan by periods.
_FIRST_DAYS_MAX = 365
_LAST_DAYS_MAX = (_COUNT_MAX - 1) * _PERIOD_DAYS_MAX

_MULTI = re.compile(r"MULTI:([a-z]+=[0-9]{1,12}(?:;[a-z]+=[0-9]{1,12}){2});?", re.ASCII)
_MULTI_EXT = re.compile(r"MULTI_EXT:([0-9]{8}=[0-9]{1,12}(?:;[0-9]{8}=[0-9]{1,12})*);?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a purchase is paid.

    :ivar now: what the first instalment debits
    :ivar wait_days: how far ahead the first instalment's own date lies
    """

    now: Money
    later: tuple[Instalment, ...] = ()
    wait_days: int = 0


def read_plan(config: str, total: Money, today: date) -> Plan:
    """Read ``vads_payment_config``.

    ``SINGLE``; ``MULTI:first=5000;count=3;period=30`` (days; what does not divide evenly is in the last part);
    ``MULTI_EXT:20260201=5000;20260301=5850``. Raises :class:`ValueError`, whose text says the rule.
    """
    try:
        if config == "SINGLE":
            return Plan(total)
        if match := _MULTI.fullmatch(config):
            return _periodic(dict(_pair(part) for part in match[1].split(";")), total, today)
        if match := _MULTI_EXT.fullmatch(config):
            return _dated([_pair(part) for part in match[1].split(";")], total, today)
    except BadField as error:
        raise ValueError("leave at least 1 for every instalment") from error
    raise ValueError("send SINGLE, MULTI:first=A;count=N;period=D or MULTI_EXT:YYYYMMDD=A;YYYYMMDD=B")


def _pair(part: str) -> tuple[str, int]:
    name, _, value = part.partition("=")
    return name, int(value)


def _periodic(terms: dict[str, int], total: Money, today: date) -> Plan:
    if terms.keys() != {"first", "count", "period"}:
        raise ValueError("name first, count and period, once each")
    first, count, period = terms["first"], terms["count"], terms["period"]
    if not 1 <= count <= _COUNT_MAX or not 1 <= period <= _PERIOD_DAYS_MAX:
        raise ValueError(f"send a count from 1 to {_COUNT_MAX} and a period from 1 to {_PERIOD_DAYS_MAX} days")
    rest = total.cents - first
    if count == 1 and rest:
        raise ValueError("one instalment alone is the whole amount")
    each = rest // (count - 1) if count > 1 else 0
    parts = [each] * (count - 2) + [rest - each * (count - 2)] if count > 1 else []
    later = tuple(
        Instalment(today + timedelta(days=period * place), Money(cents, total.currency))
        for place, cents in enumerate(parts, start=1)
    )
    return Plan(Money(first, total.currency), later)


def _dated(parts: list[tuple[str, int]], total: Money, today: date) -> Plan:
    try:
        dated = [(datetime.strptime(day, "%Y%m%d").date(), cents) for day, cents in parts]  # noqa: DTZ007 - a date
    except ValueError as error:
        raise ValueError("write each date as YYYYMMDD") from error
    days = [day for day, _ in dated]
    if sorted(set(days)) != days or len(days) > _COUNT_MAX:
        raise ValueError(f"send at most {_COUNT_MAX} dates, each after the one before")
    # The shop's day and ours may differ by one around midnight.
    if days[0] < today - timedelta(days=1):
        raise ValueError("the first date is past")
    if days[0] > today + timedelta(days=_FIRST_DAYS_MAX) or days[-1] > today + timedelta(days=_LAST_DAYS_MAX):
        raise ValueError(f"name dates of the next {_FIRST_DAYS_MAX} days first, and none after {_LAST_DAYS_MAX} days")
    if sum(cents for _, cents in dated) != total.cents:
        raise ValueError("make the instalments add up to vads_amount")
    amounts = [Money(cents, total.currency) for _, cents in dated]
    later = tuple(map(Instalment, days[1:], amounts[1:]))
    return Plan(amounts[0], later, max((days[0] - today).days, 0))


def next_call(tries: int, now: datetime) -> datetime | None:
    """Give the quarter hour after ``now``; ``None`` once the notification went out four times."""
    if tries >= CALLS_MAX:
        return None
    whole = now.replace(second=0, microsecond=0)
    return whole + timedelta(minutes=_QUARTER_MINUTES - whole.minute % _QUARTER_MINUTES)
