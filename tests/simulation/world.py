"""The world of one seed: the real checkout, outbox and deliverer over a real database, with everything else simulated.

What happens in it is :mod:`tests.simulation.cast`; here is how it is put together, where it may break, and what it leaves.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from gateway.acquirers.bookfile import Book
from gateway.acquirers.remote import RemoteAcquirer
from gateway.acquirers.simulator import Delays, Simulator
from gateway.channels.sealed import SealedChannel
from gateway.checkout import Checkout, Limiting, Situation
from gateway.core.errors import GatewayError, StoreBusy
from gateway.core.payment import PaymentResult
from gateway.delivering import Deliverer
from gateway.lanes import Means
from gateway.outbox import Outbox
from gateway.store import Pen, Store, Transaction
from tests.simulation.house import START, House
from tests.simulation.line import ADDRESS, Line
from tests.simulation.post import Post
from tests.simulation.stage import Killed, Stage, Troupe
from tests.support.evidence import Act, Evidence, Exchange, read_bank, read_moves, read_tables

T = TypeVar("T")

# For what is kept as a MAC: what a run leaves behind must not depend on the keys of the day.
_KEY = bytes(32)


class ShakyStore(Store):
    """The real store, with a place before and after each transaction where the world may interfere."""

    def __init__(self, world: "World") -> None:
        merchants = world.house.parts.checkout.desk.merchants
        payees = {merchant.id: merchant.payee for merchant in merchants.values()}
        super().__init__(world.house.engine, payees, Pen((_KEY,), world.now, world.draw))
        self._world = world

    @contextmanager
    def transaction(self, merchants: frozenset[str] = frozenset()) -> Iterator[Transaction]:
        """Run a writing transaction between two boundaries."""
        self._world.boundary(may_be_busy=True)
        with super().transaction(merchants) as tx, self._world.alone():
            yield tx
        self._world.commits += 1
        # The commit is done; that it was may be lost, like everything else said over a network.
        self._world.boundary(may_be_busy=True)

    @contextmanager
    def reading(self, merchants: frozenset[str] = frozenset()) -> Iterator[Transaction]:
        """Run a reading transaction after a boundary."""
        self._world.boundary()
        with super().reading(merchants) as tx, self._world.alone():
            yield tx

    @contextmanager
    def glance(self) -> Iterator[Transaction]:
        """Ask one question after a boundary; it may find the database away."""
        self._world.boundary(may_be_busy=True)
        with super().glance() as tx, self._world.alone():
            yield tx


@dataclass
class Weather:
    """How bad things are: each is drawn from the seed, and calm in the end.

    :ivar kills: how many boundaries of a thousand end the process that comes by
    :ivar busy: how many transactions of a thousand find the database away
    """

    line: float = 0.0
    post: float = 0.0
    kills: float = 0.0
    busy: float = 0.0

    @classmethod
    def drawn(cls, chance: random.Random) -> "Weather":
        """Draw some weather; every kind of trouble has days without it."""
        return cls(
            line=chance.choice((0, 5, 20, 45)),
            post=chance.choice((0, 10, 50)),
            kills=chance.choice((0, 3, 15)),
            busy=chance.choice((0, 0, 5)),
        )


@dataclass
class World:
    """One seed's world.

    :ivar given: weather to have in place of the seed's own
    :ivar jump: by how much every clock is wrong
    :ivar settled_seconds: how long after the last trouble nobody doubted an authorisation any more
    :ivar kill_in: after so many more boundaries somebody is killed for certain
    :ivar commits: how many transactions were committed so far
    """

    house: House
    seed: int
    history: list[Act] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    given: Weather | None = None
    jump: timedelta = timedelta()
    trace: Callable[[str], None] | None = None
    settled_seconds: float | None = None
    commits: int = 0
    kill_in: int | None = None
    is_alone: bool = False

    def __post_init__(self) -> None:
        """Put the parts together."""
        self.chance = random.Random(self.seed)  # noqa: S311 - replayed, not secret
        drawn = Weather.drawn(self.chance)
        self.weather = self.given or drawn
        self.stage = Stage(self.chance)
        self.book = self.house.clear()
        self.bank = Simulator(self.book, self.house.cards, now=self.now, delays=Delays(0, 0), draw=self.draw)
        self.line = Line(
            self.stage,
            self.bank,
            Book(self.book),
            self.now,
            self.chance,
            self.boundary,
            self.exchanges,
            self.weather.line,
        )
        parts = self.house.parts
        self.post = Post(self.stage, parts.dialects, self.chance, self.boundary, self.weather.post)
        self.store = ShakyStore(self)
        managers = {merchant.id: merchant.managers for merchant in parts.checkout.desk.merchants.values()}
        self.outbox = Outbox(dialects=parts.dialects, managers=managers)
        self.desk = replace(
            parts.checkout.desk,
            store=self.store,
            acquirer=RemoteAcquirer(ADDRESS, transport=self.line),
            outbox=self.outbox,
            now=self.now,
            chance=self.chance,
            code_key=_KEY,
            card_key=_KEY,
        )
        pace = Limiting(self.desk, self.stage.sleep, lambda: self.stage.elapsed)
        self.checkout = Checkout(self.desk, pace)

    def now(self) -> datetime:
        """Tell the time on every clock of this world."""
        return START + timedelta(seconds=self.stage.elapsed) + self.jump

    def draw(self, size: int) -> str:
        """Draw so many bytes, in hex."""
        return self.chance.randbytes(size).hex()

    def deliverer(self, process: str) -> Deliverer:
        """Make the deliverer of a worker that begins anew."""
        channels = {**self.post.channels(), "sms": SealedChannel(self.post.phone(), self.house.parts.seal)}
        means = Means(self.chance, lambda _number, _name: Troupe(self.stage, process))
        return Deliverer(self.store, channels, self.now, outbox=self.outbox, means=means)

    def boundary(self, *, may_be_busy: bool = False) -> None:
        """Let others get on here; the process may be killed, or find its database away."""
        assert not self.is_alone, "a transaction is open across a boundary"
        self.stage.pause()
        lot = self.chance.random() * 1000
        if self.kill_in is not None:
            self.kill_in -= 1
        if lot < self.weather.kills or self.kill_in == 0:
            self.kill_in = None
            self.note(f"{self.stage.current.name} is killed")
            self.stage.kill(self.stage.current.process)
            raise Killed
        if may_be_busy and lot > 1000 - self.weather.busy:
            raise StoreBusy("the database went away")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Mark the inside of a transaction, where nobody may call the world outside."""
        self.is_alone = True
        try:
            yield
        finally:
            self.is_alone = False

    def calm(self) -> None:
        """End all trouble."""
        self.weather = Weather()
        self.line.trouble = self.post.trouble = 0.0

    def ask(self, op: str, verb: Callable[[], T], **facts: str) -> T | None:
        """Have the current actor ask for something, and write down what it was told; ``None`` when nothing was."""
        actor, start = self.stage.current.name, self.stage.elapsed
        answer: T | None = None
        try:
            answer = verb()
            result, told = "ok", _facts(answer)
        except StoreBusy:
            result, told = "unknown", {}
        except GatewayError as error:
            result, told = "fail", {"code": error.code}
        except Killed:
            if self.stage.is_over:
                raise
            result, told = "unknown", {}
        self.history.append(Act(actor, op, round(start, 6), round(self.stage.elapsed, 6), result, {**facts, **told}))
        self.note(f"{actor}: {op} {result} {told}")
        return answer

    def note(self, line: str) -> None:
        """Tell whoever watches."""
        if self.trace is not None:
            self.trace(f"{self.stage.elapsed:10.3f}  {line}")

    def evidence(self) -> Evidence:
        """Gather what this world leaves behind."""
        entries, said = read_bank(self.book)
        return Evidence(
            tables=read_tables(self.house.engine),
            entries=entries,
            said=said,
            history=self.history,
            exchanges=self.exchanges,
            deliveries=self.post.deliveries,
            moves=read_moves(self.house.engine),
        )


def _facts(answer: object) -> dict[str, str]:
    if isinstance(answer, tuple):
        answer = answer[0]
    if isinstance(answer, Situation):
        answer = answer.result
    if isinstance(answer, PaymentResult):
        return {"payment": answer.id, "status": str(answer.status)}
    return {"told": str(answer)} if isinstance(answer, bool) else {}


def fingerprint(evidence: Evidence) -> str:
    """Hash everything a run left behind, but for the sealed bodies of short messages: sealing draws its own lots."""
    tables = {
        name: [{k: v for k, v in row.items() if not (row.get("channel") == "sms" and k == "body")} for row in rows]
        for name, rows in evidence.tables.items()
    }
    seen = asdict(replace(evidence, tables=tables))
    return hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).hexdigest()
