"""The table of test cards: which numbers the simulated bank takes, and what it does with each.

The table is a file of the operator's (``config/test_cards.toml``); this module reads it, refuses a wrong one with every
fault at once, and lays it out for people. What a card *does* is played by :mod:`gateway.acquirers.simulator`.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from gateway.acquirers import Flow
from gateway.core.card import luhn_valid
from gateway.core.errors import SettingsError


class Acs(StrEnum):
    """What the card's bank says of the cardholder, before any money is asked for (EMV 3-D Secure ``transStatus``)."""

    FRICTIONLESS = "frictionless"  # Y
    ATTEMPTED = "attempted"  # A
    CHALLENGE = "challenge"  # C
    REFUSED = "refused"  # N
    REJECTED = "rejected"  # R
    UNAVAILABLE = "unavailable"  # U
    SILENT = "silent"  # nothing at all, for ever


class Verdict(StrEnum):
    """What the bank does when asked for the money."""

    APPROVED = "approved"
    DECLINED = "declined"
    SLOW = "slow"  # approves, late
    REVIEW = "review"  # unclear for a while, then approved
    SILENT_APPROVED = "silent_approved"  # approves and does not say so
    SILENT_DECLINED = "silent_declined"  # declines and does not say so
    SILENT_LOST = "silent_lost"  # never got the message


_FLOWS = {
    Acs.FRICTIONLESS: Flow.FRICTIONLESS,
    Acs.ATTEMPTED: Flow.ATTEMPTED,
    Acs.CHALLENGE: Flow.CHALLENGE,
    Acs.REFUSED: Flow.REFUSED,
    Acs.REJECTED: Flow.REFUSED,
    Acs.UNAVAILABLE: Flow.UNAVAILABLE,
    Acs.SILENT: Flow.UNAVAILABLE,
}

# transStatus of EMV 3-D Secure, given as the reason of an enrolment that ends there.
_REASONS = {Acs.REFUSED: "N", Acs.REJECTED: "R", Acs.UNAVAILABLE: "U"}

# Electronic commerce indicator: the Visa and Amex value, then the Mastercard one (a challenge counts once answered).
_ECIS = {
    Acs.FRICTIONLESS: ("05", "02"),
    Acs.CHALLENGE: ("05", "02"),
    Acs.ATTEMPTED: ("06", "01"),
    Acs.UNAVAILABLE: ("07", "00"),
}

# Verdicts that end in a refusal, and so need a code and a family.
REFUSALS = frozenset({Verdict.DECLINED, Verdict.SILENT_DECLINED})

Family = Literal[
    "authentication",
    "bad_number",
    "call_issuer",
    "do_not_honour",
    "expired",
    "fraud",
    "funds",
    "limit",
    "not_permitted",
    "stolen",
    "technical",
    "wrong_code",
]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=120)]
# Two characters, as ISO 8583 field 39 has them; letters occur (1A).
_Code = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{2}$")]
_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Title(BaseModel):
    """What the card is for, in the two languages of the developer's pages."""

    model_config = _STRICT

    fr: _Text
    en: _Text


class Source(BaseModel):
    """Who publishes the card: ``guichet`` for our own, else the imitated service; and where."""

    model_config = _STRICT

    service: Literal["guichet", "payfip", "payline", "spplus", "systempay"]
    section: _Text


class PublishedCard(BaseModel):
    """One test card and everything it makes the bank do."""

    model_config = _STRICT

    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-z][0-9a-z-]{1,39}$")]
    number: Annotated[str, StringConstraints(pattern=r"^[0-9]{12,19}$")]
    schemes: tuple[Literal["cb", "visa", "mastercard", "maestro", "amex"], ...]
    acs: Acs
    outcome: Verdict
    code: _Code | Literal[""] = ""
    family: Family | Literal[""] = ""
    eci: Literal["", "00", "01", "02", "05", "06", "07"] = ""
    capture: Literal["works", "refused", "second_try"] = "works"
    refund: Literal["works", "refused"] = "works"
    later: Literal["works", "refused", "second_try"] = "works"
    title: Title
    source: Source

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.outcome in REFUSALS) != bool(self.code and self.family):
            raise ValueError("code and family go with a refusal, and only with one")
        if self.acs in {Acs.REFUSED, Acs.REJECTED} and self.outcome not in REFUSALS:
            raise ValueError("a card refused by 3-D Secure cannot be approved: use outcome = declined")
        if not self.schemes or len(set(self.schemes)) != len(self.schemes):
            raise ValueError("schemes must name one brand or more, each once")
        return self

    @property
    def flow(self) -> Flow:
        """What the card's bank wants, in the contract's words."""
        return _FLOWS[self.acs]

    @property
    def reason(self) -> str:
        """Why 3-D Secure ends the attempt (``transStatus``); empty when it does not."""
        return _REASONS.get(self.acs, "")

    @property
    def proof_eci(self) -> str:
        """The electronic commerce indicator, once the cardholder has done what ``flow`` asks."""
        visa, mastercard = _ECIS.get(self.acs, ("", ""))
        return self.eci or (mastercard if {"mastercard", "maestro"} & set(self.schemes) else visa)

    @property
    def grouped(self) -> str:
        """The number as cards print it: groups of four, or 4-6-5 for fifteen digits."""
        if len(self.number) == 15:
            return f"{self.number[:4]} {self.number[4:10]} {self.number[10:]}"
        return " ".join(re.findall(".{1,4}", self.number))


class Forced(BaseModel):
    """Numbers that force a code of an imitated service: first digits, the code, Luhn's digit.

    :ivar codes: by the service's code: the network's, its family, and the title in French and English
    """

    model_config = _STRICT

    begins: Annotated[str, StringConstraints(pattern=r"^[0-9]{6,13}$")]
    schemes: tuple[str, ...]
    source: Source
    codes: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{5}$")], tuple[_Code, Family, _Text, _Text]]

    def cards(self) -> tuple[PublishedCard, ...]:
        """Write the cards out."""
        return tuple(self._card(code, *told) for code, told in self.codes.items())

    def _card(self, code: str, network: str, family: str, fr: str, en: str) -> PublishedCard:
        body = f"{self.begins}{code}"
        number = next(body + digit for digit in "0123456789" if luhn_valid(body + digit))
        facts = {
            "key": f"{self.source.service}-{code}",
            "number": number,
            "schemes": self.schemes,
            "acs": Acs.FRICTIONLESS,
            "outcome": Verdict.DECLINED,
            "code": network,
            "family": family,
            "title": Title(fr=f"{code} : {fr}", en=f"{code}: {en}"),
            "source": self.source,
        }
        return PublishedCard.model_validate(facts)


@dataclass(frozen=True, slots=True)
class CardTable:
    """Every card the simulated bank knows.

    :ivar wrong_security_codes: codes answered "wrong security code" on cards of our own set; the imitated services
        promise to take any code on theirs
    :ivar amounts: by service, the amounts (minor units) its simulator refuses, and with which code
    :ivar amounts_on_own_cards: the services whose amounts hold for cards of our own set too
    """

    cards: tuple[PublishedCard, ...]
    wrong_security_codes: frozenset[str] = frozenset()
    amounts: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    amounts_on_own_cards: tuple[str, ...] = ()

    def refusal(self, card: PublishedCard, cents: int) -> str:
        """Give the code that this amount is refused with when the card is a good one; empty when it is not."""
        services = self.amounts_on_own_cards if card.source.service == "guichet" else (card.source.service,)
        codes = (self.amounts.get(service, {}).get(cents) for service in services)
        return next((code for code in codes if code), "")

    def family(self, code: str) -> str:
        """Give the family of a network code, as the first card says that is refused with it."""
        return next((card.family for card in self.cards if card.code == code), "do_not_honour")

    def find(self, number: str) -> PublishedCard | None:
        """Find the card with these digits, if it is one of ours."""
        return next((card for card in self.cards if card.number == number), None)

    def by_key(self, key: str) -> PublishedCard | None:
        """Find the card a book entry names; ``None`` when the table has lost it since."""
        return next((card for card in self.cards if card.key == key), None)

    def schemes(self, prefix: str) -> tuple[str, ...]:
        """Name the brands of the cards that begin so; nothing when there are none or when they disagree."""
        found = {card.schemes for card in self.cards if card.number.startswith(prefix)}
        return found.pop() if len(found) == 1 else ()

    def takes(self, card: PublishedCard, security_code: str) -> bool:
        """Say whether the bank finds the security code right."""
        return card.source.service != "guichet" or security_code not in self.wrong_security_codes

    def published(self) -> tuple[tuple[Source, tuple[PublishedCard, ...]], ...]:
        """Lay the cards out for people: by service and section, in the order of the file."""
        sections = dict.fromkeys(card.source for card in self.cards)
        return tuple((source, tuple(card for card in self.cards if card.source == source)) for source in sections)


class _File(BaseModel):
    model_config = _STRICT

    wrong_security_codes: frozenset[Annotated[str, StringConstraints(pattern=r"^[0-9]{3,4}$")]] = frozenset()
    cards: tuple[PublishedCard, ...]
    forced: tuple[Forced, ...] = ()
    amounts: dict[str, dict[int, _Code]] = Field(default_factory=dict)
    amounts_on_own_cards: tuple[str, ...] = ()


def load(path: Path) -> CardTable:
    """Read the table of test cards.

    Raises :class:`SettingsError` with every fault: file, place and rule, but never the value found there.
    """
    try:
        table = _table(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            (f"{path}: cannot be read ({error.strerror}); restore it from the distribution",)
        ) from error
    except ValidationError as error:
        raise SettingsError(_worded(path, error)) from error
    except ValueError as error:
        raise SettingsError((f"{path}: not TOML ({error}); mend that line",)) from error
    if doubles := _doubles(path, table.cards):
        raise SettingsError(doubles)
    return table


# A server reads it twice: for its bank, and for the page that lists the cards.
@lru_cache(maxsize=1)
def _table(text: str) -> CardTable:
    read = _File.model_validate(tomllib.loads(text))
    cards = (*read.cards, *(card for forced in read.forced for card in forced.cards()))
    return CardTable(cards, read.wrong_security_codes, read.amounts, read.amounts_on_own_cards)


def _worded(path: Path, error: ValidationError) -> tuple[str, ...]:
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return tuple(f"{path}: {_place(fault['loc'])}: {fault['msg']}" for fault in faults)


def _place(steps: tuple[int | str, ...]) -> str:
    """Word a path the way an editor counts: the third ``[[cards]]`` is ``cards 3``."""
    return ".".join(str(step + 1) if isinstance(step, int) else step for step in steps).replace("cards.", "cards ", 1)


def _doubles(path: Path, cards: tuple[PublishedCard, ...]) -> tuple[str, ...]:
    faults = []
    seen: set[str] = set()
    for place, card in enumerate(cards, start=1):
        for name, value in (("key", card.key), ("number", card.number)):
            if value in seen:
                faults.append(f"{path}: cards {place}.{name}: another card has it already; give each its own")
            seen.add(value)
    return tuple(faults)
