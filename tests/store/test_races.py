"""Two dozen processes (at night 64) do the same thing at once, on both engines: money moves once, however they meet."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Table, func, select

from gateway import migrations
from gateway.core.challenge import Bound, is_code
from gateway.core.errors import StoreBusy
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.core.states import Status
from gateway.dialects import Refund, Signed, Which
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import open_engine
from gateway.store import tables as t
from gateway.store.claims import Room
from tests.factories import (
    CHALLENGE,
    FRICTIONLESS,
    SILENT_APPROVED,
    a_card,
    a_request,
    an_open,
    enter,
    open_payment,
    pay,
)
from tests.support.crash import Racers
from tests.support.figures import record
from tests.support.postgres import fresh_database
from tests.support.scale import scaled
from tests.support.server import make_home, wait_until

RACERS = scaled(24, 64)
ROUNDS = scaled(4, 50)
SWEEPS = scaled(1, 3)
# Each of as many refunds as there are processes.
WHOLE_REFUNDS = scaled(4, 10)
# On a starved machine SQLite may keep somebody waiting for too long; this often in a row is no accident.
PATIENCE = 100

Answer = TypeVar("Answer")

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(scaled(600, 1800))]


class Arena:
    """One database, with a Guichet of its own to set the scene and the racers; its tests know their payments apart."""

    def __init__(self, home: Path, database_url: str) -> None:
        engine = open_engine(database_url)
        migrations.upgrade(engine)
        engine.dispose()
        self.parts = build(load(home, {"GUICHET_DATABASE_URL": database_url}))
        self.racers = Racers(home, database_url, RACERS, __name__)

    def close(self) -> None:
        self.racers.close()
        self.parts.store.engine.dispose()


@pytest.fixture(scope="session")
def arenas() -> Iterator[dict[str, Arena]]:
    """Keep each engine's arena for the whole run: two dozen processes take a while to come and go."""
    arenas: dict[str, Arena] = {}
    yield arenas
    for arena in arenas.values():
        arena.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def arena(
    request: pytest.FixtureRequest,
    arenas: dict[str, Arena],
    tmp_path_factory: pytest.TempPathFactory,
    key_folder: Path,
    postgres: str,
) -> Arena:
    kind = str(request.param)
    if kind not in arenas:
        home = make_home(tmp_path_factory.mktemp("races") / "home", key_folder)
        fresh = f"sqlite:///{home}/var/guichet.sqlite"
        arenas[kind] = Arena(home, fresh if kind == "sqlite" else fresh_database(postgres, f"races_{os.getpid()}"))
    return arenas[kind]


@pytest.fixture
def parts(arena: Arena) -> Parts:
    return arena.parts


@pytest.fixture
def racers(arena: Arena) -> Racers:
    return arena.racers


def debits(parts: Parts) -> int:
    """Count what the bank's own book holds of the payer's money."""
    book = parts.checkout.desk.acquirer.book()  # type: ignore[attr-defined]  # the simulator's own book
    return sum(entry.state in ("approved", "captured") for entry in book)


def count(parts: Parts, table: Table) -> int:
    with parts.store.reading() as tx:
        return int(tx.connection.execute(select(func.count()).select_from(table)).scalar_one())


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def settle(parts: Parts) -> None:
    """Do what the worker does until nothing is under way."""
    for _ in range(5):
        parts.checkout.sweep()


def all_are_settled(parts: Parts, payments: list[PaymentResult]) -> bool:
    """Sweep once: an answer the database had no time to take in is asked for again, half a minute later."""
    parts.checkout.sweep()
    return not any(told(parts, payment).is_live for payment in payments)


@pytest.fixture(autouse=True)
def figures(request: pytest.FixtureRequest, racers: Racers) -> Iterator[None]:
    """Write down each race that was run to its end and won by the right number."""
    failed, before = request.session.testsfailed, racers.held
    yield
    if request.session.testsfailed == failed:
        record(f"race: {request.node.name}", processes=RACERS, rounds=racers.held - before)


def all_are_made(parts: Parts, payment: PaymentResult) -> bool:
    """Sweep once: a refund whose answer the database had no time to take in is asked for again, half a minute later."""
    parts.checkout.sweep()
    return all(refund.status == "done" for refund in told(parts, payment).refunds)


def broken(answers: list[str]) -> list[str]:
    return [answer for answer in answers if answer.startswith("BROKE")]


def patiently(verb: Callable[[], Answer]) -> Answer:
    """Ask until the database has time: it promises that whoever it sent away had done nothing."""
    for _ in range(PATIENCE):
        with suppress(StoreBusy):
            return verb()
    raise AssertionError("never had")


def insist(verb: Callable[[], object]) -> str:
    patiently(verb)
    return "done"


def authorise(parts: Parts, _number: int, payment_id: str) -> str:
    return insist(lambda: parts.checkout.settling.authorise(payment_id))


def enter_and_authorise(parts: Parts, _number: int, payment_id: str) -> str:
    patiently(lambda: parts.checkout.paying.enter_card(payment_id, a_card(FRICTIONLESS), scheme="", email=""))
    return insist(lambda: parts.checkout.settling.authorise(payment_id))


def open_and_pay(parts: Parts, number: int, reference: str) -> str:
    command = an_open(a_request(reference=reference), jti=f"{reference}-{number}", digest=f"wish {number}")
    payment, _ = patiently(lambda: parts.checkout.opening.open(command, "native"))
    return enter_and_authorise(parts, number, payment.id)


def open_once(parts: Parts, _number: int, reference: str) -> str:
    command = an_open(a_request(reference=reference), jti=f"jti {reference}", digest="the same wish")
    return patiently(lambda: parts.checkout.opening.open(command, "native"))[0].id


def guess(parts: Parts, _number: int, payment_id: str, code: str) -> str:
    """Guess a code; tells whether it was right, and how often a code was really compared."""
    compared: list[str] = []

    def compare(key: bytes, typed: str, mac: bytes, bound: Bound) -> bool:
        compared.append(typed)
        return is_code(key, typed, mac, bound)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.checkout.paying.is_code", compare)
        return f"{patiently(lambda: parts.checkout.paying.answer_challenge(payment_id, code))} {len(compared)}"


def guess_if_early(parts: Parts, number: int, payment_id: str, code: str) -> str:
    """Guess in four processes only: a fifth would use the tries up while the others still compare."""
    return guess(parts, number, payment_id, code) if number < 4 else "stood by"


def give_back(parts: Parts, number: int, payment_id: str, cents: int) -> str:
    signed = Signed("mairie-demo", f"refund-{payment_id}-{number}", f"refund {number}")
    command = Refund(Which(payment=payment_id), Money(cents), signed)
    return insist(lambda: parts.checkout.refunding.refund(command, "native"))


def claim(parts: Parts, number: int) -> str:
    now = parts.now()
    with parts.store.transaction() as tx:
        # Longer than all rounds together.
        until = now + timedelta(hours=1)
        rows = tx.notices.claim(f"lease {number}", now=now, until=until, room=Room(5, 5, 5, per_place=1000, run=1000))
    return " ".join(str(row.id) for row in rows)


def sweep(parts: Parts, _number: int) -> int:
    return parts.checkout.sweep()


def test_one_payment_is_debited_once(parts: Parts, racers: Racers) -> None:
    before, payments = debits(parts), []
    for number in range(1, ROUNDS + 1):
        payments.append(open_payment(parts))
        enter(parts, payments[-1])

        answers = racers.race(authorise, payments[-1].id)

        assert Counter(answers) == {"done": 1, "wrong_status": RACERS - 1}
        assert debits(parts) == before + number
    wait_until(lambda: all_are_settled(parts, payments), 60)
    assert {told(parts, payment).status for payment in payments} == {Status.PAID}
    assert debits(parts) == before + ROUNDS


def test_cards_entered_all_at_once_debit_at_most_once(parts: Parts, racers: Racers) -> None:
    before = debits(parts)
    for number in range(1, ROUNDS + 1):
        payment = open_payment(parts)

        answers = racers.race(enter_and_authorise, payment.id)

        assert not broken(answers)
        settle(parts)
        if told(parts, payment).status is not Status.PAID:
            pay(parts, payment)
        assert debits(parts) == before + number
        assert told(parts, payment).status is Status.PAID


def test_one_debt_is_debited_once_whatever_the_requests(parts: Parts, racers: Racers) -> None:
    before = debits(parts)
    for number in range(1, ROUNDS + 1):
        answers = racers.race(open_and_pay, f"FACT-RACE-{number}")

        assert not broken(answers)
        assert answers.count("done") == 1
        settle(parts)
        assert debits(parts) == before + number


def test_one_request_is_one_payment(parts: Parts, racers: Racers) -> None:
    for number in range(ROUNDS):
        answers = racers.race(open_once, f"FACT-JTI-{number}")

        assert len(set(answers)) == 1, answers
        assert answers[0].startswith("pay_")
    with parts.store.reading() as tx:
        made = select(func.count()).where(t.payment.c.reference.like("FACT-JTI-%"))
        assert tx.connection.execute(made).scalar_one() == ROUNDS


def test_five_guesses_are_compared_and_no_sixth(parts: Parts, racers: Racers) -> None:
    for _ in range(ROUNDS):
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)

        answers = racers.race(guess, payment.id, "not it")

        compared = sum(int(answer.split()[1]) for answer in answers if answer.startswith("False"))
        assert not broken(answers)
        assert 1 <= compared <= 5
        assert not any(answer.startswith("True") for answer in answers)
        with parts.store.reading() as tx:
            assert tx.connection.execute(select(func.max(t.challenge.c.tries))).scalar_one() <= 5


def test_a_right_code_typed_at_once_is_right_once(parts: Parts, racers: Racers) -> None:
    for _ in range(ROUNDS):
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        code = sent_code(parts)

        answers = racers.race(guess_if_early, payment.id, code)

        assert not broken(answers)
        assert answers.count("True 1") == 1


def sent_code(parts: Parts) -> str:
    with parts.store.reading() as tx:
        asked = select(t.notice.c.body).where(t.notice.c.channel == "sms").order_by(t.notice.c.id.desc())
        body = tx.connection.execute(asked).scalars().first()
    assert body
    return parts.seal.open(body).decode().rpartition("#")[2].strip()


def test_of_two_dozen_refunds_of_sixty_per_cent_one_is_made(parts: Parts, racers: Racers) -> None:
    for _ in range(ROUNDS):
        payment = open_payment(parts, amount=Money(1013))
        pay(parts, payment)
        settle(parts)

        answers = racers.race(give_back, payment.id, 608)

        assert Counter(answers) == {"done": 1, "refund_exceeds": RACERS - 1}
        wait_until(lambda: all_are_made(parts, payment), 90)  # noqa: B023 - called at once
        assert [refund.status for refund in told(parts, payment).refunds] == ["done"]
    book = parts.checkout.desk.acquirer.book()  # type: ignore[attr-defined]  # the simulator's own book
    assert [entry.refunded_cents for entry in book if entry.amount == Money(1013)] == [608] * ROUNDS


def test_many_small_refunds_that_make_the_whole_free_the_debt(parts: Parts, racers: Racers) -> None:
    for number in range(WHOLE_REFUNDS):
        payment = open_payment(parts, amount=Money(RACERS * 100), reference=f"FACT-SMALL-{number}")
        pay(parts, payment)
        settle(parts)

        answers = racers.race(give_back, payment.id, 100)

        assert Counter(answers) == {"done": RACERS}
        wait_until(lambda: all_are_made(parts, payment), 90)  # noqa: B023 - called at once
        refunded = told(parts, payment)
        assert [refund.status for refund in refunded.refunds] == ["done"] * RACERS
        assert refunded.attempt is not None
        assert refunded.attempt.status == "refunded"
    with parts.store.reading() as tx:
        freed = select(t.debt.c.state).where(t.debt.c.reference.like("FACT-SMALL-%"))
        assert tx.connection.execute(freed).scalars().all() == ["open"] * WHOLE_REFUNDS
        assert tx.connection.execute(select(func.sum(t.ledger.c.amount_cents))).scalar_one() == 0


def test_no_notice_is_claimed_twice_while_it_is_leased(parts: Parts, racers: Racers) -> None:
    with parts.store.transaction() as tx:
        tx.connection.execute(t.notice.update().values(state="sent"))
    for _ in range(40):
        parts.checkout.paying.cancel(open_payment(parts).id)
    claimed: list[str] = []
    for _ in range(ROUNDS):
        answers = racers.race(claim)
        assert not broken(answers)
        claimed += [one for answer in answers for one in answer.split()]

    assert len(claimed) == len(set(claimed)) == 40


def test_sweepers_at_once_find_each_lost_approval_once(parts: Parts, racers: Racers) -> None:
    for _ in range(SWEEPS):
        settle(parts)
        before = count(parts, t.ledger)
        payments = [pay(parts, open_payment(parts), SILENT_APPROVED) for _ in range(6)]

        answers = racers.race(sweep)

        assert not broken(answers)
        assert not {"wrong_status", "store_busy"} & set(answers)
        settle(parts)
        assert {told(parts, payment).status for payment in payments} == {Status.PAID}
        assert count(parts, t.ledger) == before + 12


def test_sweepers_at_once_expire_each_payment_once(parts: Parts, racers: Racers) -> None:
    for _ in range(SWEEPS):
        settle(parts)
        before = count(parts, t.notice)
        late = [open_payment(parts).id for _ in range(8)]
        with parts.store.transaction() as tx:
            past = t.payment.update().where(t.payment.c.public_id.in_(late))
            tx.connection.execute(past.values(expires_at=parts.now() - timedelta(minutes=1)))

        answers = racers.race(sweep)

        assert all(answer.isdigit() for answer in answers), answers
        assert {parts.checkout.opening.told(payment).status for payment in late} == {Status.EXPIRED}
        assert count(parts, t.notice) == before + 8
