"""The addresses that are handed out: the printed one short, typed by hand without trouble, and each altered by nobody."""

import string
import time
from base64 import urlsafe_b64decode
from hashlib import sha256
from types import SimpleNamespace

import pytest
from itsdangerous import TimestampSigner

from gateway.core.errors import NotFound
from gateway.core.money import Money
from gateway.links import Checked, Links

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


def _ticket() -> str:
    paid = SimpleNamespace(id="pay_1")
    return LINKS.ticket(paid, "payer").rpartition("/")[2]  # type: ignore[arg-type]  # as much of one as is asked


@pytest.mark.parametrize(("days", "is_open"), [(0, True), (89.9, True), (90.1, False)])
def test_a_mailed_ticket_is_shown_for_ninety_days(
    monkeypatch: pytest.MonkeyPatch, days: float, *, is_open: bool
) -> None:
    with monkeypatch.context() as then:
        then.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time() - days * 24 * 3600))
        token = _ticket()

    if is_open:
        assert LINKS.ticket_of(token) == ("pay_1", "payer", "", False)
    else:
        with pytest.raises(NotFound):
            LINKS.ticket_of(token)


def _check() -> str:
    return LINKS.check(Checked("pay_1", "", Money(100), "20261121", is_duplicate=False)).rpartition("/")[2]


@pytest.mark.parametrize("token", [LINKS.page_token("pay_1"), _ticket(), _check()], ids=["page", "ticket", "check"])
def test_a_page_a_ticket_and_its_code_are_signed_with_sha_256(token: str) -> None:
    assert len(urlsafe_b64decode(token.rpartition(".")[2] + "=")) == sha256().digest_size
