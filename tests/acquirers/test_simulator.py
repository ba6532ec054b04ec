"""What only the simulated bank promises: no number at rest, one book for many threads and processes, shortened delays."""

import logging
import multiprocessing
import os
import random
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from gateway.acquirers import Answer, Outcome, server
from gateway.acquirers.cards import load
from gateway.acquirers.simulator import Delays, Simulator
from gateway.acquirers.statement import read, written
from gateway.core.card import CardEntry, CardNumber, Expiry, luhn_valid
from gateway.core.errors import AcquirerUnreachable, CardRefused, SettingsError
from gateway.core.money import Money
from tests.acquirers.conftest import NOON, ROOT

TABLE = load(ROOT / "config" / "test_cards.toml")
TEN_EUROS = Money(1000)
FORK = multiprocessing.get_context("fork")


def enrol(simulator: Simulator, key: str = "approved", op_id: str = "enrol", code: str = "739") -> str:
    card = TABLE.by_key(key)
    assert card is not None
    entry = CardEntry(CardNumber(card.number), Expiry(2030, 12), code)
    return simulator.enrol(entry, TEN_EUROS, op_id=op_id).token


def authorise(simulator: Simulator, token: str, op_id: str = "auth") -> Answer:
    return simulator.authorise(token, TEN_EUROS, op_id=op_id, scheme="visa", authentication="")


def files_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


def test_no_number_and_no_code_is_written(simulator: Simulator, tmp_path: Path) -> None:
    for key in ("approved", "funds", "silent-approved", "cb-visa"):
        token = enrol(simulator, key, f"enrol-{key}")
        if key != "silent-approved":
            simulator.authorise(token, TEN_EUROS, op_id=key, scheme="visa", authentication="")

    written = files_of(tmp_path)

    assert b"approved" in written
    assert all(card.number.encode() not in written for card in TABLE.cards)
    with sqlite3.connect(tmp_path / "bank.sqlite3") as connection:
        rows = (
            connection.execute("SELECT * FROM enrolment").fetchall()
            + connection.execute("SELECT about FROM message").fetchall()
        )
    connection.close()
    assert not any(value in {"739", 739} for row in rows for value in row)


def test_of_10_000_other_numbers_none_is_taken_written_or_logged(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before, drawn = files_of(tmp_path), random.Random(20261120)  # noqa: S311 - a repeatable draw
    published = {card.number for card in TABLE.cards}
    numbers: set[str] = set()
    while len(numbers) < 10_000:
        body = drawn.choice(("4", "51", "2221", "37", "497010", "400000")) + f"{drawn.randrange(10**15):015d}"
        number = next(body[:15] + d for d in "0123456789" if luhn_valid(body[:15] + d))
        numbers |= {number} - published

    for number in numbers:
        entry = CardEntry(CardNumber(number), Expiry(2030, 1), "1234" if number.startswith("37") else "123")
        with pytest.raises(CardRefused, match="not_a_test_card"):
            simulator.enrol(entry, TEN_EUROS, op_id="enrol")

    assert files_of(tmp_path) == before
    assert caplog.text == ""


def test_the_file_is_its_owners_alone_and_every_answer_is_on_disk(simulator: Simulator, tmp_path: Path) -> None:
    enrol(simulator)

    assert stat.S_IMODE((tmp_path / "bank.sqlite3").stat().st_mode) == 0o600
    with simulator._book.writing() as page:
        assert page._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert page._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - what is refused
def test_other_machines_cannot_call_it(host: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="use a loopback address"):
        server.run(host, 0, tmp_path)


def test_a_bank_opened_again_remembers(make_simulator: Callable[..., Simulator]) -> None:
    answer = authorise(make_simulator(), enrol(make_simulator()))

    assert make_simulator().status("auth", TEN_EUROS) == answer


def test_32_threads_saying_one_authorisation_make_one(simulator: Simulator) -> None:
    token = enrol(simulator)

    with ThreadPoolExecutor(32) as threads:
        answers = set(threads.map(lambda _: authorise(simulator, token), range(32)))

    assert len(answers) == 1
    assert [entry.op_id for entry in simulator.book()] == ["auth"]


def _refund_in_child(simulator: Simulator, start: Barrier, n: int) -> None:
    start.wait()
    simulator.refund("auth", Money(600), op_id=f"refund{n}")
    os._exit(0)


def test_8_forked_processes_share_one_simulator(simulator: Simulator) -> None:
    authorise(simulator, enrol(simulator))
    simulator.capture("auth", TEN_EUROS, op_id="capture")
    start = FORK.Barrier(8)

    children = [FORK.Process(target=_refund_in_child, args=(simulator, start, n)) for n in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)

    assert [child.exitcode for child in children] == [0] * 8
    assert [(entry.state, entry.refunded_cents, len(entry.refunds)) for entry in simulator.book()] == [
        ("captured", 600, 1)
    ]


def _open_in_child(path: Path, n: int) -> None:
    simulator = Simulator(path, TABLE, now=lambda: NOON)
    authorise(simulator, enrol(simulator, op_id=f"enrol{n}"), f"auth{n}")
    os._exit(0)


def test_8_processes_may_make_the_file_at_once(tmp_path: Path, make_simulator: Callable[..., Simulator]) -> None:
    path = tmp_path / "new" / "bank.sqlite3"

    children = [FORK.Process(target=_open_in_child, args=(path, n)) for n in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)

    assert [child.exitcode for child in children] == [0] * 8
    assert len(make_simulator(path).book()) == 8


def test_a_reversal_overtakes_a_slow_authorisation(
    make_simulator: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, overtaken = threading.Event(), threading.Event()

    def be_slow(_seconds: float) -> None:
        asked.set()
        assert overtaken.wait(60)

    monkeypatch.setattr("gateway.acquirers.simulator.time.sleep", be_slow)
    simulator = make_simulator()
    token = enrol(simulator, "approved-slow")

    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(authorise, simulator, token)
        assert asked.wait(60)
        simulator.reverse("auth", TEN_EUROS, op_id="reverse")
        overtaken.set()

    assert (late.result().outcome, late.result().family) == (Outcome.DECLINED, "reversed")
    assert [entry.state for entry in simulator.book()] == ["reversed"]


def test_a_slow_bank_is_slow_once(make_simulator: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gateway.acquirers.simulator.time.sleep", slept.append)
    simulator = make_simulator(delays=Delays(slow_seconds=0.3))
    token = enrol(simulator, "approved-slow")

    first = authorise(simulator, token)
    again = authorise(simulator, token)

    assert first == again
    assert slept == [0.3]


def test_a_silence_can_last(make_simulator: Callable[..., Simulator]) -> None:
    simulator = make_simulator(delays=Delays(silence_seconds=0.2))
    token, start = enrol(simulator, "silent-approved"), time.monotonic()

    with pytest.raises(AcquirerUnreachable):
        authorise(simulator, token)

    assert time.monotonic() - start >= 0.2


def test_an_inquiry_tells_the_amount_of_the_book(simulator: Simulator) -> None:
    authorise(simulator, enrol(simulator))

    assert simulator.status("auth", Money(5)).amount == TEN_EUROS


def test_the_book_tells_what_became_of_each_authorisation(simulator: Simulator) -> None:
    authorise(simulator, enrol(simulator))
    simulator.capture("auth", Money(800), op_id="capture")
    simulator.refund("auth", Money(300), op_id="refund")
    simulator.refund("auth", Money(600), op_id="too-much")
    simulator.reverse("never", TEN_EUROS, op_id="reverse")

    paid, tombstone = simulator.book()

    assert (paid.op_id, paid.amount, paid.state, paid.captured_cents) == ("auth", TEN_EUROS, "captured", 800)
    assert (paid.refunded_cents, paid.refunds) == (300, (("refund", Money(300)),))
    assert (tombstone.op_id, tombstone.token, tombstone.state) == ("never", "", "reversed")


def test_the_statement_tells_how_each_authorisation_stands(simulator: Simulator) -> None:
    authorise(simulator, enrol(simulator))
    authorise(simulator, enrol(simulator, "funds", "enrol2"), "auth2")
    simulator.capture("auth", TEN_EUROS, op_id="capture")
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)

    told = read(written(simulator.statement(noon)).splitlines())

    assert [(line.operation, line.state, line.amount, line.captured) for line in told.standings] == [
        ("auth", "captured", 1000, 1000),
        ("auth2", "declined", 1000, 0),
    ]
    assert told.standings[0].at == noon
    assert told.standings[0].card != told.standings[1].card
    assert not simulator.statement(noon + timedelta(seconds=1)).standings


def test_a_book_that_cannot_be_used_is_a_silent_bank(simulator: Simulator) -> None:
    token = enrol(simulator)
    with simulator._book.writing() as page:
        page._db.execute("DROP TABLE authorisation")

    with pytest.raises(AcquirerUnreachable):
        authorise(simulator, token)
