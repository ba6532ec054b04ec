"""The confirmation: a signed POST to the merchant's own address, as its dialect words it.

Only addresses the merchant registered come here. The name is resolved once, the address checked against the special
ranges and connected to as checked; redirects and proxy variables are not followed. What the receiver answers is judged
by its status alone.
"""

import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import requests
from requests_hardened import Config, HTTPSession, Manager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gateway.channels import Notice
from gateway.core.errors import DeliveryFailed
from gateway.dialects import Dialect

# Seconds: to connect, and between two bytes of the answer. The lease of a notice is far longer.
_TIMEOUT = (3.0, 12.0)
# The whole delivery, however slowly a receiver drips.
_TOTAL_SECONDS = 15.0
_GONE = 410
_BODY_MAX = 16 * 1024


class _UnderWay(threading.local):
    """The connections of the delivery this thread is making."""

    connections: list[HTTPConnection]


_under_way = _UnderWay()


class _Connection(HTTPConnection):
    def request(self, *args: Any, **options: Any) -> None:
        """Let the deadline find the socket."""
        _under_way.connections.append(self)
        super().request(*args, **options)


class _SecureConnection(HTTPSConnection):
    def request(self, *args: Any, **options: Any) -> None:
        """Let the deadline find the socket."""
        _under_way.connections.append(self)
        super().request(*args, **options)


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

    def deliver(self, notice: Notice, now: datetime) -> None:
        """Post the notice once. Raises :class:`DeliveryFailed` for anything but a 2xx."""
        dialect = self._dialects[notice.result.dialect]
        call = dialect.delivery(notice.result, notice.id, notice.body, now)
        connections: list[HTTPConnection] = []
        _under_way.connections = connections
        is_over = threading.Event()
        deadline = threading.Timer(_TOTAL_SECONDS, _cut, (connections, is_over))
        deadline.daemon = True
        deadline.start()
        try:
            with self._session().request(
                call.method, notice.target, data=call.body, headers=dict(call.headers), stream=True
            ) as reply:
                self._judge(reply)
        except requests.RequestException as error:
            raise DeliveryFailed(type(error).__name__) from error
        finally:
            deadline.cancel()
        if is_over.is_set():
            raise DeliveryFailed("Timeout")

    @staticmethod
    def _judge(reply: requests.Response) -> None:
        if 200 <= reply.status_code < 300:
            # Read what little there is, so that the connection can be used again; never more.
            length = reply.headers.get("Content-Length", "")
            if length.isdigit() and int(length) <= _BODY_MAX:
                reply.content  # noqa: B018 - reading is the point
            return
        after = reply.headers.get("Retry-After", "")
        raise DeliveryFailed(
            f"HTTP {reply.status_code}",
            again=reply.status_code != _GONE,
            retry_after_seconds=int(after) if after.isdigit() and reply.status_code in (429, 503) else None,
        )


def _cut(connections: Iterable[HTTPConnection], is_over: threading.Event) -> None:
    """End a delivery that takes too long: a timeout bounds one read, not a receiver that drips."""
    is_over.set()
    for connection in connections:
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)
