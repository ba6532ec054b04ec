"""The native dialect: which call asks what, and every answer.

The order of a signed call never changes: form, who, key, signature, audience and time, and only then meaning.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from gateway import __version__
from gateway.core.errors import BadRequest, DeliveryFailed, GatewayError, NotFound
from gateway.core.money import Money
from gateway.core.payment import Event, Kind, Line, Mode, PaymentRequest, PaymentResult
from gateway.core.signing import ConfirmationKeys, sign_webhook
from gateway.dialects import Cancel, Command, Find, HttpCall, HttpReply, LookUp, Open, Refund, Signed
from gateway.dialects.native.addresses import parse_address
from gateway.dialects.native.authorship import Authorship
from gateway.dialects.native.claims import CancelClaims, PaymentClaims, RefundClaims
from gateway.dialects.native.faults import fault, validated
from gateway.dialects.native.merchant import NativeMerchant, Terms
from gateway.dialects.native.problems import problem
from gateway.dialects.native.views import (
    ListView,
    NoticeView,
    ResultClaims,
    opened_view,
    payment_view,
    public_status,
)
from gateway.dialects.native.wire import TOKEN_BYTES_MAX, Json, digest_of
from gateway.keys import Keys

# Debts fall due, and end, by the clock of the treasury.
PARIS = ZoneInfo("Europe/Paris")

# The payer's browser needs seconds; a quarter of an hour covers a phone that fell asleep.
RESULT_LIFETIME = timedelta(minutes=15)

_PAYMENT_PATH = re.compile(r"/v1/payments/(?P<payment>[A-Za-z0-9_-]{1,64})(?P<verb>/refunds|/cancel)?", re.ASCII)


class NativeDialect:
    """Translates the native protocol. Pure: keys and merchants are given, the clock comes with each call."""

    name = "native"

    def __init__(
        self,
        merchants: Mapping[str, NativeMerchant],
        keys: Keys,
        origin: str,
        *,
        zone: ZoneInfo = PARIS,
        loopback_allowed: bool = False,
    ) -> None:
        """Take everything this dialect will ever know.

        :param origin: this server's scheme, host and port, which requests name in ``aud``
        :param zone: whose calendar last payable days are read in
        :param loopback_allowed: development only; merchants in test mode may then name addresses on this very machine
        """
        self._merchants, self._keys, self._origin = merchants, keys, origin.rstrip("/")
        self._authorship = Authorship(merchants, keys, origin)
        self._zone = zone
        self._loopback_allowed = loopback_allowed

    def read(self, call: HttpCall, now: datetime) -> Command:
        """Check who is asking, then say what is asked.

        Raises :class:`~gateway.core.errors.NotAuthentic`, :class:`BadRequest` with every fault, or :class:`NotFound`
        for a path or method that is none of this protocol's.
        """
        if call.path == "/pay":
            return self._open(_carried_token(call), now, by_browser=True)
        if call.path == "/v1/payments":
            if call.method == "POST":
                return self._open(_posted_token(call), now, by_browser=False)
            if call.method == "GET":
                return self._find(call)
        match = _PAYMENT_PATH.fullmatch(call.path)
        if match and call.method == "GET" and not match["verb"]:
            return LookUp(self._authorship.owner_of(call.headers.get("authorization", "")), match["payment"])
        if match and call.method == "POST" and match["verb"]:
            act = self._refund if match["verb"] == "/refunds" else self._cancel
            return act(match["payment"], _posted_token(call), now)
        raise NotFound("no such address in this protocol")

    def opened(self, command: Open, result: PaymentResult, page_url: str) -> HttpReply:
        """Send the payer's browser to the page, or tell the merchant where it is."""
        if command.by_browser:
            return HttpReply(303, {"Location": page_url, "Cache-Control": "no-store"})
        body = opened_view(result, page_url).model_dump_json().encode()
        return HttpReply(201, {**_JSON, "Location": f"/v1/payments/{result.id}"}, body)

    def found(self, result: PaymentResult, page_url: str) -> HttpReply:
        """Tell everything known of one payment."""
        return HttpReply(200, _JSON, payment_view(result, page_url).model_dump_json().encode())

    def listed(self, results: tuple[PaymentResult, ...]) -> HttpReply:
        """Tell everything known of several payments; their pages' addresses are told one at a time only."""
        views = ListView(payments=[payment_view(result) for result in results])
        return HttpReply(200, _JSON, views.model_dump_json().encode())

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply:  # noqa: ARG002 - one form for every call
        """Answer an error as a problem document (RFC 9457)."""
        return problem(error, self._origin)

    def returned(self, result: PaymentResult, now: datetime) -> str:
        """Give the merchant's return address with ``payment`` and a signed ``result`` added to its own query."""
        url = result.request.return_url
        if not url:
            return ""
        claims = ResultClaims(
            iss=self._origin,
            aud=result.request.merchant,
            sub=result.id,
            status=public_status(result.status),
            reference=result.request.reference,
            amount=result.request.amount.cents,
            currency=result.request.amount.currency,
            iat=int(now.timestamp()),
            exp=int((now + RESULT_LIFETIME).timestamp()),
        )
        token = self._keys.sign_result(claims.model_dump(mode="json"))
        joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
        return url + joint + urlencode({"payment": result.id, "result": token})

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the body of a confirmation (Standard Webhooks payload).

        Raises :class:`ValueError` for an event that merchants are not told of.
        """
        notice = {"type": event.type, "timestamp": event.at, "data": payment_view(result)}
        return NoticeView.model_validate(notice).model_dump_json().encode()

    def delivery(self, result: PaymentResult, notice_id: str, body: bytes, now: datetime) -> HttpCall:
        """Wrap a confirmation for one try, signed at ``now`` by every key in use.

        Raises :class:`DeliveryFailed`, for good, when neither the request nor the merchant names a usable address.
        """
        merchant = self._merchants.get(result.request.merchant)
        url = result.request.notify_url or (merchant.notify_url if merchant else "")
        try:
            address = parse_address(url)
        except ValueError as error:
            raise DeliveryFailed("the merchant gave no usable address", again=False) from error
        timestamp = int(now.timestamp())
        keys = self._confirmation_keys(result.request.merchant)
        headers = {
            "content-type": "application/json",
            "user-agent": f"Guichet/{__version__}",
            "webhook-id": notice_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign_webhook(keys, message_id=notice_id, timestamp=timestamp, body=body),
        }
        return HttpCall("POST", address.path, address.query, headers, body, url)

    def _open(self, token: str, now: datetime, *, by_browser: bool) -> Open:
        merchant, raw = self._authorship.claims(token, "payment-request+jwt", now)
        claims = validated(PaymentClaims, raw, self._terms(merchant, now))
        return Open(_request_of(claims), _signed(claims.iss, claims.jti, raw), by_browser)

    def _refund(self, payment: str, token: str, now: datetime) -> Refund:
        merchant, raw = self._authorship.claims(token, "refund-request+jwt", now)
        claims = validated(RefundClaims, raw, self._terms(merchant, now))
        _check_same(payment, claims.payment)
        amount = Money(claims.amount, claims.currency)
        return Refund(payment, amount, _signed(claims.iss, claims.jti, raw), claims.reason)

    def _cancel(self, payment: str, token: str, now: datetime) -> Cancel:
        merchant, raw = self._authorship.claims(token, "cancel-request+jwt", now)
        claims = validated(CancelClaims, raw, self._terms(merchant, now))
        _check_same(payment, claims.payment)
        return Cancel(payment, _signed(claims.iss, claims.jti, raw), claims.reason)

    def _find(self, call: HttpCall) -> Find:
        merchants = self._authorship.owner_of(call.headers.get("authorization", ""))
        return Find(merchants, _single(call.query, "reference"))

    def _terms(self, merchant: NativeMerchant, now: datetime) -> Terms:
        loopback_allowed = self._loopback_allowed and merchant.mode is Mode.TEST
        return Terms(merchant, now.astimezone(self._zone).date(), loopback_allowed)

    def _confirmation_keys(self, merchant: str) -> ConfirmationKeys:
        """Take the merchant's own keys, or those of its portal when it has none."""
        own = self._keys.confirmation_keys(merchant)
        portal = self._merchants[merchant].portal if merchant in self._merchants else None
        return own if own.secrets or own.private_keys or not portal else self._keys.confirmation_keys(portal)


_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def _posted_token(call: HttpCall) -> str:
    _check_media_type(call, "application/jose")
    return _token(call.body)


def _carried_token(call: HttpCall) -> str:
    if call.method == "GET":
        return _single(call.query, "request")
    if call.method != "POST":
        raise NotFound("no such address in this protocol")
    _check_media_type(call, "application/x-www-form-urlencoded")
    return _single(_token(call.body), "request")


def _check_media_type(call: HttpCall, expected: str) -> None:
    given = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise BadRequest((fault("", "unsupported_type", f"send Content-Type: {expected}"),))


def _token(body: bytes) -> str:
    if len(body) > TOKEN_BYTES_MAX:
        raise BadRequest((fault("", "too_large", f"send at most {TOKEN_BYTES_MAX} bytes"),))
    return body.decode("ascii", "replace")


def _single(query: str, name: str) -> str:
    """Take the one value of a parameter; given twice, two parsers could read two different requests."""
    try:
        values = [value for key, value in parse_qsl(query, keep_blank_values=True, max_num_fields=30) if key == name]
    except ValueError as error:
        raise BadRequest((fault("", "format", "send fewer parameters"),)) from error
    if len(values) != 1 or not values[0]:
        raise BadRequest((fault("", "missing", f"give the parameter {name} exactly once"),))
    return values[0]


def _check_same(in_path: str, in_claims: str) -> None:
    if in_path != in_claims:
        raise BadRequest((fault("/payment", "payment_differs", "sign the id that the address names"),))


def _signed(merchant: str, jti: str, raw: Json) -> Signed:
    return Signed(merchant, jti, digest_of(raw))


def _request_of(claims: PaymentClaims) -> PaymentRequest:
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
