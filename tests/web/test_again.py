"""What was wrong with a form is shown on the page that follows, whichever that is by then; and a button means what it stood beside."""

import re

import pytest
from flask.testing import FlaskClient

from gateway.core.payment import PaymentResult
from gateway.parts import Parts
from tests.factories import CHALLENGE, FRICTIONLESS, enter, open_payment
from tests.web.test_visitors import token_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def payment(parts: Parts) -> PaymentResult:
    return open_payment(parts)


@pytest.fixture
def path(parts: Parts, payment: PaymentResult) -> str:
    return f"/p/{parts.links.page_token(payment.id)}"


def test_faults_of_a_code_do_not_break_the_card_page(
    client: FlaskClient, path: str, parts: Parts, payment: PaymentResult
) -> None:
    """Another tab went back to the card page before this one was shown what was wrong."""
    enter(parts, payment, CHALLENGE)
    form = {"csrf_token": token_of(client.get(f"{path}/challenge").text)}
    client.post(f"{path}/challenge", data={**form, "action": "confirm", "code": "12"})
    client.post(f"{path}/challenge", data={**form, "action": "retry"})

    answer = client.get(path)

    assert (answer.status_code, 'data-page="card"' in answer.text) == (200, True)


def test_faults_of_a_card_do_not_break_the_code_page(
    client: FlaskClient, path: str, parts: Parts, payment: PaymentResult
) -> None:
    form = {"csrf_token": token_of(client.get(path).text)}
    client.post(path, data={**form, "action": "pay", "number": "12"})
    enter(parts, payment, CHALLENGE)

    answer = client.get(f"{path}/challenge")

    assert (answer.status_code, 'data-page="challenge"' in answer.text) == (200, True)


@pytest.mark.parametrize("is_stale", [True, False])
def test_confirming_debits_the_card_that_was_shown(
    client: FlaskClient, path: str, parts: Parts, payment: PaymentResult, is_stale: bool
) -> None:
    """Another tab went back, and another card was typed there."""
    client.get(path)
    enter(parts, payment, FRICTIONLESS)
    page = client.get(path).text
    if is_stale:
        parts.checkout.paying.change_card(payment.id)
        enter(parts, payment, FRICTIONLESS)
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', page))

    client.post(path, data={**fields, "csrf_token": token_of(page), "action": "confirm"})

    assert f'data-page="{"review" if is_stale else "paid"}"' in client.get(path).text
