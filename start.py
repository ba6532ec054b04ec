#!/usr/bin/env python3
"""Set Guichet up on a fresh machine and start it, or test it: the two commands of the README.

Standard library only. The first lines must stay readable by any Python 3, because an older one started by mistake has
to find a newer one; everything below them needs Python 3.11. What the demonstration does lives in ``gateway.cli``.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
NEWEST_MINOR = 20  # the highest 3.x looked for on the path: room for some years


def find_python(path: "str | None" = None) -> str:
    """Name the newest Python on ``path`` that is recent enough and really runs; empty when there is none."""
    for minor in range(NEWEST_MINOR, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}", path=path)
        # A version manager leaves shims on the path for versions that are not switched on: ask before trusting.
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return found
    return ""


if sys.version_info < OLDEST:
    newer = find_python()
    if not newer:
        sys.exit(f"Guichet needs Python 3.11 or newer, and this is {sys.version.split()[0]}: install python3.11.")
    os.execv(newer, [newer, *sys.argv])

import argparse
import fcntl
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
RUN, TEST = "requirements.lock", "requirements-test.lock"
BUILD = ("setup.cfg", "pyproject.toml")  # what the project itself is installed from
STARTED = time.monotonic()

# Each is run by .venv, in this order, with the settings of setup.cfg and .ruff.toml.
CHECKS = (("ruff", "format", "--check"), ("ruff", "check"), ("mypy",), ("lint-imports",))
# One more than there are cores, for many tests wait for a clock; more than four browsers and databases help nobody.
WORKERS = min(4, (os.cpu_count() or 2) + 1)


def main(words: Sequence[str]) -> None:
    """Do what the command line asks; the demonstration when it names no task."""
    os.chdir(HERE)
    if not os.access(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~"), os.W_OK):
        os.environ |= {"UV_NO_CACHE": "1", "PIP_NO_CACHE_DIR": "1"}  # an account without a home has nowhere to keep one
    venv = Environment(HERE)
    task, more = (words[0], words[1:]) if words and words[0] in ("setup", "check", "test") else ("demo", words)
    if task == "demo":
        refuse_bad_flags(more)
    venv.install(TEST if task in ("check", "test") or "test" in more else RUN)
    if task == "check":
        check(venv)
    elif task == "test":
        test(venv, more)
    elif task == "demo":
        execute(venv, "guichet", "demo", *more)


def refuse_bad_flags(words: Sequence[str]) -> None:
    """Check the flags of the demonstration before time is spent on setting up; ``guichet demo`` reads them again."""
    parser = argparse.ArgumentParser(
        prog="start.py",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Set Guichet up in .venv and start it with its example portals, paying once by each.",
        epilog="start.py test [pytest options]  run the whole test suite\n"
        "start.py check                  format, lint, types, import contracts\n"
        "start.py setup [test]           only make .venv ready",
    )
    parser.add_argument("--once", action="store_true", help="stop after the payments; fail if any step failed")
    for name, port, what in (("port", 8000, "Guichet"), ("portal-port", 8001, "portals"), ("smtp-port", 8025, "mail")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{what} ({port})")
    parser.parse_args(words)


def check(venv: "Environment") -> NoReturn:
    """Run every check, even after one failed, and fail if any did."""
    failed = 0
    for tool, *words in CHECKS:
        say(" ".join([tool, *words]))
        failed += subprocess.run([venv.bin / tool, *words], check=False).returncode != 0
    sys.exit(1 if failed else 0)


def test(venv: "Environment", words: Sequence[str]) -> NoReturn:
    """Run the whole suite; without a browser, say, its tests are skipped, and listed with the reason."""
    for finder in ("browser", "tools", "foreign"):
        say(f"looking for what the tests need: {finder}")
        subprocess.run([venv.bin / "python", "-m", f"tests.support.{finder}"], check=False)
    execute(venv, "python", "-m", "pytest", "-n", str(WORKERS), "--dist", "worksteal", *words)


class Environment:
    """The virtual environment of one checkout: made once, brought up to date when a lock changes."""

    def __init__(self, home: Path) -> None:
        self.home, self.path, self.bin = home, home / ".venv", home / ".venv" / "bin"
        # An environment is good for one Python and one place: its scripts hold their absolute path.
        self._origin = f"{sys.version_info[0]}.{sys.version_info[1]} {self.path}"

    def install(self, lock: str) -> None:
        """Bring the environment to what ``lock`` says; costs a few file reads when it is there already."""
        if self.is_ready(lock):
            return
        with (self.home / "setup.cfg").open() as door:
            fcntl.flock(door, fcntl.LOCK_EX)  # a second start of the same checkout waits here, then finds all done
            if not self.is_ready(lock):
                self._install(lock)

    def is_ready(self, lock: str) -> bool:
        """Say whether ``lock``, as it reads now, is what was last installed here."""
        stamp = self.path / f".{lock}.stamp"
        return self.is_sound() and stamp.exists() and stamp.read_text() == self.digest(lock)

    def is_sound(self) -> bool:
        """Say whether the environment was made here, by this version of Python, and its interpreter still exists."""
        origin = self.path / ".origin"
        return (self.bin / "python").exists() and origin.exists() and origin.read_text() == self._origin

    def digest(self, lock: str) -> str:
        """Sum up everything an installation depends on."""
        return sha256(b"\0".join((self.home / name).read_bytes() for name in (lock, *BUILD))).hexdigest()

    def _install(self, lock: str) -> None:
        if not self.is_sound():
            self._create()
        for stamp in self.path.glob(".*.stamp"):
            stamp.unlink()
        installer = self._installer()
        say(f"installing {lock} with {'pip' if '-m' in installer else 'uv'}")
        # Two calls: with --require-hashes no tool accepts the project itself, which has none.
        run(*installer, "--require-hashes", "-r", lock)
        run(*installer, "--no-deps", "-e", ".")
        for covered in (RUN, lock):  # the test lock holds every pin of the other
            (self.path / f".{covered}.stamp").write_text(self.digest(covered))
        say("ready")

    def _create(self) -> None:
        say(f"making .venv with Python {sys.version.split()[0]}")
        # The interpreter outside any environment: this one may be running from the .venv about to go.
        python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info[1]}")
        uv = shutil.which("uv")
        shutil.rmtree(self.path, ignore_errors=True)
        if uv:  # never let it download an interpreter: this one is good
            run(uv, "venv", "-q", "--no-python-downloads", "--python", python, self.path)
        elif subprocess.run([python, "-m", "venv", self.path], check=False).returncode:
            sys.exit("No .venv could be made. On Debian: apt-get install python3-venv. Or install uv.")
        (self.path / ".origin").write_text(self._origin)

    def _installer(self) -> "list[str | Path]":
        """Choose uv from the path, else uv fetched under the hashes of the lock, else pip."""
        python, uv = self.bin / "python", Path(shutil.which("uv") or self.bin / "uv")
        pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        if not uv.exists():
            say("fetching uv")
            pin = self.path / "uv.txt"
            pin.write_text(locked((self.home / TEST).read_text(), "uv"))
            if subprocess.run([*pip, "--require-hashes", "-r", pin], check=False).returncode:
                return pip
        return [uv, "pip", "install", "-q", "--python", python]


def locked(lock: str, name: str) -> str:
    """Cut one distribution, its hashes with it, out of the text of a lock."""
    lines = iter(lock.splitlines())
    wanted = [next(line for line in lines if line.startswith(f"{name}=="))]
    while wanted[-1].endswith("\\"):
        wanted.append(next(lines))
    return "\n".join(wanted) + "\n"


def run(*command: "str | Path") -> None:
    """Run one step of the set-up; end here, with its own words, when it fails."""
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"start.py: this step failed: {' '.join(map(str, command))}")


def execute(venv: Environment, tool: str, *words: str) -> NoReturn:
    """Become ``tool``, so that signals and the exit code are its own."""
    os.execv(venv.bin / tool, [str(venv.bin / tool), *words])


def say(what: str) -> None:
    """Print one line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
