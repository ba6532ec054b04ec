"""The audit log as an operator meets it: what is written down and by whom, and what ``guichet verify-audit`` says."""

import json
import os
import resource
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from sqlalchemy import select, text

from gateway.acting import Actor, acting_as
from gateway.audit import Anchor, Inspection
from gateway.audit.book import take_note
from gateway.cli import guichet
from gateway.core.errors import StoreBusy, WrongStatus
from gateway.core.states import AttemptStatus, Status
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import Pen
from gateway.store import tables as t
from gateway.store.audit import link_message
from tests.factories import SILENT_LOST, enter, open_payment, pay
from tests.support.clock import Clock
from tests.support.portal import Portal

Run = Callable[..., Result]


@pytest.fixture
def run(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("GUICHET_DATABASE_URL", database_url)
    monkeypatch.setattr("gateway.acting._process", Actor("server"))
    return lambda *words: CliRunner().invoke(guichet, ["--home", str(home), *words])


def entries(parts: Parts, what: str) -> list[Any]:
    with parts.store.engine.connect() as db:
        return list(db.execute(select(t.audit).where(t.audit.c.what == what).order_by(t.audit.c.id)))


def last(parts: Parts, what: str) -> tuple[str, str, str, str]:
    entry = entries(parts, what)[-1]
    return entry.who, entry.object, entry.result, entry.origin


def rewrite(parts: Parts, statement: str) -> None:
    """Do what triggers refuse, as whoever owns the tables can."""
    with parts.store.engine.begin() as db:
        if db.dialect.name == "sqlite":
            for name in db.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
                db.execute(text(f"DROP TRIGGER {name}"))
        else:
            db.execute(text("SET LOCAL session_replication_role = replica"))
        db.execute(text(statement))


class TestWhatIsWritten:
    def test_a_payment_is_written_step_by_step_by_who_took_it(
        self, client: FlaskClient, parts: Parts, home: Path, clock: Clock
    ) -> None:
        portal = Portal(home)
        told = client.post("/v1/payments", data=portal.request(clock), content_type="application/jose").get_json()
        client.get(told["checkout_url"])
        pay(parts, parts.checkout.opening.told(told["id"]))

        assert last(parts, "payment.created") == ("merchant mairie-demo", told["id"], "done", "127.0.0.1")
        assert last(parts, "payment.opened") == ("payer", told["id"], "done", "127.0.0.1")
        assert json.loads(entries(parts, "payment.succeeded")[-1].facts)["after"] == "paid"

    def test_a_merchants_reading_is_written(self, client: FlaskClient, parts: Parts, home: Path) -> None:
        portal, payment = Portal(home), open_payment(parts, reference="COMMANDE-7")

        client.get(f"/v1/payments/{payment.id}", headers=portal.bearer)
        client.get("/v1/payments?reference=COMMANDE-7", headers=portal.bearer)

        one, several = entries(parts, "payment.read")
        assert (one.who, one.object, one.origin) == ("merchant mairie-demo", payment.id, "127.0.0.1")
        assert json.loads(several.facts) == {"payments": [payment.id]}

    def test_a_refusal_is_written_and_nothing_the_caller_said(
        self, client: FlaskClient, parts: Parts, home: Path, clock: Clock
    ) -> None:
        client.post("/v1/payments", data=Portal(home).request(clock) + "x", content_type="application/jose")
        client.get("/v1/payments/4242424242424242", headers={"Authorization": "Bearer guichet_nobodys"})

        signature, credential = entries(parts, "request.refused")
        assert (signature.who, signature.object, signature.origin) == ("caller", "native /v1/payments", "127.0.0.1")
        assert (credential.object, credential.result) == ("native /v1/payments/<payment>", "api_key_unknown")

    def test_a_flood_of_refusals_is_counted_and_does_not_fill_the_log(self, parts: Parts, clock: Clock) -> None:
        for _ in range(300):
            parts.auditor.refused("native /v1/payments", "bad_signature")
        clock.advance(seconds=10)
        parts.auditor.refused("native /v1/payments", "bad_signature")

        written = entries(parts, "request.refused")
        assert len(written) == 51
        assert json.loads(written[-1].facts) == {"others": 250}

    def test_an_operators_commands_are_written(self, run: Run, parts: Parts) -> None:
        payment = pay(parts, open_payment(parts))

        for words in (
            ("payment", "list"), ("payment", "show", payment.id), ("payment", "refund", payment.id, "--cents", "100"),
            ("notice", "list"), ("notice", "resend", "1"), ("keys", "new", "ticket"),
        ):  # fmt: skip
            assert run(*words).exit_code == 0, words

        who, about, result, origin = last(parts, "payment.read")
        assert (who.split()[0], about, result) == ("operator", payment.id, "done")
        assert origin.startswith("command line on ")
        assert last(parts, "refund.requested")[:2] == (who, payment.id)
        assert last(parts, "notice.resent")[:2] == (who, "1")
        assert last(parts, "key.made")[1].startswith("ticket-")

    def test_settling_a_review_is_written(self, run: Run, parts: Parts) -> None:
        payment = open_payment(parts)
        enter(parts, payment, SILENT_LOST)
        parts.checkout.settling.authorise(payment.id)
        with parts.store.transaction() as tx:
            row = tx.payments.take(payment.id)
            for status in (AttemptStatus.REVERSING, AttemptStatus.REVIEW):
                tx.attempts.move(tx.attempts.money(row.id), status, next_at=None)

        assert run("payment", "settle", payment.id, "reversed").exit_code == 0

        assert last(parts, "review.settled")[1] == payment.id
        assert last(parts, "attempt.reversed")[0].startswith("operator ")

    def test_nothing_is_written_of_what_was_rolled_back(self, parts: Parts) -> None:
        payment = open_payment(parts)

        def lose() -> None:
            with parts.store.transaction() as tx:
                tx.payments.record(tx.payments.take(payment.id).id, "evt_1", "payment.lost", parts.now(), {})
                raise WrongStatus("somebody was faster")

        with pytest.raises(WrongStatus):
            lose()

        assert entries(parts, "payment.lost") == []

    def test_a_busy_database_keeps_no_answer_back(self, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
        def busy(*_: object) -> None:
            raise StoreBusy("busy")

        monkeypatch.setattr(parts.store, "transaction", busy)

        parts.auditor.record("payment.read", "pay_1")


class TestBook:
    def test_a_start_writes_down_what_the_files_say_now(self, parts: Parts, home: Path) -> None:
        first = take_note(parts.store, parts.book())
        book = home / "config/merchants.toml"
        book.write_text(book.read_text("utf-8").replace('name = "La Falaise"', 'name = "La Plage"'), "utf-8")
        shutil.copy(next((home / "keys").glob("ticket-*.key")), home / "keys/ticket-2026-01.key")
        changed = build(load(home, {"GUICHET_DATABASE_URL": str(parts.settings.database_url)}), parts.now)

        assert (first > 20, take_note(changed.store, changed.book()), take_note(parts.store, parts.book())) == (
            True,
            2,
            1,
        )
        *_, key, merchant, back = entries(parts, "book.read")
        assert (key.object, key.result) == ("key ticket-2026-01.key", "added")
        assert (merchant.object, merchant.result) == ("merchant falaise-demo", "changed")
        assert json.loads(merchant.facts)["before"] == {"name": "La Falaise"}
        assert json.loads(merchant.facts)["after"] == {"name": "La Plage"}
        assert json.loads(back.facts)["after"] == {"name": "La Falaise"}
        changed.store.engine.dispose()

    def test_no_secret_is_written(self, parts: Parts, home: Path) -> None:
        take_note(parts.store, parts.book())

        written = "".join(entry.facts for entry in entries(parts, "book.read"))
        for secret in ("DJMESHXYou6LmjQFdH", "1122334455667788", "testpassword_DEMO", "586dfc9c", "58 6d fc 9c"):
            assert secret not in written
        for file in (home / "keys").rglob("*.key"):
            assert file.read_text("ascii").strip() not in written


class TestChain:
    def test_a_worker_links_what_was_written_and_anchors_at_its_end(self, parts: Parts) -> None:
        sealer = parts.sealer()
        with sealer.kept():
            open_payment(parts)
        (anchor,) = {anchor for anchor in parts.anchors().all() if isinstance(anchor, Anchor) and anchor.n}

        with parts.store.reading() as tx:
            assert tx.audit.head() == (anchor.n, anchor.mac)
            assert tx.audit.unsealed(10) == []
            assert anchor.n >= 2

    def test_anchors_are_for_their_owner_alone(self, parts: Parts, home: Path) -> None:
        before = os.umask(0)
        try:
            with parts.sealer().kept():
                open_payment(parts)
        finally:
            os.umask(before)

        assert (home / "var/audit/anchors.jsonl").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "changed", [("", 2, 7, "mac"), ("one", 3, 7, "mac"), ("one", 2, 8, "mac"), ("one", 2, 7, "")]
    )
    def test_a_link_is_bound_to_the_one_before_its_place_and_its_row(self, changed: tuple[str, int, int, str]) -> None:
        assert link_message(*changed) != link_message("one", 2, 7, "mac")

    def test_half_an_anchor_on_a_full_disk_is_taken_back(self, parts: Parts) -> None:
        """It would pass for a forged one."""
        anchors = parts.anchors()
        anchors.drop(1, "m" * 64)
        room = (parts.settings.var / "audit/anchors.jsonl").stat().st_size + 40
        kept = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, kept[1]))
        try:
            with pytest.raises(OSError, match="large"):
                anchors.drop(2, "n" * 64)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        anchors.drop(3, "o" * 64)

        assert [anchor.n if isinstance(anchor, Anchor) else anchor for anchor in anchors.all()] == [1, 3]

    @pytest.mark.parametrize(("by", "is_due"), [(0, False), (59, False), (60, True), (-1, True)])
    def test_an_anchor_is_made_each_hour_whatever_the_clock_said(
        self, parts: Parts, clock: Clock, by: int, *, is_due: bool
    ) -> None:
        parts.anchors().drop(1, "m" * 64)
        clock.advance(minutes=by)

        assert parts.anchors().is_due() is is_due

    def test_two_workers_make_one_chain(self, parts: Parts) -> None:
        with parts.store.transaction() as tx:
            tx.audit.add("one")
            tx.audit.add("two")
        with parts.store.reading() as tx:
            rows = tx.audit.unsealed(10)
        with parts.store.transaction() as tx:
            tx.audit.seal(rows)

        with pytest.raises(WrongStatus), parts.store.transaction() as tx:
            tx.audit.seal(rows)
        assert parts.sealer().seal() == 0

    def test_what_committed_late_is_linked_all_the_same(self, parts: Parts) -> None:
        """Rows commit in another order than they were numbered in."""
        with parts.store.transaction() as tx:
            for number in range(3):
                tx.audit.add(f"act {number}")
        with parts.store.transaction() as tx:
            tx.audit.seal([row for row in tx.audit.unsealed(10) if row.id != 2])

        assert parts.sealer().seal() == 1

    def test_payments_of_before_the_log_are_taken_in(self, parts: Parts) -> None:
        pay(parts, open_payment(parts))
        rewrite(parts, "DELETE FROM audit")

        with parts.sealer().kept():
            pass

        assert faults(parts) == []
        rewrite(parts, "UPDATE ledger SET amount_cents = amount_cents + 1")
        assert len(faults(parts)) == 1

    def test_a_payment_that_changes_at_that_moment_is_taken_in_as_it_is_then(self, parts: Parts) -> None:
        payment = open_payment(parts)
        rewrite(parts, "DELETE FROM audit")
        starting = threading.Thread(target=parts.sealer().begin)

        with parts.store.transaction() as tx:
            parts.checkout.desk.close(tx, tx.payments.take(payment.id), Status.CANCELLED)
            starting.start()
            starting.join(0.3)
            is_waiting = starting.is_alive()
        starting.join()

        assert is_waiting
        assert faults(parts) == []


def faults(parts: Parts) -> list[str]:
    with parts.store.reading() as tx:
        return list(Inspection(tx, parts.pen()).faults(parts.anchors().all()))


class TestVerifyAudit:
    def test_a_log_that_holds(self, run: Run, parts: Parts) -> None:
        pay(parts, open_payment(parts))
        parts.sealer().seal()

        done = run("verify-audit")

        assert done.exit_code == 0, done.output
        assert done.output.startswith("5 entries, 1 payments, 1 anchors (the last of 2026-11-21 10:00 UTC)")
        assert last(parts, "audit.verified")[2] == "holds"

    def test_the_first_bad_row_is_named(self, run: Run, parts: Parts) -> None:
        pay(parts, open_payment(parts))
        parts.sealer().seal()
        rewrite(parts, "UPDATE audit SET result = 'nothing' WHERE id = 2")

        done = run("verify-audit")

        assert done.exit_code == 1
        assert done.output.splitlines()[0].startswith("[wrong] entry 2 (payment.opened by server")

    def test_a_changed_ledger_names_its_payment(self, run: Run, parts: Parts) -> None:
        pay(parts, open_payment(parts))
        rewrite(parts, "UPDATE ledger SET amount_cents = amount_cents * 2")

        done = run("verify-audit")

        assert done.exit_code == 1
        assert done.output.startswith("[wrong] payment 0000000001: not what entry ")

    def test_a_copy_of_the_anchors_shows_what_was_cut_with_the_anchors(
        self, run: Run, parts: Parts, home: Path, tmp_path: Path
    ) -> None:
        open_payment(parts)
        parts.sealer().seal()
        copy = Path(shutil.copy(home / "var/audit/anchors.jsonl", tmp_path / "copy.jsonl"))
        (home / "var/audit/anchors.jsonl").unlink()
        for table in ("seal", "audit", "event", "line", "notice", "signed_request", "debt", "payment"):
            rewrite(parts, f"DELETE FROM {table}")  # noqa: S608 - our own names

        unaware, aware = run("verify-audit"), run("verify-audit", "--anchors", str(copy))

        assert unaware.exit_code == 0
        assert aware.exit_code == 1
        assert "the end of the log was cut off" in aware.output

    def test_a_forged_anchor_is_no_anchor(self, run: Run, parts: Parts, home: Path) -> None:
        parts.sealer().seal()
        path = home / "var/audit/anchors.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"iat": 1, "n": 1, "mac": "00", "jws": "e30.e30.AAAA"}\n', "utf-8")

        done = run("verify-audit")

        assert done.exit_code == 1
        assert "anchors.jsonl, line 1: not an anchor signed by a key of this server" in done.output

    def test_keys_are_rotated_and_what_the_old_ones_wrote_still_holds(
        self, run: Run, parts: Parts, home: Path, database_url: str
    ) -> None:
        open_payment(parts)
        parts.sealer().seal()
        old = {what: next((home / "keys").glob(f"{what}-*")).name for what in ("audit", "signing")}
        for what in old:
            assert run("keys", "new", what).exit_code == 0
        for name in old.values():
            assert run("keys", "retire", name).exit_code == 0
        newer = build(load(home, {"GUICHET_DATABASE_URL": database_url}), parts.now)
        open_payment(newer)
        newer.sealer().seal()
        newer.store.engine.dispose()

        assert run("verify-audit").exit_code == 0
        (home / "keys/retired" / old["audit"]).unlink()
        assert run("verify-audit").exit_code == 1


def test_the_doctor_says_what_the_account_could_do_and_never_needs_to(run: Run, parts: Parts) -> None:
    told = run("doctor").output

    is_postgresql = parts.store.engine.dialect.name == "postgresql"
    assert ("[ note] rights: its account is a superuser" in told) == is_postgresql


def test_a_file_has_no_accounts_to_grant_rights_to(run: Run, parts: Parts) -> None:
    if parts.store.engine.dialect.name == "sqlite":
        assert "SQLite has no accounts" in run("db", "grant", "guichet").output
    else:
        assert run("db", "grant", "postgres").exit_code == 0


def test_a_row_is_by_who_acts(parts: Parts) -> None:
    with acting_as(Actor("operator anne", "office")):
        parts.auditor.record("one")
    parts.auditor.record("two")

    assert [last(parts, what)[::3] for what in ("one", "two")] == [("operator anne", "office"), ("server", "")]


def test_the_key_is_the_logs_own(parts: Parts, home: Path) -> None:
    secrets = [parts.keys.secrets(purpose)[-1] for purpose in ("audit", "page", "cookie", "code", "seal", "ticket")]

    assert len(set(secrets)) == len(secrets)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in (home / "keys").glob("audit-*.key"))
    assert not Pen((b"k" * 32,), parts.now).wrote(b"row", Pen((b"j" * 32,), parts.now).mac(b"row"))
