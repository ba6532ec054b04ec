"""The doors that are forced at night: each opens to what it is said to open to, and stays whole under a little force."""

import random
from pathlib import Path

import pytest

from gateway.parts import Parts
from tests.nightly.doors import doors
from tests.support.portal import Portal

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_every_door_stands_a_little_force(parts: Parts, home: Path) -> None:
    chance = random.Random(2026)  # noqa: S311 - the same at each run
    for name, door in doors(parts, Portal(home)).items():
        for number, key in enumerate(door.keys):
            opened = door.enter(key)
            assert opened is not None or number, name
            for _ in range(20):
                at = chance.randrange(len(key) + 1)
                door.enter(key[:at] + chance.randbytes(chance.randrange(4)) + key[at + chance.randrange(3) :])
