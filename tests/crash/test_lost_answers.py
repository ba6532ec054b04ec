"""Answers of the bank are lost, late, doubled, cut and trickled: no approval is lost, and nothing is debited too late.

Most of it on a line in this process, where a delay of two minutes costs nothing; one of each kind through real sockets.
"""

import os
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from gateway.acquirers import Acquirer
from gateway.acquirers.remote import Deadlines, RemoteAcquirer
from gateway.acquirers.server import _Server
from gateway.acquirers.simulator import Simulator
from gateway.checkout import Checkout
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.parts import Parts
from gateway.store import tables as t
from tests.crash.lines import FATES, TREATMENTS, BadLine, proxy
from tests.factories import FRICTIONLESS, a_card, open_payment
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.scale import scaled
from tests.support.server import wait_until

SEED = int(os.environ.get("TEST_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
BATCH = scaled(10, 50)
STEP = timedelta(seconds=5)
BAD_FOR = timedelta(seconds=120)
SETTLED_WITHIN = timedelta(seconds=120)
# A payout that was lost is asked for again within the hour; the payment is paid all the same.
SETTLED = {
    AttemptStatus.APPROVED,
    AttemptStatus.CAPTURE_ERROR,
    AttemptStatus.CAPTURED,
    AttemptStatus.DECLINED,
    AttemptStatus.REVERSED,
}
DEBITED = {"approved", "captured"}

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(scaled(400, 3600))]


class Till:
    """The checkout over a bad line, in simulated time."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        bank = parts.checkout.desk.acquirer
        assert isinstance(bank, Simulator)
        self.parts, self.clock, self.bank = parts, clock, bank
        self.line = BadLine(bank, clock, random.Random(SEED))  # noqa: S311 - repeatable on purpose
        self.speak_to(self.line)

    def speak_to(self, acquirer: Acquirer) -> None:
        """Have what is asked from now on asked there."""
        self.checkout = Checkout(replace(self.parts.checkout.desk, acquirer=acquirer))

    def enter_card(self, payment: PaymentResult) -> None:
        """Enter a card, of which the bank asks nothing more."""
        self.checkout.paying.enter_card(payment.id, a_card(FRICTIONLESS), scheme="", email="")

    def ask(self, payment: PaymentResult) -> None:
        """Enter a card and ask for the money."""
        self.enter_card(payment)
        self.checkout.settling.authorise(payment.id)

    def pass_time(self) -> None:
        """Let some seconds pass, with what arrives and what a worker does in them."""
        self.clock.advance(seconds=STEP.total_seconds())
        self.line.arrive()
        self.checkout.sweep()

    def told(self, payment: PaymentResult) -> PaymentResult:
        """Look at a payment."""
        return self.checkout.opening.told(payment.id)

    def is_settled(self, payment: PaymentResult) -> bool:
        """Say whether nobody wonders any more."""
        return {attempt.status for attempt in self.told(payment).attempts} <= SETTLED

    def debits(self, payment: PaymentResult) -> int:
        """Count what the bank holds of a payment."""
        o, a, p = t.operation, t.attempt, t.payment
        asked = select(o.c.op_id).join(a, a.c.id == o.c.attempt_id).join(p, p.c.id == a.c.payment_id)
        with self.parts.store.reading() as tx:
            mine = set(tx.connection.execute(asked.where(p.c.public_id == payment.id)).scalars())
        return sum(entry.state in DEBITED for entry in self.bank.book() if entry.op_id in mine)


@pytest.fixture
def till(parts: Parts, clock: Clock) -> Till:
    return Till(parts, clock)


def test_no_approval_is_lost_on_a_bad_line(till: Till) -> None:
    wanted, slowest, paid, asked = scaled(BATCH, 1000), timedelta(), 0, 0
    while asked < wanted:
        till.line.fates = FATES[1:]
        till.line.mended_at = till.clock.now() + BAD_FOR * ((asked // BATCH + 2) % 5) / 4 + STEP / 5
        batch = [open_payment(till.parts) for _ in range(BATCH)]
        for payment in batch:
            till.ask(payment)
        # What else is said until the line is mended may also go well.
        till.line.fates = FATES
        asked += BATCH
        while not all(till.is_settled(payment) for payment in batch):
            till.pass_time()
            assert till.clock.now() < till.line.mended_at + SETTLED_WITHIN, f"seed {SEED}"
        slowest = max(slowest, till.clock.now() - till.line.mended_at)
        # What is still on its way must not change anything.
        till.line.arrive(within=timedelta(hours=1))
        till.checkout.sweep()
        for payment in batch:
            result, debits = till.told(payment), till.debits(payment)
            assert (debits, result.status is Status.PAID) in ((0, False), (1, True)), f"seed {SEED}: {result}"
            paid += debits

    engine = till.parts.store.engine.dialect.name
    seconds = round(slowest.total_seconds())
    record(f"answers lost, {engine}", asked=asked, faults=till.line.faults, lost=0, settled_seconds_max=seconds)
    assert paid


def test_what_arrives_after_its_reversal_debits_nothing(till: Till) -> None:
    wanted, asked = scaled(BATCH, 250), 0
    while asked < wanted:
        till.line.fates = ("request late",)
        till.line.mended_at = till.clock.now() + STEP / 5
        batch = [open_payment(till.parts) for _ in range(BATCH)]
        for payment in batch:
            till.ask(payment)
        till.line.mended_at = till.clock.now()
        for _ in range(3):
            till.checkout.sweep()
        reversed_ = [{attempt.status for attempt in till.told(payment).attempts} for payment in batch]
        assert all(statuses == {AttemptStatus.REVERSED} for statuses in reversed_), reversed_

        till.line.arrive(within=timedelta(hours=1))

        assert [till.debits(payment) for payment in batch] == [0] * BATCH, f"seed {SEED}"
        till.ask(batch[0])
        assert (till.told(batch[0]).status, till.debits(batch[0])) == (Status.PAID, 1)
        asked += BATCH

    engine = till.parts.store.engine.dialect.name
    record(f"authorisations after their reversal, {engine}", asked=asked, late_debits=0)


class TestSockets:
    """Through a proxy of real sockets."""

    @pytest.fixture
    def bank_port(self, till: Till) -> Iterator[int]:
        with _Server("127.0.0.1", 0, till.bank) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield server.server_port
            server.shutdown()
            thread.join()

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.parametrize("treatment", TREATMENTS)
    def test_an_approval_whose_answer_is_mistreated_is_found(self, till: Till, bank_port: int, treatment: str) -> None:
        with proxy(bank_port, treatment) as url:
            clear, payment = treatment in ("whole", "doubled"), open_payment(till.parts)
            patient = RemoteAcquirer(url, deadlines=Deadlines(60.0, 60.0))
            hasty = RemoteAcquirer(url, deadlines=Deadlines(1.0, 0.5))
            till.speak_to(patient)
            till.enter_card(payment)
            till.speak_to(patient if clear else hasty)
            till.checkout.settling.authorise(payment.id)
            at_first = till.told(payment).attempts[0].status
            # What is told of here is an answer that was lost, not a request that was late.
            wait_until(lambda: till.debits(payment))
            till.speak_to(patient)
            for _ in range(3):
                till.checkout.sweep()

        assert at_first is (AttemptStatus.APPROVED if clear else AttemptStatus.UNKNOWN)
        assert (till.told(payment).status, till.debits(payment)) == (Status.PAID, 1)
