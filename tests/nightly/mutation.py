"""Changes the product here and there, a sample of all changes each night, and sees whether the quick tests notice.

``[mutmut]`` in ``setup.cfg`` says what is changed and which tests must notice; a change to the words of an error counts,
for a portal reads them. Two thousand changes take hours, so a night draws as many as fit into its time, others each
night. ``python -m tests.nightly.mutation --minutes 20``; ends with 1 when fewer than 85 of a hundred were noticed.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.nightly.environments import ROOT, environment
from tests.support.figures import record
from tests.support.postgres import EXTERNAL

SHARE_MIN = 0.85
# Tried at one go: before each, mutmut runs once, unchanged, every test that is to notice one of them.
CHUNK = 100
# None of the tests asks PostgreSQL, and to start one for each change takes longer than most of them.
NO_POSTGRESQL = {EXTERNAL: "postgresql://nobody@localhost:1/none"}
# What mutmut calls it when a test failed, or never ended.
NOTICED = ("killed", "timeout")


def main(words: Sequence[str]) -> int:
    """Try changes until time is up; prints those that went unnoticed, gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.nightly.mutation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--seed", type=int, default=int(time.strftime("%Y%m%d")), help="which sample; the day's unless told"
    )
    told = parser.parse_args(words)
    until = time.monotonic() + told.minutes * 60
    with tempfile.TemporaryDirectory(prefix="guichet-mutants-") as folder:
        place = _copy(Path(folder))
        results = _tried(environment(Path(folder) / "venv", "mutmut") / "mutmut", place, told.seed, until)
    unnoticed = sorted(name for name, became in results.items() if became not in NOTICED)
    share = 1 - len(unnoticed) / len(results) if results else 0.0
    lines = [f"unnoticed ({results[name]}): {name}" for name in unnoticed]
    sys.stdout.write("\n".join([*lines, f"of {len(results)} changes {share:.0%} were noticed"]) + "\n")
    record("mutants", seed=told.seed, tried=len(results), unnoticed=len(unnoticed), share=round(share, 3))
    return 0 if share >= SHARE_MIN else 1


def _copy(folder: Path) -> Path:
    """Copy what belongs to the product, as it is now: mutmut writes beside what it changes."""
    place = folder / "product"
    git = shutil.which("git") or "git"
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    return place


def _tried(mutmut: Path, place: Path, seed: int, until: float) -> dict[str, str]:
    """Try changes in the order of ``seed`` until time is up; gives what became of each, by name."""
    # Asked for a change that is not there, mutmut makes them all and tries none.
    said = _run(mutmut, place, "run", "none")
    names = list(_results(mutmut, place))
    random.Random(seed).shuffle(names)  # noqa: S311 - the same sample for the same seed
    for first in range(0, len(names), CHUNK):
        _run(mutmut, place, "run", "--max-children", "2", *names[first : first + CHUNK])
        # Asked afterwards: a night on a slow machine tries some, too.
        if time.monotonic() >= until:
            break
    tried = {name: became for name, became in _results(mutmut, place).items() if became != "not checked"}
    if not tried:
        # A test that fails with nothing changed, most often. What turns while it works is Braille.
        lines = [line for line in said.splitlines() if line and not "\u2800" <= line[0] <= "\u28ff"]
        sys.stderr.write("\n".join(["mutmut tried nothing; it ended with:", *lines[-30:]]) + "\n")
    return tried


def _results(mutmut: Path, place: Path) -> dict[str, str]:
    lines = _run(mutmut, place, "results", "--all", "true").splitlines()
    return {name.strip(): became.strip() for name, _, became in (line.rpartition(":") for line in lines) if name}


def _run(mutmut: Path, place: Path, *words: str) -> str:
    environment = os.environ | NO_POSTGRESQL
    done = subprocess.run([mutmut, *words], cwd=place, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
