"""Errors of the native protocol: the public catalogue, and the problem document (RFC 9457) that carries one."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import BadRequest, GatewayError, NotAuthentic, RequestConflict
from gateway.dialects import HttpReply
from gateway.dialects.native.views import FaultView, ProblemView


@dataclass(frozen=True, slots=True)
class ErrorCard:
    """What the documentation says of one error: its status, its title, and the cure."""

    status: int
    title: str
    fix: str


ERRORS: Mapping[str, ErrorCard] = {
    "not_a_jws": ErrorCard(
        401, "Not a signed request", "Send one compact JWS: three base64url parts without padding, joined by dots."
    ),
    "header_not_allowed": ErrorCard(
        401, "Header not allowed", "Put alg and kid in the JWS header, typ if you like, and nothing else."
    ),
    "wrong_type": ErrorCard(
        401, "Signed for another purpose", "Leave typ out, or set it to JWT or to the type that the operation names."
    ),
    "not_authentic": ErrorCard(
        401,
        "Not authentic",
        "Check iss, kid, alg and the signature, in this order. A production merchant is not told which is wrong: "
        "try the same code in test mode, or ask the operator, whose log says it.",
    ),
    "unknown_merchant": ErrorCard(401, "Unknown merchant", "Set iss to your merchant id; check that it is in service."),
    "unknown_key": ErrorCard(
        401, "Unknown key", "Set kid to the id of a key registered for the merchant in iss. Retired keys are unknown."
    ),
    "algorithm_not_allowed": ErrorCard(
        401, "Algorithm not allowed", "Sign with the algorithm the key was registered for; a key has exactly one."
    ),
    "bad_signature": ErrorCard(
        401,
        "Signature does not match",
        "Sign the exact text header.payload with the private half of the key that kid names. An HS256 secret is "
        "base64url: decode it first.",
    ),
    "wrong_audience": ErrorCard(401, "Meant for another server", "Set aud to this server's origin, as one string."),
    "expired": ErrorCard(401, "Request has expired", "Sign each request when you send it, and keep your clock right."),
    "not_yet_valid": ErrorCard(401, "Signed in the future", "Set your clock: iat is over 60 seconds ahead."),
    "lifetime_too_long": ErrorCard(401, "Lifetime too long", "Set exp to at most 900 seconds after iat."),
    "api_key_missing": ErrorCard(401, "API key missing", "Send the header Authorization: Bearer and your API key."),
    "api_key_unknown": ErrorCard(401, "API key unknown", "Check the API key; after a rotation the old one is unknown."),
    "not_found": ErrorCard(404, "No such payment", "Check the id; other merchants' payments are not found either."),
    "jti_reused": ErrorCard(
        409, "Identifier used before", "Draw a new jti for a new request; repeat one only with exactly the same claims."
    ),
    "debt_locked": ErrorCard(
        409,
        "Debt is being paid",
        "Another payment of this debt is open: send its payer on, cancel it, or wait.",
    ),
    "debt_already_paid": ErrorCard(409, "Debt is paid", "Nothing is due. Look the payment up by its reference."),
    "suspended": ErrorCard(409, "Payments are suspended", "The merchant takes no payment for now. Ask again later."),
    "payment_over": ErrorCard(409, "Payment has ended", "It can no longer be changed. Ask for a new payment."),
    "refund_exceeds": ErrorCard(409, "Refund exceeds what is left", "Refund at most the amount less earlier refunds."),
    "wrong_status": ErrorCard(409, "Not in this state", "Read the payment: its status does not allow this."),
    "too_large": ErrorCard(413, "Request too large", "Send at most 64 KiB, with at most 8 KiB of claims."),
    "unsupported_type": ErrorCard(415, "Content type not supported", "Send Content-Type: application/jose."),
    "invalid_request": ErrorCard(422, "Invalid request", "Mend every fault in errors; each names member and rule."),
    "too_many_requests": ErrorCard(429, "Too many requests", "Wait as long as Retry-After says."),
    "bad_http": ErrorCard(400, "Not proper HTTP", "Send the request as this page shows it; name each header once."),
    "method_not_allowed": ErrorCard(405, "Method not allowed", "Use a method that the header Allow lists."),
    "http_error": ErrorCard(400, "Refused before reading", "Follow the HTTP status; this page shows each operation."),
    "internal_error": ErrorCard(
        500,
        "Our fault",
        "Send the same request again with the same jti; nothing is done twice. Tell us if it persists.",
    ),
    "store_busy": ErrorCard(
        503, "Busy", "Send the very same request again, same jti, after Retry-After seconds: it counts once."
    ),
    "acquirer_unreachable": ErrorCard(
        503, "Bank unreachable", "What became of it is not known yet. Read the payment later; do not ask anew."
    ),
}

# Faults that have a status of their own, so that HTTP tools understand them.
_OWN_STATUS = ("unsupported_type", "too_large")

# What a caller whom nothing proves is told once there is a production merchant.
NEUTRAL = "not_authentic"


class Unproved(NotAuthentic):
    """A refusal whose reason only the log learns: it would tell a stranger which merchants and keys there are."""


def problem(error: GatewayError, origin: str) -> HttpReply:
    """Make the problem document of an error."""
    code = _code(error)
    card = ERRORS[code]
    view = ProblemView(
        type=f"{origin}/docs#error-{code}",
        title=card.title,
        status=card.status,
        # A conflict's cure names the reference and until when; the catalogue's words cannot.
        detail=error.fix if isinstance(error, RequestConflict) else card.fix,
        code=code,
        payment=error.payment if isinstance(error, RequestConflict) else None,
        errors=_faults(error) if code == "invalid_request" else None,
    )
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if card.status == 401:
        # RFC 9110 section 15.5.2 wants a challenge; JWS bodies have no registered scheme.
        headers["WWW-Authenticate"] = 'Bearer realm="guichet"' if code.startswith("api_key") else 'JOSE realm="guichet"'
    return HttpReply(card.status, headers, view.model_dump_json(exclude_none=True).encode())


def _code(error: GatewayError) -> str:
    if isinstance(error, Unproved):
        return NEUTRAL
    if isinstance(error, BadRequest):
        own = [fault.code for fault in error.faults if fault.code in _OWN_STATUS]
        return own[0] if own else BadRequest.code
    if error.code in ERRORS:
        return error.code
    return "bad_signature" if isinstance(error, NotAuthentic) else "internal_error"


def _faults(error: GatewayError) -> list[FaultView]:
    faults = error.faults if isinstance(error, BadRequest) else ()
    return [FaultView(pointer=fault.pointer, code=fault.code, detail=fault.detail) for fault in faults]


def explain(error: GatewayError) -> str:
    """Say in one line, to a developer, what is wrong and how to mend it."""
    if isinstance(error, Unproved):
        return ERRORS[NEUTRAL].fix
    if isinstance(error, BadRequest):
        return "; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in error.faults)
    return error.fix if isinstance(error, NotAuthentic | RequestConflict) else str(error)
