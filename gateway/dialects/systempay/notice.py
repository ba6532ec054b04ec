"""What the shop is told at the end: the fields of a notification (IPN), and of the payer's return.

Names and their order are those of a genuine notification; what this server does not know is present and empty, since
clients ask for names rather than values. Lengths are the strictest that public clients check: ``auth_number`` six
characters or none, ``auth_result`` two or none, ``card_number`` at most sixteen.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from gateway.core.payment import AttemptResult, Event, PaymentResult, RefundResult
from gateway.dialects.systempay.asking import CURRENCY_NUMBERS
from gateway.dialects.systempay.fields import EXT_INFO
from gateway.dialects.systempay.results import Outcome, outcome_at, threeds_of
from gateway.dialects.systempay.shops import CtxMode, Shop, mode_of
from gateway.dialects.systempay.signature import sign, signed_text

BRANDS: Mapping[str, str] = {
    "cb": "CB", "visa": "VISA", "mastercard": "MASTERCARD", "maestro": "MAESTRO", "amex": "AMEX",
}  # fmt: skip

# Liability has moved to the issuer: full proof or an attempt, Visa and Amex values, then Mastercard's.
_WARRANTED = frozenset({"05", "06", "02", "01"})

# What the form said of the buyer and the order comes back as it was.
_ECHOED = ("vads_cust_", "vads_order_", "vads_ship_to_", "vads_user_info")


@dataclass(frozen=True, slots=True)
class Operation:
    """Which movement of money is told: the payment itself, or one refund of it."""

    uuid: str
    cents: int
    kind: str = "DEBIT"


def notice_body(result: PaymentResult, event: Event, shop: Shop) -> bytes:
    """Give the signed body of the first call about ``event``. Raises :class:`ValueError` when it tells no outcome."""
    outcome = outcome_at(result, event)
    if outcome is None:
        raise ValueError(f"{event.type} tells no outcome")
    operation = _refund(result, event) if event.type == "payment.refunded" else None
    fields = outcome_fields(result, outcome, operation)
    # A later instalment is authorised on its day, by nobody's form.
    usual = "BATCH_AUTO" if result.parent else "PAY"
    return _closed(fields, shop, mode_of(result.recipient), _SOURCES.get(event.type, usual))


# ``vads_url_check_src`` of what the form itself did not bring about.
_SOURCES: Mapping[str, str] = {"attempt.captured": "BATCH", "payment.refunded": "MERCH_BO"}


def _refund(result: PaymentResult, event: Event) -> Operation:
    named = event.facts.get("refund", "")
    return operation_of(next((one for one in result.refunds if one.id == named), result.refunds[-1]))


def operation_of(refund: RefundResult) -> Operation:
    """Say what a refund is here: a transaction of its own, so it has a uuid of its own."""
    return Operation(hashlib.sha256(refund.id.encode()).hexdigest()[:32], refund.amount.cents, "CREDIT")


def again(body: bytes, shop: Shop, mode: CtxMode, source: str) -> bytes:
    """Give a notification for one more call: the same facts, told as ``source``, signed anew."""
    fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True))
    for name in ("vads_url_check_src", "vads_hash", "signature"):
        del fields[name]
    return _closed(fields, shop, mode, source)


def _closed(fields: dict[str, str], shop: Shop, mode: CtxMode, source: str) -> bytes:
    """Add what only notifications carry, and sign.

    What the platform's ``vads_hash`` is made of is not published; ours is SHA-256 over what is signed before it.
    """
    whole = {**fields, "vads_url_check_src": source}
    text = signed_text({name: value.encode() for name, value in whole.items()})
    whole["vads_hash"] = hashlib.sha256(text).hexdigest()
    return urlencode(with_signature(whole, shop, mode)).encode("ascii")


def with_signature(fields: Mapping[str, str], shop: Shop, mode: CtxMode) -> dict[str, str]:
    """Sign fields with the key of the mode their form was asked in."""
    return {**fields, "signature": sign(fields, shop.site.keys[mode], shop.algorithm(mode))}


def outcome_fields(result: PaymentResult, outcome: Outcome, operation: Operation | None = None) -> dict[str, str]:
    """Give what notification and return have in common, unsigned."""
    told = operation or Operation(result.handle, result.request.amount.cents)
    said: dict[str, str] = json.loads(result.request.wire["fields"])
    fields = {
        **_money(result, outcome, said, told),
        **{name: value for name, value in said.items() if name.startswith(_ECHOED)},
        **_card(result, outcome, said, told),
        **{name: value for name, value in said.items() if name.startswith(EXT_INFO)},
        **{f"threeds_{name}": value for name, value in threeds_of(outcome).items()},
    }
    return {name if name.startswith("vads_") else f"vads_{name}": value for name, value in fields.items()}


def _money(result: PaymentResult, outcome: Outcome, said: Mapping[str, str], told: Operation) -> dict[str, str]:
    asked, attempt = result.request, outcome.attempt
    number = CURRENCY_NUMBERS[asked.amount.currency]
    is_ended = outcome.trans_status != "ABANDONED"
    authorisation = attempt.authorisation_number if attempt else ""
    certificate = hashlib.sha1(f"{told.uuid} {result.number}".encode(), usedforsecurity=False).hexdigest()
    return {
        "amount": str(told.cents) if told.kind == "CREDIT" else said["vads_amount"],
        "auth_mode": outcome.auth_mode,
        "auth_number": authorisation if outcome.is_accepted and len(authorisation) == 6 else "",
        "auth_result": outcome.auth_result,
        "capture_delay": str(asked.capture_days),
        "card_brand": BRANDS.get(attempt.scheme, "") if attempt else "",
        "card_number": masked_number(attempt),
        "payment_certificate": certificate if outcome.is_accepted else "",
        "ctx_mode": mode_of(result.recipient),
        "currency": number,
        "effective_amount": str(told.cents) if is_ended else "",
        "effective_currency": number if is_ended else "",
        "site_id": said["vads_site_id"],
        "trans_date": said["vads_trans_date"],
        "trans_id": said["vads_trans_id"],
        "trans_uuid": told.uuid,
        "validation_mode": "1" if asked.capture_by_hand else "0",
        "version": "V2",
        "warranty_result": _warranty(outcome),
        "payment_src": "EC",
    }


def _card(result: PaymentResult, outcome: Outcome, said: Mapping[str, str], told: Operation) -> dict[str, str]:
    attempt = outcome.attempt
    brand = BRANDS.get(attempt.scheme, "") if attempt else ""
    paid_out = result.paid_at + timedelta(days=result.request.capture_days) if result.paid_at else None
    ended_at = (attempt.ended_at if attempt else None) or result.paid_at
    return {
        "contrib": said.get("vads_contrib", ""),
        "tid": "001",
        "sequence_number": str(sequence_of(result, attempt)),
        "contract_used": result.payee.contract,
        "trans_status": outcome.trans_status,
        "expiry_month": str(int(attempt.expiry[:2])) if attempt and attempt.expiry else "",
        "expiry_year": f"20{attempt.expiry[2:]}" if attempt and attempt.expiry else "",
        "bank_label": "",
        "bank_product": "",
        "pays_ip": "",
        "presentation_date": stamp(paid_out) if outcome.is_accepted else "",
        "effective_creation_date": stamp(ended_at) if attempt else "",
        "operation_type": told.kind,
        "result": outcome.result,
        "extra_result": "",
        "card_country": "",
        "language": result.request.wire["language"],
        "brand_management": json.dumps({"brandList": brand, "brand": brand}, separators=(",", ":")) if brand else "",
        "action_mode": said["vads_action_mode"],
        "payment_config": said["vads_payment_config"],
        "page_action": said["vads_page_action"],
    }


def sequence_of(result: PaymentResult, attempt: AttemptResult | None) -> int:
    """Number a transaction within its order: by instalment where there are several, else by the card tried."""
    if result.parent or result.instalments:
        return result.rank
    return attempt.number if attempt else 1


def _warranty(outcome: Outcome) -> str:
    if not outcome.is_accepted or outcome.attempt is None:
        return ""
    eci = outcome.attempt.eci
    return "UNKNOWN" if not eci else "YES" if eci in _WARRANTED else "NO"


def masked_number(attempt: AttemptResult | None) -> str:
    """Write ``497010XXXXXX0000``: six digits, crosses, four digits, as long as the card itself."""
    if attempt is None or not attempt.bin:
        return ""
    crosses = 5 if attempt.scheme == "amex" else 6
    return f"{attempt.bin[:6]}{'X' * crosses}{attempt.last4}"


def stamp(at: datetime | None) -> str:
    """Write a moment as ``YYYYMMDDHHMMSS`` in UTC; moments are UTC throughout."""
    return f"{at:%Y%m%d%H%M%S}" if at else ""
