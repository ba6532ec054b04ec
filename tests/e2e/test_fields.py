"""How the fields of the card page behave under real fingers: typed, pasted, filled in, left, and sent back."""

import pytest
from playwright.sync_api import Route, expect

from tests.e2e.conftest import NewPayer, Theatre
from tests.e2e.payer import Payer
from tests.factories import CO_BADGED_CHALLENGE, FRICTIONLESS

pytestmark = pytest.mark.e2e

CARET = "node => node.selectionStart"
PASTE = """(node, text) => {
  node.focus();
  node.select();
  document.execCommand("insertText", false, text);
}"""
# A number in full-width digits, with separators no keyboard has.
WIDE = "４２４２\u00a04242\u202f4242\u20114242"


@pytest.fixture
def payer(new_payer: NewPayer, theatre: Theatre) -> Payer:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    return payer


def said(payer: Payer) -> str:
    return payer.page.locator("#live").inner_text()


def test_digits_are_grouped_and_the_caret_stays_where_it_was(payer: Payer) -> None:
    number = payer.field("cc-number")
    number.press_sequentially("42424242424242")
    expect(number).to_have_value("4242 4242 4242 42")

    for _ in range(5):
        number.press("ArrowLeft")
    number.press("1")

    expect(number).to_have_value("4242 4242 4214 242")
    assert number.evaluate(CARET) == 13
    number.press("Backspace")
    expect(number).to_have_value("4242 4242 4242 42")
    assert number.evaluate(CARET) == 12


def test_a_number_is_pasted_in_any_shape(payer: Payer) -> None:
    number = payer.field("cc-number")
    for shape in ("4242424242424242", "4242-4242-4242-4242", " 4242.4242.4242.4242 ", WIDE):
        number.evaluate(PASTE, shape)
        expect(number).to_have_value("4242 4242 4242 4242")
    number.evaluate(PASTE, "378282246310005")
    expect(number).to_have_value("3782 822463 10005")


def test_an_expiry_is_typed_and_filled_in_in_any_usual_shape(payer: Payer) -> None:
    expiry = payer.field("cc-exp")
    for typed, shown in (("0127", "01/27"), ("1/27", "01/27"), ("01-2027", "01/2027"), ("527", "05/27")):
        expiry.fill("")
        expiry.press_sequentially(typed)
        expect(expiry).to_have_value(shown)
    for filled in ("2030-01", "01/2030", "1/30", "0130"):
        expiry.fill(filled)
        expiry.press("Tab")
        expect(payer.page.locator("#expiry-error")).to_have_count(0)
    expiry.fill("2030-01")
    payer.field("cc-number").fill(FRICTIONLESS)
    payer.field("cc-csc").fill("１２３")
    payer.press("pay")
    payer.expect("review")


def test_a_field_is_checked_when_it_is_left_neither_while_typed_in_nor_while_empty(payer: Payer) -> None:
    number, error = payer.field("cc-number"), payer.page.locator("#number-error")
    number.focus()
    number.press("Tab")
    expect(error).to_have_count(0)
    number.press_sequentially("4242 4242")
    expect(error).to_have_count(0)

    number.press("Tab")

    expect(error).to_contain_text("Vérifiez votre numéro de carte")
    expect(number).to_have_attribute("aria-invalid", "true")
    assert "number-error" in (number.get_attribute("aria-describedby") or "").split()
    assert said(payer).startswith("Vérifiez votre numéro de carte")
    number.fill(FRICTIONLESS)
    number.press("Tab")
    expect(error).to_have_count(0)
    assert number.get_attribute("aria-invalid") is None
    assert number.get_attribute("aria-describedby") is None


def test_a_brand_that_is_known_late_does_not_talk_over_what_is_wrong(payer: Payer) -> None:
    asked: list[Route] = []
    payer.page.route("**/brands", lambda route: asked.append(route))
    payer.field("cc-number").press_sequentially("4242 4242")
    payer.field("cc-number").press("Tab")
    expect(payer.page.locator("#number-error")).to_be_visible()

    asked.pop().continue_()

    expect(payer.page.locator("#brand-name")).to_have_text("Visa")
    assert said(payer).startswith("Vérifiez votre numéro de carte")


def test_each_field_says_at_itself_what_is_wrong_and_pressing_pay_is_never_lost(payer: Payer) -> None:
    for name, typed, wrong in (
        ("cc-exp", "130", "expiry"),
        ("cc-csc", "12", "security_code"),
        ("email", "claire", "email"),
    ):
        payer.field(name).fill(typed)
        payer.field(name).press("Tab")
        expect(payer.page.locator(f"#{wrong}-error")).to_be_visible()
    payer.fill_card(FRICTIONLESS)
    payer.field("email").fill("claire")

    payer.press("pay")

    summary = payer.page.locator("#faults")
    expect(summary).to_be_focused()
    summary.locator("a[href='#email']").click()
    expect(payer.field("email")).to_be_focused()
    kept = [payer.field(name).input_value() for name in ("cc-exp", "email", "cc-number", "cc-csc")]
    assert kept == ["12/30", "claire", "", ""]
    payer.field("email").fill("claire@example.org")
    payer.field("email").press("Tab")
    expect(payer.page.locator("#email-error")).to_have_count(0)


def test_brands_are_announced_and_offered_only_when_there_is_a_choice(payer: Payer) -> None:
    choice, number = payer.page.locator("#brand"), payer.field("cc-number")
    expect(choice).to_be_hidden()

    number.fill(FRICTIONLESS)
    expect(payer.page.locator("#live")).to_have_text("Carte reconnue : Visa.")
    expect(choice).to_be_hidden()
    number.fill(CO_BADGED_CHALLENGE)

    expect(payer.page.locator("#live")).to_contain_text("CB, Visa")
    expect(choice).to_be_visible()
    payer.page.get_by_label("Visa", exact=True).check()
    payer.press("pay")
    payer.page.locator("#faults").wait_for()
    expect(choice).to_be_hidden()
    number.fill(CO_BADGED_CHALLENGE)
    expect(payer.page.get_by_label("Visa", exact=True)).to_be_checked()


def test_a_mistyped_host_is_asked_about_and_may_stay(payer: Payer) -> None:
    email, question = payer.field("email"), payer.page.locator("#email-suggestion")
    email.fill("claire@gmial.com")
    email.press("Tab")
    expect(question).to_contain_text("claire@gmail.com")
    assert "claire@gmail.com" in said(payer)

    question.locator("[data-suggestion=no]").click()
    email.press("Tab")
    expect(question).to_be_hidden()
    email.fill("claire@ornage.fr")
    email.press("Tab")
    question.locator("[data-suggestion=yes]").click()

    expect(email).to_have_value("claire@orange.fr")
    expect(email).to_be_focused()
