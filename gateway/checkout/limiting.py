"""What keeps a bot from trying cards out: which card the bank is not asked about, and when people are called.

A card over a limit walks the pages of a card that its bank refuses: the same texts, the same statuses, about the same
time. So no answer tells a dead card from one nobody asked about. All counts are in the database, whatever the number of
processes; the figures are settings (``[limits]``).
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Row

from gateway.acquirers import Answer, Enrolment, Flow, Outcome
from gateway.channels.attack_text import attack_text
from gateway.checkout.desk import Desk
from gateway.core.card import CardEntry, CardNumber
from gateway.core.errors import TooMany, WrongStatus
from gateway.core.limits import (
    DAY,
    HOUR,
    KEPT,
    RANGE_HELD,
    SLOW_PAUSE,
    SPELL,
    WITHHELD,
    WITHHELD_CODE,
    WITHHELD_FAMILY,
    Identity,
    is_over_share,
    is_range_tested,
)
from gateway.core.money import Money
from gateway.metrics import ALARMS
from gateway.metrics import WITHHELD as WITHHELD_CARDS
from gateway.store import Transaction
from gateway.store.payments import PaymentRow
from gateway.store.seen import Refusals, Seen, Typed

log = logging.getLogger(__name__)

Given = TypeVar("Given")

# How many recent answers of the bank are remembered, and the longest of them that is imitated.
_REMEMBERED = 16
_IMITATED_SECONDS_MAX = 2.0


class Limiting:
    """Counts, and says no without saying so.

    :param pause: waits so many seconds
    :param elapsed: seconds, by a clock that nobody sets
    """

    def __init__(
        self,
        desk: Desk,
        pause: Callable[[float], None] = time.sleep,
        elapsed: Callable[[], float] = lambda: time.monotonic(),
    ) -> None:
        self._desk, self.figures, self._pause, self._elapsed = desk, desk.limits.scaled, pause, elapsed
        self._paces: dict[str, deque[float]] = {}

    # Before the bank is asked about a card.

    def admit(self, tx: Transaction, row: PaymentRow, card: CardNumber, origin: str) -> tuple[int, bool]:
        """Write a card down that was typed on a page; gives the entry, and whether the bank may be asked about it.

        :param origin: the network it came from; empty when nobody's network is behind it

        Raises :class:`WrongStatus` when this page has seen too many.
        """
        now, limits = self._desk.now(), tx.limits
        key = self._desk.card_key
        number, card_range = (Identity.of(digest, key, now) for digest in (card.identity, card.range_identity))
        typed = Typed(row.id, row.merchant_id, origin, number, card_range)
        addresses = [("address", origin)] if origin else []
        limits.lock([*addresses, ("card", number.today.hex())], now)
        seen = limits.see(typed, now)
        if seen.of_page >= self.figures.cards_per_page:
            raise WrongStatus("too many cards were entered on this page")
        passed = self._passed_limit(tx, row, typed, seen)
        if passed:
            WITHHELD_CARDS.labels(passed).inc()
            log.info("card withheld from the bank", extra={"payment": row.public_id, "reason": passed})
        return limits.add_entry(typed, now, "withheld" if passed else "asked"), not passed

    def may_enter(self, entered: int) -> bool:
        """Say whether a page on which so many cards were typed takes one more."""
        return entered < self.figures.cards_per_page

    def _passed_limit(self, tx: Transaction, row: PaymentRow, typed: Typed, seen: Seen) -> str:
        """Name the first limit a card would pass; empty when the bank may be asked about it."""
        if typed.origin and self._is_busy(seen):
            return "address"
        if self._is_refused_often(seen.refusals):
            return "card"
        if self._is_held(tx, row, typed, seen):
            return "range"
        return self._passed_slow(tx, row, typed.origin) if seen.is_attacked else ""

    def _is_busy(self, seen: Seen) -> bool:
        figures = self.figures
        return seen.of_origin >= figures.cards_per_address or seen.of_origin_day >= figures.cards_per_address_day

    def _passed_slow(self, tx: Transaction, row: PaymentRow, origin: str) -> str:
        """Name the limit a card would pass that holds only while its merchant is under attack."""
        now = self._desk.now()
        last = tx.limits.last_of_payment(row.id)
        if last is not None and now - last < SLOW_PAUSE:
            return "slow"
        refused = tx.limits.count_refused_of_origin(origin, now - DAY) if origin else 0
        return "address" if refused >= self.figures.refusals_per_address_day else ""

    def _is_refused_often(self, refusals: Refusals) -> bool:
        figures = self.figures
        return refusals.hour >= figures.refusals_per_card_hour or refusals.day >= figures.refusals_per_card_day

    def _is_held(self, tx: Transaction, row: PaymentRow, typed: Typed, seen: Seen) -> bool:
        """Say whether cards of a range are not asked about for a merchant, which may begin now."""
        if seen.is_held:
            return True
        share, enough, percent = seen.of_range, self.figures.range_cards, self.figures.range_percent
        if not is_range_tested(share.refused, share.entered, at_least=enough, percent=percent):
            return False
        self._raise(tx, row, "range", typed.range.today.hex(), RANGE_HELD)
        return True

    def stand_in(self, card: CardEntry) -> Enrolment:
        """Give what stands for the bank's answer about a card it is not asked about."""
        self._imitate("enrol")
        return self.withheld(self._desk.acquirer.schemes(card.number.bin) or (card.number.scheme,))

    @staticmethod
    def withheld(schemes: tuple[str, ...]) -> Enrolment:
        """Word the answer about a card of these brands that is walked to a refusal; asks and imitates nobody."""
        return Enrolment(WITHHELD, Flow.FRICTIONLESS, schemes, eci="02" if schemes[-1] == "mastercard" else "05")

    # Before the bank is asked for the money.

    def may_ask(self, tx: Transaction, attempt: Row[Any]) -> bool:
        """Say whether the bank may be asked for money from this card: cards typed at once are counted here again."""
        if attempt.token == WITHHELD:
            return False
        card = tx.limits.card_of(attempt.id)
        if card is None:
            return True
        now = self._desk.now()
        tx.limits.lock([("card", card.today.hex())], now)
        if not self._is_refused_often(tx.limits.refusals(card, now, besides=attempt.id)):
            return True
        tx.limits.withhold(attempt.id)
        WITHHELD_CARDS.labels("card").inc()
        return False

    def refusal(self, op_id: str, amount: Money) -> Answer:
        """Give what stands for the bank's refusal of a card it is not asked about."""
        self._imitate("authorise")
        return Answer(op_id, Outcome.DECLINED, amount, response_code=WITHHELD_CODE, family=WITHHELD_FAMILY)

    def timed(self, verb: str, call: Callable[[], Given]) -> Given:
        """Ask the bank, and remember how long it took."""
        began = self._elapsed()
        try:
            return call()
        finally:
            taken = self._paces.setdefault(verb, deque(maxlen=_REMEMBERED))
            taken.append(min(self._elapsed() - began, _IMITATED_SECONDS_MAX))

    def _imitate(self, verb: str) -> None:
        """Take as long as the bank lately did: a quick no would tell that nobody was asked."""
        if lately := list(self._paces.get(verb, ())):
            self._pause(self._desk.chance.choice(lately))

    # One-time codes.

    def may_send(self, tx: Transaction, row: PaymentRow, phone: str) -> bool:
        """Say whether one more code may go to a telephone; many to one block of numbers call people.

        The number that stands for one in test mode is nobody's, and everybody's.
        """
        if phone == self._desk.test_phone:
            return True
        now, figures, block = self._desk.now(), self.figures, phone[:-4]
        tx.limits.lock([("phone", phone)], now)
        if tx.limits.count_codes(phone, now - HOUR) >= figures.codes_per_phone_hour:
            WITHHELD_CARDS.labels("phone").inc()
            return False
        hour = now.replace(minute=0, second=0, microsecond=0)
        if not tx.limits.count_within("block", block, hour, figures.codes_per_block_hour):
            self._raise(tx, row, "codes", block, HOUR)
        return True

    def may_compare(self, tx: Transaction, attempt: Row[Any]) -> bool:
        """Count one comparison of a code for the card, over all its payments; false when a day's are used up."""
        card = tx.limits.card_of(attempt.id)
        if card is None:
            return True
        now = self._desk.now()
        tx.limits.lock([("card", card.today.hex())], now)
        return tx.limits.count_guess(attempt.id, card, now - DAY, self.figures.guesses_per_card_day)

    # Merchants' programs.

    def count_post(self, caller: str) -> None:
        """Count one call of a merchant's program. Raises :class:`TooMany`.

        :param caller: who calls, in 64 characters at most
        """
        with self._desk.store.transaction() as tx:
            second = self._desk.now().replace(microsecond=0)
            if tx.limits.count_within("posts", caller, second, self.figures.posts_per_second):
                return
        raise TooMany("too many calls in one second", retry_after_seconds=1)

    # People.

    def sweep(self) -> None:
        """Raise the alarm for merchants under attack, and forget what no rule looks back to any more."""
        now, figures = self._desk.now(), self.figures
        with self._desk.store.reading() as tx:
            shares = tx.limits.shares(now - SPELL)
        for share in shares.values():
            enough, percent = figures.attack_cards, figures.attack_percent
            if is_over_share(share.refused, share.entered, at_least=enough, percent=percent):
                with self._desk.store.transaction() as tx:
                    self._raise(tx, tx.payments.by_id(share.latest), "refusals", "", SPELL)
        with self._desk.store.transaction() as tx:
            tx.limits.forget(now - KEPT)

    def _raise(self, tx: Transaction, row: PaymentRow, kind: str, subject: str, life: timedelta) -> None:
        """Keep an alarm up; whoever raises it tells the log, the metrics and the merchant's managers."""
        now: datetime = self._desk.now()
        if not tx.limits.raise_alert(row.merchant_id, kind, subject, now, now + life):
            return
        ALARMS.labels(kind).inc()
        log.error("cards are being tried out", extra={"merchant": row.merchant_id, "reason": kind})
        merchant = self._desk.merchants.get(row.merchant_id)
        if merchant is not None:
            event = self._desk.note(tx, row, "alarm.raised", why=kind)
            self._desk.outbox.alarm(
                tx, row.id, event, attack_text(kind, merchant.name, now.astimezone(self._desk.zone), row.language)
            )
