"""P1 and P2: full payments by the native protocol, beside their own statements alone.

Ours is the whole of it: signed request, card page, card, code page, code, last page, with the worker rendering and
sending two tickets, an SMS and a confirmation meanwhile. The floor is what a real journey says to the database
(``bench.trace``), said again by a program that does nothing else: pgbench, or one thread on SQLite's own driver.
"""

import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, make_url, select, text

from bench.harness import Bench, Row, Target, Turn, percentile, row, take_turns
from bench.payers import Done, Load, pay
from bench.receiver import receiving
from bench.script import Script
from bench.site import cpu_seconds, make_home, serving
from bench.trace import hear_journeys
from gateway.clock import utc_now
from gateway.store import open_engine, tables
from tests.support.clock import Clock
from tests.support.crash import Guichet
from tests.support.portal import Portal
from tests.support.postgres import client_tools

CLIENTS = 8
_TURNS = 5
_SECONDS = 4.0
_FLOOR_SECONDS = 3.0
# Requests are signed before a turn; more than this nobody pays in a second here.
_PER_SECOND_MAX = 150
# Of the worker, after a turn; what is not told by then waits for a second try, and is a fault.
_TELLING_SECONDS = 15.0
# What payers wait for, as opposed to merchants' programs.
_PAGES = ("card", "pay", "challenge", "confirm", "paid")


def on_postgresql(bench: Bench) -> Iterator[Row]:
    """Full native journeys on PostgreSQL, beside their statements alone by pgbench; and the worker's pace."""
    home = make_home(bench.folder / "trace")
    floor_url = bench.postgresql()
    script = Script(*hear_journeys(home, floor_url))
    path = bench.folder / "journey.sql"
    path.write_text(script.pgbench())
    with open_site(bench, bench.postgresql()) as site:
        turns = take_turns(site.turn, lambda: _floor(floor_url, path), _TURNS)
        alone = site.turn(clients=1, seconds=3.0)
    note = f"{_size(script)}; {site.note}; alone {alone:.3g}/s"
    yield row("P1", "native journeys, 8 clients, PostgreSQL", "journeys/s", turns, Target(at_least=0.10), note)
    yield row("P1", "until all is told, beside the paying", "s", site.paces, Target(at_most=2.0), site.worker_note)


def on_sqlite(bench: Bench) -> Iterator[Row]:
    """Full native journeys on SQLite with synchronous=FULL and one web process, beside their statements alone."""
    home = make_home(bench.folder / "trace")
    floor_url = f"sqlite:///{home}/var/guichet.sqlite"
    script = Script(*hear_journeys(home, floor_url))
    with open_site(bench) as site:
        turns = take_turns(site.turn, lambda: _replay(floor_url, script), _TURNS)
    yield row(
        "P2", "native journeys, 8 clients, SQLite FULL", "journeys/s", turns, Target(at_least=0.06),
        f"{_size(script)}; {site.note}; {site.worker_note}",
    )  # fmt: skip
    worst, its = max(site.pages.items(), key=lambda page: page[1][0] / page[1][1])
    others = ", ".join(f"{name} {median:.0f}/{late:.0f}" for name, (late, median) in site.pages.items())
    note = f"the floor is the median, ours p99; the worst page is told; all, p50/p99 in ms: {others}"
    yield row("P2", f"p99 of a page beside its median: {worst}", "ms", [its], Target(at_most=5.0), note)


def _size(script: Script) -> str:
    return f"{script.statements} statements, {script.commits} transactions"


# Ours.


@dataclass
class Site:
    """A running server, its payers, and what was seen of them in each turn; the first turn only warms up."""

    guichet: Guichet
    database_url: str
    _turns: list["_Seen"] = field(default_factory=list)

    def turn(self, clients: int = CLIENTS, seconds: float = _SECONDS) -> float:
        """Have payers pay, then wait until everybody is told; gives payments per second of the paying."""
        requests = self._requests(int(seconds * _PER_SECOND_MAX))
        load = Load("127.0.0.1", self.guichet.port, requests, self.guichet.home / "var/inbox", clients, seconds)
        before, began = self._cpu(), time.monotonic()
        done = pay(load)
        self._wait_until_told()
        told = time.monotonic() - began - done.start_seconds
        web, worker = (late - early for late, early in zip(self._cpu(), before, strict=True))
        if not done.payments:
            raise RuntimeError(f"nobody could pay: {done.faults[:3]}")
        if clients == CLIENTS:
            self._turns.append(_Seen(done, told, web, worker))
        if len(self._turns) == 1:
            _analyse(self.database_url)
        return done.payments / done.seconds

    def _requests(self, count: int) -> tuple[str, ...]:
        portal = Portal(self.guichet.home, origin=self.guichet.base_url)
        return tuple(portal.request(Clock(utc_now())) for _ in range(count))

    def _cpu(self) -> tuple[float, float]:
        pids = self.guichet.pids
        return cpu_seconds(*pids("master"), *pids("web")), cpu_seconds(*pids("worker"), *pids("back office"))

    def _wait_until_told(self) -> None:
        waiting = select(func.count()).select_from(tables.notice).where(tables.notice.c.state == "new")
        engine, until = open_engine(self.database_url), time.monotonic() + _TELLING_SECONDS
        with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            while cursor.execute(str(waiting.compile(engine, compile_kwargs={"literal_binds": True}))).fetchone()[0]:
                connection.rollback()
                if time.monotonic() > until:
                    break
                time.sleep(0.05)
        engine.dispose()

    @property
    def _measured(self) -> list["_Seen"]:
        return self._turns[1:]

    @property
    def paces(self) -> list[Turn]:
        """How long each turn's telling took, beside its paying."""
        return [(seen.told_seconds, seen.done.seconds) for seen in self._measured]

    @property
    def pages(self) -> dict[str, Turn]:
        """By page, its p99 and its median over all turns, in milliseconds."""
        times = {name: [t * 1000 for seen in self._measured for t in seen.done.pages[name]] for name in _PAGES}
        return {name: (percentile(each, 0.99), percentile(each, 0.5)) for name, each in times.items()}

    @property
    def note(self) -> str:
        """What the web took, and the payers who are no part of it."""
        count = sum(seen.done.payments for seen in self._measured)
        faults = [fault for seen in self._measured for fault in seen.done.faults]
        web = 1000 * sum(seen.web_seconds for seen in self._measured) / count
        payers = 1000 * sum(seen.done.cpu_seconds for seen in self._measured) / count
        every = [t for seen in self._measured for name in _PAGES for t in seen.done.pages[name]]
        times = f"pages p50 {1000 * percentile(every, 0.5):.0f}, p99 {1000 * percentile(every, 0.99):.0f} ms"
        spoilt = f"; {len(faults)} FAILED, such as {faults[0]}" if faults else ""
        return f"CPU per journey: web {web:.1f} ms, payers {payers:.1f} ms; {times}{spoilt}"

    @property
    def worker_note(self) -> str:
        """What the worker took."""
        count = sum(seen.done.payments for seen in self._measured)
        return f"worker {1000 * sum(seen.worker_seconds for seen in self._measured) / count:.1f} ms CPU per journey"


@dataclass(frozen=True, slots=True)
class _Seen:
    done: Done
    told_seconds: float
    web_seconds: float
    worker_seconds: float


@contextmanager
def open_site(bench: Bench, database_url: str = "") -> Iterator[Site]:
    """Serve, with a receiver of confirmations; on SQLite by one web process, as one writes at a time."""
    home = make_home(bench.folder)
    with receiving() as receiver:
        _replace(home / "config/merchants.toml", '"http://127.0.0.1:8001/confirmations"', f'"{receiver.url}"')
        if not database_url:
            _replace(home / "config/gateway.toml", "workers = 2", "workers = 1")
        url = database_url or f"sqlite:///{home}/var/guichet.sqlite"
        with serving(home, url) as guichet:
            yield Site(guichet, url)


def _replace(path: Path, old: str, new: str) -> None:
    shipped = path.read_text()
    if old not in shipped:
        raise RuntimeError(f"{path.name} does not say {old} any more")
    path.write_text(shipped.replace(old, new))


# The floor.


def _floor(database_url: str, script: Path) -> float:
    rate = pgbench(database_url, script, f"--client={CLIENTS}", f"--time={_FLOOR_SECONDS:.0f}")
    _analyse(database_url)
    return rate


def pgbench(database_url: str, script: Path, *how: str) -> float:
    """Have pgbench run a script; gives journeys per second."""
    place = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    tool = client_tools() / "pgbench"
    command = [str(tool), "--no-vacuum", "--protocol=prepared", f"--file={script}", *how, place]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
    return float(done.stdout.partition("tps = ")[2].split()[0])


def _replay(database_url: str, script: Script) -> float:
    """Say the same one after the other, as SQLite takes it; gives journeys per second."""
    engine, chance, count = open_engine(database_url), random.Random(), 0  # noqa: S311 - no secret
    # With the product's own pragmas, and nothing else of it.
    with closing(engine.raw_connection()) as connection:
        driver, began = connection.driver_connection, time.monotonic()
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - tells the type checker
        while time.monotonic() - began < _FLOOR_SECONDS:
            script.run(driver, chance)
            count += 1
        seconds = time.monotonic() - began
    engine.dispose()
    return count / seconds


def _analyse(database_url: str) -> None:
    """Let the planner know how full the tables are, as it would of a server that runs for longer than a minute."""
    engine = open_engine(database_url)
    if engine.dialect.name == "postgresql":
        with engine.begin() as db:
            db.execute(text("ANALYZE"))
    engine.dispose()
