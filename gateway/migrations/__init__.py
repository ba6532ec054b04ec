"""Schema changes, forward only; Alembic does the work.

``upgrade`` is run by ``guichet db upgrade`` and by ``guichet serve`` before anything listens; ``is_current`` is what
``/readyz`` and ``guichet doctor`` ask.
"""

from pathlib import Path

from sqlalchemy import Engine, inspect, text

HERE = Path(__file__).parent

# The newest file in versions/; a test holds the two together, so that a start need not import Alembic to compare.
HEAD = "0001"


def current(engine: Engine) -> str | None:
    """Name the revision the database is at, or ``None`` for an empty one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_current(engine: Engine) -> bool:
    """Say whether the database has every change this version of the code needs."""
    return current(engine) == HEAD


def upgrade(engine: Engine) -> None:
    """Bring the database to this version of the code; nothing happens when it is there."""
    if is_current(engine):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["engine"] = engine
    command.upgrade(config, "head")
