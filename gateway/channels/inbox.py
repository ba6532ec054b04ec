"""The test inbox: every mail and SMS that did not go to a real person, kept in a Maildir directory.

Maildir because several processes write and read it at once without a lock: a message appears by one rename. Any mail
reader can open the directory. Only the newest messages are kept; this is a developer's window, not an archive.
"""

import mailbox
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string, policy
from email.message import EmailMessage, Message, MIMEPart
from email.utils import parseaddr
from pathlib import Path
from typing import Literal

from gateway.core.errors import NotFound

Kind = Literal["sms", "mail"]

# How many messages stay, and how many more may pile up before the oldest are thrown away.
KEPT = 2000
_SLACK = 100

# Enough for the headers of any message we write; what is beyond is not searched.
_HEAD_BYTES = 16_384

# A Maildir file name, as :mod:`mailbox` makes it; keys come back in URLs, so nothing else may reach the disk.
_KEY = re.compile(r"(\d+)\.M(\d+)P\d+Q(\d+)\.[\w.\-]+", re.ASCII)

# The origin-bound last line of a one-time-code SMS.
_CODE = re.compile(r"^@\S+ #(\d{4,8})\s*\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of a mail; ``index`` finds it again."""

    name: str
    content_type: str
    size: int
    index: int


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """One caught message, as :file:`inbox.json` shows it; ``code`` is an SMS's, ``subject`` and ``html`` a mail's."""

    kind: Kind
    to: str
    at: datetime
    payment: str
    text: str
    code: str
    subject: str
    html: str
    attachments: tuple[Attachment, ...]
    key: str


@dataclass(frozen=True, slots=True)
class _Head:
    """What messages are searched by; remembered, since a caught message never changes."""

    kind: Kind
    to: str
    payment: str


class Inbox:
    """A directory of caught messages, shared by any number of processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # By hand: mailbox makes none of these when the directory is there already, and several processes may begin at once.
        for folder in ("tmp", "new", "cur"):
            (path / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._maildir = mailbox.Maildir(path, factory=None)
        self._heads: dict[str, _Head] = {}

    def add_sms(self, to: str, text: str, payment: str, at: datetime) -> str:
        """Keep a short message; gives its key."""
        message = EmailMessage(policy=policy.SMTP)
        message["X-Guichet-Kind"] = "sms"
        message["X-Guichet-To"] = _one_line(to)
        message["To"] = f"<{_one_line(to)}>"
        message["X-Guichet-Payment"] = _one_line(payment)
        message["Date"] = at
        message.set_content(text)
        return self.add_mail(message.as_bytes())

    def add_mail(self, message: bytes) -> str:
        """Keep a mail as it came in; gives its key."""
        key = self._maildir.add(message)
        self._prune()
        return key

    def messages(
        self, kind: str | None = None, payment: str | None = None, to: str | None = None, *, limit: int = 100
    ) -> list[InboxMessage]:
        """List messages, newest first, that match all that is asked.

        :param to: a mail address (in any case) or a telephone number
        """
        found: list[InboxMessage] = []
        paths = self._paths()
        self._heads = {key: head for key, head in self._heads.items() if key in paths}
        for key in sorted(paths, key=_arrival, reverse=True):
            if len(found) >= limit:
                break
            # Another process may throw the oldest away while we read.
            with suppress(FileNotFoundError):
                if _matches(self._head(key, paths[key]), kind, payment, to):
                    found.append(_read(key, _parse(paths[key])))
        return found

    def message(self, key: str) -> InboxMessage:
        """Give one message. Raises :class:`NotFound`."""
        return _read(key, self._open(key))

    def attachment(self, key: str, index: int) -> bytes:
        """Give the content of one attachment. Raises :class:`NotFound`."""
        parts = list(_files(self._open(key)))
        if not 0 <= index < len(parts):
            raise NotFound("no such attachment")
        return _content(parts[index])

    def clear(self) -> None:
        """Throw every message away."""
        for path in self._paths().values():
            path.unlink(missing_ok=True)

    def _open(self, key: str) -> EmailMessage:
        path = self._paths().get(key) if _KEY.fullmatch(key) else None
        if path is None:
            raise NotFound("no such message")
        try:
            return _parse(path)
        except FileNotFoundError as error:
            raise NotFound("no such message") from error

    def _paths(self) -> dict[str, Path]:
        """Find the messages; read ones are in ``cur``, with flags after a colon (a mail reader moved them there)."""
        names = ((file.name, file) for folder in ("new", "cur") for file in (self._path / folder).iterdir())
        return {key: file for name, file in names if _KEY.fullmatch(key := name.partition(":")[0])}

    def _head(self, key: str, path: Path) -> _Head:
        if key not in self._heads:
            with path.open("rb") as file:
                header = re.split(rb"\r?\n\r?\n", file.read(_HEAD_BYTES), maxsplit=1)[0]
            # The old policy is ten times faster on two thousand messages, and what is read here needs no more.
            self._heads[key] = _head(message_from_string(header.decode("utf-8", "replace"), policy=policy.compat32))
        return self._heads[key]

    def _prune(self) -> None:
        # Counting names is cheap enough for every message; sorting them is not.
        if sum(len(os.listdir(self._path / folder)) for folder in ("new", "cur")) <= KEPT + _SLACK:
            return
        paths = self._paths()
        for key in sorted(paths, key=_arrival)[: len(paths) - KEPT]:
            # By path: the Maildir's own index may not know yet what another process added.
            paths[key].unlink(missing_ok=True)


def _arrival(key: str) -> tuple[int, ...]:
    match = _KEY.fullmatch(key)
    return tuple(int(number) for number in match.groups()) if match else ()


def _parse(path: Path) -> EmailMessage:
    return message_from_bytes(path.read_bytes(), policy=policy.default)


def _head(message: Message) -> _Head:
    is_sms = message["X-Guichet-Kind"] == "sms"
    to = str(message["X-Guichet-To"] or "") if is_sms else parseaddr(_as_written(message, "to"))[1]
    return _Head("sms" if is_sms else "mail", to, str(message["X-Guichet-Payment"] or ""))


def _as_written(message: Message, name: str) -> str:
    """Give a header unread: Python 3.11 breaks over some addresses, such as a lone quote."""
    return next((str(value) for key, value in message.raw_items() if key.lower() == name), "")


def _matches(head: _Head, kind: str | None, payment: str | None, to: str | None) -> bool:
    return (
        (not kind or head.kind == kind)
        and (not payment or head.payment == payment)
        # A plus sign typed into a URL arrives as a space.
        and (not to or head.to.casefold().lstrip("+") == to.strip(" +").casefold())
    )


def _read(key: str, message: EmailMessage) -> InboxMessage:
    head = _head(message)
    text = _text(message, "plain")
    code = _CODE.search(text) if head.kind == "sms" else None
    return InboxMessage(
        kind=head.kind,
        to=head.to,
        at=_moment(message, key),
        payment=head.payment,
        text=text,
        code=code[1] if code else "",
        subject=str(message["Subject"] or ""),
        html=_text(message, "html"),
        attachments=tuple(
            Attachment(part.get_filename() or "", part.get_content_type(), len(_content(part)), index)
            for index, part in enumerate(_files(message))
        ),
        key=key,
    )


def _text(message: EmailMessage, subtype: str) -> str:
    part = message.get_body(preferencelist=(subtype,))
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n").rstrip("\n")
    except (LookupError, ValueError, KeyError):
        # A character set nobody knows: show the bytes rather than nothing.
        return _content(part).decode("latin-1")


def _files(message: EmailMessage) -> Iterator[MIMEPart]:
    if message.is_multipart():
        yield from message.iter_attachments()


def _content(part: MIMEPart) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else part.as_bytes()


def _moment(message: EmailMessage, key: str) -> datetime:
    """Take the sender's date, which follows the clock of the tests; the arrival when there is none that can be read."""
    moment = getattr(message["Date"], "datetime", None)
    if isinstance(moment, datetime):
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(_arrival(key)[0], UTC)


def _one_line(text: str) -> str:
    return " ".join(text.split())
