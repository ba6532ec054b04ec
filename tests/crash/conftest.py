"""A stage for each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.rig import Rig, on_stage


@pytest.fixture
def rig(home: Path, database_url: str, tmp_path: Path) -> Iterator[Rig]:
    """Give a running stage."""
    place = tmp_path / "place"
    place.mkdir()
    with on_stage(home, database_url, place) as rig:
        yield rig
