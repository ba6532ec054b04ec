"""The simulated acquirer and bank: every outcome is reached by a documented test card, no other card is taken.

It decides; its memory is :mod:`gateway.acquirers.book` and its cards are :mod:`gateway.acquirers.cards`. It plays the
bank's part alone: it does not watch for double debits, so that its book can testify against Guichet's.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gateway.acquirers import Answer, Enrolment, Flow, Outcome
from gateway.acquirers.book import Enrolled, Entry, Message, Page
from gateway.acquirers.bookfile import Book
from gateway.acquirers.cards import Acs, CardTable, PublishedCard, Verdict
from gateway.acquirers.judging import Proof, decline, judge
from gateway.acquirers.statement import Period, Statement
from gateway.acquirers.wishes import decided, played, secured
from gateway.core.card import CardEntry
from gateway.core.errors import AcquirerContradicts, AcquirerUnreachable, CardRefused
from gateway.core.money import Money

# Where the simulated bank sends its code; a bank masks all but the end.
_PHONE = "** ** ** ** 42"

# Inquiries that get no clear answer while the bank reviews: fewer than the five after which a resolver reverses.
_REVIEW_SILENCES = 2


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the slow parts take; tests shorten them.

    :ivar slow_seconds: before a slow bank approves; past the 4 s after which a page says "being checked"
    :ivar silence_seconds: before a silence ends in :class:`AcquirerUnreachable`
    """

    slow_seconds: float = 6.0
    silence_seconds: float = 0.0


class Simulator:
    """A bank in one file, for as many threads and processes as like to share it.

    :param path: the bank's own SQLite file, made when missing
    :param now: the clock, giving aware instants in UTC
    :param draw: gives a token made of so many random bytes
    """

    name = "simulator"

    def __init__(
        self,
        path: Path,
        cards: CardTable,
        *,
        now: Callable[[], datetime],
        delays: Delays | None = None,
        draw: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._book = Book(path)
        self._cards = cards
        self._now = now
        self._delays = delays or Delays()
        self._draw = draw

    def schemes(self, bin: str) -> tuple[str, ...]:
        """Name the brands of the test cards that begin so."""
        return self._cards.schemes(bin)

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:
        """Exchange a test card for a token; the number and the code end here.

        Raises :class:`CardRefused` (``not_a_test_card``) for any number that is not published, writing nothing.
        """
        test = self._cards.find(card.number.reveal())
        if test is None:
            raise CardRefused("cc-number", "not_a_test_card")
        with self._book.reading() as page:
            test = secured(test, page.wished(op_id))
        if test.acs is Acs.SILENT:
            raise self._silence()
        code_right = self._cards.takes(test, card.security_code)
        message = Message(op_id, "enrol", f"{test.key} {int(code_right)}", amount)
        with self._book.writing() as page:
            known = page.enrolled_by(op_id) if page.answered(message) else None
            if known:
                return _enrolment(known.token, test)
            token = self._draw(24)
            now = self._now()
            page.record(message, Answer(op_id, Outcome.APPROVED, amount), now)
            page.enrol(
                Enrolled(token, op_id, test.key, code_right, test.schemes, card.number.bin, card.number.last4, amount),
                now,
            )
        return _enrolment(token, test)

    def authorise(  # noqa: PLR0913 - the contract's
        self, token: str, amount: Money, *, op_id: str, scheme: str, authentication: str, follows: str = ""
    ) -> Answer:
        """Ask for the money, once per ``op_id``.

        A card that is to be challenged is declined without ``authentication``, and any card for another amount than
        the enrolled one, unless this is a later instalment of what was approved. A silent card raises
        :class:`AcquirerUnreachable`, each time it is asked: only :meth:`status` tells what the book says.
        """
        message = Message(op_id, "authorise", f"{token} {scheme}", amount)
        with self._book.reading() as page:
            enrolled = page.enrolled(token)
            is_new, wish = page.answered(message) is None, page.wished(op_id)
        test = played(self._cards, enrolled.scenario) if enrolled else None
        if test and enrolled and wish:
            test, enrolled = decided(test, enrolled, wish)
        verdict = test.outcome if test else Verdict.DECLINED
        if verdict is Verdict.SILENT_LOST:
            raise self._silence()
        if verdict is Verdict.SLOW and is_new:
            # Before the book is opened: a reversal may overtake a slow authorisation, which must then come too late.
            time.sleep(self._delays.slow_seconds)
        with self._book.writing() as page:
            answer = page.answered(message)
            if answer is None:
                refusal = self._cards.refusal(test, amount.cents) if test and not wish else ""
                proof = Proof(bool(authentication), follows)
                answer = judge(page, message, test, enrolled, proof)
                if refusal and answer.outcome is Outcome.APPROVED:
                    answer = decline(message, refusal, self._cards.family(refusal))
                page.record(message, answer, self._now())
                _enter(page, message, answer, verdict)
        if verdict in {Verdict.SILENT_APPROVED, Verdict.SILENT_DECLINED, Verdict.REVIEW}:
            raise self._silence()
        return answer

    def status(self, op_id: str, amount: Money) -> Answer:
        """Say what became of an authorisation, with the amount the book holds.

        Raises :class:`AcquirerUnreachable` for the first inquiries about a card under review.
        """
        with self._book.writing() as page:
            entry = page.entry(op_id)
            if entry is None:
                return Answer(op_id, Outcome.NOT_FOUND, amount, "25", "not_found")
            if entry.state == "review":
                state = "review" if entry.silences < _REVIEW_SILENCES else "approved"
                entry = replace(entry, state=state, silences=entry.silences + 1)
                page.change(entry)
            answer = page.answer(op_id)
        if entry.state == "review":
            raise AcquirerUnreachable("the simulated bank is still reviewing")
        if entry.state == "reversed" or answer is None:
            return Answer(op_id, Outcome.REVERSED, entry.amount)
        return answer

    def reverse(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Undo an authorisation, or leave a tombstone for one that was never seen.

        Nothing being held after a decline, undoing one succeeds. Captured money is refunded, not reversed: declined.
        Raises :class:`AcquirerContradicts` when ``amount`` is not the one authorised: a reversal is always whole.
        """
        return self._once(Message(op_id, "reverse", target, amount), _reverse)

    def capture(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Have the authorised money paid out, once."""
        return self._once(Message(op_id, "capture", target, amount), self._capture)

    def refund(self, target: str, amount: Money, *, op_id: str) -> Answer:
        """Give back part or all of a captured authorisation, never more than was captured."""
        return self._once(Message(op_id, "refund", target, amount), self._refund)

    def book(self) -> tuple[Entry, ...]:
        """List the bank's authorisations, tombstones included, to be compared with Guichet's own."""
        with self._book.reading() as page:
            return page.entries()

    def statement(self, since: datetime) -> Statement:
        """Say how every authorisation asked for from ``since`` on stands now."""
        with self._book.reading() as page:
            standings = tuple(page.standings(since))
        return Statement(period=Period(acquirer=self.name, since=since, until=self._now()), standings=standings)

    def _once(self, message: Message, act: Callable[[Page, Message, Entry | None], Answer | None]) -> Answer:
        with self._book.writing() as page:
            answer = page.answered(message)
            if answer is not None:
                return answer
            answer = act(page, message, page.entry(message.about))
            if answer is not None:
                page.record(message, answer, self._now())
                return answer
        raise self._silence()

    def _capture(self, page: Page, message: Message, entry: Entry | None) -> Answer | None:
        if entry is None or entry.state != "approved":
            return _not_now(message, entry)
        if message.amount.currency != entry.amount.currency or message.amount.cents > entry.amount.cents:
            return decline(message, "13", "amount")
        conduct = self._test_behind(page, entry).capture
        if conduct == "refused":
            return decline(message, "96", "technical")
        if conduct == "second_try" and not entry.silences:
            page.change(replace(entry, silences=1))
            return None
        page.change(replace(entry, state="captured", captured_cents=message.amount.cents))
        return Answer(message.op_id, Outcome.APPROVED, message.amount, "00")

    def _refund(self, page: Page, message: Message, entry: Entry | None) -> Answer:
        if entry is None or entry.state != "captured":
            return decline(message, "12", "wrong_state")
        if self._test_behind(page, entry).refund == "refused":
            return decline(message, "57", "not_permitted")
        refunded = entry.refunded_cents + message.amount.cents
        if message.amount.currency != entry.amount.currency or refunded > entry.captured_cents:
            return decline(message, "13", "amount")
        page.change(replace(entry, refunded_cents=refunded))
        return Answer(message.op_id, Outcome.APPROVED, message.amount, "00")

    def _test_behind(self, page: Page, entry: Entry) -> PublishedCard:
        enrolled = page.enrolled(entry.token)
        test = played(self._cards, enrolled.scenario) if enrolled else None
        if test is None:
            raise AcquirerUnreachable("the table of test cards no longer has the card of this authorisation")
        return test

    def _silence(self) -> AcquirerUnreachable:
        time.sleep(self._delays.silence_seconds)
        return AcquirerUnreachable("the simulated bank is silent, as its test card asks")


def _enrolment(token: str, test: PublishedCard) -> Enrolment:
    phone = _PHONE if test.flow is Flow.CHALLENGE else ""
    return Enrolment(token, test.flow, test.schemes, eci=test.proof_eci, phone=phone, response_code=test.reason)


def _enter(page: Page, message: Message, answer: Answer, verdict: Verdict) -> None:
    if page.entry(message.op_id):
        return
    token, _, scheme = message.about.rpartition(" ")
    is_reviewed = verdict is Verdict.REVIEW and answer.outcome is Outcome.APPROVED
    state = "review" if is_reviewed else str(answer.outcome)
    page.enter(Entry(message.op_id, token, scheme, message.amount, state))


def _reverse(page: Page, message: Message, entry: Entry | None) -> Answer:
    if entry is None:
        page.enter(Entry(message.about, "", "", message.amount, "reversed"))
    elif entry.amount != message.amount:
        raise AcquirerContradicts(f"operation {message.op_id} reverses another amount than was authorised")
    elif entry.state == "captured":
        return decline(message, "12", "wrong_state")
    elif entry.state != "declined":
        page.change(replace(entry, state="reversed"))
    return Answer(message.op_id, Outcome.REVERSED, message.amount)


def _not_now(message: Message, entry: Entry | None) -> Answer:
    if entry is not None and entry.state == "captured":
        return decline(message, "94", "duplicate")
    is_reversed = entry is not None and entry.state == "reversed"
    return decline(message, "12", "reversed" if is_reversed else "wrong_state")
