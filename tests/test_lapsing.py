"""Money that waits for its merchant's word: the managers are told in time, and a hold nobody wants is given back."""

import itertools

import pytest

from gateway.acquirers import Answer, Outcome
from gateway.core.errors import AcquirerUnreachable, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus
from gateway.dialects import Capture, Refund, Signed, Which
from gateway.parts import Parts
from tests.factories import MERCHANT, SILENT_APPROVED, open_payment, pay
from tests.support.clock import Clock


def waiting(parts: Parts) -> PaymentResult:
    """Pay what the merchant pays out by hand."""
    return pay(parts, open_payment(parts, capture_by_hand=True))


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def alarms(parts: Parts, payment: PaymentResult) -> list[str]:
    with parts.store.reading() as tx:
        rows = tx.notices.of_payment(tx.payments.get(payment.id).id)
    return [row.body.decode() for row in rows if row.channel == "alarm_mail"]


def let_days_pass(parts: Parts, clock: Clock, days: float) -> None:
    clock.advance(days=days)
    for _ in range(3):
        parts.checkout.sweep()


def silence(*_: object, **__: object) -> Answer:
    raise AcquirerUnreachable("no answer")


def states_of_bank(parts: Parts) -> list[str]:
    return [entry.state for entry in parts.checkout.desk.acquirer.book()]  # type: ignore[attr-defined]  # its own book


def test_the_managers_are_told_once_two_days_before_it_lapses(parts: Parts, clock: Clock) -> None:
    payment = waiting(parts)
    let_days_pass(parts, clock, 4.9)
    before = alarms(parts, payment)

    let_days_pass(parts, clock, 0.2)
    let_days_pass(parts, clock, 1)

    assert before == []
    (alarm,) = alarms(parts, payment)
    assert "expire le 2026-11-28" in alarm
    assert "96,12 EUR" in alarm
    assert told(parts, payment).attempts[0].status is AttemptStatus.APPROVED


def test_what_nobody_captured_is_given_back_and_says_so(parts: Parts, clock: Clock) -> None:
    payment = waiting(parts)
    let_days_pass(parts, clock, 6.9)
    before = states_of_bank(parts)

    let_days_pass(parts, clock, 0.2)

    after = told(parts, payment)
    assert before == ["approved"]
    assert states_of_bank(parts) == ["reversed"]
    assert after.attempts[0].status is AttemptStatus.REFUNDED
    assert [(refund.status, refund.amount) for refund in after.refunds] == [("done", Money(9612))]
    assert "lapsed" in after.refunds[0].reason
    kinds = [event.type for event in after.events]
    assert kinds[-3:] == ["capture.lapsed", "refund.requested", "payment.refunded"]


def test_it_is_so_for_an_approval_that_was_found_by_asking(parts: Parts, clock: Clock) -> None:
    payment = pay(parts, open_payment(parts, capture_by_hand=True), SILENT_APPROVED)
    for _ in range(2):
        parts.checkout.sweep()
    approved = told(parts, payment).attempts[0].status

    let_days_pass(parts, clock, 5.1)
    warned = len(alarms(parts, payment))
    let_days_pass(parts, clock, 2)

    assert (approved, warned, states_of_bank(parts)) == (AttemptStatus.APPROVED, 1, ["reversed"])


def test_what_was_captured_in_time_is_nobodys_worry(parts: Parts, clock: Clock) -> None:
    payment = waiting(parts)
    parts.checkout.refunding.capture(Capture(Which(payment=payment.id), Signed(MERCHANT, "c", "c")), "native")

    let_days_pass(parts, clock, 8)

    assert alarms(parts, payment) == []
    assert states_of_bank(parts) == ["captured"]


def test_what_waits_for_a_day_of_its_own_does_not_lapse_here(parts: Parts, clock: Clock) -> None:
    payment = pay(parts, open_payment(parts, capture_days=9))

    let_days_pass(parts, clock, 8)

    assert alarms(parts, payment) == []
    assert states_of_bank(parts) == ["approved"]


def test_what_is_being_refunded_in_part_is_left_to_its_refund(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = waiting(parts)
    with monkeypatch.context() as patch:
        patch.setattr(parts.checkout.desk.acquirer, "capture", silence)
        command = Refund(Which(payment=payment.id), Money(100), Signed(MERCHANT, "r", "r"))
        parts.checkout.refunding.refund(command, "native")

        let_days_pass(parts, clock, 8)

    assert [refund.amount for refund in told(parts, payment).refunds] == [Money(100)]


def test_a_bank_that_will_not_undo_it_is_asked_once(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment, asked = waiting(parts), []

    def refuse(_target: str, amount: Money, *, op_id: str) -> Answer:
        asked.append(op_id)
        return Answer(op_id, Outcome.DECLINED, amount, "12", "wrong_state")

    monkeypatch.setattr(parts.checkout.desk.acquirer, "reverse", refuse)
    for _ in range(4):
        let_days_pass(parts, clock, 8)

    assert len(asked) == 1
    assert [refund.status for refund in told(parts, payment).refunds] == ["refused"]


def test_undoing_that_meets_silence_is_asked_for_less_and_less_often(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment, asked = waiting(parts), []

    def count(*_: object, **__: object) -> Answer:
        asked.append(clock.now())
        raise AcquirerUnreachable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(parts.checkout.desk.acquirer, "reverse", count)
        clock.advance(days=7, seconds=1)
        for _ in range(24 * 60):
            parts.checkout.refunding.sweep()
            parts.checkout._lapsing.sweep()
            clock.advance(minutes=1)
    let_days_pass(parts, clock, 0.2)

    waits = [(after - before).total_seconds() / 60 for before, after in itertools.pairwise(asked)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240, 240]
    assert [refund.status for refund in told(parts, payment).refunds] == ["done"]
    assert states_of_bank(parts) == ["reversed"]


def test_a_sweeper_that_comes_second_warns_and_undoes_nothing(parts: Parts, clock: Clock) -> None:
    payment = waiting(parts)
    clock.advance(days=7, seconds=1)
    with parts.store.reading() as tx:
        (seen,) = tx.attempts.forgotten(clock.now(), clock.now(), 10)
    parts.checkout._lapsing._warn(seen)
    with pytest.raises(WrongStatus):
        parts.checkout._lapsing._warn(seen)
    parts.checkout._lapsing._give_back(seen)

    with pytest.raises(WrongStatus):
        parts.checkout._lapsing._give_back(seen)

    assert len(alarms(parts, payment)) == 1
    assert len(told(parts, payment).refunds) == 1
