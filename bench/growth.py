"""Whether Guichet slows down as payments are kept: the same work over few stored payments and over many, turn by turn.

Both databases begin with the same few payments, made by the real verbs; all others are copies made by SQL, spread over a
year. On PostgreSQL the application has an account of its own, as in production, so that plans are made with the wall
between merchants before it. Everything runs in this process: what is left out of a journey, HTTP and the pages, does not
know how much is stored, and would only hide what grows.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count, cycle
from pathlib import Path

from sqlalchemy import text

from bench.harness import Bench, Row, Target, row, take_turns
from bench.site import make_home
from gateway import migrations
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import open_engine
from gateway.store.claims import Room
from gateway.store.notices import Delivered
from tests.factories import MERCHANT, a_card, open_payment
from tests.support.growing import admit, grow

FEW = 1000
# A million takes minutes to make: ``GROWTH=1000000 ONLY=P7 make bench``. On SQLite it takes 3 GB of memory and 22 of disk.
MANY = int(os.environ.get("GROWTH", "60000"))
FLAT = Target(at_most=1.15)
# How many of each are made before the others are copies of them, and how often each work is done in a turn.
TEMPLATES, TIMES = 20, 15
ROOM = Room(codes=32, confirmations=32, mails=32)

_serial = count(1)


@dataclass(frozen=True, slots=True)
class Shop:
    """A server's parts over a database with so many payments.

    :ivar kilobytes: on disk, for each payment
    :ivar references: some that are there, in no order
    """

    parts: Parts
    stored: int
    kilobytes: float
    references: Iterator[str]


def measure(bench: Bench) -> Iterator[Row]:
    """Find out whether a payment, a search, a claim and a sweep take longer over many stored payments."""
    for engine, address in (("PostgreSQL", _postgresql), ("SQLite", _sqlite)):
        few, many = (_open(bench.folder / f"{engine}{size}", size, address(bench, size)) for size in (FEW, MANY))
        note = f"{many.stored:,} against {few.stored:,} stored payments; {many.kilobytes:.1f} kB on disk each"
        for what, work in WORKS.items():
            turns = take_turns(_timed(many, work), _timed(few, work), 5)
            yield row("P7", f"{what}, {engine}", "ms", turns, FLAT, note)
            note = ""
        for shop in (few, many):
            shop.parts.store.engine.dispose()


def _postgresql(bench: Bench, size: int) -> tuple[str, str]:
    admin = bench.postgresql()
    engine = open_engine(admin)
    migrations.upgrade(engine)
    engine.dispose()
    return admit(admin, f"growth_{size}"), admin


def _sqlite(bench: Bench, size: int) -> tuple[str, str]:
    url = f"sqlite:///{bench.folder}/growth_{size}.sqlite"
    engine = open_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    return url, url


def _open(folder: Path, size: int, address: tuple[str, str]) -> Shop:
    url, admin = address
    parts = build(load(make_home(folder), {"GUICHET_DATABASE_URL": url}))
    begun = Shop(parts, 0, 0.0, iter(()))
    for _ in range(TEMPLATES):
        journey(begun)
    engine = open_engine(admin)
    with engine.begin() as db:
        if engine.dialect.name == "sqlite":
            # All in one transaction: with the usual 2 MB, pages of indexes would be written again and again.
            db.execute(text("PRAGMA cache_size = -3000000"))
        stored = grow(db, size, within=timedelta(days=365)).payments
        some = db.execute(text("SELECT reference FROM payment ORDER BY random() LIMIT 500")).scalars().all()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        if engine.dialect.name == "postgresql":
            # As autovacuum would have done long before.
            db.execute(text("SET statement_timeout = 0"))
            db.execute(text("VACUUM (ANALYZE)"))
            db.execute(text("CHECKPOINT"))
            taken = db.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        else:
            taken = Path(admin.removeprefix("sqlite:///")).stat().st_size
    engine.dispose()
    return replace(begun, stored=stored, kilobytes=int(taken) / stored / 1000, references=cycle(some))


def journey(shop: Shop) -> None:
    """Take a payment from its request to the last notice of it, and link what was written of it."""
    parts, checkout = shop.parts, shop.parts.checkout
    payment = open_payment(parts, reference=f"BENCH-{time.time_ns()}")
    checkout.visiting.admits(payment.id, f"browser of {payment.id}", stays=True)
    checkout.paying.enter_card(payment.id, a_card(), scheme="", email="", origin=f"origin {next(_serial)}")
    checkout.settling.authorise(payment.id)
    checkout.opening.told(payment.id)
    claim(shop)
    # Paid out, as the simulated bank does at once.
    checkout.sweep()
    claim(shop)
    parts.sealer().seal()


def claim(shop: Shop) -> None:
    """Do as a worker does whose receivers take everything at once."""
    store, now = shop.parts.store, shop.parts.now()
    with store.transaction() as tx:
        claimed = tx.notices.claim("bench", now=now, until=now + timedelta(minutes=1), room=ROOM)
    with store.transaction() as tx:
        tx.notices.finish([Delivered(one.id, "bench") for one in claimed], now)


def search(shop: Shop) -> None:
    """Look a reference up, as portals do."""
    shop.parts.checkout.opening.find(frozenset({MERCHANT}), next(shop.references))


def sweep(shop: Shop) -> None:
    """Sweep when nothing is due, as every worker does every few seconds."""
    shop.parts.checkout.sweep()


def watch(shop: Shop) -> None:
    """Count what metrics tell, as monitoring asks every few seconds."""
    shop.parts.figures()


WORKS: dict[str, Callable[[Shop], None]] = {
    "a whole payment": journey,
    "a search by reference": search,
    "an outbox claim": claim,
    "an idle sweep": sweep,
    "metrics": watch,
}


def _timed(shop: Shop, work: Callable[[Shop], None]) -> Callable[[], float]:
    def median() -> float:
        taken = []
        for _ in range(TIMES):
            began = time.perf_counter()
            work(shop)
            taken.append((time.perf_counter() - began) * 1000)
        return statistics.median(taken)

    return median
