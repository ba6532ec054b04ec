"""Static files: packed once, sent packed to whoever takes them so; pages are never packed."""

import gzip

import pytest
from flask.testing import FlaskClient

from gateway.core.languages import CODES
from gateway.parts import Parts
from gateway.web.files import WebFile
from tests.factories import open_payment
from tests.support.server import ROOT

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

STYLE = (ROOT / "checkout_templates/static/checkout.css").read_bytes()
ANY = {"Accept-Encoding": "gzip, deflate, br"}


@on_sqlite
def test_a_stylesheet_is_sent_packed_to_a_browser_that_takes_it_so(client: FlaskClient) -> None:
    answer = client.get("/static/checkout.css", headers=ANY)

    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.data) == STYLE
    assert len(answer.data) < len(STYLE) / 3
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@on_sqlite
@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0"])
def test_others_get_it_plain_and_caches_are_told_that_it_differs(client: FlaskClient, accepted: str) -> None:
    plain, packed = (client.get("/static/checkout.css", headers={"Accept-Encoding": a}) for a in (accepted, "gzip"))

    assert "Content-Encoding" not in plain.headers
    assert plain.data == STYLE
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]


@on_sqlite
def test_who_has_a_file_is_not_sent_it_again(client: FlaskClient) -> None:
    tag = client.get("/static/checkout.css", headers=ANY).headers["ETag"]

    again = client.get("/static/checkout.css", headers={**ANY, "If-None-Match": tag})

    assert (again.status_code, again.data) == (304, b"")


@on_sqlite
def test_no_page_with_a_token_on_it_is_packed(client: FlaskClient, parts: Parts) -> None:
    path = f"/p/{parts.links.page_token(open_payment(parts).id)}"

    for language in CODES:
        answer = client.get(f"{path}?lang={language}", headers=ANY)
        assert b"csrf_token" in answer.data
        assert "Content-Encoding" not in answer.headers


def test_what_packing_makes_no_smaller_stays_as_it_is() -> None:
    assert WebFile(b"a", "text/css").packed == WebFile(STYLE, "image/png").packed == b""
