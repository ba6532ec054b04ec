"""What the SMS of a one-time code says, in letters every telephone can show in one message."""

import unicodedata
from types import MappingProxyType

from gateway.core.money import Money

# One message of the GSM 7-bit alphabet (3GPP TS 23.038); a single letter outside it would leave 70.
SEGMENT = 160

# The basic table of 3GPP TS 23.038 section 6.2.1, less the control characters and Greek capitals.
_GSM = frozenset(
    "@£$¥èéùìòÇØøÅåÆæßÉ !\"#%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà\n"
)

# Characters whose meaning survives in other letters; the rest lose their accent, or become a question mark.
_SPELT = MappingProxyType(
    {"€": "EUR", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "œ": "oe", "Œ": "OE", "…": "..."}
    | {"[": "(", "]": ")", "{": "(", "}": ")", "«": '"', "»": '"'}
)

_TEXTS = MappingProxyType(
    {
        "fr": "{code} : votre code pour payer {amount} à {payee}. Ne le donnez à personne.",
        "en": "{code} is your code to pay {amount} to {payee}. Give it to nobody.",
    }
)

# A shortened merchant still has to be recognised by the payer.
_PAYEE_LENGTH_MIN = 12


def compose_code_sms(code: str, amount: Money, payee_name: str, host: str, language: str) -> str:
    """Write the text of a one-time code.

    It names the amount and the payee (dynamic linking, RTS article 5) and ends with the origin-bound line
    ``@host #code`` that lets telephones offer the code on that host's page only. GSM alphabet throughout; a long payee
    is shortened until one message of 160 characters holds it all.

    :param host: the page's host; a port is dropped, the format knows none
    """
    last_line = f"\n\n@{host.partition(':')[0]} #{code}"
    text = _TEXTS["fr" if language.lower().startswith("fr") else "en"]
    bare = text.format(code=code, amount=plain_amount(amount, language), payee="")
    payee = " ".join(_gsm(payee_name).split())
    room = max(SEGMENT - len(bare) - len(last_line), _PAYEE_LENGTH_MIN)
    if len(payee) > room:
        payee = payee[: room - 3].rstrip() + "..."
    return text.format(code=code, amount=plain_amount(amount, language), payee=payee) + last_line


def plain_amount(amount: Money, language: str) -> str:
    """Write an amount in plain characters: ``1234,50 EUR``; the narrow space of tickets would cost 90 characters."""
    whole, rest = divmod(amount.cents, 10**amount.exponent)
    comma = "," if language.lower().startswith("fr") else "."
    return (
        f"{whole}{comma}{rest:0{amount.exponent}d} {amount.currency}"
        if amount.exponent
        else f"{whole} {amount.currency}"
    )


def _gsm(text: str) -> str:
    return "".join(map(_gsm_character, text))


def _gsm_character(character: str) -> str:
    if character in _GSM:
        return character
    if character in _SPELT:
        return _SPELT[character]
    if not character.isprintable():
        return " "
    base = unicodedata.normalize("NFKD", character)[0]
    return base if base in _GSM else "?"
