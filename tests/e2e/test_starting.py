"""``guichet serve`` and ``guichet demo`` as processes: what runs, what it is called, what it holds, what it leaves behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.crash import Guichet
from tests.support.server import ROOT, free_ports, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture
def demo_home(home: Path) -> Path:
    """Make a home such as a checkout is, in which nothing was ever started."""
    (home / "examples").symlink_to(ROOT / "examples")
    for path in sorted((home / "keys").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return home


@contextmanager
def demonstrating(home: Path, *words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run ``guichet demo``; gives it and the server's address."""
    web, portal, smtp = (str(port) for port in free_ports(3))
    command = [
        sys.executable, "-m", "gateway", "--home", str(home), "demo", *words,
        "--port", web, "--portal-port", portal, "--smtp-port", smtp,
    ]  # fmt: skip
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET_")}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        try:
            yield demo, f"http://127.0.0.1:{web}"
        finally:
            demo.terminate()


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=30).status_code == 200
    except requests.RequestException:
        return False


def below(pid: int) -> list[int]:
    """Find every process that came of one."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(one for child in children for one in below(child))]


def all_of(pid: int) -> list[int]:
    """Find every process that came of the demonstration, once all are there."""
    found = below(pid)
    return found if len(found) >= 6 else []


def count_roles(guichet: Guichet) -> dict[str, int]:
    """Count the processes by title, once all are there."""
    counts = {role: len(guichet.pids(role)) for role in ("master", "web", "worker", "back office", "catcher")}
    return counts if sum(counts.values()) >= 6 else {}


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_the_demonstration_makes_its_keys_pays_and_leaves_nothing_running(demo_home: Path) -> None:
    with demonstrating(demo_home, "--once") as (demo, url):
        wait_until(lambda: is_up(url), 120)
        started = wait_until(lambda: all_of(demo.pid))
        told, _ = demo.communicate(timeout=150)

    assert demo.returncode == 0, told
    assert told.count("portal received the confirmation and verified it") == 6
    assert not [pid for pid in started if is_running(pid)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_whatever_ends_the_demonstration_ends_all_of_it(demo_home: Path, number: signal.Signals) -> None:
    with demonstrating(demo_home) as (demo, url):
        wait_until(lambda: is_up(url), 120)
        started = wait_until(lambda: all_of(demo.pid))

        demo.send_signal(number)
        demo.communicate(timeout=60)

    wait_until(lambda: not [pid for pid in started if is_running(pid)], 60)


def test_a_server_that_cannot_start_is_told_at_once(demo_home: Path) -> None:
    (demo_home / "var/guichet.sqlite").write_text("not a database")
    with demonstrating(demo_home) as (demo, _):
        told, _ = demo.communicate(timeout=150)

    assert demo.returncode == 1
    # Not: that it did not come up in time.
    assert "guichet serve ended with status 1" in told
    assert f"The log is {demo_home}/var/guichet.log" in told


def test_a_fault_of_the_settings_is_told_as_by_any_command(demo_home: Path) -> None:
    with (demo_home / "config/gateway.toml").open("a") as settings:
        settings.write("\n[web]\nworkrs = 3\n")
    with demonstrating(demo_home) as (demo, _):
        told, _ = demo.communicate(timeout=60)

    assert demo.returncode == 2
    assert "mend all of these" in told


def test_each_process_is_named_and_the_first_holds_no_connection(home: Path, database_url: str) -> None:
    web, smtp = free_ports(2)
    with Guichet(home, database_url, web, smtp) as guichet:
        counts = wait_until(lambda: count_roles(guichet))
        (supervisor,) = guichet.pids("supervisor")
        held = [os.readlink(end) for end in Path(f"/proc/{supervisor}/fd").iterdir()]
        threads = list(Path(f"/proc/{supervisor}/task").iterdir())

    assert counts == {"master": 1, "web": 2, "worker": 1, "back office": 1, "catcher": 1}
    assert not [what for what in held if "sqlite" in what or what.startswith("socket:")]
    assert len(threads) == 1
