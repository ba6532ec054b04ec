"""What is counted against card testing, the alarms that were raised, and which browser a page belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_card_entry()
    op.create_table(
        "tally",
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_tally")),
    )
    op.create_table(
        "alert",
        sa.Column("merchant_id", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "kind", "subject", name=op.f("pk_alert")),
    )
    op.create_table(
        "binding",
        sa.Column("payment_id", _ID, autoincrement=False, nullable=False),
        sa.Column("browser", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_binding_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_binding")),
    )


def _create_card_entry() -> None:
    op.create_table(
        "card_entry",
        sa.Column("id", _ID, nullable=False),
        sa.Column("payment_id", _ID, nullable=False),
        sa.Column("attempt_id", _ID, nullable=True),
        sa.Column("merchant_id", sa.String(length=63), nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=False),
        sa.Column("card", sa.LargeBinary(length=32), nullable=False),
        sa.Column("card_before", sa.LargeBinary(length=32), nullable=False),
        sa.Column("range", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("guesses", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("guesses >= 0", name=op.f("ck_card_entry_guesses")),
        sa.CheckConstraint(
            "state IN ('asked', 'begun', 'invalid', 'withheld')", name=op.f("ck_card_entry_state")
        ),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_card_entry_attempt_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_card_entry_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_entry")),
    )  # fmt: skip
    for column in ("payment_id", "attempt_id", "at"):
        op.create_index(f"ix_card_entry_{column}", "card_entry", [column])
    for column in ("origin", "card", "card_before", "range"):
        op.create_index(f"ix_card_entry_{column}_at", "card_entry", [column, "at"])
