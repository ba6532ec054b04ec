"""The verbs of the checkout against real databases and the simulated bank."""

import pytest
from sqlalchemy import select

from gateway.checkout import Stage
from gateway.core.errors import CardRefused, RequestConflict, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import Kind
from gateway.core.states import AttemptStatus, Status
from gateway.parts import Parts
from gateway.store import tables as t
from tests.factories import (
    CHALLENGE,
    CO_BADGED_CHALLENGE,
    FRICTIONLESS,
    FUNDS,
    MASTERCARD,
    REFUSED_BY_3DS,
    SILENT_APPROVED,
    SILENT_DECLINED,
    SILENT_LOST,
    a_request,
    an_open,
    deliver,
    enter,
    open_payment,
    pay,
    read_code,
)
from tests.support.clock import Clock


def stage(parts: Parts, payment_id: str) -> Stage:
    return parts.checkout.paying.show(payment_id).stage


def types(parts: Parts, payment_id: str) -> list[str]:
    return [event.type for event in parts.checkout.opening.told(payment_id).events]


class TestOpening:
    def test_the_same_request_again_gives_the_same_payment(self, parts: Parts) -> None:
        command = an_open()

        first, created = parts.checkout.opening.open(command, "native")
        again, created_again = parts.checkout.opening.open(command, "native")

        assert (created, created_again) == (True, False)
        assert again.id == first.id

    def test_a_request_heard_again_after_its_payment_is_over_opens_no_other(self, parts: Parts) -> None:
        command = an_open()
        first, _ = parts.checkout.opening.open(command, "native")
        parts.checkout.paying.cancel(first.id)

        again, created = parts.checkout.opening.open(command, "native")

        assert (again.id, created) == (first.id, False)

    def test_a_jti_cannot_carry_another_request(self, parts: Parts) -> None:
        parts.checkout.opening.open(an_open(jti="jti-one", digest="a"), "native")

        with pytest.raises(RequestConflict) as refusal:
            parts.checkout.opening.open(an_open(jti="jti-one", digest="b"), "native")

        assert refusal.value.code == "jti_reused"

    def test_the_same_wish_for_an_open_debt_resumes_its_payment(self, parts: Parts) -> None:
        request = a_request()
        first, _ = parts.checkout.opening.open(an_open(request), "native")

        again, created = parts.checkout.opening.open(an_open(request), "native")

        assert not created
        assert again.id == first.id

    def test_another_wish_for_an_open_debt_is_refused(self, parts: Parts) -> None:
        first, _ = parts.checkout.opening.open(an_open(a_request(reference="FACT-9")), "native")

        with pytest.raises(RequestConflict) as refusal:
            parts.checkout.opening.open(an_open(a_request(reference="FACT-9"), digest="other"), "native")

        assert refusal.value.code == "debt_locked"
        assert refusal.value.payment == first.id

    def test_spellings_of_one_reference_are_one_debt(self, parts: Parts) -> None:
        parts.checkout.opening.open(an_open(a_request(reference="FACT 7 a")), "native")

        with pytest.raises(RequestConflict):
            parts.checkout.opening.open(an_open(a_request(reference="fact  7 A")), "native")

    def test_a_paid_debt_is_not_asked_for_again(self, parts: Parts) -> None:
        payment = open_payment(parts, reference="FACT-1")
        pay(parts, payment)

        with pytest.raises(RequestConflict) as refusal:
            open_payment(parts, reference="FACT-1")

        assert refusal.value.code == "debt_already_paid"

    def test_the_same_reference_of_another_year_is_another_debt(self, parts: Parts) -> None:
        pay(parts, open_payment(parts, reference="FACT-1", fiscal_year="2025"))

        assert open_payment(parts, reference="FACT-1", fiscal_year="2026").is_live

    def test_top_ups_repeat(self, parts: Parts) -> None:
        first = open_payment(parts, reference="CANTINE", kind=Kind.TOP_UP)
        pay(parts, first)

        second = pay(parts, open_payment(parts, reference="CANTINE", kind=Kind.TOP_UP))

        assert second.status is Status.PAID
        assert second.id != first.id

    def test_an_expired_page_frees_its_debt_for_the_next_request(self, parts: Parts, clock: Clock) -> None:
        first = open_payment(parts, reference="FACT-1")
        clock.advance(minutes=31)

        second = open_payment(parts, reference="FACT-1")

        assert second.id != first.id
        assert parts.checkout.opening.told(first.id).status is Status.EXPIRED


class TestPaying:
    def test_a_frictionless_card_is_confirmed_then_paid(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment)
        seen = stage(parts, payment.id)

        parts.checkout.settling.authorise(payment.id)

        paid = parts.checkout.opening.told(payment.id)
        assert seen is Stage.REVIEW
        assert paid.status is Status.PAID
        assert paid.attempt is not None
        assert (paid.attempt.last4, paid.attempt.bin) == ("4242", "424242")
        assert len(paid.attempt.authorisation_number) == 6

    def test_the_right_code_pays(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        code = read_code(parts, payment)

        is_right = parts.checkout.paying.answer_challenge(payment.id, code)
        parts.checkout.settling.authorise(payment.id)

        assert is_right
        assert stage(parts, payment.id) is Stage.PAID

    def test_five_wrong_codes_end_the_attempt_and_a_sixth_is_not_compared(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        code = read_code(parts, payment)
        wrong = "000000" if code != "000000" else "111111"

        answers = [parts.checkout.paying.answer_challenge(payment.id, wrong) for _ in range(5)]

        assert answers == [False] * 5
        assert stage(parts, payment.id) is Stage.REFUSED
        with pytest.raises(WrongStatus):
            parts.checkout.paying.answer_challenge(payment.id, code)

    def test_a_guess_is_counted_on_disk_before_it_is_compared(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        counted = []

        def is_code(*_: object) -> bool:
            with parts.store.reading() as tx:
                counted.append(tx.connection.execute(select(t.challenge.c.tries)).scalar_one())
            return False

        monkeypatch.setattr("gateway.checkout.paying.is_code", is_code)
        for verb in (parts.checkout.paying.answer_challenge, parts.checkout.paying.pay_by_code):
            verb(payment.id, "000000")

        assert counted == [1, 2]

    def test_the_right_code_leaves_what_is_about_to_be_asked_on_disk_and_asks_nobody(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)

        intent = parts.checkout.paying.pay_by_code(payment.id, read_code(parts, payment))

        told = parts.checkout.opening.told(payment.id)
        assert intent is not None
        assert [attempt.status for attempt in told.attempts] == [AttemptStatus.AUTHORISING]
        assert [event.type for event in told.events][-2:] == ["attempt.authenticated", "attempt.authorising"]
        assert [event.seq for event in told.events] == [*range(1, len(told.events) + 1)]
        with parts.store.reading() as tx:
            operations = tx.connection.execute(select(t.operation.c.op_id, t.operation.c.outcome)).all()
        assert [tuple(row) for row in operations] == [(intent.op_id, "")]

    def test_a_right_code_whose_intent_fails_is_not_used_up_but_counted(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        code = read_code(parts, payment)

        def fail(*_: object) -> None:
            raise WrongStatus("somebody was faster")

        with monkeypatch.context() as broken:
            broken.setattr(parts.checkout.settling, "pledge", fail)
            with pytest.raises(WrongStatus):
                parts.checkout.paying.pay_by_code(payment.id, code)

        view = parts.checkout.paying.show(payment.id).challenge
        assert view is not None
        assert view.tries_left == 4
        assert parts.checkout.paying.pay_by_code(payment.id, code) is not None

    def test_a_wrong_code_leaves_no_intent(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        wrong = "111111" if read_code(parts, payment) == "000000" else "000000"

        assert parts.checkout.paying.pay_by_code(payment.id, wrong) is None

        with parts.store.reading() as tx:
            assert tx.connection.execute(select(t.operation.c.op_id)).all() == []

    def test_a_code_dies_after_five_minutes(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        code = read_code(parts, payment)
        clock.advance(minutes=5, seconds=1)

        assert not parts.checkout.paying.answer_challenge(payment.id, code)

    def test_a_new_code_kills_the_old_one_and_keeps_the_tries(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        old = read_code(parts, payment)
        parts.checkout.paying.answer_challenge(payment.id, "999999" if old != "999999" else "888888")
        too_soon = parts.checkout.paying.resend_code(payment.id)
        clock.advance(seconds=31)

        sent = parts.checkout.paying.resend_code(payment.id)
        new = read_code(parts, payment)

        view = parts.checkout.paying.show(payment.id).challenge
        assert (too_soon, sent) == (False, True)
        assert view is not None
        assert (view.tries_left, view.sends_left) == (4, 1)
        assert new == old or not parts.checkout.paying.answer_challenge(payment.id, old)
        assert parts.checkout.paying.answer_challenge(payment.id, new)

    def test_a_code_is_sent_three_times_to_the_payers_own_telephone(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts, payer_phone="+33612345678")
        enter(parts, payment, CHALLENGE)
        deliver(parts)
        sent = []
        for _ in range(3):
            clock.advance(seconds=61)
            sent.append(parts.checkout.paying.resend_code(payment.id))
            deliver(parts)

        messages = parts.inbox.messages(kind="sms", payment=payment.id)
        assert sent == [True, True, False]
        assert [message.to for message in messages] == ["+33612345678"] * 3

    def test_without_a_challenge_no_code_is_sent(self, parts: Parts) -> None:
        payment = open_payment(parts)
        before = parts.checkout.paying.resend_code(payment.id)
        enter(parts, payment)

        assert not before
        assert not parts.checkout.paying.resend_code(payment.id)

    def test_a_refused_card_then_another_card(self, parts: Parts) -> None:
        payment = open_payment(parts)
        pay(parts, payment, FUNDS)
        refused = stage(parts, payment.id)
        parts.checkout.paying.change_card(payment.id)
        again = stage(parts, payment.id)

        paid = pay(parts, payment, FRICTIONLESS)

        assert (refused, again) == (Stage.REFUSED, Stage.CARD)
        assert paid.status is Status.PAID
        assert [attempt.status for attempt in paid.attempts] == [AttemptStatus.DECLINED, AttemptStatus.APPROVED]

    def test_the_third_refusal_ends_the_payment_as_refused(self, parts: Parts) -> None:
        payment = open_payment(parts, reference="FACT-1")
        for number in (FUNDS, REFUSED_BY_3DS, FUNDS):
            enter(parts, payment, number)
            if number != REFUSED_BY_3DS:
                parts.checkout.settling.authorise(payment.id)
            if parts.checkout.opening.told(payment.id).is_live:
                parts.checkout.paying.change_card(payment.id)

        assert parts.checkout.opening.told(payment.id).status is Status.FAILED
        assert types(parts, payment.id)[-1] == "payment.refused"
        assert open_payment(parts, reference="FACT-1").is_live

    def test_nothing_that_could_debit_again_is_kept_of_a_refused_card(self, parts: Parts, clock: Clock) -> None:
        pay(parts, open_payment(parts), FUNDS)

        with parts.store.reading() as tx:
            (refused,) = tx.connection.execute(select(t.attempt)).all()
        assert (refused.token, refused.next_at, refused.ended_at) == ("", None, clock.now())
        assert (refused.response_code, refused.response_family) == ("51", "funds")

    def test_nor_of_one_that_was_given_up(self, parts: Parts, clock: Clock) -> None:
        left, cancelled, late = (open_payment(parts) for _ in range(3))
        for payment in (left, cancelled, late):
            enter(parts, payment)
        parts.checkout.paying.change_card(left.id)
        parts.checkout.paying.cancel(cancelled.id)
        clock.advance(hours=1)
        parts.checkout.sweep()

        with parts.store.reading() as tx:
            kept = tx.connection.execute(select(t.attempt.c.status, t.attempt.c.token)).all()
        assert [tuple(row) for row in kept] == [("abandoned", "")] * 3

    def test_a_page_nobody_looked_at_is_cancelled_too(self, parts: Parts) -> None:
        payment, _ = parts.checkout.opening.open(an_open(), "native")

        parts.checkout.paying.cancel(payment.id)

        after = parts.checkout.opening.told(payment.id)
        assert after.status is Status.CANCELLED
        assert [(event.type, event.facts.get("by")) for event in after.events][1:] == [
            ("payment.opened", None),
            ("payment.cancelled", "payer"),
        ]

    def test_cancel_frees_the_debt_at_once(self, parts: Parts) -> None:
        payment = open_payment(parts, reference="FACT-1")

        parts.checkout.paying.cancel(payment.id)

        assert stage(parts, payment.id) is Stage.CANCELLED
        assert open_payment(parts, reference="FACT-1").id != payment.id

    def test_giving_up_after_a_refusal_is_refused_not_cancelled(self, parts: Parts) -> None:
        payment = open_payment(parts)
        pay(parts, payment, FUNDS)

        parts.checkout.paying.cancel(payment.id)

        assert parts.checkout.opening.told(payment.id).status is Status.FAILED

    def test_a_late_look_expires_the_payment(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        clock.advance(minutes=30)

        assert stage(parts, payment.id) is Stage.EXPIRED
        assert types(parts, payment.id)[-1] == "payment.expired"

    def test_a_card_after_the_end_is_refused(self, parts: Parts) -> None:
        payment = open_payment(parts)
        parts.checkout.paying.cancel(payment.id)

        with pytest.raises(WrongStatus):
            enter(parts, payment)

    def test_a_card_of_another_brand_than_the_merchant_takes_is_refused_before_anything_begins(
        self, parts: Parts
    ) -> None:
        payment = open_payment(parts, schemes=("mastercard",))

        with pytest.raises(CardRefused) as refusal:
            enter(parts, payment, FRICTIONLESS)

        assert (refusal.value.field, refusal.value.rule) == ("cc-number", "scheme")
        assert parts.checkout.opening.told(payment.id).attempts == ()

    def test_other_brands_are_taken_once_a_card_was_refused(self, parts: Parts) -> None:
        payment = open_payment(parts, schemes=("visa",), schemes_again=("mastercard",))
        with pytest.raises(CardRefused):
            enter(parts, payment, MASTERCARD)
        declined = pay(parts, payment, FUNDS)
        parts.checkout.paying.change_card(payment.id)

        enter(parts, payment, MASTERCARD)

        told = parts.checkout.opening.told(payment.id)
        assert (declined.schemes, told.schemes) == (("mastercard",), ("mastercard",))
        assert [attempt.scheme for attempt in told.attempts] == ["visa", "mastercard"]

    def test_a_co_badged_card_is_used_under_the_brand_the_merchant_takes(self, parts: Parts) -> None:
        payment = open_payment(parts, schemes=("visa",))

        enter(parts, payment, CO_BADGED_CHALLENGE)

        attempt = parts.checkout.opening.told(payment.id).attempt
        assert attempt is not None
        assert attempt.scheme == "visa"

    def test_entering_a_second_card_abandons_the_first(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        parts.checkout.paying.change_card(payment.id)

        paid = pay(parts, payment)

        assert [attempt.status for attempt in paid.attempts] == [AttemptStatus.ABANDONED, AttemptStatus.APPROVED]


class TestSilence:
    """An ambiguous answer is never guessed."""

    def test_an_approval_that_was_not_heard_is_found(self, parts: Parts) -> None:
        payment = open_payment(parts)
        unknown = pay(parts, payment, SILENT_APPROVED)
        waiting = stage(parts, payment.id)

        parts.checkout.sweep()

        assert unknown.attempt is not None
        assert unknown.attempt.status is AttemptStatus.UNKNOWN
        assert waiting is Stage.WAITING
        assert stage(parts, payment.id) is Stage.PAID

    def test_a_refusal_that_was_not_heard_is_found(self, parts: Parts) -> None:
        payment = open_payment(parts)
        pay(parts, payment, SILENT_DECLINED)

        parts.checkout.sweep()

        assert stage(parts, payment.id) is Stage.REFUSED

    def test_a_message_never_received_is_reversed_before_another_card(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        pay(parts, payment, SILENT_LOST)
        for _ in range(3):
            parts.checkout.sweep()
            clock.advance(seconds=61)

        result = parts.checkout.opening.told(payment.id)
        assert result.attempt is not None
        assert result.attempt.status is AttemptStatus.REVERSED
        assert stage(parts, payment.id) is Stage.REFUSED
        parts.checkout.paying.change_card(payment.id)
        assert pay(parts, payment).status is Status.PAID

    def test_nobody_can_cancel_or_expire_what_may_be_debited(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts)
        pay(parts, payment, SILENT_APPROVED)

        parts.checkout.paying.cancel(payment.id)
        clock.advance(hours=2)

        assert stage(parts, payment.id) is Stage.WAITING


class TestAfterwards:
    def test_approved_money_is_captured_by_the_sweep(self, parts: Parts) -> None:
        payment = open_payment(parts)
        pay(parts, payment)

        parts.checkout.sweep()

        attempt = parts.checkout.opening.told(payment.id).attempt
        assert attempt is not None
        assert attempt.status is AttemptStatus.CAPTURED

    def test_the_history_tells_the_whole_journey(self, parts: Parts) -> None:
        payment = open_payment(parts)
        pay(parts, payment)

        assert types(parts, payment.id) == [
            "payment.created",
            "payment.opened",
            "attempt.started",
            "attempt.authenticated",
            "attempt.authorising",
            "payment.succeeded",
        ]

    def test_each_event_of_an_attempt_says_of_which(self, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, CHALLENGE)
        parts.checkout.paying.answer_challenge(payment.id, read_code(parts, payment))
        parts.checkout.settling.authorise(payment.id)
        pay(parts, payment := open_payment(parts), FUNDS)

        told = parts.checkout.opening.told(payment.id)
        named = {event.facts.get("attempt") for event in told.events if event.type.startswith("attempt.")}

        assert named == {attempt.id for attempt in told.attempts}

    def test_of_a_card_only_what_may_be_shown_is_stored(self, parts: Parts) -> None:
        numbers = (FRICTIONLESS, MASTERCARD, CHALLENGE)
        for number in numbers:
            enter(parts, open_payment(parts), number)

        with parts.store.reading() as tx:
            stored = [str(row) for table in t.metadata.sorted_tables for row in tx.connection.execute(select(table))]

        assert [row for row in stored if MASTERCARD[:6] in row and MASTERCARD[-4:] in row]
        assert [row for row in stored if any(number[:10] in row for number in numbers)] == []

    def test_the_amount_asked_of_the_bank_is_the_amount_of_the_request(self, parts: Parts) -> None:
        payment = open_payment(parts, amount=Money(1234))
        pay(parts, payment)

        book = parts.checkout.desk.acquirer.book()  # type: ignore[attr-defined]  # the simulator's own book

        assert [(entry.amount, entry.state) for entry in book] == [(Money(1234), "approved")]
