"""The demonstration's payments: one per example portal, by real HTTP, as a person with a browser would pay."""

import time
from pathlib import Path

import click
import requests

from gateway.acquirers import cards
from gateway.cli.payer import JourneyFailed, Page, Payer
from gateway.settings import Settings

# Which invoices each portal pays at once.
_PORTALS = {"mairie": 2, "ecolesoft": 1, "ifac": 2, "alise": 1, "sistec": 2, "jvs": 1}
_CARD = "approved-challenge"


class Steps:
    """Prints a line per step with the time it took."""

    def __init__(self, began: float) -> None:
        self._began = self._last = began

    def done(self, what: str) -> None:
        """Print that a step is done."""
        now = time.monotonic()
        click.echo(f"  {now - self._began:6.2f} s  (+{now - self._last:5.2f})  {what}")
        self._last = now


def pay_everywhere(settings: Settings, portal_url: str, steps: Steps) -> None:
    """Pay once by each portal. Raises :class:`JourneyFailed`, and what requests raises."""
    for portal, count in _PORTALS.items():
        click.echo(f"Portal {portal_url}/{portal}/")
        _pay_once(settings, f"{portal_url}/{portal}", count, steps)


def _pay_once(settings: Settings, portal: str, count: int, steps: Steps) -> None:
    """Pay as a person would, page by page."""
    payer = Payer(settings.base_url)
    page = _choose_invoices(payer, portal, count)
    payment, reference = page.payment, _newest_order(portal)
    steps.done(f"portal asked for {reference}; card page of {payment}")
    card = next(c for c in _cards(settings) if c.key == _CARD)
    typed = {"number": card.number, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
    page = _expect(payer.press(page, "pay", **typed), "challenge")
    steps.done(f"card {card.number[-4:]} taken; the bank asks for a code")
    code = payer.code_for(payment)
    steps.done("SMS received")
    page = _expect(_through_waiting(payer, payer.press(page, "confirm", code=code)), "paid")
    steps.done("code right, payment authorised")
    if "return" in page.actions:
        payer.open(payer.follow_out(page, "return"))
        steps.done("back on the portal")
    else:
        steps.done("no way back in this protocol: the payer closes the window")
    _wait_for_confirmation(portal, reference)
    steps.done("portal received the confirmation and verified it")
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


def _newest_order(portal: str) -> str:
    """Ask the portal how it calls what was just begun: only the native protocol tells it our name for it."""
    base, _, slug = portal.rpartition("/")
    orders = requests.get(f"{base}/api/orders/{slug}", timeout=10).json()["orders"]
    return str(orders[0]["reference"])


def _wait_for_confirmation(portal: str, reference: str) -> None:
    base = portal.rpartition("/")[0]
    until = time.monotonic() + 60
    while time.monotonic() < until:
        told = requests.get(f"{base}/api/payments/{reference}", timeout=10)
        if told.ok and any(e["type"] == "payment.succeeded" and e["verified"] for e in told.json()["events"]):
            return
        time.sleep(0.05)
    raise JourneyFailed(f"the portal did not receive a verified confirmation of {reference} within 60 s")


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
