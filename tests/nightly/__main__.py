"""``make nightly``: runs every test that has a long version, forces the doors strangers' bytes come in by, changes a sample of
the product in the time that is left to see the quick tests notice, and writes ``var/nightly/report.md`` with the figures.

Ends with 1 when a test failed or time ran out; ``report.json`` holds the same facts for programs. ``--only WORD`` runs the
tests whose names hold ``WORD``.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "var/nightly"
BUDGET_SECONDS = 90 * 60
# Long for the longest test alone; the budget ends the run before it, should one hang.
TEST_SECONDS_MAX = 3600
_LAST_WORDS_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the night.

    :ivar module: what Python runs
    :ivar words: what it is told
    """

    name: str
    module: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stage.

    :ivar last: the last line it printed
    :ivar broken: the tests that did not pass, as pytest words it
    """

    name: str
    seconds: int
    passed: bool
    last: str
    broken: tuple[str, ...]


# In the order of their files: the longest, which kill at every system call, come early. They wait for disks and for one
# another's processes much of the time: three hands on two cores.
_LONG = (
    "-vv",
    "--tb=short",
    "--show-capture=no",
    "--durations=60",
    "-p",
    "no:randomly",
    "-p",
    "tests.nightly.telling",
    f"--timeout={TEST_SECONDS_MAX}",
)
# Each hand would keep 64 processes of its own, beside which nothing else comes to its turn.
_RACES = ("tests/store/test_races.py", "tests/limits/test_races.py")
STAGES = (
    Stage("alone", "pytest", (*_LONG, "-m", "nightly_too and alone", "-p", "no:xdist")),
    Stage("races", "pytest", (*_LONG, *_RACES, "-m", "nightly_too and not alone", "-p", "no:xdist")),
    Stage(
        "side by side",
        "pytest",
        (
            *_LONG,
            *(f"--ignore={file}" for file in _RACES),
            *("-m", "nightly_too and not alone", "-n", "3", "--dist", "worksteal"),
        ),
    ),
    Stage("doors", "tests.nightly.fuzzing", ("--minutes", "3")),
    Stage("mutants", "tests.nightly.mutation", ("--minutes", "{minutes_left}")),
)
# Of the time that is left: a chunk that has begun is tried to its end.
MUTANTS_MINUTES_MAX, MUTANTS_RESERVE_MINUTES = 10, 6


def main(words: Sequence[str]) -> int:
    """Run the night, print and keep its report; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.nightly", description=__doc__)
    parser.add_argument("--only", default="", help="tests whose names hold this word")
    parser.add_argument("--stage", default="", help="one stage: " + ", ".join(stage.name for stage in STAGES))
    told = parser.parse_args(words)
    stages = [
        stage for stage in STAGES if told.stage in ("", stage.name) and (not told.only or stage.module == "pytest")
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = FOLDER / "figures.jsonl"
    figures.unlink(missing_ok=True)
    began = time.monotonic()
    outcomes = [_run(stage, told.only, figures, BUDGET_SECONDS - (time.monotonic() - began)) for stage in stages]
    measured = [json.loads(line) for line in figures.read_text().splitlines()] if figures.exists() else []
    report = _report(outcomes, measured)
    (FOLDER / "report.md").write_text(report)
    facts = {"at": _now(), "stages": [asdict(outcome) for outcome in outcomes], "figures": measured}
    (FOLDER / "report.json").write_text(json.dumps(facts, indent=1))
    sys.stdout.write(report)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _run(stage: Stage, only: str, figures: Path, seconds_left: float) -> Outcome:
    """Run one stage, its output shown and kept, until it ends or the night is over."""
    minutes_left = min(MUTANTS_MINUTES_MAX, round(seconds_left / 60) - MUTANTS_RESERVE_MINUTES)
    command = [sys.executable, "-m", stage.module, *(word.format(minutes_left=minutes_left) for word in stage.words)]
    if only:
        command += ["-k", only]
    environment = os.environ | {"TEST_NIGHTLY": "1", "TEST_FIGURES": str(figures)}
    log, began = FOLDER / f"{stage.name.replace(' ', '-')}.log", time.monotonic()
    sys.stderr.write(f"{_now()} {stage.name}: {log}\n")
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        is_over = _ended(process, seconds_left)
    code = -1 if is_over else process.returncode
    lines = log.read_text().splitlines() or ["nothing was said"]
    last = lines[-1].strip("= ") if code >= 0 else f"the night was over: {lines[-1]}"
    # Each is told when it breaks, and again at the end, if there is one, with its reason.
    told = (line for line in lines if line.startswith(("FAILED ", "ERROR ")))
    broken = tuple({line.split()[1]: line for line in told}.values())
    # 5: no test of this stage has that word in its name.
    passed = code == 0 or (code == 5 and bool(only))
    return Outcome(stage.name, round(time.monotonic() - began), passed, last, broken)


def _ended(process: subprocess.Popen[bytes], seconds_left: float) -> bool:
    """Wait for a stage; at the end of the night have it say what it knows, and end all it started. True when it was over."""
    try:
        process.wait(max(seconds_left, 1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def _report(outcomes: Sequence[Outcome], measured: Sequence[dict[str, Any]]) -> str:
    """Write the night down for people."""
    lines = [
        f"# Night of {_now()}",
        "",
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, commit {_commit()}",
        "",
        "| Stage | Minutes | Ended |",
        "|---|---|---|",
        *(f"| {o.name} | {o.seconds / 60:.1f} | {'' if o.passed else '**failed** '}{o.last} |" for o in outcomes),
        "",
        *(f"- {name}" for outcome in outcomes for name in outcome.broken),
        "",
        "| What was tried | Figures |",
        "|---|---|",
    ]
    for fact in sorted(measured, key=lambda fact: str(fact["subject"])):
        figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fact.items() if name != "subject")
        lines.append(f"| {fact['subject']} | {figures} |")
    return "\n".join(lines) + "\n"


def _commit() -> str:
    asked = subprocess.run(
        [shutil.which("git") or "git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
