"""The ``guichet`` command as an operator meets it."""

import json
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner, Result

from gateway.channels.catcher import Catcher
from gateway.channels.inbox import Inbox
from gateway.checkout.refunding import Refunding
from gateway.cli import guichet, main
from gateway.core.errors import StoreBusy
from gateway.core.money import Money
from gateway.memory import MEMORY
from gateway.parts import Parts
from tests.factories import deliver, open_payment, pay
from tests.support.clock import Clock
from tests.support.crash import Receiver, listening
from tests.support.portal import ORIGIN, Portal


@pytest.fixture
def run(home: Path, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a closure
    monkeypatch.setenv("GUICHET_DATABASE_URL", str(parts.settings.database_url))

    # The port flags are handed to child processes through the environment; keep them out of the other tests'.
    monkeypatch.setenv("GUICHET_BASE_URL", ORIGIN)
    monkeypatch.setenv("GUICHET_WEB__PORT", "8000")

    def run(*words: str, stdin: str | None = None) -> Result:
        # A command has the machine's clock; here it is the one everything else goes by.
        with time_machine.travel(clock.now(), tick=False):
            return CliRunner().invoke(guichet, ["--home", str(home), *words], input=stdin)

    return run


def test_merchants_are_listed_with_their_credentials(run, home: Path) -> None:  # type: ignore[no-untyped-def]
    told = run("merchant", "list", "--credentials").output

    assert "mairie-demo  test  native  Ville de Démonstration" in told
    assert Portal(home).kid in told
    assert "api_key: guichet_" in told
    assert "whsec: whsec_" in told


@pytest.mark.parametrize(
    ("merchant", "word"),
    [
        ("payfip-demo", "not signed"),
        ("alise-demo", "without separators"),
        ("mairie-demo", "HS256"),
        ("ifac-demo", "theme.colour #ffd93b: 1.2:1 on light pages"),
    ],
)
def test_what_is_weak_in_an_entry_is_told(run, merchant: str, word: str) -> None:  # type: ignore[no-untyped-def]
    told = run("merchant", "check", merchant).output

    assert word in told
    assert ("not signed" in told) == (merchant == "payfip-demo")


def test_a_signed_request_is_made_from_a_file(run, app, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    now = int(clock.now().timestamp())
    claims = {"amount": 500, "reference": "A-1", "label": "Essai", "iat": now, "exp": now + 60}

    token = run("sign", "-", stdin=json.dumps(claims)).output.strip()

    assert app.test_client().post("/v1/payments", data=token, content_type="application/jose").status_code == 201


def test_a_payment_is_shown_with_its_timeline_and_notices(run, parts: Parts) -> None:  # type: ignore[no-untyped-def]
    paid = pay(parts, open_payment(parts))

    listed, shown = run("payment", "list").output, run("payment", "show", paid.id).output

    assert f"{paid.id}  paid" in listed
    assert "payment.succeeded" in shown
    assert "confirmation new after 0 tries" in shown
    assert "visa ****4242" in shown


def test_the_operator_refunds_what_is_left(run, parts: Parts) -> None:  # type: ignore[no-untyped-def]
    paid = pay(parts, open_payment(parts))

    first = run("payment", "refund", paid.id, "--cents", "1000").output
    rest = run("payment", "refund", paid.id).output
    none = run("payment", "refund", paid.id)

    assert first.endswith(": done\n")
    assert rest.endswith(": done\n")
    assert parts.checkout.opening.told(paid.id).refunded_cents == 9612
    assert "nothing is left" in none.output


def test_a_refund_nobody_knows_of_is_not_to_be_ordered_blindly_again(run, parts: Parts, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def away(*_: object) -> None:
        raise StoreBusy("the database did not answer in time")

    paid = pay(parts, open_payment(parts))
    long = run("payment", "refund", paid.id, "--reason", "x" * 141)
    monkeypatch.setattr(Refunding, "refund", away)
    lost = run("payment", "refund", paid.id)

    assert "--reason: keep it to 140 characters" in long.output
    assert f"guichet payment show {paid.id}) before you ask again" in lost.output
    assert (long.exit_code, lost.exit_code) == (1, 1)


def test_a_dead_notice_is_sent_again_by_hand(run, parts: Parts) -> None:  # type: ignore[no-untyped-def]
    with listening(Receiver(answer=lambda number: (200 if number else 410, {}))) as portal:
        pay(parts, open_payment(parts, notify_url=portal.url, email=""))
        deliver(parts)
        listed = run("notice", "list", "--state", "dead").output
        dead = next(line for line in listed.splitlines() if "confirmation" in line)

        again = run("notice", "resend", dead.split()[0])
        deliver(parts)

    assert "HTTP 410" in dead
    assert "due now" in again.output
    assert portal.told[0].id == portal.told[1].id
    assert "confirmation" not in run("notice", "list", "--state", "dead").output


@pytest.mark.parametrize("name", ["R\udce9gie", "", "x" * 141], ids=["Latin-1", "empty", "too long"])
def test_a_merchant_that_no_start_would_take_leaves_the_book_as_it_was(run, home: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    book = home / "config/merchants.toml"
    before = book.read_bytes()

    result = run("merchant", "new", "regie", "--name", name)

    assert (result.exit_code, book.read_bytes()) == (1, before)
    assert "--name: 1 to 140 characters" in result.output


def test_a_full_disk_leaves_the_book_as_it_was(run, home: Path) -> None:  # type: ignore[no-untyped-def]
    book, limit = home / "config/merchants.toml", resource.getrlimit(resource.RLIMIT_FSIZE)
    before = book.read_bytes()
    # As a disk does that has room for ten bytes more.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limit[1]))
    try:
        result = run("merchant", "new", "regie", "--name", "Régie")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert (result.exit_code, book.read_bytes()) == (1, before)
    assert "nothing was added" in result.output


def test_a_new_merchant_is_in_the_book(run) -> None:  # type: ignore[no-untyped-def]
    run("merchant", "new", "regie", "--name", 'Régie "du Port" \x7f')

    assert 'regie  test  native  Régie "du Port"' in run("merchant", "list").output


def test_the_doctor_names_what_is_wrong(run) -> None:  # type: ignore[no-untyped-def]
    result = run("doctor")

    assert result.exit_code == 1
    assert "[  ok ] settings and key files" in result.output
    # The tests' PostgreSQL runs without fsync, and the doctor must see it.
    assert "[  ok ] database" in result.output or "PostgreSQL has fsync = off" in result.output
    assert "no heartbeat; start `guichet worker`" in result.output


def test_the_doctor_speaks_to_the_relay_as_mails_do(run, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:  # type: ignore[no-untyped-def]
    with Catcher("127.0.0.1", 0, Inbox(home / "var/inbox")) as catcher:
        monkeypatch.setenv("GUICHET_SMTP__PORT", str(catcher.port))
        plain = run("doctor").output
        monkeypatch.setenv("GUICHET_SMTP__SECURITY", "starttls")
        locked = run("doctor").output

    assert "[  ok ] mail relay" in plain
    assert "smtp relay offers no STARTTLS" in locked


def test_an_operator_without_a_name_is_told_by_number(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A container may run as a number that no file names."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)

    assert run("payment", "list").exit_code == 0


def test_a_backup_that_is_stopped_leaves_no_half_of_one(run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def stopped(_url: str, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    for one in ("_copy_file", "_dump"):
        monkeypatch.setattr(f"gateway.cli.backup.{one}", stopped)

    assert run("backup", str(home / "copy")).exit_code == 1
    assert not (home / "copy").exists()


def test_amounts_are_shown_with_the_decimals_of_their_currency(run, parts: Parts) -> None:  # type: ignore[no-untyped-def]
    payment = open_payment(parts, amount=Money(5124, "XPF"))

    assert "5124 XPF" in run("payment", "list").output
    assert "5124 XPF" in run("payment", "show", payment.id).output


def test_keys_overlap_until_the_old_one_is_retired(run, home: Path) -> None:  # type: ignore[no-untyped-def]
    run("keys", "new", "--merchant", "mairie-demo", "--alg", "ES256")
    listed = run("keys", "list").output
    old = Portal(home).kid if len(list((home / "keys/merchants").glob("mairie-demo-*.pub.pem"))) == 1 else ""

    assert listed.count("pub.pem") >= 2
    assert old == ""


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_busy_port_is_told_with_the_flag_that_changes_it(run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    # With these in its environment "serve" need not begin anew, as a process of its own.
    for name, value in MEMORY.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])

        result = run(command, "--port", port)

    assert result.exit_code == 1
    assert f"port {port} on 127.0.0.1" in result.output
    assert "--port" in result.output


def test_a_server_leaves_no_core_file_and_overwrites_what_it_frees(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both must be so before the first process that sees a card is made."""
    seen: list[object] = []

    def supervise() -> None:
        seen.append("started")
        raise SystemExit

    serving = "gateway.cli.serving"
    monkeypatch.setattr(f"{serving}.os.execve", lambda _path, _words, environ: seen.append(environ))
    monkeypatch.setattr(f"{serving}.configure_logs", lambda: None)
    monkeypatch.setattr(f"{serving}.refuse_busy", lambda *_: None)
    monkeypatch.setattr("gateway.memory.resource.setrlimit", lambda *limit: seen.append(limit))
    monkeypatch.setattr(f"{serving}.Supervisor", supervise)
    for name in MEMORY:
        monkeypatch.delenv(name, raising=False)

    run("serve")

    environ, limit, started = seen
    assert isinstance(environ, dict)
    assert environ["PYTHONMALLOC"] == "malloc"
    assert int(environ["MALLOC_PERTURB_"]) > 0
    assert (limit, started) == ((resource.RLIMIT_CORE, (0, 0)), "started")


def test_unsafe_key_files_keep_the_server_from_starting(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (home / "keys").glob("*.key"):
        path.chmod(0o644)
    monkeypatch.setattr("sys.argv", ["guichet", "--home", str(home), "payment", "list"])

    with pytest.raises(SystemExit) as stop:
        main()

    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert told.count("chmod") >= 5
