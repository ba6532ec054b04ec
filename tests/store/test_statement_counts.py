"""What a payer's journey costs the database, counted: each statement is CPU on both sides of the connection.

A page that asks for the same row twice, or for ten things one by one, is seen by nobody; so each step may make what it
makes, and one more.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from gateway.core.money import Money
from gateway.core.payment import Which
from gateway.core.states import Status
from gateway.dialects import Cancel, Refund, Signed
from gateway.parts import Parts
from tests.factories import (
    CHALLENGE,
    FUNDS,
    MERCHANT,
    SILENT_APPROVED,
    deliver,
    enter,
    open_payment,
    pay,
    read_code,
)
from tests.support.clock import Clock
from tests.support.portal import ORIGIN, Portal

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
MARGIN = 1
# PostgreSQL's, of which SQLite lacks the merchant's wall (1, when a payment is created) and the calls to the worker (1 each).
MADE = {
    "create": 13,
    "card page": 8,
    "card": 19,
    "to the code page": 1,
    "code page": 1,
    "code": 40,
    "result": 1,
}


class Book:
    """Counts statements under the step they belong to."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self._step = ""

    def __call__(self, *told: object) -> None:
        if str(told[2]).partition(" ")[0] != "BEGIN":
            self.made[self._step] += 1

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._step = name
        yield


@pytest.fixture
def book(app: Flask) -> Book:
    book = Book()
    event.listen(app.extensions["gateway"].checkout.desk.store.engine, "before_cursor_execute", book)
    return book


def form_of(page: str, **fields: str) -> dict[str, str]:
    (token,) = set(re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', page))
    return {"csrf_token": token, **fields}


def test_no_step_of_a_journey_asks_more_than_it_needs(
    client: FlaskClient, parts: Parts, home: Path, clock: Clock, book: Book
) -> None:
    request = Portal(home).request(clock)
    with book.step("create"):
        opened = client.post("/v1/payments", data=request, content_type="application/jose").get_json()
    path = opened["checkout_url"].removeprefix(ORIGIN)
    with book.step("card page"):
        page = client.get(path, headers=NAVIGATION).text
    card = {"number": CHALLENGE, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
    with book.step("card"):
        client.post(path, data=form_of(page, action="pay", **card))
    with book.step("to the code page"):
        client.get(path, headers=NAVIGATION)
    with book.step("code page"):
        page = client.get(f"{path}/challenge", headers=NAVIGATION).text
    deliver(parts)
    code = parts.inbox.messages(kind="sms", payment=opened["id"])[0].code
    with book.step("code"):
        client.post(f"{path}/challenge", data=form_of(page, action="confirm", code=code))
    with book.step("result"):
        result = client.get(path, headers=NAVIGATION).text

    assert 'data-page="paid"' in result
    assert {step: made for step, made in book.made.items() if made > MADE.get(step, 0) + MARGIN} == {}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whoever_adds_to_the_history_of_a_payment_has_taken_it(parts: Parts, clock: Clock) -> None:
    """One order of locks for everybody, and what is read after it stays true: SQLite has one writer at a time anyway."""
    transactions: list[list[str]] = []
    engine = parts.store.engine
    event.listen(engine, "begin", lambda _: transactions.append([]))
    event.listen(engine, "before_cursor_execute", lambda *told: transactions[-1].append(str(told[2])))

    _live(parts, clock)

    telling = [asked for asked in transactions if any(one.startswith("INSERT INTO event") for one in asked)]
    assert len(telling) > 25
    assert [asked for asked in telling if not _takes(asked)] == []


def _live(parts: Parts, clock: Clock) -> None:
    paying, refunding = parts.checkout.paying, parts.checkout.refunding
    coded, unheard, left, refused, stopped, late = (open_payment(parts) for _ in range(6))
    enter(parts, coded, CHALLENGE)
    clock.advance(seconds=70)
    paying.resend_code(coded.id)
    parts.checkout.extending.extend(coded.id)
    paying.answer_challenge(coded.id, "000000")
    paying.pay_by_code(coded.id, read_code(parts, coded))
    pay(parts, unheard, SILENT_APPROVED)
    pay(parts, refused, FUNDS)
    enter(parts, left)
    paying.change_card(left.id)
    paying.cancel(left.id)
    refunding.cancel(Cancel(Which(payment=stopped.id), Signed(MERCHANT, "c", "c")), "native")
    clock.advance(hours=1)
    for _ in range(3):
        parts.checkout.sweep()
    refunding.refund(Refund(Which(payment=unheard.id), Money(100), Signed(MERCHANT, "r", "r")), "native")
    assert parts.checkout.opening.told(late.id).status is Status.EXPIRED


def _takes(asked: list[str]) -> bool:
    """Say whether a payment was taken, or made, before anything was told of it."""
    told = next(place for place, one in enumerate(asked) if one.startswith("INSERT INTO event"))
    is_taken = (one.startswith("SELECT payment.") and one.endswith("FOR UPDATE") for one in asked[:told])
    return any(is_taken) or any(one.startswith("INSERT INTO payment ") for one in asked[:told])
