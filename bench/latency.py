"""P4: how long after a payment was authorised its merchant hears of it.

Authorised means the moment that our own book gives the event ``payment.succeeded``: read from the clock before the bank's
answer is committed, so the commit, the call that wakes the worker, the claim, the signature and the way to the merchant
are all inside. Heard means that the receiver has the whole request. Both moments are of this machine's clock. Payers pay
page by page as in P1, with code and mails and tickets, which the same worker sends meanwhile. The floor is one round
trip to the same receiver on a kept connection.
"""

import http.client
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select

from bench.harness import Bench, Row, Target, Turn, percentile, row
from bench.payers import Load, pay
from bench.receiver import Receiver, receiving
from bench.site import make_home, serving
from gateway.store import open_engine
from gateway.store import tables as t
from tests.e2e.native import MERCHANT, sign

_TURNS = 2
_CLIENTS = 8
_SECONDS = 6.0
_IDLE_SECONDS = 6.0
# More than can be paid in a turn.
_REQUESTS = 400
_PING = 300


def measure(bench: Bench) -> Iterable[Row]:
    """Time from authorised to confirmation received, under 8 clients and idle, beside a plain round trip."""
    os.environ.setdefault("GUICHET_LIMITS__FACTOR", "1000000")
    home, url = make_home(bench.folder), bench.postgresql()
    busy: list[tuple[list[float], float]] = []
    idle: list[tuple[list[float], float]] = []
    with receiving() as receiver, serving(home, url) as guichet:

        def turn(clients: int, seconds: float) -> tuple[list[float], float]:
            floor = _round_trip(receiver)
            receiver.taken()
            requests = tuple(_request(home, guichet.base_url, receiver.url) for _ in range(_REQUESTS))
            done = pay(Load("127.0.0.1", guichet.port, requests, home / "var/inbox", clients, seconds))
            if done.faults:
                raise RuntimeError(f"{len(done.faults)} journeys broke: {done.faults[:3]}")
            time.sleep(1)
            return _waits(url, receiver.taken()), floor

        turn(_CLIENTS, 2.0)
        for _ in range(_TURNS):
            busy.append(turn(_CLIENTS, _SECONDS))
            idle.append(turn(1, _IDLE_SECONDS))
    yield _row("8 clients, p50", busy, 0.5, 10)
    yield _row("8 clients, p99", busy, 0.99, 100)
    yield _row("one client, p99", idle, 0.99, 25)


def _row(what: str, turns: list[tuple[list[float], float]], share: float, at_most: float) -> Row:
    figures: list[Turn] = [(percentile(waits, share), floor) for waits, floor in turns]
    note = f"{sum(len(waits) for waits, _ in turns)} payments; floor: a round trip"
    return row("P4", f"authorised to confirmed, {what}", "ms", figures, Target(at_most=at_most, absolute=True), note)


def _request(home: Path, base_url: str, notify_url: str) -> str:
    reference = f"FACT-{secrets.token_hex(5)}"
    asked = {
        "iss": MERCHANT, "aud": base_url, "amount": 9612, "currency": "EUR", "reference": reference, "kind": "debt",
        "email": "famille@example.org", "label": "Cantine de novembre", "language": "fr", "notify_url": notify_url,
        "lines": [{"reference": reference, "label": "Cantine de novembre", "amount": 9612}],
        "payer": {"name": "Famille Martin", "phone": "+33612345678"}, "return_url": "http://127.0.0.1:8001/return",
    }  # fmt: skip
    return sign(home, asked)


def _waits(database_url: str, arrivals: dict[str, float]) -> list[float]:
    """Give the milliseconds from the event in our book to its arrival, for each that arrived."""
    engine = open_engine(database_url)
    with engine.connect() as db:
        e = t.event.c
        asked = select(e.public_id, e.at).where(e.type == "payment.succeeded")
        authorised = {row.public_id: row.at for row in db.execute(asked)}
    engine.dispose()
    return [(at - authorised[name].timestamp()) * 1000 for name, at in arrivals.items() if name in authorised]


def _round_trip(receiver: Receiver) -> float:
    """Give the median milliseconds of a POST to the receiver and back, on a kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port)
    taken = []
    for _ in range(_PING):
        began = time.perf_counter()
        connection.request("POST", "/floor", b"{}")
        connection.getresponse().read()
        taken.append((time.perf_counter() - began) * 1000)
    connection.close()
    return percentile(taken, 0.5)
