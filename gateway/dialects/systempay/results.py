"""How an outcome is said in this protocol: ``vads_trans_status``, ``vads_result``, ``vads_auth_result``, 3-D Secure.

Tables of the Hosted Payment Page guide ("Processing the response data").
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.payment import AttemptResult, Event, PaymentResult
from gateway.core.states import REFUSED, AttemptStatus, Status

# Money asked for more than a week ahead is only checked now and authorised near its day.
_AUTHORISED_DAYS_MAX = 7

AUTH_RESULTS: Mapping[str, str] = {
    "00": "approved",
    "02": "contact the issuer",
    "03": "invalid acceptor",
    "04": "keep the card",
    "05": "do not honour",
    "07": "keep the card, special conditions",
    "08": "confirm after identification",
    "12": "invalid transaction",
    "13": "invalid amount",
    "14": "invalid cardholder number",
    "15": "unknown issuer",
    "17": "cancelled by the buyer",
    "19": "retry later",
    "20": "bad response",
    "24": "file update not supported",
    "25": "record not found in the file",
    "26": "duplicate record",
    "27": "wrong field in the file update",
    "28": "file access denied",
    "29": "file update impossible",
    "30": "format error",
    "31": "unknown acquirer",
    "33": "expired card",
    "34": "suspected fraud",
    "38": "expired card",
    "41": "lost card",
    "43": "stolen card",
    "51": "insufficient funds or limit exceeded",
    "54": "expired card",
    "55": "wrong secret code",
    "56": "card not on file",
    "57": "not allowed to this cardholder",
    "58": "not allowed to this terminal",
    "59": "suspected fraud",
    "60": "the acceptor must contact the acquirer",
    "61": "withdrawal limit exceeded",
    "63": "security rules not respected",
    "68": "late or no answer",
    "75": "too many code attempts",
    "76": "already blocked",
    "90": "temporary stop",
    "91": "issuer unreachable",
    "94": "duplicate",
    "96": "malfunction",
    "97": "global timeout",
    "98": "server unavailable",
    "99": "incident at the initiator",
}

# Card networks know more codes than the guide's table, which clients read with: the nearest of the table is told.
_NEAREST: Mapping[str, str] = {"82": "55"}
_DO_NOT_HONOUR = "05"

# Refusal families that mean: the cardholder was not authenticated.
_NOT_AUTHENTICATED = frozenset({"authentication", "challenge_failed", "challenge_timeout"})

# Electronic commerce indicators that leave the liability with the merchant: Visa and Amex, then Mastercard.
_NO_PROOF = frozenset({"07", "00"})

# Events that end one card's try, then those that end the payment or follow it.
TRIES = frozenset({"attempt.declined", "attempt.not_authenticated"})
_ENDS = frozenset({"payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired", "payment.refunded"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a payment, said in the protocol's words.

    :ivar trans_status: empty when no transaction was created
    :ivar attempt: the card submission it is about
    :ivar urls: the fields that may name where the payer goes, the first that does wins
    """

    trans_status: str
    result: str
    auth_result: str
    urls: tuple[str, ...]
    attempt: AttemptResult | None = None
    auth_mode: str = "FULL"
    threeds_failed: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the buyer has paid, as far as the shop is concerned."""
        return self.result == "00"

    @property
    def words(self) -> str:
        """The three codes on one line, for people."""
        return f"{self.trans_status or '-'} {self.result}/{self.auth_result or '-'}"


def outcome_of(result: PaymentResult, *, status: str = "") -> Outcome | None:
    """Say how a payment ended; ``None`` while it has not.

    :param status: what to say of an accepted payment instead of its first status, such as ``CAPTURED``
    """
    if result.status is Status.PAID:
        return _accepted(result, status)
    if result.status is Status.FAILED:
        return _refused(next((one for one in reversed(result.attempts) if one.status in REFUSED), result.attempt))
    if result.status in (Status.CANCELLED, Status.EXPIRED):
        return Outcome("ABANDONED", "17", "", ("vads_url_cancel", "vads_url_return"))
    return None


def outcome_at(result: PaymentResult, event: Event) -> Outcome | None:
    """Say which outcome an event tells; ``None`` when it tells none."""
    if event.type == "attempt.captured":
        return outcome_of(result, status="CAPTURED")
    if event.type in TRIES:
        tried = next((one for one in result.attempts if one.id == event.facts.get("attempt")), None)
        return _refused(tried) if tried else None
    return outcome_of(result) if event.type in _ENDS else None


def outcome_now(result: PaymentResult) -> Outcome | None:
    """Say where a payment stands, what happened to the money afterwards included."""
    attempt = result.attempt
    if result.status is not Status.PAID or attempt is None:
        return outcome_of(result)
    is_captured = any(event.type == "attempt.captured" for event in result.events)
    later = {AttemptStatus.CAPTURE_ERROR: "CAPTURE_FAILED", AttemptStatus.REFUNDED: "CANCELLED"}
    return outcome_of(result, status="CAPTURED" if is_captured else later.get(attempt.status, ""))


def _accepted(result: PaymentResult, status: str) -> Outcome:
    asked, attempt = result.request, result.attempt
    is_far = asked.capture_days > _AUTHORISED_DAYS_MAX
    usual = "WAITING_AUTHORISATION" if is_far else "AUTHORISED"
    usual += "_TO_VALIDATE" if asked.capture_by_hand else ""
    mark = "MARK" if is_far and not status else "FULL"
    return Outcome(status or usual, "00", "00", ("vads_url_success", "vads_url_return"), attempt, mark)


def _refused(attempt: AttemptResult | None) -> Outcome:
    family = attempt.response_family if attempt else ""
    is_sent = attempt is not None and attempt.status is AttemptStatus.DECLINED
    if family == "technical" and not is_sent:
        return Outcome("", "96", "", ("vads_url_error", "vads_url_return"), attempt)
    if family in _NOT_AUTHENTICATED:
        urls = ("vads_url_refused", "vads_url_return")
        return Outcome("REFUSED", "05", "", urls, attempt, threeds_failed=True)
    code = _auth_result(attempt)
    if code == "02":
        return Outcome("REFUSED", "02", "02", ("vads_url_referral", "vads_url_refused", "vads_url_return"), attempt)
    return Outcome("REFUSED", "05", code, ("vads_url_refused", "vads_url_return"), attempt)


def _auth_result(attempt: AttemptResult | None) -> str:
    """Give the card network's refusal (ISO 8583 field 39) in the words of the guide's table; empty when it said nothing."""
    code = attempt.response_code if attempt else ""
    if not code or code == "00":
        return ""
    return code if code in AUTH_RESULTS else _NEAREST.get(code, _DO_NOT_HONOUR)


def threeds_of(outcome: Outcome) -> dict[str, str]:
    """Give the ``vads_threeds_`` fields: what the cardholder's bank said, and what proof there is of it.

    An attempt stands for a card whose holder is not enrolled, unless it leaves the merchant unprotected: then nothing
    could be asked. The cryptogram, its algorithm and the transaction id stay with the acquirer: their fields are empty.
    """
    attempt = outcome.attempt
    flow = attempt.flow if attempt else ""
    if attempt and flow == "attempted" and attempt.eci in _NO_PROOF:
        flow = "unavailable"
    enrolled = {"": "", "unavailable": "U", "attempted": "N"}.get(flow, "Y")
    status = {"frictionless": "Y", "challenge": "Y", "attempted": "A", "unavailable": "U", "refused": "N"}.get(flow, "")
    status = "N" if outcome.threeds_failed else status
    is_proof = status in ("Y", "A")
    kind = "CHALLENGE" if flow == "challenge" else "FRICTIONLESS"
    return {
        "enrolled": enrolled,
        "auth_type": kind if enrolled == "Y" else "",
        "eci": attempt.eci if attempt and is_proof else "",
        "xid": "",
        "cavvAlgorithm": "",
        "status": status,
        "sign_valid": "1" if is_proof else "",
        "error_code": "",
        "exit_status": "10" if is_proof else "",
        "cavv": "",
    }
