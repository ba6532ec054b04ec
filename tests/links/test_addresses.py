"""The printed address: short, signed, typed by hand without trouble, and altered by nobody."""

import string

import pytest

from gateway.core.errors import NotFound
from gateway.links import Links

LINKS = Links("https://pay.example.org", [b"p" * 32], [b"t" * 32], [b"l" * 32])


def test_its_signature_is_this_one() -> None:
    """A printed address must be good for years: whoever changes how it is made breaks it."""
    assert LINKS.paylink(7) == "https://pay.example.org/l/aaaaabz6dfsjtvfy2qi237jth4"


def test_each_number_has_its_own() -> None:
    numbers = [1, 2, 255, 65_536, 2**32 - 1]

    assert [LINKS.paylink_of(LINKS.paylink_token(number)) for number in numbers] == numbers
    for number in (0, -1, 2**32):
        with pytest.raises(ValueError, match="no link"):
            LINKS.paylink_token(number)


def test_any_altered_character_is_refused() -> None:
    token, refused = LINKS.paylink_token(7), 0
    for place, right in enumerate(token):
        for wrong in string.ascii_lowercase + "234567":
            if wrong != right:
                with pytest.raises(NotFound):
                    LINKS.paylink_of(token[:place] + wrong + token[place + 1 :])
                refused += 1

    assert refused == 26 * 31


@pytest.mark.parametrize("token", ["", "a", "8" * 26, "é" * 26, "a" * 25, "a" * 27, "a" * 10_000, "=" * 26])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(NotFound):
        LINKS.paylink_of(token)


def test_it_is_read_as_people_type_it() -> None:
    typed = LINKS.paylink_typed(7)
    assert typed == "https://pay.example.org/L/AAAA-ABZ6-DFSJ-TVFY-2QI2-37JT-H4"
    token = typed.rpartition("/")[2]

    assert LINKS.paylink_of(token) == 7
    assert LINKS.paylink_of(token.lower().replace("i", "1").replace("o", "0")) == 7


def test_a_key_that_was_replaced_still_opens_it() -> None:
    rotated = Links("https://pay.example.org", [b"p"], [b"t"], [b"l" * 32, b"n" * 32])

    assert rotated.paylink_of(LINKS.paylink_token(7)) == 7
    assert rotated.paylink_token(7) != LINKS.paylink_token(7)
    with pytest.raises(NotFound):
        LINKS.paylink_of(rotated.paylink_token(7))
