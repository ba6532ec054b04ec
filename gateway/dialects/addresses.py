"""Web addresses merchants give: one strict parser, one comparison with the registered list.

Two parsers can disagree on the host of one text (RFC 3986 against what browsers do), so whatever either could read
differently is refused before it is compared.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

# RFC 3986 characters, less the fragment mark, and with every percent sign followed by two hex digits.
_TAIL = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*"
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[::1\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    rf"(?P<tail>(?:[/?]{_TAIL})?)",
    re.ASCII,
)

# A path that says "one up", plainly or in disguise, would climb out of a registered prefix; servers of servlets drop what
# follows a semicolon first.
_CLIMBS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?=/|;|%3b|$)|%2f|%5c|%00|//", re.ASCII | re.IGNORECASE)

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

URL_LENGTH_MAX = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """A web address in its parts; what is compared is what is called."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def is_loopback(self) -> bool:
        """Whether it names this machine."""
        return self.host in _LOOPBACK

    def allows(self, other: "Address") -> bool:
        """Say whether ``other`` is this address or lies below its path."""
        if (self.scheme, self.host, self.port) != (other.scheme, other.host, other.port):
            return False
        return other.path == self.path or other.path.startswith(self.path.rstrip("/") + "/")


def parse_address(text: str) -> Address:
    """Take an address apart.

    Raises :class:`ValueError`, whose text says the rule, for user-info, a fragment, a backslash, a control or non-ASCII
    character, an IP literal other than loopback, or a path that climbs.
    """
    match = _URL.fullmatch(text) if len(text) <= URL_LENGTH_MAX else None
    if not match:
        raise ValueError("write https://host/path in ASCII, host in lower case, no user, no fragment")
    port = int(match["port"] or (443 if match["scheme"] == "https" else 80))
    path, _, query = match["tail"].partition("?")
    if port > 65535 or ".." in match["host"] or (_is_ip(match["host"]) and match["host"] not in _LOOPBACK):
        raise ValueError("name a host, not an IP address, and a port up to 65535")
    if _CLIMBS.search(path):
        raise ValueError("write the path without dot segments, double slashes or encoded slashes")
    return Address(match["scheme"], match["host"], port, path or "/", query)


def _is_ip(host: str) -> bool:
    """Whether a host is an IP address, or one of the numeric spellings that resolvers take for one."""
    if re.fullmatch(r"(?:0x[0-9a-f]+|[0-9]+)", host.rsplit(".", 1)[-1], re.ASCII):
        return True
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
