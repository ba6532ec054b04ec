"""Brings to whom it was promised what the outbox holds: claims, tries, tries again, gives up.

``deliver_due`` claims rows under a lease, sends outside any transaction, and writes the result. Any number of workers on
any number of machines may run it at once: a notice goes out at least once, always with the same id and the same body,
and in order per payment and receiver.
"""

import logging
import random
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row

from gateway.channels import Channel, Notice
from gateway.core.errors import DeliveryFailed
from gateway.dialects.schedule import after
from gateway.lanes import MEANS, Lane, Means
from gateway.metrics import DELIVERIES
from gateway.outbox import Outbox
from gateway.store import Store, Transaction

log = logging.getLogger(__name__)

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

# A lease outlives three times the longest delivery, so that only a dead worker's notices are taken over.
LEASE = timedelta(seconds=60)
AT_ONCE = 32
SLOW_AT_ONCE = 96
CODES_AT_ONCE = 8
PER_TARGET = 2


class Deliverer:
    """Carries notices out; one per worker process.

    :param channels: by name
    :param outbox: where alarms of dead confirmations go
    :param on_done: called when a delivery has ended: the next in line of its payment may be due
    """

    def __init__(  # noqa: PLR0913 - each a collaborator of its own
        self,
        store: Store,
        channels: Mapping[str, Channel],
        now: Callable[[], datetime],
        *,
        outbox: Outbox,
        on_done: Callable[[], None] = lambda: None,
        means: Means = MEANS,
    ) -> None:
        self._store, self._channels, self._now, self._outbox, self._on_done = store, channels, now, outbox, on_done
        self._chance = means.chance
        # Codes have threads of their own: a code waits for nobody's slow portal.
        self._lanes = (Lane("codes", CODES_AT_ONCE, means.pool), Lane("others", AT_ONCE, means.pool, SLOW_AT_ONCE))

    def deliver_due(self) -> int:
        """Claim what is due and hand it to the pools; returns how many were claimed, without waiting for them."""
        lease, now = self._chance.randbytes(8).hex(), self._now()
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
        if row.tries > 2 and self._planned(row, row.tries - 2) is None:
            # Claimed twice more than the schedule allows; once may be an answer that nobody could write down.
            self._failed(row, lease, DeliveryFailed("each worker that tried it died", again=False))
            return
        try:
            reply = self._channels[row.channel].deliver(self._notice(row), self._now())
        except DeliveryFailed as error:
            self._failed(row, lease, error)
        except Exception as error:
            log.exception("delivery broke", extra={"notice": row.event_id, "channel": row.channel})
            self._failed(row, lease, DeliveryFailed(type(error).__name__))
        else:
            with self._store.transaction() as tx:
                tx.notices.finish(row.id, lease, self._now(), reply or "")
                if row.endpoint:
                    tx.endpoints.works(row.endpoint)
            DELIVERIES.labels(row.channel, "delivered").inc()
            log.info("notice delivered", extra={"notice": row.event_id, "channel": row.channel, "tries": row.tries})

    def _notice(self, row: Row[Any]) -> Notice:
        with self._store.reading() as tx:
            result = tx.payments.result(tx.payments.by_id(row.payment_id))
        event = next(event for event in result.events if event.id == row.event_id)
        return Notice(
            row.event_id,
            row.channel,
            row.target,
            result,
            event,
            row.body,
            is_repeat=row.delivered_at is not None,
            tries=row.tries,
            by_hand=row.by_hand,
        )

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
            if tx.notices.bury(row.id, lease, str(error), error.reply) and row.channel == "confirmation":
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

        A receiver's ``Retry-After`` is obeyed up to an hour; the rest is the schedule of the channel, or of the dialect.
        """
        now, planned = self._now(), self._planned(row, row.tries)
        if planned is None:
            return None
        if error.retry_after_seconds is not None:
            return now + timedelta(seconds=min(max(error.retry_after_seconds, 1), _RETRY_AFTER_MAX))
        return spread(planned, now, self._chance)

    def _planned(self, row: Row[Any], tries: int) -> datetime | None:
        if row.channel != "confirmation":
            return after(SCHEDULES[row.channel], tries, self._now())
        with self._store.reading() as tx:
            payment = tx.payments.by_id(row.payment_id)
        return self._outbox.retry_at(payment.dialect, payment.merchant_id, tries, self._now())


def spread(planned: datetime, now: datetime, chance: random.Random = MEANS.chance) -> datetime:
    """Give a moment shortly after ``planned``: up to a tenth of the wait, half a minute at most."""
    longest = min((planned - now).total_seconds() * _JITTER, _JITTER_SECONDS_MAX)
    return planned + timedelta(seconds=chance.uniform(0, longest))
