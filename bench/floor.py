"""Servers started for a measurement from their command line, and the floor among them: ``bench.bare``."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.http import Browser
from bench.site import ROOT
from gateway.memory import MEMORY
from tests.support.server import free_ports

BARE_PAGE = "/p/a-token"
_HOST = "127.0.0.1"
_UP_SECONDS, _STOP_SECONDS = 60.0, 60.0


@dataclass(frozen=True, slots=True)
class Started:
    """A server that has been started.

    :ivar pid: of its first process
    :ivar seconds: how long it took until it answered
    """

    pid: int
    port: int
    seconds: float

    def children(self) -> list[int]:
        """Name the processes that it forked."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@contextmanager
def started(command: Callable[[int], list[str]], environ: Mapping[str, str], path: str) -> Iterator[Started]:
    """Start a server with our settings of memory, and wait until ``path`` is answered with 200.

    :param command: given a free port
    """
    (port,) = free_ports(1)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET_")}
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - ours
        command(port), cwd=ROOT, env={**kept, **MEMORY, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _answers(port, path):
            if time.perf_counter() - began > _UP_SECONDS or process.poll() is not None:
                raise RuntimeError(f"{command(port)} did not come up")
            time.sleep(0.01)
        yield Started(process.pid, port, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


@contextmanager
def bare(home: Path, folder: Path) -> Iterator[Started]:
    """Serve ``folder/page.html`` at :data:`BARE_PAGE`, and nothing else, as ``home`` has ours served."""
    with started(
        lambda port: [sys.executable, "-m", "bench.bare", str(home), str(folder), str(port)], {}, BARE_PAGE
    ) as server:
        yield server


def _answers(port: int, path: str) -> bool:
    with suppress(OSError):
        browser = Browser(_HOST, port)
        try:
            return browser.ask("GET", path)[0] == 200
        finally:
            browser.close()
    return False
