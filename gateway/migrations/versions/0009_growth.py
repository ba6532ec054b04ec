"""Indexes for what was looked up by walking over a whole table, of few rows where only few are ever asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    _partial(
        "ix_attempt_watched", "attempt", ["status"], "status IN ('capture_error', 'reversing', 'review', 'unknown')"
    )
    _partial("ix_operation_authorised", "operation", ["asked_at"], "kind = 'authorise'")
    _partial("ix_notice_dead", "notice", ["id"], "state = 'dead'")
    # A claim walks once over what is undelivered, and asks for no other order.
    op.drop_index("ix_notice_order", table_name="notice")
    op.create_index("ix_tally_at", "tally", ["at"])
    op.create_index("ix_binding_at", "binding", ["at"])
    op.create_index("ix_link_merchant_id_id", "link", ["merchant_id", "id"])
    op.create_index("ix_link_merchant_id_debt", "link", ["merchant_id", "debt"])


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
