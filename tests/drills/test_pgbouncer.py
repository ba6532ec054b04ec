"""Drill: a real PgBouncer by the example stands before PostgreSQL, and everything that needs a session has one."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from gateway import keys
from gateway.cli import guichet
from gateway.cli.payer import Payer
from gateway.store import open_engine
from gateway.store.wake import Bell, caller
from tests.e2e.native import MERCHANT, open_payment
from tests.factories import CHALLENGE
from tests.support.crash import Guichet, Receiver, listening
from tests.support.installing import NoTool
from tests.support.pgbouncer import Bouncer, bouncing, pgbouncer_path
from tests.support.server import free_ports, wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def bouncer(tmp_path: Path, database_url: str) -> Iterator[Bouncer]:
    try:
        pgbouncer_path()
    except NoTool as error:
        pytest.skip(str(error))
    with bouncing(tmp_path / "pgbouncer", database_url) as bouncer:
        yield bouncer


@pytest.fixture
def doctor(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def says(url: str) -> str:
        monkeypatch.setenv("GUICHET_DATABASE_URL", url)
        return CliRunner().invoke(guichet, ["--home", str(home), "doctor"]).output

    return says


def test_a_payment_is_made_and_told_through_the_example(bouncer: Bouncer, home: Path) -> None:
    web, smtp = free_ports(2)
    with listening(Receiver(keys.credentials(home / "keys", MERCHANT)["whsec"])) as receiver:
        book = home / "config/merchants.toml"
        book.write_text(book.read_text().replace("http://127.0.0.1:8001/confirmations", receiver.url, 1))
        with Guichet(home, bouncer.url, web, smtp) as server:
            payer = Payer(server.base_url)
            page = payer.open(open_payment(server.base_url, home).checkout_url)
            page = payer.press(page, "pay", number=CHALLENGE, expiry="12/30", security_code="123")
            page = payer.press(page, "confirm", code=payer.code_for(page.payment))
            (told,) = wait_until(lambda: receiver.told, 60)

            assert page.name == "paid"
            assert (told.type, told.payment, told.is_genuine) == ("payment.succeeded", page.payment, True)
            assert any(said.startswith("LISTEN") for said in sessions(bouncer))


def test_a_call_reaches_a_worker_through_it(bouncer: Bouncer, tmp_path: Path) -> None:
    engine = open_engine(bouncer.url)
    bell = Bell(engine, tmp_path)
    bell.wait(0)

    # Uncalled it would sleep for longer than is waited for it here.
    sleeper = threading.Thread(target=bell.wait, args=(300,), daemon=True)
    sleeper.start()
    caller(engine, tmp_path)()

    sleeper.join(60)
    assert not sleeper.is_alive()
    bell.close()
    engine.dispose()


def test_the_doctor_is_content_with_the_example(bouncer: Bouncer, doctor: Callable[[str], str]) -> None:
    told = doctor(bouncer.url)

    assert "[  ok ] settings" in told
    assert "session" not in told


def test_the_doctor_sees_sessions_that_are_lent_for_a_transaction(
    bouncer: Bouncer, doctor: Callable[[str], str]
) -> None:
    assert "PgBouncer must have pool_mode = session" in doctor(bouncer.hasty_url)


def test_the_doctor_misses_what_the_account_was_not_given(bouncer: Bouncer, doctor: Callable[[str], str]) -> None:
    for setting in ("guichet.merchants", "statement_timeout"):
        bouncer.forget(setting)

    told = doctor(bouncer.url)

    assert "a session begins with guichet.merchants = nothing" in told
    assert "a session begins with statement_timeout = 0" in told
    assert told.count("a session begins with") == 2


def sessions(bouncer: Bouncer) -> list[str]:
    """List what each session of the account said last."""
    engine = create_engine(bouncer.admin)
    with engine.connect() as db:
        asked = text("SELECT query FROM pg_stat_activity WHERE usename = :account")
        said = list(db.execute(asked, {"account": bouncer.account}).scalars())
    engine.dispose()
    return said
