"""One-time codes by SMS: the driver that writes to the test inbox, and the driver for a provider's HTTP API."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from urllib.parse import quote, unquote, urlencode, urlsplit

from gateway.channels import Letter
from gateway.channels.egress import LookUp, look_up
from gateway.channels.inbox import Inbox
from gateway.channels.wire import Called, Lines, Reply, Unspoken
from gateway.core.errors import DeliveryFailed


class InboxSms:
    """Puts messages into the test inbox instead of a telephone."""

    name = "sms"

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def deliver(self, notice: Letter, now: datetime) -> None:
        """Write the message down."""
        try:
            self._inbox.add_sms(notice.target, notice.body.decode(), notice.result.id, now)
        except OSError as error:
            raise DeliveryFailed(f"inbox {type(error).__name__}") from error


class Encoding(StrEnum):
    """How a provider wants its fields."""

    JSON = "json"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class Provider:
    """An SMS provider reached by HTTP.

    :ivar url: where to; a name and a password in it are sent as such (RFC 7617), instead of a token
    :ivar fields: what to send; ``{to}``, ``{text}`` and ``{id}`` in values are replaced (``id`` is the same over all tries)
    :ivar token: sent as a bearer token when there is one
    """

    url: str
    fields: Mapping[str, str]
    encoding: Encoding = Encoding.JSON
    token: str = field(default="", repr=False)
    total_seconds: float = 10.0


# A telephone that is waiting is not served by a slow connection.
_CONNECT_SECONDS = 3.0
# Only the status counts; so much is read that the connection can be used again, what is longer is cut off with it.
_BODY_MAX = 16 * 1024
# What stays as it is written in an address (RFC 3986 sections 2.2 and 2.1).
_KEPT = "!#$%&'()*+,/:;=?@[]~"

_PORTS = {"http": 80, "https": 443}
_TYPES = {Encoding.JSON: "application/json", Encoding.FORM: "application/x-www-form-urlencoded"}

# Answers that say the message itself is wrong: the same one will be refused again.
_FINAL_STATUSES = frozenset({400, 404, 405, 410, 413, 415, 422})

# A provider may ask to wait, but not for longer than this.
_RETRY_AFTER_SECONDS_MAX = 3600


class HttpSms:
    """Sends messages through a provider's HTTP API; any 2xx is success, redirects are refused.

    The way out is that of confirmations: a kept connection to an address that was just looked up, with no proxy, cookie or
    ``.netrc``. But the address is the operator's, so it may be one of this network.
    """

    name = "sms"

    def __init__(self, provider: Provider, find: LookUp = look_up) -> None:
        self._provider, self._find, self._lines = provider, find, Lines()

    def deliver(self, notice: Letter, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        """Hand the message to the provider, within its total time."""
        provider, post = self._provider, self._post
        total = provider.total_seconds
        patience = self._lines.patience(min(_CONNECT_SECONDS, total), total, total)
        try:
            called = Called(post.is_secure, post.host, post.port, tuple(self._find(post.host, post.port)))
            with self._lines.speaking(called, patience) as line:
                answer = line.ask("POST", post.target, post.headers, _written(provider, notice))
                with suppress(OSError, ValueError):
                    answer.read(_BODY_MAX)
        except (Unspoken, OSError) as error:
            word = str(error) if isinstance(error, Unspoken) else "name does not resolve"
            raise DeliveryFailed(f"sms provider {word}") from error
        if not 200 <= answer.status_code < 300:
            raise DeliveryFailed(
                f"sms provider answered {answer.status_code}",
                again=answer.status_code not in _FINAL_STATUSES,
                retry_after_seconds=_retry_after(answer),
            )

    @cached_property
    def _post(self) -> "_Post":
        return _Post.to(self._provider)


@dataclass(frozen=True, slots=True)
class _Post:
    """What is the same for all messages."""

    is_secure: bool
    host: str
    port: int
    target: str
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def to(cls, provider: Provider) -> "_Post":
        """Take the provider's address apart. Raises :class:`DeliveryFailed`, for good, when it is none."""
        try:
            parts = urlsplit(provider.url)
            usual, port = _PORTS[parts.scheme], parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except (KeyError, ValueError) as error:
            raise DeliveryFailed("sms provider has no usable address", again=False) from error
        if not host:
            raise DeliveryFailed("sms provider has no usable address", again=False)
        headers = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": _TYPES[provider.encoding]}
        if parts.username is not None:
            account = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            headers["Authorization"] = f"Basic {b64encode(account).decode()}"
        elif provider.token:
            headers["Authorization"] = f"Bearer {provider.token}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme == "https", host, port or usual, quote(target, safe=_KEPT), headers)


def _written(provider: Provider, notice: Letter) -> bytes:
    fields = _filled(provider.fields, notice)
    return (json.dumps(fields) if provider.encoding is Encoding.JSON else urlencode(fields)).encode()


def _filled(fields: Mapping[str, str], notice: Letter) -> dict[str, str]:
    values = {"{to}": notice.target, "{text}": notice.body.decode(), "{id}": notice.id}
    return {
        name: re.sub(r"\{(?:to|text|id)\}", lambda match: values[match[0]], template)
        for name, template in fields.items()
    }


def _retry_after(answer: Reply) -> int | None:
    wanted = answer.retry_after_seconds
    return None if wanted is None else min(wanted, _RETRY_AFTER_SECONDS_MAX)
