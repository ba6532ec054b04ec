"""A server whose time and situations the test decides: in this process by a clock that stands, or the real one beside it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import make_server

from gateway.app import create_app
from gateway.clock import utc_now
from gateway.parts import Parts, build
from gateway.settings import load
from tests import factories
from tests.support.clock import Clock
from tests.support.server import Server, free_ports


@dataclass(frozen=True, slots=True)
class Theatre:
    """A server at ``base_url``, and the parts over the same database, by which a test brings payments where it wants them.

    :ivar language: what the payers speak whose payments are prepared for a page
    """

    base_url: str
    parts: Parts
    clock: Clock
    language: str = "fr"

    def open(self, **changes: object) -> str:
        """Open a payment and give the address of its page."""
        payment = factories.open_payment(self.parts, **changes)
        return self.parts.links.page(payment.id)

    def messages(self, kind: str, payment: str) -> list[dict[str, object]]:
        """Deliver what is due, then list what the inbox caught of a payment, newest first."""
        factories.deliver(self.parts)
        return [{"code": message.code} for message in self.parts.inbox.messages(kind=kind, payment=payment)]


@contextmanager
def in_this_process(home: Path, clock: Clock, smtp_port: int = 0) -> Iterator[Theatre]:
    """Serve from ``home``, whose SQLite file is migrated; there is no worker, the test delivers and sweeps itself.

    :param smtp_port: where a mail catcher listens; 0 for none
    """
    (port,) = free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    names = {"GUICHET_DATABASE_URL": f"sqlite:///{home}/var/guichet.sqlite", "GUICHET_BASE_URL": origin}
    if smtp_port:
        names["GUICHET_SMTP__PORT"] = str(smtp_port)
    settings = load(home, names)
    parts, app = build(settings, clock.now), create_app(home, clock.now, settings=settings)
    web = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        yield Theatre(origin, parts, clock)
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
        services = app.extensions["gateway"]
        services.background.shutdown()
        services.checkout.desk.store.engine.dispose()
        parts.store.engine.dispose()


@contextmanager
def beside(server: Server) -> Iterator[Theatre]:
    """Prepare payments in the SQLite database of a server that runs by the real clock."""
    names = {"GUICHET_DATABASE_URL": f"sqlite:///{server.home}/var/guichet.sqlite", "GUICHET_BASE_URL": server.base_url}
    clock = Clock(utc_now())
    parts = build(load(server.home, names), clock.now)
    yield Theatre(server.base_url, parts, clock)
    parts.store.engine.dispose()
