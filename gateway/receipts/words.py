"""The words, amounts and dates of receipts, shared by the PDF ticket, the mails and the HTML ticket.

French and English; any other language reads English. Pages have a catalogue of their own: a ticket must print the same
words whoever renders it, and years later.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal

from gateway.core.money import Money

# Tickets show the merchant's legal time with its abbreviation (CET or CEST), as card terminals do.
ZONE = ZoneInfo("Europe/Paris")

# CLDR locales behind the two languages: British English writes the day before the month.
_LOCALES = {"fr": "fr_FR", "en": "en_GB"}

_FRENCH = {
    "title_debit": "Ticket de paiement",
    "title_refund": "Ticket de remboursement",
    "copy_payer": "Exemplaire client",
    "copy_merchant": "Exemplaire commerçant",
    "duplicate": "DUPLICATA",
    "test": "TEST",
    "test_notice": "TEST - aucune somme n'est débitée",
    "amount_debit": "Montant payé",
    "amount_refund": "Montant remboursé",
    "at": "à",
    "debts": "Détail du paiement",
    "debt_reference": "Référence de la dette",
    "debt_label": "Objet",
    "debt_amount": "Montant",
    "total": "Total",
    "payment": "Informations de paiement",
    "card_group": "Ticket carte bancaire",
    "order": "Numéro de commande",
    "number": "Numéro de transaction",
    "date": "Date et heure",
    "operation": "Opération",
    "debit": "DÉBIT",
    "refund": "REMBOURSEMENT",
    "amount": "Montant",
    "original": "Paiement d'origine",
    "means": "Moyen de paiement",
    "means_card": "Carte bancaire",
    "statement": "Libellé sur le relevé de compte",
    "service": "Service",
    "email": "Courriel du payeur",
    "payer_name": "Payeur",
    "beneficiary": "Bénéficiaire",
    "comment": "Commentaire",
    "scheme": "Réseau",
    "card": "Carte",
    "contract": "Contrat commerçant",
    "authorisation": "Numéro d'autorisation",
    "entry": "Mode de saisie",
    "entry_mode": "Saisie manuelle, vente à distance",
    "courtesy": "Merci de votre confiance. Bonne journée !",
    "keep": "Ticket à conserver",
    "page": "Page",
    "contact": "Une question sur cette somme ?",
    "subject_debit": "Paiement de la commande {order}",
    "subject_refund": "Remboursement de la commande {order}",
    "greeting": "Bonjour,",
    "intro_debit_payer": "Votre paiement de la commande {order} ({amount}) auprès de {payee} est enregistré.",
    "intro_debit_merchant": "La commande {order} ({amount}) vient d'être payée sur le point de vente {payee}.",
    "intro_refund_payer": "La commande {order} vous est remboursée ({amount}) par {payee}.",
    "intro_refund_merchant": "La commande {order} est remboursée ({amount}) par le point de vente {payee}.",
    "attached": "Le ticket est joint à ce message au format PDF.",
    "link": "Voir le ticket en ligne",
    "automatic": "Message automatique, merci de ne pas y répondre.",
    "download": "Télécharger le ticket (PDF)",
}

_ENGLISH = {
    "title_debit": "Payment ticket",
    "title_refund": "Refund ticket",
    "copy_payer": "Customer copy",
    "copy_merchant": "Merchant copy",
    "duplicate": "DUPLICATE",
    "test": "TEST",
    "test_notice": "TEST - no money is taken",
    "amount_debit": "Amount paid",
    "amount_refund": "Amount refunded",
    "at": "at",
    "debts": "What was paid",
    "debt_reference": "Debt reference",
    "debt_label": "Description",
    "debt_amount": "Amount",
    "total": "Total",
    "payment": "Payment information",
    "card_group": "Card ticket",
    "order": "Order number",
    "number": "Transaction number",
    "date": "Date and time",
    "operation": "Operation",
    "debit": "DEBIT",
    "refund": "REFUND",
    "amount": "Amount",
    "original": "Original payment",
    "means": "Means of payment",
    "means_card": "Bank card",
    "statement": "On the bank statement",
    "service": "Service",
    "email": "Payer's e-mail",
    "payer_name": "Payer",
    "beneficiary": "Beneficiary",
    "comment": "Comment",
    "scheme": "Scheme",
    "card": "Card",
    "contract": "Merchant contract",
    "authorisation": "Authorisation number",
    "entry": "Entry mode",
    "entry_mode": "Manual key-in, distance selling",
    "courtesy": "Thank you. Have a good day!",
    "keep": "Please keep this ticket",
    "page": "Page",
    "contact": "A question about this sum?",
    "subject_debit": "Payment of order {order}",
    "subject_refund": "Refund of order {order}",
    "greeting": "Hello,",
    "intro_debit_payer": "Your payment of order {order} ({amount}) to {payee} has been made.",
    "intro_debit_merchant": "Order {order} ({amount}) has just been paid at the point of sale {payee}.",
    "intro_refund_payer": "Order {order} is being refunded to you ({amount}) by {payee}.",
    "intro_refund_merchant": "Order {order} is being refunded ({amount}) by the point of sale {payee}.",
    "attached": "The ticket is attached to this message as a PDF.",
    "link": "See the ticket online",
    "automatic": "Automatic message, please do not reply.",
    "download": "Download the ticket (PDF)",
}

WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"fr": MappingProxyType(_FRENCH), "en": MappingProxyType(_ENGLISH)}
)

# Brands as their owners spell them.
SCHEMES = MappingProxyType(
    {"cb": "CB", "visa": "Visa", "mastercard": "Mastercard", "maestro": "Maestro", "amex": "American Express"}
)


def receipt_language(asked: str) -> str:
    """Choose the language of a receipt: French for any French (``fr``, ``fr-BE``), English for the rest."""
    return "fr" if asked.lower().startswith("fr") else "en"


def format_money(amount: Money, language: str) -> str:
    """Write an amount with its currency code: ``1 234,50 EUR`` or ``1,234.50 EUR``.

    The code, not the sign: tickets are read by accountants of any country. The spaces are U+202F and U+00A0.
    """
    whole, rest = divmod(amount.cents, 10**amount.exponent)
    digits = format_decimal(whole, "#,##0", locale=_LOCALES[language])
    if amount.exponent:
        separator = "," if language == "fr" else "."
        digits += f"{separator}{rest:0{amount.exponent}d}"
    return f"{digits}\u00a0{amount.currency}"


def format_moment(moment: datetime, language: str) -> str:
    """Write an instant to the minute with its zone: ``17/03/2015 à 14:31 CET`` or ``17 Mar 2015 at 14:31 CET``."""
    local = moment.astimezone(ZONE)
    day = f"{local:%d/%m/%Y}" if language == "fr" else format_date(local.date(), "d MMM y", locale=_LOCALES[language])
    return f"{day} {WORDS[language]['at']} {local:%H:%M} {local:%Z}"
