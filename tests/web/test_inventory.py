"""Each way a payer can be stopped before a payment begins, and the one fact of three that the page says in words."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.core.errors import RequestConflict
from gateway.parts import Parts
from tests.factories import SILENT_LOST, a_request, an_open, open_payment, pay
from tests.support.clock import Clock
from tests.support.portal import Portal
from tests.web.test_treasury import a_call, ask, come

TIPI = "/tpa/paiement.web"


@pytest.fixture
def database_url(home: Path, sqlite_template: Path) -> str:
    """Give one engine: nothing here is the database's business."""
    shutil.copy(sqlite_template, home / "var/guichet.sqlite")
    return f"sqlite:///{home / 'var/guichet.sqlite'}"


@pytest.fixture
def suspended(home: Path, request: pytest.FixtureRequest) -> FlaskClient:
    """Give a browser before a server whose merchants have suspended their payments."""
    book = home / "config/merchants.toml"
    book.write_text(
        re.sub(r"(?m)^(\[merchants\.[a-z-]+\])$", r"\1\nsuspended = true", book.read_text("utf-8")), "utf-8"
    )
    client: FlaskClient = request.getfixturevalue("client")
    return client


def said(html: str) -> tuple[str, str, str]:
    """Read a page's heading, the fact it states, and the words of that fact."""
    heading = re.search(r"<h1>(.*?)</h1>", html)
    verdict = re.search(r'verdict verdict-([a-z-]+)">.*?<span>(.*?)</span>', html, re.DOTALL)
    assert heading
    assert verdict
    return heading[1], verdict[1], verdict[2]


def test_a_paid_bill_is_said_to_be_paid(client: FlaskClient, parts: Parts) -> None:
    pay(parts, ask(parts, "tipi"))

    page = client.get(f"{TIPI}?{a_call('tipi', amount='5000').query}").text

    assert said(page) == (
        "Cette facture est déjà payée",
        "paid",
        "Cette facture est déjà payée. Aucun montant n’a été débité cette fois-ci.",
    )
    assert "mailto:regie@sistec.example" in page


def test_a_payer_who_comes_back_to_what_he_paid_is_not_told_that_nothing_was_debited(
    client: FlaskClient, parts: Parts
) -> None:
    paid = pay(parts, ask(parts, "payfip"))

    page = client.get(f"/tpa/paiementws.web?idop={paid.handle}").text

    assert said(page) == (
        "Cette facture est déjà payée",
        "paid",
        "Cette facture est déjà payée. Aucun montant n’a été débité cette fois-ci.",
    )
    assert "P3" in page


def test_a_bill_on_an_open_page_is_not_debited(client: FlaskClient, parts: Parts) -> None:
    come(parts, ask(parts, "tipi"))

    page = client.get(f"{TIPI}?{a_call('tipi', amount='5000').query}").text

    assert said(page)[:2] == ("Un autre paiement de cette facture est en cours", "not-debited")
    assert "Terminez-le dans la fenêtre où il est ouvert" in page


def test_a_bill_whose_outcome_the_bank_keeps_to_itself_must_not_be_paid_again(
    client: FlaskClient, parts: Parts
) -> None:
    pay(parts, ask(parts, "tipi"), SILENT_LOST)

    page = client.get(f"{TIPI}?{a_call('tipi', amount='5000').query}").text

    heading, fact, words = said(page)
    assert (heading, fact) == ("Un autre paiement de cette facture est en cours", "checking")
    assert "Ne payez pas une seconde fois." in words
    assert "payée à partir de" not in page


def test_nothing_begins_while_a_merchant_has_suspended_its_payments(suspended: FlaskClient) -> None:
    page = suspended.get(f"{TIPI}?{a_call('tipi').query}").text

    assert said(page)[:2] == ("Le paiement est suspendu pour le moment", "not-debited")


def test_a_program_is_told_that_payments_are_suspended(suspended: FlaskClient, home: Path, clock: Clock) -> None:
    reply = suspended.post("/v1/payments", data=Portal(home).request(clock), content_type="application/jose")

    assert (reply.status_code, reply.get_json()["code"]) == (409, "suspended")


def test_what_was_under_way_before_a_suspension_goes_on(parts: Parts) -> None:
    command = an_open(a_request(reference="FACT-1"))
    first, _ = parts.checkout.opening.open(command, "native")
    merchants = parts.checkout.desk.merchants
    name = first.request.merchant
    held = merchants[name].model_copy(update={"suspended": True})
    object.__setattr__(parts.checkout.opening._desk, "merchants", {**merchants, name: held})

    assert parts.checkout.opening.open(command, "native") == (first, False)
    with pytest.raises(RequestConflict, match="suspended"):
        open_payment(parts, reference="FACT-2")


def test_a_browser_that_comes_too_late_is_told_so(client: FlaskClient, home: Path, clock: Clock) -> None:
    token = Portal(home).request(clock, pay_before=f"{clock.now() - timedelta(days=1):%Y-%m-%d}")

    page = client.get("/pay", query_string={"request": token}).text

    assert said(page)[:2] == ("La date limite de paiement est dépassée", "not-debited")


def test_a_page_that_ran_out_after_the_last_day_does_not_send_the_payer_round_again(
    client: FlaskClient, parts: Parts, clock: Clock
) -> None:
    payment = open_payment(parts, pay_before=clock.now().date())
    clock.advance(days=2)

    page = client.get(parts.links.page(payment.id)).text

    assert said(page)[:2] == ("La date limite de paiement est dépassée", "not-debited")
    assert "recommencez" not in page.lower()


def test_a_wrong_link_says_no_more_than_it_knows(client: FlaskClient) -> None:
    page = client.get("/p/xyz?lang=fr").text

    assert said(page) == ("Page introuvable", "not-debited", "Ouvrir cette adresse n’a rien débité.")
    assert 'href="?lang=ar" lang="ar"' in page


def test_a_request_that_was_paid_and_comes_again_too_late_says_no_more_than_it_knows(
    client: FlaskClient, parts: Parts, home: Path, clock: Clock
) -> None:
    token = Portal(home).request(clock)
    page = client.get("/pay", query_string={"request": token}).headers["Location"].rpartition("/")[2]
    pay(parts, parts.checkout.opening.told(parts.links.payment_of(page)))
    clock.advance(minutes=16)

    again = client.get("/pay", query_string={"request": token})

    assert (again.status_code, *said(again.text)[1:]) == (401, "not-debited", "Ouvrir cette adresse n’a rien débité.")


@pytest.mark.parametrize("is_late", [False, True])
def test_a_request_that_is_stopped_before_its_debt_is_looked_at_says_no_more_than_it_knows(
    suspended: FlaskClient, home: Path, clock: Clock, is_late: bool
) -> None:
    late = {"pay_before": f"{clock.now() - timedelta(days=1):%Y-%m-%d}"} if is_late else {}

    page = suspended.get("/pay", query_string={"request": Portal(home).request(clock, **late)}).text

    assert said(page)[1:] == ("not-debited", "Ouvrir cette adresse n’a rien débité.")


def test_a_mistyped_link_to_a_bill_says_no_more_than_it_knows(client: FlaskClient) -> None:
    assert said(client.get("/l/xyz?lang=fr").text)[2] == "Ouvrir cette adresse n’a rien débité."


def test_a_stale_form_of_a_paid_page_does_not_say_that_nothing_was_sent(client: FlaskClient, parts: Parts) -> None:
    paid = pay(parts, open_payment(parts))

    reply = client.post(f"/p/{parts.links.page_token(paid.id)}", data={"action": "return"})

    assert (reply.status_code, said(reply.text)[2]) == (400, "Ouvrir cette adresse n’a rien débité.")


def test_a_merchant_s_request_is_not_sent_again_by_a_choice_of_language(client: FlaskClient) -> None:
    assert "hreflang" not in client.get(f"{TIPI}?numcli=nobody").text


def test_what_a_developer_needs_stands_apart_from_the_payer_s_sentence(client: FlaskClient) -> None:
    page = client.get(f"{TIPI}?{a_call('tipi').query}&refdet=x").text

    assert re.search(r"<dt>Pour le développeur</dt><dd>\s*<bdi lang=\"en\" dir=\"ltr\">", page)
