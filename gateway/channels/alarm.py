"""The alarm: tells a merchant's managers, in plain words, that a confirmation could not be delivered to their portal."""

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid, parseaddr

from gateway.channels import Notice
from gateway.channels.smtp import Relay, send


class AlarmChannel:
    """Mails alarms."""

    name = "alarm_mail"

    def __init__(self, relay: Relay, sender: str) -> None:
        self._relay, self._sender = relay, sender

    def deliver(self, notice: Notice, now: datetime) -> None:
        """Send the alarm whose words are the notice's body."""
        subject, _, text = notice.body.decode().partition("\n")
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = self._sender, notice.target, subject
        message["Date"] = now
        message["Message-ID"] = make_msgid(notice.id, parseaddr(self._sender)[1].rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message["X-Guichet-Payment"] = notice.result.id
        message.set_content(text)
        send(self._relay, message)
