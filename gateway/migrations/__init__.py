"""Schema changes, forward only; Alembic does the work.

``upgrade`` is run by ``guichet db upgrade`` and by ``guichet serve`` before anything listens; ``is_current`` is what
``/readyz`` and ``guichet doctor`` ask.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

HERE = Path(__file__).parent

# The newest file in versions/; a test holds the two together, so that a start need not import Alembic to compare.
HEAD = "0009"


def current(engine: "Engine") -> str | None:
    """Name the revision the database is at, or ``None`` for an empty one."""
    from sqlalchemy import inspect, text

    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_current(engine: "Engine") -> bool:
    """Say whether the database has every change this version of the code needs.

    A newer one has them too, for changes only add: while machines are upgraded one by one, the old ones go on.
    """
    return (current(engine) or "") >= HEAD


def is_current_file(path: Path) -> bool:
    """Say the same of a SQLite file, so that a start which finds nothing to do need not load SQLAlchemy."""
    if not path.is_file():
        return False
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError:
            return False
    return bool(found and found[0] >= HEAD)


def upgrade(engine: "Engine") -> None:
    """Bring the database to this version of the code; nothing happens when it is there."""
    if is_current(engine):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["engine"] = engine
    command.upgrade(config, "head")
