"""Looking at payments without touching them: a look of the payer's opens a payment or ends it, this one does neither."""

from gateway.checkout.desk import Desk
from gateway.checkout.situation import Situation, situation
from gateway.core.payment import PaymentResult


class Watching:
    """What an onlooker sees."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def newest(self, limit: int) -> tuple[PaymentResult, ...]:
        """Tell of the latest payments, newest first."""
        with self._desk.store.reading() as tx:
            return tuple(tx.payments.result(row) for row in tx.payments.newest(limit))

    def look(self, public_id: str) -> Situation:
        """Say where a payer stands, as it is written down. Raises :class:`NotFound`."""
        with self._desk.store.reading() as tx:
            return situation(tx.payments.look(public_id), self._desk.now())

    def token(self, public_id: str) -> str:
        """Give what stands at the bank for the card that is entered; empty when none is. Raises :class:`NotFound`."""
        with self._desk.store.reading() as tx:
            attempt = tx.attempts.front(tx.payments.get(public_id).id)
            return str(attempt.token) if attempt else ""
