"""New keys: the server's own, a merchant's, and the public test values of the demo merchants.

A new key is added beside the old one, never over it: both work until the old one is retired.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.core.errors import SettingsError
from gateway.core.signing import write_public_key, write_secret
from gateway.keys.files import PURPOSES, KeyFile, next_path, opened_for_change, parse, scan, write
from gateway.keys.jose import RSA_BITS_MIN, private_ed25519, request_key
from gateway.keys.ring import ed25519_of, hmac_kid
from gateway.keys.stamps import make_stamp

SECRET_BYTES = 32

# Lets a leaked key be recognised by secret scanners, and by whoever finds it in a log.
API_KEY_PREFIX = "guichet_"

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def create(directory: Path, what: str, now: datetime) -> list[Path]:
    """Make new keys of the server's own set, beside the ones in use.

    :param what: ``signing``, one purpose, ``all`` of these, or ``stamp``

    Raises :class:`SettingsError` for another word.
    """
    wanted = ("signing", *PURPOSES) if what == "all" else (what,)
    with opened_for_change(directory):
        return [_create_own(directory, one, now) for one in wanted]


def _create_own(directory: Path, what: str, now: datetime) -> Path:
    if what == "signing":
        return write(next_path(directory, "signing", "pem", now), _private_pem(ed25519.Ed25519PrivateKey.generate()))
    if what == "stamp":
        return write(next_path(directory, what, "pem", now), make_stamp(now))
    if what in PURPOSES:
        return write(next_path(directory, what, "key", now), _secret_text())
    raise SettingsError((f"keys: no such key {what!r}; use all, stamp, signing, {', '.join(PURPOSES)}",))


def create_merchant_keys(
    directory: Path, merchant: str, alg: str, now: datetime, *, keep_private: bool
) -> dict[str, str]:
    """Make a whole new set for a merchant: request key, API key, both confirmation keys.

    :param alg: ``EdDSA``, ``ES256``, ``RS256`` or ``HS256``, for the request key
    :param keep_private: for demo merchants only; otherwise the private half and the API key are in the answer and
        nowhere else

    Gives what the merchant must be told, named as in :func:`credentials`. Raises :class:`SettingsError`.
    """
    if alg not in (*_GENERATORS, "HS256"):
        raise SettingsError((f"keys: no such algorithm {alg!r}; use {', '.join(_GENERATORS)} or HS256",))
    named = parse(Path(f"{merchant}-{now:%Y-%m}.pub.pem"), is_merchant=True)
    if named is None or named.owner != merchant:
        raise SettingsError(
            (f"keys: {merchant!r} cannot be a merchant id; use lower-case letters, digits and hyphens",)
        )
    with opened_for_change(directory):
        told = {}
        if alg == "HS256":
            _create_secret(directory, merchant, now)
        else:
            told["private_key"] = _create_pair(directory, merchant, alg, now, keep_private=keep_private)
        told["api_key"] = _create_api_key(directory, merchant, now, keep_clear=keep_private)
        _create_confirmation_keys(directory, merchant, now)
    return {**credentials(directory, merchant), **told}


def _create_pair(directory: Path, merchant: str, alg: str, now: datetime, *, keep_private: bool) -> str:
    private = _GENERATORS[alg]()
    path = next_path(directory, merchant, "pub.pem", now)
    if keep_private:
        write(path.with_name(path.name.replace(".pub.pem", ".pem")), _private_pem(private))
    write(path, _public_pem(private))
    return _private_pem(private).decode("ascii")


def _create_secret(directory: Path, merchant: str, now: datetime) -> Path:
    return write(next_path(directory, merchant, "hs256", now), _secret_text())


def _create_api_key(directory: Path, merchant: str, now: datetime, *, keep_clear: bool) -> str:
    api_key = API_KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    path = next_path(directory, merchant, "api", now)
    if keep_clear:
        write(path.with_name(path.name + ".txt"), api_key.encode("ascii") + b"\n")
    write(path, _digest_line(api_key))
    return api_key


def _create_confirmation_keys(directory: Path, merchant: str, now: datetime) -> None:
    secret = write_secret(secrets.token_bytes(SECRET_BYTES))
    write(next_path(directory, merchant, "whsec", now), secret.encode("ascii") + b"\n")
    private = _private_pem(ed25519.Ed25519PrivateKey.generate())
    write(next_path(directory, merchant, "whsk.pem", now), private)


def ensure_demo(directory: Path, merchants: Iterable[str], now: datetime) -> None:
    """Make whatever a development server lacks; run twice, or by two servers at once, it changes nothing more."""
    with opened_for_change(directory):
        files, _ = scan(directory)
        held = {file.kind for file in files}
        for owner, extension in (("signing", "pem"), *((purpose, "key") for purpose in PURPOSES)):
            if (owner, extension) not in held:
                _create_own(directory, owner, now)
        for merchant in merchants:
            _complete(directory, merchant, {extension for owner, extension in held if owner == merchant}, now)


def _complete(directory: Path, merchant: str, held: set[str], now: datetime) -> None:
    _repair_halves(directory, merchant, held)
    if "pub.pem" not in held:
        _create_pair(directory, merchant, "EdDSA", now, keep_private=True)
    if "hs256" not in held:
        _create_secret(directory, merchant, now)
    if "api" not in held:
        _create_api_key(directory, merchant, now, keep_clear=True)
    if not {"whsec", "whsk.pem"} & held:
        _create_confirmation_keys(directory, merchant, now)


def _repair_halves(directory: Path, merchant: str, held: set[str]) -> None:
    """Derive the public half that a kill between two writes left out."""
    for file in _of_merchant(directory, merchant):
        if file.extension == "pem" and "pub.pem" not in held:
            private = load_pem_private_key(file.path.read_bytes(), None)
            public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            write(file.path.with_name(file.stem + ".pub.pem"), public)
            held.add("pub.pem")
        if file.extension == "api.txt" and "api" not in held:
            write(file.path.with_name(file.stem + ".api"), _digest_line(file.path.read_text("ascii").strip()))
            held.add("api")


def credentials(directory: Path, merchant: str) -> dict[str, str]:
    """Give the newest of everything a merchant's developer needs; what is not kept here is left out.

    Names: ``alg``, ``kid``, ``public_key_path``, ``private_key_path``, ``hs256_kid``, ``hs256_secret`` (base64url),
    ``api_key``, ``whsec``, ``whpk``.
    """
    found: dict[str, str] = {}
    for file in _of_merchant(directory, merchant):
        if file.extension == "pub.pem":
            key = request_key(file.path.read_bytes())
            found.update(alg=key.alg, kid=key.kid, public_key_path=str(file.path))
        elif file.extension == "pem":
            found["private_key_path"] = str(file.path)
        elif file.extension == "hs256":
            found.update(hs256_kid=hmac_kid(file), hs256_secret=file.path.read_text("ascii").strip())
        elif file.extension == "api.txt":
            found["api_key"] = file.path.read_text("ascii").strip()
        elif file.extension == "whsec":
            found["whsec"] = file.path.read_text("ascii").strip()
        elif file.extension == "whsk.pem":
            private = ed25519_of(private_ed25519(file.path.read_bytes()))
            found["whpk"] = write_public_key(private.public_key())
    return found


def _of_merchant(directory: Path, merchant: str) -> list[KeyFile]:
    return [file for file in scan(directory)[0] if file.is_merchant and file.owner == merchant]


def _digest_line(api_key: str) -> bytes:
    return hashlib.sha256(api_key.encode("ascii")).hexdigest().encode("ascii") + b"\n"


def _secret_text() -> bytes:
    return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=") + b"\n"


def _private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _new_p256() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _new_rsa() -> PrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)


_GENERATORS = {"EdDSA": ed25519.Ed25519PrivateKey.generate, "ES256": _new_p256, "RS256": _new_rsa}
