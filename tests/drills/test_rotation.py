"""Drill: every kind of key is replaced between the steps of payments under way; all of them end well."""

from collections.abc import Iterator
from contextlib import ExitStack
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.test import TestResponse

from gateway import keys
from gateway.app import create_app
from gateway.audit import Inspection
from gateway.cli.payer import Page
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Try
from gateway.dialects.native import NativeDialect
from gateway.keys.files import PURPOSES
from gateway.parts import build
from gateway.settings import Settings
from tests.factories import CHALLENGE, deliver
from tests.support.clock import Clock
from tests.support.portal import Portal, thumbprint

KINDS = ("signing", *PURPOSES)
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
CARD = {"number": CHALLENGE, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}


class House:
    """A server that is restarted with new keys before each step, and one browser that notices nothing."""

    def __init__(self, settings: Settings, clock: Clock, stack: ExitStack) -> None:
        self._settings, self._clock, self._stack = settings, clock, stack
        self._kinds: tuple[str, ...] = ()
        self.restart()
        self._browser = self.app.test_client()

    @property
    def folder(self) -> Path:
        return self._settings.home / "keys"

    def restart(self) -> None:
        """Make a server of the key files as they are now."""
        self.app = create_app(self._settings.home, self._clock.now, settings=self._settings)
        self.parts = build(self._settings, self._clock.now)
        for engine in (self.app.extensions["gateway"].checkout.desk.store.engine, self.parts.store.engine):
            self._stack.callback(engine.dispose)

    def rotate(self, *kinds: str) -> None:
        """``guichet keys new`` for each kind, and a restart."""
        for kind in kinds:
            keys.create(self.folder, kind, self._clock.now())
        self.restart()
        self._browser.application = self.app

    def open(self, path: str) -> str:
        shown = self._browser.get(path, headers=NAVIGATION)
        assert shown.status_code == 200, shown.text
        return shown.text

    def press(self, path: str, action: str, page: str, **typed: str) -> str:
        """Send a form that was shown before, and follow where it leads."""
        form = Page(path)
        form.feed(page)
        fields = {**form.hidden, **typed, "action": action}
        return self._browser.post(path, data=fields, headers=NAVIGATION, follow_redirects=True).text

    def post(self, token: str) -> TestResponse:
        """Send a signed request, as a portal does."""
        return self.app.test_client().post("/v1/payments", data=token, content_type="application/jose")


@pytest.fixture
def house(settings: Settings, clock: Clock) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(settings, clock, stack)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_payer_notices_nothing(house: House, clock: Clock, kind: str) -> None:
    created = house.post(Portal(house.folder.parent).request(clock))
    told = created.get_json()
    path, payment = urlsplit(told["checkout_url"]).path, told["id"]
    house.rotate(kind)
    page = house.open(path)
    house.rotate(kind)
    page = house.press(path, "pay", page, **CARD)
    house.rotate(kind)
    assert 'data-page="challenge"' in page
    deliver(house.parts)
    code = house.parts.inbox.messages(kind="sms", payment=payment)[0].code
    house.rotate(kind)
    house.press(f"{path}/challenge", "confirm", page, code=code)

    house.rotate(kind)
    house.parts.checkout.sweep()

    result = house.parts.checkout.opening.told(payment)
    assert result.status is Status.PAID
    assert result.attempts[-1].status is AttemptStatus.CAPTURED
    assert 'data-page="paid"' in house.open(path)
    with house.parts.store.reading() as tx:
        assert list(Inspection(tx, house.parts.pen()).faults([])) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_merchants_old_and_new_keys_both_hold_in_the_overlap(house: House, clock: Clock) -> None:
    folder, portal = house.folder, Portal(house.folder.parent)
    old = keys.credentials(folder, portal.merchant)["whsec"]
    keys.create_merchant_keys(folder, portal.merchant, "EdDSA", clock.now(), keep_private=True)
    new = keys.credentials(folder, portal.merchant)["whsec"]
    house.rotate()
    renewed = copy(portal)
    renewed.key, renewed.kid = _newest_key(folder, portal)

    asked = [house.post(one.request(clock)).status_code for one in (portal, renewed)]
    this = Try("evt_1", b"{}", 1, datetime.now(UTC))
    dialect = house.parts.dialects["native"]
    assert isinstance(dialect, NativeDialect)
    headers = dict(dialect.sign_notice(portal.merchant, this))

    assert asked == [201, 201]
    assert old != new
    for secret in (old, new):
        Webhook(secret).verify(this.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 44).verify(this.body, headers)


def _newest_key(folder: Path, portal: Portal) -> tuple[Ed25519PrivateKey, str]:
    paths = (folder / "merchants").glob(f"{portal.merchant}-20*.pem")
    found = {path: load_pem_private_key(path.read_bytes(), None) for path in paths if path.name.count(".") == 1}
    (key,) = (key for key in found.values() if isinstance(key, Ed25519PrivateKey) and thumbprint(key) != portal.kid)
    return key, thumbprint(key)
