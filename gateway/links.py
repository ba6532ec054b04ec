"""The addresses handed out: signed, one salt per purpose, nothing stored.

A page's token is a bearer secret: it is in the payer's address bar and nowhere in the logs or the database.
"""

import binascii
import hmac
from base64 import b32decode, b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from itsdangerous import BadSignature, SignatureExpired, Signer, URLSafeSerializer, URLSafeTimedSerializer

from gateway.core.errors import NotFound
from gateway.core.money import Money
from gateway.core.payment import PaymentResult

_TICKET_LIFE_SECONDS = 90 * 24 * 3600

# A payment link is printed and scanned, so it is short: four bytes of number, and a MAC cut to 96 bits, which RFC 2104
# section 5 allows (at least 80, and half the digest is for those who can try offline; here every try is a request).
_NUMBER_BYTES, _MAC_BYTES = 4, 12
_NUMBERS = range(1, 1 << 8 * _NUMBER_BYTES)
_GROUP = 4
_PAYLINK = b"guichet payment link"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the code on a ticket says, to whoever holds the ticket.

    :ivar refund: the refund's id; empty for the payment itself
    :ivar day: of the operation, ``yyyymmdd`` in UTC
    """

    payment: str
    refund: str
    amount: Money
    day: str
    is_duplicate: bool


class Links:
    """Makes and reads the signed addresses.

    :param page_keys: oldest first; the newest signs, all are accepted; so for the others
    :param old_ticket_keys: retired ones, with which the codes of old tickets are still checked
    """

    def __init__(
        self,
        base_url: str,
        page_keys: Sequence[bytes],
        ticket_keys: Sequence[bytes],
        link_keys: Sequence[bytes] = (),
        old_ticket_keys: Sequence[bytes] = (),
    ) -> None:
        # itsdangerous signs with SHA-1 unless told otherwise.
        signer = {"digest_method": sha256}
        self._base_url, self._link_keys = base_url, link_keys
        self._pages = URLSafeSerializer(list(page_keys), salt="page", signer_kwargs=signer)
        self._checks = Signer([*old_ticket_keys, *ticket_keys], salt=b"check", digest_method=sha256)
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

    def check(self, said: Checked) -> str:
        """Give the address that tells whether a ticket is genuine: for as long as the payment is known.

        It is what the QR code says, so it is short, and it can be read: what is signed is what is on the ticket.
        """
        amount = f"{said.amount.cents}{said.amount.currency}"
        parts = (said.payment.removeprefix("pay_"), said.refund.removeprefix("ref_"), amount, said.day)
        text = "_".join((*parts, "2" if said.is_duplicate else "1"))
        return f"{self._base_url}/v/{self._checks.sign(text).decode('ascii')}"

    def checked(self, token: str) -> Checked:
        """Read the code of a ticket. Raises :class:`NotFound` when we did not write it, or not so."""
        try:
            payment, refund, amount, day, copy = self._checks.unsign(token).decode("ascii").split("_")
            money = Money(int(amount[:-3]), amount[-3:])
        except (BadSignature, ValueError) as error:
            raise NotFound("no such code") from error
        return Checked(f"pay_{payment}", f"ref_{refund}" if refund else "", money, day, copy == "2")

    def paylink(self, number: int) -> str:
        """Give the address of a payment link."""
        return f"{self._base_url}/l/{self.paylink_token(number)}"

    def paylink_typed(self, number: int) -> str:
        """Give the same address for who types it off a paper: in capitals, where no l looks like an I, and in groups."""
        token = self.paylink_token(number).upper()
        groups = "-".join(token[start : start + _GROUP] for start in range(0, len(token), _GROUP))
        return f"{self._base_url}/L/{groups}"

    def paylink_scanned(self, number: int) -> str:
        """Give the same address for a QR code.

        Upper case is QR's denser alphabet (ISO/IEC 18004, 7.4.4): the code has coarser squares. Scheme and host have no
        case (RFC 3986, 6.2.2.1), and the path is answered in both.
        """
        return self.paylink(number).upper()

    def paylink_token(self, number: int) -> str:
        """Give the token of a payment link: base32 (RFC 4648, section 6), which has neither 0 nor 1 to be misread."""
        if number not in _NUMBERS:
            raise ValueError(f"no link can have the number {number}")
        head = number.to_bytes(_NUMBER_BYTES, "big")
        return b32encode(head + _paylink_mac(self._link_keys[-1], head)).decode("ascii").rstrip("=").lower()

    def paylink_of(self, token: str) -> int:
        """Name the link of a token, in either case, with or without hyphens, 0 for O and 1 for I. Raises :class:`NotFound`."""
        typed = token.replace("-", "").upper().replace("0", "O").replace("1", "I")
        try:
            raw = b32decode(typed + "=" * (-len(typed) % 8))
        except (binascii.Error, ValueError) as error:
            raise NotFound("no such link") from error
        head, mac = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
        is_ours = [hmac.compare_digest(_paylink_mac(key, head), mac) for key in self._link_keys]
        # One canonical spelling: stray low bits would make two addresses of one link.
        if not any(is_ours) or b32encode(raw).decode("ascii").rstrip("=") != typed:
            raise NotFound("no such link")
        return int.from_bytes(head, "big")


def _paylink_mac(key: bytes, head: bytes) -> bytes:
    return hmac.digest(key, _PAYLINK + head, sha256)[:_MAC_BYTES]
