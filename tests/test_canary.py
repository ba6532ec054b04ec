"""Card numbers leave no trace: every published card through a real server, numbers of nobody's by every wrong way, then a
search of everything it wrote and of its processes' memory."""

import base64
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
import requests
from sqlalchemy import make_url

from gateway.acquirers import cards
from gateway.cli.payer import JourneyFailed, Page, Payer
from gateway.clock import utc_now
from tests.dialects.samples import SAMPLES, noted
from tests.support.clock import Clock
from tests.support.crash import Guichet
from tests.support.figures import record
from tests.support.portal import Portal
from tests.support.postgres import fresh_database, start_breakable
from tests.support.scale import scaled
from tests.support.server import free_ports, wait_until
from tests.support.traces import CODES, foreign_numbers, inner_parts, memory_hits, search

ROOT = Path(__file__).parents[1]
TABLE = cards.load(ROOT / "config/test_cards.toml")
# One published card is all zeros, which every program writes.
PUBLISHED = tuple(card.number for card in TABLE.cards if card.number.strip("0"))
CHALLENGE = next(card.number for card in TABLE.cards if card.key == "approved-challenge")
APPROVED = next(card.number for card in TABLE.cards if card.key == "approved")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(scaled(400, 3600))]


class Canary:
    """Types cards into a server."""

    def __init__(self, guichet: Guichet, home: Path) -> None:
        self.base, self.portal = guichet.base_url, Portal(home, origin=guichet.base_url)
        self._serial = 0

    def open(self) -> tuple[Payer, Page]:
        """Open a payment and its page."""
        self._serial += 1
        claims = self.portal.claims(Clock(utc_now()), reference=f"CANARY-{self._serial}")
        payer = Payer(self.base)
        return payer, payer.open(str(self.ask(self.portal.sign(claims)).json()["checkout_url"]))

    def ask(self, token: str) -> requests.Response:
        """Send a signed request as a portal does."""
        return self.send("POST", "/v1/payments", data=token, headers={"Content-Type": "application/jose"})

    def send(self, method: str, path: str, **said: object) -> requests.Response:
        """Send anything anywhere."""
        return requests.request(method, self.base + path, timeout=60, allow_redirects=False, **said)  # type: ignore[arg-type]  # as it comes

    def type(self, card: str, /, **typed: str) -> tuple[Payer, Page]:
        """Type a card on a page of its own."""
        payer, page = self.open()
        entry = {**card_of(card), "email": "famille@example.org", **typed}
        return payer, payer.press(page, entry.pop("action", "pay"), **entry)

    def pay(self, number: str) -> Page:
        """Type a card and go as far as it leads."""
        payer, page = self.type(number)
        if page.name == "challenge":
            page = payer.press(page, "confirm", code=payer.code_for(page.payment))
        if page.name == "review":
            page = payer.press(page, "confirm")
        return page


def card_of(number: str) -> dict[str, str]:
    code = CODES[4 if number.startswith(("34", "37")) else 3]
    return {"number": number, "expiry": "12/30", "security_code": code}


def grouped(number: str, joint: str = " ") -> str:
    return joint.join(re.findall(".{1,4}", number))


# The wrong ways. Each is given a card number that is used for nothing else, so that whatever is found names its way.
Way = Callable[[Canary, str], object]


# What is typed on the card page beside or instead of a good entry; ``{n}`` is the number.
TYPED: Mapping[str, Mapping[str, str]] = {
    "a card nobody published": {},
    "expired": {"expiry": "01/20"},
    "no such month": {"expiry": "13/99"},
    "no security code": {"security_code": ""},
    "too long a security code": {"security_code": "947947"},
    "in the expiry": {"expiry": "{n}"},
    "in the security code": {"security_code": "{n}"},
    "in the e-mail field": {"email": "{n}"},
    "in an e-mail address": {"email": "{n}@example.org"},
    "in the brand": {"brand": "{n}"},
    "of another brand": {"brand": "amex"},
    "with a letter behind": {"number": "{n}x"},
    "twice in a field": {"number": "{n}{n}"},
    "in a field of no name": {"": "{n}"},
    "in a field we do not have": {"cardnumber": "{n}", "pan": "{n}"},
    "in Systempay's fields": {"number": "", "vads_card_number": "{n}", "vads_cvv": CODES[3]},
    "with a forged token": {"csrf_token": "forged"},
    "in the token": {"csrf_token": "{n}"},
    "with no token": {"csrf_token": ""},
    "as the button": {"action": "{n}"},
    "with the cancel button": {"action": "cancel"},
    "with the retry button": {"action": "retry"},
    "with the return button": {"action": "return"},
    "with the confirm button": {"action": "confirm"},
}

# What is sent to a card page: method, what is behind its path, and the rest of the call.
SENT: Mapping[str, tuple[str, str, Mapping[str, object]]] = {
    "in the query": ("GET", "?number={n}&lang={n}", {}),
    "as JSON": ("POST", "", {"json": {"number": "{n}", "security_code": CODES[3]}}),
    "as plain text": ("POST", "", {"data": "{n}", "headers": {"Content-Type": "text/plain"}}),
    "as a file": ("POST", "", {"files": {"number": ("{n}", "{n}", "{n}/x")}}),
    "as broken parts": (
        "POST", "", {"data": "--x\r\n{n}: {n}\r\n\r\n{n}", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ),
    "in too long a body": ("POST", "", {"data": "number={n}&" + "x" * 20_000, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
    "in too many fields": ("POST", "", {"files": {f"f{count}": (None, "{n}") for count in range(40)}}),
    "in a content type": ("POST", "", {"data": "x", "headers": {"Content-Type": "text/{n}; charset={n}"}}),
    "by PUT": ("PUT", "", {"data": "{n}"}),
    "by PATCH": ("PATCH", "", {"data": "{n}"}),
    "by DELETE": ("DELETE", "?number={n}", {}),
    "by OPTIONS": ("OPTIONS", "?number={n}", {"data": "{n}"}),
    "by HEAD": ("HEAD", "?number={n}", {}),
    "by a method of that name": ("{n}", "", {}),
    "to the brands": ("POST", "/brands", {"data": {"bin": "{n}"}}),
    "behind the path": ("GET", "/{n}", {}),
    "to the state": ("GET", "/state?number={n}", {}),
    "in the user agent": ("GET", "", {"headers": {"User-Agent": "{n}"}}),
    "in the referrer": ("GET", "", {"headers": {"Referer": "http://127.0.0.1/{n}"}}),
    "in a cookie": ("POST", "", {"headers": {"Cookie": "guichet={n}; {n}={n}"}}),
    "in the languages": ("GET", "?lang=browser", {"headers": {"Accept-Language": "{n}"}}),
    "in the host": ("GET", "", {"headers": {"Host": "{n}"}}),
    "in a header of its own": ("GET", "", {"headers": {"X-{n}": "{n}"}}),
    "as who forwarded": ("GET", "", {"headers": {"X-Forwarded-For": "{n}", "Forwarded": "for={n}"}}),
}  # fmt: skip

# Addresses by GET and by POST, with an API key.
ADDRESSES = (
    "/{n}", "/p/{n}", "/t/{n}", "/p/{n}/challenge", "/v1/payments/{n}", "/v1/payments?reference={n}", "/?card={n}",
    "/pay?request={n}", "/_test/inbox.json?payment={n}", "/_test/signatures?merchant={n}", "/static/{n}", "/%34{n}%0a",
)  # fmt: skip

# Claims of a signed payment request.
CLAIMED: Mapping[str, Mapping[str, object]] = {
    "as the reference": {"reference": "{n}"},
    "in the label": {"label": "carte {n}"},
    "in the payer's address": {"email": "{n}@example.org"},
    "as the payer's name": {"payer": {"name": "{n}"}},
    "in the comment": {"comment": "ma carte: {n}"},
    "as the beneficiary": {"beneficiary": "{n}"},
    "in the metadata": {"metadata": {"card": "{n}"}},
    "as the id of a request": {"jti": "{n}"},
    "in the id of a request": {"jti": "canary-{n}"},
    "as the merchant": {"iss": "{n}"},
    "as the audience": {"aud": "{n}"},
    "in the return address": {"return_url": "http://127.0.0.1:8001/{n}"},
    "in the notify address": {"notify_url": "http://127.0.0.1:8001/{n}"},
    "in a claim we do not have": {"pan": "{n}"},
    "as a claim": {"{n}": "x"},
}


def filled(shape: object, number: str) -> object:
    """Put the number into every text of a shape."""
    if isinstance(shape, str):
        return shape.replace("{n}", number)
    if isinstance(shape, Mapping):
        return {str(filled(name, number)): filled(value, number) for name, value in shape.items()}
    return tuple(filled(part, number) for part in shape) if isinstance(shape, tuple) else shape


def _texts(shape: Mapping[str, str], number: str) -> dict[str, str]:
    return {name.replace("{n}", number): value.replace("{n}", number) for name, value in shape.items()}


def ways() -> Iterator[tuple[str, Way]]:
    """Give every wrong way by name."""
    for name, typed in TYPED.items():
        yield f"typed {name}", partial(_type, typed)
    for joint in (" ", "-", ".", "\u00a0", "/"):
        yield f"typed with {joint!r}", partial(_type_grouped, joint)
    for name, sent in SENT.items():
        yield f"sent {name}", partial(_send, *sent)
    for path in ADDRESSES:
        yield f"address {path}", partial(_ask_for, path)
    for name, claims in CLAIMED.items():
        yield f"claimed {name}", partial(_claim, claims)
    for name in SAMPLES:
        yield f"told in {name}", partial(_tell, name)
    for number, line in enumerate(RAW):
        yield f"raw {number}", partial(_speak, line)
    yield from SCENES.items()


def _type(typed: Mapping[str, str], canary: Canary, n: str) -> None:
    canary.type(n, **_texts(typed, n))


def _type_grouped(joint: str, canary: Canary, n: str) -> None:
    canary.type(grouped(n, joint), email="nobody")


def _send(method: str, behind: str, said: Mapping[str, object], canary: Canary, n: str) -> None:
    _, page = canary.open()
    call = filled(said, n)
    assert isinstance(call, dict)
    canary.send(method.replace("{n}", n), urlsplit(page.url).path + behind.replace("{n}", n), **call)


def _ask_for(path: str, canary: Canary, n: str) -> None:
    for form in (n, grouped(n, "%20")):
        canary.send("GET", path.replace("{n}", form), headers=canary.portal.bearer)
        canary.send("POST", path.replace("{n}", form), data={"number": form})


def _claim(changes: Mapping[str, object], canary: Canary, n: str) -> None:
    for form in (n, grouped(n)):
        claims = canary.portal.claims(Clock(utc_now()), **filled(changes, form))  # type: ignore[arg-type]  # a mapping
        token = canary.portal.sign(claims)
        canary.ask(token)
        # What is kept of a wrong signature, for its developer, must not keep what was signed.
        canary.ask(f"{token[:-6]}AAAAAA")
        canary.send("GET", f"/pay?request={token[:-6]}AAAAAA")


def _tell(name: str, canary: Canary, n: str) -> None:
    call = noted(name, n, utc_now())
    headers = {title: text for title, text in call.headers.items() if title != "host"}
    for text, digest in (
        (call.query, call.body),
        (call.query.replace("hmac=", "hmac=0"), call.body.replace(b"signature=", b"signature=0")),
    ):
        canary.send(call.method, f"{call.path}?{text}", data=digest, headers=headers)


# Lines that are no proper HTTP: the web server itself answers, and logs.
RAW = (
    b"GET /{n} HTTP/9.9\r\n\r\n", b"{n}\r\n\r\n", b"GET /{n}\r\n\r\n", b"GET / HTTP/1.1\r\n{n}\r\n\r\n", b"GET / HTTP/1.1\r\nHost: {n} {n}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Card: {n}" + b"9" * 70_000 + b"\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {n}\r\n\r\n",
    b"POST /p/x HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nnumber={n}", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{n}\r\n",
)  # fmt: skip


def _speak(line: bytes, canary: Canary, n: str) -> None:
    address = urlsplit(canary.base)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection, suppress(OSError):
        connection.sendall(line.replace(b"{n}", n.encode()))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)


def _on_the_code_page(canary: Canary, n: str) -> None:
    payer, page = canary.type(CHALLENGE)
    for code in (n, grouped(n)):
        page = payer.press(page, "confirm", code=code)
    payer.press(page, "pay", **card_of(n))


def _on_a_page_that_is(canary: Canary, n: str, *, how: str) -> None:
    payer, page = canary.open()
    form = dict(page.hidden)
    if how == "paid":
        shown = payer.press(page, "pay", **card_of(APPROVED), email="a@example.org")
        payer.press(shown, "confirm")
    else:
        payer.press(page, "cancel")
    page.hidden = form
    payer.press(page, "pay", **card_of(n), email="a@example.org")


def _twice_at_once(canary: Canary, n: str) -> None:
    payer, page = canary.open()
    press = [threading.Thread(target=payer.press, args=(page, "pay"), kwargs=card_of(n)) for _ in range(2)]
    for thread in press:
        thread.start()
    for thread in press:
        thread.join()


def _in_a_kid(canary: Canary, n: str) -> None:
    canary.ask(canary.portal.sign(canary.portal.claims(Clock(utc_now())), kid=n, cty=n))


def _in_claims_that_are_no_json(canary: Canary, n: str) -> None:
    canary.ask(canary.portal.sign_raw(f'{{"iss":"mairie-demo","pan":{n}'.encode()))


SCENES: Mapping[str, Way] = {
    "on the code page": _on_the_code_page,
    "on a paid page": lambda canary, n: _on_a_page_that_is(canary, n, how="paid"),
    "on a cancelled page": lambda canary, n: _on_a_page_that_is(canary, n, how="cancelled"),
    "twice at once": _twice_at_once,
    "on a page of nobody's": lambda canary, n: canary.send("POST", "/p/nobodys", data=card_of(n)),
    "in a key's id": _in_a_kid,
    "in claims that are no JSON": _in_claims_that_are_no_json,
    "instead of a token": lambda canary, n: canary.ask(json.dumps({"number": n})),
    "to the API as JSON": lambda canary, n: canary.send("POST", "/v1/payments", json={"card": card_of(n)}),
    "as an API key": lambda canary, n: canary.send("GET", "/v1/payments/x", headers={"Authorization": f"Bearer {n}"}),
    "in a form's name": lambda canary, n: canary.send("POST", "/vads-payment/", data=urlencode({n: n})),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def own_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a database whose server holds nothing else: its log is searched whole, and must not be recycled meanwhile."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    own = start_breakable().server
    yield fresh_database(own.url, "canary")
    own.stop()


@pytest.fixture
def guichet(home: Path, own_database: str) -> Iterator[Guichet]:
    web, smtp = free_ports(2)
    with Guichet(home, own_database, web, smtp) as guichet:
        yield guichet


def written_by(guichet: Guichet, home: Path) -> list[Path]:
    """List everything the server wrote: its files, its output, its figures, and the database's own files and log."""
    (home / "var/metrics.txt").write_bytes(requests.get(f"{guichet.base_url}/metrics", timeout=60).content)
    paths = [path for path in (home / "var").rglob("*") if path.is_file()]
    url = make_url(guichet.database_url)
    if url.get_backend_name() == "postgresql":
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            row = connection.execute(
                "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        paths += [*(Path(row[0]) / "base" / str(row[1])).iterdir(), *(Path(row[0]) / "pg_wal").iterdir()]
    return paths


def has_ticket(inbox: Path) -> bool:
    """Say whether a receipt has come with its PDF."""
    mails = (path.read_bytes() for path in inbox.rglob("*") if path.is_file())
    return any(b"%PDF" in part for mail in mails for part in inner_parts(mail))


@pytest.mark.nightly_too
def test_no_published_card_and_no_code_is_written_anywhere(guichet: Guichet, home: Path) -> None:
    canary, cards = Canary(guichet, home), TABLE.cards[:: scaled(5, 1)]
    pages = [canary.pay(card.number).name for card in cards]
    wait_until(lambda: has_ticket(home / "var/inbox"))
    time.sleep(3)

    paths = written_by(guichet, home)

    assert pages.count("paid") * 4 >= len(cards), pages
    assert any(path.name == "serve.log" and path.stat().st_size > 1000 for path in paths)
    assert search(paths, PUBLISHED) == {}


@pytest.mark.nightly_too
def test_no_card_that_goes_a_wrong_way_is_written_anywhere(guichet: Guichet, home: Path) -> None:
    wrong, canary = dict(ways()), Canary(guichet, home)
    # At night at least two hundred numbers.
    turns = scaled(1, -(-200 // len(wrong)))
    numbers = foreign_numbers(turns * len(wrong))
    gone = dict(zip(numbers, [*wrong] * turns, strict=True))
    for number, name in gone.items():
        with suppress(JourneyFailed, requests.RequestException):
            wrong[name](canary, number)
    time.sleep(2)

    found = search(written_by(guichet, home), numbers)

    told = {path: {gone.get(hit, hit) for hit in hits} for path, hits in found.items()}
    record("promise 13", ways=len(wrong), cards=len(numbers), found=len(found))
    assert len(wrong) >= 40
    # What the log had to mask was about to be written.
    assert re.findall(r"(?m)^guichet_scrubbed_total.*", (home / "var/metrics.txt").read_text()) == []
    assert {Path(path).name: names for path, names in told.items()} == {}


class TestTheSearchItself:
    NUMBER = "4242424242424242"

    @pytest.mark.parametrize(
        "planted",
        [
            b'{"n": "4242424242424242"}',
            b"4242 4242 4242 4242",
            b"4242-4242-4242-4242",
            b"number=4242+4242+4242+4242&x",
            b"/4242%204242%204242%204242",
            b"\x00\x014242424242424242\xff",
            base64.b64encode(b"4242424242424242"),
            base64.b64encode(b"n=4242424242424242;"),
            base64.urlsafe_b64encode(b'{"n":"4242424242424242"}'),
            base64.b64encode(b"xyz pan 4242424242424242"),
            b"2424242424242424",
            b"34323432343234323432343234323432",
            b"34 32 34 32 34 32 34 32 34 32 34 32 34 32 34 32",
            "4242424242424242".encode("utf-16-le"),
            "4242424242424242".encode("utf-16-be"),
            b"%34%32" * 8,
            rb"\u0034\u0032" * 8,
            b"&#x34;&#x32;" * 8,
            base64.urlsafe_b64encode(b'{"iss":"mairie-demo","note":"4242 4242 4242 4242"}'),
        ],
    )
    def test_it_finds_a_card_in_every_dress(self, tmp_path: Path, planted: bytes) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"some text before " + planted + b" and after")

        assert search([path], [self.NUMBER]) == {str(path): {self.NUMBER}}

    @pytest.mark.parametrize("planted", [b"security_code=947&", b'"cvv": "947"', b"csc 9473"])
    def test_it_finds_a_code_where_it_is_called_so(self, tmp_path: Path, planted: bytes) -> None:
        path = tmp_path / "log"
        path.write_bytes(planted)

        assert list(search([path], [self.NUMBER])) == [str(path)]

    def test_it_finds_nothing_in_other_digits(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"2026-11-21T10:00:00 pay_42424242 4000000000000000009 csrf 947 ****4242")

        assert search([path], [self.NUMBER]) == {}


@pytest.mark.nightly_too
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's memory as a file")
@pytest.mark.parametrize("own_database", ["sqlite"], indirect=True)
def test_a_web_process_forgets_the_cards_it_saw(guichet: Guichet, home: Path) -> None:
    canary, numbers = Canary(guichet, home), foreign_numbers(scaled(20, 200))
    # The first one answers before the second has come up.
    wait_until(lambda: len(guichet.pids("web")) == 2)
    pids = guichet.pids("web")
    for number in numbers:
        canary.pay(number)
    payer, page = canary.open()
    for _ in range(200):
        payer.open(page.url)

    found = {pid: memory_hits(pid, numbers) for pid in pids}

    print(f"\nof {len(numbers)} cards still in memory: {[len(hits) for hits in found.values()]}")  # noqa: T201 - a figure to read
    record("promise 13", cards_in_memory=sum(map(len, found.values())), cards=len(numbers), processes=len(pids))
    assert guichet.pids("web") == pids
    assert not any(found.values())


def test_the_search_of_memory_finds_what_is_there() -> None:
    (number,) = foreign_numbers(1)
    kept = bytearray(number.encode())

    assert memory_hits(os.getpid(), [number]) == {kept.decode()}
