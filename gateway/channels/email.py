"""Receipts by mail: composes the mail of a notice and hands it to the relay."""

from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage

from jinja2 import Environment

from gateway.channels import Letter
from gateway.channels.smtp import Relay, send
from gateway.core.errors import BadField, DeliveryFailed
from gateway.core.payment import PaymentResult
from gateway.receipts import Audience, Receipt
from gateway.receipts.content import language_of
from gateway.receipts.mail import Envelope, compose
from gateway.receipts.press import Press

# The fact of a refund event that names the refund meant.
REFUND_FACT = "refund"


# Gives the signed address of a ticket: for one reader, of one refund (or of the payment, ""), duplicate or not.
LinkFor = Callable[[PaymentResult, Audience, str, bool], str]

_AUDIENCES = {"payer_mail": Audience.PAYER, "merchant_mail": Audience.MERCHANT}


class EmailChannel:
    """Mails receipts to one audience; ``name`` is ``payer_mail`` or ``merchant_mail``."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        name: str,
        relay: Relay,
        sender: str,
        templates: Callable[[], Environment],
        link_for: LinkFor,
        press: Press,
    ) -> None:
        self.name, self._press = name, press
        self._audience = _AUDIENCES[name]
        self._relay, self._sender, self._templates, self._link_for = relay, sender, templates, link_for

    def deliver(self, notice: Letter, now: datetime) -> None:
        """Compose the receipt of the notice's event and hand it to the relay.

        A mail whose acceptance stayed unclear is tried again with the same Message-ID.
        """
        send(self._relay, self._compose(notice, now))

    def _compose(self, notice: Letter, now: datetime) -> EmailMessage:
        result, refund = notice.result, notice.event.facts.get(REFUND_FACT, "")
        link = self._link_for(result, self._audience, refund, notice.is_repeat)
        envelope = Envelope(notice.id, notice.target, self._sender, link, now)
        try:
            receipt = Receipt.of(
                result,
                notice.event.type,
                self._audience,
                duplicate=notice.is_repeat,
                refund=refund,
            )
            return compose(receipt, envelope, self._templates(), language_of(result, self._audience), self._press)
        except BadField as error:
            raise DeliveryFailed(f"not mailable: {error.field} {error.rule}", again=False) from error
