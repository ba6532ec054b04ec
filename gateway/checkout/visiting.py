"""Whose a live page is: the first browser that opens it, until the merchant sends its payer there anew.

Whoever else has the page's address, from a history or over a shoulder, can neither see nor act on a payment under way.
What is over is shown to whoever has the link, as a receipt is.
"""

from hashlib import sha256

from gateway.checkout.desk import Desk
from gateway.core.states import LIVE


class Visiting:
    """Keeps pages to their browsers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def admits(self, public_id: str, browser: str, *, stays: bool) -> bool:
        """Say whether a browser may see a page; a live page that has none becomes the page of one that stays.

        :param browser: what its cookie says, or is about to
        """
        with self._desk.store.reading() as tx:
            page = tx.limits.visited(public_id)
        if page.status not in LIVE:
            return True
        if page.browser is not None or not stays:
            return page.browser is None or bool(page.browser == _digest(browser))
        with self._desk.store.transaction() as tx:
            return tx.limits.hold_page(page.id, _digest(browser), self._desk.now())

    def release(self, public_id: str) -> None:
        """Give a page to whichever browser opens it next: its payer was sent there anew."""
        with self._desk.store.transaction() as tx:
            tx.limits.release_page(tx.payments.get(public_id).id)


def is_browser(holder: bytes | None, browser: str) -> bool:
    """Say whether a page that belongs to ``holder`` is this browser's, by what its cookie says."""
    return bool(browser) and holder == _digest(browser)


def _digest(browser: str) -> bytes:
    return sha256(browser.encode()).digest()
