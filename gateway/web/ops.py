"""For operators and portals' developers: health, readiness, metrics, the public keys, the API's description."""

from hmac import compare_digest

from flask import Blueprint, Response, abort, jsonify, render_template, request
from prometheus_client.core import GaugeMetricFamily

from gateway.metrics import exposition
from gateway.web import openapi, services

ops = Blueprint("ops", __name__)


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
    token = services().settings.web.metrics_token
    presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token and not compare_digest(presented.encode(), token.encode()):
        abort(401)
    if not token and request.remote_addr not in ("127.0.0.1", "::1"):
        abort(403)
    families = []
    for name, figures in services().figures().items():
        family = GaugeMetricFamily(f"guichet_{name}", f"rows that need watching: {name}", labels=["state"])
        for state, count in figures.items():
            family.add_metric([state], count)
        families.append(family)
    return Response(exposition(families), mimetype="text/plain; version=0.0.4")


@ops.get("/.well-known/jwks.json")
def jwks() -> Response:
    """Publish the keys that results are signed with."""
    return jsonify(services().keys.signing_jwks())


@ops.get("/openapi.json")
def description() -> Response:
    """Describe the native API (OpenAPI 3.1)."""
    return jsonify(openapi.document(services().settings.base_url))


@ops.get("/docs")
def docs() -> str:
    """Show the description to people."""
    return render_template("docs/api.html", **openapi.page(services().settings.base_url))


@ops.get("/")
def home() -> str:
    """Tell whoever comes to the bare address where they are."""
    known = services()
    return render_template("docs/home.html", test_mode=known.settings.is_test_kit_on, language="fr")
