"""P5: how fast a backlog of confirmations is brought out, beside the plain pooled client.

The notices are real: two dozen payments are made by real verbs and told; what they left in the database is copied by SQL
(``tests.support.growing``), each copy under names of its own, and their confirmations are made due again, for portals of
one server. ``guichet worker`` then brings them out, claims, signatures, marks and log lines included. The floor is
urllib3 with eight threads and a pool, posting such a body to the same server, with nothing to remember.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import urllib3
from sqlalchemy import text

from bench.harness import Bench, Row, Target, Turn, row
from bench.receiver import Receiver, receiving
from bench.site import cpu_seconds, make_home
from gateway import migrations
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store.engine import take_time
from tests.factories import open_payment, pay
from tests.support.growing import grow

# Ten thousand would take the making of as many payments, a minute of it; the rate of the last thousand is that of the first.
NOTICES = 4_000
# To receivers of other kinds, for information.
FEWER = 1_000
_TEMPLATES = 24
_PORTALS = 16
_TURNS = 3
_THREADS = 8
_FLOOR_SECONDS = 2.0
# Codes and confirmations; the back office.
_PROCESSES = 2
_PATIENCE_SECONDS = 60.0
_ANSWERS_AFTER = 0.02

# What a worker finds after an outage: due for an hour, tried never, one notice for each payment.
_BACKLOG = """
UPDATE notice SET state = 'new', tries = 0, lease = '', lease_until = NULL, delivered_at = NULL,
  next_at = CAST(:due AS timestamptz) + (id % 3600) * interval '1 second',
  target = :url || '/' || (id % :portals), endpoint = :url || '/' || (id % :portals)
WHERE id IN (SELECT id FROM notice WHERE channel = 'confirmation' ORDER BY id LIMIT :number)
"""
_REST = "UPDATE notice SET state = 'sent', delivered_at = next_at, tries = 1 WHERE state = 'new'"
_LEFT = text("SELECT count(*) FROM notice WHERE state = 'new'")


def measure(bench: Bench) -> Iterable[Row]:
    """Drain a backlog of confirmations beside a plain pooled client posting to the same receiver."""
    parts = _stored(bench)
    with receiving() as quick:
        turns = [_turn(parts, quick, NOTICES, _PORTALS) for _ in range(_TURNS)]
        note = f"{NOTICES} notices for {_PORTALS} portals of one server in each of {_TURNS} turns"
        yield row("P5", "confirmations, instant receiver", "per second", turns, Target(at_least=0.5), note)
        yield row("P5", "the same, all for one portal", "per second", [_turn(parts, quick, FEWER * 2, 1)], Target())
    with receiving(_ANSWERS_AFTER) as slow:
        note = "two at a time for each portal, whoever waits for them"
        turns = [_turn(parts, slow, FEWER, _PORTALS)]
        yield row("P5", "the same, answered after 20 ms", "per second", turns, Target(), note)
    parts.store.engine.dispose()


def _stored(bench: Bench) -> Parts:
    """Make payments enough, all of them told."""
    home = make_home(bench.folder)
    parts = build(load(home, {"GUICHET_DATABASE_URL": bench.postgresql()}))
    migrations.upgrade(parts.store.engine)
    for _ in range(_TEMPLATES):
        pay(parts, open_payment(parts))
    parts.checkout.sweep()
    with parts.store.engine.begin() as db:
        take_time(db)
        db.execute(text(_REST))
        grow(db, NOTICES, timedelta(days=30))
        db.execute(text("ANALYZE"))
    return parts


def _turn(parts: Parts, receiver: Receiver, number: int, portals: int) -> Turn:
    floor = _floor(receiver, _body(parts))
    return _drained(parts, receiver, number, portals), floor


def _drained(parts: Parts, receiver: Receiver, number: int, portals: int) -> float:
    """Give how many notices a second are brought out and marked, from the call that wakes the worker on."""
    with _worker(parts.settings.home, parts.store.engine.url.render_as_string(hide_password=False)) as pids:
        due = parts.now() - timedelta(hours=2)
        receiver.taken()
        with parts.store.engine.begin() as db:
            facts = {"due": due, "url": receiver.url, "portals": portals, "number": number}
            db.execute(text(_BACKLOG), facts)
        began, cpu = time.monotonic(), cpu_seconds(*pids)
        parts.outbox.wake()
        until = began + _PATIENCE_SECONDS
        with parts.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            # The receiver's count is cheap; the book is asked once all have come, for a mark may be on its way.
            while receiver.count() < number or db.execute(_LEFT).scalar_one():
                if time.monotonic() > until:
                    raise TimeoutError(f"{receiver.count()} of {number} after {_PATIENCE_SECONDS:.0f} s")
                time.sleep(0.02)
        took = time.monotonic() - began
        each = (cpu_seconds(*pids) - cpu) / number * 1000
        print(f"P5: worker's CPU {each:.2f} ms for each notice", file=sys.stderr, flush=True)
        return number / took


@contextmanager
def _worker(home: Path, database_url: str) -> Iterator[list[int]]:
    """Run a worker that has nothing else to do; gives the ids of its processes."""
    environ = {**os.environ, "GUICHET_DATABASE_URL": database_url}
    log = home / "var/worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "gateway", "--home", str(home), "worker"], env=environ, stderr=output
        )
        try:
            until = time.monotonic() + _PATIENCE_SECONDS
            while log.read_bytes().count(b"worker started") < _PROCESSES:
                if time.monotonic() > until or worker.poll() is not None:
                    raise TimeoutError(log.read_text()[-2000:])
                time.sleep(0.05)
            # Its first look round is over.
            time.sleep(1)
            yield [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
        finally:
            worker.terminate()
            worker.wait(_PATIENCE_SECONDS)


def _floor(receiver: Receiver, body: bytes) -> float:
    """Give how many such bodies a second the plain client posts."""
    posted = [0] * _THREADS
    pool = urllib3.HTTPConnectionPool("127.0.0.1", receiver.port, maxsize=_THREADS, block=True)
    until = time.monotonic() + _FLOOR_SECONDS

    def post(number: int) -> None:
        while time.monotonic() < until:
            pool.request("POST", "/floor", body=body, headers={"Content-Type": "application/json"}, retries=False)
            posted[number] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=post, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(posted) / (time.monotonic() - began)


def _body(parts: Parts) -> bytes:
    with parts.store.reading() as tx:
        asked = text("SELECT body FROM notice WHERE channel = 'confirmation' LIMIT 1")
        return bytes(tx.connection.execute(asked).scalar_one())
