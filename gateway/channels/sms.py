"""One-time codes by SMS: the driver that writes to the test inbox, and the driver for a provider's HTTP API."""

import queue
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import requests

from gateway.channels import Notice
from gateway.channels.inbox import Inbox
from gateway.core.errors import DeliveryFailed


class InboxSms:
    """Puts messages into the test inbox instead of a telephone."""

    name = "sms"

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def deliver(self, notice: Notice, now: datetime) -> None:
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

# Answers that say the message itself is wrong: the same one will be refused again.
_FINAL_STATUSES = frozenset({400, 404, 405, 410, 413, 415, 422})

# A provider may ask to wait, but not for longer than this.
_RETRY_AFTER_SECONDS_MAX = 3600


class HttpSms:
    """Sends messages through a provider's HTTP API; any 2xx is success, redirects are refused."""

    name = "sms"

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def deliver(self, notice: Notice, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        """Hand the message to the provider, within its total time."""
        answer = _within(self._provider, _filled(self._provider.fields, notice))
        if 200 <= answer.status_code < 300:
            return
        raise DeliveryFailed(
            f"sms provider answered {answer.status_code}",
            again=answer.status_code not in _FINAL_STATUSES,
            retry_after_seconds=_retry_after(answer),
        )


def _within(provider: Provider, fields: Mapping[str, str]) -> requests.Response:
    """Post in a thread of its own: the client's timeouts bound single reads, not a provider that drips."""
    outcome: queue.Queue[requests.Response | requests.RequestException] = queue.Queue(1)

    def run() -> None:
        try:
            outcome.put(_post(provider, fields))
        except requests.RequestException as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = outcome.get(timeout=provider.total_seconds)
    except queue.Empty:
        raise DeliveryFailed("sms provider too slow") from None
    if isinstance(answer, requests.RequestException):
        raise DeliveryFailed(f"sms provider {type(answer).__name__}") from answer
    return answer


def _post(provider: Provider, fields: Mapping[str, str]) -> requests.Response:
    with requests.Session() as session:
        # Proxies and netrc of the environment are not the operator's settings.
        session.trust_env = False
        with session.post(
            provider.url,
            json=fields if provider.encoding is Encoding.JSON else None,
            data=fields if provider.encoding is Encoding.FORM else None,
            headers={"Authorization": f"Bearer {provider.token}"} if provider.token else {},
            timeout=(min(_CONNECT_SECONDS, provider.total_seconds), provider.total_seconds),
            allow_redirects=False,
            # Only the status counts; the body, of any size, is never read.
            stream=True,
        ) as answer:
            return answer


def _filled(fields: Mapping[str, str], notice: Notice) -> dict[str, str]:
    values = {"{to}": notice.target, "{text}": notice.body.decode(), "{id}": notice.id}
    return {
        name: re.sub(r"\{(?:to|text|id)\}", lambda match: values[match[0]], template)
        for name, template in fields.items()
    }


def _retry_after(answer: requests.Response) -> int | None:
    text = answer.headers.get("Retry-After", "")
    return min(int(text), _RETRY_AFTER_SECONDS_MAX) if text.isascii() and text.isdigit() else None
