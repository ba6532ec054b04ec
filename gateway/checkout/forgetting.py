"""When people are forgotten: a merchant's term after a payment ended, in small batches, once an hour."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from gateway.checkout.desk import Desk
from gateway.core.errors import WrongStatus
from gateway.settings.merchant import RETENTION_MONTHS

log = logging.getLogger(__name__)

_EVERY = timedelta(hours=1)
_BATCH = 200
# Longer than any notice waits between two tries, or for an endpoint that is paused.
_TOLD_WITHIN = timedelta(days=4)


class Forgetting:
    """Blanks what tells of people. Safe to run twice at once: a payment is forgotten by whoever takes it first."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._next_at = datetime.min.replace(tzinfo=UTC)

    def sweep(self) -> int:
        """Forget what is due, if an hour has passed since nothing was; returns how many payments that were."""
        now = self._desk.now()
        if now < self._next_at:
            return 0
        terms, told = self._terms(now), now - _TOLD_WITHIN
        links, due = self._forget_links(terms, now), self._due(terms, told)
        for payment_id in due:
            with suppress(WrongStatus), self._desk.store.transaction() as tx:
                tx.payments.take_by_id(payment_id)
                if tx.retention.forget(payment_id, now, told):
                    tx.audit.touch(payment_id, "payment.forgotten")
        if due or links:
            self._desk.store.wipe()
            log.info("people forgotten", extra={"count": len(due) + links})
        if not due and links < _BATCH:
            self._next_at = now + _EVERY
        return len(due)

    def _terms(self, now: datetime) -> dict[str, datetime]:
        """Say, for each merchant of whom something is remembered, before when what ended is forgotten."""
        with self._desk.store.reading() as tx:
            remembered = tx.retention.merchants()
        # Whoever has left the book said nothing of a longer term.
        months = dict.fromkeys(remembered, RETENTION_MONTHS)
        months |= {name: book.retention_months for name, book in self._desk.merchants.items() if name in remembered}
        return {name: months_before(now, months[name]) for name in sorted(months)}

    def _forget_links(self, terms: Mapping[str, datetime], now: datetime) -> int:
        """Blank the links that ended long ago, by statements: nothing is written about each of them."""
        count = 0
        for merchant, before in terms.items():
            with self._desk.store.transaction() as tx:
                count += tx.links.forget(merchant, before, now, _BATCH)
        return count

    def _due(self, terms: Mapping[str, datetime], told: datetime) -> list[int]:
        due = list[int]()
        with self._desk.store.reading() as tx:
            for merchant, before in terms.items():
                if len(due) < _BATCH:
                    due += tx.retention.due(merchant, before, told, _BATCH - len(due))
        return due


def months_before(now: datetime, months: int) -> datetime:
    """Go back by whole months; the last days of a month become its 28th."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    return now.replace(year=year, month=month + 1, day=min(now.day, 28))
