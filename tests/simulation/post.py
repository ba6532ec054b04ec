"""Those who are told: portals, mailboxes and telephones, good and bad ones; every arrival is written down."""

import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.channels import AnyChannel, Channel, Confirmation, Letter
from gateway.core.errors import DeliveryFailed
from gateway.dialects import Dialect, Try
from tests.simulation.stage import Stage
from tests.support.evidence import Delivery

# The sender's patience, and how long a call may linger in the network after it.
_PATIENCE = 15.0
_LATE_MAX = 120.0
# The last line of a code's message, which telephones read.
_CODE_LINE = re.compile(r"^@\S+ #(\d{6})\s*\Z", re.MULTILINE)
_ANSWERS = (500, 302, 404, 429, 503, 410)


@dataclass
class Post:
    """Every receiver at once.

    :ivar trouble: how many deliveries of a hundred meet it
    :ivar codes: what each payment's telephone got, newest last
    """

    stage: Stage
    dialects: Mapping[str, Dialect]
    chance: random.Random
    boundary: Callable[[], None]
    trouble: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list)
    codes: dict[str, list[str]] = field(default_factory=dict)

    def channels(self) -> dict[str, AnyChannel]:
        """Make the channels that carry no codes."""
        return {
            "confirmation": _Portal(self),
            **{name: _Mailbox(name, self) for name in ("payer_mail", "merchant_mail", "alarm_mail")},
        }

    def phone(self) -> Channel[Letter]:
        """Make the channel of codes."""
        return _Phone(self)

    def arrive(self, notice: Confirmation | Letter, body: bytes, *, is_taken: bool) -> None:
        """Write an arrival down."""
        digest = hashlib.sha256(body).hexdigest()[:16]
        payment = notice.recipient.payment if isinstance(notice, Confirmation) else notice.result.id
        self.deliveries.append(Delivery(notice.channel, notice.target, notice.id, payment, digest, is_taken))

    def fate(self) -> str:
        """Draw what becomes of one delivery; empty when all goes well."""
        if self.chance.random() * 100 >= self.trouble:
            return ""
        return self.chance.choice(("refused", "silent", "unheard", "late", "answer", "answer"))


@dataclass
class _Portal:
    post: Post
    name: str = "confirmation"

    def deliver(self, notice: Confirmation, now: datetime) -> str:
        post = self.post
        post.boundary()
        dialect = post.dialects[notice.recipient.dialect]
        call = dialect.delivery(notice.recipient, Try(notice.id, notice.body, notice.tries, now, notice.by_hand))
        fate = post.fate()
        status = post.chance.choice(_ANSWERS) if fate == "answer" else 204
        if fate == "late":
            # It left, and comes through when its sender has long given up.
            late = post.chance.uniform(_PATIENCE, _LATE_MAX)
            post.stage.enter("a late call", lambda: post.arrive(notice, call.body, is_taken=True), after=late)
        elif fate not in ("refused", "silent"):
            post.arrive(notice, call.body, is_taken=status == 204)
        if fate in ("silent", "unheard", "late"):
            post.stage.sleep(_PATIENCE)
        if fate not in ("", "answer"):
            raise DeliveryFailed(fate)
        post.boundary()
        if dialect.received(status, b""):
            return ""
        after = post.chance.choice((1, 90, 7200)) if status in (429, 503) else None
        raise DeliveryFailed(f"HTTP {status}", retry_after_seconds=after)


@dataclass
class _Mailbox:
    name: str
    post: Post

    def deliver(self, notice: Letter, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        self.post.boundary()
        fate = self.post.fate()
        if fate in ("", "unheard"):
            self.post.arrive(notice, notice.body, is_taken=True)
        if fate:
            raise DeliveryFailed(fate)
        self.post.boundary()


@dataclass
class _Phone:
    post: Post
    name: str = "sms"

    def deliver(self, notice: Letter, now: datetime) -> None:  # noqa: ARG002 - the contract gives the instant
        self.post.boundary()
        if self.post.fate() in ("refused", "silent"):
            raise DeliveryFailed("no network")
        code = _CODE_LINE.search(notice.body.decode())
        assert code is not None, "a message without a code"
        self.post.codes.setdefault(notice.result.id, []).append(code[1])
