"""The one table of the shop: the library's payment, and where it leads."""

from collections.abc import Iterable

from django.db import models
from payments import PurchasedItem
from payments.models import BasePayment


class Payment(BasePayment):
    """A payment of one thing."""

    class Meta(BasePayment.Meta):
        """Keeps creation quick, which asks whether a token is taken: the library has no index there."""

        indexes = (models.Index(fields=["token"]),)

    def get_failure_url(self) -> str:
        """Name the page of a payment that failed."""
        return f"/payments/{self.pk}/failed"

    def get_success_url(self) -> str:
        """Name the page of a payment that succeeded."""
        return f"/payments/{self.pk}/paid"

    def get_purchased_items(self) -> Iterable[PurchasedItem]:
        """Say what is bought."""
        yield PurchasedItem("Cantine de novembre", 1, self.total, self.currency, "FACT-1")
