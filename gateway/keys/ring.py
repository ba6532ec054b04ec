"""The keys of a running server: read once, checked whole, held in memory."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from gateway.core.errors import SettingsError
from gateway.core.signing import ConfirmationKeys, read_secret
from gateway.keys.files import PURPOSES, KeyFile, parse, scan
from gateway.keys.jose import RequestKey, hmac_key, jwk_of, private_ed25519, read_eddsa, request_key, sign_eddsa
from gateway.keys.stamps import Stamp, read_stamp

# A purpose's secret is a 256-bit key; base64url spells 32 bytes in 43 characters.
PURPOSE_BYTES = 32

_ANCHOR = "audit-anchor+jwt"

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Keys:
    """Everything ``keys/`` holds, by who uses it. Build with :meth:`load`."""

    def __init__(self) -> None:
        self._signing: list[OKPKey] = []
        self._secrets: dict[str, list[bytes]] = {purpose: [] for purpose in PURPOSES}
        self._old_tickets: list[bytes] = []
        self.stamps: list[Stamp] = []
        self._request_keys: dict[str, list[RequestKey]] = {}
        self._webhook_secrets: dict[str, list[bytes]] = {}
        self._webhook_keys: dict[str, list[Ed25519PrivateKey]] = {}
        self._api_digests: list[tuple[str, str]] = []

    @classmethod
    def load(cls, directory: Path, now: datetime) -> "Keys":
        """Read every key file.

        A file dated after this month is published and verifies, but does not sign yet. Raises :class:`SettingsError`
        with every fault: a missing or unreadable key, a mode that lets others read, a name that is no key's.
        """
        files, faults = scan(directory)
        keys = cls()
        for file in _in_order(files, now):
            try:
                keys._add(file)
            except (ValueError, OSError) as error:
                faults.append(f"{file.path}: {error}")
        for path in sorted((directory / "retired").glob("ticket-*.key")):
            keys._old_tickets.append(read_base64url(path.read_bytes()))
        faults += keys._missing(directory)
        if faults:
            raise SettingsError(tuple(faults))
        return keys

    def remember(self, directory: Path) -> None:
        """Read the retired keys that what they once wrote is checked with: the log's, and those of its anchors.

        They come before all others, so none of them writes or signs. For ``guichet verify-audit`` alone.
        """
        retired = [parse(path, is_merchant=False) for path in sorted((directory / "retired").glob("*"))]
        files = [file for file in retired if file is not None and file.owner in ("audit", "signing")]
        current, self._signing = self._signing, []
        secrets, self._secrets["audit"] = self._secrets["audit"], []
        for file in sorted(files, key=lambda file: file.age):
            self._add_own(file, file.path.read_bytes())
        self._signing += current
        self._secrets["audit"] += secrets

    def request_keys(self, merchant: str) -> tuple[RequestKey, ...]:
        """Give the keys that may sign this merchant's requests, oldest first."""
        return tuple(self._request_keys.get(merchant, ()))

    def signing_jwks(self) -> dict[str, list[dict[str, str]]]:
        """Give the public halves of the server's own keys as a JWK set (RFC 7517 section 5), newest first."""
        return {"keys": [jwk_of(key) for key in reversed(self._signing)]}

    def sign_result(self, claims: Mapping[str, object]) -> str:
        """Sign what a payer's browser carries back, with the newest of the server's own keys."""
        return sign_eddsa(self._signing[-1], typ="payment-result+jwt", claims=claims)

    def sign_anchor(self, claims: Mapping[str, object]) -> str:
        """Sign a note of how long the audit chain is."""
        return sign_eddsa(self._signing[-1], typ=_ANCHOR, claims=claims)

    def read_anchor(self, token: str) -> Mapping[str, object]:
        """Read such a note. Raises :class:`ValueError` when no key of this server signed it."""
        for key in self._signing:
            with suppress(ValueError):
                return read_eddsa(key, token, typ=_ANCHOR)
        raise ValueError("is not signed by a key of this server")

    def secrets(self, purpose: str) -> tuple[bytes, ...]:
        """Give the secrets of one purpose, oldest first: the last signs, all verify."""
        return tuple(self._secrets[purpose])

    def old_ticket_secrets(self) -> tuple[bytes, ...]:
        """Give the retired ticket keys: the code on a ticket outlives the links that were mailed with it."""
        return tuple(self._old_tickets)

    def confirmation_keys(self, merchant: str) -> ConfirmationKeys:
        """Give every key that signs this merchant's confirmations, newest first."""
        return ConfirmationKeys(
            tuple(reversed(self._webhook_secrets.get(merchant, ()))),
            tuple(reversed(self._webhook_keys.get(merchant, ()))),
        )

    def api_key_owner(self, presented: str) -> str | None:
        """Name the merchant an API key belongs to.

        Every digest is compared, each in constant time, so timing tells neither whether nor where one matched.
        """
        digest = _sha256(presented)
        owner = None
        for known, merchant in self._api_digests:
            if hmac.compare_digest(known, digest):
                owner = merchant
        return owner

    def _add(self, file: KeyFile) -> None:
        content = file.path.read_bytes()
        if not file.is_merchant:
            self._add_own(file, content)
        elif file.extension == "pub.pem":
            self._request_keys.setdefault(file.owner, []).append(request_key(content))
        elif file.extension == "hs256":
            key = hmac_key(hmac_kid(file), read_base64url(content))
            self._request_keys.setdefault(file.owner, []).append(key)
        elif file.extension == "whsec":
            self._webhook_secrets.setdefault(file.owner, []).append(read_secret(content.decode("ascii").strip()))
        elif file.extension == "whsk.pem":
            self._webhook_keys.setdefault(file.owner, []).append(ed25519_of(private_ed25519(content)))
        elif file.extension == "api":
            self._api_digests += [(digest, file.owner) for digest in read_digests(content)]

    def _add_own(self, file: KeyFile, content: bytes) -> None:
        if file.owner == "signing":
            self._signing.append(private_ed25519(content))
            return
        if file.owner == "stamp":
            self.stamps.append(read_stamp(content))
            return
        secret = read_base64url(content)
        if len(secret) != PURPOSE_BYTES:
            raise ValueError(f"holds {len(secret)} bytes instead of {PURPOSE_BYTES}")
        self._secrets[file.owner].append(secret)

    def _missing(self, directory: Path) -> Iterable[str]:
        held = {"signing": bool(self._signing), **{purpose: bool(found) for purpose, found in self._secrets.items()}}
        return [
            f"{directory}: no usable {what} key; run guichet keys new {what}"
            for what, is_there in held.items()
            if not is_there
        ]


def _in_order(files: Iterable[KeyFile], now: datetime) -> list[KeyFile]:
    """Oldest first, with keys of months to come before all others: the last one is the one in use."""
    month = now.astimezone(UTC).strftime("%Y-%m")
    return sorted(files, key=lambda file: (file.month <= month, file.age))


def hmac_kid(file: KeyFile) -> str:
    """Give the key id of a shared secret, which has no public half to take a thumbprint of.

    Raises :class:`ValueError` when the merchant's id makes it longer than a ``kid`` may be.
    """
    kid = f"{file.stem}-hs256"
    if len(kid) > 64:
        raise ValueError("has a name too long for a key id of 64 characters")
    return kid


def read_base64url(content: bytes) -> bytes:
    """Read the base64url text of a secret file, padded or not.

    Raises :class:`ValueError` when it is anything else.
    """
    text = content.strip().rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64url text") from error


def read_digests(content: bytes) -> list[str]:
    """Read the digests of API keys, one per line.

    Raises :class:`ValueError` for a line that is no SHA-256 digest, such as a key in clear.
    """
    digests = content.decode("ascii").split()
    if not all(_DIGEST.fullmatch(digest) for digest in digests):
        raise ValueError("holds a line that is not a SHA-256 digest in lower-case hex")
    return digests


def ed25519_of(key: OKPKey) -> Ed25519PrivateKey:
    """Take the bare key out of its JOSE wrapping."""
    private = key.private_key
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError("is not an Ed25519 private key in PEM")
    return private


def _sha256(presented: str) -> str:
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()
