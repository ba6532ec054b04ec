"""A browser, a real server it goes to, and a server in this process whose time the test moves."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, Page, expect, sync_playwright
from werkzeug.serving import make_server

from gateway.app import create_app
from gateway.parts import Parts, build
from gateway.settings import load
from tests import factories
from tests.e2e.payer import Payer, Watch
from tests.support.browser import NoBrowser, chromium_path, launch_flags
from tests.support.clock import Clock
from tests.support.postgres import drop_database, fresh_database
from tests.support.server import Server, free_ports, make_home, running

PHONE, DESK = 360, 1280
WAIT_MS = 20_000  # a page takes half a second; a machine busy with the rest of the suite takes longer

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
    home = make_home(tmp_path_factory.mktemp("e2e") / "home", key_folder)
    with running(home, f"sqlite:///{home}/var/guichet.sqlite") as server:
        yield server


@pytest.fixture
def postgresql_server(tmp_path: Path, key_folder: Path, postgres: str) -> Iterator[Server]:
    """Serve on PostgreSQL, for one journey."""
    name = f"e2e_{os.getpid()}"
    with running(make_home(tmp_path / "home", key_folder), fresh_database(postgres, name)) as server:
        yield server
    drop_database(postgres, name)


@dataclass(frozen=True, slots=True)
class Theatre:
    """The application served from this process, by a clock that stands still until the test moves it."""

    base_url: str
    parts: Parts
    clock: Clock

    def open(self, **changes: object) -> str:
        """Open a payment and give the address of its page."""
        payment = factories.open_payment(self.parts, **changes)
        return self.parts.links.page(payment.id)

    def messages(self, kind: str, payment: str) -> list[dict[str, object]]:
        """Deliver what is due, then list what the inbox caught of a payment, newest first."""
        factories.deliver(self.parts)
        return [{"code": message.code} for message in self.parts.inbox.messages(kind=kind, payment=payment)]


@pytest.fixture
def theatre(home: Path, sqlite_template: Path, clock: Clock) -> Iterator[Theatre]:
    """Serve over a fresh SQLite file; there is no worker, the test delivers and sweeps itself."""
    (home / "var/guichet.sqlite").write_bytes(sqlite_template.read_bytes())
    (port,) = free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    names = {"GUICHET_DATABASE_URL": f"sqlite:///{home}/var/guichet.sqlite", "GUICHET_BASE_URL": origin}
    settings = load(home, names)
    parts, app = build(settings, clock.now), create_app(home, clock.now, settings=settings)
    web = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield Theatre(origin, parts, clock)
    web.shutdown()
    thread.join()
    web.server_close()
    services = app.extensions["gateway"]
    services.background.shutdown()
    services.checkout.desk.store.engine.dispose()
    parts.store.engine.dispose()


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
