"""Where a ticket is made whole: drawn, with the code that proves it, and sealed where this server has a stamp."""

import logging
from collections.abc import Sequence
from datetime import UTC
from functools import lru_cache
from threading import Lock

from gateway.keys import Stamp, stamp_of
from gateway.links import Checked, Links
from gateway.receipts.content import Receipt
from gateway.receipts.sealing import can_seal, seal

log = logging.getLogger(__name__)

# Tickets kept ready in memory: some 30 kB each, a few seconds' worth of a busy worker. All of a merchant's managers are
# sent the same copy, and who opens a ticket often prints it. Not on disk: tickets name people, whom a store of its own
# would have to forget when the books do, to save ten milliseconds of drawing.
_KEPT = 16


class Press:
    """Makes tickets.

    :param links: makes the address at which whoever holds a ticket can check it; without it, tickets have no code
    :param stamps: what tickets are sealed with; none for plain tickets
    """

    def __init__(self, links: Links | None = None, stamps: Sequence[Stamp] = ()) -> None:
        self._links, self._stamps = links, stamps
        if stamps and not can_seal():
            log.warning("tickets are not sealed: there is a stamp, but pyhanko is not installed")
            self._stamps = ()
        self._made = lru_cache(_KEPT)(self._make)
        # Drawing is Python's work alone, so two drawn at once are done no sooner; one after the other, the second copy of a
        # payment finds what the first has made.
        self._turn = Lock()

    def check_url(self, receipt: Receipt) -> str:
        """Give the address at which a ticket can be checked, or nothing."""
        return self._links.check(signed_of(receipt)) if self._links else ""

    def ticket(self, receipt: Receipt, language: str) -> bytes:
        """Make the PDF ticket of a receipt; the same receipt gives the same bytes."""
        with self._turn:
            return self._made(receipt, language)

    def _make(self, receipt: Receipt, language: str) -> bytes:
        # fpdf2 takes most of a second to load; only a process that makes a ticket should pay for it.
        from gateway.receipts import pdf

        drawn = pdf.render(receipt, language, self.check_url(receipt))
        stamp = stamp_of(self._stamps, receipt.at)
        return seal(drawn, stamp, receipt.at) if stamp else drawn


def signed_of(receipt: Receipt) -> Checked:
    """Say what the code on a ticket vouches for."""
    day = f"{receipt.at.astimezone(UTC):%Y%m%d}"
    return Checked(receipt.payment, receipt.refund, receipt.amount, day, receipt.duplicate)
