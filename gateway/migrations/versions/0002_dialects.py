"""What payments of foreign dialects need: what they must echo, the names they give, when money is paid out, instalments.

Also the beginning of a receiver's last answer, beside each notice.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("payment", sa.Column("wire", sa.Text(), server_default="{}", nullable=False))
    op.add_column("payment", sa.Column("handle", sa.String(length=64), server_default="", nullable=False))
    op.add_column(
        "payment", sa.Column("capture_by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("payment", sa.Column("capture_days", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempt", sa.Column("expiry", sa.String(length=4), server_default="", nullable=False))
    op.add_column("notice", sa.Column("last_reply", sa.String(length=500), server_default="", nullable=False))
    named = sa.text("handle <> ''")
    op.create_index(
        "uq_payment_handle", "payment", ["dialect", "handle"], unique=True, sqlite_where=named, postgresql_where=named
    )
    op.create_table(
        "instalment",
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("due", sa.Date(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount_cents BETWEEN 1 AND 99999999", name=op.f("ck_instalment_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_instalment_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "position", name=op.f("pk_instalment")),
    )
