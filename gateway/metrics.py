"""The figures that one process cannot read from the database: requests and deliveries, counted where they happen.

With several processes ``PROMETHEUS_MULTIPROC_DIR`` must be set before this module is imported; ``guichet serve`` does.
"""

import os
from collections.abc import Iterable, Iterator

from prometheus_client import PLATFORM_COLLECTOR, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

# It tells the interpreter's version, which is nobody's business.
REGISTRY.unregister(PLATFORM_COLLECTOR)

REQUESTS = Counter("guichet_requests", "HTTP requests answered", ["endpoint", "method", "status"])
SECONDS = Histogram(
    "guichet_request_seconds",
    "Time to answer",
    ["endpoint"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
DELIVERIES = Counter("guichet_deliveries", "Notices brought out, tried again or given up", ["channel", "outcome"])
WITHHELD = Counter("guichet_cards_withheld", "Cards the bank was not asked about, by the limit passed", ["limit"])
ALARMS = Counter("guichet_alarms", "Alarms raised", ["kind"])

SCRUBBED = Counter("guichet_scrubbed", "Card numbers kept out of the log, by who was about to write one: each is a fault",
                   ["logger"])  # fmt: skip


class _Given:
    """A collector of families made elsewhere."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def exposition(families: Iterable[Metric]) -> bytes:
    """Write all figures in Prometheus' text form, those of every process and the given ones."""
    registry = CollectorRegistry()
    registry.register(_Given(families))
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(REGISTRY)
