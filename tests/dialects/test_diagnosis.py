"""The engine that explains a refused signature, without any protocol."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.diagnosis import Candidate, Mismatch, diagnose, first_difference, readable

MISMATCH = Mismatch("spplus", "alise-demo", b"FR978158.50", "AAAA", "CCCC")
WRONG_KEY = Candidate("other key", "Another key was used.", "BBBB")
COMMA = Candidate("comma", "A comma was signed.", "CCCC", b"FR978158,50")


def test_the_mistake_that_gives_the_received_signature_is_the_cause() -> None:
    diagnosis = diagnose(MISMATCH, [WRONG_KEY, COMMA])

    assert diagnosis == {
        "dialect": "spplus",
        "merchant": "alise-demo",
        "signed": "FR978158.50",
        "expected": "AAAA",
        "received": "CCCC",
        "first_difference": "character 9: ours has '.50', theirs has ',50'",
        "cause": "A comma was signed.",
        "tried": "other key, comma",
    }


def test_an_unknown_mistake_is_said_to_be_unknown() -> None:
    diagnosis = diagnose(MISMATCH, [WRONG_KEY])

    assert diagnosis["cause"] == "None of the usual mistakes gives the signature that was received."
    assert diagnosis["first_difference"] == "character 1: ours has 'AAAA', theirs has 'CCCC'"


def test_no_candidate_is_made_after_one_that_fits() -> None:
    def candidates() -> Iterator[Candidate]:
        yield COMMA
        pytest.fail("asked for another candidate")

    assert diagnose(MISMATCH, candidates())["tried"] == "comma"


def test_a_mistake_tried_in_two_ways_is_named_once() -> None:
    assert diagnose(MISMATCH, [WRONG_KEY, WRONG_KEY])["tried"] == "other key"


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ("same", "same", ""),
        ("abc", "abd", "character 3: ours has 'c', theirs has 'd'"),
        ("abc", "ab", "character 3: ours has 'c', theirs ends"),
        ("", "x", "character 1: ours ends, theirs has 'x'"),
        ("a" * 30, "b", "character 1: ours has 'aaaaaaaaaaaaaaaa'..., theirs has 'b'"),
    ],
)
def test_the_place_where_two_texts_part(ours: str, theirs: str, told: str) -> None:
    assert first_difference(ours, theirs) == told


@given(st.text(), st.text())
def test_only_equal_texts_have_no_difference(ours: str, theirs: str) -> None:
    assert (first_difference(ours, theirs) == "") is (ours == theirs)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"plain", "plain"), ("é".encode(), "é"), (b"caf\xe9", "caf\\xe9"), (b"a\nb\x00", "a\\nb\\x00"), (b"", "")],
)
def test_bytes_are_shown_with_nothing_hidden(raw: bytes, shown: str) -> None:
    assert readable(raw) == shown


@given(st.binary(max_size=64))
def test_what_is_shown_is_printable(raw: bytes) -> None:
    assert readable(raw).isprintable()
