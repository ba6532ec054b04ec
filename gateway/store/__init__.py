"""What is remembered: one transaction at a time, with named queries by noun.

``with store.transaction() as tx:`` commits on leaving and rolls back on any exception. It is used in ``checkout``,
``outbox`` and the command line only, and never around a network call. Rows stay inside; what leaves is the frozen
vocabulary of ``gateway.core.payment``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.core.errors import StoreBusy, WrongStatus
from gateway.core.payment import Payee
from gateway.store.attempts import Attempts
from gateway.store.debts import Debts
from gateway.store.engine import READ_ONLY, open_engine
from gateway.store.notices import Notices
from gateway.store.payments import Payments
from gateway.store.refunds import Refunds

__all__ = ["Store", "Transaction", "open_engine"]


# What PostgreSQL and SQLite call a row that is there already.
_UNIQUE = frozenset({"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})


@dataclass(frozen=True)
class Transaction:
    """One transaction: the nouns that can be asked and changed inside it.

    :ivar after_commit: what to call once the changes are durable; each at most once, never after a rollback
    """

    connection: Connection
    payee_of: Callable[[str], Payee]
    after_commit: set[Callable[[], None]] = field(default_factory=set)

    @cached_property
    def payments(self) -> Payments:
        """Payments, their lines and their history."""
        return Payments(self.connection, self.payee_of)

    @cached_property
    def debts(self) -> Debts:
        """What must be paid once."""
        return Debts(self.connection)

    @cached_property
    def attempts(self) -> Attempts:
        """Card submissions, their challenges, their messages to the acquirer and their ledger."""
        return Attempts(self.connection)

    @cached_property
    def refunds(self) -> Refunds:
        """Money given back."""
        return Refunds(self.connection)

    @cached_property
    def notices(self) -> Notices:
        """The outbox and the worker's heartbeat."""
        return Notices(self.connection)


class Store:
    """The database behind both engines.

    :param payees: the merchant book's printable part; a merchant no longer in the book is shown by its id
    """

    def __init__(self, engine: Engine, payees: Mapping[str, Payee]) -> None:
        self.engine = engine
        # One picture of the database for all the questions of one answer; SQLite's readers have it anyway.
        snapshot = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
        self._read_only: dict[str, Any] = {**READ_ONLY, **snapshot}
        self._payees = payees

    def _payee(self, merchant: str) -> Payee:
        return self._payees.get(merchant) or Payee(merchant, merchant)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run a writing transaction.

        Raises :class:`WrongStatus` when a unique constraint says that somebody else was faster, and :class:`StoreBusy` when
        the database could not be had; both mean that nothing was changed.
        """
        try:
            with self.engine.begin() as connection:
                transaction = Transaction(connection, self._payee)
                yield transaction
        except IntegrityError as error:
            if not _is_unique_violation(error):
                raise
            raise WrongStatus("another request was faster") from error
        except OperationalError as error:
            if _is_mistake(error):
                raise
            raise StoreBusy("the database did not answer in time") from error
        for follow in transaction.after_commit:
            follow()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Run a transaction that only reads; it waits for nobody."""
        try:
            with self.engine.connect().execution_options(**self._read_only) as connection, connection.begin():
                yield Transaction(connection, self._payee)
        except OperationalError as error:
            if _is_mistake(error):
                raise
            raise StoreBusy("the database did not answer in time") from error


def _is_unique_violation(error: IntegrityError) -> bool:
    """Tell somebody else's row from a bug of ours (a CHECK, a NOT NULL), which must not pass for a race."""
    names = (getattr(error.orig, "sqlstate", None), getattr(error.orig, "sqlite_errorname", None))
    return not _UNIQUE.isdisjoint(names)


def _is_mistake(error: OperationalError) -> bool:
    """Tell a wrong statement, such as one of a schema that is not current, from a database that is busy or away."""
    return getattr(error.orig, "sqlite_errorname", None) == "SQLITE_ERROR"
