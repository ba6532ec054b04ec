"""Payments made under hard conditions: a slow network, a script that never comes, a keyboard and a narrow screen."""

import time

import pytest

from tests.e2e.conftest import NewPayer
from tests.e2e.native import attempts_of, open_payment
from tests.e2e.payer import Payer
from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS
from tests.support.figures import record
from tests.support.server import Server

pytestmark = pytest.mark.e2e

NARROW = 320  # a page of 1280 px at a zoom of 400 % (WCAG 2.2, 1.4.10)
# What browsers' own tools call a slow telephone: 400 kbit/s each way, 400 ms before the first byte.
BYTES_PER_SECOND, LATENCY_MS = 50_000, 400
WEIGHT_MAX = 60_000  # a second and a fifth of such a line; the rest is waiting for it, and the machine's own time
# What came over the wire: the page, and what it fetched.
WEIGHT = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
  .reduce((sum, one) => sum + one.transferSize, 0)"""


def test_over_a_slow_network_a_page_comes_soon_and_an_impatient_payer_pays_once(
    new_payer: NewPayer, server: Server
) -> None:
    payer, payment = new_payer(server, width=NARROW), open_payment(server.base_url, server.home)
    slow_down(payer)

    began = time.monotonic()
    payer.page.goto(payment.checkout_url)
    seconds, weight = time.monotonic() - began, payer.page.evaluate(WEIGHT)
    payer.fill_card(FRICTIONLESS)
    payer.button("pay").dblclick()
    payer.expect("review")
    payer.button("confirm").dblclick()
    payer.expect("paid")

    assert attempts_of(server.base_url, server.home, payment.id) in (["approved"], ["captured"])
    assert seconds > LATENCY_MS / 1000
    assert 0 < weight < WEIGHT_MAX
    record("slow network: the card page", seconds=round(seconds, 1), kbit_s=400, latency_ms=LATENCY_MS)


def slow_down(payer: Payer) -> None:
    """Give the browser a slow telephone's network."""
    session = payer.page.context.new_cdp_session(payer.page)
    session.send("Network.enable")
    speed = {"downloadThroughput": BYTES_PER_SECOND, "uploadThroughput": BYTES_PER_SECOND}
    session.send("Network.emulateNetworkConditions", {"offline": False, "latency": LATENCY_MS, **speed})


def test_a_script_that_never_comes_keeps_nobody_from_paying(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server, width=NARROW)
    payer.page.route("**/checkout.js*", lambda _: None)

    payer.page.goto(open_payment(server.base_url, server.home).checkout_url, wait_until="commit")
    payer.pay(CHALLENGE)
    payer.expect("challenge")
    payer.enter_code(payer.read_code())

    payer.expect("paid")


def test_a_keyboard_leads_out_of_a_refusal_and_out_of_the_payment(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server, width=NARROW)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)

    for autocomplete, text in (("cc-number", FUNDS), ("cc-exp", "1230"), ("cc-csc", "123")):
        payer.tab_to(payer.field(autocomplete))
        payer.type(text)
    press_by_key(payer, "pay", "Space", "review")
    press_by_key(payer, "confirm", "Enter", "refused")
    press_by_key(payer, "retry", "Space", "card")
    press_by_key(payer, "cancel", "Enter", "refused")

    payer.tab_to(payer.button("return"))


def press_by_key(payer: Payer, action: str, key: str, leads_to: str) -> None:
    """Go to a button with Tab, press it with a key and see where that leads."""
    payer.tab_to(payer.button(action))
    payer.page.keyboard.press(key)
    payer.expect(leads_to)
