"""Addresses Payline merchants give: checked when they come, extended when they are used."""

import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from gateway.core.payment import Mode
from gateway.dialects import House
from gateway.dialects.addresses import parse_address
from gateway.settings.merchant import Merchant

URL_LENGTH_MAX = 255

_PARTS = re.compile(r"(https?://[^/?#]+)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE | re.DOTALL)
_FRAGMENT = re.compile(r"(?:#(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*)?", re.ASCII)


def checked(url: str, allowed: Sequence[str], merchant: Merchant, house: House) -> str:
    """Give the address as it will be called.

    Harmless spellings are made regular: capitals in the host, letters beyond ASCII, and the square brackets PHP shops
    put into queries. It lies below one of ``allowed``; only a merchant in test mode may name any host, this very machine
    where the house allows it.

    Raises :class:`ValueError` for anything else.
    """
    match = _PARTS.fullmatch(url) if len(url) <= URL_LENGTH_MAX else None
    if not match:
        raise ValueError("no web address")
    site, path, query, fragment = (part or "" for part in match.groups())
    query = query.replace("[", "%5B").replace("]", "%5D")
    regular = site.lower() + _beyond_ascii(path) + _beyond_ascii(query)
    address = parse_address(regular)
    if not _FRAGMENT.fullmatch(_beyond_ascii(fragment)):
        raise ValueError("write the fragment in URL characters")
    if merchant.mode is not Mode.TEST:
        if not any(parse_address(prefix).allows(address) for prefix in allowed):
            raise ValueError("not below an address of the merchant's list")
    elif address.is_loopback and not house.loopback_allowed:
        raise ValueError("this server calls no address on its own machine")
    return regular + _beyond_ascii(fragment)


def extended(url: str, *pairs: tuple[str, str]) -> str:
    """Append parameters after those the address has, before its fragment."""
    base, mark, fragment = url.partition("#")
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return base + joint + urlencode(pairs) + mark + fragment


def _beyond_ascii(part: str) -> str:
    return "".join(quote(sign) if ord(sign) > 127 else sign for sign in part)
