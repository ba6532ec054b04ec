"""What a payer's browser keeps of a card typed into its field: nothing, in any file of its profile."""

import time
from pathlib import Path

import pytest
import requests
from playwright.sync_api import BrowserType

from gateway.clock import utc_now
from tests.e2e.conftest import WAIT_MS
from tests.support.browser import launch_flags
from tests.support.clock import Clock
from tests.support.portal import Portal
from tests.support.server import Server
from tests.support.traces import CODES, foreign_numbers, search

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STORES = """async () => JSON.stringify([{...localStorage}, {...sessionStorage}, await indexedDB.databases(),
  await caches.keys(), document.cookie, history.state])"""


def checkout(server: Server) -> str:
    portal = Portal(server.home, origin=server.base_url)
    answer = requests.post(
        f"{server.base_url}/v1/payments",
        data=portal.request(Clock(utc_now())),
        headers={"Content-Type": "application/jose"},
        timeout=60,
    )
    return str(answer.json()["checkout_url"])


def test_a_browser_keeps_nothing_of_a_card(
    server: Server, chromium: BrowserType, program: Path, tmp_path: Path
) -> None:
    typed, misplaced, left, planted = foreign_numbers(4)
    page_url, profile = checkout(server), tmp_path / "profile"
    context = chromium.launch_persistent_context(profile, executable_path=program, args=launch_flags())
    context.set_default_timeout(WAIT_MS)
    try:
        page = context.new_page()
        page.goto(page_url)
        page.fill("[name=number]", typed)
        page.fill("[name=expiry]", "12/30")
        page.fill("[name=security_code]", CODES[3])
        page.fill("[name=email]", misplaced)
        page.locator("button[value=pay]").click()
        page.wait_for_load_state()
        page.reload()
        # Typed and never sent: what a browser would restore after a crash.
        page.fill("[name=number]", left)
        stores = page.evaluate(STORES)
        page.goto(f"{server.base_url}/?number={planted}")
        time.sleep(3)
    finally:
        context.close()
    (profile / "stores").write_text(stores)

    found = search(profile.rglob("*"), [typed, misplaced, left, planted])

    seen = {hit for hits in found.values() for hit in hits}
    assert not seen & {typed, left}
    # An address is kept, by every browser: the search does see what is there. So is what stands in an e-mail field when a
    # page is left; the page cannot help that without keeping addresses from being filled in.
    assert {planted} <= seen <= {planted, misplaced}
