"""``guichet demo``: everything on one machine, one real payment per example portal, then an invitation to try by hand."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
import requests

from gateway import keys as keys_
from gateway.acquirers import cards
from gateway.cli.payer import JourneyFailed, Page, Payer
from gateway.cli.serving import home_argument, make_supervisor, place, read, refuse_busy
from gateway.cli.supervisor import Supervisor
from gateway.clock import utc_now
from gateway.settings import Settings

# Which invoices each portal pays at once.
_PORTALS = {"mairie": 2, "jvs": 1}
_CARD = "approved-challenge"
_UP_SECONDS = 90


class Steps:
    """Prints a line per step with the time it took."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def done(self, what: str) -> None:
        """Print that a step is done."""
        now = time.monotonic()
        click.echo(f"  {now - self._began:6.2f} s  (+{now - self._last:5.2f})  {what}")
        self._last = now


@click.command()
@click.option("--once", is_flag=True, help="Stop after the payments; exit 0 when all went well.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--portal-port", default=8001, show_default=True, type=click.IntRange(1, 65535))
@click.option("--smtp-port", default=8025, show_default=True, type=click.IntRange(1, 65535))
@home_argument
def demo(home: Path, once: bool, port: int, portal_port: int, smtp_port: int) -> None:
    """Start everything, pay once per example portal by real HTTP, then keep serving."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    place(port, smtp_port)
    portal_url = f"http://127.0.0.1:{portal_port}"
    settings = read(home)
    settings.var.mkdir(mode=0o700, exist_ok=True)
    log_path = settings.var / "guichet.log"
    refuse_busy("127.0.0.1", portal_port, "--portal-port")
    steps = Steps()
    keys_.ensure_demo(home / "keys", settings.key_holders, utc_now())
    steps.done("keys ready")
    supervisor = make_supervisor(settings, with_worker=True)
    supervisor.commands = {"portal": _portal(home, settings, portal_port), **supervisor.commands}
    supervisor.early = ("portal", *supervisor.early)
    with _running(supervisor, log_path):
        try:
            _pay_everywhere(settings, portal_url, steps)
        except (JourneyFailed, requests.RequestException) as error:
            raise click.ClickException(f"{error}\nThe log is {log_path}") from error
        if not once:
            _invite(settings, portal_url, log_path)
            _wait_for_ctrl_c()


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _portal(home: Path, settings: Settings, port: int) -> list[str]:
    return [
        sys.executable, str(home / "examples/portal/app.py"), "--port", str(port), "--guichet", settings.base_url,
        "--keys", str(home / "keys/merchants"), "--data", str(settings.var / "portal.sqlite"),
    ]  # fmt: skip


@contextmanager
def _running(supervisor: Supervisor, log_path: Path) -> Iterator[None]:
    """Keep the processes alive while the body runs; their output goes to the log file."""
    with log_path.open("ab") as output:
        supervisor.output = output
        supervisor.start()
        watcher = threading.Thread(target=supervisor.watch, daemon=True)
        watcher.start()
        try:
            yield
        except KeyboardInterrupt:
            click.echo("\nstopping")
        finally:
            supervisor.stop()


def _wait_for_ctrl_c() -> None:
    while True:
        time.sleep(3600)


def _pay_everywhere(settings: Settings, portal_url: str, steps: Steps) -> None:
    for url in (f"{settings.base_url}/readyz", f"{portal_url}/healthz"):
        _wait_until_up(url)
    steps.done(f"serving {settings.base_url} and {portal_url}")
    for portal, count in _PORTALS.items():
        click.echo(f"Portal {portal_url}/{portal}/")
        _pay_once(settings, f"{portal_url}/{portal}", count, steps)


def _wait_until_up(url: str) -> None:
    until = time.monotonic() + _UP_SECONDS
    while time.monotonic() < until:
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise JourneyFailed(f"{url} did not come up within {_UP_SECONDS} s")


def _pay_once(settings: Settings, portal: str, count: int, steps: Steps) -> None:
    """Pay as a person would, page by page."""
    payer = Payer(settings.base_url)
    page = _choose_invoices(payer, portal, count)
    payment = page.payment
    steps.done(f"portal sent a signed request; card page of {payment}")
    card = next(c for c in _cards(settings) if c.key == _CARD)
    typed = {"number": card.number, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
    page = _expect(payer.press(page, "pay", **typed), "challenge")
    steps.done(f"card {card.number[-4:]} taken; the bank asks for a code")
    code = payer.code_for(payment)
    steps.done("SMS received")
    page = _expect(_through_waiting(payer, payer.press(page, "confirm", code=code)), "paid")
    steps.done("code right, payment authorised")
    payer.open(payer.follow_out(page, "return"))
    steps.done("back on the portal")
    _wait_for_confirmation(portal, payment)
    steps.done("portal received the confirmation and verified its signature")
    for path in _keep_tickets(settings, payer, payment):
        click.echo(f"             ticket {path}")
    steps.done("mails to payer and merchant, with their tickets")
    click.echo(f"             page   {page.url}")
    click.echo(f"             inbox  {settings.base_url}/_test/inbox?payment={payment}")


def _cards(settings: Settings) -> tuple[cards.PublishedCard, ...]:
    table = cards.load(settings.home / "config/test_cards.toml")
    return tuple(card for _, published in table.published() for card in published)


def _expect(page: Page, name: str) -> Page:
    if page.name != name:
        raise JourneyFailed(f"expected the {name} page, got {page.name or 'something else'} at {page.url}")
    return page


def _through_waiting(payer: Payer, page: Page) -> Page:
    until = time.monotonic() + 30
    while page.name == "waiting" and time.monotonic() < until:
        time.sleep(0.2)
        page = payer.open(page.url)
    return page


def _choose_invoices(payer: Payer, portal: str, count: int) -> Page:
    """Tick unpaid invoices on the portal, asking it for new ones when all are paid."""
    base, _, slug = portal.rpartition("/")
    due: list[str] = []
    for _ in range(2):
        invoices = requests.get(f"{base}/api/invoices", timeout=10).json()[slug]
        due = [str(one["id"]) for one in invoices if one["state"] == "due"][:count]
        if len(due) == count:
            break
        requests.post(f"{portal}/restart", timeout=10)
    return _expect(payer.submit(f"{portal}/pay", [("invoice", number) for number in due]), "card")


def _wait_for_confirmation(portal: str, payment: str) -> None:
    base = portal.rpartition("/")[0]
    until = time.monotonic() + 15
    while time.monotonic() < until:
        told = requests.get(f"{base}/api/payments/{payment}", timeout=10)
        if told.ok and any(e["type"] == "payment.succeeded" and e["verified"] for e in told.json()["events"]):
            return
        time.sleep(0.05)
    raise JourneyFailed(f"the portal did not receive a verified confirmation of {payment} within 15 s")


def _keep_tickets(settings: Settings, payer: Payer, payment: str) -> list[Path]:
    """Save the mails' attachments and texts where a person can open them."""
    folder = settings.var / "demo" / payment
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, message in enumerate(payer.wait_for("mail", payment, 2), 1):
        (folder / f"mail-{number}.html").write_text(str(message["html"]), "utf-8")
        (folder / f"mail-{number}.txt").write_text(str(message["text"]), "utf-8")
        attachments = message["attachments"]
        if not isinstance(attachments, list) or not attachments:
            raise JourneyFailed(f"the mail to {message['to']} has no ticket")
        for kept in attachments:
            path = folder / str(kept["name"])
            path.write_bytes(payer.fetch(str(kept["url"])))
            paths.append(path)
        paths.append(folder / f"mail-{number}.txt")
    return paths


def _invite(settings: Settings, portal_url: str, log_path: Path) -> None:
    click.echo(
        f"""
Everything works. Try it by hand:
  example portals   {portal_url}/
  test cards        {settings.base_url}/_test/cards
  mails and SMS     {settings.base_url}/_test/inbox
  API               {settings.base_url}/docs
  log               {log_path}
Ctrl-C stops everything."""
    )
