"""What one journey says to its database, heard at the driver: the web's part, from the signed request to the last page.

The journey is a real one, through the present application in this process, so no list of statements can grow stale. Not
heard are the pool's own questions whether a connection still lives: they belong to no journey.
"""

import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from flask.testing import FlaskClient
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event, select, text
from sqlalchemy.types import LargeBinary

from bench.payers import CARDS, Journey
from gateway import migrations
from gateway.app import create_app
from gateway.clock import utc_now
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import open_engine, tables
from gateway.store.types import UtcDateTime
from tests.support.clock import Clock
from tests.support.portal import Portal

# Numbers of rows begin this far apart, so that a payment's is never an attempt's.
_APART = 1_000_000
_PING = ";"

Values = Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class Said:
    """One statement, and what it answered.

    :ivar columns: names of the answer's columns; none for what gives no rows
    """

    statement: str
    values: Values = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


def hear_journeys(home: Path, database_url: str, count: int = 2) -> list[list[Said]]:
    """Make a database of ``database_url``, have a few payments made in it, and give what each of them said.

    :param home: of the shipped settings, with keys (``bench.site.make_home``)

    The database stays behind as it was then: migrated, and with numbers that no two tables share.
    """
    with journeys(home, database_url) as (pay, heard):
        return [_heard(pay, heard) for _ in range(count)]


def _heard(pay: "Paying", heard: list[Said]) -> list[Said]:
    heard.clear()
    pay()
    return list(heard)


@contextmanager
def journeys(home: Path, database_url: str) -> Iterator[tuple["Paying", list[Said]]]:
    """Give what makes one payment, and the list that fills with what its web side says."""
    settings = load(home, {"GUICHET_DATABASE_URL": database_url})
    own = open_engine(database_url)
    migrations.upgrade(own)
    _keep_numbers_apart(own)
    app, parts = create_app(home, settings=settings), build(settings)
    heard: list[Said] = []
    engine = app.extensions["gateway"].checkout.desk.store.engine
    _listen(engine, heard)
    pay = Paying(app.test_client(), Portal(home), parts)
    # Whatever is asked once in the life of a process is asked now.
    pay()
    try:
        yield pay, heard
    finally:
        for each in (own, engine, parts.store.engine):
            each.dispose()


@dataclass
class Paying:
    """A payer without a network, on the same steps as those of the load (:class:`bench.payers.Journey`)."""

    _client: FlaskClient
    _portal: Portal
    _parts: Parts
    _number: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self) -> None:
        """Pay once, from another address and with another card than last time."""
        number = next(self._number)
        self._client.environ_base["REMOTE_ADDR"] = f"127.9.{number // 250}.{number % 250 + 1}"
        self._client.delete_cookie("guichet", path="/")
        Journey(self, {}, self).pay(self._portal.request(Clock(utc_now())), CARDS[number % len(CARDS)])

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes, bytes]:
        """Do what :meth:`bench.http.Browser.ask` does."""
        headers = {"Sec-Fetch-Mode": "navigate", "Accept-Language": "fr"}
        answer = self._client.open(path, method=method, data=body, content_type=kind or None, headers=headers)
        head = "".join(f"\r\n{name}: {value}" for name, value in answer.headers.items())
        return answer.status_code, head.encode(), answer.data

    def take(self, payment: str) -> str:
        """Read the code where it waits, sealed, to be sent."""
        n, p = tables.notice.c, tables.payment.c
        waiting = select(n.body).join(tables.payment).where(n.channel == "sms", p.public_id == payment)
        with self._parts.store.engine.connect() as db:
            sent = self._parts.seal.open(db.execute(waiting).scalar_one()).decode()
        return sent.rpartition("#")[2].strip()


# Listening.


def _listen(engine: Engine, heard: list[Said]) -> None:
    listen = _open_sqlite if engine.dialect.name == "sqlite" else _open_postgresql
    event.listen(engine, "do_connect", lambda _dialect, _record, given, named: listen(heard, given, named))


def _open_postgresql(heard: list[Said], given: Any, named: dict[str, Any]) -> "_Postgresql":
    # Whatever cursor the product has made for itself.
    cursor = type("Cursor", (_PostgresqlCursor, named.get("cursor_factory", psycopg.Cursor)), {})
    connection = _Postgresql.connect(*given, **{**named, "cursor_factory": cursor})
    connection.heard = heard
    return connection


def _open_sqlite(heard: list[Said], given: Any, named: dict[str, Any]) -> "_Sqlite":
    connection: _Sqlite = sqlite3.connect(*given, **{**named, "factory": _Sqlite})
    connection.heard = heard
    return connection


class _Postgresql(psycopg.Connection[Any]):
    heard: list[Said]

    def hear(self, *said: Said) -> None:
        self.heard.extend(said)

    def hear_beginning(self) -> None:
        if self.info.transaction_status == TransactionStatus.IDLE and not self.autocommit:
            level = self.isolation_level
            self.hear(Said(f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}" if level else "BEGIN"))

    def commit(self) -> None:
        if self.info.transaction_status != TransactionStatus.IDLE:
            self.hear(Said("COMMIT"))
        super().commit()

    def rollback(self) -> None:
        if self.info.transaction_status != TransactionStatus.IDLE:
            self.hear(Said("ROLLBACK"))
        super().rollback()


class _PostgresqlCursor(psycopg.Cursor[Any]):
    connection: _Postgresql

    def execute(self, query: Any, params: Any = None, **more: Any) -> "_PostgresqlCursor":
        self.connection.hear_beginning()
        super().execute(query, params, **more)
        rows = self.fetchall() if self.description else []
        if rows:
            self.scroll(0, mode="absolute")
        if query != _PING:
            names = tuple(column[0] for column in self.description or ())
            self.connection.hear(Said(str(query), params or {}, names, tuple(rows)))
        return self

    def executemany(self, query: Any, params_seq: Any, **more: Any) -> None:
        self.connection.hear_beginning()
        super().executemany(query, params_seq, **more)
        self.connection.hear(*(Said(str(query), params) for params in params_seq))


class _Sqlite(sqlite3.Connection):
    heard: list[Said]

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _SqliteCursor)

    def commit(self) -> None:
        if self.in_transaction:
            self.heard.append(Said("COMMIT"))
        super().commit()

    def rollback(self) -> None:
        if self.in_transaction:
            self.heard.append(Said("ROLLBACK"))
        super().rollback()


class _SqliteCursor(sqlite3.Cursor):
    connection: _Sqlite
    _rows: list[Any]

    def execute(self, statement: str, values: Any = ()) -> "_SqliteCursor":
        super().execute(statement, values)
        # What is read here is given out again below.
        self._rows = super().fetchall()
        names = tuple(column[0] for column in self.description or ())
        self.connection.heard.append(Said(statement, values, names, tuple(self._rows)))
        return self

    def executemany(self, statement: str, many: Any) -> "_SqliteCursor":
        super().executemany(statement, many)
        self.connection.heard.extend(Said(statement, values) for values in many)
        return self

    def fetchall(self) -> list[Any]:
        taken, self._rows = self._rows, []
        return taken

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None


def _keep_numbers_apart(engine: Engine) -> None:
    """Begin the numbers of each table's rows elsewhere."""
    numbered = [table for table in tables.metadata.sorted_tables if table.autoincrement_column is not None]
    if engine.dialect.name == "postgresql":
        with engine.begin() as db:
            for place, table in enumerate(numbered, 1):
                db.execute(text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), {place * _APART})"))
        return
    # SQLite goes on after the greatest number there is: a row that means nothing has it.
    connection = engine.raw_connection()
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    for place, table in enumerate(numbered, 1):
        needed = [column for column in table.columns if not column.nullable and not column.primary_key]
        nothing = {column.name: _nothing(column.type, place) for column in needed} | {"id": place * _APART}
        names = ", ".join(nothing)
        marks = ", ".join(f":{name}" for name in nothing)
        connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", nothing)  # noqa: S608 - our own names
    connection.commit()
    connection.detach()
    connection.close()


def _nothing(kind: object, place: int) -> object:
    if isinstance(kind, LargeBinary):
        return b""
    return "1970-01-01 00:00:00.000000" if isinstance(kind, UtcDateTime) else place
