"""A refused token is explained: each usual mistake is made for real, by somebody else's library or by hand."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from flask.testing import FlaskClient

from gateway import keys
from gateway.clock import utc_now
from gateway.core.errors import NotAuthentic
from gateway.core.payment import Mode
from gateway.dialects import HttpCall
from gateway.dialects.native import NativeDialect, NativeMerchant
from gateway.keys import Keys

ORIGIN = "http://127.0.0.1:8000"
SHOP = "mairie-demo"


@pytest.fixture
def secrets(home: Path) -> Mapping[str, str]:
    return keys.credentials(home / "keys", SHOP)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def text_of(kid: str, alg: str) -> str:
    return f"{b64(json.dumps({'alg': alg, 'kid': kid}).encode())}.{b64(json.dumps({'iss': SHOP}).encode())}"


def diagnosis_of(home: Path, token: str, mode: Mode = Mode.TEST) -> Mapping[str, str]:
    dialect = NativeDialect({SHOP: NativeMerchant(SHOP, mode=mode)}, Keys.load(home / "keys", utc_now()), ORIGIN)
    with pytest.raises(NotAuthentic) as refused:
        dialect.read(
            HttpCall("POST", "/v1/payments", headers={"content-type": "application/jose"}, body=token.encode()),
            utc_now(),
        )
    assert refused.value.code == "bad_signature"
    return refused.value.diagnosis


def sha256_mac(secret: bytes, text: str) -> str:
    return b64(hmac.digest(secret, text.encode(), hashlib.sha256))


def test_a_secret_used_as_text_is_found_and_never_shown(home: Path, secrets: Mapping[str, str]) -> None:
    text, secret = text_of(secrets["hs256_kid"], "HS256"), secrets["hs256_secret"]

    told = diagnosis_of(home, f"{text}.{sha256_mac(secret.encode(), text)}")

    right = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    assert "decode it from base64url" in told["cause"]
    assert (told["signed"], told["expected"]) == (text, sha256_mac(right, text))
    assert told["first_difference"].startswith("character ")
    assert not any(spelling in str(told) for spelling in (secret, right.hex()))


@pytest.mark.parametrize("mistake", ["claims alone", "digest signed", "another key"])
def test_what_was_signed_instead_is_found(home: Path, secrets: Mapping[str, str], mistake: str) -> None:
    key = load_pem_private_key(
        (home / "keys/merchants").joinpath(Path(secrets["private_key_path"]).name).read_bytes(), None
    )
    text = text_of(secrets["kid"], "EdDSA")
    message = {
        "claims alone": text.partition(".")[2].encode(),
        "digest signed": hashlib.sha512(text.encode()).digest(),
        "another key": text.encode(),
    }[mistake]
    secret = base64.urlsafe_b64decode(secrets["hs256_secret"] + "==")
    signature = b64(key.sign(message)) if mistake != "another key" else sha256_mac(secret, text)  # type: ignore[union-attr, call-arg]

    told = diagnosis_of(home, f"{text}.{signature}")

    expected = {"claims alone": "Only the claims", "digest signed": "A digest", "another key": "another key"}[mistake]
    assert expected in told["cause"]
    assert secrets["kid"] in told["expected"]


def test_an_asn1_signature_is_found(home: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path = home / "keys/merchants/mairie-demo-2020-01.pub.pem"
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    path.chmod(0o600)
    kid = next(k.kid for k in Keys.load(home / "keys", utc_now()).request_keys(SHOP) if k.alg == "ES256")
    text = text_of(kid, "ES256")

    told = diagnosis_of(home, f"{text}.{b64(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))}")

    assert "ASN.1" in told["cause"]


@pytest.mark.parametrize("number", ["4970105191909006", "4970 1051 9190 9006", "\\u00349701051919\\u00309006"])
def test_claims_with_a_card_number_are_not_kept(home: Path, secrets: Mapping[str, str], number: str) -> None:
    claims = f'{{"iss": "{SHOP}", "label": "carte {number}"}}'.encode()
    text = f"{text_of(secrets['kid'], 'EdDSA').partition('.')[0]}.{b64(claims)}"

    told = diagnosis_of(home, f"{text}.{b64(bytes(64))}")

    assert b64(claims) not in str(told)
    assert told["signed"] == "left out: the claims hold a card number"


def test_a_mistake_nobody_knows_is_told_as_such(home: Path, secrets: Mapping[str, str]) -> None:
    told = diagnosis_of(home, f"{text_of(secrets['kid'], 'EdDSA')}.{b64(bytes(64))}")

    assert told["cause"].startswith("None of the usual mistakes")
    assert "secret as text" in told["tried"]


def test_outside_test_mode_nothing_is_told(home: Path, secrets: Mapping[str, str]) -> None:
    assert diagnosis_of(home, f"{text_of(secrets['kid'], 'EdDSA')}.{b64(bytes(64))}", Mode.PRODUCTION) == {}


def test_the_developers_page_shows_it(client: FlaskClient, secrets: Mapping[str, str]) -> None:
    text = text_of(secrets["hs256_kid"], "HS256")
    token = f"{text}.{sha256_mac(secrets['hs256_secret'].encode(), text)}"

    answer = client.post("/v1/payments", data=token, content_type="application/jose")

    assert answer.status_code == 401
    (shown,) = client.get("/_test/signatures.json?merchant=mairie-demo").get_json()["refusals"]
    assert shown["signed"] == text
    assert shown["expected"] not in answer.text
    page = client.get("/_test/signatures").text
    assert "decode it from base64url" in page
    assert secrets["hs256_secret"] not in page
    assert client.get("/_test/signatures.json?merchant=jvs-demo").json == {"refusals": []}
