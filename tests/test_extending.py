"""The payer's time: asked for, given again, bounded, and raced for by the sweeper (WCAG 2.2, 2.2.1)."""

from dataclasses import replace
from datetime import date, timedelta
from threading import Barrier, Thread

import pytest

from gateway.checkout.extending import EXTENSIONS_MAX, TimeLimit
from gateway.core.errors import WrongStatus
from gateway.core.payment import PaymentResult
from gateway.core.states import Status
from gateway.parts import Parts, build
from gateway.settings import Settings
from gateway.store import Transaction
from gateway.store.payments import PaymentRow, Payments
from tests.factories import CHALLENGE, FRICTIONLESS, an_open, enter, open_payment, pay
from tests.support.clock import Clock


def extend(parts: Parts, payment: PaymentResult) -> PaymentResult:
    parts.checkout.extending.extend(payment.id)
    return parts.checkout.opening.told(payment.id)


def types(payment: PaymentResult) -> list[str]:
    return [event.type for event in payment.events]


def limit(parts: Parts, payment: PaymentResult) -> TimeLimit:
    seen = parts.checkout.paying.show(payment.id).time_limit
    assert seen is not None
    return seen


def test_a_page_is_its_browsers_for_as_long_as_it_lives(parts: Parts, clock: Clock) -> None:
    admits = parts.checkout.visiting.admits
    payment, _ = parts.checkout.opening.open(replace(an_open(), page_minutes=1440), "native")
    admits(payment.id, "the first", stays=True)

    for _ in range(3):
        clock.advance(hours=23)
        extend(parts, payment)
        parts.checkout.sweep()

    assert admits(payment.id, "another", stays=True) is None
    assert admits(payment.id, "the first", stays=True) is not None


def test_of_two_browsers_that_open_a_page_at_once_one_has_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    payment, look = open_payment(parts), Payments.look_first
    admits = parts.checkout.visiting.admits

    def and_another_is_faster(payments: Payments, public_id: str) -> object:
        found = look(payments, public_id)
        patch.undo()
        assert admits(payment.id, "another", stays=True)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Payments, "look_first", and_another_is_faster)
        assert admits(payment.id, "mine", stays=True) is None

    assert admits(payment.id, "another", stays=True)


def test_the_whole_span_is_given_again_from_now_ten_times(parts: Parts, clock: Clock) -> None:
    payment = open_payment(parts)

    for number in range(EXTENSIONS_MAX):
        assert limit(parts, payment).extensions_left == EXTENSIONS_MAX - number
        clock.advance(minutes=29)
        assert extend(parts, payment).expires_at == clock.now() + timedelta(minutes=30)
    clock.advance(minutes=29)
    last = extend(parts, payment)

    assert last.expires_at == clock.now() + timedelta(minutes=1)
    assert (limit(parts, payment).extensions_left, limit(parts, payment).is_bounded) == (0, False)
    given = [event.facts for event in last.events if event.type == "payment.extended"]
    assert [fact["number"] for fact in given] == [str(number) for number in range(1, EXTENSIONS_MAX + 1)]
    assert given[-1]["until"] == last.expires_at.isoformat(timespec="seconds")


def test_a_press_that_brings_next_to_nothing_costs_nothing(parts: Parts, clock: Clock) -> None:
    payment = open_payment(parts)
    clock.advance(minutes=20)
    extend(parts, payment)
    clock.advance(seconds=30)

    again = extend(parts, payment)

    assert again.expires_at == clock.now() - timedelta(seconds=30) + timedelta(minutes=30)
    assert limit(parts, payment).extensions_left == EXTENSIONS_MAX - 1


@pytest.mark.parametrize("number", [FRICTIONLESS, CHALLENGE])
def test_more_time_is_given_while_a_card_waits_for_its_payer(parts: Parts, clock: Clock, number: str) -> None:
    payment = open_payment(parts)
    enter(parts, payment, number)
    clock.advance(minutes=5)

    assert extend(parts, payment).expires_at == clock.now() + timedelta(minutes=30)


@pytest.mark.parametrize("end", ["paid", "cancelled", "run out"])
def test_what_is_over_gets_no_more_time(parts: Parts, clock: Clock, end: str) -> None:
    payment = open_payment(parts)
    clock.advance(minutes=29)
    if end == "paid":
        pay(parts, payment)
    elif end == "cancelled":
        parts.checkout.paying.cancel(payment.id)
    else:
        clock.advance(minutes=1)

    with pytest.raises(WrongStatus):
        extend(parts, payment)

    assert parts.checkout.opening.told(payment.id).expires_at == payment.expires_at


def test_no_extension_passes_the_last_payable_day(parts: Parts, clock: Clock) -> None:
    today = clock.now().date()
    clock.advance(hours=12, minutes=15)  # a quarter past eleven at night in Paris
    payment = open_payment(parts, pay_before=today)
    clock.advance(minutes=20)

    assert extend(parts, payment).expires_at == parts.checkout.desk.end_of(today)
    assert (limit(parts, payment).extensions_left, limit(parts, payment).is_bounded) == (0, True)


def test_the_last_day_of_all_calendars_bounds_nothing(parts: Parts, clock: Clock) -> None:
    """Merchants write 31/12/9999 for "always"; no midnight follows that day."""
    payment = open_payment(parts, pay_before=date.max)
    clock.advance(minutes=20)

    assert extend(parts, payment).expires_at == clock.now() + timedelta(minutes=30)
    assert limit(parts, payment).is_bounded is False


def test_the_payer_and_the_sweeper_race_for_the_last_second(parts: Parts, settings: Settings, clock: Clock) -> None:
    """One of them wins, once, and whatever the page then says is so."""
    payments = [open_payment(parts) for _ in range(8)]
    clock.advance(minutes=29, seconds=59)
    late = Clock(clock.now() + timedelta(seconds=1))
    sweeper = build(settings, late.now)
    barrier, denied = Barrier(3), set()

    def press() -> None:
        barrier.wait()
        for payment in payments:
            try:
                parts.checkout.extending.extend(payment.id)
            except WrongStatus:
                denied.add(payment.id)

    def sweep() -> None:
        barrier.wait()
        sweeper.checkout.sweep()

    threads = [Thread(target=act) for act in (press, press, sweep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sweeper.store.engine.dispose()

    for payment in payments:
        told = parts.checkout.opening.told(payment.id)
        given = types(told).count("payment.extended")
        is_open = payment.id not in denied
        assert (told.status, given) == ((Status.OPENED, 1) if is_open else (Status.EXPIRED, 0))
        assert told.expires_at == (clock.now() + timedelta(minutes=30) if is_open else payment.expires_at)


def test_a_sweeper_that_saw_the_end_coming_looks_again(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = open_payment(parts)
    clock.advance(minutes=29, seconds=59)
    monkeypatch.setattr(Payments, "overdue", lambda *_: [payment.id])
    extend(parts, payment)

    parts.checkout.sweep()

    assert types(parts.checkout.opening.told(payment.id))[-1] == "payment.extended"


def test_the_database_itself_refuses_a_second_extension_of_one_moment(parts: Parts, clock: Clock) -> None:
    payment = open_payment(parts)
    later = clock.now() + timedelta(minutes=40)

    def twice(tx: Transaction, row: PaymentRow) -> None:
        tx.payments.extend(row, later, clock.now())
        tx.payments.extend(row, later, clock.now())

    with pytest.raises(WrongStatus), parts.store.transaction() as tx:
        twice(tx, tx.payments.get(payment.id))
    assert parts.checkout.opening.told(payment.id).expires_at == payment.expires_at
