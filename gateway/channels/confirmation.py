"""The confirmation: a call to the merchant's own address, as its dialect words it.

Only addresses the merchant registered come here; how one is called safely is ``gateway.channels.egress``'s business. What
the receiver answers is judged by the dialect, from its status and the beginning of its body.
"""

from collections.abc import Mapping
from datetime import datetime

from gateway.channels import Confirmation
from gateway.channels.egress import LookUp, WayOut, look_up
from gateway.channels.wire import Reply
from gateway.core.errors import DeliveryFailed
from gateway.dialects import Dialect, Try

_BODY_MAX = 16 * 1024
# Characters kept of an answer, for whoever asks what the merchant said.
REPLY_MAX = 500


class ConfirmationChannel:
    """Posts notices to merchants.

    :param allow_loopback: development only; otherwise this machine and all private ranges are refused
    """

    name = "confirmation"

    def __init__(self, dialects: Mapping[str, Dialect], *, allow_loopback: bool, find: LookUp = look_up) -> None:
        self._dialects = dialects
        self._way_out = WayOut(allow_loopback=allow_loopback, find=find)

    def deliver(self, notice: Confirmation, now: datetime) -> str:
        """Make the call once. Raises :class:`DeliveryFailed` unless the answer means "I have it"."""
        dialect = self._dialects[notice.recipient.dialect]
        this = Try(notice.id, notice.body, notice.tries, now, by_hand=notice.by_hand, target=notice.target)
        call = dialect.delivery(notice.recipient, this)
        with self._way_out.call(call.method, call.url or notice.target, call.body, call.headers) as reply:
            return _judge(reply, dialect)


def _judge(reply: Reply, dialect: Dialect) -> str:
    """Give the beginning of an answer that means "I have it"."""
    # Little is read, so that the connection can be used again; what is longer is cut off with it.
    try:
        body = reply.read(_BODY_MAX)
    except (OSError, ValueError):
        # Broken or badly packed: where the status says it all, it has been said.
        body = b""
    said = body.decode("utf-8", "replace").replace("\0", "")[:REPLY_MAX]
    if dialect.received(reply.status_code, body):
        return said
    raise DeliveryFailed(
        f"HTTP {reply.status_code}",
        retry_after_seconds=reply.retry_after_seconds if reply.status_code in (429, 503) else None,
        reply=said,
    )
