"""The example portals against a Guichet of literals: what they send, and what they believe of what they are sent."""

import base64
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
import responses
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask.testing import FlaskClient
from jwt.algorithms import OKPAlgorithm
from standardwebhooks import Webhook
from werkzeug.test import TestResponse

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "portal"))

from app import create_app
from desk import Settings
from guichet_client import KeyMissing, Keyring

GUICHET = "http://127.0.0.1:8000"
PORTAL = "http://127.0.0.1:8001"
PAY_ID = "pay_0123456789abcdef"
CHECKOUT = f"{GUICHET}/p/a-token"
SECRETS = {"mairie-demo": "whsec_" + "bWFpcmll" * 4, "jvs-demo": "whsec_" + "anZzanZz" * 4}

# Guichet's keys say "EdDSA"; the JOSE library would rather read "Ed25519" (RFC 9864).
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@dataclass
class Stage:
    """A portal, the keys on its disk, and the Guichet it speaks to."""

    browser: FlaskClient
    guichet: responses.RequestsMock
    keys: Path
    own_key: Ed25519PrivateKey

    def due(self, portal: str) -> list[dict[str, object]]:
        """The invoices that can be paid."""
        return [invoice for invoice in self.ask("/api/invoices")[portal] if invoice["state"] == "due"]

    def ask(self, path: str) -> Any:
        """A JSON answer of the portal, whatever its shape."""
        return self.browser.get(path).json

    def pay(self, portal: str = "mairie", count: int = 1) -> dict[str, object]:
        """Pay the first invoices, and give the claims Guichet received, unverified."""
        chosen = [invoice["id"] for invoice in self.due(portal)[:count]]
        self.browser.post(f"/{portal}/pay", data={"invoice": chosen})
        claims: dict[str, object] = jwt.decode(self.last_request(), options={"verify_signature": False})
        return claims

    def last_request(self) -> str:
        """The body of the last request Guichet received."""
        body = self.guichet.calls[-1].request.body
        return body.decode() if isinstance(body, bytes) else str(body)

    def confirm(self, claims: dict[str, object], outcome: str, notice: str, **changes: object) -> TestResponse:
        """Have Guichet confirm ``claims``, well signed."""
        body = json.dumps(
            {
                "type": f"payment.{outcome}",
                "timestamp": "2026-11-21T10:00:00Z",
                "data": {
                    "id": PAY_ID,
                    "reference": claims["reference"],
                    "status": outcome,
                    "amount": claims["amount"],
                    "currency": "EUR",
                    "lines": claims["lines"],
                    "metadata": claims["metadata"],
                    "merchant": claims["iss"],
                    "attempts": [{"scheme": "visa", "last4": "0001"}, {"scheme": "cb", "last4": "0003"}],
                    **changes,
                },
            }
        )
        credential = "jvs-demo" if str(claims["iss"]).startswith("jvs") else "mairie-demo"
        return self.post(body, notice, SECRETS[credential])

    def post(self, body: str, notice: str, secret: str, at: datetime | None = None) -> TestResponse:
        """Post a body as a notice, signed with ``secret``."""
        sent_at = at or datetime.now(UTC)
        headers = {
            "webhook-id": notice,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": Webhook(secret).sign(notice, sent_at, body),
        }
        return self.browser.post("/confirmations", data=body, headers=headers, content_type="application/json")

    def state(self) -> str:
        """What the portal believes of the payment."""
        return str(self.ask(f"/api/payments/{PAY_ID}")["state"])

    def events(self) -> list[str]:
        """The ids of the confirmations the portal kept, newest first."""
        return [event["id"] for event in self.ask(f"/api/payments/{PAY_ID}")["events"]]

    def come_back(
        self, claims: dict[str, object], typ: object = "payment-result+jwt", **changes: object
    ) -> TestResponse:
        """Have Guichet send the browser back."""
        now = datetime.now(UTC)
        result = {
            "iss": GUICHET,
            "aud": claims["iss"],
            "sub": PAY_ID,
            "status": "paid",
            "reference": claims["reference"],
            "amount": claims["amount"],
            "currency": "EUR",
            "exp": now + timedelta(minutes=15),
            **changes,
        }
        token = jwt.encode(result, self.own_key, "EdDSA", headers={"kid": "own", "typ": typ})
        return self.browser.get("/mairie/return", query_string={"payment": PAY_ID, "result": token})


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    keys, own_key = tmp_path / "keys", Ed25519PrivateKey.generate()
    keys.mkdir()
    for name, secret in SECRETS.items():
        (keys / f"{name}-2026-11.pem").write_bytes(_pem(Ed25519PrivateKey.generate()))
        (keys / f"{name}-2026-11.whsec").write_text(secret + "\n")
    app = create_app(Settings(GUICHET, keys, tmp_path / "var" / "portal.sqlite", PORTAL))
    public = {**OKPAlgorithm.to_jwk(own_key.public_key(), as_dict=True), "kid": "own", "alg": "EdDSA", "use": "sig"}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as guichet:
        opened = {"id": PAY_ID, "checkout_url": CHECKOUT, "expires_at": "2999-01-01T00:00:00+00:00"}
        guichet.post(f"{GUICHET}/v1/payments", json=opened, status=201)
        guichet.get(f"{GUICHET}/.well-known/jwks.json", json={"keys": [public]})
        yield Stage(app.test_client(), guichet, keys, own_key)


def test_a_request_is_signed_as_an_independent_library_expects(stage: Stage) -> None:
    stage.pay()

    token = stage.last_request()
    key = Ed25519PrivateKey.from_private_bytes(_raw(stage.keys / "mairie-demo-2026-11.pem"))
    claims = jwt.decode(token, key.public_key(), algorithms=["EdDSA"], audience=GUICHET, issuer="mairie-demo")
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"], sorted(header)) == ("EdDSA", "payment-request+jwt", ["alg", "kid", "typ"])
    assert stage.guichet.calls[-1].request.headers["Content-Type"] == "application/jose"
    assert 0 < claims["exp"] - claims["iat"] <= 900
    assert len(claims["jti"]) >= 16


def test_the_key_id_is_the_thumbprint_of_rfc_7638(stage: Stage) -> None:
    # The key of RFC 8037 appendix A, whose thumbprint is given in A.3.
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    (stage.keys / "mairie-demo-2026-12.pem").write_bytes(_pem(Ed25519PrivateKey.from_private_bytes(seed)))

    stage.pay()

    assert jwt.get_unverified_header(stage.last_request())["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_ticked_invoices_become_lines_whose_sum_is_the_amount(stage: Stage) -> None:
    numbers = [invoice["number"] for invoice in stage.due("mairie")]

    claims = stage.pay(count=4)

    assert claims["amount"] == 24702
    lines = claims["lines"]
    assert isinstance(lines, list)
    assert [(line["reference"], line["amount"]) for line in lines] == list(
        zip(numbers, [6240, 450, 9600, 8412], strict=True)
    )


def test_the_payer_is_sent_to_the_page_with_303(stage: Stage) -> None:
    answer = stage.browser.post("/mairie/pay", data={"invoice": stage.due("mairie")[0]["id"]})

    assert (answer.status_code, answer.headers["Location"]) == (303, CHECKOUT)


def test_a_portal_signs_for_several_authorities_with_one_key(stage: Stage) -> None:
    key = Ed25519PrivateKey.from_private_bytes(_raw(stage.keys / "jvs-demo-2026-11.pem")).public_key()
    of_valmont, *_, of_rivesaint = stage.due("jvs")

    issuers = []
    for invoice in (of_valmont, of_rivesaint):
        stage.browser.post("/jvs/pay", data={"invoice": invoice["id"]})
        issuers.append(jwt.decode(stage.last_request(), key, algorithms=["EdDSA"], audience=GUICHET)["iss"])
        stage.guichet.replace("POST", f"{GUICHET}/v1/payments", json={"id": "pay_2", "checkout_url": CHECKOUT})

    assert issuers == ["jvs-demo-valmont", "jvs-demo-rivesaint"]


def test_one_payment_never_mixes_authorities(stage: Stage) -> None:
    of_valmont, *_, of_rivesaint = stage.due("jvs")

    answer = stage.browser.post("/jvs/pay", data={"invoice": [of_valmont["id"], of_rivesaint["id"]]})

    assert (answer.status_code, len(stage.guichet.calls)) == (409, 0)


def test_a_confirmation_settles_the_invoices(stage: Stage) -> None:
    claims = stage.pay(count=2)

    answer = stage.confirm(claims, "succeeded", "msg_1")

    assert (answer.status_code, stage.state(), stage.events()) == (200, "paid", ["msg_1"])
    assert len(stage.due("mairie")) == 2
    assert "CB •••• 0003" in stage.browser.get("/mairie/feed").text


def test_one_altered_byte_is_refused_with_401(stage: Stage) -> None:
    claims = stage.pay()
    body = json.dumps({"type": "payment.succeeded", "data": {"merchant": "mairie-demo", **claims, "id": PAY_ID}})
    sent_at = datetime.now(UTC)
    signature = Webhook(SECRETS["mairie-demo"]).sign("msg_1", sent_at, body.replace("payment", "paymant", 1))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(sent_at.timestamp()))}

    answer = stage.browser.post("/confirmations", data=body, headers={**headers, "webhook-signature": signature})

    assert (answer.status_code, stage.state(), stage.events()) == (401, "pending", [])


@pytest.mark.parametrize("signature", ["", "v1", "v1,%%%", "v1a,AAAA", "v2,AAAA"])
def test_a_malformed_signature_is_refused_with_401(stage: Stage, signature: str) -> None:
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(datetime.now(UTC).timestamp()))}

    answer = stage.browser.post("/confirmations", data=b"{}", headers={**headers, "webhook-signature": signature})

    assert answer.status_code == 401


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_notice_of_another_time_is_refused_with_401(stage: Stage, minutes: int) -> None:
    answer = stage.post("{}", "msg_1", SECRETS["mairie-demo"], datetime.now(UTC) + timedelta(minutes=minutes))

    assert answer.status_code == 401


def test_a_portal_cannot_confirm_the_payments_of_another(stage: Stage) -> None:
    claims = stage.pay()
    body = json.dumps({"type": "payment.succeeded", "data": {**claims, "id": PAY_ID, "merchant": "mairie-demo"}})

    answer = stage.post(body, "msg_1", SECRETS["jvs-demo"])

    assert (answer.status_code, stage.state()) == (401, "pending")


def test_a_genuine_notice_without_a_reference_is_a_400(stage: Stage) -> None:
    body = json.dumps({"type": "payment.succeeded", "data": {"id": PAY_ID, "merchant": "mairie-demo"}})

    assert stage.post(body, "msg_1", SECRETS["mairie-demo"]).status_code == 400


def test_a_replayed_confirmation_acts_once(stage: Stage) -> None:
    stage.browser.post("/mairie/top-up", data={"account": "cantine-lea", "amount": "20"})
    claims = jwt.decode(stage.last_request(), options={"verify_signature": False})

    answers = [stage.confirm(claims, "succeeded", "msg_1") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json["new"] for answer in answers if answer.json] == [True, False, False]
    assert stage.events() == ["msg_1"]
    assert "28,40\u00a0€" in stage.browser.get("/mairie/").text


@pytest.mark.parametrize("late", ["succeeded", "expired", "refused", "cancelled"])
def test_a_refund_that_overtakes_is_not_undone_by_a_late_notice(stage: Stage, late: str) -> None:
    claims = stage.pay()
    stage.confirm(claims, "refunded", "msg_2")

    stage.confirm(claims, late, "msg_1")

    assert (stage.state(), sorted(stage.events())) == ("refunded", ["msg_1", "msg_2"])


def test_a_payment_stays_paid_when_a_refusal_comes_late(stage: Stage) -> None:
    claims = stage.pay()
    stage.confirm(claims, "succeeded", "msg_2")

    stage.confirm(claims, "refused", "msg_1")

    assert stage.state() == "paid"


def test_a_part_refund_leaves_the_rest_paid(stage: Stage) -> None:
    claims = stage.pay()
    stage.confirm(claims, "succeeded", "msg_1")

    stage.confirm(claims, "refunded", "msg_2", refunded_amount=1000)

    assert stage.state() == "paid"
    assert "10,00\u00a0€ remboursés" in stage.browser.get("/mairie/history").text


@pytest.mark.parametrize("outcome", ["refused", "cancelled", "expired"])
def test_a_payment_without_money_makes_its_invoices_payable_again(stage: Stage, outcome: str) -> None:
    claims = stage.pay(count=4)
    assert stage.due("mairie") == []

    stage.confirm(claims, outcome, "msg_1")

    assert (stage.state(), len(stage.due("mairie"))) == (outcome, 4)


@pytest.mark.parametrize("change", [{"amount": 1}, {"currency": "USD"}, {"id": "pay_other"}])
def test_a_genuine_notice_about_something_else_moves_nothing(stage: Stage, change: dict[str, object]) -> None:
    claims = stage.pay()

    answer = stage.confirm(claims, "succeeded", "msg_1", **change)

    assert (answer.status_code, stage.state()) == (200, "pending")
    assert "À examiner" in stage.browser.get("/mairie/feed").text


def test_a_second_click_lands_on_the_same_page(stage: Stage) -> None:
    invoice = stage.due("mairie")[0]["id"]

    answers = [stage.browser.post("/mairie/pay", data={"invoice": invoice}) for _ in range(2)]

    assert [answer.headers["Location"] for answer in answers] == [CHECKOUT, CHECKOUT]
    assert len(stage.guichet.calls) == 1


def test_a_lost_answer_is_asked_for_with_the_same_request(stage: Stage) -> None:
    stage.guichet.replace("POST", f"{GUICHET}/v1/payments", body=requests.ConnectionError("reset"))

    answer = stage.browser.post("/mairie/pay", data={"invoice": stage.due("mairie")[0]["id"]})

    first, second = (call.request.body for call in stage.guichet.calls)
    assert (first == second, answer.status_code, len(stage.due("mairie"))) == (True, 502, 4)


def test_the_developer_sees_every_fault_guichet_names(stage: Stage) -> None:
    faults = [
        {"pointer": "/lines/0/amount", "code": "sum", "detail": "the lines do not add up"},
        {"pointer": "/email", "code": "format", "detail": "not an address"},
    ]
    problem = {"title": "Bad request", "code": "invalid_request", "errors": faults}
    stage.guichet.replace("POST", f"{GUICHET}/v1/payments", json=problem, status=422)

    answer = stage.browser.post("/mairie/pay", data={"invoice": stage.due("mairie")[0]["id"]})

    shown = ("422", "invalid_request", "/lines/0/amount", "the lines do not add up", "/email", "not an address")
    assert [word for word in shown if word not in answer.text] == []
    assert (answer.status_code, len(stage.due("mairie"))) == (502, 4)


def test_no_reference_is_ever_used_twice(stage: Stage) -> None:
    references = []
    for turn in range(3):
        claims = stage.pay(count=4)
        references += [claims["reference"], *(line["reference"] for line in _lines(claims))]
        stage.browser.post("/mairie/restart")
        stage.guichet.replace("POST", f"{GUICHET}/v1/payments", json={"id": f"pay_{turn}", "checkout_url": CHECKOUT})

    assert len(set(references)) == 15


@pytest.mark.parametrize("typed", ["4,99", "100,01", "", "abc", "-20", "1e1", "12,345", "٢٠"])
def test_a_top_up_outside_its_bounds_is_not_sent(stage: Stage, typed: str) -> None:
    answer = stage.browser.post("/mairie/top-up", data={"account": "cantine-lea", "amount": typed})

    assert (answer.status_code, len(stage.guichet.calls)) == (422, 0)
    assert 'aria-invalid="true"' in answer.text


@pytest.mark.parametrize(("typed", "cents"), [("5", 500), ("12,5", 1250), ("12.50", 1250), ("100", 10000)])
def test_a_top_up_is_asked_for_in_cents(stage: Stage, typed: str, cents: int) -> None:
    stage.browser.post("/mairie/top-up", data={"account": "cantine-tom", "amount": typed})

    claims = jwt.decode(stage.last_request(), options={"verify_signature": False})
    assert (claims["kind"], claims["amount"]) == ("top_up", cents)


def test_a_genuine_return_changes_the_words_but_not_the_state(stage: Stage) -> None:
    claims = stage.pay()

    answer = stage.come_back(claims)

    assert (answer.status_code, stage.state()) == (303, "pending")
    assert answer.headers["Location"] == f"/mairie/payments/{claims['reference']}"
    assert "annonçant un paiement accepté" in stage.browser.get(answer.headers["Location"]).text


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1_700_000_000},
        {"aud": "jvs-demo-valmont"},
        {"iss": "http://127.0.0.1:9"},
        {"sub": "pay_other"},
        {"reference": "VDP-OTHER-0001"},
    ],
)
def test_a_return_that_proves_nothing_is_refused(stage: Stage, change: dict[str, object]) -> None:
    claims = stage.pay()

    assert stage.come_back(claims, **change).status_code == 400


def test_another_kind_of_token_is_not_a_return(stage: Stage) -> None:
    claims = stage.pay()

    assert stage.come_back(claims, typ="payment-request+jwt").status_code == 400


def test_a_return_signed_by_another_key_is_refused(stage: Stage) -> None:
    claims = stage.pay()
    stage.own_key = Ed25519PrivateKey.generate()

    assert stage.come_back(claims).status_code == 400


def test_a_rotated_key_and_secret_are_used_without_a_restart(stage: Stage) -> None:
    newer, secret = Ed25519PrivateKey.generate(), "whsec_" + "bmV3bmV3" * 4
    (stage.keys / "mairie-demo-2026-12.pem").write_bytes(_pem(newer))
    (stage.keys / "mairie-demo-2026-12.whsec").write_text(secret)

    claims = stage.pay()
    body = json.dumps({"type": "payment.refused", "data": {**claims, "id": PAY_ID, "merchant": "mairie-demo"}})

    assert jwt.decode(stage.last_request(), newer.public_key(), algorithms=["EdDSA"], audience=GUICHET)
    assert stage.post(body, "msg_1", secret).status_code == 200


@pytest.mark.parametrize("name", ["jvs-demo-valmont-2026-11.whsec", "jvs-demo-2026-11.pub.whsec", "jvs-demo.whsec"])
def test_a_file_of_another_name_is_not_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("whsec_AAAA")

    with pytest.raises(KeyMissing):
        Keyring(tmp_path).webhook_secret("jvs-demo")


def test_the_newest_of_one_month_is_taken(tmp_path: Path) -> None:
    for name in ("2026-10-11", "2026-11", "2026-11-2", "2026-11-10"):
        (tmp_path / f"jvs-demo-{name}.whsec").write_text(name)

    assert Keyring(tmp_path).webhook_secret("jvs-demo") == "2026-11-10"


def test_a_form_of_another_site_is_refused(stage: Stage) -> None:
    answer = stage.browser.post("/mairie/restart", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403


def test_the_history_tells_each_outcome_in_french(stage: Stage) -> None:
    words = {"succeeded": "Payé", "refused": "Refusé", "cancelled": "Annulé", "expired": "Expiré"}
    for number, outcome in enumerate((*words, "refunded")):
        opened = {"id": f"pay_{number}", "checkout_url": CHECKOUT}
        stage.guichet.replace("POST", f"{GUICHET}/v1/payments", json=opened, status=201)
        stage.browser.post("/mairie/top-up", data={"account": "cantine-lea", "amount": "10"})
        claims = jwt.decode(stage.last_request(), options={"verify_signature": False})
        stage.confirm(claims, outcome, f"msg_{number}", id=f"pay_{number}")

    page = stage.browser.get("/mairie/history").text

    assert [word for word in (*words.values(), "Remboursé") if f">{word}<" not in page] == []


def _lines(claims: dict[str, object]) -> list[dict[str, object]]:
    lines = claims["lines"]
    assert isinstance(lines, list)
    return lines


def _raw(path: Path) -> bytes:
    # An Ed25519 private key in PKCS 8 is a fixed prefix and the 32 raw bytes (RFC 8410).
    return base64.b64decode(b"".join(path.read_bytes().splitlines()[1:-1]))[-32:]
