"""The whole exception tree: one class per thing that can be wrong, one stable code each.

Codes are public (they appear in problem documents); texts are for people and may change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


class GatewayError(Exception):
    """Root of every error Guichet raises on purpose."""

    code = "error"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a request: where it is, which rule it breaks, and how to mend it.

    ``pointer`` is a JSON pointer (RFC 6901) into the decoded claims, such as ``/lines/0/amount``; empty for the whole.
    """

    pointer: str
    code: str
    detail: str


class BadField(GatewayError):
    """A value that breaks its own rule, found by the constructor of the value."""

    code = "bad_field"

    def __init__(self, field: str, rule: str, fix: str) -> None:
        super().__init__(f"{field}: {rule}; {fix}")
        self.field, self.rule, self.fix = field, rule, fix


class BadRequest(GatewayError):
    """A request with one or more faults; all of them are carried at once."""

    code = "invalid_request"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.pointer or '/'} {fault.code}" for fault in faults))
        self.faults = faults


class NotAuthentic(GatewayError):
    """A signature, key or address that does not prove who is asking.

    ``code`` is one of a closed set; what the caller is told never says how close it came.

    :ivar diagnosis: for the developer of a merchant in test mode: what was signed as we see it, what was expected and
        received, the likely cause. Never a key.
    """

    code = "not_authentic"

    def __init__(self, code: str, fix: str, diagnosis: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {fix}")
        self.code, self.fix, self.diagnosis = code, fix, diagnosis or {}


class NotFound(GatewayError):
    """No such payment, or not this caller's: the two are told apart by nobody."""

    code = "not_found"


class RequestConflict(GatewayError):
    """A request that is well formed but contradicts what is already known.

    ``code`` is ``jti_reused``, ``debt_locked``, ``debt_already_paid``, ``payment_over``, ``refund_exceeds``,
    ``amount_differs``, ``settled`` or ``suspended``.

    :ivar until: when a locked debt is free again at the latest, if that is known
    """

    code = "conflict"

    def __init__(self, code: str, fix: str, payment: str | None = None, *, until: datetime | None = None) -> None:
        super().__init__(f"{code}: {fix}")
        self.code, self.fix, self.payment, self.until = code, fix, payment, until


class WrongStatus(GatewayError):
    """A verb that the present state of the payment does not allow."""

    code = "wrong_status"


class CardRefused(GatewayError):
    """A card entry that cannot be sent to the acquirer; ``field`` names the control, ``rule`` the reason."""

    code = "card_refused"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field, self.rule = field, rule


class AcquirerUnreachable(GatewayError):
    """The acquirer was silent or unclear: what became of the message is not known."""

    code = "acquirer_unreachable"


class AcquirerContradicts(AcquirerUnreachable, ValueError):
    """The acquirer knows a message's operation id for something else, by a fault of one of the two: no answer either."""

    code = "acquirer_contradicts"


class DeliveryFailed(GatewayError):
    """A notice that did not get through.

    :ivar again: whether another try can help; ``False`` ends the notice at once (HTTP 410, a refused address)
    :ivar retry_after_seconds: what the receiver asked for (``Retry-After``), if it did
    :ivar reply: the beginning of what it said
    """

    code = "delivery_failed"

    def __init__(
        self, reason: str, *, again: bool = True, retry_after_seconds: int | None = None, reply: str = ""
    ) -> None:
        super().__init__(reason)
        self.again, self.retry_after_seconds, self.reply = again, retry_after_seconds, reply


class OpenedElsewhere(GatewayError):
    """A live page that belongs to another browser."""

    code = "opened_elsewhere"


class TooMany(GatewayError):
    """More calls than one merchant's programs may make; nothing was done."""

    code = "too_many_requests"

    def __init__(self, reason: str, *, retry_after_seconds: int) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class StoreBusy(GatewayError):
    """The database is locked or away; nothing was changed and the same call may be made again."""

    code = "store_busy"


class SettingsError(GatewayError):
    """Configuration that cannot be used; carries every fault, each naming file, key and cure."""

    code = "settings"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
