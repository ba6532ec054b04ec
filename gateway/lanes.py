"""The hands of a worker: pools of threads, kept apart so that one kind of notice never waits for another.

Threads and drawn lots come from here alone, so that a simulation can put its own in their place.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Row


@dataclass(frozen=True, slots=True)
class Means:
    """What deliveries are made with: drawn lots, and hands by number and name; a simulation gives its own."""

    chance: random.Random = field(default_factory=random.SystemRandom)
    pool: Callable[[int, str], Executor] = ThreadPoolExecutor


log = logging.getLogger(__name__)

MEANS = Means()

_SLOW_SECONDS = 1.0
_LANE_OF = {"sms": "codes", "confirmation": "confirmations"}


class Lane:
    """A pool of threads for one kind of notices, and what it is busy with.

    :param size: how many it does at once
    :param slow: so many more of those that last longer than a second, which give their place up: whoever waits for a deaf
        receiver keeps nobody else waiting
    """

    def __init__(self, name: str, size: int, pool: Callable[[int, str], Executor], slow: int = 0) -> None:
        self.name, self._size, self._slow = name, size, slow
        self.pool = pool(size + slow, name)
        self.busy: dict[Future[None], float] = {}

    def free(self) -> int:
        """Say how many more it can take."""
        self.busy = {future: began for future, began in self.busy.items() if not future.done()}
        long_ago = time.monotonic() - _SLOW_SECONDS
        slow = sum(began <= long_ago for began in self.busy.values())
        return max(self._size + min(slow, self._slow) - len(self.busy), 0)

    def submit(self, task: Callable[[], None], on_done: Callable[[], None]) -> None:
        """Have a thread do ``task``, then call ``on_done``."""
        future = self.pool.submit(task)
        self.busy[future] = time.monotonic()
        future.add_done_callback(_report)
        future.add_done_callback(lambda _: on_done())


def lane_of(channel: str) -> str:
    """Name the lane of a channel, as a claim does."""
    return _LANE_OF.get(channel, "mails")


def strands(rows: Iterable[Row[Any]], abreast: int) -> list[list[Row[Any]]]:
    """Part what was claimed into rows that one hand brings out one after the other: ``abreast`` of them for each place."""
    parted: list[list[Row[Any]]] = []
    for (channel, _), run in groupby(sorted(rows, key=_place), _place):
        notices = list(run)
        # Codes are each on their own: none waits for another.
        several = len(notices) if channel == "sms" else min(abreast, len(notices))
        parted += (notices[first::several] for first in range(several))
    return parted


def batches(strands: Iterable[list[Row[Any]]], size: int) -> Iterator[list[list[Row[Any]]]]:
    """Part strands into batches of about ``size`` rows."""
    batch: list[list[Row[Any]]] = []
    for strand in strands:
        batch.append(strand)
        if sum(map(len, batch)) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def _place(row: Row[Any]) -> tuple[str, str]:
    return row.channel, row.endpoint or row.target


def _report(future: Future[None]) -> None:
    """Say what a delivery died of; its notice goes out again when its lease is over."""
    if not future.cancelled() and (error := future.exception()):
        log.error("a delivery was not written down", extra={"reason": type(error).__name__})
