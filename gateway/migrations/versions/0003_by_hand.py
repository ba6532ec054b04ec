"""Whether a person asked for a notice again, the brands a payment is limited to, and its name on bank statements."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("notice", sa.Column("by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    for name, length in (("schemes", 120), ("schemes_again", 120), ("statement", 64)):
        op.add_column("payment", sa.Column(name, sa.String(length=length), server_default="", nullable=False))
