"""The way back that needs no click: when the browser leaves by itself, what is said about it, and how the payer stays."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.core.payment import PaymentResult
from gateway.dialects import Open
from gateway.parts import Parts
from tests.dialects.samples import BACK, systempay
from tests.factories import FUNDS, enter, pay

SUCCESS = {"vads_redirect_success_timeout": "7", "vads_redirect_success_message": "À bientôt <sur> le portail"}
ERROR = {"vads_redirect_error_timeout": "0", "vads_redirect_error_message": "Paiement non abouti"}

Begin = Callable[..., tuple[PaymentResult, str]]


@pytest.fixture
def begin(app: Flask, parts: Parts) -> Begin:
    """Open a payment by form, and its page; gives both."""

    def begin(**more: str) -> tuple[PaymentResult, str]:
        asked = {"vads_return_mode": "NONE", **SUCCESS, **ERROR, **more}
        now, dialect = parts.now(), parts.dialects["systempay"]
        command = dialect.read(systempay("ORDER0000001", now, **asked), now)
        assert isinstance(command, Open)
        result, _ = parts.checkout.opening.open(command, "systempay")
        page = str(app.extensions["gateway"].links.page(result.id))
        return parts.checkout.paying.show(result.id).result, page.removeprefix("http://127.0.0.1:8000")

    return begin


def said(html: str) -> str:
    """Give the words about the way back, one blank between them; empty when there are none."""
    match = re.search(r'<p class="notice sent-back">(.*?)</p>', html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", match[1]).split()) if match else ""


def test_a_paid_page_leaves_by_itself_after_the_time_the_shop_asked_for(
    begin: Begin, parts: Parts, client: FlaskClient
) -> None:
    payment, page = begin()
    pay(parts, payment)

    reply = client.get(page)

    assert reply.headers["Refresh"] == f"7; url={BACK}"
    assert said(reply.text) == (
        "À bientôt &lt;sur&gt; le portail Vous allez revenir sur le site dans 7 secondes. Rester sur cette page"
    )
    assert f'href="{page}?stay=1"' in reply.text
    assert 'value="return"' in reply.text


def test_the_payer_may_stay_in_either_language(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin()
    pay(parts, payment)

    for address in (f"{page}?stay=1", f"{page}?lang=en&stay=1"):
        reply = client.get(address)
        assert "Refresh" not in reply.headers
        assert said(reply.text) == ""
        assert "stay=1" in "".join(re.findall(r'href="(\?lang=[^"]*)"', reply.text))
        assert 'value="return"' in reply.text


def test_at_once_means_at_once_and_one_second_is_one(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin(vads_redirect_error_timeout="1")
    other, at_once = begin(vads_order_id="ORDER0000002", vads_trans_id="000002")
    for each in (payment, other):
        parts.checkout.paying.cancel(each.id)

    assert "dans 1 seconde." in said(client.get(page).text)
    reply = client.get(at_once)
    assert reply.headers["Refresh"] == f"0; url={BACK}"
    assert said(reply.text) == "Paiement non abouti Vous revenez sur le site. Rester sur cette page"


def test_nobody_is_sent_away_while_another_card_may_be_tried(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin()
    enter(parts, payment, FUNDS)
    parts.checkout.settling.authorise(payment.id)

    reply = client.get(page)

    assert 'data-page="refused"' in reply.text
    assert "Refresh" not in reply.headers
    assert client.get(f"{page}/leave").headers["Location"] == page
    assert parts.checkout.opening.told(payment.id).is_live


def test_data_to_be_posted_goes_by_a_page_of_ours(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin(vads_return_mode="POST")
    pay(parts, payment)

    assert client.get(page).headers["Refresh"] == f"7; url={page}/leave"
    leaving = client.get(f"{page}/leave")
    assert 'data-page="leaving"' in leaving.text
    assert f'action="{BACK}"' in leaving.text
    assert 'name="vads_trans_status" value="AUTHORISED"' in leaving.text
    assert "form-action 'self' http://127.0.0.1:8001" in leaving.headers["Content-Security-Policy"]


def test_data_in_the_query_goes_along(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin(vads_return_mode="GET")
    pay(parts, payment)

    reply = client.get(page)

    assert reply.headers["Refresh"].startswith(f"7; url={BACK}&vads_")
    assert "vads_trans_status=AUTHORISED" in reply.headers["Refresh"]
    assert client.get(f"{page}/leave").headers["Location"] == reply.headers["Refresh"].partition("url=")[2]


def test_a_shop_that_asks_for_nothing_keeps_its_payer(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin(vads_redirect_success_timeout="")
    pay(parts, payment)

    reply = client.get(page)

    assert "Refresh" not in reply.headers
    assert said(reply.text) == ""


def test_the_way_back_has_the_shops_own_name_and_words(begin: Begin, parts: Parts, client: FlaskClient) -> None:
    payment, page = begin(
        vads_shop_name="ACM d’Évian", vads_theme_config="SUCCESS_FOOTER_MSG_RETURN=Retour à l’accueil"
    )
    other, cancelled = begin(vads_order_id="ORDER0000002", vads_trans_id="000002", vads_shop_name="ACM d’Évian")
    pay(parts, payment)
    parts.checkout.paying.cancel(other.id)

    paid, given_up = client.get(page).text, client.get(cancelled).text

    assert "Retour vers ACM d’Évian dans 7 secondes" in said(paid)
    assert re.search(r'value="return">Retour à l’accueil<', paid)
    assert re.search(r'value="return">Retour vers ACM d’Évian<', given_up)
