"""The payer's and the merchant's verbs: what may happen to a payment, in the order of one payment's life."""

from gateway.checkout.capturing import Capturing
from gateway.checkout.desk import Desk
from gateway.checkout.extending import Extending, TimeLimit
from gateway.checkout.forgetting import Forgetting
from gateway.checkout.instalments import Instalments
from gateway.checkout.lapsing import Lapsing
from gateway.checkout.limiting import Limiting
from gateway.checkout.linking import Linking, LinkStanding, LinkState
from gateway.checkout.opening import Opening
from gateway.checkout.paying import Paying
from gateway.checkout.reconciling import Reconciling
from gateway.checkout.refunding import Refunding
from gateway.checkout.settling import Intent, Settling
from gateway.checkout.situation import Situation, Stage
from gateway.checkout.sweeping import Sweeping, all_taken
from gateway.checkout.visiting import Visiting

__all__ = ["Checkout", "Desk", "Intent", "Limiting", "LinkStanding", "LinkState", "Situation", "Stage", "TimeLimit"]


class Checkout:
    """All the verbs, grouped by whose they are."""

    def __init__(self, desk: Desk, limiting: Limiting | None = None) -> None:
        self.desk = desk
        self.opening = Opening(desk)
        self.linking = Linking(desk, self.opening)
        self.limiting = limiting or Limiting(desk)
        self.extending = Extending(desk)
        self.settling = Settling(desk, self.limiting)
        self.paying = Paying(desk, self.limiting, self.settling)
        self.visiting = Visiting(desk, self.paying)
        self.capturing = Capturing(desk)
        self.refunding = Refunding(desk, self.capturing)
        self.reconciling = Reconciling(desk, self.settling, self.capturing)
        self._instalments = Instalments(desk, self.settling)
        self._lapsing = Lapsing(desk, self.refunding)
        self._forgetting = Forgetting(desk)
        self._sweeping = Sweeping(desk, self.settling, self.capturing)

    def close_day(self) -> int:
        """Pay out now what waits for the evening (test mode's button); returns how many payments that were."""
        count = self.capturing.close_day()
        self.sweep()
        return count

    def sweep(self) -> int:
        """Settle what silence, crashes and idle payers left open; returns how many things were looked at."""
        settled = (self._sweeping.sweep, self.refunding.sweep, self._instalments.sweep, self._lapsing.sweep)
        return all_taken((self.limiting.sweep, *settled, self._forgetting.sweep))
