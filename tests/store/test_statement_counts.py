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

from gateway.parts import Parts
from tests.factories import CHALLENGE, deliver
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
