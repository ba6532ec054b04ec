"""A stubborn payer over bare HTTP: whatever goes wrong, loads the page again and goes on from what it shows."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import requests

from gateway.cli.payer import JourneyFailed, Page, Payer
from gateway.clock import utc_now
from gateway.core.errors import NotFound
from tests.crash.ageing import grow_old
from tests.crash.rig import Rig
from tests.support.clock import Clock

JOURNEY_SECONDS = 100.0
CODE_SECONDS = 15.0
PAUSE_SECONDS = 0.05
BREATH_SECONDS = 5.0
FINAL = ("paid", "cancelled", "expired")


@dataclass
class Told:
    """What a payer and a portal were told, to be held against the books.

    :ivar payments: ids that the portal was given
    :ivar pages: names of the pages shown, in order
    :ivar statuses: HTTP statuses other than good ones, and what their bodies said
    """

    reference: str
    payments: set[str] = field(default_factory=set)
    pages: list[str] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)


class Watched(Payer):
    """A browser that writes down what went wrong."""

    def __init__(self, guichet: str, told: Told) -> None:
        super().__init__(guichet)
        self._told = told

    def _read(self, reply: requests.Response) -> Page:  # type: ignore[override]  # the product's needs no self
        if reply.status_code != 200:
            self._told.statuses.append((reply.status_code, reply.text))
        return super()._read(reply)


class Stubborn:
    """One debt, to be paid come what may.

    :param cards: the numbers to try, one after the other; the last as often as asked
    """

    def __init__(self, rig: Rig, reference: str, cards: tuple[str, ...]) -> None:
        self._rig, self._cards = rig, cards
        self.told = Told(reference)
        claims = rig.portal.claims(
            Clock(utc_now()), jti=f"crash-test-{reference}", reference=reference, notify_url=rig.receiver.url
        )
        self._request = rig.portal.sign(claims)
        self._payer = Watched(rig.base_url, self.told)
        self._url, self._typed_codes, self._typed_cards, self._refusals = "", set[str](), 0, 0

    def pay(self, seconds: float = JOURNEY_SECONDS) -> str:
        """Go on until the payment is over or patience is; gives the last page's name."""
        until, page = time.monotonic() + seconds, Page("")
        while page.name not in FINAL and time.monotonic() < until:
            try:
                page = self._seen(self._payer.open(self._opened()))
                page = self._seen(self._step(page))
            except (requests.RequestException, JourneyFailed):
                time.sleep(PAUSE_SECONDS)
        return page.name

    def _opened(self) -> str:
        """Open the payment; again, by the very same request, when no answer came."""
        if not self._url:
            with requests.Session() as session:
                session.trust_env = False
                reply = session.post(
                    f"{self._rig.base_url}/v1/payments",
                    data=self._request, headers={"Content-Type": "application/jose"}, timeout=30,
                )  # fmt: skip
            assert reply.status_code not in range(400, 500), reply.text
            if reply.status_code not in (200, 201):
                self.told.statuses.append((reply.status_code, reply.text))
                raise JourneyFailed("not opened")
            said = reply.json()
            self.told.payments.add(said["id"])
            self._url = said["checkout_url"]
        return self._url

    def _seen(self, page: Page) -> Page:
        if page.name and self.told.pages[-1:] != [page.name]:
            self.told.pages.append(page.name)
        return page

    def _step(self, page: Page) -> Page:
        """Do what a page asks for."""
        if page.name == "card":
            return self._payer.press(page, "pay", **self._card())
        if page.name == "challenge":
            return self._answer(page)
        if page.name == "review":
            return self._payer.press(page, "confirm")
        if page.name == "refused":
            # Three tries end a payment, and a bank that is away costs one each: who was refused twice takes a breath.
            self._rig.wait_for_bank()
            time.sleep(BREATH_SECONDS * self._refusals)
            self._refusals += 1
            return self._payer.press(page, "retry")
        if page.name == "waiting":
            time.sleep(PAUSE_SECONDS)
            grow_old(self._rig, self.told.reference)
        return page

    def _card(self) -> dict[str, str]:
        number = self._cards[min(self._typed_cards, len(self._cards) - 1)]
        self._typed_cards += 1
        return {"number": number, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}

    def _answer(self, page: Page) -> Page:
        """Type the newest code not typed yet; when none comes, ask for the card page again."""
        until = time.monotonic() + CODE_SECONDS
        while time.monotonic() < until:
            for code in self._codes(page.payment):
                if code not in self._typed_codes:
                    # Not typed until somebody answered: who was cut off types it again.
                    answered = self._payer.press(page, "confirm", code=code)
                    self._typed_codes.add(code)
                    return answered
            time.sleep(0.02)
            grow_old(self._rig, self.told.reference)
        return self._payer.press(page, "retry")

    def _codes(self, payment: str) -> Iterator[str]:
        with suppress(NotFound):
            for message in self._rig.parts.inbox.messages(kind="sms", payment=payment):
                yield message.code
