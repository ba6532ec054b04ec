"""Good requests of the older protocols, damaged at random: each is refused, or still means the payment it meant before.

SP Plus joins its values without separators, so that a letter may move from one to its neighbour under the same
signature; and where there is no signature at all, what is taken must at least be what is written.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from urllib.parse import parse_qsl, unquote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.payment import PaymentRequest
from gateway.dialects import Dialect, HttpCall, Open
from gateway.parts import Parts
from tests.dialects.samples import SAMPLES, systempay
from tests.support.figures import record
from tests.support.scale import scaled

SIGNED = frozenset({"spplus", "systempay"})

# Where values stand in a form, and in XML.
_VALUES = re.compile(rb"(?<==)[^&<>]*(?=&|$)|(?<=>)[^<>]+(?=</)")

Edit = Callable[[bytes, int, int, int], bytes]


def _flip(text: bytes, at: int, _to: int, sign: int) -> bytes:
    return text[:at] + bytes([text[at] ^ 1 << sign % 8]) + text[at + 1 :]


def _overwrite(text: bytes, at: int, _to: int, sign: int) -> bytes:
    return text[:at] + bytes([sign]) + text[at + 1 :]


def _insert(text: bytes, at: int, _to: int, sign: int) -> bytes:
    return text[:at] + bytes([sign]) + text[at:]


def _escape(text: bytes, at: int, _to: int, sign: int) -> bytes:
    return text[:at] + f"%{sign:02x}".encode() + text[at:]


def _cut(text: bytes, at: int, to: int, _sign: int) -> bytes:
    return text[: min(at, to)] + text[max(at, to) :]


def _repeat(text: bytes, at: int, to: int, _sign: int) -> bytes:
    return text[: max(at, to)] + text[min(at, to) :]


def _shift(text: bytes, at: int, to: int, sign: int) -> bytes:
    """Move some letters from the end of a value to the beginning of another, or back."""
    return _rejoin(text, at, to, lambda one, two, n: (one[:-n], one[-n:] + two), sign)


def _shift_back(text: bytes, at: int, to: int, sign: int) -> bytes:
    return _rejoin(text, at, to, lambda one, two, n: (one + two[:n], two[n:]), sign)


def _swap(text: bytes, at: int, to: int, sign: int) -> bytes:
    return _rejoin(text, at, to, lambda one, two, _: (two, one), sign)


def _rejoin(
    text: bytes, at: int, to: int, share: Callable[[bytes, bytes, int], tuple[bytes, bytes]], sign: int
) -> bytes:
    spans = [match.span() for match in _VALUES.finditer(text)]
    if len(spans) < 2:
        return text
    first = at % (len(spans) - 1)
    # Mostly neighbours: those share a boundary.
    second = first + 1 if sign % 4 else first + 1 + to % (len(spans) - first - 1)
    (a, b), (c, d) = spans[first], spans[second]
    one, two = share(text[a:b], text[c:d], 1 + sign % 3)
    return text[:a] + one + text[b:c] + two + text[d:]


EDITS: tuple[Edit, ...] = (_flip, _overwrite, _insert, _escape, _cut, _repeat, _shift, _shift_back, _swap)
edits = st.lists(
    st.tuples(st.sampled_from(EDITS), st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=2
)  # fmt: skip


def damaged(call: HttpCall, how: list[tuple[Edit, int, int, int]]) -> HttpCall:
    """Damage what the request says: its query, or its body."""
    said = call.query.encode("latin-1") or call.body
    for edit, at, to, sign in how:
        if said:
            said = edit(said, at % len(said), to % len(said), sign)
    if call.query:
        return replace(call, query=said.decode("latin-1"))
    return replace(call, body=said)


def meaning(name: str, request: PaymentRequest) -> tuple[object, ...]:
    """Give what the signature must hold together: who is paid, how much, for which debts."""
    told = (request.merchant, request.amount, tuple(line.amount for line in request.lines))
    # Systempay's signature covers the values in the order of their names, but no name: one that keeps its place may be
    # spelt otherwise, and an order whose number is not called so any more goes by its day and transaction.
    return told if name == "systempay" else (*told, tuple(line.reference for line in request.lines))


def outcome(dialect: Dialect, call: HttpCall, parts: Parts) -> Open | None:
    """Read a call, or have the dialect word its refusal."""
    try:
        command = dialect.read(call, parts.now())
    except GatewayError as error:
        dialect.refused(call, error)
        return None
    return command if isinstance(command, Open) else None


@pytest.mark.nightly_too
@pytest.mark.timeout(scaled(400, 1200))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_request_is_refused_or_means_the_same(parts: Parts, name: str) -> None:
    dialect, seen = parts.dialects[name], Counter[str]()
    good = SAMPLES[name]("ORDER0000001", parts.now())
    whole = outcome(dialect, good, parts)
    assert whole is not None

    @settings(
        max_examples=scaled(100, 2000), deadline=None, database=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(edits)
    def damage(how: list[tuple[Edit, int, int, int]]) -> None:
        call = damaged(good, how)
        command = outcome(dialect, call, parts)
        seen["refused" if command is None else "taken"] += 1
        if command is None:
            return
        if name in SIGNED:
            assert meaning(name, command.request) == meaning(name, whole.request)
        else:
            assert_is_written(
                command.request, call, {name for name, one in _book(parts).items() if one == dialect.name}
            )

    damage()

    record("promise 17", dialect=name, **seen)
    assert seen["refused"] > seen.total() / 10


def _book(parts: Parts) -> Mapping[str, str]:
    return {name: merchant.dialect for name, merchant in parts.checkout.desk.merchants.items()}


def assert_is_written(request: PaymentRequest, call: HttpCall, merchants: set[str]) -> None:
    """Hold what an unsigned request was taken for against its own words."""
    words = unquote_plus(call.query, "latin-1") + call.body.decode("utf-8", "replace")
    assert str(request.amount.cents) in words
    assert request.reference in words
    assert request.merchant in merchants
    assert sum(line.amount.cents for line in request.lines) == request.amount.cents


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "renamed",
    [
        (("vads_amount", "vads_aml"), ("vads_capture_delay", "vads_amount")),
        # The price and the languages under one name: the plus between them is the signature's own.
        (("vads_amount=9612", "vads_aml=9612%2Bfr"), ("&vads_available_languages=fr", ""),
         ("vads_capture_delay", "vads_amount")),
    ],
)  # fmt: skip
def test_no_payer_of_systempay_names_the_price(parts: Parts, renamed: tuple[tuple[str, str], ...]) -> None:
    """The names are not signed: two numbers of a shop's form could change places with what is paid."""
    dialect = parts.dialects["systempay"]
    asked = {"vads_capture_delay": "5"} | ({"vads_available_languages": "fr"} if len(renamed) > 2 else {})
    good = systempay("ORDER0000001", parts.now(), **asked)
    body = good.body.decode()
    for old, new in renamed:
        body = body.replace(old, new)

    commands = [outcome(dialect, call, parts) for call in (good, replace(good, body=body.encode()))]

    assert commands[0] is not None
    assert commands[1] is None


_PARTS = "MULTI:first=1;count=2;period=365"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "renamed"),
    [
        # One cent now and the rest in a year, typed as the name to deliver to; then as part of a name or a remark.
        (
            {"vads_ship_to_name": _PARTS},
            {"vads_payment_c": ["vads_payment_config"], "vads_payment_ca": ["vads_return_mode"],
             "vads_payment_config": _PARTS},
        ),
        (
            {"vads_order_info": f"x+PAYMENT+{_PARTS}"},
            {"vads_order_info": "x", "vads_page_action": "PAYMENT", "vads_payment_config": _PARTS,
             "vads_payment_d": ["vads_page_action", "vads_payment_config"]},
        ),
        # Paid out in a year.
        (
            {"vads_cust_name": "365+TEST+978"},
            {"vads_b": ["vads_ctx_mode"], "vads_c": ["vads_currency", "vads_cust_email"], "vads_capture_delay": "365",
             "vads_ctx_mode": "TEST", "vads_currency": "978"},
        ),
        # Paid out at the shop's word, which never comes.
        (
            {"vads_ship_to_name": "12345678+20261121100000+AAAAAA+1"},
            {"vads_site_id": "12345678", "vads_trans_date": "20261121100000", "vads_trans_id": "AAAAAA",
             "vads_validation_mode": "1",
             "vads_vb": ["vads_site_id", "vads_trans_date", "vads_trans_id", "vads_url_check", "vads_url_return"]},
        ),
    ],
)  # fmt: skip
def test_no_payer_of_systempay_says_when_the_shop_is_paid(
    parts: Parts, typed: dict[str, str], renamed: dict[str, str | list[str]]
) -> None:
    """What payers type into a shop is signed too: under other names it could be what the shop never said.

    A list names the shop's own fields whose values stand there now.
    """
    dialect, good = parts.dialects["systempay"], systempay("ORDER0000001", parts.now(), **typed)
    said = dict(parse_qsl(good.body.decode(), keep_blank_values=True))
    gone = {*typed, *(name for names in renamed.values() if isinstance(names, list) for name in names)}
    forged = {name: value for name, value in said.items() if name not in gone} | {
        name: new if isinstance(new, str) else "+".join(said[one] for one in new) for name, new in renamed.items()
    }
    assert _signed_text(forged) == _signed_text(said)

    commands = [outcome(dialect, replace(good, body=urlencode(one).encode()), parts) for one in (said, forged)]

    assert commands[0] is not None
    assert commands[1] is None


def _signed_text(fields: Mapping[str, str]) -> str:
    return "+".join(fields[name] for name in sorted(fields) if name != "signature")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_letter_moves_from_one_value_of_spplus_to_the_next(parts: Parts) -> None:
    """Every boundary, every length: the joined text, and so the signature, stays the same."""
    dialect, good = parts.dialects["spplus"], SAMPLES["spplus"]("ORDER0000001", parts.now())
    whole, taken, tried = outcome(dialect, good, parts), list[str](), 0
    assert whole is not None
    said = good.query.encode()
    spans = [match.span() for match in _VALUES.finditer(said)]
    for (a, b), (c, d) in pairwise(spans):
        both = said[a:b] + said[c:d]
        for cut in range(len(both) + 1):
            shifted = said[:a] + both[:cut] + said[b:c] + both[cut:] + said[d:]
            if shifted == said:
                continue
            tried += 1
            command = outcome(dialect, replace(good, query=shifted.decode()), parts)
            if command is not None and meaning("spplus", command.request) != meaning("spplus", whole.request):
                taken.append(shifted.decode())

    assert tried > 100
    assert taken == []
