"""How card testing is starved: who counts as one caller and one card, and when a merchant is under attack.

Pure rules and names; the figures are settings, what was seen is counted in the database. A card is known by a keyed
digest only, whose key is drawn anew each day from one that is outside the database (PCI DSS 3.5.1.1).
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

# How long what was seen is kept; the longest rule looks back for a day.
KEPT = timedelta(hours=48)

SPELL = timedelta(minutes=10)  # what "at a time" means for addresses, merchants and ranges of cards
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# How long a range of cards is held for one merchant.
RANGE_HELD = timedelta(hours=1)
# Between two cards of one page, while its merchant is under attack.
SLOW_PAUSE = timedelta(seconds=20)

# Stands where the acquirer's token would: the bank is not asked about this card.
WITHHELD = "withheld"
# What such a card's refusal is called (ISO 8583 field 39: suspected fraud), so that every protocol has words for it.
WITHHELD_CODE, WITHHELD_FAMILY = "59", "fraud"

# Of an internet address of version 6, what one household or one rented server has.
_IPV6_HOUSE_BITS = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """How something is recognised without being known, across one midnight.

    :ivar today: its digest under today's key
    :ivar yesterday: its digest under yesterday's
    """

    today: bytes
    yesterday: bytes

    @classmethod
    def of(cls, digest: Callable[[bytes], bytes], master: bytes, now: datetime) -> "Identity":
        """Have ``digest`` computed under the keys of two days, which are drawn from ``master``."""
        return cls(digest(_day_key(master, now)), digest(_day_key(master, now - DAY)))


def _day_key(master: bytes, now: datetime) -> bytes:
    return hmac.digest(master, f"guichet card {now:%Y-%m-%d}".encode(), sha256)


def network_of(address: str) -> str:
    """Name the network a caller is counted under: its IPv4 address, or the 64 bits of an IPv6 one that a house is given.

    What is no address at all is one network too: nobody escapes the count by being unreadable.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        house = int(parsed) >> (128 - _IPV6_HOUSE_BITS) << (128 - _IPV6_HOUSE_BITS)
        return f"{IPv6Address(house)}/{_IPV6_HOUSE_BITS}"
    return str(parsed)


def is_over_share(refused: int, entered: int, *, at_least: int, percent: int) -> bool:
    """Say whether more than ``percent`` of enough cards were refused."""
    return entered >= at_least and refused * 100 > entered * percent


def is_range_tested(refused: int, entered: int, *, at_least: int, percent: int) -> bool:
    """Say whether ``percent`` or more of enough cards of one range were refused."""
    return entered >= at_least and refused * 100 >= entered * percent
