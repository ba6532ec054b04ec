"""What a payment link is: one debt that is paid at an address of its own, printed on an invoice, without any portal."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.core.payment import Payee, PaymentRequest


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """What a link asks for, and until when.

    :ivar request: the one debt; ``pay_before`` is the last payable day as the invoice prints it
    :ivar grace_days: for so many days more the link still works, and nobody is told
    """

    request: PaymentRequest
    grace_days: int = 0

    @property
    def last_on(self) -> date | None:
        """The last day the link works; ``None`` when only a revocation ends it."""
        printed = self.request.pay_before
        if printed is None:
            return None
        # No day comes after 31/12/9999, by which "never" is meant.
        return printed + min(timedelta(days=self.grace_days), date.max - printed)


@dataclass(frozen=True, slots=True)
class PayLink:
    """A link that was made.

    :ivar number: what the operator calls it; its address is signed, see ``gateway.links``
    """

    number: int
    terms: LinkTerms
    payee: Payee
    created_at: datetime
    revoked_at: datetime | None = None
