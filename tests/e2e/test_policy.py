"""What holds beside the payer's own pages too (``test_accessible.py``): they are accessible, and closed to everybody else.

Console, foreign hosts and headers are watched in all other journeys too (``Watch``).
"""

import socket
from http.client import HTTPResponse
from typing import Literal
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e import proofs
from tests.e2e.conftest import DESK, PHONE, NewPayer, Theatre
from tests.e2e.native import open_payment
from tests.e2e.payer import Payer, missing_headers
from tests.factories import CHALLENGE
from tests.support.server import Server

pytestmark = pytest.mark.e2e

LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((DESK, "dark"), (PHONE, "light"), (DESK, "light"))


@pytest.mark.parametrize("path", ["/_test/inbox", "/_test/cards", "/_test/lab", "/p/nowhere", "/docs"])
def test_a_page_beside_the_payment_is_accessible(new_payer: NewPayer, theatre: Theatre, path: str) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.pay(CHALLENGE)
    payer.read_code()

    payer.page.goto(f"{theatre.base_url}{path}")

    assert inspect(payer) == []


def inspect(payer: Payer) -> list[str]:
    """Tell what is wrong with a page, at both widths and in the dark: axe's violations, and a width that must be scrolled."""
    page, found = payer.page, []
    # Colours do not change with the width: one look in the dark is enough.
    for width, scheme in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{page.title()}, {width} {scheme}: {fault}" for fault in proofs.axe(page)]
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{page.title()}, {width} {scheme}: {overflow} px too wide"] if overflow > 0 else []
    return found


def test_every_status_carries_the_security_headers(server: Server) -> None:
    page = open_payment(server.base_url, server.home).checkout_url

    answers = [
        ask("GET", page),
        ask("GET", f"{page}/challenge"),
        ask("POST", page, "action=pay"),
        ask("GET", f"{server.base_url}/nowhere"),
        ask("DELETE", page),
        ask("POST", page, "number=" + "4" * 70_000),
        ask("POST", f"{server.base_url}/v1/payments", "not a request"),
        ask("GET", f"{server.base_url}/_test/inbox.json"),
    ]

    assert [answer.status_code for answer in answers[:6]] == [200, 303, 400, 404, 405, 413]
    assert [missing_headers(dict(answer.headers)) for answer in answers] == [[]] * len(answers)
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /tell-tale HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\ntell-tale : 1\r\n\r\n", 400),
        (b"GET /?" + b"tell-tale" * 1000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\ntell-tale: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: tell-tale\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_refused_under_the_same_headers(server: Server, said: bytes, status: int) -> None:
    address = urlsplit(server.base_url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as line:
        line.sendall(said)
        answer = HTTPResponse(line)
        answer.begin()
        words = answer.read()

    assert answer.status == status
    assert missing_headers(dict(answer.getheaders())) == []
    # Nor are the caller's words given back: it is nobody's page to write on.
    assert b"tell-tale" not in words


def ask(method: str, url: str, body: str = "") -> requests.Response:
    """Send one request on a connection of its own and follow nothing."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, data=body, headers=headers, timeout=60, allow_redirects=False)
