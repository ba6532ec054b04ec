"""Whether a signed request can be read in one way only.

SP Plus signs values run together without a separator. ``100`` + ``0.00`` makes the same text as ``1000.0`` + ``0``, so
whoever carries a signed request could move the boundary and pay a tenth, with a signature that stands. Here the signed
text is read in every way the grammar allows; readings are ranked by how kits write, and a request is taken only when it
is the one best reading. Hence no signed text ever opens two different payments.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.dialects.spplus.fields import AMOUNT, CURRENCIES, REFERENCE_MAX, Fields
from gateway.dialects.spplus.shops import COMPANY_LENGTH, Shop

_REFERENCE_SIGN = re.compile(r"[A-Za-z0-9_-]", re.ASCII)
_CODES = re.compile(rf"([A-Za-z]{{2}})?({'|'.join(CURRENCIES)})", re.ASCII)
_AMOUNT = re.compile(AMOUNT, re.ASCII)
_AMOUNT_LENGTH_MAX = 10
# Where a text was signed as it was sent, the strokes are still escaped: it says the same day.
_STROKE = "(?:/|%2[Ff])"
_DAY = re.compile(f"([0-9]{{2}}){_STROKE}([0-9]{{2}}){_STROKE}([0-9]{{4}})", re.ASCII)

# The company alone, or with a shop number of two or three digits.
_SIRET_LENGTHS = (COMPANY_LENGTH, COMPANY_LENGTH + 3, COMPANY_LENGTH + 4)

Rank = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a request comes down to: the tax is shown to nobody and the language harms nobody."""

    reference: str
    devise: str
    montant: str
    validite: str


def is_only_reading(signed: bytes, fields: Fields, shop: Shop) -> bool:
    """Say whether ``fields`` is what ``signed`` says, and the only thing it can be taken to say.

    :param signed: the canonical values, run together with their escapes undone, and whatever is signed after them
    """
    return best_meanings(signed, shop) == {Meaning(fields.reference, fields.devise, fields.montant, fields.validite)}


def best_meanings(signed: bytes, shop: Shop) -> frozenset[Meaning]:
    """Read a signed text as requests of ``shop``: the likeliest meanings, none when it is no request at all.

    The answer depends on the text alone, not on the variant it is signed by, so that two variants cannot disagree.
    """
    readings = list(_readings(signed.decode("latin-1"), shop))
    best = max((rank for rank, _ in readings), default=None)
    return frozenset(meaning for rank, meaning in readings if rank == best)


def _readings(text: str, shop: Shop) -> Iterator[tuple[Rank, Meaning]]:
    for siret, reference, codes in _beginnings(text, shop):
        langue, devise, start = codes[1], codes[2], codes.end()
        for montant_end in _amount_ends(text, start):
            montant = text[start:montant_end]
            for taxe_end in _amount_ends(text, montant_end):
                taxe = text[montant_end:taxe_end]
                for validite, end in _days(text, taxe_end):
                    is_whole = end == len(text)
                    rank = (bool(langue), *_siret_rank(siret, shop), is_whole, *_amount_rank(montant, taxe, validite))
                    yield rank, Meaning(reference, devise, montant, validite)


def _beginnings(text: str, shop: Shop) -> Iterator[tuple[str, str, re.Match[str]]]:
    """Find every place where a reference could end: a currency follows, with two letters before it or, at worst, none."""
    for begin in _SIRET_LENGTHS:
        if not (text[:COMPANY_LENGTH] == shop.company and shop.answers_to(text[:begin])):
            continue
        for end in range(begin + 1, min(len(text), begin + REFERENCE_MAX) + 1):
            if not _REFERENCE_SIGN.match(text, end - 1):
                break
            if codes := _CODES.match(text, end):
                yield text[:begin], text[begin:end], codes


def _amount_ends(text: str, start: int) -> Iterator[int]:
    for end in range(start + 1, min(len(text), start + _AMOUNT_LENGTH_MAX) + 1):
        if _AMOUNT.fullmatch(text, start, end):
            yield end


def _days(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Find the day that may stand there, as it is written without escapes, and where it ends."""
    yield "", start
    if day := _DAY.match(text, start):
        yield "/".join(day.groups()), day.end()


def _siret_rank(siret: str, shop: Shop) -> Rank:
    shop_number = siret[COMPANY_LENGTH + 1 :]
    return (shop_number != "" and int(shop_number) == shop.number, len(siret) == len(shop.siret))


def _amount_rank(montant: str, taxe: str, validite: str) -> Rank:
    """Prefer what kits send: a day, an amount with two decimals, no tax, a tax with two decimals, one decimal."""
    decimals = len(montant.partition(".")[2])
    return (
        validite != "",
        decimals == 2,
        not taxe.strip("0."),
        len(taxe.partition(".")[2]) == 2,
        decimals == 1,
    )
