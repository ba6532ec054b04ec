"""P10: Guichet beside what else a developer could run; how to read it honestly is in docs/performance.md.

All take turns on the same machine: ours, with 3-D Secure, callbacks, ledger, mails and tickets; a Django shop with
django-payments' dummy provider, on the same PostgreSQL; localstripe with some payments stored, and with more.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from bench.harness import Bench, Row, Target, Turn, row
from bench.journeys import Site, open_site
from bench.payers import CARDS
from bench.peers import django_payments, localstripe
from bench.peers.programs import environment, per_second
from bench.receiver import receiving
from bench.site import pss_megabytes
from tests.support.installing import NoTool
from tests.support.traces import find_cards, search

_ROUNDS = 3
_SECONDS = 4.0
# Of a turn at localstripe: few, so that what is stored grows little meanwhile.
_PAYMENTS = 16
# What is searched for card numbers: mails with their tickets, and 16 MB files of the database's log. Reading is slow, and
# tests/test_canary.py reads all there is.
_MAILS, _SEGMENTS = 50, 2

_SHOP, _KEEPING = "django-payments, PostgreSQL, 8 clients", "the same, its connections kept"
_FEWER, _MORE = "localstripe, 50 payments stored", "localstripe, 800 payments stored"
# What keeps its connections is a shop tuned beyond what Django does by itself: we promise to be no slower.
_TARGETS = {_SHOP: 2.5, _KEEPING: 1.0, _FEWER: 8.0, _MORE: 20.0}


def measure(bench: Bench) -> Iterator[Row]:
    """Beside django-payments and localstripe in the same run; our memory, and card numbers on disk."""
    try:
        environment("django"), environment("localstripe")
    except NoTool as error:
        print(f"P10: {error}; nothing is measured", file=sys.stderr, flush=True)
        return
    url = bench.postgresql()
    with ExitStack() as stack:
        site = stack.enter_context(open_site(bench, url))
        turns: dict[str, Callable[[], float]] = {"ours": partial(site.turn, seconds=_SECONDS)}
        for name, keeps in ((_SHOP, False), (_KEEPING, True)):
            shop = django_payments.serving(site.guichet.home, bench.postgresql(), keeps_connections=keeps)
            port = stack.enter_context(shop)
            turns[name] = partial(per_second, port, django_payments.Journey, bench.folder, seconds=_SECONDS)
        _take_round(turns)  # warms up
        told = stack.enter_context(receiving())
        turns[_FEWER] = partial(_stripe_afresh, bench.folder, told.url)
        port = stack.enter_context(localstripe.serving(bench.folder, told.url))
        print("P10: storing 800 payments in localstripe, a minute or more", file=sys.stderr, flush=True)
        localstripe.store(port, 800)
        turns[_MORE] = partial(_stripe_turn, bench.folder, port)
        before = _megabytes(site)
        rounds = [_take_round(turns, backwards=bool(number % 2)) for number in range(_ROUNDS)]
        after = _megabytes(site)
        theirs = find_cards(localstripe.MEMORY.read_bytes(), CARDS)
        mine = _cards_left(site.guichet.home, url)
    for name, least in _TARGETS.items():
        pairs: list[Turn] = [(one["ours"], one[name]) for one in rounds]
        yield row(
            "P10", f"beside {name}", "journeys/s", pairs, Target(at_least=least), site.note if name == _SHOP else ""
        )
    yield row("P10", "memory of web and worker, after and before", "MB PSS", [(after, before)], Target(at_most=1.1))
    found: list[Turn] = [(float(len(mine)), float(max(len(theirs), 1)))]
    note = f"of the {len(CARDS)} typed; the floor is localstripe's file"
    yield row("P10", "card numbers on disk afterwards", "numbers", found, Target(at_most=0, absolute=True), note)


def _take_round(turns: Mapping[str, Callable[[], float]], *, backwards: bool = False) -> dict[str, float]:
    names = list(turns)
    return {name: turns[name]() for name in (names[::-1] if backwards else names)}


def _stripe_afresh(folder: Path, told: str) -> float:
    with localstripe.serving(folder, told) as port:
        localstripe.store(port, 50)
        return _stripe_turn(folder, port)


def _stripe_turn(folder: Path, port: int) -> float:
    return per_second(port, localstripe.Journey, folder, _PAYMENTS)


def _megabytes(site: Site) -> float:
    pids = site.guichet.pids
    return sum(pss_megabytes(pid) for pid in (*pids("web"), *pids("worker"), *pids("back office")))


def _cards_left(home: Path, database_url: str) -> set[str]:
    """Look for what payers typed in what our processes wrote, and the database's; of mails and its log, in the newest."""
    engine, data = create_engine(database_url), Path(str(make_url(database_url).query["host"]), "db")
    with engine.connect() as db:
        db.execute(text("CHECKPOINT"))
        ours = data / db.execute(text("SELECT pg_relation_filepath('payment')")).scalar_one()
    engine.dispose()
    log, mails = _newest(data / "pg_wal", _SEGMENTS), _newest(home / "var/inbox", _MAILS)
    var = [path for path in (home / "var").rglob("*") if "inbox" not in path.parts]
    found = search([*var, *mails, *ours.parent.iterdir(), *log], CARDS)
    return {number for numbers in found.values() for number in numbers}


def _newest(folder: Path, count: int) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime)[-count:]
