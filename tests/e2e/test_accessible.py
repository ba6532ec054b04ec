"""What a payer with a disability needs of every page there is, in each language and at each width (WCAG 2.2 AA).

With every change each page is looked at in one language and one look, by turns; at night in every language and two looks, by
turns.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from gateway.core.languages import CODES
from tests.e2e import proofs
from tests.e2e.conftest import WAIT_MS
from tests.e2e.payer import Watch
from tests.support.figures import record
from tests.support.pages import STATES, no_shop, templates, with_more_payees
from tests.support.scale import scaled
from tests.support.theatre import Theatre

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(scaled(600, 3600))]

ROOT = Path(__file__).parents[2]
Look = tuple[int, Literal["light", "dark"]]
LOOKS: tuple[Look, ...] = ((320, "light"), (1280, "light"), (1280, "dark"), (320, "dark"))


@pytest.fixture
def home(home: Path) -> Path:
    """Add the payees that some states need."""
    return with_more_payees(home)


@pytest.fixture
def page(theatre: Theatre, browser: Browser) -> Iterator[Page]:
    """Open the one browser that sees them all, and watch it like every other."""
    watch = Watch(theatre.base_url)
    with browser.new_context(locale="fr-FR") as context:
        context.set_default_timeout(WAIT_MS)
        watch.attend(context)
        page = context.new_page()
        no_shop(page)
        yield page
    # A page that its portal opened in a window of its own may be seen by it.
    meant = re.compile(r"lacks \['cross-origin-opener-policy'\]$")
    assert [fault for fault in watch.faults if not meant.search(fault)] == []


@pytest.mark.nightly_too
def test_every_page_is_accessible(page: Page, theatre: Theatre) -> None:
    languages, looks = scaled(1, len(CODES)), scaled(1, 2)
    found, spoken, turn = [], set(), 0

    for state in STATES:
        for _ in range(languages):
            language = CODES[turn % len(CODES)]
            turn += 1
            state.show(page, theatre, language)
            spoken.add(page.locator("html").get_attribute("lang"))
            seen = [LOOKS[(turn + more) % len(LOOKS)] for more in range(looks)]
            found += [f"{state.name}, {language}: {fault}" for fault in faults(page, seen)]

    assert found == []
    assert spoken == set(CODES)
    record("accessibility", pages=len(STATES), languages=len(CODES), axe_runs=turn * looks, violations=0)


def faults(page: Page, looks: Sequence[Look]) -> list[str]:
    """Tell all that is wrong with the page that is shown."""
    found = [*proofs.walk(page), *proofs.small_targets(page), *proofs.misfits(page)]
    for width, scheme in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{width} {scheme}: {fault}" for fault in proofs.axe(page)]
    return found


def test_every_page_of_the_payer_is_in_the_catalogue() -> None:
    shown = {state.template for state in STATES}

    assert templates(ROOT / "checkout_templates") - shown == set()


@pytest.mark.parametrize(
    ("proof", "body", "told"),
    [
        (proofs.axe, "<a class=b href=/>x</a><input>", "label"),
        (proofs.axe, "<p style='color:#999;background:#fff'>pale</p>", "color-contrast"),
        (proofs.axe, "<p><a href=/>a</a><br><a href=/>b</a></p><style>a{font:9px/10px serif}</style>", "target-size"),
        (proofs.small_targets, "<button style='height:20px;padding:0'>pay</button>", "small: <button"),
        (proofs.small_targets, "<p><a href=/ style='font:12px/14px serif'>alone</a></p>", "small: <a"),
        (proofs.misfits, "<p style='width:400px'>wide</p>", "320 px spaced: 8"),
        (
            proofs.misfits,
            "<p style='width:9em;height:2.4em;overflow:hidden;font:16px/1.2 serif'>Two lines and not a word more</p>",
            "320 px spaced: text cut",
        ),
        (proofs.walk, "<a href=/ style='outline:0'>unseen</a>", "no focus to be seen"),
        (proofs.walk, "<a href=/>first</a><a href=/ tabindex=1>second</a>", "Tab goes"),
        (proofs.walk, "<a href=/ style='position:fixed;top:-99px'>away</a>", "focus out of view"),
    ],
)
def test_a_proof_sees_its_fault(browser: Browser, proof: Callable[[Page], list[str]], body: str, told: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_content(
            f"<!doctype html><html lang=en><title>Planted</title><main><h1>Planted</h1>{body}</main></html>"
        )

        found = proof(page)

    assert any(fault.startswith(told) for fault in found), found
