"""The judge sees what it should: one honest run is found good, and each way of doctoring it breaks one promise."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import pytest

from gateway.core.money import Money
from gateway.core.payment import Line, PaymentRequest, Which
from gateway.dialects import Open, Refund, Signed
from tests.factories import CHALLENGE, FRICTIONLESS, a_card
from tests.simulation.cast import Cast
from tests.simulation.house import House
from tests.simulation.world import Weather, World
from tests.support.checker import check
from tests.support.evidence import Act, Evidence, Move, Row, Said

MERCHANT = "mairie-demo"


def a_life(world: World) -> None:
    """Refuse to know a code, pay with another card, give a part back: two payments, one of them left alone."""
    opening, paying = world.checkout.opening, world.checkout.paying
    amount = Money(5000)
    pages = []
    for name in ("FACT-1", "FACT-2"):
        request = PaymentRequest(
            MERCHANT, name, amount, (Line(name, "Cantine", amount),), "Cantine", email="famille@example.org",
            notify_url="https://mairie.example/confirmations",
        )  # fmt: skip
        page = world.ask("open", partial(opening.open, Open(request, Signed(MERCHANT, name, name)), "native"))
        assert page is not None
        pages.append(page[0].id)
        world.ask("show", partial(paying.show, page[0].id))
    payment = pages[0]
    paying.enter_card(payment, a_card(CHALLENGE), scheme="", email="")
    for typed in ("000000", "000001"):
        world.ask("answer_challenge", partial(paying.answer_challenge, payment, typed))
    paying.change_card(payment)
    paying.enter_card(payment, a_card(FRICTIONLESS), scheme="", email="")
    world.ask("authorise", partial(world.checkout.settling.authorise, payment))
    world.ask("show", partial(paying.show, payment))
    world.checkout.sweep()
    for number in (1, 2):
        order = Refund(Which(payment=payment), Money(1000), Signed(MERCHANT, f"refund {number}", "d"))
        world.ask("refund", partial(world.checkout.refunding.refund, order, "native"))
    Cast(world).settle()


@pytest.fixture(scope="module")
def honest(house: House) -> Evidence:
    """Give the evidence of a life without trouble."""
    world = World(house, 1, given=Weather())
    world.stage.enter("everybody", lambda: a_life(world))
    world.stage.play()
    return world.evidence()


def changed(table: str, is_meant: Callable[[Row], bool], **changes: object) -> Callable[[Evidence], Evidence]:
    """Change the rows of a table that are meant; none is left out by accident."""

    def doctor(seen: Evidence) -> Evidence:
        rows = seen.tables[table]
        assert any(map(is_meant, rows)), f"nothing in {table} to doctor"
        done = tuple({**row, **changes} if is_meant(row) else row for row in rows)
        return replace(seen, tables={**seen.tables, table: done})

    return doctor


def without(table: str, is_meant: Callable[[Row], bool]) -> Callable[[Evidence], Evidence]:
    """Take the rows that are meant out of a table."""

    def doctor(seen: Evidence) -> Evidence:
        rows = seen.tables[table]
        assert any(map(is_meant, rows)), f"nothing in {table} to take out"
        return replace(seen, tables={**seen.tables, table: tuple(row for row in rows if not is_meant(row))})

    return doctor


def is_(**wanted: object) -> Callable[[Row], bool]:
    """Mean the rows that say so."""
    return lambda row: all(row[name] == value for name, value in wanted.items())


def said(verb: str, outcome: str, op_id: str = "") -> Callable[[Evidence], Evidence]:
    """Have the bank's book say one more thing about the authorisation that was paid."""

    def doctor(seen: Evidence) -> Evidence:
        paid = next(said for said in seen.said if said.verb == "authorise")
        more = Said(op_id or paid.op_id, verb, paid.op_id, paid.cents, outcome)
        return replace(seen, said=(*seen.said, more))

    return doctor


def told(**facts: str) -> Callable[[Evidence], Evidence]:
    """Have a payer be told something more."""
    return lambda seen: replace(seen, history=(*seen.history, Act("tab", "show", 0, 0, "ok", facts)))


def moved(table: str, before: str, after: str) -> Callable[[Evidence], Evidence]:
    """Have a state change once more."""
    return lambda seen: replace(seen, moves=(*seen.moves, Move(table, 1, before, after)))


def another_hand_on_the_debt(seen: Evidence) -> Evidence:
    """Have a second payment of the same debt approved, by an attempt with a message of its own."""
    tables: dict[str, tuple[Row, ...]] = {name: tuple(rows) for name, rows in seen.tables.items()}
    paid = next(said for said in seen.said if said.verb == "authorise")
    other = {**tables["payment"][0], "id": 90, "public_id": "pay_other"}
    tables["payment"] += (other,)
    tables["line"] += ({**tables["line"][0], "payment_id": 90},)
    tables["attempt"] += ({**tables["attempt"][0], "id": 91, "payment_id": 90, "status": "declined"},)
    tables["operation"] += ({**tables["operation"][0], "op_id": "op_other", "attempt_id": 91, "kind": "authorise"},)
    return replace(seen, tables=tables, said=(*seen.said, replace(paid, op_id="op_other")))


def line_deaf(seen: Evidence) -> Evidence:
    """Have nobody hear the bank's approval."""
    heard = tuple(replace(e, outcome="") if e.verb == "authorise" else e for e in seen.exchanges or ())
    return replace(seen, exchanges=heard)


def undelivered(seen: Evidence) -> Evidence:
    """Have no portal get anything."""
    return replace(seen, deliveries=tuple(d for d in seen.deliveries if d.channel != "confirmation"))


def two_versions(seen: Evidence) -> Evidence:
    """Have one notice come again with another body."""
    return replace(seen, deliveries=(*seen.deliveries, replace(seen.deliveries[0], digest="another")))


def backwards(seen: Evidence) -> Evidence:
    """Have everything arrive in the opposite order."""
    return replace(seen, deliveries=tuple(reversed(seen.deliveries)))


def about_nothing(seen: Evidence) -> Evidence:
    """Have a portal told of an event nobody wrote down."""
    return replace(seen, deliveries=(*seen.deliveries, replace(seen.deliveries[0], event="evt_none")))


def counter_reset(seen: Evidence) -> Evidence:
    """Have the counter of codes begin anew."""
    rows = [dict(row) for row in seen.tables["event"]]
    failed = [row for row in rows if row["type"] == "challenge.failed"]
    for row, tries in zip(failed, (2, 1), strict=True):
        row["facts"] = json.dumps({**json.loads(row["facts"]), "tries": str(tries)})
    return replace(seen, tables={**seen.tables, "event": tuple(rows)})


IS_PAID = is_(status="part_refunded")
DOCTORED: Mapping[str, tuple[int, Callable[[Evidence], Evidence]]] = {
    "a debt held by two": (1, another_hand_on_the_debt),
    "a message nobody wrote down": (1, said("reverse", "declined", "op_unknown")),
    "money that holds no debt": (1, changed("hold", lambda row: bool(row["is_active"]), is_active=False)),
    "an approval that counts as refused": (2, changed("attempt", IS_PAID, status="declined")),
    "an approval of a payment that expired": (2, changed("payment", is_(status="paid"), status="expired")),
    "a doubt nobody looks after": (2, changed("attempt", IS_PAID, status="unknown", next_at=None)),
    "an approval behind an attempt that is over": (3, changed("attempt", IS_PAID, status="reversed")),
    "an approval after its reversal": (
        3, lambda seen: said("authorise", "approved")(said("reverse", "reversed", "op_undo")(seen)),
    ),
    "an approval nobody heard": (4, line_deaf),
    "an entry of another amount": (5, changed("ledger", is_(kind="debit", account="merchant"), amount_cents=-4999)),
    "a debit without an entry": (5, without("ledger", is_(kind="debit"))),
    "a refund without an entry": (5, without("ledger", is_(kind="refund", refund_id=1))),
    "a debit without its event": (5, without("event", is_(type="payment.succeeded"))),
    "a second capture": (6, said("capture", "approved", "op_again")),
    "a refund nobody asked for": (6, said("refund", "approved", "op_gift")),
    "a sum of refunds that differs": (6, changed("payment", is_(status="paid"), refunded_cents=1)),
    "a refund for ever under way": (6, changed("refund", is_(id=1), status="unknown")),
    "a payment that comes back": (7, moved("payment", "paid", "opened")),
    "an attempt that comes back": (7, moved("attempt", "declined", "approved")),
    "a debt that is busy from nowhere": (7, moved("debt", "open", "busy")),
    "a refund that is done twice": (7, moved("refund", "done", "refused")),
    "a payer told of what is not so": (8, lambda seen: told(payment=paid_id(seen), status="cancelled")(seen)),
    "a payer told of what there is not": (8, told(payment="pay_none", status="opened")),
    "a merchant told of a refund there is not": (8, lambda seen: told(payment=paid_id(seen), refund="ref_none")(seen)),
    "a portal told of what there is not": (8, about_nothing),
    "a notice nobody has": (9, undelivered),
    "a notice in two versions": (9, two_versions),
    "a notice nobody delivers": (9, changed("notice", is_(channel="confirmation"), state="new")),
    "a notice given up in silence": (9, changed("notice", is_(channel="confirmation"), state="dead")),
    "an event nobody is told of": (9, without("notice", is_(channel="confirmation"))),
    "news in the wrong order": (10, backwards),
    "codes without end": (18, counter_reset),
}  # fmt: skip


def paid_id(seen: Evidence) -> str:
    return str(next(row["public_id"] for row in seen.tables["payment"] if row["status"] == "paid"))


def test_an_honest_run_is_good(honest: Evidence) -> None:
    assert check(honest) == []
    assert {row["status"] for row in honest.tables["payment"]} == {"paid", "expired"}
    assert honest.moves


@pytest.mark.parametrize("how", DOCTORED)
def test_a_doctored_run_is_not(honest: Evidence, how: str) -> None:
    promise, doctor = DOCTORED[how]

    found = check(doctor(honest))

    assert promise in {violation.promise for violation in found}


def test_every_promise_is_doctored() -> None:
    assert {promise for promise, _ in DOCTORED.values()} == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18}
