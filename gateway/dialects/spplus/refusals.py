"""How SP Plus says no. The bank's own wording was never published: these codes and sentences are ours.

======== ====== ===============================================================================================
Code     Status Meaning
======== ====== ===============================================================================================
FORM     400    the query cannot be taken apart: broken escape, a name given twice, not base64 after ``?!``, too long
FIELD    400    a parameter is missing, badly written, or reserved for the way back
SIRET    400    no shop of this server bears the siret
DEVISE   400    the shop does not take the currency
MONTANT  400    more than the shop's contract allows
RETOUR   400    a return address the shop may not name
MODALITE 400    only payment in several times was offered, which the shop does not take, or did not sign
MOYEN    400    only means of payment that are no cards of ours were offered
LECTURE  400    the signature stands, but the signed values can be read in more than one way
HMAC     400    the signature does not prove who asks
VALIDITE 400    the last payable day is over
PAYE     409    the reference is paid already
OCCUPE   409    another payment of the reference is under way
ETAT     409    the payment's state does not allow it
ADRESSE  404    no such address or method
ATTENTE  503    try again in a moment; nothing was done
======== ====== ===============================================================================================

Statuses: entry refusals are 400 so that shops' own monitoring sees them; nothing documents what the bank sent.
"""

from collections.abc import Mapping

from gateway.core.errors import BadRequest, GatewayError, NotAuthentic, NotFound, RequestConflict, StoreBusy
from gateway.dialects import ErrorPage, HttpReply
from gateway.dialects.spplus.entry import ValidityPast

_OF_FAULT: Mapping[str, str] = {
    "malformed": "FORM",
    "unknown_shop": "SIRET",
    "currency": "DEVISE",
    "amount_above_limit": "MONTANT",
    "return_url": "RETOUR",
    "instalments": "MODALITE",
    "means": "MOYEN",
    "ambiguous": "LECTURE",
    "validity_past": "VALIDITE",
}
_OF_CONFLICT: Mapping[str, str] = {"debt_already_paid": "PAYE", "debt_locked": "OCCUPE"}

_VALIDITY_WORDS: Mapping[str, str] = {
    "fr": "Cette demande de paiement était valable jusqu'au {day} inclus. Reprenez-la depuis le site marchand.",
    "en": "This payment request was valid until {day}. Please start again from the merchant's site.",
    "es": "Esta solicitud de pago era válida hasta el {day}. Empiece de nuevo desde el sitio web del comercio.",
    "de": "Diese Zahlungsanforderung war bis zum {day} gültig. Beginnen Sie auf der Website des Händlers noch einmal.",
    "nl": "Dit betaalverzoek was geldig tot en met {day}. Begin opnieuw op de website van de verkoper.",
    "pt": "Este pedido de pagamento era válido até {day}. Recomece no sítio Web do comerciante.",
    "it": "Questa richiesta di pagamento era valida fino al {day}. Ricominci dal sito dell’esercente.",
    "ar": "كان طلب الدفع هذا صالحًا حتى \u2066{day}\u2069. ابدأ من جديد من موقع التاجر.",
}


def page(error: GatewayError) -> ErrorPage:
    """Word a refusal for the payer whose browser carried the request."""
    status, code = _status_and_code(error)
    wording = language = ""
    if isinstance(error, ValidityPast):
        language = error.language if error.language in _VALIDITY_WORDS else "fr"
        wording = _VALIDITY_WORDS[language].format(day=f"{error.day:%d/%m/%Y}")
    return ErrorPage(status, code, detail=_detail(error), wording=wording, language=language)


def text(error: GatewayError) -> HttpReply:
    """Word a refusal for a program that fetches text; no apostrophe, at which it would cut."""
    status, code = _status_and_code(error)
    body = f"{code}: {_detail(error)}\n".replace("'", "")
    return HttpReply(status, {"Content-Type": "text/plain; charset=utf-8"}, body.encode())


def _status_and_code(error: GatewayError) -> tuple[int, str]:
    if isinstance(error, BadRequest):
        codes = [_OF_FAULT.get(fault.code, "FIELD") for fault in error.faults]
        return 400, codes[0] if codes else "FORM"
    if isinstance(error, NotAuthentic):
        return 400, "HMAC"
    if isinstance(error, NotFound):
        return 404, "ADRESSE"
    if isinstance(error, StoreBusy):
        return 503, "ATTENTE"
    if isinstance(error, RequestConflict):
        return 409, _OF_CONFLICT.get(error.code, "ETAT")
    return 409, "ETAT"


def _detail(error: GatewayError) -> str:
    if isinstance(error, BadRequest):
        return "; ".join(f"{fault.pointer.lstrip('/') or 'request'}: {fault.detail}" for fault in error.faults)
    if isinstance(error, NotAuthentic):
        diagnosis = [error.diagnosis.get(name, "") for name in ("cause", "first_difference")]
        return " ".join(part for part in (error.fix, *diagnosis) if part)
    # Other errors speak of our own insides.
    return error.fix if isinstance(error, RequestConflict) else error.code
