"""What the simulated bank writes down: enrolments, authorisations and every message answered.

Never a card number, never a security code. The file itself is :mod:`gateway.acquirers.bookfile`; what the bank *decides*
is :mod:`gateway.acquirers.simulator`.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.acquirers import Answer, Outcome
from gateway.acquirers.statement import Standing, card_digest
from gateway.core.errors import AcquirerContradicts
from gateway.core.money import Money

# A wish that no operation has yet, by the payment or by the card's token, whichever is told.
_PENDING = "WHERE verb = ? AND op_id = '' AND ((payment = ? AND payment <> '') OR (token = ? AND token <> ''))"


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said to the bank; ``about`` is what it speaks of (a token and a brand, or another operation)."""

    op_id: str
    verb: str
    about: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One card as the bank remembers it: by its scenario, never by its number."""

    token: str
    op_id: str
    scenario: str
    code_right: bool
    schemes: tuple[str, ...]
    bin: str
    last4: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Entry:
    """One authorisation as it stands, tombstones included (``reversed``, without a token).

    :ivar silences: how often the bank has kept silent about it, where its card asks for so many and no more
    :ivar refunds: the operation id and the amount of each refund made
    """

    op_id: str
    token: str
    scheme: str
    amount: Money
    state: str
    captured_cents: int = 0
    refunded_cents: int = 0
    silences: int = 0
    refunds: tuple[tuple[str, Money], ...] = ()


class Page:
    """The book, open within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def answered(self, message: Message) -> Answer | None:
        """Find what was answered to this very message before.

        Raises :class:`AcquirerContradicts` when its id was used to say something else: that is a fault of the caller's program.
        """
        row = self._said(message.op_id)
        if row is None:
            return None
        amount = Money(row["amount_cents"], row["currency"])
        if (row["verb"], row["about"], amount) != (message.verb, message.about, message.amount):
            raise AcquirerContradicts(f"operation {message.op_id} has already been used to say something else")
        return _answer(row)

    def answer(self, op_id: str) -> Answer | None:
        """Find what was answered under this operation id, whatever was asked."""
        row = self._said(op_id)
        return None if row is None else _answer(row)

    def _said(self, op_id: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM message WHERE op_id = ?", (op_id,)).fetchone()
        return row

    def record(self, message: Message, answer: Answer, at: datetime) -> None:
        """Keep the answer, so that the message is never acted upon again."""
        asked = (message.op_id, message.verb, message.about, message.amount.cents, message.amount.currency)
        said = (answer.outcome, answer.response_code, answer.family, answer.authorisation_number)
        row = (*asked, *said, at.isoformat(timespec="milliseconds"))
        self._db.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def enrolled(self, token: str) -> Enrolled | None:
        """Find the card a token stands for."""
        return self._enrolled("SELECT * FROM enrolment WHERE token = ?", token)

    def enrolled_by(self, op_id: str) -> Enrolled | None:
        """Find the card enrolled by one operation."""
        return self._enrolled("SELECT * FROM enrolment WHERE op_id = ?", op_id)

    def _enrolled(self, query: str, value: str) -> Enrolled | None:
        row = self._db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        return Enrolled(
            row["token"],
            row["op_id"],
            row["scenario"],
            bool(row["code_right"]),
            tuple(row["schemes"].split()),
            row["bin"],
            row["last4"],
            Money(row["amount_cents"], row["currency"]),
        )

    def enrol(self, card: Enrolled, at: datetime) -> None:
        """Write one card down, without its number."""
        known = (card.token, card.op_id, card.scenario, int(card.code_right), " ".join(card.schemes))
        row = (*known, card.bin, card.last4, card.amount.cents, card.amount.currency, at.isoformat())
        self._db.execute("INSERT INTO enrolment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def entry(self, op_id: str) -> Entry | None:
        """Find one authorisation, or its tombstone."""
        row = self._db.execute("SELECT * FROM authorisation WHERE op_id = ?", (op_id,)).fetchone()
        return None if row is None else self._entry(row)

    def entries(self) -> tuple[Entry, ...]:
        """List every authorisation, oldest first."""
        return tuple(self._entry(row) for row in self._db.execute("SELECT * FROM authorisation ORDER BY rowid"))

    def _entry(self, row: sqlite3.Row) -> Entry:
        refunds = self._db.execute(
            "SELECT op_id, amount_cents, currency FROM message"
            " WHERE about = ? AND verb = 'refund' AND outcome = 'approved' ORDER BY rowid",
            (row["op_id"],),
        )
        return Entry(
            row["op_id"],
            row["token"],
            row["scheme"],
            Money(row["amount_cents"], row["currency"]),
            row["state"],
            row["captured_cents"],
            row["refunded_cents"],
            row["silences"],
            tuple((refund["op_id"], Money(refund["amount_cents"], refund["currency"])) for refund in refunds),
        )

    def enter(self, entry: Entry) -> None:
        """Write a new authorisation, or a tombstone in the place of one."""
        self._db.execute(
            "INSERT INTO authorisation (op_id, token, scheme, amount_cents, currency, state) VALUES (?, ?, ?, ?, ?, ?)",
            (entry.op_id, entry.token, entry.scheme, entry.amount.cents, entry.amount.currency, entry.state),
        )

    def change(self, entry: Entry) -> None:
        """Write how an authorisation stands now; the table's checks are the last word on its sums."""
        self._db.execute(
            "UPDATE authorisation SET state = ?, captured_cents = ?, refunded_cents = ?, silences = ? WHERE op_id = ?",
            (entry.state, entry.captured_cents, entry.refunded_cents, entry.silences, entry.op_id),
        )

    def has_declined(self, token: str) -> bool:
        """Say whether an authorisation by this token was declined."""
        asked = self._db.execute("SELECT 1 FROM authorisation WHERE token = ? AND state = 'declined' LIMIT 1", (token,))
        return asked.fetchone() is not None

    def wish(self, payment: str, verb: str, word: str, token: str) -> None:
        """Write down what a developer wishes for a payment's next ``verb``; an empty word takes the wish back."""
        self._db.execute("DELETE FROM wish WHERE payment = ? AND verb = ? AND op_id = ''", (payment, verb))
        if word:
            row = (payment, verb, word, token)
            self._db.execute("INSERT INTO wish (payment, verb, word, token) VALUES (?, ?, ?, ?)", row)

    def wishes(self, payment: str) -> dict[str, str]:
        """Find what is wished for a payment and no operation has yet, by verb."""
        rows = self._db.execute("SELECT verb, word FROM wish WHERE payment = ? AND op_id = ''", (payment,))
        return {row["verb"]: row["word"] for row in rows}

    def is_wished(self, verb: str, payment: str, token: str) -> bool:
        """Say whether something is wished for this payment, or for this card."""
        found = self._db.execute(f"SELECT 1 FROM wish {_PENDING}", (verb, payment, token))  # noqa: S608 - a constant
        return found.fetchone() is not None

    def bind_wish(self, verb: str, op_id: str, payment: str, token: str) -> None:
        """Give the wish to an operation."""
        self._db.execute(f"UPDATE wish SET op_id = ? {_PENDING}", (op_id, verb, payment, token))  # noqa: S608 - likewise

    def release_wish(self, op_id: str) -> None:
        """Take a wish back from an operation; a newer one has its place."""
        self._db.execute("UPDATE OR IGNORE wish SET op_id = '' WHERE op_id = ?", (op_id,))

    def carry_wish(self, payment: str, token: str) -> None:
        """Say which card the wish about a payment's money is for."""
        pending = "WHERE payment = ? AND verb = 'authorise' AND op_id = ''"
        self._db.execute(f"UPDATE wish SET token = ? {pending}", (token, payment))  # noqa: S608 - likewise

    def wished(self, op_id: str) -> str:
        """Find what was wished of an operation; nearly always nothing."""
        row = self._db.execute("SELECT word FROM wish WHERE op_id = ?", (op_id,)).fetchone()
        return "" if row is None else str(row["word"])

    def standings(self, since: datetime) -> Iterator[Standing]:
        """Give the authorisations asked for from an instant on, as a statement tells them, oldest first."""
        rows = self._db.execute(
            "SELECT a.*, m.at, m.authorisation_number FROM authorisation a JOIN message m ON m.op_id = a.op_id"
            " WHERE m.at >= ? ORDER BY m.rowid",
            (since.astimezone(UTC).isoformat(timespec="milliseconds"),),
        )
        for row in rows:
            yield Standing(
                operation=row["op_id"],
                at=row["at"],
                state=row["state"],
                amount=row["amount_cents"],
                captured=row["captured_cents"],
                refunded=row["refunded_cents"],
                currency=row["currency"],
                authorisation_number=row["authorisation_number"],
                card=card_digest(row["token"]),
            )


def _answer(row: sqlite3.Row) -> Answer:
    return Answer(
        row["op_id"],
        Outcome(row["outcome"]),
        Money(row["amount_cents"], row["currency"]),
        row["response_code"],
        row["family"],
        row["authorisation_number"],
    )
