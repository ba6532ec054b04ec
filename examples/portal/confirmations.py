"""What Guichet said, and what the portal makes of it: each notice acts once, in whatever order notices come."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from ledger import TWO_HOURS, switch
from payments import Payment, find_payment
from portals import Portal
from proof import Confirmation

_STATES = {
    "payment.succeeded": "paid",
    # SP Plus tells a payment in cash three times: authorised, to be remitted, remitted.
    "payment.remittance_planned": "paid",
    "payment.remitted": "paid",
    "payment.refused": "refused",
    "payment.cancelled": "cancelled",
    "payment.expired": "expired",
    # Cancelled or run out of time: some protocols do not tell the two apart.
    "payment.abandoned": "abandoned",
    "payment.refunded": "refunded",
}

# A state never gives way to one below it, so a notice that comes late cannot undo a newer one.
_RANKS = {
    **dict.fromkeys(("draft", "pending", "not_opened"), 0),
    **dict.fromkeys(("refused", "cancelled", "expired", "abandoned"), 1),
    "paid": 2,
    "refunded": 3,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One confirmation as the follow-up page lists it; ``deliveries`` counts how often it came."""

    id: str
    payment: str
    reference: str
    merchant: str
    type: str
    amount_cents: int
    card: str
    words: str
    sent_at: str
    received_at: datetime
    deliveries: int
    remark: str


def record_confirmation(db: sqlite3.Connection, portal: Portal, notice: Confirmation) -> bool:
    """Keep a verified notice and act on it; a notice that was here before only counts. Says whether it was new."""
    payment = find_payment(db, notice.reference)
    remark = _remark(portal, payment, notice)
    now = datetime.now(UTC).isoformat()
    (deliveries,) = db.execute(
        "INSERT INTO event (id, portal, payment, reference, merchant, type, amount_cents, card, words, sent_at,"
        " received_at, remark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET deliveries = deliveries + 1 RETURNING deliveries",
        (
            notice.id,
            portal.slug,
            notice.payment,
            notice.reference,
            notice.merchant,
            notice.type,
            notice.refunded_cents or notice.amount_cents,
            _card(notice),
            notice.words,
            notice.sent_at,
            now,
            remark,
        ),
    ).fetchone()
    if deliveries > 1:
        return False
    if payment and not remark:
        _move(db, portal, payment, notice)
    return True


def list_events(db: sqlite3.Connection, portal: Portal, payment: str = "") -> list[Event]:
    """Give the confirmations of a portal, or of one payment, newest first."""
    rows = db.execute(
        "SELECT id, payment, reference, merchant, type, amount_cents, card, words, sent_at, received_at, deliveries,"
        " remark FROM event WHERE portal = ? AND (? = '' OR reference = ?) ORDER BY received_at DESC, rowid DESC LIMIT 200",
        (portal.slug, payment, payment),
    )
    return [Event(**{**dict(row), "received_at": datetime.fromisoformat(row["received_at"])}) for row in rows]


def _remark(portal: Portal, payment: Payment | None, notice: Confirmation) -> str:
    """Say why a genuine notice must not act: a person has to look at it."""
    if notice.type not in _STATES:
        return "type inconnu de ce portail"
    if payment is None or payment.portal != portal.slug:
        return "référence inconnue de ce portail"
    if (notice.merchant, notice.amount_cents, notice.currency) != (payment.merchant, payment.amount_cents, "EUR"):
        return "bénéficiaire ou montant différent de la demande"
    if payment.pay_id and notice.payment and payment.pay_id != notice.payment:
        return "autre paiement que celui de la demande"
    return ""


def _move(db: sqlite3.Connection, portal: Portal, payment: Payment, notice: Confirmation) -> None:
    state, refunded = _STATES[notice.type], payment.refunded_cents
    if state == "refunded":
        # Without a refunded amount the whole was given back; a smaller one leaves the rest paid.
        refunded = max(refunded, notice.refunded_cents or payment.amount_cents)
        state = "refunded" if refunded >= payment.amount_cents else "paid"
    if _RANKS[state] <= _RANKS[payment.state]:
        state = payment.state
    # Guichet frees a debt at once; a portal that follows the old manuals to the letter keeps it for its two hours.
    holds_until = payment.holds_until if switch(db, portal, TWO_HOURS) else ""
    db.execute(
        "UPDATE payment SET state = ?, refunded_cents = ?, pay_id = COALESCE(pay_id, ?), holds_until = ?,"
        " changed_at = ? WHERE reference = ?",
        (state, refunded, notice.payment or None, holds_until, datetime.now(UTC).isoformat(), payment.reference),
    )


def _card(notice: Confirmation) -> str:
    scheme, last4 = notice.card.get("scheme"), notice.card.get("last4")
    return f"{str(scheme or 'carte').upper()} •••• {last4}" if last4 else ""
