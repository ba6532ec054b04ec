"""The worker: carries notices out as soon as they are due, and sweeps every few seconds.

It is two processes: one brings out codes and confirmations, the back office does the rest. Whoever waits for a code must not
wait for the interpreter while it draws tickets or sweeps. Any number may run, on any number of machines: leases and
compare-and-set keep them out of each other's way.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from types import FrameType

from gateway.checkout import Checkout
from gateway.core.errors import StoreBusy
from gateway.delivering import Deliverer
from gateway.store import Store
from gateway.store.wake import Bell

log = logging.getLogger(__name__)

_SWEEP_EVERY = timedelta(seconds=5)
# How long a worker sleeps when nobody calls: well under the promised second.
_NAP_SECONDS = 0.5
# As much of a worker's name as a heartbeat has room for.
_NAME_MAX = 64
# How long a thread that computes keeps others from running.
_SWITCH_SECONDS = 0.0005


class Worker:
    """One process of a worker.

    :param checkout: what it sweeps every few seconds; none where another process does
    """

    def __init__(
        self, store: Store, checkout: Checkout | None, deliverer: Deliverer, bell: Bell, now: Callable[[], datetime]
    ) -> None:
        self._store, self._checkout, self._deliverer, self._bell, self._now = store, checkout, deliverer, bell, now
        # The end of a long name is what tells one host of a cluster from another.
        self._name = f"{socket.gethostname()}:{os.getpid()}"[-_NAME_MAX:]
        self._stopping = False
        self._beaten_at = datetime.min.replace(tzinfo=now().tzinfo)
        # Beside the deliveries: a sweep may wait for a bank, a code may not.
        self._sweeper = ThreadPoolExecutor(1, "sweep")
        self._sweeping: Future[None] | None = None

    def run(self) -> None:
        """Work until told to stop (SIGTERM, SIGINT), then finish what is under way."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        # A confirmation is a dozen short steps between waits; while the next are claimed and read beside it, each of them
        # would wait five milliseconds for the interpreter, which is Python's own choice.
        sys.setswitchinterval(_SWITCH_SECONDS)
        self.work()

    def work(self) -> None:
        """Work until :meth:`stop` is called."""
        log.info("worker started", extra={"program": self._name})
        while not self._stopping:
            self._turn()
        self._deliverer.close()
        self._sweeper.shutdown(cancel_futures=True)
        self._bell.close()

    def stop(self) -> None:
        """Finish what is under way and take nothing new."""
        self._stopping = True
        self._bell.ring()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()

    def _turn(self) -> None:
        """Deliver what is due, have the rest swept when it is time, sleep until there is more.

        What a claim had no room for becomes claimable when a delivery ends, and that rings.
        """
        try:
            self._deliverer.deliver_due()
            # A clock that was set back is not waited for: until it came by again, nobody would sweep.
            if not timedelta() <= self._now() - self._beaten_at < _SWEEP_EVERY:
                self._beat()
        except StoreBusy:
            log.warning("database busy; the worker waits")
        self._bell.wait(_NAP_SECONDS)

    def _beat(self) -> None:
        """Say that this worker is alive, and sweep unless the last sweep still waits for a bank."""
        is_first, self._beaten_at = self._beaten_at.year == 1, self._now()
        # A server is ready while somebody brings out codes: nobody can pay without.
        if self._deliverer.brings("codes"):
            with self._store.transaction() as tx:
                tx.notices.beat(self._name, self._beaten_at)
                if is_first:
                    tx.endpoints.forget(self._beaten_at)
        if self._checkout and (self._sweeping is None or self._sweeping.done()):
            self._sweeping = self._sweeper.submit(_sweep, self._checkout)


def _sweep(checkout: Checkout) -> None:
    try:
        checkout.sweep()
    except StoreBusy:
        log.warning("database busy; swept again later")
    except Exception:
        log.exception("sweep broke")
