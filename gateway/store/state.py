"""What a payment's rows say, boiled down to one digest: the audit log keeps it, and compares.

The digest covers money, states, names of things and history; not what tells of people, which is blanked with time, nor
what may change without a word (deadlines, leases, tries). ``VERSION`` goes with the list of columns: a longer list is a
new version, and ``guichet verify-audit`` takes what was written under another one as unknown, not as wrong.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    bindparam,
    case,
    literal_column,
    select,
)
from sqlalchemy.sql.selectable import CompoundSelect

from gateway.store import tables as t
from gateway.store.types import json_row

VERSION = "1"

_COLUMNS: dict[Table, str] = {
    t.payment: "id public_id merchant_id dialect mode reference kind amount_cents currency fiscal_year digest status created_at "
    "expires_at paid_at ended_at refunded_cents attempts_max seq capture_by_hand capture_days handle return_url notify_url "
    "parent_id rank",
    t.line: "position debt_id reference amount_cents",
    t.debt: "id merchant_id fiscal_year reference occurrence",
    t.instalment: "position due amount_cents state",
    t.attempt: "id public_id n status scheme flow eci response_code response_family authorisation_number started_at "
    "ended_at",
    t.operation: "op_id attempt_id kind n amount_cents outcome asked_at answered_at",
    t.ledger: "id attempt_id kind refund_id account amount_cents currency at",
    t.refund: "id public_id attempt_id op_id amount_cents status requested_at",
    t.event: "seq public_id type at facts",
    # What is signed when it is sent.
    t.notice: "seq event_id target body",
}


@dataclass(frozen=True, slots=True)
class State:
    """What the rows of one payment say.

    :ivar payment: its public id
    """

    payment: str
    status: str
    digest: str


def states_of(db: Connection, payment_ids: Iterable[int]) -> dict[int, State]:
    """Tell the state of each of these payments that there is; one statement, however many."""
    rows: dict[int, list[str]] = defaultdict(list)
    payments: dict[int, dict[str, str]] = {}
    ids = list(payment_ids)
    # A list is spelt out anew at each execution, and nearly every transaction changes one payment.
    which = {"ids": ids} if len(ids) != 1 else {"id": ids[0]}
    for payment_id, table, text in db.execute(_statement(db.dialect.name, is_one="id" in which), which):
        values = json.loads(text)
        if table == t.payment.name:
            payments[payment_id] = dict(zip(_COLUMNS[t.payment].split(), values, strict=True))
        # Engines and their versions differ in blanks.
        rows[payment_id].append(f"{table} {json.dumps(values)}")
    return {
        payment_id: State(payment["public_id"], payment["status"], _digest(rows[payment_id]))
        for payment_id, payment in payments.items()
    }


def _digest(rows: list[str]) -> str:
    return f"{VERSION}:{hashlib.sha256(chr(10).join(sorted(rows)).encode()).hexdigest()}"


@cache
def _statement(engine: str, *, is_one: bool) -> CompoundSelect[Any]:
    first, *others = (
        asked.where(owner == bindparam("id") if is_one else owner.in_(bindparam("ids", expanding=True)))
        for owner, asked in (_rows(table, names.split(), engine) for table, names in _COLUMNS.items())
    )
    return first.union_all(*others)


def _rows(table: Table, names: list[str], engine: str) -> tuple[ColumnElement[int], Select[Any]]:
    """Select one table's rows: whose they are, and their values as a JSON array, which keeps them apart."""
    values = json_row(_values(table, names), engine)
    source: FromClause = table
    if table is t.payment:
        owner = table.c.id
    elif table is t.debt:
        source, owner = t.line.join(table, table.c.id == t.line.c.debt_id), t.line.c.payment_id
    elif "payment_id" in table.c:
        owner = table.c.payment_id
    else:
        source, owner = t.attempt.join(table, table.c.attempt_id == t.attempt.c.id), t.attempt.c.payment_id
    asked = select(owner, literal_column(f"'{table.name}'"), values).select_from(source)
    if table is t.notice:
        asked = asked.where(table.c.channel == literal_column("'confirmation'"))
    return owner, asked


def _values(table: Table, names: list[str]) -> Iterator[ColumnElement[object]]:
    for name in names:
        column = table.c[name]
        if column is t.refund.c.status:
            # Waiting for an answer and having waited in vain are the same to the money.
            yield case((column == "unknown", "pending"), else_=column)
        else:
            yield column
