"""The native protocol as outsiders meet it: PyJWT and jwcrypto sign, the published webhook library verifies."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.core.errors import NotAuthentic
from gateway.core.money import Money
from gateway.core.payment import Event, Line, Payee, PaymentRequest, PaymentResult
from gateway.core.states import Status
from gateway.dialects import HttpCall, Open, Try
from gateway.dialects.native import NativeDialect, NativeMerchant
from gateway.keys import Keys, create, create_merchant_keys, credentials

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ORIGIN = "https://pay.example.org"
ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
BOOK = {f"ville-{alg.lower()}": NativeMerchant(f"ville-{alg.lower()}") for alg in ALGORITHMS}
CLAIMS = {
    "aud": ORIGIN,
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
    "jti": "outsider-1",
    "amount": 1234,
    "reference": "F-1",
    "label": "Cantine",
}

Signer = Callable[[str, Mapping[str, str], Mapping[str, object]], str]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign") / "keys"
    create(folder, "all", NOW)
    for alg in ALGORITHMS:
        create_merchant_keys(folder, f"ville-{alg.lower()}", alg, NOW, keep_private=True)
    return folder


@pytest.fixture(scope="module")
def keys(directory: Path) -> Keys:
    return Keys.load(directory, NOW)


@pytest.fixture(scope="module")
def dialect(keys: Keys) -> NativeDialect:
    return NativeDialect(BOOK, keys, ORIGIN)


def sign_with_pyjwt(alg: str, told: Mapping[str, str], content: Mapping[str, object]) -> str:
    if alg == "HS256":
        secret = base64.urlsafe_b64decode(told["hs256_secret"] + "=")
        return jwt.encode(dict(content), secret, alg, {"kid": told["hs256_kid"]})
    private = load_pem_private_key(Path(told["private_key_path"]).read_bytes(), None)
    return jwt.encode(dict(content), private, alg, {"kid": told["kid"]})  # type: ignore[arg-type]  # any key type


def sign_with_jwcrypto(alg: str, told: Mapping[str, str], content: Mapping[str, object]) -> str:
    if alg == "HS256":
        key, kid = JWK(kty="oct", k=told["hs256_secret"]), told["hs256_kid"]
    else:
        key, kid = JWK.from_pem(Path(told["private_key_path"]).read_bytes()), told["kid"]
    token = JWS(json.dumps(content).encode())
    token.add_signature(key, alg, json.dumps({"alg": alg, "kid": kid, "typ": "payment-request+jwt"}))
    return str(token.serialize(compact=True))


def post(token: str) -> HttpCall:
    return HttpCall("POST", "/v1/payments", headers={"content-type": "application/jose"}, body=token.encode())


@pytest.mark.parametrize("sign", [sign_with_pyjwt, sign_with_jwcrypto])
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_outsider_signs_and_is_understood(dialect: NativeDialect, directory: Path, alg: str, sign: Signer) -> None:
    merchant = f"ville-{alg.lower()}"

    command = dialect.read(post(sign(alg, credentials(directory, merchant), {**CLAIMS, "iss": merchant})), NOW)

    assert isinstance(command, Open)
    assert (command.request.merchant, command.request.amount) == (merchant, Money(1234))


@pytest.mark.parametrize("sign", [sign_with_pyjwt, sign_with_jwcrypto])
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_outsiders_key_signs_for_nobody_else(
    dialect: NativeDialect, directory: Path, alg: str, sign: Signer
) -> None:
    other = "ville-es256" if alg != "ES256" else "ville-eddsa"
    told = credentials(directory, f"ville-{alg.lower()}")

    with pytest.raises(NotAuthentic) as caught:
        dialect.read(post(sign(alg, told, {**CLAIMS, "iss": other})), NOW)

    assert caught.value.code == "unknown_key"


@pytest.fixture
def delivery(dialect: NativeDialect) -> HttpCall:
    asked = PaymentRequest(
        "ville-eddsa", "F-1", Money(1234), (Line("F-1", "Cantine é", Money(1234)),), "Cantine é",
        notify_url="https://portal.example/notify",
    )  # fmt: skip
    result = PaymentResult("pay_1", "1", asked, Payee("ville-eddsa", "Ville"), Status.PAID, NOW, NOW)
    body = dialect.confirmed(result, Event("evt_1", 1, "payment.succeeded", NOW))
    return dialect.delivery(result.recipient, Try("ntc_1", body, 1, NOW))


def test_the_published_library_verifies_a_confirmation(delivery: HttpCall, directory: Path) -> None:
    webhook = Webhook(credentials(directory, "ville-eddsa")["whsec"])

    with time_machine.travel(NOW, tick=False):
        told = webhook.verify(delivery.body, dict(delivery.headers))

    assert told["type"] == "payment.succeeded"
    assert told["data"]["label"] == "Cantine é"


@pytest.mark.parametrize("change", ["body", "id", "timestamp", "secret"])
def test_the_published_library_refuses_an_altered_confirmation(
    delivery: HttpCall, directory: Path, change: str
) -> None:
    secret = credentials(directory, "ville-hs256" if change == "secret" else "ville-eddsa")["whsec"]
    body = delivery.body.replace(b"1234", b"1235") if change == "body" else delivery.body
    headers = dict(delivery.headers)
    if change in ("id", "timestamp"):
        headers[f"webhook-{change}"] = {"id": "ntc_2", "timestamp": str(int(NOW.timestamp()) + 1)}[change]

    with time_machine.travel(NOW, tick=False), pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_the_public_key_shown_to_a_merchant_verifies_the_asymmetric_signature(
    delivery: HttpCall, directory: Path
) -> None:
    public = base64.b64decode(credentials(directory, "ville-eddsa")["whpk"].removeprefix("whpk_"))
    (signature,) = (part[4:] for part in delivery.headers["webhook-signature"].split() if part.startswith("v1a,"))
    signed = f"ntc_1.{delivery.headers['webhook-timestamp']}.".encode() + delivery.body

    Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature), signed)


def test_the_published_key_set_verifies_a_browsers_result(dialect: NativeDialect, keys: Keys) -> None:
    asked = PaymentRequest(
        "ville-eddsa", "F-1", Money(1234), (Line("F-1", "x", Money(1234)),), "x", return_url="https://portal.example/"
    )
    result = PaymentResult("pay_1", "1", asked, Payee("ville-eddsa", "Ville"), Status.PAID, NOW, NOW)
    token = JWS()
    departure = dialect.returned(result, NOW)
    assert departure is not None
    token.deserialize(departure.url.rpartition("=")[2])

    token.verify(JWK(**keys.signing_jwks()["keys"][0]))

    assert json.loads(token.payload)["sub"] == "pay_1"
