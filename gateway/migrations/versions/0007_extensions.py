"""How often a payer asked for more time, how much each time gives, how far it can go; and which language was chosen."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Pages that are open at this moment may have had another life; it matters for as long as they are.
    op.add_column("payment", sa.Column("page_minutes", sa.Integer(), server_default="30", nullable=False))
    op.add_column("payment", sa.Column("extensions", sa.Integer(), server_default="0", nullable=False))
    op.add_column("payment", sa.Column("latest_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payment", sa.Column("spoken", sa.String(length=8), server_default="", nullable=False))
    # Of these, the moment that none may pass is not written down: they end when they were to end.
    op.execute(
        "UPDATE payment SET latest_at = expires_at WHERE status IN ('created', 'opened') AND pay_before IS NOT NULL"
    )
