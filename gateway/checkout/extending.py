"""The payer's time: how long a page lives, and how it is given more (WCAG 2.2, 2.2.1; RGAA 4.1, 13.1)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from gateway.checkout.desk import Desk
from gateway.core.errors import WrongStatus
from gateway.core.states import Status
from gateway.store.payments import PaymentRow

EXTENSIONS_MAX = 10
# What gives less is a second press, or comes a moment after the page: it costs none of the ten.
_WORTH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long a payer has.

    :ivar until: when the page ends
    :ivar seconds_left: until then, rounded up
    :ivar extensions_left: how often more time can still be asked for
    :ivar is_bounded: none can be, however often it was: the end is the bill's own, or the protocol's
    """

    until: datetime
    seconds_left: int
    extensions_left: int
    is_bounded: bool


class Extending:
    """Gives payers more time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def extend(self, public_id: str) -> None:
        """Give the payer the page's whole span again, from now; nothing happens when there is none to give.

        Raises :class:`WrongStatus` when the page's time is over, or it is not the payer's turn.
        """
        with self._desk.store.transaction() as tx:
            row, now = tx.payments.take(public_id), self._desk.now()
            if row.status != Status.OPENED or row.expires_at <= now or row.parent_id:
                raise WrongStatus("this page has no time of its own any more")
            until = bounded(now + timedelta(minutes=row.page_minutes), row.latest_at)
            if row.extensions >= EXTENSIONS_MAX or until < row.expires_at + _WORTH:
                return
            tx.payments.extend(row, until, now)
            number, end = str(row.extensions + 1), until.isoformat(timespec="seconds")
            self._desk.note(tx, row, "payment.extended", number=number, until=end)


def bounded(until: datetime, latest: datetime | None) -> datetime:
    """Cut a deadline at the moment that none may pass, if there is one."""
    return until if latest is None else min(until, latest)


def time_limit(row: PaymentRow, now: datetime) -> TimeLimit | None:
    """Say how long the payer of a payment has; ``None`` when time no longer runs against them."""
    if row.status not in (Status.CREATED, Status.OPENED) or row.parent_id:
        return None
    is_bounded = row.latest_at is not None and row.latest_at < row.expires_at + _WORTH
    return TimeLimit(
        until=row.expires_at,
        seconds_left=max(ceil((row.expires_at - now).total_seconds()), 0),
        extensions_left=0 if is_bounded else EXTENSIONS_MAX - row.extensions,
        is_bounded=is_bounded,
    )
