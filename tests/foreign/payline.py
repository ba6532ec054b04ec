"""What the Payline tests share: one wish, and the published clients spoken to in one way."""

import secrets
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from tests.foreign.driver import Driver
from tests.foreign.shop import Shop
from tests.support.server import Server

MERCHANT, KEY = "1234567890", "DJMESHXYou6LmjQFdH"
BASIC = "MTIzNDU2Nzg5MDpESk1FU0hYWW91NkxtalFGZEg="

WEB, DIRECT, EXTENDED = "WebPaymentAPI", "DirectPaymentAPI", "ExtendedAPI"

# Public samples of Monext's documentation and of its clients.
CARD, CARD_BY_SMS = "4970102121041646", "4970101122334471"


def new_order() -> str:
    """Give an order reference nobody has paid."""
    return f"C{secrets.token_hex(6)}"


def wish(shop: Shop, version: str | None = "26", *, ref: str = "", **changes: object) -> dict[str, Any]:
    """Ask for 96.12 EUR; a change to ``None`` leaves a field out."""
    money = {"amount": "9612", "currency": "978"}
    line = {"ref": "A", "price": "9612", "quantity": "1", "comment": "Cantine de novembre"}
    asked: dict[str, Any] = {
        "version": version,
        "payment": {**money, "action": "101", "mode": "CPT", "contractNumber": "1234567"},
        "returnURL": f"{shop.origin}/return?e=1",
        "cancelURL": f"{shop.origin}/cancel",
        "order": {"ref": ref or new_order(), **money, "date": "21/11/2026 10:00", "details": {"details": line}},
        "notificationURL": f"{shop.origin}/notify?shop=7",
        "selectedContractList": {"selectedContract": "1234567"},
        "privateDataList": {"privateData": {"key": "id_cart", "value": "7"}},
        "languageCode": "fra",
        "buyer": {"lastName": "Martin", "email": "famille@example.org", "shippingAdress": {"cityName": "Falaise"}},
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Client:
    """One published client, bound to the WSDL this server serves.

    :ivar name: ``zeep``, ``suds``, ``pysimplesoap``, ``php`` or ``node``
    :ivar version: whose elements the WSDL holds; empty for those of all versions
    """

    name: str
    driver: Driver
    server: Server
    key: str = KEY
    version: str = ""

    def call(self, operation: str, *, api: str = WEB, **arguments: object) -> Any:
        """Call an operation, and give its answer."""
        wsdl = f"{self.server.base_url}/V4/services/{api}?wsdl" + (f"&version={self.version}" if self.version else "")
        asked = {"wsdl": wsdl, "operation": operation, "arguments": arguments}
        if self.name == "pysimplesoap":
            # A production portal sends this media type, and its credentials unasked.
            basic = b64encode(f"{MERCHANT}:{self.key}".encode()).decode()
            headers = {"Authorization": f"Basic {basic}", "Content-Type": "text/plain"}
            return self.driver.ask("pysimplesoap", **asked, headers=headers)
        if self.name == "php":
            return self.driver.ask("call", **asked, options={"login": MERCHANT, "password": self.key})
        return self.driver.ask(self.name, **asked, login=MERCHANT, password=self.key)

    def code(self, token: str, version: str | None = "26") -> str:
        """Ask what became of a payment."""
        return str(self.details(token, version)["result"]["code"])

    def details(self, token: str, version: str | None = "26") -> Any:
        """Ask for all there is to know of a payment."""
        spoken = {"version": version} if version else {}
        return self.call("getWebPaymentDetails", **spoken, token=token)
