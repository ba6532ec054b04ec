"""Payment links: made by the operator, opened by whoever holds the invoice; how one stands, and what opening it does.

A link asks for a debt as any portal would, by the same verb, so one debt is paid once wherever its payer comes from.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from gateway.checkout.desk import Desk
from gateway.checkout.opening import Opening
from gateway.checkout.situation import Stage, situation
from gateway.checkout.visiting import is_browser
from gateway.core.errors import BadRequest, Fault, RequestConflict
from gateway.core.paylink import LinkTerms, PayLink
from gateway.core.payment import PaymentResult, normal_reference
from gateway.core.states import LIVE, Status
from gateway.dialects import Open, Signed
from gateway.store import Transaction
from gateway.store.payments import PaymentRow

# A link's payment is told to its merchant as one of the native protocol is: all merchants have keys for that.
DIALECT = "native"


class LinkState(StrEnum):
    """How a link stands for the browser that looks at it."""

    PAYABLE = "payable"
    HERE = "here"
    ELSEWHERE = "elsewhere"
    RESTING = "resting"
    PAID = "paid"
    PAST = "past"
    REVOKED = "revoked"
    CLOSED = "closed"


# One that the payer may pay, or go on paying.
_OPENS = frozenset({LinkState.PAYABLE, LinkState.HERE})


@dataclass(frozen=True, slots=True)
class LinkStanding:
    """A link as it stands at one moment.

    :ivar payment: the payment its debt is paid by, or being paid by; ``None`` when nobody is at it
    :ivar until: when a debt that is taken comes free again at the latest
    :ivar may_take_over: it is being paid elsewhere, and no card was typed there yet
    """

    link: PayLink
    state: LinkState
    payment: PaymentResult | None = None
    until: datetime | None = None
    may_take_over: bool = False


class Linking:
    """The verbs of payment links."""

    def __init__(self, desk: Desk, opening: Opening) -> None:
        self._desk, self._opening = desk, opening

    def faults(self, terms: Sequence[LinkTerms]) -> tuple[Fault, ...]:
        """Say which of these debts can have no such link, each by its place: paid, asked for twice, or otherwise."""
        with self._desk.store.reading() as tx:
            return tuple(self._faults(tx, terms))

    def make(self, terms: Sequence[LinkTerms]) -> tuple[PayLink, ...]:
        """Make links, all or none; a link that is there already with the same terms is given again.

        Raises :class:`BadRequest` with the faults of :meth:`faults`, and :class:`WrongStatus` when somebody else made one
        of them at the same time.
        """
        with self._desk.store.transaction() as tx:
            if found := tuple(self._faults(tx, terms)):
                raise BadRequest(found)
            known = [tx.links.valid_of(one.request) for one in terms]
            made = [one for one, link in zip(terms, known, strict=True) if link is None]
            numbers = tx.links.add(made, self._desk.now())
            fresh = iter(numbers)
            links = tuple(link or tx.links.get(next(fresh)) for link in known)
            if made:
                merchants = " ".join(sorted({one.request.merchant for one in made}))
                tx.audit.add("link.made", merchants, facts={"links": _spans(numbers)})
        return links

    def _faults(self, tx: Transaction, terms: Sequence[LinkTerms]) -> Iterator[Fault]:
        seen: set[tuple[str, str, str]] = set()
        for place, one in enumerate(terms):
            request, pointer = one.request, f"/{place}/reference"
            debt = (request.merchant, request.fiscal_year, normal_reference(request.reference))
            if debt in seen:
                yield Fault(pointer, "duplicate_reference", "the same debt twice in this file; keep one of the lines")
            seen.add(debt)
            link = tx.links.valid_of(request)
            if link is not None and link.terms != one:
                fix = f"revoke link {link.number} first (guichet links revoke {link.number})"
                yield Fault(pointer, "link_differs", f"its debt has a link that says otherwise; {fix}")
            if tx.debts.paid(*debt) is not None:
                yield Fault(pointer, "debt_already_paid", "its debt was paid; take the line out")

    def revoke(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """End links at once; gives those that were not ended before. A payment under way goes on.

        Raises :class:`NotFound`.
        """
        with self._desk.store.transaction() as tx:
            for number in numbers:
                tx.links.get(number)
            revoked = tuple(number for number in numbers if tx.links.revoke(number, self._desk.now()))
            for number in revoked:
                tx.audit.add("link.revoked", str(number))
        return revoked

    def listed(self, limit: int, merchant: str = "") -> tuple[LinkStanding, ...]:
        """Tell how the latest links stand, newest first."""
        with self._desk.store.reading() as tx:
            return tuple(self._standing(tx, link) for link in tx.links.newest(limit, merchant))

    def of_reference(self, merchant: str, reference: str) -> tuple[LinkStanding, ...]:
        """Tell how the links of one reference stand, newest first."""
        with self._desk.store.reading() as tx:
            return tuple(self._standing(tx, link) for link in tx.links.by_reference(merchant, reference))

    def show(self, number: int, browser: str = "") -> LinkStanding:
        """Tell how a link stands for a browser, and change nothing. Raises :class:`NotFound`.

        :param browser: what its cookie says
        """
        with self._desk.store.reading() as tx:
            return self._standing(tx, tx.links.get(number), browser)

    def open(self, number: int, browser: str = "") -> str | None:
        """Open the payment of a link, or find the one under way; gives its id, ``None`` when its page says why not.

        Raises :class:`NotFound`.
        """
        standing = self.show(number, browser)
        if standing.state is LinkState.HERE and standing.payment:
            return standing.payment.id
        if standing.state not in _OPENS and not standing.may_take_over:
            return None
        try:
            result, _ = self._opening.open(self._command(standing.link), DIALECT)
        except RequestConflict:
            # Somebody was faster, through a portal or with another device; the link's page tells.
            return None
        return result.id

    def _command(self, link: PayLink) -> Open:
        request = replace(link.terms.request, pay_before=link.terms.last_on, metadata={"link": str(link.number)})
        signed = Signed(request.merchant, self._desk.new_id("link"), _digest(link))
        return Open(request, signed, by_browser=True, once=True, marks={"link": str(link.number)})

    def _standing(self, tx: Transaction, link: PayLink, browser: str = "") -> LinkStanding:
        request, now = link.terms.request, self._desk.now()
        which = (request.merchant, request.fiscal_year, request.reference)
        debt = tx.debts.paid(*which) or tx.debts.latest(*which)
        holder = tx.payments.by_id(debt.holder_id) if debt is not None and debt.holder_id else None
        payment = tx.payments.result(holder) if holder is not None else None
        if debt is not None and debt.state == "paid":
            return LinkStanding(link, LinkState.PAID, payment)
        taken = self._under_way(tx, link, holder, browser) if holder is not None and _is_live(holder, now) else None
        # What is begun goes on, whatever became of the link since.
        if taken and (taken.state is LinkState.HERE or (holder is not None and holder.status == Status.WORKING)):
            return taken
        if ended := self._ended(link):
            return LinkStanding(link, ended)
        if taken:
            return taken
        if debt is not None and debt.locked_until and debt.locked_until > now:
            return LinkStanding(link, LinkState.RESTING, until=debt.locked_until)
        return LinkStanding(link, LinkState.PAYABLE)

    def _ended(self, link: PayLink) -> LinkState | None:
        """Say why nobody may begin to pay by this link."""
        last_on = link.terms.last_on
        merchant = self._desk.merchants.get(link.terms.request.merchant)
        if merchant is None or merchant.suspended:
            return LinkState.CLOSED
        if link.revoked_at is not None:
            return LinkState.REVOKED
        if last_on is not None and last_on < self._desk.now().astimezone(self._desk.zone).date():
            return LinkState.PAST
        return None

    def _under_way(self, tx: Transaction, link: PayLink, row: PaymentRow, browser: str) -> LinkStanding:
        visitor, look = tx.limits.holder(row.id), tx.payments.look(row.public_id)
        payment = look.result
        is_of_link = row.digest == _digest(link)
        if is_browser(visitor, browser):
            return LinkStanding(link, LinkState.HERE, payment)
        if visitor is None and is_of_link and row.status != Status.WORKING:
            return LinkStanding(link, LinkState.PAYABLE, payment)
        is_idle = row.status != Status.WORKING and situation(look, self._desk.now()).stage is Stage.CARD
        # A card is typed before there is an attempt: its bank may take seconds to say whose it is.
        is_untouched = not look.row.entered and not payment.attempts
        return LinkStanding(
            link,
            LinkState.ELSEWHERE,
            payment,
            row.expires_at,
            may_take_over=is_of_link and is_idle and is_untouched,
        )


def _is_live(row: PaymentRow, now: datetime) -> bool:
    """Say whether a payment holds its debt: one whose page has run out gives it to whoever asks next."""
    return row.status == Status.WORKING or (row.status in LIVE and row.expires_at > now)


def _digest(link: PayLink) -> str:
    """Digest what a link asks: whoever opens it while it is being paid is led to the same payment."""
    request = link.terms.request
    meaning = [request.merchant, request.fiscal_year, normal_reference(request.reference), request.amount.cents]
    return hashlib.sha256(json.dumps(["payment link", link.number, *meaning]).encode()).hexdigest()


def _spans(numbers: Sequence[int]) -> str:
    """Write numbers shortly: ``3-7 12``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][-1] == number - 1:
            spans[-1][-1] = number
        else:
            spans.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
