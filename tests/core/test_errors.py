"""What an error carries and says: programs read the one, people and logs the other."""

from datetime import UTC, datetime

import pytest

from gateway.core.errors import (
    BadField,
    BadRequest,
    CardRefused,
    DeliveryFailed,
    Fault,
    GatewayError,
    NotAuthentic,
    RequestConflict,
    SettingsError,
    TooMany,
)

FREE_AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FAULTS = (Fault("/amount", "required", "say how much"), Fault("", "malformed", "send JSON"))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadField("amount", "out_of_range", "ask for less"), "amount: out_of_range; ask for less"),
        (BadRequest(FAULTS), "/amount required; / malformed"),
        (NotAuthentic("bad_signature", "sign again"), "bad_signature: sign again"),
        (RequestConflict("debt_locked", "wait"), "debt_locked: wait"),
        (CardRefused("cc-csc", "length"), "cc-csc: length"),
        (DeliveryFailed("HTTP 500"), "HTTP 500"),
        (TooMany("ten a second", retry_after_seconds=7), "ten a second"),
        (SettingsError(("one", "two")), "one\ntwo"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_what_it_carries(error: GatewayError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("error", "carried"),
    [
        (BadField("amount", "out_of_range", "ask for less"), {"field": "amount", "rule": "out_of_range", "fix": "ask for less"}),
        (BadRequest(FAULTS), {"faults": FAULTS}),
        (NotAuthentic("bad_signature", "sign again"), {"code": "bad_signature", "fix": "sign again", "diagnosis": {}}),
        (NotAuthentic("bad_signature", "sign again", {"cause": "key"}), {"diagnosis": {"cause": "key"}}),
        (RequestConflict("debt_locked", "wait"), {"code": "debt_locked", "fix": "wait", "payment": None, "until": None}),
        (RequestConflict("debt_locked", "wait", "pay_1", until=FREE_AT), {"payment": "pay_1", "until": FREE_AT}),
        (CardRefused("cc-csc", "length"), {"field": "cc-csc", "rule": "length"}),
        (TooMany("ten a second", retry_after_seconds=7), {"retry_after_seconds": 7}),
        (SettingsError(("one", "two")), {"faults": ("one", "two")}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_error_carries_what_programs_ask_it_for(error: GatewayError, carried: dict[str, object]) -> None:
    assert {name: getattr(error, name) for name in carried} == carried


def test_a_failed_delivery_is_tried_again_unless_it_says_otherwise() -> None:
    failed = DeliveryFailed("HTTP 500")
    ended = DeliveryFailed("HTTP 410", again=False, retry_after_seconds=60, reply="gone")

    assert (failed.again, failed.retry_after_seconds, failed.reply) == (True, None, "")
    assert (ended.again, ended.retry_after_seconds, ended.reply) == (False, 60, "gone")
