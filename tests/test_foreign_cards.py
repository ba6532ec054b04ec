"""Cards that have no business here: real ones before the simulated bank, and numbers typed where none belongs."""

import logging
import random
from itertools import product

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from gateway.acquirers import cards
from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.card_guard import holds_card_number
from gateway.core.errors import BadRequest, CardRefused
from gateway.core.money import Money
from gateway.core.payment import Line
from gateway.parts import Parts
from tests.factories import a_request, an_open, open_payment
from tests.limits.bank import luhn
from tests.support.figures import record
from tests.support.scale import scaled

_PREFIXES = ("4", "4970", "51", "55", "2221", "2720", "34", "37", "5018", "6759")
_LENGTHS = {"34": 15, "37": 15}

_ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def a_stranger(chance: random.Random) -> str:
    prefix = chance.choice(_PREFIXES)
    rest = _LENGTHS.get(prefix, 16) - len(prefix) - 1
    return luhn(prefix + "".join(str(chance.randrange(10)) for _ in range(rest)))


@_ON_SQLITE
@pytest.mark.nightly_too
@pytest.mark.timeout(scaled(400, 1800))
def test_the_simulated_bank_takes_its_published_cards_only(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    table = cards.load(parts.settings.home / "config/test_cards.toml")
    published = {card.number for _, all_ in table.published() for card in all_}
    chance, count = random.Random(2026), scaled(1_000, 10_000)  # noqa: S311 - the same at each run
    numbers = {a_stranger(chance) for _ in range(count + 50)} - published
    caplog.set_level(logging.DEBUG)

    for place, number in enumerate(sorted(numbers)[:count]):
        code = "1234" if number.startswith("3") else "123"
        entry = CardEntry(CardNumber(number), Expiry(2030, 12), code)
        with pytest.raises(CardRefused, match=r"^cc-number: not_a_test_card$"):
            parts.checkout.desk.acquirer.enrol(entry, Money(9612), op_id=f"op_{place}")

    record("promise 15", cards=count, accepted=0)
    assert not holds_card_number(caplog.text)
    kept = b"".join(path.read_bytes() for path in parts.settings.var.rglob("*") if path.is_file())
    assert not any(number.encode() in kept for number in numbers)


_NUMBERS = ("4970105191909006", "4242424242424242", "5555555555554444", "2223003122003222", "378282246310005")
_BETWEEN = ("", " ", "-", ".", "\u00a0", "\u202f", "\u2011", "/", "_", ", ")
_AROUND = ("{}", "carte {}", "{} 03/28 123", "no: {}.", "({})", "réf {}", "\t{}\n", "{};", "Visa:{}", "*{}*")


def variants() -> list[str]:
    """Spell card numbers as people do: in groups, with anything between, with words around."""
    made = []
    for number, between, around in product(_NUMBERS, _BETWEEN, _AROUND):
        size = (4, 6, 5) if len(number) == 15 else (4, 4, 4, 4)
        starts = [sum(size[:place]) for place in range(len(size))]
        groups = [number[start : start + length] for start, length in zip(starts, size, strict=True)]
        made.append(around.format(between.join(groups)))
    return made


@_ON_SQLITE
@pytest.mark.nightly_too
def test_a_card_number_in_a_wrong_place_is_kept_nowhere(parts: Parts) -> None:
    typed = variants()
    assert len(typed) >= 500

    refused = 0
    for place, variant in enumerate(typed):
        field = ("label", "payer_name", "comment", "beneficiary", "lines")[place % 5]
        reference = f"WRONG-{place}"
        value: object = (Line(reference, variant, Money(9612)),) if field == "lines" else variant
        with pytest.raises(BadRequest, match="card_number"):
            parts.checkout.opening.open(an_open(a_request(reference=reference, **{field: value})), "native")
        refused += 1

    record("promise 16", variants=len(typed), stored=len(typed) - refused)
    with parts.store.engine.connect() as db:
        assert db.execute(text("SELECT count(*) FROM payment")).scalar() == 0


def test_references_of_other_lengths_are_no_cards() -> None:
    chance = random.Random(2026)  # noqa: S311 - the same at each run
    long = [f"{chance.randrange(10**18):018d}" for _ in range(10_000)]
    short = [f"{chance.randrange(10**16):016d}" for _ in range(10_000)]

    assert not any(map(holds_card_number, long))
    assert sum(map(holds_card_number, short)) <= 200


@_ON_SQLITE
@pytest.mark.parametrize("field", ["email", "code", "expiry", "brand"])
def test_a_page_gives_no_number_back(client: FlaskClient, parts: Parts, field: str) -> None:
    """Whatever field a payer types it into: neither the page nor the database has it afterwards."""
    client.application.config["WTF_CSRF_ENABLED"] = False
    path = f"/p/{parts.links.page_token(open_payment(parts).id)}"
    for number in ("4970 1051 9190 9006", "4970-1051-9190-9006", "4970105191909006"):
        typed = {"number": "4242424242424242", "expiry": "12/30", "security_code": "123", "email": "a@example.org"}
        value = f"{number}@example.org" if field == "email" else number
        answer = client.post(path, data={**typed, field: value, "action": "pay"})

        assert number not in answer.text
    with parts.store.engine.connect() as db:
        rows = [row for name in ("payment", "event") for row in db.execute(text(f"SELECT * FROM {name}"))]  # noqa: S608
    assert not holds_card_number(repr(rows))
