"""A sleeping worker is woken, by a socket on SQLite and by LISTEN/NOTIFY on PostgreSQL; a lost call costs half a second."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, event, select

from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import open_engine
from gateway.store import tables as t
from gateway.store.wake import Bell, caller
from tests.factories import open_payment
from tests.support.crash import Receiver, listening
from tests.support.server import wait_until


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def listening_bell(engine: Engine, directory: Path) -> Iterator[Bell]:
    bell = Bell(engine, directory)
    _open(bell, engine)
    try:
        yield bell
    finally:
        bell.close()


def _open(bell: Bell, engine: Engine) -> None:
    """Wait for the first time, which is when PostgreSQL's ear is opened; where it is away there is none to be had."""
    bell.wait(0)
    if engine.url.username != "nobody":
        wait_until(lambda: not bell._url or bell._connected())


def seconds(wait: Callable[[float], None], limit: float) -> float:
    began = time.monotonic()
    wait(limit)
    return time.monotonic() - began


def test_a_call_ends_the_sleep(engine: Engine, tmp_path: Path) -> None:
    with listening_bell(engine, tmp_path / "wake") as bell:
        call, began = threading.Timer(0.2, caller(engine, tmp_path / "wake")), time.monotonic()
        call.start()
        bell.wait(60)

        assert 0.2 <= time.monotonic() - began < 45
        # Who is woken may be faster than the caller, whose connection goes with the engine.
        call.join()


def test_a_call_made_just_before_the_sleep_is_not_lost(engine: Engine, tmp_path: Path) -> None:
    with listening_bell(engine, tmp_path / "wake") as bell:
        caller(engine, tmp_path / "wake")()

        assert seconds(bell.wait, 60) < 45


def test_a_call_wakes_every_worker(engine: Engine, tmp_path: Path) -> None:
    pids = iter((1, 2))
    with pytest.MonkeyPatch.context() as patch:
        # Two workers are two processes; here they only look so.
        patch.setattr("gateway.store.wake.os.getpid", lambda: next(pids))
        first, second = Bell(engine, tmp_path / "wake"), Bell(engine, tmp_path / "wake")
    for bell in (first, second):
        _open(bell, engine)

    caller(engine, tmp_path / "wake")()

    assert max(seconds(bell.wait, 60) for bell in (first, second)) < 45
    first.close()
    second.close()


@pytest.mark.parametrize("is_near", [True, False])
def test_the_database_carries_a_call_only_where_no_worker_of_this_machine_hears_it(
    engine: Engine, tmp_path: Path, is_near: bool
) -> None:
    """A call to another machine costs the caller a round trip, and waits for two processes of the server to have their turn."""
    asked: list[str] = []
    with listening_bell(engine, tmp_path / "wake") as bell:
        event.listen(engine, "before_cursor_execute", lambda *facts: asked.append(facts[2]))
        caller(engine, tmp_path / ("wake" if is_near else "another"))()

        # A file has no other machine.
        if is_near or engine.dialect.name == "postgresql":
            assert seconds(bell.wait, 60) < 45
    assert bool(asked) == (not is_near and engine.dialect.name == "postgresql")


def test_calls_that_came_together_are_one(engine: Engine, tmp_path: Path) -> None:
    with listening_bell(engine, tmp_path / "wake") as bell:
        for _ in range(5):
            caller(engine, tmp_path / "wake")()
        bell.wait(60)

        assert seconds(bell.wait, 0.2) > 0.15


def test_without_a_call_it_sleeps_for_as_long_as_it_was_told(engine: Engine, tmp_path: Path) -> None:
    with listening_bell(engine, tmp_path / "wake") as bell:
        assert 0.15 < seconds(bell.wait, 0.2) < 45


def test_many_calls_end_one_sleep_only(engine: Engine, tmp_path: Path) -> None:
    with listening_bell(engine, tmp_path / "wake") as bell:
        for _ in range(20):
            bell.ring()
        bell.wait(5)

        assert seconds(bell.wait, 0.2) > 0.15


def test_the_ears_of_dead_workers_are_no_obstacle(database_url: str, tmp_path: Path) -> None:
    engine, directory = open_engine(database_url), tmp_path / "wake"
    directory.mkdir()
    (directory / "99999.sock").write_bytes(b"not a socket any more")

    caller(engine, directory)()

    with listening_bell(engine, directory) as bell:
        caller(engine, directory)()
        assert seconds(bell.wait, 60) < 45
    engine.dispose()


def test_a_new_worker_clears_away_the_ears_of_dead_ones_only(tmp_path: Path) -> None:
    engine, directory = open_engine("sqlite://"), tmp_path / "wake"
    program = "import os, socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(sys.argv[1]); os._exit(9)"
    with listening_bell(engine, directory) as living, pytest.MonkeyPatch.context() as patch:
        subprocess.run([sys.executable, "-c", program, directory / "1.sock"], check=False)
        before = {path.name for path in directory.iterdir()}
        patch.setattr("gateway.store.wake.os.getpid", lambda: 2)
        with listening_bell(engine, directory):
            after = {path.name for path in directory.iterdir()}
        caller(engine, directory)()

        assert before - after == {"1.sock"}
        assert after - before == {"2.sock"}
        assert len(after) == 2
        assert seconds(living.wait, 60) < 45
    engine.dispose()


def test_a_call_that_cannot_be_made_does_not_undo_what_was_committed(parts: Parts, tmp_path: Path) -> None:
    payment = open_payment(parts)
    dead = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    parts.outbox.wake = caller(dead, tmp_path)

    parts.checkout.paying.cancel(payment.id)

    assert parts.checkout.opening.told(payment.id).status == "cancelled"


class HalfDead:
    """A server that goes away just after it took the connection."""

    closed = False

    def execute(self, _statement: str) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    def close(self) -> None:
        self.closed = True


def test_an_ear_that_cannot_be_opened_whole_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_dead = HalfDead()
    monkeypatch.setattr(psycopg, "connect", lambda *_, **__: half_dead)
    engine = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")

    with listening_bell(engine, tmp_path) as bell:
        assert 0.05 < seconds(bell.wait, 0.1) < 45

    assert half_dead.closed
    engine.dispose()


@pytest.mark.skipif(sys.platform != "linux", reason="socket addresses are this short on Linux")
def test_a_home_too_deep_for_a_socket_leaves_the_worker_its_own_look(tmp_path: Path) -> None:
    engine = open_engine("sqlite://")
    with listening_bell(engine, tmp_path / ("deep" * 30)) as bell:
        assert 0.05 < seconds(bell.wait, 0.1) < 45
    engine.dispose()


@pytest.fixture
def parts(home: Path, database_url: str) -> Iterator[Parts]:
    """Live in the worker's own time."""
    parts = build(load(home, {"GUICHET_DATABASE_URL": database_url}))
    yield parts
    parts.store.engine.dispose()


def test_a_sleeping_worker_delivers_a_fresh_notice_within_a_second(
    parts: Parts, home: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {**os.environ, "GUICHET_DATABASE_URL": database_url}
    log = home / "var/worker.log"
    with listening(Receiver()) as receiver, log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "gateway", "--home", str(home), "worker"], env=environ, stderr=output
        )
        wait_until(lambda: b"worker started" in log.read_bytes())
        taken = [_time_to_deliver(parts, receiver) for _ in range(12)][2:]
        worker.terminate()
        worker.wait(60)

    with capsys.disabled():
        print(f"\nwoken ({parts.store.engine.dialect.name}): median {statistics.median(taken) * 1000:.0f} ms")  # noqa: T201 - a figure to read
    assert statistics.median(taken) < 1
    with parts.store.reading() as tx:
        assert set(tx.connection.execute(select(t.notice.c.state)).scalars()) == {"sent"}


def _time_to_deliver(parts: Parts, receiver: Receiver) -> float:
    payment = open_payment(parts, notify_url=receiver.url)
    time.sleep(0.6)
    count = len(receiver.told)
    began = time.monotonic()
    parts.checkout.paying.cancel(payment.id)
    while len(receiver.told) == count:
        assert time.monotonic() - began < 60
        time.sleep(0.001)
    return time.monotonic() - began
