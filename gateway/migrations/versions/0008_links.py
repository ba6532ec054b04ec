"""Payment links, behind the wall between merchants."""

import sqlalchemy as sa
from alembic import op

from gateway.store.types import UtcDateTime

revision = "0008"
down_revision = "0007"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MINE = (
    "current_setting('guichet.merchants', true) = '*' "
    "OR merchant_id = ANY (string_to_array(current_setting('guichet.merchants', true), ','))"
)


def upgrade() -> None:
    op.create_table(
        "link",
        sa.Column("id", _ID, nullable=False),
        sa.Column("merchant_id", sa.String(length=63), nullable=False),
        sa.Column("fiscal_year", sa.String(length=4), server_default="", nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("debt", sa.String(length=64), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("label", sa.String(length=140), nullable=False),
        sa.Column("email", sa.String(length=254), server_default="", nullable=False),
        sa.Column("payer_name", sa.String(length=140), server_default="", nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("pay_before", sa.Date()),
        sa.Column("grace_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime()),
        sa.Column("forgotten_at", UtcDateTime()),
        sa.CheckConstraint("amount_cents BETWEEN 1 AND 99999999", name=op.f("ck_link_amount")),
        sa.CheckConstraint("grace_days BETWEEN 0 AND 366", name=op.f("ck_link_grace")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
    )
    is_valid, is_remembered = sa.text("revoked_at IS NULL"), sa.text("forgotten_at IS NULL")
    op.create_index(
        "uq_link_debt",
        "link",
        ["merchant_id", "fiscal_year", "debt"],
        unique=True,
        sqlite_where=is_valid,
        postgresql_where=is_valid,
    )
    op.create_index(
        "ix_link_remembered",
        "link",
        ["merchant_id", "created_at"],
        sqlite_where=is_remembered,
        postgresql_where=is_remembered,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE link ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE link FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY link_of_merchant ON link FOR ALL USING ({_MINE})")
