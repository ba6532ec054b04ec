"""Payment links: what their printed addresses ask for. The addresses themselves are nowhere: they are signed numbers."""

from sqlalchemy import CheckConstraint, Column, Date, Index, Integer, String, Table, text

from gateway.core.money import AMOUNT_MAX
from gateway.store.tables.base import Id, metadata
from gateway.store.types import UtcDateTime

link = Table(
    "link",
    metadata,
    Column("id", Id, primary_key=True),
    Column("merchant_id", String(63), nullable=False),
    Column("fiscal_year", String(4), nullable=False, server_default=""),
    # As the invoice prints it, and as the debt is known by.
    Column("reference", String(64), nullable=False),
    Column("debt", String(64), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("label", String(140), nullable=False),
    Column("email", String(254), nullable=False, server_default=""),
    Column("payer_name", String(140), nullable=False, server_default=""),
    Column("language", String(8), nullable=False),
    Column("pay_before", Date),
    Column("grace_days", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    # When the merchant's term was over and all that tells of a person was blanked.
    Column("forgotten_at", UtcDateTime),
    CheckConstraint(f"amount_cents BETWEEN 1 AND {AMOUNT_MAX}", name="amount"),
    CheckConstraint("grace_days BETWEEN 0 AND 366", name="grace"),
)
_valid = text("revoked_at IS NULL")
# Two invoices of one debt that say two amounts would be a quarrel at the counter.
Index("uq_link_debt", link.c.merchant_id, link.c.fiscal_year, link.c.debt, unique=True, sqlite_where=_valid,
      postgresql_where=_valid)  # fmt: skip
_remembered = text("forgotten_at IS NULL")
Index("ix_link_remembered", link.c.merchant_id, link.c.created_at, sqlite_where=_remembered,
      postgresql_where=_remembered)  # fmt: skip
# What the operator lists: a merchant's latest, and those of one debt, the revoked ones too.
Index("ix_link_merchant_id_id", link.c.merchant_id, link.c.id)
Index("ix_link_merchant_id_debt", link.c.merchant_id, link.c.debt)
