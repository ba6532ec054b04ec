"""An honest clock: the limit in words, a warning in time, one press for more, and the truth at the end (WCAG 2.2, 2.2.1)."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPayer, Theatre
from tests.e2e.payer import Payer
from tests.factories import CHALLENGE, FRICTIONLESS

pytestmark = pytest.mark.e2e

# What the live region said since the page was there; it is a part of the page from the start.
LISTEN = """() => {
  window.said = [];
  const live = document.getElementById("live");
  new MutationObserver(() => window.said.push(live.textContent)).observe(live, { childList: true });
}"""


def stop_clock(payer: Payer, theatre: Theatre, fast_by: timedelta = timedelta()) -> None:
    """Have the browser's clock, too, stand still until it is moved; it stops a moment ahead, where time has not yet come."""
    payer.page.clock.install(time=theatre.clock.now() + fast_by)
    payer.page.clock.pause_at(theatre.clock.now() + fast_by + timedelta(seconds=1))


def pass_minutes(payer: Payer, theatre: Theatre, minutes: float) -> None:
    """Let as much time pass in the house as before the browser."""
    theatre.clock.advance(minutes=minutes)
    payer.page.clock.run_for(int(minutes * 60_000))


def test_the_end_is_announced_at_five_two_and_one_minute_and_put_off_by_one_press(
    new_payer: NewPayer, theatre: Theatre
) -> None:
    payer = new_payer(theatre)
    # The payer's own clock is wrong by a day; what counts is what the server says is left.
    stop_clock(payer, theatre, timedelta(days=1))
    payer.page.goto(theatre.open())
    payer.page.evaluate(LISTEN)
    until, warning = payer.page.locator(".deadline"), payer.page.locator(".time-left")
    payer.field("cc-exp").fill("1230")
    payer.field("cc-number").fill(FRICTIONLESS)

    expect(until).to_have_text("Vous avez jusqu’à 11:30 pour payer.")
    expect(payer.button("extend")).to_be_visible()
    pass_minutes(payer, theatre, 24.9)
    expect(warning).to_be_hidden()
    pass_minutes(payer, theatre, 4.2)

    expect(warning).to_have_text("Il reste moins de 1 min pour payer.")
    heard = [text for text in payer.page.evaluate("window.said") if "moins de" in text]
    assert [int(re.findall(r"\d+", text)[0]) for text in heard] == [5, 2, 1]
    expect(payer.button("extend")).to_be_in_viewport()
    payer.press("extend")
    expect(until).to_have_text("Vous avez jusqu’à 11:59 pour payer.")
    expect(warning).to_be_hidden()
    assert payer.page.evaluate("window.said").pop().startswith("Vous avez jusqu’à 11:59")
    assert payer.field("cc-number").input_value() == "4242 4242 4242 4242"
    assert payer.field("cc-exp").input_value() == "12/30"


def test_without_script_the_button_is_there_and_what_was_typed_stays_but_number_and_code(
    new_payer: NewPayer, theatre: Theatre
) -> None:
    payer = new_payer(theatre, scripts=False)
    payer.page.goto(theatre.open())
    payer.fill_card(FRICTIONLESS)
    theatre.clock.advance(minutes=20)

    payer.press("extend")

    expect(payer.page.locator(".deadline")).to_have_text("Vous avez jusqu’à 11:50 pour payer.")
    assert payer.page.locator("#faults").count() == 0
    kept = [payer.field(name).input_value() for name in ("cc-exp", "email", "cc-number", "cc-csc")]
    assert kept == ["12/30", "famille@example.org", "", ""]
    # Enter in a field presses the form's first button, which must be the one that pays.
    payer.fill_card(CHALLENGE)
    payer.field("cc-csc").press("Enter")
    payer.expect("challenge")


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_the_tenth_extension_is_the_last_and_says_so(new_payer: NewPayer, theatre: Theatre, scripts: bool) -> None:
    payer = new_payer(theatre, scripts=scripts)
    payer.page.goto(theatre.open())
    payer.pay(FRICTIONLESS)
    payer.expect("review")
    note = payer.page.locator("[data-note]")

    for _ in range(8):
        theatre.clock.advance(minutes=20)
        theatre.parts.checkout.extending.extend(payer.payment)
    payer.page.reload()
    for _ in range(2):
        expect(note).to_be_hidden()
        theatre.clock.advance(minutes=20)
        payer.press("extend")
        until = f"{theatre.clock.now() + timedelta(hours=1, minutes=30):%H:%M}"
        expect(payer.page.locator(".deadline")).to_contain_text(until)

    expect(note).to_have_text("C’est la dernière prolongation : le délai ne pourra plus être allongé.")
    expect(payer.button("extend")).to_be_hidden()


def test_the_code_page_gives_more_time_to_pay_not_to_the_code(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    theatre.clock.advance(minutes=26)
    payer.pay(CHALLENGE)
    payer.expect("challenge")
    words = payer.page.locator(".deadline")
    expect(words).to_contain_text("Vous avez jusqu’à 11:30 pour payer. Le code est valable jusqu’à 11:31.")
    expect(payer.page.locator(".time-left")).to_have_text("Il reste moins de 5 min pour payer.")

    payer.field("one-time-code").fill("123")
    payer.press("extend")

    expect(words).to_contain_text("Vous avez jusqu’à 11:56 pour payer. Le code est valable jusqu’à 11:31.")
    assert payer.field("one-time-code").input_value() == "123"


def test_a_page_left_alone_says_by_itself_that_it_is_over(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    stop_clock(payer, theatre)
    payer.page.goto(theatre.open())
    payer.expect("card")

    pass_minutes(payer, theatre, 30.1)

    payer.expect("expired")


def test_a_press_that_comes_too_late_is_told_the_truth(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.expect("card")
    theatre.clock.advance(minutes=30)

    payer.press("extend")

    payer.expect("expired")


def test_when_the_network_is_away_nothing_is_lost_and_the_button_stays(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.field("cc-exp").fill("1230")
    payer.page.route("**/p/*", lambda route: route.abort())

    payer.press("extend")

    expect(payer.page.locator(".time-left")).to_have_text("Le délai n’a pas pu être prolongé. Réessayez.")
    assert payer.field("cc-exp").input_value() == "12/30"
    payer.page.unroute("**/p/*")
    theatre.clock.advance(minutes=5)
    payer.press("extend")
    expect(payer.page.locator(".deadline")).to_contain_text("11:35")
