"""The payer goes back to the shop without a click, with and without script, where the shop's form asks for it."""

import pytest
from playwright.sync_api import Page, Route

from gateway.dialects import Open
from tests.dialects.samples import systempay
from tests.e2e.conftest import DESK, PHONE, NewPayer, Theatre
from tests.e2e.payer import Payer
from tests.factories import FRICTIONLESS

pytestmark = pytest.mark.e2e

# The shop of the samples; nobody listens there, the browser is answered in its stead.
SHOP = "http://127.0.0.1:8001/back?a=1"


def shop(page: Page) -> list[str]:
    """Answer for the shop; gives the list of what it is asked for, as it grows."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(f"{route.request.method} {route.request.url} {route.request.post_data or ''}")
        route.fulfill(status=200, content_type="text/html", body="<!doctype html><title>Shop</title><h1>Shop</h1>")

    page.route("http://127.0.0.1:8001/**", answer)
    return asked


def come(theatre: Theatre, payer: Payer, **more: str) -> list[str]:
    now, dialect = theatre.clock.now(), theatre.parts.dialects["systempay"]
    command = dialect.read(systempay("ORDER0000001", now, **more), now)
    assert isinstance(command, Open)
    payment, _ = theatre.parts.checkout.opening.open(command, "systempay")
    asked = shop(payer.page)
    payer.page.goto(theatre.parts.links.page(payment.id))
    return asked


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_at_once_after_a_pressed_button(new_payer: NewPayer, theatre: Theatre, scripts: bool) -> None:
    payer = new_payer(theatre, scripts=scripts)
    asked = come(theatre, payer, vads_return_mode="NONE", vads_redirect_error_timeout="0")

    payer.press("cancel")
    payer.page.wait_for_url(SHOP)

    assert asked == [f"GET {SHOP} "]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_payer_sees_how_long_there_is_and_stays(new_payer: NewPayer, theatre: Theatre, width: int) -> None:
    payer = new_payer(theatre, width=width, scripts=False)
    asked = come(theatre, payer, vads_return_mode="NONE", vads_redirect_success_timeout="9")

    payer.pay(FRICTIONLESS)
    payer.press("confirm")
    payer.expect("paid")
    told = payer.page.locator(".sent-back")
    assert "dans 9 secondes" in told.inner_text()
    assert payer.page.evaluate("document.documentElement.scrollWidth <= innerWidth") is True
    stay = told.get_by_role("link", name="Rester sur cette page")
    assert (box := stay.bounding_box())
    assert box["height"] >= 24
    stay.click()
    payer.page.wait_for_url("**/p/*?stay=1")
    assert payer.page.locator(".sent-back").count() == 0
    assert asked == []


def test_a_result_to_be_posted_is_posted(new_payer: NewPayer, theatre: Theatre) -> None:
    payer = new_payer(theatre)
    asked = come(theatre, payer, vads_return_mode="POST", vads_redirect_error_timeout="0")

    payer.press("cancel")
    payer.page.wait_for_url(SHOP)

    assert len(asked) == 1
    assert asked[0].startswith(f"POST {SHOP} ")
    assert "vads_trans_status=ABANDONED" in asked[0]
