"""A shop's side of the older protocols: an address on this machine that keeps whatever it is sent and answers as told."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.support.answering import Quiet, answering
from tests.support.server import wait_until


@dataclass(frozen=True, slots=True)
class Heard:
    """One request, as it came. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        """The fields of the body; of the query when there is no body."""
        return dict(parse_qsl(self.body or self.query, keep_blank_values=True, strict_parsing=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the shop says to a request."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Shop:
    """Keeps every request in the order of arrival.

    :ivar answers: what is said on a path, worked out while the request waits; 200 and nothing for any other path
    """

    origin: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: dict[str, Callable[[Heard], Answer]] = field(default_factory=dict)

    def on(self, path: str) -> list[Heard]:
        """List what came to a path, oldest first."""
        return [heard for heard in self.heard if heard.path == path]

    def wait(self, path: str, count: int = 1) -> Heard:
        """Wait for the ``count``-th request to a path."""
        wait_until(lambda: len(self.on(path)) >= count)
        return self.on(path)[count - 1]

    def take(self, heard: Heard) -> Answer:
        """Keep a request and answer it."""
        self.heard.append(heard)
        answer = self.answers.get(heard.path)
        return answer(heard) if answer else Answer()


@contextmanager
def open_shop() -> Iterator[Shop]:
    """Listen while the body runs."""
    shop = Shop()

    class Counter(Quiet):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = shop.take(Heard(self.command, path, query, headers, body))
            self.send_response(told.status)
            for name, value in {"Content-Length": str(len(told.body.encode())), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body.encode())

    with answering(Counter) as place:
        shop.origin = f"http://{place}"
        yield shop
