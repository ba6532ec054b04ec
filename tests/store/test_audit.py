"""Whatever is rewritten with SQL, by whoever may do anything there, `guichet verify-audit` finds it: on both engines."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Connection,
    Date,
    Integer,
    LargeBinary,
    Row,
    Table,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError

from gateway.audit import Inspection, Sealer
from gateway.core.money import Money
from gateway.core.payment import Instalment, Line
from gateway.dialects import Refund, Signed, Which
from gateway.parts import Parts
from gateway.store import Transaction, open_engine, state
from gateway.store import tables as t
from gateway.store.types import UtcDateTime
from tests.factories import FRICTIONLESS, FUNDS, a_request, an_open, enter, open_payment, pay
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.scale import scaled

TAMPERINGS = scaled(150, 4000)

# What may change, or be blanked, without a word in the log; everything else of these tables is held to it. A new column
# belongs either here or into gateway.store.state.
FREE: dict[Table, set[str]] = {
    t.payment: {
        "label", "email", "receipt_email", "payer_name", "payer_phone", "beneficiary", "comment", "language", "pay_before",
        "metadata", "wire", "schemes", "schemes_again", "statement", "forgotten_at", "spoken", "page_minutes", "extensions",
        "latest_at",
    },
    t.line: {"payment_id", "label"},
    t.instalment: {"payment_id"},
    t.attempt: {
        "payment_id", "bin", "last4", "expiry", "token", "authentication", "phone", "next_at", "tries", "dismissed",
    },
    t.operation: set(),
    t.ledger: set(),
    t.refund: {"payment_id", "reason", "next_at", "tries"},
    t.event: {"payment_id"},
    t.debt: {"locked_until", "holder_id"},
    t.audit: set(),
    t.seal: set(),
}  # fmt: skip
# Held to the payments of a debt instead.
COMPARED: dict[Table, set[str]] = {t.debt: {"state"}}
# Whose row it is cannot be told from the row alone, but a row that changes hands is missed where it was.
MOVED = [(table, "payment_id") for table in (t.line, t.attempt, t.refund, t.event)]


@dataclass
class Scene:
    """A server with some history, a chain and an anchor."""

    parts: Parts
    sealer: Sealer
    chance: random.Random = field(default_factory=lambda: random.Random(20261121))  # noqa: S311 - a test's own dice

    def faults(self, connection: Connection) -> list[str]:
        tx = Transaction(connection, self.parts.store._payee, self.parts.store.pen)
        return list(Inspection(tx, self.parts.store.pen).faults(self.parts.anchors().all()))

    @contextmanager
    def tampering(self) -> Iterator[Connection]:
        """Give a connection that may do anything: no trigger, no foreign key; undone at the end."""
        engine = open_engine(str(self.parts.store.engine.url.render_as_string(hide_password=False)))
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("ROLLBACK")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                for name in (
                    connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
                ):
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
            else:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            yield connection
            connection.rollback()
        engine.dispose()


@pytest.fixture
def scene(parts: Parts, clock: Clock) -> Scene:
    first = pay(parts, open_payment(parts), FRICTIONLESS)
    parts.checkout.sweep()
    for number in range(2):
        command = Refund(
            Which(payment=first.id), Money(1000 + number), Signed("mairie-demo", f"r-{number}", "d"), "sorry"
        )
        parts.checkout.refunding.refund(command, "native")
    refused = open_payment(parts)
    enter(parts, refused, FUNDS)
    parts.checkout.settling.authorise(refused.id)
    lines = tuple(Line(f"FACT-{name}", "Cantine", Money(4806)) for name in "XY")
    later = (Instalment(date(2026, 12, 21), Money(9612)), Instalment(date(2027, 1, 21), Money(9612)))
    parts.checkout.opening.open(an_open(a_request(lines=lines, instalments=later)), "native")
    parts.auditor.record("payment.read", first.id)
    parts.auditor.refused("/v1/payments", "wrong_audience")
    sealer = parts.sealer()
    assert sealer.seal() > 15
    clock.advance(hours=1)
    open_payment(parts)
    sealer.seal()
    return Scene(parts, sealer)


def rows_of(db: Connection, table: Table) -> list[Row[Any]]:
    return list(db.execute(select(table).order_by(*table.primary_key.columns)))


def key_of(table: Table, row: Row[Any]) -> Any:
    clauses = [column == row._mapping[column.name] for column in table.primary_key.columns]
    where = clauses[0]
    for clause in clauses[1:]:
        where &= clause
    return where


def another(column: Any, value: Any, chance: random.Random) -> Any:
    """Give some other value such a column may hold."""
    if isinstance(column.type, UtcDateTime):
        return value + timedelta(seconds=chance.choice((-3600, 1, 86400))) if value else None
    if isinstance(column.type, Date):
        return value + timedelta(days=chance.choice((-1, 30)))
    if isinstance(column.type, LargeBinary):
        return bytes([value[0] ^ 1]) + value[1:] if value else b"x"
    if isinstance(column.type, Boolean):
        return not value
    if isinstance(column.type, Integer):
        return (value or 0) + chance.choice((-1, 1, 100))
    words = {"status": ("paid", "cancelled", "captured", "declined", "done"), "state": ("paid", "open"),
             "kind": ("debt", "top_up", "debit", "refund", "capture"), "account": ("acquirer", "merchant")}  # fmt: skip
    if column.name in words and column.table is not t.audit:
        return chance.choice([word for word in words[column.name] if word != value])
    return value[:-1] + chance.choice("0123456789abcdef") if value and chance.random() < 0.5 else f"x{value[1:]}"


def change(scene: Scene, db: Connection) -> str:
    table = scene.chance.choice(list(FREE))
    row = scene.chance.choice(rows_of(db, table))
    column = scene.chance.choice([column for column in table.columns if column.name not in FREE[table]])
    value = another(column, row._mapping[column.name], scene.chance)
    if value == row._mapping[column.name]:
        return ""
    db.execute(update(table).where(key_of(table, row)).values({column: value}))
    return f"{table.name}.{column.name} {row._mapping[column.name]!r} -> {value!r}"


def move(scene: Scene, db: Connection) -> str:
    table, name = scene.chance.choice(MOVED)
    row = scene.chance.choice(rows_of(db, table))
    db.execute(update(table).where(key_of(table, row)).values({name: row._mapping[name] % 4 + 1}))
    return f"a row of {table.name} moved"


def remove(scene: Scene, db: Connection) -> str:
    table = scene.chance.choice([table for table in FREE if table is not t.debt])
    row = scene.chance.choice(rows_of(db, table))
    db.execute(delete(table).where(key_of(table, row)))
    return f"a row of {table.name} deleted"


def swap(scene: Scene, db: Connection) -> str:
    """Have two rows change places, their MACs with them."""
    table = scene.chance.choice([t.audit, t.event, t.ledger, t.seal])
    one, other = scene.chance.sample(rows_of(db, table), 2)
    kept = {column.name for column in table.primary_key.columns}
    unique = {"public_id", "audit_id"}
    for name in unique & set(table.c.keys()):
        db.execute(update(table).where(key_of(table, one)).values({name: "0" if name == "public_id" else 0}))
    if table is t.ledger:
        kept.add("account")
    for row, source in ((other, one), (one, other)):
        values = {name: value for name, value in source._mapping.items() if name not in kept}
        db.execute(update(table).where(key_of(table, row)).values(values))
    same = all(one._mapping[name] == other._mapping[name] for name in one._mapping if name not in kept)
    return "" if same else f"two rows of {table.name} swapped"


def forge(scene: Scene, db: Connection) -> str:
    """Put in a row like one that is there."""
    table = scene.chance.choice([t.audit, t.seal, t.event, t.ledger, t.payment, t.refund, t.operation])
    row = dict(scene.chance.choice(rows_of(db, table))._mapping)
    top = {name: max(r._mapping[name] for r in rows_of(db, table)) for name in ("id", "n", "seq") if name in table.c}
    for name in ("id", "n", "seq"):
        if name in row and (name != "seq" or table is t.event):
            row[name] = top[name] + 1
    if table is t.seal:
        row["audit_id"] += 100_000
    if table is t.ledger:
        row["refund_id"] += 77
    row |= {name: f"{name}-{scene.chance.random()}" for name in ("public_id", "op_id") if name in row}
    db.execute(insert(table).values(**row))
    return f"a row of {table.name} made up"


def copy(_scene: Scene, db: Connection) -> str:
    """Write a genuine entry again, as who puts a payment back to an older state must."""
    row = dict(rows_of(db, t.audit)[-1]._mapping)
    row["id"] += 1
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("ALTER TABLE audit RENAME TO was")
        db.exec_driver_sql("CREATE TABLE audit AS SELECT * FROM was")
    else:
        db.execute(text("ALTER TABLE audit DROP CONSTRAINT uq_audit_public_id"))
    db.execute(insert(t.audit).values(**row))
    return "an entry copied"


def truncate(scene: Scene, db: Connection) -> str:
    """Cut the end of the log off, in the chain too, and put a payment back to where the log then ends."""
    keep = scene.chance.randrange(len(rows_of(db, t.seal)) - 1)
    gone = select(t.seal.c.audit_id).where(t.seal.c.n > keep)
    newest = {row.payment_id for row in db.execute(select(t.audit.c.payment_id).where(t.audit.c.id.in_(gone)))}
    db.execute(delete(t.audit).where(t.audit.c.id.in_(gone)))
    db.execute(delete(t.seal).where(t.seal.c.n > keep))
    for table in (t.event, t.line, t.instalment, t.notice):
        db.execute(delete(table).where(table.c.payment_id.in_(newest - {None})))
    return "the end cut off"


def replace(_scene: Scene, db: Connection) -> str:
    for table in reversed(t.metadata.sorted_tables):
        db.execute(delete(table))
    return "another database"


KINDS: list[Callable[[Scene, Connection], str]] = [
    change,
    change,
    change,
    move,
    remove,
    swap,
    forge,
    copy,
    truncate,
    replace,
]


def test_what_nobody_touched_holds(scene: Scene) -> None:
    with scene.parts.store.engine.connect() as connection:
        assert scene.faults(connection) == []


@pytest.mark.parametrize("table", sorted(set(FREE) & set(state._COLUMNS), key=str), ids=str)
def test_a_column_is_held_to_the_log_or_free(table: Table) -> None:
    held = set(state._COLUMNS[table].split())

    assert not FREE[table] & held
    assert FREE[table] | held | COMPARED.get(table, set()) | {"payment_id"} >= set(table.columns.keys())


@pytest.mark.nightly_too
@pytest.mark.timeout(1200)
def test_every_tampering_is_found(scene: Scene) -> None:
    found: Counter[str] = Counter()
    missed: list[str] = []
    with scene.tampering() as db:
        assert scene.faults(db) == []
        while found.total() + len(missed) < TAMPERINGS:
            kind = KINDS[(found.total() + len(missed)) % len(KINDS)]
            trial = db.begin_nested()
            try:
                told = kind(scene, db)
            except (DataError, IntegrityError):
                told = ""
            if told:
                if scene.faults(db):
                    found[kind.__name__] += 1
                else:
                    missed.append(told)
            trial.rollback()

    record(
        "promise 24", engine=scene.parts.store.engine.dialect.name, tamperings=TAMPERINGS, missed=len(missed), **found
    )
    assert missed == []
    assert set(found) == {kind.__name__ for kind in KINDS}


def test_a_chain_that_was_taken_away_makes_nothing_good(scene: Scene) -> None:
    """Deleted whole, it is made anew of the same rows by the same key: nothing else may be taken for right with it."""
    db = scene.parts.store.engine
    with scene.tampering() as connection:
        connection.execute(delete(t.seal))
        connection.execute(update(t.attempt).where(t.attempt.c.id == 1).values(authorisation_number="999999"))
        connection.commit()

    restarted = scene.parts.sealer()
    restarted.begin()
    restarted.seal()

    with db.connect() as connection:
        faults = scene.faults(connection)
        assert [fault for fault in faults if "were changed" in fault], faults


@pytest.mark.parametrize(("table", "key"), [(t.audit, "id"), (t.payment, "id"), (t.seal, "n")], ids=str)
def test_what_is_numbered_below_the_first_is_found_too(scene: Scene, table: Table, key: str) -> None:
    """Our rows count from one, but whoever writes SQL may count from anywhere."""
    with scene.tampering() as db:
        row = dict(rows_of(db, table)[0]._mapping) | {key: -7}
        row |= {"audit_id": -9} if table is t.seal else {"public_id": "made-up"}
        db.execute(insert(table).values(**row))

        assert f"{table.name} -7: numbered as no row of ours is: inserted" in scene.faults(db)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("paid", {"state": "open", "holder_id": None}), ("locked", {"state": "open", "holder_id": None}),
     ("open", {"state": "paid", "holder_id": 1})],
)  # fmt: skip
def test_a_debt_that_changes_hands_is_found(parts: Parts, was: str, becomes: dict[str, object]) -> None:
    """Free to be paid again, or paid by somebody who never paid for it; and whatever really happens to it is right."""
    pay(parts, open_payment(parts), FRICTIONLESS)
    other = open_payment(parts, reference="FACT-2")
    scene = Scene(parts, parts.sealer())
    with parts.store.engine.connect() as connection:
        assert scene.faults(connection) == []
    if was == "open":
        parts.checkout.paying.cancel(other.id)
    with scene.tampering() as db:
        assert scene.faults(db) == []
        assert db.execute(update(t.debt).where(t.debt.c.state == was).values(becomes)).rowcount == 1

        assert [fault for fault in scene.faults(db) if "which its payment is not" in fault]
