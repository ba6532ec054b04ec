"""Finds a card number typed where none belongs, so that it is refused before anything is stored.

A match is a whole token with a brand's prefix, that brand's length and a right check digit. Luhn alone would refuse one
numeric reference in ten; 18-digit numbers are never taken for cards, since references of that length are common.
"""

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

from gateway.core.card import luhn_valid
from gateway.core.payment import PaymentRequest

# Digits in groups, with what people put between: spaces of any kind, those without width too, dots, dashes, slashes,
# underscores, stars, bars, apostrophes.
_SEPARATOR = r"[\s.,_/*|'’·•\-\u00ad\u200b-\u200f\u2010-\u2015\u2060\u2212\ufeff]{1,3}"
_RUN = re.compile(rf"(?<![^\W_])[0-9]+(?:{_SEPARATOR}[0-9]+)*(?![^\W_])")
_GROUP = re.compile(r"[0-9]+")

# Public ranges (ISO/IEC 7812): Visa; Mastercard, both series; American Express; the Maestro ranges in use in Europe.
_BRANDS = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[123])(?:[0-9]{8,13}|[0-9]{15})"
)

DIGITS_MIN, DIGITS_MAX = 12, 19

_ADDRESS = re.compile(r"https?://[^\s\"<>]+")


def asks_to_keep_a_card(request: PaymentRequest) -> bool:
    """Say whether any free text of a request, as it would be stored, holds a card number.

    Addresses and the merchant's own reference are left out: references of sixteen digits are common, and one in fifty of
    them would read as a card.
    """
    told = (request.label, request.beneficiary, request.comment, request.payer_name, request.email, request.statement)
    texts = [
        *told,
        *request.metadata,
        *request.metadata.values(),
        *(line.label for line in request.lines),
        *_values(request.wire.values()),
    ]
    # Only one that reads as a card itself need be left out; a shorter one would tear a number apart.
    own = request.reference if holds_card_number(request.reference) else "\0"
    return any(holds_card_number(_ADDRESS.sub(" ", text).replace(own, " ")) for text in texts)


def _values(wire: Iterable[str]) -> Iterator[str]:
    """Give the values of what a protocol keeps: texts, objects in JSON, queries, and addresses, which may hold a query."""
    for text in wire:
        # Within a query an address ends with its value, escaped or not.
        parts = [text] if _ADDRESS.match(text) else text.split("&")
        for value in _strings(text) or parts:
            yield from _unescaped(value)


def _strings(text: str) -> list[str]:
    """List the strings of an object in JSON: in the text around them a line's end is a letter. Empty for all else."""
    try:
        inner = [json.loads(text)] if text.startswith("{") else []
    except ValueError:
        return []
    found: list[str] = []
    while inner:
        value = inner.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict | list):
            inner += [*value, *value.values()] if isinstance(value, dict) else value
    return found


def _unescaped(text: str) -> Iterator[str]:
    """Give a text with the escapes of an address undone, and undone again: clients that escape twice are common."""
    plain = unquote_plus(_ADDRESS.sub(" ", text))
    yield plain
    if "%" in plain:
        yield unquote_plus(_ADDRESS.sub(" ", plain))


def without_card_numbers(text: str) -> str:
    """Blank the card numbers of a text that is to be shown."""
    shown, begin = "", 0
    # Whatever digits it is written in; each sign of the plain text has its place in the other.
    for run in _RUN.finditer(_ascii_digits(text)):
        if any(map(_is_card, _windows(run[0]))):
            shown += text[begin : run.start()] + "[card number]"
            begin = run.end()
    return shown + text[begin:]


def holds_card_number(text: str) -> bool:
    """Say whether some whole token of ``text`` reads as a card number."""
    return any(_is_card(digits) for run in _RUN.finditer(_ascii_digits(text)) for digits in _windows(run[0]))


def _is_card(digits: str) -> bool:
    return _BRANDS.fullmatch(digits) is not None and luhn_valid(digits)


def _windows(run: str) -> Iterator[str]:
    """Join neighbouring groups of digits: the number may stand between a date and a security code."""
    groups = _GROUP.findall(run)
    for start in range(len(groups)):
        digits = ""
        for group in groups[start:]:
            digits += group
            if len(digits) > DIGITS_MAX:
                break
            if len(digits) >= DIGITS_MIN:
                yield digits


def _ascii_digits(text: str) -> str:
    """Turn full-width, Arabic and other decimal digits into ASCII ones."""
    if text.isascii():
        return text
    return "".join(str(int(sign)) if sign.isdecimal() else sign for sign in text)
