"""From a table of debts to a paid bill: the command makes the codes, a telephone opens one, a second look says paid."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import guichet
from tests.e2e import proofs
from tests.e2e.conftest import PHONE, NewPayer, Theatre
from tests.factories import CHALLENGE

pytestmark = pytest.mark.e2e

TABLE = "reference;amount;label\nFACT-2026-7;51,24;Cantine de novembre\n"
SIDEWAYS = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


def made(theatre: Theatre, folder: Path) -> str:
    """Make one link with the command; gives its address as the code holds it."""
    (folder / "debts.csv").write_text(TABLE, "utf-8")
    settings = theatre.parts.settings
    names = {"GUICHET_DATABASE_URL": settings.database_url, "GUICHET_BASE_URL": settings.base_url}
    words = ["links", "make", str(folder / "debts.csv"), "--merchant", "mairie-demo", "--out", str(folder / "out")]
    told = CliRunner().invoke(guichet, ["--home", str(settings.home), *words], env=names)
    assert told.exit_code == 0, told.output
    with (folder / "out/links.csv").open(encoding="utf-8-sig", newline="") as file:
        return next(csv.DictReader(file, delimiter=";"))["address"].upper()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_printed_bill_is_paid_by_telephone_once(
    new_payer: NewPayer, theatre: Theatre, tmp_path: Path, *, scripts: bool
) -> None:
    address, payer = made(theatre, tmp_path), new_payer(theatre, width=PHONE, scripts=scripts)
    payer.page.goto(address)
    payer.expect("link-payable")
    assert payer.heading == "Régler cette facture"
    assert not payer.page.evaluate(SIDEWAYS)
    assert "51,24" in payer.button("pay").inner_text()

    payer.press("pay")
    payer.expect("card")
    payer.pay(CHALLENGE)
    payer.expect("challenge")
    payer.enter_code(payer.read_code())
    payer.expect("paid")

    again = new_payer(theatre, width=PHONE, scripts=scripts)
    again.page.goto(address)
    again.expect("link-paid")
    assert "Réglée le 21 novembre 2026" in again.page.locator("main").inner_text()
    assert again.button("pay").count() == 0


def test_a_second_device_is_told_and_goes_on_there(new_payer: NewPayer, theatre: Theatre, tmp_path: Path) -> None:
    address, at_home, telephone = made(theatre, tmp_path), new_payer(theatre), new_payer(theatre, width=PHONE)
    at_home.page.goto(address)
    at_home.press("pay")
    at_home.expect("card")

    telephone.page.goto(address)
    telephone.expect("link-elsewhere")
    assert not telephone.page.evaluate(SIDEWAYS)
    assert proofs.axe(telephone.page) == []
    telephone.press("pay")
    telephone.expect("card")
    at_home.page.reload()

    at_home.expect("error")
    at_home.page.goto(address)
    at_home.expect("link-elsewhere")
    telephone.pay(CHALLENGE)
    telephone.expect("challenge")
