"""What signed requests may say: the closed sets of claims, their rules, and their faults - all of them at once.

The models are also the source of the OpenAPI document: a field's description is its documentation *and* the cure that
a fault names. Rules that depend on the merchant find its :class:`Terms` in the validation context.
"""

import re
import unicodedata
from collections.abc import Callable, Collection
from datetime import date
from typing import Annotated, Literal, LiteralString, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gateway.core.money import AMOUNT_MAX
from gateway.core.payment import normal_reference
from gateway.dialects.addresses import URL_LENGTH_MAX, parse_address
from gateway.dialects.native.merchant import Terms

LINES_MAX = 50
METADATA_MAX = 20

# Returned to the merchant beside its own query, so it cannot use these names itself.
RETURN_NAMES = frozenset({"payment", "result"})

# Joiners that Persian, Arabic and Indic names need; every other invisible sign can deceive a reader.
_ALLOWED_FORMAT = frozenset("\u200c\u200d")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# What browsers accept in an e-mail field (HTML Living Standard), plus a dot in the domain.
EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+$"

T = TypeVar("T")


def _visible(allowed: frozenset[str] = frozenset()) -> Callable[[str], str]:
    def check(text: str) -> str:
        for sign in text:
            if sign not in allowed | _ALLOWED_FORMAT and unicodedata.category(sign) in _REFUSED_CATEGORIES:
                raise _fault("control_character")
        return text

    return check


def _fault(code: str, cure: LiteralString = "", **facts: object) -> PydanticCustomError:
    # The text of a fault is written where it is reported; its code travels, and a cure only this place can know.
    return PydanticCustomError(code, cure, facts)


Text = Annotated[str, AfterValidator(_visible())]
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]*$", min_length=1, max_length=64)]
Label = Annotated[Text, Field(min_length=1, max_length=140)]
Cents = Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
Url = Annotated[str, Field(max_length=URL_LENGTH_MAX, json_schema_extra={"format": "uri"})]

AMOUNT_RULE = f"a whole number of cents from 1 to {AMOUNT_MAX}, written as a JSON integer (100, not 100.0 or 1e2)"
REFERENCE_RULE = "1 to 64 letters, digits, spaces and . _ / - signs, beginning with a letter or digit"
LABEL_RULE = "1 to 140 visible characters"


class _Claims(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Signing(_Claims):
    """Claims that every signed request carries (RFC 7519)."""

    iss: str = Field(max_length=64, description="the merchant's id")
    aud: str = Field(max_length=255, description="this server's origin, such as https://pay.example.org")
    iat: int = Field(ge=0, description="when it was signed, whole seconds since 1970; at most 60 ahead of this server")
    exp: int = Field(ge=0, description="when it ends, whole seconds since 1970; at most 900 after iat")
    jti: str = Field(
        pattern=r"^[!-~]+$",
        min_length=8,
        max_length=128,
        description="8 to 128 printable ASCII characters without space, never used before by this merchant",
    )


class LineClaims(_Claims):
    """One debt of a payment."""

    reference: Reference = Field(description=REFERENCE_RULE)
    label: Label = Field(description=LABEL_RULE)
    amount: Cents = Field(description=AMOUNT_RULE)


class PayerClaims(_Claims):
    """Who pays, if the portal knows."""

    name: Annotated[Text, Field(min_length=1, max_length=140)] | None = Field(
        None, description="1 to 140 visible characters"
    )
    phone: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = Field(
        None, description="an E.164 number: + and 7 to 15 digits, such as +33612345678"
    )


class PaymentClaims(_Signing):
    """A payment request: who asks, for how much, for what."""

    amount: Cents = Field(description=f"{AMOUNT_RULE}; at most what the merchant's contract allows")
    # Left out, it is held against the merchant's contract all the same.
    currency: str = Field(
        "EUR", validate_default=True, pattern=r"^[A-Z]{3}$", description="an ISO 4217 code that the merchant accepts"
    )
    reference: Reference = Field(description=f"{REFERENCE_RULE}; what the payer and the accounts know this by")
    label: Label = Field(description=f"{LABEL_RULE}; what the payer reads on the page")
    kind: Literal["debt", "top_up"] = Field("debt", description="debt (paid once) or top_up (repeats)")
    lines: Annotated[list[LineClaims], Field(min_length=1, max_length=LINES_MAX)] | None = Field(
        None,
        description=f"1 to {LINES_MAX} debts with distinct references, adding up to amount; one is made when absent",
    )
    email: Annotated[str, Field(max_length=254, pattern=EMAIL)] | None = Field(
        None, validate_default=True, description="an e-mail address of at most 254 ASCII characters, for the receipt"
    )
    payer: PayerClaims | None = Field(None, description="an object with name and phone, both optional")
    beneficiary: Annotated[Text, Field(max_length=140)] | None = Field(
        None, description="at most 140 visible characters: the pupil or subscriber"
    )
    comment: Annotated[str, AfterValidator(_visible(frozenset("\n"))), Field(max_length=500)] | None = Field(
        None, description="at most 500 visible characters; line feeds allowed"
    )
    fiscal_year: Annotated[str, Field(pattern=r"^20[0-9]{2}$")] | None = Field(
        None, description="a year of four digits as a string, such as 2029"
    )
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] | None = Field(
        None, description="a two-letter code of a language the pages speak, such as fr or en"
    )
    return_url: Url | None = Field(
        None,
        description="an https address on the merchant's registered return list, for the payer's browser",
    )
    notify_url: Url | None = Field(
        None, description="an https address on the merchant's registered callback list, where confirmations are posted"
    )
    pay_before: Annotated[str, Field(json_schema_extra={"format": "date"})] | None = Field(
        None, description="the last payable day (Europe/Paris) as yyyy-mm-dd, today or later"
    )
    metadata: Annotated[dict[str, str], Field(max_length=METADATA_MAX)] | None = Field(
        None,
        description=f"at most {METADATA_MAX} members; names of 1 to 40, texts of at most 500 visible characters",
    )

    @field_validator("amount")
    @classmethod
    def _within_contract(cls, amount: int, about: ValidationInfo) -> int:
        limit = _terms(about).merchant.amount_max
        if amount > limit:
            raise _fault("amount_above_limit", "ask for at most {limit} cents", limit=limit)
        return amount

    @field_validator("currency")
    @classmethod
    def _accepted_currency(cls, currency: str, about: ValidationInfo) -> str:
        return _one_of(currency, _terms(about).merchant.currencies, "currency_not_accepted")

    @field_validator("language")
    @classmethod
    def _spoken_language(cls, language: str | None, about: ValidationInfo) -> str | None:
        return language and _one_of(language, _terms(about).merchant.languages, "language_not_spoken")

    @field_validator("lines")
    @classmethod
    def _lines_agree(cls, lines: list[LineClaims] | None, about: ValidationInfo) -> list[LineClaims] | None:
        if lines is None:
            return None
        if len({normal_reference(line.reference) for line in lines}) != len(lines):
            raise _fault("duplicate_reference")
        if "amount" in about.data and sum(line.amount for line in lines) != about.data["amount"]:
            raise _fault("sum_differs")
        return lines

    @field_validator("email")
    @classmethod
    def _email_when_fixed(cls, email: str | None, about: ValidationInfo) -> str | None:
        if email is None and _terms(about).merchant.email_rule == "fixed":
            raise _fault("missing")
        return email

    @field_validator("return_url")
    @classmethod
    def _registered_return(cls, url: str | None, about: ValidationInfo) -> str | None:
        if url is None:
            return None
        terms = _terms(about)
        _check_registered(url, terms.merchant.return_urls, terms)
        names = {pair.partition("=")[0] for pair in parse_address(url).query.split("&")}
        if names & RETURN_NAMES:
            raise _fault("reserved_parameter")
        return url

    @field_validator("notify_url")
    @classmethod
    def _registered_callback(cls, url: str | None, about: ValidationInfo) -> str | None:
        if url is not None:
            _check_registered(url, _terms(about).merchant.callback_urls, _terms(about))
        return url

    @field_validator("pay_before")
    @classmethod
    def _not_past(cls, day: str | None, about: ValidationInfo) -> str | None:
        if day is None:
            return None
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day, re.ASCII):
            raise _fault("format")
        try:
            last = date.fromisoformat(day)
        except ValueError as error:
            raise _fault("format") from error
        if last < _terms(about).today:
            raise _fault("date_past")
        return day

    @field_validator("metadata")
    @classmethod
    def _short_pairs(cls, pairs: dict[str, str] | None) -> dict[str, str] | None:
        for name, text in (pairs or {}).items():
            if not 1 <= len(name) <= 40 or len(text) > 500:
                raise _fault("length")
            _visible()(name)
            _visible(frozenset("\n"))(text)
        return pairs


class RefundClaims(_Signing):
    """A refund request: which payment, and how much of it."""

    payment: str = Field(max_length=64, description="the id of the payment, the same as in the address")
    amount: Cents = Field(description=f"{AMOUNT_RULE}; at most what has not been refunded yet")
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", description="the ISO 4217 code of the payment")
    reason: Annotated[Text, Field(max_length=140)] = Field("", description="at most 140 visible characters")

    @field_validator("currency")
    @classmethod
    def _accepted_currency(cls, currency: str, about: ValidationInfo) -> str:
        return _one_of(currency, _terms(about).merchant.currencies, "currency_not_accepted")


class CancelClaims(_Signing):
    """A request to close a payment that nobody has begun to debit."""

    payment: str = Field(max_length=64, description="the id of the payment, the same as in the address")
    reason: Annotated[Text, Field(max_length=140)] = Field("", description="at most 140 visible characters")


def _terms(about: ValidationInfo) -> Terms:
    if not isinstance(about.context, Terms):
        raise TypeError("claims are validated against a merchant's terms")
    return about.context


def _one_of(value: T, allowed: Collection[T], code: str) -> T:
    if value not in allowed:
        raise _fault(code)
    return value


def _check_registered(url: str, registered: tuple[str, ...], terms: Terms) -> None:
    try:
        address = parse_address(url)
    except ValueError as error:
        raise _fault("url_not_allowed") from error
    if address.is_loopback and terms.loopback_allowed:
        return
    if address.scheme != "https":
        raise _fault("url_not_https")
    if not any(parse_address(prefix).allows(address) for prefix in registered):
        raise _fault("url_not_registered")
