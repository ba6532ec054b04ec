"""What a server asks its database, and by which road either engine fetches it."""

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event

import gateway.store
from gateway.store import tables as t

_STORE = str(Path(gateway.store.__file__).parent)
_READS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
_FOR_WHOM = "set_config('guichet.merchants'"
_ALIAS = re.compile(r"\b(\w+) AS (\w+)")
# How SQLite words a step (an index, and what it looks up in it), and PostgreSQL a condition on an index.
_STEP = re.compile(r"(?:SCAN|SEARCH) (\w+)(?: USING (?:(?:COVERING )?INDEX (\w+)|INTEGER PRIMARY KEY))?(?: (\(.*\)))?")
_TERM = re.compile(r"(\w+)[=<>]")
_COLUMN = re.compile(r"\(+(\w+)\)?(?:::\w+)? (?:[=<>]|IS )")
# Half of all rows may be one merchant's, nearly all notices were sent, and what is counted is all of these days.
_COARSE = frozenset({"merchant_id", "dialect", "channel", "state", "status", "kind", "is_active", "at"})
_PAGE = re.compile(r"ORDER BY \w+\.(id|n|audit_id)( DESC)?\s+LIMIT")
# Indexes of what is under way: however much is stored, they hold little, and may be walked along from end to end.
FEW = frozenset(
    {
        "ix_attempt_by_hand",
        "ix_attempt_next",
        "ix_attempt_watched",
        "ix_audit_book",
        "ix_instalment_asked",
        "ix_notice_dead",
        "ix_notice_due",
        "ix_payment_live",
        "ix_refund_next",
        "uq_attempt_front",
    }
)
# These take all rows in before they give the first.
_BLOCKING = frozenset({"Aggregate", "Bitmap Index Scan", "Hash", "Sort", "SetOp", "Materialize", "Memoize"})
# What a step may look at, or hold in its hands, however much is stored. Statements for one payment or a batch need less.
_ROWS_MAX = 1000

# A plan's node, as PostgreSQL words it.
Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and what it was asked with.

    :ivar by: the function of ``gateway.store`` that asked
    :ivar merchants: for whom its transaction was; empty for the server itself
    """

    by: str
    sql: str
    parameters: Any
    merchants: str = ""


@contextmanager
def overheard(engine: Engine) -> Iterator[dict[str, Statement]]:
    """Keep every different statement that is made, with the parameters it last came with."""
    kept: dict[str, Statement] = {}
    for_whom: dict[object, str] = {}

    def keep(db: Connection, _cursor: object, sql: str, parameters: Any, _context: object, is_many: bool) -> None:
        if _FOR_WHOM in sql:
            for_whom[db.get_transaction()] = parameters["merchants"]
        elif _READS.match(sql) and (by := _asker(sys._getframe(1))):
            merchants = for_whom.get(db.get_transaction(), "")
            asked = parameters[0] if is_many and isinstance(parameters, list) else parameters
            kept[f"{by} {bool(merchants)} {sql}"] = Statement(by, sql, asked, merchants)

    event.listen(engine, "before_cursor_execute", keep)
    yield kept
    event.remove(engine, "before_cursor_execute", keep)


def _asker(frame: FrameType | None) -> str:
    while frame is not None and not frame.f_code.co_filename.startswith(_STORE):
        frame = frame.f_back
    return frame.f_code.co_qualname if frame else ""


def askers() -> set[str]:
    """Name the functions of ``gateway.store`` that hand a statement to the database."""
    found: set[str] = set()
    for path in Path(_STORE).glob("*.py"):
        _look_through(ast.parse(path.read_text("utf-8")), "", found)
    return found


def _look_through(node: ast.AST, prefix: str, found: set[str]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            _look_through(child, f"{prefix}{child.name}.", found)
        elif isinstance(child, ast.Attribute) and child.attr == "execute":
            found.add(prefix.removesuffix("."))
        else:
            _look_through(child, prefix, found)


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine means to answer a statement.

    :ivar faults: what would take longer the more is stored, in words
    :ivar indexes: which it uses
    """

    statement: Statement
    faults: tuple[str, ...]
    indexes: frozenset[str]


def read_sqlite(db: Connection, statement: Statement, big: Collection[str]) -> Plan:
    """Read a plan of SQLite, which counts nothing and so always plans the same.

    :param big: the tables that grow
    """
    sql = statement.sql
    if sql.startswith("INSERT"):
        # With a RETURNING, rows that might refer to the new one are listed too: they are never looked for.
        sql = sql.partition("RETURNING")[0]
    steps = [str(row[3]) for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", statement.parameters)]
    found = [match.groups() for match in map(_STEP.match, steps) if match]
    tables = {alias: table for table, alias in _ALIAS.findall(statement.sql)}
    # The newest of all, or of a merchant, are read off the end; the least stands at the beginning.
    is_sorted = sql.count("SELECT") == 1 and "JOIN" not in sql and "USE TEMP B-TREE FOR ORDER BY" not in steps
    is_end = is_sorted and (_PAGE.search(sql) or sql.startswith("SELECT min("))
    faults = [
        f"walks over {tables.get(name, name)} {by or ''}".rstrip()
        for name, index, by in found
        if tables.get(name, name) in big
        and index not in FEW
        and _is_coarse(_TERM.findall(by or ""))
        # The greatest of all, of which nothing else is asked, stands at an end of its index.
        and not (is_end or f"FROM {name})" in sql)
    ]
    return Plan(statement, tuple(faults), frozenset(index for _, index, _ in found if index))


def read_postgresql(db: Connection, statement: Statement, big: Collection[str]) -> Plan:
    """Read a plan of PostgreSQL, which judges by what it counted when the tables were last analysed.

    :param big: the tables that grow
    """
    plan = _explained(db, statement, big, besides=())
    if plan.faults and _PAGE.search(statement.sql):
        # Whoever goes through a table page by page walks along its key once a page is a small part of it, as none is here.
        plan = _explained(db, statement, big, besides=("enable_seqscan", "enable_sort", "enable_bitmapscan"))
    return plan


def _explained(db: Connection, statement: Statement, big: Collection[str], besides: Iterable[str]) -> Plan:
    with db.begin_nested() as undone:
        for name in besides:
            db.exec_driver_sql(f"SET LOCAL {name} = off")
        db.exec_driver_sql(f"SET LOCAL guichet.merchants = '{statement.merchants or '*'}'")
        (answer,) = db.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.parameters).one()
        undone.rollback()
    nodes = list(_below(answer[0]["Plan"], is_cut=False, is_walled=bool(statement.merchants)))
    faults = dict.fromkeys(fault for node, is_cut in nodes if (fault := _fault(node, big, is_cut=is_cut)))
    return Plan(statement, tuple(faults), frozenset(node["Index Name"] for node, _ in nodes if "Index Name" in node))


def _fault(node: Node, big: Collection[str], *, is_cut: bool) -> str:
    table, index, kind = node.get("Relation Name"), node.get("Index Name"), node["Node Type"]
    if kind == "Seq Scan" and table in big:
        return f"walks over {table}"
    if index and table in big and index not in FEW and _is_coarse(_COLUMN.findall(node.get("Index Cond", ""))):
        # The first along an index are those that are asked for, if nothing else is asked of them.
        is_first = is_cut and " AND " not in node.get("Filter", "")
        return "" if is_first else f"walks over {table} by {index}"
    if node["Plan Rows"] > _ROWS_MAX and not (is_cut and kind not in _BLOCKING):
        return f"{kind} of {node['Plan Rows']} rows"
    return ""


def _is_coarse(columns: Collection[str]) -> bool:
    """Say whether looking up by these columns alone may find a good part of the table."""
    return _COARSE.issuperset(columns)


def _below(node: Node, *, is_cut: bool, is_walled: bool) -> Iterator[tuple[Node, bool]]:
    """Give a node and all below it, and whether a LIMIT ends each early."""
    kind = node["Node Type"]
    is_cut = kind == "Limit" or (is_cut and kind not in _BLOCKING)
    yield node, is_cut
    for below in node.get("Plans", []):
        # The wall between merchants is looked at only by whoever is not the server itself.
        is_wall = below.get("Parent Relationship") == "SubPlan" and below.get("Relation Name") == _wall(node)
        if is_walled or not is_wall:
            yield from _below(below, is_cut=is_cut, is_walled=is_walled)


def _wall(node: Node) -> str:
    """Name the table by which the rows of a node's table are kept apart; empty when they name their merchant."""
    table = t.metadata.tables.get(node.get("Relation Name", ""))
    if table is None or "merchant_id" in table.c:
        return ""
    return "payment" if "payment_id" in table.c else "attempt"
