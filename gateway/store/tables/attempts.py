"""Card submissions, what was asked of the acquirer, and the money that moved."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
)

from gateway.core.money import AMOUNT_MAX
from gateway.core.states import FRONT, MONEY, AttemptStatus
from gateway.store.tables.base import Id, metadata, words
from gateway.store.types import UtcDateTime

REFUND_STATES = ("pending", "unknown", "done", "refused")

attempt = Table(
    "attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("scheme", String(16), nullable=False),
    Column("bin", String(8), nullable=False),
    Column("last4", String(4), nullable=False),
    Column("expiry", String(4), nullable=False, server_default=""),
    Column("token", String(64), nullable=False, server_default=""),
    Column("flow", String(16), nullable=False, server_default=""),
    Column("eci", String(2), nullable=False, server_default=""),
    Column("authentication", String(64), nullable=False, server_default=""),
    Column("phone", String(32), nullable=False, server_default=""),
    Column("response_code", String(8), nullable=False, server_default=""),
    Column("response_family", String(32), nullable=False, server_default=""),
    Column("authorisation_number", String(16), nullable=False, server_default=""),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    # When somebody must look again: the authorisation's deadline, the next inquiry, the next capture.
    Column("next_at", UtcDateTime),
    Column("tries", Integer, nullable=False, server_default="0"),
    # The payer has read this refusal and asked for the card page again.
    Column("dismissed", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("payment_id", "n"),
    CheckConstraint(f"status IN ({words(AttemptStatus)})", name="status"),
)
_money = text(f"status IN ({words(MONEY)})")
_front = text(f"status IN ({words(FRONT)})")
Index("uq_attempt_money", attempt.c.payment_id, unique=True, sqlite_where=_money, postgresql_where=_money)
Index("uq_attempt_front", attempt.c.payment_id, unique=True, sqlite_where=_front, postgresql_where=_front)
Index("ix_attempt_next", attempt.c.next_at, sqlite_where=text("next_at IS NOT NULL"),
      postgresql_where=text("next_at IS NOT NULL"))  # fmt: skip
# Money that is paid out when its merchant says so, and may be forgotten about.
_by_hand = text("status = 'approved' AND next_at IS NULL")
Index("ix_attempt_by_hand", attempt.c.ended_at, sqlite_where=_by_hand, postgresql_where=_by_hand)

# What metrics count every few seconds: money that somebody must look after.
WATCHED = (AttemptStatus.UNKNOWN, AttemptStatus.REVERSING, AttemptStatus.REVIEW, AttemptStatus.CAPTURE_ERROR)
_watched = text(f"status IN ({words(WATCHED)})")
Index("ix_attempt_watched", attempt.c.status, sqlite_where=_watched, postgresql_where=_watched)

# Which attempt holds, or may hold, the money of which debt. A payment of several debts holds each of them.
hold = Table(
    "hold",
    metadata,
    Column("attempt_id", Id, ForeignKey("attempt.id"), nullable=False),
    Column("debt_id", Id, ForeignKey("debt.id"), nullable=False),
    Column("is_active", Boolean, nullable=False),
    PrimaryKeyConstraint("attempt_id", "debt_id"),
)
Index("uq_hold_money", hold.c.debt_id, unique=True, sqlite_where=text("is_active"), postgresql_where=text("is_active"))

challenge = Table(
    "challenge",
    metadata,
    Column("attempt_id", Id, ForeignKey("attempt.id"), primary_key=True, autoincrement=False),
    Column("tries", Integer, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("code_mac", LargeBinary(32), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
    CheckConstraint("sends BETWEEN 1 AND 3", name="sends"),
)

operation = Table(
    "operation",
    metadata,
    Column("op_id", String(40), primary_key=True),
    Column("attempt_id", Id, ForeignKey("attempt.id"), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("n", Integer, nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("outcome", String(16), nullable=False, server_default=""),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    UniqueConstraint("attempt_id", "kind", "n"),
    CheckConstraint("kind IN ('authorise', 'reverse', 'capture', 'refund')", name="kind"),
)
_authorisation = text("kind = 'authorise'")
# What the bank's statement of a period is compared with.
Index("ix_operation_authorised", operation.c.asked_at, sqlite_where=_authorisation, postgresql_where=_authorisation)

refund = Table(
    "refund",
    metadata,
    Column("id", Id, primary_key=True),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("attempt_id", Id, ForeignKey("attempt.id"), nullable=False),
    Column("op_id", String(40), ForeignKey("operation.op_id"), nullable=False, unique=True),
    Column("amount_cents", Integer, nullable=False),
    Column("status", String(8), nullable=False),
    Column("reason", String(140), nullable=False, server_default=""),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime),
    Column("tries", Integer, nullable=False, server_default="0"),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
    CheckConstraint(f"status IN ({words(REFUND_STATES)})", name="status"),
)
Index("ix_refund_payment_id", refund.c.payment_id)
Index("ix_refund_next", refund.c.next_at, sqlite_where=text("next_at IS NOT NULL"),
      postgresql_where=text("next_at IS NOT NULL"))  # fmt: skip

ledger = Table(
    "ledger",
    metadata,
    Column("id", Id, primary_key=True),
    Column("attempt_id", Id, ForeignKey("attempt.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    # 0 for the debit, the refund's id for a refund: NULLs would not collide.
    Column("refund_id", Id, nullable=False, server_default="0"),
    Column("account", String(12), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("attempt_id", "kind", "refund_id", "account"),
    CheckConstraint("kind IN ('debit', 'refund')", name="kind"),
    CheckConstraint("account IN ('acquirer', 'merchant')", name="account"),
)
