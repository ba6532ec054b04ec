"""The ground of the state machine: one world and its model side by side, and what merchants may do in both."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.checkout import Checkout, Limiting
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentRequest, Which
from gateway.dialects import Cancel, Capture, Open, Refund, Signed
from gateway.settings import LimitSettings
from tests.simulation.house import House
from tests.simulation.model import AMOUNT, PAGE_LIFE, Page
from tests.simulation.world import Weather, World

T = TypeVar("T")

MERCHANT = "mairie-demo"
# What becomes of a message to the bank, and whether the bank has acted on it.
FATES = {"": True, "unheard": True, "spoilt": True, "lost": False, "refused": False}

ANY = 5
which = st.integers(0, ANY)
FATE = st.sampled_from(("", "", "", "", *FATES))
# Longer than anything is asked for before its clock is looked at.
_A_WHILE = timedelta(seconds=5)
# More than the model's clocks are beside Guichet's.
_A_MOMENT = timedelta(seconds=1)
CENTS = st.sampled_from((1, 4000, 6000, AMOUNT))


class Ground(RuleBasedStateMachine):
    """One world, and the model of it."""

    house: House

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.house, 1, given=Weather())
        self.world.desk = replace(self.world.desk, limits=LimitSettings(factor=1_000_000))
        stage = self.world.stage
        # The model is asked at one moment: nobody may freeze between that and the product's own look at its clock.
        stage.is_brisk = True
        self.checkout = Checkout(self.world.desk, Limiting(self.world.desk, stage.sleep, lambda: stage.elapsed))
        self.world.checkout = self.checkout
        self.deliverer = self.world.deliverer("worker")
        self.pages: list[Page] = []
        self.number = 0

    def page(self, number: int, wanted: Callable[[Page], bool] = lambda _: True) -> Page:
        """Choose a page where this makes sense, or once in six any."""
        fit = [page for page in self.pages if wanted(page)]
        among = self.pages if number == ANY or not fit else fit
        return among[number % len(among)]

    def moment(self, clear: timedelta = _A_WHILE) -> datetime:
        """Say what time it is, when no time is about to run out: a question takes a while, and the model does not.

        :param clear: how long whatever is asked now may take to look at its clock
        """
        live = [page for page in self.pages if page.status in ("created", "opened", "working")]
        while any(-_A_MOMENT <= at - self.world.now() <= clear for page in live for at in page.deadlines()):
            self.world.stage.sleep(clear.total_seconds())
        return self.world.now()

    def live(self) -> int:
        return sum(page.status in ("created", "opened") for page in self.pages)

    def ask(self, op: str, verb: Callable[[], T], *, works: bool) -> T | None:
        """Ask both: Guichet must do it, or refuse it, as the model says."""
        answer = self.world.ask(op, verb)
        assert self.world.history[-1].result == ("ok" if works else "fail"), self.world.history[-1]
        return answer

    def agree(self, page: Page) -> None:
        assert self.checkout.opening.told(page.id).status == page.status

    def sign(self) -> Signed:
        self.number += 1
        return Signed(MERCHANT, f"jti-{self.number}", "d")

    # What merchants do.

    @initialize()
    def begin(self) -> None:
        """Begin with something to do."""
        self.open(0, by_hand=False)
        self.open(1, by_hand=True)

    @rule(debt=st.integers(0, 2), by_hand=st.booleans())
    def open(self, debt: int, by_hand: bool) -> None:
        name, amount, now = f"FACT-{debt}", Money(AMOUNT), self.moment()
        lines = (Line(name, "Cantine", amount),)
        request = PaymentRequest(MERCHANT, name, amount, lines, "Cantine", capture_by_hand=by_hand)
        signed = replace(self.sign(), digest=name)
        held = [page for page in self.pages if page.debt == debt and page.status in ("created", "opened", "working")]
        is_paid = any(p.debt == debt and p.status == "paid" and p.refunded < AMOUNT for p in self.pages)
        answer = self.ask(
            "open", partial(self.checkout.opening.open, Open(request, signed), "native"), works=not is_paid
        )
        if is_paid or answer is None:
            return
        for page in held:
            if page.is_late(now):
                page.end("expired")
        twin = next((page for page in held if page.status in ("created", "opened", "working")), None)
        assert answer[1] == (twin is None)
        if twin is None:
            self.pages.append(Page(answer[0].id, debt, signed.jti, now + PAGE_LIFE))
        else:
            assert answer[0].id == twin.id

    @precondition(lambda self: self.pages)
    @rule(number=which)
    def open_again(self, number: int) -> None:
        page, amount = self.page(number), Money(AMOUNT)
        name = f"FACT-{page.debt}"
        request = PaymentRequest(MERCHANT, name, amount, (Line(name, "Cantine", amount),), "Cantine")
        wish = Open(request, Signed(MERCHANT, page.jti, name))
        answer = self.ask("open", partial(self.checkout.opening.open, wish, "native"), works=True)
        assert answer is not None
        assert (answer[0].id, answer[0].status, answer[1]) == (page.id, page.status, False)

    @precondition(lambda self: self.live() > 1)
    @rule(number=which)
    def merchant_cancels(self, number: int) -> None:
        page, refunding = self.page(number), self.checkout.refunding
        works = page.status in ("created", "opened")
        order = Cancel(Which(payment=page.id), self.sign())
        self.ask("cancel", partial(refunding.cancel, order, "native"), works=works)
        if works:
            page.status, page.front = "cancelled", ""
        self.agree(page)

    @precondition(lambda self: any(page.status == "paid" for page in self.pages))
    @rule(number=which, cents=CENTS)
    def refund(self, number: int, cents: int) -> None:
        page = self.page(number, lambda page: page.status == "paid")
        works = page.status == "paid" and page.refunded + cents <= AMOUNT
        order = Refund(Which(payment=page.id), Money(cents), self.sign())
        told = self.ask("refund", partial(self.checkout.refunding.refund, order, "native"), works=works)
        if works and told is not None:
            page.refunded += cents
            assert [refund.status for refund in told.refunds if refund.status != "done"] == []
            assert told.refunded_cents == page.refunded

    @precondition(lambda self: any(page.status == "paid" for page in self.pages))
    @rule(number=which)
    def capture(self, number: int) -> None:
        page = self.page(number, lambda page: page.status == "paid")
        order = Capture(Which(payment=page.id), self.sign())
        works = page.status == "paid" and not page.refunded
        self.ask("capture", partial(self.checkout.refunding.capture, order, "native"), works=works)
