"""Six example portals that have their invoices paid through Guichet. Run ``python examples/portal/app.py --help``.

The protocols are in the ``*_client.py`` files, the pages in ``pages.py`` and ``paying.py``, the addresses for notices in
``endpoints.py``, memory in ``ledger.py``, ``payments.py`` and ``confirmations.py``. Here they are put together and served.
"""

import argparse
import logging
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import ledger
from desk import Desk, Settings, the_desk
from display import FILTERS
from endpoints import endpoints
from flask import Flask, Response, abort, request
from guichet_client import Guichet, Keyring
from invoices import draft_invoices
from pages import pages
from paying import paying
from portals import PORTALS
from speakers import make_speakers
from werkzeug.serving import run_simple

log = logging.getLogger("portal")

# Much larger than any form or confirmation.
BODY_BYTES_MAX = 64 * 1024


def create_app(settings: Settings) -> Flask:
    """Build the application and give each portal its first invoices."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.jinja_env.filters.update(FILTERS)
    guichet = Guichet(settings.guichet, Keyring(settings.keys))
    speakers = make_speakers(guichet, settings.address)
    desk = Desk(settings, guichet, ledger.Ledger(settings.database), speakers)
    app.extensions["desk"] = desk
    app.register_blueprint(pages)
    app.register_blueprint(paying)
    app.register_blueprint(endpoints)
    app.before_request(_refuse_foreign_forms)
    app.after_request(_add_headers)
    with desk.ledger.transaction() as db:
        for portal in PORTALS.values():
            if not ledger.list_invoices(db, portal):
                ledger.add_invoices(db, portal, draft_invoices(portal, datetime.now(UTC).date()))
    return app


def _refuse_foreign_forms() -> None:
    """Take forms from our own pages only; Guichet's confirmations prove themselves by their signature."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        abort(403)


def _add_headers(response: Response) -> Response:
    # The form's own address redirects to Guichet, and browsers hold that redirect to form-action too.
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action 'self' {the_desk().guichet.origin}; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def main() -> None:
    parser = argparse.ArgumentParser(description="Example portals: invoices paid through Guichet.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--guichet", default="http://127.0.0.1:8000", help="Guichet's origin")
    parser.add_argument("--keys", type=Path, default=Path("keys/merchants"), help="folder of .pem and .whsec files")
    parser.add_argument("--data", type=Path, default=Path("var/portal.sqlite"), help="SQLite file")
    parser.add_argument("--address", default="", help="how browsers and Guichet reach this portal")
    given = parser.parse_args()
    if urlsplit(given.guichet).scheme not in ("http", "https"):
        parser.error("--guichet must be an http or https address")
    address = (given.address or f"http://127.0.0.1:{given.port}").rstrip("/")
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    # One line per request would print the tokens of return addresses.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = create_app(Settings(given.guichet, given.keys, given.data, address))
    log.info("example portals on %s, paying at %s", address, given.guichet)
    run_simple("127.0.0.1", given.port, app, threaded=True)


if __name__ == "__main__":
    main()
