"""Houses for worlds, kept for as long as the tests run."""

from collections.abc import Iterator

import pytest

from tests.simulation.house import House
from tests.simulation.stages import open_house


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """Give a house on SQLite."""
    with open_house("sqlite") as house:
        yield house


@pytest.fixture(scope="session")
def postgresql_house(postgres: str) -> Iterator[House]:
    """Give a house on PostgreSQL."""
    with open_house("postgresql", postgres) as house:
        yield house
