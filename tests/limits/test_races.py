"""However many processes ask at once, a limit is passed by nobody: on both engines."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway import migrations
from gateway.acquirers import cards
from gateway.core.errors import StoreBusy, TooMany, WrongStatus
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import open_engine
from gateway.store import tables as t
from tests.factories import FUNDS, a_card, enter, open_payment
from tests.support.crash import Racers
from tests.support.figures import record
from tests.support.scale import scaled

RACERS = scaled(16, 64)
ROUNDS = scaled(1, 20)
GUESSES = scaled(32, 200)
PATIENCE = 100

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(scaled(600, 1800))]


@pytest.fixture
def parts(home: Path, database_url: str) -> Iterator[Parts]:
    config = home / "config/gateway.toml"
    config.write_text(config.read_text("utf-8").replace("factor = 1000", "factor = 1"), "utf-8")
    engine = open_engine(database_url)
    migrations.upgrade(engine)
    engine.dispose()
    parts = build(load(home, {"GUICHET_DATABASE_URL": database_url}))
    assert parts.checkout.limiting.figures.cards_per_address == 10
    yield parts
    parts.store.engine.dispose()


@pytest.fixture
def racers(parts: Parts, home: Path, database_url: str) -> Iterator[Racers]:  # noqa: ARG001 - after the schema
    racers = Racers(home, database_url, RACERS, __name__)
    yield racers
    racers.close()


def entries(parts: Parts) -> Counter[str]:
    with parts.store.reading() as tx:
        rows = tx.connection.execute(select(t.card_entry.c.state, func.count()).group_by(t.card_entry.c.state))
        return Counter({row[0]: row[1] for row in rows})


def patiently(act: object, *args: object, **named: object) -> object:
    """Do it as soon as the database has time for it."""
    assert callable(act)
    for _ in range(PATIENCE):
        try:
            return act(*args, **named)
        except StoreBusy:
            continue
    raise AssertionError("never had")


def type_own_card(parts: Parts, number: int, payments: list[str], numbers: list[str], origin: str) -> str:
    card = a_card(numbers[number % len(numbers)])
    patiently(parts.checkout.paying.enter_card, payments[number], card, scheme="", email="", origin=origin)
    return "done"


def pay_with_one_card(parts: Parts, number: int, payments: list[str], card: str) -> str:
    origin = f"198.51.100.{number}"
    patiently(parts.checkout.paying.enter_card, payments[number], a_card(card), scheme="", email="", origin=origin)
    patiently(parts.checkout.settling.authorise, payments[number])
    return "done"


def post(parts: Parts, _number: int, at: datetime) -> str:
    """Post at a moment that lasts for as long as the machine needs."""
    limiting = parts.checkout.limiting
    limiting._desk = replace(limiting._desk, now=lambda: at)
    try:
        patiently(parts.checkout.limiting.count_post, "mairie-demo")
    except TooMany:
        return "told to wait"
    return "counted"


def guess(parts: Parts, number: int, payment: str) -> str:
    right = 0
    for place in range(-(-GUESSES // RACERS)):
        try:
            right += bool(patiently(parts.checkout.paying.answer_challenge, payment, f"{number * 1000 + place:06d}"))
        except WrongStatus:
            break
    return "right" if right else "wrong"


def published(parts: Parts, acs: str) -> list[str]:
    table = cards.load(parts.settings.home / "config/test_cards.toml")
    return sorted({card.number for _, all_ in table.published() for card in all_ if card.acs == acs})


def test_an_address_has_ten_cards(parts: Parts, racers: Racers) -> None:
    good = published(parts, "frictionless")
    assert len(good) >= RACERS or RACERS > 16
    for place in range(ROUNDS):
        payments = [open_payment(parts).id for _ in range(RACERS)]
        before = entries(parts)["begun"]

        answers = racers.race(type_own_card, payments, good, f"192.0.2.{place}")

        assert set(answers) == {"done"}
        assert entries(parts)["begun"] - before <= 10
        if place == 0:
            assert entries(parts) == Counter(begun=10, withheld=RACERS - 10)
    record("limits: one address", processes=RACERS, rounds=ROUNDS, asked_each=10)


def test_a_card_is_refused_three_times(parts: Parts, racers: Racers) -> None:
    payments = [open_payment(parts).id for _ in range(RACERS)]

    answers = racers.race(pay_with_one_card, payments, FUNDS)

    assert set(answers) == {"done"}
    with parts.store.reading() as tx:
        codes = Counter(tx.connection.execute(select(t.attempt.c.response_code)).scalars().all())
    assert codes == Counter({"51": 3, "59": RACERS - 3})
    record("limits: one card", processes=RACERS, asked=codes["51"])


def test_a_merchant_posts_fifteen_times_a_second(parts: Parts, racers: Racers) -> None:
    now = parts.now()

    answers = Counter(answer for _ in range(3) for answer in racers.race(post, now))

    assert answers == {"counted": 15, "told to wait": 3 * RACERS - 15}
    with parts.store.reading() as tx:
        rows = tx.connection.execute(select(t.tally.c.count).where(t.tally.c.scope == "posts")).scalars().all()
    assert rows == [15]
    record("limits: posts of one merchant in one second", processes=RACERS, counted=rows[0])


def test_a_page_compares_five_codes(parts: Parts, racers: Racers) -> None:
    """Two hundred guesses at once: five are compared. A card that failed three times rests, hence the many cards."""
    asking = published(parts, "challenge")
    pages = [
        (open_payment(parts, payer_phone=f"+336399801{place:02d}"), asking[place % len(asking)])
        for place in range(min(ROUNDS, 3 * len(asking)))
    ]
    for payment, number in pages:
        enter(parts, payment, number)
        racers.race(guess, payment.id)

        with parts.store.reading() as tx:
            asked = select(t.card_entry.c.guesses).join(t.payment)
            compared = tx.connection.execute(asked.where(t.payment.c.public_id == payment.id)).scalar_one()
        assert compared in (4, 5), "one less when a guess was right"
    record("promise 18", guesses=GUESSES, rounds=len(pages), compared_each=5)
