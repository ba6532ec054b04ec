"""Addresses that forms name: as wide as the guide ("up to 1024 characters"), less what is not safe to follow or to call.

Refused in every mode: other schemes than http and https, user names (they disguise the host, and would be kept and logged),
backslashes and control characters, hosts outside ASCII and numbers that only some resolvers take for an IP address: two
parsers would read two different hosts. What is *called* is stricter than where a payer's browser goes: the confirmation
channel connects to names, never to IP addresses but this machine's own where the server allows it, since a shop would else
reach the private network around this server; and it asks for no path that climbs or can be read in two ways. In production
both are strict, and below an address of the merchant book: a stolen key would else send payers and notifications anywhere.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlencode

from gateway.dialects import House
from gateway.dialects.addresses import URL_LENGTH_MAX, parse_address
from gateway.dialects.systempay.shops import Shop

# Underscores are not for host names (RFC 1123), but containers on a developer's machine are called so.
_NAME = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
_PLACE = re.compile(
    rf"(?P<origin>https?://(?P<host>\[[0-9a-f:.]+\]|{_NAME})(?::(?P<port>[1-9][0-9]{{0,4}}))?)(?P<tail>[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f\\]")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
# What RFC 3986 has room for in path and query; browsers percent-encode the rest before they ask, and so do we.
_PLAIN = "%/?:@!$&'()*+,;=~"
_NUMERIC = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A web address in its parts, percent-encoded.

    :ivar origin: scheme, host and port, in lower case
    :ivar tail: path and query, as they are asked for
    :ivar fragment: what only a browser sees, with its ``#``; empty when there is none
    """

    origin: str
    host: str
    tail: str
    fragment: str

    @property
    def called(self) -> str:
        """The address as a server calls it."""
        return self.origin + self.tail

    @property
    def shown(self) -> str:
        """The address as a browser goes to it."""
        return self.called + self.fragment

    def with_query(self, fields: Iterable[tuple[str, str]]) -> str:
        """Give the address with more fields in its query, which ends where the fragment begins."""
        joint = "" if self.called.endswith(("?", "&")) else "&" if "?" in self.tail else "?"
        return f"{self.called}{joint}{urlencode(list(fields))}{self.fragment}"


def parse_place(text: str) -> Place:
    """Take an address apart. Raises :class:`ValueError`, whose text says the rule."""
    match = _PLACE.fullmatch(text)
    if match is None or _UNREADABLE.search(text) or ".." in match["host"]:
        raise ValueError("write http://host/path or https://host/path, host in ASCII, no user, no backslash")
    tail, mark, fragment = (match["tail"] or "").partition("#")
    place = Place(match["origin"].lower(), match["host"].lower(), _encoded(tail), mark + _encoded(fragment))
    if not _is_ip(place.host) and (_NUMERIC.fullmatch(place.host) or place.host.startswith("[")):
        raise ValueError("write an IP address in full, or a name")
    if int(match["port"] or 80) > 65_535:
        raise ValueError("name a port up to 65535")
    if len(place.shown) > URL_LENGTH_MAX:
        raise ValueError(f"send at most {URL_LENGTH_MAX} characters once percent-encoded")
    return place


def address_fault(url: str, registered: Iterable[str], shop: Shop, house: House, *, is_called: bool = False) -> str:
    """Say why an address of a form cannot be used; empty when it can.

    :param registered: the merchant's own; what must be below one of them in production
    :param is_called: this server calls it; otherwise the payer's browser goes there
    """
    try:
        place = parse_place(url)
        if shop.is_test and not is_called:
            return ""
        address = parse_address(place.called)
    except ValueError as error:
        return str(error)
    if address.is_loopback:
        return "" if shop.is_test and house.loopback_allowed else "this machine cannot be called; name a public host"
    if shop.is_test:
        return ""
    if address.scheme != "https":
        return "use https"
    is_known = any(parse_address(prefix).allows(address) for prefix in registered if prefix)
    return "" if is_known else "have it registered in the merchant's list first"


def _encoded(text: str) -> str:
    return quote(_LONE_PERCENT.sub("%25", text), safe=_PLAIN)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
