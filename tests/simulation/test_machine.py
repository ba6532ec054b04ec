"""Guichet against a small model of itself: whatever is asked in whatever order, both say the same of every payment.

The model knows no database, no crash and no bank: a payment is a status, a number of refused cards and what waits for its
payer. Hypothesis looks for the shortest story in which the two disagree.
"""

from datetime import timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS, REFUSED_BY_3DS, a_card
from tests.simulation.cast import Cast
from tests.simulation.house import House
from tests.simulation.machine import CENTS, FATE, FATES, Ground, which
from tests.simulation.model import CARDS_MAX, CODE_LIFE, SENDS_MAX, TRIES_MAX, WAITS, Page
from tests.support.checker import check
from tests.support.figures import record
from tests.support.scale import scaled

# A sweep asks a great deal.
_A_SWEEP = timedelta(minutes=1)


class Machine(Ground):
    """What payers do, and what happens to everybody."""

    # What payers do.

    @precondition(lambda self: self.pages)
    @rule(number=which)
    def show(self, number: int) -> None:
        page, now = self.page(number), self.moment()
        self.ask("show", partial(self.checkout.paying.show, page.id), works=True)
        page.touch(now)
        self.agree(page)

    @precondition(lambda self: self.pages)
    @rule(number=which)
    def ask_for_time(self, number: int) -> None:
        now = self.moment()
        page = self.page(number, lambda page: page.status == "opened")
        works = page.status == "opened" and not page.is_late(now)
        self.ask("extend", partial(self.checkout.extending.extend, page.id), works=works)
        if works:
            page.extend(now)
        until = self.checkout.opening.told(page.id).expires_at
        # The stage's own messages take a moment.
        assert abs(until - page.until) < timedelta(seconds=1)
        page.until = until

    @precondition(lambda self: self.pages)
    @rule(number=which, card=st.sampled_from((FRICTIONLESS, CHALLENGE, CHALLENGE, FUNDS, REFUSED_BY_3DS)))
    def enter_card(self, number: int, card: str) -> None:
        now = self.moment()
        page = self.page(number, lambda page: page.is_payable(now))
        works = page.is_payable(now) and page.cards < CARDS_MAX
        verb = partial(self.checkout.paying.enter_card, page.id, a_card(card), scheme="", email="")
        self.ask("enter_card", verb, works=works)
        if works:
            page.status, page.card, page.cards, page.tries, page.sends = "opened", card, page.cards + 1, 0, 1
            page.front = "challenge" if card == CHALLENGE else "ready"
            page.opened_at = page.sent_at = self.world.now()
            page.codes += card == CHALLENGE
            if card == REFUSED_BY_3DS:
                page.refuse()
        self.agree(page)

    @precondition(lambda self: any(page.front == "ready" for page in self.pages))
    @rule(number=which, fate=FATE)
    def authorise(self, number: int, fate: str) -> None:
        page, now = self.page(number, lambda page: page.front == "ready"), self.moment()
        works, is_late = page.front == "ready", page.is_late(now)
        self.world.line.script = [fate] if fate and works and not is_late else []
        self.ask("authorise", partial(self.checkout.settling.authorise, page.id), works=works)
        if is_late and works:
            page.end("expired")
        elif works:
            verdict = "declined" if page.card == FUNDS else "approved"
            page.doubt, page.front, page.status = (verdict if FATES[fate] else "nothing"), "", "working"
            if not fate:
                self.clear_up(page)
        self.agree(page)

    def clear_up(self, page: Page) -> None:
        """Let the bank's word be known."""
        if page.doubt == "approved":
            page.status = "paid"
        elif page.doubt:
            page.refuse()
        page.doubt = ""

    @precondition(lambda self: any(page.front == "challenge" for page in self.pages))
    @rule(number=which, is_right=st.booleans())
    def type_code(self, number: int, is_right: bool) -> None:
        self.deliverer.deliver_due()
        self.world.stage.sleep(1)
        page, now = self.page(number, lambda page: page.front == "challenge"), self.moment()
        works = page.is_payable(now) and page.front == "challenge"
        counts = works and now < page.sent_at + CODE_LIFE and page.tries < TRIES_MAX
        codes = self.world.post.codes.get(page.id, [])
        # The newest may still be on its way.
        typed = codes[-1] if codes and len(codes) == page.codes and is_right else "none"
        said = self.ask("answer_challenge", partial(self.checkout.paying.answer_challenge, page.id, typed), works=works)
        page.tries += counts
        if counts and typed != "none":
            assert said is True
            page.front = "ready"
        elif works:
            assert said is False
            if counts and page.tries == TRIES_MAX:
                page.refuse()
        self.agree(page)

    @precondition(lambda self: any(page.front == "challenge" for page in self.pages))
    @rule(number=which)
    def resend(self, number: int) -> None:
        page, now = self.page(number, lambda page: page.front == "challenge"), self.moment()
        works = page.is_payable(now)
        said = self.ask("resend_code", partial(self.checkout.paying.resend_code, page.id), works=works)
        sent = works and page.front == "challenge" and page.sends < SENDS_MAX
        sent = sent and now >= page.sent_at + timedelta(seconds=WAITS[page.sends - 1])
        assert said is (sent if works else None)
        if sent:
            page.sends, page.codes, page.sent_at = page.sends + 1, page.codes + 1, self.world.now()

    @precondition(lambda self: self.live())
    @rule(
        number=which,
        card=st.sampled_from((FRICTIONLESS, FRICTIONLESS, FUNDS)),
        fate=FATE,
        refunds=st.lists(CENTS, max_size=3),
    )
    def pay(self, number: int, card: str, fate: str, refunds: list[int]) -> None:
        """Do at one go what payers mostly do, and merchants then."""
        self.enter_card(number, card)
        self.authorise(number, fate)
        for cents in refunds:
            self.refund(number, cents)

    @precondition(lambda self: self.live())
    @rule(
        number=which,
        words=st.lists(st.sampled_from(("right", "wrong", "wrong", "send", "wait")), min_size=1, max_size=9),
    )
    def fumble(self, number: int, words: list[str]) -> None:
        """Enter a card that asks for a code, and type, or ask for another, and wait."""
        self.enter_card(number, CHALLENGE)
        for word in words:
            if word == "send":
                self.resend(number)
            elif word == "wait":
                self.world.stage.sleep(31)
            else:
                self.type_code(number, word == "right")

    @precondition(lambda self: self.pages)
    @rule(number=which)
    def change_card(self, number: int) -> None:
        page, now = self.page(number), self.moment()
        works = page.is_payable(now)
        self.ask("change_card", partial(self.checkout.paying.change_card, page.id), works=works)
        if works:
            page.front = ""
        self.agree(page)

    @precondition(lambda self: self.live() > 1)
    @rule(number=which)
    def cancel(self, number: int) -> None:
        page, now = self.page(number), self.moment()
        self.ask("cancel", partial(self.checkout.paying.cancel, page.id), works=True)
        if page.status == "created":
            page.touch(now)
        if page.status == "opened":
            page.end("cancelled")
        self.agree(page)

    # What happens to everybody.

    @rule(minutes=st.sampled_from((1, 2, 4, 7)))
    def wait(self, minutes: int) -> None:
        self.world.stage.sleep(minutes * 60)

    @precondition(lambda self: len(self.pages) > 3 and self.live())
    @rule()
    def oversleep(self) -> None:
        self.world.stage.sleep(31 * 60)

    @precondition(lambda self: self.pages)
    @rule()
    def sweep(self) -> None:
        """Let the worker settle everything: what is late, what is idle, what nobody knows."""
        for _ in range(6):
            now = self.moment(_A_SWEEP)
            self.checkout.sweep()
            for page in self.pages:
                if page.is_late(now) or (page.status == "opened" and page.is_stale(now)):
                    page.touch(now)
            self.world.stage.sleep(30)
        for page in self.pages:
            self.clear_up(page)
            # Its time may have run out while nobody knew.
            if page.is_late(now):
                page.touch(now)
            self.agree(page)

    @precondition(lambda self: any(page.front == "ready" for page in self.pages))
    @rule(number=which, boundary=st.integers(1, 9), fate=st.sampled_from(("told", "unheard", "stuck")))
    def kill_while_authorising(self, number: int, boundary: int, fate: str) -> None:
        """Kill the process somewhere on the way; afterwards the model learns how it went, within what may be."""
        page, now = self.page(number, lambda page: page.front == "ready"), self.moment()
        if page.front != "ready" or page.is_late(now):
            return
        before, self.world.kill_in = page.refused, boundary
        self.world.line.script = [] if fate == "told" else [fate]
        self.world.ask("authorise", partial(self.checkout.settling.authorise, page.id))
        self.world.line.script, self.world.kill_in = [], None
        page.front, page.status = "", "working"
        self.sweep_hazily(page)
        told = self.checkout.opening.told(page.id)
        ended = [a.status for a in told.attempts if a.status in ("declined", "authn_failed", "reversed")]
        is_waiting = told.attempts[-1].status == "authenticated"
        assert told.status in ("paid", "opened", "failed", "expired")
        # Whose time ran out meanwhile was refused before, or is expired.
        has_run_out = told.status in ("expired", "failed") and len(ended) == before
        assert (told.status == "paid") + (len(ended) - before) + is_waiting + has_run_out == 1
        assert told.status != "paid" or page.card != FUNDS
        page.status, page.refused, page.front = str(told.status), len(ended), "ready" if is_waiting else ""

    def sweep_hazily(self, hazy: Page) -> None:
        others = self.pages
        self.pages = [page for page in others if page is not hazy]
        self.sweep()
        self.pages = others

    def teardown(self) -> None:
        """Let time pass, and have the judge look at what is left."""
        Cast(self.world).settle()
        found = check(self.world.evidence())
        self.world.stage.close()
        assert found == []


def run(house: House, examples: int) -> None:
    made = type("Machine", (Machine,), {"house": house})
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=examples, stateful_step_count=scaled(30, 100), deadline=None, database=None,
            derandomize=scaled(1, 0) == 1, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    record("state machine", engine=house.engine.dialect.name, runs=examples, steps=scaled(30, 100))


@pytest.mark.nightly_too
@pytest.mark.timeout(7200)
def test_whatever_is_asked_the_model_says_the_same(house: House) -> None:
    run(house, scaled(25, 200))


@pytest.mark.nightly_too
@pytest.mark.timeout(7200)
def test_whatever_is_asked_the_model_says_the_same_on_postgresql(postgresql_house: House) -> None:
    run(postgresql_house, scaled(8, 60))
