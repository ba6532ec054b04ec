"""The first schema: payments, debts, attempts, messages, events, ledger, refunds and the outbox.

Events and ledger entries are append-only: triggers refuse to change or delete them, whoever asks.
"""

import sqlalchemy as sa
from alembic import op

from gateway.store.types import UtcDateTime

revision = "0001"
down_revision = None

_APPEND_ONLY = ("event", "ledger")

_PG_FUNCTION = """
CREATE FUNCTION refuse_change() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$ LANGUAGE plpgsql
"""
_PG_TRIGGER = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()
"""
_SQLITE_TRIGGER = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""


def upgrade() -> None:
    op.create_table(
        "debt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("merchant_id", sa.String(length=63), nullable=False),
        sa.Column("fiscal_year", sa.String(length=4), server_default="", nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("occurrence", sa.String(length=40), server_default="", nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("holder_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.CheckConstraint("state IN ('busy', 'locked', 'open', 'paid')", name=op.f("ck_debt_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debt")),
        sa.UniqueConstraint(
            "merchant_id",
            "fiscal_year",
            "reference",
            "occurrence",
            name=op.f("uq_debt_merchant_id_fiscal_year_reference_occurrence"),
        ),
    )
    op.create_index("ix_debt_reference", "debt", ["merchant_id", "reference"], unique=False)
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=63), nullable=False),
        sa.Column("dialect", sa.String(length=16), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("label", sa.String(length=140), nullable=False),
        sa.Column("email", sa.String(length=254), server_default="", nullable=False),
        sa.Column("receipt_email", sa.String(length=254), server_default="", nullable=False),
        sa.Column("payer_name", sa.String(length=140), server_default="", nullable=False),
        sa.Column("payer_phone", sa.String(length=20), server_default="", nullable=False),
        sa.Column("beneficiary", sa.String(length=140), server_default="", nullable=False),
        sa.Column("comment", sa.String(length=500), server_default="", nullable=False),
        sa.Column("fiscal_year", sa.String(length=4), server_default="", nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("return_url", sa.String(length=2000), server_default="", nullable=False),
        sa.Column("notify_url", sa.String(length=2000), server_default="", nullable=False),
        sa.Column("pay_before", sa.Date(), nullable=True),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("paid_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("attempts_max", sa.Integer(), nullable=False),
        sa.Column("refunded_cents", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seq", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "status IN ('cancelled', 'created', 'expired', 'failed', 'opened', 'paid', 'working')",
            name=op.f("ck_payment_status"),
        ),
        sa.CheckConstraint("amount_cents BETWEEN 1 AND 99999999", name=op.f("ck_payment_amount")),
        sa.CheckConstraint("refunded_cents BETWEEN 0 AND amount_cents", name=op.f("ck_payment_refunded")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("public_id", name=op.f("uq_payment_public_id")),
    )
    op.create_index(
        "ix_payment_live",
        "payment",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("status IN ('created', 'opened')"),
        postgresql_where=sa.text("status IN ('created', 'opened')"),
    )
    op.create_index("ix_payment_merchant_reference", "payment", ["merchant_id", "reference"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("scheme", sa.String(length=16), nullable=False),
        sa.Column("bin", sa.String(length=8), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("token", sa.String(length=64), server_default="", nullable=False),
        sa.Column("flow", sa.String(length=16), server_default="", nullable=False),
        sa.Column("eci", sa.String(length=2), server_default="", nullable=False),
        sa.Column("authentication", sa.String(length=64), server_default="", nullable=False),
        sa.Column("phone", sa.String(length=32), server_default="", nullable=False),
        sa.Column("response_code", sa.String(length=8), server_default="", nullable=False),
        sa.Column("response_family", sa.String(length=32), server_default="", nullable=False),
        sa.Column("authorisation_number", sa.String(length=16), server_default="", nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("dismissed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "status IN ('abandoned', 'approved', 'authenticated', 'authenticating', 'authn_failed', 'authorising', 'capture_error', 'captured', 'declined', 'part_refunded', 'refunded', 'reversed', 'reversing', 'review', 'unknown')",
            name=op.f("ck_attempt_status"),
        ),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_attempt_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("payment_id", "n", name=op.f("uq_attempt_payment_id_n")),
        sa.UniqueConstraint("public_id", name=op.f("uq_attempt_public_id")),
    )
    op.create_index(
        "ix_attempt_next",
        "attempt",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("next_at IS NOT NULL"),
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_index(
        "uq_attempt_front",
        "attempt",
        ["payment_id"],
        unique=True,
        sqlite_where=sa.text("status IN ('authenticated', 'authenticating')"),
        postgresql_where=sa.text("status IN ('authenticated', 'authenticating')"),
    )
    op.create_index(
        "uq_attempt_money",
        "attempt",
        ["payment_id"],
        unique=True,
        sqlite_where=sa.text(
            "status IN ('approved', 'authorising', 'capture_error', 'captured', 'part_refunded', 'reversing', 'review', 'unknown')"
        ),
        postgresql_where=sa.text(
            "status IN ('approved', 'authorising', 'capture_error', 'captured', 'part_refunded', 'reversing', 'review', 'unknown')"
        ),
    )
    op.create_table(
        "event",
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("facts", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_event_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "seq", name=op.f("pk_event")),
        sa.UniqueConstraint("public_id", name=op.f("uq_event_public_id")),
    )
    op.create_table(
        "line",
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("debt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=140), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount_cents BETWEEN 1 AND 99999999", name=op.f("ck_line_amount")),
        sa.ForeignKeyConstraint(["debt_id"], ["debt.id"], name=op.f("fk_line_debt_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_line_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "position", name=op.f("pk_line")),
        sa.UniqueConstraint("payment_id", "debt_id", name=op.f("uq_line_payment_id_debt_id")),
    )
    op.create_index("ix_line_debt_id", "line", ["debt_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(length=2000), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=4), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("lease", sa.String(length=32), server_default="", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.String(length=200), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("state IN ('dead', 'new', 'sent')", name=op.f("ck_notice_state")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_notice_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("channel", "target", "event_id", name=op.f("uq_notice_channel_target_event_id")),
    )
    op.create_index(
        "ix_notice_due",
        "notice",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("state = 'new'"),
        postgresql_where=sa.text("state = 'new'"),
    )
    op.create_index(
        "ix_notice_order",
        "notice",
        ["payment_id", "channel", "seq"],
        unique=False,
        sqlite_where=sa.text("state = 'new'"),
        postgresql_where=sa.text("state = 'new'"),
    )
    op.create_index("ix_notice_payment_id", "notice", ["payment_id"], unique=False)
    op.create_table(
        "signed_request",
        sa.Column("merchant_id", sa.String(length=63), nullable=False),
        sa.Column("jti", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_signed_request_payment_id")),
        sa.PrimaryKeyConstraint("merchant_id", "jti", name=op.f("pk_signed_request")),
    )
    op.create_table(
        "challenge",
        sa.Column(
            "attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("sends BETWEEN 1 AND 3", name=op.f("ck_challenge_sends")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_challenge_tries")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_challenge_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_challenge")),
    )
    op.create_table(
        "hold",
        sa.Column("attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("debt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_hold_attempt_id")),
        sa.ForeignKeyConstraint(["debt_id"], ["debt.id"], name=op.f("fk_hold_debt_id")),
        sa.PrimaryKeyConstraint("attempt_id", "debt_id", name=op.f("pk_hold")),
    )
    op.create_index(
        "uq_hold_money",
        "hold",
        ["debt_id"],
        unique=True,
        sqlite_where=sa.text("is_active"),
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column(
            "refund_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
        ),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("account IN ('acquirer', 'merchant')", name=op.f("ck_ledger_account")),
        sa.CheckConstraint("kind IN ('debit', 'refund')", name=op.f("ck_ledger_kind")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_ledger_attempt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint(
            "attempt_id", "kind", "refund_id", "account", name=op.f("uq_ledger_attempt_id_kind_refund_id_account")
        ),
    )
    op.create_table(
        "operation",
        sa.Column("op_id", sa.String(length=40), nullable=False),
        sa.Column("attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), server_default="", nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("kind IN ('authorise', 'reverse', 'capture', 'refund')", name=op.f("ck_operation_kind")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_operation_attempt_id")),
        sa.PrimaryKeyConstraint("op_id", name=op.f("pk_operation")),
        sa.UniqueConstraint("attempt_id", "kind", "n", name=op.f("uq_operation_attempt_id_kind_n")),
    )
    op.create_table(
        "refund",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("op_id", sa.String(length=40), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=140), server_default="", nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("status IN ('done', 'pending', 'refused', 'unknown')", name=op.f("ck_refund_status")),
        sa.CheckConstraint("amount_cents BETWEEN 1 AND 99999999", name=op.f("ck_refund_amount")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_refund_attempt_id")),
        sa.ForeignKeyConstraint(["op_id"], ["operation.op_id"], name=op.f("fk_refund_op_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("op_id", name=op.f("uq_refund_op_id")),
        sa.UniqueConstraint("public_id", name=op.f("uq_refund_public_id")),
    )
    op.create_index(
        "ix_refund_next",
        "refund",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("next_at IS NOT NULL"),
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_index("ix_refund_payment_id", "refund", ["payment_id"], unique=False)
    _make_append_only()


def _make_append_only() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_PG_FUNCTION)
        for table in _APPEND_ONLY:
            op.execute(_PG_TRIGGER.format(table=table))
        return
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_TRIGGER.format(table=table, verb=verb))
