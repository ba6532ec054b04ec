"""What a proved form asks for: every rule that needs more than one field, the shop, the clock or the calendar.

The result is a :class:`PaymentRequest`, or every fault of the form at once.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.core.errors import BadRequest, Fault
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentRequest
from gateway.core.states import Status
from gateway.dialects import House
from gateway.dialects.systempay.fields import (
    AMOUNT,
    CARDS,
    CONFIG,
    CURRENCY,
    EXT_INFO,
    TRANS_DATE,
    TRANS_ID,
    field_faults,
)
from gateway.dialects.systempay.places import address_fault, parse_place
from gateway.dialects.systempay.schedule import Plan, read_plan
from gateway.dialects.systempay.shops import Shop

# ISO 4217 numbers of the protocol's table; the merchant's own currency is the one it may use here.
CURRENCIES: Mapping[str, str] = {
    "978": "EUR", "840": "USD", "826": "GBP", "756": "CHF", "752": "SEK", "208": "DKK",
    "578": "NOK", "392": "JPY", "156": "CNY", "124": "CAD", "036": "AUD", "953": "XPF",
}  # fmt: skip
CURRENCY_NUMBERS: Mapping[str, str] = {code: number for number, code in CURRENCIES.items()}

# The card types an acquirer behind this server can be asked for, and the brand each is taken as. A list may name others
# beside them, which nobody can use here; a list of others alone leaves the payer nothing.
BRAND_OF: Mapping[str, str] = {
    "CB": "cb", "VISA": "visa", "MASTERCARD": "mastercard", "MAESTRO": "maestro", "AMEX": "amex",
    "VISA_ELECTRON": "visa", "E-CARTEBLEUE": "cb",
}  # fmt: skip

# Addresses for the payer's browser, with the form errors of a wrong one.
_RETURNS: Mapping[str, str] = {
    "vads_url_success": "24",
    "vads_url_refused": "25",
    "vads_url_referral": "26",
    "vads_url_cancel": "27",
    "vads_url_return": "28",
    "vads_url_error": "29",
}
_CHECK = ("vads_url_check", "33")
_SHOP_URL = ("vads_shop_url", "73")

# Ids from here on were the back office's own while ids were all digits.
_RESERVED_FROM = 900_000
LABEL_MAX = 140
# Persian, Arabic and Indic names need them.
_JOINERS = frozenset("\u200c\u200d")

# A session lives ten minutes, and a new form for an order pushes an unfinished one aside.
PAGE_MINUTES = 10
REPLACED = frozenset({Status.CREATED, Status.OPENED})


@dataclass(frozen=True, slots=True)
class Asked:
    """One payment form, proved and read."""

    request: PaymentRequest
    day: str
    skew_seconds: int


def ask(fields: Mapping[str, str], shop: Shop, house: House, now: datetime, browser_language: str) -> Asked:
    """Say what a form asks for. Raises :class:`BadRequest` with every fault."""
    faults = list(field_faults(fields))
    wrong = {fault.pointer.removeprefix("/") for fault in faults}
    right = {name: value for name, value in fields.items() if name not in wrong and value}
    asked_at = _trans_date(right, faults)
    plan = _plan(right, shop, house, now, faults)
    if asked_at:
        faults.extend(_late_or_early(asked_at, now, shop))
    faults.extend(_id_faults(right, shop))
    faults.extend(_card_faults(right))
    faults.extend(_address_faults(right, shop, house))
    if shop.merchant.email_rule == "fixed" and not fields.get("vads_cust_email"):
        faults.append(Fault("/vads_cust_email", "15", "missing; the payer of this shop types none"))
    if faults or asked_at is None or plan is None:
        raise BadRequest(tuple(faults))
    skew = round((asked_at - now).total_seconds())
    return Asked(_request(fields, shop, plan, browser_language), right["vads_trans_date"][:8], skew)


def _trans_date(right: Mapping[str, str], faults: list[Fault]) -> datetime | None:
    text = right.get("vads_trans_date")
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        faults.append(Fault("/vads_trans_date", TRANS_DATE, "name a day and a time that exist"))
        return None


def _late_or_early(asked_at: datetime, now: datetime, shop: Shop) -> Iterator[Fault]:
    skew = round((asked_at - now).total_seconds())
    if not shop.checks_time or -shop.terms.late_seconds <= skew <= shop.terms.early_seconds:
        return
    side = f"{skew} s ahead of" if skew > 0 else f"{-skew} s behind"
    hours, rest = divmod(abs(skew) + 450, 3600)
    # Local time is the usual cause: a difference of whole hours, give or take some minutes.
    guess = f"; it looks like local time of UTC{'+' if skew > 0 else '-'}{hours:02d}:00" if rest < 900 and hours else ""
    yield Fault("/vads_trans_date", TRANS_DATE, f"it is {side} our clock; send the present time in UTC{guess}")


def _plan(right: Mapping[str, str], shop: Shop, house: House, now: datetime, faults: list[Fault]) -> Plan | None:
    total = money_of(right.get("vads_amount"), CURRENCIES.get(right.get("vads_currency", "978"), ""), shop, faults)
    config = right.get("vads_payment_config")
    if total is None or config is None:
        return None
    try:
        return read_plan(config, total, now.astimezone(house.zone).date())
    except ValueError as error:
        faults.append(Fault("/vads_payment_config", CONFIG, str(error)))
        return None


def money_of(amount: str | None, currency: str, shop: Shop, faults: list[Fault]) -> Money | None:
    """Give the amount of a purchase, or note what is wrong with it for this merchant.

    :param amount: digits that are proved to be such, above zero; ``None`` when that fault is noted already
    """
    merchant = shop.merchant
    if currency != merchant.currency:
        number = CURRENCY_NUMBERS.get(merchant.currency, "")
        faults.append(Fault("/vads_currency", CURRENCY, f"this shop takes {merchant.currency} ({number}) only"))
    if amount is not None and int(amount) > merchant.amount_cents_max:
        faults.append(Fault("/vads_amount", AMOUNT, f"this shop takes at most {merchant.amount_cents_max}"))
    elif amount is not None and currency == merchant.currency:
        return Money(int(amount), currency)
    return None


def _id_faults(right: Mapping[str, str], shop: Shop) -> Iterator[Fault]:
    trans_id = right.get("vads_trans_id", "")
    if shop.terms.reserved_ids and trans_id.isdigit() and int(trans_id) >= _RESERVED_FROM:
        yield Fault("/vads_trans_id", TRANS_ID, f"ids of digits end before {_RESERVED_FROM}")


def _card_faults(right: Mapping[str, str]) -> Iterator[Fault]:
    cards = right.get("vads_payment_cards", "")
    if cards.strip(";") and not brands_of(cards):
        yield Fault("/vads_payment_cards", CARDS, f"name one of {', '.join(sorted(BRAND_OF))}, or leave it empty")


def brands_of(cards: str) -> tuple[str, ...]:
    """Read ``vads_payment_cards`` (``CB;VISA``) into the brands it leaves to the payer, in the shop's order."""
    return tuple(dict.fromkeys(BRAND_OF[card] for card in cards.split(";") if card in BRAND_OF))


def _address_faults(right: Mapping[str, str], shop: Shop, house: House) -> Iterator[Fault]:
    merchant, site = shop.merchant, shop.site
    rules = site.url_check.values() if isinstance(site.url_check, dict) else (site.url_check,)
    returns = (*merchant.return_urls, site.url_return)
    lists: list[tuple[str, str, Iterable[str]]] = [(name, code, returns) for name, code in _RETURNS.items()]
    lists.append((*_CHECK, (*merchant.callback_urls, merchant.notify_url, *rules)))
    lists.append((*_SHOP_URL, returns))
    for name, code, registered in lists:
        is_called = name == _CHECK[0]
        if name in right and (cure := address_fault(right[name], registered, shop, house, is_called=is_called)):
            yield Fault(f"/{name}", code, cure)


def _request(fields: Mapping[str, str], shop: Shop, plan: Plan, browser_language: str) -> PaymentRequest:
    def said(name: str) -> str:
        return fields.get(f"vads_{name}", "")

    mode = shop.ctx_mode
    reference = said("order_id") or f"{said('trans_date')[:8]}-{said('trans_id')}"
    label = one_line(said("order_info"), LABEL_MAX) or reference
    name = said("cust_name") or f"{said('cust_first_name')} {said('cust_last_name')}"
    days = int(said("capture_delay")) if said("capture_delay") else shop.terms.capture_days
    by_hand = said("validation_mode") == "1" if said("validation_mode") else shop.terms.capture_by_hand
    language = (said("language") or browser_language or "fr").lower()
    return PaymentRequest(
        merchant=shop.merchant.id,
        reference=reference,
        amount=plan.now,
        lines=(Line(reference, label, plan.now),),
        label=label,
        email=said("cust_email"),
        payer_name=one_line(name, LABEL_MAX),
        payer_phone=_telephone(said("cust_cell_phone") or said("cust_phone"), said("cust_country")),
        language=language,
        return_url=parse_place(said("url_return")).shown if said("url_return") else shop.site.url_return,
        notify_url=parse_place(said("url_check")).called if said("url_check") else shop.url_check(mode),
        metadata={name: value for name, value in fields.items() if name.startswith(EXT_INFO)},
        wire=_wire_of(fields, shop, language),
        capture_by_hand=by_hand,
        capture_days=max(days, plan.wait_days),
        instalments=plan.later,
        schemes=brands_of(said("payment_cards")),
    )


def _wire_of(fields: Mapping[str, str], shop: Shop, language: str) -> dict[str, str]:
    """Keep the form for its echo, and whose it was."""
    return {
        "api": "form",
        "site": shop.site.site_id,
        "mode": shop.ctx_mode,
        "language": language,
        "fields": json.dumps(dict(fields), ensure_ascii=False, separators=(",", ":")),
    }


def one_line(text: str, longest: int) -> str:
    """Make text fit for a heading: no line ends, and no invisible sign that could turn the words around."""
    shown = (sign for sign in " ".join(text.split()) if sign in _JOINERS or unicodedata.category(sign)[0] != "C")
    return "".join(shown)[:longest].strip()


def _telephone(text: str, country: str) -> str:
    """Write a mobile number as E.164, so that a code can be sent to it; empty when it cannot be told."""
    digits = re.sub(r"[\s.()/-]", "", text)
    if re.fullmatch(r"0[67][0-9]{8}", digits, re.ASCII) and country.upper() in ("", "FR"):
        return "+33" + digits[1:]
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    return digits if re.fullmatch(r"\+[1-9][0-9]{6,14}", digits, re.ASCII) else ""
