"""What the bank says counts for its own question alone, silence for nothing; and no merchant's verb for another's money."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from gateway.acquirers import Answer, Outcome
from gateway.core.errors import AcquirerUnreachable, NotFound, RequestConflict
from gateway.core.money import Money
from gateway.core.payment import Instalment, PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Cancel, Capture, Refund, Signed, Which
from gateway.parts import Parts
from gateway.store import tables as t
from tests.factories import MERCHANT, SILENT_APPROVED, SILENT_LOST, open_payment, pay
from tests.support.clock import Clock

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SECOND = date(2026, 12, 21)
FOREIGN: dict[str, Callable[[Answer], Answer]] = {
    "another operation": lambda answer: replace(answer, op_id="op_of_somebody_else"),
    "another amount": lambda answer: replace(answer, amount=Money(answer.amount.cents - 1)),
    "another currency": lambda answer: replace(answer, amount=Money(answer.amount.cents, "CHF")),
}


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def refund(parts: Parts, payment: PaymentResult, amount: Money, merchant: str = MERCHANT) -> PaymentResult:
    command = Refund(Which(payment=payment.id), amount, Signed(merchant, "refund-1", "d"))
    return parts.checkout.refunding.refund(command, "native")


@pytest.fixture(params=FOREIGN)
def doctored(request: pytest.FixtureRequest, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the bank's answers to one verb be about something else."""
    bank, change = parts.checkout.desk.acquirer, FOREIGN[request.param]

    def doctor(verb: str) -> None:
        ask = getattr(bank, verb)
        monkeypatch.setattr(bank, verb, lambda *args, **options: change(ask(*args, **options)))

    return doctor


def test_a_reversal_of_something_else_frees_no_debt(
    parts: Parts, clock: Clock, doctored: Callable[[str], None]
) -> None:
    payment = open_payment(parts)
    pay(parts, payment, SILENT_LOST)
    doctored("reverse")

    for _ in range(3):
        clock.advance(seconds=61)
        parts.checkout.sweep()

    assert [attempt.status for attempt in told(parts, payment).attempts] == [AttemptStatus.REVIEW]
    assert told(parts, payment).status is Status.WORKING


def test_a_capture_of_something_else_pays_nothing_out(parts: Parts, doctored: Callable[[str], None]) -> None:
    paid = pay(parts, open_payment(parts))
    doctored("capture")

    parts.checkout.sweep()

    assert [attempt.status for attempt in told(parts, paid).attempts] == [AttemptStatus.CAPTURE_ERROR]


def test_a_refund_of_something_else_gives_nothing_back(parts: Parts, doctored: Callable[[str], None]) -> None:
    paid = pay(parts, open_payment(parts))
    parts.checkout.sweep()
    doctored("refund")

    after = refund(parts, paid, Money(1000))

    assert [one.status for one in after.refunds] == ["unknown"]
    assert "payment.refunded" not in [event.type for event in told(parts, paid).events]


def test_an_authorisation_is_undone_after_five_silences_and_no_sooner(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment, asked, bank = open_payment(parts), list[str](), parts.checkout.desk.acquirer
    pay(parts, payment, SILENT_APPROVED)

    def silence(op_id: str, _amount: Money) -> Answer:
        asked.append(op_id)
        raise AcquirerUnreachable("no answer")

    monkeypatch.setattr(bank, "status", silence)
    while told(parts, payment).attempts[0].status is AttemptStatus.UNKNOWN:
        clock.advance(seconds=61)
        parts.checkout.sweep()

    assert len(asked) == 5


@pytest.mark.parametrize("family", ["stolen", "fraud", "bad_number"])
def test_a_card_refused_for_good_is_not_asked_for_the_same_part_again(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    plan = (Instalment(SECOND, Money(3000)),)
    purchase = pay(parts, open_payment(parts, amount=Money(4000), instalments=plan))
    parts.checkout.sweep()
    asked: list[str] = []

    def refuse(_token: str, amount: Money, *, op_id: str, **_: object) -> Answer:
        asked.append(op_id)
        return Answer(op_id, Outcome.DECLINED, amount, response_code="59", family=family)

    monkeypatch.setattr(parts.checkout.desk.acquirer, "authorise", refuse)
    clock.advance(seconds=(SECOND - clock.now().date()).total_seconds())
    for _ in range(10):
        parts.checkout.sweep()
        clock.advance(seconds=timedelta(hours=12).total_seconds())

    assert len(asked) == 1
    assert [part.status for part in told(parts, purchase).instalments] == ["refused"]


def test_money_goes_back_in_the_currency_it_came_in(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))

    with pytest.raises(RequestConflict) as refused:
        refund(parts, paid, Money(100, "CHF"))

    assert refused.value.code == "payment_over"
    assert told(parts, paid).refunds == ()


def test_who_signs_for_one_merchant_moves_no_money_of_another(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the queries forget whose they are, and the request names a payment and nobody."""
    paid, waiting = pay(parts, open_payment(parts)), open_payment(parts)
    before = (told(parts, paid), told(parts, waiting))
    signed, verbs = Signed("jvs-demo", "j-1", "d"), parts.checkout.refunding
    with monkeypatch.context() as forgetful:
        forgetful.setattr("gateway.store.payments.Payments._payment", lambda _: select(t.payment))

        with pytest.raises(NotFound):
            verbs.refund(Refund(Which(payment=paid.id), Money(100), signed), "native")
        with pytest.raises(NotFound):
            verbs.capture(Capture(Which(payment=paid.id), signed), "native")
        with pytest.raises(NotFound):
            verbs.cancel(Cancel(Which(payment=waiting.id), signed), "native")

    assert (told(parts, paid), told(parts, waiting)) == before
