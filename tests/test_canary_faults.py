"""Card numbers leave no trace when something breaks while one is on its way: the bank, the database, the disk, a page."""

import io
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event

from gateway.acquirers import Acquirer, Enrolment
from gateway.checkout import Checkout
from gateway.core.card import CardEntry
from gateway.core.errors import AcquirerUnreachable, CardRefused, GatewayError
from gateway.core.money import Money
from gateway.parts import Parts
from tests.factories import open_payment
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.output import caught
from tests.support.traces import CODES, foreign_numbers, search

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# What a bank's driver might raise, with the card in its words.
BANK_ERRORS: Mapping[str, Callable[[str], Exception]] = {
    "the bank is silent": lambda n: AcquirerUnreachable(f"no answer about {n}"),
    "the bank talks rubbish": lambda n: ValueError(f"cannot read {{'pan': '{n}'}}"),
    "the bank refuses the card": lambda n: CardRefused("number", f"unknown {n}"),
    "the bank's driver breaks": lambda n: RuntimeError(n),
    "the bank's driver breaks on purpose": lambda n: GatewayError(n),
    "memory is short": lambda n: MemoryError(n),
}


class BrokenBank:
    """The simulated bank, but for the first message, which holds a card."""

    def __init__(self, bank: Acquirer, error: Callable[[str], Exception]) -> None:
        self._bank, self._error = bank, error

    def __getattr__(self, name: str) -> object:
        return getattr(self._bank, name)

    def enrol(self, card: CardEntry, amount: Money, *, op_id: str) -> Enrolment:  # noqa: ARG002 - the contract's
        number = card.number.reveal()
        # As a driver would: the cause, too, speaks of the card.
        raise self._error(number) from KeyError(f"{number}/{card.security_code}")


class Stage:
    """The application in this process, its log, and what is broken in it."""

    def __init__(self, app: Flask, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app, self.parts, self.clock, self.monkeypatch = app, parts, clock, monkeypatch

    def break_bank(self, error: Callable[[str], Exception]) -> None:
        services = self.app.extensions["gateway"]
        desk = replace(services.checkout.desk, acquirer=BrokenBank(services.checkout.desk.acquirer, error))
        self.app.extensions["gateway"] = replace(services, checkout=Checkout(desk))

    def break_page(self, number: str) -> None:
        def broken(*_: object, **context: object) -> str:
            raise RuntimeError(f"{number} in {context}")

        self.monkeypatch.setattr("gateway.web.pages.render_template", broken)

    def bound_database(self, *pragmas: str) -> None:
        """Have the application's next connections begin with these."""
        engine = self.app.extensions["gateway"].checkout.desk.store.engine
        event.listen(engine, "connect", lambda connection, _: [connection.execute(pragma) for pragma in pragmas])
        engine.dispose()


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    with caught(monkeypatch, "DEBUG") as written:
        yield written


@pytest.fixture
def stage(app: Flask, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Stage:
    app.config["WTF_CSRF_ENABLED"] = False
    return Stage(app, parts, clock, monkeypatch)


def _break_bank(error: Callable[[str], Exception], stage: Stage, _number: str) -> None:
    stage.break_bank(error)


FAULTS: Mapping[str, Callable[[Stage, str], object]] = {
    **{name: partial(_break_bank, error) for name, error in BANK_ERRORS.items()},
    "the page breaks": lambda stage, number: stage.break_page(number),
    "the page has expired": lambda stage, _: stage.clock.advance(hours=3),
    # As after a failed write, when the system mounts it anew.
    "the disk is read-only": lambda stage, _: stage.bound_database("PRAGMA query_only = 1"),
    "the database is busy": lambda stage, _: stage.bound_database("PRAGMA busy_timeout = 20"),
    "the merchant is gone": lambda stage, _: stage.app.extensions["gateway"].settings.merchants.clear(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_breaks_tells_nothing_of_the_card(
    stage: Stage, parts: Parts, home: Path, output: io.StringIO, fault: str
) -> None:
    (number,) = foreign_numbers(1)
    payment = open_payment(parts)
    page = f"/p/{parts.links.page_token(payment.id)}"
    client = stage.app.test_client()
    client.get(page)
    FAULTS[fault](stage, number)

    typed = {"action": "pay", "number": number, "expiry": "12/30", "security_code": CODES[3], "email": "a@example.org"}
    with closing(sqlite3.connect(home / "var/guichet.sqlite")) as other:
        if fault == "the database is busy":
            other.execute("BEGIN IMMEDIATE")
        answers = [client.post(page, data=typed), client.get(page)]

    (home / "var/answers").write_bytes(b"".join(answer.data for answer in answers))
    (home / "var/log").write_text(output.getvalue())
    codes = [answer.status_code for answer in answers]
    record("promise 13", fault=fault, first=codes[0], then=codes[1])
    assert search((path for path in (home / "var").rglob("*")), [number]) == {}
    assert "scrubbed" not in output.getvalue()
    assert codes[0] in EXPECTED[fault], (codes, output.getvalue())


# That the fault was met at all: the status of the answer to the card.
EXPECTED: Mapping[str, tuple[int, ...]] = {
    "the bank is silent": (303,),
    "the bank talks rubbish": (500,),
    "the bank refuses the card": (303,),
    "the bank's driver breaks": (500,),
    "the bank's driver breaks on purpose": (500,),
    "memory is short": (500,),
    "the page breaks": (303,),
    "the page has expired": (303,),
    "the disk is read-only": (500, 503),
    "the database is busy": (503,),
    "the merchant is gone": (404,),
}
