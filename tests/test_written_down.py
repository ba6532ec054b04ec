"""What the database says after each step of a payment, to the letter: reports, audits and other machines read it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, select

from gateway.acquirers import Answer, Outcome
from gateway.channels import code_text
from gateway.checkout import settling
from gateway.core.errors import AcquirerUnreachable, WrongStatus
from gateway.core.limits import WITHHELD
from gateway.core.money import Money
from gateway.core.payment import Instalment, PaymentResult
from gateway.core.states import Status
from gateway.parts import Parts
from gateway.store import tables as t
from tests.factories import (
    CHALLENGE,
    CO_BADGED_CHALLENGE,
    FUNDS,
    REFUSED_BY_3DS,
    SILENT_APPROVED,
    SILENT_LOST,
    a_card,
    enter,
    open_payment,
    pay,
    read_code,
)
from tests.support.clock import Clock

PHONE = "+33612345678"
HOME = "198.51.100.7"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Ask SQLite; PostgreSQL is asked the same by the tests of the verbs."""
    return sqlite_url


def rows(parts: Parts, table: Table) -> list[dict[str, Any]]:
    """Read a table as it stands, in the order of its first column."""
    with parts.store.reading() as tx:
        read = tx.connection.execute(select(table).order_by(*table.columns)).mappings().all()
    return [dict(row) for row in read]


def the(parts: Parts, table: Table, *names: str) -> tuple[object, ...]:
    """Read some columns of the only row of a table."""
    (row,) = rows(parts, table)
    return tuple(row[name] for name in names)


def history(parts: Parts, payment: PaymentResult) -> list[tuple[str, dict[str, str]]]:
    """Tell a payment's events without what is drawn."""
    events = parts.checkout.opening.told(payment.id).events
    return [
        (event.type, {name: fact for name, fact in event.facts.items() if name != "attempt"})
        for event in events
        if event.type not in ("payment.created", "payment.opened")
    ]


def with_code(parts: Parts, **changes: object) -> PaymentResult:
    """Enter a card whose bank asks for a code."""
    payment = open_payment(parts, payer_phone=PHONE, **changes)
    enter(parts, payment, CHALLENGE)
    return payment


def another_code(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


class TestCards:
    def test_a_card_with_a_code(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts, payer_phone=PHONE)

        is_asked = parts.checkout.paying.enter_card(
            payment.id, a_card(CHALLENGE), scheme="", email="me@example.org", language="en", origin=HOME
        )

        now = clock.now()
        (attempt,) = rows(parts, t.attempt)
        assert is_asked
        assert attempt | {"public_id": "", "token": ""} == {
            "id": 1, "public_id": "", "payment_id": 1, "n": 1, "status": "authenticating", "scheme": "visa",
            "bin": "400000", "last4": "3220", "expiry": "1230", "token": "", "flow": "challenge", "eci": "05",
            "authentication": "", "phone": "•• •• •• •• 78", "response_code": "", "response_family": "",
            "authorisation_number": "", "started_at": now, "ended_at": None, "next_at": None, "tries": 0,
            "dismissed": False,
        }  # fmt: skip
        assert attempt["public_id"].startswith("att_")
        assert len(attempt["token"]) == 32
        assert the(parts, t.challenge, "tries", "sends", "opened_at", "sent_at", "expires_at", "closed_at") == (
            0, 1, now, now, now + timedelta(minutes=5), None,
        )  # fmt: skip
        assert the(parts, t.card_entry, "payment_id", "attempt_id", "merchant_id", "origin", "at", "state", "guesses") == (
            1, 1, "mairie-demo", HOME, now, "begun", 0,
        )  # fmt: skip
        assert the(parts, t.payment, "receipt_email", "spoken", "email") == (
            "me@example.org",
            "en",
            "famille@example.org",
        )
        assert the(parts, t.notice, "channel", "target", "state", "next_at") == ("sms", PHONE, "new", now)
        assert history(parts, payment) == [
            ("attempt.started", {"scheme": "visa", "flow": "challenge"}),
            ("challenge.sent", {}),
        ]
        assert all(event.facts["attempt"] == attempt["public_id"] for event in told(parts, payment).events[2:])

    def test_the_code_is_sent_in_the_words_of_the_page(self, parts: Parts) -> None:
        payment = open_payment(parts, payer_phone=PHONE, amount=Money(9612, "CHF"))
        parts.checkout.paying.enter_card(payment.id, a_card(CHALLENGE), scheme="", email="", language="en", origin=HOME)

        code = read_code(parts, payment)

        (message,) = parts.inbox.messages(kind="sms", payment=payment.id)
        payee = told(parts, payment).payee.name
        host = parts.checkout.desk.host
        assert message.to == PHONE
        assert message.text == code_text.compose_code_sms(code, Money(9612, "CHF"), payee, host, "en")
        assert (len(code), code.isdigit()) == (6, True)

    def test_without_a_telephone_of_its_own_a_test_payment_uses_the_shared_one(self, parts: Parts) -> None:
        enter(parts, open_payment(parts), CHALLENGE)

        assert the(parts, t.attempt, "phone") == (f"•• •• •• •• {parts.checkout.desk.test_phone[-2:]}",)
        assert the(parts, t.notice, "target") == (parts.checkout.desk.test_phone,)

    def test_a_code_and_a_wrong_one(self, parts: Parts, clock: Clock) -> None:
        payment = with_code(parts)
        code = read_code(parts, payment)
        parts.checkout.paying.answer_challenge(payment.id, another_code(code))
        clock.advance(seconds=1)

        is_right = parts.checkout.paying.answer_challenge(payment.id, f" {code[:3]} {code[3:]}")

        (attempt,) = rows(parts, t.attempt)
        assert is_right
        assert (attempt["status"], attempt["authentication"][:5]) == ("authenticated", "auth_")
        assert the(parts, t.challenge, "tries", "closed_at") == (2, clock.now())
        assert the(parts, t.card_entry, "guesses") == (1,)
        assert history(parts, payment)[2:] == [
            ("challenge.failed", {"tries": "1"}),
            ("attempt.authenticated", {"flow": "challenge"}),
        ]

    def test_five_wrong_codes(self, parts: Parts, clock: Clock) -> None:
        payment = with_code(parts)
        code = read_code(parts, payment)

        for _ in range(5):
            parts.checkout.paying.answer_challenge(payment.id, another_code(code))

        assert the(parts, t.attempt, "status", "response_family", "response_code", "token", "ended_at") == (
            "authn_failed", "challenge_failed", "", "", clock.now(),
        )  # fmt: skip
        assert history(parts, payment)[2:] == [
            *[("challenge.failed", {"tries": str(n)}) for n in range(1, 6)],
            ("attempt.not_authenticated", {"family": "challenge_failed"}),
        ]

    def test_a_second_code(self, parts: Parts, clock: Clock) -> None:
        payment = with_code(parts)
        began = clock.now()
        clock.advance(seconds=30)

        assert parts.checkout.paying.resend_code(payment.id)

        now = clock.now()
        assert the(parts, t.challenge, "tries", "sends", "opened_at", "sent_at", "expires_at") == (
            0, 2, began, now, now + timedelta(minutes=5),
        )  # fmt: skip
        assert [notice["target"] for notice in rows(parts, t.notice)] == [PHONE, PHONE]
        assert history(parts, payment)[1:] == [("challenge.sent", {}), ("challenge.sent", {})]

    @pytest.mark.parametrize(("sends", "seconds"), [(1, 30), (2, 60)])
    def test_the_second_code_waits_half_a_minute_and_the_third_a_minute(
        self, parts: Parts, clock: Clock, sends: int, seconds: int
    ) -> None:
        payment = with_code(parts)
        for wait in (30, 60)[: sends - 1]:
            clock.advance(seconds=wait)
            assert parts.checkout.paying.resend_code(payment.id)

        clock.advance(seconds=seconds - 1)
        too_soon = parts.checkout.paying.resend_code(payment.id)
        clock.advance(seconds=1)

        assert (too_soon, parts.checkout.paying.resend_code(payment.id)) == (False, True)

    def test_a_card_without_a_code(self, parts: Parts) -> None:
        payment = open_payment(parts)

        is_asked = parts.checkout.paying.enter_card(payment.id, a_card(), scheme="", email="", origin=HOME)

        assert not is_asked
        assert the(parts, t.attempt, "status", "flow", "authentication") == (
            "authenticated",
            "frictionless",
            "frictionless",
        )
        assert rows(parts, t.challenge) == []
        assert history(parts, payment) == [
            ("attempt.started", {"scheme": "visa", "flow": "frictionless"}),
            ("attempt.authenticated", {"flow": "frictionless"}),
        ]

    def test_a_card_its_bank_does_not_authenticate(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)

        enter(parts, payment, REFUSED_BY_3DS)

        assert the(parts, t.attempt, "status", "response_family", "token", "ended_at") == (
            "authn_failed", "authentication", "", clock.now(),
        )  # fmt: skip
        assert history(parts, payment)[-1] == ("attempt.not_authenticated", {"family": "authentication"})
        assert the(parts, t.card_entry, "state", "attempt_id") == ("begun", 1)

    def test_a_bank_that_is_silent_when_a_card_is_entered(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = open_payment(parts)
        monkeypatch.setattr(parts.checkout.desk.acquirer, "enrol", silence)

        is_asked = parts.checkout.paying.enter_card(payment.id, a_card(), scheme="", email="", origin=HOME)

        assert not is_asked
        assert the(parts, t.attempt, "status", "flow", "eci", "token", "response_family", "scheme", "ended_at") == (
            "authn_failed", "", "", "", "technical", "visa", clock.now(),
        )  # fmt: skip
        assert history(parts, payment) == [
            ("attempt.started", {"scheme": "visa", "flow": "none"}),
            ("attempt.not_authenticated", {"family": "technical"}),
        ]

    def test_the_brand_the_payer_chose_and_otherwise_the_first(self, parts: Parts) -> None:
        first, chosen, odd = (open_payment(parts) for _ in range(3))

        for payment, scheme in ((first, ""), (chosen, "visa"), (odd, "amex")):
            parts.checkout.paying.enter_card(
                payment.id, a_card(CO_BADGED_CHALLENGE), scheme=scheme, email="", origin=""
            )

        assert [attempt["scheme"] for attempt in rows(parts, t.attempt)] == ["cb", "visa", "cb"]

    def test_another_card_leaves_nothing_of_the_first(self, parts: Parts, clock: Clock) -> None:
        payment = with_code(parts)
        clock.advance(seconds=5)

        parts.checkout.paying.change_card(payment.id)

        assert the(parts, t.attempt, "status", "token", "ended_at", "dismissed") == ("abandoned", "", clock.now(), True)
        assert history(parts, payment)[-1] == ("attempt.abandoned", {})
        assert told(parts, payment).events[-1].facts["attempt"] == told(parts, payment).attempts[0].id

    def test_a_challenge_of_ten_minutes_is_over(self, parts: Parts, clock: Clock) -> None:
        payment = with_code(parts)
        clock.advance(minutes=10)

        parts.checkout.paying.show(payment.id)

        assert the(parts, t.attempt, "status", "response_family") == ("authn_failed", "challenge_timeout")
        assert history(parts, payment)[-1] == ("attempt.not_authenticated", {"family": "challenge_timeout"})

    def test_a_card_that_comes_as_the_pages_time_runs_out_is_not_taken(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        clock.advance(minutes=30)

        with pytest.raises(WrongStatus):
            enter(parts, payment)

        assert rows(parts, t.card_entry) == rows(parts, t.attempt) == []

    def test_a_page_whose_time_has_run_out(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        clock.advance(minutes=30)

        parts.checkout.paying.show(payment.id)

        assert the(parts, t.payment, "status", "ended_at") == ("expired", clock.now())
        assert history(parts, payment) == [("payment.expired", {"why": "the page's time had run out"})]


class TestMoney:
    def test_a_debit(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment)
        clock.advance(seconds=2)

        parts.checkout.settling.authorise(payment.id)

        now, both = (
            clock.now(),
            {"attempt_id": 1, "kind": "debit", "refund_id": 0, "currency": "EUR", "at": clock.now()},
        )
        assert the(parts, t.attempt, "status", "response_code", "token", "ended_at", "next_at", "tries") == (
            "approved", "00", "", now, now, 0,
        )  # fmt: skip
        assert the(parts, t.operation, "attempt_id", "kind", "n", "amount_cents", "outcome", "asked_at", "answered_at") == (
            1, "authorise", 1, 9612, "approved", now, now,
        )  # fmt: skip
        assert rows(parts, t.ledger) == [
            {"id": 1, "account": "acquirer", "amount_cents": 9612, **both},
            {"id": 2, "account": "merchant", "amount_cents": -9612, **both},
        ]
        assert the(parts, t.hold, "attempt_id", "debt_id", "is_active") == (1, 1, True)
        assert the(parts, t.debt, "state", "holder_id") == ("paid", 1)
        assert the(parts, t.payment, "status", "paid_at", "ended_at") == ("paid", now, now)
        assert history(parts, payment)[-2:] == [("attempt.authorising", {}), ("payment.succeeded", {})]
        assert len({event.facts["attempt"] for event in told(parts, payment).events[2:]}) == 1

    def test_an_intent(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment)

        intent = parts.checkout.settling.intend(payment.id)

        assert intent is not None
        assert (intent.follows, intent.is_withheld) == ("", False)
        assert the(parts, t.attempt, "status", "next_at", "tries") == (
            "authorising", clock.now() + timedelta(seconds=35), 0,
        )  # fmt: skip
        assert the(parts, t.operation, "op_id", "kind", "amount_cents", "outcome") == (
            intent.op_id,
            "authorise",
            9612,
            "",
        )
        assert intent.op_id.startswith("op_")
        assert the(parts, t.debt, "state") == ("busy",)
        assert the(parts, t.hold, "is_active") == (True,)

    def test_an_intent_that_comes_when_the_pages_time_has_run_out(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment)
        clock.advance(minutes=30)

        assert parts.checkout.settling.intend(payment.id) is None

        assert told(parts, payment).status is Status.EXPIRED
        assert history(parts, payment)[-1] == ("payment.expired", {"why": "the page's time had run out"})
        assert rows(parts, t.operation) == []

    def test_the_bank_is_asked_for_what_the_payer_confirmed(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = with_code(parts)
        parts.checkout.paying.answer_challenge(payment.id, read_code(parts, payment))
        (attempt,) = rows(parts, t.attempt)
        asked: list[object] = []

        def authorise(*args: object, **more: object) -> Answer:
            asked.append((args, more))
            return silence()

        monkeypatch.setattr(parts.checkout.desk.acquirer, "authorise", authorise)
        intent = parts.checkout.settling.intend(payment.id)
        assert intent is not None
        parts.checkout.settling.ask(intent)

        proof = {"scheme": "visa", "authentication": attempt["authentication"], "follows": ""}
        assert asked == [((attempt["token"], Money(9612)), {"op_id": intent.op_id, **proof})]

    def test_a_later_part_says_which_authorisation_it_follows(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pay(parts, open_payment(parts, instalments=(Instalment(date(2026, 12, 21), Money(500)),)))
        parts.checkout.sweep()
        (first,) = (row["op_id"] for row in rows(parts, t.operation) if row["kind"] == "authorise")
        followed: list[object] = []

        def authorise(*_: object, **more: object) -> Answer:
            followed.append(more["follows"])
            return silence()

        monkeypatch.setattr(parts.checkout.desk.acquirer, "authorise", authorise)
        clock.advance(days=30)
        parts.checkout.sweep()

        assert followed == [first]

    def test_a_refusal(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)

        pay(parts, payment, FUNDS)

        assert the(parts, t.operation, "outcome", "answered_at") == ("declined", clock.now())
        assert history(parts, payment)[-1] == ("attempt.declined", {"code": "51"})
        assert the(parts, t.debt, "state", "holder_id") == ("locked", 1)
        assert the(parts, t.hold, "is_active") == (False,)
        assert rows(parts, t.ledger) == []

    def test_the_last_refusal(self, parts: Parts) -> None:
        payment = open_payment(parts)
        for _ in range(3):
            pay(parts, payment, FUNDS)

        assert history(parts, payment)[-1] == ("payment.refused", {"why": "no try left"})

    def test_a_doubt(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)

        pay(parts, payment, SILENT_APPROVED)

        assert the(parts, t.attempt, "status", "next_at", "tries") == ("unknown", clock.now(), 0)
        assert the(parts, t.operation, "outcome", "answered_at") == ("", None)
        assert history(parts, payment)[-1] == ("attempt.unknown", {})

    def test_a_doubt_that_stays_is_looked_at_less_and_less_often(self, parts: Parts, clock: Clock) -> None:
        pay(parts, open_payment(parts), SILENT_APPROVED)
        waits = []
        for tries in (1, 2, 5):
            with parts.store.transaction() as tx:
                tx.attempts.mark(1, tries)
            parts.checkout.settling.doubt(1)
            (next_at,) = the(parts, t.attempt, "next_at")
            assert isinstance(next_at, datetime)
            waits.append(next_at - clock.now())

        assert waits == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=60)]

    @pytest.mark.parametrize("change", [{"op_id": "op_other"}, {"amount": Money(9611)}, {"amount": Money(9612, "CHF")}])
    def test_an_answer_to_another_question_is_a_doubt(self, parts: Parts, change: dict[str, Any]) -> None:
        payment = open_payment(parts)
        enter(parts, payment)
        intent = parts.checkout.settling.intend(payment.id)
        assert intent is not None
        facts: dict[str, Any] = {"op_id": intent.op_id, "outcome": Outcome.APPROVED, "amount": Money(9612), **change}

        parts.checkout.settling.record(1, intent.op_id, Answer(**facts))

        assert the(parts, t.attempt, "status") == ("unknown",)
        assert told(parts, payment).status is Status.WORKING

    def test_a_message_that_was_lost(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        pay(parts, payment, SILENT_LOST)
        with parts.store.transaction() as tx:
            row, attempt = tx.payments.get(payment.id), tx.attempts.get(1)
            parts.checkout.settling.reverse_soon(tx, row, attempt)

        assert the(parts, t.attempt, "status", "next_at", "tries") == ("reversing", clock.now(), 0)
        asked = {(row["kind"], row["amount_cents"]) for row in rows(parts, t.operation)}
        assert asked == {("authorise", 9612), ("reverse", 9612)}
        assert history(parts, payment)[-1] == ("attempt.reversing", {})

        with parts.store.transaction() as tx:
            parts.checkout.settling.reversed(tx, tx.payments.get(payment.id), tx.attempts.get(1))

        assert the(parts, t.attempt, "status", "response_family", "ended_at", "token", "next_at") == (
            "reversed", "technical", clock.now(), "", None,
        )  # fmt: skip
        assert history(parts, payment)[-1] == ("attempt.reversed", {})
        assert the(parts, t.debt, "state") == ("locked",)

    def test_money_that_is_paid_out_another_day(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts, capture_days=3)

        pay(parts, payment)

        day = clock.now() + timedelta(days=3)
        assert the(parts, t.attempt, "next_at") == (day,)
        assert history(parts, payment)[-1] == ("payment.remittance_planned", {"at": "2026-11-24T10:00:00+00:00"})

    def test_a_withheld_card_is_refused_without_its_bank(self, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
        payment = open_payment(parts)
        monkeypatch.setattr(parts.checkout.paying._limiting, "admit", admit_none(parts))
        monkeypatch.setattr(parts.checkout.desk.acquirer, "enrol", silence)

        parts.checkout.paying.enter_card(payment.id, a_card(), scheme="", email="", origin=HOME)

        assert the(parts, t.attempt, "token") == (WITHHELD,)
        assert the(parts, t.card_entry, "state", "attempt_id") == ("withheld", 1)

    def test_what_does_not_wait_for_its_authorisation_is_not_asked_for(self, parts: Parts) -> None:
        fresh, coded = open_payment(parts), with_code(parts)

        for payment in (fresh, coded):
            with pytest.raises(WrongStatus):
                parts.checkout.settling.intend(payment.id)

        assert rows(parts, t.operation) == []


@pytest.mark.parametrize(("tries", "seconds"), [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (40, 60)])
def test_looks_at_one_doubt_are_ever_further_apart_up_to_a_minute(tries: int, seconds: int) -> None:
    assert settling.backoff(tries) == timedelta(seconds=seconds)


def told(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.opening.told(payment.id)


def silence(*_: object, **__: object) -> Answer:
    raise AcquirerUnreachable("no answer")


def admit_none(parts: Parts) -> Callable[..., tuple[int, bool]]:
    """Let every card be one that passed a limit."""
    admit = parts.checkout.paying._limiting.admit
    return lambda *args: (admit(*args)[0], False)
