"""The stage seen from the test: where it is, which thread does what, and how it is broken and waited for."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import requests

from gateway import keys
from gateway.acquirers import server
from gateway.acquirers.cards import load as load_cards
from gateway.acquirers.simulator import Simulator
from gateway.clock import utc_now
from gateway.parts import Parts, build
from gateway.settings import load
from tests.crash import planted
from tests.support.crash import Receiver, listening
from tests.support.portal import Portal
from tests.support.server import ROOT, free_ports

ROLES = ("bank", "worker", "web")
MERCHANT = "mairie-demo"
UP_SECONDS = 90.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Role:
    """One process of the stage, as it announced itself.

    :ivar threads: the kernel's id of each, by what it does
    :ivar born_at: seconds since the epoch
    """

    pid: int
    threads: Mapping[str, int]
    born_at: float


@dataclass
class Rig:
    """A running stage.

    :ivar environ: the settings its processes have
    :ivar place: where its processes say who they are, and the bank keeps its book
    :ivar healed_at: when the last fault ended, in seconds since the epoch: what a worker began before then it has lost
    """

    home: Path
    base_url: str
    environ: Mapping[str, str]
    receiver: Receiver
    process: "subprocess.Popen[bytes]"
    place: Path
    healed_at: float = 0.0

    @cached_property
    def parts(self) -> Parts:
        """Look at the same books from outside."""
        return build(load(self.home, self.environ))

    @cached_property
    def bank(self) -> Simulator:
        """Open the bank's own book."""
        return Simulator(self.place / server.BOOK, load_cards(self.home / "config/test_cards.toml"), now=utc_now)

    @cached_property
    def portal(self) -> Portal:
        """Sign what the merchant says."""
        return Portal(self.home, MERCHANT, origin=self.base_url)

    def role(self, name: str) -> Role:
        """Tell a process and its threads, as they are now."""
        path = self.place / f"{name}.json"
        said = json.loads(path.read_text())
        return Role(said["pid"], said["threads"], path.stat().st_mtime)

    def pids(self) -> list[int]:
        """List the processes that may be broken."""
        return [self.role(name).pid for name in ROLES]

    def wait_for(self, name: str, other_than: int = 0) -> Role:
        """Wait until a process is there, and not the one with this id."""
        until = time.monotonic() + UP_SECONDS
        while time.monotonic() < until:
            with suppress(FileNotFoundError):
                if (found := self.role(name)).pid != other_than:
                    return found
            time.sleep(0.02)
        raise AssertionError(f"no {name} after {UP_SECONDS} s\n{self.tail()}")

    def kill(self, *names: str) -> None:
        """Kill processes as ``kill -9`` does, and wait until they are back."""
        before = {name: self.role(name).pid for name in names}
        for pid in before.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name, pid in before.items():
            self.wait_for(name, other_than=pid)

    def wait_until_ready(self, seconds: float = UP_SECONDS) -> float:
        """Wait until it says that it can take payments; gives how long that took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if self.readiness() == 200:
                return time.monotonic() - began
            time.sleep(0.05)
        raise AssertionError(f"not ready after {seconds} s\n{self.tail()}")

    def readiness(self) -> int:
        """Ask /readyz for its status; 0 for no answer."""
        return _answers(f"{self.base_url}/readyz")

    def wait_for_bank(self) -> None:
        """Wait until the bank answers, for as long as it takes to be started again."""
        until = time.monotonic() + UP_SECONDS
        while time.monotonic() < until and not _answers(f"{self.environ['GUICHET_ACQUIRER__URL']}/healthz"):
            time.sleep(0.05)

    def log(self) -> str:
        """Give what all processes printed."""
        return (self.place / "log").read_text(errors="replace")

    def tail(self) -> str:
        """Give the end of what all processes printed."""
        return self.log()[-3000:]


def _answers(url: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=30).status_code
        except requests.RequestException:
            return 0


@contextmanager
def on_stage(
    home: Path, database_url: str, place: Path, plant: str = "", before: tuple[str, ...] = ()
) -> Iterator[Rig]:
    """Run a stage while the body runs, with a merchant's receiver beside it.

    :param place: an empty folder for its log, for who is who, and for the bank, which has a disk of its own
    :param plant: the fault to plant, of :mod:`tests.crash.planted`
    :param before: a command to run the stage under
    """
    web, smtp, bank = free_ports(3)
    settings = {
        "GUICHET_DATABASE_URL": database_url,
        "GUICHET_BASE_URL": f"http://127.0.0.1:{web}",
        "GUICHET_WEB__PORT": str(web),
        "GUICHET_SMTP__PORT": str(smtp),
        "GUICHET_ACQUIRER__KIND": "remote",
        "GUICHET_ACQUIRER__URL": f"http://127.0.0.1:{bank}",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET_")}
    (place / "config").symlink_to(home / "config")
    environ = {**kept, **settings, "CRASH_PLACE": str(place), planted.VARIABLE: plant}
    environ["PROMETHEUS_MULTIPROC_DIR"] = str(place)
    with listening(Receiver(keys.credentials(home / "keys", MERCHANT)["whsec"])) as receiver:
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "tests.crash.stage", str(home)],
                cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        rig = Rig(home, settings["GUICHET_BASE_URL"], settings, receiver, process, place)
        try:
            for name in ROLES:
                rig.wait_for(name)
            rig.wait_until_ready()
            yield rig
        finally:
            stop(process)
            rig.parts.store.engine.dispose()


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the stage, whatever state it is in; its processes end with it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
