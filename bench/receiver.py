"""A merchant's receiver in a process of its own, as cheap as one can be: it answers 204 at once and notes what came when.

One thread and one loop over plain protocols, so that what is measured is the sender.
"""

import asyncio
import multiprocessing
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)
_PATIENCE_SECONDS = 60.0

# By the id of a notice, when it first came: seconds since the epoch, by this machine's clock.
Arrivals = dict[str, float]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where it listens; asked, it tells what came since it was last asked."""

    port: int
    _line: "Connection[str, Any]"

    @property
    def url(self) -> str:
        """Name its address; whatever path follows leads to it too."""
        return f"http://127.0.0.1:{self.port}/confirmations"

    def count(self) -> int:
        """Count the notices that came, each once."""
        return int(self._ask("count"))

    def taken(self) -> Arrivals:
        """Tell what came, and forget it."""
        return dict(self._ask("taken"))

    def _ask(self, word: str) -> Any:
        self._line.send(word)
        if not self._line.poll(_PATIENCE_SECONDS):
            raise TimeoutError("the receiver is stuck")
        return self._line.recv()


@contextmanager
def receiving(answers_after: float = 0.0) -> Iterator[Receiver]:
    """Run a receiver that takes ``answers_after`` seconds for each answer while the body runs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, answers_after), daemon=True)
    process.start()
    try:
        yield Receiver(int(ours.recv()), ours)
    finally:
        process.terminate()
        process.join()


def _run(line: "Connection[Arrivals | int, str]", answers_after: float) -> None:
    asyncio.run(_serve(line, answers_after))


async def _serve(line: "Connection[Arrivals | int, str]", answers_after: float) -> None:
    loop, arrivals = asyncio.get_running_loop(), Arrivals()

    def tell() -> None:
        try:
            word = line.recv()
        except EOFError:
            loop.stop()
            return
        line.send(len(arrivals) if word == "count" else dict(arrivals))
        if word != "count":
            arrivals.clear()

    server = await loop.create_server(lambda: _Conversation(arrivals, answers_after), "127.0.0.1", 0, backlog=512)
    line.send(server.sockets[0].getsockname()[1])
    loop.add_reader(line.fileno(), tell)
    await server.serve_forever()


class _Conversation(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, arrivals: Arrivals, answers_after: float) -> None:
        self._arrivals, self._after, self._seen = arrivals, answers_after, b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a TCP server
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request once it is there as a whole."""
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._seen) < whole:
                return
            self._seen = self._seen[whole:]
            name = _ID.search(head)
            self._arrivals.setdefault(name[1].decode() if name else "", time.time())
            if self._after:
                asyncio.get_running_loop().call_later(self._after, self._transport.write, _ANSWER)
            else:
                self._transport.write(_ANSWER)
