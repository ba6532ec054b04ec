"""Where worlds are played: a folder in memory, and a database of either engine."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.simulation.house import House
from tests.support.postgres import drop_database, fresh_database, start_postgres

# The disk proves nothing here, and would be most of the time.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own inside it


@contextmanager
def open_house(engine: str, server: str = "") -> Iterator[House]:
    """Make a house for many worlds.

    :param server: the PostgreSQL server to use; one is started when none is given
    """
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        if engine == "sqlite":
            house = House(Path(folder))
            yield house
            house.close()
            return
        own = None if server else start_postgres()
        try:
            address = server or (own.url if own else "")
            name = f"simulation_{os.getpid()}"
            house = House(Path(folder), fresh_database(address, name))
            yield house
            house.close()
            drop_database(address, name)
        finally:
            if own:
                own.stop()
