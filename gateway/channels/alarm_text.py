"""What an alarm says to a merchant's managers."""

from urllib.parse import urlsplit

from gateway.core.payment import PaymentResult

_TEXTS = {
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


def alarm_text(result: PaymentResult, url: str, reason: str) -> bytes:
    """Word the alarm once, when the confirmation is given up; the first line is the subject."""
    request = result.request
    subject, text = _TEXTS["fr" if request.language.startswith("fr") else "en"]
    facts = {
        "number": result.number,
        "id": result.id,
        "reference": request.reference,
        "host": urlsplit(url).netloc,
        "reason": reason,
        "status": result.status.value,
    }
    return f"{subject}\n{text}".format(**facts).encode()
