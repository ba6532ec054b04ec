"""Merchants' programs: fifteen posts a second each, and the sixteenth is told so in its own form."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import LimitSettings, Settings
from tests.support.clock import Clock
from tests.support.portal import Portal


@pytest.fixture
def limited(settings: Settings, home: Path, clock: Clock) -> Iterator[FlaskClient]:
    app = create_app(home, clock.now, settings=settings.model_copy(update={"limits": LimitSettings()}))
    yield app.test_client()
    app.extensions["gateway"].checkout.desk.store.engine.dispose()


def test_the_sixteenth_post_of_a_second_waits(limited: FlaskClient, home: Path, clock: Clock) -> None:
    portal = Portal(home)
    wishes = [portal.request(clock) for _ in range(17)]

    answers = [limited.post("/v1/payments", data=wish, content_type="application/jose") for wish in wishes[:16]]
    elsewhere = Portal(home, "jvs-demo").request(clock)
    other = limited.post("/v1/payments", data=elsewhere, content_type="application/jose")
    clock.advance(seconds=1)
    later = limited.post("/v1/payments", data=wishes[15], content_type="application/jose")

    assert [answer.status_code for answer in answers] == [201] * 15 + [429]
    assert answers[15].headers["Retry-After"] == "1"
    assert answers[15].content_type == "application/problem+json"
    assert answers[15].get_json()["code"] == "too_many_requests"
    assert other.status_code == later.status_code == 201


def test_what_a_payers_browser_carries_is_not_counted(limited: FlaskClient, home: Path, clock: Clock) -> None:
    portal = Portal(home)

    answers = [limited.post("/pay", data={"request": portal.request(clock)}) for _ in range(17)]

    assert {answer.status_code for answer in answers} == {303}


def test_a_soap_client_gets_a_fault(limited: FlaskClient) -> None:
    body = (Path(__file__).parents[1] / "dialects/vectors/payfip/create_raw.xml").read_bytes()
    path = "/tpa/services/securite"

    answers = [limited.post(path, data=body, content_type="text/xml") for _ in range(16)]

    assert answers[15].status_code == 429
    assert b"Fault" in answers[15].data
    assert answers[15].headers["Retry-After"] == "1"


def test_a_stranger_cannot_use_up_the_calls_of_a_merchant_whose_protocol_signs_nothing(limited: FlaskClient) -> None:
    body = (Path(__file__).parents[1] / "dialects/vectors/payfip/create_raw.xml").read_bytes()
    path, stranger = "/tpa/services/securite", {"REMOTE_ADDR": "198.51.100.66"}

    for _ in range(17):
        flooded = limited.post(path, data=body, content_type="text/xml", environ_base=stranger)
    portal = limited.post(path, data=body, content_type="text/xml", environ_base={"REMOTE_ADDR": "198.51.100.7"})

    assert (flooded.status_code, portal.status_code) == (429, 200)
