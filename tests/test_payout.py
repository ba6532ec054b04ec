"""When approved money is paid out: at once, in the evening, after days, at the merchant's word, or never."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.checkout import Checkout
from gateway.core.errors import NotFound, RequestConflict, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import PaymentResult, Which
from gateway.core.states import Status
from gateway.dialects import Capture, Refund, Signed
from gateway.parts import Parts
from tests.factories import MERCHANT, open_payment, pay
from tests.support.clock import Clock

SIGNED = Signed(MERCHANT, "capture-1", "d")


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def is_captured(parts: Parts, payment: PaymentResult) -> bool:
    return "attempt.captured" in [event.type for event in told(parts, payment).events]


def evening_merchant(parts: Parts) -> Parts:
    """Give the same parts with a merchant whose day is closed in the evening."""
    desk = parts.checkout.desk
    merchant = desk.merchants[MERCHANT].model_copy(update={"remittance": "evening"})
    return replace(parts, checkout=Checkout(replace(desk, merchants={**desk.merchants, MERCHANT: merchant})))


def a_reset(jti: str = "reset-1") -> Refund:
    return Refund(Which(frozenset({MERCHANT})), None, Signed(MERCHANT, jti, "d"), before_settlement=True)


def reset(parts: Parts, payment: PaymentResult, jti: str = "reset-1") -> PaymentResult:
    command = replace(a_reset(jti), which=Which(payment=payment.id))
    return parts.checkout.refunding.refund(command, "native")


def states_of_bank(parts: Parts) -> list[str]:
    return [entry.state for entry in parts.checkout.desk.acquirer.book()]  # type: ignore[attr-defined]  # the simulator's


def test_usually_it_is_paid_out_at_once(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()

    assert is_captured(parts, paid)
    assert "payment.remittance_planned" not in [event.type for event in told(parts, paid).events]


def test_a_clock_that_runs_plans_nothing_for_a_moment_ago(parts: Parts, clock: Clock) -> None:
    def ticking() -> datetime:
        clock.advance(seconds=0.001)
        return clock.now()

    ticks = replace(parts, checkout=Checkout(replace(parts.checkout.desk, now=ticking)))
    paid = pay(ticks, open_payment(ticks))

    assert "payment.remittance_planned" not in [event.type for event in told(parts, paid).events]


def test_the_evening_closes_the_day(parts: Parts, clock: Clock) -> None:
    parts = evening_merchant(parts)
    paid = pay(parts, open_payment(parts))
    planned = next(event for event in told(parts, paid).events if event.type == "payment.remittance_planned")
    at = datetime.fromisoformat(planned.facts["at"])
    parts.checkout.sweep()
    before = is_captured(parts, paid)

    clock.advance(seconds=(at - clock.now()).total_seconds() + 1)
    parts.checkout.sweep()

    assert at.astimezone(parts.checkout.desk.zone).strftime("%H:%M") == "22:30"
    assert (before, is_captured(parts, paid)) == (False, True)


def test_the_day_can_be_closed_by_hand_but_not_for_those_who_decide_themselves(parts: Parts) -> None:
    own = pay(parts, open_payment(parts, capture_by_hand=True))
    evening = evening_merchant(parts)
    waiting = pay(evening, open_payment(evening))

    closed = evening.checkout.close_day()

    assert closed == 1
    assert (is_captured(parts, waiting), is_captured(parts, own)) == (True, False)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 7, 1, 20, 29, 59, tzinfo=UTC), datetime(2026, 7, 1, 20, 30, tzinfo=UTC)),
        (datetime(2026, 7, 1, 20, 30, tzinfo=UTC), datetime(2026, 7, 2, 20, 30, tzinfo=UTC)),
        # The night summer time ends has 25 hours.
        (datetime(2026, 10, 24, 21, 0, tzinfo=UTC), datetime(2026, 10, 25, 21, 30, tzinfo=UTC)),
    ],
)
def test_the_next_evening_follows_the_treasurys_clock(parts: Parts, now: datetime, expected: datetime) -> None:
    assert parts.checkout.desk.evening(now) == expected


def test_days_are_waited_for(parts: Parts, clock: Clock) -> None:
    paid = pay(parts, open_payment(parts, capture_days=3))
    clock.advance(hours=71)
    parts.checkout.sweep()
    before = is_captured(parts, paid)
    clock.advance(hours=2)
    parts.checkout.sweep()

    assert (before, is_captured(parts, paid)) == (False, True)


def test_what_waits_for_the_merchant_is_paid_out_at_its_word_once(parts: Parts, clock: Clock) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))
    clock.advance(hours=24 * 5)
    parts.checkout.sweep()
    before = is_captured(parts, paid)

    command = Capture(Which(number=paid.number), SIGNED)
    answers = [parts.checkout.refunding.capture(command, "native") for _ in range(2)]

    assert not before
    assert [[event.type for event in answer.events].count("attempt.captured") for answer in answers] == [1, 1]


def test_nobody_captures_for_another_merchant(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))

    with pytest.raises(NotFound):
        parts.checkout.refunding.capture(Capture(Which(payment=paid.id), Signed("jvs-demo", "c", "d")), "native")

    assert not is_captured(parts, paid)


def test_an_authorisation_nobody_paid_out_is_undone_not_refunded(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))

    after = reset(parts, paid)

    assert states_of_bank(parts) == ["reversed"]
    assert [refund.status for refund in after.refunds] == ["done"]
    assert after.refunded_cents == paid.request.amount.cents
    with pytest.raises(RequestConflict):
        parts.checkout.refunding.capture(Capture(Which(payment=paid.id), SIGNED), "native")
    assert not is_captured(parts, paid)


def test_the_ledger_is_even_after_an_undone_authorisation(parts: Parts) -> None:
    from sqlalchemy import func, select

    from gateway.store import tables as t

    reset(parts, pay(parts, open_payment(parts, capture_by_hand=True)))

    with parts.store.engine.connect() as db:
        sums = db.execute(select(t.ledger.c.account, func.sum(t.ledger.c.amount_cents)).group_by(t.ledger.c.account))
        assert {account: int(cents) for account, cents in sums} == {"acquirer": 0, "merchant": 0}


def test_a_capture_crossing_an_undoing_loses(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))
    bank = parts.checkout.desk.acquirer
    crossing: list[type[Exception]] = []
    reverse = bank.reverse

    def late(target: str, amount: Money, *, op_id: str) -> object:
        with parts.store.reading() as tx:
            attempt = tx.attempts.money(tx.payments.get(paid.id).id)
        try:
            parts.checkout.capturing.capture(attempt.id)
        except WrongStatus as error:
            crossing.append(type(error))
        return reverse(target, amount, op_id=op_id)

    bank.reverse = late  # type: ignore[method-assign, assignment]
    reset(parts, paid)

    assert crossing == [WrongStatus]
    assert states_of_bank(parts) == ["reversed"]


def test_part_of_a_waiting_authorisation_is_paid_out_and_given_back(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))

    command = Refund(Which(payment=paid.id), Money(100), Signed(MERCHANT, "r", "d"))
    after = parts.checkout.refunding.refund(command, "native")

    assert is_captured(parts, paid)
    assert [(refund.amount, refund.status) for refund in after.refunds] == [(Money(100), "done")]


def test_a_reset_comes_before_the_settlement_or_not_at_all(parts: Parts, clock: Clock) -> None:
    early, late = pay(parts, open_payment(parts)), pay(parts, open_payment(parts))
    parts.checkout.sweep()
    same_day = reset(parts, early)
    clock.advance(seconds=timedelta(days=1).total_seconds())

    with pytest.raises(RequestConflict) as refused:
        reset(parts, late, "reset-2")

    assert [refund.status for refund in same_day.refunds] == ["done"]
    assert refused.value.code == "settled"
    assert told(parts, late).refunds == ()


def test_what_is_left_is_given_back_when_no_amount_is_named(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))
    for jti, amount in (("a", Money(1000)), ("b", None)):
        parts.checkout.refunding.refund(Refund(Which(payment=paid.id), amount, Signed(MERCHANT, jti, "d")), "native")

    assert [refund.amount.cents for refund in told(parts, paid).refunds] == [1000, 8612]


def test_another_amount_is_not_captured(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts, capture_by_hand=True))

    with pytest.raises(RequestConflict) as refused:
        parts.checkout.refunding.capture(Capture(Which(payment=paid.id), SIGNED, Money(100)), "native")

    assert refused.value.code == "amount_differs"
    assert not is_captured(parts, paid)


def test_a_reset_of_an_unpaid_payment_cancels_it(parts: Parts) -> None:
    assert reset(parts, open_payment(parts)).status is Status.CANCELLED
