"""Whose a page is, what it takes, and what each answer carries whatever its status."""

import re
import time
from base64 import urlsafe_b64decode
from hashlib import sha256

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner

from gateway.app import create_app
from gateway.parts import Parts
from gateway.settings import load
from tests.e2e.payer import missing_headers
from tests.factories import a_request, an_open, open_payment, pay
from tests.support.clock import Clock
from tests.support.portal import Portal

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def path(parts: Parts) -> str:
    return f"/p/{parts.links.page_token(open_payment(parts).id)}"


@pytest.fixture
def other(app: Flask) -> FlaskClient:
    """Give another browser."""
    return app.test_client()


def token_of(page: str) -> str:
    (token,) = set(re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', page))
    return str(token)


def test_a_form_without_its_token_does_nothing(client: FlaskClient, path: str) -> None:
    client.get(path, headers=NAVIGATION)

    refused = client.post(path, data={"action": "cancel"}, headers=NAVIGATION)

    assert refused.status_code >= 400
    assert 'data-page="cancelled"' not in client.get(path, headers=NAVIGATION).text


class TestOneBrowser:
    def test_the_first_one_that_opens_a_page_has_it(self, client: FlaskClient, other: FlaskClient, path: str) -> None:
        client.get(path, headers=NAVIGATION)

        refused = other.get(path, headers=NAVIGATION)

        assert refused.status_code == 403
        assert 'data-page="error"' in refused.text
        assert "opened_elsewhere" in refused.text
        assert "Cantine" not in refused.text
        assert "96,12" not in refused.text
        assert client.get(path, headers=NAVIGATION).status_code == 200

    def test_nobody_else_acts_on_it(self, client: FlaskClient, other: FlaskClient, path: str, parts: Parts) -> None:
        token = token_of(other.get(path).text)
        client.get(path, headers=NAVIGATION)

        cancelled = other.post(path, data={"action": "cancel", "csrf_token": token})
        asked = other.get(f"{path}/state")

        assert (cancelled.status_code, asked.status_code) == (403, 403)
        assert parts.checkout.opening.told(parts.links.payment_of(path.removeprefix("/p/"))).is_live

    def test_two_tabs_of_one_browser_are_one(self, client: FlaskClient, path: str) -> None:
        answers = [client.get(path, headers=NAVIGATION) for _ in range(2)]
        tokens = [token_of(answer.text) for answer in answers]

        done = [client.post(path, data={"action": "cancel", "csrf_token": token}) for token in tokens]

        assert [answer.status_code for answer in done] == [303, 303]

    @pytest.mark.parametrize(
        "look", [{}, {"Sec-Fetch-Mode": "no-cors"}, {**NAVIGATION, "Sec-Purpose": "prefetch;prerender"}]
    )
    def test_a_program_that_looks_at_links_takes_no_page(
        self, client: FlaskClient, other: FlaskClient, path: str, look: dict[str, str]
    ) -> None:
        other.get(path, headers=look)
        other.head(path, headers=NAVIGATION)

        assert client.get(path, headers=NAVIGATION).status_code == 200

    def test_a_browser_without_metadata_takes_it_by_its_first_post(
        self, client: FlaskClient, other: FlaskClient, path: str
    ) -> None:
        token = token_of(client.get(path).text)
        client.post(path, data={"action": "pay", "csrf_token": token})

        assert other.get(path, headers=NAVIGATION).status_code == 403
        assert client.get(path).status_code == 200

    def test_what_is_over_is_shown_to_whoever_has_the_link(
        self, client: FlaskClient, other: FlaskClient, parts: Parts
    ) -> None:
        payment = open_payment(parts)
        path = f"/p/{parts.links.page_token(payment.id)}"
        client.get(path, headers=NAVIGATION)
        pay(parts, payment)

        assert 'data-page="paid"' in other.get(path, headers=NAVIGATION).text

    def test_a_new_request_of_the_merchant_gives_it_to_another_browser(
        self, client: FlaskClient, other: FlaskClient, parts: Parts
    ) -> None:
        request = a_request()
        result, _ = parts.checkout.opening.open(an_open(request, digest="wish"), "native")
        path = f"/p/{parts.links.page_token(result.id)}"
        client.get(path, headers=NAVIGATION)

        parts.checkout.opening.open(an_open(request, digest="wish"), "native")

        assert other.get(path, headers=NAVIGATION).status_code == 200
        assert client.get(path, headers=NAVIGATION).status_code == 403

    def test_the_same_request_once_more_does_not(
        self, client: FlaskClient, other: FlaskClient, parts: Parts, clock: Clock
    ) -> None:
        """Whoever caught a signed request on its way may send it again, and gets nothing."""
        caught = {"request": Portal(parts.settings.home).request(clock)}
        path = client.post("/pay", data=caught).headers["Location"]
        client.get(path, headers=NAVIGATION)

        again = other.post("/pay", data=caught)

        assert again.headers["Location"] == path
        assert other.get(path, headers=NAVIGATION).status_code == 403


class TestForms:
    @pytest.mark.parametrize("field", ["action", "number", "security_code", "code"])
    def test_a_field_sent_twice_is_refused(self, client: FlaskClient, path: str, field: str, parts: Parts) -> None:
        token = token_of(client.get(path).text)

        refused = client.post(path, data={"csrf_token": token, "action": "cancel", field: ["cancel", "cancel"]})

        assert refused.status_code == 400
        assert parts.checkout.opening.told(parts.links.payment_of(path.removeprefix("/p/"))).is_live

    def test_a_query_said_twice_is_refused(self, client: FlaskClient, path: str) -> None:
        assert client.get(f"{path}?lang=fr&lang=en").status_code == 400

    @pytest.mark.parametrize(("size", "status"), [(15_000, 303), (17_000, 413)])
    def test_a_card_post_is_sixteen_kibibytes_at_most(
        self, client: FlaskClient, path: str, size: int, status: int
    ) -> None:
        token = token_of(client.get(path).text)

        answer = client.post(path, data={"csrf_token": token, "action": "cancel", "filler": "x" * size})

        assert answer.status_code == status

    def test_a_post_of_many_parts_is_refused(self, client: FlaskClient, path: str) -> None:
        token = token_of(client.get(path).text)
        parts = {"csrf_token": token, "action": "cancel", **{f"f{n}": "x" for n in range(31)}}

        assert client.post(path, data=parts, content_type="multipart/form-data").status_code == 413

    @pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND"])
    def test_other_methods_are_refused(self, client: FlaskClient, path: str, method: str) -> None:
        for address in (path, "/v1/payments", "/", "/static/checkout.js"):
            assert client.open(address, method=method).status_code == 405


class TestHeaders:
    def test_every_answer_carries_them(self, app: Flask, client: FlaskClient, path: str) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = False
        app.add_url_rule("/_broken", "broken", lambda: str(1 // 0))
        asked = [
            *(client.get(path), client.get("/nowhere"), client.post(path, data={"action": "pay"}), client.delete(path)),
            *(client.post(path, data={"a": "x" * 17_000}), client.get("/_broken"), client.get("/static/checkout.js")),
            *(client.get("/static/nothing.js"), client.get("/", headers={"Host": "evil.example"}), client.get("/readyz")),
            *(client.post("/v1/payments", data="x" * 70_000), client.open(path, method="TRACE"), client.get("/t/nobody")),
        ]  # fmt: skip

        statuses = [answer.status_code for answer in asked]
        assert statuses == [200, 404, 400, 405, 413, 500, 200, 404, 400, 503, 413, 405, 404]
        for answer in asked:
            assert missing_headers(dict(answer.headers)) == [], answer.status
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            answer.close()
        kept = [answer.headers["Cache-Control"] for answer in asked]
        assert [value for value in kept if value != "no-store"] == ["public, max-age=31536000, immutable"]

    def test_a_page_may_do_no_more_than_this(self, client: FlaskClient, path: str) -> None:
        """To the letter: a policy is as weak as its weakest word, wherever in it that stands."""
        answer = client.get(path, headers=NAVIGATION)

        assert answer.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
        )
        assert "payment=()" in answer.headers["Permissions-Policy"].split(", ")
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"

    def test_no_cache_keeps_what_is_somebodys(self, client: FlaskClient, path: str, parts: Parts) -> None:
        paid = pay(parts, parts.checkout.opening.told(parts.links.payment_of(path.removeprefix("/p/"))))
        ticket = parts.links.ticket(paid, "payer")
        shown = [client.get(one) for one in (path, f"{path}/state", ticket, f"{ticket}.pdf")]

        assert [answer.status_code for answer in shown] == [200, 200, 200, 200]
        assert {answer.headers["Cache-Control"] for answer in shown} == {"no-store"}

    def test_behind_https_cookies_are_the_hosts_own_and_http_is_forgotten(
        self, database_url: str, parts: Parts, clock: Clock
    ) -> None:
        names = {"GUICHET_DATABASE_URL": database_url, "GUICHET_BASE_URL": "https://pay.example.org"}
        app = create_app(parts.settings.home, clock.now, settings=load(parts.settings.home, names))
        path = f"/p/{parts.links.page_token(open_payment(parts).id)}"

        answer = app.test_client().get(path, base_url="https://pay.example.org", headers=NAVIGATION)
        stranger = app.test_client().get(path, base_url="https://127.0.0.1")

        app.extensions["gateway"].checkout.desk.store.engine.dispose()
        cookies = answer.headers.getlist("Set-Cookie")
        assert [cookie.partition("=")[0] for cookie in cookies] == ["__Host-guichet"]
        for word in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
            assert word in cookies[0]
        assert "Domain" not in cookies[0]
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        assert stranger.status_code == 400


class TestTheCookie:
    """It is signed anew hourly, not for each answer: what is sent and when decides who loses a page."""

    @pytest.mark.parametrize(("hours", "sent"), [(0, 0), (0.9, 0), (1.1, 1)])
    def test_is_sent_anew_once_it_is_an_hour_old(
        self, client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch, hours: float, sent: int
    ) -> None:
        _look_back_then(client, path, monkeypatch, hours)

        again = client.get(path, headers=NAVIGATION)
        last = client.get(path, headers=NAVIGATION)

        assert (again.status_code, len(again.headers.getlist("Set-Cookie"))) == (200, sent)
        assert last.headers.getlist("Set-Cookie") == []

    def test_outlives_the_longest_page_even_if_that_was_shown_before_it_was_sent_anew(
        self, client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _look_back_then(client, path, monkeypatch, 24.9)

        assert client.get(path, headers=NAVIGATION).status_code == 200

    def test_ends_a_day_and_an_hour_after_it_was_signed(
        self, client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _look_back_then(client, path, monkeypatch, 25.1)

        assert client.get(path, headers=NAVIGATION).status_code == 403

    def test_is_signed_with_sha_256(self, client: FlaskClient, path: str) -> None:
        (cookie,) = client.get(path, headers=NAVIGATION).headers.getlist("Set-Cookie")

        signature = cookie.partition(";")[0].rpartition(".")[2]
        assert len(urlsafe_b64decode(signature + "=")) == sha256().digest_size

    def test_is_not_sent_with_a_file_that_caches_keep(
        self, client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _look_back_then(client, path, monkeypatch, 2)

        answer = client.get("/static/checkout.css")

        assert "public" in answer.headers["Cache-Control"]
        assert "Set-Cookie" not in answer.headers
        answer.close()


def _look_back_then(client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Look at a page with a clock of the cookie's signer that is some hours behind."""
    with monkeypatch.context() as then:
        then.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time() - hours * 3600))
        assert client.get(path, headers=NAVIGATION).headers.getlist("Set-Cookie")
