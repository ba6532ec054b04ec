"""What replies say of a payment, as values for the message description: nothing here knows a version or an element."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.core.payment import AttemptResult, PaymentResult, Status
from gateway.dialects.payline.codes import Code, of_payment, telling_attempt
from gateway.dialects.payline.form import CURRENCY_NUMBERS
from gateway.dialects.payline.merchant import Account
from gateway.dialects.payline.schema import Value, Values

_TYPES = {"cb": "CB", "visa": "VISA", "mastercard": "MASTERCARD", "maestro": "MAESTRO", "amex": "AMEX"}
_NUMBER_DIGITS = {"amex": 15}
_SHOWN_DIGITS = 6

# Transactions are numbered with 14 digits in everything Payline publishes.
_ID_DIGITS = 14

_DATES = {
    "dd/mm/yyyy HH:MM:SS": "%d/%m/%Y %H:%M:%S",
    "dd/mm/yy HH:MM:SS": "%d/%m/%y %H:%M:%S",
    "dd/mm/yyyy HH:MM": "%d/%m/%Y %H:%M",
    "dd/mm/yy HH:MM": "%d/%m/%y %H:%M",
}

# EMV 3-D Secure transStatus, by how the card's bank answered.
_TRANS_STATUS = {"frictionless": "Y", "challenge": "Y", "attempted": "A", "refused": "N", "unavailable": "U"}


@dataclass(frozen=True, slots=True)
class Clock:
    """How one message writes instants.

    :ivar style: a key of the date styles settings offer
    """

    zone: ZoneInfo
    style: str

    def write(self, moment: datetime | None) -> str | None:
        """Write an instant by the house's clock."""
        return moment.astimezone(self.zone).strftime(_DATES[self.style]) if moment else None


def outcome(code: Code, long: str = "") -> Values:
    """Give a ``result`` object.

    :param long: what is wrong in this very request, instead of the code's own sentence
    """
    return {"code": code.number, "shortMessage": code.short, "longMessage": long or code.long}


def skeleton(code: Code, long: str = "") -> Values:
    """Give the reply for a payment nobody knows: every object is there, and empty."""
    empty: Values = {}
    return {
        "result": outcome(code, long),
        **dict.fromkeys(("transaction", "payment", "authorization", "card", "order"), empty),
    }


def has_transaction(result: PaymentResult) -> bool:
    """Whether a bank has answered for good: before that there is no transaction to speak of."""
    return result.status in {Status.PAID, Status.FAILED} and bool(result.attempts)


def describe(result: PaymentResult, account: Account, clock: Clock) -> Values:
    """Give all that getWebPaymentDetails and getTransactionDetails tell of a payment."""
    echo = echoed(result)
    attempt = telling_attempt(result) if has_transaction(result) else None
    contract = result.request.wire.get("contract") or account.terms.contracts[0].number
    return {
        "result": outcome(of_payment(result, account.terms)),
        "transaction": _transaction(result, attempt, echo, clock) if attempt else {},
        "payment": {**_object(echo, "payment"), "method": "CB", "contractNumber": contract},
        "authorization": _authorization(result, attempt, clock) if attempt else {},
        "privateDataList": echo.get("privateDataList"),
        "authentication3DSecure": _authentication(attempt) if attempt else None,
        "card": _card(attempt) if attempt else {},
        "extendedCard": {"network": _TYPES.get(attempt.scheme)} if attempt else None,
        "order": {"ref": result.request.reference, **_object(echo, "order")},
        "numberOfAttempt": str(len(result.attempts)) if result.attempts else None,
        "contractNumber": contract,
        "buyer": echo.get("buyer"),
    }


def transaction_id(result: PaymentResult) -> str:
    """Spell the transaction's number as Payline does."""
    return result.number.zfill(_ID_DIGITS)


def operation(result: PaymentResult, at: datetime | None, clock: Clock) -> Values:
    """Give the ``transaction`` of a capture, a refund or a reset."""
    return {
        "id": transaction_id(result),
        "date": clock.write(at),
        "isDuplicated": "0",
        "isPossibleFraud": "0",
        "orderReference": result.request.reference,
    }


def settings(account: Account) -> Values:
    """Give the point of sale that plugins' "test my settings" buttons look for."""
    merchant, terms = account.merchant, account.terms
    number = CURRENCY_NUMBERS[merchant.currency]
    contracts = tuple(
        {
            "cardType": one.card_type,
            "label": one.label or one.card_type,
            "contractNumber": one.number,
            "currency": number,
            "logoEnable": "false",
        }
        for one in terms.contracts
    )
    place: Values = {
        "siret": terms.siret,
        "codeMcc": terms.merchant_category,
        "label": " - ".join(part for part in (merchant.name, merchant.service) if part),
        "webmasterEmail": merchant.contact_email,
        "notificationURL": merchant.notify_url,
        "ticketSend": {"toBuyer": "true", "toMerchant": "true" if merchant.managers else "false"},
        "contracts": {"contract": contracts},
        "customPaymentPageCodeList": {
            "customPaymentPageCode": tuple({"code": code} for code in sorted(terms.page_codes))
        },
    }
    return {"pointOfSell": (place,)}


def echoed(result: PaymentResult) -> Values:
    """Give back what the request said, as it was kept."""
    kept = json.loads(result.request.wire.get("echo", "{}"))
    return {name: _as_value(value) for name, value in kept.items()}


def _as_value(kept: object) -> Value:
    """Make lists the tuples they were before JSON."""
    if isinstance(kept, dict):
        return {str(name): _as_value(value) for name, value in kept.items()}
    if isinstance(kept, list):
        return tuple(map(_as_value, kept))
    return kept if isinstance(kept, str) else None


def _object(echo: Values, name: str) -> Values:
    found = echo.get(name)
    return found if isinstance(found, Mapping) else {}


def _transaction(result: PaymentResult, attempt: AttemptResult, echo: Values, clock: Clock) -> Values:
    return {
        **operation(result, result.paid_at or result.ended_at or attempt.ended_at, clock),
        "threeDSecure": "Y" if attempt.flow in {"frictionless", "challenge", "attempted"} else "N",
        "softDescriptor": _object(echo, "payment").get("softDescriptor"),
        "customerId": _object(echo, "buyer").get("customerId"),
    }


def _authorization(result: PaymentResult, attempt: AttemptResult, clock: Clock) -> Values:
    if result.status is not Status.PAID:
        return {}
    return {
        "number": attempt.authorisation_number,
        "date": clock.write(attempt.ended_at or result.paid_at),
        "authorizedAmount": str(result.request.amount.cents),
        "authorizedCurrency": CURRENCY_NUMBERS[result.request.amount.currency],
    }


def _card(attempt: AttemptResult) -> Values:
    hidden = _NUMBER_DIGITS.get(attempt.scheme, 16) - _SHOWN_DIGITS - len(attempt.last4)
    return {
        "number": attempt.bin[:_SHOWN_DIGITS] + "X" * hidden + attempt.last4,
        "type": _TYPES.get(attempt.scheme),
        "expirationDate": attempt.expiry or None,
        "panType": "CARD_PAN",
    }


def _authentication(attempt: AttemptResult) -> Values | None:
    status = "N" if attempt.response_family == "challenge_failed" else _TRANS_STATUS.get(attempt.flow)
    return {"eci": attempt.eci, "PaResStatus": status, "VeResStatus": "Y"} if status else None
