"""The audit log and its chain, moves that the database itself refuses, and on PostgreSQL a wall between merchants.

On SQLite a later version that makes ``payment`` or ``attempt`` anew must make their triggers anew too.
"""

import sqlalchemy as sa
from alembic import op

from gateway.store.types import UtcDateTime

revision = "0006"
down_revision = "0005"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# What may follow what, as the law was when this version was made (gateway.core.moves).
_MOVES = {
    "payment": {
        "created": "opened cancelled expired",
        "opened": "working failed cancelled expired",
        "working": "opened paid failed",
    },
    "attempt": {
        "authenticating": "authenticated declined abandoned authn_failed",
        "authenticated": "authorising abandoned",
        "authorising": "approved declined unknown",
        "unknown": "approved declined reversing",
        "reversing": "reversed review",
        "review": "approved reversed",
        "approved": "captured capture_error refunded",
        "capture_error": "captured review",
        "captured": "part_refunded refunded",
        "part_refunded": "part_refunded refunded",
    },
}

_APPEND_ONLY = ("audit", "seal")
_SQLITE_APPEND_ONLY = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
_PG_APPEND_ONLY = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()
"""
# A statement that empties a table fires no trigger of its rows.
_PG_NOT_EMPTIED = """
CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""

_SQLITE_MOVES = """
CREATE TRIGGER {table}_moves BEFORE UPDATE OF status ON {table}
WHEN OLD.status || '>' || NEW.status NOT IN ({moves})
BEGIN SELECT RAISE(ABORT, '{table} cannot move so'); END
"""
_PG_REFUSE_MOVE = """
CREATE FUNCTION refuse_move() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION '% cannot move so: % > %', TG_TABLE_NAME, OLD.status, NEW.status; END $$ LANGUAGE plpgsql
"""
_PG_MOVES = """
CREATE TRIGGER {table}_moves BEFORE UPDATE OF status ON {table} FOR EACH ROW
WHEN (OLD.status || '>' || NEW.status NOT IN ({moves})) EXECUTE FUNCTION refuse_move()
"""

# A session says for whom it asks: `*` for the server itself, else merchants' ids. Who says nothing sees nothing.
_ALL = "current_setting('guichet.merchants', true) = '*'"
_MINE = f"{_ALL} OR merchant_id = ANY (string_to_array(current_setting('guichet.merchants', true), ','))"
_OF_PAYMENT = f"{_ALL} OR EXISTS (SELECT 1 FROM payment WHERE payment.id = {{table}}.payment_id)"  # noqa: S608 - our own names
_OF_ATTEMPT = f"{_ALL} OR EXISTS (SELECT 1 FROM attempt WHERE attempt.id = {{table}}.attempt_id)"  # noqa: S608 - our own names
_WALLS = {
    _MINE: ("payment", "debt", "signed_request", "alert", "card_entry"),
    _OF_PAYMENT: ("line", "instalment", "event", "attempt", "refund", "notice", "binding"),
    _OF_ATTEMPT: ("hold", "challenge", "operation", "ledger"),
}


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("object", sa.String(length=200), server_default="", nullable=False),
        sa.Column("payment_id", _ID),
        sa.Column("facts", sa.Text(), server_default="{}", nullable=False),
        sa.Column("result", sa.String(length=40), nullable=False),
        sa.Column("origin", sa.String(length=80), server_default="", nullable=False),
        sa.Column("state", sa.String(length=80), server_default="", nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sa.UniqueConstraint("public_id", name=op.f("uq_audit_public_id")),
    )
    is_book = sa.text("what = 'book.read'")
    op.create_index("ix_audit_book", "audit", ["object", "id"], sqlite_where=is_book, postgresql_where=is_book)
    op.create_table(
        "seal",
        sa.Column("n", _ID, autoincrement=False, nullable=False),
        sa.Column("audit_id", _ID, nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_seal")),
        sa.UniqueConstraint("audit_id", name=op.f("uq_seal_audit_id")),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _moves(table: str) -> str:
    return ", ".join(f"'{old}>{new}'" for old, targets in _MOVES[table].items() for new in targets.split())


def _guard_sqlite() -> None:
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_APPEND_ONLY.format(table=table, verb=verb))
    for table in _MOVES:
        op.execute(_SQLITE_MOVES.format(table=table, moves=_moves(table)))


def _guard_postgresql() -> None:
    for table in _APPEND_ONLY:
        op.execute(_PG_APPEND_ONLY.format(table=table))
    for table in (*_APPEND_ONLY, "event", "ledger"):
        op.execute(_PG_NOT_EMPTIED.format(table=table))
    op.execute(_PG_REFUSE_MOVE)
    for table in _MOVES:
        op.execute(_PG_MOVES.format(table=table, moves=_moves(table)))
    for rule, tables in _WALLS.items():
        for table in tables:
            _wall(table, f"FOR ALL USING ({rule.format(table=table)})")
    # Whoever acts for a merchant writes here, and reads nothing.
    _wall("audit", f"FOR SELECT USING ({_ALL})")
    op.execute("CREATE POLICY audit_written ON audit FOR INSERT WITH CHECK (true)")


def _wall(table: str, policy: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    # The owner too: most servers have one account for everything.
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {table}_of_merchant ON {table} {policy}")
