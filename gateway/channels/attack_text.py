"""What a merchant's managers are told when somebody tries cards or telephones out on their pages."""

from datetime import datetime

_FRAMES = {
    "fr": (
        "Alerte : {seen}",
        "Bonjour,\n\nle {at:%d/%m/%Y} à {at:%H:%M}, Guichet a constaté pour {name} {seen}.\n\n{done}\n\n"
        "Vous n'avez rien à faire pour les paiements en cours. Prévenez l'exploitant de Guichet, et vérifiez que votre\n"
        "portail n'ouvre pas de paiement sans qu'une personne l'ait demandé.\n",
    ),
    "en": (
        "Alarm: {seen}",
        "Hello,\n\non {at:%d/%m/%Y} at {at:%H:%M}, Guichet saw for {name} {seen}.\n\n{done}\n\n"
        "You need do nothing about payments under way. Tell the operator of Guichet, and make sure that your portal\n"
        "opens no payment that nobody asked for.\n",
    ),
}
_KINDS = {
    ("refusals", "fr"): (
        "une part anormale de cartes refusées",
        "Les essais de cartes sont ralentis pendant au moins dix minutes ; les usagers peuvent toujours payer.",
    ),
    ("refusals", "en"): (
        "an unusual share of refused cards",
        "Trying cards is slowed down for ten minutes at least; payers can still pay.",
    ),
    ("range", "fr"): (
        "de nombreux refus de cartes d'une même série",
        "Les cartes de cette série ne sont plus présentées à la banque pendant une heure ; les autres passent.",
    ),
    ("range", "en"): (
        "many refused cards of one range",
        "Cards of that range are not put to the bank for an hour; others are.",
    ),
    ("codes", "fr"): (
        "un nombre anormal de codes envoyés à des numéros de téléphone voisins",
        "Les envois continuent, dans la limite fixée pour chaque numéro.",
    ),
    ("codes", "en"): (
        "an unusual number of codes sent to neighbouring telephone numbers",
        "Codes are still sent, within the limit of each number.",
    ),
}


def attack_text(kind: str, name: str, at: datetime, language: str) -> bytes:
    """Word an alarm of a kind in the language of the page it was seen at; the first line is the subject."""
    spoken = "fr" if language.startswith("fr") else "en"
    (subject, text), (seen, done) = _FRAMES[spoken], _KINDS[kind, spoken]
    return f"{subject}\n{text}".format(seen=seen, done=done, at=at, name=name).encode()
