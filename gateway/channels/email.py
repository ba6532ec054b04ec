"""Receipts by SMTP: composes the mail of a notice and hands it to the relay.

Nothing about the payer or the card is logged or put into a reason; a reason names the SMTP stage and code only.
"""

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from enum import StrEnum

from jinja2 import Environment

from gateway.channels import Notice
from gateway.core.errors import BadField, DeliveryFailed
from gateway.core.payment import PaymentResult
from gateway.receipts import Audience, Receipt
from gateway.receipts.mail import Envelope, compose
from gateway.receipts.words import receipt_language

# A relay that takes longer to accept a connection is down (reliability: connect 3 s, total 15 s).
CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 15.0

# The fact of an event by which staff ask for the same receipt again.
DUPLICATE_FACT = "duplicate"

# The fact of a refund event that names the refund meant.
REFUND_FACT = "refund"


class Security(StrEnum):
    """How the connection to the relay is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail relay.

    :ivar total_seconds: the whole conversation is cut after this long, however slowly the relay drips
    """

    host: str
    port: int = 25
    security: Security = Security.NONE
    username: str = ""
    password: str = field(default="", repr=False)
    total_seconds: float = TOTAL_SECONDS


# Gives the signed address of the ticket for one reader.
LinkFor = Callable[[PaymentResult, Audience], str]

_AUDIENCES = {"payer_mail": Audience.PAYER, "merchant_mail": Audience.MERCHANT}


class EmailChannel:
    """Mails receipts to one audience; ``name`` is ``payer_mail`` or ``merchant_mail``."""

    def __init__(
        self, name: str, relay: Relay, sender: str, templates: Callable[[], Environment], link_for: LinkFor
    ) -> None:
        self.name = name
        self._audience = _AUDIENCES[name]
        self._relay, self._sender, self._templates, self._link_for = relay, sender, templates, link_for

    def deliver(self, notice: Notice, now: datetime) -> None:
        """Compose the receipt of the notice's event and hand it to the relay.

        A mail whose acceptance stayed unclear is tried again with the same Message-ID.
        """
        send(self._relay, self._compose(notice, now))

    def _compose(self, notice: Notice, now: datetime) -> EmailMessage:
        result, facts = notice.result, notice.event.facts
        link = self._link_for(result, self._audience)
        envelope = Envelope(notice.id, notice.target, self._sender, link, now)
        try:
            receipt = Receipt.of(
                result,
                notice.event.type,
                self._audience,
                duplicate=bool(facts.get(DUPLICATE_FACT)),
                refund=facts.get(REFUND_FACT, ""),
            )
            return compose(receipt, envelope, self._templates(), receipt_language(result.request.language))
        except BadField as error:
            raise DeliveryFailed(f"not mailable: {error.field} {error.rule}", again=False) from error


def send(relay: Relay, message: EmailMessage) -> None:
    """Hand one message to the relay, within its total time.

    Raises :class:`DeliveryFailed`: final when the relay refuses the recipient or the message for good (5xx), to be
    tried again for anything else, the relay's own faults and our credentials included.
    """
    try:
        _converse(relay, message)
    except smtplib.SMTPRecipientsRefused as error:
        code = min((code for code, _ in error.recipients.values()), default=0)
        raise DeliveryFailed(f"smtp {code} recipient refused", again=code < 500) from error
    except smtplib.SMTPDataError as error:
        raise DeliveryFailed(f"smtp {error.smtp_code} message refused", again=error.smtp_code < 500) from error
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryFailed("smtp relay lacks a needed extension", again=False) from error
    except smtplib.SMTPResponseException as error:
        raise DeliveryFailed(f"smtp {error.smtp_code} {type(error).__name__}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryFailed(f"smtp {type(error).__name__}") from error


def _converse(relay: Relay, message: EmailMessage) -> None:
    smtp = _connect(relay)
    # A socket timeout bounds one read; a relay that sends a byte now and then would hold the worker for ever.
    cut = threading.Timer(relay.total_seconds, _cut, (smtp,))
    cut.daemon = True
    cut.start()
    try:
        if relay.security is Security.STARTTLS:
            smtp.starttls(context=ssl.create_default_context())
        if relay.username:
            smtp.login(relay.username, relay.password)
        smtp.send_message(message)
        # The message is accepted: a relay that is rude at the goodbye must not make us send it again.
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
    finally:
        cut.cancel()
        smtp.close()


def _connect(relay: Relay) -> smtplib.SMTP:
    if relay.security is Security.TLS:
        context = ssl.create_default_context()
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(relay.host, relay.port, timeout=CONNECT_SECONDS, context=context)
    else:
        smtp = smtplib.SMTP(relay.host, relay.port, timeout=CONNECT_SECONDS)
    if smtp.sock:
        smtp.sock.settimeout(relay.total_seconds)
    return smtp


def _cut(smtp: smtplib.SMTP) -> None:
    # The conversation may have ended by itself in the meantime.
    with suppress(OSError):
        if smtp.sock:
            smtp.sock.shutdown(socket.SHUT_RDWR)
