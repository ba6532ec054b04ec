"""doWebPayment: what the merchant asks for, as a payment request."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

from lxml.etree import _Element as Element

from gateway.core.money import Money
from gateway.core.payment import Instalment, Line, PaymentRequest
from gateway.core.states import Status
from gateway.dialects import House, Open, Signed, soap
from gateway.dialects.payline import urls
from gateway.dialects.payline.form import BAD_FIELD, NULL, Form
from gateway.dialects.payline.instalments import plan
from gateway.dialects.payline.merchant import Account
from gateway.dialects.payline.offers import brands, numbers, read_offer
from gateway.dialects.payline.schema import SCHEMA, Value, Values

# payment.action: whether approved money waits for doCapture. 110/111 begin a series, 120/121 ask for no security code.
_BY_HAND = {"100": True, "110": True, "120": True, "101": False, "111": False, "121": False}

_REFERENCE_MAX, _COMMENT_MAX, _PRIVATE_MAX = 50, 255, 100
_STATEMENT_MAX, _LANGUAGE_MAX = 64, 20
_DEFERRED_DAYS_MAX = 365

# Three-letter codes of the languages of the pages (ISO 639-2, both columns); the first two letters of others mislead:
# "est" is not Spanish.
_LANGUAGES = {"fra": "fr", "fre": "fr", "eng": "en", "spa": "es", "deu": "de", "ger": "de"} | {
    "nld": "nl", "dut": "nl", "por": "pt", "ita": "it", "ara": "ar"
}  # fmt: skip

# What browsers accept in an e-mail field (HTML Living Standard), with a dot in the domain.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", re.ASCII)

# Objects given back as they came.
_ECHOED = ("payment", "order", "privateDataList", "buyer")

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEAD_LENGTH = 19


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the payer goes back to, after an answer or after giving up, and where the merchant is told."""

    returns: str
    cancels: str
    notices: str


@dataclass(frozen=True, slots=True)
class _Pay:
    """How the money is taken: what now, what later, and when approved money is paid out."""

    now: Money
    later: tuple[Instalment, ...]
    by_hand: bool
    capture_days: int


def read_opening(element: Element, account: Account, house: House, now: datetime) -> Open:
    """Read a doWebPayment request.

    Raises :class:`~gateway.core.errors.BadRequest` with every fault.
    """
    form = Form(element)
    pay = _read_pay(form, account, now.astimezone(house.zone).date())
    reference = _reference(form)
    offer = read_offer(form, account)
    _check_page_code(form, account)
    places = _places(form, account, house)
    echo = _echo(form, account)
    form.check()
    label = _label(echo, reference)
    request = PaymentRequest(
        merchant=account.merchant.id,
        reference=reference,
        amount=pay.now,
        lines=(Line(reference, label, pay.now),),
        label=label,
        email=_email(form),
        payer_name=_payer_name(form),
        payer_phone=re.sub(r"[^0-9+]", "", form.text("buyer", "mobilePhone"))[:20],
        language=_language(form.text("languageCode")),
        return_url=places.returns,
        notify_url=places.notices,
        wire={
            "version": str(SCHEMA.version(form.text("version"))),
            "contracts": numbers((*offer.first, *offer.second)),
            "cancel_url": places.cancels,
            "language": form.text("languageCode")[:_LANGUAGE_MAX],
            "echo": json.dumps(echo, ensure_ascii=False),
        },
        capture_by_hand=pay.by_hand,
        capture_days=pay.capture_days,
        instalments=pay.later,
        schemes=brands(offer.first),
        schemes_again=brands(offer.second),
        statement=_plain(form.text("payment", "softDescriptor"), _STATEMENT_MAX),
    )
    offered = (numbers(offer.first), numbers(offer.second))
    parts = (f"{part.due} {part.amount.cents}" for part in pay.later)
    digest = _digest(echo, *offered, places.returns, places.cancels, places.notices, *parts)
    return Open(
        request,
        Signed(account.merchant.id, house.draw(16).hex(), digest),
        handle=make_token(house, now),
        replaces=frozenset({Status.CREATED, Status.OPENED}),
        resumes=True,
        page_minutes=account.terms.page_minutes,
    )


def make_token(house: House, now: datetime) -> str:
    """Draw a payer's secret of Payline's shape: letters and digits, then the milliseconds since 1970."""
    number = int.from_bytes(house.draw(32), "big")
    head = []
    for _ in range(_HEAD_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        head.append(_ALPHABET[place])
    return "".join(head) + f"{int(now.timestamp() * 1000):013d}"


def _read_pay(form: Form, account: Account, today: date) -> _Pay:
    cents = form.cents("Payment Amount", account.merchant.amount_cents_max, "payment", "amount")
    currency = form.currency("Payment Currency", "payment", "currency")
    if currency != account.merchant.currency and form.text("payment", "currency"):
        form.refuse("/payment/currency", BAD_FIELD, f"Payment Currency : Must be in {account.merchant.currency}")
    amount = Money(cents, currency)
    action = form.required("Payment Action", "payment", "action")
    if action and action not in _BY_HAND:
        form.refuse("/payment/action", BAD_FIELD, "Payment Action : Must be 100 or 101")
    mode = form.required("Payment Mode", "payment", "mode")
    by_hand, days, later = _BY_HAND.get(action, False), 0, ()
    if mode and mode not in account.terms.modes:
        form.refuse("/payment/mode", "02308", mode)
    elif mode == "DIF":
        label = "Deferred Action Date"
        due = form.day(label, "payment", "differedActionDate")
        by_hand, days = False, (due - today).days if due else 0
        if not 0 <= days <= _DEFERRED_DAYS_MAX:
            form.refuse("/payment/differedActionDate", BAD_FIELD, f"{label} : Must be within {_DEFERRED_DAYS_MAX} days")
    elif mode == "NX":
        return _in_parts(form, amount, by_hand=by_hand, today=today)
    return _Pay(amount, later, by_hand, days)


def _in_parts(form: Form, total: Money, *, by_hand: bool, today: date) -> _Pay:
    recurring = SCHEMA.read(soap.child(form.element, "recurring"), "recurring")
    if recurring is None:
        form.refuse("/recurring", BAD_FIELD, f"Recurring : {NULL}")
        return _Pay(total, (), by_hand, 0)
    try:
        spread = plan(recurring, total, today)
    except ValueError as error:
        form.refuse("/recurring", BAD_FIELD, f"Recurring : {error}")
        return _Pay(total, (), by_hand, 0)
    return _Pay(spread.first, spread.later, by_hand, 0)


def _reference(form: Form) -> str:
    told = form.required("Order Reference", "order", "ref")
    if len(told) > _REFERENCE_MAX:
        form.refuse("/order/ref", BAD_FIELD, f"Order Reference : Max length {_REFERENCE_MAX} characters")
    elif "\\" in told or not told.isprintable():
        form.refuse("/order/ref", BAD_FIELD, "Order Reference : Must hold no backslash")
    return told


def _check_page_code(form: Form, account: Account) -> None:
    told = form.text("customPaymentPageCode")
    if told and account.terms.page_codes and told not in account.terms.page_codes:
        form.refuse("/customPaymentPageCode", "02307", told[:50])


def _places(form: Form, account: Account, house: House) -> _Places:
    merchant = account.merchant
    returns = partial(urls.checked, allowed=merchant.return_urls, merchant=merchant, house=house)
    notices = partial(urls.checked, allowed=merchant.callback_urls, merchant=merchant, house=house)
    for label, name in (("Return URL", "returnURL"), ("Cancel URL", "cancelURL")):
        form.required(label, name)
    return _Places(
        form.url("Return URL", returns, "returnURL"),
        form.url("Cancel URL", returns, "cancelURL"),
        form.url("Notification URL", notices, "notificationURL") or merchant.notify_url,
    )


def _echo(form: Form, account: Account) -> dict[str, Value]:
    echo = {name: SCHEMA.read(soap.child(form.element, name), name) for name in _ECHOED}
    kept: dict[str, Value] = {name: value for name, value in echo.items() if value}
    private = (echo["privateDataList"] or {}).get("privateData") or ()
    if len(private) > _PRIVATE_MAX:
        form.refuse("/privateDataList", BAD_FIELD, f"PrivateData : Max {_PRIVATE_MAX} elements")
    order = echo["order"] or {}
    details = order.get("details")
    lines = details.get("details") if isinstance(details, dict) else None
    if isinstance(lines, tuple):
        if len(lines) > _PRIVATE_MAX:
            form.refuse("/order/details", BAD_FIELD, f"OrderDetail : Max {_PRIVATE_MAX} elements")
        kept["order"] = {**order, "details": {"details": tuple(_line(form, account, line) for line in lines)}}
    return kept


def _line(form: Form, account: Account, line: Value) -> Value:
    comment = line.get("comment") if isinstance(line, dict) else None
    if not isinstance(line, dict) or not isinstance(comment, str) or len(comment) <= _COMMENT_MAX:
        return line
    if account.terms.too_long == "truncate":
        return {**line, "comment": comment[:_COMMENT_MAX]}
    form.refuse("/order/details", BAD_FIELD, f"OrderDetail Comment : Max length {_COMMENT_MAX} characters")
    return line


def _label(echo: Values, reference: str) -> str:
    """Name what is paid by its first order line; the order's reference where that says nothing."""
    order = echo.get("order")
    details = order.get("details") if isinstance(order, dict) else None
    lines = details.get("details") if isinstance(details, dict) else None
    first = lines[0] if isinstance(lines, tuple) and lines else None
    comment = first.get("comment") if isinstance(first, dict) else None
    return _plain(comment if isinstance(comment, str) else "", 140) or reference


def _email(form: Form) -> str:
    """Take the buyer's address where it is one; the page asks for it otherwise."""
    told = form.text("buyer", "email")
    return told if len(told) <= 254 and _EMAIL.fullmatch(told) else ""


def _payer_name(form: Form) -> str:
    return _plain(" ".join((form.text("buyer", "firstName"), form.text("buyer", "lastName"))), 140)


def _plain(text: str, length_max: int) -> str:
    words = " ".join(text.split())
    return "".join(sign for sign in words if sign.isprintable())[:length_max].rstrip()


def _language(told: str) -> str:
    """Read ``fr``, ``fre``, ``FR_fr``, ``eng``...; French, the house's language, when nothing is said."""
    named = re.match(r"[a-z]{2,}", told.lower(), re.ASCII)
    code = named[0] if named else "fr"
    return _LANGUAGES.get(code, code) if len(code) == 3 else code[:2]


def _digest(echo: Values, *others: str) -> str:
    """Digest what the merchant wishes, so that an SDK that fails over and asks again gets the same page.

    The buyer and the order's date stay outside: shops that build the same wish twice fill them from their clock.
    """
    order = echo.get("order")
    wish = {
        "payment": echo.get("payment"),
        "order": {name: value for name, value in order.items() if name != "date"} if isinstance(order, dict) else None,
        "private": echo.get("privateDataList"),
        "others": others,
    }
    return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()
