"""The judge: after everything has settled, our book, the bank's, the receiver's log and the merchant's view must agree.

It gives its findings as sentences, none when all is well, so that a test of the harness may ask for one of them.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import requests
from sqlalchemy import Row, select

from gateway.core.states import Status
from gateway.store import Transaction
from gateway.store import tables as t
from tests.crash.ageing import payments
from tests.crash.journey import Told
from tests.crash.rig import Rig
from tests.support.crash import rises

DEBITED = ("approved", "captured", "review")
UNTOLD = ("payment.created", "payment.opened")


def judge(rig: Rig, told: Told, *, mails_max: int = 1) -> list[str]:
    """Say what is wrong with one debt that was to be paid.

    :param mails_max: receipts each reader may get: two when what sends them was killed, which may have been just after
    """
    with rig.parts.store.reading() as tx:
        rows = tx.connection.execute(select(t.payment).where(t.payment.c.reference == told.reference)).all()
        paid = [row for row in rows if row.status == Status.PAID]
        findings = [
            *_against_the_bank(rig, tx, told.reference, len(paid)),
            *_ledger(tx, told.reference, len(paid)),
            *_history(tx, rows),
            *_notices(tx, told.reference),
            *_acknowledged(told, rows),
            *_receiver(rig, tx, rows),
        ]
    return findings + [finding for row in paid for finding in _readers(rig, row, mails_max)]


def _against_the_bank(rig: Rig, tx: Transaction, reference: str, paid: int) -> list[str]:
    """Compare the bank's book, all of it, with what we asked; then what it debited for this debt."""
    o, a = t.operation, t.attempt
    asked = select(o.c.op_id).where(o.c.kind == "authorise")
    every = set(tx.connection.execute(asked).scalars())
    mine = set(
        tx.connection.execute(
            asked.join(a, a.c.id == o.c.attempt_id).where(a.c.payment_id.in_(payments(reference)))
        ).scalars()
    )
    debited = {entry.op_id: entry for entry in rig.bank.book() if entry.state in DEBITED}
    findings = [f"the bank debited what we never asked for: {op_id}" for op_id in debited.keys() - every]
    ours = debited.keys() & mine
    if len(ours) > 1:
        findings.append(f"debited {len(ours)} times")
    if len(ours) != paid:
        findings.append(f"the bank debited {len(ours)}, we say {paid} paid")
    if not paid:
        findings.append("not paid, though the payer never gave up")
    return findings


def _ledger(tx: Transaction, reference: str, paid: int) -> list[str]:
    here = t.attempt.c.payment_id.in_(payments(reference))
    entries = select(t.ledger.c.amount_cents).join(t.attempt, t.attempt.c.id == t.ledger.c.attempt_id).where(here)
    amounts = tx.connection.execute(entries).scalars().all()
    findings = [] if sum(amounts) == 0 else [f"the ledger of the debt sums to {sum(amounts)}"]
    return findings if len(amounts) == 2 * paid else [*findings, f"{len(amounts)} ledger entries for {paid} paid"]


def _history(tx: Transaction, rows: Sequence[Row[Any]]) -> list[str]:
    """See that each payment's events are numbered without a gap, and that it succeeded once or not at all."""
    findings = []
    for row in rows:
        asked = select(t.event.c.seq, t.event.c.type).where(t.event.c.payment_id == row.id).order_by(t.event.c.seq)
        events = tx.connection.execute(asked).all()
        if [event.seq for event in events] != list(range(1, row.seq + 1)):
            findings.append(f"events with a gap: {[event.seq for event in events]}")
        successes = Counter(event.type for event in events)["payment.succeeded"]
        if successes != (row.status == Status.PAID):
            findings.append(f"{row.status} with {successes} payment.succeeded")
    return findings


def _notices(tx: Transaction, reference: str) -> list[str]:
    """See that all who are to be told were told; a code that came too late has its own way out, on the payer's page."""
    n = t.notice
    asked = select(n.c.channel, n.c.state, n.c.last_error).where(
        n.c.payment_id.in_(payments(reference)), n.c.channel != "sms", n.c.state != "sent"
    )
    return [f"{row.channel} is {row.state}: {row.last_error}" for row in tx.connection.execute(asked)]


def _acknowledged(told: Told, rows: Sequence[Row[Any]]) -> list[str]:
    """See that nothing is forgotten of what the portal and the payer were told."""
    known = {row.public_id: row.status for row in rows}
    findings = [f"the portal was given {lost}, which is not here" for lost in told.payments - known.keys()]
    if "paid" in told.pages and Status.PAID not in known.values():
        findings.append("the payer was told that it is paid")
    if "paid" in told.pages[:-1]:
        findings.append(f"the payer saw other pages after the receipt: {told.pages}")
    return findings


def _receiver(rig: Rig, tx: Transaction, rows: Sequence[Row[Any]]) -> list[str]:
    """See that each event arrived under one id with one body, signed, in order, and none is missing."""
    here = {row.public_id for row in rows}
    e = t.event
    news = select(e.c.public_id).where(
        e.c.payment_id.in_([row.id for row in rows]), e.c.type.like("payment.%"), e.c.type.not_in(UNTOLD)
    )
    due = set(tx.connection.execute(news).scalars())
    arrived = [notice for notice in rig.receiver.told if notice.payment in here]
    bodies: dict[str, set[str]] = defaultdict(set)
    first: dict[str, dict[str, int]] = defaultdict(dict)
    for notice in arrived:
        bodies[notice.id].add(notice.digest)
        first[notice.payment].setdefault(notice.id, notice.sequence)
    findings = [f"never told: {lost}" for lost in due - bodies.keys()]
    findings += [f"told of what never was: {stranger}" for stranger in bodies.keys() - due]
    findings += [f"{len(digests)} bodies for one id" for digests in bodies.values() if len(digests) > 1]
    findings += ["out of order" for told in first.values() if not rises(list(told.values()))]
    return findings + ["a bad signature" for notice in arrived if not notice.is_genuine]


def _readers(rig: Rig, row: Row[Any], mails_max: int) -> list[str]:
    """See what the merchant reads through the API, and how many receipts were mailed to whom."""
    url = f"{rig.base_url}/v1/payments/{row.public_id}"
    with requests.Session() as session:
        session.trust_env = False
        status = session.get(url, headers=rig.portal.bearer, timeout=60).json().get("status")
    findings = [] if status == "paid" else [f"the merchant reads {status}"]
    mails = Counter(message.to for message in rig.parts.inbox.messages(kind="mail", payment=row.public_id))
    if len(mails) != 2 or not all(1 <= count <= mails_max for count in mails.values()):
        findings.append(f"receipts: {dict(mails)}")
    return findings
