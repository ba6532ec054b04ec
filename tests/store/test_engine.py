"""What each database promises before money is entrusted to it."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from gateway.core.errors import StoreBusy
from gateway.core.states import Status
from gateway.parts import Parts
from gateway.store import Store, open_engine
from tests.factories import open_payment
from tests.support.patience import be_patient


@pytest.fixture(autouse=True)
def unhurried() -> None:
    """Leave the product its own patience."""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("pragma", "value"),
    # 2 is FULL: what was acknowledged survives a power loss (https://www.sqlite.org/pragma.html#pragma_synchronous).
    [("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1), ("secure_delete", 1), ("trusted_schema", 0)],
)
def test_every_connection_to_sqlite_keeps_what_it_acknowledged(parts: Parts, pragma: str, value: object) -> None:
    connections = [parts.store.engine.raw_connection() for _ in range(2)]

    found = {connection.cursor().execute(f"PRAGMA {pragma}").fetchone() for connection in connections}

    for connection in connections:
        connection.close()
    assert found == {(value,)}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_of_postgresql_waits_for_the_disk_and_for_nobody_else_for_long(parts: Parts) -> None:
    with parts.store.engine.connect() as db:
        assert db.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
        assert db.execute(text("SHOW lock_timeout")).scalar_one() == "2s"
        assert db.execute(text("SHOW statement_timeout")).scalar_one() == "5s"
        assert db.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "10s"


def test_all_questions_of_one_answer_see_one_picture(parts: Parts) -> None:
    with parts.store.reading() as tx:
        before = tx.payments.newest(10)
        payment = open_payment(parts)
        during = tx.payments.newest(10)

    with parts.store.reading() as tx:
        after = [row.public_id for row in tx.payments.newest(10)]
    assert (before, during, after) == ([], [], [payment.id])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_process_whose_connections_are_all_taken_is_busy(parts: Parts, database_url: str) -> None:
    few = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    store = Store(few, {}, parts.store.pen)

    with store.reading(), pytest.raises(StoreBusy), store.transaction():
        pass
    with store.transaction(), pytest.raises(StoreBusy), store.glance():
        pass
    few.dispose()


def test_a_machine_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        engine = open_engine(f"postgresql+psycopg://nobody@127.0.0.1:{deaf.getsockname()[1]}/none")

        with pytest.raises(OperationalError, match="timeout"), engine.connect():
            pass


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_that_its_server_has_ended_is_not_used_again(parts: Parts, database_url: str) -> None:
    with parts.store.reading() as tx:
        ended = tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    administrator = open_engine(database_url)
    with administrator.connect() as connection:
        assert connection.execute(text(f"SELECT pg_terminate_backend({ended}, 5000)")).scalar_one()
    administrator.dispose()

    with parts.store.transaction() as tx:
        assert tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != ended


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_may_only_be_read_is_away_until_it_may_be_written(parts: Parts) -> None:
    payment = open_payment(parts)
    with parts.store.engine.connect() as db:
        name = db.execute(text("SELECT current_database()")).scalar_one()
    for answer in ("on", "off"):
        with parts.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.execute(text("SET default_transaction_read_only = off"))
            db.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {answer}"))
        parts.store.engine.dispose()
        with pytest.raises(StoreBusy) if answer == "on" else nullcontext():
            parts.checkout.paying.cancel(payment.id)

    assert parts.checkout.opening.told(payment.id).status is Status.CANCELLED


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_that_is_silent_is_not_asked_whether_it_lives(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(parts.store.engine.dialect, "do_ping", asked.append)

    for _ in range(3):
        with parts.store.reading() as tx:
            tx.connection.execute(text("SELECT 1"))

    assert asked == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_threads_of_one_process_write_to_sqlite_one_after_the_other(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    engine = parts.store.engine
    engine.dispose()
    # SQLite itself waits for nobody now: who meets another writer in the file is sent away.
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 0"))

    with ThreadPoolExecutor(8) as payers:
        payments = list(payers.map(lambda _: open_payment(parts).id, range(40)))

    assert len(set(payments)) == 40


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_thread_that_waits_too_long_for_its_turn_is_told_so(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.BUSY_SECONDS", 0.05)

    with ThreadPoolExecutor(1) as another, parts.store.transaction():
        refused = another.submit(open_payment, parts).exception(60)

    assert isinstance(refused, StoreBusy)
    assert open_payment(parts).status == "opened"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_waits_for_another_process_looks_often(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr("gateway.store.BUSY_SECONDS", 1)
    monkeypatch.setattr("gateway.store.engine.BUSY_SECONDS", 1)
    monkeypatch.setattr("gateway.store.engine.time.sleep", looks.append)
    other = parts.store.engine.raw_connection()
    other.cursor().execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreBusy):
        open_payment(parts)

    other.rollback()
    other.close()
    assert set(looks) == {0.001}
    assert open_payment(parts).status == "opened"
    with parts.store.reading() as tx:
        assert tx.connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 5000


def test_a_glance_begins_nothing_and_leaves_the_next_transaction_whole(parts: Parts) -> None:
    payment = open_payment(parts)
    # One connection, so that what the glance leaves is what the next one finds.
    parts.store.engine.dispose()
    with parts.store.glance() as tx:
        status = tx.payments.look(payment.id).row.status
        driver = tx.connection.connection.driver_connection
        assert driver is not None
        is_begun = (
            driver.in_transaction if tx.connection.dialect.name == "sqlite" else driver.info.transaction_status != 0
        )

    with suppress(ZeroDivisionError), parts.store.transaction() as tx:
        tx.payments.move(tx.payments.take(payment.id), Status.CANCELLED)
        raise ZeroDivisionError

    assert (status, is_begun) == ("opened", False)
    assert parts.checkout.opening.told(payment.id).status == "opened"
