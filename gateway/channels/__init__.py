"""Contract of the channel socket: one way a notice leaves the gateway.

A channel is handed a notice and brings it out once, or says why it could not. It decides nothing about retries: the
outbox does, from what :class:`~gateway.core.errors.DeliveryFailed` says. Channels know no database.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from gateway.core.payment import Event, PaymentResult, Recipient


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell one receiver.

    :ivar id: the same over all tries
    :ivar target: a mail address, a telephone number (E.164) or a URL, as the channel wants
    :ivar is_repeat: it was delivered before, and a person asked for it once more
    :ivar by_hand: a person asked for it to be sent again, delivered before or not
    :ivar tries: which try this is; the first is 1
    :ivar body: bytes made once and kept over all tries, for the channels that have them (a confirmation, an SMS in UTF-8)
    """

    id: str
    channel: str
    target: str
    body: bytes = b""
    is_repeat: bool = False
    tries: int = 1
    by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation(Notice):
    """A notice for a merchant's server. Its body says it all: reading the payment anew would cost more than the call."""

    recipient: Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter(Notice):
    """A notice for people, worded when it leaves.

    :ivar result: the payment as it stands
    :ivar event: the fact that is told
    """

    result: PaymentResult
    event: Event


_NoticeT = TypeVar("_NoticeT", bound=Notice, contravariant=True)


class Channel(Protocol[_NoticeT]):
    """Delivers notices of one kind."""

    name: str

    def deliver(self, notice: _NoticeT, now: datetime) -> str | None:
        """Bring the notice out, once, and give the beginning of the receiver's answer where there is one.

        Raises :class:`~gateway.core.errors.DeliveryFailed`.
        """
        ...


# Of whichever kind: a worker holds them by their names.
AnyChannel = Channel[Any]

__all__ = ["AnyChannel", "Channel", "Confirmation", "Letter", "Notice"]
