"""What time does to a payment: the code's cool-down, the page's end, a bank that takes long or says nothing."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPayer, Theatre
from tests.e2e.native import open_payment
from tests.e2e.payer import Payer
from tests.e2e.test_clock import stop_clock
from tests.factories import CHALLENGE, FRICTIONLESS, SILENT_APPROVED
from tests.support.server import Server, wait_until

pytestmark = pytest.mark.e2e
SLOW = "4000000600060000"  # approved after six seconds; a payer is kept for four


def test_a_new_code_can_be_asked_for_after_the_cool_down_and_kills_the_old_one(
    new_payer: NewPayer, theatre: Theatre
) -> None:
    payer = new_payer(theatre)
    stop_clock(payer, theatre)
    payer.page.goto(theatre.open())
    payer.pay(CHALLENGE)
    old = payer.read_code()
    hint = payer.page.locator("#resend-hint")

    expect(payer.button("resend")).to_have_attribute("aria-disabled", "true")
    expect(hint).to_have_text(re.compile(r"dans (30|2\d) s"))
    theatre.clock.advance(seconds=31)
    payer.page.clock.fast_forward(31_000)
    expect(payer.button("resend")).not_to_have_attribute("aria-disabled", "true")
    payer.press("resend")
    expect(hint).to_have_text(re.compile(r"dans (60|5\d) s"))
    new = payer.read_code(messages=2)

    assert new != old
    payer.enter_code(old)
    payer.page.locator("#faults").wait_for()
    payer.enter_code(new)
    payer.expect("paid")


def test_without_script_asking_too_early_sends_nothing_and_tells_when(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre, scripts=False)
    payer.page.goto(theatre.open())
    payer.pay(CHALLENGE)
    code = payer.read_code()

    payer.press("resend")
    payer.expect("challenge")

    assert "11:00" in payer.page.locator("#resend-hint").inner_text()
    assert len(theatre.messages("sms", payer.payment)) == 1
    payer.enter_code(code)
    payer.expect("paid")


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_a_page_left_open_too_long_says_that_its_time_has_passed(
    new_payer: NewPayer, theatre: Theatre, scripts: bool
) -> None:
    payer = new_payer(theatre, scripts=scripts)
    payer.page.goto(theatre.open())
    payer.expect("card")

    theatre.clock.advance(minutes=31)
    payer.pay(FRICTIONLESS)

    payer.expect("expired")
    assert payer.button("pay").count() == 0
    payer.page.reload()
    payer.expect("expired")


def test_a_code_typed_after_the_end_debits_nothing(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.pay(CHALLENGE)
    code = payer.read_code()

    theatre.clock.advance(minutes=31)
    payer.enter_code(code)

    payer.expect("expired")


def test_a_code_left_for_ten_minutes_is_a_refused_try(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.pay(CHALLENGE)
    payer.expect("challenge")

    theatre.clock.advance(minutes=11)
    payer.page.reload()

    payer.expect("refused")
    payer.press("retry")
    payer.expect("card")


def test_a_silent_bank_is_waited_for_until_the_sweeper_knows(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.pay(SILENT_APPROVED)
    payer.press("confirm")
    payer.expect("waiting")

    for _ in range(6):
        theatre.clock.advance(minutes=1)
        theatre.parts.checkout.sweep()

    payer.expect("paid")


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_a_slow_bank_is_waited_for(new_payer: NewPayer, server: Server, scripts: bool) -> None:
    payer = new_payer(server, scripts=scripts)
    # The page says so for two seconds, which a machine that stalls may miss.
    assert any(is_kept_waiting(payer, server) for _ in range(3))

    if not scripts:
        wait_until(lambda: refreshed(payer) != "waiting")
    payer.expect("paid")


def is_kept_waiting(payer: Payer, server: Server) -> bool:
    """Pay with the slow card, and say whether the page that says so is there."""
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)
    payer.pay(SLOW)
    payer.press("confirm")
    waiting = payer.page.locator('main[data-page="waiting"]')
    waiting.or_(payer.page.locator('main[data-page="paid"]')).wait_for()
    return waiting.is_visible()


def refreshed(payer: Payer) -> str:
    """Follow the page's own link to itself, and tell which page came."""
    payer.page.get_by_role("link", name="Actualiser").click()
    return payer.page.locator("main").get_attribute("data-page") or ""
