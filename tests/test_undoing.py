"""Capturing, undoing and giving back when something crosses: a busy database, a bank's no, two orders at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Row, func, select

from gateway.acquirers import Answer, Outcome
from gateway.core.errors import AcquirerContradicts, AcquirerUnreachable, GatewayError, RequestConflict, StoreBusy
from gateway.core.money import Money
from gateway.core.payment import PaymentResult, Which
from gateway.core.states import AttemptStatus
from gateway.dialects import Capture, Refund, Signed
from gateway.parts import Parts
from gateway.store import Transaction
from gateway.store import tables as t
from tests.factories import MERCHANT, enter, open_payment, pay
from tests.support.clock import Clock
from tests.test_payout import evening_merchant, is_captured, reset, states_of_bank, told

CAPTURE_REFUSED = "4000000800010003"


def captured(parts: Parts, payment: PaymentResult, jti: str = "capture-1") -> PaymentResult:
    command = Capture(Which(payment=payment.id), Signed(MERCHANT, jti, "d"))
    return parts.checkout.refunding.capture(command, "native")


def refunded(parts: Parts, payment: PaymentResult, cents: int | None = None, jti: str = "refund-1") -> PaymentResult:
    command = Refund(Which(payment=payment.id), None if cents is None else Money(cents), Signed(MERCHANT, jti, "d"))
    return parts.checkout.refunding.refund(command, "native")


def newest_attempt(parts: Parts, payment: PaymentResult) -> Row[Any]:
    with parts.store.reading() as tx:
        attempt = tx.attempts.latest(tx.payments.get(payment.id).id)
    assert attempt is not None
    return attempt


def let_hours_pass(parts: Parts, clock: Clock, hours: int) -> None:
    for _ in range(hours):
        clock.advance(hours=1)
        parts.checkout.sweep()


def busy_at(parts: Parts, monkeypatch: pytest.MonkeyPatch, way: str, number: int) -> None:
    """Let the ``number``-th transaction, or reading, from now on find the database busy; that one alone."""
    real, calls = getattr(parts.store, way), iter(range(1, 1000))

    def call(*merchants: frozenset[str]) -> object:
        if next(calls) == number:
            raise StoreBusy("locked")
        return real(*merchants)

    monkeypatch.setattr(parts.store, way, call)


def at_once(acts: list[Callable[[], object]]) -> list[object]:
    """Do everything at the same moment; a refusal is an answer too."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return act()
        except GatewayError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


class TestMoneyDecidedByPeople:
    @pytest.fixture
    def paid(self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> PaymentResult:
        """Give a payment the bank approved unheard; its reversals went unheard too, and people found that it was paid."""
        bank, payment = parts.checkout.desk.acquirer, open_payment(parts)
        authorise = bank.authorise
        enter(parts, payment)

        def silent(*_: object, **__: object) -> Answer:
            raise AcquirerUnreachable("no answer")

        def unheard(*told: Any, **more: Any) -> Answer:
            authorise(*told, **more)
            raise AcquirerUnreachable("no answer")

        with monkeypatch.context() as patched:
            patched.setattr(bank, "authorise", unheard)
            patched.setattr(bank, "status", silent)
            patched.setattr(bank, "reverse", silent)
            parts.checkout.settling.authorise(payment.id)
            for _ in range(60):
                parts.checkout.sweep()
                clock.advance(hours=5)
        assert newest_attempt(parts, payment).status == AttemptStatus.REVIEW
        parts.checkout.settling.decide(payment.id, approved=True)
        return told(parts, payment)

    def test_it_is_paid_out(self, parts: Parts, clock: Clock, paid: PaymentResult) -> None:
        let_hours_pass(parts, clock, 2)

        assert is_captured(parts, paid)

    def test_it_can_be_given_back(self, parts: Parts, clock: Clock, paid: PaymentResult) -> None:
        refunded(parts, paid, 100)
        let_hours_pass(parts, clock, 2)

        assert [(refund.amount.cents, refund.status) for refund in told(parts, paid).refunds] == [(100, "done")]


def test_an_authorisation_the_bank_would_not_undo_can_still_be_paid_out(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))

    def refuse(_target: str, amount: Money, *, op_id: str) -> Answer:
        return Answer(op_id, Outcome.DECLINED, amount, "12", "wrong_state")

    with monkeypatch.context() as patched:
        patched.setattr(parts.checkout.desk.acquirer, "reverse", refuse)
        after = reset(parts, paid)
    captured(parts, paid)

    assert ([refund.status for refund in after.refunds], after.refunded_cents) == (["refused"], 0)
    assert is_captured(parts, paid)


def test_a_refund_is_told_by_its_own_answer_whatever_crosses_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    paid = pay(parts, open_payment(parts))
    refund = parts.checkout.desk.acquirer.refund

    def crossed(target: str, amount: Money, *, op_id: str) -> Answer:
        if amount != Money(100):
            return refund(target, amount, op_id=op_id)
        refunded(parts, paid, 200, "refund-2")
        return Answer(op_id, Outcome.DECLINED, amount, "12", "wrong_state")

    monkeypatch.setattr(parts.checkout.desk.acquirer, "refund", crossed)
    after = refunded(parts, paid, 100)

    assert [(one.amount.cents, one.status) for one in after.refunds] == [(200, "done"), (100, "refused")]


def test_a_refund_asked_for_again_is_told_by_its_own_answer(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SP Plus the last refund is the answer: the bank's no to this one must not be told as its yes to another."""
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()

    def refuse(_target: str, amount: Money, *, op_id: str) -> Answer:
        return Answer(op_id, Outcome.DECLINED, amount, "12", "wrong_state")

    with monkeypatch.context() as patched:
        patched.setattr(parts.checkout.desk.acquirer, "refund", refuse)
        refunded(parts, paid, 100, "refund-1")
    clock.advance(minutes=1)
    refunded(parts, paid, 200, "refund-2")

    again = [refunded(parts, paid, cents, jti).refunds[-1] for cents, jti in ((100, "refund-1"), (200, "refund-2"))]

    assert [(one.amount.cents, one.status) for one in again] == [(100, "refused"), (200, "done")]


@pytest.mark.parametrize("number", [2, 3])
def test_an_order_to_capture_that_was_taken_is_carried_out_whatever_happens(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))
    busy_at(parts, monkeypatch, "transaction", number)

    captured(parts, paid)
    at_first = is_captured(parts, paid)
    let_hours_pass(parts, clock, 2)

    assert (at_first, is_captured(parts, paid)) == (False, True)


def test_a_refund_that_was_taken_is_not_called_busy(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol without request numbers would repeat it, and the payer would get the money twice."""
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()
    # The first reading asks the acquirer, the second one words the answer.
    busy_at(parts, monkeypatch, "reading", 2)

    answer = refunded(parts, paid, 1000)

    assert [refund.amount.cents for refund in answer.refunds] == [1000]
    assert [(refund.amount.cents, refund.status) for refund in told(parts, paid).refunds] == [(1000, "done")]


class TestABankThatContradicts:
    """It says that it knows an operation id for something else."""

    @staticmethod
    def contradict(*_: object, **__: object) -> Answer:
        raise AcquirerContradicts("the acquirer knows this operation id for something else")

    @pytest.mark.parametrize("verb", ["capture", "refund"])
    def test_a_refund_that_was_taken_is_answered_and_asked_for_again(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        paid = pay(parts, open_payment(parts))
        with monkeypatch.context() as patched:
            patched.setattr(parts.checkout.desk.acquirer, verb, self.contradict)
            answer = refunded(parts, paid, 1000)

        let_hours_pass(parts, clock, 2)

        assert [refund.status for refund in answer.refunds] == ["unknown"]
        assert [refund.status for refund in told(parts, paid).refunds] == ["done"]

    def test_a_refund_it_contradicts_keeps_no_other_waiting(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = (pay(parts, open_payment(parts)) for _ in range(2))
        parts.checkout.sweep()
        bank = parts.checkout.desk.acquirer
        refund, doubted = bank.refund, set[str]()

        def silent(*_: object, op_id: str) -> Answer:
            doubted.add(op_id)
            raise AcquirerUnreachable("no answer")

        def contradict_the_first(target: str, amount: Money, *, op_id: str) -> Answer:
            return self.contradict() if op_id == min(doubted) else refund(target, amount, op_id=op_id)

        monkeypatch.setattr(bank, "refund", silent)
        for payment in (first, second):
            refunded(parts, payment, 1000, f"back {payment.id}")
        monkeypatch.setattr(bank, "refund", contradict_the_first)
        clock.advance(minutes=5)
        parts.checkout.sweep()

        assert sorted(told(parts, one).refunds[0].status for one in (first, second)) == ["done", "unknown"]

    def test_a_capture_it_contradicts_is_an_error_people_see(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paid = pay(parts, open_payment(parts))
        monkeypatch.setattr(parts.checkout.desk.acquirer, "capture", self.contradict)

        parts.checkout.sweep()

        assert newest_attempt(parts, paid).status == AttemptStatus.CAPTURE_ERROR


@pytest.mark.parametrize("is_lost", [True, False], ids=["after it", "before it"])
def test_a_refund_whose_commit_is_lost_is_called_busy_only_when_it_was_not_taken(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()
    real = parts.store.transaction

    @contextmanager
    def losing(merchants: frozenset[str] = frozenset()) -> Iterator[Transaction]:
        with real(merchants) as tx:
            yield tx
            if not is_lost:
                raise StoreBusy("the connection was lost before the commit")
        raise StoreBusy("the connection was lost at the commit")

    told_of = list[PaymentResult]()
    with monkeypatch.context() as patched, suppress(StoreBusy):
        patched.setattr(parts.store, "transaction", losing)
        told_of.append(refunded(parts, paid, 1000))
    let_hours_pass(parts, clock, 1)

    assert [[refund.status for refund in one.refunds] for one in told_of] == ([["pending"]] if is_lost else [])
    assert [refund.status for refund in told(parts, paid).refunds] == (["done"] if is_lost else [])


class TestTheEvening:
    def test_what_the_evening_paid_out_is_settled_until_the_next_one_too(self, parts: Parts, clock: Clock) -> None:
        evening = evening_merchant(parts)
        paid = pay(evening, open_payment(evening))
        closing = evening.checkout.desk.evening(clock.now()) - clock.now()
        clock.advance(seconds=closing.total_seconds() + 3)
        evening.checkout.sweep()
        clock.advance(hours=12)

        with pytest.raises(RequestConflict) as refusal:
            reset(evening, paid)

        assert (refusal.value.code, states_of_bank(evening)) == ("settled", ["captured"])

    def test_what_was_paid_out_by_the_button_is_settled(self, parts: Parts) -> None:
        evening = evening_merchant(parts)
        paid = pay(evening, open_payment(evening))
        evening.checkout.close_day()

        with pytest.raises(RequestConflict) as refusal:
            reset(evening, paid)

        assert (refusal.value.code, states_of_bank(evening)) == ("settled", ["captured"])

    def test_what_waits_for_the_evening_is_undone_not_paid_out(self, parts: Parts) -> None:
        evening = evening_merchant(parts)
        paid = pay(evening, open_payment(evening))

        reset(evening, paid)

        assert not is_captured(evening, paid)
        assert states_of_bank(evening) == ["reversed"]

    def test_money_is_paid_out_once_however_many_close_the_day(self, parts: Parts) -> None:
        evening = evening_merchant(parts)
        paid = [pay(evening, open_payment(evening)) for _ in range(4)]

        at_once([evening.checkout.close_day, evening.checkout.close_day, evening.checkout.sweep])
        evening.checkout.sweep()

        events = [[event.type for event in told(evening, payment).events] for payment in paid]
        assert [types.count("attempt.captured") for types in events] == [1] * 4


def test_an_order_to_capture_gets_its_answer_again_after_the_money_was_given_back(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))
    captured(parts, paid)
    back = refunded(parts, paid)

    again = captured(parts, paid)

    assert again == back
    assert [refund.status for refund in again.refunds] == ["done"]


def test_whatever_orders_cross_no_money_stays_that_was_given_back(parts: Parts, clock: Clock) -> None:
    for _ in range(6):
        paid = pay(parts, open_payment(parts, capture_by_hand=True))
        at_once(
            [
                partial(captured, parts, paid, f"first {paid.id}"),
                partial(refunded, parts, paid, jti=f"back {paid.id}"),
                partial(captured, parts, paid, f"second {paid.id}"),
            ]
        )
        clock.advance(seconds=90)
        parts.checkout.sweep()

        entry = parts.checkout.desk.acquirer.book()[-1]  # type: ignore[attr-defined]  # the simulator's
        assert [refund.status for refund in told(parts, paid).refunds] == ["done"]
        assert entry.state == "reversed" or entry.refunded_cents == paid.request.amount.cents


def test_what_is_being_paid_out_at_this_moment_is_given_back_not_undone(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank may have paid it out already, and undoes nothing then."""
    paid = pay(parts, open_payment(parts))
    bank = parts.checkout.desk.acquirer
    capture = bank.capture

    def crossed(target: str, amount: Money, *, op_id: str) -> Answer:
        answer = capture(target, amount, op_id=op_id)
        patch.undo()
        refunded(parts, paid)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(bank, "capture", crossed)
        parts.checkout.sweep()

    assert [(refund.amount, refund.status) for refund in told(parts, paid).refunds] == [(Money(9612), "done")]
    assert [entry.refunded_cents for entry in bank.book()] == [9612]  # type: ignore[attr-defined]  # the simulator's


def test_a_capture_the_bank_refuses_is_tried_for_a_day_then_left_to_a_person(
    parts: Parts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pay(parts, open_payment(parts), CAPTURE_REFUSED)
    parts.checkout.sweep()

    let_hours_pass(parts, clock, 24)
    after_a_day = list(caplog.messages)
    let_hours_pass(parts, clock, 4)

    assert "capture needs a person" not in after_a_day
    assert caplog.messages.count("capture needs a person") == 1
    with parts.store.engine.connect() as db:
        captures = select(func.count()).select_from(t.operation).where(t.operation.c.kind == "capture")
        assert db.execute(captures).scalar_one() == 26


def test_a_refund_that_waits_does_not_use_up_the_tries_of_its_capture(parts: Parts, clock: Clock) -> None:
    """A capture is tried 26 times, hourly, before a person must look: not once for each time a refund asks."""
    paid = pay(parts, open_payment(parts), CAPTURE_REFUSED)
    parts.checkout.sweep()
    refunded(parts, paid, 100)

    for _ in range(60):
        clock.advance(seconds=61)
        parts.checkout.sweep()

    with parts.store.engine.connect() as db:
        captures = select(func.count()).select_from(t.operation).where(t.operation.c.kind == "capture")
        assert db.execute(captures).scalar_one() == 2


def test_a_silent_bank_does_not_keep_a_sweep_at_its_refunds(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def silence(target: str, *_: object, **__: object) -> Answer:
        asked.append(target)
        clock.advance(seconds=25)
        raise AcquirerUnreachable("no answer")

    payments = [pay(parts, open_payment(parts)) for _ in range(5)]
    parts.checkout.sweep()
    with monkeypatch.context() as patch:
        patch.setattr(parts.checkout.desk.acquirer, "refund", silence)
        for number, payment in enumerate(payments):
            refunded(parts, payment, jti=f"refund-{number}")
        clock.advance(hours=4)
        asked.clear()
        parts.checkout.refunding.sweep()

    assert len(asked) == 2
