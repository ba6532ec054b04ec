"""What replies say of a payment, as values for the message description: nothing here knows a version or an element."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.core.payment import AttemptResult, InstalmentResult, PaymentResult
from gateway.core.states import InstalmentStatus, Status
from gateway.dialects.payline.codes import CODES, Code, of_attempt, of_payment, telling_attempt
from gateway.dialects.payline.form import CURRENCY_NUMBERS
from gateway.dialects.payline.merchant import Account, Contract
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

# Billing dates are days.
_DAY = "%d/%m/%Y"

# billingRecord.status: 0 to come, 1 accepted, 2 refused, 3 to be tried again, 4 disabled.
_RECORD_STATUS = {
    InstalmentStatus.PLANNED: "0",
    InstalmentStatus.WORKING: "0",
    InstalmentStatus.PAID: "1",
    InstalmentStatus.REFUSED: "2",
    InstalmentStatus.RETRYING: "3",
    InstalmentStatus.VOID: "4",
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
    contract = contract_used(result, account, attempt)
    return {
        "result": outcome(of_payment(result, account.terms)),
        "transaction": _transaction(result, attempt, echo, clock) if attempt else {},
        "payment": {**_object(echo, "payment"), "method": contract.card_type, "contractNumber": contract.number},
        "authorization": _authorization(result, attempt, clock) if attempt else {},
        "privateDataList": echo.get("privateDataList"),
        "paymentRecordId": record_id(result) if result.instalments and attempt else None,
        "billingRecordList": _billing(result, attempt, account, clock) if result.instalments and attempt else None,
        "authentication3DSecure": _authentication(attempt) if attempt else None,
        "card": _card(attempt) if attempt else {},
        "extendedCard": {"network": _TYPES.get(attempt.scheme)} if attempt else None,
        "order": {"ref": result.request.reference, **_object(echo, "order")},
        "numberOfAttempt": str(len(result.attempts)) if result.attempts else None,
        "contractNumber": contract.number,
        "buyer": echo.get("buyer"),
    }


def contract_used(result: PaymentResult, account: Account, attempt: AttemptResult | None) -> Contract:
    """Give the contract that takes the card; the first one offered while there is no card."""
    offered = account.contracts(result.request.wire.get("contracts", "").split()) or account.terms.contracts
    fitting = (contract for contract in offered if attempt and attempt.scheme in contract.brands)
    return next(fitting, offered[0])


def transaction_id(number: str) -> str:
    """Spell a transaction's number as Payline does."""
    return number.zfill(_ID_DIGITS)


def record_id(result: PaymentResult) -> str:
    """Name the purchase in several times that a debit belongs to, as its notifications do."""
    return result.parent or result.id


def operation(result: PaymentResult, at: datetime | None, clock: Clock) -> Values:
    """Give the ``transaction`` of a capture, a refund or a reset."""
    return {
        "id": transaction_id(result.number),
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


def _billing(result: PaymentResult, attempt: AttemptResult, account: Account, clock: Clock) -> Values:
    """List every debit of a purchase in several times: the one the payer made, then those that follow by themselves."""
    ended_at = result.paid_at or result.ended_at
    first: Values = {
        "date": ended_at.astimezone(clock.zone).strftime(_DAY) if ended_at else None,
        "amount": str(result.request.amount.cents),
        "status": "1" if result.status is Status.PAID else "2",
        "result": outcome(of_payment(result, account.terms)),
        "transaction": {"id": transaction_id(result.number), "date": clock.write(ended_at)},
        "authorization": _authorization(result, attempt, clock),
        "nbTry": str(len(result.attempts)),
        "rank": str(result.rank),
    }
    return {"billingRecord": (first, *(_part(part, account, clock) for part in result.instalments))}


def _part(part: InstalmentResult, account: Account, clock: Clock) -> Values:
    tried = part.attempt
    is_paid = part.status is InstalmentStatus.PAID
    code = (CODES["00000"] if is_paid else of_attempt(tried, account.terms)) if tried else None
    is_answered = part.status in {InstalmentStatus.PAID, InstalmentStatus.REFUSED, InstalmentStatus.RETRYING}
    return {
        "date": part.due.strftime(_DAY),
        "amount": str(part.amount.cents),
        "status": _RECORD_STATUS[part.status],
        "result": outcome(code) if code and is_answered else None,
        "transaction": {"id": transaction_id(part.number), "date": clock.write(part.paid_at)} if part.number else None,
        "authorization": {"number": tried.authorisation_number, "date": clock.write(part.paid_at)}
        if tried and is_paid
        else None,
        "nbTry": str(tried.number if tried else 0),
        "rank": str(part.rank),
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
