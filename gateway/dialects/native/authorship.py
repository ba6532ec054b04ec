"""Who is asking: the key a token names, its signature, its audience and its time; and API keys.

Every refusal is one of a closed set of codes, and its text never says how close the caller came.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeGuard

from gateway.core.errors import NotAuthentic
from gateway.core.payment import Mode
from gateway.dialects.native.merchant import NativeMerchant
from gateway.dialects.native.mistakes import explain
from gateway.dialects.native.problems import ERRORS, NEUTRAL, Unproved
from gateway.dialects.native.wire import Envelope, Json, open_envelope
from gateway.keys import Keys, RequestKey

# How far a merchant's clock may run ahead of ours, and how long a signed request may live.
SKEW_SECONDS = 60
LIFETIME_SECONDS_MAX = 900


class Authorship:
    """Proves who signed a request or presented an API key."""

    def __init__(self, merchants: Mapping[str, NativeMerchant], keys: Keys, origin: str) -> None:
        self._merchants, self._keys, self._origin = merchants, keys, origin.rstrip("/")

    def claims(self, token: str, typ: str, now: datetime) -> tuple[NativeMerchant, Json]:
        """Give a token's claims once a key of the merchant they name is proved to have signed them.

        Raises :class:`NotAuthentic`, or :class:`~gateway.core.errors.BadRequest` for claims that are no strict JSON.
        """
        envelope = open_envelope(token, typ)
        merchant = self._merchant(envelope.claims.get("iss"))
        key = self._key(merchant, envelope)
        if not key.allows(envelope.header["alg"]):
            raise _unproved("algorithm_not_allowed", merchant)
        if not key.verify(envelope.token):
            is_test = merchant.mode is Mode.TEST
            told = explain(merchant.id, envelope.token, key, self._held(merchant)) if is_test else {}
            raise _unproved("bad_signature", merchant, diagnosis=told)
        self._check_audience(envelope.claims.get("aud"))
        _check_time(envelope.claims, now)
        return merchant, envelope.claims

    def owner_of(self, authorization: str) -> frozenset[str]:
        """Name the merchants whose payments a bearer may read: its own, and those it is the portal of.

        :param authorization: the ``authorization`` header, empty when there was none
        """
        scheme, _, presented = authorization.partition(" ")
        if scheme.lower() != "bearer" or not presented.strip():
            raise refusal("api_key_missing")
        owner = self._keys.api_key_owner(presented.strip())
        if owner is None or owner not in self._merchants:
            raise refusal("api_key_unknown")
        behind = (merchant.id for merchant in self._merchants.values() if merchant.portal == owner)
        return frozenset({owner, *behind})

    def _merchant(self, iss: object) -> NativeMerchant:
        merchant = self._merchants.get(iss) if isinstance(iss, str) else None
        if merchant is None:
            # Nobody's: as little is told as the most careful of all would be.
            raise _unproved("unknown_merchant", *self._merchants.values())
        return merchant

    def _key(self, merchant: NativeMerchant, envelope: Envelope) -> RequestKey:
        for key in self._held(merchant):
            if key.kid == envelope.kid:
                return key
        raise _unproved("unknown_key", merchant)

    def _held(self, merchant: NativeMerchant) -> tuple[RequestKey, ...]:
        """Give the merchant's own keys and those of its portal."""
        portals = self._keys.request_keys(merchant.portal) if merchant.portal else ()
        return (*self._keys.request_keys(merchant.id), *portals)

    def _check_audience(self, aud: object) -> None:
        """Hold ``aud`` against our origin; a member that is no string is faulted later, with the others."""
        if isinstance(aud, str) and aud.removesuffix("/") != self._origin:
            raise refusal("wrong_audience")


def _check_time(claims: Json, now: datetime) -> None:
    """Hold ``iat`` and ``exp`` against the clock; what is no integer is faulted later, with the others."""
    signed_at, ends_at = claims.get("iat"), claims.get("exp")
    if not _is_integer(signed_at) or not _is_integer(ends_at):
        return
    seconds = now.timestamp()
    if ends_at <= seconds or ends_at <= signed_at:
        raise refusal("expired")
    if signed_at > seconds + SKEW_SECONDS:
        raise refusal("not_yet_valid")
    if ends_at - signed_at > LIFETIME_SECONDS_MAX:
        raise refusal("lifetime_too_long")


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _unproved(code: str, *concerned: NativeMerchant, diagnosis: Mapping[str, str] | None = None) -> NotAuthentic:
    """Say no to a caller whom nothing proves: why, only while every merchant concerned is in test mode."""
    if all(merchant.mode is Mode.TEST for merchant in concerned):
        return refusal(code, diagnosis)
    return Unproved(code, ERRORS[NEUTRAL].fix)


def refusal(code: str, diagnosis: Mapping[str, str] | None = None) -> NotAuthentic:
    """Say no, in the catalogue's words."""
    return NotAuthentic(code, ERRORS[code].fix, diagnosis)
