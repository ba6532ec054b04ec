"""The stamp that seals tickets: an RSA key with its certificate, and those that vouch for it, in one PEM file.

The operator's comes from a certification authority; the one made here vouches for itself and is for development. How a
ticket is sealed is :mod:`gateway.receipts.sealing`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

# ANSSI, "Guide des mécanismes cryptographiques": 3072 bits for what must hold beyond 2030, as tickets must.
_BITS = 3072

# What a certification authority gives for a seal, at most (CA/Browser Forum document-signing requirements, 6.3.2).
_LIFE = timedelta(days=39 * 30)

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stamp:
    """One key and its certificates, the key's own first."""

    key: RSAPrivateKey
    certificates: tuple[x509.Certificate, ...]

    @property
    def valid_from(self) -> datetime:
        """When its certificate begins to hold."""
        return self.certificates[0].not_valid_before_utc

    @property
    def valid_until(self) -> datetime:
        """When its certificate ceases to hold; what was sealed before is sealed."""
        return self.certificates[0].not_valid_after_utc


def read_stamp(content: bytes) -> Stamp:
    """Read a key and its certificates.

    Only RSA: its PKCS #1 v1.5 signatures have no chance in them, so that a ticket is the same file whenever it is made
    (ECDSA draws a number for each signature, RSA-PSS a salt). Raises :class:`ValueError`.
    """
    key = load_pem_private_key(content, None)
    certificates = tuple(x509.load_pem_x509_certificate(one) for one in _CERTIFICATE.findall(content))
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise ValueError(
            "holds no RSA key of 2048 bits or more; tickets are sealed with RSA, so that they never differ"
        )
    if not certificates or certificates[0].public_key() != key.public_key():
        raise ValueError("must hold the key's own certificate after the key, then those of its authorities")
    return Stamp(key, certificates)


def make_stamp(now: datetime) -> bytes:
    """Make a stamp that only vouches for itself."""
    key = generate_private_key(public_exponent=65537, key_size=_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Guichet, tickets (self-signed)")])
    usage = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A ticket may be older than the stamp by a clock's error.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, content_commitment=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def stamp_of(stamps: Sequence[Stamp], at: datetime) -> Stamp | None:
    """Choose the stamp of a ticket of that moment: the newest that held then, so that a new one changes no old ticket."""
    held = sorted(stamps, key=lambda stamp: stamp.valid_from)
    return next((stamp for stamp in reversed(held) if stamp.valid_from <= at), held[0] if held else None)
