"""What must hold of money: promises 1 to 6."""

from collections import Counter
from collections.abc import Iterator

from gateway.core.states import MONEY
from tests.support.checker.case import DEBITED, Case

_HOLDING = frozenset({"approved", "review", "captured"})
_DOUBT = frozenset({"authorising", "unknown", "reversing"})
# Attempts that ended without money.
_ENDED = frozenset({"declined", "reversed", "abandoned", "authn_failed"})


def debited_twice(case: Case) -> Iterator[str]:
    """Walk through the bank's book in its own order: who held which debt, and when."""
    held: dict[int, str] = {}
    refunded: Counter[str] = Counter()
    for said in case.seen.said:
        target = said.op_id if said.verb == "authorise" else said.about
        attempt = case.attempt_of(target)
        if said.verb != "enrol" and said.op_id not in case.operations:
            yield f"the bank was asked to {said.verb} by {said.op_id}, which nobody wrote down"
        if attempt is None:
            continue
        debts = case.debts_of[attempt["payment_id"]]
        refunded[target] += said.cents if (said.verb, said.outcome) == ("refund", "approved") else 0
        if (said.verb, said.outcome) == ("authorise", "approved"):
            yield from (f"debt {d} is held by {held[d]} and by {target}" for d in sorted(debts) if d in held)
            held.update(dict.fromkeys(debts, target))
        elif said.outcome == "reversed" or refunded[target] >= case.payments[attempt["payment_id"]]["amount_cents"]:
            held = {debt: holder for debt, holder in held.items() if holder != target}
    yield from _holds(case)


def _holds(case: Case) -> Iterator[str]:
    active = {(row["attempt_id"], row["debt_id"]) for row in case.tables["hold"] if row["is_active"]}
    should = {
        (row["id"], debt)
        for row in case.tables["attempt"]
        if row["status"] in MONEY
        for debt in case.debts_of[row["payment_id"]]
    }
    yield from (f"attempt {attempt} does not hold debt {debt}" for attempt, debt in sorted(should - active))
    yield from (f"attempt {attempt} still holds debt {debt}" for attempt, debt in sorted(active - should))
    holders = Counter(debt for _, debt in should)
    yield from (f"debt {debt} has {number} attempts with money" for debt, number in holders.items() if number > 1)


def approval_lost(case: Case) -> Iterator[str]:
    """Compare what the bank holds with what we say, and look for doubts nobody looks after."""
    for entry in case.seen.entries:
        attempt = case.attempt_of(entry.op_id)
        if attempt is None or entry.state not in _HOLDING or entry.refunded == entry.cents:
            continue
        status, payment = attempt["status"], case.payments[attempt["payment_id"]]
        if status in DEBITED and payment["status"] != "paid":
            yield f"{entry.op_id} is debited, but the payment is {payment['status']}"
        elif status not in MONEY:
            yield f"{entry.op_id} is {entry.state} at the bank, {status} here"
    for attempt in case.attempts.values():
        if attempt["status"] in _DOUBT and (attempt["next_at"] is None or case.seen.is_quiet):
            yield f"attempt {attempt['id']} is {attempt['status']}, and nobody looks after it"


def debited_late(case: Case) -> Iterator[str]:
    """Look for approvals after the end: after a reversal, or behind an attempt that is over."""
    over: set[str] = set()
    for said in case.seen.said:
        if said.verb == "authorise" and said.outcome == "approved" and said.op_id in over:
            yield f"{said.op_id} was approved after it had been undone"
        if said.outcome == "reversed":
            over.add(said.about)
    for attempt_id, entry in case.authorised.items():
        status = case.attempts[attempt_id]["status"]
        if status in _ENDED and entry.state in _HOLDING:
            yield f"{entry.op_id} holds money although its attempt is {status}"


def guessed(case: Case) -> Iterator[str]:
    """Ask of each outcome which clear answer, or whose decision, it rests on."""
    if case.seen.exchanges is None:
        return
    clear = {(exchange.op_id, exchange.verb, exchange.outcome) for exchange in case.seen.exchanges}
    asked_for = {exchange.op_id for exchange in case.seen.exchanges}
    decided = {(act.facts.get("payment"), act.facts.get("approved")) for act in case.seen.history if act.op == "decide"}
    for op_id, operation in case.operations.items():
        attempt, kind = case.attempts[operation["attempt_id"]], operation["kind"]
        payment = case.payments[attempt["payment_id"]]["public_id"]
        claimed, excuse = _claimed(kind, attempt["status"], operation["outcome"])
        asked = ("authorise", "status") if kind == "authorise" else (kind,)
        if claimed == "declined" and op_id not in asked_for:
            # A card over a limit is refused without the bank: nothing was sent, nothing can come back.
            continue
        is_known = any((op_id, verb, claimed) in clear for verb in asked)
        if claimed and not is_known and (payment, excuse) not in decided:
            yield f"{kind} {op_id} counts as {claimed}, which the bank never clearly said"


def _claimed(kind: str, status: str, outcome: str) -> tuple[str, str]:
    """Give what we say that the bank said to a message, and which decision of people may stand in its place."""
    if kind == "authorise":
        return ("approved", "yes") if status in DEBITED else ("declined" if status == "declined" else "", "")
    if kind == "reverse":
        return ("reversed" if status == "reversed" else outcome), "no"
    return outcome, ""


def unexplained(case: Case) -> Iterator[str]:
    """Balance the ledger, and match each of its entries with an attempt, a refund and an event."""
    sums: Counter[tuple[int, str, int]] = Counter()
    posted: Counter[tuple[int, str]] = Counter()
    for row in case.tables["ledger"]:
        sums[row["attempt_id"], row["kind"], row["refund_id"]] += row["amount_cents"]
        if row["account"] == "acquirer":
            posted[row["attempt_id"], row["kind"]] += row["amount_cents"]
    yield from (f"ledger entries {key} leave {left}" for key, left in sums.items() if left)
    done: Counter[int] = Counter()
    for refund in case.tables["refund"]:
        done[refund["attempt_id"]] += refund["amount_cents"] if refund["status"] == "done" else 0
    succeeded = Counter(row["payment_id"] for row in case.tables["event"] if row["type"] == "payment.succeeded")
    debits: Counter[int] = Counter()
    for attempt in case.attempts.values():
        payment, key = case.payments[attempt["payment_id"]], attempt["id"]
        is_debited = attempt["status"] in DEBITED
        debits[payment["id"]] += is_debited
        expected = (payment["amount_cents"] if is_debited else 0, -done[key])
        if (posted[key, "debit"], posted[key, "refund"]) != expected:
            yield f"the ledger of attempt {key} says {posted[key, 'debit']}, {posted[key, 'refund']}; not {expected}"
    for payment in case.payments.values():
        counted = {debits[payment["id"]], succeeded[payment["id"]], int(payment["status"] == "paid")}
        if len(counted) > 1:
            yield f"{payment['public_id']} is {payment['status']} with {debits[payment['id']]} debits"


def paid_out_twice(case: Case) -> Iterator[str]:
    """Count captures and refunds in both books."""
    captures = Counter(s.about for s in case.seen.said if (s.verb, s.outcome) == ("capture", "approved"))
    yield from (f"{target} was captured {number} times" for target, number in captures.items() if number > 1)
    reserved: Counter[int] = Counter()
    for refund in case.tables["refund"]:
        if refund["status"] != "refused":
            reserved[refund["payment_id"]] += refund["amount_cents"]
    for payment in case.payments.values():
        if not reserved[payment["id"]] == payment["refunded_cents"] <= payment["amount_cents"]:
            yield f"{payment['public_id']} has {reserved[payment['id']]} refunded, says {payment['refunded_cents']}"
    ours = {row["op_id"]: row for row in case.tables["refund"]}
    for said in case.seen.said:
        known = ours.get(said.op_id, {"status": "refused"})
        if said.verb == "refund" and said.outcome == "approved" and known["status"] == "refused":
            yield f"the bank refunded {said.about} by {said.op_id}, which is no refund of ours"
    if case.seen.is_quiet:
        yield from _books_differ(case)


def _books_differ(case: Case) -> Iterator[str]:
    """Compare what was paid out and given back in both books, once nothing is under way."""
    done: Counter[int] = Counter()
    for refund in case.tables["refund"]:
        if refund["status"] in ("pending", "unknown"):
            yield f"refund {refund['public_id']} is still {refund['status']}"
        done[refund["attempt_id"]] += refund["amount_cents"] if refund["status"] == "done" else 0
    for attempt_id, entry in case.authorised.items():
        status = case.attempts[attempt_id]["status"]
        is_paid_out = status in ("captured", "part_refunded") or (status == "refunded" and entry.state != "reversed")
        given = done[attempt_id] if entry.state != "reversed" else 0
        if status in DEBITED and (entry.captured > 0, entry.refunded) != (is_paid_out, given):
            yield f"{entry.op_id}: the bank paid out {entry.captured}, refunded {entry.refunded}; here {status}, {given}"
