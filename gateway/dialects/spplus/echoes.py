"""What the payer carries back is signed, and must be worth nothing as a request.

A return repeats every value of the request, also those that no signature protected, and is signed with the same key
over values alone. A payer who put the text of another request into a free value would get it signed. So a request
whose return could be read as another one, or as an order of the remote administration, is not taken.
"""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote_to_bytes

from gateway.dialects.spplus.fields import Fields, cents_of
from gateway.dialects.spplus.query import Parameter, raw_values
from gateway.dialects.spplus.reading import Meaning, best_meanings
from gateway.dialects.spplus.shops import Shop

# Actions of the remote administration (vendor's test script); each begins the text that an order signs.
ACTIONS = frozenset(
    {
        "paiement", "remboursement", "annulation", "annulationtout", "reinitialisation", "resiliation", "suspension",
        "reactivation", "prolongation", "echeance", "etattrans", "informationsTransaction", "etatpaiement", "url",
    }
)  # fmt: skip

# A stand-in for the transaction number and the state that end a return; only their being digits matters.
_ENDING = b"000000001"


def echo_of(parameters: Sequence[Parameter]) -> str:
    """Give the query that is told back: every parameter but ``hmac``, as it came and in its order, empty ones dropped."""
    return "&".join(p.written for p in parameters if p.raw and p.name != "hmac")


def is_harmless(parameters: Sequence[Parameter], fields: Fields, shop: Shop) -> bool:
    """Say whether no return of this request can be used as a request that asks for less, or for something else."""
    return not any(_is_misusable(text, fields, shop) for text in _signed_texts(parameters, fields))


def _signed_texts(parameters: Sequence[Parameter], fields: Fields) -> Iterator[bytes]:
    """Give what a return may sign, as it stands and with its escapes undone.

    The return address is the request's, so its own query is too, and it comes first.
    """
    told = raw_values(echo_of(parameters)) + _ENDING
    for address in dict.fromkeys(("", fields.urlretour, fields.ok_url, fields.bad_url)):
        raw = address.partition("?")[2].encode("utf-8")
        text = b"".join(pair.partition(b"=")[2] for pair in raw.split(b"&")) + told
        yield text
        yield unquote_to_bytes(text.replace(b"+", b" "))


def _is_misusable(text: bytes, fields: Fields, shop: Shop) -> bool:
    if any(text.startswith((action + shop.company).encode("ascii")) for action in ACTIONS):
        return True
    meanings = best_meanings(text, shop)
    if len(meanings) > 1 and not shop.protocol.any_order:
        # Sent as a request, it would be refused: its reading is not single.
        return False
    return any(_is_other(meaning, fields, shop) for meaning in meanings)


def _is_other(meaning: Meaning, fields: Fields, shop: Shop) -> bool:
    """A reading that asks for more money is let through: short amounts make one, and nobody wants to pay it.

    One that has lost its last day is not: it could be paid for ever. A shop that may send its values in any order is
    told of worse.
    """
    days = {fields.validite, ""} if shop.protocol.any_order else {fields.validite}
    return (
        (meaning.reference, meaning.devise) != (fields.reference, fields.devise)
        or cents_of(meaning.montant) < fields.amount_cents
        or meaning.validite not in days
    )
