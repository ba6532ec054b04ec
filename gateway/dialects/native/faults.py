"""Faults of a request, in the words of the public catalogue; never with what was sent.

A rejected value may be a card number or a secret, so neither values nor odd member names are echoed.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gateway.core.card_guard import holds_card_number
from gateway.core.errors import BadRequest, Fault
from gateway.dialects.native.claims import LineClaims, PayerClaims
from gateway.dialects.native.merchant import Terms

# Code -> what is wrong. The cure is the field's own rule, so it is written once.
FAULTS: Mapping[str, str] = {
    "amount_above_limit": "more than this merchant may ask for",
    "card_number": "holds what reads as a card number; card numbers are typed on the card page alone",
    "control_character": "holds an invisible or control character",
    "currency_not_accepted": "not a currency of this merchant",
    "date_past": "is past",
    "duplicate_member": "a member is named twice",
    "duplicate_reference": "two lines carry the same reference",
    "format": "is not written as it must be",
    "language_not_spoken": "not a language of the pages",
    "length": "too long or too short",
    "missing": "is missing",
    "not_allowed": "is none of the allowed values",
    "not_a_list": "is not a list",
    "not_a_string": "is not a string",
    "not_an_integer": "is not an integer",
    "not_an_object": "is not an object",
    "not_json": "is not one JSON object",
    "out_of_range": "is out of range",
    "payment_differs": "is not the payment of the address",
    "reserved_parameter": "its query uses payment or result, which are added on the way back",
    "sum_differs": "the lines do not add up to the amount",
    "too_deep": "nests too deeply",
    "too_large": "is too large",
    "unknown_member": "is not a member this request knows",
    "unsupported_type": "the content type is not the expected one",
    "url_not_allowed": "is not an address this server calls",
    "url_not_https": "does not begin with https",
    "url_not_registered": "is not on the merchant's registered list",
}

_PYDANTIC_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_member",
    "int_type": "not_an_integer",
    "string_type": "not_a_string",
    "list_type": "not_a_list",
    "dict_type": "not_an_object",
    "model_type": "not_an_object",
    "model_attributes_type": "not_an_object",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_pattern_mismatch": "format",
    "string_too_long": "length",
    "string_too_short": "length",
    "too_long": "length",
    "too_short": "length",
    "literal_error": "not_allowed",
}

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)

# E.164 numbers have their own strict shape, and its plus sign; some read as an American Express number without it.
_NOT_SCANNED = frozenset({"/payer/phone"})

_NESTED: Mapping[str, type[BaseModel]] = {"lines": LineClaims, "payer": PayerClaims}

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], claims: Mapping[str, object], terms: Terms) -> M:
    """Build ``model`` from the claims.

    Raises :class:`BadRequest` with every fault, including a card number in any field.
    """
    faults: list[Fault] = []
    found = None
    try:
        found = model.model_validate(claims, context=terms)
    except ValidationError as error:
        faults += _from_pydantic(error, model)
    faults += _card_numbers(claims)
    if faults or found is None:
        raise BadRequest(tuple(faults))
    return found


# Faults whose cure holds a fact only the validator knows; the others' is the field's rule.
_WITH_OWN_CURE = frozenset({"amount_above_limit"})


def fault(pointer: str, code: str, fix: str) -> Fault:
    """Word a fault: what is wrong, then the cure."""
    return Fault(pointer, code, f"{FAULTS[code]}; {fix}" if fix else FAULTS[code])


def _from_pydantic(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    faults = []
    for raw in error.errors(include_input=False, include_url=False, include_context=False):
        code = raw["type"] if raw["type"] in FAULTS else _PYDANTIC_CODES.get(raw["type"], "format")
        steps = [str(step) for step in raw["loc"] if step != "[key]"]
        own = raw["msg"] if code in _WITH_OWN_CURE else ""
        faults.append(fault(_pointer(steps), code, own or _rule(model, steps, code)))
    return faults


def _rule(model: type[BaseModel], steps: list[str], code: str) -> str:
    """Find the description of the deepest field that the steps lead to."""
    if code == "unknown_member":
        return "remove it or correct its spelling"
    rule = ""
    inner: type[BaseModel] | None = model
    for name in (step for step in steps if not step.isdigit()):
        if inner is None or name not in inner.model_fields:
            break
        rule = inner.model_fields[name].description or rule
        inner = _NESTED.get(name)
    return f"give {rule}" if rule else ""


def _pointer(steps: list[str]) -> str:
    """Write a JSON pointer; it stops before a name that is odd or could itself be secret."""
    plain = []
    for step in steps:
        if not _PLAIN_NAME.fullmatch(step) or holds_card_number(step):
            break
        plain.append("/" + step)
    return "".join(plain)


def _card_numbers(claims: Mapping[str, object]) -> Iterator[Fault]:
    for steps, text in _texts([], claims):
        pointer = _pointer(steps)
        if pointer not in _NOT_SCANNED and holds_card_number(text):
            yield fault(pointer, "card_number", "remove it")


def _texts(steps: list[str], value: object) -> Iterator[tuple[list[str], str]]:
    """Walk over every string, the names of members among them."""
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield steps, name
            yield from _texts([*steps, name], inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts([*steps, str(place)], inner)
