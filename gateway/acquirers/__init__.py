"""Contract of the acquirer socket: what every bank behind Guichet must be able to do.

Every message is idempotent by its operation id: saying it twice does it once and answers the same. A decline is a
*result*; silence or an unclear answer *raises* :class:`gateway.core.errors.AcquirerUnreachable`, an operation id known for
something else :class:`gateway.core.errors.AcquirerContradicts`, which is as unclear. Amounts are echoed so that the caller
can refuse an answer to another question.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.core.card import CardEntry
from gateway.core.money import Money


class Flow(StrEnum):
    """What the cardholder's bank wants before money may be asked for (EMV 3-D Secure ``transStatus``)."""

    FRICTIONLESS = "frictionless"  # Y: authenticated without a question
    ATTEMPTED = "attempted"  # A: the bank could not ask; the attempt counts as proof
    CHALLENGE = "challenge"  # C: the bank asks for a one-time code
    REFUSED = "refused"  # N or R: the bank forbids going on
    UNAVAILABLE = "unavailable"  # U: no authentication possible; refused by default


class Outcome(StrEnum):
    """What became of one operation."""

    APPROVED = "approved"
    DECLINED = "declined"
    NOT_FOUND = "not_found"  # status only: never seen, so it may still be on its way
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A card exchanged for a token: the last moment anybody but the acquirer knows the number.

    :ivar token: stands for the card in every later message; worthless elsewhere
    :ivar schemes: the brands of the card, the first being the default (``("cb", "visa")`` when co-badged)
    :ivar phone: where the bank sends its code, masked for display; empty when it does not say
    :ivar response_code: the reason when ``flow`` is refused or unavailable
    """

    token: str
    flow: Flow
    schemes: tuple[str, ...]
    eci: str = ""
    phone: str = ""
    response_code: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A clear answer to one operation, echoing what was asked.

    :ivar response_code: the two-character code of the card network (ISO 8583 field 39), ``00`` when approved
    :ivar family: the refusal family (``do_not_honour``, ``funds``, ``expired``, ``stolen``, ``limit``, ``wrong_code``, ...)
    :ivar authorisation_number: six characters, on approval
    """

    op_id: str
    outcome: Outcome
    amount: Money
    response_code: str = ""
    family: str = ""
    authorisation_number: str = ""


class Acquirer(Protocol):
    """A bank that can be asked for money and can be asked again what it did."""

    name: str

    def schemes(self, bin: str) -> tuple[str, ...]:
        """Name the brands of the cards that begin with these six to eight digits; the default first, empty if unknown."""
        ...

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:
        """Exchange a card for a token and learn what its bank wants. Keeps no number."""
        ...

    def authorise(  # noqa: PLR0913 - a message to a bank is what these say
        self, token: str, amount: Money, *, op_id: str, scheme: str, authentication: str, follows: str = ""
    ) -> Answer:
        """Ask for the money, once per ``op_id``. A reversed ``op_id`` is declined for ever.

        :param follows: for a later instalment, which the payer is not there for: the operation of the authorisation that
            the payer was there for, by the same token. It must have been approved; the amount may be another
        """
        ...

    def status(self, op_id: str, amount: Money) -> Answer:
        """Say what became of an authorisation: approved, declined, reversed or not found."""
        ...

    def reverse(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Undo the authorisation ``target``; when it was never seen, leave a tombstone so that it comes too late."""
        ...

    def capture(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Have the authorised money paid out."""
        ...

    def refund(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Give back part or all of a captured authorisation."""
        ...
