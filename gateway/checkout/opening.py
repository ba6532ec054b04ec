"""How a payment begins: a signed request is taken once, and a debt is promised to one payment at a time."""

import json
import logging
from contextlib import suppress
from datetime import datetime, timedelta

from gateway.checkout.desk import Desk
from gateway.checkout.extending import bounded
from gateway.checkout.situation import stage_of
from gateway.core.card_guard import asks_to_keep_a_card
from gateway.core.errors import BadRequest, Fault, RequestConflict, StoreBusy, WrongStatus
from gateway.core.payment import Kind, Line, Mode, PaymentRequest, PaymentResult, normal_reference
from gateway.core.states import LIVE, Status
from gateway.dialects import LookUp, Open, Resume
from gateway.store import Transaction
from gateway.store.payments import PaymentRow

log = logging.getLogger(__name__)

# Two requests for one debt may cross; the slower starts again and then sees the faster one's payment.
_ROUNDS = 6


class Opening:
    """The merchant's way in, and what it may ask later."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def open(self, command: Open, dialect: str) -> tuple[PaymentResult, bool]:
        """Open a payment, or find the one the same request opened before; the flag says whether it is new.

        The same ``jti`` again, or the same wish for the same debts while their payment is still open, gives the same
        payment. Raises :class:`RequestConflict` (``jti_reused``, ``debt_locked``, ``debt_already_paid``,
        ``suspended``), and :class:`BadRequest` (``card_number``) for a request that would have a card number stored.
        """
        if asks_to_keep_a_card(command.request):
            raise BadRequest((Fault("", "card_number", "send no card number; it is typed on the payer's page alone"),))
        for _ in range(_ROUNDS - 1):
            try:
                return self._open(command, dialect)
            except WrongStatus:
                continue
        return self._open(command, dialect)

    def _open(self, command: Open, dialect: str) -> tuple[PaymentResult, bool]:
        signed = command.signed
        with self._desk.store.transaction(frozenset({signed.merchant, command.request.merchant})) as tx:
            if seen := tx.requests.find(signed.merchant, signed.jti):
                if seen.kind != "open" or seen.digest != signed.digest:
                    raise RequestConflict("jti_reused", "draw a new jti for each new request")
                return tx.payments.result(tx.payments.by_id(seen.payment_id)), False
            row = self._twin(tx, command) if command.resumes else None
            created = row is None
            if row is None:
                row = self._insert(tx, command, dialect)
            elif not (command.once and tx.payments.look_first(row.public_id).entered):
                # A new request for the same page: its payer may come with another browser now. The same request again
                # is no reason, anybody on its way could send that. Nor is a link that others hold too, once a card was
                # typed there: whoever took that page over could confirm another's card.
                tx.limits.release_page(row.id)
            self._desk.keep_signed(tx, signed, "open", row)
            if created:
                self._desk.begin(tx, row, "payment.created", dialect=dialect, **command.marks)
                log.info("payment created", extra={"payment": row.public_id, "merchant": row.merchant_id})
            return tx.payments.result(row), created

    def _twin(self, tx: Transaction, command: Open) -> PaymentRow | None:
        """Find the open payment this request asks for again, freeing debts whose page has run out on the way."""
        request = command.request
        twin = None
        for seen in tx.payments.by_reference(frozenset({request.merchant}), request.reference):
            if seen.status in LIVE and seen.digest == command.signed.digest and not self._expired(tx, seen.id):
                # Held now: it may have ended between looking and taking it.
                row = tx.payments.take_by_id(seen.id)
                twin = row if row.status in LIVE else twin
        return twin

    def _expired(self, tx: Transaction, payment_id: int) -> bool:
        row = tx.payments.take_by_id(payment_id)
        if row.status not in (Status.CREATED, Status.OPENED) or row.expires_at > self._desk.now():
            return False
        self._desk.give_up(tx, row, Status.EXPIRED, why="the page's time had run out")
        return True

    def _gives_way(self, tx: Transaction, holder: int, command: Open) -> bool:
        """Free a debt whose page has run out, or whose payment nobody is being debited for and the merchant asks anew."""
        if self._expired(tx, holder):
            return True
        row = tx.payments.take_by_id(holder)
        is_spared = row.status == Status.OPENED and stage_of(tx, row, self._desk.now()) in command.spares
        is_spared = is_spared and not _is_untouched_twin(tx, row, command.request)
        if row.status not in command.replaces or is_spared:
            return False
        why = "a newer request took its place"
        self._desk.give_up(tx, row, Status.CANCELLED, debts_rest=False, by="merchant", why=why)
        return True

    def _insert(self, tx: Transaction, command: Open, dialect: str) -> PaymentRow:
        desk, request, now = self._desk, command.request, self._desk.now()
        merchant = desk.merchant(request.merchant)
        if merchant.suspended:
            raise RequestConflict("suspended", "this merchant has suspended its payments; ask again later")
        minutes = command.page_minutes or merchant.page_minutes
        last_day = desk.end_of(request.pay_before) if request.pay_before else None
        row = tx.payments.add(
            request,
            public_id=desk.new_id("pay"),
            dialect=dialect,
            mode=Mode.ACTIVATION if command.is_activation and merchant.mode is Mode.TEST else merchant.mode,
            digest=command.signed.digest,
            handle=command.handle,
            created_at=now,
            expires_at=bounded(now + timedelta(minutes=minutes), last_day),
            page_minutes=minutes,
            latest_at=bounded(now + command.life, last_day) if command.life else last_day,
            attempts_max=merchant.attempts_max,
            # Of the first fact, which the same transaction writes down.
            seq=1,
        )
        # One order of locking for everybody, so that two payments of the same debts cannot wait for each other.
        for position, line in sorted(enumerate(request.lines), key=lambda pair: normal_reference(pair[1].reference)):
            debt_id = self._take(tx, command, line, row)
            tx.payments.add_line(row.id, position, debt_id, line)
        return row

    def _take(self, tx: Transaction, command: Open, line: Line, row: PaymentRow) -> int:
        """Lock one debt for the payment ``row``."""
        request, now = command.request, self._desk.now()
        year = request.fiscal_year
        if request.kind is Kind.TOP_UP:
            return tx.debts.add(request.merchant, year, line.reference, row.public_id, row.id)
        debt = tx.debts.latest(request.merchant, year, line.reference)
        if debt is None:
            return tx.debts.add(request.merchant, year, line.reference, "", row.id)
        is_once = command.once or not self._desk.merchant(request.merchant).allow_repeat
        if is_once:
            # Another occurrence of the reference may have come after it: a portal's, or of the time when they could repeat.
            debt = tx.debts.paid(request.merchant, year, line.reference) or debt
        if debt.state == "paid":
            if is_once:
                raise self._conflict(tx, "debt_already_paid", line, debt.holder_id)
            number = int(debt.occurrence.removeprefix("#") or 1) + 1
            return tx.debts.add(request.merchant, year, line.reference, f"#{number}", row.id)
        if debt.state != "open" and not self._gives_way(tx, debt.holder_id, command):
            other = tx.payments.by_id(debt.holder_id)
            if other.digest == row.digest or other.status not in (*LIVE, Status.PAID):
                # PostgreSQL shows each statement what was committed before it: our twin, or a change of hands.
                raise WrongStatus("the same request was faster")
            raise self._conflict(tx, "debt_locked", line, debt.holder_id)
        if debt.state == "open" and debt.locked_until and debt.locked_until > now:
            raise RequestConflict(
                "debt_locked",
                f"{line.reference} may be paid again from {debt.locked_until:%H:%M} UTC",
                until=debt.locked_until,
            )
        tx.debts.lock(debt.id, row.id, now)
        return int(debt.id)

    @staticmethod
    def _conflict(tx: Transaction, code: str, line: Line, holder: int) -> RequestConflict:
        other = tx.payments.by_id(holder)
        fix = {
            "debt_already_paid": f"{line.reference} was paid; look that payment up instead of asking for it again",
            "debt_locked": f"another payment of {line.reference} is open until {other.expires_at:%H:%M} UTC; "
            "finish or cancel it first",
        }[code]
        return RequestConflict(code, fix, other.public_id, until=other.expires_at if code == "debt_locked" else None)

    def look_up(self, command: LookUp | Resume, dialect: str) -> PaymentResult:
        """Tell one payment to its own merchants, or to its payer. Raises :class:`NotFound` for anybody else's too."""
        mine = command.which.merchants
        with self._desk.store.reading(mine) as tx:
            row = tx.payments.named(command.which, dialect)
            result = tx.payments.result(row)
        if isinstance(command, LookUp) and command.is_receipt and not result.is_live:
            # A question is answered even when nothing can be written: a notice too many harms nobody.
            with suppress(StoreBusy), self._desk.store.transaction(mine) as tx:
                tx.notices.fetched(row.id, self._desk.now())
        return result

    def told(self, public_id: str) -> PaymentResult:
        """Tell one payment to whoever holds a signed link to it."""
        with self._desk.store.reading() as tx:
            return tx.payments.result(tx.payments.get(public_id))

    def ended_at(self, public_id: str) -> datetime | None:
        """Say when a payment ended, if it has."""
        with self._desk.store.glance() as tx:
            moment: datetime | None = tx.payments.get(public_id).ended_at
        return moment

    def is_being_told(self, public_id: str) -> bool:
        """Say whether a confirmation of this payment is under way, or due and not yet tried."""
        with self._desk.store.reading() as tx:
            return tx.notices.is_under_way(tx.payments.get(public_id).id, self._desk.now())

    def find(self, merchants: frozenset[str], reference: str) -> tuple[PaymentResult, ...]:
        """Tell the payments that carry a reference, newest first."""
        with self._desk.store.reading(merchants) as tx:
            return tuple(tx.payments.result(row) for row in tx.payments.by_reference(merchants, reference))


def _is_untouched_twin(tx: Transaction, row: PaymentRow, request: PaymentRequest) -> bool:
    """Say whether a payment is what ``request`` asks for too, to the letter, and no card was ever entered on its page.

    Its payer opened it, and came again from the merchant's site: often with another device (ADR 15).
    """
    fields = ("label", "email", "notify_url", "return_url")
    is_same = row.amount_cents == request.amount.cents and json.loads(row.wire) == dict(request.wire)
    is_same = is_same and all(getattr(row, name) == getattr(request, name) for name in fields)
    return is_same and tx.attempts.latest(row.id) is None
