"""What the service says of an operation, and when.

Guide, 2.3 and 3.5.2: fifteen minutes to open the page; an operation that was never brought to the card page is purged
in the following night; any other is readable for a year.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.core.payment import PaymentResult
from gateway.core.states import MONEY, Status
from gateway.dialects.treasury import Anomaly, last_night

OPENING = timedelta(minutes=15)
READABLE = timedelta(days=365)

# When a client is told of an operation that nothing was concluded of.
FALLBACK = timedelta(hours=2)

_LETTERS = {Status.PAID: "P", Status.FAILED: "R", Status.CANCELLED: "A", Status.EXPIRED: "A"}


def was_opened(result: PaymentResult) -> bool:
    """Say whether the payer ever saw the page; nobody is told the outcome of what was never begun."""
    if result.status in (Status.OPENED, Status.WORKING, Status.PAID, Status.FAILED):
        return True
    return any(event.type == "payment.opened" for event in result.events)


def letter(result: PaymentResult) -> str:
    """Give ``resultrans``: P, R or A; empty while nothing was concluded."""
    return _LETTERS.get(result.status, "") if was_opened(result) else ""


def check_known(result: PaymentResult, now: datetime, zone: ZoneInfo) -> None:
    """Raise :class:`Anomaly` P1 for what the night or the year has purged."""
    forgotten = not was_opened(result) and result.created_at + OPENING <= last_night(now, zone)
    if forgotten or result.created_at + READABLE < now:
        raise Anomaly("P1", "this idOp was purged", result.request.merchant)


def check_openable(result: PaymentResult, now: datetime) -> None:
    """Raise :class:`Anomaly` P3 for an operation that is over, P4 for one whose page was not opened in time."""
    merchant = result.request.merchant
    if not result.is_live:
        # One that was given back whole is owed again.
        is_held = any(attempt.status in MONEY for attempt in result.attempts)
        paid = result.id if result.status is Status.PAID and is_held else ""
        raise Anomaly("P3", "this idOp is used up; ask for a new one for each try", merchant, paid=paid)
    if result.status is Status.CREATED and now > result.created_at + OPENING:
        raise Anomaly("P4", "this idOp was to be opened within 15 minutes; ask for a new one", merchant)
