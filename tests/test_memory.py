"""A process that sees cards forgets them: what must be so before it begins, whoever starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from gateway import memory
from gateway.core.errors import SettingsError
from gateway.memory import MEMORY
from tests.conftest import ROOT
from tests.support.server import free_ports, wait_until


def test_an_environment_that_forgets_is_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    tunables = f"{MEMORY['GLIBC_TUNABLES']}:glibc.malloc.trim_threshold=1"

    memory.check({**MEMORY, "GLIBC_TUNABLES": tunables}, is_test=False)

    assert caplog.messages == []


@pytest.mark.parametrize("name", MEMORY)
def test_one_that_does_not_is_refused_where_a_card_may_be_real(name: str, caplog: pytest.LogCaptureFixture) -> None:
    environ = {**MEMORY, name: ""}

    with pytest.raises(SettingsError, match=f"start the web server with {name}={MEMORY[name]}$"):
        memory.check(environ, is_test=False)
    memory.check(environ, is_test=True)

    assert [record.reason for record in caplog.records] == [f"{name}={MEMORY[name]}"]  # type: ignore[attr-defined]


@pytest.fixture
def somebody_elses(home: Path, sqlite_url: str, tmp_path: Path) -> Iterator[tuple[int, str, Path]]:
    """Run a gunicorn that knows nothing of Guichet but the name of its application."""
    (port,) = free_ports(1)
    log = tmp_path / "log"
    environ = {
        **{name: value for name, value in os.environ.items() if name not in MEMORY},
        "GUICHET_HOME": str(home),
        "GUICHET_DATABASE_URL": sqlite_url,
        "GUICHET_BASE_URL": f"http://127.0.0.1:{port}",
    }
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "wsgi:app",
        "--bind",
        f"127.0.0.1:{port}",
        "--threads",
        "2",
        "--preload",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
        try:
            yield server.pid, f"http://127.0.0.1:{port}", log
        finally:
            server.terminate()
            server.wait(60)


@pytest.mark.timeout(400)
def test_it_is_told_what_is_missing_and_leaves_no_core_file(somebody_elses: tuple[int, str, Path]) -> None:
    pid, url, log = somebody_elses

    def answer() -> bool:
        try:
            return requests.get(f"{url}/healthz", timeout=10).ok
        except requests.ConnectionError:
            return False

    wait_until(answer)

    (limit,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core"))
    assert limit.split()[4:6] == ["0", "0"]
    assert "card numbers may stay in freed memory" in log.read_text()
    assert all(f"{name}={value}" in log.read_text() for name, value in MEMORY.items())
