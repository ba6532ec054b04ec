"""On PostgreSQL the database itself keeps merchants apart, whatever a query forgets; and the application needs few rights."""

import os
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ProgrammingError

from gateway import migrations
from gateway.core.errors import NotFound
from gateway.core.money import Money
from gateway.core.paylink import LinkTerms
from gateway.core.payment import PaymentResult
from gateway.dialects import Cancel, Refund, Signed, Which
from gateway.parts import Parts
from gateway.store import open_engine
from gateway.store import tables as t
from gateway.store.rights import grant, too_many
from tests.factories import CHALLENGE, FRICTIONLESS, a_request, enter, open_payment, pay
from tests.support.postgres import drop_database, fresh_database

OURS, THEIRS = "mairie-demo", "jvs-demo"
# Nobody's in particular: where confirmations fail, counters by address or card, the worker's pulse, the chain's own MACs.
SHARED = {"alembic_version", "endpoint", "heartbeat", "seal", "tally"}


def as_role(url: str, name: str) -> str:
    return make_url(url).set(username=name).render_as_string(hide_password=False)


@pytest.fixture
def owner_url(postgres: str) -> Iterator[str]:
    """Give an empty database that belongs to a plain account, as an operator would make it; another may be let in."""
    name = f"walls_{os.getpid()}"
    owner, app = f"{name}_owner", f"{name}_app"
    url = fresh_database(postgres, name)
    server = make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as admin:
        for role in (owner, app):
            admin.execute(f"CREATE ROLE {role} LOGIN")
        admin.execute(f"ALTER DATABASE {name} OWNER TO {owner}")
    yield as_role(url, owner)
    drop_database(postgres, name)
    with psycopg.connect(server, autocommit=True) as admin:
        for role in (owner, app):
            admin.execute(f"DROP ROLE {role}")


@pytest.fixture
def database_url(owner_url: str) -> str:
    """Give the application's account, which may do what it needs and no more."""
    engine = open_engine(owner_url)
    migrations.upgrade(engine)
    app = str(make_url(owner_url).username).replace("_owner", "_app")
    grant(engine, app)
    engine.dispose()
    return as_role(owner_url, app)


@pytest.fixture
def both(parts: Parts) -> tuple[PaymentResult, PaymentResult]:
    """Have a payment of either merchant, paid."""
    ours, theirs = (pay(parts, open_payment(parts, merchant=name), FRICTIONLESS) for name in (OURS, THEIRS))
    return ours, theirs


def seen_by(parts: Parts, merchants: frozenset[str]) -> dict[str, int]:
    with parts.store.reading(merchants) as tx:
        tables = [name for name in t.metadata.tables if name not in SHARED]
        counted = {name: tx.connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables}  # noqa: S608 - our own names
    return {name: int(number) for name, number in counted.items()}


def test_the_application_does_all_it_must_with_few_rights(
    parts: Parts, both: tuple[PaymentResult, PaymentResult]
) -> None:
    refund = Refund(Which(frozenset({OURS}), payment=both[0].id), Money(100), Signed(OURS, "r-1", "d"))
    parts.checkout.refunding.refund(refund, "native")
    for _ in range(2):
        parts.checkout.sweep()
    parts.sealer().seal()

    assert parts.faults() == ("worker: no heartbeat; start `guichet worker`",)
    assert list(too_many(parts.store.engine)) == []


def test_each_table_of_merchants_is_parted_between_them(
    parts: Parts, both: tuple[PaymentResult, PaymentResult]
) -> None:
    """A wall that stands and lets everybody through is none: each table holds rows of both, and shows each its own."""
    for number, (name, paid) in enumerate(zip((OURS, THEIRS), both, strict=True)):
        command = Refund(Which(frozenset({name}), payment=paid.id), Money(100), Signed(name, "r-1", "d"))
        parts.checkout.refunding.refund(command, "native")
        enter(parts, open_payment(parts, merchant=name), CHALLENGE)
        with parts.store.transaction() as tx:
            row, now = tx.payments.get(paid.id), parts.now()
            tx.limits.raise_alert(name, "range", "", now, now + timedelta(hours=1))
            tx.limits.hold_page(row.id, bytes([number]) * 32, now)
            tx.links.add([LinkTerms(a_request(merchant=name))], now)
            part = {"position": 0, "due": now.date(), "amount_cents": 1}
            tx.connection.execute(t.instalment.insert().values(payment_id=row.id, **part))
    everything, ours, theirs = (seen_by(parts, frozenset(who)) for who in ((), (OURS,), (THEIRS,)))
    del everything["audit"]

    for name, count in everything.items():
        assert 0 < ours[name] < count, name
        assert ours[name] + theirs[name] == count, name


@pytest.mark.usefixtures("both")
def test_whoever_asks_for_one_merchant_gets_no_row_of_another(parts: Parts) -> None:
    parts.checkout.sweep()
    everything, ours, theirs = (seen_by(parts, frozenset(who)) for who in ((), (OURS,), (THEIRS,)))

    assert seen_by(parts, frozenset({OURS, THEIRS})) | {"audit": 0} == everything | {"audit": 0}
    for name in (
        "payment",
        "line",
        "event",
        "attempt",
        "operation",
        "ledger",
        "hold",
        "notice",
        "debt",
        "signed_request",
    ):
        assert 0 < ours[name] < everything[name], name
        assert ours[name] + theirs[name] == everything[name], name
    assert everything["audit"] > 0 == ours["audit"] == theirs["audit"]


def test_no_table_is_without_a_wall(parts: Parts) -> None:
    with parts.store.engine.connect() as connection:
        asked = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        open_tables = connection.execute(text(f"{asked} AND NOT (relrowsecurity AND relforcerowsecurity)")).scalars()

        assert set(open_tables) == SHARED


@pytest.mark.usefixtures("both")
def test_who_does_not_say_for_whom_sees_nothing(parts: Parts) -> None:
    with parts.store.engine.connect() as connection:
        connection.execute(text("SET guichet.merchants = ''"))

        assert connection.execute(select(t.payment.c.id)).all() == []
        connection.execute(text("RESET guichet.merchants"))


@pytest.mark.usefixtures("both")
def test_the_owner_stands_before_the_same_wall(owner_url: str) -> None:
    engine = open_engine(owner_url)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL guichet.merchants = 'jvs-demo'"))

        assert connection.execute(select(t.payment.c.merchant_id)).scalars().all() == [THEIRS]
    engine.dispose()


def test_a_merchants_verb_does_not_reach_anothers_payment(
    parts: Parts, both: tuple[PaymentResult, PaymentResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when the query layer forgets: here every query of a merchant is asked without its own condition."""
    monkeypatch.setattr("gateway.store.payments.Payments._payment", lambda _: select(t.payment))
    anybody = Which(payment=both[1].id)
    before = parts.checkout.opening.told(both[1].id)

    with parts.store.reading(frozenset({OURS})) as tx, pytest.raises(NotFound):
        tx.payments.named(anybody, "native")
    with pytest.raises(NotFound):
        parts.checkout.refunding.refund(Refund(anybody, Money(100), Signed(OURS, "r-1", "d")), "native")
    with pytest.raises(NotFound):
        parts.checkout.refunding.cancel(Cancel(anybody, Signed(OURS, "c-1", "d")), "native")
    assert parts.checkout.opening.told(both[1].id) == before


@pytest.mark.usefixtures("both")
def test_one_transaction_says_nothing_for_the_next(parts: Parts) -> None:
    for _ in range(3):
        with parts.store.reading(frozenset({OURS})) as tx:
            assert len(tx.payments.newest(10)) == 1
        with parts.store.reading() as tx:
            assert len(tx.payments.newest(10)) == 2


def test_a_merchants_question_costs_one_statement_more(parts: Parts, both: tuple[PaymentResult, PaymentResult]) -> None:
    statements: list[str] = []
    event.listen(parts.store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    counts = []
    for merchants in (frozenset[str](), frozenset({OURS})):
        statements.clear()
        with parts.store.reading(merchants) as tx:
            tx.payments.result(tx.payments.named(Which(payment=both[0].id), "native"))
        counts.append(len(statements))

    assert counts[1] == counts[0] + 1


class TestRights:
    @pytest.fixture
    def app(self, database_url: str) -> Iterator[Engine]:
        engine = open_engine(database_url)
        yield engine
        engine.dispose()

    def test_the_application_may_not_rewrite_history(self, app: Engine) -> None:
        tried = 0
        for table in ("event", "ledger", "audit", "seal"):
            column = inspect(app).get_columns(table)[0]["name"]
            for asked in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table}"):  # noqa: S608 - our own names
                with app.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
                    connection.execute(text(asked))
                tried += 1
        assert tried == 12

    @pytest.mark.usefixtures("database_url")
    def test_an_account_that_may_do_too_much_is_told(self, owner_url: str, postgres: str) -> None:
        owner, superuser = open_engine(owner_url), open_engine(postgres)

        assert any("owns the tables" in remark for remark in too_many(owner))
        assert any("superuser" in remark for remark in too_many(superuser))
        for engine in (owner, superuser):
            engine.dispose()

    def test_each_right_too_many_is_told(self, app: Engine, database_url: str, postgres: str) -> None:
        role = str(app.url.username)
        here = make_url(postgres).set(database=make_url(database_url).database)
        administrator = open_engine(here.render_as_string(hide_password=False))
        for given, taken, told in (
            (f"ALTER ROLE {role} BYPASSRLS", f"ALTER ROLE {role} NOBYPASSRLS", "BYPASSRLS"),
            (f"ALTER ROLE {role} CREATEROLE", f"ALTER ROLE {role} NOCREATEROLE", "CREATEROLE"),
            (f"GRANT UPDATE ON ledger TO {role}", f"REVOKE UPDATE ON ledger FROM {role}", "may rewrite ledger"),
            (f"GRANT TRUNCATE ON audit TO {role}", f"REVOKE TRUNCATE ON audit FROM {role}", "may rewrite audit"),
        ):
            with administrator.begin() as connection:
                connection.execute(text(given))
            remarks = list(too_many(app))
            with administrator.begin() as connection:
                connection.execute(text(taken))

            assert [told in remark for remark in remarks] == [True], given
        administrator.dispose()
        assert list(too_many(app)) == []
