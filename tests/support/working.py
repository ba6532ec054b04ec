"""A worker's whole life beside a test, in a thread of its process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.channels import AnyChannel
from gateway.checkout import Checkout
from gateway.delivering import Deliverer
from gateway.parts import Parts
from gateway.store.wake import Bell
from gateway.worker import Worker

CHANNELS = ("confirmation", "payer_mail", "merchant_mail", "alarm_mail", "sms")


@contextmanager
def working(parts: Parts, channel: AnyChannel, checkout: Checkout | None = None) -> Iterator[None]:
    """Run a worker that delivers everything by ``channel``; it is stopped as an operator stops it."""
    bell = Bell(parts.store.engine, parts.settings.var / "wake")
    channels = dict.fromkeys(CHANNELS, channel)
    deliverer = Deliverer(parts.store, channels, parts.now, outbox=parts.outbox, on_done=bell.ring)
    worker = Worker(parts.store, checkout or parts.checkout, deliverer, bell, parts.now)
    # Signals belong to the main thread; the worker's own handler is called in their place.
    thread = threading.Thread(target=worker.work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(60)
        assert not thread.is_alive()
