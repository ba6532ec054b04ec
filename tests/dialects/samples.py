"""One good request of every dialect, for the demonstration merchants, as their portals would send it."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from gateway.dialects import HttpCall
from gateway.dialects.spplus.key import MerchantKey

NOTIFY, BACK = "http://127.0.0.1:8001/notice?a=1", "http://127.0.0.1:8001/back?a=1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
PAYFIP = (
    "http://securite.service.tpa.cp.finances.gouv.fr/services/mas_securite/contrat_paiement_securise/"
    "PaiementSecuriseService"
)
FORM = {"content-type": "application/x-www-form-urlencoded"}
# The service's public demonstration key.
SPPLUS_KEY = MerchantKey.read("58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79")


def tipi(reference: str, now: datetime) -> HttpCall:  # noqa: ARG001 - nothing in it ages
    asked = {
        "numcli": "004200", "exer": "2026", "refdet": reference, "objet": "Cantine", "montant": "9612",
        "mel": "famille@example.org", "urlcl": NOTIFY, "saisie": "T",
    }  # fmt: skip
    return HttpCall("GET", "/tpa/paiement.web", urlencode(asked))


def payfip(reference: str, now: datetime) -> HttpCall:  # noqa: ARG001 - nothing in it ages
    asked = {
        "exer": "2026", "mel": "famille@example.org", "montant": "9612", "numcli": "102030", "objet": "Cantine",
        "refdet": reference, "saisie": "T", "urlnotif": NOTIFY, "urlredirect": BACK,
    }  # fmt: skip
    members = "".join(f"<{name}>{text}</{name}>" for name, text in asked.items())
    operation = f'<p:creerPaiementSecurise xmlns:p="{PAYFIP}"><arg0>{members}</arg0></p:creerPaiementSecurise>'
    return HttpCall("POST", "/tpa/services/securite", body=_envelope(operation))


def spplus(reference: str, now: datetime, /, **more: str) -> HttpCall:  # noqa: ARG001 - nothing in it ages
    asked = {
        "siret": "00000000000001-01", "reference": reference, "langue": "FR", "devise": "978", "montant": "96.12",
        "taxe": "0.00", "validite": "31/12/2099", **more,
    }  # fmt: skip
    signature = SPPLUS_KEY.sign("".join(asked.values()).encode())
    return HttpCall("GET", "/paiement/init.do", urlencode({**asked, "urlretour": BACK, "hmac": signature}))


def systempay(reference: str, now: datetime, /, **more: str) -> HttpCall:
    asked = {
        "vads_action_mode": "INTERACTIVE", "vads_amount": "9612", "vads_ctx_mode": "TEST", "vads_currency": "978",
        "vads_cust_email": "famille@example.org", "vads_order_id": reference, "vads_page_action": "PAYMENT",
        "vads_payment_config": "SINGLE", "vads_return_mode": "POST", "vads_site_id": "12345678",
        "vads_trans_date": now.astimezone(UTC).strftime("%Y%m%d%H%M%S"), "vads_trans_id": reference[-6:],
        "vads_url_check": NOTIFY, "vads_url_return": BACK, "vads_version": "V2", **more,
    }  # fmt: skip
    key = b"1122334455667788"
    message = "+".join(asked[name] for name in sorted(asked)).encode() + b"+" + key
    signature = base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
    return HttpCall("POST", "/vads-payment/", headers=FORM, body=urlencode({**asked, "signature": signature}).encode())


def payline(reference: str, now: datetime) -> HttpCall:
    impl, obj = "http://impl.ws.payline.experian.com", "http://obj.ws.payline.experian.com"
    payment = {"amount": "9612", "currency": "978", "action": "101", "mode": "CPT", "contractNumber": "1234567"}
    order = {"ref": reference, "amount": "9612", "currency": "978", "date": now.strftime("%d/%m/%Y %H:%M")}
    operation = (
        f'<i:doWebPaymentRequest xmlns:i="{impl}" xmlns:o="{obj}"><i:version>26</i:version>'
        f"<i:payment>{_members('o', payment)}</i:payment><i:returnURL>{BACK}</i:returnURL>"
        f"<i:cancelURL>{BACK}</i:cancelURL><i:order>{_members('o', order)}</i:order>"
        f"<i:notificationURL>{NOTIFY}</i:notificationURL></i:doWebPaymentRequest>"
    )
    who = base64.b64encode(b"1234567890:DJMESHXYou6LmjQFdH").decode()
    headers = {"authorization": f"Basic {who}", "content-type": "text/xml"}
    return HttpCall("POST", "/V4/services/WebPaymentAPI", headers=headers, body=_envelope(operation))


SAMPLES: Mapping[str, Callable[[str, datetime], HttpCall]] = {
    "tipi": tipi,
    "payfip": payfip,
    "payline": payline,
    "spplus": spplus,
    "systempay": systempay,
}


def noted(name: str, note: str, now: datetime) -> HttpCall:
    """Give the sample of a dialect with ``note`` in a field that is free for the merchant's own use."""
    if name == "systempay":
        return systempay("ORDER0000001", now, vads_order_info=note)
    call = SAMPLES[name]("ORDER0000001", now)
    if name == "spplus":
        return replace(call, query=f"{call.query}&{urlencode({'arg1': note})}")
    if name == "payline":
        pair = f"<o:privateData><o:key>note</o:key><o:value>{note}</o:value></o:privateData>"
        private = f"<i:privateDataList>{pair}</i:privateDataList><i:notificationURL>"
        return replace(call, body=call.body.replace(b"<i:notificationURL>", private.encode()))
    return replace(call, query=call.query.replace("Cantine", note), body=call.body.replace(b"Cantine", note.encode()))


def _envelope(operation: str) -> bytes:
    return f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{operation}</e:Body></e:Envelope>'.encode()


def _members(prefix: str, values: Mapping[str, str]) -> str:
    return "".join(f"<{prefix}:{name}>{text}</{prefix}:{name}>" for name, text in values.items())
