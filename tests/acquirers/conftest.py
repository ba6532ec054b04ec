"""The simulated bank in its two places: in this process, and in one of its own that can be killed."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.acquirers.cards import load
from gateway.acquirers.simulator import Delays, Simulator

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class BankProcess:
    """A simulated bank as a process of its own, over the file a :class:`Simulator` here may read too."""

    def __init__(self, home: Path) -> None:
        (home / "config").mkdir(parents=True)
        shutil.copy(ROOT / "config" / "test_cards.toml", home / "config")
        self.home = home
        self.book_path = home / "var" / "acquirer.sqlite3"
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, slow: float = 0.0, silence: float = 0.0) -> str:
        """Start it on a free port; returns its address."""
        words = [
            "--port",
            "0",
            "--home",
            str(self.home),
            "--slow-seconds",
            str(slow),
            "--silence-seconds",
            str(silence),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.acquirers.server", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]
        return self.url

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


@pytest.fixture
def bank_process(tmp_path: Path) -> Iterator[BankProcess]:
    bank = BankProcess(tmp_path / "home")
    yield bank
    bank.kill()


@pytest.fixture
def make_simulator(tmp_path: Path) -> Callable[..., Simulator]:
    table = load(ROOT / "config" / "test_cards.toml")

    def make(path: Path = tmp_path / "bank.sqlite3", delays: Delays | None = None) -> Simulator:
        return Simulator(path, table, now=lambda: NOON, delays=delays or Delays(0.0, 0.0))

    return make


@pytest.fixture
def simulator(make_simulator: Callable[..., Simulator]) -> Simulator:
    return make_simulator()
