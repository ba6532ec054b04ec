"""The confirmation: a call to the merchant's own address, as its dialect words it.

Only addresses the merchant registered come here. The name is resolved once, the address checked against the special
ranges and connected to as checked; redirects and proxy variables are not followed. What the receiver answers is judged
by the dialect, from its status and the beginning of its body.
"""

import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests_hardened import Config, HTTPSession, Manager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from gateway.channels import Notice
from gateway.core.errors import DeliveryFailed
from gateway.dialects import Dialect, Try

# Seconds: to connect, and between two bytes of the answer. The lease of a notice is far longer.
_TIMEOUT = (3.0, 12.0)
# The whole delivery, however slowly a receiver drips.
_TOTAL_SECONDS = 15.0
_BODY_MAX = 16 * 1024
# Characters kept of an answer, for whoever asks what the merchant said.
REPLY_MAX = 500


class _UnderWay(threading.local):
    """The delivery this thread is making: its connections, and path and query exactly as they were signed."""

    connections: list[HTTPConnection]
    written: str = ""


_under_way = _UnderWay()


class _Connection(HTTPConnection):
    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Let the deadline find the socket, and ask for the address as written: libraries above respell escapes."""
        _under_way.connections.append(self)
        super().request(method, _under_way.written or url, *args, **options)


class _SecureConnection(HTTPSConnection):
    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Let the deadline find the socket, and ask for the address as written: libraries above respell escapes."""
        _under_way.connections.append(self)
        super().request(method, _under_way.written or url, *args, **options)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class ConfirmationChannel:
    """Posts notices to merchants.

    :param allow_loopback: development only; otherwise this machine and all private ranges are refused
    """

    name = "confirmation"

    def __init__(self, dialects: Mapping[str, Dialect], *, allow_loopback: bool) -> None:
        self._dialects = dialects
        self._manager = Manager(
            Config(
                ip_filter_enable=True,
                ip_filter_allow_loopback_ips=allow_loopback,
                never_redirect=True,
                default_timeout=_TIMEOUT,
            )
        )
        self._local = threading.local()

    def _session(self) -> HTTPSession:
        # Connections are kept alive per thread; requests' sessions are not made to be shared.
        if not hasattr(self._local, "session"):
            session = self._manager.get_session()
            session.trust_env = False
            for adapter in session.adapters.values():
                adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
            self._local.session = session
        kept: HTTPSession = self._local.session
        return kept

    def deliver(self, notice: Notice, now: datetime) -> str:
        """Make the call once. Raises :class:`DeliveryFailed` unless the answer means "I have it"."""
        dialect = self._dialects[notice.result.dialect]
        call = dialect.delivery(notice.result, Try(notice.id, notice.body, notice.tries, now, notice.by_hand))
        connections: list[HTTPConnection] = []
        _under_way.connections = connections
        written = urlsplit(call.url or notice.target)
        _under_way.written = (written.path or "/") + (f"?{written.query}" if written.query else "")
        is_over = threading.Event()
        deadline = threading.Timer(_TOTAL_SECONDS, _cut, (connections, is_over))
        deadline.daemon = True
        deadline.start()
        try:
            with self._session().request(
                call.method, call.url or notice.target, data=call.body, headers=dict(call.headers), stream=True
            ) as reply:
                said = _judge(reply, dialect)
        except requests.RequestException as error:
            raise DeliveryFailed(type(error).__name__) from error
        finally:
            deadline.cancel()
        if is_over.is_set():
            raise DeliveryFailed("Timeout")
        return said


def _judge(reply: requests.Response, dialect: Dialect) -> str:
    """Give the beginning of an answer that means "I have it"."""
    # Little is read, so that the connection can be used again; what is longer is cut off with it.
    try:
        body = reply.raw.read(_BODY_MAX, decode_content=True) or b""
    except HTTPError:
        # Broken or badly packed: where the status says it all, it has been said.
        body = b""
    said = body.decode("utf-8", "replace").replace("\0", "")[:REPLY_MAX]
    if dialect.received(reply.status_code, body):
        return said
    after = reply.headers.get("Retry-After", "")
    raise DeliveryFailed(
        f"HTTP {reply.status_code}",
        retry_after_seconds=int(after) if after.isdigit() and reply.status_code in (429, 503) else None,
        reply=said,
    )


def _cut(connections: Iterable[HTTPConnection], is_over: threading.Event) -> None:
    """End a delivery that takes too long: a timeout bounds one read, not a receiver that drips."""
    is_over.set()
    for connection in connections:
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)
