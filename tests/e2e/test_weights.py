"""What each page costs a telephone on a slow network: bytes, requests, hosts; measured at the real server, as it serves."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request

from tests.e2e.conftest import WAIT_MS
from tests.support.figures import record
from tests.support.pages import STATES, State, no_shop
from tests.support.scale import IS_NIGHT
from tests.support.server import Server
from tests.support.theatre import Theatre, beside

pytestmark = pytest.mark.e2e

# A second and a bit at the 400 kbit/s by which browsers imitate a slow telephone.
WEIGHT_MAX_BYTES = 60_000
# The page, its style, its script and its icon or logo.
REQUESTS_MAX = 4
ICON = "link[rel=icon]"


@pytest.fixture
def theatre(server: Server) -> Iterator[Theatre]:
    """Prepare situations in the real server's database."""
    with beside(server) as theatre:
        yield theatre


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a browser that keeps nothing, so that each page is met for the first time."""
    with browser.new_context(locale="fr-FR") as context:
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        no_shop(page)
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        yield page


@pytest.mark.nightly_too
def test_every_page_is_light_and_asks_nobody_else(page: Page, theatre: Theatre) -> None:
    # With every change each template once, and the longest page; at night all.
    sample = {state.template: state for state in STATES} | {"": next(s for s in STATES if s.name == "card-many-debts")}
    found, heaviest = [], 0

    for state in STATES if IS_NIGHT else sample.values():
        asked = requests_of(page, theatre, state)
        weight = sum(bytes_of(one) for one in asked)
        hosts = {urlsplit(one.url).netloc for one in asked}
        found += [f"{state.name}: {weight} bytes"] if weight > WEIGHT_MAX_BYTES else []
        found += [f"{state.name}: {len(asked)} requests"] if len(asked) > REQUESTS_MAX else []
        found += [f"{state.name}: asks {hosts}"] if hosts != {urlsplit(theatre.base_url).netloc} else []
        found += [f"{state.name}: {fault}" for one in asked if (fault := miscached(one))]
        heaviest = max(heaviest, weight)
        record(f"weight: {state.name}", bytes=weight, requests=len(asked))

    assert found == []
    assert heaviest > WEIGHT_MAX_BYTES / 4


def requests_of(page: Page, theatre: Theatre, state: State) -> list[Request]:
    """Show a state and list what the browser asked for to show it; a headless one must be told to ask for the icon."""
    asked: list[Request] = []
    listen = lambda one: asked.append(one)  # noqa: E731 - a bound method of a list cannot be listened with
    page.on("request", listen)
    state.show(page, theatre, "fr")
    if page.locator(ICON).count():
        page.evaluate(f"fetch(document.querySelector('{ICON}').href).then((reply) => reply.blob()).then(() => 0)")
    page.remove_listener("request", listen)
    last = max(n for n, one in enumerate(asked) if one.is_navigation_request() and one.url == page.url)
    # A logo that is the icon too is one file. What a script asks later on is no part of showing the page.
    shown = {one.url: one for one in asked[last:] if one.method == "GET" and not one.url.endswith("/state")}
    return [one for one in shown.values() if not one.is_navigation_request() or one.url == page.url]


def bytes_of(asked: Request) -> int:
    """Say how much came over the wire, headers and all."""
    sizes = asked.sizes()
    return sizes["responseHeadersSize"] + sizes["responseBodySize"]


def miscached(asked: Request) -> str:
    """Tell when a file is fetched anew by each page, or a page with a payment on it is kept."""
    answer = asked.response()
    assert answer
    wanted = (
        "public, max-age=31536000, immutable"
        if urlsplit(asked.url).path.startswith(("/static/", "/theme/"))
        else "no-store"
    )
    told = answer.headers.get("cache-control")
    return "" if told == wanted else f"{asked.url} is to be kept by {told!r}"
