"""What a card is: numbers in any shape, expiries in any usual shape, and nothing that shows itself."""

import hmac
from datetime import date
from hashlib import sha256
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.card import CardEntry, CardNumber, Expiry, luhn_valid, scheme_of
from gateway.core.errors import CardRefused

DIGITS = st.text("0123456789", min_size=12, max_size=19)


@pytest.mark.parametrize(
    "typed",
    [
        "4970100000000055",
        "4970 1000 0000 0055",
        "4970-1000-0000-0055",
        "4970.1000.0000.0055",
        " 4970\u00a01000\u202f0000 0055 ",
    ],
)
def test_a_number_is_read_in_any_shape(typed: str) -> None:
    assert CardNumber(typed).reveal() == "4970100000000055"


@pytest.mark.parametrize("length", [12, 19])
def test_the_shortest_and_the_longest_number_are_read(length: int) -> None:
    card = CardNumber("4" * length)

    assert (card.reveal(), card.bin, card.last4) == ("4" * length, "444444", "4444")


@pytest.mark.parametrize(
    ("typed", "rule"),
    [("", "missing"), ("   ", "missing"), ("4970 1000 0000 005x", "not_digits"), ("٤٩٧٠١٠٠٠٠٠٠٠٠٠٥٥", "not_digits"),
     ("49701000000", "length"), ("4" * 20, "length")],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_its_rule(typed: str, rule: str) -> None:
    with pytest.raises(CardRefused) as refusal:
        CardNumber(typed)

    assert (refusal.value.field, refusal.value.rule) == ("cc-number", rule)


@given(DIGITS)
def test_a_number_never_shows_seven_digits_in_a_row(digits: str) -> None:
    card = CardEntry(CardNumber(digits), Expiry(2030, 1), "1234" if digits[:2] in ("34", "37") else "123")

    for text in (repr(card), str(card.number), f"{card.number!r}"):
        assert digits[:7] not in text
        assert sum(char.isdigit() for char in text) == 4


@pytest.mark.parametrize(
    ("digits", "scheme"),
    [("4111111111111111", "visa"), ("5105105105105100", "mastercard"), ("2221000000000009", "mastercard"),
     ("2720999999999999", "mastercard"), ("2721000000000000", ""), ("378282246310005", "amex"),
     ("6759649826438453", "maestro"), ("9999999999999999", "")],
)  # fmt: skip
def test_the_first_digits_tell_the_brand(digits: str, scheme: str) -> None:
    assert scheme_of(digits) == scheme


def test_a_card_and_its_range_are_told_apart_under_a_key() -> None:
    card, key = CardNumber("4970 1000 0000 0055"), b"k" * 32

    assert card.identity(key) == hmac.new(key, b"card 4970100000000055", sha256).digest()
    assert card.range_identity(key) == hmac.new(key, b"range 49701000", sha256).digest()


def test_the_check_digit_of_iso_7812() -> None:
    assert luhn_valid("4242424242424242")
    assert not luhn_valid("4242424242424241")


@pytest.mark.parametrize(
    "typed",
    ["01/27", "1/27", "0127", "01-2027", "01 27", "01.27", "012027", " 01 / 27 ", "2027-01", "2027/1", "2027 . 01"],
)
def test_an_expiry_is_read_in_any_usual_shape(typed: str) -> None:
    assert Expiry.parse(typed) == Expiry(2027, 1)


def test_a_form_full_of_blanks_is_refused_at_once() -> None:
    began = thread_time()

    with pytest.raises(CardRefused):
        Expiry.parse("1" + " " * 24_000 + "x")

    # A thousandth of this is usual; read in every pair of lengths, it would be five seconds and more.
    assert thread_time() - began < 1


def test_two_digits_are_a_year_of_this_century() -> None:
    assert [Expiry.parse(f"12/{year}") for year in ("00", "99")] == [Expiry(2000, 12), Expiry(2099, 12)]


def test_the_year_has_twelve_months() -> None:
    assert [Expiry.parse(f"{month:02d}/27") for month in range(1, 13)] == [Expiry(2027, n) for n in range(1, 13)]


@pytest.mark.parametrize(
    ("typed", "rule"),
    [("", "missing"), ("13/27", "month"), ("00/27", "month"), ("janvier", "format"), ("1/2", "format"),
     ("\u0660\u0661/\u0662\u0667", "format"), ("\u0660\u0661\u0662\u0667", "format"),
     ("\u0662\u0660\u0662\u0667-01", "format")],
)  # fmt: skip
def test_what_is_no_expiry_is_refused_by_its_rule(typed: str, rule: str) -> None:
    with pytest.raises(CardRefused) as refusal:
        Expiry.parse(typed)

    assert (refusal.value.field, refusal.value.rule) == ("cc-exp", rule)


def test_a_card_is_good_until_the_last_day_of_its_month() -> None:
    assert not Expiry(2026, 11).is_past(date(2026, 11, 30))
    assert Expiry(2026, 11).is_past(date(2026, 12, 1))


@pytest.mark.parametrize(
    ("number", "code", "rule"),
    [
        ("4242424242424242", "1234", "length"),
        ("378282246310005", "123", "length"),
        ("4242424242424242", "12a", "format"),
        ("4242424242424242", "\u0661\u0662\u0663", "format"),
        ("4242424242424242", "", "missing"),
    ],
)
def test_a_security_code_is_three_digits_or_four_by_brand(number: str, code: str, rule: str) -> None:
    with pytest.raises(CardRefused) as refusal:
        CardEntry(CardNumber(number), Expiry(2030, 1), code)

    assert (refusal.value.field, refusal.value.rule) == ("cc-csc", rule)
