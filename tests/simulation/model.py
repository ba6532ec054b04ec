"""The small model of a payment: a status, a number of refused cards, and what waits for its payer.

It is written from the rules as merchants and payers know them, and shares nothing with the product.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.simulation.house import START

AMOUNT = 9612
CARDS_MAX, REFUSALS_MAX, TRIES_MAX, SENDS_MAX = 10, 3, 5, 3
# Seconds before the second and the third code may be asked for.
WAITS = (30, 60)
PAGE_LIFE, EXTENSIONS_MAX, WORTH = timedelta(minutes=30), 10, timedelta(minutes=1)
CODE_LIFE, CHALLENGE_LIFE = timedelta(minutes=5), timedelta(minutes=10)


@dataclass
class Page:
    """What the model knows of one payment."""

    id: str
    debt: int
    jti: str
    until: datetime
    status: str = "created"
    extensions: int = 0
    refused: int = 0
    cards: int = 0
    front: str = ""
    card: str = ""
    tries: int = 0
    sends: int = 0
    codes: int = 0
    refunded: int = 0
    doubt: str = ""
    opened_at: datetime = START
    sent_at: datetime = START

    def is_late(self, now: datetime) -> bool:
        return self.status in ("created", "opened") and now >= self.until

    def is_payable(self, now: datetime) -> bool:
        return self.status in ("created", "opened") and not self.is_late(now)

    def deadlines(self) -> tuple[datetime, ...]:
        """Say when something of it is over, or allowed again."""
        again = [self.sent_at + timedelta(seconds=WAITS[self.sends - 1])] if 0 < self.sends < SENDS_MAX else []
        worth = self.until + WORTH - PAGE_LIFE
        return (self.until, worth, self.opened_at + CHALLENGE_LIFE, self.sent_at + CODE_LIFE, *again)

    def extend(self, now: datetime) -> None:
        """Give it its life again; what brings next to nothing does not count."""
        if self.extensions < EXTENSIONS_MAX and now + PAGE_LIFE >= self.until + WORTH:
            self.until, self.extensions = now + PAGE_LIFE, self.extensions + 1

    def end(self, status: str) -> None:
        """End it as its payer's doing: refused, once a card was refused."""
        self.status, self.front = "failed" if self.refused else status, ""

    def refuse(self) -> None:
        self.refused, self.front, self.status = self.refused + 1, "", "opened"
        if self.refused >= REFUSALS_MAX:
            self.status = "failed"

    def is_stale(self, now: datetime) -> bool:
        return self.front == "challenge" and now >= self.opened_at + CHALLENGE_LIFE

    def touch(self, now: datetime) -> None:
        """Do what a look at the page does."""
        if self.is_late(now):
            self.end("expired")
        elif self.status == "created":
            self.status = "opened"
        elif self.is_stale(now):
            self.refuse()
