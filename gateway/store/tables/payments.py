"""Payments, what they pay, what asked for them, and their history."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.core.money import AMOUNT_MAX
from gateway.core.states import Status
from gateway.store.tables.base import Id, metadata, words
from gateway.store.types import UtcDateTime

DEBT_STATES = ("open", "locked", "busy", "paid")
# Planned until due, asked while a payment of its own is under way, then what became of that; void when it never will be.
INSTALMENT_STATES = ("planned", "asked", "paid", "refused", "void")

signed_request = Table(
    "signed_request",
    metadata,
    Column("merchant_id", String(63), nullable=False),
    Column("jti", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("payment_id", Id, ForeignKey("payment.id")),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("merchant_id", "jti"),
)

debt = Table(
    "debt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("merchant_id", String(63), nullable=False),
    Column("fiscal_year", String(4), nullable=False, server_default=""),
    Column("reference", String(64), nullable=False),
    # '' for a debt that is paid once; a number or a payment id where the merchant lets a reference repeat.
    Column("occurrence", String(40), nullable=False, server_default=""),
    Column("state", String(8), nullable=False),
    Column("holder_id", Id),
    Column("locked_until", UtcDateTime),
    UniqueConstraint("merchant_id", "fiscal_year", "reference", "occurrence"),
    CheckConstraint(f"state IN ({words(DEBT_STATES)})", name="state"),
)
Index("ix_debt_reference", debt.c.merchant_id, debt.c.reference)

payment = Table(
    "payment",
    metadata,
    Column("id", Id, primary_key=True),
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
    Column("spoken", String(8), nullable=False, server_default=""),
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
    # The brands the payer may use, separated by blanks; empty for all. Then those after a refusal; empty for the same.
    Column("schemes", String(120), nullable=False, server_default=""),
    Column("schemes_again", String(120), nullable=False, server_default=""),
    # What bank statements are to call the payment.
    Column("statement", String(64), nullable=False, server_default=""),
    Column("digest", String(64), nullable=False),
    Column("status", String(12), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    # What each extension gives, how many were given, and the moment none can pass.
    Column("page_minutes", Integer, nullable=False, server_default="30"),
    Column("extensions", Integer, nullable=False, server_default="0"),
    Column("latest_at", UtcDateTime),
    Column("paid_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("attempts_max", Integer, nullable=False),
    Column("refunded_cents", Integer, nullable=False, server_default="0"),
    Column("seq", Integer, nullable=False, server_default="0"),
    # A later instalment is a payment of its own: of which purchase, and its place among the debits of it.
    Column("parent_id", Id),
    Column("rank", Integer, nullable=False, server_default="1"),
    # When the merchant's term was over and all that tells of a person was blanked.
    Column("forgotten_at", UtcDateTime),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
    CheckConstraint("refunded_cents BETWEEN 0 AND amount_cents", name="refunded"),
    CheckConstraint(f"status IN ({words(Status)})", name="status"),
)
Index("ix_payment_merchant_reference", payment.c.merchant_id, payment.c.reference)
Index("ix_payment_live", payment.c.expires_at, sqlite_where=text("status IN ('created', 'opened')"),
      postgresql_where=text("status IN ('created', 'opened')"))  # fmt: skip

_named = text("handle <> ''")
Index(
    "uq_payment_handle", payment.c.dialect, payment.c.handle, unique=True, sqlite_where=_named, postgresql_where=_named
)

_part = text("parent_id IS NOT NULL")
Index(
    "uq_payment_part", payment.c.parent_id, payment.c.rank, unique=True, sqlite_where=_part, postgresql_where=_part
)  # fmt: skip
_remembered = text("ended_at IS NOT NULL AND forgotten_at IS NULL")
Index("ix_payment_remembered", payment.c.merchant_id, payment.c.ended_at, sqlite_where=_remembered,
      postgresql_where=_remembered)  # fmt: skip

# The later parts of a purchase paid in several times: the part at position n is the debit of rank n + 2.
instalment = Table(
    "instalment",
    metadata,
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("due", Date, nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("state", String(8), nullable=False, server_default="planned"),
    PrimaryKeyConstraint("payment_id", "position"),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
    CheckConstraint(f"state IN ({words(INSTALMENT_STATES)})", name="state"),
)
_planned, _asked = text("state = 'planned'"), text("state = 'asked'")
Index("ix_instalment_due", instalment.c.due, sqlite_where=_planned, postgresql_where=_planned)
Index("ix_instalment_asked", instalment.c.payment_id, sqlite_where=_asked, postgresql_where=_asked)

line = Table(
    "line",
    metadata,
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("debt_id", Id, ForeignKey("debt.id"), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("label", String(140), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    PrimaryKeyConstraint("payment_id", "position"),
    UniqueConstraint("payment_id", "debt_id"),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
)
Index("ix_line_debt_id", line.c.debt_id)

event = Table(
    "event",
    metadata,
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("public_id", String(40), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("facts", Text, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("payment_id", "seq"),
)
