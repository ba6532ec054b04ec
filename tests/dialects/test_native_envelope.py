"""The envelope of a signed request, to the letter: its limits, what a portal is told, and what of it is digested."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from time import thread_time

import pytest

from gateway.core.errors import BadRequest, NotAuthentic
from gateway.dialects.native.authorship import _check_time, refusal
from gateway.dialects.native.problems import ERRORS
from gateway.dialects.native.wire import digest_of, open_envelope, read_strictly

HEADER = {"alg": "HS256", "kid": "key-1"}
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header: object = HEADER, claims: object = "{}", signature: str = "c2ln") -> str:
    """Write a token whose parts are given as text or as what JSON spells."""
    parts = (part if isinstance(part, str) else json.dumps(part) for part in (header, claims))
    return ".".join((*(b64(part.encode()) for part in parts), signature))


def said(act: Callable[[], object]) -> tuple[str, str]:
    """Give the code of a refusal and what the portal is told to do."""
    with pytest.raises((NotAuthentic, BadRequest)) as refused:
        act()
    error = refused.value
    if isinstance(error, NotAuthentic):
        return error.code, error.fix
    assert isinstance(error, BadRequest)
    (fault,) = error.faults
    assert fault.pointer == ""
    return fault.code, fault.detail


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        ("", "not_a_jws", "send one compact JWS (RFC 7515): three base64url parts joined by dots"),
        ("a.b", "not_a_jws", "send one compact JWS (RFC 7515): three base64url parts joined by dots"),
        ("a.YQ.YQ", "not_a_jws", "encode each part as base64url without padding"),
        ("YR.YQ.YQ", "not_a_jws", "encode each part as base64url without padding"),
        (token("["), "header_not_allowed", "write the header as one JSON object, each member once"),
        (token({"alg": "HS256"}), "header_not_allowed", "put alg and kid in the header, typ if you like, and nothing else"),
        (token({**HEADER, "crit": []}), "header_not_allowed", "put alg and kid in the header, typ if you like, and nothing else"),
        (token({**HEADER, "kid": 1}), "header_not_allowed", "set kid to the id of a registered key"),
        (token({**HEADER, "kid": "k" * 65}), "header_not_allowed", "set kid to the id of a registered key"),
        (token({**HEADER, "typ": "other"}), "wrong_type", "set the header's typ to pay+jwt, or leave it out"),
        (token(claims='{"a": 1, "a": 1}'), "duplicate_member", "write each member once"),
        (token(claims="[]"), "not_json", "send one JSON object in UTF-8"),
        (token(claims="{"), "not_json", "send one JSON object in UTF-8"),
        (token(claims='{"a": "\\ud800"}'), "not_json", "send one JSON object in UTF-8"),
        (token(claims='{"a": NaN}'), "not_json", "NaN and Infinity are not JSON"),
        (token(claims='{"a": [[[[]]]]}'), "too_deep", "nest at most 4 levels"),
        (token(claims=" " * 8193), "too_large", "send at most 8192 bytes of claims"),
    ],
)  # fmt: skip
def test_a_portal_is_told_what_to_mend(text: str, code: str, fix: str) -> None:
    assert said(lambda: open_envelope(text, "pay+jwt")) == (code, fix)


def test_a_header_full_of_quotes_is_refused_at_once() -> None:
    text, began = token('"' + '\\"' * 4000), thread_time()

    refusals = {said(lambda: open_envelope(text, "pay+jwt"))[0] for _ in range(100)}

    assert refusals == {"header_not_allowed"}
    # A tenth of this is usual; each quote tried as a beginning of its own, it would be eight seconds.
    assert thread_time() - began < 2


@pytest.mark.parametrize(
    "header", [HEADER, {**HEADER, "typ": "JWT"}, {**HEADER, "typ": "pay+jwt"}, {**HEADER, "kid": "k" * 64}]
)
def test_what_is_allowed_is_read(header: dict[str, str]) -> None:
    envelope = open_envelope(token(header, {"a": [[[1]]], "b": '[[[["'}), "pay+jwt")

    assert (envelope.header, envelope.claims, envelope.kid) == (header, {"a": [[[1]]], "b": '[[[["'}, header["kid"])
    assert envelope.token == token(header, {"a": [[[1]]], "b": '[[[["'})


@pytest.mark.parametrize("signature", ["", "YWJX", "YWI", "YQ", "-_-_"])
def test_a_part_is_read_in_its_one_spelling(signature: str) -> None:
    assert open_envelope(token(signature=signature), "pay+jwt").claims == {}


def test_the_limits_themselves_are_within_them() -> None:
    claims = '{"a": "' + "x" * (8192 - 9) + '"}'
    longest = token(claims=claims, signature="")
    longest += "A" * (64 * 1024 - len(longest))

    assert open_envelope(longest, "pay+jwt").claims["a"] == "x" * (8192 - 9)
    assert said(lambda: open_envelope(longest + "A" * 4, "pay+jwt"))[0] == "not_a_jws"


@pytest.mark.parametrize("number", [0, -1, 10**19 - 1, -(10**19 - 1)])
def test_a_whole_number_is_one(number: int) -> None:
    assert read_strictly(f'{{"a": {number}}}'.encode()) == {"a": number}


@pytest.mark.parametrize("number", ["1.0", "1e3", "1" + "0" * 19, "-1" + "0" * 19])
def test_any_other_number_is_none(number: str) -> None:
    assert not isinstance(read_strictly(f'{{"a": {number}}}'.encode())["a"], int | float | str)


def test_what_is_asked_is_digested_and_when_it_was_signed_is_not() -> None:
    text = '{"amount":4250,"label":"Été"}'.encode()

    assert (
        digest_of({"label": "Été", "iat": 1, "exp": 2, "jti": "x", "amount": 4250}) == hashlib.sha256(text).hexdigest()
    )


@pytest.mark.parametrize(
    ("signed", "ends", "code"),
    [
        (0, 1, ""), (-10, 0, "expired"), (60, 61, ""), (61, 62, "not_yet_valid"), (0, 900, ""), (0, 901, "lifetime_too_long"),
        (30, 30, "expired"),
    ],
)  # fmt: skip
def test_a_request_lives_for_a_quarter_of_an_hour_by_a_clock_a_minute_ahead_at_most(
    signed: int, ends: int, code: str
) -> None:
    times = {"iat": SECONDS + signed, "exp": SECONDS + ends}

    if code:
        assert said(lambda: _check_time(times, NOW)) == (code, ERRORS[code].fix)
    else:
        _check_time(times, NOW)


@pytest.mark.parametrize("times", [{}, {"iat": True, "exp": 0}, {"iat": 0, "exp": "0"}, {"iat": 0, "exp": False}])
def test_what_is_no_time_is_left_to_the_rules_of_its_claim(times: dict[str, object]) -> None:
    _check_time(times, NOW)


@pytest.mark.parametrize("code", ["expired", "bad_signature", "unknown_key"])
def test_a_refusal_is_in_the_catalogues_words(code: str) -> None:
    refused = refusal(code, {"cause": "the key"})

    assert (refused.code, refused.fix, refused.diagnosis) == (code, ERRORS[code].fix, {"cause": "the key"})
