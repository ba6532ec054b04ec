"""The notification: a GET that tells a token and nothing else; the merchant then asks what became of it."""

import hmac
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from gateway import __version__
from gateway.core.errors import DeliveryFailed
from gateway.core.payment import PaymentResult, Recipient
from gateway.dialects import HttpCall
from gateway.dialects.addresses import parse_address
from gateway.dialects.payline import urls
from gateway.dialects.payline.details import record_id, transaction_id

# Once a minute for two hours.
_PAUSE = timedelta(minutes=1)
_TRIES_MAX = 120

# What ends a payment, and so is told; refunds and captures are the merchant's own doing.
TOLD = frozenset({"payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired"})


def body(result: PaymentResult, zone: ZoneInfo) -> bytes:
    """Give the parameters of a notice; the type in capitals, since a published module compares it so.

    A later debit of a purchase in several times has no token the merchant knows: it is told as a billing.
    """
    if not result.parent:
        return urlencode({"notificationType": "WEBTRS", "token": result.handle}).encode()
    on = result.paid_at or result.ended_at
    told = {
        "notificationType": "BILL",
        "paymentRecordId": record_id(result),
        "walletId": "",
        "transactionId": transaction_id(result.number),
        "billingRecordDate": on.astimezone(zone).strftime("%d/%m/%Y") if on else "",
        "orderRef": result.request.reference,
    }
    return urlencode(told).encode()


def call(to: Recipient, told: bytes, key: str | None, now: datetime) -> HttpCall:
    """Make the call of one try.

    :param told: what :func:`body` gave
    :param key: of a merchant that wants proof; Payline has none, so ours comes after its parameters, where every
        published client ignores it

    Raises :class:`DeliveryFailed`, for good, when the payment has no usable address.
    """
    pairs = parse_qsl(told.decode("ascii"), keep_blank_values=True)
    if key:
        seconds = str(int(now.timestamp()))
        signed = dict(pairs).get("token") or dict(pairs).get("transactionId", "")
        pairs += [("ts", seconds), ("sig", sign(key, signed, seconds))]
    url = urls.extended(to.notify_url.partition("#")[0], *pairs)
    try:
        address = parse_address(url)
    except ValueError as error:
        raise DeliveryFailed("the merchant gave no usable address", again=False) from error
    headers = {"user-agent": f"Guichet/{__version__}", "accept": "*/*"}
    return HttpCall("GET", address.path, address.query, headers, b"", url)


def sign(key: str, token: str, seconds: str) -> str:
    """Sign a notice: HMAC-SHA-256 over ``<ts>.<token>`` (of a billing ``<ts>.<transactionId>``), in hex."""
    return hmac.digest(key.encode("ascii"), f"{seconds}.{token}".encode("ascii"), "sha256").hex()


def retry_at(tries: int, now: datetime) -> datetime | None:
    """Say when the next try is due."""
    return now + _PAUSE if tries < _TRIES_MAX else None
