"""Journeys to Guichet, from the recap page to the end. States move by confirmations alone.

Every function takes an open transaction of the ledger.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from json import dumps, loads
from zoneinfo import ZoneInfo

from ledger import TWO_HOURS, list_invoices, next_reference, switch
from portals import Portal

_PARIS = ZoneInfo("Europe/Paris")

# What TIPI's manuals ask for after a payment that was given up.
_RULE = timedelta(hours=2)

# Guichet's page is surely gone, and its notice was sent.
_MARGIN = timedelta(minutes=5)

# Later than any clock: only a notice ends the wait.
_FOR_EVER = "9999"


class NotPayable(Exception):
    """What was chosen cannot be paid now.

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
    """One journey to Guichet.

    :ivar state: ``draft`` on the recap page, ``pending`` once under way, then what a confirmation said
    :ivar returned: only what the browser said
    :ivar pay_id: Guichet's own name for it, once known
    :ivar checkout_url: where to go on paying
    :ivar form: what the browser posts there; empty where an address is enough
    """

    reference: str
    portal: str
    merchant: str
    kind: str
    account: str
    label: str
    beneficiary: str
    email: str
    comment: str
    amount_cents: int
    refunded_cents: int
    state: str
    returned: str
    pay_id: str | None
    checkout_url: str
    form: Mapping[str, str]
    expires_at: datetime | None
    holds_until: str
    created_at: datetime
    changed_at: datetime
    lines: tuple[Line, ...]

    @property
    def may_resume(self) -> bool:
        """Whether the page at Guichet should still be open."""
        return self.state == "pending" and self.expires_at is not None and datetime.now(UTC) < self.expires_at


@dataclass(frozen=True, slots=True)
class Wish:
    """What the payer adds to a choice.

    :ivar amount_cents: how much to pay of a single invoice; 0 for all that is left
    """

    email: str
    comment: str = ""
    amount_cents: int = 0


@dataclass(frozen=True, slots=True)
class _Intent:
    merchant: str
    kind: str
    label: str
    beneficiary: str
    lines: tuple[Line, ...]
    account: str = ""


def draft_debts(db: sqlite3.Connection, portal: Portal, chosen: Sequence[int], wish: Wish) -> Payment:
    """Prepare one payment of the chosen invoices, under a reference never used before; nothing is taken yet.

    Raises :class:`NotPayable`.
    """
    invoices = [invoice for invoice in list_invoices(db, portal) if invoice.id in chosen]
    if not invoices or len(invoices) != len(set(chosen)):
        raise NotPayable("Choisissez au moins une facture de la liste.")
    if portal.is_single and len(invoices) > 1:
        raise NotPayable("Les factures se règlent une par une sur ce portail.")
    if len({invoice.merchant for invoice in invoices}) > 1:
        raise NotPayable("Un paiement ne peut régler que les factures d’une même collectivité.")
    if any(invoice.state != "due" for invoice in invoices):
        raise NotPayable(
            "Une de ces factures est déjà réglée, en cours de paiement, ou ne peut pas être payée ici.",
            _open_checkout(db, portal, set(chosen)),
        )
    if wish.amount_cents > invoices[0].due_cents:
        raise NotPayable("Le montant dépasse ce qui reste à régler.")
    label = invoices[0].label if len(invoices) == 1 else f"{len(invoices)} factures"
    lines = tuple(
        Line(
            invoice.number,
            f"{invoice.label} - {invoice.beneficiary}",
            wish.amount_cents or invoice.due_cents,
            invoice.id,
        )
        for invoice in invoices
    )
    payee, people = invoices[0].merchant, ", ".join(dict.fromkeys(invoice.beneficiary for invoice in invoices))
    return _add(db, portal, _Intent(payee, "debt", label, people, lines), wish)


def draft_top_up(db: sqlite3.Connection, portal: Portal, account: str, wish: Wish) -> Payment:
    """Prepare to feed a prepaid account of the portal's only merchant."""
    fed = portal.accounts[account]
    (merchant,) = portal.merchants
    line = Line("", f"{fed.label} - approvisionnement", wish.amount_cents)
    return _add(db, portal, _Intent(merchant, "top_up", fed.label, fed.beneficiary, (line,), account), wish)


def take(db: sqlite3.Connection, portal: Portal, reference: str) -> Payment:
    """Take the invoices of a draft: from here on nobody else can pay them. Raises :class:`NotPayable`."""
    payment = find_payment(db, reference)
    if payment is None or payment.portal != portal.slug:
        raise NotPayable("Ce paiement n’est pas connu ici.")
    if payment.state != "draft":
        raise NotPayable("Ce paiement a déjà commencé.", payment.checkout_url if payment.may_resume else "")
    due = {invoice.id: invoice.due_cents for invoice in list_invoices(db, portal) if invoice.state == "due"}
    if any(line.amount_cents > due.get(line.invoice, 0) for line in payment.lines if line.invoice is not None):
        raise NotPayable("Une de ces factures a changé entre-temps.")
    now = datetime.now(UTC)
    holds_until = _FOR_EVER
    if portal.page_minutes:
        is_ruled = switch(db, portal, TWO_HOURS)
        holds_until = (now + (_RULE if is_ruled else timedelta(minutes=portal.page_minutes) + _MARGIN)).isoformat()
    db.execute(
        "UPDATE payment SET state = 'pending', holds_until = ?, created_at = ?, changed_at = ? WHERE reference = ?",
        (holds_until, now.isoformat(), now.isoformat(), reference),
    )
    return _known(db, reference)


def note_opened(db: sqlite3.Connection, reference: str, **told: str | Mapping[str, str]) -> None:
    """Keep where the payer goes: ``pay_id`` (if any), ``checkout_url``, ``form``, ``expires_at``."""
    db.execute(
        "UPDATE payment SET pay_id = ?, checkout_url = ?, form = ?, expires_at = ? WHERE reference = ?",
        (told["pay_id"] or None, told["checkout_url"], dumps(told["form"]), told["expires_at"], reference),
    )


def note_not_opened(db: sqlite3.Connection, reference: str) -> None:
    """Give the invoices back: Guichet did not take the request."""
    db.execute("UPDATE payment SET state = 'not_opened' WHERE reference = ? AND state = 'pending'", (reference,))


def note_return(db: sqlite3.Connection, reference: str, status: str) -> None:
    """Keep what the browser brought back. Moves nothing."""
    db.execute("UPDATE payment SET returned = ? WHERE reference = ?", (status, reference))


def find_payment(db: sqlite3.Connection, key: str) -> Payment | None:
    """Find by our reference or by Guichet's name for it."""
    row = db.execute(
        "SELECT * FROM payment WHERE reference = ? OR pay_id = ? ORDER BY created_at DESC", (key, key)
    ).fetchone()
    return _payment(db, row) if row else None


def list_payments(db: sqlite3.Connection, portal: Portal) -> list[Payment]:
    """Give the history, newest first; drafts are no history."""
    rows = db.execute(
        "SELECT * FROM payment WHERE portal = ? AND state != 'draft' ORDER BY created_at DESC, rowid DESC LIMIT 200",
        (portal.slug,),
    ).fetchall()
    return [_payment(db, row) for row in rows]


def account_balance(db: sqlite3.Connection, portal: Portal, account: str) -> int:
    """Add up an account in cents: its opening balance and every top-up that Guichet confirmed."""
    (fed,) = db.execute(
        "SELECT COALESCE(SUM(amount_cents - refunded_cents), 0) FROM payment"
        " WHERE portal = ? AND account = ? AND state IN ('paid', 'refunded')",
        (portal.slug, account),
    ).fetchone()
    return portal.accounts[account].opening_cents + int(fed)


def _add(db: sqlite3.Connection, portal: Portal, intent: _Intent, wish: Wish) -> Payment:
    reference, now = _reference(db, portal), datetime.now(UTC).isoformat()
    total = sum(line.amount_cents for line in intent.lines)
    db.execute(
        "INSERT INTO payment (reference, portal, merchant, kind, account, label, beneficiary, email, comment,"
        " amount_cents, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(reference, portal.slug, intent.merchant, intent.kind, intent.account, intent.label),
            *(intent.beneficiary, wish.email, wish.comment, total, now, now),
        ),
    )
    db.executemany(
        "INSERT INTO payment_line (payment, reference, label, amount_cents, invoice) VALUES (?, ?, ?, ?, ?)",
        [
            (reference, line.reference or reference, line.label, line.amount_cents, line.invoice)
            for line in intent.lines
        ],
    )
    return _known(db, reference)


def _reference(db: sqlite3.Connection, portal: Portal) -> str:
    """Make a reference of the shape the portal's protocol takes, as each manual shows it."""
    if portal.protocol == "tipi":
        # Letters and digits, at most 30.
        return next_reference(db, f"{portal.prefix}{portal.credential}").replace("-", "")
    if portal.protocol == "spplus":
        at = datetime.now(_PARIS)
        while find_payment(db, reference := f"{portal.prefix}{at:%Y%m%d%H%M%S}"):
            at += timedelta(seconds=1)
        return reference
    return next_reference(db, f"{portal.prefix}P")


def _open_checkout(db: sqlite3.Connection, portal: Portal, chosen: set[int]) -> str:
    """Find the open page of the very same choice: a second click then lands where the first one did."""
    for payment in list_payments(db, portal):
        if payment.may_resume and {line.invoice for line in payment.lines} == chosen:
            return payment.checkout_url
    return ""


def _known(db: sqlite3.Connection, reference: str) -> Payment:
    return _payment(db, db.execute("SELECT * FROM payment WHERE reference = ?", (reference,)).fetchone())


def _payment(db: sqlite3.Connection, row: sqlite3.Row) -> Payment:
    fields = dict(row)
    for name in ("created_at", "changed_at"):
        fields[name] = datetime.fromisoformat(fields[name])
    fields["expires_at"] = datetime.fromisoformat(fields["expires_at"]) if fields["expires_at"] else None
    fields["form"] = loads(fields["form"])
    lines = db.execute(
        "SELECT reference, label, amount_cents, invoice FROM payment_line WHERE payment = ? ORDER BY rowid",
        (row["reference"],),
    )
    return Payment(**fields, lines=tuple(Line(**dict(line)) for line in lines))
