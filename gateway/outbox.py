"""Promises: what must be told to whom, written in the transaction of the fact and kept until it is done.

``gateway.delivering`` keeps them.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from gateway.channels.alarm_text import alarm_text
from gateway.core.payment import Event, PaymentResult
from gateway.dialects import Dialect
from gateway.store import Transaction
from gateway.store.endpoints import address_of

log = logging.getLogger(__name__)

# What a merchant may be told of; each dialect chooses. Of an opened page none tells, and each payment has one.
_NEWS = frozenset(
    {
        "payment.succeeded",
        "payment.remittance_planned",
        "payment.refused",
        "payment.cancelled",
        "payment.expired",
        "payment.refunded",
        "refund.requested",
        "refund.refused",
        "instalment.paid",
        "attempt.captured",
        "attempt.declined",
        "attempt.not_authenticated",
    }
)
_RECEIPTS = frozenset({"payment.succeeded", "payment.refunded"})


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be brought where, by which channel; ``body`` stays the same over all tries."""

    channel: str
    target: str
    body: bytes = b""


class Outbox:
    """The one table of things still to be told.

    :param managers: by merchant, who is mailed beside the payer
    :param wake: called after a promise is committed, so that a sleeping worker need not poll; may do nothing
    """

    def __init__(
        self,
        *,
        dialects: Mapping[str, Dialect],
        managers: Mapping[str, tuple[str, ...]],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._dialects, self._managers = dialects, managers
        self.wake = wake

    def announce(self, tx: Transaction, payment_id: int, event: Event, dialect: str) -> None:
        """Promise everybody concerned to be told of ``event``, in the transaction that made it true."""
        if event.type not in _NEWS:
            return
        result = tx.payments.tell(payment_id)
        mails = [
            _promise(payment_id, event, Parcel(channel, target)) for channel, target in self._receipts(result, event)
        ]
        self._keep(tx, [*mails, *self._confirmations(result, payment_id, event, dialect)])

    def _confirmations(
        self, result: PaymentResult, payment_id: int, event: Event, dialect: str
    ) -> list[dict[str, object]]:
        try:
            spoken = self._dialects[dialect]
            due_at, targets = spoken.due(result, event), _targets(spoken, result)
            body = spoken.confirmed(result, event) if due_at is not None and targets else b""
        except Exception:
            # Money that moved is written down whatever a dialect makes of it; a person must tell the merchant.
            log.exception("no words for a notice", extra={"payment": result.id, "notice": event.id})
            return []
        if due_at is None:
            return []
        return [_promise(payment_id, event, Parcel("confirmation", target, body), due_at) for target in targets]

    def _receipts(self, result: PaymentResult, event: Event) -> list[tuple[str, str]]:
        if event.type not in _RECEIPTS:
            return []
        payer = [("payer_mail", result.email)] if result.email else []
        # Each once: a second row of the same would be refused, and the money's own with it.
        managers = dict.fromkeys(self._managers.get(result.request.merchant, ()))
        return [*payer, *(("merchant_mail", manager) for manager in managers)]

    def retry_at(self, dialect: str, merchant: str, tries: int, now: datetime) -> datetime | None:
        """Say when a confirmation in ``dialect`` to ``merchant`` that failed ``tries`` times goes out again."""
        return self._dialects[dialect].retry_at(tries, now, merchant=merchant)

    def raise_alarm(self, tx: Transaction, row: Row[Any], reason: str) -> None:
        """Promise the merchant's managers to be told that a confirmation was given up; once per event."""
        # Taken, for two addresses of one event may be given up at once.
        result = tx.payments.result(tx.payments.take_by_id(row.payment_id))
        event = next(event for event in result.events if event.id == row.event_id)
        self.alarm(tx, row.payment_id, event, alarm_text(result, row.target, reason))

    def alarm(self, tx: Transaction, payment_id: int, event: Event, body: bytes) -> None:
        """Promise the merchant's managers to be told what needs a person, once per event; the first line is the subject."""
        for manager in self._managers.get(tx.payments.by_id(payment_id).merchant_id, ()):
            if not tx.notices.is_promised("alarm_mail", manager, event.id):
                self.promise(tx, payment_id, event, Parcel("alarm_mail", manager, body))

    def promise(self, tx: Transaction, payment_id: int, event: Event, parcel: Parcel) -> None:
        """Insert one notice, due at once, and wake a worker once it is durable."""
        self._keep(tx, [_promise(payment_id, event, parcel)])

    def _keep(self, tx: Transaction, promises: list[dict[str, object]]) -> None:
        if promises:
            tx.after_commit.add(self.wake)
            tx.notices.add_all(promises)


def _promise(payment_id: int, event: Event, parcel: Parcel, due_at: datetime | None = None) -> dict[str, object]:
    return {
        "payment_id": payment_id,
        "seq": event.seq,
        "event_id": event.id,
        "channel": parcel.channel,
        "target": parcel.target,
        "endpoint": address_of(parcel.target) if parcel.channel == "confirmation" else "",
        "body": parcel.body,
        "next_at": due_at or event.at,
        "created_at": event.at,
    }


def _targets(dialect: Dialect, result: PaymentResult) -> tuple[str, ...]:
    """List the addresses to be told, each once."""
    return tuple(filter(None, dict.fromkeys((dialect.target(result.recipient), *dialect.copies(result.recipient)))))
