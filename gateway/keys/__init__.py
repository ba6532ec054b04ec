"""Key files: made, checked, loaded once. The only place that knows ``keys/`` and the JOSE library."""

from gateway.core.signing import ConfirmationKeys
from gateway.keys.files import PURPOSES, KeyFile
from gateway.keys.jose import RequestKey, sign_request
from gateway.keys.making import create, create_merchant_keys, credentials, ensure_demo
from gateway.keys.ring import Keys
from gateway.keys.rotation import list_keys, retire
from gateway.keys.stamps import Stamp, stamp_of

__all__ = [
    "PURPOSES",
    "ConfirmationKeys",
    "KeyFile",
    "Keys",
    "RequestKey",
    "Stamp",
    "create",
    "create_merchant_keys",
    "credentials",
    "ensure_demo",
    "list_keys",
    "retire",
    "sign_request",
    "stamp_of",
]
