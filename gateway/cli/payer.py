"""A payer made of HTTP: follows the pages like a browser without JavaScript. Used by ``guichet demo``."""

import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

from gateway.core.errors import GatewayError

_TIMEOUT = 30


class JourneyFailed(GatewayError):
    """A step of the journey did not lead where it should."""

    code = "journey_failed"


@dataclass
class Page(HTMLParser):
    """What a payer's program must know of a page: which one it is, its buttons, and the hidden fields of its forms.

    :ivar carries: where a form leads that a browser posts by itself, or its reader by its only button
    """

    url: str
    name: str = ""
    payment: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    actions: set[str] = field(default_factory=set)
    carries: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep ``<main data-page data-payment>`` and hidden inputs."""
        found = {name: value or "" for name, value in attrs}
        if tag == "main":
            self.name, self.payment = found.get("data-page", ""), found.get("data-payment", "")
        if tag == "input" and found.get("type") == "hidden":
            self.hidden[found.get("name", "")] = found.get("value", "")
        if tag == "button" and found.get("name") == "action":
            self.actions.add(found.get("value", ""))
        if tag == "form" and "data-go" in found:
            self.carries = urljoin(self.url, found.get("action", ""))


class Payer:
    """One browser session."""

    def __init__(self, guichet: str) -> None:
        self._guichet = guichet
        self._session = requests.Session()
        self._session.trust_env = False

    def open(self, url: str) -> Page:
        """Go to an address, follow where it leads, read the page."""
        return self._read(self._session.get(url, timeout=_TIMEOUT))

    def press(self, page: Page, action: str, **typed: str) -> Page:
        """Fill the form of a page and press a button."""
        sent = {**page.hidden, **typed, "action": action}
        return self._read(self._session.post(page.url, data=sent, timeout=_TIMEOUT))

    def submit(self, url: str, fields: list[tuple[str, str]]) -> Page:
        """Send a form of somebody else's page and follow where it leads, also through a form that only carries on."""
        page = self._read(self._session.post(url, data=fields, timeout=_TIMEOUT))
        if page.carries:
            return self._read(self._session.post(page.carries, data=page.hidden, timeout=_TIMEOUT))
        return page

    def follow_out(self, page: Page, action: str) -> str:
        """Press a button that leaves Guichet and give the address it leads to."""
        sent = {**page.hidden, "action": action}
        reply = self._session.post(page.url, data=sent, timeout=_TIMEOUT, allow_redirects=False)
        if reply.status_code != 303:
            raise JourneyFailed(f"{action}: expected a redirect, got HTTP {reply.status_code}")
        return urljoin(page.url, reply.headers["Location"])

    def code_for(self, payment: str) -> str:
        """Wait for the SMS of a payment in the test inbox and give its code."""
        for message in self.wait_for("sms", payment, 1):
            return str(message["code"])
        raise JourneyFailed("no SMS")

    def wait_for(self, kind: str, payment: str, count: int, seconds: float = 60) -> list[dict[str, object]]:
        """Wait until the test inbox holds ``count`` messages of a kind for a payment; newest first."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            query = {"kind": kind, "payment": payment}
            reply = self._session.get(f"{self._guichet}/_test/inbox.json", params=query, timeout=_TIMEOUT)
            messages: list[dict[str, object]] = reply.json()["messages"]
            if len(messages) >= count:
                return messages
            time.sleep(0.1)
        raise JourneyFailed(f"the test inbox did not get {count} {kind} for {payment} within {seconds:.0f} s")

    def fetch(self, url: str) -> bytes:
        """Download a file."""
        reply = self._session.get(url, timeout=_TIMEOUT)
        reply.raise_for_status()
        return reply.content

    @staticmethod
    def _read(reply: requests.Response) -> Page:
        if reply.status_code != 200:
            raise JourneyFailed(f"{reply.url} answered HTTP {reply.status_code}")
        page = Page(reply.url)
        page.feed(reply.text)
        return page
