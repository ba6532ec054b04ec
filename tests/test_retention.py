"""When a merchant's term is over, nothing tells of the payer any more; money, references and history stay."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, make_url, select

from gateway.checkout.forgetting import Forgetting
from gateway.core.errors import NotFound
from gateway.core.money import Money
from gateway.core.payment import Instalment, PaymentResult, Which
from gateway.dialects import Cancel, LookUp, Refund, Signed
from gateway.parts import Parts
from gateway.store import tables as t
from tests.factories import CHALLENGE, FRICTIONLESS, MERCHANT, deliver, enter, open_payment, pay, read_code
from tests.support.clock import Clock

NAME, MAIL, PHONE = "Quentin Zyrianov", "quentin.zyrianov@example.org", "+33698765432"
# Everything a portal, a payer or a receiver may have said of a person.
CANARIES = ("Zyrianov", "zyrianov", "698765432", "98 76 54", "kanarek", "Kanarek")


def a_life(parts: Parts) -> PaymentResult:
    """Pay with a code, be refunded in part, and have everybody told, leaving a name wherever one fits."""
    payment = open_payment(
        parts,
        email=MAIL,
        payer_name=NAME,
        payer_phone=PHONE,
        beneficiary="Léa Zyrianov",
        comment="for Léa Zyrianov, with kanarek",
        label="Canteen of Léa Zyrianov",
        return_url="http://127.0.0.1:8001/return?family=Zyrianov",
        notify_url="http://127.0.0.1:8001/confirmations?family=Zyrianov",
        metadata={"family": "Zyrianov"},
        wire={"fields": "name=Kanarek"},
    )
    enter(parts, payment, CHALLENGE)
    parts.checkout.paying.answer_challenge(payment.id, read_code(parts, payment))
    parts.checkout.settling.authorise(payment.id)
    parts.checkout.sweep()
    command = Refund(
        Which(payment=payment.id), Money(100), Signed(MERCHANT, f"r-{payment.id}", "r"), f"asked by {NAME}"
    )
    parts.checkout.refunding.refund(command, "native")
    deliver(parts)
    return parts.checkout.opening.told(payment.id)


def let_the_term_pass(parts: Parts, clock: Clock, days: int = 15 * 31) -> None:
    clock.advance(days=days)
    for _ in range(2):
        # It looks again every hour.
        clock.advance(hours=1, seconds=1)
        while parts.checkout.sweep():
            clock.advance(seconds=61)


def everything(parts: Parts) -> str:
    """Read every value of every table."""
    with parts.store.reading() as tx:
        rows = [row for table in t.metadata.sorted_tables for row in tx.connection.execute(select(table))]
    return "\n".join(repr(tuple(row)) for row in rows)


def files(parts: Parts) -> Iterator[bytes]:
    """Read SQLite's files as a thief would."""
    url = make_url(parts.settings.sqlalchemy_url)
    if url.drivername == "sqlite" and url.database:
        for path in (url.database, f"{url.database}-wal"):
            if Path(path).exists():
                yield Path(path).read_bytes()


def test_nothing_of_the_payer_is_left_anywhere(parts: Parts, clock: Clock) -> None:
    for _ in range(12):
        a_life(parts)
    before = everything(parts)

    let_the_term_pass(parts, clock)

    assert all(canary in before for canary in CANARIES if canary != "98 76 54")
    after = everything(parts)
    assert [canary for canary in CANARIES if canary in after] == []
    for content in files(parts):
        assert [canary for canary in CANARIES if canary.encode() in content] == []


@pytest.mark.parametrize("verb", ["cancel", "refund"])
def test_nor_is_why_its_merchant_cancelled_it(parts: Parts, clock: Clock, verb: str) -> None:
    payment, signed = open_payment(parts), Signed(MERCHANT, f"c-{verb}", "c")
    which, reason = Which(payment=payment.id), f"{NAME} paid by cheque"
    if verb == "cancel":
        parts.checkout.refunding.cancel(Cancel(which, signed, reason), "native")
    else:
        undone = Refund(which, None, signed, reason, before_settlement=True)
        parts.checkout.refunding.refund(undone, "native")
    deliver(parts)

    let_the_term_pass(parts, clock)

    assert parts.checkout.opening.told(payment.id).status == "cancelled"
    assert "Zyrianov" not in everything(parts)


def test_money_references_and_history_stay(parts: Parts, clock: Clock) -> None:
    before = a_life(parts)
    with parts.store.reading() as tx:
        ledger = tx.connection.execute(select(t.ledger)).all()

    let_the_term_pass(parts, clock)

    after = parts.checkout.opening.told(before.id)
    assert (after.status, after.request.amount, after.refunded_cents) == (before.status, before.request.amount, 100)
    assert after.request.reference == before.request.reference
    assert after.request.lines[0].amount == before.request.lines[0].amount
    assert after.events == before.events
    assert after.attempts[0].authorisation_number == before.attempts[0].authorisation_number
    with parts.store.reading() as tx:
        assert tx.connection.execute(select(t.ledger)).all() == ledger
        assert tx.requests.find(MERCHANT, f"r-{before.id}") is not None


def test_it_happens_at_the_end_of_the_term_and_not_a_day_before(parts: Parts, clock: Clock) -> None:
    payment = a_life(parts)
    clock.advance(days=(date(2028, 2, 20) - clock.now().date()).days)
    parts.checkout.sweep()
    before = parts.checkout.opening.told(payment.id).request.payer_name

    clock.advance(days=2)
    parts.checkout.sweep()

    assert before == NAME
    assert parts.checkout.opening.told(payment.id).request.payer_name == ""


def test_nobody_is_forgotten_while_somebody_is_still_to_be_told(parts: Parts, clock: Clock) -> None:
    payment = a_life(parts)
    clock.advance(days=(date(2028, 2, 20) - clock.now().date()).days)
    command = Refund(Which(payment=payment.id), Money(200), Signed(MERCHANT, "late", "late"), "")
    parts.checkout.refunding.refund(command, "native")
    clock.advance(days=2)
    parts.checkout.sweep()
    waiting = parts.checkout.opening.told(payment.id)
    with parts.store.reading() as tx:
        row = tx.payments.get(payment.id)
        untold = [notice.channel for notice in tx.notices.of_payment(row.id) if notice.state == "new"]
    while deliver(parts):
        clock.advance(hours=12)

    let_the_term_pass(parts, clock, days=4)

    assert (waiting.request.payer_name, waiting.refunded_cents) == (NAME, 300)
    assert {"confirmation", "payer_mail"} <= set(untold)
    assert parts.checkout.opening.told(payment.id).request.payer_name == ""


def test_a_merchant_may_keep_longer(parts: Parts, clock: Clock) -> None:
    merchants = dict(parts.checkout.desk.merchants)
    merchants[MERCHANT] = merchants[MERCHANT].model_copy(update={"retention_months": 60})
    object.__setattr__(parts.checkout.desk, "merchants", merchants)
    payment = a_life(parts)

    let_the_term_pass(parts, clock)

    assert parts.checkout.opening.told(payment.id).request.payer_name == NAME


def test_a_merchant_that_has_left_the_book_keeps_nobody(parts: Parts, clock: Clock) -> None:
    payment = a_life(parts)
    merchants = {name: one for name, one in parts.checkout.desk.merchants.items() if name != MERCHANT}
    object.__setattr__(parts.checkout.desk, "merchants", merchants)

    let_the_term_pass(parts, clock)

    assert parts.checkout.opening.told(payment.id).request.payer_name == ""


def test_a_purchase_with_parts_to_come_keeps_its_payer(parts: Parts, clock: Clock) -> None:
    late = (Instalment(clock.now().date() + timedelta(days=600), Money(500)),)
    purchase = pay(parts, open_payment(parts, payer_name=NAME, email=MAIL, instalments=late), FRICTIONLESS)
    let_the_term_pass(parts, clock)
    kept = parts.checkout.opening.told(purchase.id).request.payer_name

    let_the_term_pass(parts, clock, days=140)
    # Nobody delivers here: the news of its last part is waited for no longer.
    let_the_term_pass(parts, clock, days=4)

    assert kept == NAME
    after = parts.checkout.opening.told(purchase.id)
    assert after.request.payer_name == ""
    part = parts.checkout.opening.told(after.instalments[0].payment)
    assert (part.status.value, part.request.payer_name, part.email) == ("paid", NAME, MAIL)


def test_what_is_forgotten_is_found_by_the_operator_alone(parts: Parts, clock: Clock) -> None:
    payment = a_life(parts)
    merchants = frozenset({MERCHANT})

    let_the_term_pass(parts, clock)

    assert parts.checkout.opening.told(payment.id).id == payment.id
    assert parts.checkout.opening.find(merchants, payment.request.reference) == ()
    with pytest.raises(NotFound):
        parts.checkout.opening.look_up(LookUp(Which(merchants, payment=payment.id)), "native")


def test_the_debt_stays_paid(parts: Parts, clock: Clock) -> None:
    payment = a_life(parts)

    let_the_term_pass(parts, clock)

    with parts.store.reading() as tx:
        states = select(t.debt.c.state).where(t.debt.c.reference == payment.request.reference)
        assert tx.connection.execute(states).scalars().all() == ["paid"]


def test_two_that_forget_at_once_do_it_once(parts: Parts, clock: Clock) -> None:
    for number in range(6):
        open_payment(parts, payer_name=NAME, reference=f"FACT-{number}")
    clock.advance(hours=2)
    parts.checkout.sweep()
    clock.advance(days=15 * 31)
    barrier, forgetting = threading.Barrier(2), parts.checkout._forgetting

    def forget() -> int:
        barrier.wait()
        return forgetting.sweep()

    with ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(forget), pool.submit(forget)]]

    assert max(done) == 6
    assert NAME not in everything(parts)
    with parts.store.reading() as tx:
        assert (
            tx.connection.execute(select(func.count()).where(t.payment.c.forgotten_at.is_not(None))).scalar_one() == 6
        )


def test_what_is_refunded_as_it_is_being_forgotten_is_told_first(parts: Parts, clock: Clock) -> None:
    paid = pay(parts, open_payment(parts, email=MAIL))
    parts.checkout.sweep()
    clock.advance(days=16 * 31)
    command = Refund(Which(payment=paid.id), Money(100), Signed(MERCHANT, "late", "late"))

    class Late(Forgetting):
        def _due(self, *asked: Any) -> list[int]:
            due = super()._due(*asked)
            parts.checkout.refunding.refund(command, "native")
            return due

    Late(parts.checkout.desk).sweep()
    with parts.store.reading() as tx:
        promised = {row.target for row in tx.notices.of_payment(tx.payments.get(paid.id).id)}
    clock.advance(days=5)
    Forgetting(parts.checkout.desk).sweep()

    assert {MAIL, paid.request.notify_url} <= promised
    assert parts.checkout.opening.told(paid.id).email == ""
