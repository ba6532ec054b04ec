"""Every card of the simulated bank, paid through a Systempay form: nothing is told that the guide's tables do not hold."""

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qsl

import pytest

from gateway.acquirers import Flow
from gateway.acquirers.cards import PublishedCard, Verdict, load
from gateway.core.errors import WrongStatus
from gateway.core.payment import PaymentResult
from gateway.dialects import Open
from gateway.parts import Parts
from gateway.settings import Settings
from tests.dialects.samples import SAMPLES
from tests.factories import enter, read_code

TRANS_STATUSES = frozenset(
    {
        "ABANDONED", "ACCEPTED", "AUTHORISED", "AUTHORISED_TO_VALIDATE", "WAITING_AUTHORISATION",
        "WAITING_AUTHORISATION_TO_VALIDATE", "CAPTURED", "CAPTURE_FAILED", "CANCELLED", "EXPIRED", "INITIAL",
        "NOT_CREATED", "REFUSED", "SUSPENDED", "UNDER_VERIFICATION", "",
    }
)  # fmt: skip
AUTH_RESULTS = frozenset(
    {
        "00", "02", "03", "04", "05", "07", "08", "12", "13", "14", "15", "17", "19", "20", "24", "25", "26", "27", "28",
        "29", "30", "31", "33", "34", "38", "41", "43", "51", "54", "55", "56", "57", "58", "59", "60", "61", "63", "68",
        "75", "76", "90", "91", "94", "96", "97", "98", "99", "",
    }
)  # fmt: skip
TABLES: Mapping[str, frozenset[str]] = {
    "trans_status": TRANS_STATUSES,
    "result": frozenset({"00", "02", "05", "17", "30", "96"}),
    "auth_result": AUTH_RESULTS,
    "extra_result": frozenset({""}),
    "auth_mode": frozenset({"FULL", "MARK"}),
    "warranty_result": frozenset({"YES", "NO", "UNKNOWN", ""}),
    "operation_type": frozenset({"DEBIT", "CREDIT"}),
    "threeds_enrolled": frozenset({"Y", "N", "U", ""}),
    "threeds_auth_type": frozenset({"CHALLENGE", "FRICTIONLESS", ""}),
    "threeds_status": frozenset({"Y", "N", "U", "A", ""}),
    "threeds_exit_status": frozenset({"10", ""}),
}

# The guide's test cards by their last four digits: trans_status, result, auth_result, warranty, enrolled, status.
PUBLISHED: Mapping[str, tuple[str, str, str, str, str, str]] = {
    "0000": ("AUTHORISED", "00", "00", "YES", "Y", "Y"),
    "0055": ("AUTHORISED", "00", "00", "YES", "Y", "Y"),
    "1002": ("AUTHORISED", "00", "00", "YES", "Y", "Y"),
    "0009": ("AUTHORISED", "00", "00", "YES", "Y", "Y"),
    "0003": ("AUTHORISED", "00", "00", "NO", "U", "U"),
    "0001": ("AUTHORISED", "00", "00", "YES", "N", "A"),
    "0007": ("AUTHORISED", "00", "00", "NO", "U", "U"),
    "3006": ("AUTHORISED", "00", "00", "NO", "U", "U"),
    "0002": ("REFUSED", "02", "02", "", "Y", "Y"),
    "0097": ("REFUSED", "05", "", "", "Y", "N"),
    "0098": ("REFUSED", "05", "61", "", "Y", "Y"),
    "0099": ("REFUSED", "05", "55", "", "Y", "Y"),
    "0113": ("REFUSED", "05", "05", "", "Y", "Y"),
}


def told(parts: Parts, card: PublishedCard, number: int) -> Mapping[str, str]:
    """Pay with a card, or give up once it is refused; gives what the shop is told, names without their prefix."""
    now, dialect, checkout = parts.now(), parts.dialects["systempay"], parts.checkout
    command = dialect.read(SAMPLES["systempay"](f"ORDER{number:06d}", now), now)
    assert isinstance(command, Open)
    payment, _ = checkout.opening.open(command, "systempay")
    checkout.paying.show(payment.id)
    enter(parts, payment, card.number)
    if card.flow is Flow.CHALLENGE:
        checkout.paying.answer_challenge(payment.id, read_code(parts, payment))
    # A card its bank refuses before any money is asked for is refused already.
    with suppress(WrongStatus):
        checkout.settling.authorise(payment.id)
    if checkout.opening.told(payment.id).is_live:
        checkout.paying.cancel(payment.id)
    result = checkout.opening.told(payment.id)
    return {name.removeprefix("vads_"): value for name, value in notified(parts, result)}


def notified(parts: Parts, result: PaymentResult) -> list[tuple[str, str]]:
    dialect = parts.dialects["systempay"]
    end = next(event for event in result.events if dialect.due(result, event))
    return parse_qsl(dialect.confirmed(result, end).decode(), keep_blank_values=True)


def usual(settings: Settings) -> list[PublishedCard]:
    """List the cards that answer at once: every one of the guide's, and of the others one of each conduct."""
    cards = [card for _, group in load(settings.home / "config/test_cards.toml").published() for card in group]
    at_once = [card for card in cards if card.outcome in (Verdict.APPROVED, Verdict.DECLINED)]
    by_conduct = {(card.acs, card.code, card.family, card.eci, card.schemes): card for card in reversed(at_once)}
    return [card for card in at_once if card.source.service == "systempay" or card in by_conduct.values()]


# Deterministic in the database's hands: one engine will do.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_card_is_told_in_the_words_of_the_tables(parts: Parts, settings: Settings) -> None:
    seen = set()
    for number, card in enumerate(usual(settings)):
        fields = told(parts, card, number)

        odd = {name: fields[name] for name, values in TABLES.items() if fields[name] not in values}
        assert odd == {}, card.key
        if card.source.service == "systempay":
            names = ("trans_status", "result", "auth_result", "warranty_result", "threeds_enrolled", "threeds_status")
            assert tuple(fields[name] for name in names) == PUBLISHED[card.number[-4:]], card.key
            kind = {"0009": "CHALLENGE", "0001": "", "0003": "", "0007": "", "3006": ""}
            assert fields["threeds_auth_type"] == kind.get(card.number[-4:], "FRICTIONLESS"), card.key
            seen.add(card.number[-4:])
    assert seen == PUBLISHED.keys()
