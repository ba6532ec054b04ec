"""An acquirer's statement: how each authorisation stands in its book, as a file that another book is compared with.

JSON lines in UTF-8. The first line says whose book it is and which time it covers; then one line for each authorisation, in the
order of asking. Neither a card number nor a token is in it: a token could be debited with.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gateway.core.errors import SettingsError


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_LineT = TypeVar("_LineT", bound=_Line)


class Period(_Line):
    """The first line: every authorisation asked for from ``since`` until ``until`` is in the file."""

    acquirer: str
    since: AwareDatetime
    until: AwareDatetime


class Standing(_Line):
    """One authorisation as the acquirer's book has it; amounts in cents.

    :ivar operation: our own id of the message that asked for it
    :ivar captured: what was paid out; 0 too where the acquirer does not say
    :ivar card: which enrolled card, as :func:`card_digest` names it
    """

    operation: str = Field(max_length=40)
    at: AwareDatetime
    state: Literal["approved", "captured", "declined", "reversed", "review"]
    amount: int = Field(gt=0)
    captured: int = Field(0, ge=0)
    refunded: int = Field(0, ge=0)
    currency: str = Field(min_length=3, max_length=3)
    authorisation_number: str = ""
    card: str = ""

    @property
    def holds_money(self) -> bool:
        """Whether the payer's money is held or was taken, and not all of it given back."""
        return self.state in ("approved", "captured") and self.refunded < self.amount

    @property
    def is_whole(self) -> bool:
        """Whether no other sum was paid out than was authorised: we ask for nothing else."""
        return self.captured in (0, self.amount)


class Statement(_Line):
    """A whole file."""

    period: Period
    standings: tuple[Standing, ...]


def card_digest(token: str) -> str:
    """Name an enrolled card without telling its token."""
    return hashlib.sha256(f"statement {token}".encode()).hexdigest()[:32]


def written(statement: Statement) -> str:
    """Write a statement as it is exchanged."""
    return "".join(f"{line.model_dump_json()}\n" for line in (statement.period, *statement.standings))


def read(lines: Iterable[str]) -> Statement:
    """Read a statement. Raises :class:`SettingsError` with the number of a line that is none."""
    rows = _rows(lines)
    first = next(rows, None)
    if first is None:
        raise SettingsError(("statement: the file is empty",))
    number, text = first
    period = _parse(Period, number, text)
    return Statement(period=period, standings=tuple(_parse(Standing, number, text) for number, text in rows))


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _parse(shape: type[_LineT], number: int, text: str) -> _LineT:
    try:
        return shape.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as error:
        raise SettingsError((f"statement: line {number} is no {shape.__name__.lower()}",)) from error
