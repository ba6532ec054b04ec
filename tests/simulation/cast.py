"""Who is in the world and what they do: portals that ask twice, payers with two tabs, workers that are killed, staff.

Everybody decides by the world's own chance; nobody knows what is right. That is for the judge.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial

from sqlalchemy import func, select

from gateway.checkout import Situation, Stage
from gateway.core.errors import AcquirerUnreachable, StoreBusy
from gateway.core.money import Money
from gateway.core.payment import Kind, Line, PaymentRequest, PaymentResult, Which
from gateway.dialects import Cancel, Capture, LookUp, Open, Refund, Signed
from gateway.store import tables as t
from gateway.store.engine import READ_ONLY
from tests.factories import (
    CHALLENGE,
    FRICTIONLESS,
    FUNDS,
    REFUSED_BY_3DS,
    SILENT_APPROVED,
    SILENT_DECLINED,
    SILENT_LOST,
    a_card,
)
from tests.simulation.agenda import TO_DELIVER, TO_SWEEP, Agenda
from tests.simulation.stage import Killed
from tests.simulation.world import World

REVIEWED = "4000000700010004"
REFUND_REFUSED = "4000000800030001"
LATE_CAPTURE = "4000000800020002"
# What a payer may have in the pocket; the ones that ask for a code are the commonest.
CARDS = (
    FRICTIONLESS, FRICTIONLESS, FRICTIONLESS, CHALLENGE, CHALLENGE, CHALLENGE, FUNDS, REFUSED_BY_3DS,
    SILENT_APPROVED, SILENT_DECLINED, SILENT_LOST, LATE_CAPTURE, REVIEWED, REFUND_REFUSED,
)  # fmt: skip
# How long people take between two things: mostly a moment, now and then long enough for a code or a page to die.
PAUSES = (0.0, 0.0, 0.5, 2.0, 2.0, 5.0, 12.0, 40.0, 90.0)
LONG_PAUSES = (330.0, 660.0, 2000.0)
MERCHANTS = ("mairie-demo", "jvs-demo")

# Turns of a night until everything must be over; most need a dozen.
_NIGHTS_MAX = 120


class Cast:
    """Everybody, brought onto the stage of one world."""

    def __init__(self, world: World) -> None:
        self.world, self.chance, self.stage = world, world.chance, world.stage
        self.tabs = 0
        self.agenda = Agenda(world)
        self.open_acts = 0

    def enter(self) -> None:
        """Bring everybody on."""
        for number in range(self.chance.randint(1, 3)):
            self._begin(f"portal {number}", partial(self._portal, number))
        for number in range(self.chance.randint(1, 2)):
            self.stage.enter(f"worker {number}", partial(self._work, f"worker {number}"), f"worker {number}")
            self.stage.enter(f"sweeper {number}", partial(self._sweep_on, number), f"worker {number}")
        if self.chance.random() < 0.25:
            self.stage.enter("clock", self._jump, after=self.chance.uniform(1, 300))

    def _begin(self, name: str, task: Callable[[], None]) -> None:
        """Bring somebody on who must be done before the play can end."""
        self.open_acts += 1

        def act() -> None:
            try:
                task()
            finally:
                self.open_acts -= 1

        self.stage.enter(name, act, name)

    def _think(self) -> None:
        self.stage.sleep(self.chance.choice(LONG_PAUSES if self.chance.random() < 0.04 else PAUSES))

    # Portals.

    def _portal(self, number: int) -> None:
        """Ask for one debt, in several requests, and send payers to whatever pages come back."""
        merchant, by_hand = self.chance.choice(MERCHANTS), self.chance.random() < 0.15
        pages: dict[str, PaymentResult] = {}
        for wish in self._wishes(number, merchant, by_hand):
            answer = self.world.ask("open", partial(self.world.checkout.opening.open, wish, "native"))
            if answer is not None and answer[0].id not in pages:
                pages[answer[0].id] = answer[0]
                for _ in range(self.chance.choice((1, 1, 2))):
                    self.tabs += 1
                    self._begin(f"tab {self.tabs}", partial(self._tab, answer[0].id))
            self._think()
        self._order(list(pages), merchant)

    def _wishes(self, number: int, merchant: str, by_hand: bool) -> Iterator[Open]:
        """Word the same debt as a portal may: the same request again, a new one, another spelling, another amount."""
        amount, spelling = Money(self.chance.randint(100, 20_000)), f"FACT-{number}"
        for turn in range(self.chance.choice((1, 1, 2, 3))):
            jti = f"open-{number}-{turn if self.chance.random() < 0.7 else 0}"
            words = self.chance.choice((spelling, spelling, spelling.lower()))
            request = PaymentRequest(
                merchant, words, amount, (Line(words, "Cantine", amount),), "Cantine", kind=Kind.DEBT,
                email="famille@example.org", notify_url=f"https://{merchant}.example/confirmations", capture_by_hand=by_hand,
            )  # fmt: skip
            yield Open(request, Signed(merchant, jti, f"{words} {amount.cents}"))
            if self.chance.random() < 0.3:
                amount = Money(amount.cents + 1)

    def _order(self, pages: list[str], merchant: str) -> None:
        """Do what merchants do with payments: look, cancel, capture, refund, each perhaps twice."""
        for _ in range(self.chance.randint(1, 5)):
            self.stage.sleep(self.chance.choice((1.0, 10.0, 60.0, 150.0)))
            if not pages:
                return
            payment = self.chance.choice(pages)
            which, jti = Which(frozenset({merchant}), payment=payment), f"order-{self.chance.randint(1, 4)}-{payment}"
            signed = Signed(merchant, jti, "d")
            cents = self.chance.choice((None, 30, 40, 5000))
            money = Money(cents) if cents else None
            refunding, opening = self.world.checkout.refunding, self.world.checkout.opening
            verbs: tuple[tuple[str, Callable[[], PaymentResult]], ...] = (
                ("look", partial(opening.look_up, LookUp(which), "native")),
                ("cancel", partial(refunding.cancel, Cancel(which, signed), "native")),
                ("capture", partial(refunding.capture, Capture(which, signed), "native")),
                ("refund", partial(refunding.refund, Refund(which, money, signed), "native")),
            )
            self.world.ask(*self.chance.choices(verbs, (1, 1, 2, 6))[0])

    # Payers.

    def _tab(self, payment: str) -> None:
        """Sit before the page until it is over, or one has had enough."""
        for _ in range(self.chance.randint(3, 12)):
            self._think()
            paying = self.world.checkout.paying
            seen = self.world.ask("show", partial(paying.show, payment))
            if seen is None:
                continue
            if seen.stage in (Stage.PAID, Stage.CANCELLED, Stage.EXPIRED) or (
                seen.stage is Stage.REFUSED and not seen.can_retry
            ):
                return
            self._react(payment, seen)

    def _react(self, payment: str, seen: Situation) -> None:
        """Do what the page offers; one in ten does something else."""
        paying, world, lot = self.world.checkout.paying, self.world, self.chance.random()
        if lot < 0.03:
            world.ask("cancel", partial(paying.cancel, payment), payment=payment)
        elif lot < 0.1 or seen.stage is Stage.REFUSED:
            world.ask("change_card", partial(paying.change_card, payment))
        elif seen.stage is Stage.CARD:
            card = a_card(self.chance.choice(CARDS))
            world.ask("enter_card", partial(paying.enter_card, payment, card, scheme="", email=""))
            if self.chance.random() < 0.8:
                world.ask("authorise", partial(world.checkout.settling.authorise, payment))
        elif seen.stage is Stage.REVIEW:
            world.ask("authorise", partial(world.checkout.settling.authorise, payment))
        elif seen.stage is Stage.CHALLENGE:
            self._answer(payment)

    def _answer(self, payment: str) -> None:
        """Type what came by SMS, fumble, or ask for another code; up to four things before looking up again."""
        paying = self.world.checkout.paying
        for _ in range(self.chance.randint(1, 4)):
            codes, lot = self.world.post.codes.get(payment, []), self.chance.random()
            if lot < 0.3:
                self.world.ask("resend_code", partial(paying.resend_code, payment))
            elif lot < 0.55:
                self.world.ask("answer_challenge", partial(paying.answer_challenge, payment, "000000"))
            elif codes:
                is_right = self.world.ask("answer_challenge", partial(paying.answer_challenge, payment, codes[-1]))
                if is_right:
                    self.world.ask("authorise", partial(self.world.checkout.settling.authorise, payment))
                    return
            self.stage.sleep(self.chance.choice((1.0, 8.0, 35.0)))

    # Workers.

    def _work(self, process: str) -> None:
        """Deliver until the play ends; after a kill the supervisor starts the process again."""
        deliverer = self.world.deliverer(process)
        while self.open_acts:
            try:
                self.stage.sleep(self.chance.uniform(1, 12))
                if self.agenda.is_due(TO_DELIVER):
                    deliverer.deliver_due()
            except StoreBusy:
                continue
            except Killed:
                if self.stage.is_over:
                    raise
                self.stage.sleep(1.0)
                deliverer = self.world.deliverer(process)

    def _sweep_on(self, number: int) -> None:
        """Sweep until the play ends."""
        while self.open_acts:
            try:
                self.stage.sleep(self.chance.uniform(5, 25))
                if self.agenda.is_due(TO_SWEEP):
                    self.world.note(f"sweeper {number} sweeps")
                    self.world.checkout.sweep()
            except StoreBusy:
                continue
            except Killed:
                if self.stage.is_over:
                    raise

    # The world itself.

    def _jump(self) -> None:
        """Set every clock wrong at once, as an operator or a broken time server would."""
        self.world.jump += timedelta(seconds=self.chance.choice((90, -90, 3600, -3600, 90_000, -90_000)))
        self.world.note(f"the clock jumps by {self.world.jump}")

    def settle(self) -> None:
        """Once all trouble is over, let time pass until nothing is left to do, as far as it ever ends."""
        world, deliverer, began = self.world, self.world.deliverer("night"), self.stage.elapsed
        for _ in range(_NIGHTS_MAX):
            if self.agenda.is_due(TO_DELIVER):
                deliverer.deliver_due()
            if self.agenda.is_due(TO_SWEEP):
                world.checkout.sweep()
            self._decide()
            self.stage.sleep(1.0)
            if world.settled_seconds is None and not self._doubtful("authorising", "unknown"):
                world.settled_seconds = self.stage.elapsed - began
            due = [at for at in self.agenda.next() if at is not None]
            if not due:
                return
            self.stage.sleep(max((min(due) - world.now()).total_seconds() + 0.001, _NIGHT_STEP))

    def _doubtful(self, *statuses: str) -> list[tuple[str, str, str, int]]:
        """Find the payment, the messages and the amount of each attempt in one of these states."""
        a, o, p = t.attempt, t.operation, t.payment
        undo = o.alias()
        asked = (
            select(p.c.public_id, o.c.op_id, func.coalesce(undo.c.op_id, ""), p.c.amount_cents)
            .join(a, a.c.payment_id == p.c.id)
            .join(o, (o.c.attempt_id == a.c.id) & (o.c.kind == "authorise"))
            .outerjoin(undo, (undo.c.attempt_id == a.c.id) & (undo.c.kind == "reverse"))
            .where(a.c.status.in_(statuses))
        )
        with self.world.house.engine.connect().execution_options(**READ_ONLY) as db:
            return [(row[0], row[1], row[2], row[3]) for row in db.execute(asked)]

    def _decide(self) -> None:
        """Let two people settle what is in review, by what the bank's own book says."""
        for payment, target, undo, cents in self._doubtful("review"):
            # A bank that still reviews the card itself may yet approve, whatever it said to a reversal: they ask until it says.
            for _ in range(_INQUIRIES):
                with suppress(AcquirerUnreachable):
                    self.world.bank.status(target, Money(cents))
            held = any(entry.op_id == target and entry.state == "approved" for entry in self.world.bank.book())
            if not held:
                self.world.bank.reverse(target, Money(cents), op_id=undo)
            decide = partial(self.world.checkout.settling.decide, payment, approved=held)
            self.world.ask("decide", decide, payment=payment, approved="yes" if held else "no")


# Of a night's turn, at least: what falls due close together is done together.
_NIGHT_STEP = 20.0
# One more than the simulated bank is silent to.
_INQUIRIES = 3


def perform(world: World) -> None:
    """Play one seed from its first request until nothing is left to do."""
    cast = Cast(world)
    cast.enter()
    try:
        world.stage.play()
        world.calm()
        world.note("calm")
        world.stage.enter("night", cast.settle, "night")
        world.stage.play()
    finally:
        world.stage.close()
