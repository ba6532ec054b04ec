"""A signed request as bytes: taken apart, read strictly, checked against the one key its header names.

Everything here is about form and authorship; what a request *says* is judged in ``claims``.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import BadRequest, Fault, NotAuthentic

# Limits of reliability-security 4.1; 8 KiB of claims hold fifty lines.
TOKEN_BYTES_MAX = 64 * 1024
CLAIMS_BYTES_MAX = 8 * 1024
DEPTH_MAX = 4

# Nineteen digits spell every 64-bit number; more only costs time.
_INTEGER_DIGITS_MAX = 19

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

# What does not belong to what is asked: it changes at each signing of the same request.
_SIGNING_CLAIMS = frozenset({"iat", "exp", "jti"})

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A compact JWS whose form is right. Nothing in it is proved until its signature is."""

    token: str
    header: Json
    claims: Json

    @property
    def kid(self) -> str:
        """The key id the header names."""
        return str(self.header["kid"])


def open_envelope(token: str, typ: str) -> Envelope:
    """Take a compact JWS apart and read both JSON objects, once.

    :param typ: the ``typ`` this kind of request carries; ``JWT`` or none at all is accepted as well

    Raises :class:`NotAuthentic` for a form or header that is not allowed, :class:`BadRequest` for claims that are not
    one strict JSON object.
    """
    match = _COMPACT.fullmatch(token) if len(token) <= TOKEN_BYTES_MAX else None
    if not match:
        raise NotAuthentic("not_a_jws", "send one compact JWS (RFC 7515): three base64url parts joined by dots")
    header_bytes, claims_bytes, _ = (_decode(part) for part in match.groups())
    header = _read_header(header_bytes)
    if header.get("typ", typ) not in (typ, "JWT"):
        raise NotAuthentic("wrong_type", f"set the header's typ to {typ}, or leave it out")
    return Envelope(token, header, read_strictly(claims_bytes))


def _decode(part: str) -> bytes:
    """Decode base64url in its one canonical spelling: stray low bits would make two texts of one signature."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise NotAuthentic("not_a_jws", "encode each part as base64url without padding") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != part:
        raise NotAuthentic("not_a_jws", "encode each part as base64url without padding")
    return raw


def _read_header(raw: bytes) -> Json:
    try:
        header = read_strictly(raw)
    except BadRequest as error:
        raise NotAuthentic("header_not_allowed", "write the header as one JSON object, each member once") from error
    if not {"alg", "kid"} <= header.keys() <= {"alg", "kid", "typ"}:
        raise NotAuthentic("header_not_allowed", "put alg and kid in the header, typ if you like, and nothing else")
    if not isinstance(header["kid"], str) or not _KID.fullmatch(header["kid"]):
        raise NotAuthentic("header_not_allowed", "set kid to the id of a registered key")
    return header


def read_strictly(raw: bytes) -> Json:
    """Read one JSON object that means the same to every parser.

    Refuses other encodings than UTF-8, a member named twice, lone surrogates, and more than 8 KiB or four levels.
    A fraction or exponent is read as something that is no integer. Raises :class:`BadRequest` with the one fault that
    stopped the reading.
    """
    if len(raw) > CLAIMS_BYTES_MAX:
        raise _unreadable("too_large", f"send at most {CLAIMS_BYTES_MAX} bytes of claims")
    try:
        text = raw.decode("utf-8")
        if _depth(text) > DEPTH_MAX:
            raise _unreadable("too_deep", f"nest at most {DEPTH_MAX} levels")
        value = json.loads(
            text, object_pairs_hook=_once, parse_float=_not_whole, parse_int=_integer, parse_constant=_no_constant
        )
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except (UnicodeError, json.JSONDecodeError) as error:
        raise _unreadable("not_json", "send one JSON object in UTF-8") from error
    if not isinstance(value, dict):
        raise _unreadable("not_json", "send one JSON object in UTF-8")
    return value


def _depth(text: str) -> int:
    """Count the deepest nesting before parsing, so that hostile brackets never recurse.

    A string that does not end is none to JSON either; it is dropped whole, or each quote in it would be tried as a beginning.
    """
    bare = re.sub(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', "", text, flags=re.DOTALL)
    depth = deepest = 0
    for sign in bare:
        depth += (sign in "[{") - (sign in "]}")
        deepest = max(deepest, depth)
    return deepest


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _unreadable("duplicate_member", "write each member once")
    return members


class _NotWhole:
    """Stands for a number with a fraction, an exponent or too many digits, so that its own member is faulted later."""


def _not_whole(_text: str) -> object:
    return _NotWhole()


def _integer(text: str) -> object:
    return int(text) if len(text.lstrip("-")) <= _INTEGER_DIGITS_MAX else _NotWhole()


def _no_constant(_text: str) -> object:
    raise _unreadable("not_json", "NaN and Infinity are not JSON")


def _unreadable(code: str, fix: str) -> BadRequest:
    return BadRequest((Fault("", code, fix),))


def digest_of(claims: Json) -> str:
    """Digest what a request asks, in hex: SHA-256 over every claim but ``iat``, ``exp`` and ``jti``, names sorted."""
    meaning = {name: value for name, value in claims.items() if name not in _SIGNING_CLAIMS}
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
