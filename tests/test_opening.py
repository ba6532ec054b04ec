"""What a dialect may ask of a new payment: its own name for it, which older one gives way, how long its page lives."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from gateway.channels import Notice
from gateway.checkout import Checkout
from gateway.core.errors import DeliveryFailed, NotFound, RequestConflict, StoreBusy
from gateway.core.money import Money
from gateway.core.payment import Instalment, Line, PaymentResult, Which
from gateway.core.states import Status
from gateway.dialects import LookUp, Open, Refund, Resume, Signed
from gateway.parts import Parts
from gateway.store import tables as t
from gateway.store.payments import PaymentRow, Payments
from tests.factories import MERCHANT, a_request, an_open, enter, open_payment, pay
from tests.support.clock import Clock
from tests.test_outbox import Postman, turn

UNPAID = frozenset({Status.CREATED, Status.OPENED})


def opened(parts: Parts, command: Open) -> PaymentResult:
    result, _ = parts.checkout.opening.open(command, "native")
    return result


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


@pytest.mark.parametrize("address", ["/_test/lab/%00", "/_test/lab/mark?payment=%00"])
def test_no_payment_is_called_what_no_database_can_write(client: FlaskClient, address: str) -> None:
    assert client.get(address).status_code == 404


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_payment_that_ends_while_it_is_found_again_is_not_given_again(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_payment(parts, reference="FACT-AGAIN")
    find = Payments.by_reference

    def slowly(self: Payments, *asked: Any) -> list[PaymentRow]:
        found = find(self, *asked)
        parts.checkout.paying.cancel(first.id)
        return found

    monkeypatch.setattr(Payments, "by_reference", slowly)

    again = opened(parts, an_open(a_request(reference="FACT-AGAIN")))

    assert (again.id == first.id, again.status) == (False, Status.CREATED)


def test_debts_are_taken_in_one_order_whatever_the_request_says(parts: Parts) -> None:
    """Two requests that name the same debts in other orders would wait for each other."""
    lines = tuple(Line(reference, "Cantine", Money(4806)) for reference in ("Z-1", "A-1", "M-1"))

    open_payment(parts, lines=lines, amount=Money(3 * 4806))

    with parts.store.reading() as tx:
        taken = tx.connection.execute(select(t.debt.c.reference).order_by(t.debt.c.id)).scalars().all()
    assert taken == ["A-1", "M-1", "Z-1"]


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


def test_a_debt_does_not_rest_when_a_newer_request_takes_it(parts: Parts) -> None:
    """The rest keeps payers from trying a debt twice in a row; here the merchant itself asks anew."""
    desk = parts.checkout.desk
    resting = desk.merchants[MERCHANT].model_copy(update={"retry_lock_minutes": 10})
    parts = replace(parts, checkout=Checkout(replace(desk, merchants={**desk.merchants, MERCHANT: resting})))
    first, left = open_payment(parts, reference="ORDER-1"), open_payment(parts, reference="ORDER-2")
    parts.checkout.paying.cancel(left.id)
    newer = replace(an_open(a_request(reference="ORDER-1", amount=Money(500)), digest="new"), replaces=UNPAID)

    second = opened(parts, newer)
    with pytest.raises(RequestConflict) as refused:
        opened(parts, an_open(a_request(reference="ORDER-2")))

    assert [told(parts, payment).status for payment in (first, second)] == [Status.CANCELLED, Status.CREATED]
    assert refused.value.code == "debt_locked"


def test_newer_requests_that_come_at_once_take_each_others_place(parts: Parts) -> None:
    barrier = threading.Barrier(4)

    def ask(reference: str, number: int) -> PaymentResult:
        asked = an_open(a_request(reference=reference, amount=Money(500 + number)), digest=f"{reference} {number}")
        barrier.wait()
        return opened(parts, replace(asked, replaces=UNPAID, resumes=False))

    for reference in (f"ORDER-{number}" for number in range(6)):
        open_payment(parts, reference=reference)
        with ThreadPoolExecutor(4) as pool:
            newer = list(pool.map(ask, [reference] * 4, range(4)))

        assert sorted(told(parts, payment).status for payment in newer) == ["cancelled"] * 3 + ["created"]


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


def test_a_merchant_that_fetches_the_end_is_answered_while_nothing_can_be_written(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = pay(parts, open_payment(parts))

    def busy(*_: object) -> None:
        raise StoreBusy("locked")

    monkeypatch.setattr(parts.store, "transaction", busy)
    answer = parts.checkout.opening.look_up(LookUp(Which(payment=paid.id), is_receipt=True), "native")

    assert answer.status is Status.PAID


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
