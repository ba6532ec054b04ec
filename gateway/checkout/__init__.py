"""The payer's and the merchant's verbs: what may happen to a payment, in the order of one payment's life."""

from gateway.checkout.capturing import Capturing
from gateway.checkout.desk import Desk
from gateway.checkout.opening import Opening
from gateway.checkout.paying import Paying
from gateway.checkout.refunding import Refunding
from gateway.checkout.settling import Settling
from gateway.checkout.situation import Situation, Stage
from gateway.checkout.sweeping import Sweeping

__all__ = ["Checkout", "Desk", "Situation", "Stage"]


class Checkout:
    """All the verbs, grouped by whose they are."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.opening = Opening(desk)
        self.paying = Paying(desk)
        self.settling = Settling(desk)
        self.capturing = Capturing(desk)
        self.refunding = Refunding(desk, self.capturing)
        self._sweeping = Sweeping(desk, self.settling, self.capturing)

    def close_day(self) -> int:
        """Pay out now what waits for the evening (test mode's button); returns how many payments that were."""
        count = self.capturing.close_day()
        self.sweep()
        return count

    def sweep(self) -> int:
        """Settle what silence, crashes and idle payers left open; returns how many things were looked at."""
        return self._sweeping.sweep() + self.refunding.sweep()
