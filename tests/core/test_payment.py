"""The tables of moves, held against the state machine's own words."""

import hmac
import itertools
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.challenge import Bound, code_mac, draw_code, is_code
from gateway.core.errors import BadField, WrongStatus
from gateway.core.money import Money
from gateway.core.moves import ATTEMPT_MOVES, MOVES, check_attempt_move, check_move
from gateway.core.payment import normal_reference
from gateway.core.states import LIVE, MONEY, AttemptStatus, Status

# What must never be possible, written down apart from the table.
FORBIDDEN = [
    (Status.PAID, Status.OPENED),
    (Status.WORKING, Status.CANCELLED),
    (Status.WORKING, Status.EXPIRED),
    (Status.CANCELLED, Status.PAID),
    (Status.EXPIRED, Status.PAID),
    (Status.CREATED, Status.PAID),
    (Status.OPENED, Status.PAID),
]


@pytest.mark.parametrize(("current", "target"), FORBIDDEN)
def test_a_payment_does_not_leave_the_table(current: Status, target: Status) -> None:
    with pytest.raises(WrongStatus):
        check_move(current, target)


def test_every_pair_is_either_in_the_table_or_refused() -> None:
    for current, target in itertools.product(AttemptStatus, AttemptStatus):
        if target in ATTEMPT_MOVES[current]:
            check_attempt_move(current, target)
        else:
            with pytest.raises(WrongStatus):
                check_attempt_move(current, target)


def test_a_payment_that_is_over_stays_over() -> None:
    assert all(not MOVES[status] for status in Status if status not in LIVE)


def test_an_attempt_that_may_hold_money_never_becomes_a_card_page_again() -> None:
    reachable = set().union(*(ATTEMPT_MOVES[status] for status in MONEY))

    assert AttemptStatus.AUTHENTICATING not in reachable
    assert AttemptStatus.ABANDONED not in reachable


@pytest.mark.parametrize("cents", [0, -1, 100_000_000, 2**63])
def test_an_amount_out_of_range_cannot_be_built(cents: int) -> None:
    with pytest.raises(BadField) as refusal:
        Money(cents)

    assert (refusal.value.field, refusal.value.rule) == ("amount", "amount_out_of_range")
    assert refusal.value.fix == "use a whole number of cents from 1 to 99999999"


@pytest.mark.parametrize("cents", [1, 99_999_999])
def test_the_least_and_the_most_can_be_asked_for(cents: int) -> None:
    assert Money(cents) == Money(cents, "EUR")


def test_an_unknown_currency_cannot_be_built() -> None:
    with pytest.raises(BadField) as refusal:
        Money(1, "BTC")

    assert (refusal.value.field, refusal.value.rule) == ("currency", "unknown_currency")
    assert refusal.value.fix == "use one of CHF, EUR, GBP, USD, XPF"


def test_spellings_of_one_reference_are_one() -> None:
    assert normal_reference("  fact-7\t 2026 ") == normal_reference("FACT-7 2026") == "FACT-7 2026"


BOUND = Bound("att_1", "mairie", Money(9612))
KEY = b"k" * 32


@given(st.integers(0, 999_999))
def test_a_code_has_six_digits_and_is_known_again(number: int) -> None:
    code = draw_code(lambda _: number)

    assert len(code) == 6
    assert is_code(KEY, f" {code[:3]} {code[3:]}", code_mac(KEY, code, BOUND), BOUND)


@pytest.mark.parametrize(
    "other",
    [Bound("att_2", "mairie", Money(9612)), Bound("att_1", "other", Money(9612)), Bound("att_1", "mairie", Money(9613)),
     Bound("att_1", "mairie", Money(9612, "CHF"))],
)  # fmt: skip
def test_a_code_is_worthless_for_anything_else(other: Bound) -> None:
    assert not is_code(KEY, "123456", code_mac(KEY, "123456", BOUND), other)


@pytest.mark.parametrize("typed", ["X123456", "12345X6", "1234560", "12345", ""])
def test_what_is_not_the_code_to_the_digit_is_not_the_code(typed: str) -> None:
    assert not is_code(KEY, typed, code_mac(KEY, "123456", BOUND), BOUND)


def test_what_is_kept_of_a_code_can_be_made_by_whoever_has_the_key() -> None:
    said = b"att_1\x1fmairie\x1f9612\x1fEUR\x1f123456"

    assert code_mac(KEY, "123456", BOUND) == hmac.new(KEY, said, sha256).digest()


def test_a_code_is_drawn_from_a_million() -> None:
    assert draw_code(lambda below: below - 1) == "999999"


def test_a_code_is_worthless_under_another_key() -> None:
    assert not is_code(b"j" * 32, "123456", code_mac(KEY, "123456", BOUND), BOUND)
