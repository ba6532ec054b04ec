"""How the two databases are opened, and what each must promise before money is entrusted to it.

SQLite: write-ahead log, ``synchronous=FULL`` (``NORMAL`` may forget an acknowledged commit at power loss), and
``BEGIN IMMEDIATE`` for writers, because a deferred transaction that reads then writes fails with ``SQLITE_BUSY``
whatever the timeout. PostgreSQL: short lock and statement timeouts, so that a stuck peer is an error and not a queue.
"""

import select
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError, OperationalError

# How long a writer waits for another one on SQLite.
BUSY_SECONDS = 5
# How soon it looks again.
_LOOK_SECONDS = 0.001
# What a connection is opened for, when it is not to write: several questions, or one, which is a transaction by itself.
READ_ONLY = {"guichet_purpose": "reading"}
ONE_QUESTION = {"guichet_purpose": "one question"}

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"busy_timeout={BUSY_SECONDS * 1000}",
    "secure_delete=ON",
    "trusted_schema=OFF",
)
# Row-level security shows a session nothing unless it says for whom it asks: ours begin as the server's own.
_PG_OPTIONS = (
    "-c lock_timeout=2000 -c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000 -c guichet.merchants=*"
)
# For a server whose machine says nothing any more, which no timeout of its own can tell of: seconds to connect, and
# milliseconds until what was sent must have arrived. On a socket file the latter says nothing.
_PG_PATIENCE = {"connect_timeout": 10, "tcp_user_timeout": 10_000}
_ACT_FOR = text("SELECT set_config('guichet.merchants', :merchants, true)")


def open_engine(url: str) -> Engine:
    """Open ``url`` (``sqlite:///...`` or ``postgresql+psycopg://...``) with the settings above."""
    if not url.startswith("sqlite"):
        engine = create_engine(
            url, pool_size=8, max_overflow=24, hide_parameters=True,
            connect_args={"options": _PG_OPTIONS, "cursor_factory": _lean_cursor(), **_PG_PATIENCE},
        )  # fmt: skip
        # Several rows of one table go in one statement, which costs less than half of the driver's own way, one for each.
        engine.dialect.use_insertmanyvalues_wo_returning = True
        event.listen(engine, "checkout", partial(_see_that_it_lives, engine.dialect))
        return engine
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@cache
def _lean_cursor() -> type[object]:
    """Make a cursor that describes its columns by name and type, which is all that is looked at.

    Psycopg's own makes an object of each column of each answer: a tenth of what a journey costs in the store.
    """
    # Only PostgreSQL's users pay for loading its driver.
    import psycopg

    class LeanCursor(psycopg.Cursor[Any]):
        @property
        def description(self) -> Any:
            found = self.pgresult
            if found is None or (not found.nfields and found.status != psycopg.pq.ExecStatus.TUPLES_OK):
                return None
            return [
                (found.fname(n).decode(), found.ftype(n), None, None, None, None, None)  # type: ignore[union-attr]  # the columns there are
                for n in range(found.nfields)
            ]

    return LeanCursor


def _see_that_it_lives(dialect: Dialect, connection: Any, _record: object, _proxy: object) -> None:
    """Take no connection from the pool whose server has ended it; all those of its age are made anew.

    Nobody speaks on an idle connection but a server that ends it, and a look at the socket shows that. So only a
    connection that has something to say is asked whether it lives: asking each time (``pool_pre_ping``) would be a
    round trip for every transaction.
    """
    ear = select.poll()
    try:
        ear.register(connection.fileno(), select.POLLIN)
        if ear.poll(0):
            dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError("the server has ended this connection") from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself; the "begin" event says which kind.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    purpose = connection.get_execution_options()
    if purpose.items() >= ONE_QUESTION.items():
        return
    if purpose.items() >= READ_ONLY.items():
        connection.exec_driver_sql("BEGIN")
        return
    # SQLite itself would look again after one millisecond, then after ever more, up to a hundred: between two processes that
    # both write, the one that lost a few times hardly ever finds the moment.
    until = time.monotonic() + BUSY_SECONDS
    with _not_waiting(connection):
        while not _begin_writing(connection, is_last=time.monotonic() > until):
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _not_waiting(connection: Connection) -> Iterator[None]:
    """Have SQLite say at once that somebody else writes."""
    raw: Any = connection.connection.driver_connection
    ((usual,),) = raw.execute("PRAGMA busy_timeout")
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout = {usual}")


def _begin_writing(connection: Connection, *, is_last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if is_last or getattr(error.orig, "sqlite_errorname", "") != "SQLITE_BUSY":
            raise
        return False
    return True


def act_for(connection: Connection, merchants: Iterable[str]) -> None:
    """Show this transaction, and no other after it, the rows of these merchants alone; SQLite leaves it to the queries."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ACT_FOR, {"merchants": ",".join(sorted(merchants))})


def take_time(connection: Connection) -> None:
    """Let the statements of this transaction last: for an operator's inspections, which nobody waits for."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
