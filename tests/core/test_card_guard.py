"""What is taken for a card number in text that was never meant to hold one, and what is not."""

import json

import pytest

from gateway.core.card_guard import asks_to_keep_a_card, holds_card_number, without_card_numbers
from gateway.core.money import Money
from gateway.core.payment import Line
from tests.factories import a_request

# Of the right prefix, length and check digit: it reads as a card, whatever it was meant to be.
NUMBER = "4970105191909006"
BACK = "http://127.0.0.1:8001/back"


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        "4970 1051 9190 9006",
        "4970-1051-9190-9006, 03/28, 123",
        "carte\u00a0: 4970\u202f1051\u202f9190\u202f9006",
        "４９７０１０５１９１９０９００６",
        "378282246310005",
        "4970105191909000011",
        "675900001230",
        "le 21112026 4970 1051 9190 9006",
        "1234567890 12 4970 1051 9190 9006",
        "4970*1051*9190*9006",
        "4970|1051 | 9190|9006",
        "4970'1051’9190·9006",
    ],
)
def test_a_card_number_is_found_in_any_shape(text: str) -> None:
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    ["", "4970105191909007", "9970105191909006", f"1{NUMBER}0", f"ref{NUMBER}", "49701051 2026 06", "497010519190900"],
)
def test_other_digits_are_no_card_number(text: str) -> None:
    assert not holds_card_number(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": f"Cantine {NUMBER}"},
        {"beneficiary": "4970 1051 9190 9006"},
        {"comment": f"ma carte\n{NUMBER}"},
        {"payer_name": NUMBER},
        {"statement": NUMBER},
        {"metadata": {"note": NUMBER}},
        {"lines": (Line("R", NUMBER, Money(9612)),)},
        {"wire": {"objet": NUMBER}},
        {"wire": {"query": f"arg1={NUMBER}&arg2=x"}},
        {"wire": {"query": "arg1=4970+1051%209190+9006"}},
        {"wire": {"echo": f'{{"note": "{NUMBER}", "back": "{BACK}"}}'}},
        {"wire": {"fields": json.dumps({"address": "4970\n1051\n9190\n9006"})}},
        {"wire": {"echo": json.dumps({"buyer": {"notes": ["1 rue", "4970\t1051 9190\t9006"]}})}},
        {"wire": {"echo": json.dumps({NUMBER: "x"})}},
        {"wire": {"query": "arg1=4970%25201051%25209190%25209006"}},
        {"wire": {"query": f"urlretour={BACK}&arg1={NUMBER}"}},
        {"wire": {"query": f"arg1=http:{NUMBER}"}},
        {"metadata": {NUMBER: "note"}},
        {"email": f"{NUMBER}@example.org"},
        {"comment": "4970\u200b1051\u200b9190\u200b9006"},
    ],
    ids=lambda changes: next(iter(changes), "nothing"),
)
def test_a_request_with_a_card_number_in_a_free_text_asks_to_keep_it(changes: dict[str, object]) -> None:
    assert asks_to_keep_a_card(a_request(**changes))


def test_an_address_ends_where_the_next_value_of_a_query_begins() -> None:
    assert asks_to_keep_a_card(a_request(wire={"query": f"urlretour=http%3A%2F%2F127.0.0.1%2F&arg1={NUMBER}"}))


@pytest.mark.parametrize("changes", [{"label": f"{NUMBER}{BACK}"}, {"wire": {"back": f"{NUMBER}{BACK}"}}])
def test_an_address_hides_no_number_it_was_written_against(changes: dict[str, object]) -> None:
    assert asks_to_keep_a_card(a_request(**changes))


@pytest.mark.parametrize("reference", ["7", "19", "0", "4970"])
def test_a_short_reference_hides_no_card_number(reference: str) -> None:
    assert asks_to_keep_a_card(a_request(reference=reference, label=NUMBER))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reference": NUMBER},
        {"reference": NUMBER, "label": f"Facture {NUMBER}", "wire": {"refdet": NUMBER, "query": f"reference={NUMBER}&x=1"}},
        {"return_url": f"{BACK}?order={NUMBER}", "notify_url": f"{BACK}/{NUMBER}"},
        {"wire": {"urlretour": f"{BACK}?order={NUMBER}"}},
        {"wire": {"urlnotif": f"{BACK}?a=1&order={NUMBER}", "echo": f'{{"url": "{BACK}?a=1&order={NUMBER}"}}'}},
        {"wire": {"query": f"urlretour=http%3A%2F%2F127.0.0.1%2F%3Forder%3D{NUMBER}&x=1"}},
        {"wire": {"query": f"urlretour={BACK}?order={NUMBER}&x=1"}},
        {"wire": {"fields": json.dumps({"vads_url_check": f"{BACK}?a=1&order={NUMBER}", "x": "{"})}},
        {"comment": "2026 1234 5678 9012"},
    ],
    ids=lambda changes: next(iter(changes), "nothing"),
)  # fmt: skip
def test_a_reference_or_an_address_of_sixteen_digits_is_no_card(changes: dict[str, object]) -> None:
    assert not asks_to_keep_a_card(a_request(**changes))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NUMBER, "[card number]"),
        (f"email={NUMBER}&montant=10.00", "email=[card number]&montant=10.00"),
        ("a 4970 1051-9190.9006 b", "a [card number] b"),
        (f"{NUMBER} and 378282246310005;", "[card number] and [card number];"),
        ("order 4970105191909007", "order 4970105191909007"),
        ("", ""),
        ("de ٤٩٧٠١٠٥١٩١٩٠٩٠٠٦ à ٤", "de [card number] à ٤"),
        ("４９７０１０５１９１９０９００６", "[card number]"),
    ],
)
def test_card_numbers_are_blanked_in_what_is_shown(text: str, shown: str) -> None:
    assert without_card_numbers(text) == shown
