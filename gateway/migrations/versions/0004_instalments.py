"""What time brings about: later instalments as payments of their own, endpoints that pause, people who are forgotten.

Instalments of purchases made before are void: their cards were forgotten when the first part was paid.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("payment", sa.Column("parent_id", _ID))
    op.add_column("payment", sa.Column("rank", sa.Integer(), server_default="1", nullable=False))
    op.add_column("payment", sa.Column("forgotten_at", _MOMENT))
    op.add_column("refund", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("notice", sa.Column("endpoint", sa.String(length=2000), server_default="", nullable=False))
    op.create_table(
        "endpoint",
        sa.Column("address", sa.String(length=2000), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", _MOMENT),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_endpoint")),
    )
    _remake_instalments()
    _partial("uq_payment_part", "payment", ["parent_id", "rank"], "parent_id IS NOT NULL", unique=True)
    remembered = "ended_at IS NOT NULL AND forgotten_at IS NULL"
    _partial("ix_payment_remembered", "payment", ["merchant_id", "ended_at"], remembered)
    _partial("ix_attempt_by_hand", "attempt", ["ended_at"], "status = 'approved' AND next_at IS NULL")
    _partial("ix_instalment_due", "instalment", ["due"], "state = 'planned'")
    _partial("ix_instalment_asked", "instalment", ["payment_id"], "state = 'asked'")


def _remake_instalments() -> None:
    """Make the table anew with its check, which SQLite cannot add to one that is there."""
    columns = (
        sa.Column("payment_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("due", sa.Date(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
    )
    kept = op.get_bind().execute(sa.select(sa.table("instalment", *(sa.column(c.name, c.type) for c in columns))))
    rows = [{**row, "state": "void"} for row in kept.mappings()]
    op.drop_table("instalment")
    made = op.create_table(
        "instalment",
        *columns,
        sa.Column("state", sa.String(length=8), server_default="planned", nullable=False),
        sa.CheckConstraint("amount_cents BETWEEN 1 AND 99999999", name=op.f("ck_instalment_amount")),
        sa.CheckConstraint(
            "state IN ('asked', 'paid', 'planned', 'refused', 'void')", name=op.f("ck_instalment_state")
        ),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_instalment_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "position", name=op.f("pk_instalment")),
    )
    if rows:
        op.bulk_insert(made, rows)


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
