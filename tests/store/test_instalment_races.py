"""Two dozen sweepers find the same instalments due: each is debited once, whatever the interleaving, on both engines."""

import os
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from gateway.core.money import Money
from gateway.core.payment import Instalment, PaymentResult
from gateway.core.states import Status
from gateway.parts import Parts
from tests.factories import open_payment, pay
from tests.store.test_races import (  # noqa: F401 - fixtures, found by their names
    Arena,
    broken,
    debits,
    give_back,
    parts,
    racers,
    settle,
    sweep,
    told,
)
from tests.support.crash import Racers
from tests.support.postgres import fresh_database
from tests.support.server import make_home, wait_until

ROUNDS = 2


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def arena(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Path, postgres: str
) -> Iterator[Arena]:
    """Give an arena of this file's own."""
    home = make_home(tmp_path_factory.mktemp("instalments") / "home", key_folder)
    fresh = f"sqlite:///{home}/var/guichet.sqlite"
    arena = Arena(home, fresh if request.param == "sqlite" else fresh_database(postgres, f"parts_{os.getpid()}"))
    yield arena
    arena.close()


def a_purchase_in_three(parts: Parts) -> PaymentResult:  # noqa: F811 - the fixture's value
    """Pay the first part of a purchase whose other two are overdue."""
    yesterday = parts.now().date() - timedelta(days=1)
    later = (Instalment(yesterday, Money(2000)), Instalment(yesterday, Money(1000)))
    return pay(parts, open_payment(parts, amount=Money(3000), instalments=later))


def sweep_or_give_back(parts: Parts, number: int, payment_id: str, cents: int) -> str:  # noqa: F811
    if number == 0:
        return give_back(parts, number, payment_id, cents)
    return str(parts.checkout.sweep())


def is_told_whole(parts: Parts, purchase: PaymentResult) -> bool:  # noqa: F811
    parts.checkout.sweep()
    return all(part.status.value in ("paid", "void") for part in told(parts, purchase).instalments)


def test_sweepers_at_once_debit_each_instalment_once(parts: Parts, racers: Racers) -> None:  # noqa: F811
    before = debits(parts)
    for number in range(1, ROUNDS + 1):
        purchase = a_purchase_in_three(parts)

        answers = racers.race(sweep)

        assert not broken(answers)
        settle(parts)
        assert [part.status.value for part in told(parts, purchase).instalments] == ["paid", "paid"]
        assert debits(parts) == before + 3 * number


def test_a_purchase_given_back_while_its_parts_are_swept_has_no_part_that_is_void_and_debited(
    parts: Parts,  # noqa: F811
    racers: Racers,  # noqa: F811
) -> None:
    for _ in range(ROUNDS):
        purchase = a_purchase_in_three(parts)

        answers = racers.race(sweep_or_give_back, purchase.id, 3000)

        assert not broken(answers)
        wait_until(partial(is_told_whole, parts, purchase), 60)
        for part in told(parts, purchase).instalments:
            is_debited = bool(part.payment) and parts.checkout.opening.told(part.payment).status is Status.PAID
            assert part.status.value == ("paid" if is_debited else "void")
