"""A browser, a real server it goes to, and a server in this process whose time the test moves."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, Page, expect, sync_playwright

from tests.e2e.payer import Payer, Watch
from tests.support.browser import NoBrowser, chromium_path, launch_flags
from tests.support.clock import Clock
from tests.support.pages import with_more_payees
from tests.support.postgres import drop_database, fresh_database
from tests.support.server import Server, make_home, running
from tests.support.theatre import Theatre as Theatre  # where the journeys look for it
from tests.support.theatre import in_this_process

PHONE, DESK = 360, 1280
WAIT_MS = 45_000  # a page takes half a second; a machine busy with the rest of the suite takes longer

NewPayer = Callable[..., Payer]


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserType]:
    """Drive browsers of this kind; there can be one driver in a process."""
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="session")
def program() -> Path:
    """Find the browser's program; without one the journeys are skipped, and the reason is told."""
    try:
        return Path(chromium_path())
    except NoBrowser as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def browser(chromium: BrowserType, program: Path) -> Iterator[Browser]:
    """Start the browser once."""
    expect.set_options(timeout=WAIT_MS)
    browser = chromium.launch(executable_path=program, args=launch_flags())
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, key_folder: Path) -> Iterator[Server]:
    """Serve on SQLite, for all journeys of this process."""
    home = with_more_payees(make_home(tmp_path_factory.mktemp("e2e") / "home", key_folder))
    with running(home, f"sqlite:///{home}/var/guichet.sqlite") as server:
        yield server


@pytest.fixture
def postgresql_server(tmp_path: Path, key_folder: Path, postgres: str) -> Iterator[Server]:
    """Serve on PostgreSQL, for one journey."""
    name = f"e2e_{os.getpid()}"
    with running(make_home(tmp_path / "home", key_folder), fresh_database(postgres, name)) as server:
        yield server
    drop_database(postgres, name)


@pytest.fixture
def theatre(home: Path, sqlite_url: str, clock: Clock) -> Iterator[Theatre]:  # noqa: ARG001 - it finds it at home
    """Serve over a fresh SQLite file; there is no worker, the test delivers and sweeps itself."""
    with in_this_process(home, clock) as theatre:
        yield theatre


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a fresh browser session; whatever it did that no page may do fails the test at its end."""
    with ExitStack() as stack:
        watches: list[Watch] = []

        def open_page(guichet: str, *, width: int = DESK, scripts: bool = True) -> Page:
            size = {"width": width, "height": 900}
            context = browser.new_context(viewport=size, java_script_enabled=scripts, locale="fr-FR")  # type: ignore[arg-type]
            stack.callback(context.close)
            context.set_default_timeout(WAIT_MS)
            watches.append(Watch(guichet))
            watches[-1].attend(context)
            return context.new_page()

        yield open_page
        faults = [fault for watch in watches for fault in watch.faults]
    assert faults == []


@pytest.fixture
def new_payer(new_page: Callable[..., Page]) -> NewPayer:
    """Make payers, each with a browser of their own: ``new_payer(server, width=PHONE, scripts=False)``."""

    def make(at: Server | Theatre, **how: int) -> Payer:
        return Payer(new_page(at.base_url, **how), at.base_url, at.messages)

    return make
