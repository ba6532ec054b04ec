"""What holds for every dialect, through the real core: one sample request of each is carried from end to end."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData

from gateway.core.errors import (
    AcquirerUnreachable,
    BadRequest,
    Fault,
    GatewayError,
    NotAuthentic,
    NotFound,
    RequestConflict,
    StoreBusy,
    WrongStatus,
)
from gateway.core.payment import PaymentResult
from gateway.dialects import Command, Dialect, ErrorPage, HttpCall, HttpReply, Open, Try
from gateway.parts import DIALECTS, Parts
from tests.dialects import samples
from tests.dialects.samples import SAMPLES, noted
from tests.factories import FRICTIONLESS, FUNDS, enter, pay
from tests.support.clock import Clock

ENDS = ("payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired")
CARDS = (FRICTIONLESS, FUNDS)
# Reads as a card, but is as good a reference as any.
NUMBER = "4970105191909006"
pytestmark = pytest.mark.parametrize("name", DIALECTS)


def opened(parts: Parts, name: str, reference: str = "ORDER0000001") -> tuple[Open, PaymentResult]:
    now = parts.now()
    command = parts.dialects[name].read(SAMPLES[name](reference, now), now)
    assert isinstance(command, Open)
    result, _ = parts.checkout.opening.open(command, name)
    return command, result


def reopened(parts: Parts, name: str, command: Open) -> PaymentResult | RequestConflict:
    try:
        return parts.checkout.opening.open(command, name)[0]
    except RequestConflict as error:
        return error


def read_or_refuse(dialect: Dialect, call: HttpCall, now: datetime) -> Command | HttpReply | ErrorPage:
    try:
        return dialect.read(call, now)
    except GatewayError as error:
        return dialect.refused(call, error)


def ended(parts: Parts, name: str, clock: Clock) -> Iterator[PaymentResult]:
    """Give a payment of each end, and one that is still open."""
    opening, paying = parts.checkout.opening, parts.checkout.paying
    for number, end in enumerate(("open", "never opened", "paid", "refused", "cancelled", "expired")):
        _, payment = opened(parts, name, f"ORDER000000{number}")
        if end != "never opened":
            paying.show(payment.id)
        if end == "paid":
            pay(parts, payment)
        elif end == "refused":
            enter(parts, payment, FUNDS)
            parts.checkout.settling.authorise(payment.id)
            paying.cancel(payment.id)
        elif end == "cancelled":
            paying.cancel(payment.id)
        elif end in ("expired", "never opened"):
            clock.advance(hours=2)
            parts.checkout.sweep()
        yield opening.told(payment.id)


def test_it_has_a_sample_and_a_name_of_its_own(parts: Parts, name: str) -> None:
    dialect = parts.dialects[name]
    others = {path for other in parts.dialects.values() if other is not dialect for path in other.paths}

    assert dialect.name == name
    assert name in SAMPLES
    assert not others & set(dialect.paths)
    assert all(path.rpartition(" ")[2].startswith("/") for path in dialect.paths)


def test_its_sample_opens_a_payment_that_carries_the_request(parts: Parts, name: str) -> None:
    command, result = opened(parts, name)

    asked = result.request
    assert (asked.reference, asked.amount.cents, asked.amount.currency) == ("ORDER0000001", 9612, "EUR")
    assert sum(line.amount.cents for line in asked.lines) == 9612
    assert (asked.wire, result.handle, result.dialect) == (command.request.wire, command.handle, name)
    assert parts.checkout.desk.merchants[asked.merchant].dialect == name


def test_the_answer_to_an_opening_leads_to_the_page(parts: Parts, name: str) -> None:
    command, result = opened(parts, name)
    page = "http://127.0.0.1:8000/p/abc"

    reply = parts.dialects[name].opened(command, result, page, parts.now())

    told = reply.headers.get("Location", "") + reply.body.decode()
    assert page in told or result.handle in told


def test_a_paid_debt_is_not_paid_again(parts: Parts, name: str) -> None:
    _, payment = opened(parts, name)
    pay(parts, parts.checkout.paying.show(payment.id).result)
    now = parts.now() + timedelta(minutes=1)
    call = SAMPLES[name]("ORDER0000001", now)
    command = parts.dialects[name].read(call, now)
    assert isinstance(command, Open)

    outcome = reopened(parts, name, command)

    if isinstance(outcome, PaymentResult):
        assert outcome.id == payment.id
    else:
        assert outcome.code in ("debt_already_paid", "jti_reused")
        assert parts.dialects[name].refused(call, outcome).status >= 200


def test_every_end_is_told_once_returned_and_worded(parts: Parts, name: str, clock: Clock) -> None:
    dialect = parts.dialects[name]
    told: set[str] = set()
    for result in ended(parts, name, clock):
        departure = dialect.returned(result, clock.now())
        if departure is not None:
            assert urlsplit(departure.url).netloc == "127.0.0.1:8001"
            assert urlsplit(departure.url).query.startswith("a=1")
        for event in result.events:
            due_at = dialect.due(result, event)
            if due_at is None:
                continue
            assert due_at >= event.at
            body = dialect.confirmed(result, event)
            assert body == dialect.confirmed(result, event)
            assert not any(card.encode() in body for card in CARDS)
            call = dialect.delivery(result.recipient, Try("evt_1", body, 1, clock.now()))
            assert call.method in ("GET", "POST")
            assert urlsplit(call.url or dialect.target(result.recipient)).netloc == "127.0.0.1:8001"
            assert not re.search(r"[\r\n]", "".join([call.url, *call.headers, *call.headers.values()]))
            told.add(event.type)
            assert dialect.code(result, event)
    assert set(ENDS) <= told | {"payment.expired"}


def test_tries_end_and_never_go_back_in_time(parts: Parts, name: str) -> None:
    dialect, now, tries = parts.dialects[name], parts.now(), 0
    while tries < 200:
        tries += 1
        later = dialect.retry_at(tries, now)
        if later is None:
            break
        assert later > now
        now = later

    assert 2 <= tries <= 130
    assert now - parts.now() < timedelta(days=8)


def test_a_broken_receiver_has_not_received(parts: Parts, name: str) -> None:
    dialect = parts.dialects[name]

    assert dialect.received(200, b"spcheckok")
    assert not any(dialect.received(status, b"spcheckok") for status in (400, 403, 404, 500, 502, 503))


@pytest.mark.parametrize(
    "error",
    [
        BadRequest((Fault("/x", "format", "s3cret-free"),)),
        BadRequest((Fault("", "card_number", "send no card number"),)),
        NotAuthentic("bad_signature", "sign again"),
        NotFound("no such payment"),
        WrongStatus("too late"),
        StoreBusy("locked"),
        AcquirerUnreachable("silent"),
        GatewayError("at /var/lib/s3cret"),
        *(
            RequestConflict(code, "fix", "pay_1")
            for code in ("jti_reused", "debt_locked", "debt_already_paid", "payment_over", "refund_exceeds", "settled",
                         "amount_differs", "suspended")
        ),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.code}",
)  # fmt: skip
def test_every_refusal_has_words_and_tells_no_insides(parts: Parts, name: str, error: GatewayError) -> None:
    dialect = parts.dialects[name]
    sample = SAMPLES[name]("ORDER0000001", parts.now())
    for path in dialect.paths:
        refusal = dialect.refused(replace(sample, path=path.rpartition(" ")[2]), error)

        assert 200 <= refusal.status < 600
        said = refusal.body.decode() if isinstance(refusal, HttpReply) else f"{refusal.wording} {refusal.code}"
        assert said.strip()
        assert "/var/lib" not in said


def stored(parts: Parts) -> str:
    """Give everything the database holds, as one text."""
    tables = MetaData()
    with parts.store.engine.connect() as db:
        tables.reflect(db)
        rows = [row for table in tables.tables.values() for row in db.execute(table.select())]
    return "\n".join(text.decode("latin-1") if isinstance(text, bytes) else str(text) for row in rows for text in row)


def test_a_card_number_in_a_free_field_is_refused_and_stored_nowhere(parts: Parts, name: str) -> None:
    dialect, now = parts.dialects[name], parts.now()
    call = noted(name, NUMBER, now)

    command = dialect.read(call, now)
    assert isinstance(command, Open)
    with pytest.raises(BadRequest) as refused:
        parts.checkout.opening.open(command, name)

    refusal = dialect.refused(call, refused.value)
    said = refusal.body.decode() if isinstance(refusal, HttpReply) else f"{refusal.wording} {refusal.code}"
    assert said.strip()
    assert NUMBER not in said
    assert NUMBER not in stored(parts)


def test_another_number_in_a_free_field_is_kept(parts: Parts, name: str) -> None:
    now = parts.now()
    command = parts.dialects[name].read(noted(name, "4970105191909007", now), now)
    assert isinstance(command, Open)

    parts.checkout.opening.open(command, name)

    assert "4970105191909007" in stored(parts)


def test_a_reference_that_reads_as_a_card_is_taken(parts: Parts, name: str) -> None:
    _, result = opened(parts, name, NUMBER)

    assert result.request.reference == NUMBER


def test_an_address_that_holds_such_a_number_is_taken(parts: Parts, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("NOTIFY", "BACK"):
        monkeypatch.setattr(samples, place, f"http://127.0.0.1:8001/x?order={NUMBER}")

    _, result = opened(parts, name)

    assert f"order={NUMBER}" in f"{result.request.return_url} {result.request.notify_url}"


def test_an_open_payment_gives_way_or_is_found_again(parts: Parts, name: str) -> None:
    _, first = opened(parts, name)
    parts.checkout.paying.show(first.id)
    now = parts.now() + timedelta(seconds=61)
    sample = SAMPLES[name]("ORDER0000001", now)
    command = parts.dialects[name].read(sample, now)
    assert isinstance(command, Open)

    outcome = reopened(parts, name, command)

    if isinstance(outcome, PaymentResult):
        live = {payment: parts.checkout.opening.told(payment).is_live for payment in (first.id, outcome.id)}
        assert list(live.values()).count(True) == 1
    else:
        # A dialect with request numbers saw the same number with another date; another spares an open page.
        assert outcome.code == ("debt_locked" if command.spares else "jti_reused")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST"]),
    query=st.text(st.characters(max_codepoint=255), max_size=200),
    body=st.binary(max_size=400),
    kind=st.sampled_from(["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml"]),
)
def test_rubbish_is_refused_on_purpose(
    parts: Parts, name: str, method: str, query: str, body: bytes, kind: str
) -> None:
    dialect: Dialect = parts.dialects[name]
    for path in dialect.paths:
        call = HttpCall(method, path.rpartition(" ")[2], query, {"content-type": kind}, body)

        assert not isinstance(read_or_refuse(dialect, call, parts.now()), Open)


@pytest.mark.parametrize("worse", ["0961", "-9612", "1", "96120"])
def test_another_amount_needs_another_signature(parts: Parts, name: str, worse: str) -> None:
    dialect, now = parts.dialects[name], parts.now()
    good = SAMPLES[name]("ORDER0000001", now)
    query = good.query.replace("96.12", worse).replace("9612", worse)
    outcome = read_or_refuse(dialect, replace(good, query=query, body=good.body.replace(b"9612", worse.encode())), now)

    if isinstance(outcome, Open):
        # Without a signature over it, the amount is what was written; the merchant's own key or the payer's browser said so.
        assert name in ("tipi", "payfip", "payline")
        assert outcome.request.amount.cents == int(worse)
    else:
        assert isinstance(outcome, HttpReply | ErrorPage)
