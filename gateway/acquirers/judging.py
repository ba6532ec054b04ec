"""What the simulated bank decides about one new authorisation, from the card, the amount and what speaks for it."""

import hashlib
from dataclasses import dataclass

from gateway.acquirers import Answer, Flow, Outcome
from gateway.acquirers.book import Enrolled, Message, Page
from gateway.acquirers.cards import PublishedCard

# The authorisation number that these services' test platforms give every payment by their own cards.
_FIXED_NUMBERS = {"payfip": "A55A", "payline": "A55A"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What speaks for the cardholder's will: an authentication now, or an approved authorisation that is followed."""

    is_authenticated: bool
    follows: str


def judge(page: Page, message: Message, test: PublishedCard | None, enrolled: Enrolled | None, proof: Proof) -> Answer:
    """Decide one new authorisation: what forbids it first, the card's own outcome last."""
    if page.entry(message.op_id):
        # The tombstone of a reversal that came first.
        return decline(message, "12", "reversed")
    if test is None or enrolled is None:
        return decline(message, "14", "bad_number")
    if not (
        _is_followed(page, message, enrolled, proof) if proof.follows else _is_proven(message, test, enrolled, proof)
    ):
        return decline(message, "1A", "authentication")
    if message.about.rpartition(" ")[2] not in test.schemes:
        return decline(message, "57", "not_permitted")
    if not enrolled.code_right:
        return decline(message, "82", "wrong_code")
    if test.code:
        return decline(message, test.code, test.family)
    is_refused = test.later == "refused" or (test.later == "second_try" and not page.has_declined(enrolled.token))
    if proof.follows and is_refused:
        return decline(message, "51", "funds")
    drawn = hashlib.sha256(message.op_id.encode()).hexdigest()[:6].upper()
    number = _FIXED_NUMBERS.get(test.source.service, drawn)
    return Answer(message.op_id, Outcome.APPROVED, message.amount, "00", authorisation_number=number)


def _is_proven(message: Message, test: PublishedCard, enrolled: Enrolled, proof: Proof) -> bool:
    is_willing = test.flow is not Flow.REFUSED and (test.flow is not Flow.CHALLENGE or proof.is_authenticated)
    return is_willing and message.amount == enrolled.amount


def _is_followed(page: Page, message: Message, enrolled: Enrolled, proof: Proof) -> bool:
    """Say whether a later instalment follows an approval of the same card, in the same currency."""
    first = page.entry(proof.follows)
    is_good = first is not None and first.token == enrolled.token and first.state in ("approved", "captured")
    return is_good and message.amount.currency == enrolled.amount.currency


def decline(message: Message, code: str, family: str) -> Answer:
    """Say no, with the code of the card network and its family."""
    return Answer(message.op_id, Outcome.DECLINED, message.amount, code, family)
