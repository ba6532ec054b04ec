"""The lab beside the payer's page, in one browser: each thing 3-D Secure may say, the page it leads to, what the merchant hears."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewPayer, Theatre
from tests.factories import CHALLENGE, FRICTIONLESS
from tests.support.scale import scaled

pytestmark = pytest.mark.e2e


def wish(lab: Page, verb: str, word: str) -> None:
    """Press one of the lab's buttons, and see it kept."""
    button = lab.locator(f'form:has(input[value="{verb}"]) button[value="{word}"]')
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")


def confirmation(theatre: Theatre, payment: str) -> dict[str, str]:
    """Read what the merchant is told of the first card."""
    with theatre.parts.store.reading() as tx:
        notices = tx.notices.of_payment(tx.payments.get(payment).id)
    (told,) = (json.loads(one.body) for one in notices if one.channel == "confirmation")
    first = told["data"]["attempts"][0]
    return {"type": told["type"], **{name: first[name] for name in ("flow", "eci", "response_code", "response_family")}}


PAID, REFUSED = "payment.succeeded", "payment.refused"
# What is wished, a card that would do otherwise, the page it leads to, and what the merchant is told.
CASES = (
    ("frictionless", CHALLENGE, "review", (PAID, "frictionless", "05", "00", "")),
    ("attempted", CHALLENGE, "review", (PAID, "attempted", "06", "00", "")),
    ("challenge", FRICTIONLESS, "challenge", (PAID, "challenge", "05", "00", "")),
    ("refused", FRICTIONLESS, "refused", (REFUSED, "refused", "", "N", "authentication")),
    ("unavailable", FRICTIONLESS, "refused", (REFUSED, "unavailable", "07", "U", "authentication")),
    ("silent", FRICTIONLESS, "refused", (REFUSED, "", "", "", "technical")),
)
# Of each page one by day; the bank's own tests have them all.
SAMPLE = CASES[:: scaled(2, 1)]


@pytest.mark.nightly_too
def test_what_3d_secure_says_leads_to_its_page_and_is_told_the_merchant(new_payer: NewPayer, theatre: Theatre) -> None:
    payer, heard = new_payer(theatre), {}
    lab = payer.page.context.new_page()
    for word, card, page, _ in SAMPLE:
        payer.page.goto(theatre.open())
        payment = payer.payment
        lab.goto(f"{theatre.base_url}/_test/lab/{payment}")
        wish(lab, "enrol", word)

        payer.pay(card)
        payer.expect(page)
        if page == "review":
            payer.press("confirm")
            payer.expect("paid")
        elif page == "challenge":
            # Nobody touches the lab: the SMS comes to it by itself.
            assert theatre.messages("sms", payment)
            payer.enter_code(lab.locator(".list-code").inner_text())
            payer.expect("paid")
        else:
            theatre.parts.checkout.paying.cancel(payment)

        expect(lab.locator(".forcing")).to_contain_text("nothing can be forced")
        heard[word] = tuple(confirmation(theatre, payment).values())
    assert heard == {word: told for word, _, _, told in SAMPLE}


def test_the_bank_s_answer_is_chosen_while_a_code_is_awaited(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.pay(CHALLENGE)
    payer.expect("challenge")
    with payer.page.context.expect_page() as opened:
        payer.page.locator(".demo a").click()
    lab, payment = opened.value, payer.payment
    wish(lab, "authorise", "fraud")

    payer.enter_code(payer.read_code())

    payer.expect("refused")
    attempt = theatre.parts.checkout.opening.told(payment).attempt
    assert attempt
    assert (attempt.flow, attempt.response_family) == ("challenge", "fraud")


def test_without_script_the_lab_is_refreshed_by_hand(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre, scripts=False)
    payer.page.goto(theatre.open())
    lab = payer.page.context.new_page()
    lab.goto(f"{theatre.base_url}/_test/lab/{payer.payment}")
    payer.pay(CHALLENGE)
    assert theatre.messages("sms", payer.payment)

    assert lab.locator(".list-code").count() == 0
    lab.get_by_role("link", name="Refresh").click()
    assert lab.locator("[data-copy]").is_hidden()
    payer.enter_code(lab.locator(".list-code").inner_text())

    payer.expect("paid")
