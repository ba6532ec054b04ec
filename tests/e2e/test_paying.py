"""Whole payments, from an invoice on the portal to the portal's knowledge that it is paid."""

import io

import pytest
from playwright.sync_api import expect
from pypdf import PdfReader

from tests.e2e.conftest import DESK, PHONE, NewPayer
from tests.e2e.native import attempts_of, open_payment
from tests.e2e.payer import Payer
from tests.factories import CHALLENGE, CO_BADGED_CHALLENGE, FRICTIONLESS
from tests.support.server import Server, get, wait_until

pytestmark = pytest.mark.e2e

# One attempt that has the money; the worker captures it a moment after its approval.
SUCCEEDED = (["approved"], ["captured"])


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_an_invoice_is_paid_with_the_brand_of_the_payers_choice(
    new_payer: NewPayer, server: Server, width: int, scripts: bool
) -> None:
    payer = new_payer(server, width=width, scripts=scripts)
    payer.come_from_portal(server.portal_url)
    payment = payer.payment

    payer.fill_card(CO_BADGED_CHALLENGE)
    payer.page.get_by_label("Visa", exact=True).check()
    payer.press("pay")
    payer.expect("challenge")
    payer.enter_code(payer.read_code())
    payer.expect("paid")

    assert "Visa •••• 0000" in payer.page.locator("main").inner_text()
    payer.press("return")
    payer.page.wait_for_url(f"{server.portal_url}/mairie/payments/*")
    assert wait_until(lambda: server.portal_state(payment) == "paid")


def test_a_payment_on_postgresql_reaches_the_portal_and_both_mailboxes(
    new_payer: NewPayer, postgresql_server: Server
) -> None:
    payer = new_payer(postgresql_server)
    payer.come_from_portal(postgresql_server.portal_url)
    payment = payer.payment

    payer.pay(CHALLENGE)
    payer.enter_code(payer.read_code())
    payer.expect("paid")

    assert wait_until(lambda: postgresql_server.portal_state(payment) == "paid")
    mails = wait_until(lambda: len(sent := postgresql_server.messages("mail", payment)) == 2 and sent)
    assert mails
    assert {str(mail["to"]) for mail in mails} == {"famille@example.org", "regisseur@demonstration.example"}


def test_the_ticket_is_a_page_and_a_pdf(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.page.goto(open_payment(server.base_url, server.home, label="Cantine d’été").checkout_url)
    payer.pay(FRICTIONLESS)
    payer.press("confirm")
    payer.expect("paid")

    payer.page.get_by_role("link", name="Voir le ticket").click()
    payer.expect("ticket")
    pdf = get(f"{payer.page.url}.pdf")

    assert "96,12" in payer.page.locator("main").inner_text()
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert "96,12" in text
    assert "4242" in text
    assert FRICTIONLESS[:7] not in text.replace(" ", "")


def test_a_keyboard_is_enough(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)

    payer.tab_to(payer.field("cc-number"))
    payer.type(CO_BADGED_CHALLENGE)
    payer.tab_to(payer.page.locator("input[name=brand]:checked"))
    payer.page.keyboard.press("ArrowRight")
    payer.tab_to(payer.field("cc-exp"))
    payer.type("1230")
    payer.tab_to(payer.field("cc-csc"))
    payer.type("123")
    payer.page.keyboard.press("Enter")
    payer.expect("challenge")
    payer.tab_to(payer.field("one-time-code"))
    payer.type(payer.read_code())
    payer.tab_to(payer.button("confirm"))
    payer.page.keyboard.press("Enter")
    payer.expect("paid")

    assert "Visa •••• 0000" in payer.page.locator("main").inner_text()
    payer.tab_to(payer.button("return"))


def test_what_is_wrong_is_told_at_once_and_takes_the_focus(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)

    payer.field("cc-number").fill("4242 4242 4242 4241")
    payer.press("pay")
    summary = payer.page.locator("#faults")

    expect(summary).to_be_focused()
    assert summary.locator("a").all_inner_texts()[0].startswith("Date d’expiration")
    assert payer.field("cc-number").input_value() == ""
    summary.locator("a").first.click()
    expect(payer.field("cc-exp")).to_be_focused()


def test_on_a_telephone_the_brand_hides_no_digit(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server, width=PHONE)
    payer.page.goto(open_payment(server.base_url, server.home).checkout_url)

    payer.field("cc-number").fill(CO_BADGED_CHALLENGE)
    expect(payer.page.locator("#brand-name")).to_have_text("CB / Visa")

    assert payer.field("cc-number").input_value() == "4970 1005 0001 0000"
    assert payer.field("cc-number").evaluate("node => node.scrollWidth <= node.clientWidth")


def test_a_double_click_on_pay_makes_one_attempt(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payment = open_payment(server.base_url, server.home)
    payer.page.goto(payment.checkout_url)

    payer.fill_card(CHALLENGE)
    payer.button("pay").dblclick()
    payer.expect("challenge")

    assert attempts_of(server.base_url, server.home, payment.id) == ["authenticating"]


def test_a_double_click_without_script_debits_once(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server, scripts=False)
    payment = open_payment(server.base_url, server.home)
    payer.page.goto(payment.checkout_url)
    payer.pay(FRICTIONLESS)

    payer.button("confirm").dblclick()
    # The second click is shown where the first one stands; without script it is the payer who looks again.
    payer.page.wait_for_selector('main[data-page="waiting"], main[data-page="paid"]')
    while payer.page.locator("main").get_attribute("data-page") == "waiting":
        payer.page.reload()
    payer.expect("paid")

    assert attempts_of(server.base_url, server.home, payment.id) in SUCCEEDED


def test_the_way_back_leads_to_the_paid_page(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payment = open_payment(server.base_url, server.home)
    payer.page.goto(payment.checkout_url)
    payer.pay(CHALLENGE)
    payer.enter_code(payer.read_code())
    payer.expect("paid")

    payer.page.reload()
    payer.expect("paid")
    payer.page.go_back()
    payer.expect("paid")

    assert attempts_of(server.base_url, server.home, payment.id) in SUCCEEDED


def test_a_second_tab_is_shown_where_things_stand(new_payer: NewPayer, server: Server) -> None:
    payer = new_payer(server)
    payment = open_payment(server.base_url, server.home)
    payer.page.goto(payment.checkout_url)
    other = Payer(payer.page.context.new_page(), server.base_url, server.messages)
    other.page.goto(payment.checkout_url)

    payer.pay(FRICTIONLESS)
    payer.press("confirm")
    payer.expect("paid")
    other.pay(CHALLENGE)
    other.expect("paid")

    assert attempts_of(server.base_url, server.home, payment.id) in SUCCEEDED
