"""However many payments are stored, nothing the server asks its database takes longer: on both engines."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text

from gateway.parts import build
from gateway.settings import load
from gateway.store import open_engine
from gateway.store import tables as t
from tests.conftest import furnish
from tests.support.clock import Clock
from tests.support.days import live
from tests.support.growing import admit, grow
from tests.support.plans import Plan, Statement, askers, overheard, read_postgresql, read_sqlite
from tests.support.postgres import drop_database, fresh_database

# Enough for PostgreSQL to prefer an index wherever one serves.
PAYMENTS = 3000
SMALL = {
    "alert": "one row for each alarm that is up, gone after two days",
    "endpoint": "one row for each portal that is down",
    "heartbeat": "one row for each process",
}
BIG = set(t.metadata.tables) - set(SMALL)
# Whoever makes these looks at everything, or at much, and says so; with a part of the statement's words.
THOROUGH = {
    ("Audit.doubles", ""): "guichet verify-audit reads the whole log",
    ("Audit.links", ""): "guichet verify-audit reads the whole log, page by page",
    ("Audit.loose", ""): "guichet verify-audit reads the whole log, page by page",
    ("Audit.told", ""): "once, where there is no chain yet",
    ("Audit.strays", ""): "guichet verify-audit reads the whole log",
    ("Debts.contradictions", ""): "guichet verify-audit compares every debt with its payment",
    ("states_of", " IN ("): "guichet verify-audit compares payments by the hundred, many of so few",
    ("Limits.forget", ""): "what is too old, at most a batch",
    ("Limits.shares", ""): "the cards of the last ten minutes",
    ("Limits._share", ""): "the cards of the last ten minutes",
    ("Watch.cards", ""): "the cards of the last ten minutes",
    ("Instalments.void", ""): "PostgreSQL walks along the few that are planned here",
    ("PayLinks.newest", "merchant_id"): "PostgreSQL looks for a merchant of many links among the newest of all",
    ("_told", " IN ("): "PostgreSQL walks along the few later instalments that are here",
    ("Notices.newest", "notice.state = "): "nearly all notices were sent: the newest of those stand at the end",
}
# PostgreSQL 18 skips along the unique index of debts, and finds a merchant of many links among the newest of all.
NEEDED_BY_SQLITE = {"ix_debt_reference", "ix_link_merchant_id_id"}
# Functions that ask nothing of a table.
NO_TABLE = {
    "Store.wipe",
    "_not_waiting",
    "_notify",
    "_prepare_sqlite",
    "_listening",
    "act_for",
    "grant",
    "take_time",
    "too_many",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """What was asked of one engine, and the plans for it over a grown database.

    :ivar db: a connection with every right
    :ivar role: the application's account on PostgreSQL, for whom plans are made: the wall between merchants stands before it
    """

    db: Connection
    role: str
    statements: tuple[Statement, ...]
    plans: tuple[Plan, ...]

    def judge(self, statements: Iterable[Statement]) -> tuple[Plan, ...]:
        """Read plans, inside a transaction."""
        if self.db.dialect.name == "sqlite":
            return tuple(read_sqlite(self.db, one, BIG) for one in statements)
        self.db.execute(text(f"SET LOCAL ROLE {self.role}"))
        return tuple(read_postgresql(self.db, one, BIG) for one in statements)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def survey(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Path
) -> Iterator[Survey]:
    """Live through everything on a server of its own, let its database grow, and read the plans."""
    home = furnish(tmp_path_factory.mktemp("plans") / "home", key_folder)
    database: AbstractContextManager[tuple[str, str]]
    if request.param == "sqlite":
        database = _sqlite(home, request.getfixturevalue("sqlite_template"))
    else:
        database = _postgresql(request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template"))
    clock = Clock()
    with database as (url, admin):
        parts = build(load(home, {"GUICHET_DATABASE_URL": url}), clock.now)
        with overheard(parts.store.engine) as kept:
            live(parts, clock)
        parts.store.engine.dispose()
        engine = open_engine(admin)
        with engine.connect() as db:
            with db.begin():
                grow(db, PAYMENTS, within=timedelta(hours=40))
                if db.dialect.name == "postgresql":
                    db.execute(text("ANALYZE"))
            survey = Survey(db, make_url(url).username or "", tuple(kept.values()), ())
            with db.begin():
                plans = survey.judge(survey.statements)
            yield replace(survey, plans=plans)
        engine.dispose()


@contextmanager
def _sqlite(home: Path, template: Path) -> Iterator[tuple[str, str]]:
    path = home / "var/guichet.sqlite"
    shutil.copy(template, path)
    yield f"sqlite:///{path}", f"sqlite:///{path}"


@contextmanager
def _postgresql(server: str, template: str) -> Iterator[tuple[str, str]]:
    """Make a database, and let an account in as an operator would."""
    role = f"plans_{os.getpid()}"
    admin = fresh_database(server, role, template)
    yield admit(admin, role), admin
    drop_database(server, role)
    engine = open_engine(server)
    with engine.begin() as db:
        db.execute(text(f"DROP ROLE {role}"))
    engine.dispose()


def is_thorough(statement: Statement) -> bool:
    return any(statement.by == by and words in statement.sql for by, words in THOROUGH)


def test_nothing_takes_longer_the_more_is_stored(survey: Survey) -> None:
    slow = [
        f"{plan.statement.by} {' and '.join(plan.faults)}: {' '.join(plan.statement.sql.split())}"
        for plan in survey.plans
        if plan.faults and not is_thorough(plan.statement)
    ]

    assert not slow, "\n".join(slow)


def test_every_query_of_the_store_was_heard(survey: Survey) -> None:
    heard = {statement.by.partition(".<locals>")[0] for statement in survey.statements}

    assert askers() - heard - NO_TABLE == set()


def test_the_sample_is_large_enough_to_be_judged(survey: Survey) -> None:
    with survey.db.begin():
        counted = {name: survey.db.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in BIG}  # noqa: S608 - our own names

    assert {name: number for name, number in counted.items() if number < 100} == {}


def test_every_index_is_missed_when_it_is_gone(survey: Survey) -> None:
    """One that nobody would miss costs every write for nothing; unique ones are promises."""
    idle = set()
    for name in sorted(
        str(index.name) for table in t.metadata.sorted_tables for index in table.indexes if not index.unique
    ):
        users = [plan.statement for plan in survey.plans if name in plan.indexes]
        with survey.db.begin() as undone:
            survey.db.execute(text(f"DROP INDEX {name}"))
            if not any(plan.faults for plan in survey.judge(users)):
                idle.add(name)
            undone.rollback()

    assert idle == NEEDED_BY_SQLITE if survey.db.dialect.name == "postgresql" else not idle, idle
