"""Whom the limits and the audit log take for the caller: what stands before this server says so, and nobody else."""

import pytest
from flask import request

from gateway.app import create_app
from gateway.parts import Parts
from gateway.settings import load
from tests.support.clock import Clock

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# The caller's own claim comes first; each proxy adds whom it has heard.
CLAIMED, SEEN_FAR, SEEN_NEAR = "192.0.2.66", "198.51.100.7", "198.51.100.1"


@pytest.mark.parametrize(("proxies", "caller"), [(0, "127.0.0.1"), (1, SEEN_NEAR), (2, SEEN_FAR)])
def test_no_caller_chooses_its_own_address(
    database_url: str, parts: Parts, clock: Clock, proxies: int, caller: str
) -> None:
    names = {"GUICHET_DATABASE_URL": database_url, "GUICHET_WEB__PROXIES": str(proxies)}
    app = create_app(parts.settings.home, clock.now, settings=load(parts.settings.home, names))
    app.add_url_rule("/_who", "who", lambda: str(request.remote_addr))

    told = app.test_client().get("/_who", headers={"X-Forwarded-For": f"{CLAIMED}, {SEEN_FAR}, {SEEN_NEAR}"})

    app.extensions["gateway"].checkout.desk.store.engine.dispose()
    assert told.text == caller


def test_without_a_proxy_nobody_names_another_host_or_scheme(database_url: str, parts: Parts, clock: Clock) -> None:
    names = {"GUICHET_DATABASE_URL": database_url, "GUICHET_BASE_URL": "https://pay.example.org"}
    app = create_app(parts.settings.home, clock.now, settings=load(parts.settings.home, names))

    foreign = app.test_client().get(
        "/healthz", headers={"X-Forwarded-Host": "pay.example.org"}, base_url="https://evil.example"
    )

    app.extensions["gateway"].checkout.desk.store.engine.dispose()
    assert foreign.status_code == 400
