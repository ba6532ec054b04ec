"""The native protocol over HTTP: what is accepted, what is refused and how, and that a refusal leaves nothing behind."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from gateway.parts import Parts
from tests.factories import CHALLENGE, enter, pay
from tests.support.clock import Clock
from tests.support.portal import Portal

JOSE = "application/jose"


@pytest.fixture
def portal(home: Path) -> Portal:
    return Portal(home)


def post(client: FlaskClient, token: str, path: str = "/v1/payments", content_type: str = JOSE) -> TestResponse:
    return client.post(path, data=token, content_type=content_type)


def count(parts: Parts, table: str) -> int:
    with parts.store.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 - our own names


def test_a_signed_request_opens_a_page(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    reply = post(client, portal.request(clock))

    told = reply.get_json()
    assert reply.status_code == 201
    assert told["checkout_url"].startswith("http://127.0.0.1:8000/p/")
    assert told["expires_at"] == "2026-11-21T10:30:00Z"
    page = client.get(told["checkout_url"])
    assert page.status_code == 200
    assert f'data-payment="{told["id"]}"' in page.text
    assert 'data-page="card"' in page.text


def test_the_same_request_again_gets_the_same_answer(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    token = portal.request(clock)

    first, second = post(client, token), post(client, token)

    assert (second.status_code, second.data) == (first.status_code, first.data)


def test_a_browser_carries_a_request_by_get_and_by_post(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    by_get = client.get("/pay", query_string={"request": portal.request(clock)})
    by_post = client.post("/pay", data={"request": portal.request(clock)})

    for reply in (by_get, by_post):
        assert reply.status_code == 303
        assert reply.headers["Location"].startswith("http://127.0.0.1:8000/p/")


def test_several_debts_are_listed_and_paid_at_once(
    client: FlaskClient, portal: Portal, clock: Clock, parts: Parts
) -> None:
    lines = [
        {"reference": "FACT-A", "label": "Cantine", "amount": 5000},
        {"reference": "FACT-B", "label": "Garderie", "amount": 4612},
    ]
    told = post(client, portal.request(clock, lines=lines)).get_json()

    page = client.get(told["checkout_url"]).text
    paid = pay(parts, parts.checkout.opening.told(told["id"]))

    assert "FACT-A" in page
    assert "Garderie" in page
    assert paid.status.value == "paid"
    again = post(client, portal.request(clock, reference="FACT-B", amount=4612))
    assert (again.status_code, again.get_json()["code"]) == (409, "debt_already_paid")


def test_one_portal_credential_serves_several_authorities(client: FlaskClient, home: Path, clock: Clock) -> None:
    town = Portal(home, "jvs-demo-valmont", key_owner="jvs-demo")
    stranger = Portal(home, "jvs-demo-valmont", key_owner="mairie-demo")

    opened = post(client, town.request(clock))
    refused = post(client, stranger.request(clock))

    assert opened.status_code == 201
    assert (refused.status_code, refused.get_json()["code"]) == (401, "unknown_key")


BAD_CLAIMS: list[tuple[str, dict[str, Any], str]] = [
    ("zero", {"amount": 0}, "/amount"),
    ("negative", {"amount": -1}, "/amount"),
    ("huge", {"amount": 2**63}, "/amount"),
    ("fraction", {"amount": 1.5}, "/amount"),
    ("true", {"amount": True}, "/amount"),
    ("text", {"amount": "9612"}, "/amount"),
    ("missing", {"amount": None}, "/amount"),
    ("unknown", {"colour": "red"}, "/colour"),
    ("currency", {"currency": "BTC"}, "/currency"),
    ("callback", {"notify_url": "http://evil.example/x"}, "/notify_url"),
    ("callback credentials", {"notify_url": "https://a@127.0.0.1:8001/"}, "/notify_url"),
    ("return", {"return_url": "https://evil.example/"}, "/return_url"),
    ("lines", {"lines": [{"reference": "A", "label": "a", "amount": 1}]}, "/lines"),
    ("date", {"pay_before": "2026-11-20"}, "/pay_before"),
    ("card number", {"reference": "4242424242424242"}, "/reference"),
]


@pytest.mark.parametrize(("changes", "pointer"), [row[1:] for row in BAD_CLAIMS], ids=[row[0] for row in BAD_CLAIMS])
def test_a_bad_claim_is_named_with_its_cure(
    client: FlaskClient, portal: Portal, clock: Clock, parts: Parts, changes: dict[str, Any], pointer: str
) -> None:
    reply = post(client, portal.request(clock, **changes))

    told = reply.get_json()
    assert reply.status_code == 422
    assert reply.content_type == "application/problem+json"
    assert told["code"] == "invalid_request"
    assert pointer in [fault["pointer"] for fault in told["errors"]]
    assert all(fault["detail"] for fault in told["errors"])
    assert count(parts, "payment") == count(parts, "signed_request") == count(parts, "debt") == 0


def test_the_merchants_own_limit_is_named(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    (fault,) = post(client, portal.request(clock, amount=500_001)).get_json()["errors"]

    assert (fault["pointer"], fault["code"]) == ("/amount", "amount_above_limit")
    assert "500000 cents" in fault["detail"]


def test_a_locked_debt_says_until_when_and_by_which_payment(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    first = post(client, portal.request(clock, reference="FACT-1")).get_json()

    told = post(client, portal.request(clock, reference="FACT-1", amount=1)).get_json()

    assert (told["code"], told["payment"]) == ("debt_locked", first["id"])
    assert "until 10:30 UTC" in told["detail"]


def test_all_faults_come_at_once(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    told = post(client, portal.request(clock, amount=0, currency="BTC", colour="red", email="nobody")).get_json()

    assert {fault["pointer"] for fault in told["errors"]} >= {"/amount", "/currency", "/colour", "/email"}


@pytest.mark.parametrize("number", ["1e2", "9612.0", '"9612"'])
def test_an_amount_is_written_as_a_whole_number(client: FlaskClient, portal: Portal, clock: Clock, number: str) -> None:
    payload = json.dumps(portal.claims(clock)).replace('"amount": 9612', f'"amount": {number}')

    reply = post(client, portal.sign_raw(payload.encode()))

    assert reply.status_code == 422
    assert "/amount" in [fault["pointer"] for fault in reply.get_json()["errors"]]


class TestAuthenticity:
    """What proves who is asking; none of these leaves anything behind."""

    @pytest.fixture(autouse=True)
    def nothing_left(self, parts: Parts) -> Any:
        yield
        assert count(parts, "payment") == count(parts, "signed_request") == 0

    def refused(self, reply: TestResponse) -> tuple[int, str]:
        assert reply.content_type == "application/problem+json"
        return reply.status_code, reply.get_json()["code"]

    def test_an_unknown_merchant(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        assert self.refused(post(client, portal.request(clock, iss="nobody"))) == (401, "unknown_merchant")

    def test_an_unknown_key(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        token = portal.sign(portal.claims(clock), kid="another")

        assert self.refused(post(client, token)) == (401, "unknown_key")

    def test_an_altered_signature(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        head, payload, signature = portal.request(clock).split(".")
        altered = ("A" if signature[10] != "A" else "B").join((signature[:10], signature[11:]))

        assert self.refused(post(client, f"{head}.{payload}.{altered}")) == (401, "bad_signature")

    def test_an_altered_amount(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        head, _, signature = portal.request(clock).split(".")
        _, payload, _ = portal.request(clock, amount=1).split(".")

        assert self.refused(post(client, f"{head}.{payload}.{signature}")) == (401, "bad_signature")

    def test_an_expired_request(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        token = portal.request(clock)
        clock.advance(minutes=12)

        assert self.refused(post(client, token)) == (401, "expired")

    def test_a_request_for_another_server(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        token = portal.request(clock, aud="https://elsewhere.example")

        assert self.refused(post(client, token)) == (401, "wrong_audience")

    def test_a_request_that_lives_too_long(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        token = portal.request(clock, exp=int(clock.now().timestamp()) + 901)

        assert self.refused(post(client, token)) == (401, "lifetime_too_long")

    def test_a_header_that_brings_its_own_key(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        token = portal.sign(portal.claims(clock), jwk={"kty": "oct", "k": "AA"})

        assert self.refused(post(client, token)) == (401, "header_not_allowed")

    def test_a_body_too_large(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        assert self.refused(post(client, portal.request(clock) + "A" * 1_000_000)) == (413, "too_large")

    def test_a_wrong_content_type(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        reply = post(client, portal.request(clock), content_type="application/json")

        assert self.refused(reply) == (415, "unsupported_type")

    def test_a_wrong_method(self, client: FlaskClient) -> None:
        reply = client.delete("/v1/payments")

        assert self.refused(reply) == (405, "method_not_allowed")
        assert "POST" in reply.headers["Allow"]


def test_a_jti_used_for_something_else_is_refused(client: FlaskClient, portal: Portal, clock: Clock) -> None:
    post(client, portal.request(clock, jti="same-jti-1"))

    reply = post(client, portal.request(clock, jti="same-jti-1"))

    assert (reply.status_code, reply.get_json()["code"]) == (409, "jti_reused")


def test_a_payer_sees_a_sentence_and_no_page_when_the_request_is_bad(
    client: FlaskClient, portal: Portal, clock: Clock
) -> None:
    reply = client.get("/pay", query_string={"request": portal.request(clock, amount=0)})

    assert reply.status_code == 422
    assert 'data-page="error"' in reply.text
    assert "Ouvrir cette adresse n’a rien débité." in reply.text


class TestLookUp:
    def test_the_merchant_sees_its_payment_and_its_timeline(
        self, client: FlaskClient, portal: Portal, clock: Clock, parts: Parts
    ) -> None:
        told = post(client, portal.request(clock, reference="COMMANDE-X")).get_json()
        pay(parts, parts.checkout.opening.told(told["id"]))

        seen = client.get(f"/v1/payments/{told['id']}", headers=portal.bearer).get_json()
        found = client.get("/v1/payments?reference=COMMANDE-X", headers=portal.bearer).get_json()

        assert seen["status"] == "paid"
        assert seen["attempts"][0]["last4"] == "4242"
        assert [one["id"] for one in found["payments"]] == [told["id"]]

    def test_a_debt_is_found_by_any_spelling_of_its_reference(
        self, client: FlaskClient, portal: Portal, clock: Clock
    ) -> None:
        told = post(client, portal.request(clock, reference="Fact 12 b")).get_json()

        found = client.get("/v1/payments?reference=FACT 12 B", headers=portal.bearer).get_json()

        assert [one["id"] for one in found["payments"]] == [told["id"]]

    def test_a_reference_no_database_can_hold_is_refused(self, client: FlaskClient, portal: Portal) -> None:
        refused = client.get("/v1/payments?reference=FACT%00", headers=portal.bearer)

        assert (refused.status_code, refused.get_json()["errors"][0]["code"]) == (422, "control_character")

    def test_nobody_else_sees_it(self, client: FlaskClient, portal: Portal, home: Path, clock: Clock) -> None:
        told = post(client, portal.request(clock)).get_json()
        other = Portal(home, "jvs-demo")

        theirs = client.get(f"/v1/payments/{told['id']}", headers=other.bearer)
        missing = client.get("/v1/payments/pay_000000000000000000000000", headers=other.bearer)
        nobody = client.get(f"/v1/payments/{told['id']}")

        assert theirs.status_code == missing.status_code == 404
        assert len(theirs.data) == len(missing.data)
        assert nobody.status_code == 401


class TestAfterwards:
    def act(self, client: FlaskClient, portal: Portal, clock: Clock, verb: str, **claims: Any) -> TestResponse:
        now = int(clock.now().timestamp())
        base = {"iss": portal.merchant, "aud": "http://127.0.0.1:8000", "iat": now, "exp": now + 300}
        token = portal.sign(base | claims)
        return post(client, token, f"/v1/payments/{claims['payment']}/{verb}")

    def paid(self, client: FlaskClient, portal: Portal, clock: Clock, parts: Parts) -> str:
        told = post(client, portal.request(clock)).get_json()
        pay(parts, parts.checkout.opening.told(told["id"]))
        return str(told["id"])

    def test_a_refund_in_two_parts(self, client: FlaskClient, portal: Portal, clock: Clock, parts: Parts) -> None:
        payment = self.paid(client, portal, clock, parts)

        first = self.act(client, portal, clock, "refunds", payment=payment, jti="refund-01", amount=5000)
        again = self.act(client, portal, clock, "refunds", payment=payment, jti="refund-01", amount=5000)
        too_much = self.act(client, portal, clock, "refunds", payment=payment, jti="refund-02", amount=5000)
        rest = self.act(client, portal, clock, "refunds", payment=payment, jti="refund-03", amount=4612)

        assert first.get_json()["refunded_amount"] == again.get_json()["refunded_amount"] == 5000
        assert (too_much.status_code, too_much.get_json()["code"]) == (409, "refund_exceeds")
        assert rest.get_json()["refunded_amount"] == 9612
        assert [one["status"] for one in rest.get_json()["refunds"]] == ["done", "done"]
        assert parts.checkout.opening.told(payment).attempts[0].status.value == "refunded"

    def test_an_unpaid_payment_is_not_refunded(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        payment = post(client, portal.request(clock)).get_json()["id"]

        reply = self.act(client, portal, clock, "refunds", payment=payment, jti="refund-01", amount=1)

        assert (reply.status_code, reply.get_json()["code"]) == (409, "payment_over")

    def test_the_merchant_cancels_an_open_payment_once(self, client: FlaskClient, portal: Portal, clock: Clock) -> None:
        payment = post(client, portal.request(clock)).get_json()["id"]

        first = self.act(client, portal, clock, "cancel", payment=payment, jti="cancel-01")
        again = self.act(client, portal, clock, "cancel", payment=payment, jti="cancel-01")
        late = self.act(client, portal, clock, "cancel", payment=payment, jti="cancel-02")

        assert first.get_json()["status"] == again.get_json()["status"] == "cancelled"
        assert (late.status_code, late.get_json()["code"]) == (409, "payment_over")

    def test_a_payment_being_authenticated_can_still_be_cancelled(
        self, client: FlaskClient, portal: Portal, clock: Clock, parts: Parts
    ) -> None:
        payment = post(client, portal.request(clock)).get_json()["id"]
        enter(parts, parts.checkout.opening.told(payment), CHALLENGE)

        reply = self.act(client, portal, clock, "cancel", payment=payment, jti="cancel-01")

        assert reply.get_json()["attempts"][0]["status"] == "abandoned"
