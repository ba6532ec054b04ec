"""Alembic's entry: run the versions over the engine that ``upgrade`` handed down."""

from alembic import context

from gateway.store.tables import metadata

engine = context.config.attributes["engine"]

with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
