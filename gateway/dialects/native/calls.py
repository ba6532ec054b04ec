"""How a native request is carried: in a body, or in the payer's browser; and what its claims ask for."""

from datetime import date
from urllib.parse import parse_qsl

from gateway.core.errors import BadRequest, NotFound
from gateway.core.money import Money
from gateway.core.payment import Kind, Line, PaymentRequest
from gateway.dialects import HttpCall
from gateway.dialects.native.claims import PaymentClaims
from gateway.dialects.native.faults import fault
from gateway.dialects.native.wire import TOKEN_BYTES_MAX


def posted_token(call: HttpCall) -> str:
    """Take the token a merchant's server posts. Raises :class:`BadRequest`."""
    _check_media_type(call, "application/jose")
    return _token(call.body)


def carried_token(call: HttpCall) -> str:
    """Take the token a payer's browser carries. Raises :class:`BadRequest`, or :class:`NotFound` for another method."""
    if call.method == "GET":
        return single(call.query, "request")
    if call.method != "POST":
        raise NotFound("no such address in this protocol")
    _check_media_type(call, "application/x-www-form-urlencoded")
    return single(_token(call.body), "request")


def _check_media_type(call: HttpCall, expected: str) -> None:
    given = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise BadRequest((fault("", "unsupported_type", f"send Content-Type: {expected}"),))


def _token(body: bytes) -> str:
    if len(body) > TOKEN_BYTES_MAX:
        raise BadRequest((fault("", "too_large", f"send at most {TOKEN_BYTES_MAX} bytes"),))
    return body.decode("ascii", "replace")


def single(query: str, name: str) -> str:
    """Take the one value of a parameter; given twice, two parsers could read two different requests."""
    try:
        values = [value for key, value in parse_qsl(query, keep_blank_values=True, max_num_fields=30) if key == name]
    except ValueError as error:
        raise BadRequest((fault("", "format", "send fewer parameters"),)) from error
    if len(values) != 1 or not values[0]:
        raise BadRequest((fault("", "missing", f"give the parameter {name} exactly once"),))
    # PostgreSQL's text has no room for it, and nothing was ever called so.
    if "\x00" in values[0]:
        raise BadRequest((fault("", "control_character", f"give the parameter {name} as it was told"),))
    return values[0]


def request_of(claims: PaymentClaims) -> PaymentRequest:
    """Say what a merchant asks for in the words of the core."""

    def money(cents: int) -> Money:
        return Money(cents, claims.currency)

    lines = tuple(Line(line.reference, line.label, money(line.amount)) for line in claims.lines or ())
    payer = claims.payer
    return PaymentRequest(
        merchant=claims.iss,
        reference=claims.reference,
        amount=money(claims.amount),
        lines=lines or (Line(claims.reference, claims.label, money(claims.amount)),),
        label=claims.label,
        kind=Kind(claims.kind),
        email=claims.email or "",
        payer_name=(payer and payer.name) or "",
        payer_phone=(payer and payer.phone) or "",
        beneficiary=claims.beneficiary or "",
        comment=claims.comment or "",
        fiscal_year=claims.fiscal_year or "",
        language=claims.language or "fr",
        return_url=claims.return_url or "",
        notify_url=claims.notify_url or "",
        pay_before=date.fromisoformat(claims.pay_before) if claims.pay_before else None,
        metadata=claims.metadata or {},
    )
