"""The rules that card testing is starved by: their boundaries, and the keys that last a day."""

import hmac
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from gateway.core.limits import Identity, is_over_share, is_range_tested

MASTER = b"m" * 32


@pytest.mark.parametrize(
    ("refused", "entered", "is_over"),
    [(7, 20, True), (6, 20, False), (19, 19, False), (0, 20, False), (301, 1000, True), (300, 1000, False)],
)
def test_more_than_thirty_per_cent_of_twenty_cards_is_an_attack(refused: int, entered: int, *, is_over: bool) -> None:
    assert is_over_share(refused, entered, at_least=20, percent=30) is is_over


@pytest.mark.parametrize(
    ("refused", "entered", "is_tested"),
    [(8, 10, True), (7, 10, False), (9, 9, False), (0, 10, False), (800, 1000, True), (799, 1000, False)],
)
def test_eighty_per_cent_of_ten_cards_of_a_range_test_it(refused: int, entered: int, *, is_tested: bool) -> None:
    assert is_range_tested(refused, entered, at_least=10, percent=80) is is_tested


def test_a_card_is_known_by_the_keys_of_today_and_of_yesterday() -> None:
    keys = [hmac.new(MASTER, f"guichet card 2026-{day}".encode(), sha256).digest() for day in ("03-01", "02-28")]

    seen = Identity.of(lambda key: b"seen under " + key, MASTER, datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC))

    assert [seen.today, seen.yesterday] == [b"seen under " + key for key in keys]
