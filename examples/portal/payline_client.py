"""All a portal needs to speak Payline: ask for a page by SOAP, and ask what became of it.

Copy this file and ``proof.py``. A notification and a return carry a token and no proof: each is only the signal to
call getWebPaymentDetails with the shop's own credentials, and the answer is the proof. Source: docs.payline.com,
"doWebPaymentRequest" and "getWebPaymentDetails".
"""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import requests
from proof import Confirmation, GuichetUnreachable, NotVerified

SERVICE = "/V4/services/WebPaymentAPI"

# The version of the message format; answers hold what that version knew.
_VERSION = "26"
_MESSAGE, _OBJECT = "http://impl.ws.payline.experian.com", "http://obj.ws.payline.experian.com"
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_TIMEOUTS = (3.05, 15)

Tree = Mapping[str, "str | Tree"]

_SUCCESS = frozenset({"00000", "02400", "02500", "02501", "03000", "04000"})
_OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "02008": "payment.cancelled",
        "02014": "payment.cancelled",
        "02319": "payment.cancelled",
        "02324": "payment.expired",
        "02534": "payment.expired",
    }
)

# The page was not opened yet, the payer is still on it, a partner has not answered, or fraud is being looked into.
_OPEN = frozenset({"02533", "02306", "02000", "02005", "02006", "02015", "02016", "04001", "04003"})

# The service itself is in trouble: nothing was said of the payment.
_TROUBLE = frozenset({"02101", "02102", "02103", "04901"})


class PaylineRefused(Exception):
    """An answer other than success, or none at all."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code} {detail}")
        self.code, self.detail = code, detail


class Payline:
    """One shop.

    :param access_key: the password of HTTP Basic; ``merchant_id`` is the user
    """

    def __init__(self, origin: str, merchant_id: str, access_key: str, contract: str) -> None:
        self.origin, self.merchant_id, self.contract = origin, merchant_id, contract
        self._session = requests.Session()
        # A proxy from the environment would swallow calls to 127.0.0.1.
        self._session.trust_env = False
        self._session.auth = (merchant_id, access_key)

    def open_page(self, order: Mapping[str, str], urls: Mapping[str, str], buyer: Mapping[str, str]) -> tuple[str, str]:
        """Ask for a payment page; give its token and its address.

        :param order: ``ref``, ``amount`` in cents, ``date`` as ``dd/mm/yyyy HH:MM``, ``label``
        :param urls: ``returnURL``, ``cancelURL``, ``notificationURL``

        Raises :class:`PaylineRefused` or :class:`GuichetUnreachable`.
        """
        amount = {"amount": order["amount"], "currency": "978"}
        line = {"ref": order["ref"], "price": order["amount"], "quantity": "1", "comment": order["label"]}
        answer = self._ask(
            "doWebPayment",
            {
                "payment": {**amount, "action": "101", "mode": "CPT", "contractNumber": self.contract},
                "returnURL": urls["returnURL"],
                "cancelURL": urls["cancelURL"],
                "order": {
                    "ref": order["ref"], "country": "FR", **amount, "date": order["date"], "details": {"details": line},
                },
                "notificationURL": urls["notificationURL"],
                "selectedContractList": {"selectedContract": self.contract},
                "languageCode": "fr",
                "buyer": buyer,
                "securityMode": "SSL",
            },
        )  # fmt: skip
        code, token, url = _said(answer, "result", "code"), _said(answer, "token"), _said(answer, "redirectURL")
        if code != "00000" or not token or urlsplit(url).scheme not in ("http", "https"):
            raise PaylineRefused(code, _said(answer, "result", "longMessage"))
        return token, url

    def details(self, token: str) -> Confirmation | None:
        """Ask what became of a payment; ``None`` while it is open.

        Raises :class:`NotVerified` for a token Guichet does not know as ours, :class:`GuichetUnreachable`.
        """
        answer = self._ask("getWebPaymentDetails", {"token": token})
        code, word = (_said(answer, "result", name) for name in ("code", "shortMessage"))
        if code in _OPEN:
            return None
        if code in _TROUBLE:
            raise GuichetUnreachable(f"getWebPaymentDetails: {code}")
        if word == "ERROR" and not _said(answer, "order", "ref"):
            raise NotVerified(f"getWebPaymentDetails: {code}")
        number = _said(answer, "card", "number")
        return Confirmation(
            id=f"payline-{token}-{code}",
            type="payment.succeeded" if code in _SUCCESS else _OTHERS.get(code, "payment.refused"),
            sent_at=_said(answer, "transaction", "date"),
            payment=token,
            reference=_said(answer, "order", "ref"),
            merchant=self.merchant_id,
            amount_cents=int(_said(answer, "payment", "amount") or 0),
            currency="EUR" if _said(answer, "payment", "currency") == "978" else "?",
            card={
                "scheme": _said(answer, "card", "type"),
                "last4": number[-4:],
                "authorisation_number": _said(answer, "authorization", "number"),
            },
            words=f"{code} {word}",
        )

    def _ask(self, operation: str, fields: Tree) -> ET.Element:
        envelope = ET.Element(f"{{{_ENVELOPE}}}Envelope")
        body = ET.SubElement(envelope, f"{{{_ENVELOPE}}}Body")
        message = ET.SubElement(body, f"{{{_MESSAGE}}}{operation}Request")
        _fill(message, {"version": _VERSION, **fields}, _MESSAGE)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{operation}"'}
        try:
            answer = self._session.post(
                self.origin + SERVICE,
                data=ET.tostring(envelope, encoding="utf-8"),
                headers=headers,
                timeout=_TIMEOUTS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise GuichetUnreachable(f"{self.origin}: {type(error).__name__}") from error
        if answer.status_code == 401:
            raise PaylineRefused("401", "Unauthorized: merchant id or access key")
        return _parsed(answer.content, f"{operation}Response")


def _parsed(body: bytes, name: str) -> ET.Element:
    # A document type could define entities without end; no answer has one.
    if b"<!DOCTYPE" in body:
        raise GuichetUnreachable("an answer with a document type")
    try:
        found = ET.fromstring(body).find(f".//{{{_MESSAGE}}}{name}")  # noqa: S314 - no document type, see above
    except ET.ParseError as error:
        raise GuichetUnreachable(f"an answer that is no XML: {error}") from error
    if found is None:
        raise GuichetUnreachable(f"an answer without {name}")
    return found


def _fill(parent: ET.Element, fields: Tree, space: str) -> None:
    for name, value in fields.items():
        child = ET.SubElement(parent, f"{{{space}}}{name}")
        if isinstance(value, str):
            child.text = value
        else:
            # Objects inside a message live in a namespace of their own.
            _fill(child, value, _OBJECT)


def _said(element: ET.Element, *path: str) -> str:
    found: ET.Element | None = element
    for name in path:
        found = (
            next((child for child in found if child.tag.rpartition("}")[2] == name), None)
            if found is not None
            else None
        )
    return (found.text or "").strip() if found is not None else ""
