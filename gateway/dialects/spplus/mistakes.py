"""The slips that make a shop's signature wrong, each tried when a shop in test mode is refused."""

import html
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote_to_bytes

from gateway.dialects.diagnosis import Candidate, Mismatch, diagnose
from gateway.dialects.spplus.fields import CANONICAL
from gateway.dialects.spplus.query import Parameter, text_of
from gateway.dialects.spplus.shops import COMPANY_LENGTH, Shop
from gateway.dialects.spplus.signature import Variant, signings

# What a slip is called, what to do instead, and the bytes it signs.
Slip = tuple[str, str, bytes]

# The PHP manual's prototype of calcul_hmac names its arguments in an order the library does not use.
_PHP_MANUAL = ("siret", "montant", "reference", "validite", "taxe", "devise", "langue")


def explain(parameters: Sequence[Parameter], received: str, shop: Shop, sisters: Sequence[Shop]) -> Mapping[str, str]:
    """Find out what a shop in test mode did wrong.

    :param sisters: the other shops of its company, whose keys are easily taken for its own
    """
    first = next(signings(parameters, strict=shop.protocol.strict))
    mismatch = Mismatch("spplus", shop.merchant.id, first.message, shop.key.sign(first.message), received.upper())
    return _with_hint(diagnose(mismatch, _candidates(parameters, shop, sisters)), shop)


def explain_text(message: bytes, received: str, shop: Shop, slips: Sequence[Slip]) -> Mapping[str, str]:
    """The same for a text that is signed in one way only, with its own slips."""
    mismatch = Mismatch("spplus", shop.merchant.id, message, shop.key.sign(message), received.upper())
    return _with_hint(diagnose(mismatch, _from_slips(slips, shop, message)), shop)


def _with_hint(diagnosis: Mapping[str, str], shop: Shop) -> Mapping[str, str]:
    """Say when the book's own key is odd: the bank's keys end as they begin, so it may have been copied wrongly."""
    if shop.key.has_check:
        return diagnosis
    hint = "The key in the merchant book does not check: compare it with the one that was issued."
    return {**diagnosis, "cause": f"{diagnosis['cause']} {hint}"}


def _from_slips(slips: Sequence[Slip], shop: Shop, message: bytes) -> Iterator[Candidate]:
    for mistake, cause, signed in slips:
        yield Candidate(mistake, cause, shop.key.sign(signed), signed)
    yield from _own_key(shop, message)


def _candidates(parameters: Sequence[Parameter], shop: Shop, sisters: Sequence[Shop]) -> Iterator[Candidate]:
    for mistake, cause, signed in _slips(parameters, shop):
        yield Candidate(mistake, cause, shop.key.sign(signed), signed)
    for signing in signings(parameters):
        for sister in sisters:
            if sister.is_test:
                cause = f"Signed with the key of {sister.merchant.id} ({sister.siret}); each shop has its own."
                yield Candidate(f"key of {sister.siret}", cause, sister.key.sign(signing.message), signing.message)
        yield from _own_key(shop, signing.message)


def _own_key(shop: Shop, message: bytes) -> Iterator[Candidate]:
    cure = "Decipher the printed key (single DES, CBC) and sign with its first 20 bytes."
    for mistake, signature in shop.key.mistaken(message):
        yield Candidate(mistake, f"The {mistake}. {cure}", signature, message)


def _slips(parameters: Sequence[Parameter], shop: Shop) -> Iterator[Slip]:
    values = {p.name: p.value for p in parameters}
    if shop.protocol.strict:
        seven = next(s for s in signings(parameters) if s.variant is Variant.V7)
        yield "canonical values alone", "Only the canonical values were signed; this shop demands all.", seven.message
    yield from _selections(parameters, values)
    yield from _spellings(values)
    yield from _encodings(parameters)


def _selections(parameters: Sequence[Parameter], values: Mapping[str, bytes]) -> Iterator[Slip]:
    """Other values, or another order."""
    orders = {
        "order of the PHP manual": _PHP_MANUAL,
        "order of appearance": tuple(p.name for p in parameters if p.name in CANONICAL),
        "alphabetical order": tuple(sorted(CANONICAL)),
    }
    right = ", ".join(CANONICAL)
    for name, order in orders.items():
        yield name, f"The canonical values were signed in {name}; the order is {right}.", _run(values, order)
    for missing in ("validite", "taxe", "langue"):
        rest = [name for name in CANONICAL if name != missing]
        yield f"{missing} left out", f"{missing} was sent but not signed.", _run(values, rest)
    added = _run({**values, "validite": b"31/12/2099"})
    yield "validite added", "validite was signed as 31/12/2099 but not sent so.", added
    every = [p for p in parameters if p.name != "hmac"]
    by_name = b"".join(p.value for p in sorted(every, key=lambda p: p.name))
    yield "all values sorted", "All values were signed sorted by name; sign them in the order they are sent.", by_name
    named = b"&".join(p.name.encode("latin-1") + b"=" + p.raw for p in every)
    yield "names signed too", "The whole query was signed; sign the values alone, with nothing between them.", named
    kit = _run(values, (*CANONICAL[:6], "moyen", "modalite"))
    yield "moyen and modalite", "moyen and modalite were signed, but are not the next values of the request.", kit


def _spellings(values: Mapping[str, bytes]) -> Iterator[Slip]:
    """The same values, written otherwise than they were sent."""
    right = _run(values)
    for name in ("montant", "taxe"):
        for other in _amount_forms(values.get(name, b"")):
            sent, signed = text_of(values.get(name, b"")), other.decode("ascii")
            cause = f"{name} was signed as {signed} but sent as {sent}; sign the very text that is sent."
            yield f"{name} as {signed}", cause, _run({**values, name: other})
    comma = {name: values.get(name, b"").replace(b".", b",") for name in ("montant", "taxe")}
    yield (
        "decimal comma",
        "The amounts were signed with a decimal comma but sent with a point.",
        _run({**values, **comma}),
    )
    short = {"siret": values.get("siret", b"")[:COMPANY_LENGTH]}
    yield (
        "siret without shop",
        "The siret was signed without its shop number but sent with it.",
        _run({**values, **short}),
    )
    for langue in (values.get("langue", b"").lower(), values.get("langue", b"").upper()):
        yield (
            "langue in another case",
            "langue was signed in another case than sent.",
            _run({**values, "langue": langue}),
        )
    for end in (b"\n", b" ", b"\r\n", b"\0"):
        yield "blank at the end", "A blank or line end was signed after the last value; trim it.", right + end


def _encodings(parameters: Sequence[Parameter]) -> Iterator[Slip]:
    """The same text, in other bytes."""
    every = [p for p in parameters if p.name != "hmac"]
    seven = [p for name in CANONICAL for p in every if p.name == name]
    for which, chosen in (("canonical values", seven), ("all values", every)):
        texts = [text_of(p.value) for p in chosen]
        encoded = "".join(quote(t, safe="") for t in texts).encode("ascii")
        plus = "".join(quote_plus(t) for t in texts).encode("ascii")
        cause = f"The {which} were percent-encoded before they were signed; sign them as they are."
        yield f"{which} percent-encoded", cause, encoded
        yield f"{which} percent-encoded, blanks as +", cause, plus
        yield f"{which} as sent", cause, b"".join(p.raw for p in chosen)
        twice = b"".join(unquote_to_bytes(p.value) for p in chosen)
        yield f"{which} encoded twice", f"The {which} were percent-encoded twice on their way; encode them once.", twice
        for charset in ("latin-1", "utf-8", "cp1252"):
            recoded = "".join(texts).encode(charset, "replace")
            yield f"{which} in {charset}", f"The {which} were signed in {charset} but sent in another charset.", recoded
        cause = f"HTML entities were put into, or taken out of, the {which} after they were signed."
        for altered in (html.escape("".join(texts)), html.unescape("".join(texts))):
            yield f"HTML entities in {which}", cause, altered.encode("utf-8")


def _amount_forms(sent: bytes) -> Iterator[bytes]:
    units, _, decimals = sent.partition(b".")
    for form in (units, units + b"." + decimals[:1].ljust(1, b"0"), units + b"." + decimals.ljust(2, b"0")):
        yield form
        yield form.replace(b".", b",")
    yield units + decimals.ljust(2, b"0")


def _run(values: Mapping[str, bytes], names: Sequence[str] = CANONICAL) -> bytes:
    return b"".join(values.get(name, b"") for name in names)
