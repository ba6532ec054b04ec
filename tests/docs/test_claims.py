"""What the pages about reliability and security name as proof exists: a renamed or deleted test must not leave a claim behind."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/reliability.md", "docs/security.md")
PROMISES = 25
_PROOF = re.compile(r"`(tests/[\w/.]+)(?:::(\w+))?`")


def proofs(page: str) -> list[tuple[str, str]]:
    return _PROOF.findall((ROOT / page).read_text("utf-8"))


def is_there(file: str, name: str) -> bool:
    path = ROOT / file
    if not name:
        return path.is_dir() or path.is_file()
    return path.is_file() and name in {
        node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("page", PAGES)
def test_each_proof_that_is_named_exists(page: str) -> None:
    named = proofs(page)

    assert len(named) > 20
    assert [proof for proof in named if not is_there(*proof)] == []


def test_each_promise_has_a_proof() -> None:
    rows = re.findall(r"^\| (\d+) \|(.*)$", (ROOT / PAGES[0]).read_text("utf-8"), re.MULTILINE)

    assert [int(number) for number, _ in rows] == list(range(1, PROMISES + 1))
    assert [number for number, row in rows if not _PROOF.search(row)] == []


def test_a_proof_that_is_gone_is_noticed() -> None:
    assert is_there("tests/store/test_races.py", "test_one_request_is_one_payment")
    assert not is_there("tests/store/test_races.py", "test_one_request_is_two_payments")
    assert not is_there("tests/store/test_nothing.py", "")
