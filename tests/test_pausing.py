"""A portal that fails ten times in a row is asked now and then by one notice; when it is back, all are told, in order."""

from datetime import timedelta

from sqlalchemy import select

from gateway.channels import Notice
from gateway.core.errors import DeliveryFailed
from gateway.core.payment import PaymentResult
from gateway.parts import Parts
from gateway.store import tables as t
from tests.factories import open_payment, pay
from tests.support.clock import Clock
from tests.support.server import wait_until
from tests.support.working import working
from tests.test_outbox import CONFIRMATION, Postman, notices, refund, turn

SICK, WELL = "http://127.0.0.1:8001/sick", "http://127.0.0.1:8001/well"


class Portals:
    """Two portals of one merchant: one is down until told otherwise."""

    def __init__(self) -> None:
        self.is_down = True
        self.postman = Postman(self._refuse)

    def _refuse(self, notice: Notice) -> DeliveryFailed | None:
        is_sick = notice.channel == CONFIRMATION and notice.target.startswith(SICK)
        return DeliveryFailed("HTTP 503") if is_sick and self.is_down else None

    def asked(self, url: str = SICK) -> int:
        return sum(notice.target.startswith(url) for notice in self.postman.of(CONFIRMATION))


def paid(parts: Parts, number: int, url: str = SICK) -> PaymentResult:
    return pay(parts, open_payment(parts, notify_url=f"{url}?order={number}"))


def work(parts: Parts, portals: Portals) -> None:
    """Let a worker turn until nothing is due."""
    while turn(parts, portals.postman):
        continue


def paused(parts: Parts) -> Portals:
    """Make six payments whose portal is down, and try until it is paused."""
    portals = Portals()
    for number in range(6):
        paid(parts, number)
    work(parts, portals)
    return portals


def test_ten_failures_in_a_row_pause_an_endpoint_whatever_the_query(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    first = portals.asked()
    clock.advance(seconds=6)

    work(parts, portals)

    assert first == 6
    # Two at once, as always: the tenth and the one beside it.
    assert portals.asked() == 10
    assert parts.figures()["endpoints"] == {"paused": 1}


def test_while_it_is_paused_one_notice_goes_out_at_each_step(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    clock.advance(seconds=6)
    work(parts, portals)
    asked = []

    for seconds in (29, 2, 30, 120, 300, 600, 1800, 1800):
        clock.advance(seconds=seconds)
        work(parts, portals)
        asked.append(portals.asked() - 10)

    assert asked == [0, 1, 1, 2, 3, 4, 5, 6]


def test_other_endpoints_are_told_as_ever(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    clock.advance(seconds=6)
    work(parts, portals)

    for number in range(3):
        paid(parts, number, WELL)
    work(parts, portals)

    assert portals.asked(WELL) == 3
    assert portals.asked() == 10
    assert len(portals.postman.of("payer_mail")) == 9


def test_what_is_new_waits_too(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    clock.advance(seconds=6)
    work(parts, portals)

    paid(parts, 7)
    work(parts, portals)

    assert portals.asked() == 10


def test_when_it_is_back_all_are_told_in_order_without_a_try_lost(parts: Parts, clock: Clock) -> None:
    portals = Portals()
    payments = [paid(parts, number) for number in range(6)]
    refund(parts, payments[0], 100)
    work(parts, portals)
    clock.advance(seconds=6)
    work(parts, portals)
    clock.advance(hours=1)
    before = len(portals.postman.of(CONFIRMATION))

    portals.is_down = False
    work(parts, portals)

    told = portals.postman.of(CONFIRMATION)[before:]
    assert {row.state for row in notices(parts)} == {"sent"}
    assert len(told) == 7
    seqs = {row.event_id: row.seq for row in notices(parts)}
    of_first = [seqs[notice.id] for notice in told if notice.recipient.payment == payments[0].id]
    assert of_first == sorted(of_first)
    assert len(of_first) == 2
    with parts.store.reading() as tx:
        assert tx.connection.execute(select(t.endpoint.c.address)).all() == []


def test_nine_failures_and_one_success_begin_the_count_anew(parts: Parts, clock: Clock) -> None:
    portals = Portals()
    for number in range(3):
        paid(parts, number)
    for seconds in (0, 6, 40):
        clock.advance(seconds=seconds)
        work(parts, portals)
    before = portals.asked()
    portals.is_down = False
    paid(parts, 4)
    work(parts, portals)
    portals.is_down = True

    clock.advance(seconds=200)
    work(parts, portals)

    assert before == 9
    assert portals.asked() == 13
    assert parts.figures()["endpoints"] == {"paused": 0}


def test_what_a_person_sends_again_does_not_wait(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    clock.advance(seconds=6)
    work(parts, portals)
    portals.is_down = False

    with parts.store.transaction() as tx:
        tx.notices.resend(notices(parts)[-1].id, clock.now())
    work(parts, portals)

    assert notices(parts)[-1].state == "sent"
    assert parts.figures()["endpoints"] == {"paused": 0}


def test_what_waited_as_long_as_the_longest_schedule_is_given_up_with_an_alarm(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    clock.advance(seconds=6)
    work(parts, portals)
    clock.advance(hours=75, minutes=59)
    parts.checkout.sweep()
    before = {row.state for row in notices(parts)}

    clock.advance(minutes=2)
    parts.checkout.sweep()
    parts.checkout.sweep()

    assert before == {"new"}
    assert {row.state for row in notices(parts)} == {"dead"}
    assert all("paused" in row.last_error for row in notices(parts))
    assert len(notices(parts, "alarm_mail")) == 6


def test_a_worker_that_starts_forgets_endpoints_nothing_waits_for(parts: Parts, clock: Clock) -> None:
    portals = paused(parts)
    clock.advance(seconds=6)
    work(parts, portals)
    with parts.store.transaction() as tx:
        for address in ("http://127.0.0.1:8001/left", "http://127.0.0.1:8001/recent"):
            for _ in range(10):
                tx.endpoints.fails(address, clock.now() + timedelta(hours=0 if "left" in address else 25))
    clock.advance(hours=26)

    with working(parts, portals.postman):
        wait_until(lambda: not parts.faults(), 5)

    with parts.store.reading() as tx:
        left = set(tx.connection.execute(select(t.endpoint.c.address)).scalars())
    assert left == {SICK, "http://127.0.0.1:8001/recent"}
