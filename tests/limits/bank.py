"""A bank for bots: any number is a card here, some of them live, and it remembers whom it was asked about."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.acquirers import Answer, Enrolment, Flow, Outcome
from gateway.core.card import CardEntry
from gateway.core.money import Money


def luhn(body: str) -> str:
    """Add the check digit (ISO/IEC 7812-1 annex B)."""
    total = sum(
        (d * 2 - 9 if d > 4 else d * 2) if place % 2 == 0 else d for place, d in enumerate(map(int, body[::-1]))
    )
    return f"{body}{-total % 10}"


@dataclass
class Bank:
    """Approves the cards that ``is_live`` names.

    :ivar flow: what it says of every card at first
    :ivar enrolled: the numbers it was asked about
    :ivar debited: those it was asked for money from
    """

    is_live: Callable[[str], bool] = lambda _: False
    flow: Flow = Flow.FRICTIONLESS
    enrolled: list[str] = field(default_factory=list)
    debited: list[str] = field(default_factory=list)
    name: str = "bank"

    def schemes(self, bin: str) -> tuple[str, ...]:
        """Give every card one brand."""
        return ("visa",) if bin else ()

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:  # noqa: ARG002
        """Take the card."""
        number = card.number.reveal()
        self.enrolled.append(number)
        return Enrolment(number, self.flow, ("visa",), eci="05")

    def authorise(self, token: str, amount: Money, *, op_id: str, **_: object) -> Answer:
        """Say yes to a live card."""
        self.debited.append(token)
        if self.is_live(token):
            return Answer(op_id, Outcome.APPROVED, amount, "00", authorisation_number="123456")
        return Answer(op_id, Outcome.DECLINED, amount, "51", "funds")

    def status(self, op_id: str, amount: Money) -> Answer:
        """Know nothing."""
        return Answer(op_id, Outcome.NOT_FOUND, amount)

    def reverse(self, target: str, amount: Money, *, op_id: str) -> Answer:  # noqa: ARG002
        """Undo."""
        return Answer(op_id, Outcome.REVERSED, amount)

    def capture(self, target: str, amount: Money, *, op_id: str) -> Answer:  # noqa: ARG002
        """Pay out."""
        return Answer(op_id, Outcome.APPROVED, amount, "00")

    def refund(self, target: str, amount: Money, *, op_id: str) -> Answer:  # noqa: ARG002
        """Give back."""
        return Answer(op_id, Outcome.APPROVED, amount, "00")
