"""Brings to whom it was promised what the outbox holds: claims, tries, tries again, gives up.

``deliver_due`` claims rows under a lease, hands them to threads that send outside any transaction, and marks what has been
delivered meanwhile: many in one transaction, which costs what one would. A crash in between means that they go out again.
Any number of workers on any number of machines may run it at once: a notice goes out at least once, always with the same
id and the same body, and in order per payment and receiver.
"""

import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Row

from gateway.channels import AnyChannel, Confirmation, Letter, Notice
from gateway.core.errors import DeliveryFailed, StoreBusy
from gateway.core.payment import PaymentResult, Recipient
from gateway.dialects.schedule import after
from gateway.lanes import MEANS, Lane, Means, batches, lane_of, strands
from gateway.metrics import DELIVERIES
from gateway.outbox import Outbox
from gateway.store import Store, Transaction
from gateway.store.claims import Room
from gateway.store.notices import Delivered

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MINUTE, _HOUR = 60, 3600

# Seconds after each failed try before the next one; confirmations go by the schedule of their dialect.
MAIL_SCHEDULE = (30, 5 * _MINUTE, 25 * _MINUTE, 90 * _MINUTE)
# A code lives five minutes: late, it is worthless, and the payer has a "send again" button.
SMS_SCHEDULE = (10,)

SCHEDULES: Mapping[str, tuple[int, ...]] = {
    "payer_mail": MAIL_SCHEDULE,
    "merchant_mail": MAIL_SCHEDULE,
    "alarm_mail": MAIL_SCHEDULE,
    "sms": SMS_SCHEDULE,
}
# Of the pause, at most: so that a receiver coming back is not met by everything at once.
_JITTER = 0.1
_JITTER_SECONDS_MAX = 30.0
_RETRY_AFTER_MAX = _HOUR

# A code waits for nobody's slow portal, a portal for nobody's tickets.
LANES = ("codes", "confirmations", "mails")
# The one channel whose notices are read without the payment they tell of.
_CALL = "confirmation"
# A lease outlives three times the longest delivery, so that only a dead worker's notices are taken over.
LEASE = timedelta(seconds=60)
AT_ONCE = 48
SLOW_AT_ONCE = 96
# Of the places for confirmations, the last that a host leaves to others where so many of its own are under way.
FOR_OTHERS = 16
CODES_AT_ONCE = 8
# Tickets are drawn by the processor, of which threads have one between them.
MAILS_AT_ONCE = 4
SLOW_MAILS_AT_ONCE = 12
PER_TARGET = 2
# What one claim takes for an endpoint that works, and how long its two hands may be at it: then the rest is given back,
# long before the lease is over.
RUN = 32
# The first go out while the others are still being read.
_LOADED_AT_ONCE = 64
_RUN_LONGEST = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class _Task:
    """A claimed notice, as it is handed to a channel."""

    row: Row[Any]
    notice: Notice


class Deliverer:
    """Carries notices out; one per worker process.

    :param channels: by name; it claims what they can bring out, and leaves the rest to others
    :param outbox: where alarms of dead confirmations go
    :param on_done: called when a delivery has ended: the next in line of its payment may be due
    """

    def __init__(  # noqa: PLR0913 - each a collaborator of its own
        self,
        store: Store,
        channels: Mapping[str, AnyChannel],
        now: Callable[[], datetime],
        *,
        outbox: Outbox,
        on_done: Callable[[], None] = lambda: None,
        means: Means = MEANS,
    ) -> None:
        self._store, self._channels, self._now, self._outbox, self._on_done = store, channels, now, outbox, on_done
        self._chance, self._is_closing = means.chance, False
        sizes = (CODES_AT_ONCE, 0), (AT_ONCE, SLOW_AT_ONCE), (MAILS_AT_ONCE, SLOW_MAILS_AT_ONCE)
        mine = set(map(lane_of, channels))
        self._lanes = [
            Lane(name, size, means.pool, slow) for name, (size, slow) in zip(LANES, sizes, strict=True) if name in mine
        ]
        # For the next turn to write down: what its receivers have; and what was claimed and not tried, with its lease.
        self._delivered: SimpleQueue[tuple[Row[Any], Delivered]] = SimpleQueue()
        self._spare: SimpleQueue[tuple[Collection[int], str]] = SimpleQueue()

    def brings(self, lane: str) -> bool:
        """Say whether it brings out the notices of a lane."""
        return any(mine.name == lane for mine in self._lanes)

    def deliver_due(self) -> int:
        """Mark what was delivered, claim what is due and hand it to the pools; returns how many were claimed.

        It waits for no delivery: what those it claims come to is written down by a later call, or by :meth:`close`.
        """
        lease, now, left = self._chance.randbytes(8).hex(), self._now(), set[int]()
        room = Room(
            **{lane.name: lane.free() for lane in self._lanes}, per_place=PER_TARGET, run=RUN, others=FOR_OTHERS
        )
        try:
            with self._settling() as tx:
                rows = tx.notices.claim(lease, now=now, until=now + LEASE, room=room)
                left.update(row.id for row in rows)
            for batch in batches(strands(rows, PER_TARGET), _LOADED_AT_ONCE):
                self._hand_out(batch, lease)
                left.difference_update(row.id for strand in batch for row in strand)
        except StoreBusy:
            # Lost at the very commit, the claim may stand all the same: none of it is to wait for the end of its lease.
            if left:
                self._spare.put((left, lease))
            raise
        return len(rows)

    def _hand_out(self, batch: Iterable[list[Row[Any]]], lease: str) -> None:
        rows = [row for strand in batch for row in strand]
        with self._store.glance() as tx:
            calls = tx.payments.recipients({row.payment_id for row in rows if row.channel == _CALL})
            letters = tx.payments.results({row.payment_id for row in rows if row.channel != _CALL})

        def task(row: Row[Any]) -> _Task:
            return _Task(row, _notice(row, (calls if row.channel == _CALL else letters)[row.payment_id]))

        lanes = {lane.name: lane for lane in self._lanes}
        for strand in batch:
            deliver = partial(self._deliver, list(map(task, strand)), lease)
            lanes[lane_of(strand[0].channel)].submit(deliver, self._on_done)

    def drain(self, timeout_seconds: float = 30) -> None:
        """Wait for the deliveries under way, and mark them."""
        for lane in self._lanes:
            wait(lane.busy, timeout=timeout_seconds)
        try:
            with self._settling():
                pass
        except StoreBusy:
            log.warning("database busy; what was delivered will go out again")

    def close(self) -> None:
        """Finish what is under way and take nothing new."""
        self._is_closing = True
        self.drain()
        for lane in self._lanes:
            lane.pool.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, tasks: Sequence[_Task], lease: str) -> None:
        """Send notices for one place one after the other; where the first waits or fails, the others are given back.

        So they are where what came of one could not be written down: none of them was tried.
        """
        until, rest = self._now() + _RUN_LONGEST, [task.row.id for task in tasks]
        try:
            for task in tasks:
                rest.remove(task.row.id)
                is_taken = self._try(task, lease)
                if not is_taken or self._now() > until or self._is_closing:
                    return
        finally:
            if rest:
                self._spare.put((rest, lease))

    def _try(self, task: _Task, lease: str) -> bool:
        """Send one notice; say whether its receiver has it. What came of it is written down here, or soon."""
        row = task.row
        if row.tries > 2 and self._planned(row, row.tries - 2) is None:
            # Claimed twice more than the schedule allows; once may be an answer that nobody could write down.
            self._failed(row, lease, DeliveryFailed("each worker that tried it died", again=False))
            return False
        try:
            reply = self._channels[row.channel].deliver(task.notice, self._now())
        except DeliveryFailed as error:
            self._failed(row, lease, error)
        except Exception as error:
            log.exception("delivery broke", extra={"notice": row.event_id, "channel": row.channel})
            self._failed(row, lease, DeliveryFailed(type(error).__name__))
        else:
            self._delivered.put((row, Delivered(row.id, lease, reply or "")))
            return True
        return False

    @contextmanager
    def _settling(self) -> Iterator[Transaction]:
        """Run a transaction that first writes down what deliveries came to; where it fails, the next one does."""
        done, spare = _taken(self._delivered), _taken(self._spare)
        try:
            with self._store.transaction() as tx:
                tx.notices.finish((delivered for _, delivered in done), self._now())
                tx.endpoints.work({row.endpoint for row, _ in done if row.endpoint})
                for notice_ids, lease in spare:
                    tx.notices.release(notice_ids, lease)
                yield tx
        except BaseException:
            for one in done:
                self._delivered.put(one)
            for some in spare:
                self._spare.put(some)
            raise
        for row, _ in done:
            DELIVERIES.labels(row.channel, "delivered").inc()
            log.info("notice delivered", extra={"notice": row.event_id, "channel": row.channel, "tries": row.tries})

    def _failed(self, row: Row[Any], lease: str, error: DeliveryFailed) -> None:
        """Schedule the next try, or give up and raise the alarm."""
        next_at = self._next_at(row, error)
        facts = {"notice": row.event_id, "channel": row.channel, "tries": row.tries, "reason": str(error)[:200]}
        if error.again and next_at is not None:
            with self._store.transaction() as tx:
                tx.notices.postpone(row.id, lease, next_at, str(error), error.reply)
                self._note_failure(tx, row)
            DELIVERIES.labels(row.channel, "postponed").inc()
            log.warning("notice will be tried again", extra=facts)
            return
        with self._store.transaction() as tx:
            if tx.notices.bury(row.id, lease, str(error), error.reply) and row.channel == _CALL:
                self._outbox.raise_alarm(tx, row, str(error))
            self._note_failure(tx, row)
        DELIVERIES.labels(row.channel, "dead").inc()
        # A code that came too late is nobody's loss: the payer has asked for another, or gone.
        log.log(logging.INFO if row.channel == "sms" else logging.ERROR, "notice is dead", extra=facts)

    def _note_failure(self, tx: Transaction, row: Row[Any]) -> None:
        if row.endpoint and tx.endpoints.fails(row.endpoint, self._now()):
            log.warning("endpoint paused", extra={"notice": row.event_id, "tries": row.tries})

    def _next_at(self, row: Row[Any], error: DeliveryFailed) -> datetime | None:
        """Say when to try again; ``None`` when this was the last try.

        By the schedule of the channel, or of the dialect. A receiver's ``Retry-After`` puts a try off, up to an hour, and
        brings none forward: the list of tries is finite, and whoever asks for a second each time would have none left soon.
        """
        now, planned = self._now(), self._planned(row, row.tries)
        if planned is None:
            return None
        asked = now + timedelta(seconds=min(error.retry_after_seconds or 0, _RETRY_AFTER_MAX))
        return max(spread(planned, now, self._chance), asked)

    def _planned(self, row: Row[Any], tries: int) -> datetime | None:
        if row.channel != _CALL:
            return after(SCHEDULES[row.channel], tries, self._now())
        with self._store.reading() as tx:
            payment = tx.payments.by_id(row.payment_id)
        return self._outbox.retry_at(payment.dialect, payment.merchant_id, tries, self._now())


def _taken(queue: SimpleQueue[_T]) -> list[_T]:
    taken = []
    with suppress(Empty):
        while True:
            taken.append(queue.get_nowait())
    return taken


def _notice(row: Row[Any], told: Recipient | PaymentResult) -> Notice:
    facts = {
        "id": row.event_id,
        "channel": row.channel,
        "target": row.target,
        "body": row.body,
        "is_repeat": row.delivered_at is not None,
        "tries": row.tries,
        "by_hand": row.by_hand,
    }
    if isinstance(told, Recipient):
        return Confirmation(**facts, recipient=told)
    return Letter(**facts, result=told, event=next(event for event in told.events if event.id == row.event_id))


def spread(planned: datetime, now: datetime, chance: random.Random = MEANS.chance) -> datetime:
    """Give a moment shortly after ``planned``: up to a tenth of the wait, half a minute at most."""
    longest = min((planned - now).total_seconds() * _JITTER, _JITTER_SECONDS_MAX)
    return planned + timedelta(seconds=chance.uniform(0, longest))
