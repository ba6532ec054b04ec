"""An SP Plus shop through the real core: two addresses told each by itself, its own pace, and payment in three times."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from urllib.parse import parse_qsl, urlencode

import pytest
from sqlalchemy import Row

from gateway.core.payment import PaymentResult
from gateway.dialects import HttpCall, Open
from gateway.dialects.spplus import MerchantKey
from gateway.parts import Parts
from gateway.store.notices import Notices
from tests.factories import FRICTIONLESS, deliver, enter
from tests.support.clock import Clock

KEY = "58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79"
# Nobody listens there.
FIRST, SECOND = "http://127.0.0.1:9/first", "http://127.0.0.1:9/second?caisse=2"
SIRET = 'siret = "00000000000001-01"'


@pytest.fixture
def home(home: Path) -> Path:
    """Give the demonstration shop two addresses, a pace of its own and payment in several times."""
    book = home / "config/merchants.toml"
    settings = f'urlcheck = "{FIRST}"\nurlcheck2 = "{SECOND}"\nretry_minutes = [7, 70]\ninstalments = true'
    book.write_text(book.read_text("utf-8").replace(SIRET, f"{SIRET}\n{settings}"), "utf-8")
    return home


def ask(parts: Parts, **more: str) -> PaymentResult:
    """Open a payment of 96.12 EUR whose signature covers every value, and its page."""
    asked = {
        "siret": "00000000000001-01", "reference": "ORDER0000001", "langue": "FR", "devise": "978", "montant": "96.12",
        "taxe": "0.00", "validite": "31/12/2099", **more,
    }  # fmt: skip
    signature = MerchantKey.read(KEY).sign("".join(asked.values()).encode())
    call = HttpCall("GET", "/paiement/init.do", urlencode({**asked, "hmac": signature}))
    command = parts.dialects["spplus"].read(call, parts.now())
    assert isinstance(command, Open)
    result, _ = parts.checkout.opening.open(command, "spplus")
    return parts.checkout.paying.show(result.id).result


def pay(parts: Parts, payment: PaymentResult) -> None:
    enter(parts, payment, FRICTIONLESS)
    parts.checkout.settling.authorise(payment.id)


def notices(parts: Parts) -> Sequence[Row[tuple[object, ...]]]:
    with parts.store.reading() as tx:
        return [row for row in reversed(tx.notices.newest(100)) if row.channel == "confirmation"]


def told(parts: Parts, target: str) -> list[tuple[str, str]]:
    """List state and number of what one address is told, oldest first."""
    read = [dict(parse_qsl(row.body.decode())) for row in notices(parts) if row.target == target]
    return [(one["etat"], one["refsfp"]) for one in read]


def test_both_addresses_are_told_each_state(parts: Parts) -> None:
    payment = ask(parts)

    pay(parts, payment)

    number = payment.number[-8:]
    assert told(parts, FIRST) == told(parts, SECOND) == [("1", number), ("4", number)]


def test_a_failed_notice_waits_as_long_as_the_shop_says(parts: Parts, clock: Clock) -> None:
    payment = ask(parts)
    parts.checkout.paying.cancel(payment.id)
    waits = []

    for _ in range(3):
        deliver(parts)
        waits.append([(row.state, row.next_at - clock.now()) for row in notices(parts)])
        clock.advance(hours=2)

    for (state, wait), minutes in [*((one, 7) for one in waits[0]), *((one, 70) for one in waits[1])]:
        assert state == "new"
        assert timedelta(minutes=minutes) <= wait < timedelta(minutes=minutes + 1)
    assert [[state for state, _ in turn] for turn in waits] == [["new"] * 2, ["new"] * 2, ["dead"] * 2]


def test_both_addresses_given_up_at_once_make_one_alarm(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, ask_whether = Barrier(2), Notices.is_promised

    def is_promised(self: Notices, *named: str) -> bool:
        answer = ask_whether(self, *named)
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        return answer

    parts.checkout.paying.cancel(ask(parts).id)
    for _ in range(2):
        deliver(parts)
        clock.advance(hours=2)
    monkeypatch.setattr(Notices, "is_promised", is_promised)

    deliver(parts)

    with parts.store.reading() as tx:
        alarms = [row for row in tx.notices.newest(100) if row.channel == "alarm_mail"]
    assert [row.state for row in notices(parts)] == ["dead"] * 2
    assert len(alarms) == 1


def test_a_purchase_in_three_times_is_told_part_by_part(parts: Parts, clock: Clock) -> None:
    purchase = ask(parts, modalite="3x")
    pay(parts, purchase)

    for _ in range(2):
        clock.advance(days=31)
        # Once to debit what is due, once to pay it out, once to tell the purchase.
        for _ in range(3):
            clock.advance(hours=25)
            parts.checkout.sweep()

    first = parts.checkout.opening.told(purchase.id)
    numbers = [purchase.number[-8:], *(part.number[-8:] for part in first.instalments)]
    assert [first.request.amount.cents, *(part.amount.cents for part in first.instalments)] == [3204, 3204, 3204]
    seen = told(parts, FIRST)
    assert seen == told(parts, SECOND)
    assert [etat for etat, number in seen if number == numbers[0]] == ["1", "4", "30", "10"]
    for number in numbers[1:]:
        assert [etat for etat, told_of in seen if told_of == number] == ["4", "30"]
