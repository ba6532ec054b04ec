"""What a run leaves behind, as plain data: the recorded history, our tables, the bank's book, the receivers' log.

Whoever breaks things (a simulation, a killed process, a cut network) gathers this, and :mod:`tests.support.checker` judges
it. Nothing here knows how the run was made.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, text

from gateway.store import tables as t

# A row as it stands in a table: what its columns hold is the schema's business.
Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Act:
    """One thing somebody asked for.

    :ivar result: ``ok`` (it was answered), ``fail`` (it was refused: nothing changed) or ``unknown`` (no answer came)
    :ivar facts: what was told: ``payment``, ``status`` (of the payment), ``refund``, ``approved`` (of a decision)
    """

    actor: str
    op: str
    start: float
    end: float
    result: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message to the bank; ``outcome`` is what was clearly answered, empty when nothing was."""

    op_id: str
    verb: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice that reached its receiver; ``is_taken`` tells whether the receiver says that it has it."""

    channel: str
    target: str
    event: str
    payment: str
    digest: str
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a state column, as the database itself saw it."""

    table: str
    row: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Said:
    """One message in the bank's book, in the order it was written."""

    op_id: str
    verb: str
    about: str
    cents: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One authorisation in the bank's book."""

    op_id: str
    state: str
    cents: int
    captured: int
    refunded: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a run left behind.

    :ivar tables: by name, each in the order of its primary key
    :ivar exchanges: ``None`` when nobody listened on the line to the bank
    :ivar is_quiet: the faults are over and everybody had time to finish: no doubt may be left
    """

    tables: Mapping[str, Rows]
    entries: Sequence[Entry] = ()
    said: Sequence[Said] = ()
    history: Sequence[Act] = ()
    exchanges: Sequence[Exchange] | None = None
    deliveries: Sequence[Delivery] = ()
    moves: Sequence[Move] = ()
    is_quiet: bool = True


_STATES = {"payment": "status", "attempt": "status", "debt": "state", "refund": "status", "notice": "state"}


_SQLITE = """
CREATE TRIGGER seen_{table} AFTER UPDATE OF {column} ON {table} WHEN OLD.{column} <> NEW.{column}
BEGIN INSERT INTO seen_move (t, id, a, b) VALUES ('{table}', OLD.id, OLD.{column}, NEW.{column}); END
"""
_POSTGRESQL = """
CREATE FUNCTION see_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
INSERT INTO seen_move (t, id, a, b) VALUES ('{table}', OLD.id, OLD.{column}, NEW.{column}); RETURN NEW; END $$;
CREATE TRIGGER seen_{table} AFTER UPDATE OF {column} ON {table} FOR EACH ROW
WHEN (OLD.{column} IS DISTINCT FROM NEW.{column}) EXECUTE FUNCTION see_{table}()
"""


def watch_moves(engine: Engine) -> None:
    """Have the database write every change of a state down, whatever code makes it."""
    is_sqlite = engine.dialect.name == "sqlite"
    number = "INTEGER PRIMARY KEY" if is_sqlite else "bigserial PRIMARY KEY"
    with engine.begin() as db:
        db.execute(text(f"CREATE TABLE seen_move (n {number}, t TEXT, id INTEGER, a TEXT, b TEXT)"))
        for table, column in _STATES.items():
            db.execute(text((_SQLITE if is_sqlite else _POSTGRESQL).format(table=table, column=column)))


def read_moves(engine: Engine) -> tuple[Move, ...]:
    """Read what :func:`watch_moves` had written down, in the order of its happening."""
    with engine.connect() as db:
        return tuple(Move(*row[:]) for row in db.execute(text("SELECT t, id, a, b FROM seen_move ORDER BY n")))


def read_tables(engine: Engine) -> dict[str, tuple[Row, ...]]:
    """Read all our tables."""
    with engine.connect() as db:
        return {
            table.name: tuple(row._asdict() for row in db.execute(select(table).order_by(*table.primary_key.columns)))
            for table in t.metadata.sorted_tables
        }


def read_bank(path: Path) -> tuple[tuple[Entry, ...], tuple[Said, ...]]:
    """Read the simulated bank's own file: how each authorisation stands, and what was said in which order."""
    with closing(sqlite3.connect(path)) as db:
        entries = db.execute(
            "SELECT op_id, state, amount_cents, captured_cents, refunded_cents FROM authorisation ORDER BY rowid"
        )
        said = db.execute("SELECT op_id, verb, about, amount_cents, outcome FROM message ORDER BY rowid")
        return tuple(Entry(*row) for row in entries), tuple(Said(*row) for row in said)
