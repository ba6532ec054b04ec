"""Writes down the acts that change no payment: who read one, who was refused, what was made, started or stopped."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from gateway.core.errors import StoreBusy
from gateway.store import Store

log = logging.getLogger(__name__)

# Anybody can be refused, as often as they like: so many rows in so long a time, from each process; the rest are counted.
_REFUSALS_MAX = 50
_SPAN = timedelta(seconds=10)


class Auditor:
    """The log's front door for whoever has no transaction of their own."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._lock = threading.Lock()
        self._since, self._written, self._withheld = now(), 0, 0

    def record(self, what: str, about: str = "", *, result: str = "done", **facts: object) -> None:
        """Write one row. A database that is busy is no reason to keep an answer back; that too is logged."""
        try:
            with self._store.transaction() as tx:
                tx.audit.add(what, about, result=result, facts=facts)
        except StoreBusy:
            log.error("an act could not be written down", extra={"code": what, "reference": about})

    def refused(self, about: str, code: str) -> None:
        """Write down that a request or a credential was refused, and how many others were since the last row."""
        with self._lock:
            if self._now() - self._since >= _SPAN:
                self._since, self._written = self._now(), 0
            if self._written >= _REFUSALS_MAX:
                self._withheld += 1
                return
            self._written += 1
            withheld, self._withheld = self._withheld, 0
        self.record("request.refused", about, result=code, **({"others": withheld} if withheld else {}))
