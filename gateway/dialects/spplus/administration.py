"""The remote administration: a signed GET that captures, gives back or asks for a state, answered in text.

An order signs ``action``, the company's number without the shop, then its values, run together. It has no number of
its own, so the same order again is the same order: a second refund of the same amount of the same payment is not made.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from gateway.core.errors import BadRequest, Fault, NotAuthentic
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, InstalmentResult, PaymentResult
from gateway.core.states import AttemptStatus, InstalmentStatus, Status
from gateway.dialects import About, Capture, Command, Find, HttpReply, Refund, Say, Signed, Which
from gateway.dialects.spplus.fields import AMOUNT, REFERENCE_MAX, cents_of
from gateway.dialects.spplus.mistakes import explain_text
from gateway.dialects.spplus.notices import REFSFP_LENGTH, refsfp
from gateway.dialects.spplus.query import Parameter, text_of
from gateway.dialects.spplus.shops import Shop, Shops

FAILURE = "spadminko"
SUCCESS = "spadminok"

# What each action signs after its own name and the company's number. Not offered: subscriptions (``reinitialisation``,
# ``resiliation``, ``suspension``, ``reactivation``, ``prolongation``), for there are none; moving an instalment
# (``echeance``), for its payer agreed to the plan; and ``url``, for a stolen key must not redirect the notices.
_SIGNED: Mapping[str, tuple[str, ...]] = {
    "paiement": ("reference", "refsfp", "mnt"),
    "remboursement": ("reference", "refsfp", "mnt"),
    "annulation": ("reference", "refsfp"),
    "annulationtout": ("reference", "refsfp"),
    "etattrans": ("refcde",),
    "informationsTransaction": ("refcde",),
    "etatpaiement": ("reference",),
}
_RULES: Mapping[str, tuple[str, str]] = {
    "siret": (r"[0-9]{14}(?:-[0-9]{2,3})?", "14 digits, a dash and a shop number"),
    "reference": (rf"[A-Za-z0-9_-]{{1,{REFERENCE_MAX}}}", "the reference of a payment"),
    "refcde": (rf"[A-Za-z0-9_-]{{1,{REFERENCE_MAX}}}", "the reference of a payment"),
    "refsfp": (rf"[0-9]{{{REFSFP_LENGTH}}}", f"the {REFSFP_LENGTH} digits of refsfp"),
    "mnt": (AMOUNT, "an amount such as 158.50"),
    "hmac": (r"[0-9A-Fa-f]{40}", "40 hex digits (HMAC-SHA-1)"),
}

_HEADERS = {"Content-Type": "text/plain; charset=iso-8859-1", "Cache-Control": "no-store"}
_XML = {"Content-Type": "text/xml; charset=utf-8", "Cache-Control": "no-store"}

# Once asked about, a payment is over, under way, or nothing came of it.
_PAYMENT_WORDS: Mapping[Status, tuple[str, str]] = {
    Status.PAID: ("TERMINE", "Terminé"),
    Status.FAILED: ("REFUSE", "Refusé"),
    Status.CANCELLED: ("ABANDONNE", "Abandonné"),
    Status.EXPIRED: ("ABANDONNE", "Abandonné"),
}
_UNDER_WAY = ("EN_COURS", "En cours")
_WAITING = ("EN_ATTENTE_DE_REMISE", "En attente de remise")
_REMITTED = ("REMIS", "Remis en banque")
_REFUNDED = ("REMBOURSE", "Remboursé")
_OF_PART: Mapping[InstalmentStatus, tuple[str, str]] = {
    InstalmentStatus.PLANNED: ("A_ECHOIR", "A échoir"),
    InstalmentStatus.REFUSED: ("REFUSE", "Refusé"),
    InstalmentStatus.VOID: ("ANNULE", "Annulé"),
}

# Asked by these, the state is answered in XML, as every order but one is.
_IN_XML = frozenset({"etattrans", "informationsTransaction"})


@dataclass(frozen=True, slots=True)
class Inform(Find):
    """Asks for a state in XML."""


def read_order(parameters: Sequence[Parameter], shops: Shops) -> Command:
    """Take an order. Raises :class:`BadRequest` or :class:`NotAuthentic`."""
    values = {p.name: p.value for p in parameters}
    action = text_of(values.get("action", b""))
    if action not in _SIGNED:
        return Say(failure())
    texts = _checked(values, ("siret", *_SIGNED[action], "hmac"))
    shop = shops.by_siret(texts["siret"])
    if shop is None:
        raise BadRequest((Fault("/siret", "unknown_shop", "give the siret of a shop of this server"),))
    _prove(action, texts, shop)
    return _command(action, texts, shop)


def found(command: About, result: PaymentResult) -> HttpReply:
    """Answer an order that was carried out; the real shape of this answer was never published."""
    status = result.attempt.status if result.attempt else None
    is_refused = isinstance(command, Refund) and bool(result.refunds) and result.refunds[-1].status == "refused"
    is_waiting = isinstance(command, Capture) and status in (AttemptStatus.APPROVED, AttemptStatus.CAPTURE_ERROR)
    if is_refused or is_waiting:
        return failure()
    return _xml(_facts(result))


def listed(command: Find, results: Sequence[PaymentResult]) -> HttpReply:
    """Answer ``etatpaiement``: the payment, then its instalments, as two tables with semicolons; the others in XML.

    A reference may have been tried several times: the paid payment counts, else the newest.
    """
    if not results:
        return failure()
    result = next((r for r in results if r.status is Status.PAID), results[0])
    if isinstance(command, Inform):
        state, words = _PAYMENT_WORDS.get(result.status, _UNDER_WAY)
        authorisation = result.attempt.authorisation_number if result.attempt else ""
        return _xml({**_facts(result), "etat": state, "libelle": words, "autorisation": authorisation})
    return _tables(result)


def _facts(result: PaymentResult) -> Mapping[str, str]:
    return {
        "resultat": SUCCESS,
        "reference": result.request.reference,
        "refsfp": refsfp(result.number),
        "montant": _decimal(result.request.amount.cents),
        "rembourse": _decimal(result.refunded_cents),
        "devise": result.request.amount.currency,
    }


def _xml(facts: Mapping[str, str]) -> HttpReply:
    rows = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in facts.items())
    return HttpReply(200, _XML, f'<?xml version="1.0" encoding="UTF-8"?>\n<spadmin>{rows}</spadmin>\n'.encode())


def _tables(result: PaymentResult) -> HttpReply:
    attempt = result.attempt
    authorisation = attempt.authorisation_number if attempt else ""
    mode = "manuel" if result.request.capture_by_hand else "auto"
    state, words = _PAYMENT_WORDS.get(result.status, _UNDER_WAY)
    due_state, due_words = _instalment(result)
    lines = (
        "reference;idtftpaie;etatpaie;libetatpaie;payscarte;numautopaie;mode",
        f"{result.request.reference};{refsfp(result.number)};{state};{words};null;{authorisation};{mode}",
        "idtftech;etatech;libetatech;numautoech;numremiseech",
        f"{refsfp(result.number)};{due_state};{due_words};{authorisation};",
        *map(_part, result.instalments),
    )
    return HttpReply(200, _HEADERS, "".join(f"{line}\n" for line in lines).encode("latin-1", "replace"))


def failure() -> HttpReply:
    """Answer that nothing was done: one word, with a status programs do not stumble over."""
    return HttpReply(200, _HEADERS, FAILURE.encode("ascii"))


def _checked(values: Mapping[str, bytes], names: Sequence[str]) -> Mapping[str, str]:
    texts = {name: text_of(values.get(name, b"")) for name in names}
    faults = tuple(
        Fault(f"/{name}", "format" if text else "missing", f"give {_RULES[name][1]}")
        for name, text in texts.items()
        if not re.fullmatch(_RULES[name][0], text, re.ASCII)
    )
    if faults:
        raise BadRequest(faults)
    return texts


def _prove(action: str, texts: Mapping[str, str], shop: Shop) -> None:
    values = "".join(texts[name] for name in _SIGNED[action])
    message = f"{action}{shop.company}{values}".encode("ascii")
    if shop.key.verify(message, texts["hmac"]):
        return
    slips = (
        (
            "full siret signed",
            "The siret was signed with its shop number; sign its 14 digits alone.",
            f"{action}{texts['siret']}{values}".encode("ascii"),
        ),
        (
            "action left out",
            "The action was not signed; it comes first.",
            f"{shop.company}{values}".encode("ascii"),
        ),
        (
            "siret left out",
            "The siret was not signed; its 14 digits come after the action.",
            f"{action}{values}".encode("ascii"),
        ),
    )
    diagnosis = explain_text(message, texts["hmac"], shop, slips) if shop.is_test else None
    raise NotAuthentic("bad_signature", "sign action, the 14 digits of siret, then the values", diagnosis)


def _command(action: str, texts: Mapping[str, str], shop: Shop) -> Command:
    merchant = shop.merchant
    if "refsfp" not in texts:
        find = Inform if action in _IN_XML else Find
        return find(frozenset({merchant.id}), texts.get("reference") or texts["refcde"])
    which = Which(frozenset({merchant.id}), number=texts["refsfp"], reference=texts["reference"])
    cents = cents_of(texts["mnt"]) if "mnt" in texts else None
    if cents == 0:
        raise BadRequest((Fault("/mnt", "format", "name more than nothing"),))
    signed = _signed(action, texts, shop, cents)
    amount = Money(cents, merchant.currency) if cents is not None else None
    if action == "paiement":
        return Capture(which, signed, amount)
    if amount is not None:
        return Refund(which, amount, signed, reason=action)
    return Refund(which, None, signed, reason=action, before_settlement=True)


def _signed(action: str, texts: Mapping[str, str], shop: Shop, cents: int | None) -> Signed:
    meaning = [action, shop.siret, texts["reference"], texts["refsfp"], cents]
    digest = hashlib.sha256(json.dumps(meaning).encode("ascii")).hexdigest()
    return Signed(shop.merchant.id, f"spadmin-{digest}", digest)


def _instalment(result: PaymentResult) -> tuple[str, str]:
    if result.status is not Status.PAID:
        return _PAYMENT_WORDS.get(result.status, _UNDER_WAY)
    return _remittance(result.attempt)


def _part(part: InstalmentResult) -> str:
    """Write a later instalment; one that is not due yet has no number."""
    state, words = (
        _remittance(part.attempt) if part.status is InstalmentStatus.PAID else _OF_PART.get(part.status, _UNDER_WAY)
    )
    authorisation = part.attempt.authorisation_number if part.attempt else ""
    return f"{refsfp(part.number) if part.number else ''};{state};{words};{authorisation};"


def _remittance(attempt: AttemptResult | None) -> tuple[str, str]:
    status = attempt.status if attempt else None
    if status is AttemptStatus.REFUNDED:
        return _REFUNDED
    return _REMITTED if status in (AttemptStatus.CAPTURED, AttemptStatus.PART_REFUNDED) else _WAITING


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
