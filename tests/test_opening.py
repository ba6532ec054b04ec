"""What a dialect may ask of a new payment: its own name for it, which older one gives way, how long its page lives."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from gateway.channels import Notice
from gateway.core.errors import DeliveryFailed, NotFound, RequestConflict
from gateway.core.money import Money
from gateway.core.payment import Instalment, PaymentResult, Status, Which
from gateway.dialects import LookUp, Open, Refund, Resume, Signed
from gateway.parts import Parts
from tests.factories import MERCHANT, a_request, an_open, enter, open_payment, pay
from tests.support.clock import Clock
from tests.test_outbox import Postman, turn

UNPAID = frozenset({Status.CREATED, Status.OPENED})


def opened(parts: Parts, command: Open) -> PaymentResult:
    result, _ = parts.checkout.opening.open(command, "native")
    return result


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def test_a_payment_is_found_by_each_of_its_names(parts: Parts) -> None:
    payment = opened(parts, replace(an_open(), handle="abc-1"))
    names = [Which(payment=payment.id), Which(handle="abc-1"), Which(number=payment.number.zfill(14))]

    found = [parts.checkout.opening.look_up(LookUp(which), "native").id for which in names]

    assert found == [payment.id] * 3
    assert payment.handle == "abc-1"


@pytest.mark.parametrize(
    ("which", "dialect"),
    [
        (Which(handle="abc-1"), "tipi"),
        (Which(frozenset({"jvs-demo"}), handle="abc-1"), "native"),
        (Which(number="x"), "native"),
        (Which(handle="abc-1", reference="ANOTHER"), "native"),
        (Which(number="9" * 30), "native"),
        (Which(number="²"), "native"),
        (Which(), "native"),
    ],
)
def test_no_other_name_finds_it(parts: Parts, which: Which, dialect: str) -> None:
    opened(parts, replace(an_open(), handle="abc-1"))

    with pytest.raises(NotFound):
        parts.checkout.opening.look_up(Resume(which), dialect)


def test_what_the_dialect_must_remember_comes_back(parts: Parts) -> None:
    later = (Instalment(date(2027, 1, 5), Money(300)), Instalment(date(2027, 2, 5), Money(301)))
    asked = a_request(wire={"query": "a=%E9&b="}, capture_by_hand=True, capture_days=4, instalments=later)

    kept = told(parts, opened(parts, an_open(asked))).request

    assert (kept.wire, kept.capture_by_hand, kept.capture_days) == ({"query": "a=%E9&b="}, True, 4)
    assert kept.instalments == later


def test_a_newer_request_takes_the_place_of_an_unpaid_one(parts: Parts) -> None:
    first = open_payment(parts, reference="ORDER-1")
    command = replace(an_open(a_request(reference="ORDER-1", amount=Money(500)), digest="new"), replaces=UNPAID)

    second = opened(parts, command)

    assert told(parts, first).status is Status.CANCELLED
    assert pay(parts, parts.checkout.paying.show(second.id).result).status is Status.PAID


def test_a_payment_the_bank_is_being_asked_for_gives_way_to_nobody(parts: Parts) -> None:
    first = open_payment(parts, reference="ORDER-1")
    enter(parts, first)
    parts.checkout.settling.intend(first.id)
    command = replace(an_open(a_request(reference="ORDER-1"), digest="new"), replaces=UNPAID)

    with pytest.raises(RequestConflict) as refused:
        opened(parts, command)

    assert refused.value.code == "debt_locked"
    assert told(parts, first).status is Status.WORKING


def test_without_leave_an_open_payment_keeps_its_debt(parts: Parts) -> None:
    open_payment(parts, reference="ORDER-1")

    with pytest.raises(RequestConflict):
        opened(parts, an_open(a_request(reference="ORDER-1"), digest="new"))


def test_the_same_wish_gets_a_payment_of_its_own_where_the_dialect_says_so(parts: Parts) -> None:
    asked = a_request()
    commands = [replace(an_open(asked, digest="d"), resumes=False, replaces=UNPAID) for _ in range(2)]

    first, second = (opened(parts, command) for command in commands)

    assert first.id != second.id
    assert [told(parts, payment).status for payment in (first, second)] == [Status.CANCELLED, Status.CREATED]


def test_the_dialect_says_how_long_the_page_lives(parts: Parts, clock: Clock) -> None:
    payment = opened(parts, replace(an_open(), page_minutes=15))

    assert payment.expires_at == clock.now() + timedelta(minutes=15)


def test_marks_are_kept_with_the_first_event(parts: Parts) -> None:
    payment = opened(parts, replace(an_open(), marks={"signature": "V7"}))

    assert told(parts, payment).events[0].facts == {"dialect": "native", "signature": "V7"}


def test_a_merchant_that_fetched_the_end_is_not_told_again(parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))
    which = Which(frozenset({MERCHANT}), payment=paid.id)
    live = open_payment(parts)

    def notices() -> dict[str, tuple[str, str]]:
        with parts.store.reading() as tx:
            rows = tx.notices.of_payment(tx.payments.get(paid.id).id)
        return {row.channel: (row.state, row.last_reply) for row in rows}

    parts.checkout.opening.look_up(LookUp(Which(payment=live.id), is_receipt=True), "native")
    parts.checkout.opening.look_up(LookUp(which), "native")
    before = notices()
    parts.checkout.opening.look_up(LookUp(which, is_receipt=True), "native")

    assert before["confirmation"] == ("new", "")
    assert notices() == before | {"confirmation": ("sent", "fetched by the merchant")}


def test_the_payer_waits_for_the_first_notice_alone(parts: Parts, clock: Clock) -> None:
    def failing(_: Notice) -> DeliveryFailed:
        return DeliveryFailed("refused")

    opening = parts.checkout.opening
    paid = pay(parts, open_payment(parts))
    parts.checkout.refunding.refund(Refund(Which(payment=paid.id), Money(1), Signed(MERCHANT, "r", "d")), "native")
    waiting = opening.is_being_told(paid.id)
    turn(parts, Postman(failing))
    after_a_failure = opening.is_being_told(paid.id)
    clock.advance(minutes=1)
    turn(parts, Postman())
    turn(parts, Postman())

    assert (waiting, after_a_failure, opening.is_being_told(paid.id)) == (True, False, False)
