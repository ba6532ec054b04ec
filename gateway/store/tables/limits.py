"""What is counted so that nobody can try cards out, who holds a page, and what was raised as an alarm.

Rows live for two days (``gateway.core.limits.KEPT``). A card is a keyed digest here, and its key is not in the database.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
)

from gateway.store.tables.base import Id, metadata, words
from gateway.store.types import UtcDateTime

# Asked while the bank is; withheld when it is not to be asked; begun once there is an attempt; invalid when it was no card.
ENTRY_STATES = ("asked", "withheld", "begun", "invalid")

# One card typed on one page, written down before anybody is asked about it.
card_entry = Table(
    "card_entry",
    metadata,
    Column("id", Id, primary_key=True),
    Column("payment_id", Id, ForeignKey("payment.id"), nullable=False),
    Column("attempt_id", Id, ForeignKey("attempt.id")),
    Column("merchant_id", String(63), nullable=False),
    Column("origin", String(64), nullable=False),
    # Under the key of the day it was typed, and of the day before: a day's count goes on past midnight.
    Column("card", LargeBinary(32), nullable=False),
    Column("card_before", LargeBinary(32), nullable=False),
    Column("range", LargeBinary(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", String(8), nullable=False),
    # Wrong one-time codes that were compared for it.
    Column("guesses", Integer, nullable=False, server_default="0"),
    CheckConstraint(f"state IN ({words(ENTRY_STATES)})", name="state"),
    CheckConstraint("guesses >= 0", name="guesses"),
)
Index("ix_card_entry_payment_id", card_entry.c.payment_id)
Index("ix_card_entry_attempt_id", card_entry.c.attempt_id)
Index("ix_card_entry_origin_at", card_entry.c.origin, card_entry.c.at)
Index("ix_card_entry_card_at", card_entry.c.card, card_entry.c.at)
Index("ix_card_entry_card_before_at", card_entry.c.card_before, card_entry.c.at)
Index("ix_card_entry_range_at", card_entry.c.range, card_entry.c.at)
Index("ix_card_entry_at", card_entry.c.at)

# Counts of one second; and the row whoever counts anything else locks first, so that no two count the same at once.
tally = Table(
    "tally",
    metadata,
    Column("scope", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("scope", "subject"),
)
Index("ix_tally_at", tally.c.at)

alert = Table(
    "alert",
    metadata,
    Column("merchant_id", String(63), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("merchant_id", "kind", "subject"),
)

# Which browser a live page belongs to, by a digest of what its cookie holds.
binding = Table(
    "binding",
    metadata,
    Column("payment_id", Id, ForeignKey("payment.id"), primary_key=True, autoincrement=False),
    Column("browser", LargeBinary(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
Index("ix_binding_at", binding.c.at)
