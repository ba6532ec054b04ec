"""A portal's own code, in a foreign library: signs requests with PyJWT and the demonstration keys."""

import itertools
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.support.clock import Clock

ORIGIN = "http://127.0.0.1:8000"
_serial = itertools.count(1)


class Portal:
    """Signs what a merchant says.

    :param key_owner: whose key signs, when it is not the merchant's own (a portal of several authorities)
    """

    def __init__(self, home: Path, merchant: str = "mairie-demo", key_owner: str = "", origin: str = ORIGIN) -> None:
        self.merchant, self._origin = merchant, origin
        owner = key_owner or merchant
        (path,) = (p for p in (home / "keys/merchants").glob(f"{owner}-20*.pem") if p.name.count(".") == 1)
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        self.key, self.kid = key, thumbprint(key)
        (api_key,) = (home / "keys/merchants").glob(f"{owner}-20*.api.txt")
        self.bearer = {"Authorization": f"Bearer {api_key.read_text().strip()}"}

    def claims(self, clock: Clock, **changes: Any) -> dict[str, Any]:
        """Give good claims, but for the changes; a change to ``None`` leaves the claim out."""
        now, number = int(clock.now().timestamp()), next(_serial)
        claims: dict[str, Any] = {
            "iss": self.merchant,
            "aud": self._origin,
            "iat": now,
            "exp": now + 600,
            "jti": f"request-{number:08d}",
            "amount": 9612,
            "currency": "EUR",
            "reference": f"COMMANDE-{number}",
            "label": "Cantine de novembre",
            "kind": "debt",
            "email": "famille@example.org",
            "return_url": "http://127.0.0.1:8001/mairie/return",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign claims as PyJWT does by itself."""
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": self.kid, **header})

    def request(self, clock: Clock, **changes: Any) -> str:
        """Give a signed payment request."""
        return self.sign(self.claims(clock, **changes))

    def sign_raw(self, payload: bytes, header: dict[str, Any] | None = None) -> str:
        """Sign bytes that need not be good JSON."""
        head = header or {"alg": "EdDSA", "kid": self.kid}
        said = f"{_base64(json.dumps(head).encode())}.{_base64(payload)}"
        return f"{said}.{_base64(self.key.sign(said.encode()))}"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(key: Ed25519PrivateKey) -> str:
    """Name a public key as a request's ``kid``."""
    # RFC 7638, with the members RFC 8037 requires.
    x = _base64(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    return _base64(sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())
