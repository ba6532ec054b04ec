"""The receipt as a mail: text and HTML saying the same, the PDF ticket attached.

Composing only; :mod:`gateway.channels.email` sends. Everything that comes from payers is cleaned before it reaches a
header, and an address that could carry a second header is refused.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from gateway.core.errors import BadField
from gateway.core.mailbox import ENCODED, NEVER, message_id
from gateway.receipts.content import Receipt
from gateway.receipts.press import Press
from gateway.receipts.words import WORDS, direction

# RFC 5321 section 4.5.3.1.3, less the angle brackets.
_ADDRESS_LENGTH_MAX = 254

# Either side of the at sign.
_PART = re.compile(rf"[^{NEVER}]+")

# Long names are whole in the body; a subject beyond this is cut by the readers anyway.
_SUBJECT_LENGTH_MAX = 150


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds a receipt on its way.

    :ivar notice: the id of the notice, the same over all tries; the Message-ID is derived from it, so that a mail sent
        again after an unclear SMTP answer is recognised as the same one
    :ivar sender: ``Name <address>`` or a bare address; ``-TEST`` is added to its local part outside production
    :ivar ticket_url: the signed link to the ticket
    """

    notice: str
    target: str
    sender: str
    ticket_url: str
    at: datetime


def compose(receipt: Receipt, envelope: Envelope, templates: Environment, language: str, press: Press) -> EmailMessage:
    """Write the mail of a receipt.

    :param press: makes the ticket that goes with it

    Raises :class:`BadField` when the target or the sender is not one plain address.
    """
    words = WORDS[language]
    sender = _sender(envelope.sender, test=receipt.test)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = _address(envelope.target)
    message["Subject"] = subject(receipt, language)
    message["Date"] = envelope.at
    message["Message-ID"] = _message_id(receipt, envelope, sender.domain)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Guichet-Payment"] = receipt.payment
    intro = words[f"intro_{receipt.operation}_{receipt.audience}"].format(
        order=_isolated(receipt.order, language),
        amount=_isolated(receipt.money(receipt.amount, language), language),
        payee=_isolated(receipt.payee_name, language),
    )
    facts = {
        "receipt": receipt,
        "words": words,
        "language": language,
        "intro": intro,
        "ticket_url": envelope.ticket_url,
        "check_url": press.check_url(receipt),
        "direction": direction(language),
    }
    # The line between its parts is made of its Message-ID, which no text can know, and begins with what neither base64 nor
    # quoted-printable writes (RFC 2045 section 6.7). The library would draw one, and search the whole mail for it, twice.
    edge = f"=_{message['Message-ID'].strip('<>').partition('@')[0]}"
    message.set_content(templates.get_template("mail/receipt.txt").render(facts))
    message.make_alternative(f"{edge}.1")
    message.add_alternative(templates.get_template("mail/receipt.html").render(facts), subtype="html")
    message.make_mixed(f"{edge}.2")
    message.add_attachment(
        press.ticket(receipt, language), maintype="application", subtype="pdf", filename=receipt.file_name
    )
    # Last: whatever begins with Content- goes down with the first part when a second one comes.
    message["Content-Language"] = language
    return message


def subject(receipt: Receipt, language: str) -> str:
    """Write the subject: what happened to which order, where, and whether it is a test or a duplicate."""
    words = WORDS[language]
    text = words[f"subject_{receipt.operation}"].format(order=receipt.order)
    marks = [words["test"]] * receipt.test + [words["duplicate"]] * receipt.duplicate
    text = f"{''.join(f'[{mark}] ' for mark in marks)}{text} - {receipt.payee_name}".replace(ENCODED, "= ?")
    return text if len(text) <= _SUBJECT_LENGTH_MAX else text[: _SUBJECT_LENGTH_MAX - 1].rstrip() + "…"


def environment(folder: Path) -> Environment:
    """Open the mail templates of ``folder`` (the ``checkout_templates`` directory), HTML escaped, no name left unset."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _isolated(text: str, language: str) -> str:
    """Keep what is named in an Arabic sentence in its own order (Unicode's UAX #9: first strong isolate)."""
    return f"\u2068{text}\u2069" if direction(language) == "rtl" else text


def _sender(text: str, *, test: bool) -> Address:
    name, spec = parseaddr(text)
    plain = _address(spec)
    local = f"{plain.username}-TEST" if test else plain.username
    return Address(name, local, plain.domain)


def _address(spec: str) -> Address:
    """Take one address; anything that could end the header or begin another address is refused."""
    local, _, domain = spec.rpartition("@")
    is_plain = _PART.fullmatch(local) and _PART.fullmatch(domain) and ENCODED not in spec
    if len(spec) > _ADDRESS_LENGTH_MAX or not is_plain:
        raise BadField("address", "not_an_address", "use one plain e-mail address")
    return Address("", local, domain)


def _message_id(receipt: Receipt, envelope: Envelope, domain: str) -> str:
    """Derive the Message-ID; several managers get the same notice, so the target is part of it."""
    copy = "duplicate" if receipt.duplicate else ""
    return message_id(domain, envelope.notice, receipt.audience, envelope.target, copy)
