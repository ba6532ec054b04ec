"""The grammar of a payment request: every rule is checked before any signature is.

The signature covers values run together, so a value that is a little too long or too short may be its neighbour's
first digits. What is written loosely is therefore refused; :mod:`.reading` sees to the rest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from gateway.core.errors import BadRequest, Fault
from gateway.dialects.spplus.offers import Offer
from gateway.dialects.spplus.query import Parameter, text_of

# The values every kit signs, in the order of the kits' own function (``calcul_hmac``). The last may be left out.
CANONICAL = ("siret", "reference", "langue", "devise", "montant", "taxe", "validite")

# ISO 4217 numbers that SP Plus knew.
CURRENCIES: Mapping[str, str] = {"978": "EUR", "124": "CAD", "756": "CHF", "752": "SEK", "826": "GBP", "840": "USD"}

# The kits' limit; some shops send longer ones, up to what a payment can carry.
REFERENCE_USUAL_MAX = 20
REFERENCE_MAX = 64

# No leading zero and no third decimal: one way to write an amount.
AMOUNT = r"(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{1,2})?"

_RULES: Mapping[str, tuple[str, str]] = {
    "siret": (r"[0-9]{14}(?:-[0-9]{2,3})?", "14 digits, a dash and a shop number of 2 or 3 digits"),
    "reference": (rf"[A-Za-z0-9_-]{{1,{REFERENCE_MAX}}}", f"1 to {REFERENCE_MAX} letters, digits, - or _ signs"),
    "langue": (r"[A-Za-z]{2}", "two letters, such as FR"),
    "devise": ("|".join(CURRENCIES), f"an ISO 4217 number: {', '.join(CURRENCIES)}"),
    "montant": (AMOUNT, "an amount with a decimal point and at most two decimals, such as 158.50"),
    "taxe": (AMOUNT, "an amount with a decimal point and at most two decimals, such as 0.00"),
    "validite": (r"[0-9]{2}/[0-9]{2}/[0-9]{4}", "a day as dd/mm/yyyy"),
    "hmac": (r"[0-9A-Fa-f]{40}", "40 hex digits (HMAC-SHA-1)"),
    "modalite": (r"[0-9A-Za-z]{1,4}(?:/[0-9A-Za-z]{1,4}){0,9}", "1x, or several of 1x, 2x, 3x joined by /"),
}
_REQUIRED = frozenset({"siret", "reference", "devise", "montant", "taxe", "hmac"})

# Of the payer's pages when the shop names no language.
_LANGUAGE = "fr"

# Ours, on the way back: a request that carried them could forge the outcome it will be told.
_RESERVED = frozenset({"refsfp", "etat"})

# Control characters are for nobody's mailbox; PostgreSQL has no room for the first of them.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+", re.ASCII)
_EMAIL_MAX = 254


@dataclass(frozen=True, slots=True)
class Fields:
    """A request that is well written; who wrote it is not known yet.

    :ivar montant: the amount exactly as it was sent
    :ivar last_day: the last payable day (Europe/Paris), if one was given
    :ivar email: empty when there is none, or none that looks like one
    """

    siret: str
    reference: str
    langue: str
    devise: str
    montant: str
    taxe: str
    validite: str
    hmac: str
    amount_cents: int
    last_day: date | None
    email: str
    urlretour: str
    ok_url: str
    bad_url: str
    means: Offer
    plans: Offer

    @property
    def language(self) -> str:
        """The payer's language: two lower-case letters."""
        return self.langue.lower() or _LANGUAGE

    @property
    def currency(self) -> str:
        """The ISO 4217 letters of ``devise``."""
        return CURRENCIES[self.devise]


def read_fields(parameters: Sequence[Parameter]) -> Fields:
    """Check every parameter that has a rule.

    Raises :class:`BadRequest` with all the faults.
    """
    texts = {p.name: text_of(p.value) for p in parameters}
    faults = list(_faults(texts))
    last_day = None
    if texts.get("validite") and not faults:
        last_day = _day(texts["validite"], faults)
    if faults:
        raise BadRequest(tuple(faults))
    amount_cents = cents_of(texts["montant"])
    if amount_cents == 0:
        raise BadRequest((Fault("/montant", "format", "ask for more than nothing"),))
    email = texts.get("email", "")
    return Fields(
        **{name: texts.get(name, "") for name in CANONICAL},
        hmac=texts["hmac"],
        amount_cents=amount_cents,
        last_day=last_day,
        email=email if len(email) <= _EMAIL_MAX and _EMAIL.fullmatch(email) else "",
        urlretour=texts.get("urlretour", ""),
        ok_url=texts.get("okURL", ""),
        bad_url=texts.get("badURL", ""),
        means=Offer.of(texts.get("moyen", "")),
        plans=Offer.of(texts.get("modalite", "")),
    )


def cents_of(amount: str) -> int:
    """Count an amount that obeys :data:`AMOUNT` in hundredths."""
    units, _, decimals = amount.partition(".")
    return int(units) * 100 + int(decimals.ljust(2, "0"))


def _faults(texts: Mapping[str, str]) -> Iterable[Fault]:
    for name in sorted(_RESERVED & texts.keys()):
        yield Fault(f"/{name}", "reserved", f"take {name} out of the request; it is added on the way back")
    for name, (pattern, rule) in _RULES.items():
        text = texts.get(name, "")
        if not text:
            if name in _REQUIRED:
                yield Fault(f"/{name}", "missing", f"give {rule}")
        elif not re.fullmatch(pattern, text, re.ASCII):
            yield Fault(f"/{name}", "format", f"give {rule}{_hint(name, text)}")


def _hint(name: str, text: str) -> str:
    if name in ("montant", "taxe") and "," in text:
        return "; the decimal sign is a point, not a comma"
    if name == "hmac" and re.fullmatch(r"[0-9A-Fa-f]{64}", text, re.ASCII):
        return "; 64 digits are a SHA-256"
    if "%" in text:
        return "; it is percent-encoded twice"
    return ""


def _day(text: str, faults: list[Fault]) -> date | None:
    try:
        return datetime.strptime(text, "%d/%m/%Y").date()  # noqa: DTZ007 - a calendar day has no zone
    except ValueError:
        faults.append(Fault("/validite", "format", "give a day of the calendar as dd/mm/yyyy"))
        return None
