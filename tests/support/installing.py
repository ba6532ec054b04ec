"""How the finders of ``tests.support`` install what they did not find; judging the result is left to them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

# What is sought: its name, how it is found, and how it is installed.
Finder = tuple[str, Callable[[], object], Callable[[], object]]

INSTALL_SECONDS = 600  # a slow mirror needs minutes for the 100 MB of a browser; more means it is stuck


class NoTool(RuntimeError):
    """Something is not here, or too old; the text says what."""


def provide(finders: Iterable[Finder]) -> int:
    """Make sure that all is there; print where it is, or why some tests will be skipped. Gives an exit status."""
    missing = 0
    for name, find, install in finders:
        if not _is_here(find):
            install()
        try:
            print(f"{name}: {find()}")
        except NoTool as error:
            print(f"{name}: {error}; the tests that need it will be listed as skipped")
            missing += 1
    return 1 if missing else 0


def _is_here(find: Callable[[], object]) -> bool:
    try:
        find()
    except NoTool:
        return False
    return True


def install_python(folder: Path, pins: Path) -> None:
    """Make an environment under the hashes of its pins; those of what builds a package count too."""
    uv = str(Path(sys.prefix, "bin/uv"))
    shutil.rmtree(folder, ignore_errors=True)
    made = [uv, "venv", "-q", "--no-python-downloads", "--python", sys.executable, str(folder)]
    hashed = ["--require-hashes", "--build-constraints", str(pins), "-r", str(pins)]
    filled = [uv, "pip", "install", "-q", "--python", str(folder / "bin/python"), *hashed]
    if succeeds(made) and succeeds(filled):
        shutil.copy(pins, folder / "pins.txt")


def is_locked(kept: Path, wanted: Path) -> bool:
    """Say whether what was installed came from the lock that is wanted now."""
    return kept.exists() and kept.read_bytes() == wanted.read_bytes()


def install_debian(packages: list[str]) -> bool:
    """Install Debian packages, when there is apt and this account may; says whether it went well."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print(f"installing Debian's {' and '.join(packages)}", flush=True)
    debian = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    return _update_lists() and succeeds(install, debian)


def unpack_debian(packages: list[str], folder: Path) -> None:
    """Fetch Debian packages and unpack them into a folder, running nothing of them: installed, a server would start."""
    if not shutil.which("apt-get"):
        return
    print(f"unpacking Debian's {' and '.join(packages)}", flush=True)
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        _update_lists()
    if succeeds(["sh", "-c", 'cd "$0" && apt-get download -q "$@"', str(folder), *packages]):
        for package in folder.glob("*.deb"):
            succeeds(["dpkg-deb", "--extract", str(package), str(folder)])


def libraries_of(package: str) -> list[str]:
    """Name the Debian packages of the libraries that one needs, but the C library: that must be the machine's own."""
    if not shutil.which("apt-cache"):
        return []
    if os.geteuid() == 0:
        _update_lists()
    asked = ["apt-cache", "depends", "--important", package]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False).stdout
    names = [line.split()[-1] for line in told.splitlines() if line.startswith("  Depends: lib")]
    return [name for name in names if name != "libc6"]


@cache
def _update_lists() -> bool:
    return succeeds(["apt-get", "update", "-q"], os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def succeeds(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Run an installer quietly; show the end of what it said when it fails."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error)
        return False
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-5:]))
    return done.returncode == 0
