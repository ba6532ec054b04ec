"""What a shop offers its payer: by which means (``moyen``), in how many times (``modalite``).

Several values are joined by ``/``. The payer of this server chooses a card, not a plan: cash when it is offered, else
the fewest times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.core.money import Money
from gateway.core.payment import Instalment

# The brands behind each means. Also published: AUR (Aurore), DIN (Diners) and CHK (cheque), which nobody pays here, and
# CGA, PRE and SIG, whose meaning is not.
_BRANDS: Mapping[str, tuple[str, ...]] = {"CBS": ("cb", "visa", "mastercard", "maestro"), "AMX": ("amex",)}

# ``xx`` and ``nx`` leave the number open, and nobody here can say it.
_TIMES: Mapping[str, int] = {"1X": 1, "2X": 2, "3X": 3}


@dataclass(frozen=True, slots=True)
class Offer:
    """The words of one parameter, in upper case; none when it was not sent."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Offer":
        """Read a parameter."""
        return cls(tuple(word for word in text.upper().split("/") if word))

    @property
    def brands(self) -> tuple[str, ...]:
        """The brands of the means we take; none when the shop offers every means, or none of ours."""
        return tuple(brand for word in self.words for brand in _BRANDS.get(word, ()))

    @property
    def other_means(self) -> str:
        """The means that nobody can pay by here."""
        return "/".join(word for word in self.words if word not in _BRANDS)

    @property
    def times(self) -> int:
        """In how many times the payer pays; 0 when the shop leaves that open."""
        known = [_TIMES[word] for word in self.words if word in _TIMES]
        return min(known) if known else int(not self.words)

    @property
    def other_times(self) -> str:
        """The ways of paying that were offered beside the one that is taken."""
        return "/".join(word.lower() for word in self.words if _TIMES.get(word) != self.times)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is debited now and what later."""

    now: Money
    later: tuple[Instalment, ...] = ()


def spread(total: Money, times: int, days: int, today: date) -> Plan:
    """Share an amount out evenly, the odd cents first.

    :param days: between two debits
    """
    each, rest = divmod(total.cents, times)
    part = Money(each, total.currency) if times > 1 else total
    later = tuple(Instalment(today + timedelta(days=days * place), part) for place in range(1, times))
    return Plan(Money(each + rest, total.currency), later)
