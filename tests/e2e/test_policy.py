"""What holds for every page a payer can reach: it is accessible, in each language and at each width, and it is closed to
everybody else. Console, foreign hosts and headers are watched in all other journeys too (``Watch``)."""

from typing import Literal

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.conftest import DESK, PHONE, NewPayer, Theatre
from tests.e2e.native import open_payment
from tests.e2e.payer import Payer, missing_headers
from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS, SILENT_LOST
from tests.support.server import Server

pytestmark = pytest.mark.e2e

AXE = Axe().axe_script
LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((DESK, "dark"), (PHONE, "light"), (DESK, "light"))
VIOLATIONS = """axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
  violations.map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.target).join("; ")}`))"""


# The way to each page of a payment, each from the card page of a new one.


def to_card_faults(payer: Payer, _theatre: Theatre) -> None:
    payer.press("pay")
    payer.page.locator("#faults").wait_for()


def to_challenge(payer: Payer, _theatre: Theatre) -> None:
    payer.pay(CHALLENGE)
    payer.expect("challenge")


def to_challenge_faults(payer: Payer, theatre: Theatre) -> None:
    to_challenge(payer, theatre)
    payer.enter_code("000 00")
    payer.page.locator("#faults").wait_for()


def to_review(payer: Payer, _theatre: Theatre) -> None:
    payer.pay(FRICTIONLESS)
    payer.expect("review")


def to_paid(payer: Payer, theatre: Theatre) -> None:
    to_review(payer, theatre)
    payer.press("confirm")
    payer.expect("paid")


def to_ticket(payer: Payer, theatre: Theatre) -> None:
    to_paid(payer, theatre)
    payer.page.locator(".documents a:not([download])").click()
    payer.expect("ticket")


def to_waiting(payer: Payer, _theatre: Theatre) -> None:
    payer.pay(SILENT_LOST)
    payer.press("confirm")
    payer.expect("waiting")


def to_refused(payer: Payer, _theatre: Theatre) -> None:
    payer.pay(FUNDS)
    payer.press("confirm")
    payer.expect("refused")


def to_cancelled(payer: Payer, _theatre: Theatre) -> None:
    payer.press("cancel")
    payer.expect("cancelled")


def to_expired(payer: Payer, theatre: Theatre) -> None:
    theatre.clock.advance(minutes=31)
    payer.page.reload()
    payer.expect("expired")


def to_card(payer: Payer, _theatre: Theatre) -> None:
    payer.expect("card")


WAYS = (
    to_card, to_card_faults, to_challenge, to_challenge_faults, to_review, to_waiting, to_paid, to_ticket, to_refused,
    to_cancelled, to_expired,
)  # fmt: skip


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_page_is_accessible_and_fits_at_both_widths(new_payer: NewPayer, theatre: Theatre, language: str) -> None:
    payer = new_payer(theatre)

    found = []
    for way in WAYS:
        payer.page.goto(f"{theatre.open(language=language)}?lang={language}")
        way(payer, theatre)
        found += inspect(payer)

    assert found == []


@pytest.mark.parametrize("path", ["/_test/inbox", "/_test/cards", "/p/nowhere", "/docs"])
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
    page.evaluate(AXE)
    # Colours do not change with the width: one look in the dark is enough.
    for width, scheme in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        # No part of a page may be judged half faded in.
        page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished))")
        found += [f"{page.title()}, {width} {scheme}: {fault}" for fault in page.evaluate(VIOLATIONS)]
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


def ask(method: str, url: str, body: str = "") -> requests.Response:
    """Send one request on a connection of its own and follow nothing."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, data=body, headers=headers, timeout=10, allow_redirects=False)
