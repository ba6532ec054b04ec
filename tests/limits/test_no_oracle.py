"""A bot learns nothing: a limit reads like a refusal, and hardly any card tells whether it lives."""

import random
import re
from dataclasses import replace
from itertools import count

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.checkout import Checkout
from gateway.core.states import Status
from gateway.parts import Parts
from gateway.settings import LimitSettings
from tests.factories import a_card, open_payment
from tests.limits.bank import Bank, luhn
from tests.limits.conftest import guarded
from tests.limits.test_limits import a_number, alarm_mails
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.scale import scaled


@pytest.fixture
def limited(app: Flask, bank: Bank) -> FlaskClient:
    """Give a browser before the real pages, under the limits as they are meant."""
    services = app.extensions["gateway"]
    desk = replace(services.checkout.desk, acquirer=bank, limits=LimitSettings())
    app.extensions["gateway"] = replace(services, checkout=Checkout(desk))
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


def walk(client: FlaskClient, parts: Parts, number: str) -> list[tuple[int, str]]:
    """Type a card as a payer would; gives each answer without what is the payment's and the card's own."""
    result = open_payment(parts)
    path = f"/p/{parts.links.page_token(result.id)}"
    typed = {"number": number, "expiry": "12/30", "security_code": "123", "email": "a@example.org", "action": "pay"}
    answers = [client.get(path), client.post(path, data=typed), client.get(path)]
    answers += [client.post(path, data={"action": "confirm"}), client.get(path), client.get(f"{path}/state")]
    own = (path, result.id, result.number, result.request.reference, number[-4:])
    return [(answer.status_code, _without(answer.text, own)) for answer in answers]


def _without(text: str, own: tuple[str, ...]) -> str:
    for value in own:
        text = text.replace(value, "*")
    return re.sub(r'name="(csrf_token|attempt)" value="[^"]*"', "", text)


def test_a_card_over_a_limit_reads_like_one_its_bank_refused(limited: FlaskClient, parts: Parts, bank: Bank) -> None:
    refused = walk(limited, parts, a_number())
    for _ in range(9):
        walk(limited, parts, a_number())

    withheld = walk(limited, parts, a_number())

    assert len(bank.debited) == 10
    assert withheld == refused
    assert 'data-page="refused"' in refused[4][1]


def test_a_bank_that_takes_its_time_is_imitated(strict: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, moments = [0.0], iter(n * 0.5 for n in count())
    monkeypatch.setattr("gateway.checkout.limiting.time.monotonic", lambda: next(moments))
    monkeypatch.setattr(strict.checkout.limiting, "_pause", seconds.append)
    for _ in range(11):
        payment = open_payment(strict).id
        strict.checkout.paying.enter_card(payment, a_card(a_number()), scheme="", email="", origin="198.51.100.1")
        strict.checkout.settling.authorise(payment)

    assert seconds == [0.0, 0.5, 0.5]


class Bot:
    """Has many cards of few ranges, many addresses, and as many valid checkouts as it likes."""

    def __init__(self, parts: Parts, addresses: int, chance: random.Random) -> None:
        self.parts, self.chance = parts, chance
        self.addresses = [f"203.0.{n // 250}.{n % 250}" for n in range(addresses)]
        self.told = 0
        self._page, self._left = "", 0

    def try_card(self, number: str) -> None:
        """Type a card where the next free place is; what is paid, it has learnt."""
        paying = self.parts.checkout.paying
        if not self._left:
            self._page, self._left = open_payment(self.parts).id, 3
        origin = self.chance.choice(self.addresses)
        paying.enter_card(self._page, a_card(number), scheme="", email="", origin=origin)
        self.parts.checkout.settling.authorise(self._page)
        self._left -= 1
        if self.parts.checkout.opening.told(self._page).status is Status.PAID:
            self.told, self._left = self.told + 1, 0
        elif self._left:
            paying.change_card(self._page)


@pytest.mark.nightly_too
@pytest.mark.timeout(scaled(600, 3600))
@pytest.mark.parametrize(
    ("database_url", "hours"), [("sqlite", hours) for hours in scaled([2], [2, 24])], indirect=["database_url"]
)
def test_hardly_a_card_tells_a_bot_whether_it_lives(parts: Parts, bank: Bank, clock: Clock, hours: int) -> None:
    """One card in a hundred lives; ten thousand come in two hours, or in a day; the sample is the beginning of it."""
    cards, addresses, ranges = scaled(300, 10_000), scaled(6, 200), scaled(3, 20)
    strict, chance = guarded(parts, bank), random.Random(2026)  # noqa: S311 - the same bot at each run
    numbers = [luhn(f"4{n % ranges:07d}{n:07d}") for n in range(cards)]
    live = set(chance.sample(numbers, cards // 100))
    bank.is_live = live.__contains__
    bot, honest, alarmed_after = Bot(strict, addresses, chance), 0, None
    step, began = hours * 3600 / 10_000, clock.now()

    for place, number in enumerate(numbers):
        bot.try_card(number)
        clock.advance(seconds=step)
        if place % 8 == 0 or alarmed_after is None:
            strict.checkout.sweep()
        if alarmed_after is None and alarm_mails(strict):
            alarmed_after = (clock.now() - began).total_seconds()
    bank.is_live = lambda _: True
    for _ in range(5):
        page = open_payment(strict).id
        strict.checkout.paying.enter_card(page, a_card(a_number()), scheme="", email="", origin="192.0.2.1")
        strict.checkout.settling.authorise(page)
        honest += strict.checkout.opening.told(page).status is Status.PAID

    share = bot.told / cards
    record(
        "promise 22",
        cards=cards,
        hours=hours,
        asked=len(bank.enrolled),
        told=bot.told,
        honest_paid=honest,
        alarm_seconds=alarmed_after or -1,
    )
    # From the twentieth card on it is an attack; the worker sweeps every five seconds.
    assert alarmed_after is not None
    assert alarmed_after <= 20 * step + 60
    assert share < 0.005
    assert honest == 5
    assert len(bank.enrolled) < cards / 2
