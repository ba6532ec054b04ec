"""What a developer wishes of the simulated bank: one outcome, for one payment, once. Test mode only.

A wish lies in the bank's own book. :class:`Attentive`, which the web server puts before the bank while the test kit is on,
binds it to the operation it is about to ask for; the bank, in this process or in one of its own over the same book, looks
its operations up. Nobody else knows of wishes, and where there are none a bank does what its card says.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from gateway.acquirers import Acquirer, Answer, Enrolment
from gateway.acquirers.book import Enrolled
from gateway.acquirers.bookfile import Book
from gateway.acquirers.cards import Acs, CardTable, PublishedCard, Verdict
from gateway.core.card import CardEntry
from gateway.core.errors import CardRefused
from gateway.core.money import Money

# The payment whose page was posted to: the acquirer's contract does not name it, on purpose.
paying: ContextVar[str] = ContextVar("paying", default="")

# Refusals, each with a code of its family that the card networks use (ISO 8583 field 39).
FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "do_not_honour": "05",
        "funds": "51",
        "limit": "61",
        "expired": "54",
        "stolen": "43",
        "fraud": "59",
        "bad_number": "14",
        "wrong_code": "82",
        "not_permitted": "57",
        "call_issuer": "02",
        "authentication": "1A",
        "technical": "96",
    }
)

# What may be wished of the two messages, by their verb.
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "enrol": (Acs.FRICTIONLESS, Acs.CHALLENGE, Acs.ATTEMPTED, Acs.REFUSED, Acs.UNAVAILABLE, Acs.SILENT),
        "authorise": (*(verdict for verdict in Verdict if verdict is not Verdict.DECLINED), *FAMILIES),
    }
)


def played(table: CardTable, scenario: str) -> PublishedCard | None:
    """Find the card that a book entry names: by its key, or as :func:`secured` named it."""
    key, _, word = scenario.partition("/")
    card = table.by_key(key)
    return secured(card, word) if card else None


def secured(card: PublishedCard, word: str) -> PublishedCard:
    """Make a card whose bank says ``word`` of its holder; the same card when nothing is wished."""
    if not word:
        return card
    return card.model_copy(update={"key": f"{card.key}/{word}", "acs": Acs(word), "eci": ""})


def decided(card: PublishedCard, enrolled: Enrolled, word: str) -> tuple[PublishedCard, Enrolled]:
    """Make a card whose bank answers ``word``, whatever security code was typed."""
    code = FAMILIES.get(word) or (FAMILIES["do_not_honour"] if word == Verdict.SILENT_DECLINED else "")
    family = word if word in FAMILIES else "do_not_honour" if code else ""
    outcome = Verdict.DECLINED if word in FAMILIES else Verdict(word)
    change = {"outcome": outcome, "code": code, "family": family, "later": "works"}
    return card.model_copy(update=change), replace(enrolled, code_right=True)


class Wishes:
    """The wishes in the bank's book.

    :param path: the bank's file, which only its owner may open
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _book(self) -> Book:
        # Not before somebody is served: the file is the bank's to make.
        return Book(self._path)

    def make(self, payment: str, verb: str, word: str, token: str = "") -> None:
        """Wish ``word`` for the next ``verb`` of a payment, in the place of what was wished; empty for nothing.

        :param token: of the card that is entered already, if one is

        Raises :class:`ValueError` for a word the bank does not know.
        """
        if word and word not in WORDS.get(verb, ()):
            raise ValueError("the simulated bank knows no such outcome")
        with self._book.writing() as page:
            page.wish(payment, verb, word, token)

    def pending(self, payment: str) -> Mapping[str, str]:
        """Tell what is wished for a payment and was not played yet, by verb."""
        if not payment:
            return {}
        with self._book.reading() as page:
            return page.wishes(payment)

    def bind(self, verb: str, op_id: str, *, payment: str = "", token: str = "") -> None:
        """Give the wish for this payment, or for this card, to an operation: no other will have it."""
        with self._book.reading() as page:
            is_wished = page.is_wished(verb, payment, token)
        if is_wished:
            with self._book.writing() as page:
                page.bind_wish(verb, op_id, payment, token)

    def release(self, op_id: str) -> None:
        """Take a wish back from an operation that came to nothing."""
        with self._book.writing() as page:
            page.release_wish(op_id)

    def carry(self, payment: str, token: str) -> None:
        """Say which card a payment's wish about money is for."""
        if "authorise" in self.pending(payment):
            with self._book.writing() as page:
                page.carry_wish(payment, token)


class Attentive:
    """A bank with somebody before it who hands it the wishes; all else it does itself."""

    def __init__(self, bank: Acquirer, wishes: Wishes) -> None:
        self._bank, self._wishes = bank, wishes
        self.name = bank.name
        self.schemes, self.status, self.reverse = bank.schemes, bank.status, bank.reverse
        self.capture, self.refund = bank.capture, bank.refund

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:
        """Exchange a card for a token, as was wished for the payment whose page this is."""
        payment = paying.get()
        if not self._wishes.pending(payment):
            return self._bank.enrol(card, amount, op_id=op_id)
        self._wishes.bind("enrol", op_id, payment=payment)
        try:
            enrolment = self._bank.enrol(card, amount, op_id=op_id)
        except CardRefused:
            # A slip of the fingers costs no wish.
            self._wishes.release(op_id)
            raise
        self._wishes.carry(payment, enrolment.token)
        return enrolment

    def authorise(  # noqa: PLR0913 - the contract's
        self, token: str, amount: Money, *, op_id: str, scheme: str, authentication: str, follows: str = ""
    ) -> Answer:
        """Ask for the money, as was wished for this card."""
        self._wishes.bind("authorise", op_id, token=token)
        return self._bank.authorise(
            token, amount, op_id=op_id, scheme=scheme, authentication=authentication, follows=follows
        )
