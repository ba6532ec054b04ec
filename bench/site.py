"""A server as an operator runs it, with a home of its own, to be measured from outside."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from gateway import keys
from gateway.settings import load
from tests.support.crash import Guichet
from tests.support.server import free_ports

ROOT = Path(__file__).parents[1]


def make_home(folder: Path) -> Path:
    """Make a home of the shipped settings, with keys of its own."""
    home = folder / "home"
    home.mkdir(parents=True)
    (home / "checkout_templates").symlink_to(ROOT / "checkout_templates")
    shutil.copytree(ROOT / "config", home / "config")
    (home / "var").mkdir(mode=0o700)
    keys.ensure_demo(home / "keys", load(home, {}).key_holders, datetime.now(UTC))
    return home


@contextmanager
def serving(home: Path, database_url: str) -> Iterator[Guichet]:
    """Run ``guichet serve``: web, worker and mail catcher, with the settings a test machine has."""
    web, smtp = free_ports(2)
    with Guichet(home, database_url, web, smtp) as guichet:
        yield guichet


def cpu_seconds(*pids: int) -> float:
    """Give the CPU time that processes have taken so far, their ended children's included."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_megabytes(pid: int) -> float:
    """Give a process's share of memory: what it shares counts in parts."""
    line = next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024
