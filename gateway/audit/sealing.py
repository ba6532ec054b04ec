"""The worker's part: link what was written to the chain, and anchor the chain now and then.

Any number of workers may do so; the place of a link is unique, so the slower of two finds its places taken and comes
again.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.audit.anchors import Anchors
from gateway.core.errors import StoreBusy, WrongStatus
from gateway.store import Store

log = logging.getLogger(__name__)

# What was written and not linked yet could be deleted unseen: this long.
_PAUSE_SECONDS = 1.0
_BATCH = 1000
# How many payments of before there was a log are written into it in one transaction.
_TAKEN_IN = 200


class Sealer:
    """Keeps the chain."""

    def __init__(self, store: Store, anchors: Anchors) -> None:
        self._store, self._anchors = store, anchors

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the chain beside whatever else is done, in a thread of its own, and bring it up to date at the end."""
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended,), name="seal")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _keep(self, ended: threading.Event) -> None:
        is_begun = False
        while True:
            is_last = ended.wait(_PAUSE_SECONDS)
            try:
                if not is_begun:
                    self.begin()
                    is_begun = True
                self.seal()
                if is_last:
                    self.anchor()
            except StoreBusy:
                log.warning("database busy; the audit chain waits")
            except Exception:
                log.exception("the audit chain was not kept")
            if is_last:
                return

    def begin(self) -> None:
        """Write the payments of before there was a log into it, once: what they say now is what they are held to.

        None that the log tells of already: who deletes the chain must not have payments taken for right as they then are.
        """
        with self._store.reading() as tx:
            if tx.audit.head()[0]:
                return
            told = tx.audit.told()
        after = 0
        while True:
            with self._store.transaction() as tx:
                taken = tx.audit.payments(after, _TAKEN_IN, is_taken=True)
                for payment_id in taken:
                    if payment_id not in told:
                        tx.audit.touch(payment_id, "payment.taken_in")
            if not taken:
                return
            after = taken[-1]

    def seal(self) -> int:
        """Link what has no link yet; returns how many rows that were."""
        count = 0
        while linked := self._seal_batch():
            count += linked
        if self._anchors.is_due():
            self.anchor()
        return count

    def anchor(self) -> None:
        """Write down outside the database how long the chain is; the log of the server keeps a copy."""
        with self._store.reading() as tx:
            n, mac = tx.audit.head()
        if n:
            self._anchors.drop(n, mac)
            log.info("audit chain anchored", extra={"count": n, "reference": mac})

    def _seal_batch(self) -> int:
        with self._store.reading() as tx:
            if not tx.audit.unsealed(1):
                return 0
        try:
            with self._store.transaction() as tx:
                rows = tx.audit.unsealed(_BATCH)
                tx.audit.seal(rows)
        except WrongStatus:
            # Another worker has just done it.
            return 0
        return len(rows)
