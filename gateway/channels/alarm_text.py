"""What alarms say to a merchant's managers; the first line of each is its subject."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from gateway.channels.code_text import plain_amount
from gateway.core.payment import InstalmentResult, PaymentResult

_UNDELIVERED = {
    "fr": (
        "Confirmation non remise : paiement {number}",
        "Bonjour,\n\nGuichet n'a pas pu remettre à votre portail ({host}) la confirmation du paiement {id},\n"
        "référence {reference}, malgré plusieurs essais. Dernière réponse : {reason}.\n\n"
        "Le paiement lui-même n'est pas en cause : son état est « {status} ».\n"
        "Quand le portail répond de nouveau, l'exploitant de Guichet peut renvoyer la confirmation\n"
        "(guichet notice resend), ou le portail peut lire l'état du paiement par l'API.\n",
    ),
    "en": (
        "Confirmation not delivered: payment {number}",
        "Hello,\n\nGuichet could not deliver to your portal ({host}) the confirmation of payment {id},\n"
        "reference {reference}, in spite of several tries. Last answer: {reason}.\n\n"
        "The payment itself is not in doubt: its state is “{status}”.\n"
        "Once the portal answers again, Guichet's operator can send the confirmation once more\n"
        "(guichet notice resend), or the portal can read the payment's state by the API.\n",
    ),
}

_INSTALMENT = {
    "fr": (
        "Échéance refusée : paiement {number}",
        "Bonjour,\n\nL'échéance {rank} ({amount}, due le {due}) du paiement {id}, référence {reference},\n"
        "n'a pas pu être débitée. Dernière réponse de la banque : {reason}.\n\n"
        "Guichet ne la demandera plus. Les autres échéances ne sont pas touchées ; ce qui manque est à demander au payeur.\n",
    ),
    "en": (
        "Instalment refused: payment {number}",
        "Hello,\n\nInstalment {rank} ({amount}, due on {due}) of payment {id}, reference {reference},\n"
        "could not be debited. The bank's last answer: {reason}.\n\n"
        "Guichet will not ask for it again. The other instalments are not affected; ask the payer for what is missing.\n",
    ),
}

_CAPTURE = {
    "fr": (
        "Encaissement en attente : paiement {number}",
        "Bonjour,\n\nLe paiement {id} ({amount}), référence {reference}, est autorisé mais personne n'a demandé\n"
        "son encaissement. L'autorisation de la banque expire le {day}.\n\n"
        "Sans encaissement d'ici là, Guichet rendra la somme au payeur.\n",
    ),
    "en": (
        "Capture awaited: payment {number}",
        "Hello,\n\nPayment {id} ({amount}), reference {reference}, is authorised, but nobody has asked for its capture.\n"
        "The bank's authorisation lapses on {day}.\n\n"
        "Unless it is captured before, Guichet will give the money back to the payer.\n",
    ),
}


def capture_alarm(result: PaymentResult, lapses_at: datetime) -> bytes:
    """Word the alarm of an authorisation that nobody captures.

    :param lapses_at: in the merchant's zone
    """
    amount = plain_amount(result.request.amount, _language(result))
    return _worded(_CAPTURE, result, amount=amount, day=lapses_at.date().isoformat())


def instalment_alarm(result: PaymentResult, part: InstalmentResult) -> bytes:
    """Word the alarm of an instalment that was refused for good."""
    said = f"{part.attempt.response_code} {part.attempt.response_family}".strip() if part.attempt else ""
    facts = {
        "rank": f"{part.rank}/{len(result.instalments) + 1}",
        "amount": plain_amount(part.amount, _language(result)),
        "due": part.due.isoformat(),
        "reason": said or "-",
    }
    return _worded(_INSTALMENT, result, **facts)


def alarm_text(result: PaymentResult, url: str, reason: str) -> bytes:
    """Word the alarm once, when the confirmation is given up."""
    return _worded(_UNDELIVERED, result, host=urlsplit(url).netloc, reason=reason, status=result.status.value)


def _worded(texts: Mapping[str, tuple[str, str]], result: PaymentResult, **facts: str) -> bytes:
    request = result.request
    subject, text = texts[_language(result)]
    names = {"number": result.number, "id": result.id, "reference": request.reference}
    return f"{subject}\n{text}".format(**names, **facts).encode()


def _language(result: PaymentResult) -> str:
    return "fr" if result.request.language.startswith("fr") else "en"
