"""Keys as the JOSE library sees them: one key, one algorithm, verify or sign with that and nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import Header

PublicKey = OKPKey | ECKey | RSAKey

# NIST SP 800-57: 3072 bits of RSA match the 128-bit strength of the other algorithms.
RSA_BITS_MIN = 3072

# RFC 7518 section 3.2: an HS256 key is at least as long as the digest.
HMAC_BYTES_MIN = 32


class _OneAlgorithm(JWSRegistry):
    """Allows one algorithm, and reads ``EdDSA`` as RFC 9864's ``Ed25519``.

    The older name would also allow Ed448 and makes joserfc warn; most libraries still write it.
    """

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_REGISTRIES = {
    "EdDSA": _OneAlgorithm(algorithms=["Ed25519"]),
    "ES256": _OneAlgorithm(algorithms=["ES256"]),
    "RS256": _OneAlgorithm(algorithms=["RS256"]),
    "HS256": _OneAlgorithm(algorithms=["HS256"]),
}


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A key that a merchant signs requests with; the algorithm belongs to the key, never to the token."""

    kid: str
    alg: str
    key: PublicKey | OctKey = field(repr=False)

    def allows(self, alg: object) -> bool:
        """Whether a header's ``alg`` names this key's algorithm (RFC 9864 renames one of them)."""
        return alg == self.alg or (alg == "Ed25519" and self.alg == "EdDSA")

    def verify(self, token: str) -> bool:
        """Say whether this key signed the compact JWS ``token``."""
        try:
            jws.deserialize_compact(token, self.key, registry=_REGISTRIES[self.alg])
        except (JoseError, ValueError):
            return False
        return True


def request_key(pem: bytes) -> RequestKey:
    """Read a public key file; its thumbprint (RFC 7638) is its id.

    Raises :class:`ValueError` for a key of another kind, or one too weak to sign requests.
    """
    key = _import(pem)
    if key.is_private:
        raise ValueError("holds a private key where the public half belongs")
    return RequestKey(key.thumbprint(), algorithm_of(key), key)


def algorithm_of(key: PublicKey) -> str:
    """Name the one algorithm a key may be used with.

    Raises :class:`ValueError` when there is none.
    """
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return "EdDSA"
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return "ES256"
    if isinstance(key, RSAKey):
        if key.public_key.key_size < RSA_BITS_MIN:
            raise ValueError(f"is an RSA key of fewer than {RSA_BITS_MIN} bits")
        return "RS256"
    raise ValueError("is neither Ed25519, P-256 nor RSA")


def _import(pem: bytes) -> PublicKey:
    for kind in (OKPKey, ECKey, RSAKey):
        try:
            return kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
    raise ValueError("is not a PEM key")


def hmac_key(kid: str, secret: bytes) -> RequestKey:
    """Wrap a shared secret.

    Raises :class:`ValueError` for one shorter than 32 bytes.
    """
    if len(secret) < HMAC_BYTES_MIN:
        raise ValueError(f"holds fewer than {HMAC_BYTES_MIN} bytes")
    return RequestKey(kid, "HS256", OctKey.import_key(secret))


def private_ed25519(pem: bytes) -> OKPKey:
    """Read an Ed25519 private key file.

    Raises :class:`ValueError` when it is not one.
    """
    try:
        key = OKPKey.import_key(pem)
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError("is not an Ed25519 private key in PEM") from error
    if not key.is_private or key.curve_name != "Ed25519":
        raise ValueError("is not an Ed25519 private key in PEM")
    return key


def sign_eddsa(key: OKPKey, *, typ: str, claims: Mapping[str, object]) -> str:
    """Sign ``claims`` as a compact JWS under the key's thumbprint."""
    header: Header = {"alg": "EdDSA", "kid": key.thumbprint(), "typ": typ}
    body = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    return jws.serialize_compact(header, body, key, registry=_REGISTRIES["EdDSA"])


def read_eddsa(key: OKPKey, token: str, *, typ: str) -> dict[str, object]:
    """Give the claims of a compact JWS made by :func:`sign_eddsa`.

    Raises :class:`ValueError` for one of another key or another type.
    """
    try:
        found = jws.deserialize_compact(token, key, registry=_REGISTRIES["EdDSA"])
        claims = json.loads(found.payload)
    except (JoseError, ValueError) as error:
        raise ValueError("is not signed by this key") from error
    if found.protected.get("typ") != typ or not isinstance(claims, dict):
        raise ValueError(f"is no {typ}")
    return claims


def sign_request(pem: bytes, claims: Mapping[str, object], *, typ: str, kid: str | None = None) -> str:
    """Sign a merchant's claims with its private key in PEM, as ``guichet sign`` does for portals' developers.

    :param kid: the key id; the key's RFC 7638 thumbprint when not given

    Raises :class:`ValueError` for anything but an Ed25519, P-256 or RSA private key.
    """
    key = _import(pem)
    if not key.is_private:
        raise ValueError("a public key cannot sign; give the private one")
    alg = algorithm_of(key)
    header: Header = {"alg": alg, "kid": kid or key.thumbprint(), "typ": typ}
    body = json.dumps(claims, ensure_ascii=False).encode()
    return jws.serialize_compact(header, body, key, registry=_REGISTRIES[alg])


def jwk_of(key: OKPKey) -> dict[str, str]:
    """Give the public half as a JSON Web Key (RFC 8037), for the published set."""
    public = {name: str(value) for name, value in key.as_dict(private=False).items() if name in ("kty", "crv", "x")}
    return {**public, "kid": key.thumbprint(), "use": "sig", "alg": "EdDSA"}
