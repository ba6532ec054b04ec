"""PostgreSQL dies in the middle of a payment (``pg_ctl stop -m immediate``), recovers from its log, and all books agree.

Every safety of the server is on, ``fsync`` included. The process that has just written to it, or told somebody, is frozen
right there, so that the database is gone between two of its statements, before a commit, in the middle of one, or after.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text

from gateway import migrations
from gateway.core.errors import StoreBusy
from gateway.parts import Parts
from gateway.store import open_engine
from tests.crash.ageing import settle, unsettled
from tests.crash.checker import judge
from tests.crash.journey import Stubborn
from tests.crash.rig import Rig, on_stage
from tests.crash.test_kill_points import SEED, USUAL, Point, points_of, traced
from tests.support import strace
from tests.support.figures import record
from tests.support.postgres import Breakable, fresh_database, start_breakable
from tests.support.scale import scaled
from tests.support.server import wait_until

POINTS = scaled(3, 40)
# Which threads are frozen; each has a connection of its own under way.
FROZEN = (("web", "request"), ("web", "asking"), ("worker", "main"), ("worker", "sweep"))
FROZEN_SECONDS = 20.0

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(scaled(500, 1800))]


@pytest.fixture
def postgresql() -> Iterator[Breakable]:
    """Give a server to be broken."""
    breakable = start_breakable()
    yield breakable
    breakable.server.stop()


@pytest.fixture
def rig(home: Path, tmp_path: Path, postgresql: Breakable) -> Iterator[Rig]:
    """Give a stage on that server."""
    url = fresh_database(postgresql.server.url, "guichet")
    engine = open_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    place = tmp_path / "place"
    place.mkdir()
    with on_stage(home, url, place) as rig:
        yield rig


def test_a_payment_survives_the_death_of_its_database(rig: Rig, postgresql: Breakable) -> None:
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    calls = traced(rig, USUAL)
    points = [point for role, thread in FROZEN for point in points_of(role, thread, USUAL, calls[role, thread])]
    slowest = 0.0
    for number, point in enumerate(chance.sample(points, POINTS)):
        payer = Stubborn(rig, f"DIES-{number}", USUAL)
        slowest = max(slowest, pay_while_it_dies(rig, postgresql, payer, point))
        findings = judge(rig, payer.told, mails_max=2)
        assert not findings, f"{point} (seed {SEED}): {findings}\n{rig.tail()}"
        assert {status for status, _ in payer.told.statuses} <= {503}, payer.told.statuses

    record("PostgreSQL stopped immediately", points=POINTS, violations=0, back_seconds_max=round(slowest, 2), seed=SEED)


def pay_while_it_dies(rig: Rig, postgresql: Breakable, payer: Stubborn, point: Point) -> float:
    """Pay; once a point is reached have the database die and come back. Gives how long the service took to be back."""
    victim = rig.role(point.role)
    with ThreadPoolExecutor(1) as pool:
        with strace.freezing(victim.threads[point.thread], point.call, point.when):
            paying = pool.submit(payer.pay)
            until = time.monotonic() + FROZEN_SECONDS
            while not is_frozen(victim.pid) and time.monotonic() < until:
                if paying.done() and not unsettled(rig, payer.told.reference):
                    break
                time.sleep(0.01)
        # Strace has let go: nothing is frozen a second time.
        postgresql.crash()
        os.kill(victim.pid, signal.SIGCONT)
        postgresql.start()
        took = rig.wait_until_ready()
        rig.healed_at = time.time()
        paying.result()
        settle(rig, payer.told.reference)
    return took


def is_frozen(pid: int) -> bool:
    """Say whether a process is stopped, by a signal or under its tracer."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_that_the_server_ended_means_that_the_database_is_away(parts: Parts) -> None:
    """What happens to a process that was frozen for ten seconds in the middle of a transaction."""

    def is_ended(session: int) -> bool:
        with parts.store.reading() as tx:
            return not tx.connection.execute(select(text(f"1 FROM pg_stat_activity WHERE pid = {session}"))).all()

    def freeze() -> None:
        with parts.store.transaction() as tx:
            session = tx.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            tx.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 20")
            wait_until(lambda: is_ended(session))
            tx.notices.last_beat()

    with pytest.raises(StoreBusy):
        freeze()
