"""Payments go on while processes are killed at random; afterwards three books are compared: ours, the bank's, the merchant's.

At night there are 200 of them; ``TEST_KILL_PAYMENTS`` sets any number, ``TEST_KILL_SEED`` repeats the order of the kills.
"""

import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from sqlalchemy import func, select, update

from gateway import keys
from gateway.cli.payer import JourneyFailed, Page, Payer
from gateway.clock import utc_now
from gateway.core.errors import StoreBusy
from gateway.core.states import AttemptStatus, Status
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import tables as t
from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS, SILENT_APPROVED
from tests.support.clock import Clock
from tests.support.crash import Guichet, Receiver, listening, rises
from tests.support.figures import record
from tests.support.portal import Portal
from tests.support.scale import scaled
from tests.support.server import free_ports

PAYMENTS = int(os.environ.get("TEST_KILL_PAYMENTS", "0")) or scaled(8, 200)
SEED = int(os.environ.get("TEST_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PAYERS = 8
# For each dozen payments.
KILLS = {"web": 4, "worker": 1, "back office": 1, "master": 1, "catcher": 1}
KILLS_MIN = PAYMENTS // 4
# An authorisation nobody recorded is looked into after 35 s, the notices of a dead worker after 60 s.
SETTLE_SECONDS = 150
JOURNEY_SECONDS = 150
UNSETTLED = (AttemptStatus.AUTHORISING, AttemptStatus.UNKNOWN, AttemptStatus.REVERSING, AttemptStatus.APPROVED)
WORTHLESS = {"the code has expired", "a newer code has replaced it", "nobody awaits the code any more"}
FINAL = ("paid", "cancelled", "expired")

pytestmark = [pytest.mark.e2e, pytest.mark.nightly_too, pytest.mark.timeout(600 + 10 * PAYMENTS)]


@pytest.fixture
def receiver(home: Path) -> Iterator[Receiver]:
    """Give the merchant's endpoint, which is unwell now and then."""
    secret = keys.credentials(home / "keys", "mairie-demo")["whsec"]
    with listening(Receiver(secret, lambda number: (503 if number % 7 == 3 else 204, {}))) as receiver:
        yield receiver


@pytest.fixture
def guichet(home: Path, database_url: str) -> Iterator[Guichet]:
    web, smtp = free_ports(2)
    with Guichet(home, database_url, web, smtp) as guichet:
        yield guichet


@pytest.fixture
def parts(home: Path, database_url: str, guichet: Guichet) -> Iterator[Parts]:
    """Look at the same books from outside."""
    parts = build(load(home, {"GUICHET_DATABASE_URL": database_url, "GUICHET_BASE_URL": guichet.base_url}))
    yield parts
    parts.store.engine.dispose()


def test_killing_anything_loses_and_doubles_nothing(
    guichet: Guichet, receiver: Receiver, parts: Parts, home: Path
) -> None:
    began, portal = time.monotonic(), Portal(home, origin=guichet.base_url)
    done, kills = threading.Event(), Counter[str]()

    def journey(number: int) -> str:
        wait_for_kills(kills, (number + 1) * KILLS_MIN // PAYMENTS)
        return pay_somehow(guichet, portal, receiver.url, number)

    with ThreadPoolExecutor(PAYERS + 1) as pool:
        killer = pool.submit(keep_killing, guichet, done, kills)
        pages = Counter(pool.map(journey, range(PAYMENTS)))
        done.set()
        killer.result()
    guichet.wait_until_ready()
    settle(parts)

    print(f"seed {SEED}: pages {dict(pages)}, kills {dict(kills)}")  # noqa: T201 - shown when what follows fails
    record(
        f"payments while processes are killed at random, {parts.store.engine.dialect.name}",
        payments=PAYMENTS,
        paid=pages["paid"],
        kills=sum(kills.values()),
        seed=SEED,
        notices=len(receiver.told),
        seconds=round(time.monotonic() - began),
    )
    assert set(pages) <= {"paid", "refused"}, pages
    assert sum(kills.values()) >= KILLS_MIN
    check_bank_against_ours(parts)
    check_ours(parts)
    check_merchant(parts, receiver)


def wait_for_kills(kills: Counter[str], number: int) -> None:
    """Let a payment begin once its share of kills has been: quick payments must not outrun the killer."""
    until = time.monotonic() + JOURNEY_SECONDS
    while sum(kills.values()) < number and time.monotonic() < until:
        time.sleep(0.05)


def keep_killing(guichet: Guichet, done: threading.Event, kills: Counter[str]) -> None:
    """Kill something every second or so, the supervisor once; wait for the web to come back where it was taken away."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    victims = [what for what, count in KILLS.items() for _ in range(count * max(PAYMENTS // 12, 1))]
    chance.shuffle(victims)
    victims.insert(len(victims) // 3, "supervisor")
    for what in victims:
        if done.wait(chance.uniform(0.3, 1.5)):
            break
        kills[what] += guichet.kill(what, chance)
        if what in ("master", "supervisor"):
            guichet.wait_until_ready()


def pay_somehow(guichet: Guichet, portal: Portal, notify_url: str, number: int) -> str:
    """Be a stubborn payer: whatever goes wrong, load the page again and go on from what it shows."""
    claims = portal.claims(
        Clock(utc_now()), jti=f"kill-{SEED}-{number}", reference=f"KILL-{number}", notify_url=notify_url
    )
    request, payer, tried = portal.sign(claims), Payer(guichet.base_url), set[str]()
    cards = iter((FUNDS, FRICTIONLESS, FRICTIONLESS) if number % 4 == 3 else [card_of(number)] * 9)
    until, url, page = time.monotonic() + JOURNEY_SECONDS, "", Page("")
    while time.monotonic() < until and page.name not in FINAL:
        try:
            url = url or open_payment(guichet, request)
            page = payer.open(url)
            page = step(payer, page, cards, tried)
        except (requests.RequestException, JourneyFailed, KeyError, ValueError):
            time.sleep(0.2)
        except StopIteration:
            break
    return page.name or "nothing"


def card_of(number: int) -> str:
    return (CHALLENGE, FRICTIONLESS, SILENT_APPROVED)[number % 4]


def open_payment(guichet: Guichet, request: str) -> str:
    reply = requests.post(
        f"{guichet.base_url}/v1/payments", data=request, headers={"Content-Type": "application/jose"}, timeout=60
    )
    return str(reply.json()["checkout_url"])


def step(payer: Payer, page: Page, cards: Iterator[str], tried: set[str]) -> Page:
    """Do what a page asks for."""
    if page.name == "card":
        typed = {"number": next(cards), "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
        return payer.press(page, "pay", **typed)
    if page.name == "review":
        return payer.press(page, "confirm")
    if page.name == "challenge":
        return answer_challenge(payer, page, tried)
    if page.name == "refused":
        return payer.press(page, "retry")
    time.sleep(0.3)
    return page


def answer_challenge(payer: Payer, page: Page, tried: set[str]) -> Page:
    """Type the newest code not typed yet; when none comes, ask for another."""
    with suppress(JourneyFailed):
        messages = payer.wait_for("sms", page.payment, len(tried) + 1, seconds=5)
        code = next(str(message["code"]) for message in messages if str(message["code"]) not in tried)
        page = payer.press(page, "confirm", code=code)
        tried.add(code)
        return page
    return payer.press(page, "resend")


def settle(parts: Parts) -> None:
    """Wait until nothing is under way."""
    until = time.monotonic() + SETTLE_SECONDS
    while left := unsettled(parts):
        assert time.monotonic() < until, f"still under way: {left}"
        hurry(parts)
        time.sleep(0.5)


def hurry(parts: Parts) -> None:
    """Make due what waits for its next try: after a few kills of the mail relay that may be half an hour away."""
    waiting = (t.notice.c.state == "new", t.notice.c.lease_until.is_(None), t.notice.c.next_at > utc_now())
    with suppress(StoreBusy), parts.store.transaction() as tx:
        tx.connection.execute(update(t.notice).where(*waiting).values(next_at=utc_now()))


def unsettled(parts: Parts) -> dict[str, int]:
    asked = {
        "payments working": select(func.count()).where(t.payment.c.status == Status.WORKING),
        "attempts": select(func.count()).where(t.attempt.c.status.in_(UNSETTLED)),
        "notices": select(func.count()).where(t.notice.c.state == "new"),
    }
    with parts.store.reading() as tx:
        counts = {name: int(tx.connection.execute(query).scalar_one()) for name, query in asked.items()}
    return {name: count for name, count in counts.items() if count}


def check_bank_against_ours(parts: Parts) -> None:
    """Every approval in the bank's book is a paid payment here, and no debt was debited twice."""
    book = parts.checkout.desk.acquirer.book()  # type: ignore[attr-defined]  # the simulator's own book
    debited = {entry.op_id for entry in book if entry.state in ("approved", "captured", "review")}
    asked = (
        select(t.operation.c.op_id, t.payment.c.status, t.line.c.debt_id)
        .join(t.attempt, t.attempt.c.id == t.operation.c.attempt_id)
        .join(t.payment, t.payment.c.id == t.attempt.c.payment_id)
        .join(t.line, t.line.c.payment_id == t.payment.c.id)
        .where(t.operation.c.kind == "authorise", t.operation.c.op_id.in_(debited))
    )
    with parts.store.reading() as tx:
        ours = tx.connection.execute(asked).all()
        paid = tx.connection.execute(select(func.count()).where(t.payment.c.status == Status.PAID)).scalar_one()
    assert {row.op_id for row in ours} == debited, "the bank holds money we do not know of"
    assert {row.status for row in ours} == {Status.PAID}
    assert max(Counter(row.debt_id for row in ours).values()) == 1, "a debt was debited twice"
    assert len(debited) == paid, "we say paid where the bank holds nothing"


def check_ours(parts: Parts) -> None:
    """The ledger balances and explains every paid payment; nothing is stuck, nothing was given up."""
    with parts.store.reading() as tx:
        db = tx.connection
        paid = db.execute(select(func.count()).where(t.payment.c.status == Status.PAID)).scalar_one()
        assert db.execute(select(func.count()).select_from(t.payment)).scalar_one() == PAYMENTS
        assert db.execute(select(func.count()).select_from(t.ledger)).scalar_one() == 2 * paid
        assert db.execute(select(func.sum(t.ledger.c.amount_cents))).scalar_one() == 0
        stuck = db.execute(select(t.attempt.c.status).where(t.attempt.c.next_at.is_not(None))).scalars().all()
        assert stuck == []
        # A code that was overtaken by a newer one, or by the payer, while its worker was dead is not sent any more.
        assert set(db.execute(select(t.notice.c.state).where(t.notice.c.channel != "sms")).scalars()) == {"sent"}
        given_up = db.execute(select(t.notice.c.last_error).where(t.notice.c.state == "dead")).scalars()
        assert set(given_up) <= WORTHLESS


def check_merchant(parts: Parts, receiver: Receiver) -> None:
    """Every paid payment was confirmed, each event under one id with one body, in order; all signatures are right."""
    assert all(told.is_genuine for told in receiver.told)
    taken = [told for told in receiver.told if told.status == 204]
    with parts.store.reading() as tx:
        paid = set(
            tx.connection.execute(select(t.payment.c.public_id).where(t.payment.c.status == Status.PAID)).scalars()
        )
        events = select(t.event.c.public_id).where(t.event.c.type.like("payment.%"))
        news = set(
            tx.connection.execute(events.where(t.event.c.type.not_in(("payment.created", "payment.opened")))).scalars()
        )
    assert {told.payment for told in taken if told.type == "payment.succeeded"} == paid
    assert {told.id for told in taken} == news
    bodies: dict[str, set[str]] = defaultdict(set)
    order: dict[str, dict[str, int]] = defaultdict(dict)
    for told in receiver.told:
        bodies[told.id].add(told.digest)
    for told in taken:
        order[told.payment].setdefault(told.id, told.sequence)
    assert {len(digests) for digests in bodies.values()} == {1}
    assert all(rises(list(sequences.values())) for sequences in order.values())
