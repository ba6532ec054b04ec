"""The simulated bank's own file: one SQLite database, apart from Guichet's on purpose.

Threads, forked workers and other processes may share it. Here are its tables, its transactions and its durability; what
is written in them is :mod:`gateway.acquirers.book`.
"""

import os
import sqlite3
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gateway.acquirers.book import Page
from gateway.core.errors import AcquirerUnreachable

# How long one message waits for the others to leave the file: 32 at once, each with its disk flush, take about one.
_WAIT_SECONDS = 15

# Turning a new file to WAL is the one step SQLite does not wait for; processes born together take turns here.
_OPENING_TRIES = 100
_OPENING_PAUSE_SECONDS = 0.05

_SCHEMA = """
CREATE TABLE IF NOT EXISTS enrolment (
    token TEXT PRIMARY KEY, op_id TEXT NOT NULL UNIQUE, scenario TEXT NOT NULL, code_right INTEGER NOT NULL,
    schemes TEXT NOT NULL, bin TEXT NOT NULL CHECK (length(bin) = 6), last4 TEXT NOT NULL CHECK (length(last4) = 4),
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0), currency TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS authorisation (
    op_id TEXT PRIMARY KEY, token TEXT NOT NULL, scheme TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0), currency TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('approved', 'declined', 'review', 'reversed', 'captured')),
    captured_cents INTEGER NOT NULL DEFAULT 0 CHECK (captured_cents BETWEEN 0 AND amount_cents),
    refunded_cents INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cents BETWEEN 0 AND captured_cents),
    silences INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS message (
    op_id TEXT PRIMARY KEY, verb TEXT NOT NULL, about TEXT NOT NULL, amount_cents INTEGER NOT NULL,
    currency TEXT NOT NULL, outcome TEXT NOT NULL, response_code TEXT NOT NULL, family TEXT NOT NULL,
    authorisation_number TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS message_about ON message (about, verb);
CREATE TABLE IF NOT EXISTS wish (
    payment TEXT NOT NULL, verb TEXT NOT NULL CHECK (verb IN ('enrol', 'authorise')), word TEXT NOT NULL,
    token TEXT NOT NULL, op_id TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS wish_pending ON wish (payment, verb) WHERE op_id = '';
CREATE INDEX IF NOT EXISTS wish_token ON wish (token) WHERE op_id = '';
CREATE UNIQUE INDEX IF NOT EXISTS wish_op ON wish (op_id) WHERE op_id <> '';
"""


class Book:
    """The file, to be opened for one message at a time.

    Connections are kept between messages, for opening one costs as much CPU as the message itself.
    """

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._idle = _Idle()
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._prepare()

    @contextmanager
    def writing(self) -> Iterator[Page]:
        """Open the book for one message; all of it is kept, on disk, or nothing is.

        ``BEGIN IMMEDIATE`` takes the write lock first: a transaction that reads before it writes would be refused.
        """
        with self._transaction("BEGIN IMMEDIATE") as page:
            yield page

    @contextmanager
    def reading(self) -> Iterator[Page]:
        """Open the book to look at one moment of it."""
        with self._transaction("BEGIN") as page:
            yield page

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Page]:
        try:
            connection = self._idle.take() or self._connect()
            try:
                connection.execute(begin)
                yield Page(connection)
                connection.execute("COMMIT")
            except BaseException:
                # Closing without COMMIT rolls back, and a connection that failed is not kept.
                connection.close()
                raise
        except sqlite3.OperationalError as error:
            # Locked, full or unreadable: seen from outside, a bank that does not answer.
            raise AcquirerUnreachable(f"the simulated bank's book cannot be used: {error}") from error
        self._idle.give(connection)

    def _connect(self) -> sqlite3.Connection:
        # One thread at a time holds a connection, but not always the thread that opened it.
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _prepare(self) -> None:
        for tries_left in reversed(range(_OPENING_TRIES)):
            try:
                with closing(self._connect()) as connection:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            except sqlite3.OperationalError as error:
                if not tries_left:
                    raise AcquirerUnreachable(f"the simulated bank's book cannot be opened: {error}") from error
                time.sleep(_OPENING_PAUSE_SECONDS)
            else:
                return


class _Idle:
    """Connections at rest, of this process only: SQLite forbids carrying one across a fork, even to close it."""

    def __init__(self) -> None:
        self._inherited: list[deque[sqlite3.Connection]] = []
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._resting: deque[sqlite3.Connection] = deque()
        weakref.finalize(self, _close, self._resting, self._process)

    def take(self) -> sqlite3.Connection | None:
        if self._process != os.getpid():
            # Kept from the garbage collector, which would close them.
            self._inherited.append(self._resting)
            self._begin()
        try:
            return self._resting.pop()
        except IndexError:
            return None

    def give(self, connection: sqlite3.Connection) -> None:
        self._resting.append(connection)


def _close(resting: deque[sqlite3.Connection], process: int) -> None:
    if process == os.getpid():
        while resting:
            resting.pop().close()
