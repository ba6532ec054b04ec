"""The way out to addresses that merchants gave: one parser, one look-up, and a connection to what was looked at.

The name is resolved once for each call, the call is refused if *any* of its addresses is special
(``gateway.core.ranges``), and the connection goes to one of those very addresses while TLS checks the name: an answer
that changes in between changes nothing. Redirects, proxies, ``.netrc`` and cookies are not followed or kept.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import create_connection

from gateway.core.errors import DeliveryFailed
from gateway.core.ranges import is_loopback, is_public
from gateway.dialects.addresses import Address, parse_address

# Seconds: to connect to one address, and between two bytes of the answer. The lease of a notice is far longer.
_TIMEOUT = (3.0, 12.0)
# The whole call, however slowly a receiver drips.
_TOTAL_SECONDS = 15.0
_PORTS = {"http": 80, "https": 443}
# Tried one after the other; a hostile name may have thousands.
_ADDRESSES_MAX = 4

# What a query may be written with: nothing that ends a line, a word or an address (RFC 3986 section 3.4).
_QUERY = re.compile(r"[!$-;=?-~]*", re.ASCII)

LookUp = Callable[[str, int], list[str]]


def look_up(host: str, port: int) -> list[str]:
    """Ask the system for every address of a host. Raises :class:`OSError`."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return [str(place[4][0]) for place in found]


class _UnderWay(threading.local):
    """The call this thread is making: where it may connect to, its connections, and what it asks for as it was signed."""

    addresses: tuple[str, ...] = ()
    connections: list[HTTPConnection]
    is_over: threading.Event
    written: str = ""


_under_way = _UnderWay()


class _Pinned(HTTPConnection):
    """Goes to one of the addresses that were checked, and asks for what was signed."""

    def _new_conn(self) -> socket.socket:
        """Connect as long as there is time.

        TLS is agreed upon within the time to connect as a whole: that is how Python's ``ssl`` reads a timeout.
        """
        failure: OSError = OSError("no address")
        for address in _under_way.addresses:
            if _under_way.is_over.is_set():
                failure = TimeoutError("no time left")
                break
            try:
                return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "the receiver does not answer") from failure
        raise NewConnectionError(self, "the receiver takes no connection") from failure

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Let the deadline find the socket, say nothing once it has passed, and respell no escape of the address."""
        _under_way.connections.append(self)
        if _under_way.is_over.is_set():
            raise TimeoutError("no time left")
        super().request(method, _under_way.written or url, *args, **options)


class _PinnedSecure(_Pinned, HTTPSConnection):
    """Does the same, and checks the name at that address."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Pinned


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _PinnedSecure


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the library's signature
        """See no redirect in any answer: even one that is not followed would have its body read whole."""
        return


class WayOut:
    """Calls merchants' addresses.

    :param allow_loopback: development only; otherwise this machine is refused like all private ranges
    :param trusted: the file of certificate authorities, where it is not the usual one
    """

    def __init__(self, *, allow_loopback: bool, find: LookUp = look_up, trusted: str = "") -> None:
        self._allow_loopback, self._find, self._trusted = allow_loopback, find, trusted
        self._local = threading.local()

    @contextmanager
    def call(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Make one call, once; its answer is to be read within the body, and within the whole call's time.

        Raises :class:`DeliveryFailed`, for good when ``url`` is none.
        """
        address, query = _parse(url)
        connections: list[HTTPConnection] = []
        is_over = threading.Event()
        deadline = threading.Timer(_TOTAL_SECONDS, _cut, (connections, is_over))
        deadline.daemon = True
        deadline.start()
        try:
            _under_way.addresses = self._addresses(address)
            _under_way.connections, _under_way.is_over = connections, is_over
            _under_way.written = f"{address.path}?{query}" if query else address.path
            # The usual port is not named: Host must say what everybody says.
            port = "" if address.port == _PORTS[address.scheme] else f":{address.port}"
            target = f"{address.scheme}://{address.host}{port}{_under_way.written}"
            with self._session().request(
                method, target, data=body, headers=dict(headers), stream=True, timeout=_TIMEOUT, allow_redirects=False
            ) as reply:
                yield reply
        except requests.RequestException as error:
            raise DeliveryFailed(type(error).__name__) from error
        finally:
            deadline.cancel()
        if is_over.is_set():
            raise DeliveryFailed("Timeout")

    def _addresses(self, address: Address) -> tuple[str, ...]:
        """Resolve a host, once. Raises :class:`DeliveryFailed` if any of its addresses may not be called."""
        try:
            found = tuple(dict.fromkeys(self._find(address.host, address.port)))
        except (OSError, UnicodeError) as error:
            raise DeliveryFailed("the host name does not resolve") from error
        if not found or not all(self._may_call(one) for one in found):
            raise DeliveryFailed("forbidden address: the host name leads to a special range")
        return found[:_ADDRESSES_MAX]

    def _may_call(self, address: str) -> bool:
        return is_public(address) or (self._allow_loopback and is_loopback(address))

    def _session(self) -> requests.Session:
        # Connections are kept alive per thread; requests' sessions are not made to be shared.
        if not hasattr(self._local, "session"):
            session = _Session()
            session.trust_env = False
            session.verify = self._trusted or True
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            for adapter in session.adapters.values():
                adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}  # type: ignore[attr-defined]  # of HTTPAdapter
            self._local.session = session
        kept: requests.Session = self._local.session
        return kept


def _parse(url: str) -> tuple[Address, str]:
    """Take an address apart, its query as it was signed. Raises :class:`DeliveryFailed`, for good."""
    place, _, query = url.partition("?")
    try:
        address = parse_address(place)
    except ValueError as error:
        raise DeliveryFailed("the merchant gave no usable address", again=False) from error
    if not _QUERY.fullmatch(query):
        raise DeliveryFailed("the merchant gave no usable address", again=False)
    return address, query


def _cut(connections: Iterable[HTTPConnection], is_over: threading.Event) -> None:
    """End a call that takes too long: a timeout bounds one read, not a receiver that drips."""
    is_over.set()
    for connection in connections:
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)
