"""Makes ``docs/accessibility.md`` of ``accessibility.toml``: ``python -m tests.docs.accessibility``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("accessibility.toml")
PAGE = ROOT / "docs/accessibility.md"


class Criterion(TypedDict, total=False):
    """What is known of one criterion; see the head of the file."""

    wcag: str
    says: str
    by: list[str]
    absent: str
    human: str


class Facts(TypedDict):
    """The file."""

    proofs: dict[str, str]
    themes: dict[str, str]
    rgaa: dict[str, Criterion]
    wcag22: dict[str, Criterion]


_HEAD = """# Accessibility of the payer's pages

<!-- Made of tests/docs/accessibility.toml by `python -m tests.docs.accessibility`; a test compares. -->

The pages are made for WCAG 2.2, levels A and AA, and for RGAA 4.1, by which French public bodies are measured. This page
says of each criterion which test shows it, why it does not apply, or what only a person can judge. **It is no audit**: no
assessor, and nobody who depends on assistive technology, has judged these pages yet. A body that uses Guichet publishes
its own statement; the payer finds ours, with that body's contact, at `/accessibility` from the foot of each page.

The proofs of `tests/e2e/proofs.py` are run on every page of the catalogue (`tests/support/pages.py`: each state a payer can
meet) by `tests/e2e/test_accessible.py::test_every_page_is_accessible`: with each change every page in one language, width
and colour scheme by turns; at night in all. axe's rules are those tagged WCAG 2.0 to 2.2, A and AA, and its best
practices; zero violations are allowed. Look for yourself: `make gallery`.

"""


def facts() -> Facts:
    """Read what is known."""
    read: Facts = tomllib.loads(SOURCE.read_text("utf-8"))  # type: ignore[assignment]  # its test looks at each entry
    return read


def write(known: Facts) -> str:
    """Write the page."""
    counts = {word: sum(_state(one) == word for one in known["rgaa"].values()) for word in _STATES}
    told = "; ".join(f"{count} {_STATES[word]}" for word, count in counts.items())
    lines = [_HEAD, f"Of the {len(known['rgaa'])} criteria of RGAA 4.1: {told}.\n"]
    for theme, title in known["themes"].items():
        lines.append(
            f"\n## {theme}. {title}\n\n| RGAA | WCAG | | Shown by | A person must judge |\n|---|---|---|---|---|\n"
        )
        for number, one in known["rgaa"].items():
            if number.split(".")[0] == theme:
                lines.append(f"| {number} | {one['wcag']} | {_facts(one, known['proofs'])} |\n")
    lines.append("\n## Added by WCAG 2.2\n\n| WCAG | | Shown by | A person must judge |\n|---|---|---|---|\n")
    lines += [f"| {number} | {_facts(one, known['proofs'])} |\n" for number, one in known["wcag22"].items()]
    return "".join(lines)


_STATES = {
    "by": "shown by tests",
    "both": "shown by tests as far as a program can see",
    "absent": "not applicable",
    "human": "left to a person's judgement alone",
}


def _state(one: Criterion) -> str:
    if "absent" in one:
        return "absent"
    return "both" if "by" in one and "human" in one else "by" if "by" in one else "human"


def _facts(one: Criterion, proofs: Mapping[str, str]) -> str:
    shown = ", ".join(f"`{proofs[name]}`" for name in one.get("by", ()))
    absent = f"not applicable: {one['absent']}" if "absent" in one else ""
    return f"{one['says']} | {'; '.join(part for part in (absent, shown) if part)} | {one.get('human', '')}"


if __name__ == "__main__":
    PAGE.write_text(write(facts()), "utf-8")
