"""Signatures of confirmations: Standard Webhooks over bytes, nothing else.

``v1`` is HMAC-SHA256 with a shared secret, ``v1a`` is Ed25519; both cover ``id.timestamp.body`` (Standard Webhooks
specification, "Signature scheme"). Keys come in as values; where they live is ``gateway.keys``' concern.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SECRET_PREFIX = "whsec_"  # noqa: S105 - the published prefix, no secret
PUBLIC_PREFIX = "whpk_"

# The specification's floor is 24 bytes; ours are drawn at 32, the block of the digest.
SECRET_BYTES_MIN = 24


@dataclass(frozen=True, slots=True)
class ConfirmationKeys:
    """Every key that signs one merchant's confirmations, newest first.

    Two overlap during a rotation: the receiver needs to know only one of them.
    """

    secrets: tuple[bytes, ...] = ()
    private_keys: tuple[Ed25519PrivateKey, ...] = ()

    def __repr__(self) -> str:
        return f"ConfirmationKeys({len(self.secrets)} secrets, {len(self.private_keys)} private keys)"


def sign_webhook(keys: ConfirmationKeys, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Give the ``webhook-signature`` header: one signature per key, separated by spaces.

    :param message_id: the ``webhook-id`` header; the same over all tries of one message
    :param timestamp: the ``webhook-timestamp`` header, whole seconds since 1970, fresh at each try

    Raises :class:`ValueError` for an id with a dot, which would let two messages share one signed text.
    """
    if not message_id or "." in message_id:
        raise ValueError("a webhook id is not empty and holds no dot")
    signed = b".".join((message_id.encode("ascii"), str(timestamp).encode("ascii"), body))
    return " ".join((*_v1(keys.secrets, signed), *_v1a(keys.private_keys, signed)))


def _v1(secrets: Sequence[bytes], signed: bytes) -> list[str]:
    return ["v1," + _base64(hmac.digest(secret, signed, hashlib.sha256)) for secret in secrets]


def _v1a(private_keys: Sequence[Ed25519PrivateKey], signed: bytes) -> list[str]:
    return ["v1a," + _base64(key.sign(signed)) for key in private_keys]


def write_secret(secret: bytes) -> str:
    """Spell a ``v1`` secret the way the published libraries read it."""
    return SECRET_PREFIX + _base64(secret)


def read_secret(text: str) -> bytes:
    """Read a ``whsec_`` secret.

    Raises :class:`ValueError` when it is not one, or is shorter than the specification allows.
    """
    if not text.startswith(SECRET_PREFIX):
        raise ValueError("a confirmation secret begins with whsec_")
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a confirmation secret is base64 after whsec_") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"a confirmation secret has at least {SECRET_BYTES_MIN} bytes")
    return secret


def write_public_key(key: Ed25519PublicKey) -> str:
    """Spell the public half of a ``v1a`` key the way the specification shows it."""
    return PUBLIC_PREFIX + _base64(key.public_bytes_raw())


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
