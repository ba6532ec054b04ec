"""What REST V4 tells a shop: the ``kr-`` fields that its notification and its payer's browser carry.

``kr-answer`` is the JSON text of a ``V4/Payment``; ``kr-hash`` signs that text, with the password for notifications and
with the HMAC key for browsers. What this server does not know is ``null``.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from gateway.core.payment import PaymentRequest, PaymentResult
from gateway.dialects.systempay.notice import BRANDS, Operation, masked_number, sequence_of
from gateway.dialects.systempay.results import AUTH_RESULTS, Outcome
from gateway.dialects.systempay.shops import Rest
from gateway.dialects.systempay.signature import kr_hash

_CANCELLED = "ABANDONED"
_UNDECIDED = frozenset(
    {
        "AUTHORISED_TO_VALIDATE",
        "WAITING_AUTHORISATION",
        "WAITING_AUTHORISATION_TO_VALIDATE",
        "UNDER_VERIFICATION",
        "CAPTURE_FAILED",
    }
)


def notified(result: PaymentResult, outcome: Outcome, rest: Rest, at: datetime) -> dict[str, str]:
    """Give the fields of a notification (IPN)."""
    return _fields("password", rest.password, answer_text(result, outcome, at))


def brought_back(result: PaymentResult, outcome: Outcome, rest: Rest, at: datetime) -> dict[str, str]:
    """Give the fields the payer's browser posts to ``kr-post-url-success`` or ``kr-post-url-refused``."""
    return _fields("sha256_hmac", rest.hmac_key, answer_text(result, outcome, at))


def _fields(key_name: str, key: str, answer: str) -> dict[str, str]:
    return {
        "kr-hash-key": key_name,
        "kr-hash-algorithm": "sha256_hmac",
        "kr-answer-type": "V4/Payment",
        "kr-answer": answer,
        "kr-hash": kr_hash(answer, key),
    }


def answer_text(result: PaymentResult, outcome: Outcome, at: datetime) -> str:
    """Write the ``V4/Payment`` of a payment that has ended.

    Some shops turn every ``\\/`` into ``/`` before they hash, others hash what they got. A backslash that stands before a
    slash is spelt otherwise, so that both hash the same text.
    """
    asked = result.request
    is_open = result.is_live or outcome.trans_status == _CANCELLED
    text = json.dumps(
        {
            "shopId": asked.wire["site"],
            "orderCycle": "OPEN" if is_open else "CLOSED",
            "orderStatus": _status(outcome),
            "serverDate": moment(at),
            "orderDetails": _order(asked),
            "customer": {"email": result.email or asked.email or None, "_type": "V4/Customer/Customer"},
            "transactions": [transaction_of(result, outcome)] if outcome.trans_status != _CANCELLED else [],
            "_type": "V4/Payment",
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return text.replace("\\\\/", "\\u005c/")


def _order(asked: PaymentRequest) -> Mapping[str, object]:
    fields = json.loads(asked.wire["fields"])
    return {
        "orderTotalAmount": asked.total.cents,
        "orderEffectiveAmount": asked.amount.cents,
        "orderCurrency": asked.amount.currency,
        "mode": asked.wire["mode"],
        "orderId": fields.get("orderId") or fields.get("vads_order_id") or None,
        "metadata": dict(asked.metadata) or None,
        "_type": "V4/OrderDetails",
    }


def _status(outcome: Outcome) -> str:
    """Say in one word where the money is: asked for and certain, still to be decided, or not coming."""
    if outcome.trans_status in _UNDECIDED:
        return "RUNNING"
    return "PAID" if outcome.is_accepted and outcome.trans_status != "CANCELLED" else "UNPAID"


def transaction_of(result: PaymentResult, outcome: Outcome, told: Operation | None = None) -> Mapping[str, object]:
    """Write one ``V4/PaymentTransaction``: the payment itself, or the refund ``told``."""
    asked, attempt = result.request, outcome.attempt
    told = told or Operation(result.handle, asked.amount.cents)
    is_wrong = not outcome.is_accepted
    ended_at = (attempt.ended_at if attempt else None) or result.paid_at or result.ended_at or result.created_at
    return {
        "shopId": asked.wire["site"],
        "uuid": told.uuid,
        "amount": told.cents,
        "currency": asked.amount.currency,
        "paymentMethodType": "CARD",
        "paymentMethodToken": None,
        "status": _status(outcome),
        "detailedStatus": outcome.trans_status or "ERROR",
        "operationType": told.kind,
        "creationDate": moment(ended_at),
        "errorCode": "ACQ_001" if is_wrong else None,
        "errorMessage": "payment refused" if is_wrong else None,
        "detailedErrorCode": (outcome.auth_result or None) if is_wrong else None,
        "detailedErrorMessage": AUTH_RESULTS.get(outcome.auth_result) if is_wrong else None,
        "metadata": dict(asked.metadata) or None,
        "orderDetails": _order(asked),
        "transactionDetails": {
            "sequenceNumber": sequence_of(result, attempt),
            "cardDetails": {
                "effectiveBrand": BRANDS.get(attempt.scheme) if attempt else None,
                "pan": masked_number(attempt) or None,
                "authorizationResponse": {
                    "authorizationNumber": (attempt.authorisation_number or None) if attempt else None,
                    "authorizationResult": outcome.auth_result or None,
                    "_type": "V4/PaymentMethod/Details/Cards/CardAuthorizationResponse",
                },
                "_type": "V4/PaymentMethod/Details/CardDetails",
            },
            "_type": "V4/TransactionDetails",
        },
        "_type": "V4/PaymentTransaction",
    }


def moment(at: datetime) -> str:
    """Write a moment as REST V4 does: ISO 8601 to the second, with its offset."""
    return at.isoformat(timespec="seconds")
