"""Drill: no worker for an hour, then one: everything is told, each payment's news in order, and nobody new waits for it."""

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from statistics import quantiles

import pytest

from gateway.channels import Confirmation, Letter
from gateway.core.money import Money
from gateway.dialects import Refund, Signed, Which
from gateway.parts import Parts
from tests.factories import CHALLENGE, FRICTIONLESS, enter, open_payment, pay
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.scale import scaled
from tests.support.server import wait_until
from tests.support.working import working

# A portal answers about so fast.
_ANSWER_SECONDS = 0.01
_FRESH = 10
_MERCHANT = "mairie-demo"


@dataclass
class Told:
    """Every channel at once; notes what came when."""

    name: str = "all"
    came: dict[tuple[str, str], float] = field(default_factory=dict)
    orders: dict[str, list[str]] = field(default_factory=dict)
    confirmations: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, notice: Confirmation | Letter, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        time.sleep(_ANSWER_SECONDS)
        payment = notice.recipient.payment if isinstance(notice, Confirmation) else notice.result.id
        with self._lock:
            self.came.setdefault((payment, notice.channel), time.monotonic())
            if isinstance(notice, Confirmation):
                self.confirmations += 1
                self.orders.setdefault(payment, []).append(json.loads(notice.body)["type"])


def pile_up(parts: Parts, number: int) -> None:
    """Have people pay and get a part back, with nobody to tell it: ``number`` events for one portal."""
    for n in range(number // 2):
        payment = pay(parts, open_payment(parts, email=f"payer{n}@example.org"))
        signed = Signed(_MERCHANT, f"refund-{payment.id}", "digest")
        parts.checkout.refunding.refund(Refund(Which(payment=payment.id), Money(100), signed, ""), "native")


def _waited(parts: Parts, told: Told, n: int) -> float:
    """Pay at another portal, and say how long the first news took: a code by SMS, or that portal's confirmation."""
    payment = open_payment(parts, notify_url="http://127.0.0.1:8001/other", email=f"fresh{n}@example.org")
    enter(parts, payment, CHALLENGE if n % 2 else FRICTIONLESS)
    channel = "sms" if n % 2 else "confirmation"
    asked = time.monotonic()
    if channel == "confirmation":
        parts.checkout.settling.authorise(payment.id)
    wait_until(lambda: (payment.id, channel) in told.came, seconds=60)
    return told.came[payment.id, channel] - asked


@pytest.mark.nightly_too
@pytest.mark.alone
@pytest.mark.timeout(3000)
def test_one_worker_catches_up_and_keeps_nobody_new_waiting(parts: Parts, clock: Clock) -> None:
    number, told = scaled(60, 5000), Told()
    pile_up(parts, number)
    clock.advance(hours=1)
    began = time.monotonic()

    with working(parts, told):
        waits = [_waited(parts, told, n) for n in range(_FRESH)]
        wait_until(lambda: told.confirmations >= number + _FRESH // 2, seconds=600)
        caught_up = time.monotonic() - began

    slowest = quantiles(waits, n=20)[-1]
    record("an hour without a worker", events=number, seconds=round(caught_up, 1), fresh_p95=round(slowest, 2))
    assert caught_up < 600
    # A few dozen events are told before anybody could be kept waiting: what their sample measures is the machine.
    assert slowest < scaled(60, 5)
    orders = [order for order in told.orders.values() if len(order) > 1]
    assert len(orders) == number // 2
    assert all(order == ["payment.succeeded", "payment.refunded"] for order in orders)
