"""The clock jumps by a day and an hour, runs through a night of 23 or 25 hours, or into another year, in mid-payment.

Whatever it does, a debt is debited once or not at all, our book says what the bank's does, and all of it ends without a
person. By the clock that every part is handed: a machine's own would also bend the time-outs of the test.
"""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.acquirers import Answer
from gateway.acquirers.simulator import Simulator
from gateway.core.errors import AcquirerUnreachable, GatewayError
from gateway.core.payment import PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Refund, Signed, Which
from gateway.parts import Parts
from tests.factories import CHALLENGE, SILENT_APPROVED, SILENT_LOST, deliver, enter, open_payment, pay, read_code
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.scale import IS_NIGHT

NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
# The instants at which Paris has its clocks changed and its year end; the payment begins a minute before.
SPRING, AUTUMN = datetime(2026, 3, 29, 1, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
YEAR_END = datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
JUMP = timedelta(hours=25)
MOMENTS = ("before the card", "before the code", "before the bank's answer")
CASES = [
    *((f"{sign}25 h {moment}", NOON, moment, by) for sign, by in (("+", JUMP), ("-", -JUMP)) for moment in MOMENTS),
    *((f"spring night, {moment}", SPRING - MINUTE, moment, 2 * MINUTE) for moment in MOMENTS[1:]),
    *((f"autumn night, {moment}", AUTUMN - MINUTE, moment, 2 * MINUTE) for moment in MOMENTS[1:]),
    *((f"year end, {moment}", YEAR_END - MINUTE, moment, 2 * MINUTE) for moment in MOMENTS[1:]),
]


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Clock:
    """Begin when the case says."""
    return Clock(request.param)


@pytest.mark.nightly_too
@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"] if IS_NIGHT else ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("clock", "moment", "by"), [pytest.param(*rest, id=name) for name, *rest in CASES], indirect=["clock"]
)
def test_a_payment_outlives_a_jump_of_the_clock(
    parts: Parts, clock: Clock, moment: str, by: timedelta, request: pytest.FixtureRequest
) -> None:
    payment = open_payment(parts, reference="JUMP")
    started = clock.now()

    pay_while_it_jumps(parts, clock, payment, moment, by)
    settle(parts, clock)
    in_time = told(parts, payment)
    # Somebody sets the clock right.
    clock.advance(seconds=(started - clock.now() + timedelta(minutes=10)).total_seconds())
    settle(parts, clock)

    result, debits = told(parts, payment), debited(parts)
    record("clock jump", case=request.node.callspec.id, status=result.status.value, debits=debits)
    assert debits == (result.status is Status.PAID)
    assert result.status in (Status.PAID, Status.EXPIRED)
    assert in_time.status is not Status.PAID or result.status is Status.PAID
    assert by > timedelta(hours=1) or result.status is Status.PAID
    if result.status is Status.EXPIRED:
        again = open_payment(parts, reference="JUMP")
        pay_while_it_jumps(parts, clock, again, "", timedelta())
        settle(parts, clock)
        assert (told(parts, again).status, debited(parts)) == (Status.PAID, 1)


@pytest.mark.parametrize("clock", [NOON + JUMP], indirect=True)
@pytest.mark.parametrize("is_asked", [True, False], ids=["unknown", "authorising"])
def test_a_doubt_from_before_the_clock_was_set_right_is_settled_at_once(
    parts: Parts, clock: Clock, is_asked: bool
) -> None:
    """Its payer sees that the payment is being checked, and its debt is blocked, for as long as the clock was ahead."""
    payment = open_payment(parts)
    enter(parts, payment, SILENT_APPROVED)
    intent = parts.checkout.settling.intend(payment.id)
    assert intent is not None
    if is_asked:
        parts.checkout.settling.ask(intent)
    clock.advance(seconds=-JUMP.total_seconds())

    settle(parts, clock)

    result = told(parts, payment)
    assert result.status is (Status.PAID if is_asked else Status.OPENED)
    assert result.attempts[0].status is (AttemptStatus.CAPTURED if is_asked else AttemptStatus.REVERSED)


@pytest.mark.parametrize("clock", [NOON + JUMP], indirect=True)
def test_what_was_promised_before_the_clock_was_set_right_is_told_at_once(parts: Parts, clock: Clock) -> None:
    """A code, a confirmation and a receipt would wait for as long as the clock was ahead."""
    coded, paid = open_payment(parts), open_payment(parts)
    enter(parts, coded, CHALLENGE)
    pay(parts, paid)
    clock.advance(seconds=-JUMP.total_seconds())

    deliver(parts)

    with parts.store.reading() as tx:
        rows = [row for one in (coded, paid) for row in tx.notices.of_payment(tx.payments.get(one.id).id)]
    assert {row.channel for row in rows} >= {"sms", "confirmation", "payer_mail"}
    assert {row.tries for row in rows} == {1}


@pytest.mark.parametrize("clock", [NOON + JUMP], indirect=True)
def test_money_on_its_way_back_does_not_wait_for_a_clock_that_was_ahead(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = parts.checkout.desk.acquirer
    paid, undone = pay(parts, open_payment(parts)), open_payment(parts)
    with monkeypatch.context() as patch:
        for verb in ("status", "reverse", "refund"):
            patch.setattr(bank, verb, silent)
        whole = Refund(Which(payment=paid.id), paid.request.amount, Signed("mairie-demo", "jti-back", "digest"), "")
        parts.checkout.sweep()
        parts.checkout.refunding.refund(whole, "native")
        pay(parts, undone, SILENT_LOST)
        while told(parts, undone).attempts[0].status is not AttemptStatus.REVERSING:
            clock.advance(minutes=2)
            parts.checkout.sweep()
        parts.checkout.sweep()
    clock.advance(seconds=-JUMP.total_seconds())

    settle(parts, clock)

    assert [refund.status for refund in told(parts, paid).refunds] == ["done"]
    assert told(parts, undone).attempts[0].status is AttemptStatus.REVERSED


def silent(*_: object, **__: object) -> Answer:
    raise AcquirerUnreachable("no answer")


def pay_while_it_jumps(parts: Parts, clock: Clock, payment: PaymentResult, moment: str, by: timedelta) -> None:
    """Pay as a payer does who is shown what is true; the clock jumps at one moment."""
    number = SILENT_APPROVED if moment == MOMENTS[2] else CHALLENGE

    def jump_at(now: str) -> None:
        if now == moment:
            clock.advance(seconds=by.total_seconds())

    jump_at(MOMENTS[0])
    try:
        parts.checkout.paying.show(payment.id)
        enter(parts, payment, number)
        code = read_code(parts, payment) if number == CHALLENGE else ""
        jump_at(MOMENTS[1])
        if code and not parts.checkout.paying.answer_challenge(payment.id, code):
            parts.checkout.paying.change_card(payment.id)
            enter(parts, payment, number)
            parts.checkout.paying.answer_challenge(payment.id, read_code(parts, payment))
        parts.checkout.settling.authorise(payment.id)
    except GatewayError:
        # Too late by this clock: the page says so.
        parts.checkout.paying.show(payment.id)
    jump_at(MOMENTS[2])


def settle(parts: Parts, clock: Clock) -> None:
    """Let two minutes of a worker's life pass."""
    for _ in range(8):
        parts.checkout.sweep()
        deliver(parts)
        clock.advance(seconds=15)


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def debited(parts: Parts) -> int:
    """Count what the bank holds."""
    bank = parts.checkout.desk.acquirer
    assert isinstance(bank, Simulator)
    return sum(entry.state in ("approved", "captured") for entry in bank.book())
