"""Whose a live page is: the first browser that opens it, until the merchant sends its payer there anew.

Whoever else has the page's address, from a history or over a shoulder, can neither see nor act on a payment under way.
What is over is shown to whoever has the link, as a receipt is.
"""

from hashlib import sha256

from gateway.checkout.desk import Desk
from gateway.checkout.paying import Paying
from gateway.checkout.situation import Situation, must_touch
from gateway.core.states import LIVE
from gateway.store.looks import Look


class Visiting:
    """Keeps pages to their browsers."""

    def __init__(self, desk: Desk, paying: Paying) -> None:
        self._desk, self._paying = desk, paying

    def admits(self, public_id: str, browser: str, *, stays: bool) -> Situation | None:
        """Show a browser where the payer stands; ``None`` when the page is live, and another's.

        A live page that is nobody's becomes the page of one that stays.

        :param browser: what its cookie says, or is about to
        """
        paying, mine = self._paying, _digest(browser)
        with self._desk.store.glance() as tx:
            row = tx.payments.look_first(public_id)
            is_live, holder = row.status in LIVE, row.browser
            if is_live and holder is not None and holder != mine:
                return None
            takes = is_live and holder is None and stays
            if not takes and not must_touch(row, self._desk.now()):
                return paying.situation(Look(row, tx.payments.result(row)))
        with self._desk.store.transaction() as tx:
            row = tx.payments.take(public_id)
            if takes and not tx.limits.hold_page(row.id, mine, self._desk.now()):
                return None
            paying.touch(tx, row)
            return paying.situation(tx.payments.look(public_id))

    def release(self, public_id: str) -> None:
        """Give a page to whichever browser opens it next: its payer was sent there anew."""
        with self._desk.store.transaction() as tx:
            tx.limits.release_page(tx.payments.get(public_id).id)


def is_browser(holder: bytes | None, browser: str) -> bool:
    """Say whether a page that belongs to ``holder`` is this browser's, by what its cookie says."""
    return bool(browser) and holder == _digest(browser)


def _digest(browser: str) -> bytes:
    return sha256(browser.encode()).digest()
