"""Proof against payers: two fingers, two tabs, two devices, a lost answer, a window of any kind, a change of mind."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from playwright.sync_api import Browser, Route, expect
from playwright.sync_api import Error as Closed

from gateway.core.payment import PaymentResult
from gateway.dialects import Open
from tests.dialects.samples import SAMPLES
from tests.e2e.conftest import DESK, PHONE, NewPayer, Theatre
from tests.e2e.native import attempts_of, open_payment
from tests.e2e.payer import SECURITY_HEADERS, Payer
from tests.factories import CHALLENGE, FRICTIONLESS, a_card, a_request, an_open
from tests.support.server import Server

pytestmark = pytest.mark.e2e

# What browsers inside other apps do without: an opener, windows, storage.
IN_APP = """
Object.defineProperty(window, "opener", { value: null });
window.open = () => null;
for (const name of ["sessionStorage", "localStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
"""


def ask_by_payfip(theatre: Theatre) -> PaymentResult:
    """Have a portal ask for one bill, as it does at each press of its button."""
    now = theatre.clock.now()
    command = theatre.parts.dialects["payfip"].read(SAMPLES["payfip"]("ORDER0000001", now), now)
    assert isinstance(command, Open)
    return theatre.parts.checkout.opening.open(command, "payfip")[0]


class Losing:
    """Lets the first post of a page arrive, and loses the answer: the browser stays where it is."""

    def __init__(self, payer: Payer) -> None:
        self.lost: list[int] = []
        payer.page.route("**/p/*", self._answer)

    def _answer(self, route: Route) -> None:
        if route.request.method != "POST" or self.lost:
            route.continue_()
            return
        answer = route.fetch(max_redirects=0)
        self.lost.append(answer.status)
        kept = {name: value for name, value in answer.headers.items() if name in SECURITY_HEADERS}
        route.fulfill(status=204, headers=kept)


def test_a_lost_answer_to_the_last_press_debits_once_and_is_found_again(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.pay(FRICTIONLESS)
    payer.expect("review")
    payment, losing = payer.payment, Losing(payer)

    payer.press("confirm")
    payer.page.wait_for_function("document.querySelector('button[value=confirm]').ariaDisabled === 'true'")
    payer.page.reload()

    payer.expect("paid")
    assert losing.lost == [303]
    (attempt,) = theatre.parts.checkout.opening.told(payment).attempts
    assert attempt.status in ("approved", "captured")


def test_a_card_sent_twice_because_the_first_answer_was_lost_is_debited_once(
    new_payer: NewPayer, server: Server
) -> None:
    payer = new_payer(server, scripts=False)
    payment = open_payment(server.base_url, server.home)
    payer.page.goto(payment.checkout_url)
    payer.fill_card(FRICTIONLESS)
    losing = Losing(payer)

    payer.press("pay")
    payer.press("pay")
    payer.expect("review")
    payer.press("confirm")
    payer.expect("paid")

    states = attempts_of(server.base_url, server.home, payment.id)
    assert losing.lost == [303]
    assert len([state for state in states if state in ("approved", "captured")]) == 1


@pytest.fixture
def bare(browser: Browser, theatre: Theatre) -> Iterator[Callable[..., Payer]]:
    """Make payers whose pages lack a header on purpose: a window that a portal opened keeps its opener."""
    with ExitStack() as stack:

        def make(script: str = "", width: int = PHONE) -> Payer:
            context = browser.new_context(viewport={"width": width, "height": 640}, locale="fr-FR")
            stack.callback(context.close)
            if script:
                context.add_init_script(script)
            return Payer(context.new_page(), theatre.base_url, theatre.messages)

        yield make


def test_inside_another_app_a_payment_goes_through(bare: Callable[..., Payer], theatre: Theatre) -> None:
    payer = bare(IN_APP)
    faults: list[str] = []
    payer.page.on("pageerror", lambda error: faults.append(str(error)))
    payer.page.goto(theatre.open())

    payer.pay(CHALLENGE)
    payer.enter_code(payer.read_code())
    payer.expect("paid")

    assert faults == []
    assert not payer.page.locator("[data-close]").is_visible()


def test_in_a_window_of_its_own_a_tipi_page_offers_to_close_it(bare: Callable[..., Payer], theatre: Theatre) -> None:
    payer = bare()
    facts = "numcli=004200&exer=2026&refdet=POPUP00001&objet=Cantine&montant=1500&mel=a@example.org&saisie=T"
    bill = f"{theatre.base_url}/tpa/paiement.web?{facts}"
    with payer.page.expect_popup() as opened:
        payer.page.evaluate("address => { window.open(address, 'tipi', 'popup,width=600'); }", bill)
    inside = Payer(opened.value, theatre.base_url, theatre.messages)
    inside.expect("card")
    inside.pay(FRICTIONLESS)
    inside.press("confirm")
    inside.expect("paid")

    # The window may be gone before the click is told to have been made.
    with inside.page.expect_event("close"), suppress(Closed):
        inside.page.locator("[data-close]").click()


def test_the_portals_link_leads_back_to_where_the_payer_was(new_payer: NewPayer, theatre: Theatre) -> None:
    """A tab closed by mistake; the same request once more, from the same browser."""
    payer, command = new_payer(theatre), an_open(a_request())
    opening = theatre.parts.checkout.opening
    first, _ = opening.open(command, "native")
    payer.page.goto(theatre.parts.links.page(first.id))
    payer.pay(CHALLENGE)
    payer.expect("challenge")
    other_tab = Payer(payer.page.context.new_page(), theatre.base_url, theatre.messages)
    payer.page.close()

    again, is_new = opening.open(command, "native")
    other_tab.page.goto(theatre.parts.links.page(again.id))

    other_tab.expect("challenge")
    assert (again.id, is_new) == (first.id, False)
    other_tab.enter_code(other_tab.read_code())
    other_tab.expect("paid")


def test_a_cancelled_debt_is_free_for_another_payment_at_once_and_the_way_back_pays_nothing(
    new_payer: NewPayer, theatre: Theatre
) -> None:
    payer, request = new_payer(theatre), a_request()
    first, _ = theatre.parts.checkout.opening.open(an_open(request), "native")
    payer.page.goto(theatre.parts.links.page(first.id))
    payer.press("cancel")
    payer.expect("cancelled")

    second, is_new = theatre.parts.checkout.opening.open(an_open(request), "native")

    assert is_new
    payer.page.go_back()
    payer.expect("cancelled")
    payer.page.goto(theatre.parts.links.page(second.id))
    payer.expect("card")


def test_a_page_out_of_the_back_forward_cache_asks_again_where_things_stand(
    new_payer: NewPayer, theatre: Theatre
) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payer.expect("card")
    theatre.parts.checkout.paying.cancel(payer.payment)

    payer.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")

    payer.expect("cancelled")


def test_going_on_with_another_device_begins_at_the_portal(bare: Callable[..., Payer], theatre: Theatre) -> None:
    """The error page says what to do; done, it works, and the first device is told the truth."""
    telephone, computer = bare(), bare(width=DESK)
    first = ask_by_payfip(theatre)
    telephone.page.goto(theatre.parts.links.page(first.id))
    telephone.expect("card")
    computer.page.goto(theatre.parts.links.page(first.id))
    expect(computer.page.locator("main")).to_contain_text(re.compile("appuyez de nouveau"))

    second = ask_by_payfip(theatre)
    computer.page.goto(theatre.parts.links.page(second.id))
    computer.expect("card")
    telephone.pay(FRICTIONLESS)

    telephone.expect("cancelled")
    computer.pay(FRICTIONLESS)
    computer.press("confirm")
    computer.expect("paid")


def test_the_page_that_takes_no_more_cards_says_so(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    payer.page.goto(theatre.open())
    payment = payer.payment
    # Ten cards; each is taken back before its bank is asked.
    for _ in range(10):
        theatre.parts.checkout.paying.enter_card(payment, a_card(), scheme="", email="")
        theatre.parts.checkout.paying.change_card(payment)

    payer.pay(FRICTIONLESS)

    payer.expect("card")
    expect(payer.page.locator("main .notice")).to_contain_text("Trop de cartes ont été saisies")
    assert payer.button("pay").count() == 0
    payer.press("cancel")
    payer.expect("cancelled")
