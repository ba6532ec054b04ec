"""The card page's form: number, expiry, security code, brand and e-mail address.

Core's constructors say what a card is; this module words their refusals for the payer. Number and security code never
go back into a page, and neither does any other field that seems to hold one of them.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Literal

from flask import request
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import Field, RadioField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import ValidationError

from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.errors import CardRefused
from gateway.core.mailbox import ENCODED, NEVER
from gateway.steps.phrases import Phrase, lazy_gettext

# What a payer can do about each refusal; the keys are the field and rule of CardRefused.
_ADVICE: Mapping[tuple[str, str], Phrase] = {
    ("cc-number", "missing"): lazy_gettext("Enter the number on your card, for example 4970 1012 3456 7890."),
    ("cc-number", "not_digits"): lazy_gettext(
        "Enter only the digits of your card number, for example 4970 1012 3456 7890."
    ),
    ("cc-number", "length"): lazy_gettext(
        "Check your card number: it has 12 to 19 digits, for example 4970 1012 3456 7890."
    ),
    ("cc-number", "luhn"): lazy_gettext("Check your card number: one of its digits seems to be wrong."),
    ("cc-number", "not_a_test_card"): lazy_gettext("This service is in test: use one of the published test cards."),
    ("cc-number", "scheme"): lazy_gettext("Use another card: this service does not accept cards of this brand."),
    ("cc-exp", "missing"): lazy_gettext("Enter the expiry date as month/year, for example 03/28."),
    ("cc-exp", "format"): lazy_gettext("Write the expiry date as month/year, for example 03/28."),
    ("cc-exp", "month"): lazy_gettext("Check the month of the expiry date: it goes from 01 to 12, for example 03/28."),
    ("cc-exp", "past"): lazy_gettext("Check the expiry date, for example 03/28. If it has passed, use another card."),
    ("cc-csc", "missing"): lazy_gettext(
        "Enter the security code: the 3 digits on the back of the card, for example 123."
    ),
    ("cc-csc", "format"): lazy_gettext("Enter only the digits of the security code, for example 123."),
    ("cc-csc", "length"): lazy_gettext(
        "Check the security code: 3 digits, for example 123, or 4 for American Express."
    ),
    ("brand", "scheme"): lazy_gettext("Choose another brand: your card does not carry this one."),
    ("email", "missing"): lazy_gettext("Enter your e-mail address, for example nom@exemple.fr."),
    ("email", "format"): lazy_gettext("Write the e-mail address in full, for example nom@exemple.fr."),
    ("email", "card_details"): lazy_gettext(
        "Enter your e-mail address here, for example nom@exemple.fr, not the details of your card."
    ),
}
_UNKNOWN_ADVICE = lazy_gettext("Check this field.")

_FIELD_NAMES = {"cc-number": "number", "cc-exp": "expiry", "cc-csc": "security_code"}

# RFC 5321 section 4.5.3.1 leaves 254 characters for an address once its angle brackets are counted.
_EMAIL_LENGTH_MAX = 254
# What a mail can be sent to, with a dot in its domain: payers forget the end of it.
_EMAIL = re.compile(rf"(?!.*{re.escape(ENCODED)})[^{NEVER}]+@[^{NEVER}.]+(\.[^{NEVER}.]+)+")

# Stand in for a part that is itself refused, so that all faults of an entry are told at once.
_ANY_NUMBER = CardNumber("0" * 12)
_ANY_EXPIRY = Expiry(2099, 12)

EmailRule = Literal["required", "optional", "fixed"]


class CardForm(FlaskForm):  # type: ignore[misc]  # flask_wtf ships no types
    """Takes a card and the address the receipt goes to.

    :param today: the day in the merchant's zone; a card is good until the last day of its month
    :param email_rule: whether an address must be given, may be given, or is the request's own and is not read here
    :param email: the address the merchant already knows
    """

    number = StringField()
    expiry = StringField()
    security_code = StringField()
    brand = RadioField(
        choices=[
            SelectChoice("", lazy_gettext("Automatic")),
            SelectChoice("cb", "CB"),
            SelectChoice("visa", "Visa"),
            SelectChoice("mastercard", "Mastercard"),
        ],
        default="",
        invalid_choice_message=_ADVICE["brand", "scheme"],
    )
    email = StringField()

    def __init__(self, *, today: date, email_rule: EmailRule = "required", email: str = "") -> None:
        super().__init__(_own_names(request.form) if request.form else None, email=email)
        self._today, self._email_rule = today, email_rule
        if email_rule == "fixed":
            self.email.data = email

    def validate(self, extra_validators: Mapping[str, object] | None = None) -> bool:
        """Check every field; after a fault, forget what must not be written back into the page."""
        accepted = bool(super().validate(extra_validators))
        if not accepted:
            self._forget_secrets()
        return accepted

    def validate_number(self, field: Field) -> None:
        """Refuse what is not 12 to 19 digits."""
        try:
            CardNumber(field.data or "")
        except CardRefused as refusal:
            raise ValidationError(_advice(refusal)) from refusal

    def validate_expiry(self, field: Field) -> None:
        """Refuse what is not a month, and a month that is over."""
        try:
            expiry = Expiry.parse(field.data or "")
        except CardRefused as refusal:
            raise ValidationError(_advice(refusal)) from refusal
        if expiry.is_past(self._today):
            raise ValidationError(_ADVICE["cc-exp", "past"])

    def validate_security_code(self, _field: Field) -> None:
        """Refuse a code that is not of the card's length; of any card's length while the number is refused."""
        number = _ANY_NUMBER if self.number.errors else CardNumber(self.number.data or "")
        try:
            CardEntry(number, _ANY_EXPIRY, self._security_code)
        except CardRefused as refusal:
            raise ValidationError(_advice(refusal)) from refusal

    def validate_email(self, field: Field) -> None:
        """Refuse what cannot be an address, and card details typed into the wrong place."""
        typed = (field.data or "").strip()
        if self._email_rule == "fixed" or (self._email_rule == "optional" and not typed):
            return
        if not typed:
            raise ValidationError(_ADVICE["email", "missing"])
        if _holds_card_details(typed):
            raise ValidationError(_ADVICE["email", "card_details"])
        if len(typed) > _EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(typed):
            raise ValidationError(_ADVICE["email", "format"])

    def entry(self) -> CardEntry:
        """Give the card of a form that validated."""
        number, expiry = CardNumber(self.number.data or ""), Expiry.parse(self.expiry.data or "")
        return CardEntry(number, expiry, self._security_code)

    @property
    def scheme(self) -> str:
        """The brand the payer chose, or an empty string to leave it to the card."""
        return str(self.brand.data or "")

    @property
    def address(self) -> str:
        """The address for the receipt, without the spaces around it."""
        return str(self.email.data or "").strip()

    @staticmethod
    def advice(field: str, rule: str) -> Phrase:
        """Word a refusal for the page's script, which checks a field when it is left."""
        return _ADVICE[field, rule]

    def refuse(self, refusal: CardRefused) -> None:
        """Show a refusal found later (check digit, brand) at its field, as if the form had found it."""
        field = self[_FIELD_NAMES.get(refusal.field, refusal.field)]
        field.errors = [*field.errors, _advice(refusal)]
        self._forget_secrets()

    @property
    def _security_code(self) -> str:
        return re.sub(r"\s", "", unicodedata.normalize("NFKC", self.security_code.data or ""))

    def _forget_secrets(self) -> None:
        self.number.data = self.security_code.data = ""
        for field in (self.expiry, self.email, self.brand):
            if field.errors and _holds_card_details(field.data or ""):
                field.data = ""


def _own_names(typed: MultiDict[str, str]) -> MultiDict[str, str]:
    """Take the field names of Systempay's card page for ours: test suites of its merchants drive the page by them."""
    own = typed.copy()
    for theirs, ours in (("vads_card_number", "number"), ("vads_cvv", "security_code")):
        if theirs in typed and ours not in typed:
            own[ours] = typed[theirs]
    month, year = typed.get("vads_expiry_month", ""), typed.get("vads_expiry_year", "")
    if month and year and not typed.get("expiry"):
        own["expiry"] = f"{month}/{year}"
    return own


def _holds_card_details(typed: str) -> bool:
    """Say whether a text looks like a card number (12 digits or more) or a security code (3 or 4 digits alone)."""
    digits = re.sub(r"\D", "", typed)
    return len(digits) >= 12 or re.fullmatch(r"\s*\d{3,4}\s*", typed, re.ASCII) is not None


def _advice(refusal: CardRefused) -> Phrase:
    return _ADVICE.get((refusal.field, refusal.rule), _UNKNOWN_ADVICE)
