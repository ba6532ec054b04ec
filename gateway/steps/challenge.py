"""The code page's form: six digits, however the payer or the telephone wrote them.

Whether the code is right is for ``gateway.core.challenge``; here only what cannot be a code is sent back, which costs no try.
"""

import re

from flask_wtf import FlaskForm
from wtforms import Field, StringField
from wtforms.validators import ValidationError

from gateway.steps.phrases import lazy_gettext

# Telephones suggest "123 456", some messages write "123-456".
_SEPARATORS = re.compile(r"[\s.\-]")


class ChallengeForm(FlaskForm):  # type: ignore[misc]  # flask_wtf ships no types
    """Takes the one-time code."""

    code = StringField()

    def validate_code(self, _field: Field) -> None:
        """Refuse what is not six digits."""
        if not re.fullmatch(r"\d{6}", self.digits, re.ASCII):
            raise ValidationError(lazy_gettext("Enter the 6 digits of the code received by SMS, for example 123456."))

    @property
    def digits(self) -> str:
        """The code without its separators."""
        return _SEPARATORS.sub("", self.code.data or "")
