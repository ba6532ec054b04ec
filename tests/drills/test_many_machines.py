"""Drill: two hosts behind nginx over one PostgreSQL are restarted in turn, and no payer notices.

Each host has a network, a home and a ``var`` of its own; keys and settings are copies. What they have in common is the
database, the bank behind its address, and the test inbox, which is test equipment.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from sqlalchemy import make_url

from gateway import keys
from gateway.acquirers import server
from gateway.acquirers.cards import load as load_cards
from gateway.acquirers.simulator import Simulator
from gateway.cli.payer import JourneyFailed, Payer
from gateway.clock import utc_now
from tests.e2e.native import MERCHANT, sign
from tests.factories import CHALLENGE
from tests.support.crash import Receiver, listening
from tests.support.figures import record
from tests.support.installing import NoTool
from tests.support.nginx import Proxy, nginx_path, proxying
from tests.support.places import Place, places
from tests.support.scale import scaled
from tests.support.server import ROOT, free_ports, make_home, wait_until

PAYERS = 2
# Between two payments of one payer: what is watched is that none fails, not how many there are.
PAUSE_SECONDS = scaled(0.4, 0.02)
CARD = {"number": CHALLENGE, "expiry": "12/30", "security_code": "123"}


@dataclass
class Host:
    """One machine with ``guichet serve`` on it."""

    place: Place
    home: Path
    port: int
    environ: Mapping[str, str]
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def log_path(self) -> Path:
        return self.home / "var/serve.log"

    def start(self) -> None:
        command = [*self.place.enter, sys.executable, "-m", "gateway", "--home", str(self.home), "serve"]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self) -> None:
        """End it as systemd does."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(90) == 0, self.log_path.read_text()[-3000:]

    def is_ready(self) -> bool:
        """Ask it as whoever restarts it does: at its own address, in the name it serves."""
        with requests.Session() as session, suppress(requests.RequestException):
            session.trust_env = False
            url = f"http://{self.place.address}:{self.port}/readyz"
            return session.get(url, headers={"Host": "127.0.0.1"}, timeout=30).status_code == 200
        return False

    def wait_until_ready(self) -> None:
        try:
            wait_until(self.is_ready, 120)
        except AssertionError as error:
            raise AssertionError(self.log_path.read_text()[-3000:]) from error


@dataclass
class Paid:
    """What payers went through.

    :ivar faults: whatever a payer should not have seen
    """

    payments: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0


@dataclass(frozen=True)
class Town:
    """The whole: hosts, their proxy, the merchant's receiver, the bank's home."""

    hosts: list[Host]
    proxy: Proxy
    receiver: Receiver
    bank: Path

    @contextmanager
    def paying(self) -> Iterator[Paid]:
        """Have people pay through the proxy, one payment after the other, until the body ends."""
        paid, is_over = Paid(), threading.Event()
        threads = [threading.Thread(target=self._pay_on, args=(paid, is_over), daemon=True) for _ in range(PAYERS)]
        for thread in threads:
            thread.start()
        try:
            yield paid
        finally:
            is_over.set()
            for thread in threads:
                thread.join(150)

    def _pay_on(self, paid: Paid, is_over: threading.Event) -> None:
        while not is_over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                paid.payments.append(self._pay())
            except (JourneyFailed, requests.RequestException, AssertionError) as error:
                paid.faults.append(f"{type(error).__name__}: {error}")
            paid.slowest = max(paid.slowest, time.monotonic() - began)

    def _pay(self) -> str:
        payer = Payer(self.proxy.base_url)
        with payer._session as session:
            session.verify = str(self.proxy.certificate)
            url = f"{self.proxy.base_url}/v1/payments"
            token = sign(self.hosts[0].home, self._claims())
            said = session.post(url, data=token, headers={"Content-Type": "application/jose"}, timeout=60)
            assert said.status_code == 201, f"{said.status_code} {said.text}"
            page = payer.press(payer.open(said.json()["checkout_url"]), "pay", **CARD)
            page = payer.press(page, "confirm", code=payer.code_for(page.payment))
            assert page.name == "paid", page.name
        return str(said.json()["id"])

    def _claims(self) -> dict[str, object]:
        reference = f"FACT-{os.urandom(5).hex()}"
        asked: dict[str, object] = {
            "amount": 9612,
            "currency": "EUR",
            "reference": reference,
            "label": "Cantine",
            "kind": "debt",
        }
        asked["return_url"] = "http://127.0.0.1:8001/return"
        return {"iss": MERCHANT, "aud": self.proxy.base_url, **asked}


@pytest.fixture
def town(tmp_path: Path, key_folder: Path, database_url: str) -> Iterator[Town]:
    try:
        nginx_path()
    except NoTool as error:
        pytest.skip(str(error))
    port, smtp, bank = free_ports(3)
    with ExitStack() as stack:
        found = stack.enter_context(_places(database_url))
        proxy = stack.enter_context(
            proxying(tmp_path / "nginx", (f"{found[0].address}:{port}", f"{found[1].address}:{port}"))
        )
        receiver = stack.enter_context(listening(Receiver(keys.credentials(key_folder, MERCHANT)["whsec"])))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET_")} | {
            "GUICHET_DATABASE_URL": database_url,
            "GUICHET_BASE_URL": proxy.base_url,
            "GUICHET_WEB__PORT": str(port),
            "GUICHET_WEB__PROXIES": "1",
            "GUICHET_SMTP__PORT": str(smtp),
            "GUICHET_ACQUIRER__KIND": "remote",
            "GUICHET_ACQUIRER__URL": f"http://127.0.0.1:{bank}",
        }
        hosts = [_host(tmp_path, key_folder, place, receiver, environ) for place in found]
        for line in (bank, int(receiver.url.split(":")[2].partition("/")[0])):
            for place in found:
                stack.enter_context(place.line(line))
        stack.enter_context(_bank(hosts[0].home, tmp_path / "bank", bank))
        for host in hosts:
            host.start()
            stack.callback(host.stop)
        for host in hosts:
            host.wait_until_ready()
        yield Town(hosts, proxy, receiver, tmp_path / "bank")


def _places(database_url: str) -> AbstractContextManager[list[Place]]:
    """Give hosts networks of their own where the database is reached without one."""
    is_file = str(make_url(database_url).query.get("host", "")).startswith("/")
    return places(2, apart=is_file)


def _host(folder: Path, key_folder: Path, place: Place, receiver: Receiver, environ: Mapping[str, str]) -> Host:
    home = make_home(folder / place.address, key_folder)
    book = home / "config/merchants.toml"
    told = book.read_text()
    # No receipts: drawing their tickets would be half of the work.
    for before, now in (
        ("http://127.0.0.1:8001/confirmations", receiver.url),
        ('managers = ["regisseur@demonstration.example"]', 'email_rule = "optional"'),
    ):
        assert before in told
        told = told.replace(before, now, 1)
    book.write_text(told)
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True)
    (home / "var/inbox").symlink_to(inbox)
    own = {"GUICHET_WEB__HOST": place.address, "GUICHET_SMTP__HOST": place.address}
    return Host(place, home, int(environ["GUICHET_WEB__PORT"]), {**environ, **own})


@contextmanager
def _bank(like: Path, home: Path, port: int) -> Iterator[None]:
    shutil.copytree(like / "config", home / "config")
    (home / "var").mkdir()
    command = [sys.executable, "-m", "gateway.acquirers.server", "--home", str(home), "--port", str(port)]
    with (home / "var/log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.nightly_too
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_hosts_are_restarted_in_turn_and_no_payer_notices(town: Town) -> None:
    with town.paying() as paid:
        wait_until(lambda: len(paid.payments) >= PAYERS)
        for host in town.hosts * scaled(1, 10):
            host.stop()
            host.start()
            host.wait_until_ready()
    wait_until(lambda: len(town.receiver.told) >= len(paid.payments))

    record("rolling restart", payments=len(paid.payments), slowest_journey=round(paid.slowest, 2))
    assert paid.faults == []
    assert Counter(told.payment for told in town.receiver.told) == Counter(paid.payments)
    assert all(told.is_genuine and told.type == "payment.succeeded" for told in town.receiver.told)
    book = Simulator(town.bank / server.BOOK, load_cards(town.bank / "config/test_cards.toml"), now=utc_now).book()
    # What was approved last waits for its sweep.
    assert Counter(entry.state in ("approved", "captured") for entry in book) == {True: len(paid.payments)}
