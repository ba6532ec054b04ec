"""What operators and portals' developers ask the server itself: health, figures, keys, the description."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from gateway import __version__
from gateway.app import create_app
from gateway.parts import Parts
from gateway.settings import load
from gateway.store import open_engine
from tests import factories
from tests.support.clock import Clock

OPEN = ("/healthz", "/readyz", "/.well-known/jwks.json", "/openapi.json", "/docs", "/")
EVERY = (*OPEN, "/metrics", "/nowhere")


@contextmanager
def _a_client(home: Path, clock: Clock, **environ: str) -> Iterator[FlaskClient]:
    settings = load(home, environ)
    app = create_app(home, clock.now, settings=settings)
    yield app.test_client()
    app.extensions["gateway"].checkout.desk.store.engine.dispose()


def _beat(parts: Parts, clock: Clock) -> None:
    with parts.store.transaction() as tx:
        tx.notices.beat("host:1", clock.now())


def _figures(client: FlaskClient, name: str) -> dict[str, float]:
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    return {sample.labels["state"]: sample.value for sample in families[name].samples}


def test_health_says_that_the_process_answers(client: FlaskClient) -> None:
    answer = client.get("/healthz")

    assert answer.status_code == 200
    assert answer.get_json() == {"status": "ok"}


def test_without_a_worker_the_server_is_not_ready(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json() == {
        "status": "not ready",
        "faults": ["worker: no heartbeat; start `guichet worker`"],
    }


def test_a_worker_s_beat_makes_the_server_ready(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    _beat(parts, clock)

    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.get_json() == {"status": "ready", "faults": []}


def test_readiness_ends_when_the_beat_stops(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    _beat(parts, clock)

    clock.advance(seconds=20)
    assert client.get("/readyz").status_code == 200
    clock.advance(seconds=1)
    assert client.get("/readyz").status_code == 503


def test_asking_for_readiness_is_no_beat(client: FlaskClient) -> None:
    client.get("/readyz")

    assert client.get("/readyz").status_code == 503


def test_an_older_schema_is_not_ready(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    _beat(parts, clock)
    with parts.store.engine.begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json()["faults"] == ["database: the schema is not current; run `guichet db upgrade`"]


def test_an_empty_database_is_alive_and_not_ready(home: Path, clock: Clock) -> None:
    open_engine(f"sqlite:///{home}/var/empty.sqlite").dispose()

    with _a_client(home, clock, GUICHET_DATABASE_URL="sqlite:///var/empty.sqlite") as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json()["faults"] == ["database: the schema is not current; run `guichet db upgrade`"]


def test_metrics_are_in_prometheus_text_form(client: FlaskClient) -> None:
    client.get("/healthz")

    answer = client.get("/metrics")

    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"guichet_requests", "guichet_request_seconds", "guichet_notices", "guichet_attempts"} <= names


def test_waiting_notices_are_counted_until_they_are_sent(client: FlaskClient, parts: Parts) -> None:
    factories.enter(parts, factories.open_payment(parts), factories.CHALLENGE)

    assert _figures(client, "guichet_notices") == {"new": 1}
    factories.deliver(parts)
    assert _figures(client, "guichet_notices") == {}


def test_attempts_whose_end_is_unknown_are_counted(client: FlaskClient, parts: Parts) -> None:
    factories.pay(parts, factories.open_payment(parts), factories.SILENT_LOST)

    assert _figures(client, "guichet_attempts") == {"unknown": 1}


def test_metrics_outlive_the_database(home: Path, clock: Clock) -> None:
    # The discard port of this machine, where nobody listens.
    with _a_client(home, clock, GUICHET_DATABASE_URL="postgresql+psycopg://guichet@127.0.0.1:9/guichet") as client:
        answer = client.get("/metrics")

    assert answer.status_code == 200
    assert "guichet_database_up 0.0" in answer.text
    assert "guichet_request_seconds" in answer.text


def test_requests_are_counted_by_endpoint_and_never_by_address(client: FlaskClient) -> None:
    client.get("/p/a-secret-token")

    text_form = client.get("/metrics").text

    assert 'endpoint="pages.' in text_form
    assert "a-secret-token" not in text_form


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_without_a_token_this_machine_may_read_metrics(client: FlaskClient, address: str) -> None:
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": address}).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "127.0.0.1.example.org", ""])
def test_without_a_token_nobody_else_may(client: FlaskClient, address: str) -> None:
    answer = client.get("/metrics", environ_base={"REMOTE_ADDR": address})

    assert answer.status_code == 403
    assert "guichet_requests" not in answer.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_what_a_proxy_passes_on_is_not_this_machine(client: FlaskClient, header: str) -> None:
    assert client.get("/metrics", headers={header: "192.0.2.7"}).status_code == 403


@pytest.mark.parametrize(
    ("presented", "status"),
    [
        ("Bearer right-token", 200),
        ("Bearer right-tokem", 401),
        ("Bearer ", 401),
        ("right-token", 401),
        ("Bearer jeton-é", 401),
        ("", 401),
    ],
)
def test_with_a_token_only_its_holder_may(
    home: Path, clock: Clock, database_url: str, presented: str, status: int
) -> None:
    environ = {"GUICHET_DATABASE_URL": database_url, "GUICHET_WEB__METRICS_TOKEN": "right-token"}
    with _a_client(home, clock, **environ) as client:
        far = {"REMOTE_ADDR": "192.0.2.7"}
        answer = client.get("/metrics", headers={"Authorization": presented}, environ_base=far)

    assert answer.status_code == status
    assert answer.headers.get("WWW-Authenticate") == (None if status == 200 else "Bearer")


def test_with_a_token_this_machine_needs_it_too(home: Path, clock: Clock, database_url: str) -> None:
    environ = {"GUICHET_DATABASE_URL": database_url, "GUICHET_WEB__METRICS_TOKEN": "right-token"}
    with _a_client(home, clock, **environ) as client:
        assert client.get("/metrics").status_code == 401


def test_the_public_keys_hold_nothing_private(client: FlaskClient) -> None:
    answer = client.get("/.well-known/jwks.json")

    keys = answer.get_json()["keys"]
    assert len(keys) >= 1
    for key in keys:
        assert set(key) <= {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"}
        assert key["kid"]


def test_the_description_speaks_of_this_server(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()

    assert document["openapi"].startswith("3.1.")
    assert document["servers"][0]["url"] == "http://127.0.0.1:8000"
    assert "/v1/payments" in document["paths"]


def test_the_description_is_shown_to_people(client: FlaskClient) -> None:
    answer = client.get("/docs")

    assert answer.content_type == "text/html; charset=utf-8"
    assert 'data-page="api"' in answer.text
    assert '<code class="path">/v1/payments</code>' in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/.well-known/jwks.json", "/", "/nowhere"])
def test_no_answer_tells_what_it_runs_on(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    told = (answer.text + str(answer.headers)).lower()
    for word in (__version__, "python", "werkzeug", "flask", "sqlite", "postgres", "alembic", "/work", "/tmp"):  # noqa: S108  # searched for, not used
        assert word not in told


@pytest.mark.parametrize("path", EVERY)
def test_a_foreign_host_is_refused(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"})

    assert answer.status_code == 400
    assert "evil.example" not in answer.text


@pytest.mark.parametrize("path", EVERY)
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    for headers in ({}, {"Host": "evil.example"}):
        answer = client.get(path, headers=headers)

        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", [*OPEN, "/metrics"])
def test_head_tells_what_get_would_without_a_body(client: FlaskClient, path: str) -> None:
    head, get = client.head(path), client.get(path)

    assert head.status_code == get.status_code
    assert head.content_type == get.content_type
    assert head.data == b""


@pytest.mark.parametrize("path", [*OPEN, "/metrics"])
def test_options_lists_reading_methods_only(client: FlaskClient, path: str) -> None:
    answer = client.options(path)

    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.data == b""
    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control-")]


@pytest.mark.parametrize("path", [*OPEN, "/metrics"])
def test_nothing_here_can_be_posted_to(client: FlaskClient, path: str) -> None:
    answer = client.post(path)

    assert answer.status_code in (400, 405)


def test_a_database_that_refuses_connections_is_told_and_not_a_failure(home: Path, clock: Clock) -> None:
    with _a_client(home, clock, GUICHET_DATABASE_URL="postgresql+psycopg://guichet@127.0.0.1:9/guichet") as client:
        reply = client.get("/readyz")

    assert (reply.status_code, reply.get_json()["faults"]) == (503, ["database: no answer"])
