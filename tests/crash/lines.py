"""Bad lines to the bank: one in this process whose delays cost no time, and one of real sockets."""

import heapq
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from gateway.acquirers import Acquirer, Answer, Enrolment
from gateway.core.card import CardEntry
from gateway.core.errors import AcquirerUnreachable
from gateway.core.money import Money
from tests.support.clock import Clock

# What may become of a message and of its answer.
FATES = ("whole", "answer lost", "request lost", "request late", "twice", "twice, once late")
LATE_SECONDS_MAX = 120
PIECE = 65_536


class BadLine:
    """An acquirer behind a line that loses, delays and doubles what is said about money, until it is mended.

    :ivar fates: those to choose from
    :ivar mended_at: from then on all goes well, but for what is still on its way
    """

    name = "line"

    def __init__(self, bank: Acquirer, clock: Clock, chance: random.Random) -> None:
        self._bank, self._clock, self._chance = bank, clock, chance
        self.fates: tuple[str, ...] = FATES
        self.mended_at = clock.now()
        self.faults = 0
        self._late: list[tuple[datetime, int, Callable[[], Answer]]] = []
        self._number = itertools.count()

    def schemes(self, bin: str) -> tuple[str, ...]:
        return self._bank.schemes(bin)

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:
        return self._bank.enrol(card, amount, op_id=op_id)

    def authorise(
        self, token: str, amount: Money, *, op_id: str, scheme: str, authentication: str, follows: str = ""
    ) -> Answer:
        ask = partial(self._bank.authorise, token, amount, op_id=op_id, scheme=scheme)
        return self._say(lambda: ask(authentication=authentication, follows=follows))

    def status(self, op_id: str, amount: Money) -> Answer:
        return self._say(lambda: self._bank.status(op_id, amount))

    def reverse(self, target: str, amount: Money, *, op_id: str) -> Answer:
        return self._say(lambda: self._bank.reverse(target, amount, op_id=op_id))

    def capture(self, target: str, amount: Money, *, op_id: str) -> Answer:
        return self._say(lambda: self._bank.capture(target, amount, op_id=op_id))

    def refund(self, target: str, amount: Money, *, op_id: str) -> Answer:
        return self._say(lambda: self._bank.refund(target, amount, op_id=op_id))

    def arrive(self, within: timedelta | None = None) -> None:
        """Let what is due by now arrive at the bank; its answers find nobody who waits."""
        until = self._clock.now() + (within or timedelta())
        while self._late and self._late[0][0] <= until:
            with suppress(AcquirerUnreachable):
                heapq.heappop(self._late)[2]()

    def _say(self, message: Callable[[], Answer]) -> Answer:
        fate = self._chance.choice(self.fates) if self._clock.now() < self.mended_at else "whole"
        self.faults += fate != "whole"
        if fate in ("request late", "twice, once late"):
            at = self._clock.now() + timedelta(seconds=self._chance.uniform(1, LATE_SECONDS_MAX))
            heapq.heappush(self._late, (at, next(self._number), message))
        if fate in ("request lost", "request late"):
            raise AcquirerUnreachable(fate)
        answer = message()
        if fate == "answer lost":
            raise AcquirerUnreachable(fate)
        return message() if fate == "twice" else answer


def _whole(_request: bytes, answer: bytes, payer: socket.socket) -> None:
    payer.sendall(answer)


def _dropped(_request: bytes, _answer: bytes, payer: socket.socket) -> None:
    payer.close()


def _delayed(_request: bytes, answer: bytes, payer: socket.socket) -> None:
    time.sleep(1.5)
    payer.sendall(answer)


def _cut(_request: bytes, answer: bytes, payer: socket.socket) -> None:
    payer.sendall(answer[: len(answer) - 20])


def _trickled(_request: bytes, answer: bytes, payer: socket.socket) -> None:
    for place in range(len(answer)):
        payer.sendall(answer[place : place + 1])
        time.sleep(0.02)


# What a proxy does to an answer once the bank has given it; the bank is spoken to twice where it says so.
TREATMENTS: dict[str, Callable[[bytes, bytes, socket.socket], None]] = {
    "whole": _whole,
    "dropped": _dropped,
    "delayed": _delayed,
    "cut": _cut,
    "trickled": _trickled,
    "doubled": _whole,
}


@contextmanager
def proxy(bank_port: int, treatment: str, verb: str = "/authorise") -> Iterator[str]:
    """Stand before a bank on this machine and treat its answers to one verb badly; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_serve, args=(door, bank_port, treatment, verb.encode()), daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


def _serve(door: socket.socket, bank_port: int, treatment: str, verb: bytes) -> None:
    # Closing the door ends this.
    with suppress(OSError):
        while True:
            caller, _ = door.accept()
            threading.Thread(target=_relay, args=(caller, bank_port, treatment, verb), daemon=True).start()


def _relay(caller: socket.socket, bank_port: int, treatment: str, verb: bytes) -> None:
    with suppress(OSError), caller:
        request = _message(caller)
        is_it = request.split(b" ", 2)[1] == verb
        answers = [_ask(bank_port, request) for _ in range(2 if is_it and treatment == "doubled" else 1)]
        (TREATMENTS[treatment] if is_it else _whole)(request, answers[0], caller)


def _ask(bank_port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", bank_port)) as bank:
        bank.sendall(request)
        return _message(bank)


def _message(peer: socket.socket) -> bytes:
    """Read one HTTP message with its length in its head."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _piece(peer)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += _piece(peer)
    return head + b"\r\n\r\n" + body


def _piece(peer: socket.socket) -> bytes:
    if piece := peer.recv(PIECE):
        return piece
    raise ConnectionError("hung up")
