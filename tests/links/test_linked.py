"""The pages of a printed address: each state in its own words, and looking opens nothing."""

import re
from datetime import date

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.core.payment import PaymentResult
from gateway.core.states import Status
from gateway.parts import Parts
from tests.factories import CHALLENGE, SILENT_APPROVED, enter, pay
from tests.links.conftest import make, terms
from tests.support.clock import Clock

# The verbs are tried on both engines beside this file.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def path(parts: Parts, link: int) -> str:
    return f"/l/{parts.links.paylink_token(link)}"


def press(client: FlaskClient, at: str, page: str) -> str:
    """Press the page's button; gives where it leads."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    answer = client.post(at, data={"csrf_token": token[1], "action": "pay"}, headers=NAVIGATION)
    assert answer.status_code == 303
    return answer.location


def payments(parts: Parts) -> list[PaymentResult]:
    with parts.store.reading() as tx:
        return [tx.payments.result(row) for row in tx.payments.newest(9)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, NAVIGATION, {"Sec-Purpose": "prefetch", **NAVIGATION}])
def test_looking_opens_nothing(
    client: FlaskClient, parts: Parts, link: int, method: str, headers: dict[str, str]
) -> None:
    for at in (path(parts, link), path(parts, link).upper()):
        answer = client.open(at, method=method, headers=headers)

        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert payments(parts) == []


def test_the_summary_says_who_what_and_how_much(client: FlaskClient, parts: Parts, link: int) -> None:
    page = client.get(path(parts, link)).text

    for words in (
        'data-page="link-payable"', "Ville de Démonstration", "Cantine de novembre", "FACT-1", "51,24", "31 décembre 2026"
    ):  # fmt: skip
        assert words in page, words
    # Whoever finds the paper need not learn from here whose it is.
    assert "Lefèvre" not in page
    assert "famille@" not in page


def test_the_last_day_of_all_calendars_breaks_no_page(client: FlaskClient, parts: Parts) -> None:
    at = path(parts, make(parts, terms(pay_before=date.max, grace_days=7))[0])

    page = client.get(at)

    assert (page.status_code, "31 décembre 9999" in page.text) == (200, True)
    assert client.get(press(client, at, page.text)).status_code == 200


def test_a_post_that_no_page_of_ours_sent_opens_nothing(client: FlaskClient, parts: Parts, link: int) -> None:

    assert client.post(path(parts, link), data={"action": "pay"}).status_code == 400
    assert payments(parts) == []


def test_the_button_leads_to_the_payment_and_back_to_it(client: FlaskClient, parts: Parts, link: int) -> None:
    at = path(parts, link)
    first = press(client, at, client.get(at).text)
    client.get(first, headers=NAVIGATION)

    page = client.get(at).text

    assert first.startswith("/p/")
    assert 'data-page="link-here"' in page
    assert press(client, at, page) == first
    assert len(payments(parts)) == 1


def test_another_device_is_told_and_may_take_it_over_while_no_card_is_typed(
    app: Flask, client: FlaskClient, parts: Parts, link: int
) -> None:
    at, other = path(parts, link), app.test_client()
    client.get(press(client, at, client.get(at).text), headers=NAVIGATION)

    page = other.get(at).text

    assert 'data-page="link-elsewhere"' in page
    assert "11:30" in page
    assert "Payer plutôt ici" in page
    assert press(other, at, page).startswith("/p/")
    enter(parts, payments(parts)[0], CHALLENGE)
    other.get(press(other, at, page), headers=NAVIGATION)
    seen = client.get(at).text
    assert 'data-page="link-elsewhere"' in seen
    assert "Payer plutôt ici" not in seen


def test_paid_it_says_when_and_how_much_and_never_opens_again(client: FlaskClient, parts: Parts, link: int) -> None:
    at = path(parts, link)
    before = client.get(at).text
    press(client, at, before)
    pay(parts, payments(parts)[0])

    page = client.get(at).text

    assert 'data-page="link-paid"' in page
    assert "21 novembre 2026, 11:00 CET" in page
    assert press(client, at, before) == at
    assert len(payments(parts)) == 1


def test_after_the_last_day_it_says_whom_to_ask(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    (link,) = make(parts, terms(pay_before=date(2026, 11, 21), grace_days=2))
    clock.advance(days=2)
    in_grace = client.get(path(parts, link))
    clock.advance(days=1)

    answer = client.get(path(parts, link))

    assert (in_grace.status_code, answer.status_code) == (200, 410)
    # The printed day is not held up to who pays within the grace.
    assert "21 novembre" not in in_grace.text
    assert 'data-page="link-past"' in answer.text
    assert "jusqu’au 21 novembre 2026" in answer.text
    assert "regie@demonstration.example" in answer.text or "Contactez le service" in answer.text
    assert press(client, path(parts, link), in_grace.text) == path(parts, link)
    assert payments(parts) == []


def test_revoked_it_says_so(client: FlaskClient, parts: Parts, link: int) -> None:
    parts.checkout.linking.revoke([link])

    answer = client.get(path(parts, link))

    assert answer.status_code == 410
    assert 'data-page="link-revoked"' in answer.text


def test_altered_it_leads_to_no_bill_and_says_what_to_compare(client: FlaskClient, parts: Parts, link: int) -> None:
    at = path(parts, link)

    for wrong in (at[:-1], at[:-2] + ("aa" if not at.endswith("aa") else "bb"), "/l/x", path(parts, 77)):
        answer = client.get(wrong)

        assert (answer.status_code, "Scannez de nouveau le code" in answer.text) == (404, True), wrong
        assert client.post(wrong).status_code in (400, 404)


def test_a_payer_chooses_the_language(client: FlaskClient, parts: Parts, link: int) -> None:
    (english,) = make(parts, terms("FACT-EN", language="en"))

    assert "Pay this bill" in client.get(path(parts, english)).text
    assert "Régler cette facture" in client.get(path(parts, link)).text
    assert "Pay this bill" in client.get(f"{path(parts, link)}?lang=en").text


def test_given_up_it_leads_back_to_the_bill_where_it_can_begin_again(
    client: FlaskClient, parts: Parts, link: int
) -> None:
    at = path(parts, link)
    page = press(client, at, client.get(at).text)
    shown = client.get(page, headers=NAVIGATION).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', shown)
    assert token
    for action in ("cancel", "return"):
        answer = client.post(page, data={"csrf_token": token[1], "action": action}, headers=NAVIGATION)

    assert answer.location == parts.links.paylink(link)
    assert "Revenir à la facture" in client.get(page).text
    assert press(client, at, client.get(at).text) not in (at, page)


def test_while_the_bank_is_asked_it_says_to_wait(client: FlaskClient, parts: Parts, link: int) -> None:
    at = path(parts, link)
    press(client, at, client.get(at).text)
    pay(parts, payments(parts)[0], SILENT_APPROVED)

    page = client.get(at).text

    assert payments(parts)[0].status is Status.WORKING
    assert 'data-page="link-elsewhere"' in page
    assert "La banque est interrogée" in page
    assert 'value="pay"' not in page
