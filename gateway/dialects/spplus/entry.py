"""The payment entry: who asks, whether the signature proves it, and what is asked.

Form and grammar come first, then the signature, then whether it can be read in one way only, and only then meaning.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from gateway.core.errors import BadRequest, Fault, NotAuthentic
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentRequest
from gateway.core.states import Status
from gateway.dialects import House, Open, Signed
from gateway.dialects.addresses import Address, parse_address
from gateway.dialects.spplus.echoes import echo_of, is_harmless
from gateway.dialects.spplus.fields import REFERENCE_USUAL_MAX, Fields, read_fields
from gateway.dialects.spplus.mistakes import explain
from gateway.dialects.spplus.offers import Plan, spread
from gateway.dialects.spplus.query import Parameter
from gateway.dialects.spplus.reading import is_only_reading
from gateway.dialects.spplus.shops import Shop, Shops
from gateway.dialects.spplus.signature import Signing, matching

_JTI_BYTES = 16
_ODD_NAME = re.compile(r"[^A-Za-z0-9_]", re.ASCII)
_PARTIAL_MAX = 200

_FIX_SIGNATURE = "sign the values as the kit does, with this shop's own key, and send them unchanged"
_FIX_READING = (
    "send siret, reference, langue, devise, montant, taxe and validite first and in this order, amounts with two decimals (or set protocol.any_order for this shop): "
    "as they are, the signed values can be read in more than one way"
)
_FIX_ECHO = "take the text of another request out of the free values, and send validite right after taxe"


class ValidityPast(BadRequest):
    """A request whose last payable day is over.

    :ivar day: that day
    :ivar language: the payer's, two lower-case letters
    """

    def __init__(self, day: date, language: str) -> None:
        super().__init__((Fault("/validite", "validity_past", f"the last payable day was {day:%d/%m/%Y}"),))
        self.day, self.language = day, language


def read_entry(parameters: Sequence[Parameter], shops: Shops, house: House, now: datetime) -> Open:
    """Take a payment request.

    Raises :class:`BadRequest` or :class:`NotAuthentic`; nothing is believed before the signature is checked.
    """
    fields = read_fields(parameters)
    shop = shops.by_siret(fields.siret)
    if shop is None:
        raise _refusal("/siret", "unknown_shop", "give the siret of a shop of this server, its shop number included")
    signing = prove(parameters, fields, shop, shops.sisters(shop))
    today = now.astimezone(house.zone).date()
    if fields.last_day and fields.last_day < today:
        raise ValidityPast(fields.last_day, fields.language)
    _check_wish(fields, shop, house)
    plan = _plan(parameters, fields, shop, signing, today)
    request = _request(parameters, fields, shop, plan)
    return Open(
        request,
        Signed(shop.merchant.id, house.draw(_JTI_BYTES).hex(), _digest(parameters)),
        by_browser=True,
        replaces=frozenset({Status.CREATED, Status.OPENED}),
        resumes=True,
        marks=_marks(parameters, fields, shop, signing),
    )


def prove(parameters: Sequence[Parameter], fields: Fields, shop: Shop, sisters: Sequence[Shop]) -> Signing:
    """Find the signature variant that proves a request and leaves it one meaning.

    Raises :class:`NotAuthentic` when none fits, :class:`BadRequest` when one does but can be read otherwise.
    """
    found = matching(parameters, shop.key, fields.hmac, strict=shop.protocol.strict)
    if not found:
        diagnosis = explain(parameters, fields.hmac, shop, sisters) if shop.is_test else None
        raise NotAuthentic("bad_signature", _FIX_SIGNATURE, diagnosis)
    complete = [s for s in found if s.covers_canonical(parameters)]
    for signing in complete:
        if is_only_reading(signing.text, fields, shop):
            break
        if shop.protocol.any_order and not signing.is_canonical:
            break
    else:
        raise _refusal("", "ambiguous", _FIX_READING)
    if not is_harmless(parameters, fields, shop):
        raise _refusal("", "ambiguous", _FIX_ECHO)
    return signing


def _plan(parameters: Sequence[Parameter], fields: Fields, shop: Shop, signing: Signing, today: date) -> Plan:
    """Say what is debited now. A payment in several times is taken only where the shop itself is proved to offer it."""
    total, times = Money(fields.amount_cents, fields.currency), fields.plans.times
    if times != 1:
        if not times or not shop.protocol.instalments:
            raise _refusal("/modalite", "instalments", f"offer {'2x or 3x' if shop.protocol.instalments else '1x'}")
        if "modalite" in signing.partial(parameters):
            raise _refusal("/modalite", "instalments", "sign modalite too: without it the payer could add it")
        if total.cents < times:
            raise _refusal("/modalite", "instalments", "leave at least a cent for every instalment")
    return spread(total, times, shop.protocol.instalment_days, today)


def _check_wish(fields: Fields, shop: Shop, house: House) -> None:
    """Hold what is asked against the shop's contract; what passes is an amount that everybody else can count, too."""
    merchant = shop.merchant
    faults: list[Fault] = []
    if fields.currency != merchant.currency:
        faults.append(Fault("/devise", "currency", f"this shop takes {merchant.currency} only"))
    if fields.amount_cents > merchant.amount_cents_max:
        faults.append(Fault("/montant", "amount_above_limit", "ask for no more than this shop's contract allows"))
    if fields.means.words and not fields.means.brands:
        faults.append(Fault("/moyen", "means", "offer CBS (Visa, Mastercard) or AMX; nothing else can be paid by here"))
    addresses = {"urlretour": fields.urlretour, "okURL": fields.ok_url, "badURL": fields.bad_url}
    faults += [f for name, text in addresses.items() if text for f in _address_faults(name, text, shop, house)]
    if faults:
        raise BadRequest(tuple(faults))


def _request(parameters: Sequence[Parameter], fields: Fields, shop: Shop, plan: Plan) -> PaymentRequest:
    label = f"Référence {fields.reference}"
    return PaymentRequest(
        merchant=shop.merchant.id,
        reference=fields.reference,
        amount=plan.now,
        lines=(Line(fields.reference, label, plan.now),),
        label=label,
        email=fields.email,
        language=fields.language,
        return_url=fields.urlretour or fields.ok_url or shop.protocol.urlretour,
        notify_url=shop.urlcheck,
        pay_before=fields.last_day,
        wire=_wire(parameters, fields),
        capture_by_hand=shop.protocol.capture == "manual",
        instalments=plan.later,
        schemes=fields.means.brands,
    )


def _wire(parameters: Sequence[Parameter], fields: Fields) -> Mapping[str, str]:
    kept = {
        "query": echo_of(parameters),
        "siret": fields.siret,
        "montant": fields.montant,
        "urlretour": fields.urlretour,
        "okURL": fields.ok_url,
        "badURL": fields.bad_url,
    }
    return {name: text for name, text in kept.items() if text}


def _address_faults(name: str, text: str, shop: Shop, house: House) -> list[Fault]:
    """Check where the payer would be sent: under most signature variants nobody signed it."""
    try:
        address = parse_address(text)
    except ValueError as error:
        return [Fault(f"/{name}", "return_url", str(error))]
    if shop.is_test:
        is_allowed = house.loopback_allowed or not address.is_loopback
    else:
        is_allowed = any(registered.allows(address) for registered in _registered(shop))
    return [] if is_allowed else [Fault(f"/{name}", "return_url", "name an address on the shop's registered list")]


def _registered(shop: Shop) -> list[Address]:
    return [parse_address(url) for url in (*shop.merchant.return_urls, shop.protocol.urlretour) if url]


def _marks(parameters: Sequence[Parameter], fields: Fields, shop: Shop, signing: Signing) -> Mapping[str, str]:
    partial = " ".join(_ODD_NAME.sub("?", name) for name in signing.partial(parameters))
    marks = {
        "signature": str(signing.variant),
        "partial": partial[:_PARTIAL_MAX],
        "order": ""
        if is_only_reading(signing.text, fields, shop)
        else "any: whoever carries the request can re-cut it",
        "siret": "" if fields.siret == shop.siret else f"sent {fields.siret}, registered {shop.siret}",
        "reference": f"longer than {REFERENCE_USUAL_MAX}" if len(fields.reference) > REFERENCE_USUAL_MAX else "",
        "moyen": f"not taken here: {fields.means.other_means}" if fields.means.other_means else "",
        "modalite": f"also offered: {fields.plans.other_times}" if fields.plans.other_times else "",
        "lint": _lint(parameters),
    }
    return {name: text for name, text in marks.items() if text}


def _lint(parameters: Sequence[Parameter]) -> str:
    """A kit in PHP skips values that PHP takes for false when it checks what it is told."""
    zeros = " ".join(_ODD_NAME.sub("?", p.name) for p in parameters if p.raw == b"0")
    return f"a lone 0 in {zeros}: some kits leave it out of the signature they check" if zeros else ""


def _digest(parameters: Sequence[Parameter]) -> str:
    meaning = sorted((p.name, p.value.hex()) for p in parameters if p.value and p.name != "hmac")
    return hashlib.sha256(json.dumps(meaning).encode("ascii")).hexdigest()


def _refusal(pointer: str, code: str, fix: str) -> BadRequest:
    return BadRequest((Fault(pointer, code, fix),))
