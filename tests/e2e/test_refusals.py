"""What a payer can still do when the bank says no, when the code is wrong, and when they change their mind."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPayer
from tests.e2e.native import open_payment
from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS, REFUSED_BY_3DS
from tests.support.server import Server, wait_until

pytestmark = pytest.mark.e2e


def wrong(code: str) -> str:
    """Give a code that is not this one."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_five_wrong_codes_are_refused_and_another_card_pays(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server, scripts=False)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)
    payer.pay(CHALLENGE)
    code = payer.read_code()

    for tries_left in (4, 3, 2, 1):
        payer.enter_code(wrong(code))
        expect(payer.page.locator("#code-hint")).to_contain_text(f"{tries_left} essai")
        payer.page.reload()
        expect(payer.page.locator("#code-hint")).to_contain_text(f"{tries_left} essai")
    payer.enter_code(wrong(code))
    payer.expect("refused")
    payer.press("retry")
    payer.expect("card")
    payer.pay(FRICTIONLESS)
    payer.press("confirm")

    payer.expect("paid")


def test_a_code_that_cannot_be_one_costs_no_try(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)
    payer.pay(CHALLENGE)
    code = payer.read_code()

    payer.enter_code("12345")
    payer.page.locator("#faults").wait_for()

    assert "5 essais" in payer.page.locator("#code-hint").inner_text()
    payer.enter_code(f"{code[:3]} {code[3:]}")
    payer.expect("paid")


def test_a_refused_card_may_be_replaced_by_another(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.come_from_portal(server.portal_url)
    payment = payer.payment

    payer.pay(FUNDS)
    payer.press("confirm")
    payer.expect("refused")
    refusal = payer.page.locator("main").inner_text()
    payer.press("retry")
    payer.expect("card")
    payer.pay(FRICTIONLESS)
    payer.press("confirm")
    payer.expect("paid")

    assert "Aucun montant n’a été débité" in refusal
    assert "provision" not in refusal
    assert wait_until(lambda: server.portal_state(payment) == "paid")


def test_three_refusals_end_the_payment_and_lead_back_to_the_portal(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.come_from_portal(server.portal_url)
    payment = payer.payment

    for number in (FUNDS, REFUSED_BY_3DS, FUNDS):
        payer.pay(number)
        if number == FUNDS:
            payer.press("confirm")
        payer.expect("refused")
        last = payer.button("retry").count() == 0
        if not last:
            payer.press("retry")
            payer.expect("card")

    assert last
    payer.press("return")
    payer.page.wait_for_url(f"{server.portal_url}/mairie/payments/*")
    assert wait_until(lambda: server.portal_state(payment) == "refused")


def test_giving_up_after_a_refusal_is_a_refusal(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.come_from_portal(server.portal_url)
    payment = payer.payment

    payer.pay(FUNDS)
    payer.press("confirm")
    payer.expect("refused")
    payer.press("return")

    payer.page.wait_for_url(f"{server.portal_url}/mairie/payments/*")
    assert wait_until(lambda: server.portal_state(payment) == "refused")


@pytest.mark.parametrize(("stage", "scripts"), [("card", False), ("challenge", True), ("review", False)])
def test_a_cancelled_debt_can_be_paid_again_at_once(
    new_payer: NewPayer, server: Server, stage: str, scripts: bool
) -> None:
    payer = new_payer(server, scripts=scripts)
    payer.come_from_portal(server.portal_url)
    payment = payer.payment
    if stage != "card":
        payer.pay(CHALLENGE if stage == "challenge" else FRICTIONLESS)
    payer.expect(stage)

    payer.press("cancel")
    payer.expect("cancelled")
    payer.press("return")
    payer.page.wait_for_url(f"{server.portal_url}/mairie/payments/*")
    assert wait_until(lambda: server.portal_state(payment) == "cancelled")
    payer.page.goto(f"{server.portal_url}/mairie/")
    payer.press("pay")

    payer.expect("card")
    assert payer.payment != payment


def test_a_card_may_be_changed_before_its_code_is_typed(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)
    payer.pay(CHALLENGE)
    payer.expect("challenge")

    payer.press("retry")
    payer.expect("card")
    payer.pay(FRICTIONLESS)
    payer.expect("review")
    payer.press("confirm")

    payer.expect("paid")
