"""What the SMS of a one-time code says: in letters that fit in one message, or in Arabic ones that take two."""

import unicodedata
from types import MappingProxyType

from gateway.core.languages import spoken
from gateway.core.money import Money

# One message of the GSM 7-bit alphabet (3GPP TS 23.038); a single letter outside it would leave 70.
SEGMENT = 160

# Arabic letters are sent as UCS-2: 70 characters in one message, 67 in each of several (3GPP TS 23.040 section 9.2.3.24.1).
# Beside the payee, the amount and the line for telephones one is too short, and both facts must be told: two it is.
_UCS2_SEGMENTS = 2 * 67

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
        # Worded without letters that the alphabet lacks (ó, í, ã): half a message would be lost on each of them.
        "es": "{code} es su clave para pagar {amount} a {payee}. No la comparta con nadie.",
        "de": "{code} ist Ihr Code, um {amount} an {payee} zu zahlen. Geben Sie ihn niemandem.",
        "nl": "{code} is uw code om {amount} te betalen aan {payee}. Geef hem aan niemand.",
        "pt": "Use {code} para pagar {amount} a {payee}. Nunca revele isto a ninguém.",
        "it": "{code} è il codice per pagare {amount} a {payee}. Non lo comunichi a nessuno.",
        "ar": "{code} رمزك لدفع {amount} إلى {payee}. لا تعطه لأحد.",
    }
)

# What payers read whose language is not written here.
_OTHERWISE = "en"

# A shortened merchant still has to be recognised by the payer.
_PAYEE_LENGTH_MIN = 12


def compose_code_sms(code: str, amount: Money, payee_name: str, host: str, language: str) -> str:
    """Write the text of a one-time code.

    It names the amount and the payee (dynamic linking, RTS article 5) and ends with the origin-bound line
    ``@host #code`` that lets telephones offer the code on that host's page only. GSM alphabet throughout, Arabic
    excepted; a long payee is shortened until one message of 160 characters, or two Arabic ones, hold it all.

    :param host: the page's host; a port is dropped, the format knows none
    """
    last_line = f"\n\n@{host.partition(':')[0]} #{code}"
    written = spoken(language) or _OTHERWISE
    letters, length_max = (_ucs2, _UCS2_SEGMENTS) if written == "ar" else (_gsm, SEGMENT)
    text = _TEXTS[written]
    bare = text.format(code=code, amount=plain_amount(amount, language), payee="")
    payee = " ".join(letters(payee_name).split())
    room = max(length_max - len(bare) - len(last_line), _PAYEE_LENGTH_MIN)
    if len(payee) > room:
        payee = payee[: room - 3].rstrip() + "..."
    return text.format(code=code, amount=plain_amount(amount, language), payee=payee) + last_line


def plain_amount(amount: Money, language: str) -> str:
    """Write an amount in plain characters: ``1234,50 EUR``; the narrow space of tickets would cost 90 characters."""
    whole, rest = divmod(amount.cents, 10**amount.exponent)
    comma = "." if (spoken(language) or _OTHERWISE) == "en" else ","
    return (
        f"{whole}{comma}{rest:0{amount.exponent}d} {amount.currency}"
        if amount.exponent
        else f"{whole} {amount.currency}"
    )


def _ucs2(text: str) -> str:
    """Keep what is one unit of UCS-2 and can be shown."""
    return "".join(letter if letter.isprintable() and ord(letter) <= 0xFFFF else " " for letter in text)


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
