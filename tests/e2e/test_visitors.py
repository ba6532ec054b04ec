"""Two people with the address of one page, in real browsers."""

import pytest

from tests.e2e.conftest import DESK, PHONE, NewPayer, Theatre
from tests.factories import CHALLENGE

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_page_opened_on_another_device_says_so_and_goes_on_where_it_was(
    new_payer: NewPayer, theatre: Theatre, width: int
) -> None:
    address, at_home, elsewhere = theatre.open(), new_payer(theatre), new_payer(theatre, width=width)
    at_home.page.goto(address)

    elsewhere.page.goto(address)

    elsewhere.expect("error")
    assert elsewhere.heading == "Ouvert sur un autre appareil"
    assert "appuyez de nouveau" in elsewhere.page.locator("main").inner_text()
    at_home.pay(CHALLENGE)
    at_home.expect("challenge")
    at_home.enter_code(at_home.read_code())
    at_home.expect("paid")
