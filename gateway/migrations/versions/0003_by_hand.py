"""Whether a person asked for a notice again, and the brands a merchant limits a payment to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("notice", sa.Column("by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("payment", sa.Column("schemes", sa.String(length=120), server_default="", nullable=False))
