"""A channel whose notices wait sealed: the outbox keeps a code's SMS unreadable, this opens it at the last moment."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gateway.channels import Channel, Letter
from gateway.core.challenge import CODE_LIFE
from gateway.core.errors import DeliveryFailed
from gateway.core.states import AttemptStatus


class Seal:
    """Seals and opens short texts.

    :param keys: oldest first; the newest seals, all open
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        fernets = [Fernet(urlsafe_b64encode(sha256(b"guichet seal" + key).digest())) for key in reversed(keys)]
        self._fernet = MultiFernet(fernets)

    def seal(self, plain: bytes) -> bytes:
        """Make ``plain`` unreadable to whoever has not the key."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """Undo :meth:`seal`. Raises :class:`DeliveryFailed`, for good, when no key opens it."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise DeliveryFailed("sealed with a key that is gone", again=False) from error


class SealedChannel:
    """Opens the body of each notice, if its code can still be used, then lets the real channel deliver it."""

    def __init__(self, inner: Channel[Letter], seal: Seal) -> None:
        self.name = inner.name
        self._inner, self._seal = inner, seal

    def deliver(self, notice: Letter, now: datetime) -> None:
        """Deliver the opened notice.

        Raises :class:`DeliveryFailed`, for good, when its code is worthless: a payer who types one loses a try.
        """
        if why := _why_worthless(notice, now):
            raise DeliveryFailed(why, again=False)
        self._inner.deliver(replace(notice, body=self._seal.open(notice.body)), now)


def _why_worthless(notice: Letter, now: datetime) -> str:
    event, result = notice.event, notice.result
    if now >= event.at + CODE_LIFE:
        return "the code has expired"
    if any(other.type == event.type and other.seq > event.seq for other in result.events):
        return "a newer code has replaced it"
    awaited = {attempt.id for attempt in result.attempts if attempt.status is AttemptStatus.AUTHENTICATING}
    return "" if event.facts["attempt"] in awaited else "nobody awaits the code any more"
