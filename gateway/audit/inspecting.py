"""Reads the whole log again and says, in plain words, where it does not hold: ``guichet verify-audit``.

Three things must agree: each row with its own MAC and its link, the chain with its anchors, and every payment with what
was last written of it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import Row

from gateway.audit.anchors import Anchor
from gateway.store import Pen, Transaction
from gateway.store.audit import GENESIS, link_message, row_message
from gateway.store.state import VERSION

_CHUNK = 500


class Inspection:
    """One look at the log, inside one transaction that only reads.

    :param pen: knows every key the log was ever written with
    :ivar entries: how many entries there are
    :ivar loose: how many of them are not in the chain yet
    :ivar unknown: how many payments were last written down by another version, and cannot be compared
    """

    def __init__(self, tx: Transaction, pen: Pen) -> None:
        self._tx, self._pen = tx, pen
        self._latest: dict[int, tuple[int, str]] = {}
        self._macs: dict[int, str] = {}
        self.entries = self.loose = self.unknown = self.payments = 0

    def faults(self, anchors: Iterable[Anchor | str]) -> Iterator[str]:
        """Give everything that is wrong, the oldest first."""
        held = list(anchors)
        self._macs = {anchor.n: "" for anchor in held if isinstance(anchor, Anchor)}
        try:
            yield from (f"entry {name}: there twice: copied" for name in self._tx.audit.doubles())
            yield from (
                f"{row.table} {row.number}: numbered as no row of ours is: inserted" for row in self._tx.audit.strays()
            )
            yield from self._chain()
            yield from self._loose()
            yield from self._payments()
            yield from self._debts()
        except (ValueError, TypeError) as error:
            yield f"a row holds what no column of its type can ({type(error).__name__}): it was changed"
        yield from self._anchors(held)

    def _chain(self) -> Iterator[str]:
        previous, place = GENESIS, 0
        for row in _walk(self._tx.audit.links, "n"):
            if row.n != place + 1:
                yield f"link {place + 1}: missing, up to link {row.n - 1}: deleted"
            if row.id is None:
                yield f"entry {row.audit_id} (link {row.n}): deleted"
            else:
                fault = self._entry(row)
                message = link_message(previous, row.n, row.audit_id, row.mac)
                if fault is None and row.n == place + 1 and not self._pen.wrote(message, row.link):
                    fault = f"link {row.n}: does not follow from the one before: swapped, inserted or changed"
                if fault:
                    yield fault
            previous, place = row.link, row.n
            if place in self._macs:
                self._macs[place] = row.link

    def _loose(self) -> Iterator[str]:
        for row in _walk(self._tx.audit.loose, "id"):
            self.loose += 1
            if fault := self._entry(row):
                yield fault

    def _entry(self, row: Row[Any]) -> str | None:
        """Check one entry by its own MAC, and remember what it says of its payment."""
        self.entries += 1
        if row.payment_id is not None and row.state and row.id >= self._latest.get(row.payment_id, (0, ""))[0]:
            self._latest[row.payment_id] = (row.id, row.state)
        if self._pen.wrote(row_message(row), row.mac):
            return None
        return f"entry {row.id} ({row.what} by {row.who}, {row.at}): changed, or written by somebody without the key"

    def _payments(self) -> Iterator[str]:
        after = 0
        while ids := self._tx.audit.payments(after, _CHUNK):
            after = ids[-1]
            states = self._tx.audit.states(ids)
            for payment_id in ids:
                self.payments += 1
                entry, state = self._latest.pop(payment_id, (0, ""))
                name = f"payment {payment_id:010d}"
                if not entry:
                    yield f"{name}: nobody is known to have opened it: inserted"
                elif not state.startswith(f"{VERSION}:"):
                    self.unknown += 1
                elif state != states[payment_id].digest:
                    yield (
                        f"{name}: not what entry {entry} left: the payment, its lines, attempts, operations, refunds, "
                        "history or ledger were changed"
                    )
        for payment_id, (entry, _) in sorted(self._latest.items()):
            yield f"payment {payment_id:010d} (entry {entry}): deleted"

    def _debts(self) -> Iterator[str]:
        for debt in self._tx.debts.contradictions():
            yield f"debt {debt.id} ({debt.merchant_id} {debt.reference}): {debt.state}, which its payment is not"

    def _anchors(self, anchors: Iterable[Anchor | str]) -> Iterator[str]:
        for anchor in anchors:
            if isinstance(anchor, str):
                yield anchor
            elif not self._macs[anchor.n]:
                yield f"link {anchor.n}: gone, though an anchor saw it: the end of the log was cut off"
            elif self._macs[anchor.n] != anchor.mac:
                yield f"link {anchor.n}: another one than its anchor saw: this is not the database it was"


def _walk(query: Callable[[int, int], list[Row[Any]]], place: str) -> Iterator[Row[Any]]:
    """Go through a long table in short statements."""
    after = 0
    while rows := query(after, _CHUNK):
        yield from rows
        after = getattr(rows[-1], place)
