"""The native dialect: which call asks what, and every answer.

The order of a signed call never changes: form, who, key, signature, audience and time, and only then meaning.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from gateway import __version__
from gateway.core.errors import BadRequest, DeliveryFailed, GatewayError, NotFound
from gateway.core.money import Money
from gateway.core.payment import Event, Mode, PaymentResult, Recipient
from gateway.core.signing import ConfirmationKeys, sign_webhook
from gateway.dialects import (
    About,
    Cancel,
    Command,
    Departure,
    ErrorPage,
    Find,
    HttpCall,
    HttpReply,
    LookUp,
    Open,
    Refund,
    Signed,
    Try,
    Which,
)
from gateway.dialects.addresses import parse_address
from gateway.dialects.native.authorship import Authorship
from gateway.dialects.native.calls import carried_token, posted_token, request_of, single
from gateway.dialects.native.claims import CancelClaims, PaymentClaims, RefundClaims
from gateway.dialects.native.faults import fault, validated
from gateway.dialects.native.merchant import NativeMerchant, Terms
from gateway.dialects.native.problems import NEUTRAL, Unproved, explain, problem
from gateway.dialects.native.showing import opened_view, payment_view, public_status
from gateway.dialects.native.views import ListView, NoticeView, ResultClaims
from gateway.dialects.native.wire import Json, digest_of
from gateway.dialects.schedule import after
from gateway.keys import Keys

# Debts fall due, and end, by the clock of the treasury.
PARIS = ZoneInfo("Europe/Paris")

# The payer's browser needs seconds; a quarter of an hour covers a phone that fell asleep.
RESULT_LIFETIME = timedelta(minutes=15)

GONE = 410

TOLD = frozenset({"payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired", "payment.refunded"})

_MINUTE, _HOUR = 60, 3600
# Seconds after each failed try before the next one; when the list is used up the notice is dead.
RETRY_SECONDS = (
    5, 30, 2 * _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip

_PAYMENT_PATH = re.compile(r"/v1/payments/(?P<payment>[A-Za-z0-9_-]{1,64})(?P<verb>/refunds|/cancel)?", re.ASCII)


class NativeDialect:
    """Translates the native protocol. Pure: keys and merchants are given, the clock comes with each call."""

    name = "native"
    paths: tuple[str, ...] = (
        "/v1/payments",
        "GET /v1/payments/<payment>",
        "POST /v1/payments/<payment>/refunds",
        "POST /v1/payments/<payment>/cancel",
        "/pay",
    )
    body_max = 64 * 1024
    popup = False
    tells_first = False
    weaknesses: tuple[str, ...] = ()

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
            return self._open(carried_token(call), now, by_browser=True)
        if call.path == "/v1/payments":
            if call.method == "POST":
                return self._open(posted_token(call), now, by_browser=False)
            if call.method == "GET":
                return self._find(call)
        match = _PAYMENT_PATH.fullmatch(call.path)
        if match and call.method == "GET" and not match["verb"]:
            merchants = self._authorship.owner_of(call.headers.get("authorization", ""))
            return LookUp(Which(merchants, payment=match["payment"]))
        if match and call.method == "POST" and match["verb"]:
            act = self._refund if match["verb"] == "/refunds" else self._cancel
            return act(match["payment"], posted_token(call), now)
        raise NotFound("no such address in this protocol")

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:  # noqa: ARG002
        """Send the payer's browser to the page, or tell the merchant where it is."""
        if command.by_browser:
            return HttpReply(303, {"Location": page_url, "Cache-Control": "no-store"})
        body = opened_view(result, page_url).model_dump_json().encode()
        return HttpReply(201, {**_JSON, "Location": f"/v1/payments/{result.id}"}, body)

    def found(
        self,
        command: About,  # noqa: ARG002 - one form for every answer
        result: PaymentResult,
        page_url: str,
        now: datetime,  # noqa: ARG002
    ) -> HttpReply:
        """Tell everything known of one payment."""
        return HttpReply(200, _JSON, payment_view(result, page_url).model_dump_json().encode())

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:  # noqa: ARG002
        """Tell everything known of several payments; their pages' addresses are told one at a time only."""
        views = ListView(payments=[payment_view(result) for result in results])
        return HttpReply(200, _JSON, views.model_dump_json().encode())

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply | ErrorPage:
        """Answer an error as a problem document (RFC 9457), or tell the payer whose browser carried the request."""
        document = problem(error, self._origin)
        if call.path != "/pay":
            return document
        code = NEUTRAL if isinstance(error, Unproved) else error.code
        return ErrorPage(document.status, code, detail=explain(error))

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:
        """Give the merchant's return address with ``payment`` and a signed ``result`` added to its own query."""
        url = result.request.return_url
        if not url:
            return None
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
        return Departure(url + joint + urlencode({"payment": result.id, "result": token}))

    def due(self, result: PaymentResult, event: Event) -> datetime | None:  # noqa: ARG002 - every merchant is told the same
        """Tell the end of a payment, and refunds, at once."""
        return event.at if event.type in TOLD else None

    def target(self, to: Recipient) -> str:
        """Give the request's own address, or the merchant's."""
        merchant = self._merchants.get(to.merchant)
        return to.notify_url or (merchant.notify_url if merchant else "")

    def copies(self, to: Recipient) -> tuple[str, ...]:  # noqa: ARG002
        """Tell nobody else."""
        return ()

    def received(self, status: int, body: bytes) -> bool:  # noqa: ARG002 - the status says it all
        """Take any 2xx for "I have it", and 410 for "never again"."""
        if status == GONE:
            raise DeliveryFailed(f"HTTP {status}", again=False)
        return 200 <= status < 300

    def retry_at(self, tries: int, now: datetime, *, merchant: str = "") -> datetime | None:  # noqa: ARG002
        """Try for three days, ever less often."""
        return after(RETRY_SECONDS, tries, now)

    def code(self, result: PaymentResult, event: Event) -> str:  # noqa: ARG002 - our words are this dialect's words
        """Add nothing to our own names."""
        return ""

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the body of a confirmation (Standard Webhooks payload).

        Raises :class:`ValueError` for an event that merchants are not told of.
        """
        notice = {"type": event.type, "timestamp": event.at, "data": payment_view(result)}
        return NoticeView.model_validate(notice).model_dump_json().encode()

    def delivery(self, to: Recipient, this: Try) -> HttpCall:
        """Wrap a confirmation for one try, signed at its moment by every key in use.

        Raises :class:`DeliveryFailed`, for good, when neither the request nor the merchant names a usable address.
        """
        url = self.target(to)
        try:
            address = parse_address(url)
        except ValueError as error:
            raise DeliveryFailed("the merchant gave no usable address", again=False) from error
        headers = {"content-type": "application/json", "user-agent": f"Guichet/{__version__}"}
        signed = self.sign_notice(to.merchant, this)
        return HttpCall("POST", address.path, address.query, {**headers, **signed}, this.body)

    def sign_notice(self, merchant: str, this: Try) -> Mapping[str, str]:
        """Give the headers that prove a try (Standard Webhooks), also to dialects that have no signature of their own."""
        timestamp, keys = int(this.at.timestamp()), self._confirmation_keys(merchant)
        return {
            "webhook-id": this.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign_webhook(keys, message_id=this.id, timestamp=timestamp, body=this.body),
        }

    def _open(self, token: str, now: datetime, *, by_browser: bool) -> Open:
        merchant, raw = self._authorship.claims(token, "payment-request+jwt", now)
        claims = validated(PaymentClaims, raw, self._terms(merchant, now))
        return Open(request_of(claims), _signed(claims.iss, claims.jti, raw), by_browser)

    def _refund(self, payment: str, token: str, now: datetime) -> Refund:
        merchant, raw = self._authorship.claims(token, "refund-request+jwt", now)
        claims = validated(RefundClaims, raw, self._terms(merchant, now))
        _check_same(payment, claims.payment)
        amount = Money(claims.amount, claims.currency)
        which = Which(frozenset({claims.iss}), payment=payment)
        return Refund(which, amount, _signed(claims.iss, claims.jti, raw), claims.reason)

    def _cancel(self, payment: str, token: str, now: datetime) -> Cancel:
        merchant, raw = self._authorship.claims(token, "cancel-request+jwt", now)
        claims = validated(CancelClaims, raw, self._terms(merchant, now))
        _check_same(payment, claims.payment)
        which = Which(frozenset({claims.iss}), payment=payment)
        return Cancel(which, _signed(claims.iss, claims.jti, raw), claims.reason)

    def _find(self, call: HttpCall) -> Find:
        merchants = self._authorship.owner_of(call.headers.get("authorization", ""))
        return Find(merchants, single(call.query, "reference"))

    def _terms(self, merchant: NativeMerchant, now: datetime) -> Terms:
        loopback_allowed = self._loopback_allowed and merchant.mode is Mode.TEST
        return Terms(merchant, now.astimezone(self._zone).date(), loopback_allowed)

    def _confirmation_keys(self, merchant: str) -> ConfirmationKeys:
        """Take the merchant's own keys, or those of its portal when it has none."""
        own = self._keys.confirmation_keys(merchant)
        portal = self._merchants[merchant].portal if merchant in self._merchants else None
        return own if own.secrets or own.private_keys or not portal else self._keys.confirmation_keys(portal)


_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def _check_same(in_path: str, in_claims: str) -> None:
    if in_path != in_claims:
        raise BadRequest((fault("/payment", "payment_differs", "sign the id that the address names"),))


def _signed(merchant: str, jti: str, raw: Json) -> Signed:
    return Signed(merchant, jti, digest_of(raw))
