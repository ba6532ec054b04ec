"""For operators and portals' developers: health, readiness, metrics, the public keys, the API's description."""

from collections.abc import Mapping
from hmac import compare_digest

from flask import Blueprint, Response, abort, jsonify, render_template, request
from prometheus_client.core import GaugeMetricFamily
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from gateway.core.errors import StoreBusy
from gateway.metrics import exposition
from gateway.web import services

ops = Blueprint("ops", __name__)

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
# A proxy on this machine speaks from loopback for whoever is behind it, and says so in one of these.
_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Real-IP")

# Text exposition format 0.0.4, which every Prometheus reads.
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@ops.get("/healthz")
def health() -> Response:
    """Say that this process answers."""
    return jsonify(status="ok")


@ops.get("/readyz")
def ready() -> tuple[Response, int]:
    """Say whether payments can be taken: database, schema, keys, a living worker."""
    faults = services().faults()
    return jsonify(status="ready" if not faults else "not ready", faults=list(faults)), 503 if faults else 200


@ops.get("/metrics")
def metrics() -> Response:
    """Give Prometheus its figures; to this machine, or to whoever holds the token."""
    _guard_metrics(services().settings.web.metrics_token)
    return Response(exposition(_families()), content_type=_METRICS_TYPE)


def _families() -> list[GaugeMetricFamily]:
    """Ask the database for its figures; when it does not answer, say that, and let the process tell the rest."""
    try:
        figures = services().figures()
    except StoreBusy:
        return [_database_up(0)]
    return [_database_up(1), *(_family(name, counts) for name, counts in figures.items())]


def _database_up(value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily("guichet_database_up", "whether the database answered", value=value)


def _family(name: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"guichet_{name}", f"rows that need watching: {name}", labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _guard_metrics(token: str) -> None:
    if token:
        presented = request.headers.get("Authorization", "")
        if not compare_digest(presented.encode(), f"Bearer {token}".encode()):
            raise Unauthorized(www_authenticate=WWWAuthenticate("bearer"))
    elif request.remote_addr not in _LOOPBACK or any(name in request.headers for name in _FORWARDING):
        abort(403)


@ops.get("/.well-known/jwks.json")
def jwks() -> Response:
    """Publish the keys that results are signed with."""
    return jsonify(services().keys.signing_jwks())


@ops.get("/openapi.json")
def description() -> Response:
    """Describe the native API (OpenAPI 3.1)."""
    # Made of the models' schemas, which only a reader of the description needs.
    from gateway.web import openapi

    return jsonify(openapi.document(services().settings.base_url))


@ops.get("/docs")
def docs() -> str:
    """Show the description to people."""
    from gateway.web import openapi

    return render_template("docs/api.html", **openapi.page(services().settings.base_url))


@ops.get("/")
def home() -> str:
    """Tell whoever comes to the bare address where they are."""
    known = services()
    return render_template("docs/home.html", test_mode=known.settings.is_test_kit_on, server=known.settings.base_url)
