"""Replay one seed, or look for one that breaks a promise: ``python -m tests.simulation --seed 7 --trace``."""

import argparse
import logging
import sys
import time

from tests.simulation.cast import perform
from tests.simulation.stages import open_house
from tests.simulation.world import World, fingerprint
from tests.support.checker import check


def main() -> int:
    """Play the seeds asked for; returns how many broke a promise (255 at most, as exit codes go)."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first, or only, seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds in a row")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--trace", action="store_true", help="tell everything that happens")
    given = parser.parse_args()
    # Most of what goes wrong here is meant to.
    logging.disable(logging.NOTSET if given.trace else logging.CRITICAL)
    broken, began = 0, time.process_time()
    with open_house(given.engine) as house:
        for seed in range(given.seed, given.seed + given.count):
            world = World(house, seed, trace=_say if given.trace else None)
            perform(world)
            evidence = world.evidence()
            found = check(evidence)
            broken += bool(found)
            if found or given.count == 1:
                _say(f"seed {seed} on {given.engine}: {fingerprint(evidence)}")
            for violation in found:
                _say(f"seed {seed} breaks promise {violation.promise}: {violation.what}")
    _say(f"{given.count} seeds, {broken} broken, {time.process_time() - began:.1f} s CPU")
    return min(broken, 255)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
