"""The tests are awake: each bug planted here, in a copy of the product, makes the tests that its patch names fail.

A patch is a unified diff under two lines of its own: what is planted, and ``caught by:`` with the tests that must fail.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted(Path(__file__).parent.glob("*.patch"))
_CAUGHT_BY = "caught by: "
# How a test speaks, as opposed to a product that does not start.
_OWN_WORDS = ("assert ", "AssertionError", "Failed: DID NOT RAISE")
_STALE = """{name} no longer fits {file}. Plant the same bug anew:
copy gateway/, make the change that the patch's first line describes in the copy, write `diff -U1` of the two under the
patch's two first lines, with a/gateway/... and b/gateway/... as names. The tests it names must pass without it."""


def test_there_are_enough_of_them() -> None:
    assert len(PATCHES) >= 12


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_bug_is_caught(patch: Path, tmp_path: Path, postgres: str) -> None:
    _what, caught_by, *diff = patch.read_text().splitlines(keepends=True)
    tests = caught_by.strip().removeprefix(_CAUGHT_BY).split(", ")
    product = _scratch(tmp_path / "product")
    _apply(diff, product, patch.name)

    failures = _run(product, tests, postgres)

    unseen = [test for test in tests if not any(_is_of(name, test) for name in failures)]
    assert not unseen, f"{patch.name} went unseen by {unseen}"
    assert not {name: words for name, words in failures.items() if not words.startswith(_OWN_WORDS)}


def test_without_a_bug_the_same_tests_pass(tmp_path: Path, postgres: str) -> None:
    lines = [patch.read_text().splitlines()[1] for patch in PATCHES]
    tests = sorted({test for line in lines for test in line.removeprefix(_CAUGHT_BY).split(", ")})

    assert _run(_scratch(tmp_path / "product"), tests, postgres) == {}


def _scratch(product: Path) -> Path:
    """Copy the product; everything around it is only pointed at."""
    product.mkdir()
    for entry in ROOT.iterdir():
        if entry.name == "gateway":
            copytree(entry, product / entry.name)
        elif not entry.name.startswith(".") and entry.name != "var":
            (product / entry.name).symlink_to(entry)
    return product


def _apply(diff: Sequence[str], product: Path, name: str) -> None:
    """Apply a diff wherever its lines now are, and nowhere when they are not there exactly once."""
    file = product
    hunks: list[tuple[Path, list[str]]] = []
    for line in diff:
        if line.startswith("+++ b/"):
            file = product / line.removeprefix("+++ b/").strip()
        elif line.startswith("@@"):
            hunks.append((file, []))
        elif not line.startswith("--- "):
            hunks[-1][1].append(line)
    for file, lines in hunks:
        before, after = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        text = file.read_text()
        if text.count(before) != 1:
            pytest.fail(_STALE.format(name=name, file=file.relative_to(product)))
        file.write_text(text.replace(before, after))


def _run(product: Path, tests: Sequence[str], postgres: str) -> dict[str, str]:
    """Run some tests against a product on this run's own PostgreSQL; gives what the failed ones said, by name."""
    report = product.parent / "report.xml"
    options = ["-q", "-p", "no:xdist", "-p", "no:randomly", "-p", "no:cacheprovider", f"--junitxml={report}"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=product,
        env=ours | {"TEST_DATABASE_URL": postgres},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it
    assert cases
    assert not [case for case in cases if case.find("error") is not None], done.stdout
    failures = {f"{case.get('classname')}.{case.get('name')}": case.find("failure") for case in cases}
    return {name: failure.get("message", "") for name, failure in failures.items() if failure is not None}


def _is_of(name: str, test: str) -> bool:
    """Say whether pytest's dotted name of a case belongs to a test as its command line names it."""
    dotted = test.replace(".py::", ".").replace("::", ".").replace("/", ".")
    return name == dotted or name.startswith(dotted + "[")
