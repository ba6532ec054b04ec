"""All a portal needs to speak with Guichet: sign a request, read the browser's return, check a confirmation.

Copy this file and ``proof.py``: it knows HTTP, JWS and Standard Webhooks, and nothing of invoices or pages.
"""

import json
import re
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import requests
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet, OKPKey
from proof import Confirmation, GuichetUnreachable, NotVerified
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

# RFC 9864 renames "EdDSA" to "Ed25519"; Guichet's keys still say EdDSA, so the library's advice is not ours to follow.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)

# Guichet accepts 15 minutes at most; a request is posted at once, so a short life costs nothing.
REQUEST_LIFE = timedelta(minutes=5)

# Clocks of two machines differ a little.
CLOCK_SKEW = timedelta(seconds=60)

# Seconds to connect, then seconds of silence.
TIMEOUTS = (3.05, 15)


class KeyMissing(Exception):
    """No credential file of that name: Guichet makes them when it first starts."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing Guichet found wrong; ``pointer`` is a JSON pointer into the claims."""

    pointer: str
    code: str
    detail: str


class GuichetRefused(Exception):
    """An error answer of Guichet (RFC 9457), with every fault it named."""

    def __init__(self, status: int, problem: Mapping[str, object]) -> None:
        self.status = status
        self.code = _text(problem, "code") or "unknown"
        self.title = _text(problem, "title")
        self.detail = _text(problem, "detail")
        self.faults = tuple(
            Fault(_text(entry, "pointer"), _text(entry, "code"), _text(entry, "detail"))
            for entry in _mappings(problem.get("errors"))
        )
        super().__init__(f"{status} {self.code}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A payment Guichet accepted: where to send the payer, and until when."""

    id: str
    checkout_url: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class BrowserReturn:
    """What the payer's browser brought back. Genuine, but a courtesy: the confirmation decides."""

    payment: str
    reference: str
    status: str
    amount_cents: int
    currency: str


class Keyring:
    """Reads credentials from files, each time they are needed: a rotation takes effect without a restart.

    Files are ``<name>-<yyyy-mm>.pem`` (Ed25519 private key) and ``<name>-<yyyy-mm>.whsec`` (webhook secret), with
    ``-2``, ``-3`` after the month for the second and third of one month.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signing_key(self, name: str) -> OKPKey:
        """Give the newest private key. Raises :class:`KeyMissing`."""
        return OKPKey.import_key(self._newest(name, "pem").read_bytes())

    def webhook_secret(self, name: str) -> str:
        """Give the newest ``whsec_...`` secret. Raises :class:`KeyMissing`."""
        return self._newest(name, "whsec").read_text("ascii").strip()

    def _newest(self, name: str, suffix: str) -> Path:
        # Matched whole: "jvs-demo" must pick up neither a file of "jvs-demo-valmont" nor its own public key (.pub.pem).
        pattern = re.compile(rf"{re.escape(name)}-(\d{{4}}-\d{{2}})(?:-(\d+))?\.{suffix}", re.ASCII)
        found = [match for path in self.folder.glob(f"*.{suffix}") if (match := pattern.fullmatch(path.name))]
        if not found:
            raise KeyMissing(f"{self.folder}/{name}-<yyyy-mm>.{suffix}")
        return self.folder / max(found, key=lambda match: (match[1], int(match[2] or 1)))[0]


class Guichet:
    """One Guichet server, seen from a portal.

    :param origin: scheme, host and port, as in ``http://127.0.0.1:8000``; also the audience of requests
    """

    def __init__(self, origin: str, keyring: Keyring) -> None:
        parts = urlsplit(origin)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.keyring = keyring
        self._session = requests.Session()
        # A proxy from the environment would swallow calls to 127.0.0.1.
        self._session.trust_env = False

    def open_payment(self, credential: str, claims: Mapping[str, object]) -> Opened:
        """Sign ``claims`` with the key of ``credential`` and post them.

        :param claims: everything but ``aud``, ``iat``, ``exp`` and ``jti``; ``iss`` is the merchant to be paid

        Raises :class:`GuichetRefused`, :class:`GuichetUnreachable` or :class:`KeyMissing`.
        """
        request = self.sign(credential, claims)
        try:
            answer = self._post(request)
        except requests.RequestException:
            # The answer may have been lost, not the request: the same request again gets the same answer.
            answer = self._post_again(request)
        problem_or_payment = _json_object(answer.content)
        if answer.status_code not in (200, 201):
            raise GuichetRefused(answer.status_code, problem_or_payment)
        fields = {name: _text(problem_or_payment, name) for name in ("id", "checkout_url", "expires_at")}
        if not fields["id"] or urlsplit(fields["checkout_url"]).scheme not in ("http", "https"):
            raise GuichetUnreachable(f"{self.origin} answered {answer.status_code} without a payment")
        return Opened(**fields)

    def sign(self, credential: str, claims: Mapping[str, object]) -> str:
        """Make the compact JWS (RFC 7515) of a payment request. Raises :class:`KeyMissing`."""
        key = self.keyring.signing_key(credential)
        now = datetime.now(UTC)
        dated = {
            **claims,
            "aud": self.origin,
            "iat": int(now.timestamp()),
            "exp": int((now + REQUEST_LIFE).timestamp()),
            "jti": secrets.token_urlsafe(16),
        }
        header = {"alg": "EdDSA", "kid": key.thumbprint(), "typ": "payment-request+jwt"}
        return jws.serialize_compact(header, json.dumps(dated).encode(), key, algorithms=["EdDSA"])

    def read_return(self, token: str, merchants: frozenset[str]) -> BrowserReturn:
        """Check the ``result`` parameter of a return address against Guichet's published keys.

        Raises :class:`NotVerified`, or :class:`GuichetUnreachable` when the keys cannot be had.
        """
        try:
            signed = jws.deserialize_compact(token.encode(), self._published_keys(), algorithms=["EdDSA", "Ed25519"])
            claims = _json_object(signed.payload)
        except (JoseError, ValueError) as error:
            raise NotVerified(f"result: {error}") from error
        if signed.headers().get("typ") != "payment-result+jwt":
            raise NotVerified("result: another type of token")
        if claims.get("iss") != self.origin or claims.get("aud") not in merchants:
            raise NotVerified("result: not from this Guichet, or not for this portal")
        if _whole(claims, "exp") < (datetime.now(UTC) - CLOCK_SKEW).timestamp():
            raise NotVerified("result: too old")
        return BrowserReturn(
            payment=_text(claims, "sub"),
            reference=_text(claims, "reference"),
            status=_text(claims, "status"),
            amount_cents=_whole(claims, "amount"),
            currency=_text(claims, "currency"),
        )

    def read_confirmation(self, body: bytes, headers: Mapping[str, str], credential: str) -> Confirmation:
        """Check a notice (Standard Webhooks 1.0) against the secret of ``credential``, then read it.

        :param body: the bytes as received; parsing and re-encoding them would break the signature
        :param headers: with lower-case names

        Raises :class:`NotVerified`, :class:`KeyMissing`, or ``ValueError`` for a genuine notice that makes no sense.
        """
        try:
            Webhook(self.keyring.webhook_secret(credential)).verify(body, dict(headers), json_parse=False)
        # The library lets ValueError escape for a signature header it cannot decode.
        except (WebhookVerificationError, ValueError) as error:
            raise NotVerified(f"confirmation: {error}") from error
        return _confirmation(headers["webhook-id"], _json_object(body))

    def _post(self, request: str) -> requests.Response:
        return self._session.post(
            f"{self.origin}/v1/payments",
            data=request.encode("ascii"),
            headers={"Content-Type": "application/jose"},
            timeout=TIMEOUTS,
            allow_redirects=False,
        )

    def _post_again(self, request: str) -> requests.Response:
        try:
            return self._post(request)
        except requests.RequestException as error:
            raise GuichetUnreachable(f"{self.origin}: {type(error).__name__}") from error

    def _published_keys(self) -> KeySet:
        # Fetched each time: a portal with traffic would keep them a few minutes, and fetch again on an unknown kid.
        try:
            answer = self._session.get(f"{self.origin}/.well-known/jwks.json", timeout=TIMEOUTS, allow_redirects=False)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise GuichetUnreachable(f"{self.origin}: {type(error).__name__}") from error
        entries = [entry for entry in _mappings(_json_object(answer.content).get("keys")) if entry.get("kty") == "OKP"]
        return KeySet([OKPKey.import_key({name: str(value) for name, value in entry.items()}) for entry in entries])


def _confirmation(notice_id: str, notice: Mapping[str, object]) -> Confirmation:
    facts = _mapping(notice.get("data"))
    confirmation = Confirmation(
        id=notice_id,
        type=_text(notice, "type"),
        sent_at=_text(notice, "timestamp"),
        payment=_text(facts, "id"),
        reference=_text(facts, "reference"),
        merchant=_text(facts, "merchant"),
        amount_cents=_whole(facts, "amount"),
        currency=_text(facts, "currency"),
        refunded_cents=_whole(facts, "refunded_amount"),
        card=next(reversed(_mappings(facts.get("attempts"))), {}),
    )
    if not (confirmation.type and confirmation.payment and confirmation.reference):
        raise ValueError("a confirmation without type, payment or reference")
    return confirmation


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        return _mapping(json.loads(body))
    except ValueError:
        return {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _whole(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
