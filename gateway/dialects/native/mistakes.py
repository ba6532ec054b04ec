"""Why a token's signature was refused: the usual mistakes of those who sign a JWS by hand, tried one by one.

For merchants in test mode only. An asymmetric signature cannot be foretold, so what is expected is said in words.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import OctKey

from gateway.core.card_guard import holds_card_number
from gateway.dialects.diagnosis import Candidate, Mismatch, diagnose
from gateway.keys import RequestKey

# A P-256 signature is two numbers of this many bytes, one behind the other (RFC 7518 section 3.4).
_HALF = 32

# In the order they are tried: a short name, and what to do instead.
_CAUSES = {
    "another key": "It was signed with another key of this merchant: set kid to the key that signs.",
    "secret as text": "The text of the secret was used as the key: decode it from base64url first.",
    "ASN.1 signature": "The signature is ASN.1 (DER), as OpenSSL writes it: join r and s, 32 bytes each (RFC 7518, 3.4).",
    "digest signed": "A digest of the text was signed: sign the text itself, the algorithm hashes by itself.",
    "claims alone": "Only the claims were signed: sign header and claims, both in base64url, joined by a dot.",
}


def explain(merchant: str, token: str, key: RequestKey, held: Sequence[RequestKey]) -> Mapping[str, str]:
    """Tell a developer what they probably did, as a diagnosis (see ``gateway.dialects.diagnosis``).

    :param key: the one the token's ``kid`` names
    :param held: every key registered for the merchant
    """
    tried = _Token(token)
    secret = _secret(key)
    expected = _hmac(secret, tried.signed) if secret else ""
    # What is received is given to the one mistake that fits it, by verification.
    found = set(_found(tried, key, held))
    candidates = (Candidate(name, cause, tried.received if name in found else "") for name, cause in _CAUSES.items())
    told = dict(diagnose(Mismatch("native", merchant, tried.signed, expected, tried.received), candidates))
    if holds_card_number(tried.said):
        # It is kept in base64, where nothing downstream could see and blank the number.
        told["signed"] = "left out: the claims hold a card number"
    if not secret:
        told |= {"expected": f"a signature over these bytes by key {key.kid} ({key.alg})", "first_difference": ""}
    return told


@dataclass(frozen=True, slots=True)
class _Token:
    text: str

    @property
    def signed(self) -> bytes:
        return self.text.rpartition(".")[0].encode()

    @property
    def claims(self) -> bytes:
        return self.signed.partition(b".")[2]

    @property
    def said(self) -> str:
        """Give the claims as one text, whatever escapes they were written with."""
        return json.dumps(json.loads(base64.urlsafe_b64decode(self.claims + b"==")), ensure_ascii=False)

    @property
    def received(self) -> str:
        return self.text.rpartition(".")[2]

    @property
    def raw(self) -> bytes:
        return base64.urlsafe_b64decode(self.received + "=" * (-len(self.received) % 4))


def _found(token: _Token, key: RequestKey, held: Sequence[RequestKey]) -> Iterator[str]:
    if any(_fits(other, token, token.signed) for other in held if other.kid != key.kid):
        yield "another key"
    if any(_hmac(text, token.signed) == token.received for text in _spellings(_secret(key))):
        yield "secret as text"
    if key.alg == "ES256" and key.verify(f"{token.signed.decode()}.{_joined(token.raw)}"):
        yield "ASN.1 signature"
    if any(_fits(key, token, hashlib.new(name, token.signed).digest()) for name in ("sha256", "sha512")):
        yield "digest signed"
    if _fits(key, token, token.claims):
        yield "claims alone"


def _fits(key: RequestKey, token: _Token, message: bytes) -> bool:
    """Say whether ``key`` made the received signature over ``message``; only what needs no hash to be chosen is tried."""
    if secret := _secret(key):
        return _hmac(secret, message) == token.received
    public = getattr(key.key, "public_key", None)
    if not isinstance(public, Ed25519PublicKey):
        return message == token.signed and key.verify(token.text)
    try:
        public.verify(token.raw, message)
    except InvalidSignature:
        return False
    return True


def _joined(der: bytes) -> str:
    try:
        r, s = decode_dss_signature(der)
        return _text(r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big"))
    except (ValueError, OverflowError):
        return ""


def _spellings(secret: bytes) -> tuple[bytes, ...]:
    url = base64.urlsafe_b64encode(secret)
    return (url.rstrip(b"="), url, base64.b64encode(secret), secret.hex().encode()) if secret else ()


def _secret(key: RequestKey) -> bytes:
    return bytes(key.key.raw_value) if isinstance(key.key, OctKey) else b""


def _hmac(secret: bytes, message: bytes) -> str:
    return _text(hmac.digest(secret, message, hashlib.sha256))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
