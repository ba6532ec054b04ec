"""A person at a browser: what the journeys of this folder do on a page, and what no page may ever do to them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Response

from tests.support.server import wait_until

# Every answer of Guichet carries these, whatever its status; the Content-Security-Policy by its first words.
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; ",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=()",
    "x-robots-tag": "noindex",
}

TABS_MAX = 25  # from the top of a page to its last button, and some

# Whether the focused element, or the choice it stands in, is outlined.
FOCUS_SHOWS = """() => {
  const outlined = (node) => node && getComputedStyle(node).outlineStyle !== "none";
  const focused = document.activeElement;
  return focused === document.body || outlined(focused) || outlined(focused.closest(".choice"));
}"""

Inbox = Callable[[str, str], list[dict[str, object]]]


# What a merchant's logo may do, should somebody open it alone: nothing, which is stricter still.
LOGO_POLICY = "default-src 'none'; sandbox"


def missing_headers(headers: dict[str, str]) -> list[str]:
    """Name the security headers an answer lacks or weakens."""
    kept = {name.lower(): value for name, value in headers.items()}
    wanted = dict(SECURITY_HEADERS)
    if kept.get("content-security-policy") == LOGO_POLICY:
        del wanted["content-security-policy"]
    return [name for name, value in wanted.items() if not kept.get(name, "").startswith(value)]


@dataclass
class Watch:
    """Notes what a page must not do: complain on the console, ask a foreign host, drop a security header."""

    guichet: str
    faults: list[str] = field(default_factory=list)

    def attend(self, context: BrowserContext) -> None:
        """Watch every page of a browser session."""
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.faults.append(f"script: {error.error}"))
        context.on("request", self._see_request)
        context.on("response", self._see_response)

    def _hear(self, message: ConsoleMessage) -> None:
        # Violations of the content policy are told here as errors; so is the status of an error page, which is meant.
        is_page_itself = message.page is not None and message.location["url"] == message.page.url
        is_status = message.text.startswith("Failed to load resource") and is_page_itself
        if message.type in ("error", "warning") and not is_status:
            self.faults.append(f"console: {message.text}")

    def _see_request(self, request: Request) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            self.faults.append(f"foreign host: {request.url}")

    def _see_response(self, response: Response) -> None:
        missing = missing_headers(response.headers) if response.url.startswith(self.guichet) else []
        if missing:
            self.faults.append(f"{response.status} {response.url} lacks {missing}")


class Payer:
    """Fills pages and presses buttons, by the hooks that are promised to be stable."""

    def __init__(self, page: Page, guichet: str, inbox: Inbox) -> None:
        self.page = page
        self.guichet = guichet
        self._inbox = inbox

    @property
    def payment(self) -> str:
        """The public id of the payment the page is about."""
        return self.page.locator("main").get_attribute("data-payment") or ""

    @property
    def token(self) -> str:
        """The page's token, from the address bar."""
        return urlsplit(self.page.url).path.split("/")[2]

    @property
    def heading(self) -> str:
        """What the page is called."""
        return self.page.locator("h1").inner_text()

    def expect(self, name: str) -> None:
        """Wait for a page by its ``data-page``."""
        self.page.wait_for_selector(f'main[data-page="{name}"]')

    def button(self, action: str) -> Locator:
        """Find a button by what it does."""
        return self.page.locator(f'button[name="action"][value="{action}"]')

    def press(self, action: str) -> None:
        """Press a button."""
        self.button(action).click()

    def field(self, autocomplete: str) -> Locator:
        """Find an input by what a browser would fill into it."""
        return self.page.locator(f'input[autocomplete="{autocomplete}"]')

    def fill_card(self, number: str, code: str = "123") -> None:
        """Fill the card page."""
        self.field("cc-number").fill(number)
        self.field("cc-exp").fill("12/30")
        self.field("cc-csc").fill(code)
        self.field("email").fill("famille@example.org")

    def pay(self, number: str) -> None:
        """Fill the card page and press its button."""
        self.fill_card(number)
        self.press("pay")

    def come_from_portal(self, portal_url: str, portal: str = "mairie") -> None:
        """Have the portal write new invoices, keep the first one ticked, and go to the card page."""
        self.page.goto(f"{portal_url}/{portal}/")
        self.page.locator("form[action$='/restart'] button").click()
        for box in self.page.locator("input[name=invoice]").all()[1:]:
            box.uncheck()
        self.press("pay")
        self.expect("card")

    def tab_to(self, target: Locator) -> None:
        """Press Tab until ``target`` has the focus; what has it must show that it has."""
        for _ in range(TABS_MAX):
            self.page.keyboard.press("Tab")
            assert self.page.evaluate(FOCUS_SHOWS), f"no focus to be seen before {target}"
            if target.evaluate("node => node === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {target}")

    def type(self, text: str) -> None:
        """Type on the keyboard, wherever the focus is."""
        self.page.keyboard.type(text)

    def read_code(self, messages: int = 1) -> str:
        """Wait for the SMS and give the newest code."""
        found = wait_until(lambda: len(sent := self._inbox("sms", self.payment)) >= messages and sent)
        assert found
        return str(found[0]["code"])

    def enter_code(self, code: str) -> None:
        """Type a code and confirm."""
        self.field("one-time-code").fill(code)
        self.press("confirm")
