"""Forces the doors of ``tests.nightly.doors`` with Atheris, which seeks bytes that lead where none led before.

``python -m tests.nightly.fuzzing --minutes 10``, shared among the doors, two at a time. Ends with 1 when one broke, and
says at which bytes.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from gateway import keys
from gateway.parts import build
from gateway.settings import load
from tests.nightly.doors import Door, doors
from tests.nightly.environments import ROOT, environment
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.portal import Portal
from tests.support.server import make_home

_HANDS = 2
# To load everything, beside the share of the time.
_START_SECONDS = 120
_TRIED = re.compile(r"^stat::number_of_executed_units: *([0-9]+)$", re.MULTILINE)


def main(words: Sequence[str]) -> int:
    """Force every door until time is up; prints what broke, gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.nightly.fuzzing", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    told = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="guichet-doors-") as place:
        folder = Path(place)
        keys.ensure_demo(folder / "keys", load(ROOT, {}).key_holders, Clock().now())
        home = make_home(folder / "home", folder / "keys")
        found = every_door(home)
        python = environment(folder / "venv", "atheris") / "python"
        force = partial(_forced, python, home, seconds=round(told.minutes * 60 * _HANDS / len(found)))
        with ThreadPoolExecutor(_HANDS) as hands:
            tries = list(hands.map(force, found, found.values()))
    broken = [name for name, tried in zip(found, tries, strict=True) if tried is None]
    count = sum(tried or 0 for tried in tries)
    record("doors forced", doors=len(found), tries=count, broken=", ".join(broken))
    sys.stdout.write(f"{len(found)} doors, {count} tries, {len(broken)} broke\n")
    return 1 if broken else 0


def every_door(home: Path) -> dict[str, Door]:
    """Build a server of ``home``, and give its doors."""
    clock = Clock()
    return dict(doors(build(load(home, {}), clock.now), Portal(home)))


def _forced(python: Path, home: Path, name: str, door: Door, *, seconds: int) -> int | None:
    """Force one door, in a process of its own; gives how often it was tried, or nothing when it broke."""
    begin = home.parent / name
    begin.mkdir()
    for number, key in enumerate(door.keys):
        (begin / str(number)).write_bytes(key)
    command = [str(python), "-m", "tests.nightly.forcing", str(home), name, str(begin), str(seconds)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=seconds + _START_SECONDS
    )
    tried = _TRIED.search(done.stderr)
    if done.returncode == 0 and tried:
        return int(tried[1])
    sys.stdout.write(f"{name} broke:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
