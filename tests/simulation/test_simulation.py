"""No seed breaks a promise, and any seed can be played again."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.cast import perform
from tests.simulation.house import House
from tests.simulation.world import World, fingerprint
from tests.support.checker import check
from tests.support.evidence import Evidence
from tests.support.figures import record
from tests.support.scale import scaled

ROOT = Path(__file__).parents[2]
# So that several hands can share them.
BLOCKS = 5
SEEDS = scaled(100, 2000)
SEEDS_ON_POSTGRESQL = scaled(15, 500)
# A doubt is asked about at least once a minute; whoever was killed while asking is missed after another, and a bank that
# reviews a payment has no clear answer twice more.
SETTLED_SECONDS_MAX = 240


def play(house: House, seed: int) -> tuple[World, Evidence]:
    world = World(house, seed)
    perform(world)
    return world, world.evidence()


def survey(house: House, seeds: range) -> Counter[str]:
    """Play many seeds; gives what was seen, so that a tame simulation shows."""
    seen: Counter[str] = Counter()
    began, slowest = time.process_time(), 0.0
    for seed in seeds:
        world, evidence = play(house, seed)
        found = check(evidence)
        assert not found, (
            f"python -m tests.simulation --seed {seed} --engine {house.engine.dialect.name} --trace: {found}"
        )
        if not world.jump:
            slowest = max(slowest, world.settled_seconds or 0.0)
        seen.update(f"{act.op} {act.result}" for act in evidence.history)
        seen.update(f"attempt {row['status']}" for row in evidence.tables["attempt"])
        seen["unclear answers"] += sum(not exchange.outcome for exchange in evidence.exchanges or ())
        seen["deliveries"] += len(evidence.deliveries)
    engine, seconds = house.engine.dialect.name, round(time.process_time() - began, 1)
    record(
        "simulation", engine=engine, seeds=len(seeds), cpu_seconds=seconds, settled_seconds=round(slowest, 1), **seen
    )
    assert slowest <= SETTLED_SECONDS_MAX
    return seen


@pytest.mark.nightly_too
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_breaks_a_promise(house: House, block: int) -> None:
    seen = survey(house, range(block * SEEDS, (block + 1) * SEEDS))

    wanted = (
        "authorise unknown",
        "answer_challenge ok",
        "refund ok",
        "attempt reversed",
        "attempt declined",
        "unclear answers",
    )
    assert all(seen[name] for name in wanted), seen


@pytest.mark.nightly_too
@pytest.mark.timeout(3600)
def test_no_seed_breaks_a_promise_on_postgresql(postgresql_house: House) -> None:
    seen = survey(postgresql_house, range(SEEDS_ON_POSTGRESQL))

    assert seen["attempt captured"]


def test_a_seed_is_played_again_byte_for_byte(house: House) -> None:
    first, second, other = (fingerprint(play(house, seed)[1]) for seed in (7, 7, 8))

    assert first == second != other


def test_a_printed_seed_is_replayed_by_one_command(house: House) -> None:
    _, evidence = play(house, 7)
    environ = {**os.environ, "PYTHONHASHSEED": "12"}

    command = [sys.executable, "-m", "tests.simulation", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)

    assert fingerprint(evidence) in done.stdout


def test_a_seed_is_played_again_on_postgresql(postgresql_house: House) -> None:
    first, second = (fingerprint(play(postgresql_house, seed)[1]) for seed in (7, 7))

    assert first == second
