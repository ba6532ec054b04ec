"""Later instalments: each is debited once, on its day, by the card of the purchase, whatever dies or crosses."""

import multiprocessing
import os
import signal
from datetime import date, timedelta
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import func, select, update

from gateway.acquirers import Answer
from gateway.checkout import Stage
from gateway.core.errors import AcquirerUnreachable, RequestConflict, WrongStatus
from gateway.core.money import Money
from gateway.core.payment import Instalment, PaymentResult
from gateway.core.states import AttemptStatus, InstalmentStatus, Status
from gateway.dialects import Cancel, Capture, Open, Refund, Signed, Which
from gateway.parts import Parts
from gateway.store import tables as t
from tests.dialects import samples
from tests.factories import (
    CHALLENGE,
    FRICTIONLESS,
    FUNDS,
    MERCHANT,
    SILENT_APPROVED,
    a_card,
    enter,
    open_payment,
    pay,
    read_code,
)
from tests.support.clock import Clock

LATER_REFUSED = "4000000800040000"
LATER_SECOND_TRY = "4000000800050009"
SECOND, THIRD = date(2026, 12, 21), date(2027, 1, 20)
PLAN = (Instalment(SECOND, Money(3000)), Instalment(THIRD, Money(2999)))


def told(parts: Parts, payment: PaymentResult | str) -> PaymentResult:
    return parts.checkout.opening.told(payment if isinstance(payment, str) else payment.id)


def bought(parts: Parts, card: str = FRICTIONLESS, **changes: object) -> PaymentResult:
    """Pay the first part of a purchase in three times."""
    opened = open_payment(parts, **{"amount": Money(4000), "instalments": PLAN, **changes})
    purchase = pay(parts, opened, card)
    parts.checkout.sweep()
    return purchase


def come(parts: Parts, clock: Clock, day: date, sweeps: int = 2) -> None:
    """Let a day come, and the worker sweep: once to ask, once to tell the purchase."""
    clock.advance(seconds=max((day - clock.now().date()).total_seconds(), 0))
    for _ in range(sweeps):
        parts.checkout.sweep()
        clock.advance(seconds=61)


def states(parts: Parts, purchase: PaymentResult) -> list[str]:
    return [part.status.value for part in told(parts, purchase).instalments]


def part_of(parts: Parts, purchase: PaymentResult, rank: int = 2) -> PaymentResult:
    return told(parts, told(parts, purchase).instalments[rank - 2].payment)


def debits(parts: Parts) -> list[int]:
    """List what the bank's own book holds of the payer's money."""
    book = parts.checkout.desk.acquirer.book()  # type: ignore[attr-defined]  # the simulator's own book
    return [entry.amount.cents for entry in book if entry.state in ("approved", "captured")]


def tokens(parts: Parts) -> set[str]:
    with parts.store.reading() as tx:
        return set(tx.connection.execute(select(t.attempt.c.token)).scalars())


def notices(parts: Parts, channel: str, payment: PaymentResult) -> list[str]:
    with parts.store.reading() as tx:
        rows = tx.notices.of_payment(tx.payments.get(payment.id).id)
    return [row.body.decode() for row in rows if row.channel == channel]


def signed(jti: str) -> Signed:
    return Signed(MERCHANT, jti, jti)


def give_back(parts: Parts, payment: PaymentResult, amount: Money | None = None) -> None:
    parts.checkout.refunding.refund(Refund(Which(payment=payment.id), amount, signed("refund")), "native")


def silence(*_: object, **__: object) -> Answer:
    raise AcquirerUnreachable("no answer")


class TestOnTheDay:
    def test_each_part_is_debited_on_its_day_and_not_before(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        come(parts, clock, SECOND - timedelta(days=1))
        before = debits(parts)

        come(parts, clock, SECOND)
        after_second = (debits(parts), states(parts, purchase))
        come(parts, clock, THIRD)

        assert before == [4000]
        assert after_second == ([4000, 3000], ["paid", "planned"])
        assert (debits(parts), states(parts, purchase)) == ([4000, 3000, 2999], ["paid", "paid"])

    def test_a_part_is_a_payment_of_its_own_with_everything_of_one(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, payer_name="Camille Martin")
        come(parts, clock, SECOND)

        part = part_of(parts, purchase)

        assert (part.status, part.request.amount, part.rank, part.parent) == (Status.PAID, Money(3000), 2, purchase.id)
        assert (part.request.reference, part.request.payer_name) == (purchase.request.reference, "Camille Martin")
        assert part.request.label == "Cantine de novembre (2/3)"
        assert [attempt.status for attempt in part.attempts] == [AttemptStatus.CAPTURED]
        assert part.attempts[0].last4 == FRICTIONLESS[-4:]
        assert told(parts, purchase).instalments[0].paid_at == part.paid_at
        assert told(parts, purchase).instalments[0].number == part.number

    def test_the_merchant_is_told_once_and_both_get_a_receipt(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        come(parts, clock, SECOND, sweeps=4)

        part = part_of(parts, purchase)

        assert len(notices(parts, "confirmation", part)) == 1
        assert '"type":"payment.succeeded"' in notices(parts, "confirmation", part)[0].replace(" ", "")
        assert len(notices(parts, "payer_mail", part)) == 1
        assert len(notices(parts, "confirmation", purchase)) == 1

    def test_the_ledger_holds_each_debit(self, parts: Parts, clock: Clock) -> None:
        bought(parts)
        come(parts, clock, THIRD, sweeps=3)

        with parts.store.reading() as tx:
            entries = tx.connection.execute(
                select(func.count(), func.sum(t.ledger.c.amount_cents)).select_from(t.ledger)
            ).one()
        assert tuple(entries) == (6, 0)

    def test_the_timeline_of_the_purchase_tells_of_it(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        come(parts, clock, SECOND)

        kinds = [event.type for event in told(parts, purchase).events]

        assert kinds[-2:] == ["instalment.asked", "instalment.paid"]

    def test_a_card_that_was_challenged_once_is_not_challenged_again(self, parts: Parts, clock: Clock) -> None:
        purchase = open_payment(parts, amount=Money(4000), instalments=PLAN)
        enter(parts, purchase, CHALLENGE)
        parts.checkout.paying.answer_challenge(purchase.id, read_code(parts, purchase))
        parts.checkout.settling.authorise(purchase.id)

        come(parts, clock, SECOND)

        assert states(parts, purchase) == ["paid", "planned"]

    def test_two_parts_that_are_late_are_two_debits(self, parts: Parts, clock: Clock) -> None:
        soon = [clock.now().date() + timedelta(days=days) for days in (3, 8)]
        purchase = bought(parts, instalments=tuple(map(Instalment, soon, (Money(3000), Money(2999)))))

        come(parts, clock, soon[1] + timedelta(days=3))

        assert sorted(debits(parts)) == [2999, 3000, 4000]
        assert states(parts, purchase) == ["paid", "paid"]

    def test_one_that_is_a_month_late_is_left_to_people(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)

        come(parts, clock, THIRD + timedelta(days=1))

        assert states(parts, purchase) == ["refused", "paid"]
        assert debits(parts) == [4000, 2999]
        (alarm,) = notices(parts, "alarm_mail", purchase)
        assert "L'échéance 2/3 (30,00 EUR" in alarm

    def test_what_waits_for_a_yes_keeps_no_other_part_waiting(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.checkout.instalments._BATCH", 1)
        soon = (Instalment(date(2026, 11, 22), Money(4612)),)
        unaccepted = bought(parts, instalments=soon, capture_by_hand=True)
        other = bought(parts, instalments=soon, reference="OTHER-1")

        come(parts, clock, date(2026, 11, 22))

        assert states(parts, unaccepted) == ["planned"]
        assert states(parts, other) == ["paid"]

    def test_what_the_merchant_pays_out_by_hand_waits_for_its_yes(self, parts: Parts, clock: Clock) -> None:
        soon = (Instalment(clock.now().date() + timedelta(days=2), Money(3000)),)
        purchase = bought(parts, instalments=soon, capture_by_hand=True)
        come(parts, clock, soon[0].due)
        waiting = states(parts, purchase)

        parts.checkout.refunding.capture(Capture(Which(payment=purchase.id), signed("capture")), "native")
        come(parts, clock, soon[0].due)

        assert waiting == ["planned"]
        assert states(parts, purchase) == ["paid"]
        assert part_of(parts, purchase).attempts[0].status is AttemptStatus.CAPTURED

    def test_a_refund_of_one_part_leaves_the_others(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        come(parts, clock, SECOND)
        part = part_of(parts, purchase)

        give_back(parts, part)
        come(parts, clock, THIRD)

        assert part_of(parts, purchase).refunded_cents == 3000
        assert states(parts, purchase) == ["paid", "paid"]


class TestTheCard:
    def test_its_token_is_kept_until_the_last_part_is_over(self, parts: Parts, clock: Clock) -> None:
        bought(parts)
        kept = tokens(parts)
        come(parts, clock, SECOND)
        still = tokens(parts)

        come(parts, clock, THIRD)

        assert len(kept - {""}) == len(still - {""}) == 1
        assert tokens(parts) == {""}

    def test_a_purchase_paid_at_once_keeps_none(self, parts: Parts) -> None:
        pay(parts, open_payment(parts))

        assert tokens(parts) == {""}

    def test_nobody_pays_a_part_by_its_page(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, LATER_REFUSED)
        come(parts, clock, SECOND)
        part = part_of(parts, purchase)

        with pytest.raises(WrongStatus):
            parts.checkout.paying.enter_card(part.id, a_card(), scheme="", email="")
        with pytest.raises(WrongStatus):
            parts.checkout.settling.intend(part.id)
        parts.checkout.paying.cancel(part.id)

        assert parts.checkout.paying.show(part.id).stage is Stage.WAITING


class TestARefusal:
    def test_it_is_asked_for_again_the_next_day(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, LATER_SECOND_TRY)
        come(parts, clock, SECOND)
        refused = told(parts, purchase).instalments[0]
        clock.advance(hours=23, minutes=50)
        parts.checkout.sweep()
        before = debits(parts)

        come(parts, clock, SECOND + timedelta(days=2))

        assert refused.status is InstalmentStatus.RETRYING
        assert refused.attempt is not None
        assert (refused.attempt.number, refused.attempt.response_code) == (1, "51")
        assert before == [4000]
        assert states(parts, purchase) == ["paid", "planned"]
        assert [one.status.value for one in part_of(parts, purchase).attempts] == ["declined", "captured"]

    def test_after_three_it_is_over_and_the_managers_are_told_once(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, LATER_REFUSED)

        for _ in range(10):
            come(parts, clock, SECOND)
            clock.advance(hours=12)

        part = told(parts, purchase).instalments[0]
        assert part.status is InstalmentStatus.REFUSED
        assert part.attempt is not None
        assert part.attempt.number == 3
        assert part_of(parts, purchase).status is Status.FAILED
        assert debits(parts) == [4000]
        (alarm,) = notices(parts, "alarm_mail", purchase)
        assert "L'échéance 2/3 (30,00 EUR, due le 2026-12-21)" in alarm
        assert purchase.request.reference in alarm
        assert "51 funds" in alarm

    def test_the_parts_after_it_are_asked_for_all_the_same(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, LATER_REFUSED)

        for _ in range(16):
            come(parts, clock, THIRD)
            clock.advance(hours=12)

        assert states(parts, purchase) == ["refused", "refused"]
        assert tokens(parts) == {""}

    def test_a_stolen_card_is_not_asked_again(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought(parts, LATER_REFUSED)
        monkeypatch.setattr("gateway.checkout.instalments._FINAL_FAMILIES", frozenset({"funds"}))

        come(parts, clock, SECOND, sweeps=3)

        assert states(parts, purchase) == ["refused", "planned"]
        assert len(part_of(parts, purchase).attempts) == 1

    def test_a_purchase_whose_card_was_lost_tells_a_person(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        with parts.store.transaction() as tx:
            tx.connection.execute(update(t.attempt).values(token=""))

        come(parts, clock, SECOND)

        assert states(parts, purchase) == ["refused", "planned"]
        assert len(notices(parts, "alarm_mail", purchase)) == 1


class TestVoid:
    def test_a_purchase_that_was_not_paid_has_none(self, parts: Parts, clock: Clock) -> None:
        opened = open_payment(parts, amount=Money(4000), instalments=PLAN)
        enter(parts, opened, FUNDS)
        parts.checkout.settling.authorise(opened.id)
        parts.checkout.paying.cancel(opened.id)

        come(parts, clock, THIRD)

        assert told(parts, opened).status is Status.FAILED
        assert states(parts, opened) == ["void", "void"]
        assert debits(parts) == []

    def test_a_purchase_given_back_whole_has_none_any_more(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        give_back(parts, purchase)

        come(parts, clock, THIRD)

        assert states(parts, purchase) == ["void", "void"]
        assert tokens(parts) == {""}

    def test_a_purchase_given_back_in_part_keeps_them(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        give_back(parts, purchase, Money(100))

        come(parts, clock, SECOND)

        assert states(parts, purchase) == ["paid", "planned"]

    def test_a_refund_under_way_holds_them_back(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought(parts)
        with monkeypatch.context() as patch:
            patch.setattr(parts.checkout.desk.acquirer, "refund", silence)
            give_back(parts, purchase)
            come(parts, clock, SECOND)
        held = (states(parts, purchase), debits(parts))

        come(parts, clock, THIRD)

        assert held == (["planned", "planned"], [4000])
        assert states(parts, purchase) == ["void", "void"]

    def test_a_part_being_asked_for_when_it_is_stopped_is_asked_for_no_more(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought(parts)
        with monkeypatch.context() as patch:
            patch.setattr(parts.checkout.desk.acquirer, "authorise", silence)
            come(parts, clock, SECOND, sweeps=1)
        working = states(parts, purchase)

        parts.checkout.refunding.cancel(Cancel(Which(payment=purchase.id), signed("stop")), "native")
        for _ in range(6):
            come(parts, clock, SECOND, sweeps=3)
            clock.advance(hours=12)

        assert working == ["working", "planned"]
        assert states(parts, purchase) == ["refused", "void"]
        assert debits(parts) == [4000]
        assert tokens(parts) == {""}

    def test_a_refused_part_waits_while_its_purchase_is_being_given_back(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought(parts, LATER_SECOND_TRY)
        come(parts, clock, SECOND)
        with monkeypatch.context() as patch:
            patch.setattr(parts.checkout.desk.acquirer, "refund", silence)
            give_back(parts, purchase)
            come(parts, clock, SECOND + timedelta(days=2), sweeps=3)
        held = (states(parts, purchase), debits(parts))

        come(parts, clock, SECOND + timedelta(days=5), sweeps=3)

        assert held == (["retrying", "planned"], [4000])
        assert states(parts, purchase) == ["void", "void"]

    def test_the_merchant_may_stop_what_is_left(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts)
        come(parts, clock, SECOND)

        stopped = parts.checkout.refunding.cancel(Cancel(Which(payment=purchase.id), signed("stop")), "native")
        again = parts.checkout.refunding.cancel(Cancel(Which(payment=purchase.id), signed("stop")), "native")
        come(parts, clock, THIRD)

        assert stopped.status is again.status is Status.PAID
        assert states(parts, purchase) == ["paid", "void"]
        assert sorted(debits(parts)) == [3000, 4000]
        assert tokens(parts) == {""}
        with pytest.raises(RequestConflict, match="payment_over"):
            parts.checkout.refunding.cancel(Cancel(Which(payment=purchase.id), signed("more")), "native")

    def test_a_refused_part_that_waits_for_another_day_is_stopped_too(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, LATER_SECOND_TRY)
        come(parts, clock, SECOND)

        parts.checkout.refunding.cancel(Cancel(Which(payment=purchase.id), signed("stop")), "native")
        come(parts, clock, THIRD)

        assert states(parts, purchase) == ["void", "void"]
        assert debits(parts) == [4000]
        assert tokens(parts) == {""}


class TestSilence:
    def test_a_silent_bank_is_asked_what_became_of_it(self, parts: Parts, clock: Clock) -> None:
        purchase = bought(parts, SILENT_APPROVED)
        come(parts, clock, clock.now().date(), sweeps=3)

        come(parts, clock, SECOND, sweeps=1)
        working = states(parts, purchase)
        come(parts, clock, SECOND, sweeps=3)

        assert working == ["working", "planned"]
        assert states(parts, purchase) == ["paid", "planned"]
        assert debits(parts) == [4000, 3000]

    def test_a_lost_message_is_undone_and_asked_for_again_another_day(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought(parts)
        with monkeypatch.context() as patch:
            patch.setattr(parts.checkout.desk.acquirer, "authorise", silence)
            come(parts, clock, SECOND, sweeps=5)
        undone = part_of(parts, purchase).attempts[0].status

        come(parts, clock, SECOND + timedelta(days=2), sweeps=3)

        assert undone is AttemptStatus.REVERSED
        assert states(parts, purchase) == ["paid", "planned"]
        assert debits(parts) == [4000, 3000]


def die_asking(parts: Parts, has_decided: bool) -> None:
    """Sweep, and be killed while the bank is asked."""
    bank = parts.checkout.desk.acquirer
    authorise = bank.authorise

    def die(token: str, amount: Money, **said: str) -> Answer:
        if has_decided:
            authorise(token, amount, **said)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("dead")

    bank.authorise = die  # type: ignore[method-assign]
    parts.checkout.sweep()


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is cleaned up."""


class TestDeath:
    """The sweeper dies at each of its steps; the next one finishes, and the bank is asked for the money once."""

    @pytest.mark.parametrize(
        "step",
        [
            "gateway.checkout.settling.Settling.authorise",
            "gateway.checkout.settling.Settling.ask",
            "gateway.checkout.settling.Settling.record",
        ],
    )
    def test_a_sweeper_that_dies_leaves_something_to_finish(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        purchase = bought(parts)
        clock.advance(days=(SECOND - clock.now().date()).days)

        def die(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(step, die)
            with pytest.raises(Killed):
                parts.checkout.sweep()
        for _ in range(6):
            clock.advance(seconds=61)
            parts.checkout.sweep()
        come(parts, clock, SECOND + timedelta(days=2), sweeps=3)

        assert states(parts, purchase) == ["paid", "planned"]
        assert debits(parts) == [4000, 3000]

    @pytest.mark.parametrize("has_decided", [False, True], ids=["before the bank decides", "after it decided"])
    def test_a_sweeper_killed_with_its_message_under_way_debits_once(
        self, parts: Parts, clock: Clock, *, has_decided: bool
    ) -> None:
        purchase = bought(parts)
        clock.advance(days=(SECOND - clock.now().date()).days)
        parts.store.engine.dispose()

        sweeper = multiprocessing.get_context("fork").Process(target=die_asking, args=(parts, has_decided))
        sweeper.start()
        sweeper.join(60)

        assert sweeper.exitcode == -signal.SIGKILL
        assert states(parts, purchase) == ["working", "planned"]
        assert debits(parts) == ([4000, 3000] if has_decided else [4000])
        come(parts, clock, SECOND + timedelta(days=2), sweeps=6)
        come(parts, clock, SECOND + timedelta(days=4), sweeps=3)
        assert states(parts, purchase) == ["paid", "planned"]
        assert debits(parts) == [4000, 3000]

    def test_nothing_is_left_of_a_part_whose_making_failed(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought(parts)
        clock.advance(days=(SECOND - clock.now().date()).days)

        def die(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr("gateway.checkout.instalments.Instalments._ask_at", die)
            with pytest.raises(Killed):
                parts.checkout.sweep()

        assert states(parts, purchase) == ["planned", "planned"]
        come(parts, clock, SECOND)
        assert debits(parts) == [4000, 3000]


class TestSystempay:
    """A shop's order in several times: one transaction each, numbered within the order."""

    @staticmethod
    def ordered(parts: Parts, card: str = FRICTIONLESS) -> PaymentResult:
        config = {"vads_payment_config": "MULTI:first=4000;count=3;period=30", "vads_amount": "9999"}
        call = samples.systempay("CMD-000042", parts.now(), **config)
        command = parts.dialects["systempay"].read(call, parts.now())
        assert isinstance(command, Open)
        payment, _ = parts.checkout.opening.open(command, "systempay")
        parts.checkout.paying.show(payment.id)
        return pay(parts, payment, card)

    @staticmethod
    def told(parts: Parts, payment: PaymentResult) -> list[dict[str, str]]:
        return [dict(parse_qsl(body, keep_blank_values=True)) for body in notices(parts, "confirmation", payment)]

    def test_each_later_transaction_is_told_once_with_its_place(self, parts: Parts, clock: Clock) -> None:
        order = self.ordered(parts)
        come(parts, clock, SECOND, sweeps=3)

        ((first,), (second,)) = self.told(parts, order), self.told(parts, part_of(parts, order))

        names = (
            "sequence_number",
            "url_check_src",
            "trans_status",
            "effective_amount",
            "order_id",
            "trans_id",
            "result",
        )
        assert [first[f"vads_{name}"] for name in names] == [
            "1",
            "PAY",
            "AUTHORISED",
            "4000",
            "CMD-000042",
            "000042",
            "00",
        ]
        assert [second[f"vads_{name}"] for name in names] == [
            "2", "BATCH_AUTO", "AUTHORISED", "2999", "CMD-000042", "000042", "00",
        ]  # fmt: skip
        assert first["vads_trans_uuid"] != second["vads_trans_uuid"]
        assert len(second["vads_trans_uuid"]) == 32
        assert second["vads_card_number"] == "424242XXXXXX4242"

    def test_a_refused_one_is_told_when_it_is_over(self, parts: Parts, clock: Clock) -> None:
        order = self.ordered(parts, LATER_REFUSED)
        come(parts, clock, SECOND, sweeps=3)
        early = self.told(parts, part_of(parts, order))

        for _ in range(10):
            come(parts, clock, SECOND)
            clock.advance(hours=12)

        (refused,) = self.told(parts, part_of(parts, order))
        names = ("sequence_number", "url_check_src", "trans_status", "auth_result")
        assert early == []
        assert [refused[f"vads_{name}"] for name in names] == ["2", "BATCH_AUTO", "REFUSED", "51"]

    def test_what_the_shop_stopped_itself_is_not_told(self, parts: Parts, clock: Clock) -> None:
        order = self.ordered(parts, LATER_SECOND_TRY)
        come(parts, clock, SECOND)
        stop = Cancel(Which(payment=order.id), Signed("ifac-demo", "stop", "stop"))

        parts.checkout.refunding.cancel(stop, "systempay")

        assert part_of(parts, order).status is Status.CANCELLED
        assert self.told(parts, part_of(parts, order)) == []
