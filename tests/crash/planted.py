"""Faults planted on purpose in a copy of the product, to see that the harness finds them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from gateway.checkout import Desk
from gateway.checkout.settling import Settling
from gateway.core.money import Money
from gateway.outbox import Outbox
from gateway.store import Store, Transaction
from gateway.store.attempts import Attempts

VARIABLE = "CRASH_PLANT"


def plant(name: str) -> None:
    """Break what this process has loaded of the product; an empty name breaks nothing."""
    if name:
        FAULTS[name]()


def call_first() -> None:
    """Ask the bank before the intent is durable."""
    desks: list[Desk] = []
    begin, add = Settling.__init__, Attempts.add_operation

    def remember(self: Settling, desk: Desk, *more: Any) -> None:
        desks.append(desk)
        begin(self, desk, *more)

    def hasten(self: Attempts, op_id: str, attempt_id: int, kind: str, amount_cents: int, now: datetime) -> None:
        if kind == "authorise":
            it = self.get(attempt_id)
            asked = partial(desks[-1].acquirer.authorise, it.token, Money(amount_cents), op_id=op_id)
            asked(scheme=it.scheme, authentication=it.authentication)
        add(self, op_id, attempt_id, kind, amount_cents, now)

    Settling.__init__ = remember  # type: ignore[method-assign, assignment]
    Attempts.add_operation = hasten  # type: ignore[method-assign]


def promise_later() -> None:
    """Write a promise down after its fact, in a transaction of its own."""
    keep = Outbox._keep

    def put_off(self: Outbox, tx: Transaction, promises: list[dict[str, object]]) -> None:
        def later() -> None:
            with Store(tx.connection.engine, {}, tx.pen).transaction() as own:
                keep(self, own, promises)

        tx.after_commit.add(later)

    Outbox._keep = put_off  # type: ignore[method-assign]


FAULTS: Mapping[str, Callable[[], None]] = {"call_first": call_first, "promise_later": promise_later}
