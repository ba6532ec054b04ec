"""What the application's account on PostgreSQL may do: all it needs, and nothing that would rewrite history."""

from collections.abc import Iterator

from sqlalchemy import Engine, text
from sqlalchemy.dialects.postgresql.base import PGIdentifierPreparer

from gateway.store.tables import metadata

# Written once, by whoever; triggers say so too, and an owner could drop those.
APPEND_ONLY = ("audit", "event", "ledger", "seal")


def grant(engine: Engine, role: str) -> None:
    """Give an account that exists what the application needs; run by the tables' owner, after each schema change."""
    quoted = PGIdentifierPreparer(engine.dialect).quote(role)
    tables = ", ".join(sorted(metadata.tables))
    kept = ", ".join(APPEND_ONLY)
    with engine.begin() as connection:
        for statement in (
            f"GRANT USAGE ON SCHEMA public TO {quoted}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quoted}",
            f"REVOKE UPDATE, DELETE, TRUNCATE ON {kept} FROM {quoted}",
            f"GRANT SELECT ON alembic_version TO {quoted}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}",
        ):
            connection.execute(text(statement))


def too_many(engine: Engine) -> Iterator[str]:
    """Say what the account we use could do and never needs to."""
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        role = connection.execute(
            text("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user")
        ).one()
        owned = connection.execute(text("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")).scalar_one()
        asked = text("SELECT has_table_privilege(current_user, to_regclass(:table), 'UPDATE, DELETE, TRUNCATE')")
        rewritable = [name for name in APPEND_ONLY if connection.execute(asked, {"table": name}).scalar()]
    if role.rolsuper:
        yield "its account is a superuser: nothing keeps it from any row, nor merchants apart; use a plain one"
        return
    if role.rolbypassrls:
        yield "its account has BYPASSRLS: the wall between merchants does not stand before it; take that away"
    if role.rolcreaterole:
        yield "its account may make others (CREATEROLE); take that away"
    if owned:
        yield "its account owns the tables, and so could take triggers and walls away; see docs/operations.md"
    elif rewritable:
        yield f"its account may rewrite {', '.join(rewritable)}; run guichet db grant as the owner"
