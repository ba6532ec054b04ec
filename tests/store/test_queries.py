"""What each query over payments and money finds and changes, at its boundaries and in its order."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, select, update

from gateway.core.errors import NotFound, RequestConflict, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import Instalment, Kind, Line, Mode, PaymentRequest, PaymentResult, RefundResult, Which
from gateway.core.states import AttemptStatus, InstalmentStatus, Status
from gateway.dialects import Refund, Signed
from gateway.parts import Parts
from gateway.store import Transaction
from gateway.store import tables as t
from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS, MERCHANT, SILENT_APPROVED, an_open, enter, open_payment, pay
from tests.support.clock import Clock

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

# Nothing of it is what a payment has by itself.
WHOLE = PaymentRequest(
    merchant="piscine-demo", reference="Fact  7é", amount=Money(1000, "CHF"), lines=(
        Line("Fact  7é", "Cantine d’été", Money(600, "CHF")), Line("FACT-8", "Garderie", Money(400, "CHF")),
    ),
    label="Été", kind=Kind.TOP_UP, email="a@example.org", payer_name="Zoé", payer_phone="+33612345678",
    beneficiary="Léo", comment="le mercredi", fiscal_year="2026", language="de", return_url="https://example.org/back",
    notify_url="https://example.org/told", pay_before=date(2026, 12, 24), metadata={"clé": "œuf"}, wire={"objet": "à"},
    capture_by_hand=True, capture_days=4, schemes=("visa", "cb"), schemes_again=("amex", "cb"), statement="PISCINE",
    instalments=(Instalment(date(2026, 12, 21), Money(500, "CHF")), Instalment(date(2027, 1, 21), Money(501, "CHF"))),
)  # fmt: skip


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Ask SQLite; PostgreSQL is asked the same by the tests of the verbs."""
    return sqlite_url


def change(parts: Parts, table: Table, which: int = 0, /, **values: object) -> None:
    """Set columns of one row, or of all, whatever the verbs would say."""
    changed = update(table).values(**values)
    with parts.store.transaction() as tx:
        tx.connection.execute(changed.where(table.c.id == which) if which else changed)


def all_of(tx: Transaction, table: Table, *names: str) -> list[tuple[Any, ...]]:
    """Read some columns of a table, in the order of its first."""
    asked = select(*(table.c[name] for name in names)).order_by(next(iter(table.c)))
    return [tuple(row) for row in tx.connection.execute(asked)]


def several(parts: Parts, count: int = 3, number: str = "", **changes: object) -> list[PaymentResult]:
    """Open some payments, and pay them by a card if one is given."""
    opened = (open_payment(parts, **changes) for _ in range(count))
    return [pay(parts, payment, number) if number else payment for payment in opened]


def outcome(act: Callable[[], object]) -> object:
    """Say what came of something: its answer, or the name of its error."""
    try:
        return act()
    except (NotFound, WrongStatus, RequestConflict) as error:
        return type(error).__name__


class TestPayments:
    def test_a_request_comes_back_as_it_was_taken(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()
        facts = {"public_id": "pay_1", "dialect": "tipi", "mode": "production", "digest": "d", "handle": "idop-1",
                 "created_at": now, "expires_at": now + DAY, "attempts_max": 5}  # fmt: skip
        with parts.store.transaction() as tx:
            row = tx.payments.add(WHOLE, **facts)
            for position, line in enumerate(WHOLE.lines):
                debt = tx.debts.add(WHOLE.merchant, "2026", line.reference, f"o{position}", row.id)
                tx.payments.add_line(row.id, position, debt, line)
        with parts.store.reading() as tx:
            told, several = tx.payments.result(tx.payments.get("pay_1")), tx.payments.results([row.id])
            kept = all_of(tx, t.payment, "receipt_email", "status")

        assert told.request == WHOLE
        assert told.request.total == Money(2001, "CHF")
        assert (told.id, told.number, told.dialect, told.handle, told.attempts_max) == (
            "pay_1", "0000000001", "tipi", "idop-1", 5,
        )  # fmt: skip
        assert (told.payee.id, told.payee.mode, told.email, told.spoken) == (
            "piscine-demo", Mode.PRODUCTION, "a@example.org", "",
        )  # fmt: skip
        assert (told.status, told.created_at, told.expires_at, told.paid_at, told.ended_at) == (
            Status.CREATED, now, now + DAY, None, None,
        )  # fmt: skip
        assert (told.parent, told.rank, told.refunded_cents) == ("", 1, 0)
        assert [
            (part.rank, part.due, part.amount, part.status, part.payment, part.number) for part in told.instalments
        ] == [
            (2, date(2026, 12, 21), Money(500, "CHF"), InstalmentStatus.PLANNED, "", ""),
            (3, date(2027, 1, 21), Money(501, "CHF"), InstalmentStatus.PLANNED, "", ""),
        ]
        assert several == {row.id: told}
        assert kept == [("a@example.org", "created")]

    @pytest.mark.parametrize(
        ("which", "is_found"),
        [
            ({"payment": "{id}"}, True),
            ({"payment": "{id}", "reference": "FACT-1"}, True),
            ({"payment": "{id}", "reference": "FACT-2"}, False),
            ({"payment": "pay_none"}, False),
            ({"payment": "{id}", "merchants": frozenset({MERCHANT})}, True),
            ({"payment": "{id}", "merchants": frozenset({"other"})}, False),
            ({"number": "1"}, True),
            ({"number": "0000000001"}, True),
            ({"number": "2"}, False),
            ({"number": "\u0661"}, False),
            ({"number": "1" * 18}, False),
            ({"number": "9" * 30}, False),
            ({"number": "-1"}, False),
            ({"handle": "token"}, True),
            ({"handle": "other"}, False),
            ({}, False),
        ],
    )
    def test_a_payment_is_found_by_each_of_its_names(self, parts: Parts, which: dict[str, Any], is_found: bool) -> None:
        payment = open_payment(parts, reference="FACT-1")
        change(parts, t.payment, handle="token")
        asked = Which(
            **{name: value.format(id=payment.id) if name == "payment" else value for name, value in which.items()}
        )

        with parts.store.reading() as tx:
            found = outcome(lambda: tx.payments.named(asked, "native").public_id)

        assert found == (payment.id if is_found else "NotFound")

    def test_a_handle_is_a_name_in_its_own_protocol_and_a_forgotten_payment_has_none(self, parts: Parts) -> None:
        payment = open_payment(parts)
        change(parts, t.payment, handle="token")
        with parts.store.reading() as tx:
            elsewhere = outcome(lambda: tx.payments.named(Which(handle="token"), "tipi"))
        change(parts, t.payment, forgotten_at=payment.created_at)
        with parts.store.reading() as tx:
            forgotten = outcome(lambda: tx.payments.named(Which(handle="token"), "native"))

        assert (elsewhere, forgotten) == ("NotFound", "NotFound")

    def test_payments_of_a_reference_come_newest_first_and_no_more_than_asked(self, parts: Parts) -> None:
        top_up = {"reference": "CANTINE 7", "kind": Kind.TOP_UP}
        first, second, third = several(parts, 3, FRICTIONLESS, **top_up)
        several(parts, 1, merchant="jvs-demo", **top_up)
        others = several(parts, 1)
        mine = frozenset({MERCHANT})
        with parts.store.reading() as tx:
            found = [row.public_id for row in tx.payments.by_reference(mine, "CANTINE 7")]
            spelt = [row.public_id for row in tx.payments.by_reference(mine, " cantine  7")]
            two = [row.public_id for row in tx.payments.by_reference(mine, "CANTINE 7", limit=2)]
            newest = [row.public_id for row in tx.payments.newest(1)]

        assert found == spelt == [third.id, second.id, first.id]
        assert two == [third.id, second.id]
        assert newest == [others[0].id]

    def test_what_nobody_paid_in_time_is_overdue_at_that_moment_oldest_first(self, parts: Parts, clock: Clock) -> None:
        ids = [payment.id for payment in several(parts, 4)]
        for number in range(1, 5):
            change(parts, t.payment, number, expires_at=clock.now() + (3 - number) * SECOND)
        parts.checkout.paying.cancel(ids[3])
        with parts.store.reading() as tx:
            assert tx.payments.overdue(clock.now(), 9) == [ids[2]]
            assert tx.payments.overdue(clock.now() + 2 * SECOND, 9) == [ids[2], ids[1], ids[0]]
            assert tx.payments.overdue(clock.now() + 2 * SECOND, 1) == [ids[2]]

    def test_a_page_is_given_more_time_while_it_has_some(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        until = payment.expires_at + DAY

        def extend(at: datetime) -> None:
            with parts.store.transaction() as tx:
                tx.payments.extend(row, until, at)

        with parts.store.reading() as tx:
            row = tx.payments.get(payment.id)
        late, first, again = (
            outcome(lambda: extend(payment.expires_at)),
            outcome(lambda: extend(payment.expires_at - SECOND)),
            outcome(lambda: extend(clock.now())),
        )

        with parts.store.reading() as tx:
            assert all_of(tx, t.payment, "expires_at", "extensions") == [(until, 1)]
        assert (late, first, again) == ("WrongStatus", None, "WrongStatus")

    def test_what_the_payer_leaves_empty_stays_as_it_was(self, parts: Parts) -> None:
        payment = open_payment(parts)
        with parts.store.transaction() as tx:
            row = tx.payments.get(payment.id)
            both = [
                (changed.receipt_email, changed.spoken)
                for changed in (
                    tx.payments.set_receipt(row),
                    tx.payments.set_receipt(row, language="nl"),
                    tx.payments.set_receipt(row, email="b@example.org"),
                )
            ]

        assert both == [("famille@example.org", ""), ("famille@example.org", "nl"), ("b@example.org", "nl")]

    def test_an_event_is_kept_as_it_was_said(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        with parts.store.transaction() as tx:
            number = tx.payments.get(payment.id).id
            said = tx.payments.record(number, "evt_x", "payment.changed", clock.now(), {"pourquoi": "été"})
            tx.payments.allow_no_more_attempts(number)

        told = parts.checkout.opening.told(payment.id)
        assert told.events[-1] == said
        assert (said.id, said.seq, said.type, said.at, said.facts) == (
            "evt_x", 3, "payment.changed", clock.now(), {"pourquoi": "été"},
        )  # fmt: skip
        assert told.attempts_max == 1
        with parts.store.reading() as tx:
            assert all_of(tx, t.event, "facts")[-1] == ('{"pourquoi": "été"}',)


class TestAttempts:
    def test_what_is_due_is_found_at_its_moment_oldest_first_and_taken_by_one(self, parts: Parts, clock: Clock) -> None:
        several(parts, 3, FRICTIONLESS)
        for number in (1, 2, 3):
            change(parts, t.attempt, number, next_at=clock.now() + (2 - number) * SECOND)
        with parts.store.transaction() as tx:
            due = tx.attempts.due(clock.now(), 9)
            few = tx.attempts.due(clock.now(), 1)
            taken = [tx.attempts.claim(due[0], clock.now() + DAY) for _ in range(2)]
            after = tx.attempts.get(3)
            tx.attempts.reschedule(tx.attempts.get(2), None)
            rest = tx.attempts.due(clock.now() + 2 * DAY, 9)

        assert [row.id for row in due] == [3, 2]
        assert [row.id for row in few] == [3]
        assert taken == [True, False]
        assert (after.next_at, after.tries) == (clock.now() + DAY, 1)
        assert [row.id for row in rest] == [1, 3]

    def test_a_status_that_changed_meanwhile_cannot_be_claimed_or_moved(self, parts: Parts, clock: Clock) -> None:
        several(parts, 1, FRICTIONLESS)
        with parts.store.reading() as tx:
            row = tx.attempts.get(1)
        change(parts, t.attempt, status="captured")
        with parts.store.transaction() as tx:
            assert not tx.attempts.claim(row, clock.now())
            assert outcome(lambda: tx.attempts.move(row, AttemptStatus.CAPTURED)) == "WrongStatus"
            tx.attempts.reschedule(row, clock.now() + DAY)
            assert tx.attempts.get(1).next_at == row.next_at

    def test_money_that_waits_for_its_merchant_is_warned_of_then_lapses(self, parts: Parts, clock: Clock) -> None:
        several(parts, 4, FRICTIONLESS, capture_by_hand=True)
        now = clock.now()
        for number, (tries, age) in enumerate([(0, 5), (1, 9), (2, 9), (0, 4)], start=1):
            change(parts, t.attempt, number, tries=tries, ended_at=now - age * DAY)

        def found(warned: float, lapsed: float, limit: int = 9) -> list[int]:
            with parts.store.reading() as tx:
                return [row.id for row in tx.attempts.forgotten(now - warned * DAY, now - lapsed * DAY, limit)]

        assert found(5, 9) == [2, 1]
        assert found(5.1, 9.1) == []
        assert found(4, 9, 2) == [2, 1]
        assert found(9, 4) == [2, 1, 4]
        change(parts, t.attempt, next_at=now)
        assert found(1, 1) == []

    def test_only_approved_money_that_has_a_later_day_is_hastened(self, parts: Parts, clock: Clock) -> None:
        several(parts, 4, FRICTIONLESS)
        now = clock.now()
        for number, at in enumerate((now + DAY, now, None, now + DAY), start=1):
            change(parts, t.attempt, number, next_at=at)
        change(parts, t.attempt, 4, status="captured")
        with parts.store.transaction() as tx:
            count = tx.attempts.hasten_captures(now)
            assert all_of(tx, t.attempt, "next_at") == [(now,), (now,), (None,), (now + DAY,)]

        assert count == 1

    def test_a_code_is_compared_five_times_before_it_dies_and_used_once(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        now = clock.now()
        with parts.store.transaction() as tx:
            late = tx.attempts.count_try(1, now + timedelta(minutes=5))
            counted = [tx.attempts.count_try(1, now + timedelta(minutes=5) - SECOND) for _ in range(6)]
            used = [tx.attempts.close_challenge(1, now + n * SECOND) for n in (1, 2)]
            closed = tx.attempts.challenge(1)
        change(parts, t.challenge, tries=0)
        with parts.store.transaction() as tx:
            dead = tx.attempts.count_try(1, now)
            replaced = tx.attempts.replace_code(1, b"m" * 32, now, sent_before=now, life=now)

        assert (late, counted, used, dead, replaced) == (False, [True] * 5 + [False], [True, False], False, False)
        assert closed is not None
        assert (closed.tries, closed.closed_at) == (5, now + SECOND)

    def test_a_code_is_replaced_when_the_last_is_old_enough_and_one_is_left(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        sent = clock.now()

        def replace(at: datetime, before: datetime) -> bool:
            with parts.store.transaction() as tx:
                return tx.attempts.replace_code(1, b"n" * 32, at, sent_before=before, life=at + DAY)

        answers = [
            replace(sent + DAY, sent - SECOND),
            replace(sent + DAY, sent),
            replace(sent + 2 * DAY, sent + 2 * DAY),
            replace(sent + 3 * DAY, sent + 3 * DAY),
        ]

        assert answers == [False, True, True, False]
        with parts.store.reading() as tx:
            assert all_of(tx, t.challenge, "sends", "code_mac", "sent_at", "expires_at", "opened_at") == [
                (3, b"n" * 32, sent + 2 * DAY, sent + 3 * DAY, sent)
            ]

    def test_the_code_of_a_challenge_that_is_over_is_not_replaced(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        sent = clock.now()

        with parts.store.transaction() as tx:
            tx.attempts.close_challenge(1, sent)
            assert not tx.attempts.replace_code(1, b"n" * 32, sent + DAY, sent_before=sent, life=sent + 2 * DAY)

    def test_a_challenge_is_stale_once_it_is_that_old_and_still_awaited(self, parts: Parts, clock: Clock) -> None:
        for payment in several(parts, 3):
            enter(parts, payment, CHALLENGE)
        change(parts, t.attempt, 3, status="authenticated")
        with parts.store.reading() as tx:
            assert tx.attempts.stale_challenges(clock.now() - SECOND, 9) == []
            assert sorted(tx.attempts.stale_challenges(clock.now(), 9)) == [1, 2]
            assert len(tx.attempts.stale_challenges(clock.now(), 1)) == 1

    def test_the_money_of_a_payment_and_its_first_debit(self, parts: Parts) -> None:
        payment = open_payment(parts)
        pay(parts, payment, FUNDS)
        with parts.store.reading() as tx:
            nothing = [outcome(lambda: tx.attempts.money(1)), outcome(lambda: tx.attempts.first_debit(1))]
            refused = tx.attempts.count_refused(1)
        pay(parts, payment)
        with parts.store.reading() as tx:
            held = [tx.attempts.money(1).n, tx.attempts.first_debit(1).n]
            latest, front = tx.attempts.latest(1), tx.attempts.front(1)
            counted = (refused, tx.attempts.count_refused(1), tx.attempts.count_refused(9))
            statuses = tx.attempts.count_by_status()
        change(parts, t.attempt, 2, status="refunded")
        with parts.store.reading() as tx:
            given_back = [outcome(lambda: tx.attempts.money(1)), tx.attempts.first_debit(1).n]

        assert (nothing, held, given_back) == (["NotFound", "NotFound"], [2, 2], ["NotFound", 2])
        assert latest is not None
        assert (latest.n, front, counted) == (2, None, (1, 1, 0))
        assert statuses == {}

    def test_doubts_are_counted_and_what_is_clear_is_not(self, parts: Parts) -> None:
        several(parts, 2, SILENT_APPROVED)
        several(parts, 1, FRICTIONLESS)
        with parts.store.reading() as tx:
            assert tx.attempts.count_by_status() == {"unknown": 2}

    def test_the_latest_message_of_a_kind(self, parts: Parts, clock: Clock) -> None:
        several(parts, 1, FRICTIONLESS)
        with parts.store.transaction() as tx:
            for number in (1, 2):
                tx.attempts.add_operation(f"op_{number}", 1, "refund", 100 * number, clock.now())
            tx.attempts.answer_operation("op_1", "done", clock.now() + SECOND)
            latest, none = tx.attempts.operation(1, "refund"), tx.attempts.operation(1, "capture")
            said = all_of(tx, t.operation, "op_id", "kind", "n", "amount_cents", "outcome", "answered_at")

        assert latest is not None
        assert (latest.op_id, none) == ("op_2", None)
        assert [row for row in said if row[1] == "refund"] == [
            ("op_1", "refund", 1, 100, "done", clock.now() + SECOND),
            ("op_2", "refund", 2, 200, "", None),
        ]

    def test_money_given_back_is_posted_the_other_way_round(self, parts: Parts, clock: Clock) -> None:
        several(parts, 1, FRICTIONLESS)
        with parts.store.transaction() as tx:
            tx.attempts.post(1, "refund", Money(100), clock.now(), 7)
            posted = all_of(tx, t.ledger, "kind", "account", "amount_cents", "refund_id")[2:]

        assert posted == [("refund", "acquirer", -100, 7), ("refund", "merchant", 100, 7)]

    def test_tokens_are_forgotten_of_one_payment(self, parts: Parts) -> None:
        for payment in several(parts, 2):
            enter(parts, payment)
        with parts.store.transaction() as tx:
            tx.attempts.forget_tokens(1)
            tx.attempts.dismiss(2)
            assert [bool(token) for (token,) in all_of(tx, t.attempt, "token")] == [False, True]
            assert all_of(tx, t.attempt, "dismissed") == [(False,), (True,)]


class TestDebts:
    @pytest.mark.parametrize(
        ("state", "until", "is_free"),
        [("open", None, True), ("open", 0, True), ("open", 1, False), ("locked", None, False), ("paid", None, False)],
    )
    def test_a_debt_is_taken_when_it_is_free_and_has_rested(
        self, parts: Parts, clock: Clock, state: str, until: int | None, is_free: bool
    ) -> None:
        several(parts, 1)
        rests = None if until is None else clock.now() + until * SECOND
        change(parts, t.debt, state=state, holder_id=None, locked_until=rests)

        with parts.store.transaction() as tx:
            taken = outcome(lambda: tx.debts.lock(1, 7, clock.now()))
            kept = all_of(tx, t.debt, "state", "holder_id", "locked_until")

        assert taken == (None if is_free else "WrongStatus")
        assert kept == ([("locked", 7, None)] if is_free else [(state, None, rests)])

    def test_debts_of_a_payment_move_together_or_not_at_all(self, parts: Parts, clock: Clock) -> None:
        lines = tuple(Line(f"F-{number}", "Cantine", Money(4806)) for number in (1, 2))
        several(parts, 1, lines=lines)
        with parts.store.transaction() as tx:
            tx.debts.move_all(1, "locked", "busy")
            moved = all_of(tx, t.debt, "state")
            again = outcome(lambda: tx.debts.move_all(1, "locked", "busy"))
        change(parts, t.debt, 2, state="locked")
        with parts.store.reading() as tx:
            wrong = [row.id for row in tx.debts.contradictions()]
        with parts.store.transaction() as tx:
            torn = outcome(lambda: tx.debts.move_all(1, "busy", "paid"))
            tx.debts.free_all(1, clock.now())
            freed = all_of(tx, t.debt, "state", "holder_id", "locked_until")

        assert (moved, again, torn) == ([("busy",), ("busy",)], "WrongStatus", "WrongStatus")
        assert wrong == [1]
        assert freed == [("open", None, clock.now())] * 2

    @pytest.mark.parametrize(
        ("debt", "payment", "agrees"),
        [
            ("locked", "created", True), ("locked", "opened", True), ("locked", "working", False), ("busy", "working", True),
            ("busy", "opened", False), ("paid", "paid", True), ("paid", "failed", False), ("open", "opened", False),
        ],
    )  # fmt: skip
    def test_a_debt_says_what_its_payment_says(self, parts: Parts, debt: str, payment: str, *, agrees: bool) -> None:
        if payment == "created":
            parts.checkout.opening.open(an_open(), "native")
        else:
            several(parts, 1, FRICTIONLESS if payment == "paid" else "")
        if payment in ("working", "failed"):
            change(parts, t.payment, status=payment)
        change(parts, t.debt, state=debt)

        with parts.store.reading() as tx:
            assert (tx.debts.contradictions() == []) is agrees

    def test_the_newest_occurrence_of_a_debt_paid_once(self, parts: Parts) -> None:
        with parts.store.transaction() as tx:
            for occurrence in ("", "2", "pay_x"):
                tx.debts.add("m", "2026", "fact  1", occurrence, 1)
            found = [
                tx.debts.latest(*which)
                for which in (("m", "2026", "FACT 1"), ("m", "2025", "FACT 1"), ("n", "2026", "FACT 1"))
            ]

        assert [row and (row.occurrence, row.reference, row.state, row.holder_id) for row in found] == [
            ("2", "FACT 1", "locked", 1), None, None,
        ]  # fmt: skip


class TestRefunds:
    def test_no_cent_more_than_was_paid_is_given_back(self, parts: Parts) -> None:
        several(parts, 1, FRICTIONLESS)
        with parts.store.transaction() as tx:
            tx.refunds.reserve(1, 9000)
            with pytest.raises(RequestConflict) as refusal:
                tx.refunds.reserve(1, 613)
            tx.refunds.reserve(1, 612)
            tx.refunds.release(1, 12)
            assert all_of(tx, t.payment, "refunded_cents") == [(9600,)]

        assert refusal.value.code == "refund_exceeds"
        assert refusal.value.fix == "ask for at most what has not been refunded yet"

    def test_an_open_refund_is_asked_again_until_it_is_settled_once(self, parts: Parts, clock: Clock) -> None:
        (paid,) = several(parts, 1, FRICTIONLESS)
        wish = Refund(Which(payment=paid.id), Money(1000), Signed(MERCHANT, "refund-1", "d"), reason="trop perçu")
        other = Refund(Which(payment=paid.id), Money(500), Signed(MERCHANT, "refund-2", "e"))
        parts.checkout.refunding.refund(wish, "native")
        told = parts.checkout.opening.told(paid.id)
        parts.checkout.refunding.refund(other, "native")
        now = clock.now()
        with parts.store.transaction() as tx:
            tx.refunds.postpone(1, now)
            settled = all_of(tx, t.refund, "status", "next_at", "tries")
        change(parts, t.refund, status="pending", next_at=None)
        with parts.store.transaction() as tx:
            tx.refunds.postpone(1, now)
            due, early = tx.refunds.due(now, 9), tx.refunds.due(now - SECOND, 9)
            claimed = [tx.refunds.claim(due[0], now + DAY) for _ in range(2)]
            waiting = all_of(tx, t.refund, "status", "next_at", "tries")
            finished = [tx.refunds.finish(1, status) for status in ("done", "failed")]
            after = all_of(tx, t.refund, "status", "next_at")

        (refund,) = told.refunds
        assert refund == RefundResult(refund.id, Money(1000), refund.status, now, "trop perçu")
        assert told.refunded_cents == 1000
        assert settled[0][0] == refund.status == "done"
        assert ([row.id for row in due], early, claimed) == ([1], [], [True, False])
        assert waiting == [("unknown", now + DAY, 1), ("pending", None, 0)]
        assert (finished, after) == ([True, False], [("done", None), ("pending", None)])


class TestInstalments:
    @pytest.fixture
    def purchase(self, parts: Parts) -> PaymentResult:
        later = (Instalment(date(2026, 12, 21), Money(500)), Instalment(date(2027, 1, 21), Money(501)))
        return several(parts, 1, FRICTIONLESS, instalments=later)[0]

    def test_a_part_is_due_on_its_day_of_a_purchase_that_is_kept(self, parts: Parts, purchase: PaymentResult) -> None:
        def due(day: date, limit: int = 9) -> list[int]:
            with parts.store.reading() as tx:
                return [part.position for part in tx.instalments.due(day, limit)]

        days = [due(date(2026, 12, 20)), due(date(2026, 12, 21)), due(date(2027, 2, 1)), due(date(2027, 2, 1), 1)]
        change(parts, t.payment, capture_by_hand=True)
        unaccepted = due(date(2026, 12, 21))
        change(parts, t.attempt, status="captured")
        accepted = due(date(2026, 12, 21))
        change(parts, t.payment, refunded_cents=purchase.request.amount.cents)

        assert days == [[], [0], [0, 1], [0]]
        assert (unaccepted, accepted, due(date(2026, 12, 21))) == ([], [0], [])

    def test_a_part_is_loose_once_its_payment_is_over_or_refused(self, parts: Parts, purchase: PaymentResult) -> None:
        first, second = several(parts, 2)
        enter(parts, second)
        for number in (2, 3):
            change(parts, t.payment, number, parent_id=1, rank=number)
        with parts.store.transaction() as tx:
            rows = tx.instalments.due(date(2027, 2, 1), 9)
            for row in rows:
                tx.instalments.move(row, "asked")

        def loose(limit: int = 9) -> list[int]:
            with parts.store.reading() as tx:
                return sorted(part.position for part in tx.instalments.loose(limit))

        refused = loose()
        change(parts, t.payment, 2, status="working")
        working = loose()
        change(parts, t.payment, 2, status="failed")
        change(parts, t.payment, 3, status="expired")

        with parts.store.reading() as tx:
            named = (
                [tx.instalments.payment_of(row) for row in rows],
                tx.instalments.payments(1),
                tx.instalments.payments(2),
            )
        assert named == ([2, 3], [2, 3], [])
        assert (refused, working, loose(), len(loose(1))) == ([0], [], [0, 1], 1)
        told = parts.checkout.opening.told(purchase.id).instalments
        assert [(part.payment, part.number) for part in told] == [(first.id, "0000000002"), (second.id, "0000000003")]

    @pytest.mark.usefixtures("purchase")
    def test_a_part_moves_from_where_it_was_read_and_the_rest_is_void(self, parts: Parts) -> None:
        with parts.store.transaction() as tx:
            first, _ = tx.instalments.due(date(2027, 2, 1), 9)
            open_before = tx.instalments.are_open(1)
            tx.instalments.move(first, "asked")
            again = outcome(lambda: tx.instalments.move(first, "asked"))
            voided = [tx.instalments.void(1), tx.instalments.void(1)]
            states, open_after = all_of(tx, t.instalment, "state"), tx.instalments.are_open(1)
            unmade = outcome(lambda: tx.instalments.payment_of(first))

        assert (open_before, open_after, again, unmade) == (True, True, "WrongStatus", "NotFound")
        assert (voided, sorted(states)) == ([1, 0], [("asked",), ("void",)])
        with parts.store.transaction() as tx:
            tx.connection.execute(update(t.instalment).values(state="paid"))
        with parts.store.reading() as tx:
            assert not tx.instalments.are_open(1)
