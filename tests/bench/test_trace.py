"""The floor of the journeys' measurement is what a journey says to its database: no less, and no more."""

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bench.journeys import pgbench
from bench.script import Script
from bench.trace import Said, journeys
from gateway.store import open_engine, tables
from tests.support.postgres import drop_database, fresh_database


@pytest.fixture(params=["postgresql", "sqlite"])
def empty_url(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    """Give a database with nothing in it, not even tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{home}/var/guichet.sqlite"
        return
    server: str = request.getfixturevalue("postgres")
    yield fresh_database(server, "bench_trace")
    drop_database(server, "bench_trace")


def test_the_script_leaves_what_a_journey_leaves_and_says_what_it_says(home: Path, empty_url: str) -> None:
    with journeys(home, empty_url) as (pay, heard):
        first, second = _said(pay, heard), _said(pay, heard)
        script = Script(first, second)
        before = _counts(empty_url)
        third = _said(pay, heard)
        between = _counts(empty_url)

        _run(script, empty_url, home / "journey.sql")

        after = _counts(empty_url)
    assert third[0].statement.startswith("BEGIN")
    assert [said.statement for said in third] == [step.statement for step in script.steps]
    real = {name: between[name] - before[name] for name in before}
    assert {name: after[name] - between[name] for name in before} == real
    # Not nothing, and the guarded updates found what they guard.
    assert real["payment paid"] == real["attempt"] == 1
    assert real["event"] == 7
    assert real["ledger"] == 2


def test_what_differs_between_two_journeys_is_drawn_anew_or_asked_again() -> None:
    first = [
        Said("INSERT INTO a (word) VALUES (%(w)s) RETURNING id", {"w": "tok_1111111111111111"}, ("id",), ((7,),)),
        Said("SELECT %(id)s, %(w)s, %(same)s", {"id": 7, "w": "tok_1111111111111111", "same": "it's 10:am"}),
    ]
    second = [
        Said("INSERT INTO a (word) VALUES (%(w)s) RETURNING id", {"w": "tok_2222222222222222"}, ("id",), ((9,),)),
        Said("SELECT %(id)s, %(w)s, %(same)s", {"id": 9, "w": "tok_2222222222222222", "same": "it's 10:am"}),
    ]

    script = Script(first, second).pgbench()

    assert script == (
        "\\set w0 random(100000000000000, 999999999999999)\n"
        "INSERT INTO a (word) VALUES (('tok_2' || :w0)) RETURNING id \\gset s0_\n"
        "SELECT :s0_id, ('tok_2' || :w0), ('it''s 10:'||'am');\n"
    )


def test_journeys_that_say_different_things_make_no_script() -> None:
    with pytest.raises(ValueError, match="did not make the same statements"):
        Script([Said("SELECT 1")], [Said("SELECT 2")])


def test_a_number_that_no_statement_gave_makes_no_script() -> None:
    with pytest.raises(ValueError, match="numbers of nowhere"):
        Script([Said("SELECT %(n)s", {"n": 1})], [Said("SELECT %(n)s", {"n": 2})])


def _said(pay: Callable[[], None], heard: list[Said]) -> list[Said]:
    heard.clear()
    pay()
    return list(heard)


def _run(script: Script, url: str, path: Path) -> None:
    if not url.startswith("sqlite"):
        written = script.pgbench()
        _holds(written, [step.statement for step in script.steps])
        path.write_text(written)
        pgbench(url, path, "--transactions=1")
        return
    engine = open_engine(url)
    with closing(engine.raw_connection()) as connection:
        assert isinstance(connection.driver_connection, sqlite3.Connection)
        script.run(connection.driver_connection, random.Random(1))  # noqa: S311 - no secret
    engine.dispose()


def _holds(written: str, statements: list[str]) -> None:
    """Find each statement, in order, whatever stands for its values."""
    at = 0
    for statement in statements:
        for piece in re.split(r"%\(\w+\)s", statement.replace("%%", "%")):
            at = written.index(piece, at) + len(piece)
    assert written.count(";\n") + written.count("\\gset") == len(statements)


def _counts(url: str) -> dict[str, int]:
    engine = open_engine(url)
    with engine.connect() as db:
        asked = {table.name: select(func.count()).select_from(table) for table in tables.metadata.sorted_tables}
        asked["payment paid"] = asked["payment"].where(tables.payment.c.status == "paid")
        found = {name: int(db.execute(query).scalar_one()) for name, query in asked.items()}
    engine.dispose()
    return found
