"""The simulation is awake: each of these faults, planted in the product, is found within a few seeds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from gateway.acquirers import Answer, Outcome, simulator
from gateway.acquirers.book import Entry, Message, Page
from gateway.checkout.settling import Settling
from gateway.core.errors import AcquirerUnreachable
from gateway.core.money import Money
from gateway.core.payment import Recipient
from gateway.delivering import Deliverer
from gateway.dialects import HttpCall, Try
from gateway.dialects.native import NativeDialect
from gateway.store import claims
from gateway.store import tables as t
from gateway.store.attempts import Attempts
from gateway.store.notices import Delivered
from tests.simulation.cast import perform
from tests.simulation.house import House
from tests.simulation.world import Weather, World
from tests.support.checker import check
from tests.support.figures import record

Plant = Callable[[pytest.MonkeyPatch], None]


def call_before_intent(patch: pytest.MonkeyPatch) -> None:
    def authorise(self: Settling, public_id: str) -> None:
        desk = self._desk
        with desk.store.reading() as tx:
            row = tx.payments.get(public_id)
            attempt = tx.attempts.front(row.id)
        if attempt is None or attempt.status != "authenticated":
            return
        op_id, amount = desk.new_id("op"), Money(row.amount_cents, row.currency)
        try:
            answer = desk.acquirer.authorise(
                attempt.token, amount, op_id=op_id, scheme=attempt.scheme, authentication=attempt.authentication
            )
        except AcquirerUnreachable:
            answer = None
        intent = self.intend(public_id, by_payer=False)
        if intent is None:
            return
        with desk.store.transaction() as tx:
            written = t.operation.c.op_id == intent.op_id
            tx.connection.execute(update(t.operation).where(written).values(op_id=op_id))
        if answer is not None:
            self.record(attempt.id, op_id, answer)

    patch.setattr(Settling, "authorise", authorise)


def timeout_read_as_refusal(patch: pytest.MonkeyPatch) -> None:
    def doubt(self: Settling, attempt_id: int) -> None:
        with self._desk.store.transaction() as tx:
            row = tx.payments.take_by_id(tx.attempts.get(attempt_id).payment_id)
            attempt = tx.attempts.get(attempt_id)
            if attempt.status == "authorising":
                amount = Money(row.amount_cents, row.currency)
                self._decline(tx, row, attempt, Answer("", Outcome.DECLINED, amount, "91", "technical"))

    patch.setattr(Settling, "doubt", doubt)


def not_found_read_as_refusal(patch: pytest.MonkeyPatch) -> None:
    real = Settling.record

    def record_(self: Settling, attempt_id: int, op_id: str, answer: Answer) -> None:
        outcome = Outcome.DECLINED if answer.outcome is Outcome.NOT_FOUND else answer.outcome
        real(self, attempt_id, op_id, replace(answer, outcome=outcome))

    patch.setattr(Settling, "record", record_)


def debts_not_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Attempts, "hold_debts", lambda *_: None)


def no_tombstone(patch: pytest.MonkeyPatch) -> None:
    real = simulator._reverse

    def reverse(page: Page, message: Message, entry: Entry | None) -> Answer:
        if entry is None:
            return Answer(message.op_id, Outcome.REVERSED, message.amount)
        return real(page, message, entry)

    patch.setattr(simulator, "_reverse", reverse)


def resend_resets_tries(patch: pytest.MonkeyPatch) -> None:
    real = Attempts.replace_code

    def replace_code(self: Attempts, attempt_id: int, mac: bytes, now: datetime, **more: datetime) -> bool:
        done = real(self, attempt_id, mac, now, **more)
        self._db.execute(update(t.challenge).where(t.challenge.c.attempt_id == attempt_id).values(tries=0))
        return done

    patch.setattr(Attempts, "replace_code", replace_code)


def delivered_out_of_order(patch: pytest.MonkeyPatch) -> None:
    order = "seq > min(seq) OVER (PARTITION BY payment_id, channel, target)"
    assert order in claims._CLAIM
    patch.setattr(claims, "_CLAIM", claims._CLAIM.replace(order, "seq < 0"))
    # Built anew, not taken from what earlier tests left.
    patch.setattr(claims, "_claiming", claims._claiming.__wrapped__)


def body_made_anew(patch: pytest.MonkeyPatch) -> None:
    real = NativeDialect.delivery

    def delivery(self: NativeDialect, to: Recipient, this: Try) -> HttpCall:
        return real(self, to, replace(this, body=this.body + f" {this.number}".encode()))

    patch.setattr(NativeDialect, "delivery", delivery)


def marked_before_delivered(patch: pytest.MonkeyPatch) -> None:
    real = Deliverer._deliver

    def deliver(self: Deliverer, tasks: Sequence[Any], lease: str) -> None:
        with self._store.transaction() as tx:
            tx.notices.finish([Delivered(task.row.id, lease) for task in tasks], self._now())
        real(self, tasks, lease)

    patch.setattr(Deliverer, "_deliver", deliver)


_CALM, _BAD_LINE, _BAD_POST = Weather(), Weather(line=45), Weather(post=50, kills=3)

# The fault, the promises that may show it, and the weather in which it shows soonest.
PLANTS: tuple[tuple[Plant, set[int], Weather | None], ...] = (
    (call_before_intent, {1, 2}, None),
    (timeout_read_as_refusal, {2, 4}, None),
    (not_found_read_as_refusal, {2, 3, 4}, _BAD_LINE),
    (debts_not_held, {1}, None),
    (no_tombstone, {3}, _BAD_LINE),
    (resend_resets_tries, {18}, _CALM),
    (delivered_out_of_order, {10}, _BAD_POST),
    (body_made_anew, {9}, _BAD_POST),
    (marked_before_delivered, {9}, None),
)
# Most are found within five.
_SEEDS_MAX = 100


@pytest.mark.parametrize(("plant", "promises", "weather"), PLANTS, ids=[plant.__name__ for plant, _, _ in PLANTS])
def test_the_simulation_finds_a_planted_fault(
    house: House, monkeypatch: pytest.MonkeyPatch, plant: Plant, promises: set[int], weather: Weather | None
) -> None:
    plant(monkeypatch)

    for seed in range(_SEEDS_MAX):
        world = World(house, seed, given=replace(weather) if weather else None)
        perform(world)
        if promises & {violation.promise for violation in check(world.evidence())}:
            break
    else:
        pytest.fail(f"{plant.__name__} went unseen")

    record("planted fault", fault=plant.__name__, seeds=seed + 1)
