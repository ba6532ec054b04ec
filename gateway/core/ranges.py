"""Which internet addresses are somebody's out there, and which are this machine, this network, or nobody's.

The table is our own, after the IANA special-purpose registries (RFC 6890 and its updates): the standard library's
``is_global`` and ``is_private`` differ from them, and between versions of Python.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_IPV4_SPECIAL = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local (RFC 3927), cloud metadata among it
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), broadcast among it
    )
)

# All unicast addresses given out so far (RFC 4291); the rest of IPv6 is special as a whole.
_IPV6_GIVEN = IPv6Network("2000::/3")
_IPV6_SPECIAL = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments (RFC 2928), Teredo (RFC 4380) among it
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4, deprecated (RFC 7526): it holds an IPv4 address and leads to a relay
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
# Hold an IPv4 address in their last four bytes and lead there; its rules are theirs.
_IPV4_WITHIN = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))  # mapped (RFC 4291), NAT64 (RFC 6052)

_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def is_public(address: str) -> bool:
    """Say whether an address is one that a merchant's server may have; what is no address is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    if parsed.scope_id is not None:
        return False
    if any(parsed in network for network in _IPV4_WITHIN):
        return _is_public_v4(_within(parsed))
    return parsed in _IPV6_GIVEN and not any(parsed in network for network in _IPV6_SPECIAL)


def is_loopback(address: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _LOOPBACK if network.version == parsed.version)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _IPV4_SPECIAL)


def _within(address: IPv6Address) -> IPv4Address:
    return IPv4Address(address.packed[-4:])
