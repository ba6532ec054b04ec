"""The table of test cards: the shipped one is whole, and a wrong one is refused with every fault named."""

from pathlib import Path

import pytest

from gateway.acquirers.cards import Acs, Verdict, load
from gateway.core.card import luhn_valid
from gateway.core.errors import SettingsError

SHIPPED = Path(__file__).parents[2] / "config" / "test_cards.toml"

GOOD = """
[[cards]]
key = "approved"
number = "4242424242424242"
schemes = ["visa"]
acs = "frictionless"
outcome = "approved"
title = { fr = "Acceptée", en = "Approved" }
source = { service = "guichet", section = "approved" }
"""


def faults(path: Path, content: str) -> tuple[str, ...]:
    file = path / "cards.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    return caught.value.faults


def test_our_own_cards_reach_every_answer_of_3d_secure_and_every_verdict() -> None:
    ours = [card for card in load(SHIPPED).cards if card.source.service == "guichet"]

    assert {card.acs for card in ours} == set(Acs)
    assert {card.outcome for card in ours} == set(Verdict)
    assert {"refused", "second_try"} <= {card.capture for card in ours}
    assert "refused" in {card.refund for card in ours}
    assert all(luhn_valid(card.number) for card in ours)


def test_our_own_cards_reach_every_refusal_family_the_product_promises() -> None:
    ours = [card for card in load(SHIPPED).cards if card.source.service == "guichet"]

    families = {card.family: card.code for card in ours if card.outcome is Verdict.DECLINED}

    assert families["do_not_honour"] == "05"
    assert families["funds"] == "51"
    assert families["expired"] == "54"
    assert families["wrong_code"] == "82"
    assert families["limit"] == "61"
    assert families["technical"] == "96"
    assert {"43", "41"} == {card.code for card in ours if card.family == "stolen"}


@pytest.mark.parametrize(
    ("number", "acs", "outcome", "code"),
    [
        ("5017674000000002", "challenge", "approved", ""),  # PayFiP
        ("5017670000001800", "challenge", "approved", ""),
        ("4978860713891312", "challenge", "approved", ""),
        ("1234567890123456", "frictionless", "approved", ""),  # SP Plus
        ("0000000000000000", "frictionless", "declined", "05"),
        ("4970100000000009", "challenge", "approved", ""),  # Systempay
        ("5970100300000097", "refused", "declined", "1A"),
        ("5970100300023006", "attempted", "approved", ""),
        ("5000550000000098", "frictionless", "declined", "61"),
        ("4970101122334471", "challenge", "approved", ""),  # Payline
        ("4970103469012066", "frictionless", "declined", "75"),
        ("4970103469012082", "frictionless", "declined", "41"),
        ("4970103469011308", "frictionless", "declined", "82"),
    ],
)
def test_the_published_cards_of_each_service_do_what_it_says(number: str, acs: str, outcome: str, code: str) -> None:
    card = load(SHIPPED).find(number)

    assert card is not None
    assert (card.acs, card.outcome, card.code) == (acs, outcome, code)


def test_brands_are_told_from_the_first_digits_unless_cards_disagree() -> None:
    table = load(SHIPPED)

    assert table.schemes("497010") == ("cb", "visa")
    assert table.schemes("555555") == ("cb", "mastercard")
    assert table.schemes("501767") == ()
    assert table.schemes("50176740") == ("visa",)
    assert table.schemes("999999") == ()


def test_numbers_are_shown_in_the_groups_cards_print() -> None:
    table = load(SHIPPED)
    amex, visa = table.by_key("approved-amex"), table.by_key("approved")

    assert amex is not None
    assert visa is not None
    assert amex.grouped == "3782 822463 10005"
    assert visa.grouped == "4242 4242 4242 4242"


def test_the_published_list_holds_each_card_once_by_service_and_section() -> None:
    table = load(SHIPPED)

    published = table.published()

    assert [source.service for source, _ in published][:1] == ["guichet"]
    assert len({source for source, _ in published}) == len(published)
    assert sum(len(cards) for _, cards in published) == len(table.cards)


def test_a_missing_table_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("was", "becomes", "place"),
    [
        ('number = "4242424242424242"', 'number = "4242"', "cards 1.number"),
        ('number = "4242424242424242"', "number = 4242424242424242", "cards 1.number"),
        ('"visa"', '"discover"', "cards 1.schemes.1"),
        ('["visa"]', "[]", "cards 1"),
        ('["visa"]', '["visa", "visa"]', "cards 1"),
        ('acs = "frictionless"', 'acs = "maybe"', "cards 1.acs"),
        ('outcome = "approved"', 'outcome = "declined"', "cards 1"),
        ('outcome = "approved"', 'outcome = "approved"\ncode = "51"\nfamily = "funds"', "cards 1"),
        ('outcome = "approved"', 'outcome = "approved"\nkolour = "red"', "cards 1.kolour"),
        ('acs = "frictionless"', 'acs = "refused"', "cards 1"),
        ('en = "Approved"', 'de = "Ja"', "cards 1.title.en"),
        ('service = "guichet"', 'service = "paypal"', "cards 1.source.service"),
        ('key = "approved"', 'key = "Approved card"', "cards 1.key"),
    ],
)
def test_each_mistake_in_the_table_is_named_by_its_place(tmp_path: Path, was: str, becomes: str, place: str) -> None:
    assert was in GOOD

    found = faults(tmp_path, GOOD.replace(was, becomes, 1))

    assert any(f": {place}: " in fault for fault in found)
    assert "4242424242424242" not in "".join(found)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, GOOD.replace("visa", "discover") + GOOD.replace("frictionless", "maybe"))

    assert [fault.split(": ")[1] for fault in found] == ["cards 1.schemes.1", "cards 2.acs"]


def test_two_cards_may_not_share_a_key_or_a_number(tmp_path: Path) -> None:
    found = faults(tmp_path, GOOD + GOOD)

    assert [fault.split(": ")[1] for fault in found] == ["cards 2.key", "cards 2.number"]


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    assert "line 2" in faults(tmp_path, "\nthis is not toml\n")[0]
