"""What a card is: its number, its expiry and the brands the first digits tell.

A :class:`CardNumber` prints itself masked; ``.reveal()`` is called in ``gateway.acquirers`` alone. The security code is
carried by :class:`CardEntry` for the length of one call and stored by nobody.
"""

import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from gateway.core.errors import CardRefused

# What payers type or paste between digits: spaces of any kind, dots, dashes.
_SEPARATORS = re.compile(r"[\s.\-\u00a0\u2010-\u2015\u202f]")

# Public IIN ranges (ISO/IEC 7812), longest prefix first; a co-badged CB card cannot be told from its prefix.
_RANGES: tuple[tuple[str, int, int, frozenset[int]], ...] = (
    ("amex", 34, 34, frozenset({15})),
    ("amex", 37, 37, frozenset({15})),
    ("mastercard", 2221, 2720, frozenset({16})),
    ("mastercard", 51, 55, frozenset({16})),
    ("maestro", 56, 58, frozenset(range(12, 20))),
    ("maestro", 50, 50, frozenset(range(12, 20))),
    ("maestro", 6, 6, frozenset(range(12, 20))),
    ("visa", 4, 4, frozenset({13, 16, 18, 19})),
)


def luhn_valid(digits: str) -> bool:
    """Check the last digit of a card number (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def scheme_of(digits: str) -> str:
    """Name the international brand the first digits tell, or an empty string."""
    for name, low, high, _ in _RANGES:
        prefix = digits[: len(str(low))]
        if len(prefix) == len(str(low)) and low <= int(prefix) <= high:
            return name
    return ""


class CardNumber:
    """A primary account number that never shows itself.

    Raises :class:`CardRefused` for anything but 12 to 19 digits once usual separators are dropped. Luhn is not checked
    here: documented test cards need not satisfy it, so the acquirer's port decides.
    """

    __slots__ = ("_digits",)

    def __init__(self, typed: str) -> None:
        digits = _SEPARATORS.sub("", unicodedata.normalize("NFKC", typed))
        if not digits:
            raise CardRefused("cc-number", "missing")
        if not (digits.isascii() and digits.isdigit()):
            raise CardRefused("cc-number", "not_digits")
        if not 12 <= len(digits) <= 19:
            raise CardRefused("cc-number", "length")
        self._digits = digits

    def reveal(self) -> str:
        """Give the digits, for the acquirer's message only."""
        return self._digits

    @property
    def bin(self) -> str:
        """The first six digits (issuer identification)."""
        return self._digits[:6]

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self._digits[-4:]

    def identity(self, key: bytes) -> bytes:
        """Compute what tells this card from others, for whoever has the key (HMAC-SHA-256 of the number)."""
        return hmac.digest(key, b"card " + self._digits.encode(), sha256)

    def range_identity(self, key: bytes) -> bytes:
        """Compute what tells the range the card is of, its first eight digits (ISO/IEC 7812-1), from others."""
        return hmac.digest(key, b"range " + self._digits[:8].encode(), sha256)

    @property
    def scheme(self) -> str:
        """The international brand, as the prefix tells it."""
        return scheme_of(self._digits)

    @property
    def is_luhn_valid(self) -> bool:
        """Whether the check digit is right."""
        return luhn_valid(self._digits)

    def __repr__(self) -> str:
        return f"CardNumber(************{self.last4})"

    __str__ = __repr__


@dataclass(frozen=True, slots=True, order=True)
class Expiry:
    """The month printed on a card; good until its last day, in the merchant's zone."""

    year: int
    month: int

    @classmethod
    def parse(cls, typed: str) -> "Expiry":
        """Read ``01/27``, ``1/27``, ``0127``, ``01-2027`` and the like, and the ``2027-01`` that some browsers fill in.

        Raises :class:`CardRefused` when the text is not a month and a year.
        """
        text = unicodedata.normalize("NFKC", typed).strip()
        if not text:
            raise CardRefused("cc-exp", "missing")
        if turned := re.fullmatch(r"(\d{4})\s*[/\-.]\s*(\d{1,2})", text, re.ASCII):
            text = f"{turned[2]}/{turned[1]}"
        # No blank may be read in two ways: a form of them alone would be tried in as many pairs of lengths.
        match = re.fullmatch(r"(\d{1,2})(?:\s*[/\-.]\s*|\s+)(\d{4}|\d{2})", text, re.ASCII) or re.fullmatch(
            r"(\d{2})(\d{4}|\d{2})", text, re.ASCII
        )
        if not match:
            raise CardRefused("cc-exp", "format")
        month, year = int(match[1]), int(match[2])
        if not 1 <= month <= 12:
            raise CardRefused("cc-exp", "month")
        return cls(year if year > 99 else 2000 + year, month)

    def is_past(self, today: date) -> bool:
        """Whether the card's last day was before ``today``."""
        return (self.year, self.month) < (today.year, today.month)


@dataclass(frozen=True, slots=True)
class CardEntry:
    """What the payer typed, for the length of one call to the acquirer."""

    number: CardNumber
    expiry: Expiry
    security_code: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d{3,4}", self.security_code, re.ASCII):
            raise CardRefused("cc-csc", "missing" if not self.security_code else "format")
        if self.number.scheme and len(self.security_code) != (4 if self.number.scheme == "amex" else 3):
            raise CardRefused("cc-csc", "length")

    def __repr__(self) -> str:
        return f"CardEntry({self.number!r})"
