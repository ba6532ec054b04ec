"""Who is asking: HTTP Basic with the merchant id and the access key (RFC 7617)."""

import base64
import hmac
from collections.abc import Mapping

from gateway.core.errors import NotAuthentic
from gateway.core.payment import Mode
from gateway.dialects import HttpCall
from gateway.dialects.diagnosis import readable
from gateway.dialects.payline.merchant import Account

_FIX = "send HTTP Basic with the merchant id and the access key"


def account_of(call: HttpCall, accounts: Mapping[str, Account]) -> Account:
    """Find the account whose credentials a call carries.

    Raises :class:`NotAuthentic`; the first call of clients that wait to be challenged is refused like any other.
    """
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise NotAuthentic("credentials_missing", _FIX)
    try:
        user, _, key = base64.b64decode(given.strip(), validate=True).partition(b":")
    except ValueError as error:  # ``binascii.Error`` is one; a plain one is raised for what is not even ASCII
        raise NotAuthentic("credentials_malformed", _FIX) from error
    found = None
    for account in accounts.values():
        is_user = hmac.compare_digest(user, account.terms.merchant_id.encode())
        is_key = hmac.compare_digest(key, account.terms.access_key.encode())
        if is_user and is_key:
            found = account
    if found is None:
        raise NotAuthentic("bad_credentials", _FIX, _diagnosis(user, key, accounts))
    return found


def _diagnosis(user: bytes, key: bytes, accounts: Mapping[str, Account]) -> Mapping[str, str]:
    """Explain refused credentials to the developer of a merchant in test mode; no key is shown, nor what came as one."""
    mistakes = {
        "spaces around a value": (user.strip(), key.strip()),
        "id and key exchanged": (key, user),
        "key in other case": (user, key.swapcase()),
        "id with leading zeros": (user.lstrip(b"0"), key),
    }
    tests = [account for account in accounts.values() if account.merchant.mode is Mode.TEST]
    for account in tests:
        right = (account.terms.merchant_id.encode(), account.terms.access_key.encode())
        made = [name for name, pair in mistakes.items() if pair == right]
        if not made and user.strip().lstrip(b"0") != right[0].lstrip(b"0"):
            continue
        cause = f"The mistake is: {made[0]}." if made else "The merchant id is right, the access key is another."
        return {
            "dialect": "payline",
            "merchant": account.merchant.id,
            "signed": "nothing: HTTP Basic carries <merchant id>:<access key> in base64",
            "expected": f"{account.terms.merchant_id}:<the access key>",
            "received": "<a merchant's key>:..." if made == ["id and key exchanged"] else f"{readable(user[:40])}:...",
            "first_difference": "",
            "cause": cause,
            "tried": ", ".join(mistakes),
        }
    return {}
