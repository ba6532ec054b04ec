"""The worker and what keeps it alive: nothing slow or broken on one side stops the other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import select

from gateway.acquirers import Answer
from gateway.acquirers.simulator import Simulator
from gateway.channels import Confirmation
from gateway.checkout import Checkout
from gateway.core.errors import StoreBusy
from gateway.core.money import Money
from gateway.core.states import AttemptStatus, Status
from gateway.delivering import Deliverer
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import tables as t
from gateway.store.wake import Bell
from gateway.worker import Worker
from tests.factories import SILENT_APPROVED, open_payment, pay
from tests.support.clock import Clock
from tests.support.crash import children, title_of
from tests.support.server import wait_until
from tests.support.working import working


class Recording:
    """Every channel at once; notes when each notice came."""

    name = "all"

    def __init__(self) -> None:
        self.given: list[tuple[str, float]] = []

    def deliver(self, notice: Confirmation, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        self.given.append((notice.recipient.payment, time.monotonic()))


class Hanging(Simulator):
    """A bank whose line is open and silent until ``release`` is set."""

    release: threading.Event
    asked: threading.Event

    def status(self, op_id: str, amount: Money) -> Answer:
        self.asked.set()
        self.release.wait(100)
        return super().status(op_id, amount)


def hanging(parts: Parts) -> tuple[Checkout, Hanging]:
    bank = parts.checkout.desk.acquirer
    assert isinstance(bank, Simulator)
    bank.__class__ = Hanging
    assert isinstance(bank, Hanging)
    bank.release, bank.asked = threading.Event(), threading.Event()
    return Checkout(replace(parts.checkout.desk, acquirer=bank)), bank


def heartbeats(parts: Parts) -> set[str]:
    with parts.store.reading() as tx:
        return set(tx.connection.execute(select(t.heartbeat.c.name)).scalars())


class TestSweeping:
    def test_a_bank_that_hangs_does_not_hold_up_deliveries(self, parts: Parts) -> None:
        checkout, bank = hanging(parts)
        channel = Recording()
        pay(parts, open_payment(parts), SILENT_APPROVED)
        with working(parts, channel, checkout):
            assert bank.asked.wait(60)
            cancelled = open_payment(parts)
            parts.checkout.paying.cancel(cancelled.id)

            wait_until(lambda: channel.given)
            bank.release.set()

        assert channel.given[0][0] == cancelled.id

    def test_it_settles_what_was_left_open(self, parts: Parts) -> None:
        payment = pay(parts, open_payment(parts), SILENT_APPROVED)
        with working(parts, Recording()):
            wait_until(lambda: parts.checkout.opening.told(payment.id).status is Status.PAID)

        attempt = parts.checkout.opening.told(payment.id).attempt
        assert attempt is not None
        assert attempt.status in (AttemptStatus.APPROVED, AttemptStatus.CAPTURED)

    @pytest.mark.parametrize("error", [StoreBusy("locked"), ZeroDivisionError()])
    def test_a_sweep_that_breaks_does_not_stop_the_worker(self, parts: Parts, clock: Clock, error: Exception) -> None:
        sweeps, channel = [], Recording()

        class Breaking(Checkout):
            def sweep(self) -> int:
                sweeps.append(1)
                raise error

        with working(parts, channel, Breaking(parts.checkout.desk)):
            wait_until(lambda: len(sweeps) == 1)
            clock.advance(seconds=6)
            wait_until(lambda: len(sweeps) == 2)
            pay(parts, open_payment(parts))
            wait_until(lambda: channel.given)

        assert len(channel.given) >= 1

    def test_a_clock_set_back_by_a_day_does_not_stop_it(self, parts: Parts, clock: Clock) -> None:
        sweeps = []

        class Counting(Checkout):
            def sweep(self) -> int:
                sweeps.append(1)
                return 0

        with working(parts, Recording(), Counting(parts.checkout.desk)):
            wait_until(lambda: len(sweeps) == 1)
            clock.advance(hours=-25)
            wait_until(lambda: len(sweeps) == 2)

        assert len(sweeps) >= 2

    def test_a_beating_worker_makes_the_server_ready(self, parts: Parts, clock: Clock) -> None:
        before = parts.faults()
        with working(parts, Recording()):
            wait_until(lambda: not parts.faults())
        clock.advance(seconds=21)

        assert before == ("worker: no heartbeat; start `guichet worker`",)
        assert parts.faults() == before

    def test_a_heartbeat_of_a_clock_that_was_ahead_makes_nobody_ready(self, parts: Parts, clock: Clock) -> None:
        with working(parts, Recording()):
            wait_until(lambda: not parts.faults())
        clock.advance(hours=-2)

        assert parts.faults() == ("worker: no heartbeat; start `guichet worker`",)

    def test_one_that_brings_out_no_codes_makes_nobody_ready(self, parts: Parts) -> None:
        bell = Bell(parts.store.engine, parts.settings.var / "wake")
        back_office = Deliverer(parts.store, {"payer_mail": Recording()}, parts.now, outbox=parts.outbox)
        worker = Worker(parts.store, parts.checkout, back_office, bell, parts.now)
        bell.ring()
        worker._turn()
        worker.stop()
        worker.work()

        assert heartbeats(parts) == set()
        assert parts.faults() == ("worker: no heartbeat; start `guichet worker`",)

    def test_one_on_a_host_with_a_long_name_is_heard_of(self, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("socket.gethostname", lambda: "guichet-" + "w" * 54 + "42")
        with working(parts, Recording()):
            wait_until(lambda: not parts.faults())

        (name,) = heartbeats(parts) - {"readyz"}
        assert name.endswith(f"42:{os.getpid()}")
        assert len(name) <= 64  # what its column takes

    def test_its_first_beat_clears_away_workers_silent_for_a_day(self, parts: Parts, clock: Clock) -> None:
        for name, hours in (("killed:1", 25), ("stopped:2", 23)):
            with parts.store.transaction() as tx:
                tx.notices.beat(name, clock.now() - timedelta(hours=hours))
        with working(parts, Recording()):
            wait_until(lambda: len(heartbeats(parts) - {"killed:1", "stopped:2"}) == 1)

        assert "killed:1" not in heartbeats(parts)
        assert "stopped:2" in heartbeats(parts)


class TestStopping:
    def test_told_to_stop_it_finishes_what_is_under_way(self, parts: Parts) -> None:
        begun, finished = threading.Event(), threading.Event()

        class Slow(Recording):
            def deliver(self, notice: Confirmation, now: datetime) -> None:
                begun.set()
                time.sleep(0.5)
                super().deliver(notice, now)
                finished.set()

        parts.checkout.paying.cancel(open_payment(parts).id)
        with working(parts, Slow()):
            assert begun.wait(60)

        assert finished.is_set()
        with parts.store.reading() as tx:
            assert tx.notices.count_by_state() == {}

    def test_sigterm_ends_a_real_worker_within_seconds(self, home: Path, database_url: str) -> None:
        with a_real_worker(home, database_url) as worker:
            worker.send_signal(signal.SIGTERM)

            assert worker.wait(60) == 0
        assert list((home / "var/wake").glob("*.sock")) == []


@contextmanager
def a_real_worker(home: Path, database_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    environ = {**os.environ, "GUICHET_DATABASE_URL": database_url}
    log = home / "var/worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "gateway", "--home", str(home), "worker"], env=environ, stderr=output
        )
    try:
        # It is two processes.
        wait_until(lambda: log.read_bytes().count(b"worker started") == 2)
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class TestTwoProcesses:
    @pytest.fixture
    def living(self, home: Path, database_url: str) -> Iterator[Parts]:
        """Live in the worker's own time."""
        parts = build(load(home, {"GUICHET_DATABASE_URL": database_url}))
        yield parts
        parts.store.engine.dispose()

    def test_tickets_are_drawn_in_one_and_killed_both_are_back(
        self, living: Parts, home: Path, database_url: str
    ) -> None:
        with a_real_worker(home, database_url) as worker:
            tried(living)
            prompt, back = hands(worker.pid)
            loaded = ["uharfbuzz" in Path(f"/proc/{pid}/maps").read_text() for pid in (prompt, back)]
            patience = [os.getpriority(os.PRIO_PROCESS, pid) for pid in (prompt, back)]
            for pid in (prompt, back):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(hands(worker.pid)) == 2 and not {prompt, back} & set(hands(worker.pid)))
            tried(living)

        assert loaded == [False, True]
        assert patience[1] == patience[0] + 5


def hands(supervisor: int) -> list[int]:
    """Find the process for codes and confirmations, and the one for all else."""
    titles = {title_of(pid).rstrip("\0"): pid for pid in children(supervisor)}
    return [titles[title] for title in ("guichet: worker", "guichet: back office") if title in titles]


def tried(parts: Parts) -> None:
    """Have a payment paid, and wait until everybody who is to be told was tried; nobody listens here."""
    payment = pay(parts, open_payment(parts))
    row = t.notice.c

    def all_were() -> bool:
        with parts.store.reading() as tx:
            asked = select(row.tries, row.lease).where(row.event_id.in_([event.id for event in payment.events]))
            told = tx.connection.execute(asked).all()
        return len(told) >= 3 and all(one.tries and not one.lease for one in told)

    wait_until(all_were)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
class TestSupervisor:
    """In a process of its own, as it must be: it forks, and the tests' process has threads."""

    PROGRAM = """
import atexit, os, pathlib, signal, time
from gateway import logs
from gateway.cli import supervisor
logs.configure()
supervisor.STOP_SECONDS = 1.5
atexit.register(lambda: said.open("a").write(f"exit of {{os.getpid()}}\\n"))
said = pathlib.Path({said!r})
with supervisor.Supervisor() as it:
    it.start("sleeper", lambda: ({task}))
    it.watch()
"""

    @pytest.fixture
    def said(self, tmp_path: Path) -> Path:
        """Name the file in which the child and the exit handler write."""
        return tmp_path / "said"

    @contextmanager
    def _supervising(self, task: str, said: Path, errors: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        program = self.PROGRAM.format(said=str(said), task=task)
        supervisor = subprocess.Popen([sys.executable, "-c", program], stderr=errors)
        try:
            yield supervisor
        finally:
            supervisor.terminate()
            supervisor.wait(60)

    def test_what_was_killed_is_started_again_under_its_name(self, said: Path) -> None:
        with self._supervising("time.sleep(60)", said) as supervisor:
            first = wait_until(lambda: _sleepers(supervisor.pid))
            os.kill(first[0], signal.SIGKILL)

            second = wait_until(lambda: [pid for pid in _sleepers(supervisor.pid) if pid not in first])

        assert len(second) == 1

    @pytest.mark.parametrize("where", ["", "thread"])
    def test_what_breaks_is_told_without_its_words(self, where: str, said: Path) -> None:
        raising = "int('number 4970100500010000')"
        in_thread = f"__import__('threading').Thread(target=lambda: {raising}).start(), time.sleep(60)"
        errors = said.with_name("errors")
        with errors.open("wb") as file, self._supervising(in_thread if where else raising, said, file):
            wait_until(lambda: b" broke" in errors.read_bytes())

        told = errors.read_text()
        assert "ValueError" in told
        assert "4970" not in told

    def test_what_dies_at_once_is_not_started_all_the_time(self, said: Path) -> None:
        began = time.monotonic()
        with self._supervising("said.open('a').write('x')", said):
            wait_until(lambda: said.exists() and len(said.read_text()) >= 4)
            waited = time.monotonic() - began

        # Three times it was dead for what was left of a second.
        assert waited > 3

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_its_children_end_with_it_however_it_ends(self, number: signal.Signals, said: Path) -> None:
        with self._supervising("time.sleep(60)", said) as supervisor:
            children = wait_until(lambda: _sleepers(supervisor.pid))

            supervisor.send_signal(number)
            supervisor.wait(60)

        wait_until(lambda: not _is_running(children[0]))

    def test_a_child_that_does_not_listen_is_ended_all_the_same(self, said: Path) -> None:
        deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN), said.touch(), time.sleep(60)"
        with self._supervising(deaf, said) as supervisor:
            wait_until(said.exists)
            children = _sleepers(supervisor.pid)

        assert supervisor.returncode == 0
        assert not _is_running(children[0])

    def test_a_child_has_neither_the_signal_handlers_nor_the_exit_handlers_of_its_parent(self, said: Path) -> None:
        handlers = "said.open('a').write(f'{signal.getsignal(signal.SIGTERM).name}\\n')"
        with self._supervising(handlers, said) as supervisor:
            wait_until(lambda: said.exists() and said.read_text())

        assert set(said.read_text().splitlines()) == {"SIG_DFL", f"exit of {supervisor.pid}"}


def _sleepers(supervisor: int) -> list[int]:
    """Find the named children: a child that has not yet its own name has not yet its own settings either."""
    try:
        pids = [int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]
        return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"guichet: sleeper")]
    except OSError:
        return []


def _is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
