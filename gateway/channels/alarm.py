"""The alarm: tells a merchant's managers, in plain words, that a confirmation could not be delivered to their portal."""

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr

from gateway.channels import Letter
from gateway.channels.smtp import Relay, send
from gateway.core.mailbox import message_id


class AlarmChannel:
    """Mails alarms."""

    name = "alarm_mail"

    def __init__(self, relay: Relay, sender: str) -> None:
        self._relay, self._sender = relay, sender

    def deliver(self, notice: Letter, now: datetime) -> None:
        """Send the alarm whose words are the notice's body."""
        subject, _, text = notice.body.decode().partition("\n")
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = self._sender, notice.target, subject
        message["Date"] = now
        domain = parseaddr(self._sender)[1].rpartition("@")[2]
        message["Message-ID"] = message_id(domain, notice.id, self.name, notice.target)
        message["Auto-Submitted"] = "auto-generated"
        message["X-Guichet-Payment"] = notice.result.id
        message.set_content(text)
        send(self._relay, message)
