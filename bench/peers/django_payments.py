"""django-payments with its dummy provider, in the project of ``shop/``, under the web server that serves ours."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import make_url

from bench import payers
from bench.peers.programs import environment, running
from gateway.cli.webserver import WebServer
from gateway.settings import load
from tests.support.server import free_ports

_ASKED = json.dumps({"amount": 9612, "currency": "EUR", "label": "Cantine", "email": "famille@example.org"}).encode()
# 3-D Secure is off: nobody asks for a code, and nothing is sent to the portal.
_TYPED = {
    "status": "confirmed",
    "fraud_status": "accept",
    "gateway_response": "3ds-disabled",
    "verification_result": "",
}


@contextmanager
def serving(home: Path, database_url: str, *, keeps_connections: bool) -> Iterator[int]:
    """Serve the shop while the body runs; gives its port.

    :param home: of the server of ours that it stands beside
    :param keeps_connections: to the database, from one request to the next; Django does if told so
    """
    installed, url, (port,) = environment("django"), make_url(database_url), free_ports(1)
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parent),
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "SHOP_KEEPS_CONNECTIONS": "yes" if keeps_connections else "",
        "PGDATABASE": url.database or "",
        "PGHOST": str(url.query["host"]),
        "PGUSER": url.username or "",
    }
    tables = [str(installed / "bin/python"), "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"]
    subprocess.run(tables, env=environ, check=True)  # noqa: S603 - ours
    ours = WebServer(Flask(__name__), load(home, {})).cfg
    options = f"--worker-class=gthread --workers={ours.workers} --threads={ours.threads} --keep-alive={ours.keepalive}"
    options += f" --preload --no-control-socket --bind=127.0.0.1:{port} django.core.wsgi:get_wsgi_application()"
    with running([str(installed / "bin/gunicorn"), *options.split()], environ, home / "django.log", port):
        yield port


class Journey(payers.Journey):
    """A payment is opened, its form shown and sent, its end shown: four requests. The provider asks for no card."""

    def pay(self, _request: str, _card: str) -> None:
        """Go all the way. Raises :class:`bench.payers.Astray`."""
        _, said = self._ask("create", "POST", "/payments", _ASKED, "application/json")
        path = json.loads(said)["path"]
        self._press("pay", path, self._page("pay", path), _TYPED, leads_to="paid")
