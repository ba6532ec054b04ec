"""P8: how much memory the processes hold and whether it grows, and how soon a server that is started takes payments.

The floor is a Flask application of one page under the same web server and memory settings. Growth is measured within the
life of the web processes: the memory of all, after each batch of journeys, by least squares over the requests between.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.floor import BARE_PAGE, Started, bare, started
from bench.harness import Bench, Row, Target, Turn, row
from bench.http import Browser
from bench.payers import Load, pay
from bench.site import make_home, pss_megabytes, serving
from gateway.clock import utc_now
from tests.e2e.native import open_payment
from tests.support.clock import Clock
from tests.support.crash import Guichet
from tests.support.portal import Portal
from tests.support.server import free_ports

# Of seven requests each, 3,000 in all, so that neither web process comes near the 2,000 after which it is replaced. The
# first batches are left out of the growth: they load what a first request loads.
BATCHES, JOURNEYS, WARMING = 6, 72, 2
STARTS = 3
_CLIENTS = 8
_UP_SECONDS = 60.0

Samples = list[tuple[int, float]]


def measure(bench: Bench) -> Iterator[Row]:
    """Memory of each process and its growth over requests; start to ready, and the first page after it."""
    home, database = make_home(bench.folder), bench.postgresql()
    (bench.folder / "page.html").write_text("<!doctype html><title>{{ reference }}</title><p>{{ amount }} {{ token }}")
    with serving(home, database) as guichet:
        ours = _Ours(guichet)
        ours.work()
        # Last, or its time to pay might be over when the servers of the next measurement show it.
        path = urlsplit(open_payment(guichet.base_url, home).checkout_url).path
    with bare(home, bench.folder) as floor:
        page = _Bare(floor)
        page.work(ours.web[-1][0])
    small = Target(at_most=70, absolute=True)
    count = len(ours.pids)
    requests = f"after {ours.web[-1][0]} requests, {ours.worker[-1][0]} payments"
    yield row("P8", "memory of a web process", "MB", [(ours.web[-1][1] / count, page.each)], small, requests)
    yield row("P8", "memory of the worker", "MB", [(ours.worker[-1][1], page.each)], small, requests)
    # It has the PDF library and its typefaces besides.
    yield row("P8", "memory of its back office", "MB", [(ours.back[-1][1], page.each)], Target(), requests)
    flat = Target(at_most=1, absolute=True)
    yield _growth("growth per 1,000 requests of a web process", _slope(ours.web), _slope(page.samples), flat)
    both = [(count, front + back) for (count, front), (_, back) in zip(ours.worker, ours.back, strict=True)]
    yield _growth("growth per 1,000 payments of the worker", _slope(both), _slope(page.samples), flat)
    yield from _starts(home, database, bench.folder, path)


def _starts(home: Path, database: str, folder: Path, path: str) -> Iterator[Row]:
    """Start both again and again, in turns; the first turn warms up."""
    ready: list[Turn] = []
    first: list[Turn] = []
    # Whose page it is, its cookie tells: one browser looks at it each time.
    payer, reader = Browser("127.0.0.1", 0), Browser("127.0.0.1", 0)
    for _ in range(1 + STARTS):
        with started(_serve(home), {"GUICHET_DATABASE_URL": database}, "/readyz") as ours:
            our_page = _seconds_for(payer, ours.port, path)
        with bare(home, folder) as floor:
            bare_page = _seconds_for(reader, floor.port, BARE_PAGE)
        ready.append((ours.seconds, floor.seconds))
        first.append((our_page, bare_page))
    yield row("P8", "start of guichet serve to ready", "s", ready[1:], Target(at_most=2.5, absolute=True))
    yield row("P8", "first page after it", "s", first[1:], Target(at_most=0.2, absolute=True))


def _growth(what: str, ours: float, floor: float, target: Target) -> Row:
    # What shrinks or stays as it is has no ratio to speak of.
    return row("P8", what, "MB", [(max(ours, 0.001), max(floor, 0.001))], target)


@dataclass
class _Ours:
    """A server and its payers.

    :ivar web: requests so far, and the memory of all web processes then
    :ivar worker, back: payments so far, and the memory then of the worker and of its back office
    """

    guichet: Guichet
    web: Samples = field(default_factory=list)
    worker: Samples = field(default_factory=list)
    back: Samples = field(default_factory=list)
    pids: tuple[int, ...] = ()

    def work(self) -> None:
        """Have some hundred payments made; a sample after each batch."""
        guichet, requests = self.guichet, 0
        self.pids = tuple(guichet.pids("web"))
        for batch in range(1, BATCHES + 1):
            portal = Portal(guichet.home, origin=guichet.base_url)
            signed = tuple(portal.request(Clock(utc_now())) for _ in range(JOURNEYS))
            done = pay(Load("127.0.0.1", guichet.port, signed, guichet.home / "var/inbox", _CLIENTS, _UP_SECONDS))
            if done.payments < JOURNEYS or tuple(guichet.pids("web")) != self.pids:
                raise RuntimeError(f"{done.payments} payments, or web processes replaced: {done.faults[:3]}")
            requests += sum(map(len, done.pages.values()))
            # The worker has its last mails to send.
            time.sleep(1)
            self.web.append((requests, sum(map(pss_megabytes, self.pids))))
            for samples, what in ((self.worker, "worker"), (self.back, "back office")):
                samples.append((batch * JOURNEYS, sum(map(pss_megabytes, guichet.pids(what)))))


@dataclass
class _Bare:
    """The floor, and its memory after each batch of as many pages."""

    server: Started
    samples: Samples = field(default_factory=list)
    each: float = 0.0

    def work(self, requests: int) -> None:
        """Ask for as many pages as ours answered requests."""
        children = self.server.children()
        for batch in range(1, BATCHES + 1):
            # A few connections at a time, as payers have, or one process would do all the work.
            for _ in range(requests // BATCHES // 8):
                browser = Browser("127.0.0.1", self.server.port)
                for _ in range(8):
                    browser.ask("GET", BARE_PAGE)
                browser.close()
            self.samples.append((batch * (requests // BATCHES), sum(map(pss_megabytes, children))))
        self.each = self.samples[-1][1] / len(children)


def _slope(samples: Samples) -> float:
    """Fit how much memory a thousand more of them take; the first only warm up."""
    counts, sizes = zip(*samples[WARMING:], strict=True)
    return statistics.linear_regression(counts, sizes).slope * 1000


def _seconds_for(browser: Browser, port: int, path: str) -> float:
    browser.port, began = port, time.perf_counter()
    if (status := browser.ask("GET", path)[0]) != 200:
        raise RuntimeError(f"{path} was answered {status}")
    took = time.perf_counter() - began
    browser.close()
    return took


def _serve(home: Path) -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        (smtp,) = free_ports(1)
        ports = ["--port", str(port), "--smtp-port", str(smtp)]
        return [sys.executable, "-m", "gateway", "--home", str(home), "serve", *ports]

    return command
