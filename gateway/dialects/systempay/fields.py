"""Every field of a payment form: its format, and the number of the form error a wrong one is answered with.

Source: the Hosted Payment Page guide (data dictionary) and its list of form errors, in the wider of the old and the
present lengths. Rules that need more than the value itself are in ``asking``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.core.errors import Fault

# Form errors that belong to no single field of the table below.
SIGNATURE = "00"
VERSION, SITE_ID, TRANS_ID, TRANS_DATE, CTX_MODE = "01", "02", "03", "04", "11"
CONFIG, CARDS, AMOUNT, CURRENCY, ORDER_ID = "07", "08", "09", "10", "13"
OTHER, SENSITIVE = "99", "999"

# What the shop must never collect on a hosted page: it is refused before anything of the form is kept.
CARD_FIELDS = ("vads_card_number", "vads_expiry_month", "vads_expiry_year", "vads_cvv")

# Free text of the payer's world; line ends and tabs occur in addresses, other controls only in attacks.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# What browsers accept in an e-mail field (HTML Living Standard), plus a dot in the domain.
_EMAIL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"
# What the guide gives no length for still ends somewhere.
_LENGTH_MAX = 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field may say.

    :ivar code: the form error
    :ivar cure: what to send instead
    :ivar is_right: checks a value that is not empty
    """

    code: str
    cure: str
    is_right: Callable[[str], bool]
    needed: bool = False

    def fault(self, name: str, value: str) -> Fault | None:
        """Hold a value against the rule; an empty one counts as absent."""
        if value:
            is_right = self.is_right(value) and not _CONTROL.search(value)
            return None if is_right else Fault(f"/{name}", self.code, self.cure)
        return Fault(f"/{name}", self.code, f"missing; {self.cure}") if self.needed else None


def _like(code: str, pattern: str, cure: str) -> Rule:
    compiled = re.compile(pattern, re.ASCII)
    return Rule(code, cure, lambda value: compiled.fullmatch(value) is not None)


def _text(code: str, longest: int) -> Rule:
    return Rule(
        code,
        f"send at most {longest} characters without control characters",
        lambda value: len(value) <= longest,
    )


def _one_of(code: str, *values: str) -> Rule:
    return Rule(code, f"send {' or '.join(values)}", lambda value: value in values)


def _whole(code: str, most: int) -> Rule:
    pattern = re.compile(rf"[0-9]{{1,{len(str(most))}}}", re.ASCII)
    return Rule(
        code,
        f"send a whole number from 0 to {most}",
        lambda value: pattern.fullmatch(value) is not None and int(value) <= most,
    )


def _needed(rule: Rule) -> Rule:
    return Rule(rule.code, rule.cure, rule.is_right, needed=True)


# ``ASK_REGISTER_PAY`` offers the payer to keep the card; here that box is simply never ticked.
PAGE_ACTIONS = frozenset({"PAYMENT", "ASK_REGISTER_PAY"})


def _address(code: str) -> Rule:
    cure = "send an absolute http or https address of at most 1024 characters"
    return _like(code, r"(?=.{1,1024}\Z)(?i:https?)://[^\x00-\x1f]+", cure)


RULES: Mapping[str, Rule] = {
    "vads_version": _needed(_one_of(VERSION, "V2")),
    "vads_site_id": _needed(_like(SITE_ID, r"[0-9]{8}", "send the eight digits of an active shop")),
    "vads_trans_id": _needed(_like(TRANS_ID, r"[0-9A-Za-z]{6}", "send six letters or digits, new on each UTC day")),
    "vads_trans_date": _needed(_like(TRANS_DATE, r"[0-9]{14}", "send YYYYMMDDHHMMSS in UTC")),
    "vads_validation_mode": _one_of("05", "0", "1"),
    "vads_capture_delay": _whole("06", 365),
    "vads_payment_config": _needed(_text(CONFIG, _LENGTH_MAX)),
    "vads_payment_cards": _like(CARDS, r"[A-Z0-9_-]{1,40}(?:;[A-Z0-9_-]{1,40})*;?", "send card types joined by ;"),
    "vads_amount": _needed(_like(AMOUNT, r"(?=[0-9]{1,12}\Z)0*[1-9][0-9]*", "send a whole number of the smallest unit, above 0, in at most 12 digits")),
    "vads_currency": _needed(_like(CURRENCY, r"[0-9]{3}", "send an ISO 4217 numeric code such as 978")),
    "vads_ctx_mode": _needed(_one_of(CTX_MODE, "TEST", "PRODUCTION")),
    "vads_language": _like("12", r"[A-Za-z]{2}", "send an ISO 639-1 code such as fr"),
    # Letters, digits, - and _ by the guide; one public shop module sends blanks in place of slashes.
    "vads_order_id": _like(ORDER_ID, r"[A-Za-z0-9_-](?:[A-Za-z0-9_ -]{0,62}[A-Za-z0-9_-])?", "send at most 64 letters, digits, - or _"),
    "vads_order_info": _text("14", 255),
    "vads_order_info2": _text("14", 255),
    "vads_order_info3": _text("14", 255),
    "vads_cust_email": _like("15", rf"(?=.{{1,150}}\Z){_EMAIL}", "send one e-mail address of at most 150 ASCII characters"),
    "vads_cust_id": _text("16", 63),
    "vads_cust_title": _text("17", 63),
    "vads_cust_name": _text("18", 127),
    "vads_cust_address": _text("19", 255),
    "vads_cust_zip": _text("20", 63),
    "vads_cust_city": _text("21", 63),
    "vads_cust_country": _like("22", r"[A-Za-z]{2}", "send an ISO 3166 code of two letters"),
    "vads_cust_phone": _text("23", 32),
    "vads_url_success": _address("24"),
    "vads_url_refused": _address("25"),
    "vads_url_referral": _address("26"),
    "vads_url_cancel": _address("27"),
    "vads_url_return": _address("28"),
    "vads_url_error": _address("29"),
    "vads_identifier": Rule("30", "leave it empty: no cards are kept here", lambda _value: False),
    "vads_contrib": _text("31", 255),
    "vads_theme_config": _like("32", r"[A-Z0-9_]{1,64}=[^;]*(?:;[A-Z0-9_]{1,64}=[^;]*)*;?", "send KEY=value pairs joined by ;"),
    "vads_url_check": _address("33"),
    "vads_redirect_success_timeout": _whole("34", 300),
    "vads_redirect_success_message": _text("35", 255),
    "vads_redirect_error_timeout": _whole("36", 300),
    "vads_redirect_error_message": _text("37", 255),
    "vads_page_action": _needed(
        Rule("46", "send PAYMENT; cards and mandates are not registered here", lambda value: value in PAGE_ACTIONS)
    ),
    "vads_action_mode": _needed(
        Rule("47", "send INTERACTIVE; the card is typed on our page alone", lambda value: value == "INTERACTIVE")
    ),
    "vads_return_mode": _one_of("48", "NONE", "GET", "POST"),
    "vads_user_info": _text("61", 255),
    "vads_contracts": _like("62", r"[A-Z0-9_]{1,40}=[^;=]{1,64}(?:;[A-Z0-9_]{1,40}=[^;=]{1,64})*;?", "send CB=contract pairs joined by ;"),
    "vads_available_languages": _like("71", r"[A-Za-z]{2}(?:;[A-Za-z]{2})*;?", "send ISO 639-1 codes joined by ;"),
    "vads_shop_name": _text("72", 127),
    "vads_shop_url": _address("73"),
    "vads_cust_cell_phone": _text("77", 32),
    "vads_ship_to_name": _text("80", 127),
    "vads_ship_to_street": _text("81", 255),
    "vads_ship_to_street2": _text("82", 255),
    "vads_ship_to_city": _text("83", 63),
    "vads_ship_to_state": _text("84", 63),
    "vads_ship_to_zip": _text("85", 63),
    "vads_ship_to_country": _like("86", r"[A-Za-z]{2}", "send an ISO 3166 code of two letters"),
    "vads_ship_to_phone_num": _text("87", 32),
    "vads_cust_state": _text("88", 63),
    "vads_cust_status": _text("92", 63),
    "vads_cust_first_name": _text("104", 127),
    "vads_cust_last_name": _text("105", 127),
    "vads_cust_address_number": _text("112", 63),
}  # fmt: skip

_EXT_INFO = _text("91", _LENGTH_MAX)
_UNKNOWN = _text(OTHER, _LENGTH_MAX)
# The signature covers values, joined by ``+`` in the order of their names, and no name. A payer who calls the amount
# something we do not know, and the next number (a capture delay) ``vads_amount``, would name the price; one who types
# ``365+TEST+978`` for a name could make a capture delay of it, or a ``1`` a ``vads_validation_mode``. The shop's own
# currency or number then stands, under a name we do not know, before the one or after the other.
_FIRST_DELAY, _LAST_MODE = "vads_capture_delay", "vads_validation_mode"
_NO_NUMBER = Rule(
    OTHER,
    f"leave it out: no number may stand before {_FIRST_DELAY} or after {_LAST_MODE}",
    lambda value: not _holds_number(value),
)
# In the same way an address ``MULTI:first=1;count=2;period=365`` could become the plan; the shop's own is then elsewhere.
_CONFIG_FIELD = "vads_payment_config"
_PLAN = re.compile(r"SINGLE|MULTI(?:_EXT)?:.*", re.ASCII | re.DOTALL)

EXT_INFO = "vads_ext_info_"


def field_faults(fields: Mapping[str, str]) -> Iterator[Fault]:
    """Find every field that breaks its own rule, and every missing one, in the table's order."""
    for name, rule in RULES.items():
        if fault := rule.fault(name, fields.get(name, "")):
            yield fault
    for name, value in fields.items():
        if name not in RULES and (fault := _rule_of_unknown(name, value).fault(name, value)):
            yield fault
    yield from _second_plans(fields)


def _second_plans(fields: Mapping[str, str]) -> Iterator[Fault]:
    """Find a plan in a field that is not for it, where the form asks for payment in several times."""
    if fields.get(_CONFIG_FIELD, "").startswith("MULTI"):
        for name, value in fields.items():
            if name != _CONFIG_FIELD and any(map(_PLAN.fullmatch, value.split("+"))):
                yield Fault(f"/{name}", CONFIG, f"leave it out: a plan stands in {_CONFIG_FIELD} alone")


def _rule_of_unknown(name: str, value: str) -> Rule:
    if not _FIRST_DELAY < name < _LAST_MODE and _holds_number(value):
        return _NO_NUMBER
    return _EXT_INFO if name.startswith(EXT_INFO) else _UNKNOWN


def _holds_number(value: str) -> bool:
    """Say whether a value, or a part of it that the signature cannot tell from a value, is a number."""
    return any(part.isdecimal() for part in value.split("+"))
