"""The tables and the constraints that hold even when the code forgets.

One row per thing; money in integer minor units; every string has a length, every constraint a name. The partial unique
indexes are the last line against a double debit: at most one attempt that may hold money per debt.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.core.money import AMOUNT_MAX
from gateway.core.payment import FRONT, MONEY, AttemptStatus, Status
from gateway.store.types import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives an auto-incremented key only to INTEGER, PostgreSQL should count past 2^31.
_Id = BigInteger().with_variant(Integer(), "sqlite")


def _words(words: frozenset[AttemptStatus] | type[Status] | type[AttemptStatus] | tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(str(word) for word in words))


DEBT_STATES = ("open", "locked", "busy", "paid")
NOTICE_STATES = ("new", "sent", "dead")
REFUND_STATES = ("pending", "unknown", "done", "refused")

signed_request = Table(
    "signed_request",
    metadata,
    Column("merchant_id", String(63), nullable=False),
    Column("jti", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("payment_id", _Id, ForeignKey("payment.id")),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("merchant_id", "jti"),
)

debt = Table(
    "debt",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("merchant_id", String(63), nullable=False),
    Column("fiscal_year", String(4), nullable=False, server_default=""),
    Column("reference", String(64), nullable=False),
    # '' for a debt that is paid once; a number or a payment id where the merchant lets a reference repeat.
    Column("occurrence", String(40), nullable=False, server_default=""),
    Column("state", String(8), nullable=False),
    Column("holder_id", _Id),
    Column("locked_until", UtcDateTime),
    UniqueConstraint("merchant_id", "fiscal_year", "reference", "occurrence"),
    CheckConstraint(f"state IN ({_words(DEBT_STATES)})", name="state"),
)
Index("ix_debt_reference", debt.c.merchant_id, debt.c.reference)

payment = Table(
    "payment",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("merchant_id", String(63), nullable=False),
    Column("dialect", String(16), nullable=False),
    Column("mode", String(12), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("label", String(140), nullable=False),
    Column("email", String(254), nullable=False, server_default=""),
    Column("receipt_email", String(254), nullable=False, server_default=""),
    Column("payer_name", String(140), nullable=False, server_default=""),
    Column("payer_phone", String(20), nullable=False, server_default=""),
    Column("beneficiary", String(140), nullable=False, server_default=""),
    Column("comment", String(500), nullable=False, server_default=""),
    Column("fiscal_year", String(4), nullable=False, server_default=""),
    Column("language", String(8), nullable=False),
    Column("return_url", String(2000), nullable=False, server_default=""),
    Column("notify_url", String(2000), nullable=False, server_default=""),
    Column("pay_before", Date),
    Column("metadata", Text, nullable=False, server_default="{}"),
    # What the dialect must remember to answer in kind, and the name it gave the payment.
    Column("wire", Text, nullable=False, server_default="{}"),
    Column("handle", String(64), nullable=False, server_default=""),
    Column("capture_by_hand", Boolean, nullable=False, server_default=text("false")),
    Column("capture_days", Integer, nullable=False, server_default="0"),
    Column("digest", String(64), nullable=False),
    Column("status", String(12), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("paid_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("attempts_max", Integer, nullable=False),
    Column("refunded_cents", Integer, nullable=False, server_default="0"),
    Column("seq", Integer, nullable=False, server_default="0"),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
    CheckConstraint("refunded_cents BETWEEN 0 AND amount_cents", name="refunded"),
    CheckConstraint(f"status IN ({_words(Status)})", name="status"),
)
Index("ix_payment_merchant_reference", payment.c.merchant_id, payment.c.reference)
Index("ix_payment_live", payment.c.expires_at, sqlite_where=text("status IN ('created', 'opened')"),
      postgresql_where=text("status IN ('created', 'opened')"))  # fmt: skip

_named = text("handle <> ''")
Index(
    "uq_payment_handle", payment.c.dialect, payment.c.handle, unique=True, sqlite_where=_named, postgresql_where=_named
)

# The later parts of a purchase paid in several times.
instalment = Table(
    "instalment",
    metadata,
    Column("payment_id", _Id, ForeignKey("payment.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("due", Date, nullable=False),
    Column("amount_cents", Integer, nullable=False),
    PrimaryKeyConstraint("payment_id", "position"),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
)

line = Table(
    "line",
    metadata,
    Column("payment_id", _Id, ForeignKey("payment.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("debt_id", _Id, ForeignKey("debt.id"), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("label", String(140), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    PrimaryKeyConstraint("payment_id", "position"),
    UniqueConstraint("payment_id", "debt_id"),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
)
Index("ix_line_debt_id", line.c.debt_id)

attempt = Table(
    "attempt",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("payment_id", _Id, ForeignKey("payment.id"), nullable=False),
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
    CheckConstraint(f"status IN ({_words(AttemptStatus)})", name="status"),
)
_money = text(f"status IN ({_words(MONEY)})")
_front = text(f"status IN ({_words(FRONT)})")
Index("uq_attempt_money", attempt.c.payment_id, unique=True, sqlite_where=_money, postgresql_where=_money)
Index("uq_attempt_front", attempt.c.payment_id, unique=True, sqlite_where=_front, postgresql_where=_front)
Index("ix_attempt_next", attempt.c.next_at, sqlite_where=text("next_at IS NOT NULL"),
      postgresql_where=text("next_at IS NOT NULL"))  # fmt: skip

# Which attempt holds, or may hold, the money of which debt. A payment of several debts holds each of them.
hold = Table(
    "hold",
    metadata,
    Column("attempt_id", _Id, ForeignKey("attempt.id"), nullable=False),
    Column("debt_id", _Id, ForeignKey("debt.id"), nullable=False),
    Column("is_active", Boolean, nullable=False),
    PrimaryKeyConstraint("attempt_id", "debt_id"),
)
Index("uq_hold_money", hold.c.debt_id, unique=True, sqlite_where=text("is_active"), postgresql_where=text("is_active"))

challenge = Table(
    "challenge",
    metadata,
    Column("attempt_id", _Id, ForeignKey("attempt.id"), primary_key=True, autoincrement=False),
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
    Column("attempt_id", _Id, ForeignKey("attempt.id"), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("n", Integer, nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("outcome", String(16), nullable=False, server_default=""),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    UniqueConstraint("attempt_id", "kind", "n"),
    CheckConstraint("kind IN ('authorise', 'reverse', 'capture', 'refund')", name="kind"),
)

refund = Table(
    "refund",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("payment_id", _Id, ForeignKey("payment.id"), nullable=False),
    Column("attempt_id", _Id, ForeignKey("attempt.id"), nullable=False),
    Column("op_id", String(40), ForeignKey("operation.op_id"), nullable=False, unique=True),
    Column("amount_cents", Integer, nullable=False),
    Column("status", String(8), nullable=False),
    Column("reason", String(140), nullable=False, server_default=""),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
    CheckConstraint(f"status IN ({_words(REFUND_STATES)})", name="status"),
)
Index("ix_refund_payment_id", refund.c.payment_id)
Index("ix_refund_next", refund.c.next_at, sqlite_where=text("next_at IS NOT NULL"),
      postgresql_where=text("next_at IS NOT NULL"))  # fmt: skip

event = Table(
    "event",
    metadata,
    Column("payment_id", _Id, ForeignKey("payment.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("facts", Text, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("payment_id", "seq"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("attempt_id", _Id, ForeignKey("attempt.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    # 0 for the debit, the refund's id for a refund: NULLs would not collide.
    Column("refund_id", _Id, nullable=False, server_default="0"),
    Column("account", String(12), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("attempt_id", "kind", "refund_id", "account"),
    CheckConstraint("kind IN ('debit', 'refund')", name="kind"),
    CheckConstraint("account IN ('acquirer', 'merchant')", name="account"),
)

notice = Table(
    "notice",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("payment_id", _Id, ForeignKey("payment.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("target", String(2000), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(4), nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("lease", String(32), nullable=False, server_default=""),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("last_error", String(200), nullable=False, server_default=""),
    # The beginning of what the receiver last said: support asks for it.
    Column("last_reply", String(500), nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    UniqueConstraint("channel", "target", "event_id"),
    CheckConstraint(f"state IN ({_words(NOTICE_STATES)})", name="state"),
)
# Partial, so that a claim never walks over a million delivered rows.
_undelivered = text("state = 'new'")
Index("ix_notice_due", notice.c.next_at, sqlite_where=_undelivered, postgresql_where=_undelivered)
Index("ix_notice_order", notice.c.payment_id, notice.c.channel, notice.c.seq, sqlite_where=_undelivered,
      postgresql_where=_undelivered)  # fmt: skip
Index("ix_notice_payment_id", notice.c.payment_id)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)
