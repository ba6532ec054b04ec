"""What the portals remember, in one SQLite file: here the file itself, invoices, numbers and switches.

Every function takes an open transaction. Payments are in ``payments.py``, what Guichet said in ``confirmations.py``.
"""

import base64
import hashlib
import hmac
import logging
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from invoices import Draft, Invoice
from portals import Portal

log = logging.getLogger("portal")

_SCHEMA = Path(__file__).with_name("schema.sql")

# Of the tables. A portal with anything to lose would migrate; this one begins anew.
_SCHEMA_VERSION = 2

# Letters and digits that cannot be mistaken for one another on paper.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

# What the invoicing service can switch, for a try: no payment for now; the two-hour rule of TIPI's manuals.
SUSPENDED, TWO_HOURS = "suspended", "two_hours"


class Ledger:
    """The file. Connections are short and belong to one request each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as db:
            db.execute("PRAGMA journal_mode = WAL")
        with self.transaction() as db:
            _prepare(db)

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


def _prepare(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == _SCHEMA_VERSION:
        return
    old = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if old:
        log.warning("tables of another version are dropped: %s", ", ".join(old))
    # Lines before the payments and invoices they name.
    for name in sorted(old, key=lambda name: name != "payment_line"):
        db.execute(f'DROP TABLE "{name}"')
    for statement in _SCHEMA.read_text("utf-8").split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def add_invoices(db: sqlite3.Connection, portal: Portal, drafts: Iterable[Draft]) -> None:
    """Number and keep new invoices."""
    rows = [
        (
            portal.slug,
            draft.merchant,
            next_reference(db, f"{portal.prefix.upper()}{draft.issued_on.year}"),
            draft.label,
            draft.beneficiary,
            draft.amount_cents,
            draft.due_cents,
            draft.issued_on.isoformat(),
            draft.due_on.isoformat(),
            draft.mark,
        )
        for draft in drafts
    ]
    db.executemany(
        "INSERT INTO invoice (portal, merchant, number, label, beneficiary, amount_cents, due_cents, issued_on, due_on,"
        " mark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def archive_invoices(db: sqlite3.Connection, portal: Portal) -> None:
    """Take all invoices off the list; payments already made keep their history."""
    db.execute("UPDATE invoice SET archived = 1 WHERE portal = ?", (portal.slug,))


def list_invoices(db: sqlite3.Connection, portal: Portal) -> list[Invoice]:
    """Give the invoices on the list, each in the state its payments put it in.

    A payment that ended without money holds nothing, so its invoices are due again, at once or after two hours.
    """
    is_suspended = switch(db, portal, SUSPENDED)
    rows = db.execute("SELECT * FROM invoice WHERE portal = ? AND NOT archived ORDER BY id", (portal.slug,)).fetchall()
    return [_invoice(row, _lines(db, row["id"]), is_suspended=is_suspended) for row in rows]


def find_invoice(db: sqlite3.Connection, portal: Portal, key: int) -> Invoice | None:
    """Find an invoice on the list."""
    return next((invoice for invoice in list_invoices(db, portal) if invoice.id == key), None)


def switch(db: sqlite3.Connection, portal: Portal, name: str) -> bool:
    """Say whether a switch of a portal is on."""
    row = db.execute("SELECT value FROM setting WHERE name = ?", (f"{portal.slug}.{name}",)).fetchone()
    return bool(row and row["value"] == "on")


def set_switch(db: sqlite3.Connection, portal: Portal, name: str, *, on: bool) -> None:
    """Set a switch of a portal; without the two-hour rule, what waits under it is free at once."""
    db.execute(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (f"{portal.slug}.{name}", "on" if on else "off"),
    )
    if name == TWO_HOURS and not on:
        db.execute(
            "UPDATE payment SET holds_until = '' WHERE portal = ?"
            " AND state IN ('refused', 'cancelled', 'abandoned', 'expired')",
            (portal.slug,),
        )


def next_reference(db: sqlite3.Connection, prefix: str) -> str:
    """Count within a random batch drawn with the file: deleting the file never brings an old reference back."""
    batch = "".join(secrets.choice(_ALPHABET) for _ in range(5))
    row = db.execute(
        "INSERT INTO numbering (name, batch, last) VALUES (?, ?, 1)"
        " ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING batch, last",
        (prefix, batch),
    ).fetchone()
    return f"{prefix}-{row['batch']}-{row['last']:04d}"


def paper_mark(db: sqlite3.Connection, number: str) -> str:
    """Sign the number of an invoice for its printed address, with a secret drawn with the file: 16 signs."""
    db.execute("INSERT INTO setting (name, value) VALUES ('paper', ?) ON CONFLICT DO NOTHING", (secrets.token_hex(32),))
    (secret,) = db.execute("SELECT value FROM setting WHERE name = 'paper'").fetchone()
    return base64.urlsafe_b64encode(hmac.digest(secret.encode(), number.encode(), hashlib.sha256)[:12]).decode()


def _lines(db: sqlite3.Connection, invoice: int) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT payment_line.amount_cents, payment.state, payment.holds_until FROM payment_line"
        " JOIN payment ON payment_line.payment = payment.reference"
        " WHERE payment_line.invoice = ? AND payment.state NOT IN ('draft', 'not_opened') ORDER BY payment.created_at",
        (invoice,),
    ).fetchall()


def _invoice(row: sqlite3.Row, lines: Sequence[sqlite3.Row], *, is_suspended: bool) -> Invoice:
    now = datetime.now(UTC).isoformat()
    settled = [line for line in lines if line["state"] in ("paid", "refunded")]
    held = [line for line in lines if line not in settled and line["holds_until"] > now]
    left = max(row["due_cents"] - sum(line["amount_cents"] for line in settled), 0)
    until = max((line["holds_until"] for line in held), default="")
    if held:
        state = "pending" if any(line["state"] == "pending" for line in held) else "waiting"
    elif not left:
        state = settled[-1]["state"]
    else:
        state = row["mark"] or ("suspended" if is_suspended else "due")
    return Invoice(
        **{name: row[name] for name in ("id", "merchant", "number", "label", "beneficiary", "amount_cents")},
        due_cents=left or row["due_cents"],
        issued_on=date.fromisoformat(row["issued_on"]),
        due_on=date.fromisoformat(row["due_on"]),
        state=state,
        waits_until=datetime.fromisoformat(until) if until and until < "9" else None,
    )
