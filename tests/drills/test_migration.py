"""Drill: an older version goes on paying over a database that a newer one has changed: changes only add."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, column, insert, inspect, make_url, select, table, text

from gateway import migrations
from gateway.core.states import AttemptStatus, Status
from gateway.parts import Parts, build
from gateway.settings import Settings
from gateway.store import open_engine
from gateway.store import tables as t
from tests.factories import CHALLENGE, enter, open_payment, pay, read_code
from tests.support.clock import Clock
from tests.support.postgres import drop_database, fresh_database

# The version before was at this revision; processes of it may still run while newer ones are started.
BEFORE = "0002"
LATER = [path.name[:4] for path in sorted((migrations.HERE / "versions").glob("0*.py")) if path.name[:4] > BEFORE]


def upgrade(engine: Engine, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    config.attributes["engine"] = engine
    command.upgrade(config, version)


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest, tmp_path: Path, postgres: str) -> Iterator[Engine]:
    """Give an empty database as the version before had it."""
    name = f"older_{os.getpid()}"
    is_file = request.param == "sqlite"
    engine = open_engine(f"sqlite:///{tmp_path}/older.sqlite" if is_file else fresh_database(postgres, name))
    upgrade(engine, BEFORE)
    yield engine
    engine.dispose()
    drop_database(postgres, name)


def columns_of(engine: Engine) -> dict[tuple[str, str], str]:
    """Name every column with its type."""
    found = inspect(engine)
    return {
        (name, one["name"]): str(one["type"])
        for name in found.get_table_names()
        if name != "alembic_version"
        for one in found.get_columns(name)
    }


def test_every_change_since_only_adds(older: Engine) -> None:
    tables = set(inspect(older).get_table_names()) - {"alembic_version"}
    before = columns_of(older)

    for version in LATER:
        upgrade(older, version)

    after = columns_of(older)
    assert before.items() <= after.items()
    # What an older version does not know of must not be asked of it.
    demanded = {
        (name, one["name"])
        for name in tables
        for one in inspect(older).get_columns(name)
        if (name, one["name"]) not in before and not one["nullable"] and one["default"] is None
    }
    assert demanded == set()
    assert len(after) > len(before)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_an_older_version_writes_is_taken_and_gone_on_with(
    parts: Parts, older: Engine, settings: Settings, clock: Clock
) -> None:
    paid = pay(parts, open_payment(parts))
    open_ = open_payment(parts)
    enter(parts, open_, CHALLENGE)
    known = columns_of(older)
    upgrade(older, "head")
    with parts.store.engine.connect() as ours, older.begin() as theirs:
        for each in t.metadata.sorted_tables:
            names = [one.name for one in each.columns if (each.name, one.name) in known]
            if names:
                _copy_as_it_was(ours, theirs, each.name, names)

    address = older.url.render_as_string(hide_password=False)
    again = build(settings.model_copy(update={"database_url": address}), clock.now)
    again.checkout.paying.answer_challenge(open_.id, read_code(again, open_))
    again.checkout.settling.authorise(open_.id)
    again.checkout.sweep()

    for payment in (paid, open_):
        told = again.checkout.opening.told(payment.id)
        assert (told.status, told.attempts[-1].status) == (Status.PAID, AttemptStatus.CAPTURED)
    again.store.engine.dispose()


def _copy_as_it_was(ours: Connection, theirs: Connection, name: str, columns: list[str]) -> None:
    """Insert rows with those columns alone that the older version knew of."""
    full = t.metadata.tables[name]
    older = table(name, *(column(each, full.c[each].type) for each in columns))
    rows = [dict(row) for row in ours.execute(select(older)).mappings()]
    if rows:
        theirs.execute(insert(older), rows)
    if rows and "id" in columns and theirs.dialect.name == "postgresql":
        theirs.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1000)"))


def test_a_newer_database_keeps_nobody_from_serving(parts: Parts) -> None:
    with parts.store.engine.begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    migrations.upgrade(parts.store.engine)

    assert not [fault for fault in parts.faults() if "schema" in fault]
    assert migrations.current(parts.store.engine) == "9999"
    url = parts.store.engine.url
    assert url.database
    assert url.get_backend_name() != "sqlite" or migrations.is_current_file(Path(url.database))


@pytest.mark.parametrize("older", ["postgresql"], indirect=True)
def test_an_older_process_goes_on_over_the_walls_when_its_account_is_told_to(postgres: str, older: Engine) -> None:
    role = f"older_{os.getpid()}"
    server = make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    address = older.url.set(drivername="postgresql")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
    try:
        upgrade(older, "head")
        with older.begin() as db:
            db.execute(text(f"GRANT SELECT, INSERT ON debt, payment TO {role}"))
            db.execute(text("INSERT INTO debt (merchant_id, reference, state) VALUES ('m', 'R', 'open')"))
        asked = "SELECT count(*) FROM debt"
        own = address.set(username=role).render_as_string(hide_password=False)
        with psycopg.connect(own) as plain:
            (unseen,) = plain.execute(asked).fetchone() or ()
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"ALTER ROLE {role} SET guichet.merchants = '*'")
        with psycopg.connect(own) as plain:
            (seen,) = plain.execute(asked).fetchone() or ()
    finally:
        with older.begin() as db:
            db.execute(text(f"DROP OWNED BY {role}"))
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {role}")

    assert (unseen, seen) == (0, 1)
