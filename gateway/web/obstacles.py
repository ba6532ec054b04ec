"""Why a payment cannot begin, in the payer's words: what holds for the money, why, and what to do next.

A page says one of three facts: paid, not debited, being checked (``page/_parts.html``, ``verdict``). The dialects say
what went wrong; here is what that means for whoever wanted to pay.
"""

from dataclasses import dataclass
from typing import Literal

from gateway.core.errors import BadRequest, GatewayError, RequestConflict
from gateway.core.payment import Payee, PaymentResult
from gateway.core.states import MONEY, Status
from gateway.steps.phrases import gettext as _
from gateway.web import formats, services
from gateway.web.rendering import page_language

Fact = Literal["paid", "not-debited", "checking"]

# Faults of a request whose last payable day is over: the native protocol's, then SP Plus's.
_TOO_LATE = frozenset({"date_past", "validity_past"})


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason, worded in the language of the page.

    :ivar advice: why, and what to do; a dialect's own sentence may stand in its place
    :ivar payee: whom to ask, where the payment in the way tells; a name and a contact are on each of its pages anyway
    """

    title: str
    fact: Fact
    verdict: str
    advice: str
    payee: Payee | None = None


def obstacle_of(error: GatewayError, wording: str = "", *, paid: str = "") -> Obstacle:
    """Word why this request opens no payment.

    :param wording: the dialect's own sentence; a debt's state is worded here all the same, because the dialects' one
        sentence for "paid or being paid" leaves the payer in doubt
    :param paid: the payment the payer came back to, when it was paid
    """
    if paid:
        return _paid(RequestConflict("debt_already_paid", "it was paid by this very request", paid))
    if isinstance(error, RequestConflict) and error.code in _OF_CONFLICT:
        return _OF_CONFLICT[error.code](error)
    if isinstance(error, BadRequest) and any(fault.code in _TOO_LATE for fault in error.faults):
        return _too_late(wording)
    advice = wording or _(
        "The site you come from sent a payment request that cannot be accepted. Try again from there."
    )
    return Obstacle(_("This payment cannot be started"), "not-debited", only_looked(), advice)


def only_looked() -> str:
    """Say of the money what holds of whoever comes to an address: they may have paid elsewhere, or before, by this one."""
    return str(_("Nothing was debited by opening this address."))


def _paid(error: RequestConflict) -> Obstacle:
    return Obstacle(
        _("This bill is already paid"),
        "paid",
        _("This bill has already been paid. Nothing was debited this time."),
        _("The receipt was sent by e-mail when it was paid. If this surprises you, ask the service you are paying."),
        _holder_payee(error),
    )


def _locked(error: RequestConflict) -> Obstacle:
    """Tell a payment that waits for its payer from one whose outcome the bank has not told yet."""
    holder = _holder(error)
    title = _("Another payment of this bill is under way")
    payee = _holder_payee(error)
    if holder and holder.status is Status.WORKING and holder.attempt and holder.attempt.status in MONEY:
        verdict = _("A payment of this bill is being checked with the bank. Do not pay a second time.")
        advice = _("The result will be sent to the service you are paying. If it is paid, a receipt follows by e-mail.")
        return Obstacle(title, "checking", verdict, advice, payee)
    advice = _("Finish it in the window where it is open, or cancel it there, then try again.")
    if error.until:
        time = formats.time_of_day(error.until, page_language())
        # A debt that only rests after a given-up payment has no window to finish.
        waiting = _("Otherwise the bill can be paid again from %(time)s.", time=time)
        advice = f"{advice} {waiting}" if holder else _("The bill can be paid again from %(time)s.", time=time)
    return Obstacle(title, "not-debited", _("No money was debited."), advice, payee)


def _suspended(_error: RequestConflict) -> Obstacle:
    return Obstacle(
        _("Payment is suspended for the moment"),
        "not-debited",
        only_looked(),
        _("The service has suspended the payment of its bills for a while, to correct them for instance. Try later."),
    )


def _too_late(wording: str) -> Obstacle:
    advice = wording or _("It can no longer be paid here. Ask the service you are paying how to settle it now.")
    return Obstacle(_("The last day to pay has passed"), "not-debited", only_looked(), advice)


def _holder(error: RequestConflict) -> PaymentResult | None:
    return services().checkout.opening.told(error.payment) if error.payment else None


def _holder_payee(error: RequestConflict) -> Payee | None:
    holder = _holder(error)
    return holder.payee if holder else None


_OF_CONFLICT = {"debt_already_paid": _paid, "debt_locked": _locked, "suspended": _suspended}
