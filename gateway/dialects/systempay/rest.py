"""REST V4, as far as hosted payment needs it: ``Charge/CreatePayment`` opens a payment, ``Charge/SDKTest`` echoes.

What is asked about a payment that there is already is in ``transactions``.

HTTP Basic with the site number and the REST password; every answer, refusals included, is HTTP 200 with the envelope of
``V4/WebService/Response``. The embedded form of the vendor's script is not served: the answer carries, beside the
``formToken``, the address of our own page as ``paymentURL``.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from gateway.core.errors import BadRequest, Fault, GatewayError, NotAuthentic, NotFound, RequestConflict, StoreBusy
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentRequest, PaymentResult
from gateway.dialects import House, HttpCall, HttpReply, Open, Refund, Say, Signed
from gateway.dialects.systempay import transactions
from gateway.dialects.systempay.asking import LABEL_MAX, PAGE_MINUTES, REPLACED, money_of
from gateway.dialects.systempay.forms import BYTES_MAX
from gateway.dialects.systempay.krypton import moment
from gateway.dialects.systempay.places import address_fault, parse_place
from gateway.dialects.systempay.shops import Shop, Shops
from gateway.dialects.systempay.transactions import Member, RestLookUp

BASE = "/api-payment/V4/"
CREATE, SDK_TEST = BASE + "Charge/CreatePayment", BASE + "Charge/SDKTest"
GET, CANCEL_OR_REFUND = BASE + "Transaction/Get", BASE + "Transaction/CancelOrRefund"

# Error codes of the service, by the member they are about.
_CODES: Mapping[str, str] = {"amount": "INT_009", "currency": "INT_010"}
_BAD_INPUT, _BAD_SERVICE, _NO_ACCESS, _BUSY = "INT_902", "INT_001", "INT_905", "INT_999"
_NO_TRANSACTION, _NOT_NOW = "PSP_010", "PSP_003"

_EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+$"
_VISIBLE = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, Field(max_length=127, pattern=_VISIBLE)]


class _Billing(Member):
    first_name: Text | None = Field(None, alias="firstName")
    last_name: Text | None = Field(None, alias="lastName")
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] | None = None


class _Customer(Member):
    email: Annotated[str, Field(max_length=150, pattern=_EMAIL)] | None = None
    billing: _Billing | None = Field(None, alias="billingDetails")


class _CreatePayment(Member):
    amount: int = Field(ge=1, le=999_999_999_999)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    order_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(None, alias="orderId")
    customer: _Customer | None = None
    metadata: Annotated[dict[Text, Text], Field(max_length=20)] | None = None
    notify_url: Annotated[str, Field(max_length=1024)] | None = Field(None, alias="ipnTargetUrl")
    action: Literal["PAYMENT", "ASK_REGISTER_PAY"] = Field("PAYMENT", alias="formAction")


def read_rest(call: HttpCall, shops: Shops, house: House, now: datetime) -> Open | Say | RestLookUp | Refund:
    """Check the password, then say what is asked.

    Raises :class:`NotFound`, :class:`NotAuthentic`, or :class:`BadRequest` with every fault.
    """
    if call.path not in (CREATE, SDK_TEST, GET, CANCEL_OR_REFUND) or call.method != "POST":
        raise NotFound("no such web service")
    shop = _caller(call, shops)
    members = _members(call.body)
    if call.path == SDK_TEST:
        answer = {"value": members.get("value"), "_type": "V4/Charge/SDKTest"}
        return Say(_envelope(call.path, "SUCCESS", answer, now))
    try:
        if call.path == GET:
            return transactions.read_get(members, shop)
        if call.path == CANCEL_OR_REFUND:
            return transactions.read_refund(members, shop, house)
        return _open(members, shop, house, now)
    except ValidationError as error:
        raise BadRequest(tuple(_faults(error))) from error


def _caller(call: HttpCall, shops: Shops) -> Shop:
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    try:
        site_id, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError) as error:
        raise _no_access() from error
    shop = shops.get(site_id.decode("ascii", "replace"))
    rest = shop.site.rest if shop else None
    # Compared in any case, so that the time taken does not tell which shops there are.
    is_right = hmac.compare_digest(password, rest.password.encode("ascii") if rest else b"\x00")
    if scheme.lower() != "basic" or shop is None or rest is None or not is_right:
        raise _no_access()
    return shop


def _no_access() -> NotAuthentic:
    return NotAuthentic("bad_password", "send HTTP Basic with the site number and the REST password of this mode")


def _members(body: bytes) -> Mapping[str, object]:
    if len(body) > BYTES_MAX:
        raise BadRequest((Fault("", _BAD_INPUT, f"send at most {BYTES_MAX} bytes"),))
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
        # PostgreSQL's text, and UTF-8 itself, have no room for some; and as deep as an echo stands, none must be too deep.
        json.dumps({"answer": {"value": value}}, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadRequest((Fault("", _BAD_INPUT, "send one JSON object in UTF-8, each member once"),)) from error
    if not isinstance(value, dict):
        raise BadRequest((Fault("", _BAD_INPUT, "send one JSON object"),))
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _open(members: Mapping[str, object], shop: Shop, house: House, now: datetime) -> Open:
    asked = _CreatePayment.model_validate(members)
    faults: list[Fault] = []
    money = money_of(str(asked.amount), asked.currency, shop, faults)
    registered = (*shop.merchant.callback_urls, shop.url_check(shop.ctx_mode))
    if asked.notify_url and (cure := address_fault(asked.notify_url, registered, shop, house, is_called=True)):
        faults.append(Fault("/ipnTargetUrl", _BAD_INPUT, cure))
    if money is None or faults:
        raise BadRequest(tuple(_in_json(fault) for fault in faults))
    return _opening(asked, money, shop, house.draw(16).hex(), now)


def _opening(asked: _CreatePayment, money: Money, shop: Shop, handle: str, now: datetime) -> Open:
    reference = asked.order_id or f"{now:%Y%m%d}-{handle[:8]}"
    billing = (asked.customer and asked.customer.billing) or _Billing()
    request = PaymentRequest(
        merchant=shop.merchant.id,
        reference=reference,
        amount=money,
        lines=(Line(reference, reference, money),),
        label=reference[:LABEL_MAX],
        email=(asked.customer and asked.customer.email) or "",
        payer_name=f"{billing.first_name or ''} {billing.last_name or ''}".strip()[:LABEL_MAX],
        language=(billing.language or "fr").lower(),
        return_url=shop.site.url_return,
        notify_url=parse_place(asked.notify_url).called if asked.notify_url else shop.url_check(shop.ctx_mode),
        metadata=asked.metadata or {},
        wire={
            "api": "rest",
            "site": shop.site.site_id,
            "mode": shop.ctx_mode,
            "fields": json.dumps({"orderId": asked.order_id}),
        },
        capture_by_hand=shop.terms.capture_by_hand,
        capture_days=shop.terms.capture_days,
    )
    # A web service call carries no id of its own: said twice, it asks for two payments of one order.
    signed = Signed(shop.merchant.id, f"{shop.site.site_id}-rest-{handle}", handle * 2)
    return Open(request, signed, handle=handle, replaces=REPLACED, resumes=False, page_minutes=PAGE_MINUTES)


def opened_reply(handle: str, page_url: str, now: datetime) -> HttpReply:
    """Answer a new payment: the token of the vendor's embedded form, and the address of our own page."""
    answer = {"formToken": handle, "paymentURL": page_url, "_type": "V4/Charge/PaymentForm"}
    return _envelope(CREATE, "SUCCESS", answer, now)


def found_reply(command: RestLookUp | Refund, result: PaymentResult, now: datetime) -> HttpReply:
    """Tell a transaction. Raises :class:`NotFound` when the payment has none, or :class:`RequestConflict`."""
    path = GET if isinstance(command, RestLookUp) else CANCEL_OR_REFUND
    return _envelope(path, "SUCCESS", transactions.answer(command, result), now)


def refused_reply(path: str, error: GatewayError) -> HttpReply:
    """Say no in the envelope of the service."""
    code, message = _BAD_INPUT, error.code.replace("_", " ")
    if isinstance(error, BadRequest):
        code = error.faults[0].code
        message = "; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in error.faults)
    elif isinstance(error, NotAuthentic):
        code, message = _NO_ACCESS, error.fix
    elif isinstance(error, RequestConflict):
        code, message = _BAD_INPUT if path == CREATE else _NOT_NOW, error.fix
    elif isinstance(error, NotFound):
        is_known = path in (GET, CANCEL_OR_REFUND)
        code, message = (_NO_TRANSACTION, str(error)) if is_known else (_BAD_SERVICE, "no such web service")
    elif isinstance(error, StoreBusy):
        code, message = _BUSY, "try again in a moment"
    answer = {
        "errorCode": code,
        "errorMessage": message,
        "detailedErrorCode": None,
        "detailedErrorMessage": None,
        "_type": "V4/WebService/WebServiceError",
    }
    return _envelope(path, "ERROR", answer, None)


def _envelope(path: str, status: str, answer: Mapping[str, object], now: datetime | None) -> HttpReply:
    """Wrap an answer. A refusal has no clock to read: its ``serverDate`` is null."""
    whole = {
        "webService": path.removeprefix(BASE),
        "version": "V4",
        "status": status,
        "answer": answer,
        "serverDate": moment(now) if now else None,
        "_type": "V4/WebService/Response",
    }
    headers = {"Content-Type": "application/json;charset=utf-8", "Cache-Control": "no-store"}
    return HttpReply(200, headers, json.dumps(whole, ensure_ascii=False).encode())


def _faults(error: ValidationError) -> Iterator[Fault]:
    for raw in error.errors(include_input=False, include_url=False, include_context=False):
        place = "/".join(str(step) for step in raw["loc"] if step != "[key]")
        yield Fault(f"/{place}", _CODES.get(place, _BAD_INPUT), raw["msg"])


def _in_json(fault: Fault) -> Fault:
    """Name the member of the web service where a rule shared with the form names its field."""
    member = fault.pointer.removeprefix("/").removeprefix("vads_")
    return Fault(f"/{member}", _CODES.get(member, _BAD_INPUT), fault.detail)
