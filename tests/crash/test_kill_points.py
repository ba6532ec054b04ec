"""A payment is killed at one write-type system call after another, goes on, and all books must agree.

The N-th write, send, flush, rename or unlink of one thread of the web, the worker or the bank becomes ``kill -9``, for
each kind of call from N = 1 until the journey passes untouched. A kill keeps what the kernel was given: what a power cut takes away
(``synchronous``, ``fsync``) is not seen here, and is asserted of the settings elsewhere.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.crash.ageing import settle
from tests.crash.checker import judge
from tests.crash.journey import Stubborn
from tests.crash.rig import ROLES, Rig
from tests.factories import CHALLENGE, SILENT_LOST
from tests.support import strace
from tests.support.figures import record
from tests.support.scale import IS_NIGHT

SEED = int(os.environ.get("TEST_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
SAMPLE = 10
EVERY_MIN = 300
# A silent bank that debited nothing, so that a sweep asks, reverses and lets the payer take another card.
LOST = (SILENT_LOST, CHALLENGE)
USUAL = (CHALLENGE,)
# The threads of each process, and what they are to be killed in.
THREADS = (
    ("web", "request", USUAL),
    ("web", "asking", USUAL),
    ("worker", "main", USUAL),
    ("worker", "codes", USUAL),
    ("worker", "confirmations", USUAL),
    ("worker", "mails", USUAL),
    ("worker", "sweep", USUAL),
    ("bank", "main", USUAL),
    ("worker", "sweep", LOST),
    ("bank", "main", LOST),
)

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(5400 if IS_NIGHT else 900)]


@dataclass(frozen=True)
class Point:
    """Where a journey is broken: at which write-type call of which thread."""

    role: str
    thread: str
    cards: tuple[str, ...]
    call: str
    when: int

    @property
    def reference(self) -> str:
        """Name the debt that is paid while it is broken."""
        journey = "LOST" if self.cards is LOST else "USUAL"
        return f"{journey}-{self.role}-{self.thread}-{self.call}-{self.when}".upper()


def test_a_payment_killed_at_any_system_call_is_neither_lost_nor_doubled(rig: Rig) -> None:
    kills, points = Counter[str](), 0
    for point in every_point(rig) if IS_NIGHT else sampled(rig):
        points += 1
        call, findings = break_at(rig, point)
        assert not findings, f"{point} (seed {SEED}), killed at {call or 'nothing'}: {findings}\n{rig.tail()}"
        kills[point.role] += bool(call)

    engine = rig.parts.store.engine.dialect.name
    record(f"killed at system calls, {engine}", points=points, violations=0, seed=SEED, **kills)
    assert set(kills) == set(ROLES) or not IS_NIGHT
    assert kills.total() >= (EVERY_MIN if IS_NIGHT else SAMPLE // 2), kills


def every_point(rig: Rig) -> Iterator[Point]:
    """Go through each thread's calls, kind by kind, until a journey passes untouched.

    Each night leaves out a third of them, by its seed: all would take twenty minutes of a hand on each engine.
    """
    for cards in (USUAL, LOST):
        for (role, thread), calls in traced(rig, cards).items():
            kinds = {strace.kind(call) for call in calls} if (role, thread, cards) in THREADS else set()
            for call in sorted(kinds):
                for when in range(1, 1000):
                    if (when + SEED) % 3 == 0:
                        continue
                    before = rig.role(role).pid
                    yield Point(role, thread, cards, call, when)
                    if rig.role(role).pid == before:
                        break


def sampled(rig: Rig) -> Iterator[Point]:
    """Take points evenly from those a journey is seen to have, beginning anywhere."""
    found = [
        point
        for cards in (USUAL, LOST)
        for (role, thread), calls in traced(rig, cards).items()
        if (role, thread, cards) in THREADS
        for point in points_of(role, thread, cards, calls)
    ]
    begin = random.Random(SEED).random()  # noqa: S311 - repeatable on purpose
    return iter([found[int((begin + number) * len(found) / SAMPLE)] for number in range(SAMPLE)])


def points_of(role: str, thread: str, cards: tuple[str, ...], calls: list[str]) -> list[Point]:
    """Turn the calls of a thread into points, in their order."""
    seen, points = Counter[str](), []
    for call in calls:
        seen[strace.kind(call)] += 1
        points.append(Point(role, thread, cards, strace.kind(call), seen[strace.kind(call)]))
    return points


def traced(rig: Rig, cards: tuple[str, ...]) -> dict[tuple[str, str], list[str]]:
    """List the write-type calls of an untouched journey, by thread; one before it does what is done but once."""
    names = {tid: (role, name) for role in ROLES for name, tid in rig.role(role).threads.items()}
    first, second = (Stubborn(rig, f"UNTOUCHED-{len(cards)}-{number}", cards) for number in range(2))
    first.pay()
    settle(rig, first.told.reference)
    with strace.watching(rig.pids()) as trace:
        assert second.pay() == "paid"
        settle(rig, second.told.reference)
        calls = trace.calls()
    assert judge(rig, second.told) == []
    return {names[tid]: lines for tid, lines in calls.items() if tid in names}


def break_at(rig: Rig, point: Point) -> tuple[str, list[str]]:
    """Pay while a point is broken; gives the call that was the last, empty when none was, and what the judge found."""
    victim = rig.role(point.role)
    payer = Stubborn(rig, point.reference, point.cards)
    with strace.killing(victim.threads[point.thread], point.call, point.when) as trace:
        payer.pay()
        settle(rig, payer.told.reference)
        call = trace.last_call() if trace.is_over else ""
    if call:
        rig.wait_for(point.role, other_than=victim.pid)
    # A mail that was handed over just before its sender died is handed over again.
    return call, judge(rig, payer.told, mails_max=2 if point.role == "worker" else 1)
