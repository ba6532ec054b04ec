"""The line between Guichet and its bank: real messages, real reading and writing at both ends, a bad network between.

What Guichet was clearly told is written down here, so that a judge can ask what an outcome rests on.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http import HTTPStatus

import requests

from gateway.acquirers import Acquirer, Answer, Outcome, remote, server
from gateway.acquirers.book import Message
from gateway.acquirers.bookfile import Book
from gateway.acquirers.remote import Said
from gateway.core.money import Money
from tests.simulation.stage import Stage
from tests.support.evidence import Exchange

ADDRESS = "https://bank.example"
# The longest the client waits (its own deadline, which no virtual clock reaches).
_PATIENCE = 25.0
# After this long even a message stuck in the network has come through.
_LATE_MAX = 200.0

Fields = dict[str, object]


def _changed(**changes: object) -> Callable[[bytes], tuple[int, bytes]]:
    return lambda body: (200, json.dumps({**json.loads(body), **changes}).encode())


def _scaled(body: bytes) -> tuple[int, bytes]:
    fields: Fields = json.loads(body)
    return 200, json.dumps({**fields, "amount_cents": int(str(fields["amount_cents"])) // 2}).encode()


# What a network, a proxy or a confused bank may make of a good answer: nothing of it is one.
SPOILT: tuple[Callable[[bytes], tuple[int, bytes]], ...] = (
    _changed(op_id="op_of_somebody_else"),
    _changed(amount_cents=1),
    _changed(currency="USD"),
    _changed(outcome="pending"),
    _changed(outcome="approved", response_code="51"),
    _changed(outcome="declined", response_code="00"),
    _changed(outcome="declined", response_code=""),
    _scaled,
    lambda body: (200, body[:-9]),
    lambda body: (200, body[:-1] + b',"outcome":"approved"}'),
    lambda _: (200, b"<html>Please log in</html>"),
    lambda _: (200, b""),
    lambda body: (500, body),
    lambda body: (202, body),
    lambda _: (302, b""),
    lambda _: (502, b"Bad Gateway"),
)


@dataclass
class Line:
    """A transport for the remote acquirer.

    :ivar book: the bank's own, for what it decides by itself
    :ivar boundary: a place where the caller's process may be interrupted, or killed
    :ivar trouble: how many messages of a hundred meet it; changed while the play goes on
    :ivar script: what becomes of the next messages, before chance is asked: ``lost``, ``unheard`` and so on
    """

    stage: Stage
    bank: Acquirer
    book: Book
    now: Callable[[], datetime]
    chance: random.Random
    boundary: Callable[[], None]
    exchanges: list[Exchange]
    trouble: float = 0.0
    script: list[str] = field(default_factory=list)

    def __call__(self, url: str, body: bytes) -> Said:
        """Carry one message there and its answer back."""
        self.boundary()
        asked, path = json.loads(body), url.removeprefix(ADDRESS)
        verb, op_id = path[1:], str(asked.get("op_id", ""))
        outcome = ""
        try:
            said, is_clear = self._carry(path, body)
            outcome = str(json.loads(said.body).get("outcome", "")) if is_clear and said.status == 200 else ""
        finally:
            # Written before the caller can act on it.
            self.exchanges.append(Exchange(op_id, verb, outcome))
        self.boundary()
        return said

    def _carry(self, path: str, body: bytes) -> tuple[Said, bool]:
        """Give the answer, and whether it is the bank's own to this very question."""
        if self.script:
            scripted: Callable[[str, bytes], tuple[Said, bool]] = getattr(self, f"_{self.script.pop(0)}")
            return scripted(path, body)
        if self.chance.random() * 100 >= self.trouble:
            self.stage.sleep(self.chance.uniform(0.01, 0.4))
            return self._told(path, body), True
        fate = self.chance.choice(
            (self._refused, self._lost, self._stuck, self._unheard, self._twice, self._spoilt, self._no)
        )
        return fate(path, body)

    def _told(self, path: str, body: bytes) -> Said:
        """Have the bank act, and answer unless its card asks for silence."""
        reply = server.answer(self.bank, path, body)
        if reply is None:
            self.stage.sleep(_PATIENCE)
            raise requests.ConnectionError
        status, said = reply
        if status is HTTPStatus.CONFLICT:
            raise AssertionError(f"an operation id was used for two things: {body!r}")
        return remote.Said(status, said)

    def _refused(self, path: str, body: bytes) -> tuple[Said, bool]:
        raise requests.ConnectionError(path, len(body))

    def _lost(self, path: str, body: bytes) -> tuple[Said, bool]:
        self.stage.sleep(_PATIENCE)
        raise requests.ReadTimeout(path, len(body))

    def _stuck(self, path: str, body: bytes) -> tuple[Said, bool]:
        """Let the message arrive some time, perhaps long after its reversal."""
        self._later(path, body)
        self.stage.sleep(_PATIENCE)
        raise requests.ReadTimeout(path)

    def _unheard(self, path: str, body: bytes) -> tuple[Said, bool]:
        self._told(path, body)
        self.stage.sleep(self.chance.choice((0.0, 1.0, _PATIENCE)))
        raise requests.ConnectionError(path)

    def _twice(self, path: str, body: bytes) -> tuple[Said, bool]:
        self._later(path, body)
        self.stage.sleep(self.chance.uniform(0.01, _PATIENCE))
        return self._told(path, body), True

    def _spoilt(self, path: str, body: bytes) -> tuple[Said, bool]:
        said = self._told(path, body)
        if said.status != HTTPStatus.OK or b'"outcome"' not in said.body:
            return remote.Said(200, b"<html>"), False
        return remote.Said(*self.chance.choice(SPOILT)(said.body)), False

    def _no(self, path: str, body: bytes) -> tuple[Said, bool]:
        """Let the bank say a clear no to what it may refuse for reasons of its own; it will say so again."""
        if path not in ("/reverse", "/capture"):
            return self._lost(path, body)
        asked: Fields = json.loads(body)
        amount = Money(int(str(asked["amount_cents"])), str(asked["currency"]))
        message = Message(str(asked["op_id"]), path[1:], str(asked["target"]), amount)
        with self.book.writing() as page:
            if page.answered(message) is None:
                page.record(message, Answer(message.op_id, Outcome.DECLINED, amount, "96", "technical"), self.now())
        return self._told(path, body), True

    def _later(self, path: str, body: bytes) -> None:
        deliver = partial(server.answer, self.bank, path, body)
        self.stage.enter("a late message", deliver, after=self.chance.uniform(0, _LATE_MAX))
