"""The way out to addresses that merchants gave: one parser, one look-up, and a connection to what was looked at.

The name is resolved once for each call, the call is refused if *any* of its addresses is special
(``gateway.core.ranges``), and the connection goes to one of those very addresses while TLS checks the name: an answer
that changes in between changes nothing. Redirects, proxies, ``.netrc`` and cookies do not exist here: the plain sockets
of ``gateway.channels.wire`` know nothing of them.
"""

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gateway.channels.wire import Called, Lines, Reply, Unspoken
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


class WayOut:
    """Calls merchants' addresses.

    :param allow_loopback: development only; otherwise this machine is refused like all private ranges
    :param trusted: the file of certificate authorities, where it is not the usual one
    """

    def __init__(self, *, allow_loopback: bool, find: LookUp = look_up, trusted: str = "") -> None:
        self._allow_loopback, self._find, self._lines = allow_loopback, find, Lines(trusted)

    @contextmanager
    def call(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Iterator[Reply]:
        """Make one call, once; its answer is to be read within the body, and within the whole call's time.

        Raises :class:`DeliveryFailed`, for good when ``url`` is none.
        """
        address, query = _parse(url)
        patience = self._lines.patience(*_TIMEOUT, _TOTAL_SECONDS)
        # The usual port is not named: Host must say what everybody says.
        host = address.host if address.port == _PORTS[address.scheme] else f"{address.host}:{address.port}"
        # What a dialect signed is asked for as it is written, escapes and all.
        target = f"{address.path}?{query}" if query else address.path
        place = Called(address.scheme == "https", address.host.strip("[]"), address.port, self._addresses(address))
        try:
            with self._lines.speaking(place, patience) as line:
                yield line.ask(method, target, {"Host": host, **headers}, body)
        except Unspoken as error:
            raise DeliveryFailed(str(error)) from error

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
