"""Notifications of both variants: an unsigned form sent by POST, and tried again for some days.

What the form says is each variant's own; how it travels is the same.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Generic, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from gateway import __version__
from gateway.core.errors import DeliveryFailed, NotFound
from gateway.core.payment import PaymentResult, Recipient
from gateway.dialects import Find, House, HttpCall, HttpReply, Try
from gateway.dialects.addresses import parse_address
from gateway.dialects.schedule import after
from gateway.dialects.treasury.anomalies import Anomalies
from gateway.dialects.treasury.clients import Clients, Terms

FORM = "application/x-www-form-urlencoded"

# Seconds after each failed try. No public source tells the real service's schedule; its guide speaks of "at once",
# "two hours later" and "the night batch".
PAUSES = (60, 5 * 60, 30 * 60, 2 * 3600)
NIGHTS = 5

# When the night batch runs and forgotten operations are purged, by the treasury's clock. Three o'clock is in every day,
# on the days of the change of time as well.
NIGHT = time(3)

# What became of a payment, in the letters that every client knows; V and Z belong to direct debits alone.
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "payment.succeeded": "P",
        "payment.refused": "R",
        "payment.cancelled": "A",
        "payment.expired": "A",
    }
)

# A page that is open keeps its debt; one on which a card was refused gives it up to whoever asks anew.
SPARED = frozenset({"card", "challenge", "review"})

T = TypeVar("T", bound=Terms)


class Notifying(Generic[T]):
    """The part of a dialect that tells a client's server how a payment ended.

    The form carries no signature: these protocols have none, and clients compare its names exactly. Headers beside it
    prove it to whoever holds the merchant's native keys, and tell the time with its zone.
    """

    body_max = 16 * 1024
    popup = True
    weaknesses: tuple[str, ...] = (
        "requests are not signed: whoever knows the numcli can open a payment, of any amount where there is no ledger",
        "notifications are signed in headers alone, which few clients of these protocols check: compare the amount",
    )

    def __init__(self, clients: Clients[T], house: House) -> None:
        self._clients, self._house = clients, house
        self._anomalies = Anomalies()

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:  # noqa: ARG002
        """Refuse: neither variant lists payments."""
        raise NotFound("this protocol lists no payments")

    def target(self, to: Recipient) -> str:
        """Give the address of the request, or the book's when the request gave none."""
        client = self._clients.of(to.merchant)
        return to.notify_url or (client.merchant.notify_url if client else "")

    def copies(self, to: Recipient) -> tuple[str, ...]:  # noqa: ARG002
        """Tell nobody else."""
        return ()

    def delivery(self, to: Recipient, this: Try) -> HttpCall:
        """Post the form, in the body or the query as the client's terms say.

        Raises :class:`DeliveryFailed`, for good, when there is no usable address.
        """
        client = self._clients.of(to.merchant)
        place = client.terms.notify if client else "body"
        url = self.target(to)
        # The client's own address is held to the rules for addresses; what is told behind it may be longer than they allow.
        try:
            address = parse_address(url)
        except ValueError as error:
            raise DeliveryFailed("the client gave no usable address", again=False) from error
        if place != "body":
            url = joined(url, this.body.decode("ascii"))
        headers = {"content-type": FORM, "user-agent": f"Guichet/{__version__}"}
        headers |= self._house.sign(to.merchant, this)
        body = b"" if place == "query" else this.body
        return HttpCall("POST", address.path, url.partition("?")[2], headers, body, url)

    def received(self, status: int, body: bytes) -> bool:  # noqa: ARG002 - bodies range from nothing to a sentence
        """Take any 2xx and 3xx for a receipt: several portals answer with a redirection to a page for people."""
        return 200 <= status < 400

    def retry_at(self, tries: int, now: datetime, *, merchant: str = "") -> datetime | None:  # noqa: ARG002
        """Give the next try: 1, 5 and 30 minutes and 2 hours later, then five nights, then none."""
        if tries > len(PAUSES) + NIGHTS:
            return None
        return after(PAUSES, tries, now) or next_night(now, self._house.zone)


def form(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Write a form, its names and values in UTF-8."""
    return urlencode(pairs).encode("ascii")


def joined(url: str, query: str) -> str:
    """Add parameters to an address that may have some already."""
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return url + joint + query


def next_night(now: datetime, zone: ZoneInfo) -> datetime:
    """Say when the next night batch runs."""
    return last_night(now, zone, days=1)


def last_night(now: datetime, zone: ZoneInfo, days: int = 0) -> datetime:
    """Say when the latest night batch ran, or the one so many days later."""
    local = now.astimezone(zone)
    day = local.date() if local.time() >= NIGHT else local.date() - timedelta(days=1)
    return datetime.combine(day + timedelta(days=days), NIGHT, zone).astimezone(now.tzinfo)


def local_date(at: datetime, zone: ZoneInfo) -> str:
    """Write ``dattrans``: the day on the treasury's calendar, ``DDMMYYYY``."""
    return at.astimezone(zone).strftime("%d%m%Y")


def local_time(at: datetime, zone: ZoneInfo) -> str:
    """Write ``heurtrans``: the time on the treasury's clock, ``HHMM``."""
    return at.astimezone(zone).strftime("%H%M")
