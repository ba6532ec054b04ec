"""Who did what, and the chain that shows when somebody has rewritten it.

Rows of both are written once: triggers refuse to change or delete them, and the application's own account on PostgreSQL
need not have the right to.
"""

from sqlalchemy import Column, Index, String, Table, Text, text

from gateway.store.tables.base import Id, metadata
from gateway.store.types import UtcDateTime

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    # In the row's MAC, as the row id cannot be: no row can be written twice.
    Column("public_id", String(40), nullable=False, unique=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", String(80), nullable=False),
    Column("what", String(40), nullable=False),
    Column("object", String(200), nullable=False, server_default=""),
    # Not a foreign key: what was done to a payment outlives it.
    Column("payment_id", Id),
    # JSON: what it was before, what it is after, and the like; never a secret, never a payer's name or address.
    Column("facts", Text, nullable=False, server_default="{}"),
    Column("result", String(40), nullable=False),
    Column("origin", String(80), nullable=False, server_default=""),
    # What the payment's rows were once the act was done, as a digest (gateway.store.state).
    Column("state", String(80), nullable=False, server_default=""),
    Column("mac", String(64), nullable=False),
)
# What a start was told: merchants, keys.
is_book = text("what = 'book.read'")
Index("ix_audit_book", audit.c.object, audit.c.id, sqlite_where=is_book, postgresql_where=is_book)

# The chain: each link is a MAC over the one before it and a row of audit.
seal = Table(
    "seal",
    metadata,
    Column("n", Id, primary_key=True, autoincrement=False),
    Column("audit_id", Id, nullable=False, unique=True),
    Column("mac", String(64), nullable=False),
)
