"""Where the browser of the end-to-end tests comes from, and with which flags it runs.

``python -m tests.support.browser`` finds one or installs one: Debian's package when root, else Playwright's own
download. The tests ask :func:`chromium_path` and skip, with its reason, when there is none.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.installing import install_debian, succeeds

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROBE_SECONDS = 30

# Silence what a browser does behind the page: the suite talks to loopback only, and a second run must find no traces.
FLAGS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowser(RuntimeError):
    """There is no Chromium that starts; the text says what was tried."""


def chromium_path() -> str:
    """Find a Chromium: ``TEST_CHROMIUM``, else the system's, else the one Playwright downloaded.

    Raises :class:`NoBrowser`.
    """
    named = os.environ.get("TEST_CHROMIUM")
    candidates = [named] if named else [found for name in NAMES if (found := shutil.which(name))]
    for candidate in candidates:
        if _starts(candidate):
            return candidate
    downloaded = "" if named else _downloaded()
    if downloaded and _starts(downloaded):
        return downloaded
    tried = ", ".join([*candidates, downloaded]).strip(", ") or f"{', '.join(NAMES)} on the path"
    raise NoBrowser(f"no Chromium starts here (tried {tried}); python3 start.py test installs one")


def launch_flags() -> list[str]:
    """List the arguments of ``playwright.chromium.launch(args=...)``."""
    # Chromium refuses to sandbox itself for root, which is what containers and CI are.
    return [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def install_chromium() -> None:
    """Install a Chromium the way this account may; says what it does, and leaves judging to :func:`chromium_path`."""
    # The font is for the pages: a bare Debian draws boxes.
    if install_debian(["chromium", "fonts-dejavu-core"]):
        return
    print("downloading Playwright's chromium", flush=True)
    succeeds([sys.executable, "-m", "playwright", "install", "chromium"])


def main() -> int:
    """Make sure that there is a browser; print where it is, or why the browser tests will be skipped."""
    try:
        print(f"browser: {chromium_path()}")
    except NoBrowser:
        install_chromium()
    else:
        return 0
    try:
        print(f"browser: {chromium_path()}")
    except NoBrowser as error:
        print(f"{error}; the browser tests will be listed as skipped. Install chromium by hand to run them.")
        return 1
    return 0


def _starts(program: str) -> bool:
    """Say whether a program answers with its version: Ubuntu's chromium, for one, may be a stub asking for snap."""
    try:
        probe = subprocess.run([program, "--version"], capture_output=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _downloaded() -> str:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else ""


if __name__ == "__main__":
    sys.exit(main())
