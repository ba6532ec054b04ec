"""Promises are kept: on schedule, in order, with the same id and the same bytes, whoever dies on the way."""

import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, event, insert, select, text, update

from gateway.channels import Notice
from gateway.channels.confirmation import ConfirmationChannel
from gateway.checkout import Checkout
from gateway.core.errors import DeliveryFailed, NotFound, StoreBusy
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.core.states import Status
from gateway.delivering import SCHEDULES, Deliverer, spread
from gateway.dialects import Refund, Signed, Which
from gateway.outbox import Outbox
from gateway.parts import Parts
from gateway.store import Transaction
from gateway.store import tables as t
from gateway.store.claims import Room
from tests.factories import CHALLENGE, FUNDS, MERCHANT, a_card, deliver, enter, open_payment, pay
from tests.support.clock import Clock
from tests.support.crash import Receiver, listening, rises

CONFIRMATION = "confirmation"
NAMES = (CONFIRMATION, "payer_mail", "merchant_mail", "alarm_mail", "sms")


class Postman:
    """Every channel at once: keeps what it is given, or refuses it as told."""

    name = "all"

    def __init__(self, refuse: Callable[[Notice], DeliveryFailed | None] = lambda _: None) -> None:
        self.given: list[Any] = []
        self.refuse = refuse

    def deliver(self, notice: Notice, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        self.given.append(notice)
        if failure := self.refuse(notice):
            raise failure

    def of(self, channel: str) -> list[Any]:
        return [notice for notice in self.given if notice.channel == channel]


def kind_of(notice: Notice) -> str:
    """Name the event that a confirmation tells."""
    return str(json.loads(notice.body)["type"]) if notice.channel == CONFIRMATION else ""


class Crowd(Postman):
    """Takes its time over confirmations, and counts how many come at once; the first waits for company."""

    def __init__(self, seconds: float = 0.02) -> None:
        super().__init__()
        self._lock, self._now, self.most, self._seconds = threading.Lock(), 0, 0, seconds
        self._together = threading.Event()

    def deliver(self, notice: Notice, now: datetime) -> None:
        if notice.channel != CONFIRMATION:
            return
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now > 1:
                self._together.set()
        self._together.wait(30)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
            super().deliver(notice, now)


def work(parts: Parts, postman: Postman, number: int) -> None:
    """Let a worker deliver until ``number`` notices were given, or it is stuck."""
    deliverer = Deliverer(parts.store, dict.fromkeys(NAMES, postman), parts.now, outbox=parts.outbox)
    until = time.monotonic() + 60
    while len(postman.given) < number and time.monotonic() < until:
        deliverer.deliver_due()
        time.sleep(0.005)
    deliverer.close()


def failing(notice: Notice) -> DeliveryFailed | None:
    return DeliveryFailed("HTTP 500") if notice.channel == CONFIRMATION else None


def turn(parts: Parts, postman: Postman) -> int:
    """Run one turn of a worker to its end."""
    deliverer = Deliverer(parts.store, dict.fromkeys(NAMES, postman), parts.now, outbox=parts.outbox)
    claimed = deliverer.deliver_due()
    deliverer.close()
    return claimed


def notices(parts: Parts, channel: str = CONFIRMATION) -> list[Row[Any]]:
    with parts.store.reading() as tx:
        return list(
            tx.connection.execute(select(t.notice).where(t.notice.c.channel == channel).order_by(t.notice.c.id))
        )


def refund(parts: Parts, payment: PaymentResult, cents: int) -> None:
    parts.checkout.sweep()
    signed = Signed(payment.request.merchant, f"refund-{cents}-{payment.id}", f"digest {cents}")
    parts.checkout.refunding.refund(Refund(Which(payment=payment.id), Money(cents), signed), "native")


class TestSchedule:
    # Seconds between tries, as promised to merchants: 12 tries over 75 h 37 min 35 s.
    CONFIRMATION_DELAYS = (5, 30, 120, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)

    def test_confirmations_wait_as_promised(self, parts: Parts, clock: Clock) -> None:
        native, now = parts.dialects["native"], clock.now()

        waits = [native.retry_at(tries, now) for tries in range(1, 13)]

        assert waits == [*(now + timedelta(seconds=wait) for wait in self.CONFIRMATION_DELAYS), None]

    def test_mails_and_codes_wait_as_promised(self) -> None:
        mail = (30, 300, 1500, 5400)

        assert dict(SCHEDULES) == {"payer_mail": mail, "merchant_mail": mail, "alarm_mail": mail, "sms": (10,)}

    @pytest.mark.parametrize(("wait", "latest"), [(5, 0.5), (300, 30), (86400, 30)])
    def test_a_wait_is_a_little_longer_each_time_never_shorter(self, wait: int, latest: float, clock: Clock) -> None:
        now = clock.now()
        planned = now + timedelta(seconds=wait)

        late = [(spread(planned, now) - planned).total_seconds() for _ in range(200)]

        assert 0 <= min(late) < latest / 2 < max(late) <= latest

    def test_no_wait_is_shorter_than_the_one_before_but_perhaps_the_last(self) -> None:
        waits = itertools.pairwise(self.CONFIRMATION_DELAYS[:-1])

        assert all(shorter * 1.1 < longer for shorter, longer in waits)

    def test_a_receiver_that_never_answers_well_is_asked_twelve_times_then_given_up(
        self, parts: Parts, clock: Clock
    ) -> None:
        postman, moments = Postman(failing), []
        pay(parts, open_payment(parts))
        start = clock.now()
        for _ in range(20):
            before = len(postman.of(CONFIRMATION))
            turn(parts, postman)
            moments += [clock.now() - start] * (len(postman.of(CONFIRMATION)) - before)
            (row,) = notices(parts)
            clock.advance(seconds=max((row.next_at - clock.now()).total_seconds(), 0))

        assert len(moments) == 12
        assert timedelta(hours=68) < moments[-1] < timedelta(hours=84)
        assert (row.state, row.tries, row.last_error) == ("dead", 12, "HTTP 500")

    def test_nothing_goes_out_a_second_too_early(self, parts: Parts, clock: Clock) -> None:
        postman = Postman(failing)
        pay(parts, open_payment(parts))
        turn(parts, postman)
        clock.advance(seconds=4.4)

        turn(parts, postman)

        assert len(postman.of(CONFIRMATION)) == 1


class TestReceivers:
    """Over real HTTP, with the real channel."""

    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        with listening(Receiver()) as receiver:
            yield receiver

    @staticmethod
    def _send(parts: Parts) -> Row[Any]:
        real = ConfirmationChannel(parts.dialects, allow_loopback=True)
        others: Mapping[str, Any] = dict.fromkeys(NAMES, Postman())
        deliverer = Deliverer(parts.store, {**others, CONFIRMATION: real}, parts.now, outbox=parts.outbox)
        deliverer.deliver_due()
        deliverer.close()
        return notices(parts)[0]

    @staticmethod
    def _paid(parts: Parts, receiver: Receiver) -> None:
        pay(parts, open_payment(parts, notify_url=receiver.url))

    def test_gone_ends_it_at_once(self, parts: Parts, receiver: Receiver) -> None:
        receiver.answer = lambda _: (410, {})
        self._paid(parts, receiver)

        row = self._send(parts)

        assert (row.state, row.tries) == ("dead", 1)

    @pytest.mark.parametrize(("asked", "waited"), [("120", 120), ("86400", 3600)])
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_obeyed_up_to_an_hour(
        self, parts: Parts, receiver: Receiver, status: int, asked: str, waited: int
    ) -> None:
        receiver.answer = lambda _: (status, {"Retry-After": asked})
        self._paid(parts, receiver)

        row = self._send(parts)

        assert row.next_at - parts.now() == timedelta(seconds=waited)

    def test_a_receiver_that_asks_for_seconds_is_tried_for_three_days(
        self, parts: Parts, receiver: Receiver, clock: Clock
    ) -> None:
        receiver.answer = lambda _: (503, {"Retry-After": "1"})
        self._paid(parts, receiver)
        began = clock.now()

        while (row := self._send(parts)).state == "new":
            clock.advance(seconds=(row.next_at - clock.now()).total_seconds() + 3600)

        assert row.tries == 12
        assert clock.now() - began > timedelta(days=3)

    def test_an_unreadable_retry_after_is_no_retry_after(self, parts: Parts, receiver: Receiver) -> None:
        receiver.answer = lambda _: (503, {"Retry-After": "Fri, 31 Dec 2038 23:59:59 GMT"})
        self._paid(parts, receiver)

        row = self._send(parts)

        assert timedelta(seconds=4) < row.next_at - parts.now() < timedelta(seconds=6)

    def test_every_try_carries_the_same_id_and_the_same_bytes(
        self, parts: Parts, receiver: Receiver, clock: Clock
    ) -> None:
        receiver.answer = lambda number: (204 if number == 3 else 500, {})
        self._paid(parts, receiver)
        for _ in range(6):
            row = self._send(parts)
            clock.advance(minutes=6)

        assert row.state == "sent"
        assert len(receiver.told) == 4
        assert len({(told.id, told.digest) for told in receiver.told}) == 1

    def test_what_happens_later_does_not_change_what_was_promised(
        self, parts: Parts, receiver: Receiver, clock: Clock
    ) -> None:
        receiver.answer = lambda number: (204 if number else 500, {})
        payment = open_payment(parts, notify_url=receiver.url)
        pay(parts, payment)
        self._send(parts)
        refund(parts, payment, 100)
        clock.advance(seconds=6)

        self._send(parts)

        first, second = receiver.told[:2]
        assert (first.id, first.digest) == (second.id, second.digest)


class TestOrder:
    def test_a_later_fact_waits_for_the_earlier_one(self, parts: Parts, clock: Clock) -> None:
        is_down, postman = True, Postman(lambda notice: failing(notice) if is_down else None)
        payment = open_payment(parts)
        pay(parts, payment)
        turn(parts, postman)
        refund(parts, payment, 100)
        refund(parts, payment, 200)
        turn(parts, postman)
        while_down = [kind_of(notice) for notice in postman.of(CONFIRMATION)]
        is_down = False
        for _ in range(4):
            clock.advance(minutes=6)
            turn(parts, postman)

        seqs = {row.event_id: row.seq for row in notices(parts)}
        assert while_down == ["payment.succeeded"]
        assert [kind_of(notice) for notice in postman.of(CONFIRMATION)[1:]] == [
            "payment.succeeded",
            "payment.refunded",
            "payment.refunded",
        ]
        assert rises([seqs[notice.id] for notice in postman.of(CONFIRMATION)[1:]])

    def test_a_dead_notice_does_not_hold_up_the_later_ones(self, parts: Parts) -> None:
        gone = DeliveryFailed("HTTP 410", again=False)
        postman = Postman(lambda notice: gone if kind_of(notice) == "payment.succeeded" else None)
        payment = open_payment(parts)
        pay(parts, payment)
        refund(parts, payment, 100)
        turn(parts, postman)

        turn(parts, postman)

        assert [(row.state, row.tries) for row in notices(parts)] == [("dead", 1), ("sent", 1)]

    def test_one_receiver_does_not_hold_up_another(self, parts: Parts) -> None:
        postman = Postman(lambda notice: failing(notice) if "slow" in notice.target else None)
        pay(parts, open_payment(parts, notify_url="http://127.0.0.1:8001/slow"))
        pay(parts, open_payment(parts, notify_url="http://127.0.0.1:8001/quick"))

        turn(parts, postman)

        assert [row.state for row in notices(parts)] == ["new", "sent"]

    def test_of_a_page_that_is_opened_nobody_is_told_and_nothing_is_asked(self, parts: Parts) -> None:
        payment, asked = open_payment(parts), list[str]()
        with parts.store.transaction() as tx:
            row = tx.payments.take(payment.id)
            event.listen(tx.connection, "before_cursor_execute", lambda *told: asked.append(str(told[2])))
            fact = replace(payment.events[0], type="payment.opened")
            parts.outbox.announce(tx, row.id, fact, row.dialect)

        assert asked == []

    def test_a_dialect_without_words_for_an_event_does_not_lose_the_money(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        payment = open_payment(parts)

        def speechless(*_: object) -> bytes:
            raise KeyError("TEST")

        monkeypatch.setattr(type(parts.dialects["native"]), "confirmed", speechless)
        paid = pay(parts, payment)
        turn(parts, Postman())

        assert paid.status is Status.PAID
        assert "no words for a notice" in caplog.messages
        assert (notices(parts), [row.state for row in notices(parts, "payer_mail")]) == ([], ["sent"])

    def test_a_mail_does_not_wait_for_a_confirmation(self, parts: Parts) -> None:
        postman = Postman(failing)
        pay(parts, open_payment(parts))

        turn(parts, postman)

        assert [row.state for row in notices(parts, "payer_mail")] == ["sent"]


class TestConcurrency:
    def test_a_receiver_gets_two_at_a_time(self, parts: Parts) -> None:
        for _ in range(12):
            pay(parts, open_payment(parts, email=""))
        crowd = Crowd()

        work(parts, crowd, 12)

        assert crowd.most == 2
        assert len({notice.id for notice in crowd.of(CONFIRMATION)}) == len(crowd.given) == 12

    def test_what_a_claim_took_too_much_of_is_given_back_without_a_try(self, parts: Parts) -> None:
        """One failure, and the rest of the run waits until the portal is asked again."""
        for _ in range(6):
            pay(parts, open_payment(parts, email=""))
        postman = Postman(failing)

        turn(parts, postman)

        assert len(postman.of(CONFIRMATION)) == 2
        assert sorted((row.tries, row.lease) for row in notices(parts)) == [(0, "")] * 4 + [(1, "")] * 2

    def test_notices_under_way_count_against_the_two(self, parts: Parts) -> None:
        for _ in range(4):
            pay(parts, open_payment(parts))
        now, until = parts.now(), parts.now() + timedelta(seconds=60)
        leases = []
        for lease in ("a", "b", "c"):
            with parts.store.transaction() as tx:
                rows = tx.notices.claim(lease, now=now, until=until, room=Room(32, 32, 32))
            leases.append([row for row in rows if row.channel == CONFIRMATION])

        assert [len(rows) for rows in leases] == [2, 0, 0]

    def test_a_receiver_that_hangs_leaves_room_for_the_others(self, parts: Parts) -> None:
        release, seen = threading.Event(), []
        for number in range(40):
            target = "hanging" if number < 36 else f"healthy-{number}"
            pay(parts, open_payment(parts, notify_url=f"http://127.0.0.1:8001/{target}"))

        class Hanging(Postman):
            def deliver(self, notice: Notice, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
                if "hanging" in notice.target:
                    release.wait(60)
                elif notice.channel == CONFIRMATION:
                    seen.append(notice.target)

        deliverer = Deliverer(parts.store, dict.fromkeys(NAMES, Hanging()), parts.now, outbox=parts.outbox)
        until = time.monotonic() + 60
        while len(seen) < 4 and time.monotonic() < until:
            deliverer.deliver_due()
            time.sleep(0.02)
        release.set()
        deliverer.close()

        assert len(seen) == 4


class TestBacklog:
    """After an outage: thousands are due, at one portal and by mail, and people go on paying."""

    OLD, FRESH = "http://127.0.0.1:8001/old", "http://127.0.0.1:8001/fresh"
    COPIES = 40

    @pytest.fixture(autouse=True)
    def backlog(self, parts: Parts, clock: Clock) -> None:
        """Have six payments told, and copy what is to be told of each to as many targets more."""
        for number in range(6):
            payment = open_payment(parts, notify_url=f"{self.OLD}?n={number}", email=f"payer{number}@example.org")
            parts.checkout.paying.cancel(payment.id) if number else pay(parts, payment)
        with parts.store.transaction() as tx:
            if tx.connection.dialect.name == "postgresql":
                # As it is found after an outage: told of the few, the planner knows nothing of the many.
                tx.connection.execute(text("ANALYZE notice"))
        self._copy(parts, "copy", self.COPIES)
        clock.advance(hours=1)

    @staticmethod
    def _copy(parts: Parts, name: str, number: int) -> None:
        names = ", ".join(column.name for column in t.notice.c if column.name not in ("id", "target"))
        copying = (
            f"WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {number})"  # noqa: S608
            f" INSERT INTO notice (target, {names}) SELECT target || '&{name}=' || n, {names} FROM notice, copies"
        )
        with parts.store.transaction() as tx:
            tx.connection.execute(text(copying))

    def test_what_is_fresh_waits_for_no_backlog(self, parts: Parts) -> None:
        pay(parts, open_payment(parts, notify_url=self.FRESH, email=""))
        postman = Postman()

        turn(parts, postman)

        assert sum(notice.target == self.FRESH for notice in postman.of(CONFIRMATION)) == 1
        assert len(postman.given) < 60

    def test_it_goes_out_in_order(self, parts: Parts) -> None:
        due = sorted(notices(parts), key=lambda row: (row.next_at, row.id))
        first, crowd = [(row.event_id, row.target) for row in due], Crowd(0.001)

        work(parts, crowd, len(first))

        places = [first.index((notice.id, notice.target)) for notice in crowd.given]
        assert sorted(places) == list(range(6 * (self.COPIES + 1)))
        # Of a run, one of the two hands may be some steps behind the other.
        assert max(abs(place - number) for number, place in enumerate(places)) < 32

    def test_a_claim_walks_over_it_once(self, parts: Parts) -> None:
        """Joined with itself, two thousand due notices took longer than a statement may."""
        self._copy(parts, "again", 4)

        with parts.store.transaction() as tx:
            before = self._worked_seconds(tx)
            rows = tx.notices.claim("a", now=parts.now(), until=parts.now(), room=Room(8, 32, 4, run=32))
            worked = self._worked_seconds(tx) - before

        assert len([row for row in rows if row.channel == CONFIRMATION]) == 32
        assert worked < 1

    @staticmethod
    def _worked_seconds(tx: Transaction) -> float:
        """Tell the processor's time that this thread has used, and PostgreSQL for it: that of the clock is the machine's."""
        if tx.connection.dialect.name == "sqlite":
            return time.thread_time()
        session = tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        told = Path(f"/proc/{session}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


class TestManyAddresses:
    """A portal with an address for each payment, where nobody answers: none fails often enough to be paused."""

    @pytest.fixture(autouse=True)
    def addresses(self, parts: Parts, clock: Clock) -> None:
        """Have one payment told at a hundred addresses of a host, and later at one of another."""
        pay(parts, open_payment(parts, email="", notify_url="http://127.0.0.1:8001/order/1"))
        (first,) = notices(parts)
        facts = {name: value for name, value in first._mapping.items() if name != "id"}
        others = [f"http://127.0.0.1:8001/order/{number}" for number in range(2, 101)]
        with parts.store.transaction() as tx:
            tx.connection.execute(insert(t.notice), [{**facts, "target": url, "endpoint": url} for url in others])
        clock.advance(minutes=1)

    @staticmethod
    def _move(parts: Parts, number: int, target: str, now: datetime) -> None:
        n = t.notice
        this = n.c.target == f"http://127.0.0.1:8001/order/{number}"
        with parts.store.transaction() as tx:
            tx.connection.execute(update(n).where(this).values(target=target, endpoint=target, next_at=now))

    @staticmethod
    def _claim(parts: Parts, free: int, **more: int) -> list[str]:
        room, now = Room(confirmations=free, others=16, **more), parts.now()
        with parts.store.transaction() as tx:
            return [row.target for row in tx.notices.claim("a", now=now, until=now + timedelta(minutes=1), room=room)]

    @pytest.mark.parametrize("other", ["https://other.example", "http://127.0.0.1:8002/order/1", "http://1/?a=/"])
    def test_its_host_leaves_room_for_another(self, parts: Parts, other: str) -> None:
        self._move(parts, 100, other, parts.now())

        first, second = self._claim(parts, 48), self._claim(parts, 16)

        assert (len(first), other in first) == (32, True)
        assert second == []

    def test_what_comes_while_it_is_busy_finds_room(self, parts: Parts) -> None:
        self._claim(parts, 48)
        self._move(parts, 100, "https://other.example/", parts.now())

        assert self._claim(parts, 16) == ["https://other.example/"]

    def test_it_takes_what_is_free_beyond_that(self, parts: Parts) -> None:
        self._claim(parts, 48)

        assert [len(self._claim(parts, free)) for free in (17, 48, 16)] == [1, 32, 0]

    def test_a_run_to_one_of_its_addresses_counts_as_the_hands_it_takes(self, parts: Parts) -> None:
        with parts.store.transaction() as tx:
            tx.connection.execute(update(t.notice).values(endpoint="http://127.0.0.1:8001/order"))

        assert [len(self._claim(parts, 48, run=32)), len(self._claim(parts, 2, run=32))] == [32, 0]
        with parts.store.transaction() as tx:
            free = t.notice.c.lease == ""
            tx.connection.execute(update(t.notice).where(free).values(endpoint=t.notice.c.target))
        # Two under way there: fourteen more until it is a crowd.
        assert len(self._claim(parts, 15, run=32)) == 14


class TestCrashes:
    def test_what_a_dead_worker_held_is_sent_by_another_once_its_lease_is_over(
        self, parts: Parts, clock: Clock
    ) -> None:
        pay(parts, open_payment(parts))
        with parts.store.transaction() as tx:
            until = clock.now() + timedelta(seconds=60)
            held = tx.notices.claim("dead", now=clock.now(), until=until, room=Room(32, 32, 32))
        postman = Postman()
        clock.advance(seconds=59)
        too_early = turn(parts, postman)
        clock.advance(seconds=2)

        turn(parts, postman)

        assert too_early == 0
        assert {(notice.id, notice.channel, notice.body) for notice in postman.given} == {
            (row.event_id, row.channel, row.body) for row in held
        }

    @pytest.mark.parametrize("lost", ["the reading of what was claimed", "the answer to the claim's commit"])
    def test_what_was_claimed_as_the_database_went_away_waits_for_its_return_only(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch, lost: str
    ) -> None:
        postman = Postman()
        enter(parts, open_payment(parts), CHALLENGE)
        pay(parts, open_payment(parts))
        deliverer = Deliverer(parts.store, dict.fromkeys(NAMES, postman), parts.now, outbox=parts.outbox)
        transaction = parts.store.transaction

        @contextmanager
        def committed_unheard() -> Iterator[Transaction]:
            with transaction() as tx:
                yield tx
            raise StoreBusy("gone")

        def gone() -> object:
            raise StoreBusy("gone")

        with monkeypatch.context() as patch:
            if lost.startswith("the reading"):
                patch.setattr(parts.store, "glance", gone)
                patch.setattr(parts.store, "reading", gone)
            else:
                patch.setattr(parts.store, "transaction", committed_unheard)
            with pytest.raises(StoreBusy):
                deliverer.deliver_due()
        held = notices(parts) + notices(parts, "sms")
        deliverer.deliver_due()
        deliverer.close()

        assert all(row.lease and row.tries == 1 for row in held)
        assert Counter((notice.channel, notice.tries) for notice in postman.given) == {
            (CONFIRMATION, 1): 1,
            ("sms", 1): 1,
            ("payer_mail", 1): 1,
            ("merchant_mail", 1): 1,
        }

    def test_what_waits_behind_a_failure_that_cannot_be_written_down_is_given_back(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(6):
            pay(parts, open_payment(parts))
        postman = Postman(failing)
        deliverer = Deliverer(parts.store, dict.fromkeys(NAMES, postman), parts.now, outbox=parts.outbox)

        def busy(*_: object, **__: object) -> None:
            raise StoreBusy("away")

        with monkeypatch.context() as patch:
            patch.setattr(deliverer, "_failed", busy)
            deliverer.deliver_due()
            deliverer.drain()
        deliverer.close()

        tried = {notice.id for notice in postman.of(CONFIRMATION)}
        waiting = [(row.tries, row.lease) for row in notices(parts) if row.event_id not in tried]
        assert waiting == [(0, "")] * (6 - len(tried))
        assert waiting

    def test_a_worker_brings_out_what_it_has_a_channel_for_and_leaves_the_rest(self, parts: Parts) -> None:
        enter(parts, open_payment(parts), CHALLENGE)
        pay(parts, open_payment(parts))
        prompt, back = Postman(), Postman()

        for postman, names in ((prompt, (CONFIRMATION, "sms")), (back, ("payer_mail", "merchant_mail", "alarm_mail"))):
            deliverer = Deliverer(parts.store, dict.fromkeys(names, postman), parts.now, outbox=parts.outbox)
            deliverer.deliver_due()
            deliverer.close()

        assert {notice.channel for notice in prompt.given} == {CONFIRMATION, "sms"}
        assert {notice.channel for notice in back.given} == {"payer_mail", "merchant_mail"}

    def test_a_worker_that_comes_back_late_cannot_settle_what_another_holds(self, parts: Parts, clock: Clock) -> None:
        pay(parts, open_payment(parts))
        for lease in ("frozen", "quick"):
            with parts.store.transaction() as tx:
                until = clock.now() + timedelta(seconds=60)
                rows = tx.notices.claim(lease, now=clock.now(), until=until, room=Room(32, 32, 32))
            clock.advance(seconds=61)

        with parts.store.transaction() as tx:
            for row in rows:
                tx.notices.bury(row.id, "frozen", "too late")

        assert [(row.state, row.lease) for row in notices(parts)] == [("new", "quick")]

    def test_a_channel_with_a_bug_does_not_stop_the_others(self, parts: Parts) -> None:
        class Broken(Postman):
            def deliver(self, notice: Notice, now: datetime) -> None:
                if notice.channel == CONFIRMATION:
                    raise ZeroDivisionError
                super().deliver(notice, now)

        pay(parts, open_payment(parts))
        turn(parts, Broken())

        (row,) = notices(parts)
        assert (row.state, row.last_error) == ("new", "ZeroDivisionError")
        assert [row.state for row in notices(parts, "payer_mail")] == ["sent"]


class TestResend:
    def test_it_goes_out_again_with_the_same_id_and_bytes(self, parts: Parts) -> None:
        postman = Postman()
        pay(parts, open_payment(parts))
        turn(parts, postman)
        with parts.store.transaction() as tx:
            tx.notices.resend(notices(parts)[0].id, parts.now())

        turn(parts, postman)

        first, second = postman.of(CONFIRMATION)
        assert (first.id, first.body) == (second.id, second.body)
        assert first.body
        assert (first.by_hand, second.by_hand) == (False, True)

    def test_the_dead_rise(self, parts: Parts) -> None:
        postman = Postman(lambda _: DeliveryFailed("HTTP 410", again=False))
        pay(parts, open_payment(parts))
        turn(parts, postman)
        postman.refuse = lambda _: None
        with parts.store.transaction() as tx:
            tx.notices.resend(notices(parts)[0].id, parts.now())

        turn(parts, postman)

        assert [row.state for row in notices(parts)] == ["sent"]

    def test_a_code_is_never_sent_again(self, parts: Parts) -> None:
        enter(parts, open_payment(parts), CHALLENGE)
        turn(parts, Postman())

        with pytest.raises(NotFound), parts.store.transaction() as tx:
            tx.notices.resend(notices(parts, "sms")[0].id, parts.now())


class TestCodes:
    """A one-time code waits sealed, is tried twice, and leaves nothing behind."""

    @staticmethod
    def _file_bytes(parts: Parts) -> bytes:
        with parts.store.reading() as tx:
            (row,) = tx.connection.execute(select(t.notice).where(t.notice.c.channel == "sms"))
        return bytes(row.body)

    def test_nobody_reads_the_code_in_the_database(self, parts: Parts) -> None:
        enter(parts, open_payment(parts), CHALLENGE)
        waiting = self._file_bytes(parts)

        opened = parts.seal.open(waiting).decode()

        code = opened.rpartition("#")[2].strip()
        assert len(code) == 6
        assert code.encode() not in waiting
        assert b"Ville" not in waiting

    def test_nothing_stays_of_a_code_that_was_sent(self, parts: Parts) -> None:
        enter(parts, open_payment(parts), CHALLENGE)

        turn(parts, Postman())

        assert self._file_bytes(parts) == b""

    def test_it_is_tried_twice_within_its_life_then_forgotten(self, parts: Parts, clock: Clock) -> None:
        enter(parts, open_payment(parts), CHALLENGE)
        postman = Postman(lambda _: DeliveryFailed("sms provider too slow"))
        for _ in range(40):
            turn(parts, postman)
            clock.advance(seconds=15)

        assert len(postman.of("sms")) == 2
        (row,) = notices(parts, "sms")
        assert (row.state, row.body) == ("dead", b"")

    def test_a_new_code_does_not_wait_behind_one_that_is_stuck(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        with parts.store.transaction() as tx:
            until = clock.now() + timedelta(seconds=60)
            tx.notices.claim("dead worker", now=clock.now(), until=until, room=Room(32, 32, 32))
        clock.advance(seconds=31)
        parts.checkout.paying.resend_code(payment.id)
        postman = Postman()

        turn(parts, postman)

        assert len(postman.of("sms")) == 1

    @pytest.mark.parametrize(("seconds", "sent"), [(299, 1), (300, 0)])
    def test_it_is_sent_while_it_can_be_used_only(self, parts: Parts, clock: Clock, seconds: int, sent: int) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        clock.advance(seconds=seconds)

        deliver(parts)

        assert len(parts.inbox.messages(kind="sms", payment=payment.id)) == sent
        assert self._end(parts) == [("sent", "") if sent else ("dead", "the code has expired")]

    def test_a_replaced_code_is_not_sent(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        clock.advance(seconds=31)
        parts.checkout.paying.resend_code(payment.id)

        deliver(parts)

        (message,) = parts.inbox.messages(kind="sms", payment=payment.id)
        assert parts.checkout.paying.answer_challenge(payment.id, message.code)
        assert self._end(parts) == [("dead", "a newer code has replaced it"), ("sent", "")]

    def test_the_code_of_a_card_given_up_is_not_sent(self, parts: Parts) -> None:
        changed, cancelled = open_payment(parts), open_payment(parts)
        for payment in (changed, cancelled):
            enter(parts, payment, CHALLENGE)
        parts.checkout.paying.change_card(changed.id)
        parts.checkout.paying.cancel(cancelled.id)

        deliver(parts)

        assert parts.inbox.messages(kind="sms") == []
        assert self._end(parts) == [("dead", "nobody awaits the code any more")] * 2

    @staticmethod
    def _end(parts: Parts) -> list[tuple[str, str]]:
        return [(row.state, row.last_error) for row in notices(parts, "sms")]


class TestWhoIsTold:
    def test_each_end_is_told_to_the_merchant_and_only_good_news_is_mailed(self, parts: Parts, clock: Clock) -> None:
        paid, cancelled, refused = open_payment(parts), open_payment(parts), open_payment(parts)
        expired = open_payment(parts)
        pay(parts, paid)
        parts.checkout.paying.cancel(cancelled.id)
        for _ in range(3):
            parts.checkout.paying.change_card(refused.id)
            parts.checkout.paying.enter_card(refused.id, a_card(FUNDS), scheme="", email="")
            parts.checkout.settling.authorise(refused.id)
        clock.advance(minutes=31)
        parts.checkout.sweep()
        postman = Postman()
        for _ in range(4):
            turn(parts, postman)

        told = {notice.recipient.payment: kind_of(notice) for notice in postman.of(CONFIRMATION)}
        assert told == {
            paid.id: "payment.succeeded",
            cancelled.id: "payment.cancelled",
            refused.id: "payment.refused",
            expired.id: "payment.expired",
        }
        assert Counter(n.channel for n in postman.given if n.channel != CONFIRMATION) == {
            "payer_mail": 1,
            "merchant_mail": 1,
        }

    def test_a_manager_who_is_in_the_book_twice_is_told_once_and_costs_no_payment(self, parts: Parts) -> None:
        (address,) = parts.settings.merchants[MERCHANT].managers
        outbox = Outbox(dialects=parts.dialects, managers={MERCHANT: (address, address)})
        twice = replace(parts, outbox=outbox, checkout=Checkout(replace(parts.checkout.desk, outbox=outbox)))

        paid = pay(twice, open_payment(twice))

        assert paid.status is Status.PAID
        assert [row.target for row in notices(twice, "merchant_mail")] == [address]


class TestDeadWorkers:
    """A delivery that takes its worker with it must end some day."""

    @pytest.fixture
    def dead(self, parts: Parts, clock: Clock) -> Row[Any]:
        """Give a notice that was claimed, by workers that died of it, once more than its schedule allows."""
        pay(parts, open_payment(parts))
        for number in range(13):
            with parts.store.transaction() as tx:
                tx.notices.claim(f"lease-{number}", now=clock.now(), until=clock.now(), room=Room(50, 50, 50))
            clock.advance(seconds=1)
        turn(parts, Postman())
        return notices(parts)[0]

    def test_it_dies_itself(self, dead: Row[Any]) -> None:
        assert (dead.state, dead.last_error) == ("dead", "each worker that tried it died")

    def test_the_last_try_may_be_an_answer_nobody_could_write_down(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pay(parts, open_payment(parts))
        for _ in range(11):
            turn(parts, Postman(failing))
            clock.advance(hours=25)
        transaction = parts.store.transaction

        def busy_once() -> object:
            monkeypatch.setattr(parts.store, "transaction", transaction)
            raise StoreBusy("locked")

        class Unwritten(Postman):
            def deliver(self, notice: Notice, now: datetime) -> None:
                super().deliver(notice, now)
                monkeypatch.setattr(parts.store, "transaction", busy_once)

        turn(parts, Unwritten())
        unwritten = notices(parts)[0]
        clock.advance(seconds=61)
        turn(parts, Postman())

        assert (unwritten.state, unwritten.tries) == ("new", 12)
        assert notices(parts)[0].state == "sent"

    def test_a_person_may_send_it_again(self, parts: Parts, clock: Clock, dead: Row[Any]) -> None:
        with parts.store.transaction() as tx:
            tx.notices.resend(dead.id, clock.now())
        turn(parts, Postman())

        assert notices(parts)[0].state == "sent"
