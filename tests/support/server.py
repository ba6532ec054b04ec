"""The real thing, started for tests: Guichet with its worker and mail catcher, and the example portals beside it.

Each start costs some seconds, so the tests of one process share a server where they can.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import requests

ROOT = Path(__file__).parents[2]
_UP_SECONDS = 200  # a start that takes 4 s alone may take 20 beside a whole suite on two cores
_STOP_SECONDS = 45  # more than the web server's own patience with requests under way
_LOG_TAIL = 4000
_PR_SET_PDEATHSIG = 1
_PORTS = range(10_000, 32_000)

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a running Guichet and its portals are.

    :ivar home: holds config/, keys/ and var/
    :ivar log_path: what every process printed
    """

    base_url: str
    portal_url: str
    home: Path
    log_path: Path

    def messages(self, kind: str, payment: str) -> list[dict[str, object]]:
        """List what the test inbox caught of a payment, newest first; ``kind`` is ``sms`` or ``mail``."""
        found = get(f"{self.base_url}/_test/inbox.json", {"kind": kind, "payment": payment}).json()["messages"]
        assert isinstance(found, list)
        return found

    def portal_state(self, payment: str) -> str:
        """Tell what the portal believes of a payment: it believes verified confirmations only."""
        return str(get(f"{self.portal_url}/api/payments/{payment}").json()["state"])

    def due_invoices(self, portal: str) -> list[str]:
        """List the numbers of the invoices a portal shows as payable."""
        invoices = get(f"{self.portal_url}/api/invoices").json()[portal]
        return [str(invoice["id"]) for invoice in invoices if invoice["state"] == "due"]


def make_home(home: Path, key_folder: Path) -> Path:
    """Make a home: the shipped settings and templates, a copy of ``key_folder``, nothing in var/."""
    home.mkdir()
    (home / "checkout_templates").symlink_to(ROOT / "checkout_templates")
    shutil.copytree(ROOT / "config", home / "config")
    shutil.copytree(key_folder, home / "keys")
    (home / "keys").chmod(0o700)
    (home / "var").mkdir(mode=0o700)
    return home


@contextmanager
def running(home: Path, database_url: str) -> Iterator[Server]:
    """Serve from ``home`` on free ports while the body runs; every process started is gone afterwards."""
    web, portal, smtp = free_ports(3)
    server = Server(f"http://127.0.0.1:{web}", f"http://127.0.0.1:{portal}", home, home / "var/server.log")
    guichet = [
        sys.executable, "-m", "gateway", "--home", str(home), "serve", "--port", str(web), "--smtp-port", str(smtp),
    ]  # fmt: skip
    portals = [
        sys.executable, str(ROOT / "examples/portal/app.py"), "--port", str(portal), "--guichet", server.base_url,
        "--keys", str(home / "keys/merchants"), "--data", str(home / "var/portal.sqlite"),
    ]  # fmt: skip
    with ExitStack() as stack:
        log = stack.enter_context(server.log_path.open("ab"))
        for command in (guichet, portals):
            stack.enter_context(_alive(command, database_url, log))
        for url in (f"{server.base_url}/readyz", f"{server.portal_url}/healthz"):
            _wait_until_up(url, server.log_path)
        yield server


def free_ports(count: int) -> list[int]:
    """Find ports nobody listens on; all are held until the last is found, so that no two are the same.

    They lie below those the system gives to outgoing connections: one of these might come before the server does.
    """
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            probe, port = stack.enter_context(socket.socket()), secrets.choice(_PORTS)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def get(url: str, query: Mapping[str, str] | None = None) -> requests.Response:
    """Fetch a loopback address, whatever proxy the environment names."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, params=query, timeout=60)


def wait_until(look: Callable[[], Seen], seconds: float = 60) -> Seen:
    """Look until there is something to see, and give it."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until, f"nothing to see within {seconds:.0f} s"
        time.sleep(0.05)
    return seen


@contextmanager
def _alive(command: Sequence[str], database_url: str, log: IO[bytes]) -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET_")}
    environment = {**kept, "GUICHET_DATABASE_URL": database_url}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        preexec_fn=_die_with_parent,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    """Have the kernel end the server when the tests are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_up(url: str, log_path: Path) -> None:
    def is_up() -> bool:
        try:
            return get(url).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_up, _UP_SECONDS)
    except AssertionError as error:
        raise RuntimeError(f"{url} did not come up\n{log_path.read_text()[-_LOG_TAIL:]}") from error
