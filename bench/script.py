"""A journey's statements made into something that can be run again and again: by pgbench, or by SQLite's own driver.

Two journeys are laid beside each other. What both say alike is the same in every journey; what differs is an instant
(kept as it was), a number the database gave out (asked for again), or a word of this one journey: a token, a digest, an
address. A word is drawn anew each time, of the same length, and is the same wherever it was the same.
"""

import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import sql

from bench.trace import Said

# Digits of a word that are drawn; pgbench counts in 64 bits.
_DRAWN = 15
_MARK = re.compile(r"%\((\w+)\)s")
# pgbench takes a colon and a letter for one of its variables, in quotes too.
_VARIABLE = re.compile(r"(?<!:):(?=[A-Za-z_])")


@dataclass(frozen=True, slots=True)
class Word:
    """What differs between journeys: ``head`` is as it was, the digits after it are drawn.

    :ivar number: which of the words drawn for a journey it is; the same word may be part of several statements
    """

    number: int
    head: str
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Given:
    """A number that an earlier statement of the journey answered."""

    step: int
    column: str


@dataclass(frozen=True, slots=True)
class Step:
    """A statement, with what stands for each of its values."""

    statement: str
    values: dict[str, Any] | tuple[Any, ...]
    answers: tuple[str, ...] = ()


class Script:
    """One journey, ready to be run again."""

    def __init__(self, first: Sequence[Said], second: Sequence[Said]) -> None:
        """Learn from two journeys. Raises :class:`ValueError` when they did not say the same."""
        if [said.statement for said in first] != [said.statement for said in second]:
            raise ValueError("two journeys did not make the same statements")
        self._words: dict[tuple[str, str], int] = {}
        self._numbers: dict[tuple[Any, Any], Given] = {}
        self.steps: list[Step] = []
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            self.steps.append(self._step(one, other))
            self._note_answers(number, one, other)

    @property
    def commits(self) -> int:
        """Count the transactions."""
        return sum(step.statement == "COMMIT" for step in self.steps)

    @property
    def statements(self) -> int:
        """Count what is neither the beginning nor the end of a transaction."""
        return sum(not step.statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")) for step in self.steps)

    def _step(self, one: Said, other: Said) -> Step:
        values: dict[str, Any] | tuple[Any, ...]
        if isinstance(one.values, dict) and isinstance(other.values, dict):
            values = {name: self._learn(value, other.values[name]) for name, value in one.values.items()}
        else:
            values = tuple(map(self._learn, one.values, other.values))
        return Step(one.statement, values, one.columns)

    def _note_answers(self, number: int, one: Said, other: Said) -> None:
        if len(one.rows) != 1 or len(other.rows) != 1:
            return
        for column, value, its in zip(one.columns, one.rows[0], other.rows[0], strict=True):
            if isinstance(value, int) and value != its:
                self._numbers.setdefault((value, its), Given(number, column))

    def _learn(self, one: Any, other: Any) -> Any:
        """Say what stands for a value: itself, a number given before, or a word."""
        one, other = pair = _plain(one), _plain(other)
        if one == other or isinstance(one, date | datetime):
            return other
        if pair in self._numbers:
            return self._numbers[pair]
        if isinstance(one, int):
            raise ValueError(f"{one} and {other}: numbers of nowhere")
        if isinstance(other, str) and _is_instant(other):
            # So SQLite keeps them.
            return other
        # A digest is kept here in bytes and there in hexadecimal digits.
        its, shown = (value if isinstance(value, str) else value.hex() for value in pair)
        number = self._words.setdefault((its, shown), len(self._words))
        return Word(number, shown[:-_DRAWN], is_binary=not isinstance(other, str))

    # For pgbench.

    def pgbench(self) -> str:
        """Write the journey as pgbench reads it."""
        asked = {(given.step, given.column) for given in self._numbers.values() if self._is_used(given)}
        lines = [f"\\set w{number} random({least}, {most})" for number, (least, most) in enumerate(self._ranges())]
        for number, step in enumerate(self.steps):
            statement = _filled(step).replace("%%", "%")
            is_asked = any(at == number for at, _ in asked)
            lines.append(f"{statement} \\gset s{number}_" if is_asked else f"{statement};")
        return "\n".join(lines) + "\n"

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Say between which numbers each word is drawn, that its digits may be as many as they were."""
        for _, shown in self._words:
            digits = min(_DRAWN, len(shown))
            yield 10 ** (digits - 1), 10**digits - 1

    def _is_used(self, given: Given) -> bool:
        return any(given in _parts(step) for step in self.steps)

    # For SQLite.

    def run(self, connection: sqlite3.Connection, chance: random.Random) -> None:
        """Make one more journey, on SQLite."""
        drawn = [str(chance.randint(least, most)) for least, most in self._ranges()]
        answers: dict[int, dict[str, Any]] = {}

        def value(part: Any) -> Any:
            if isinstance(part, Word):
                written = part.head + drawn[part.number]
                return bytes.fromhex(written) if part.is_binary else written
            return answers[part.step][part.column] if isinstance(part, Given) else part

        for number, step in enumerate(self.steps):
            values = step.values
            bound = {k: value(v) for k, v in values.items()} if isinstance(values, dict) else [*map(value, values)]
            rows = connection.execute(step.statement, bound).fetchall()
            if len(rows) == 1:
                answers[number] = dict(zip(step.answers, rows[0], strict=True))


def _parts(step: Step) -> Iterator[Any]:
    yield from step.values.values() if isinstance(step.values, dict) else step.values


def _filled(step: Step) -> str:
    return _MARK.sub(lambda mark: _literal(dict(step.values)[mark[1]]), step.statement)


def _literal(part: Any) -> str:
    """Write a value, or what stands for it, in the words of PostgreSQL."""
    if isinstance(part, Given):
        return f":s{part.step}_{part.column}"
    if isinstance(part, Word):
        whole = f"({_quoted(part.head)} || :w{part.number})" if part.head else f":w{part.number}"
        return f"decode({whole}, 'hex')" if part.is_binary else whole
    return _quoted(part)


def _quoted(value: Any) -> str:
    literal = sql.Literal(value).as_string(None)
    return f"({_VARIABLE.sub(chr(58) + chr(39) + '||' + chr(39), literal)})" if _VARIABLE.search(literal) else literal


def _plain(value: Any) -> Any:
    """Take bytes out of what a driver wraps them in."""
    inner = getattr(value, "obj", value)
    return bytes(inner) if isinstance(inner, bytes | bytearray | memoryview) else inner


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
