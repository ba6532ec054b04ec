"""Card testing is starved: what passes a limit never reaches the bank, and nobody is told so."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from threading import Barrier, BrokenBarrierError

import pytest
from sqlalchemy import select

from gateway.acquirers import Flow
from gateway.core.card import CardNumber
from gateway.core.limits import Identity, network_of
from gateway.core.states import Status
from gateway.parts import Parts
from gateway.store import tables as t
from gateway.store.limits import Limits
from gateway.store.seen import Refusals
from tests.factories import a_card, deliver, open_payment, read_code
from tests.limits.bank import Bank, luhn
from tests.limits.conftest import guarded
from tests.support.clock import Clock

# Far from the first ranges, which the bots of the tests use.
_serial = count(10_001_000)


def a_number(first: str = "") -> str:
    """Give a card number nobody has used; of a range of its own unless told which."""
    number = next(_serial)
    return luhn(f"{first or f'4{number % 10_000_000:07d}'}{number % 10_000_000:07d}")


def try_card(parts: Parts, number: str = "", origin: str = "198.51.100.1", payment: str = "") -> str:
    """Open a payment, type a card, confirm; gives the payment."""
    payment = payment or open_payment(parts).id
    parts.checkout.paying.enter_card(payment, a_card(number or a_number()), scheme="", email="", origin=origin)
    parts.checkout.settling.authorise(payment)
    return payment


class TestNetworks:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::", "2001:db8:1:3::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("", "unknown"),
            ("nobody", "unknown"),
        ],
    )
    def test_a_caller_is_counted_by_what_one_house_is_given(self, address: str, network: str) -> None:
        assert network_of(address) == network


class TestAddresses:
    def test_the_eleventh_card_of_ten_minutes_never_reaches_the_bank(self, strict: Parts, bank: Bank) -> None:
        numbers = [a_number() for _ in range(12)]

        for number in numbers:
            try_card(strict, number)

        assert bank.enrolled == bank.debited == numbers[:10]

    def test_ten_minutes_later_it_does_up_to_thirty_a_day(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        for _ in range(5):
            for _ in range(10):
                try_card(strict)
            clock.advance(minutes=10, seconds=1)
        assert len(bank.enrolled) == 30

        clock.advance(days=1)
        try_card(strict)

        assert len(bank.enrolled) == 31

    def test_a_busy_address_still_has_its_ten_of_each_ten_minutes(
        self, strict: Parts, bank: Bank, clock: Clock
    ) -> None:
        for _ in range(25):
            try_card(strict)
            clock.advance(seconds=30)

        # Ten in the first five minutes, nobody for five, then one for each that is ten minutes old.
        assert len(bank.enrolled) == 15

    def test_another_address_pays(self, strict: Parts, bank: Bank) -> None:
        for _ in range(11):
            try_card(strict)
        bank.is_live = lambda _: True

        paid = try_card(strict, origin="198.51.100.2")

        assert strict.checkout.opening.told(paid).status is Status.PAID

    def test_the_bank_is_not_asked_later_either(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        """A process that dies between the intent and the answer leaves it to the sweep."""
        for _ in range(10):
            try_card(strict)
        payment = open_payment(strict).id
        strict.checkout.paying.enter_card(payment, a_card(a_number()), scheme="", email="", origin="198.51.100.1")
        strict.checkout.settling.intend(payment)

        for _ in range(4):
            clock.advance(minutes=1)
            strict.checkout.sweep()

        assert len(bank.debited) == 10
        assert strict.checkout.opening.told(payment).attempts[-1].status.value == "reversed"


class TestCards:
    def test_a_card_refused_three_times_in_an_hour_rests(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        number = a_number()
        for minute in range(5):
            try_card(strict, number, origin=f"198.51.100.{minute}")
            clock.advance(minutes=1)
        assert len(bank.debited) == 3

        clock.advance(hours=1)
        try_card(strict, number)

        assert len(bank.debited) == 4

    def test_and_ten_times_a_day_over_midnight(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        number = a_number()
        clock.advance(hours=8)
        for hour in range(12):
            try_card(strict, number, origin=f"198.51.100.{hour}")
            clock.advance(hours=1, minutes=1)
        assert len(bank.debited) == 10

        clock.advance(hours=14)
        try_card(strict, number)

        assert len(bank.debited) == 11

    def test_a_good_card_pays_as_often_as_it_likes(self, strict: Parts, bank: Bank) -> None:
        bank.is_live = lambda _: True
        number = a_number()

        for place in range(12):
            try_card(strict, number, origin=f"198.51.100.{place}")

        assert len(bank.debited) == 12

    def test_refusals_of_a_silent_bank_do_not_count(self, strict: Parts, bank: Bank) -> None:
        bank.flow = Flow.REFUSED
        number = a_number()
        payment = open_payment(strict).id
        strict.checkout.paying.enter_card(payment, a_card(number), scheme="", email="", origin="198.51.100.1")
        with strict.store.transaction() as tx:
            tx.connection.execute(t.attempt.update().values(response_family="technical"))

        with strict.store.reading() as tx:
            identity = Identity.of(CardNumber(number).identity, strict.checkout.desk.card_key, strict.now())
            assert tx.limits.refusals(identity, strict.now()) == Refusals(hour=0, day=0)

    def test_a_card_is_kept_as_digests_of_a_key_that_changes(self, strict: Parts, clock: Clock) -> None:
        number = a_number()
        try_card(strict, number)
        clock.advance(days=1)
        try_card(strict, number)

        with strict.store.reading() as tx:
            rows = tx.connection.execute(select(t.card_entry).order_by(t.card_entry.c.id)).all()
        assert rows[0].card == rows[1].card_before
        assert rows[0].card != rows[1].card
        assert all(number.encode() not in bytes(value) for value in (rows[0].card, rows[0].range))

    def test_what_is_two_days_old_is_forgotten(self, strict: Parts, clock: Clock) -> None:
        try_card(strict)
        clock.advance(days=2, seconds=1)

        strict.checkout.sweep()

        with strict.store.reading() as tx:
            for table in (t.card_entry, t.tally, t.alert):
                assert tx.connection.execute(select(table)).all() == []


class TestMerchants:
    def attack(self, parts: Parts, bank: Bank, live: int = 13, dead: int = 7) -> None:
        bank.is_live = lambda _: True
        for place in range(live):
            try_card(parts, origin=f"203.0.113.{place}")
        bank.is_live = lambda _: False
        for place in range(dead):
            try_card(parts, origin=f"203.0.113.{live + place}")

    def test_seven_refusals_of_twenty_call_people_at_once_and_once(
        self, strict: Parts, bank: Bank, clock: Clock
    ) -> None:
        self.attack(strict, bank)

        for _ in range(3):
            strict.checkout.sweep()
            clock.advance(seconds=5)
        deliver(strict)

        alarms = [mail for mail in alarm_mails(strict) if "cartes refusées" in mail]
        assert len(alarms) == len(strict.settings.merchants["mairie-demo"].managers) == 1

    @pytest.mark.parametrize(("live", "dead"), [(14, 6), (12, 7)])
    def test_less_or_fewer_does_not(self, strict: Parts, bank: Bank, live: int, dead: int) -> None:
        self.attack(strict, bank, live, dead)

        strict.checkout.sweep()

        assert alarm_mails(strict) == []

    def test_a_page_then_takes_a_card_every_twenty_seconds(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        self.attack(strict, bank)
        strict.checkout.sweep()
        bank.debited.clear()
        page = open_payment(strict).id

        first, second, third = a_number(), a_number(), a_number()
        try_card(strict, first, payment=page)
        strict.checkout.paying.change_card(page)
        clock.advance(seconds=19)
        try_card(strict, second, payment=page)
        strict.checkout.paying.change_card(page)
        clock.advance(seconds=20)
        try_card(strict, third, payment=page)

        assert bank.debited == [first, third]

    def test_an_honest_payer_still_pays(self, strict: Parts, bank: Bank) -> None:
        self.attack(strict, bank)
        strict.checkout.sweep()
        bank.is_live = lambda _: True

        assert strict.checkout.opening.told(try_card(strict)).status is Status.PAID

    def test_an_address_then_has_five_refusals_a_day(self, strict: Parts, bank: Bank) -> None:
        self.attack(strict, bank)
        strict.checkout.sweep()
        bank.debited.clear()

        for _ in range(7):
            try_card(strict)
        elsewhere = a_number()
        try_card(strict, elsewhere, origin="198.51.100.2")

        assert len(bank.debited) == 6
        assert bank.debited[-1] == elsewhere

    def test_it_is_over_ten_minutes_after_the_last_of_it(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        self.attack(strict, bank)
        strict.checkout.sweep()
        clock.advance(minutes=10, seconds=1)
        strict.checkout.sweep()
        bank.debited.clear()
        page = open_payment(strict).id

        for _ in range(2):
            try_card(strict, payment=page)
            strict.checkout.paying.change_card(page)

        assert len(bank.debited) == 2


class TestRanges:
    def test_a_range_of_refused_cards_is_held_for_an_hour_for_this_merchant(
        self, strict: Parts, bank: Bank, clock: Clock
    ) -> None:
        for place in range(18):
            try_card(strict, a_number("49701234"), origin=f"203.0.113.{place}")
        assert len(bank.enrolled) == 15

        clock.advance(minutes=59)
        try_card(strict, a_number("49701234"))
        assert len(bank.enrolled) == 15
        clock.advance(minutes=2)
        try_card(strict, a_number("49701234"))

        assert len(bank.enrolled) == 16
        assert any("même série" in mail for mail in alarm_mails(strict))

    def test_other_cards_and_other_merchants_go_on(self, strict: Parts, bank: Bank) -> None:
        for place in range(16):
            try_card(strict, a_number("49701234"), origin=f"203.0.113.{place}")
        bank.enrolled.clear()

        try_card(strict, a_number("49701235"), origin="203.0.113.100")
        elsewhere = open_payment(strict, merchant="jvs-demo-valmont").id
        try_card(strict, a_number("49701234"), origin="203.0.113.101", payment=elsewhere)

        assert len(bank.enrolled) == 2


class TestPages:
    def test_one_page_sees_ten_cards(self, strict: Parts, bank: Bank) -> None:
        bank.flow = Flow.CHALLENGE
        strict = guarded(strict, bank, codes_per_phone_hour=100, cards_per_address=100)
        page, answers = open_payment(strict).id, []
        for _ in range(12):
            try:
                strict.checkout.paying.enter_card(page, a_card(a_number()), scheme="", email="", origin="198.51.100.1")
                answers.append("taken")
            except Exception as error:  # noqa: BLE001 - its kind is what is asked
                answers.append(type(error).__name__)

        assert answers == ["taken"] * 10 + ["WrongStatus"] * 2


class TestTelephones:
    def test_a_telephone_gets_six_codes_an_hour_over_all_payments(
        self, strict: Parts, bank: Bank, clock: Clock
    ) -> None:
        bank.flow = Flow.CHALLENGE
        for _ in range(8):
            payment = open_payment(strict, payer_phone="+33639980777").id
            strict.checkout.paying.enter_card(payment, a_card(a_number()), scheme="", email="")
        assert codes(strict) == 6

        clock.advance(hours=1, seconds=1)
        strict.checkout.paying.enter_card(
            open_payment(strict, payer_phone="+33639980777").id, a_card(a_number()), scheme="", email=""
        )

        assert codes(strict) == 7

    def test_the_one_that_stands_for_all_in_test_mode_is_not_counted(self, strict: Parts, bank: Bank) -> None:
        bank.flow = Flow.CHALLENGE
        for _ in range(8):
            strict.checkout.paying.enter_card(open_payment(strict).id, a_card(a_number()), scheme="", email="")

        assert codes(strict) == 8

    def test_one_that_may_not_be_sent_keeps_no_lock_waiting(
        self, strict: Parts, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank.flow, waited = Flow.CHALLENGE, list[float]()
        monkeypatch.setattr(strict.checkout.limiting, "_pause", waited.append)
        for _ in range(8):
            payment = open_payment(strict, payer_phone="+33639980777").id
            strict.checkout.paying.enter_card(payment, a_card(a_number()), scheme="", email="")

        assert codes(strict) == 6
        # The bank was asked, so there is nothing to imitate; and the payment, the telephone and all of SQLite are locked.
        assert waited == []

    def test_sending_again_counts_too(self, strict: Parts, bank: Bank, clock: Clock) -> None:
        bank.flow = Flow.CHALLENGE
        pages = [open_payment(strict, payer_phone="+33639980777").id for _ in range(3)]
        for page in pages:
            strict.checkout.paying.enter_card(page, a_card(a_number()), scheme="", email="")
        for wait in (30, 60):
            clock.advance(seconds=wait)
            sent = [strict.checkout.paying.resend_code(page) for page in pages]

        assert sent == [False, False, False]
        assert codes(strict) == 6

    def test_two_pages_at_once_share_the_last_one(
        self, strict: Parts, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank.flow = Flow.CHALLENGE
        parts = guarded(strict, bank, codes_per_phone_hour=1)
        pages = [open_payment(parts, payer_phone="+33639980777").id for _ in range(2)]
        meet(monkeypatch, Limits, "count_codes")

        with ThreadPoolExecutor(2) as payers:
            enter = parts.checkout.paying.enter_card
            list(payers.map(lambda page: enter(page, a_card(a_number()), scheme="", email=""), pages))

        assert codes(parts) == 1

    def test_a_block_of_telephones_calls_people(self, strict: Parts, bank: Bank) -> None:
        bank.flow = Flow.CHALLENGE
        parts = guarded(strict, bank, codes_per_block_hour=5)
        for number in range(6):
            payment = open_payment(parts, payer_phone=f"+3363998{number:04d}").id
            parts.checkout.paying.enter_card(payment, a_card(a_number()), scheme="", email="")

        assert codes(parts) == 6
        assert any("téléphone" in mail for mail in alarm_mails(parts))


class TestCodes:
    def test_a_card_has_twenty_five_wrong_codes_a_day_over_all_its_payments(
        self, strict: Parts, bank: Bank, clock: Clock
    ) -> None:
        bank.flow = Flow.CHALLENGE
        parts, number = guarded(strict, bank, refusals_per_card_hour=100, refusals_per_card_day=100), a_number()
        for _ in range(5):
            self.guess(parts, number, ["000000"] * 5)

        right = self.guess(parts, number, ["right"])
        clock.advance(days=1)

        assert not right
        assert self.guess(parts, number, ["right"])

    def test_right_ones_do_not_use_them_up(self, strict: Parts, bank: Bank) -> None:
        bank.flow, number = Flow.CHALLENGE, a_number()

        assert all(self.guess(strict, number, ["right"]) for _ in range(26))

    def test_two_pages_at_once_share_the_last_one(
        self, strict: Parts, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank.flow, number = Flow.CHALLENGE, a_number()
        parts = guarded(strict, bank, guesses_per_card_day=5)
        self.guess(parts, number, ["000000"] * 4)
        pages = [open_payment(parts, payer_phone=f"+3363998000{n}").id for n in range(2)]
        for page in pages:
            parts.checkout.paying.enter_card(page, a_card(number), scheme="", email="")
        meet(monkeypatch, Limits, "count_guess")

        with ThreadPoolExecutor(2) as payers:
            list(payers.map(lambda page: parts.checkout.paying.answer_challenge(page, "000000"), pages))

        with parts.store.reading() as tx:
            assert sum(tx.connection.execute(select(t.card_entry.c.guesses)).scalars()) == 5

    def guess(self, parts: Parts, number: str, typed: list[str]) -> bool:
        """Enter the card and type codes; ``right`` stands for the one that was sent."""
        payment = open_payment(parts, payer_phone=f"+33639{next(_serial) % 10**6:06d}")
        parts.checkout.paying.enter_card(payment.id, a_card(number), scheme="", email="")
        sent = read_code(parts, payment)
        codes = [sent if code == "right" else f"{(int(sent) + 1) % 10**6:06d}" for code in typed]
        return [parts.checkout.paying.answer_challenge(payment.id, code) for code in codes][-1]


def meet(monkeypatch: pytest.MonkeyPatch, counts: type, name: str) -> None:
    """Have two who count wait for each other before they go on, as long as it takes for a lock to be seen at work."""
    both, count_ = Barrier(2), getattr(counts, name)

    def counted(*args: object) -> object:
        found = count_(*args)
        with suppress(BrokenBarrierError):
            both.wait(1)
        return found

    monkeypatch.setattr(counts, name, counted)


def codes(parts: Parts) -> int:
    with parts.store.reading() as tx:
        return len(tx.connection.execute(select(t.notice.c.id).where(t.notice.c.channel == "sms")).all())


def alarm_mails(parts: Parts) -> list[str]:
    with parts.store.reading() as tx:
        bodies = select(t.notice.c.body).where(t.notice.c.channel == "alarm_mail")
        return [bytes(body).decode() for body in tx.connection.execute(bodies).scalars()]
