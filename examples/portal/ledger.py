"""What the portal remembers, in one SQLite file: invoices and the payments made for them.

Every function takes an open transaction. What Guichet said is in ``confirmations.py``.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from invoices import Draft, Invoice, Portal

_SCHEMA = Path(__file__).with_name("schema.sql")

# Letters and digits that cannot be mistaken for one another on paper.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class NotPayable(Exception):
    """Some of the chosen invoices cannot be paid now.

    :ivar checkout_url: where the very same choice is being paid already, if it is
    """

    def __init__(self, reason: str, checkout_url: str = "") -> None:
        super().__init__(reason)
        self.reason, self.checkout_url = reason, checkout_url


@dataclass(frozen=True, slots=True)
class Line:
    """One debt, or one top-up, inside a payment."""

    reference: str
    label: str
    amount_cents: int
    invoice: int | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """One journey to Guichet. ``state`` moves by confirmations alone, ``returned`` is only what the browser said."""

    reference: str
    portal: str
    merchant: str
    kind: str
    account: str
    label: str
    beneficiary: str
    amount_cents: int
    refunded_cents: int
    state: str
    returned: str
    pay_id: str | None
    checkout_url: str
    expires_at: datetime | None
    created_at: datetime
    changed_at: datetime
    lines: tuple[Line, ...]

    @property
    def may_resume(self) -> bool:
        """Whether the page at Guichet should still be open."""
        return self.state == "pending" and self.expires_at is not None and datetime.now(UTC) < self.expires_at


class Ledger:
    """The file. Connections are short and belong to one request each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA.read_text("utf-8"))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the only writing transaction; it is undone when the block raises."""
        with closing(self._connect()) as db:
            # Immediate, so that checking an invoice and taking it cannot be split by another request.
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        db.row_factory = sqlite3.Row
        return db


def add_invoices(db: sqlite3.Connection, portal: Portal, drafts: Iterable[Draft]) -> None:
    """Number and keep new invoices."""
    rows = [
        (
            portal.slug,
            draft.merchant,
            _next_reference(db, f"{portal.prefix}{draft.issued_on.year}"),
            draft.label,
            draft.beneficiary,
            draft.amount_cents,
            draft.due_cents,
            draft.issued_on.isoformat(),
            draft.due_on.isoformat(),
        )
        for draft in drafts
    ]
    db.executemany(
        "INSERT INTO invoice (portal, merchant, number, label, beneficiary, amount_cents, due_cents, issued_on, due_on)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def archive_invoices(db: sqlite3.Connection, portal: Portal) -> None:
    """Take all invoices off the list; payments already made keep their history."""
    db.execute("UPDATE invoice SET archived = 1 WHERE portal = ?", (portal.slug,))


def list_invoices(db: sqlite3.Connection, portal: Portal) -> list[Invoice]:
    """Give the invoices on the list, each in the state its payments put it in.

    A refused, cancelled or expired payment holds nothing, so its invoices are due again.
    """
    rows = db.execute(
        "SELECT id, merchant, number, label, beneficiary, amount_cents, due_cents, issued_on, due_on,"
        " COALESCE((SELECT payment.state FROM payment JOIN payment_line ON payment_line.payment = payment.reference"
        "  WHERE payment_line.invoice = invoice.id AND payment.state IN ('pending', 'paid', 'refunded')"
        "  ORDER BY payment.state = 'pending', payment.created_at DESC LIMIT 1), 'due') AS state"
        " FROM invoice WHERE portal = ? AND NOT archived ORDER BY id",
        (portal.slug,),
    )
    return [_invoice(row) for row in rows]


def begin_payment(db: sqlite3.Connection, portal: Portal, chosen: Sequence[int]) -> Payment:
    """Take the chosen invoices for one payment, under a reference never used before.

    Raises :class:`NotPayable`.
    """
    invoices = [invoice for invoice in list_invoices(db, portal) if invoice.id in chosen]
    if not invoices or len(invoices) != len(set(chosen)):
        raise NotPayable("Choisissez au moins une facture de la liste.")
    if len({invoice.merchant for invoice in invoices}) > 1:
        raise NotPayable("Un paiement ne peut régler que les factures d'une même collectivité.")
    if any(invoice.state != "due" for invoice in invoices):
        raise NotPayable(
            "Une de ces factures est déjà réglée, ou en cours de paiement.", _open_checkout(db, portal, set(chosen))
        )
    label = invoices[0].label if len(invoices) == 1 else f"{len(invoices)} factures"
    lines = tuple(
        Line(invoice.number, f"{invoice.label} - {invoice.beneficiary}", invoice.due_cents, invoice.id)
        for invoice in invoices
    )
    payee, people = invoices[0].merchant, ", ".join(dict.fromkeys(invoice.beneficiary for invoice in invoices))
    return _add_payment(db, portal, _Intent(payee, "debt", label, people, lines))


def begin_top_up(db: sqlite3.Connection, portal: Portal, account: str, amount_cents: int) -> Payment:
    """Begin to feed a prepaid account of the portal's only merchant."""
    label, beneficiary, _ = portal.accounts[account]
    (merchant,) = portal.merchants
    line = Line("", f"{label} - approvisionnement", amount_cents)
    return _add_payment(db, portal, _Intent(merchant, "top_up", label, beneficiary, (line,), account))


def note_opened(db: sqlite3.Connection, reference: str, *, pay_id: str, checkout_url: str, expires_at: str) -> None:
    """Keep what Guichet answered."""
    db.execute(
        "UPDATE payment SET pay_id = ?, checkout_url = ?, expires_at = ? WHERE reference = ?",
        (pay_id, checkout_url, expires_at, reference),
    )


def note_not_opened(db: sqlite3.Connection, reference: str) -> None:
    """Give the invoices back: Guichet did not take the request."""
    db.execute("UPDATE payment SET state = 'not_opened' WHERE reference = ? AND state = 'pending'", (reference,))


def note_return(db: sqlite3.Connection, reference: str, pay_id: str, status: str) -> bool:
    """Keep what the browser brought back, and say whether it speaks of a payment we know. Moves nothing."""
    changed = db.execute(
        "UPDATE payment SET returned = ? WHERE reference = ? AND pay_id = ?", (status, reference, pay_id)
    )
    return changed.rowcount == 1


def find_payment(db: sqlite3.Connection, key: str) -> Payment | None:
    """Find by our reference or by Guichet's payment id."""
    row = db.execute("SELECT * FROM payment WHERE reference = ? OR pay_id = ?", (key, key)).fetchone()
    return _payment(db, row) if row else None


def list_payments(db: sqlite3.Connection, portal: Portal) -> list[Payment]:
    """Give the history, newest first."""
    rows = db.execute(
        "SELECT * FROM payment WHERE portal = ? ORDER BY created_at DESC, rowid DESC LIMIT 200", (portal.slug,)
    ).fetchall()
    return [_payment(db, row) for row in rows]


def account_balance(db: sqlite3.Connection, portal: Portal, account: str) -> int:
    """Add up an account in cents: its opening balance and every top-up that Guichet confirmed."""
    (fed,) = db.execute(
        "SELECT COALESCE(SUM(amount_cents - refunded_cents), 0) FROM payment"
        " WHERE portal = ? AND account = ? AND state IN ('paid', 'refunded')",
        (portal.slug, account),
    ).fetchone()
    return portal.accounts[account][2] + int(fed)


@dataclass(frozen=True, slots=True)
class _Intent:
    merchant: str
    kind: str
    label: str
    beneficiary: str
    lines: tuple[Line, ...]
    account: str = ""


def _add_payment(db: sqlite3.Connection, portal: Portal, intent: _Intent) -> Payment:
    reference = _next_reference(db, f"{portal.prefix}P")
    now = datetime.now(UTC).isoformat()
    total = sum(line.amount_cents for line in intent.lines)
    db.execute(
        "INSERT INTO payment (reference, portal, merchant, kind, account, label, beneficiary, amount_cents,"
        " created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            reference,
            portal.slug,
            intent.merchant,
            intent.kind,
            intent.account,
            intent.label,
            intent.beneficiary,
            total,
            now,
            now,
        ),
    )
    db.executemany(
        "INSERT INTO payment_line (payment, reference, label, amount_cents, invoice) VALUES (?, ?, ?, ?, ?)",
        [
            (reference, line.reference or reference, line.label, line.amount_cents, line.invoice)
            for line in intent.lines
        ],
    )
    row = db.execute("SELECT * FROM payment WHERE reference = ?", (reference,)).fetchone()
    return _payment(db, row)


def _next_reference(db: sqlite3.Connection, prefix: str) -> str:
    """Count within a random batch drawn with the file: deleting the file never brings an old reference back."""
    batch = "".join(secrets.choice(_ALPHABET) for _ in range(5))
    row = db.execute(
        "INSERT INTO numbering (name, batch, last) VALUES (?, ?, 1)"
        " ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING batch, last",
        (prefix, batch),
    ).fetchone()
    return f"{prefix}-{row['batch']}-{row['last']:04d}"


def _open_checkout(db: sqlite3.Connection, portal: Portal, chosen: set[int]) -> str:
    """Find the open page of the very same choice: a second click then lands where the first one did."""
    for payment in list_payments(db, portal):
        if payment.may_resume and {line.invoice for line in payment.lines} == chosen:
            return payment.checkout_url
    return ""


def _invoice(row: sqlite3.Row) -> Invoice:
    fields = dict(row)
    for name in ("issued_on", "due_on"):
        fields[name] = date.fromisoformat(fields[name])
    return Invoice(**fields)


def _payment(db: sqlite3.Connection, row: sqlite3.Row) -> Payment:
    fields = dict(row)
    for name in ("created_at", "changed_at"):
        fields[name] = datetime.fromisoformat(fields[name])
    fields["expires_at"] = datetime.fromisoformat(fields["expires_at"]) if fields["expires_at"] else None
    lines = db.execute(
        "SELECT reference, label, amount_cents, invoice FROM payment_line WHERE payment = ? ORDER BY rowid",
        (row["reference"],),
    )
    return Payment(**fields, lines=tuple(Line(**dict(line)) for line in lines))
