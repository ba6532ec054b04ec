"""``guichet demo``: everything on one machine, one real payment per example portal, then an invitation to try by hand.

The server and the portals are started before this program imports what it needs itself, so that all load at once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn, Self

import click

from gateway.cli.serving import home_argument, place, read, refuse_busy
from gateway.cli.supervisor import STOP_SECONDS, end_with
from gateway.memory import MEMORY

_UP_SECONDS = 90
_LOOK_SECONDS = 0.05
# The server stops its own processes first.
_STOP_SECONDS = STOP_SECONDS + 3


@click.command()
@click.option("--once", is_flag=True, help="Stop after the payments; exit 0 when all went well.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--portal-port", default=8001, show_default=True, type=click.IntRange(1, 65535))
@click.option("--smtp-port", default=8025, show_default=True, type=click.IntRange(1, 65535))
@home_argument
def demo(home: Path, once: bool, port: int, portal_port: int, smtp_port: int) -> None:
    """Start everything, pay once per example portal by real HTTP, then keep serving."""
    began = time.monotonic()
    for number, flag in ((port, "--port"), (portal_port, "--portal-port"), (smtp_port, "--smtp-port")):
        refuse_busy("127.0.0.1", number, flag)
    place(port, smtp_port)
    portal_url = f"http://127.0.0.1:{portal_port}"
    (home / "var").mkdir(mode=0o700, exist_ok=True)
    with Programs(home / "var/guichet.log") as programs:
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, programs.interrupt)
        try:
            programs.start("guichet serve", _server(home, port, smtp_port), MEMORY)
            programs.start("the example portals", _portals(home, portal_port))
            _pay(home, portal_url, programs, began)
            if not once:
                _invite(portal_url, programs)
        except KeyboardInterrupt:
            click.echo("\nstopping")
            if once:
                sys.exit(1)


@dataclass
class Programs:
    """Programs that run while the body does; what they print goes to ``log_path``, and none outlives this one."""

    log_path: Path
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _is_interrupted: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._running.values():
            program.terminate()
        for program in self._running.values():
            try:
                program.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Start one; ``environ`` is added to this program's own environment."""
        with self.log_path.open("ab") as output:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env={**os.environ, **(environ or {})},
                stdout=output,
                stderr=output,
                preexec_fn=partial(end_with, os.getpid()),
            )

    def interrupt(self, _number: int, _frame: object) -> NoReturn:
        """Stop what is being done. Raised while an object is being finalised this is lost, so :meth:`check` asks again."""
        self._is_interrupted = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Fail when one has ended by itself, or all are to end."""
        if self._is_interrupted:
            raise KeyboardInterrupt
        for name, program in self._running.items():
            if program.poll() is not None:
                raise self.failure(f"{name} ended with status {program.returncode}")

    def failure(self, what: str) -> click.ClickException:
        """Say what went wrong, and where to read more of it."""
        return click.ClickException(f"{what}\nThe log is {self.log_path}")


def _server(home: Path, port: int, smtp_port: int) -> list[str]:
    return [
        sys.executable, "-m", "gateway", "--home", str(home), "serve", "--demo-keys",
        "--port", str(port), "--smtp-port", str(smtp_port),
    ]  # fmt: skip


def _portals(home: Path, port: int) -> list[str]:
    return [
        sys.executable, str(home / "examples/portal/app.py"), "--port", str(port),
        "--guichet", os.environ["GUICHET_BASE_URL"],
        "--keys", str(home / "keys/merchants"), "--data", str(home / "var/portal.sqlite"),
    ]  # fmt: skip


def _pay(home: Path, portal_url: str, programs: Programs, began: float) -> None:
    """Wait until all is up, then pay by each portal."""
    import requests

    from gateway.cli.journeys import Steps, pay_everywhere
    from gateway.cli.payer import JourneyFailed

    settings = read(home)
    for url in (f"{settings.base_url}/readyz", f"{portal_url}/healthz"):
        _wait_until_up(url, programs)
    steps = Steps(began)
    steps.done(f"serving {settings.base_url} and {portal_url}")
    try:
        pay_everywhere(settings, portal_url, steps)
    except (JourneyFailed, requests.RequestException) as error:
        raise programs.failure(str(error)) from error


def _wait_until_up(url: str, programs: Programs) -> None:
    import requests

    until = time.monotonic() + _UP_SECONDS
    while time.monotonic() < until:
        programs.check()
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(_LOOK_SECONDS)
    raise programs.failure(f"{url} did not come up within {_UP_SECONDS} s")


def _invite(portal_url: str, programs: Programs) -> None:
    guichet = os.environ["GUICHET_BASE_URL"]
    click.echo(
        f"""
Everything works. Try it by hand:
  example portals   {portal_url}/
  test cards        {guichet}/_test/cards
  mails and SMS     {guichet}/_test/inbox
  API               {guichet}/docs
  log               {programs.log_path}
Ctrl-C stops everything."""
    )
    while True:
        programs.check()
        time.sleep(_LOOK_SECONDS)
