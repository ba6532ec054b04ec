"""What happens when answers are late, lost or contradictory, and when two of our own hands meet."""

import threading
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from gateway.acquirers import Answer
from gateway.checkout import Stage
from gateway.core.errors import AcquirerContradicts, AcquirerUnreachable, RequestConflict, StoreBusy, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Cancel, Refund, Signed, Which
from gateway.parts import Parts
from gateway.store import tables as t
from gateway.store.attempts import Attempts
from gateway.store.payments import Payments
from tests.factories import CHALLENGE, SILENT_APPROVED, SILENT_LOST, a_request, an_open, enter, open_payment, pay
from tests.support.clock import Clock

CAPTURED_AT_SECOND_TRY = "4000000800020002"


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def a_refund(payment: PaymentResult, cents: int, jti: str = "refund-1") -> Refund:
    return Refund(Which(payment=payment.id), Money(cents), Signed("mairie-demo", jti, f"{cents}"))


def silence(*_: object, **__: object) -> Answer:
    raise AcquirerUnreachable("no answer")


def test_a_settled_refund_is_not_reopened_by_a_late_silence(parts: Parts, clock: Clock) -> None:
    paid = pay(parts, open_payment(parts))
    parts.checkout.refunding.refund(a_refund(paid, 1000), "native")
    with parts.store.reading() as tx:
        row = tx.payments.get(paid.id)
        refund_id = 1
        assert tx.refunds.get(refund_id).payment_id == row.id

    with parts.store.transaction() as tx:
        tx.refunds.postpone(refund_id, clock.now())

    assert [refund.status for refund in told(parts, paid).refunds] == ["done"]


def test_a_refund_waits_for_a_capture_that_did_not_work_yet(parts: Parts, clock: Clock) -> None:
    paid = pay(parts, open_payment(parts), CAPTURED_AT_SECOND_TRY)

    first = parts.checkout.refunding.refund(a_refund(paid, 1000), "native")
    clock.advance(hours=1, seconds=1)
    parts.checkout.sweep()
    clock.advance(minutes=2)
    parts.checkout.sweep()

    assert [refund.status for refund in first.refunds] == ["unknown"]
    assert [refund.status for refund in told(parts, paid).refunds] == ["done"]


def test_a_doubt_the_bank_answers_with_nonsense_does_not_stop_the_others(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    first, second = (pay(parts, open_payment(parts), SILENT_APPROVED) for _ in range(2))
    ask, broken = parts.checkout.desk.acquirer.status, set[str]()

    def status(op_id: str, amount: Money) -> Answer:
        broken.add(op_id) if not broken else None
        if op_id in broken:
            raise ValueError("the acquirer knows this operation id for something else")
        return ask(op_id, amount)

    monkeypatch.setattr(parts.checkout.desk.acquirer, "status", status)
    clock.advance(minutes=1)

    parts.checkout.sweep()
    parts.checkout.sweep()

    assert {told(parts, payment).status for payment in (first, second)} == {Status.PAID, Status.WORKING}


def test_captured_money_is_not_captured_again(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()
    asked: list[object] = []
    bank = parts.checkout.desk.acquirer
    bank.capture = lambda *args, **_: asked.append(args)  # type: ignore[method-assign, assignment]
    with parts.store.reading() as tx:
        attempt = tx.attempts.money(tx.payments.get(paid.id).id)

    done = parts.checkout.capturing.capture(attempt.id)

    assert done
    assert asked == []


def test_a_database_that_fails_after_the_bank_was_asked_leaves_the_payer_waiting(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    payment = open_payment(parts)
    enter(parts, payment)

    def busy(*_: object) -> None:
        raise StoreBusy("away")

    with monkeypatch.context() as patch:
        patch.setattr(parts.checkout.settling, "record", busy)
        parts.checkout.settling.authorise(payment.id)
    waiting = parts.checkout.paying.show(payment.id).stage
    for _ in range(2):
        clock.advance(seconds=61)
        parts.checkout.sweep()

    assert waiting is Stage.WAITING
    assert parts.checkout.paying.show(payment.id).stage is Stage.PAID


def test_a_bank_that_is_away_for_hours_is_asked_for_a_day(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = open_payment(parts)
    bank = parts.checkout.desk.acquirer
    pay(parts, payment, SILENT_LOST)
    with monkeypatch.context() as patch:
        patch.setattr(bank, "status", silence)
        patch.setattr(bank, "reverse", silence)
        for _ in range(60):
            parts.checkout.sweep()
            clock.advance(minutes=10)
    away = told(parts, payment).attempts[0].status

    for _ in range(30):
        clock.advance(minutes=30)
        parts.checkout.sweep()

    assert away is AttemptStatus.REVERSING
    assert told(parts, payment).attempts[0].status is AttemptStatus.REVERSED


@pytest.mark.parametrize(
    ("verb", "end"), [("status", AttemptStatus.REVERSED), ("reverse", AttemptStatus.REVIEW)], ids=["status", "reverse"]
)
def test_a_bank_that_contradicts_for_ever_leaves_nothing_in_doubt_for_ever(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch, verb: str, end: AttemptStatus
) -> None:
    payment = open_payment(parts)
    pay(parts, payment, SILENT_LOST)

    def contradict(*_: object, **__: object) -> Answer:
        raise AcquirerContradicts("the acquirer knows this operation id for something else")

    monkeypatch.setattr(parts.checkout.desk.acquirer, verb, contradict)
    for _ in range(60):
        parts.checkout.sweep()
        clock.advance(hours=4)

    assert told(parts, payment).attempts[0].status is end


class TestReview:
    @pytest.fixture
    def payment(self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> PaymentResult:
        payment = open_payment(parts, reference="FACT-1")
        pay(parts, payment, SILENT_LOST)
        monkeypatch.setattr(parts.checkout.desk.acquirer, "status", silence)
        monkeypatch.setattr(parts.checkout.desk.acquirer, "reverse", silence)
        for _ in range(60):
            parts.checkout.sweep()
            clock.advance(hours=4)
        assert told(parts, payment).attempts[0].status is AttemptStatus.REVIEW
        return payment

    def test_people_may_find_that_it_was_approved(self, parts: Parts, payment: PaymentResult) -> None:
        parts.checkout.settling.decide(payment.id, approved=True)

        after = told(parts, payment)
        assert after.status is Status.PAID
        assert [attempt.authorisation_number for attempt in after.attempts] == ["REVIEW"]

    def test_people_may_find_that_it_never_was(self, parts: Parts, payment: PaymentResult) -> None:
        parts.checkout.settling.decide(payment.id, approved=False)

        assert parts.checkout.paying.show(payment.id).stage in (Stage.REFUSED, Stage.EXPIRED)
        assert open_payment(parts, reference="FACT-1").is_live

    def test_what_is_not_in_review_is_not_decided(self, parts: Parts) -> None:
        paid = pay(parts, open_payment(parts))

        with pytest.raises(WrongStatus):
            parts.checkout.settling.decide(paid.id, approved=False)


def test_a_card_entered_while_the_merchant_cancels_comes_too_late(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = open_payment(parts)
    cancelled, entering = threading.Event(), threading.Event()
    bank = parts.checkout.desk.acquirer
    enrol = bank.enrol

    def slow_enrol(*args: object, **options: object) -> object:
        entering.set()
        cancelled.wait(60)
        return enrol(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(bank, "enrol", slow_enrol)
    refused: list[Exception] = []

    def enter_late() -> None:
        try:
            enter(parts, payment, CHALLENGE)
        except WrongStatus as error:
            refused.append(error)

    payer = threading.Thread(target=enter_late)
    payer.start()
    entering.wait(60)
    parts.checkout.refunding.cancel(Cancel(Which(payment=payment.id), Signed("mairie-demo", "cancel-1", "d")), "native")
    cancelled.set()
    payer.join(60)

    assert len(refused) == 1
    assert told(parts, payment).attempts == ()


def test_the_same_refund_at_once_is_taken_once_and_answered_alike(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()
    answers: list[PaymentResult] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait(60)
        answers.append(parts.checkout.refunding.refund(a_refund(paid, 1000), "native"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(answers) == 4
    assert told(parts, paid).refunded_cents == 1000


def test_a_confirmed_payment_shows_the_waiting_page_before_the_bank_is_asked(parts: Parts) -> None:
    payment = open_payment(parts)
    enter(parts, payment)

    parts.checkout.settling.intend(payment.id)

    assert parts.checkout.paying.show(payment.id).stage is Stage.WAITING


def test_the_bank_is_asked_once_the_intent_is_on_disk(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = open_payment(parts)
    enter(parts, payment)
    bank = parts.checkout.desk.acquirer
    ask, written = bank.authorise, []

    def authorise(token: str, amount: Money, *, op_id: str, **more: str) -> Answer:
        with parts.store.reading() as tx:
            asked = select(t.operation.c.kind, t.attempt.c.status).join(t.attempt).where(t.operation.c.op_id == op_id)
            written.append([tuple(row) for row in tx.connection.execute(asked)])
        return ask(token, amount, op_id=op_id, **more)

    monkeypatch.setattr(bank, "authorise", authorise)
    parts.checkout.settling.authorise(payment.id)

    assert written == [[("authorise", "authorising")]]


@pytest.mark.parametrize("verb", ["capture", "refund", "reverse"])
def test_so_is_whatever_else_it_is_asked_to_do_with_money(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=verb == "reverse"))
    bank = parts.checkout.desk.acquirer
    ask, written = getattr(bank, verb), []

    def asked(target: str, amount: Money, *, op_id: str) -> Answer:
        with parts.store.reading() as tx:
            found = select(t.operation.c.kind, t.operation.c.amount_cents).where(t.operation.c.op_id == op_id)
            written.append([tuple(row) for row in tx.connection.execute(found)])
        answer: Answer = ask(target, amount, op_id=op_id)
        return answer

    monkeypatch.setattr(bank, verb, asked)
    parts.checkout.sweep()
    if verb != "capture":
        parts.checkout.refunding.refund(a_refund(paid, 9612), "native")

    assert written == [[(verb, 9612)]]


def test_a_debt_that_may_be_debited_is_promised_to_nobody_else(parts: Parts) -> None:
    payment = open_payment(parts, reference="FACT-1")
    pay(parts, payment, SILENT_APPROVED)

    with pytest.raises(RequestConflict) as refused:
        parts.checkout.opening.open(an_open(a_request(reference="FACT-1"), digest="another wish"), "native")

    assert refused.value.code == "debt_locked"


@pytest.mark.parametrize("answers", [True, False])
def test_money_that_waits_for_its_merchant_is_not_captured_by_a_sweeper_that_comes_late(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Clock, answers: bool
) -> None:
    payment = pay(parts, open_payment(parts, capture_by_hand=True), SILENT_APPROVED)
    bank, settling = parts.checkout.desk.acquirer, parts.checkout.settling
    ask = bank.status

    def status(op_id: str, amount: Money) -> Answer:
        answer = ask(op_id, amount)
        with parts.store.reading() as tx:
            attempt = tx.attempts.money(tx.payments.get(payment.id).id)
        settling.record(attempt.id, op_id, answer)
        return answer if answers else silence()

    monkeypatch.setattr(bank, "status", status)
    for _ in range(3):
        parts.checkout.sweep()
        clock.advance(seconds=61)

    assert told(parts, payment).status is Status.PAID
    assert told(parts, payment).attempts[0].status is AttemptStatus.APPROVED


def test_money_that_waits_for_its_merchant_is_not_captured_for_an_answer_that_was_lost_late(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    payment = open_payment(parts, capture_by_hand=True)
    enter(parts, payment)
    bank = parts.checkout.desk.acquirer
    ask = bank.authorise

    def authorise(*asked: Any, **more: Any) -> Answer:
        ask(*asked, **more)
        clock.advance(seconds=36)
        for _ in range(2):
            parts.checkout.sweep()
        return silence()

    monkeypatch.setattr(bank, "authorise", authorise)
    parts.checkout.settling.authorise(payment.id)
    for _ in range(3):
        clock.advance(seconds=61)
        parts.checkout.sweep()

    assert told(parts, payment).status is Status.PAID
    assert told(parts, payment).attempts[0].status is AttemptStatus.APPROVED


def test_a_card_that_was_just_typed_is_not_refused_for_the_silence_of_the_one_before(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    payment = open_payment(parts)
    enter(parts, payment, CHALLENGE)
    clock.advance(minutes=10)
    find = Attempts.stale_challenges

    def and_then_another_card(attempts: Attempts, opened_before: datetime, limit: int) -> list[int]:
        found = find(attempts, opened_before, limit)
        enter(parts, payment, CHALLENGE)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Attempts, "stale_challenges", and_then_another_card)
        parts.checkout.sweep()

    assert parts.checkout.paying.show(payment.id).stage is Stage.CHALLENGE


def test_a_silent_bank_does_not_keep_a_sweep_at_its_doubts(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        pay(parts, open_payment(parts), SILENT_APPROVED)
    asked: list[object] = []

    def silent_for_long(op_id: str, _amount: Money) -> Answer:
        asked.append(op_id)
        clock.advance(seconds=20)
        raise AcquirerUnreachable("no answer")

    monkeypatch.setattr(parts.checkout.desk.acquirer, "status", silent_for_long)
    clock.advance(minutes=1)

    parts.checkout.sweep()

    assert len(asked) == 2


def test_a_part_of_the_sweep_that_breaks_stops_no_other(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    payment = pay(parts, open_payment(parts), SILENT_APPROVED)

    def broken(*_: object) -> int:
        raise KeyError("a row that nobody thought of")

    monkeypatch.setattr(parts.checkout.limiting, "sweep", broken)
    monkeypatch.setattr(Payments, "overdue", broken)
    parts.checkout.sweep()

    assert told(parts, payment).status is Status.PAID
    assert caplog.messages.count("a part of the sweep broke") == 2
