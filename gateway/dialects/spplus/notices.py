"""What a shop is told, by notice and through the payer's browser: the request's own values, ``refsfp``, ``etat``, ``hmac``."""

from collections.abc import Mapping

from gateway.core.payment import Event, Mode, PaymentResult
from gateway.core.states import AttemptStatus, InstalmentStatus, Status
from gateway.dialects import Departure
from gateway.dialects.spplus.query import join, raw_values
from gateway.dialects.spplus.shops import Shop

# The bank's own transaction numbers had eight digits.
REFSFP_LENGTH = 8

NOTHING, AUTHORISED, REFUSED, PLANNED, COMPLETE, LEFT, TEST = "0", "1", "2", "4", "10", "12", "99"
PART_REFUSED, PART_CANCELLED, PART_REMITTED = "5", "11", "30"
REFUND_RECORDED, REFUND_CANCELLED, REFUND_ACCEPTED = "15", "16", "17"

# Cash is told in three steps: authorised, to be remitted, remitted. Only the last one guarantees the money.
_OF_EVENT: Mapping[str, str] = {
    "payment.succeeded": AUTHORISED,
    "payment.remittance_planned": PLANNED,
    "attempt.captured": COMPLETE,
    "payment.refused": REFUSED,
    "payment.cancelled": LEFT,
    "payment.expired": LEFT,
    "refund.requested": REFUND_RECORDED,
    "refund.refused": REFUND_CANCELLED,
    "payment.refunded": REFUND_ACCEPTED,
}
# A purchase paid in several times is complete when its last part is paid; until then each debit is an instalment's.
_OF_PURCHASE: Mapping[str, str] = {**_OF_EVENT, "attempt.captured": PART_REMITTED, "instalment.paid": COMPLETE}
# A later part is a payment of its own, under the same reference and with a ``refsfp`` of its own.
_OF_PART: Mapping[str, str] = {
    **_OF_EVENT,
    "payment.succeeded": PLANNED,
    "payment.remittance_planned": "",
    "attempt.captured": PART_REMITTED,
    "payment.refused": PART_REFUSED,
    "payment.cancelled": PART_CANCELLED,
    "payment.expired": PART_REFUSED,
}
_OF_STATUS: Mapping[Status, str] = {
    Status.FAILED: REFUSED,
    Status.CANCELLED: LEFT,
    Status.EXPIRED: LEFT,
}
# What the steps of a success are called in the setting ``states``.
_STEPS: Mapping[str, str] = {AUTHORISED: "1", PLANNED: "4", PART_REMITTED: "4", COMPLETE: "10"}
_REMITTED = frozenset({AttemptStatus.CAPTURED, AttemptStatus.PART_REFUNDED, AttemptStatus.REFUNDED})


def etat_of_event(result: PaymentResult, event: Event, shop: Shop) -> str:
    """Give the state a notice of ``event`` tells; empty when the shop is not told of it."""
    words = _OF_PART if result.rank > 1 else _OF_PURCHASE if result.request.instalments else _OF_EVENT
    etat = words.get(event.type, "")
    if etat in _STEPS and _is_trial(result):
        # One notice: a payment made to try a shop out is never remitted.
        return TEST if etat == AUTHORISED else ""
    is_early = etat == COMPLETE and not _is_complete(result)
    is_unwanted = etat in _STEPS and _STEPS[etat] not in shop.protocol.states.split(",")
    return "" if is_early or is_unwanted else etat


def etat_now(result: PaymentResult, shop: Shop) -> str:
    """Give the state the payer's browser brings back."""
    if result.status is not Status.PAID:
        return _OF_STATUS.get(result.status, NOTHING)
    if _is_trial(result):
        return TEST
    is_remitted = result.attempt is not None and result.attempt.status in _REMITTED
    return (
        COMPLETE if is_remitted and _is_complete(result) and COMPLETE in shop.protocol.states.split(",") else AUTHORISED
    )


def told(result: PaymentResult, etat: str, shop: Shop, *, own_query: str = "", is_signed: bool = True) -> str:
    """Write the query that tells ``etat``.

    :param own_query: what the shop's address already carries; programs that check the whole query they get include it
    """
    number = f"refsfp={refsfp(result.number)}&etat={etat}"
    query = "&".join(part for part in (result.request.wire.get("query", ""), number) if part)
    return signed(query, shop, own_query=own_query) if is_signed else query


def signed(query: str, shop: Shop, *, own_query: str = "") -> str:
    """Add the signature, at the very end: clients cut at the last ``&``."""
    covered = (own_query if shop.protocol.own_query_signed else "", query)
    return f"{query}&hmac={shop.key.sign(b''.join(raw_values(part) for part in covered))}"


def departure(result: PaymentResult, shop: Shop) -> Departure | None:
    """Send the payer back with the outcome; ``None`` when no address is known."""
    url = _return_address(result, shop)
    if not url:
        return None
    signed_returns = shop.protocol.signed_returns
    is_signed = signed_returns == "all" or (signed_returns == "paid" and result.status is Status.PAID)
    query = told(result, etat_now(result, shop), shop, own_query=url.partition("?")[2], is_signed=is_signed)
    return Departure(join(url, query))


def refsfp(number: str) -> str:
    """Give our transaction number as the bank wrote its own."""
    return number[-REFSFP_LENGTH:].zfill(REFSFP_LENGTH)


def _is_complete(result: PaymentResult) -> bool:
    """Whether nothing of a purchase is still to be paid."""
    return all(part.status is InstalmentStatus.PAID for part in result.instalments)


def _is_trial(result: PaymentResult) -> bool:
    return result.payee.mode is Mode.ACTIVATION


def _return_address(result: PaymentResult, shop: Shop) -> str:
    wire = result.request.wire
    by_outcome = wire.get("okURL" if result.status is Status.PAID else "badURL", "")
    named = wire.get("urlretour", "")
    first, second = (by_outcome, named) if shop.protocol.ok_bad_first else (named, by_outcome)
    return first or second or shop.protocol.urlretour
