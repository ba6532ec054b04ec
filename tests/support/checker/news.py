"""What must hold of states and of what people are told: promises 7 to 10, and 18."""

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from gateway.core.challenge import TRIES_MAX
from gateway.core.moves import ATTEMPT_MOVES, MOVES
from gateway.core.states import AttemptStatus, Status
from tests.support.checker.case import Case
from tests.support.evidence import Move

_OVER = frozenset({"paid", "failed", "cancelled", "expired"})
_DEBT_MOVES = frozenset(
    {("open", "locked"), ("locked", "open"), ("locked", "busy"), ("busy", "locked"), ("busy", "paid"), ("paid", "open")}
)
# What every merchant of the native protocol is told.
_NEWS = frozenset({"succeeded", "refused", "cancelled", "expired", "refunded"})


def astray(case: Case) -> Iterator[str]:
    """Compare each change of a state with the law: the tables of the product, and the life of a debt."""
    for move in case.seen.moves:
        if not _is_lawful(move):
            yield f"{move.table} {move.row} went from {move.before} to {move.after}"


def _is_lawful(move: Move) -> bool:
    match move.table:
        case "payment":
            return Status(move.after) in MOVES[Status(move.before)]
        case "attempt":
            return AttemptStatus(move.after) in ATTEMPT_MOVES[AttemptStatus(move.before)]
        case "debt":
            return (move.before, move.after) in _DEBT_MOVES
        case "refund":
            return move.before in ("pending", "unknown")
    # A notice ends once, unless a person asks for it again.
    return "new" in (move.before, move.after)


def unsaid(case: Case) -> Iterator[str]:
    """Look for what somebody was told and what is not, or no longer, so."""
    payments = {row["public_id"]: row for row in case.payments.values()}
    refunds = {row["public_id"] for row in case.tables["refund"]}
    events = {row["public_id"] for row in case.tables["event"]}
    for act in case.seen.history:
        if act.result != "ok" or "payment" not in act.facts:
            continue
        payment, status = payments.get(act.facts["payment"]), act.facts.get("status", "")
        if payment is None:
            yield f"{act.actor} was told of {act.facts['payment']}, which there is not"
        elif status in _OVER and payment["status"] != status:
            yield f"{act.actor} was told that {act.facts['payment']} is {status}; it is {payment['status']}"
        if act.facts.get("refund", "") not in {"", *refunds}:
            yield f"{act.actor} was told of refund {act.facts['refund']}, which there is not"
    yield from (
        f"{d.target} was told of event {d.event}, which there is not"
        for d in case.seen.deliveries
        if d.event not in events
    )


def untold(case: Case) -> Iterator[str]:
    """Look for news that nobody got, that came in several versions, or that nobody was promised."""
    bodies: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    taken = set()
    for told in case.seen.deliveries:
        bodies[told.channel, told.target, told.event].add(told.digest)
        if told.is_taken:
            taken.add((told.channel, told.target, told.event))
    yield from (f"{key} came in {len(seen)} versions" for key, seen in bodies.items() if len(seen) > 1)
    notices = [row for row in case.tables["notice"] if row["channel"] != "sms"]
    alarmed = {row["event_id"] for row in notices if row["channel"] == "alarm_mail"}
    for row in notices:
        key = (row["channel"], row["target"], row["event_id"])
        if row["state"] == "new" and case.seen.is_quiet:
            yield f"{key} is still to be delivered"
        elif row["state"] == "sent" and key not in taken and row["last_reply"] != "fetched by the merchant":
            yield f"{key} counts as delivered, and nobody has it"
        elif row["state"] == "dead" and row["channel"] == "confirmation" and row["event_id"] not in alarmed:
            yield f"{key} was given up without an alarm"
    promised = {row["event_id"] for row in notices if row["channel"] == "confirmation"}
    for event in case.tables["event"]:
        payment = case.payments[event["payment_id"]]
        kind = event["type"].removeprefix("payment.")
        if (
            payment["dialect"] == "native"
            and payment["notify_url"]
            and kind in _NEWS
            and event["public_id"] not in promised
        ):
            yield f"nobody is told of {event['type']} of {payment['public_id']}"


def out_of_order(case: Case) -> Iterator[str]:
    """Look at what each receiver took first of each event; what was given up may come when it will."""
    places = {row["public_id"]: row["seq"] for row in case.tables["event"]}
    given_up = {row["event_id"] for row in case.tables["notice"] if row["state"] == "dead" or row["by_hand"]}
    first: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for told in case.seen.deliveries:
        if told.is_taken and told.channel == "confirmation" and told.event in places and told.event not in given_up:
            first[told.target, told.payment].setdefault(told.event, places[told.event])
    for (target, payment), order in first.items():
        if any(before > after for before, after in pairwise(order.values())):
            yield f"{target} learnt of {payment} in the order {list(order.values())}"


def guessing(case: Case) -> Iterator[str]:
    """Follow each card's counter of codes through its history: it rises, and stops."""
    counted: dict[str, list[int]] = defaultdict(list)
    for event in case.tables["event"]:
        if event["type"] == "challenge.failed":
            facts = json.loads(event["facts"])
            counted[facts["attempt"]].append(int(facts["tries"]))
    for attempt, tries in counted.items():
        if tries != sorted(tries) or tries[-1] > TRIES_MAX:
            yield f"the codes of {attempt} were counted {tries}"
