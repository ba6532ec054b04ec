"""What a request must say, field by field, in the order in which the service checks it.

Only the first failure is told. The order S, T, E, R, A, M, O, N, D is ours, but for one recorded fact: a bad address is
told before an absurd amount. Addresses (N, D) are checked by :func:`check_address`, since each variant has its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.core.money import Money
from gateway.core.payment import Mode
from gateway.dialects import House
from gateway.dialects.addresses import parse_address
from gateway.dialects.treasury.anomalies import Anomaly
from gateway.dialects.treasury.clients import NUMCLI_LENGTH, REFERENCES, Client, Clients, Terms

# Given back as they came, whatever becomes of the payment: some clients use refdet and objet together as their key.
ECHOED = ("numcli", "exer", "refdet", "objet", "montant", "mel", "saisie")

# The letter of ``saisie`` for the payments that put a contract into service.
ACTIVATION = "X"

# Widths of the guide.
EMAIL_LENGTH_MIN, EMAIL_LENGTH_MAX = 6, 80
AMOUNT_CENTS_MIN = 100
AMOUNT_DIGITS_MAX = 11
LABEL_LENGTH_MAX = 100
URL_LENGTH_MAX = 250

# The guide asks for an "@" alone; brackets, commas and blanks would name another or a second mailbox in a mail header.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_LABEL_SIGN = re.compile(r"[A-Za-z0-9 ]")
_AUTHORITY = re.compile(r"[A-Za-z]+://[^/?#]*")

T = TypeVar("T", bound=Terms)


@dataclass(frozen=True, slots=True)
class Variant:
    """What tells the variants' field rules apart.

    :ivar letters: the values of ``saisie``
    :ivar amount_cents_max: the variant's own ceiling; a merchant's may be lower
    :ivar closed: what a client of the other variant is told
    """

    letters: frozenset[str]
    amount_cents_max: int
    is_email_required: bool
    closed: str = "T2"


@dataclass(frozen=True, slots=True)
class Fields:
    """The parameters of a request by name, as they were sent.

    :ivar repeated: names that were given more than one value; two readers could read two requests
    """

    values: Mapping[str, str]
    repeated: frozenset[str] = frozenset()

    def get(self, name: str, code: str) -> str:
        """Read one; empty when it is missing. Raises :class:`Anomaly` ``code`` when it was given twice."""
        if name in self.repeated:
            raise Anomaly(code, f"{name} is given more than once")
        return self.values.get(name, "")


@dataclass(frozen=True, slots=True)
class Wish(Generic[T]):
    """A request whose fields are right, addresses apart.

    :ivar echo: the fields to be given back, exactly as they came; only those that came
    """

    client: Client[T]
    letter: str
    reference: str
    year: str
    label: str
    email: str
    amount: Money
    echo: Mapping[str, str]


def check(fields: Fields, variant: Variant, clients: Clients[T]) -> Wish[T]:
    """Check everything but the addresses. Raises :class:`Anomaly` for the first thing wrong."""
    letter = _letter(fields, variant)
    client = find_client(fields.get("numcli", "T1"), variant, clients)
    if letter == "T" and client.merchant.mode is not Mode.TEST:
        raise Anomaly("S1", "saisie T (test) is for clients in test mode", client.merchant.id)
    try:
        year = _year(fields, client.terms)
        reference = _reference(fields, client.terms, year)
        return Wish(
            client=client,
            letter=letter,
            reference=reference,
            year=year,
            email=_email(fields, variant, client),
            amount=_amount(fields, variant, client),
            label=_label(fields, client.terms, year, reference),
            echo={name: fields.values[name] for name in ECHOED if name in fields.values},
        )
    except Anomaly as anomaly:
        raise Anomaly(anomaly.wire_code, anomaly.detail, client.merchant.id) from anomaly


def find_client(number: str, variant: Variant, clients: Clients[T]) -> Client[T]:
    """Find a client by its number.

    Raises :class:`Anomaly`: T1 for what is no number, T2 for nobody's, the variant's own for one of the other variant.
    """
    if not re.fullmatch(rf"[0-9]{{1,{NUMCLI_LENGTH}}}", number):
        raise Anomaly("T1", f"numcli is {NUMCLI_LENGTH} digits")
    client = clients.numbered(number)
    if client is None and clients.is_elsewhere(number):
        raise Anomaly(variant.closed, "this numcli is that of a client of the other variant")
    if client is None:
        raise Anomaly("T2", "no merchant of this variant has this numcli")
    return client


def check_address(url: str, client: Client[T], registered: tuple[str, ...], house: House) -> str:
    """Hold a target address against the rules, and give it as it is to be called.

    At most 250 characters, no user, no fragment; any host and port for a client in test mode (this machine where the
    house allows it), else only what lies below ``registered``. A query is kept: some clients know by it what is meant.

    Raises :class:`ValueError`, whose text says the rule.
    """
    if len(url) > URL_LENGTH_MAX:
        raise ValueError(f"write at most {URL_LENGTH_MAX} characters")
    url = _AUTHORITY.sub(lambda match: match[0].lower(), url, count=1)
    address = parse_address(url)
    if client.merchant.mode is Mode.TEST:
        if address.is_loopback and not house.loopback_allowed:
            raise ValueError("this machine may be named while loopback_callbacks is set only")
    elif not any(parse_address(prefix).allows(address) for prefix in registered):
        raise ValueError("name an address below those registered for this client")
    return url


def _letter(fields: Fields, variant: Variant) -> str:
    letter = fields.get("saisie", "S1")
    if letter not in variant.letters:
        raise Anomaly("S1", f"saisie is one of {', '.join(sorted(variant.letters))}")
    return letter


def _year(fields: Fields, terms: Terms) -> str:
    year = fields.get("exer", "E1")
    if not year and terms.kind == "regie":
        return ""
    if not re.fullmatch(r"[0-9]{4}", year):
        raise Anomaly("E1", "exer is four digits")
    return year


def _reference(fields: Fields, terms: Terms, year: str) -> str:
    reference = fields.get("refdet", "R3")
    if not reference:
        raise Anomaly("R1", "refdet is missing")
    pattern = REFERENCES[terms.kind]
    if not pattern.fullmatch(reference):
        raise Anomaly("R3", f"refdet of a {terms.kind} matches {pattern.pattern}; this one has {len(reference)} signs")
    if terms.kind != "regie" and terms.debt(year, reference) is None:
        raise Anomaly("R4", "the ledger of this client has no such exer and refdet")
    return reference


def _email(fields: Fields, variant: Variant, client: Client[T]) -> str:
    email = fields.get("mel", "A2")
    if not email:
        if variant.is_email_required or client.merchant.email_rule == "fixed":
            raise Anomaly("A1", "mel is missing")
        return ""
    if not EMAIL_LENGTH_MIN <= len(email) <= EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(email):
        raise Anomaly("A2", f"mel is {EMAIL_LENGTH_MIN} to {EMAIL_LENGTH_MAX} signs of one mailbox, name@host")
    return email


def _amount(fields: Fields, variant: Variant, client: Client[T]) -> Money:
    text = fields.get("montant", "M1")
    if not text:
        raise Anomaly("M2", "montant is missing")
    if not re.fullmatch(rf"[0-9]{{1,{AMOUNT_DIGITS_MAX}}}", text):
        raise Anomaly("M1", f"montant is a whole number of cents, at most {AMOUNT_DIGITS_MAX} digits, without sign")
    cents, cents_max = int(text), min(variant.amount_cents_max, client.merchant.amount_cents_max)
    if cents < AMOUNT_CENTS_MIN:
        raise Anomaly("M3", f"montant is at least {AMOUNT_CENTS_MIN} cents")
    if cents > cents_max:
        raise Anomaly("M5", f"montant is at most {cents_max} cents")
    debt = client.terms.debt(fields.values.get("exer", ""), fields.values.get("refdet", ""))
    if debt and debt.amount != cents:
        raise Anomaly("M4", f"the ledger's amount is {debt.amount} cents; no part of it can be paid")
    return Money(cents)


def _label(fields: Fields, terms: Terms, year: str, reference: str) -> str:
    label = fields.get("objet", "O1")
    if len(label) > LABEL_LENGTH_MAX:
        raise Anomaly("O1", f"objet is at most {LABEL_LENGTH_MAX} characters")
    for place, sign in enumerate(label, 1):
        if not _LABEL_SIGN.fullmatch(sign):
            raise Anomaly("O1", f"objet is letters without accents, digits and spaces; character {place} is {sign!r}")
    debt = terms.debt(year, reference)
    return label.strip() or (debt.label if debt else "") or f"Facture {reference}"
