"""Commands that run: ``serve``, ``worker``, ``sweep``, and the test machine's mail catcher and bank.

Nothing heavy is imported before a command needs it: how soon a server takes payments is a matter of what is loaded when.
"""

import getpass
import os
import shutil
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gateway.cli.supervisor import Supervisor
from gateway.memory import MEMORY, leave_no_core_file

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy import Engine

    from gateway.audit import Auditor
    from gateway.checkout import Checkout
    from gateway.parts import Parts
    from gateway.settings import Settings
    from gateway.worker import Worker

# Of the back office: a third of the processor's time that each of the others has, while they want theirs (sched(7)).
_NICENESS = 5

home_argument = click.make_pass_decorator(Path)


def read(home: Path) -> "Settings":
    """Read the settings as this process's environment has them."""
    from gateway import settings as settings_

    return settings_.load(home, os.environ)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that no file names.
        return f"uid {os.getuid()}"


def open_parts(home: Path) -> "Parts":
    """Build the server's parts; imported here, because commands that need none of them should be quick."""
    from gateway.acting import Actor, start_as
    from gateway.parts import build

    start_as(Actor(f"operator {_user()}", f"command line on {socket.gethostname()}"))
    parts = build(read(home))
    click.get_current_context().call_on_close(parts.store.engine.dispose)
    return parts


def configure_logs(level: str = "INFO") -> None:
    """Send this process's log to standard error."""
    from gateway import logs

    logs.configure(level)


def refuse_busy(host: str, port: int, flag: str) -> None:
    """Say which flag helps when a port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise click.ClickException(f"port {port} on {host}: {reason}; choose another with {flag}") from error


def place(port: int | None, smtp_port: int | None) -> None:
    """Turn the port flags into settings; a base address on this machine follows the port."""
    if port is not None:
        os.environ["GUICHET_WEB__PORT"] = str(port)
        os.environ.setdefault("GUICHET_BASE_URL", f"http://127.0.0.1:{port}")
    if smtp_port is not None:
        os.environ["GUICHET_SMTP__PORT"] = str(smtp_port)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Web port (default: config/gateway.toml, 8000).")
@click.option("--smtp-port", type=click.IntRange(1, 65535), help="Port of the mail catcher (default: 8025).")
@click.option("--worker/--no-worker", "with_worker", default=True, help="Run the worker beside the web server.")
@click.option("--demo-keys", is_flag=True, hidden=True, help="Make whatever keys a development server lacks.")
@home_argument
def serve(home: Path, port: int | None, smtp_port: int | None, with_worker: bool, demo_keys: bool) -> None:
    """Serve the web, the worker and, where configured, the mail catcher."""
    _take_memory_settings()
    configure_logs()
    place(port, smtp_port)
    settings = read(home)
    refuse_busy(settings.web.host, settings.web.port, "--port")
    if settings.smtp.catcher:
        refuse_busy(settings.smtp.host, settings.smtp.port, "--smtp-port")
    leave_no_core_file()
    settings.var.mkdir(mode=0o700, exist_ok=True)
    with Supervisor() as supervisor:
        # The catcher needs little, so it loads that beside the loading of the rest.
        if settings.smtp.catcher:
            supervisor.start("catcher", lambda: _catch(settings))
        app = _load(settings, demo_keys=demo_keys)
        click.echo(f"Guichet serves {settings.base_url} (Ctrl-C stops it)")
        if with_worker:
            _start_worker(supervisor, settings)
        supervisor.start("web", lambda: _serve_web(app, settings))
        supervisor.watch()


def _take_memory_settings() -> None:
    """Become the same command under ``MEMORY``, which a process must have from its first instruction on."""
    environ = {**os.environ, **MEMORY}
    if environ != os.environ:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606 - itself


def _load(settings: "Settings", *, demo_keys: bool) -> "Flask":
    """Import and build what the processes share, and bring the database up to date; no connection stays open."""
    metrics = settings.var / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    if demo_keys:
        from gateway.clock import utc_now
        from gateway.keys import ensure_demo

        ensure_demo(settings.home / "keys", settings.key_holders, utc_now())
    from gateway.app import create_app
    from gateway.web.rendering import warm

    app = create_app(settings.home, settings=settings)
    warm(app)
    _upgrade(settings)
    return app


def _upgrade(settings: "Settings") -> None:
    from gateway import migrations

    file = settings.sqlalchemy_url.removeprefix("sqlite:///")
    if file != settings.sqlalchemy_url and migrations.is_current_file(Path(file)):
        return
    from gateway.store.engine import open_engine

    engine = open_engine(settings.sqlalchemy_url)
    migrations.upgrade(engine)
    engine.dispose()


def _serve_web(app: "Flask", settings: "Settings") -> None:
    from gateway.cli.webserver import WebServer

    services = app.extensions["gateway"]
    with _lived(services.auditor, "web", services.checkout.desk.store.engine):
        WebServer(app, settings).run()


def _start_worker(supervisor: Supervisor, settings: "Settings") -> None:
    """Start a worker: what somebody waits for in one process, the rest in another.

    What is wrong with settings or keys is found before.
    """
    from gateway.parts import build

    parts = build(settings)
    supervisor.start("worker", lambda: _work(parts))
    supervisor.start("back office", lambda: _work_behind(parts))


def _work(parts: "Parts") -> None:
    """Bring out codes and confirmations."""
    with _lived(parts.auditor, "worker", parts.store.engine):
        _hand(parts, ("codes", "confirmations"), None).run()
    parts.store.engine.dispose()


def _work_behind(parts: "Parts") -> None:
    """Bring out mails with their tickets, sweep, and keep the audit chain."""
    from gateway.audit.book import take_note

    # Where processors are short, pages, codes and confirmations go first.
    os.nice(_NICENESS)
    with parts.sealer().kept(), _lived(parts.auditor, "back office", parts.store.engine):
        take_note(parts.store, parts.book())
        _hand(parts, ("mails",), parts.checkout).run()
    parts.store.engine.dispose()


def _hand(parts: "Parts", lanes: Collection[str], checkout: "Checkout | None") -> "Worker":
    from gateway.store.wake import Bell
    from gateway.worker import Worker

    bell = Bell(parts.store.engine, parts.settings.var / "wake")
    return Worker(parts.store, checkout, parts.deliverer(bell.ring, lanes), bell, parts.now)


@contextmanager
def _lived(auditor: "Auditor", program: str, engine: "Engine") -> Iterator[None]:
    """Write down when a program starts and when it stops; killed, it leaves its start behind.

    Nothing of the database stays open across what may fork.
    """
    from gateway.acting import Actor, start_as

    pid = os.getpid()
    start_as(Actor(program, f"{socket.gethostname()}:{pid}"))
    auditor.record("service.started", program)
    engine.dispose()
    try:
        yield
    finally:
        # What was forked meanwhile leaves by this way too.
        if os.getpid() == pid:
            auditor.record("service.stopped", program)


def _catch(settings: "Settings") -> None:
    from gateway.channels import catcher as catcher_

    catcher_.run(settings.smtp.host, settings.smtp.port, settings.var / "inbox")


@click.command()
@home_argument
def worker(home: Path) -> None:
    """Deliver notices and sweep; run as many as you like, on as many machines."""
    configure_logs()
    # A code that is about to be sent is in memory too.
    leave_no_core_file()
    settings = read(home)
    with Supervisor() as supervisor:
        _start_worker(supervisor, settings)
        supervisor.watch()


@click.command()
@home_argument
def sweep(home: Path) -> None:
    """Sweep once: deadlines, unknown outcomes, reversals, captures, expiries, refunds."""
    configure_logs()
    count = open_parts(home).checkout.sweep()
    click.echo(f"looked at {count}")


@click.command(hidden=True)
@home_argument
def catcher(home: Path) -> None:
    """Catch every mail into the test inbox."""
    configure_logs()
    _catch(read(home))


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port (default: that of acquirer.url).")
@click.option("--statement", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE",
              help="Write the bank's statement from this day on (UTC) instead, for guichet reconcile.")  # fmt: skip
@home_argument
def simulator(home: Path, port: int | None, statement: datetime | None) -> None:
    """Run the simulated bank as a process of its own (acquirer.kind = "remote" asks it)."""
    from gateway.acquirers import server

    if statement is not None:
        click.echo(server.statement(home, statement.replace(tzinfo=UTC)), nl=False)
        return
    configure_logs()
    address = urlsplit(read(home).acquirer.url)
    server.run(address.hostname or "127.0.0.1", port or address.port or 8002, home)
