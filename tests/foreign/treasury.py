"""What the tests of both treasury variants share: fresh debts, and eopayment set up as a portal would."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.foreign.driver import Driver
from tests.foreign.shop import Answer, Heard, Shop
from tests.support.server import Server, wait_until

EMAIL = "famille@example.org"


def new_debt() -> str:
    """Give a reference nobody has paid."""
    return f"F2026{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class Portal:
    """A portal that leaves everything to eopayment.

    :ivar kind: the back end, ``tipi`` or ``payfip_ws``
    :ivar told: what it read of each notification, while the notification waited
    """

    driver: Driver
    kind: str
    numcli: str
    server: Server
    shop: Shop
    told: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shop.answers["/callback"] = self.take

    def take(self, heard: Heard) -> Answer:
        """Read a notification within its own request, as portals do."""
        self.told.append(self.read(heard.body))
        return Answer(body=str(self.told[-1]["result"]))

    def wait(self, count: int = 1) -> Any:
        """Wait for the ``count``-th notification and give what was read of it."""
        wait_until(lambda: len(self.told) >= count)
        return self.told[count - 1]

    @property
    def setting(self) -> dict[str, object]:
        """Every verb's first arguments."""
        options = {
            "numcli": self.numcli,
            "automatic_return_url": f"{self.shop.origin}/callback",
            "normal_return_url": f"{self.shop.origin}/back",
        }
        return {"kind": self.kind, "origin": self.server.base_url, "options": options}

    def request(self, **wish: object) -> Any:
        """Ask for a payment of 96.12 EUR; gives ``number`` and ``url``."""
        wish = {"amount": "96.12", "email": EMAIL, "refdet": new_debt(), "exer": "2026", **wish}
        return self.driver.ask("request", **self.setting, wish=wish)

    def read(self, query: str) -> Any:
        """Read a notification or a return."""
        return self.driver.ask("response", **self.setting, query=query)

    def status(self, number: str) -> str:
        """Ask what became of a payment, in eopayment's word."""
        return str(self.driver.ask("status", **self.setting, number=number)["result"])
