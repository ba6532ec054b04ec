"""localstripe, a stateful stand-in for Stripe's API, run as its command line alone: nothing of it is imported or copied.

It writes all it remembers to one file at each request: the more is stored, the longer each takes.
"""

import base64
import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlencode

from bench import payers
from bench.http import Browser
from bench.peers.programs import environment, running

# Where it remembers, always; not to be chosen.
MEMORY = Path("/tmp/localstripe.pickle")  # noqa: S108 - its choice
# Any test key will do (its guide's).
_HEADERS = ("Authorization: Basic " + base64.b64encode(b"sk_test_12345:").decode(),)
_FORM = "application/x-www-form-urlencoded"
# Stripe's own number for 3-D Secure: for it alone of ours it wants a step more, to which it has no page.
_ASKS_FOR_MORE = "4000000000003220"


@contextmanager
def serving(folder: Path, told: str) -> Iterator[int]:
    """Serve while the body runs, with nothing stored; gives its port.

    :param folder: for its log
    :param told: where its webhooks go
    """
    port = _free_port()
    command = [str(environment("localstripe") / "bin/localstripe"), f"--port={port}", "--from-scratch"]
    # Somebody may be using it for work of their own.
    before = MEMORY.read_bytes() if MEMORY.exists() else None
    try:
        with running(command, {"PATH": os.environ["PATH"]}, folder / "localstripe.log", port):
            _journey(port).tell(told)
            yield port
    finally:
        if before is None:
            MEMORY.unlink(missing_ok=True)
        else:
            MEMORY.write_bytes(before)


def _free_port() -> int:
    """Find a port below those of outgoing connections: one that was just closed would keep it from listening."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
            probe.bind(("::", port))
            return port


def store(port: int, count: int) -> None:
    """Leave behind what so many journeys would, by one request less each, and what is smallest first: that is quickest."""
    journey = _journey(port)
    methods = [journey.method(card) for card in islice(cycle(payers.CARDS), count)]
    customers = [journey.customer() for _ in methods]
    for customer, method in zip(customers, methods, strict=True):
        journey.intent(customer, method, confirm="true")


class Journey(payers.Journey):
    """A payment is opened and confirmed by four requests: with a page, it would stand between the last two."""

    def __init__(self, web: Browser, times: dict[str, list[float]], codes: payers.Phone) -> None:
        web.headers = _HEADERS
        super().__init__(web, times, codes)

    def pay(self, _request: str, card: str) -> None:
        """Go all the way. Raises :class:`bench.payers.Astray`."""
        opened = self.intent(self.customer(), self.method(card))
        paid = self._say("confirm", f"/v1/payment_intents/{opened}/confirm")
        if paid["status"] != "succeeded":
            raise payers.Astray(f"not paid: {paid}")

    def customer(self) -> str:
        """Make a customer."""
        return self._say("customer", "/v1/customers", email="famille@example.org")["id"]

    def method(self, card: str) -> str:
        """Give it a card."""
        number = card if card != _ASKS_FOR_MORE else payers.CARDS[1]
        typed = {"card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2030", "card[cvc]": "123"}
        return self._say("method", "/v1/payment_methods", type="card", **typed)["id"]

    def intent(self, customer: str, method: str, **more: str) -> str:
        """Open a payment."""
        asked = {"amount": "9612", "currency": "eur", "customer": customer, "payment_method": method, **more}
        return self._say("intent", "/v1/payment_intents", **asked)["id"]

    def tell(self, url: str) -> None:
        """Have it send its webhooks somewhere."""
        self._ask(
            "webhook", "POST", "/_config/webhooks/bench", urlencode({"url": url, "secret": "bench"}).encode(), _FORM
        )

    def _say(self, step: str, path: str, **fields: str) -> dict[str, str]:
        answer: dict[str, str] = json.loads(self._ask(step, "POST", path, urlencode(fields).encode(), _FORM)[1])
        return answer


class _NoPhone:
    def take(self, payment: str) -> str:
        """Give no code: there is no 3-D Secure here."""
        raise payers.Astray(f"no code for {payment}")


def _journey(port: int) -> Journey:
    return Journey(Browser("127.0.0.1", port), {}, _NoPhone())
