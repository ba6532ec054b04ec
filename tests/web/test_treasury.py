"""TIPI and PayFiP through the real core and the real pages: whose page gives way, and what each letter of ``saisie`` shows."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader

from gateway.checkout import Stage
from gateway.core.errors import RequestConflict
from gateway.core.payment import Mode, PaymentResult
from gateway.core.states import Status
from gateway.dialects import HttpCall, Open
from gateway.parts import Parts
from gateway.receipts.content import Receipt
from gateway.receipts.mail import subject
from gateway.receipts.pdf import render
from tests.dialects.samples import SAMPLES
from tests.factories import CHALLENGE, FUNDS, enter, pay

BILL = "ORDER0000001"
# Nothing in these two protocols ages.
NOW = datetime(2026, 7, 4, tzinfo=UTC)


def a_call(name: str, saisie: str = "T", amount: str = "9612") -> HttpCall:
    call = SAMPLES[name](BILL, NOW)
    query = call.query.replace("saisie=T", f"saisie={saisie}").replace("9612", amount)
    body = call.body.replace(b">T<", f">{saisie}<".encode()).replace(b">9612<", f">{amount}<".encode())
    return replace(call, query=query, body=body)


def ask(
    parts: Parts, name: str, *, saisie: str = "T", amount: str = "9612", spares: frozenset[str] | None = None
) -> PaymentResult:
    command = parts.dialects[name].read(a_call(name, saisie, amount), parts.now())
    assert isinstance(command, Open)
    command = command if spares is None else replace(command, spares=spares)
    return parts.checkout.opening.open(command, name)[0]


def come(parts: Parts, payment: PaymentResult) -> Stage:
    return parts.checkout.paying.show(payment.id).stage


def told(parts: Parts, payment: PaymentResult) -> Status:
    return parts.checkout.opening.told(payment.id).status


@pytest.mark.parametrize("name", ["payfip", "tipi"])
def test_a_payer_who_is_to_type_a_code_is_not_thrown_out(parts: Parts, name: str) -> None:
    first = ask(parts, name)
    come(parts, first)
    enter(parts, first, CHALLENGE)
    assert come(parts, first) is Stage.CHALLENGE

    with pytest.raises(RequestConflict) as refused:
        ask(parts, name, amount="5000")

    assert (refused.value.code, refused.value.until) == ("debt_locked", first.expires_at)
    assert (come(parts, first), told(parts, first)) == (Stage.CHALLENGE, Status.OPENED)


@pytest.mark.parametrize("name", ["payfip", "tipi"])
def test_an_open_page_keeps_its_debt_and_one_nobody_saw_gives_it_up(parts: Parts, name: str) -> None:
    unseen = ask(parts, name)

    second = ask(parts, name, amount="5000")
    come(parts, second)
    with pytest.raises(RequestConflict):
        ask(parts, name, amount="6000")

    assert (told(parts, unseen), told(parts, second)) == (Status.CANCELLED, Status.OPENED)


@pytest.mark.parametrize("name", ["payfip", "tipi"])
def test_whoever_comes_again_from_the_portal_goes_on_where_nothing_was_entered(parts: Parts, name: str) -> None:
    """As a payer does who saw the page on a telephone and now sits at a computer (ADR 15)."""
    on_telephone = ask(parts, name)
    come(parts, on_telephone)

    at_computer = ask(parts, name)

    assert come(parts, at_computer) is Stage.CARD
    assert {told(parts, on_telephone), told(parts, at_computer)} <= {Status.CANCELLED, Status.OPENED}
    enter(parts, at_computer, CHALLENGE)
    if name == "payfip":
        with pytest.raises(RequestConflict):
            ask(parts, name)
    assert come(parts, at_computer) is Stage.CHALLENGE


@pytest.mark.parametrize("name", ["payfip", "tipi"])
def test_a_refused_card_lets_the_debt_be_asked_for_again_at_once(parts: Parts, name: str) -> None:
    first = ask(parts, name)
    come(parts, first)
    enter(parts, first, FUNDS)
    parts.checkout.settling.authorise(first.id)
    assert come(parts, first) is Stage.REFUSED

    second = ask(parts, name, amount="5000")

    assert (told(parts, first), told(parts, second)) == (Status.FAILED, Status.CREATED)


def test_a_client_may_have_open_pages_replaced_but_never_a_code(parts: Parts) -> None:
    spares = frozenset({"challenge", "review"})
    first = ask(parts, "payfip")
    come(parts, first)

    second = ask(parts, "payfip", spares=spares)
    come(parts, second)
    enter(parts, second, CHALLENGE)
    with pytest.raises(RequestConflict):
        ask(parts, "payfip", spares=spares)

    assert (told(parts, first), told(parts, second)) == (Status.CANCELLED, Status.OPENED)


def test_a_payer_is_shown_until_when_a_debt_is_held(client: FlaskClient, parts: Parts) -> None:
    come(parts, ask(parts, "tipi"))

    reply = client.get(f"/tpa/paiement.web?{a_call('tipi', amount='5000').query}")

    assert reply.status_code == 400
    assert re.search(r"payée à partir de \d\d:\d\d\.", reply.text)


BANNERS = {"T": "Paiement de test.", "X": "Paiement d’activation.", "A": "Paiement de test.", "M": "Paiement de test."}


@pytest.mark.parametrize(("saisie", "banner"), BANNERS.items())
def test_each_letter_has_its_banner_on_every_page(client: FlaskClient, parts: Parts, saisie: str, banner: str) -> None:
    others = set(BANNERS.values()) - {banner}
    entered = client.get(f"/tpa/paiement.web?{a_call('tipi', saisie).query}")
    page = entered.headers["Location"]
    (payment,) = parts.checkout.opening.find(frozenset({"sistec-demo"}), BILL)
    seen = [client.get(page).text]
    enter(parts, payment, CHALLENGE)
    seen.append(client.get(f"{page}/challenge").text)
    parts.checkout.paying.change_card(payment.id)
    pay(parts, payment)
    seen.append(client.get(page).text)

    for text in seen:
        assert banner in text
        assert not any(other in text for other in others)
    assert ("Paiement d’activation accepté" in seen[2]) is (saisie == "X")


@pytest.mark.parametrize("saisie", ["T", "X", "A", "M"])
def test_ticket_and_mail_say_of_each_letter_that_no_money_moved(parts: Parts, saisie: str) -> None:
    payment = ask(parts, "tipi", saisie=saisie)
    come(parts, payment)

    receipt = Receipt.of(pay(parts, payment), "payment.succeeded", "payer")

    assert subject(receipt, "fr").startswith("[TEST] ")
    ticket = "".join(page.extract_text() for page in PdfReader(io.BytesIO(render(receipt, "fr"))).pages)
    assert "TEST - aucune somme n'est débitée" in ticket


def test_an_activation_of_a_client_that_is_in_production_is_a_real_payment(parts: Parts) -> None:
    desk = parts.checkout.desk
    assert isinstance(desk.merchants, dict)
    desk.merchants["sistec-demo"] = desk.merchants["sistec-demo"].model_copy(update={"mode": Mode.PRODUCTION})

    assert ask(parts, "tipi", saisie="X").payee.mode is Mode.PRODUCTION
