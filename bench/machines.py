"""P9: what a second machine is worth, and whether two get into each other's way at the database they share.

A machine is one web process and one worker with a fixed share of the CPU (a cgroup's quota), so that a second one brings
as much again whatever the number of cores; database and payers have the rest. What is measured is whether anything but
its CPU holds a machine back, which would be the database: a lock, a row, a queue. A payment counts once everybody is told.
"""

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from bench.harness import Bench, Row, Target, row, take_turns
from bench.payers import Load, pay
from bench.receiver import receiving
from bench.site import cpu_seconds, make_home, serving
from gateway.clock import utc_now
from tests.support.clock import Clock
from tests.support.crash import Guichet
from tests.support.portal import Portal

_TURNS = 3
_CLIENTS = 4
# Of one core, for each machine: small enough that two leave most of two cores to the database and the payers.
_SHARE = 0.25
# A short one: what a machine does not get it must not be kept from for long, least of all with a row locked.
_PERIOD_MICROSECONDS = 10_000
# Payments of one machine in a turn: some seconds at such a share.
_PAYMENTS = 10
_TELLING_SECONDS = 60.0
# Payments of each machine at full speed, while lock waits are counted.
_HURRIED = 50
_WAIT_MILLISECONDS = 5
_WAITED = re.compile(r"acquired \w+Lock on .* after ([\d.]+) ms")


def measure(bench: Bench) -> Iterable[Row]:
    """Two machines beside one, each with the same share of the CPU; lock waits of two at full speed."""
    alone, together = bench.postgresql(), bench.postgresql()
    with ExitStack() as stack:
        notify_url = stack.enter_context(receiving()).url
        (one,) = stack.enter_context(_machines(bench.folder / "one", alone, 1, notify_url))
        two = stack.enter_context(_machines(bench.folder / "two", together, 2, notify_url))
        with _shares([one, *two]) as how:
            turns = take_turns(lambda: _rate(two, together), lambda: _rate([one], alone), _TURNS)
            # Where the machine is so busy that nobody gets a share, the work itself still tells whether two make more of it.
            payments = (_TURNS + 1) * _PAYMENTS
            apiece = [1000 * cpu_seconds(*one.pids()) / payments]
            apiece += [1000 * sum(cpu_seconds(*each.pids()) for each in two) / payments / len(two)]
        note = f"{how}; CPU per journey, their start included: {apiece[0]:.0f} ms alone, {apiece[1]:.0f} ms together"
        yield row("P9", "journeys, two machines beside one", "journeys/s", turns, Target(at_least=1.7), note)
        yield _lock_waits(two, together)


def _lock_waits(machines: Sequence["Machine"], database_url: str) -> Row:
    """Count the transactions that waited long for a lock: PostgreSQL itself writes those down."""
    log = Path(str(make_url(database_url).query["host"])) / "log"
    before, told = _transactions(database_url), log.stat().st_size
    rate = _rate(machines, database_url, _HURRIED)
    count = _transactions(database_url) - before
    with log.open() as lines:
        lines.seek(told)
        waits = [float(found[1]) for line in lines if (found := _WAITED.search(line))]
    note = f"{len(waits)} of {count} transactions waited, the longest {max(waits, default=0):.0f} ms; {rate:.3g} journeys/s"
    what = f"transactions that waited over {_WAIT_MILLISECONDS} ms for a lock"
    return row("P9", what, "%", [(100 * len(waits) / count, 1.0)], Target(at_most=1.0, absolute=True), note)


@dataclass(frozen=True, slots=True)
class Machine:
    """One ``guichet serve`` among several over a database."""

    guichet: Guichet
    inbox: Path

    def load(self, payments: int) -> Load:
        """Say what its payers are to do."""
        portal, clock = Portal(self.guichet.home, origin=self.guichet.base_url), Clock(utc_now())
        requests = tuple(portal.request(clock) for _ in range(payments))
        return Load("127.0.0.1", self.guichet.port, requests, self.inbox, _CLIENTS, _TELLING_SECONDS)

    def pids(self) -> list[int]:
        """Name all its processes."""
        return [
            pid
            for what in ("supervisor", "master", "web", "worker", "back office", "catcher")
            for pid in self.guichet.pids(what)
        ]


@contextmanager
def _machines(folder: Path, database_url: str, count: int, notify_url: str) -> Iterator[list[Machine]]:
    """Run machines with the same keys and settings; what is test equipment, the bank's book and the inbox, is one."""
    first = make_home(folder)
    _replace(first / "config/merchants.toml", '"http://127.0.0.1:8001/confirmations"', f'"{notify_url}"')
    _replace(first / "config/gateway.toml", "workers = 2", "workers = 1")
    # Lock waits are written down by those who wait; PostgreSQL looks after this time, for a deadlock too.
    with psycopg.connect(make_url(database_url).set(drivername="postgresql").render_as_string(False)) as db:
        name = make_url(database_url).database
        db.execute(f'ALTER DATABASE "{name}" SET log_lock_waits = on')
        db.execute(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '{_WAIT_MILLISECONDS}ms'")
    with ExitStack() as stack:
        guichets = []
        for number in range(count):
            home = first.with_name(f"machine{number}")
            shutil.copytree(first, home, symlinks=True)
            for shared in ("inbox", "acquirer.sqlite3"):
                (home / "var" / shared).symlink_to(folder / shared)
            (folder / "inbox").mkdir(exist_ok=True)
            guichets.append(stack.enter_context(serving(home, database_url)))
        yield [Machine(guichet, folder / "inbox") for guichet in guichets]


def _replace(path: Path, old: str, new: str) -> None:
    shipped = path.read_text()
    if old not in shipped:
        raise RuntimeError(f"{path.name} does not say {old} any more")
    path.write_text(shipped.replace(old, new))


def _rate(machines: Sequence[Machine], database_url: str, payments: int = _PAYMENTS) -> float:
    """Have payers pay at every machine at once; gives payments per second until all is told."""
    loads = [machine.load(payments) for machine in machines]
    began = time.monotonic()
    with ThreadPoolExecutor(len(loads)) as payers:
        done = list(payers.map(pay, loads))
    _wait_until_told(database_url)
    seconds = time.monotonic() - began - min(each.start_seconds for each in done)
    faults = [fault for each in done for fault in each.faults]
    if faults:
        raise RuntimeError(f"{len(faults)} could not pay: {faults[:3]}")
    return sum(each.payments for each in done) / seconds


def _wait_until_told(database_url: str) -> None:
    until = time.monotonic() + _TELLING_SECONDS
    while _figure(database_url, "SELECT count(*) FROM notice WHERE state = 'new'"):
        if time.monotonic() > until:
            raise RuntimeError("not everybody was told in time")
        time.sleep(0.05)


def _transactions(database_url: str) -> int:
    return _figure(database_url, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def _figure(database_url: str, question: str) -> int:
    place = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(place) as db:
        ((answer,),) = db.execute(question.encode()).fetchall()
    return int(answer)


@contextmanager
def _shares(machines: Sequence[Machine]) -> Iterator[str]:
    """Give each machine its share of the CPU, or where no cgroup can be made a core of its own; says which."""
    groups = [_group(f"guichet-bench-{os.getpid()}-{number}") for number in range(len(machines))]
    try:
        for number, (machine, group) in enumerate(zip(machines, groups, strict=True)):
            for pid in machine.pids():
                if group:
                    (group / "cgroup.procs").write_text(str(pid))
                else:
                    os.sched_setaffinity(pid, {number % (os.cpu_count() or 1)})
        cores = f"{os.cpu_count()} cores"
        yield f"each {_SHARE:.0%} of a core; {cores}" if all(groups) else f"NO SHARES: a core each, of {cores}"
    finally:
        for group in filter(None, groups):
            for member in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    (group.parent / "cgroup.procs").write_text(member)
            group.rmdir()


def _group(name: str) -> Path | None:
    """Make a group of processes with a share of the CPU, by either version of cgroups."""
    quota = int(_PERIOD_MICROSECONDS * _SHARE)
    old, new = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    try:
        if (old / "cpu.cfs_quota_us").exists():
            (group := old / name).mkdir()
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            if "cpu" not in (new / "cgroup.subtree_control").read_text().split():
                return None
            (group := new / name).mkdir()
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_MICROSECONDS}")
    except OSError:
        return None
    return group
