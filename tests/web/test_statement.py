"""The statement about accessibility: where it is found, and whom it names."""

import re

import pytest
from flask.testing import FlaskClient

from gateway.parts import Parts
from tests.factories import CHALLENGE, enter, open_payment

LINK = re.compile(r'<a href="(/accessibility[^"]*)" target="_blank" rel="noopener">Accessibilité \(nouvel onglet\)</a>')


@pytest.mark.parametrize("number", ["", CHALLENGE], ids=["ours", "the bank's"])
def test_every_page_leads_to_the_statement_of_its_service(client: FlaskClient, parts: Parts, number: str) -> None:
    payment = open_payment(parts)
    if number:
        enter(parts, payment, number)

    page = client.get(parts.links.page(payment.id), follow_redirects=True).text
    statement = client.get(LINK.findall(page)[0]).text

    assert "Accessibilité des pages de paiement" in statement
    assert statement.count('href="mailto:regie@demonstration.example"') == 2
    assert LINK.findall(statement) == []


@pytest.mark.parametrize("path", ["/accessibility", "/accessibility/nobody"])
def test_without_a_service_the_site_the_payer_came_from_is_named(client: FlaskClient, path: str) -> None:
    page = client.get(f"{path}?lang=en")

    assert page.status_code == 200
    assert "Contact the service that sent you here." in page.text
    assert "mailto:" not in page.text
