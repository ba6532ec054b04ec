"""How the two databases are opened, and what each must promise before money is entrusted to it.

SQLite: write-ahead log, ``synchronous=FULL`` (``NORMAL`` may forget an acknowledged commit at power loss), and
``BEGIN IMMEDIATE`` for writers, because a deferred transaction that reads then writes fails with ``SQLITE_BUSY``
whatever the timeout. PostgreSQL: short lock and statement timeouts, so that a stuck peer is an error and not a queue.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

READ_ONLY = {"guichet_read_only": True}

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=5000",
    "secure_delete=ON",
    "trusted_schema=OFF",
)
# Row-level security shows a session nothing unless it says for whom it asks: ours begin as the server's own.
_PG_OPTIONS = (
    "-c lock_timeout=2000 -c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000 -c guichet.merchants=*"
)
_ACT_FOR = text("SELECT set_config('guichet.merchants', :merchants, true)")


def open_engine(url: str) -> Engine:
    """Open ``url`` (``sqlite:///...`` or ``postgresql+psycopg://...``) with the settings above."""
    if not url.startswith("sqlite"):
        return create_engine(
            url, pool_size=8, max_overflow=24, pool_pre_ping=True, hide_parameters=True,
            connect_args={"options": _PG_OPTIONS},
        )  # fmt: skip
    engine = create_engine(url, connect_args={"timeout": 5}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself; the "begin" event says which kind.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("guichet_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def act_for(connection: Connection, merchants: Iterable[str]) -> None:
    """Show this transaction, and no other after it, the rows of these merchants alone; SQLite leaves it to the queries."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ACT_FOR, {"merchants": ",".join(sorted(merchants))})


def take_time(connection: Connection) -> None:
    """Let the statements of this transaction last: for an operator's inspections, which nobody waits for."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
