"""What every measurement shares: rounds that take turns, ratios with their spread, and how noisy the machine was.

Absolute times on a shared machine drift by a factor of two between runs. So each goal is a ratio to a floor or a peer
that is measured in the same run, turn by turn, and the table says how far the turns lay apart.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.support.postgres import Breakable, fresh_database, start_breakable

# Of a turn: what we did, and what the floor did, in the same unit.
Turn = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    :ivar ratio: ours to the floor
    :ivar target: what the ratio, or our own figure, must reach, in words
    :ivar spread: the least and the greatest ratio of a turn
    :ivar noise: how far the machine's own speed varied around it, as a share
    """

    goal: str
    what: str
    unit: str
    floor: float
    ours: float
    ratio: float
    target: str
    met: bool
    spread: tuple[float, float]
    noise: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: the ratio to the floor, or where ``absolute`` our own figure, in the row's unit."""

    at_least: float | None = None
    at_most: float | None = None
    absolute: bool = False

    def is_met(self, ratio: float, ours: float) -> bool:
        """Say whether a result is good enough."""
        figure = ours if self.absolute else ratio
        return (self.at_least is None or figure >= self.at_least) and (self.at_most is None or figure <= self.at_most)

    def __str__(self) -> str:
        parts = [f">= {self.at_least:g}"] if self.at_least is not None else []
        parts += [f"<= {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(parts) + ("" if self.absolute else " x")


def row(goal: str, what: str, unit: str, turns: Sequence[Turn], target: Target, note: str = "") -> Row:  # noqa: PLR0913 - a line has these
    """Make a line of some turns, by medians: of ours, of the floor's, and of the turns' ratios."""
    ours, floor = (statistics.median(column) for column in zip(*turns, strict=True))
    ratios = [mine / least for mine, least in turns]
    ratio = statistics.median(ratios)
    spread = (min(ratios), max(ratios))
    return Row(goal, what, unit, floor, ours, ratio, str(target), target.is_met(ratio, ours), spread, note=note)


def take_turns(ours: Callable[[], float], floor: Callable[[], float], turns: int = 5) -> list[Turn]:
    """Measure both in turn, after one turn that only warms up; every other turn begins with the floor."""
    ours(), floor()
    measured: list[Turn] = []
    for number in range(turns):
        if number % 2:
            least = floor()
            measured.append((ours(), least))
        else:
            measured.append((ours(), floor()))
    return measured


def cpu_milliseconds(work: Callable[[], object], times: int) -> float:
    """Give the CPU time of this process that one call takes, in milliseconds."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def noise() -> list[float]:
    """Time one fixed piece of work again and again, in milliseconds: what varies is the machine."""

    def spin() -> float:
        began = time.perf_counter()
        sum(number * number for number in range(20_000))
        return (time.perf_counter() - began) * 1000

    return [spin() for _ in range(40)]


@dataclass
class Bench:
    """What a measurement is given.

    :ivar folder: for its files, removed afterwards
    """

    folder: Path
    _databases: list[str] = field(default_factory=list)

    @cached_property
    def _server(self) -> Breakable:
        return start_breakable()

    def postgresql(self) -> str:
        """Make an empty database on a server with every safety on; the server is started at first need."""
        self._databases.append(name := f"bench{len(self._databases)}")
        return fresh_database(self._server.server.url, name)

    def close(self) -> None:
        """Stop what was started."""
        if "_server" in self.__dict__:
            self._server.server.stop()
