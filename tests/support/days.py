"""A server's whole life in a few seconds: everything that makes it ask its database, done once by the real verbs."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import cast

from gateway.acquirers import Acquirer
from gateway.acquirers.simulator import Simulator
from gateway.audit import Inspection
from gateway.audit.book import take_note
from gateway.channels import Notice
from gateway.checkout import Checkout
from gateway.core.errors import AcquirerUnreachable, DeliveryFailed, GatewayError
from gateway.core.money import Money
from gateway.core.paylink import LinkTerms
from gateway.core.payment import Instalment, PaymentResult, Which
from gateway.dialects import Cancel, Capture, LookUp, Refund, Signed
from gateway.parts import Parts
from gateway.settings import LimitSettings
from tests.dialects.samples import SAMPLES
from tests.factories import (
    CHALLENGE,
    FRICTIONLESS,
    FUNDS,
    MERCHANT,
    REFUSED_BY_3DS,
    SILENT_LOST,
    a_card,
    a_request,
    deliver,
    enter,
    open_payment,
    pay,
    read_code,
)
from tests.support import situations
from tests.support.clock import Clock
from tests.support.theatre import Theatre
from tests.test_outbox import Postman, turn

LATER_SECOND_TRY, REFUND_REFUSED = "4000000800050009", "4000000800030001"


def live(parts: Parts, clock: Clock) -> None:
    """Let every kind of payment happen, and all that looks after them."""
    theatre = Theatre("", parts, clock)
    # What was counted is forgotten after two days, and an attack shows while nobody else pays.
    for part in (_months_pass, _outage, _instalments, _attack, _protocols, _pages, _orders, _operator, _evening):
        part(theatre)


def _months_pass(theatre: Theatre) -> None:
    """Let money that waits for its merchant's word lapse, and in the end everything be forgotten."""
    parts = theatre.parts
    pay(parts, open_payment(parts, capture_by_hand=True))
    situations.link_revoked(theatre)
    parts.sealer().begin()
    for days in (5, 2, 15 * 31):
        theatre.clock.advance(days=days)
        for _ in range(2):
            theatre.clock.advance(hours=1, seconds=1)
            parts.checkout.sweep()
            turn(parts, Postman())


def _outage(theatre: Theatre) -> None:
    """Have the portals down for so long that notices are given up."""
    parts, clock = theatre.parts, theatre.clock

    def refuse(notice: Notice) -> DeliveryFailed | None:
        return DeliveryFailed("HTTP 503") if notice.channel == "confirmation" else None

    for _ in range(6):
        pay(parts, open_payment(parts))
    for days in (0, 0, 4, 0):
        clock.advance(days=days, seconds=61)
        while turn(parts, Postman(refuse)):
            pass
        parts.checkout.sweep()
    clock.advance(hours=1)
    while turn(parts, Postman()):
        pass


def _protocols(theatre: Theatre) -> None:
    """Pay in every dialect, and have each asked by the name it gave the payment."""
    opening = theatre.parts.checkout.opening
    for dialect in SAMPLES:
        payment = situations.come(theatre, dialect)
        assert theatre.parts.checkout.visiting.admits(payment.id, "a browser", stays=True)
        pay(theatre.parts, payment)
        for which in (Which(payment=payment.id), Which(handle=payment.handle or "?"), Which(number=payment.number)):
            with suppress(GatewayError):
                opening.look_up(LookUp(which, is_receipt=True), dialect)
        opening.is_being_told(payment.id)
        opening.find(frozenset({payment.request.merchant}), payment.request.reference)


def _pages(theatre: Theatre) -> None:
    prepare: tuple[Callable[[Theatre], str], ...] = (
        situations.many_debts, situations.wrong_code, situations.waiting_long, situations.cancelled, situations.expired,
        situations.elsewhere, situations.refused_for_good, situations.debt_locked, situations.link_paid,
        situations.link_past, situations.link_elsewhere, situations.link_revoked, situations.ticket,
    )  # fmt: skip
    for situation in prepare:
        situation(theatre)
    parts, clock = theatre.parts, theatre.clock
    payment = situations.with_card(theatre, CHALLENGE)
    clock.advance(seconds=70)
    parts.checkout.extending.extend(payment.id)
    parts.checkout.paying.resend_code(payment.id)
    parts.checkout.paying.answer_challenge(payment.id, read_code(parts, payment))
    parts.checkout.settling.authorise(payment.id)
    parts.checkout.visiting.release(payment.id)
    # A bill that was refused for good is asked for again.
    for _ in range(2):
        again = open_payment(parts, reference="AGAIN-1")
        parts.checkout.paying.enter_card(again.id, a_card(FUNDS), scheme="", email="me@example.org", language="en")
        parts.checkout.paying.cancel(again.id)
    linking = parts.checkout.linking
    numbers = [made.number for made in linking.make([LinkTerms(a_request()) for _ in range(20)])]
    linking.open(numbers[0])
    for number in numbers[:2]:
        linking.show(number)
    # To a telephone of the payer's own; the one of tests is not counted.
    enter(parts, open_payment(parts, payer_phone="+33612345678"), CHALLENGE)
    for made in (linking.listed(20), linking.listed(20, MERCHANT)):
        linking.of_reference(MERCHANT, made[0].link.terms.request.reference)


def _orders(theatre: Theatre) -> None:
    """Cancel, capture, refund: a merchant's orders, one of them while the bank is silent."""
    parts, refunding = theatre.parts, theatre.parts.checkout.refunding
    by_hand = pay(parts, open_payment(parts, capture_by_hand=True))
    refunding.capture(Capture(*_signed(by_hand, "c")), "native")
    for number, checkout in (
        (FRICTIONLESS, parts.checkout),
        (REFUND_REFUSED, parts.checkout),
        (FRICTIONLESS, _silent(parts)),
    ):
        paid = pay(parts, open_payment(parts), number)
        which, signed = _signed(paid, "r")
        checkout.refunding.refund(Refund(which, Money(100), signed), "native")
    refunding.cancel(Cancel(*_signed(open_payment(parts), "x")), "native")
    parts.checkout.limiting.count_post("mairie-demo")
    # Money that waits for a word nobody will say, and for the evening.
    pay(parts, open_payment(parts, capture_by_hand=True))
    pay(parts, open_payment(parts, capture_days=3))
    parts.checkout.close_day()
    enter(parts, open_payment(parts), CHALLENGE)
    pay(parts, open_payment(parts), SILENT_LOST)


def _signed(payment: PaymentResult, jti: str) -> tuple[Which, Signed]:
    return Which(frozenset({MERCHANT}), payment=payment.id), Signed(MERCHANT, f"{jti}-{payment.id}", "d")


class _Silent:
    """A bank that answers nothing about money."""

    def __init__(self, bank: Acquirer) -> None:
        self._bank = bank

    def __getattr__(self, verb: str) -> Callable[..., object]:
        if verb not in ("authorise", "refund", "status"):
            given: Callable[..., object] = getattr(self._bank, verb)
            return given

        def unreachable(*_: object, **__: object) -> object:
            raise AcquirerUnreachable("silence")

        return unreachable


def _silent(parts: Parts) -> Checkout:
    desk = parts.checkout.desk
    return Checkout(replace(desk, acquirer=cast(Acquirer, _Silent(desk.acquirer))))


def _attack(theatre: Theatre) -> None:
    """Have cards tried out where two are an attack; the same card lies on two pages when its bank refuses it."""
    parts, figures = theatre.parts, LimitSettings(attack_cards=2, range_cards=2, refusals_per_card_hour=1)
    strict = Checkout(replace(parts.checkout.desk, limits=figures))
    pages = [open_payment(parts).id for _ in range(4)]
    for page, card in zip(pages, (FUNDS, FUNDS, REFUSED_BY_3DS, CHALLENGE), strict=True):
        strict.paying.enter_card(page, a_card(card), scheme="", email="", origin="203.0.113.1")
    for page in pages[:2]:
        strict.settling.authorise(page)
    strict.sweep()
    strict.paying.change_card(pages[0])
    theatre.clock.advance(seconds=30)
    strict.paying.enter_card(pages[0], a_card(), scheme="", email="", origin="203.0.113.1")
    with parts.store.reading() as tx:
        tx.limits.alerts(parts.now())


def _instalments(theatre: Theatre) -> None:
    """Buy in three times: one card is refused later, one bank is silent while its purchase is given back."""
    parts, clock = theatre.parts, theatre.clock
    due = [clock.now().date() + timedelta(days=days) for days in (2, 30)]
    plan = tuple(Instalment(day, Money(3000)) for day in due)
    for card in (LATER_SECOND_TRY, FRICTIONLESS):
        purchase = pay(parts, open_payment(parts, amount=Money(4000), instalments=plan), card)
        parts.checkout.sweep()
    clock.advance(days=2)
    _silent(parts).sweep()
    parts.checkout.refunding.refund(Refund(_signed(purchase, "")[0], None, _signed(purchase, "all")[1]), "native")
    for _ in range(2):
        clock.advance(seconds=61)
        parts.checkout.sweep()


def _operator(theatre: Theatre) -> None:
    """Do what commands and programs of the operator do."""
    parts, checkout = theatre.parts, theatre.parts.checkout
    take_note(parts.store, parts.book())
    for _ in range(3):
        deliver(parts)
    sealer = parts.sealer()
    sealer.seal()
    sealer.anchor()
    parts.figures()
    parts.faults()
    with parts.store.reading() as tx:
        tx.notices.next_due()
        noticed = [one for state in ("new", "sent", "dead", None) for one in tx.notices.newest(20, state)]
        tx.notices.of_payment(tx.payments.newest(20)[0].id)
        list(Inspection(tx, parts.pen()).faults(parts.anchors().all()))
    with parts.store.transaction() as tx:
        tx.notices.resend(next(one.id for one in noticed if one.channel != "sms"), parts.now())
        tx.watch.found("audit", 0, parts.now())
        tx.endpoints.forget(parts.now())
    theatre.clock.advance(seconds=61)
    pay(parts, open_payment(parts))
    bank = checkout.desk.acquirer
    assert isinstance(bank, Simulator)
    checkout.reconciling.differences(bank.statement(parts.now()))


def _evening(theatre: Theatre) -> None:
    """Pay out what waits for it, and tell everybody everything."""
    parts = theatre.parts
    parts.checkout.close_day()
    while turn(parts, Postman()):
        theatre.clock.advance(seconds=61)
        parts.checkout.sweep()
