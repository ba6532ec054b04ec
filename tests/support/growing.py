"""Many stored payments in little time: what real verbs have left is copied by SQL, each copy under names and days of its own.

Copied are payments that are over and of which nothing is under way, with everything that hangs on them; so what is due, or
undelivered, stays as little as it was. Entries of the audit log are copied without making MACs anew: whoever reads them
again would find them false.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Column, Connection, LargeBinary, Table, make_url, text

from gateway.core.limits import KEPT
from gateway.store import open_engine
from gateway.store import tables as t
from gateway.store.rights import grant
from gateway.store.types import UtcDateTime

# What counts and who holds a page live for days only; older copies of them would have been forgotten.
_FLEETING = (t.card_entry, t.binding, t.tally)
# Row ids, and what refers to one: all are moved on by the same distance, so that what belonged together still does.
_IDS = frozenset({"id", "payment_id", "attempt_id", "debt_id", "holder_id", "parent_id", "refund_id", "audit_id"})
# Names drawn at random: their copies are as scattered as they are. The first letters say of what it is the name.
_DRAWN = frozenset({"public_id", "event_id", "op_id", "jti", "handle"})
_SCATTERED = frozenset({"origin", "card", "card_before", "range", "browser", "subject"})
_NUMBERED = frozenset({"reference", "debt"})

# Odd, so that no two numbers below 2^48 meet; small enough for a million of them in 63 bits.
_SCATTER, _SPAN = 824_633_720_833, 1 << 48

# Over, and nobody waits for anything of it.
_AT_REST = """
SELECT p.id FROM payment AS p WHERE p.ended_at IS NOT NULL AND p.forgotten_at IS NULL
AND NOT EXISTS (SELECT 1 FROM attempt AS a WHERE a.payment_id = p.id AND (a.next_at IS NOT NULL OR a.status = 'review'
  OR a.status = 'approved'))
AND NOT EXISTS (SELECT 1 FROM notice AS n WHERE n.payment_id = p.id AND n.state = 'new')
AND NOT EXISTS (SELECT 1 FROM refund AS r WHERE r.payment_id = p.id AND r.status IN ('pending', 'unknown'))
AND NOT EXISTS (SELECT 1 FROM instalment AS i WHERE i.payment_id = p.id AND i.state = 'asked')
"""
_OF_TEMPLATE = "payment_id IN (SELECT id FROM template)"
_OF_ATTEMPT = f"attempt_id IN (SELECT id FROM attempt WHERE {_OF_TEMPLATE})"  # noqa: S608 - our own names


@dataclass(frozen=True, slots=True)
class Growth:
    """What was copied.

    :ivar templates: how many payments were copied
    :ivar payments: how many there are now
    """

    templates: int
    payments: int


def grow(db: Connection, payments: int, within: timedelta) -> Growth:
    """Copy until there are at least ``payments``, which came evenly spread over ``within`` before the others.

    :param db: on PostgreSQL of a superuser: foreign keys are not looked up again, rows are seen across merchants
    """
    is_sqlite = db.dialect.name == "sqlite"
    if not is_sqlite:
        db.execute(text("SET LOCAL session_replication_role = replica"))
        db.execute(text("SET LOCAL statement_timeout = 0"))
    db.execute(text(f"CREATE TEMPORARY TABLE template AS {_AT_REST}"))
    templates = _number(db, "SELECT count(*) FROM template")
    stored = _number(db, "SELECT count(*) FROM payment")
    copies = max(-(-(payments - stored) // templates), 0)
    # More than the greatest id of any table, as all of them move on together.
    greatest = [_number(db, f"SELECT coalesce(max({name}), 0) FROM {table.name}") for table, name in _keys()]  # noqa: S608 - our own names
    distance = 1 + max(greatest)
    words = _Words(is_sqlite, copies, distance, within / max(copies, 1))
    for table in t.metadata.sorted_tables:
        if copies and (which := _which(table)):
            db.execute(text(words.copying(table, which)))
    if not is_sqlite:
        for table, name in _keys():
            asked = f"SELECT setval(s, (SELECT coalesce(max({name}), 1) FROM {table.name})) FROM pg_get_serial_sequence('{table.name}', '{name}') AS s WHERE s IS NOT NULL"  # noqa: S608
            db.execute(text(asked))
    db.execute(text("DROP TABLE template"))
    return Growth(templates, _number(db, "SELECT count(*) FROM payment"))


def admit(admin_url: str, role: str) -> str:
    """Let an account into a database on PostgreSQL as an operator would, and give the address it uses.

    The wall between merchants stands before it, as it does not before a superuser; plans are made for it.
    """
    engine = open_engine(admin_url)
    with engine.begin() as db:
        db.execute(text(f"CREATE ROLE {role} LOGIN"))
    grant(engine, role)
    engine.dispose()
    return make_url(admin_url).set(username=role).render_as_string(hide_password=False)


def _keys() -> Iterator[tuple[Table, str]]:
    for table in t.metadata.sorted_tables:
        for name in ("id", "n"):
            if name in table.primary_key.columns:
                yield table, name


def _which(table: Table) -> str:
    """Say which rows hang on a payment that is copied; empty for tables of which none does."""
    if table is t.payment:
        return "id IN (SELECT id FROM template)"
    if table is t.debt:
        return f"id IN (SELECT debt_id FROM line WHERE {_OF_TEMPLATE})"  # noqa: S608 - our own names
    if table is t.seal:
        return f"audit_id IN (SELECT id FROM audit WHERE {_OF_TEMPLATE})"  # noqa: S608 - our own names
    if table is t.link:
        # Those that may still be paid are copied too: most bills are, or are paid otherwise.
        return "id > 0"
    if table is t.tally:
        return "scope IN ('address', 'card')"
    if "payment_id" in table.c:
        return _OF_TEMPLATE
    return _OF_ATTEMPT if "attempt_id" in table.c else ""


@dataclass(frozen=True, slots=True)
class _Words:
    """How an engine says what a copy is; ``copy.k`` is its number, from 1, the oldest first."""

    is_sqlite: bool
    copies: int
    distance: int
    apart: timedelta

    def copying(self, table: Table, which: str) -> str:
        names = ", ".join(f'"{column.name}"' for column in table.c)
        values = ", ".join(self._value(table, column) for column in table.c)
        return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {self._series(table)}, (SELECT * FROM {table.name} WHERE {which}) AS o ORDER BY copy.k"  # noqa: S608

    def _series(self, table: Table) -> str:
        first = 1
        if table in _FLEETING:
            first = max(self.copies - int(KEPT / self.apart), 1)
        if self.is_sqlite:
            return f"(WITH RECURSIVE n(k) AS (SELECT {first} UNION ALL SELECT k + 1 FROM n WHERE k < {self.copies}) SELECT k FROM n) AS copy"  # noqa: S608
        return f"generate_series({first}, {self.copies}) AS copy(k)"

    def _value(self, table: Table, column: "Column[object]") -> str:
        name, value = column.name, f'o."{column.name}"'
        if name in _IDS or (table is t.seal and name == "n"):
            # A refund's id is 0 where there is none.
            moved = f"{value} + copy.k * {self.distance}"
            return f"CASE WHEN {value} = 0 THEN 0 ELSE {moved} END" if name == "refund_id" else moved
        if name in _NUMBERED:
            return f"{value} || '-' || copy.k"
        if name in _DRAWN:
            rest = f"substr({value}, CASE WHEN length({value}) < 28 THEN 5 ELSE 17 END)"
            return f"CASE WHEN {value} = '' THEN '' ELSE substr({value}, 1, 4) || {self._scattered()} || {rest} END"
        if name in _SCATTERED:
            if isinstance(column.type, LargeBinary):
                return self._bytes()
            return f"{self._scattered()} || substr({value}, CASE WHEN length({value}) < 28 THEN 1 ELSE 13 END)"
        if isinstance(column.type, UtcDateTime):
            return self._earlier(value)
        return value

    def _scattered(self) -> str:
        number = f"(copy.k * {_SCATTER}) % {_SPAN}"
        return f"printf('%012x', {number})" if self.is_sqlite else f"lpad(to_hex({number}), 12, '0')"

    def _bytes(self) -> str:
        return f"CAST({self._scattered()} AS BLOB)" if self.is_sqlite else f"convert_to({self._scattered()}, 'UTF8')"

    def _earlier(self, value: str) -> str:
        seconds = f"({self.copies + 1} - copy.k) * {self.apart.total_seconds():.6f}"
        if self.is_sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%f000', {value}, -({seconds}) || ' seconds')"
        return f"{value} - ({seconds}) * interval '1 second'"


def _number(db: Connection, asked: str) -> int:
    return int(db.execute(text(asked)).scalar_one())
