"""Promises to tell, and the pulse of those who keep them."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    text,
)

from gateway.store.tables.base import Id, metadata, words
from gateway.store.types import UtcDateTime

NOTICE_STATES = ("new", "sent", "dead")

notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True),
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("target", String(2000), nullable=False),
    # The target of a confirmation without its query: what is paused when it fails; empty for all other channels.
    Column("endpoint", String(2000), nullable=False, server_default=""),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(4), nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("lease", String(32), nullable=False, server_default=""),
    Column("tries", Integer, nullable=False, server_default="0"),
    # A person asked for it to be sent again; some protocols say so.
    Column("by_hand", Boolean, nullable=False, server_default=text("false")),
    Column("last_error", String(200), nullable=False, server_default=""),
    # The beginning of what the receiver last said: support asks for it.
    Column("last_reply", String(500), nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    UniqueConstraint("channel", "target", "event_id"),
    CheckConstraint(f"state IN ({words(NOTICE_STATES)})", name="state"),
)
# Partial, so that a claim never walks over a million delivered rows.
_undelivered = text("state = 'new'")
Index("ix_notice_due", notice.c.next_at, sqlite_where=_undelivered, postgresql_where=_undelivered)
Index("ix_notice_payment_id", notice.c.payment_id)
_dead = text("state = 'dead'")
Index("ix_notice_dead", notice.c.id, sqlite_where=_dead, postgresql_where=_dead)

# Where confirmations fail, and how often in a row; one that works has no row.
endpoint = Table(
    "endpoint",
    metadata,
    Column("address", String(2000), primary_key=True),
    Column("failures", Integer, nullable=False),
    # Until when nothing is sent there; then one notice goes out and speaks for the others.
    Column("paused_until", UtcDateTime),
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)
