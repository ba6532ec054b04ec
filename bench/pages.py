"""P3: what a page and a post cost the web server, beside a Flask page that shows the same text and knows nothing."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from bench.floor import BARE_PAGE, Started, bare
from bench.harness import Bench, Row, Target, Turn, row
from bench.http import Browser
from bench.site import cpu_seconds, make_home, serving
from gateway.channels.inbox import Inbox
from tests.e2e.native import Opened, sign
from tests.factories import CHALLENGE, MERCHANT
from tests.support.crash import Guichet
from tests.support.server import wait_until

TURNS = 5
# Of each turn. The kernel tells CPU time in hundredths of a second: each kind takes some twenty or more.
JOURNEYS, LOOKS, FLOOR_REQUESTS = 40, 3, 240
_HOST, _TAKES_PACKED = "127.0.0.1", ("Accept-Encoding: gzip, deflate, br",)

# Six requests, in the order of a journey; a page is shown a second time, because its first look opens the payment.
PAGE, POST = Target(at_most=2.5), Target(at_most=4)
KINDS: Mapping[str, Target] = {
    "card page": PAGE,
    "code page": PAGE,
    "result page": PAGE,
    "request of a payment": POST,
    "card posted": POST,
    "code posted": POST,
}


def measure(bench: Bench) -> Iterator[Row]:
    """Pages and posts: CPU of the web processes beside a bare Flask page of the same size."""
    home = make_home(bench.folder)
    with serving(home, bench.postgresql()) as guichet:
        turn = Turns(guichet, home)
        (bench.folder / "page.html").write_text(turn.as_template(), "utf-8")
        with bare(home, bench.folder) as server:
            floor = Bare(server, Browser(_HOST, server.port, headers=_TAKES_PACKED))
            rounds = [turn.take(floor) for _ in range(1 + TURNS)][1:]
    for kind, target in KINDS.items():
        turns: list[Turn] = [(one[kind], one["floor"]) for one in rounds]
        yield row("P3", kind, "ms CPU", turns, target)


def ask(  # noqa: PLR0913 - what a request has
    browser: Browser, method: str, url: str, wanted: int, body: str = "", kind: str = ""
) -> str:
    """Ask once; gives the text. Raises :class:`RuntimeError` for an unwanted status."""
    status, _, answer = browser.ask(method, urlsplit(url).path, body.encode(), kind)
    if status != wanted:
        raise RuntimeError(f"{method} {url} was answered HTTP {status}: {answer.decode()}")
    return answer.decode()


@dataclass
class Payer:
    """One payment, the cookies of the browser it is paid with, and the token of its form; all share a connection."""

    browser: Browser
    payment: Opened
    cookies: dict[bytes, bytes] = field(default_factory=dict)
    token: str = ""

    def look(self, below: str = "") -> str:
        """Show the payment's page."""
        self.browser.cookies = self.cookies
        text = ask(self.browser, "GET", self.payment.checkout_url + below, 200)
        self.token = (re.findall(r'name="csrf_token" value="([^"]+)"', text) or [self.token])[0]
        return text

    def post(self, below: str = "", **fields: str) -> None:
        """Press a button, and be sent on."""
        self.browser.cookies = self.cookies
        body = urlencode({"csrf_token": self.token, **fields})
        ask(self.browser, "POST", self.payment.checkout_url + below, 303, body, "application/x-www-form-urlencoded")


@dataclass
class Turns:
    """Takes some journeys one request at a time, each kind by itself, and says what each kind took of CPU."""

    guichet: Guichet
    home: Path
    _inbox: Inbox = field(init=False)
    _serial: int = 0

    def __post_init__(self) -> None:
        self._inbox = Inbox(self.home / "var/inbox")
        self._browser = Browser(_HOST, self.guichet.port, headers=_TAKES_PACKED)

    def as_template(self) -> str:
        """Give the text of a card page as a template of the few words in which it differs from the next one's."""
        opened: list[Opened] = []
        self._open(self._signed(), opened)
        payer = Payer(self._browser, opened[0])
        text = payer.look()
        reference = re.findall(r"BENCH-\d+", text)[0]
        text = text.replace(reference, "{{ reference }}").replace("96,12\xa0€", "{{ amount }}")
        return text.replace(urlsplit(payer.payment.checkout_url).path, "/p/{{ token }}")

    def take(self, floor: "Bare") -> dict[str, float]:
        """Measure every kind once; milliseconds of CPU a request."""
        taken = {"floor": floor.milliseconds()}
        self._browser.close()
        asked = [self._signed() for _ in range(JOURNEYS)]
        opened: list[Opened] = []
        taken["request of a payment"] = self._cost([partial(self._open, one, opened) for one in asked])
        payers = [Payer(self._browser, one) for one in opened]
        for payer in payers:
            payer.look()
        taken["card page"] = self._cost([payer.look for payer in payers] * LOOKS)
        card = {"number": CHALLENGE, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
        taken["card posted"] = self._cost([partial(payer.post, **card, action="pay") for payer in payers])
        taken["code page"] = self._cost([partial(payer.look, "/challenge") for payer in payers] * LOOKS)
        codes = self._codes([payer.payment.id for payer in payers])
        answers = [
            partial(payer.post, "/challenge", code=codes[payer.payment.id], action="confirm") for payer in payers
        ]
        taken["code posted"] = self._cost(answers)
        taken["result page"] = self._cost([payer.look for payer in payers] * LOOKS)
        if not all('data-page="paid"' in payer.look() for payer in payers):
            raise RuntimeError("not everybody has paid")
        return taken

    def _cost(self, requests: Sequence[Callable[[], object]]) -> float:
        return cost(lambda: cpu_seconds(*self.guichet.pids("master"), *self.guichet.pids("web")), requests)

    def _signed(self) -> str:
        self._serial += 1
        reference, url = f"BENCH-{self._serial:06d}", self.guichet.base_url
        line = {"reference": reference, "label": "Cantine de novembre", "amount": 9612}
        asked = {
            "iss": MERCHANT, "aud": url, "amount": 9612, "currency": "EUR", "reference": reference, "kind": "debt",
            "email": "famille@example.org", "label": "Cantine de novembre", "lines": [line], "language": "fr",
            # Of a range that is kept for fiction (ARCEP); one telephone would be sent a few codes only.
            "payer": {"name": "Famille Martin", "phone": f"+3363998{self._serial:04d}"},
            "return_url": "http://127.0.0.1:8001/return",
        }  # fmt: skip
        return sign(self.home, asked)

    def _open(self, signed: str, opened: list[Opened]) -> None:
        url = f"{self.guichet.base_url}/v1/payments"
        # A merchant's program has no cookies.
        self._browser.cookies = {}
        told = json.loads(ask(self._browser, "POST", url, 201, signed, "application/jose"))
        opened.append(Opened(told["id"], told["checkout_url"]))

    def _codes(self, payments: Sequence[str]) -> Mapping[str, str]:
        """Wait until the worker has brought out the code of each payment."""

        def found() -> Mapping[str, str]:
            codes = {one.payment: one.code for one in self._inbox.messages(kind="sms", limit=len(payments))}
            return codes if codes.keys() >= set(payments) else {}

        codes = wait_until(found, seconds=60)
        # Meanwhile the server may have replaced the process at the other end.
        self._browser.close()
        return codes


@dataclass
class Bare:
    """The floor's server, of the same make and with the same settings of memory."""

    server: Started
    browser: Browser

    def milliseconds(self) -> float:
        """Say what one page costs it."""
        return cost(self._cpu, [partial(ask, self.browser, "GET", BARE_PAGE, 200)] * FLOOR_REQUESTS)

    def _cpu(self) -> float:
        return cpu_seconds(self.server.pid, *self.server.children())


def cost(cpu: Callable[[], float], requests: Sequence[Callable[[], object]]) -> float:
    """Say how many milliseconds of CPU a server took for one of the requests."""
    began = cpu()
    for ask in requests:
        ask()
    return (cpu() - began) / len(requests) * 1000
