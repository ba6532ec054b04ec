"""Card numbers leave no trace: every published card through a real server, by right and wrong ways, then a search of
everything it wrote and of its processes' memory."""

import base64
import email.policy
import io
import json
import os
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path
from urllib.parse import quote

import psycopg
import pypdf
import pytest
import requests
from sqlalchemy import make_url

from gateway.acquirers import cards
from gateway.cli.payer import JourneyFailed, Page, Payer
from gateway.clock import utc_now
from gateway.core.card import luhn_valid
from tests.support.clock import Clock
from tests.support.crash import Guichet
from tests.support.portal import Portal
from tests.support.server import free_ports

ROOT = Path(__file__).parents[1]
TABLE = cards.load(ROOT / "config/test_cards.toml")
# Typed nowhere else, so that finding it means finding the code.
CODES = {3: "947", 4: "9473"}
# Luhn-valid and published by nobody: what a payer's real card looks like to a test server.
FOREIGN = "4929420573595709"
# One published card is all zeros, which every program writes.
NUMBERS = (*(card.number for card in TABLE.cards if card.number.strip("0")), FOREIGN)

# Twelve digits or more, with whatever people and programs put between them.
_RUN = re.compile(rb"\d(?:(?:[ .+_-]|%20|\xc2\xa0)?\d){11,30}")
# In base64 three digits make four letters of which the first is M, N or O, wherever the run begins.
_BASE64_RUN = re.compile(rb"(?:[MNO][A-Za-z0-9]{2}[A-Za-z0-9+/_-]){4,}")
_CODE = re.compile(rb"(?i)(?:security.?code|csc|cvv|cvc|cvx)[^0-9]{0,12}9473?(?!\d)")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def find_cards(content: bytes, numbers: Iterable[str]) -> set[str]:
    """Find which card numbers are in some bytes: plain, grouped, or in base64."""
    runs = [re.sub(rb"%20|\D", b"", run).decode() for run in _RUN.findall(content)]
    letters = [base64.b64decode(run[: len(run) // 4 * 4], altchars=b"-_") for run in _BASE64_RUN.findall(content)]
    plain = " ".join(runs)
    # A number that does not begin at a whole group of three loses up to two digits at each end.
    hidden = b" ".join(letters).decode("ascii", "replace")
    return {number for number in numbers if number in plain or number[2:-2] in hidden}


def search(paths: Iterable[Path], numbers: Sequence[str] = NUMBERS) -> dict[str, set[str]]:
    """Search files; gives what was found where."""
    found: dict[str, set[str]] = {}
    for path in paths:
        if not path.is_file():
            continue
        content = path.read_bytes()
        for part in (content, *_inner_parts(content)):
            hits = find_cards(part, numbers) | {match.decode() for match in _CODE.findall(part)}
            if hits:
                found.setdefault(str(path), set()).update(hits)
    return found


def _inner_parts(content: bytes) -> Iterator[bytes]:
    """Open what is packed: the parts of a mail, the text of a PDF."""
    if content.startswith(b"%PDF"):
        reader = pypdf.PdfReader(io.BytesIO(content))
        yield "\n".join(page.extract_text() for page in reader.pages).encode()
    if b"\nMIME-Version:" in content[:4000] or b"\nX-Guichet-Kind:" in content[:4000]:
        for part in message_from_bytes(content, policy=email.policy.default).walk():
            inner = part.get_payload(decode=True)
            if isinstance(inner, bytes):
                yield inner
                yield from _inner_parts(inner)


class Canary:
    """Types cards into a server by every way that leads in."""

    def __init__(self, guichet: Guichet, home: Path) -> None:
        self._guichet, self._portal = guichet, Portal(home, origin=guichet.base_url)
        self._serial = 0

    def open(self) -> tuple[Payer, Page]:
        """Open a payment and its page."""
        self._serial += 1
        claims = self._portal.claims(Clock(utc_now()), reference=f"CANARY-{self._serial}")
        payer = Payer(self._guichet.base_url)
        return payer, payer.open(str(self.post_request(self._portal.sign(claims)).json()["checkout_url"]))

    def post_request(self, token: str) -> requests.Response:
        """Send a signed request as a portal does."""
        kind = {"Content-Type": "application/jose"}
        return requests.post(f"{self._guichet.base_url}/v1/payments", data=token, headers=kind, timeout=20)

    def pay(self, number: str, **typed: str) -> Page:
        """Type a card and go as far as it leads."""
        payer, page = self.open()
        code = CODES[4 if number.startswith(("34", "37")) else 3]
        entry = {"number": number, "expiry": "12/30", "security_code": code, "email": "famille@example.org", **typed}
        page = payer.press(page, "pay", **entry)
        if page.name == "challenge":
            page = payer.press(page, "confirm", code=payer.code_for(page.payment))
        if page.name == "review":
            page = payer.press(page, "confirm")
        return page

    def err(self, number: str) -> None:
        """Put a card number wherever it does not belong."""
        with suppress(JourneyFailed):
            for field in ("expiry", "security_code", "email", "brand"):
                self.pay(number, **{field: number})
            self.pay(number, expiry="13/99")
            self.pay(f"{number[:4]} {number[4:8]}-{number[8:]}x")
        self._wrong_forms(number)
        self._wrong_addresses(number)
        self._wrong_requests(number)

    def _wrong_forms(self, number: str) -> None:
        payer, page = self.open()
        for action, fields in (
            ("pay", {"csrf_token": "forged", "number": number, "security_code": CODES[3]}),
            ("pay", {"csrf_token": number, "number": number}),
            (number, {"number": number}),
            ("cancel", {"number": number}),
            ("pay", {"number": number, "expiry": "12/30", "security_code": CODES[3], "email": "a@example.org"}),
        ):
            with suppress(JourneyFailed):
                payer.press(page, action, **fields)
        payer, page = self.open()
        challenge = next(card.number for card in TABLE.cards if card.key == "approved-challenge")
        page = payer.press(page, "pay", number=challenge, expiry="12/30", security_code=CODES[3], email="a@example.org")
        with suppress(JourneyFailed):
            payer.press(page, "confirm", code=number)
        requests.post(f"{page.url.removesuffix('/challenge')}/brands", data={"bin": number}, timeout=20)

    def _wrong_addresses(self, number: str) -> None:
        base = self._guichet.base_url
        _, page = self.open()
        headers = {
            "User-Agent": number, "Referer": f"{base}/{number}", "Cookie": f"guichet={number}", "X-Card": number,
            "Accept-Language": number,
        }  # fmt: skip
        for path in (
            f"/{number}", f"/p/{number}", f"/t/{number}", f"/p/{number}/challenge", f"/v1/payments/{number}",
            f"/v1/payments?reference={number}", f"/_test/inbox.json?payment={number}", f"/?card={number}",
            f"/pay?request={number}", f"/{quote(' '.join((number[:4], number[4:])))}",
        ):  # fmt: skip
            requests.get(base + path, headers={**self._portal.bearer, **headers}, timeout=20)
            requests.post(base + path, data={"number": number}, headers=headers, timeout=20)
        requests.get(f"{page.url}?number={number}&lang={number}", headers=headers, timeout=20)
        requests.post(f"{base}/v1/payments", json={"card": {"number": number, "cvv": CODES[3]}}, timeout=20)
        requests.put(page.url, data=number, headers=headers, timeout=20)
        requests.post(page.url, files={"number": (number, number)}, timeout=20)

    def _wrong_requests(self, number: str) -> None:
        clock = Clock(utc_now())
        grouped = " ".join(re.findall(".{1,4}", number))
        for changes in (
            {"reference": number}, {"label": f"carte {grouped}"}, {"email": f"{number}@example.org"},
            {"payer": {"name": number}}, {"comment": f"ma carte: {grouped}"}, {"beneficiary": grouped},
            {"metadata": {"card": number}}, {"jti": number}, {"jti": f"canary-{number}"}, {"iss": number},
            {"return_url": f"http://127.0.0.1:8001/{number}"}, {"notify_url": f"http://127.0.0.1:8001/{number}"},
            {"pan": number}, {number: "x"},
        ):  # fmt: skip
            self.post_request(self._portal.sign(self._portal.claims(clock, **changes)))
        self.post_request(self._portal.sign(self._portal.claims(clock), kid=number, cty=number))
        self.post_request(json.dumps({"number": number}))


@pytest.fixture
def guichet(home: Path, database_url: str) -> Iterator[Guichet]:
    web, smtp = free_ports(2)
    with Guichet(home, database_url, web, smtp) as guichet:
        yield guichet


def written_by(guichet: Guichet, home: Path) -> list[Path]:
    """List everything the server wrote: its files, its output, and the database's own files and log."""
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


def test_no_card_number_and_no_code_is_written_anywhere(guichet: Guichet, home: Path) -> None:
    canary, pages = Canary(guichet, home), []
    for card in TABLE.cards:
        pages.append(canary.pay(card.number).name)
    for number in (FOREIGN, TABLE.cards[0].number, "378282246310005"):
        canary.err(number)
    time.sleep(3)

    paths = written_by(guichet, home)

    assert pages.count("paid") >= 30, pages
    assert any(path.name == "serve.log" and path.stat().st_size > 1000 for path in paths)
    assert any(b"%PDF" in part for path in paths if "inbox" in str(path) for part in _inner_parts(path.read_bytes()))
    assert search(paths) == {}


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
        ],
    )
    def test_it_finds_a_card_in_every_dress(self, tmp_path: Path, planted: bytes) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"some text before " + planted + b" and after")

        assert search([path]) == {str(path): {self.NUMBER}}

    @pytest.mark.parametrize("planted", [b"security_code=947&", b'"cvv": "947"', b"csc 9473"])
    def test_it_finds_a_code_where_it_is_called_so(self, tmp_path: Path, planted: bytes) -> None:
        path = tmp_path / "log"
        path.write_bytes(planted)

        assert list(search([path])) == [str(path)]

    def test_it_finds_nothing_in_other_digits(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"2026-11-21T10:00:00 pay_42424242 4000000000000000009 csrf 947 ****4242")

        assert search([path]) == {}


def memory_hits(pid: int, numbers: Iterable[str]) -> set[str]:
    """Find card numbers in the writable memory of a process."""
    needles = [number.encode() for number in numbers]
    found: set[str] = set()
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not match or "[vvar" in line:
                continue
            begin, end = int(match[1], 16), int(match[2], 16)
            with suppress(OSError, ValueError):
                memory.seek(begin)
                content = memory.read(end - begin)
                found |= {needle.decode() for needle in needles if needle in content}
    return found


def foreign_numbers(count: int) -> list[str]:
    """Make card numbers no table holds: the published ones are in every process by right."""
    chance, numbers = random.Random(7), list[str]()  # noqa: S311 - repeatable on purpose
    while len(numbers) < count:
        number = "4" + "".join(str(chance.randrange(10)) for _ in range(15))
        if luhn_valid(number):
            numbers.append(number)
    return numbers


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's memory as a file")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_web_process_forgets_the_cards_it_saw(guichet: Guichet, home: Path) -> None:
    canary, numbers = Canary(guichet, home), foreign_numbers(20)
    pids = guichet.pids("web")
    for number in numbers:
        canary.pay(number)
    payer, page = canary.open()
    for _ in range(200):
        payer.open(page.url)

    found = {pid: memory_hits(pid, numbers) for pid in pids}

    print(f"\nof 20 cards still in memory: {[len(hits) for hits in found.values()]}")  # noqa: T201 - a figure to read
    assert guichet.pids("web") == pids
    assert not any(found.values())


def test_the_search_of_memory_finds_what_is_there() -> None:
    (number,) = foreign_numbers(1)
    kept = bytearray(number.encode())

    assert memory_hits(os.getpid(), [number]) == {kept.decode()}
