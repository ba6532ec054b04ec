"""The addresses handed out: signed, one salt per purpose, nothing stored.

A page's token is a bearer secret: it is in the payer's address bar and nowhere in the logs or the database.
"""

from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlencode

from itsdangerous import BadSignature, SignatureExpired, URLSafeSerializer, URLSafeTimedSerializer

from gateway.core.errors import NotFound
from gateway.core.payment import PaymentResult

_TICKET_LIFE_SECONDS = 90 * 24 * 3600


class Links:
    """Makes and reads the signed addresses.

    :param page_keys: oldest first; the newest signs, all are accepted
    """

    def __init__(self, base_url: str, page_keys: Sequence[bytes], ticket_keys: Sequence[bytes]) -> None:
        # itsdangerous signs with SHA-1 unless told otherwise.
        signer = {"digest_method": sha256}
        self._base_url = base_url
        self._pages = URLSafeSerializer(list(page_keys), salt="page", signer_kwargs=signer)
        self._tickets = URLSafeTimedSerializer(list(ticket_keys), salt="ticket", signer_kwargs=signer)

    def page(self, payment: str) -> str:
        """Give the address of a payment's page."""
        return f"{self._base_url}/p/{self.page_token(payment)}"

    def page_token(self, payment: str) -> str:
        """Give the token of a payment's page."""
        return str(self._pages.dumps(payment))

    def payment_of(self, token: str) -> str:
        """Name the payment of a page token. Raises :class:`NotFound`."""
        try:
            return str(self._pages.loads(token))
        except BadSignature as error:
            raise NotFound("no such page") from error

    def ticket(self, result: PaymentResult, audience: str, refund: str = "", duplicate: bool = False) -> str:
        """Give the address of a ticket for ``payer`` or ``merchant``, good for 90 days.

        :param refund: the refund's id; empty for the payment itself
        """
        token = self._tickets.dumps([result.id, audience, refund, int(duplicate)])
        return f"{self._base_url}/t/{token!s}"

    def ticket_of(self, token: str) -> tuple[str, str, str, bool]:
        """Say what a ticket link shows: payment, audience, refund and whether it is a duplicate."""
        try:
            payment, audience, refund, duplicate = self._tickets.loads(token, max_age=_TICKET_LIFE_SECONDS)
        except (BadSignature, SignatureExpired, ValueError) as error:
            raise NotFound("no such ticket") from error
        return payment, audience, refund, bool(duplicate)

    def inbox(self, payment: str) -> str:
        """Give the address of the test inbox, narrowed to one payment."""
        return f"{self._base_url}/_test/inbox?{urlencode({'payment': payment})}"
