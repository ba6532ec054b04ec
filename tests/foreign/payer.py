"""The payer of this folder: real HTTP without a browser, and a way to let time pass on a server whose clock is real."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, Table, or_, select

from gateway.cli.payer import Page, Payer
from gateway.store.engine import open_engine
from gateway.store.tables import notice, payment
from tests.support.server import Server

# Of Guichet's own set; each protocol's published cards are named where they are used.
APPROVED, REFUSED, CHALLENGED = "4242424242424242", "4000000000050007", "4000000000003220"

TRIES_MAX = 3  # the merchants' attempts_max


class Person(Payer):
    """Pays, gives up, and comes back late."""

    def enter(self, page: Page, card: str, email: str = "famille@example.org") -> Page:
        """Type a card, and the code of the SMS where the bank asks for one; see what becomes of it."""
        assert page.name == "card", page
        typed = {"number": card, "expiry": "12/30", "security_code": "123", "email": email}
        page = self.press(page, "pay", **typed)
        if page.name == "challenge":
            return self.press(page, "confirm", code=self.code_for(page.payment))
        return self.press(page, "confirm") if page.name == "review" else page

    def pay(self, page: Page, card: str = APPROVED) -> Page:
        """Pay."""
        page = self.enter(page, card)
        assert page.name == "paid", page
        return page

    def be_refused(self, page: Page, card: str = REFUSED) -> Page:
        """Try a card until no further try is possible."""
        for _ in range(TRIES_MAX - 1):
            page = self.press(self.enter(page, card), "retry")
        page = self.enter(page, card)
        assert page.name == "refused", page
        return page

    def cancel(self, page: Page) -> Page:
        """Give up before any card was sent to a bank."""
        page = self.press(page, "cancel")
        assert page.name == "cancelled", page
        return page

    def close_day(self) -> None:
        """Have the simulated bank close its day: what was paid until now is settled."""
        self.press(self.open(f"{self._guichet}/_test/evening"), "")


def let_pass(server: Server, name: str, time: timedelta) -> None:
    """Make a payment older, as if ``time`` had passed since it was opened; what waits to be told is due sooner.

    Its history stays as it is: the database lets nobody rewrite that.

    :param name: its public id, or the name its dialect gave it
    """
    with _database(server) as db:
        known = _id_of(db, name)
        _make_older(db, payment, payment.c.id == known, ("created_at", "expires_at", "ended_at"), time)
        _make_older(db, notice, notice.c.payment_id == known, ("next_at",), time)


def deliveries(server: Server, name: str) -> list[tuple[str, int]]:
    """Say of each of a payment's notices how it stands (``new``, ``under way``, ``sent``, ``dead``) and how often it was tried."""
    with _database(server) as db:
        told = (notice.c.payment_id == _id_of(db, name), notice.c.channel == "confirmation")
        rows = db.execute(select(notice.c.state, notice.c.tries, notice.c.lease).where(*told).order_by(notice.c.seq))
        return [("under way" if row.lease else row.state, row.tries) for row in rows]


@contextmanager
def _database(server: Server) -> Iterator[Connection]:
    engine = open_engine(f"sqlite:///{server.home}/var/guichet.sqlite")
    with engine.begin() as db:
        yield db
    engine.dispose()


def _id_of(db: Connection, name: str) -> int:
    named = or_(payment.c.public_id == name, payment.c.handle == name)
    return int(db.execute(select(payment.c.id).where(named)).scalar_one())


def _make_older(
    db: Connection, table: Table, which: ColumnElement[bool], names: tuple[str, ...], time: timedelta
) -> None:
    for row in db.execute(table.select().where(which)).mappings().all():
        moved = {name: row[name] - time for name in names if row[name]}
        db.execute(table.update().where(table.c.id == row["id"]).values(moved))
