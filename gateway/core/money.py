"""Amounts of money: integer minor units with their currency, never a float.

Formatting for people lives in the templates' ``money`` filter; this module only says what an amount *is*.
"""

from dataclasses import dataclass

from gateway.core.errors import BadField

# ISO 4217 minor-unit exponents of the currencies a French local authority can meet.
EXPONENTS = {"EUR": 2, "CHF": 2, "GBP": 2, "USD": 2, "XPF": 0}

# The ceiling of the debt table's CHECK constraint: 999,999.99 in a two-digit currency.
AMOUNT_MAX = 99_999_999


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """A positive amount in minor units (cents for EUR)."""

    cents: int
    currency: str = "EUR"

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise BadField("currency", "unknown_currency", f"use one of {', '.join(sorted(EXPONENTS))}")
        if not 1 <= self.cents <= AMOUNT_MAX:
            raise BadField("amount", "amount_out_of_range", f"use a whole number of cents from 1 to {AMOUNT_MAX}")

    @property
    def exponent(self) -> int:
        """Number of decimal digits of the currency (ISO 4217)."""
        return EXPONENTS[self.currency]
