"""Signed native requests, as a merchant would make them: a published JOSE library and the demonstration key."""

import json
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MERCHANT = "mairie-demo"


@dataclass(frozen=True, slots=True)
class Opened:
    """What Guichet answered: the payment's public id and the address of its page."""

    id: str
    checkout_url: str


def open_payment(base_url: str, home: Path, **claims: object) -> Opened:
    """Post a signed request for one debt of 96.12 EUR, changed by ``claims``."""
    reference = f"FACT-{secrets.token_hex(5)}"
    asked = {
        "amount": 9612,
        "currency": "EUR",
        "reference": reference,
        "email": "famille@example.org",
        "label": "Cantine de novembre",
        "kind": "debt",
        "lines": [{"reference": reference, "label": "Cantine de novembre", "amount": 9612}],
        "payer": {"name": "Famille Martin", "phone": "+33612345678"},
        "language": "fr",
        "return_url": "http://127.0.0.1:8001/return",
        **claims,
    }
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(
            f"{base_url}/v1/payments",
            data=sign(home, {"iss": MERCHANT, "aud": base_url, **asked}),
            headers={"Content-Type": "application/jose"},
            timeout=60,
        )
    assert reply.status_code == 201, reply.text
    told = reply.json()
    return Opened(str(told["id"]), str(told["checkout_url"]))


def attempts_of(base_url: str, home: Path, payment: str) -> list[str]:
    """List the states of a payment's attempts, as the merchant's API tells them."""
    api_key = next((home / "keys/merchants").glob(f"{MERCHANT}-*.api.txt")).read_text().strip()
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {api_key}"}
        told = session.get(f"{base_url}/v1/payments/{payment}", headers=headers, timeout=60).json()
    return [str(attempt["status"]) for attempt in told["attempts"]]


def sign(home: Path, claims: dict[str, object]) -> str:
    """Sign a request with the demonstration merchant's newest key."""
    # Its file is <merchant>-<yyyy-mm>.pem; what other keys are called has one more dot.
    path = max(file for file in (home / "keys/merchants").glob(f"{MERCHANT}-*.pem") if file.name.count(".") == 1)
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    now = int(time.time())
    timed = {"iat": now, "exp": now + 300, "jti": secrets.token_hex(16), **claims}
    return jwt.encode(timed, key, "EdDSA", {"kid": _thumbprint(key), "typ": "payment-request+jwt"})


def _thumbprint(key: Ed25519PrivateKey) -> str:
    """Compute the key id (RFC 7638)."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public)}
    return _base64url(sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
