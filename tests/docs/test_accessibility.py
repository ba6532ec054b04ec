"""The page about accessibility says what its data say, leaves no criterion out and names no test that is gone."""

import pytest

from tests.docs.accessibility import PAGE, facts, write
from tests.docs.test_claims import is_there

# How many criteria each of RGAA 4.1's thirteen themes has.
RGAA = (9, 2, 3, 13, 8, 2, 5, 10, 4, 14, 13, 11, 12)
# The criteria of levels A and AA that WCAG 2.2 added to 2.1.
WCAG22 = {"2.4.11", "2.5.7", "2.5.8", "3.2.6", "3.3.7", "3.3.8"}


def test_the_page_is_made_of_its_data() -> None:
    assert PAGE.read_text("utf-8") == write(facts()), "run: python -m tests.docs.accessibility"


def test_no_criterion_is_left_out() -> None:
    known = facts()

    wanted = [f"{theme}.{number}" for theme, count in enumerate(RGAA, 1) for number in range(1, count + 1)]
    assert list(known["rgaa"]) == wanted
    assert set(known["wcag22"]) == WCAG22


def test_each_criterion_is_shown_absent_or_somebodys_task() -> None:
    known = facts()

    criteria = known["rgaa"] | known["wcag22"]
    assert [name for name, one in criteria.items() if not one.keys() & {"by", "absent", "human"}] == []
    assert {proof for one in criteria.values() for proof in one.get("by", ())} == known["proofs"].keys()


@pytest.mark.parametrize("proof", sorted(facts()["proofs"].values()))
def test_each_proof_that_is_named_exists(proof: str) -> None:
    assert is_there(*proof.split("::"))
