"""Promises and their delivery: what must be told to whom, written with the fact, kept until it is done.

``announce`` runs inside the transaction of the fact. ``deliver_due`` claims rows under a lease, sends outside any
transaction, and writes the result. Any number of workers on any number of machines may run it at once: a notice goes
out at least once, always with the same id and the same body, and in order per payment and receiver.
"""

import logging
import random
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row

from gateway.channels import Channel, Notice
from gateway.channels.alarm_text import alarm_text
from gateway.core.errors import DeliveryFailed
from gateway.core.payment import Event, PaymentResult
from gateway.dialects import Dialect
from gateway.metrics import DELIVERIES
from gateway.store import Store, Transaction

log = logging.getLogger(__name__)

_MINUTE, _HOUR = 60, 3600

# Seconds after each failed try before the next one; when the list is used up the notice is dead.
CONFIRMATION_SCHEDULE = (
    5, 30, 2 * _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip
MAIL_SCHEDULE = (30, 5 * _MINUTE, 25 * _MINUTE, 90 * _MINUTE)
# A code lives five minutes: late, it is worthless, and the payer has a "send again" button.
SMS_SCHEDULE = (10,)

_SCHEDULES: Mapping[str, tuple[int, ...]] = {
    "confirmation": CONFIRMATION_SCHEDULE,
    "payer_mail": MAIL_SCHEDULE,
    "merchant_mail": MAIL_SCHEDULE,
    "alarm_mail": MAIL_SCHEDULE,
    "sms": SMS_SCHEDULE,
}
_JITTER = 0.1
_RETRY_AFTER_MAX = _HOUR

# A lease outlives three times the longest delivery, so that only a dead worker's notices are taken over.
LEASE = timedelta(seconds=60)
AT_ONCE = 32
CODES_AT_ONCE = 8
PER_TARGET = 2

PUBLIC_EVENTS = frozenset(
    {"payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired", "payment.refunded"}
)
_RECEIPTS = frozenset({"payment.succeeded", "payment.refunded"})


@dataclass(frozen=True, slots=True)
class Recipients:
    """Where the news of one merchant's payments goes, beside the payer."""

    notify_url: str = ""
    managers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be brought where, by which channel; ``body`` stays the same over all tries."""

    channel: str
    target: str
    body: bytes = b""


class Outbox:
    """The one table of things still to be told.

    :param wake: called after a promise is committed, so that a sleeping worker need not poll; may do nothing
    """

    def __init__(
        self,
        store: Store,
        *,
        dialects: Mapping[str, Dialect],
        recipients: Mapping[str, Recipients],
        now: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._dialects, self._recipients, self._now = store, dialects, recipients, now
        self.wake = wake

    def announce(self, tx: Transaction, payment_id: int, result: PaymentResult, event: Event, dialect: str) -> None:
        """Promise everybody concerned to be told of ``event``, in the transaction that made it true."""
        if event.type not in PUBLIC_EVENTS:
            return
        for channel, target in self._targets(result, event):
            body = self._dialects[dialect].confirmed(result, event) if channel == "confirmation" else b""
            self.promise(tx, payment_id, event, Parcel(channel, target, body))

    def _targets(self, result: PaymentResult, event: Event) -> list[tuple[str, str]]:
        recipients = self._recipients.get(result.request.merchant, Recipients())
        targets = []
        if url := result.request.notify_url or recipients.notify_url:
            targets.append(("confirmation", url))
        if event.type in _RECEIPTS:
            if result.email:
                targets.append(("payer_mail", result.email))
            targets.extend(("merchant_mail", manager) for manager in recipients.managers)
        return targets

    def raise_alarm(self, tx: Transaction, row: Row[Any], reason: str) -> None:
        """Promise the merchant's managers to be told that a confirmation was given up; once per event."""
        result = tx.payments.result(tx.payments.by_id(row.payment_id))
        event = next(event for event in result.events if event.id == row.event_id)
        body = alarm_text(result, row.target, reason)
        for manager in self._recipients.get(result.request.merchant, Recipients()).managers:
            if not tx.notices.is_promised("alarm_mail", manager, event.id):
                self.promise(tx, row.payment_id, event, Parcel("alarm_mail", manager, body))

    def promise(self, tx: Transaction, payment_id: int, event: Event, parcel: Parcel) -> None:
        """Insert one notice, due at once, and wake a worker once it is durable."""
        tx.after_commit.add(self.wake)
        tx.notices.add(
            payment_id,
            seq=event.seq,
            event_id=event.id,
            channel=parcel.channel,
            target=parcel.target,
            body=parcel.body,
            next_at=event.at,
            created_at=event.at,
        )


class Lane:
    """A pool of threads for one kind of notices, and what it is busy with."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self._size = name, size
        self.pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self.busy: set[Future[None]] = set()

    def free(self) -> int:
        """Say how many more it can take."""
        self.busy = {future for future in self.busy if not future.done()}
        return self._size - len(self.busy)

    def submit(self, task: Callable[[], None], on_done: Callable[[], None]) -> None:
        """Have a thread do ``task``, then call ``on_done``."""
        future = self.pool.submit(task)
        self.busy.add(future)
        future.add_done_callback(lambda _: on_done())


class Deliverer:
    """Carries notices out; one per worker process.

    :param channels: by name
    :param outbox: where alarms of dead confirmations go
    :param on_done: called when a delivery has ended: the next in line of its payment may be due
    """

    def __init__(
        self,
        store: Store,
        channels: Mapping[str, Channel],
        now: Callable[[], datetime],
        *,
        outbox: "Outbox",
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._channels, self._now, self._outbox, self._on_done = store, channels, now, outbox, on_done
        # Codes have threads of their own: a code waits for nobody's slow portal.
        self._lanes = (Lane("codes", CODES_AT_ONCE), Lane("others", AT_ONCE))

    def deliver_due(self) -> int:
        """Claim what is due and hand it to the pools; returns how many were claimed, without waiting for them."""
        lease, now = secrets.token_hex(8), self._now()
        claimed = 0
        for lane in self._lanes:
            free = lane.free()
            if free <= 0:
                continue
            with self._store.transaction() as tx:
                rows = tx.notices.claim(
                    lease, now=now, until=now + LEASE, limit=free, per_target=PER_TARGET, lane=lane.name
                )
            for row in rows:
                lane.submit(partial(self._deliver, row, lease), self._on_done)
            claimed += len(rows)
        return claimed

    def drain(self, timeout_seconds: float = 30) -> None:
        """Wait for the deliveries under way."""
        for lane in self._lanes:
            wait(lane.busy, timeout=timeout_seconds)

    def close(self) -> None:
        """Finish what is under way and take nothing new."""
        self.drain()
        for lane in self._lanes:
            lane.pool.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, row: Row[Any], lease: str) -> None:
        """Send one notice and write down what came of it."""
        try:
            self._channels[row.channel].deliver(self._notice(row), self._now())
        except DeliveryFailed as error:
            self._failed(row, lease, error)
        except Exception as error:
            log.exception("delivery broke", extra={"notice": row.event_id, "channel": row.channel})
            self._failed(row, lease, DeliveryFailed(type(error).__name__))
        else:
            with self._store.transaction() as tx:
                tx.notices.finish(row.id, lease, self._now())
            DELIVERIES.labels(row.channel, "delivered").inc()
            log.info("notice delivered", extra={"notice": row.event_id, "channel": row.channel, "tries": row.tries})

    def _notice(self, row: Row[Any]) -> Notice:
        with self._store.reading() as tx:
            result = tx.payments.result(tx.payments.by_id(row.payment_id))
        event = next(event for event in result.events if event.id == row.event_id)
        return Notice(
            row.event_id, row.channel, row.target, result, event, row.body, is_repeat=row.delivered_at is not None
        )

    def _failed(self, row: Row[Any], lease: str, error: DeliveryFailed) -> None:
        """Schedule the next try, or give up and raise the alarm."""
        delay = next_delay(row.channel, row.tries, error.retry_after_seconds)
        facts = {"notice": row.event_id, "channel": row.channel, "tries": row.tries, "reason": str(error)[:200]}
        if error.again and delay is not None:
            with self._store.transaction() as tx:
                tx.notices.postpone(row.id, lease, self._now() + delay, str(error))
            DELIVERIES.labels(row.channel, "postponed").inc()
            log.warning("notice will be tried again", extra=facts)
            return
        with self._store.transaction() as tx:
            if tx.notices.bury(row.id, lease, str(error)) and row.channel == "confirmation":
                self._outbox.raise_alarm(tx, row, str(error))
        DELIVERIES.labels(row.channel, "dead").inc()
        log.error("notice is dead", extra=facts)


def next_delay(channel: str, tries: int, retry_after_seconds: int | None = None) -> timedelta | None:
    """Say how long to wait after the ``tries``-th failed try (first is 1); ``None`` when it was the last.

    A receiver's ``Retry-After`` is obeyed up to an hour; the rest is the schedule with ten per cent of jitter, so that
    a receiver coming back is not met by everything at once.
    """
    schedule = _SCHEDULES[channel]
    if tries > len(schedule):
        return None
    if retry_after_seconds is not None:
        return timedelta(seconds=min(max(retry_after_seconds, 1), _RETRY_AFTER_MAX))
    return timedelta(seconds=schedule[tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - not a secret
