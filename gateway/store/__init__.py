"""What is remembered: one transaction at a time, with named queries by noun.

``with store.transaction() as tx:`` commits on leaving and rolls back on any exception. It is used in ``checkout``,
``outbox`` and the command line only, and never around a network call. Rows stay inside; what leaves is the frozen
vocabulary of ``gateway.core.payment``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from gateway.core.errors import StoreBusy, WrongStatus
from gateway.core.payment import Payee
from gateway.store.attempts import Attempts
from gateway.store.audit import Audit, Pen
from gateway.store.debts import Debts
from gateway.store.endpoints import Endpoints
from gateway.store.engine import BUSY_SECONDS, ONE_QUESTION, READ_ONLY, act_for, open_engine
from gateway.store.instalments import Instalments
from gateway.store.limits import Limits
from gateway.store.notices import Notices
from gateway.store.paylinks import PayLinks
from gateway.store.payments import Payments
from gateway.store.refunds import Refunds
from gateway.store.requests import Requests
from gateway.store.retention import Retention
from gateway.store.statements import Statements
from gateway.store.watch import Watch

__all__ = ["Pen", "Store", "Transaction", "open_engine"]


# What PostgreSQL and SQLite call a row that is there already.
_UNIQUE = frozenset({"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})

# PostgreSQL's idle_in_transaction_session_timeout and transaction_timeout: this process was frozen, and its session is gone.
# And read_only_sql_transaction: it is a standby now, or its keeper lets nobody write because its disk is nearly full.
_AWAY = frozenset({"25P03", "25P04", "25006"})
# The last: all connections of this process were taken for too long.
_FAILURES = (OperationalError, InternalError, NoConnection)


@dataclass(frozen=True)
class Transaction:
    """One transaction: the nouns that can be asked and changed inside it.

    :ivar merchants: on whose behalf it is; empty for the server's own: the worker, a payer with a signed link, an operator
    :ivar after_commit: what to call once the changes are durable; each at most once, never after a rollback
    """

    connection: Connection
    payee_of: Callable[[str], Payee]
    pen: Pen
    merchants: frozenset[str] = frozenset()
    after_commit: set[Callable[[], None]] = field(default_factory=set)

    @cached_property
    def payments(self) -> Payments:
        """Payments, their lines and their history."""
        return Payments(self.connection, self.payee_of, self.audit.touch, self.merchants)

    @cached_property
    def audit(self) -> Audit:
        """Who did what."""
        return Audit(self.connection, self.pen)

    @cached_property
    def debts(self) -> Debts:
        """What must be paid once."""
        return Debts(self.connection)

    @cached_property
    def links(self) -> PayLinks:
        """What printed addresses ask for."""
        return PayLinks(self.connection, self.payee_of)

    @cached_property
    def instalments(self) -> Instalments:
        """What is paid later."""
        return Instalments(self.connection, self.audit.touch)

    @cached_property
    def attempts(self) -> Attempts:
        """Card submissions, their challenges, their messages to the acquirer and their ledger."""
        return Attempts(self.connection, self.audit.touch)

    @cached_property
    def requests(self) -> Requests:
        """What merchants signed."""
        return Requests(self.connection)

    @cached_property
    def refunds(self) -> Refunds:
        """Money given back."""
        return Refunds(self.connection, self.audit.touch)

    @cached_property
    def limits(self) -> Limits:
        """What is counted against card testing, and who holds a page."""
        return Limits(self.connection)

    @cached_property
    def retention(self) -> Retention:
        """What tells of people."""
        return Retention(self.connection)

    @cached_property
    def statements(self) -> Statements:
        """What is compared with the acquirer's book."""
        return Statements(self.connection)

    @cached_property
    def watch(self) -> Watch:
        """What the alarms of an operator rest on."""
        return Watch(self.connection)

    @cached_property
    def endpoints(self) -> Endpoints:
        """Where confirmations fail."""
        return Endpoints(self.connection)

    @cached_property
    def notices(self) -> Notices:
        """The outbox and the worker's heartbeat."""
        return Notices(self.connection)


class Store:
    """The database behind both engines.

    :param payees: the merchant book's printable part; a merchant no longer in the book is shown by its id
    :param pen: what the audit log is written with
    """

    def __init__(self, engine: Engine, payees: Mapping[str, Payee], pen: Pen) -> None:
        self.engine, self.pen = engine, pen
        # One picture of the database for all the questions of one answer; SQLite's readers have it anyway.
        is_postgresql = engine.dialect.name == "postgresql"
        self._several: dict[str, str] = {
            **READ_ONLY,
            **({"isolation_level": "REPEATABLE READ"} if is_postgresql else {}),
        }
        self._one: dict[str, str] = {**ONE_QUESTION, **({"isolation_level": "AUTOCOMMIT"} if is_postgresql else {})}
        self._payees = payees
        # SQLite has one writer at a time, and whoever finds it busy sleeps and looks again, each time for longer: of eight
        # threads some never had their turn. Threads of one process queue here; only processes still meet in the file.
        self._writers = Lock() if engine.dialect.name == "sqlite" else None

    def _payee(self, merchant: str) -> Payee:
        return self._payees.get(merchant) or Payee(merchant, merchant)

    @contextmanager
    def transaction(self, merchants: frozenset[str] = frozenset()) -> Iterator[Transaction]:
        """Run a writing transaction; what it changed is in the audit log when it commits.

        :param merchants: on whose behalf; nobody else's payments are there then

        Raises :class:`WrongStatus` when a unique constraint says that somebody else was faster: nothing was changed. Raises
        :class:`StoreBusy` when the database could not be had, or was lost: nothing was changed unless it was lost at the very
        commit, so whoever tries again looks first (guarded moves and unique keys do).
        """
        try:
            with self._turn(), self.engine.begin() as connection:
                transaction = self._begin(connection, merchants)
                yield transaction
                transaction.audit.flush()
        except IntegrityError as error:
            if not _is_unique_violation(error):
                raise
            raise WrongStatus("another request was faster") from error
        except _FAILURES as error:
            if _is_mistake(error):
                raise
            raise StoreBusy("the database did not answer in time") from error
        for follow in transaction.after_commit:
            follow()

    @contextmanager
    def reading(self, merchants: frozenset[str] = frozenset()) -> Iterator[Transaction]:
        """Run a transaction that only reads; it waits for nobody.

        :param merchants: on whose behalf, as in :meth:`transaction`
        """
        with self._asking(self._several) as connection:
            yield self._begin(connection, merchants)

    @contextmanager
    def glance(self) -> Iterator[Transaction]:
        """Run one statement that reads, on nobody's behalf; asked alone, it needs neither a beginning nor an end.

        What is asked after it in the same glance may see a later state.
        """
        with self._asking(self._one) as connection:
            yield self._begin(connection, frozenset())

    @contextmanager
    def _asking(self, use: dict[str, str]) -> Iterator[Connection]:
        try:
            with self.engine.connect().execution_options(**use) as connection, connection.begin():
                yield connection
        except _FAILURES as error:
            if _is_mistake(error):
                raise
            raise StoreBusy("the database did not answer in time") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other thread of this process writes, where there is one writer at a time."""
        if self._writers is None:
            yield
            return
        if not self._writers.acquire(timeout=BUSY_SECONDS):
            raise StoreBusy("the database did not answer in time")
        try:
            yield
        finally:
            self._writers.release()

    def _begin(self, connection: Connection, merchants: frozenset[str]) -> Transaction:
        if merchants:
            act_for(connection, merchants)
        return Transaction(connection, self._payee, self.pen, merchants)

    def wipe(self) -> None:
        """Empty SQLite's write-ahead log, which still holds what was just blanked; PostgreSQL's vacuum sees to its own."""
        if self.engine.dialect.name != "sqlite":
            return
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            # A reader keeps it from being emptied: the next batch, or the next restart, will.
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _is_unique_violation(error: IntegrityError) -> bool:
    """Tell somebody else's row from a bug of ours (a CHECK, a NOT NULL), which must not pass for a race."""
    names = (getattr(error.orig, "sqlstate", None), getattr(error.orig, "sqlite_errorname", None))
    return not _UNIQUE.isdisjoint(names)


def _is_mistake(error: OperationalError | InternalError | NoConnection) -> bool:
    """Tell a wrong statement, such as one of a schema that is not current, from a database that is busy or away."""
    if isinstance(error, NoConnection):
        return False
    if isinstance(error, InternalError):
        return getattr(error.orig, "sqlstate", None) not in _AWAY
    return getattr(error.orig, "sqlite_errorname", None) == "SQLITE_ERROR"
