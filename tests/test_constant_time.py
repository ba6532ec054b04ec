"""Whatever a stranger must not guess is compared in constant time: how long a refusal takes tells nothing of the secret."""

import base64
import hmac
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app import create_app
from gateway.core.challenge import Bound, code_mac, is_code
from gateway.core.errors import NotAuthentic, NotFound
from gateway.core.money import Money
from gateway.core.payment import Mode
from gateway.dialects import HttpCall
from gateway.dialects.payline.access import account_of
from gateway.dialects.systempay.signature import is_signature
from gateway.keys import Keys
from gateway.links import Links
from gateway.parts import Parts
from gateway.settings import load
from gateway.store import Pen
from tests.dialects.samples import SPPLUS_KEY
from tests.support.clock import Clock

KEY = b"k" * 32
BOUND = Bound("att_1", "m", Money(100))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, object]]:
    """Note what is compared in constant time."""
    seen: list[tuple[object, object]] = []
    real = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        seen.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    monkeypatch.setattr("gateway.web.ops.compare_digest", compare)
    return seen


def _payline(merchant_id: str, access_key: str) -> object:
    call = HttpCall("POST", "/", "", {"authorization": _basic(merchant_id, access_key)}, b"")
    terms = SimpleNamespace(merchant_id="1234567890", access_key="the key")
    account = SimpleNamespace(terms=terms, merchant=SimpleNamespace(id="m", mode=Mode.PRODUCTION))
    with suppress(NotAuthentic):
        return account_of(call, {"m": account})  # type: ignore[dict-item]  # as much of one as is asked
    return None


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def _link(token: str) -> object:
    with suppress(NotFound):
        return Links("https://pay.example.org", [KEY], [KEY], [KEY]).paylink_of(token)
    return None


_OTHER_LINK = Links("https://pay.example.org", [KEY], [KEY], [b"o" * 32]).paylink_token(7)

# Each by what is said wrongly, and how often it is held against something.
DOORS: dict[str, tuple[Callable[[], object], int]] = {
    "one-time code": (lambda: is_code(KEY, "000001", code_mac(KEY, "000000", BOUND), BOUND), 1),
    "row of the audit log": (lambda: Pen((KEY, b"n" * 32), Clock().now).wrote(b"row", "0" * 64), 2),
    "printed link": (lambda: _link(_OTHER_LINK), 1),
    "form of Systempay": (lambda: is_signature("AAAA", b"BBBB"), 1),
    "query of SP Plus": (lambda: SPPLUS_KEY.verify(b"query", "0" * 40), 1),
    "Payline's merchant id and key": (lambda: _payline("1234567890", "another key"), 2),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_secret_is_compared_in_constant_time(compared: list[tuple[object, object]], door: str) -> None:
    knock, times = DOORS[door]

    assert not knock()
    assert len(compared) == times


def test_an_unknown_api_key_is_held_against_every_digest(
    compared: list[tuple[object, object]], key_folder: Path, clock: Clock
) -> None:
    keys = Keys.load(key_folder, clock.now())
    digests = sum(len(file.read_text().split()) for file in (key_folder / "merchants").glob("*.api"))

    assert keys.api_key_owner("nobody's") is None
    assert len(compared) == digests > 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_token_of_the_figures_is_compared_in_constant_time(
    compared: list[tuple[object, object]], database_url: str, home: Path, clock: Clock
) -> None:
    names = {"GUICHET_DATABASE_URL": database_url, "GUICHET_WEB__METRICS_TOKEN": "s3cret"}
    app = create_app(home, clock.now, settings=load(home, names))
    compared.clear()

    refused = app.test_client().get("/metrics", headers={"Authorization": "Bearer s3cre7"})

    app.extensions["gateway"].checkout.desk.store.engine.dispose()
    assert refused.status_code == 401
    assert (b"Bearer s3cre7", b"Bearer s3cret") in compared


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("shop", ["12345678", "99999999"])
def test_the_password_of_a_shop_is_compared_whether_there_is_one_or_not(
    compared: list[tuple[object, object]], parts: Parts, clock: Clock, shop: str
) -> None:
    call = HttpCall("POST", "/api-payment/V4/Charge/CreatePayment", "", {"authorization": _basic(shop, "wr0ng")}, b"{}")

    with pytest.raises(NotAuthentic):
        parts.dialects["systempay"].read(call, clock.now())

    assert [given for given, _ in compared] == [b"wr0ng"]
