"""What an acquirer and Guichet say to each other over HTTP: one JSON object each way, ``POST /<verb>``.

Both ends share these shapes, so that they cannot drift; neither end's conduct is here. Anything that does not fit its
shape exactly is refused: an unclear message is never guessed at.
"""

import json
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from gateway.acquirers import Answer, Enrolment, Flow, Outcome
from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.money import Money

# No message of this protocol needs more; the longest, an enrolment, is below 500 bytes.
BODY_BYTES_MAX = 16 * 1024

_OpId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Word = Annotated[str, StringConstraints(max_length=128)]
# Field 39 of ISO 8583, or nothing.
_Code = Annotated[str, StringConstraints(pattern=r"^([0-9A-Z]{2})?$")]
# What an attempt keeps of a refusal: a longer word could not be written down, and the refusal with it.
_Family = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{0,32}$")]

_Brand = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,16}$")]

ShapeT = TypeVar("ShapeT", bound="Shape")


class Shape(BaseModel):
    """A message that is either exactly right or refused; it never shows its values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class SchemesAsked(Shape):
    """Which brands begin with these digits?"""

    bin: Annotated[str, StringConstraints(pattern=r"^[0-9]{6,8}$")]


class SchemesReply(Shape):
    """Brands, the default first."""

    # Kept as those of an enrolment are, when a card is withheld from the bank.
    schemes: tuple[_Brand, ...]


class _Priced(Shape):
    op_id: _OpId
    amount_cents: int
    currency: _Word

    @property
    def amount(self) -> Money:
        """The amount; raises :class:`~gateway.core.errors.BadField` when it is none."""
        return Money(self.amount_cents, self.currency)

    def is_about(self, op_id: str, amount: Money) -> bool:
        """Say whether it is of that operation and amount; an answer to another question is none."""
        return (self.op_id, self.amount_cents, self.currency) == (op_id, amount.cents, amount.currency)


class EnrolAsked(_Priced):
    """A card on its way to the bank: the one message with a number in it."""

    number: str = Field(repr=False)
    expiry_year: int
    expiry_month: int
    security_code: str = Field(repr=False)

    @classmethod
    def of(cls, card: CardEntry, amount: Money, op_id: str) -> Self:
        """Put the card's digits into the message."""
        return cls(
            op_id=op_id,
            amount_cents=amount.cents,
            currency=amount.currency,
            number=card.number.reveal(),
            expiry_year=card.expiry.year,
            expiry_month=card.expiry.month,
            security_code=card.security_code,
        )

    @property
    def card(self) -> CardEntry:
        """The card; raises :class:`~gateway.core.errors.CardRefused` when it is none."""
        return CardEntry(CardNumber(self.number), Expiry(self.expiry_year, self.expiry_month), self.security_code)


class EnrolReply(_Priced):
    """A token for the card, and what its bank wants."""

    # As long as what an attempt keeps of them, and printable: what could not be written down would end in no answer.
    token: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,64}$")]
    flow: Flow
    schemes: Annotated[tuple[_Brand, ...], Field(min_length=1)]
    eci: Annotated[str, StringConstraints(pattern=r"^([0-9]{2})?$")]
    phone: Annotated[str, StringConstraints(pattern=r"^[ -~]{0,32}$")]
    response_code: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{0,8}$")]

    @classmethod
    def of(cls, enrolment: Enrolment, asked: EnrolAsked) -> Self:
        """Say the enrolment, echoing the question."""
        return cls(
            token=enrolment.token,
            flow=enrolment.flow,
            schemes=enrolment.schemes,
            eci=enrolment.eci,
            phone=enrolment.phone,
            response_code=enrolment.response_code,
            op_id=asked.op_id,
            amount_cents=asked.amount_cents,
            currency=asked.currency,
        )

    @property
    def enrolment(self) -> Enrolment:
        """The enrolment that was said."""
        return Enrolment(self.token, self.flow, self.schemes, self.eci, self.phone, self.response_code)


class AuthoriseAsked(_Priced):
    """May this card's money be held?"""

    token: _Word
    scheme: _Word
    authentication: Annotated[str, StringConstraints(max_length=4096)]
    follows: Annotated[str, StringConstraints(max_length=64)] = ""


class StatusAsked(_Priced):
    """What became of this authorisation?"""


class TargetAsked(_Priced):
    """Reverse, capture or refund that authorisation."""

    target: _OpId


class AnswerReply(_Priced):
    """A clear answer. One that contradicts itself is not clear, and so not an answer."""

    outcome: Outcome
    response_code: _Code
    family: _Family
    authorisation_number: Annotated[str, StringConstraints(pattern=r"^([0-9A-Za-z]{6}|[0-9A-Za-z]{4})?$")]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.outcome is Outcome.APPROVED) != (self.response_code == "00"):
            raise ValueError("00 goes with an approval, and only with one")
        if self.outcome is Outcome.DECLINED and not self.response_code:
            raise ValueError("a decline needs an explicit code")
        return self

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Say the answer."""
        return cls(
            op_id=answer.op_id,
            amount_cents=answer.amount.cents,
            currency=answer.amount.currency,
            outcome=answer.outcome,
            response_code=answer.response_code,
            family=answer.family,
            authorisation_number=answer.authorisation_number,
        )

    @property
    def answer(self) -> Answer:
        """The answer that was said."""
        return Answer(self.op_id, self.outcome, self.amount, self.response_code, self.family, self.authorisation_number)


class CardRefusedReply(Shape):
    """The card cannot be enrolled (HTTP 422): which field, and which rule it breaks."""

    error: Literal["card_refused"]
    # The fields of a card page, where the refusal is shown.
    field: Annotated[str, StringConstraints(pattern=r"^cc-(number|exp|csc)$")]
    rule: _Word


class ContradictionReply(Shape):
    """The operation id was used for something else (HTTP 409): a fault of the caller's program."""

    error: Literal["contradiction"]


class Unreadable(ValueError):
    """Bytes that are not exactly a message of the expected shape."""


def read(shape: type[ShapeT], body: bytes) -> ShapeT:
    """Read one message, or raise :class:`Unreadable`."""
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable("the message is too long")
    try:
        message = shape.model_validate_json(body)
    except ValidationError:
        # Not chained: the validator's report may hold a card number.
        raise Unreadable(f"not a {shape.__name__}") from None
    # Only now: the validator bounds nesting, the standard parser does not.
    json.loads(body, object_pairs_hook=_refuse_doubles)
    return message


def _refuse_doubles(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise Unreadable("a member is said twice")
