"""The stage: actors that take turns in virtual time, one at a time, in an order the seed decides.

An actor is a thread that runs only while all others wait. Wherever it calls :meth:`Stage.pause` or :meth:`Stage.sleep` the
actor with the earliest wake-up goes on; that may be itself. Nothing here knows what is played.
"""

import heapq
import random
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from gateway.core.errors import GatewayError

P = ParamSpec("P")
T = TypeVar("T")


class Killed(BaseException):
    """The process of this actor was killed; nobody may catch it but whoever outlives the process."""


@dataclass
class Actor:
    """One thread of one process.

    :ivar process: actors of one process die together
    """

    name: str
    process: str
    turn: threading.Semaphore = field(default_factory=partial(threading.Semaphore, 0))
    is_doomed: bool = False


class Stage:
    """Who goes on next, and what time it is.

    :ivar elapsed: seconds since the play began; only sleeping makes it grow
    :ivar pauses: how often anybody might have been interrupted so far
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._queue: list[tuple[float, int, Actor]] = []
        self._director = Actor("director", "")
        self._serial = 0
        self._broken: BaseException | None = None
        self.current = self._director
        self.elapsed = 0.0
        self.pauses = 0
        self.is_brisk = False
        self.is_over = False

    def enter(self, name: str, task: Callable[[], object], process: str = "", after: float = 0.0) -> Actor:
        """Bring an actor on who begins ``after`` so many seconds."""
        actor = Actor(name, process)
        threading.Thread(target=self._act, args=(actor, task), name=name, daemon=True).start()
        self._queue_up(actor, after)
        return actor

    def play(self) -> None:
        """Let everybody act until nobody is left. Raises what an actor did not catch."""
        if self._queue:
            self._hand_over(self._director)
        if self._broken is not None:
            raise self._broken

    def sleep(self, seconds: float) -> None:
        """Wait, in virtual time. Raises :class:`Killed` when one's process was killed in the meantime."""
        me = self.current
        self._queue_up(me, seconds)
        self._hand_over(me)
        if self.is_over or me.is_doomed:
            me.is_doomed = False
            raise Killed

    def pause(self) -> None:
        """Come to a place where others may get on: mostly milliseconds, sometimes a long freeze, but not on a brisk stage."""
        self.pauses += 1
        lot = self._chance.random()
        if lot < 0.96 or self.is_brisk:
            self.sleep(lot * 0.02)
        else:
            self.sleep(self._chance.uniform(0, 3 if lot < 0.995 else 100))

    def kill(self, process: str) -> None:
        """Kill a process: its other actors are gone before their next turn."""
        for _, _, actor in self._queue:
            if actor.process == process and actor is not self.current:
                actor.is_doomed = True

    def close(self) -> None:
        """Send everybody home who is still there."""
        self.is_over = True
        while self._queue:
            self._hand_over(self._director)

    def _queue_up(self, actor: Actor, seconds: float) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (self.elapsed + seconds, self._serial, actor))

    def _hand_over(self, me: Actor) -> None:
        """Wake whoever is next and wait for one's own turn."""
        following = self._next()
        if following is not me:
            following.turn.release()
            me.turn.acquire()
        self.current = me

    def _next(self) -> Actor:
        if not self._queue:
            return self._director
        at, _, actor = heapq.heappop(self._queue)
        self.elapsed = max(self.elapsed, at)
        return actor

    def _act(self, actor: Actor, task: Callable[[], object]) -> None:
        actor.turn.acquire()
        self.current = actor
        try:
            if not (self.is_over or actor.is_doomed):
                task()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the director raises it
            self._broken = self._broken or error
            self.is_over = True
        (self._director if self.is_over else self._next()).turn.release()


class Troupe(Executor):
    """An executor whose workers are actors of one process."""

    def __init__(self, stage: Stage, process: str) -> None:
        self._stage, self._process = stage, process

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have an actor do it."""
        future: Future[T] = Future()

        def task() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except GatewayError as error:
                # A pool keeps what goes wrong to itself; what is no word of Guichet's own stops the play.
                future.set_exception(error)

        self._stage.enter(f"{self._process} delivery", task, self._process)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is kept."""
