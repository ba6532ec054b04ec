"""Commands that run: ``serve``, ``worker``, ``sweep``, and the test machine's mail catcher and bank."""

import os
import resource
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gateway import settings as settings_
from gateway.cli.supervisor import Supervisor
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.parts import Parts

# Freed memory is overwritten and goes back to the system, so that card numbers do not linger in a web process. glibc's
# per-thread cache keeps small freed blocks as they were, so there is none.
MEMORY = {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
_THREADS = 8
# A web process is replaced after this many requests, give or take, whatever it may still remember.
_REQUESTS_MAX = 2000

home_argument = click.make_pass_decorator(Path)


def read(home: Path) -> Settings:
    """Read the settings as this process's environment has them."""
    return settings_.load(home, os.environ)


def open_parts(home: Path) -> "Parts":
    """Build the server's parts; imported here, because commands that need none of them should be quick."""
    from gateway.parts import build

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


def make_supervisor(settings: Settings, *, with_worker: bool) -> Supervisor:
    """Prepare everything ``serve`` runs; the database is brought up to date once it starts."""
    web = settings.web
    refuse_busy(web.host, web.port, "--port")
    if settings.smtp.catcher:
        refuse_busy(settings.smtp.host, settings.smtp.port, "--smtp-port")
    settings.var.mkdir(mode=0o700, exist_ok=True)
    metrics = settings.var / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    own = [sys.executable, "-m", "gateway"]
    commands: dict[str, list[str]] = {}
    if settings.smtp.catcher:
        commands["catcher"] = [*own, "catcher"]
    early = tuple(commands)
    commands["web"] = _gunicorn(settings)
    if with_worker:
        commands["worker"] = [*own, "worker"]
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    return Supervisor(commands, environ, early, prepare=lambda: _upgrade(settings))


def _upgrade(settings: Settings) -> None:
    from gateway import migrations

    file = settings.sqlalchemy_url.removeprefix("sqlite:///")
    if file != settings.sqlalchemy_url and migrations.is_current_file(Path(file)):
        return
    from gateway.store.engine import open_engine

    engine = open_engine(settings.sqlalchemy_url)
    migrations.upgrade(engine)
    engine.dispose()


def _gunicorn(settings: Settings) -> list[str]:
    web = settings.web
    return [
        "env", *(f"{name}={value}" for name, value in MEMORY.items()),
        sys.executable, "-m", "gunicorn", "wsgi:app", "--chdir", str(Path(__file__).parents[2]),
        "--bind", f"{web.host}:{web.port}", "--workers", str(web.workers),
        "--preload", "--worker-class", "gthread", "--threads", str(_THREADS), "--no-control-socket",
        "--max-requests", str(_REQUESTS_MAX), "--max-requests-jitter", str(_REQUESTS_MAX // 4),
        "--graceful-timeout", "40", "--log-level", "warning", "--worker-tmp-dir", str(settings.var),
        # A header that is no more than usual; long ones are refused before anything is read.
        "--limit-request-line", "8190", "--limit-request-fields", "50",
    ]  # fmt: skip


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Web port (default: config/gateway.toml, 8000).")
@click.option("--smtp-port", type=click.IntRange(1, 65535), help="Port of the mail catcher (default: 8025).")
@click.option("--worker/--no-worker", "with_worker", default=True, help="Run the worker beside the web server.")
@home_argument
def serve(home: Path, port: int | None, smtp_port: int | None, with_worker: bool) -> None:
    """Serve the web, the worker and, where configured, the mail catcher."""
    configure_logs()
    place(port, smtp_port)
    settings = read(home)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    supervisor = make_supervisor(settings, with_worker=with_worker)
    click.echo(f"Guichet serves {settings.base_url} (Ctrl-C stops it)")
    supervisor.run()


@click.command()
@home_argument
def worker(home: Path) -> None:
    """Deliver notices and sweep; run as many as you like, on as many machines."""
    from gateway.store.wake import Bell
    from gateway.worker import Worker

    configure_logs()
    parts = open_parts(home)
    bell = Bell(parts.store.engine, parts.settings.var / "wake")
    Worker(parts.store, parts.checkout, parts.deliverer(bell.ring), bell, parts.now).run()


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
    from gateway.channels import catcher as catcher_

    configure_logs()
    settings = read(home)
    catcher_.run(settings.smtp.host, settings.smtp.port, settings.var / "inbox")


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port (default: that of acquirer.url).")
@home_argument
def simulator(home: Path, port: int | None) -> None:
    """Run the simulated bank as a process of its own (acquirer.kind = "remote" asks it)."""
    from gateway.acquirers import server

    configure_logs()
    address = urlsplit(read(home).acquirer.url)
    server.run(address.hostname or "127.0.0.1", port or address.port or 8002, home)
