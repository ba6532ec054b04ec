"""Each unique key and each check that stands beneath the code, by what it refuses: none can leave the schema unseen."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Connection, Index, Table, UniqueConstraint, insert
from sqlalchemy.exc import IntegrityError

from gateway.store import open_engine
from gateway.store import tables as t

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

# What must not be there twice. What the primary keys say is not repeated, nor what test_tables.py says of money held.
KEYS = [
    ("attempt", "payment_id n"),
    ("attempt", "public_id"),
    ("audit", "public_id"),
    ("debt", "merchant_id fiscal_year reference occurrence"),
    ("event", "public_id"),
    ("ledger", "attempt_id kind refund_id account"),
    ("line", "payment_id debt_id"),
    ("link", "merchant_id fiscal_year debt"),
    ("notice", "channel target event_id"),
    ("operation", "attempt_id kind n"),
    ("payment", "dialect handle"),
    ("payment", "parent_id rank"),
    ("payment", "public_id"),
    ("refund", "op_id"),
    ("refund", "public_id"),
    ("seal", "audit_id"),
]
MONEY_HELD = {("attempt", "payment_id"), ("hold", "debt_id")}

CEILING = 99_999_999
# Values beyond the edge of what a column may hold.
WRONG: list[tuple[str, str, tuple[object, ...]]] = [
    ("card_entry", "guesses", (-1,)),
    ("card_entry", "state", ("", "paid")),
    ("instalment", "amount_cents", (0, CEILING + 1)),
    ("instalment", "state", ("", "late")),
    ("ledger", "account", ("", "payer")),
    ("ledger", "kind", ("", "fee")),
    ("line", "amount_cents", (0, CEILING + 1)),
    ("link", "amount_cents", (0, CEILING + 1)),
    ("link", "grace_days", (-1, 367)),
    ("notice", "state", ("", "lost")),
    ("operation", "kind", ("", "debit")),
    ("refund", "amount_cents", (0, CEILING + 1)),
    ("refund", "status", ("", "paid")),
]

ROWS: dict[str, dict[str, object]] = {
    "attempt": {"payment_id": 1, "status": "declined", "scheme": "visa", "bin": "424242", "last4": "4242", "started_at": NOW},
    "audit": {"at": NOW, "who": "server", "what": "x", "result": "done", "mac": "m"},
    "card_entry": {"payment_id": 1, "merchant_id": "m", "origin": "", "card": b"c", "card_before": b"b", "range": b"r",
                   "at": NOW, "state": "asked"},
    "debt": {"merchant_id": "m", "state": "open"},
    "event": {"payment_id": 1, "type": "x", "at": NOW},
    "instalment": {"payment_id": 1, "due": date(2026, 12, 21), "amount_cents": 1},
    "ledger": {"attempt_id": 1, "kind": "refund", "account": "merchant", "amount_cents": 1, "currency": "EUR", "at": NOW},
    "line": {"payment_id": 1, "reference": "R", "label": "L", "amount_cents": 1},
    "link": {"merchant_id": "m", "reference": "R", "amount_cents": 1, "currency": "EUR", "label": "L", "language": "fr",
             "created_at": NOW},
    "notice": {"payment_id": 1, "seq": 1, "channel": "confirmation", "target": "https://m.example/", "body": b"",
               "state": "new", "next_at": NOW, "created_at": NOW},
    "operation": {"attempt_id": 1, "kind": "refund", "amount_cents": 1, "asked_at": NOW},
    "payment": {"merchant_id": "m", "dialect": "native", "mode": "test", "reference": "R", "kind": "debt", "digest": "d",
                "amount_cents": 1, "currency": "EUR", "label": "L", "language": "fr", "status": "opened", "created_at": NOW,
                "expires_at": NOW, "attempts_max": 3, "parent_id": 1},
    "refund": {"payment_id": 1, "attempt_id": 1, "amount_cents": 1, "status": "pending", "requested_at": NOW},
    "seal": {"mac": "m"},
}  # fmt: skip


# What other rows point at is there from the beginning, as many as are ever needed.
BASE, BASE_ROWS = ("payment", "attempt", "debt", "operation"), 60


def row(name: str, number: int) -> dict[str, object]:
    """Give a row of a table that differs from each other number's in all that may not be the same."""
    own: dict[str, object] = {"public_id": f"{name}_{number}", "op_id": f"op_{number}", "event_id": f"evt_{number}"}
    own |= {"reference": f"R{number}", "debt": f"R{number}", "handle": f"h{number}"}
    own |= dict.fromkeys(("id", "debt_id", "audit_id", "n", "rank", "seq", "position", "refund_id"), number)
    columns = t.metadata.tables[name].columns
    return {**{column: value for column, value in own.items() if column in columns}, **ROWS[name]}


@pytest.fixture
def db(database_url: str) -> Iterator[Connection]:
    """Give a transaction that is rolled back; it holds a row of each table, and what others point at."""
    engine = open_engine(database_url)
    with engine.connect() as connection, connection.begin() as transaction:
        for name in (*BASE, *sorted(ROWS.keys() - set(BASE))):
            numbers = range(1, BASE_ROWS + 1) if name in BASE else (1,)
            connection.execute(insert(t.metadata.tables[name]), [row(name, number) for number in numbers])
        yield connection
        transaction.rollback()
    engine.dispose()


def _is_refused(db: Connection, name: str, number: int, **changes: object) -> bool:
    try:
        with db.begin_nested():
            db.execute(insert(t.metadata.tables[name]).values({**row(name, number), **changes}))
    except IntegrityError:
        return True
    return False


def test_nothing_is_there_twice(db: Connection) -> None:
    twice = []
    for place, (name, columns) in enumerate(KEYS, start=2):
        number = place + BASE_ROWS if name in BASE else place
        same = {column: value for column, value in row(name, 1).items() if column in columns.split()}
        if not _is_refused(db, name, number, **same):
            twice.append((name, columns))
        # It is the key that was refused, and nothing else of the row.
        assert not _is_refused(db, name, number + len(KEYS)), (name, columns)

    assert twice == []


def test_each_column_has_its_bounds(db: Connection) -> None:
    unbounded = []
    for place, (name, column, wrong) in enumerate(WRONG):
        first = 2 + place * 4 + (BASE_ROWS if name in BASE else 0)
        numbers = iter(range(first, first + 4))
        unbounded += [
            (name, column, value) for value in wrong if not _is_refused(db, name, next(numbers), **{column: value})
        ]
        assert not _is_refused(db, name, next(numbers)), (name, column)

    assert unbounded == []


def test_there_is_no_other_key() -> None:
    """Whoever adds one says above what it refuses."""
    found = {key for table in t.metadata.sorted_tables for key in _keys(table)}

    assert found == {*KEYS, *MONEY_HELD}


def _keys(table: Table) -> Iterator[tuple[str, str]]:
    for one in (*table.constraints, *table.indexes):
        if isinstance(one, UniqueConstraint) or (isinstance(one, Index) and one.unique):
            yield table.name, " ".join(column.name for column in one.columns)
