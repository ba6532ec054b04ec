"""The constraints hold even when the code forgets, and the store moves rows along the law only: on both engines."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, Table, Update, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError, StatementError

from gateway import migrations
from gateway.core.errors import WrongStatus
from gateway.core.moves import ATTEMPT_MOVES, MOVES
from gateway.core.states import FRONT, MONEY, AttemptStatus, Status
from gateway.parts import Parts
from gateway.store import Pen, Store, open_engine
from gateway.store import tables as t
from tests.support.figures import record
from tests.support.postgres import drop_database, fresh_database

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PEN = Pen((b"k" * 32,), lambda: NOW)
OTHERS = [status for status in AttemptStatus if status not in MONEY]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def db(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that is rolled back; a refused statement undoes itself alone."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def add_payment(db: Connection, **changes: object) -> int:
    number = db.execute(select(func.count()).select_from(t.payment)).scalar_one()
    facts: dict[str, object] = {
        "public_id": f"pay_{number}", "merchant_id": "m", "dialect": "native", "mode": "test", "reference": "R",
        "kind": "debt", "amount_cents": 1000, "currency": "EUR", "label": "L", "language": "fr", "digest": "d",
        "status": "opened", "created_at": NOW, "expires_at": NOW, "attempts_max": 3,
    }  # fmt: skip
    row = db.execute(insert(t.payment).values({**facts, **changes}).returning(t.payment.c.id))
    return int(row.scalar_one())


def add_attempt(db: Connection, payment_id: int, status: str, **changes: object) -> int:
    number = db.execute(select(func.count()).select_from(t.attempt)).scalar_one() + 1
    facts: dict[str, object] = {
        "public_id": f"att_{number}", "payment_id": payment_id, "n": number, "status": status, "scheme": "visa",
        "bin": "424242", "last4": "4242", "started_at": NOW,
    }  # fmt: skip
    row = db.execute(insert(t.attempt).values({**facts, **changes}).returning(t.attempt.c.id))
    return int(row.scalar_one())


def add_debt(db: Connection, **changes: object) -> int:
    facts: dict[str, object] = {"merchant_id": "m", "reference": "R", "state": "open"}
    return int(db.execute(insert(t.debt).values({**facts, **changes}).returning(t.debt.c.id)).scalar_one())


def refused(db: Connection, act: Callable[[], object], kind: type[DBAPIError] = IntegrityError) -> str:
    """Say with which words the database refuses to do something."""
    with pytest.raises(kind) as refusal, db.begin_nested():
        act()
    return str(refusal.value.orig)


def moves(db: Connection, change: Update) -> bool:
    """Say whether the database lets a row move; what it refuses, it refuses as a move."""
    try:
        with db.begin_nested():
            db.execute(change)
    except DBAPIError as error:
        if "cannot move so" not in str(error.orig):
            raise
        return False
    return True


class TestMoneyIsHeldOnce:
    def test_a_payment_has_one_attempt_that_may_hold_money(self, db: Connection) -> None:
        for first in sorted(MONEY):
            payment = add_payment(db)
            add_attempt(db, payment, first)
            for second in sorted(MONEY):
                assert "attempt" in refused(db, partial(add_attempt, db, payment, second)), (first, second)

    def test_an_attempt_that_holds_nothing_stands_in_nobodys_way(self, db: Connection) -> None:
        payment = add_payment(db)
        for status in OTHERS:
            if status not in FRONT:
                add_attempt(db, payment, status)

        assert add_attempt(db, payment, "authenticated")
        assert add_attempt(db, payment, "authorising")

    def test_one_attempt_waits_for_the_payer(self, db: Connection) -> None:
        for first in sorted(FRONT):
            payment = add_payment(db)
            add_attempt(db, payment, first)
            for second in sorted(FRONT):
                assert "attempt" in refused(db, partial(add_attempt, db, payment, second)), (first, second)

    def test_an_attempt_cannot_move_into_the_place_of_another(self, db: Connection) -> None:
        payment = add_payment(db)
        add_attempt(db, payment, "captured")
        late = add_attempt(db, payment, "authenticated")

        move = update(t.attempt).where(t.attempt.c.id == late).values(status="authorising")

        assert "attempt" in refused(db, lambda: db.execute(move))

    def test_a_debt_is_held_by_one_attempt_whatever_the_payment(self, db: Connection) -> None:
        debt = add_debt(db)
        holders = [add_attempt(db, add_payment(db), "authorising") for _ in range(2)]
        hold = insert(t.hold).values(debt_id=debt, is_active=True)
        db.execute(hold.values(attempt_id=holders[0]))

        assert "hold" in refused(db, lambda: db.execute(hold.values(attempt_id=holders[1])))

    def test_a_debt_let_go_of_may_be_held_again(self, db: Connection) -> None:
        debt = add_debt(db)
        holders = [add_attempt(db, add_payment(db), "declined") for _ in range(3)]
        for holder in holders[:2]:
            db.execute(insert(t.hold).values(debt_id=debt, attempt_id=holder, is_active=False))

        db.execute(insert(t.hold).values(debt_id=debt, attempt_id=holders[2], is_active=True))

        active = select(t.hold.c.attempt_id).where(t.hold.c.debt_id == debt, t.hold.c.is_active)
        assert db.execute(active).scalars().all() == [holders[2]]


class TestChecks:
    def test_an_amount_is_between_one_cent_and_the_ceiling(self, db: Connection) -> None:
        for cents in (0, -1, 100_000_000):
            assert "amount" in refused(db, partial(add_payment, db, amount_cents=cents)), cents
        assert add_payment(db, amount_cents=99_999_999)

    def test_no_more_is_given_back_than_was_taken(self, db: Connection) -> None:
        for cents in (-1, 1001):
            assert "refunded" in refused(db, partial(add_payment, db, refunded_cents=cents)), cents
        assert add_payment(db, refunded_cents=1000)

    def test_a_state_is_one_of_the_law(self, db: Connection) -> None:
        payment = add_payment(db)
        for word in ("", "PAID", "done"):
            assert "status" in refused(db, partial(add_payment, db, status=word)), word
            assert "status" in refused(db, partial(add_attempt, db, payment, word)), word
            assert "state" in refused(db, partial(add_debt, db, state=word)), word

    def test_a_challenge_has_five_tries_and_three_sends(self, db: Connection) -> None:
        attempt = add_attempt(db, add_payment(db), "authenticating")
        opened = insert(t.challenge).values(
            attempt_id=attempt, code_mac=b"m", opened_at=NOW, sent_at=NOW, expires_at=NOW
        )

        for tries, sends, name in ((6, 1, "tries"), (-1, 1, "tries"), (0, 4, "sends"), (0, 0, "sends")):
            wrong = opened.values(tries=tries, sends=sends)
            assert name in refused(db, partial(db.execute, wrong)), (tries, sends)
        db.execute(opened.values(tries=5, sends=3))

    def test_one_row_per_debt(self, db: Connection) -> None:
        add_debt(db)

        assert "debt" in refused(db, lambda: add_debt(db))

    def test_a_jti_is_taken_once_by_each_merchant(self, db: Connection) -> None:
        taken = insert(t.signed_request).values(jti="j", kind="open", digest="d", at=NOW)
        db.execute(taken.values(merchant_id="a"))
        db.execute(taken.values(merchant_id="b"))

        assert "signed_request" in refused(db, lambda: db.execute(taken.values(merchant_id="a")))

    def test_a_line_costs_something(self, db: Connection) -> None:
        payment, debt = add_payment(db), add_debt(db)
        line = insert(t.line).values(
            payment_id=payment, position=0, debt_id=debt, reference="R", label="L", amount_cents=0
        )

        assert "amount" in refused(db, lambda: db.execute(line))

    def test_a_row_does_not_point_at_nothing(self, db: Connection) -> None:
        refused(db, lambda: add_attempt(db, 999_999, "approved"))


class TestAppendOnly:
    @pytest.fixture(params=["event", "ledger", "audit", "seal"])
    def written(self, request: pytest.FixtureRequest, db: Connection) -> Table:
        payment = add_payment(db)
        attempt = add_attempt(db, payment, "approved")
        db.execute(insert(t.event).values(payment_id=payment, seq=1, public_id="evt_1", type="x", at=NOW))
        entry = {"kind": "debit", "account": "acquirer", "amount_cents": 1000, "currency": "EUR", "at": NOW}
        db.execute(insert(t.ledger).values(attempt_id=attempt, **entry))
        facts = {"public_id": "aud_1", "at": NOW, "who": "server", "what": "x", "result": "done", "mac": "m"}
        db.execute(insert(t.audit).values(**facts))
        db.execute(insert(t.seal).values(n=1, audit_id=1, mac="m"))
        return t.metadata.tables[request.param]

    def test_what_was_written_is_not_changed(self, db: Connection, written: Table) -> None:
        for one in written.columns:
            change = update(written).values({one: one})

            assert "append-only" in refused(db, partial(db.execute, change), DBAPIError), one

    def test_what_was_written_is_not_deleted(self, db: Connection, written: Table) -> None:
        assert "append-only" in refused(db, lambda: db.execute(written.delete()), DBAPIError)

    def test_what_was_written_is_not_emptied(self, db: Connection, written: Table) -> None:
        if db.dialect.name == "postgresql":
            # SQLite has no other way than DELETE.
            emptied = text(f"TRUNCATE {written.name} CASCADE")

            assert "append-only" in refused(db, lambda: db.execute(emptied), DBAPIError)

    def test_money_is_entered_once(self, db: Connection) -> None:
        attempt = add_attempt(db, add_payment(db), "approved")
        entry = insert(t.ledger).values(
            attempt_id=attempt, kind="debit", account="acquirer", amount_cents=1, currency="EUR", at=NOW
        )
        db.execute(entry)

        assert "ledger" in refused(db, lambda: db.execute(entry))

    def test_a_payment_does_not_tell_two_things_at_one_place(self, db: Connection) -> None:
        payment = add_payment(db)
        told = insert(t.event).values(payment_id=payment, seq=1, type="x", at=NOW)
        db.execute(told.values(public_id="evt_1"))

        assert "event" in refused(db, lambda: db.execute(told.values(public_id="evt_2")))


class TestMigrations:
    @pytest.fixture(params=["sqlite", "postgresql"])
    def first_version(self, request: pytest.FixtureRequest, tmp_path: Path, postgres: str) -> Iterator[Engine]:
        """Give an empty database as the first version made it."""
        name = f"first_{os.getpid()}"
        is_file = request.param == "sqlite"
        engine = open_engine(f"sqlite:///{tmp_path}/first.sqlite" if is_file else fresh_database(postgres, name))
        _upgrade(engine, "0001")
        yield engine
        engine.dispose()
        drop_database(postgres, name)

    def test_the_versions_build_exactly_the_tables_of_the_code(self, engine: Engine) -> None:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})

            assert compare_metadata(context, t.metadata) == []

    def test_the_versions_carry_every_index_condition_and_check(self, engine: Engine) -> None:
        """Alembic compares neither; partial indexes and checks are what guards the money."""
        with engine.connect() as connection:
            built = _definitions(connection)
            connection.rollback()
            made = _definitions_of_metadata(connection)

        assert built == made
        assert sum("uq_attempt_money" in line or "uq_hold_money" in line for line in built) >= 2

    def test_payments_of_the_first_version_are_kept(self, first_version: Engine) -> None:
        with first_version.begin() as db:
            numbers = [add_payment(db) for _ in range(2)]

        migrations.upgrade(first_version)

        p = t.payment.c
        with first_version.connect() as db:
            kept = db.execute(select(p.id, p.wire, p.handle, p.capture_by_hand, p.capture_days).order_by(p.id)).all()
        assert [tuple(row) for row in kept] == [(number, "{}", "", False, 0) for number in numbers]
        assert migrations.is_current(first_version)

    def test_instalments_of_cards_that_were_forgotten_are_void(self, first_version: Engine) -> None:
        _upgrade(first_version, "0003")
        with first_version.begin() as db:
            payment = add_payment(db)
            db.execute(text(f"INSERT INTO instalment VALUES ({payment}, 0, '2026-12-21', 500)"))  # noqa: S608 - a number

        migrations.upgrade(first_version)

        with first_version.connect() as db:
            (kept,) = db.execute(select(t.instalment)).all()
        assert (kept.payment_id, kept.due, kept.amount_cents, kept.state) == (payment, date(2026, 12, 21), 500, "void")

    def test_a_page_that_was_open_with_a_last_day_goes_no_further(self, first_version: Engine) -> None:
        with first_version.begin() as db:
            for changes in ({"pay_before": NOW.date()}, {}, {"pay_before": NOW.date(), "status": "cancelled"}):
                add_payment(db, **changes)

        migrations.upgrade(first_version)

        with first_version.connect() as db:
            assert list(db.scalars(select(t.payment.c.latest_at).order_by(t.payment.c.id))) == [NOW, None, None]

    def test_head_is_the_newest_version(self, engine: Engine) -> None:
        names = sorted(path.name for path in (migrations.HERE / "versions").glob("[0-9]*.py"))

        assert names[-1].startswith(migrations.HEAD)
        assert migrations.is_current(engine)


def _upgrade(engine: Engine, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    config.attributes["engine"] = engine
    command.upgrade(config, version)


def _definitions(connection: Connection) -> set[str]:
    """List what guards the tables, in the engine's own words, without the white space."""
    if connection.dialect.name == "sqlite":
        asked = "SELECT name || sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        checks = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
        tables = [str(sql) for sql in connection.execute(text(checks)).scalars()]
        found = [check for sql in tables for check in re.findall(r"CONSTRAINT \w+ CHECK \(.*?\)(?=,|\n)", sql)]
    else:
        asked = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename <> 'alembic_version'"
        checks = "SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND connamespace = current_schema()::regnamespace"
        found = [str(check) for check in connection.execute(text(checks)).scalars()]
    indexes = [str(index) for index in connection.execute(text(asked)).scalars()]
    return {re.sub(r"[\s\"]|\bpublic\.|\bmade\.", "", line) for line in (*indexes, *found)}


def _definitions_of_metadata(connection: Connection) -> set[str]:
    if connection.dialect.name == "sqlite":
        other = open_engine("sqlite://")
        t.metadata.create_all(other)
        with other.connect() as fresh:
            return _definitions(fresh)
    connection.execute(text("CREATE SCHEMA made"))
    connection.execute(text("SET LOCAL search_path = made"))
    t.metadata.create_all(connection)
    found = _definitions(connection)
    connection.rollback()
    return found


class TestInstants:
    def test_a_naive_instant_is_refused(self, db: Connection) -> None:
        naive = NOW.replace(tzinfo=None)

        with pytest.raises(StatementError, match="naive"):
            add_payment(db, created_at=naive)

    def test_an_instant_of_another_zone_comes_back_in_utc(self, db: Connection) -> None:
        paris = datetime(2026, 7, 14, 12, 0, tzinfo=timezone(timedelta(hours=2)))
        payment = add_payment(db, created_at=paris)

        read = db.execute(select(t.payment.c.created_at).where(t.payment.c.id == payment)).scalar_one()

        assert read.isoformat() == "2026-07-14T10:00:00+00:00"


class TestMoves:
    """Every pair of states through the store's own verb: the table's pass, all others raise."""

    def test_payments_move_along_the_law_only(self, engine: Engine) -> None:
        store, passed = Store(engine, {}, PEN), set()
        for start, target in product(Status, repeat=2):
            with store.transaction() as tx:
                row = tx.payments.by_id(add_payment(tx.connection, status=start))
            try:
                with store.transaction() as tx:
                    tx.payments.move(row, target)
                passed.add((start, target))
            except WrongStatus:
                continue

        assert passed == {(start, target) for start, targets in MOVES.items() for target in targets}
        assert len(passed) == 10

    def test_attempts_move_along_the_law_only(self, engine: Engine) -> None:
        store, passed = Store(engine, {}, PEN), set()
        for start, target in product(AttemptStatus, repeat=2):
            with store.transaction() as tx:
                payment = add_payment(tx.connection)
                row = tx.attempts.get(add_attempt(tx.connection, payment, start))
            try:
                with store.transaction() as tx:
                    tx.attempts.move(row, target)
                passed.add((start, target))
            except WrongStatus:
                continue

        assert passed == {(start, target) for start, targets in ATTEMPT_MOVES.items() for target in targets}
        assert (AttemptStatus.REVERSED, AttemptStatus.APPROVED) not in passed

    def test_the_database_refuses_every_move_outside_the_law(self, db: Connection) -> None:
        """Every pair of states by SQL, for whoever goes past the store; a state that stays is no move either."""
        tried = 0
        passed: set[tuple[Status, Status]] = set()
        for start, target in product(Status, repeat=2):
            row = add_payment(db, status=start)
            tried += 1
            if moves(db, update(t.payment).where(t.payment.c.id == row).values(status=target)):
                passed.add((start, target))
        assert passed == {(start, target) for start, targets in MOVES.items() for target in targets}
        passed_attempts: set[tuple[AttemptStatus, AttemptStatus]] = set()
        for before, after in product(AttemptStatus, repeat=2):
            row = add_attempt(db, add_payment(db), before)
            tried += 1
            if moves(db, update(t.attempt).where(t.attempt.c.id == row).values(status=after)):
                passed_attempts.add((before, after))
        assert passed_attempts == {(before, after) for before, targets in ATTEMPT_MOVES.items() for after in targets}
        record("promise 7", engine=db.dialect.name, pairs=tried, passed=len(passed) + len(passed_attempts))
        assert tried == len(Status) ** 2 + len(AttemptStatus) ** 2

    def test_a_row_read_too_early_moves_nothing(self, engine: Engine) -> None:
        store = Store(engine, {}, PEN)
        with store.transaction() as tx:
            stale = tx.payments.by_id(add_payment(tx.connection, status="opened"))
            tx.payments.move(stale, Status.WORKING)

        with pytest.raises(WrongStatus), store.transaction() as tx:
            tx.payments.move(stale, Status.CANCELLED)

        with store.reading() as tx:
            assert tx.payments.by_id(stale.id).status == "working"


@pytest.mark.parametrize("way", ["transaction", "reading"])
def test_a_statement_the_schema_does_not_know_is_no_busy_database(parts: Parts, way: str) -> None:
    with pytest.raises((OperationalError, ProgrammingError)), getattr(parts.store, way)() as tx:
        tx.connection.execute(text("SELECT no_such_column FROM payment"))


def test_a_bug_of_ours_is_not_called_a_race(parts: Parts) -> None:
    """Whoever was slower tries again, or gives way to who was faster: nobody was faster than a row that cannot be."""
    with pytest.raises(IntegrityError), parts.store.transaction() as tx:
        tx.connection.execute(insert(t.refund))
