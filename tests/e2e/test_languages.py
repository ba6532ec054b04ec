"""Whatever the language, its words fit: on every page a payment usually takes, on the narrowest screen and on a wide one.

The pages are drawn without a server and handed to one browser, so that all languages can be seen with every change.
"""

import re
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser

from gateway.core.languages import CODES
from tests.web.test_templates import draw

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parents[2]
STATIC = HOME / "checkout_templates/static"
PAGES = ("card", "challenge", "review", "paid", "refused", "waiting")

# What hides a part of its own text, and what lets it stand out of its box. The stamp is meant to: it is turned; and so is
# the menu, which reaches into the margin.
_MISFITS = """() => [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility()
    && !node.closest(".unseen, .skip, svg, input, select, .languages")
    && !node.matches(".amount, .stamp") && node.innerText && node.innerText.trim()
    && node.clientWidth > 0 && node.scrollWidth > node.clientWidth + 1)
  .map((node) => `${node.tagName}.${node.className}: ${node.innerText.slice(0, 60)}`)"""


def with_styles(html: str) -> str:
    """Put the style sheet into the page and leave the script out: a page handed over has no address to load them from."""
    sheet = re.search(r'<link rel="stylesheet" href="/static/([\w.]+)\?[^"]*">', html)
    assert sheet
    style = f"<style>{(STATIC / sheet[1]).read_text('utf-8')}</style>"
    return re.sub(r"<script [^>]*></script>", "", html.replace(sheet[0], style))


def test_the_words_of_every_language_fit_at_both_widths(browser: Browser, drawing: Flask) -> None:
    page, found = browser.new_page(reduced_motion="reduce"), []
    for name in PAGES:
        for language in CODES:
            page.set_content(with_styles(draw(drawing, name, language)), wait_until="commit")
            for width in (320, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                root = "document.scrollingElement"
                if page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"):
                    found.append(f"{name}, {language}, {width} px: must be scrolled sideways")
                found += [f"{name}, {language}, {width} px: {fault}" for fault in page.evaluate(_MISFITS)]
    page.close()

    assert found == []
