"""The web application, made of the parts and the views."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from flask import Flask, Request, Response, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.middleware.proxy_fix import ProxyFix

from gateway.acquirers import Acquirer, cards
from gateway.acquirers.wishes import Attentive, Wishes
from gateway.acting import Actor, become
from gateway.clock import utc_now
from gateway.metrics import REQUESTS, SECONDS
from gateway.parts import Parts, build, load_settings
from gateway.settings import Settings
from gateway.web import Services, init_headers
from gateway.web.entry import make_entry
from gateway.web.errors import init_errors
from gateway.web.lab import make_lab
from gateway.web.linked import linked
from gateway.web.ops import ops
from gateway.web.pages import pages
from gateway.web.rendering import init_rendering
from gateway.web.signatures import Refusals
from gateway.web.statement import statement
from gateway.web.testkit import make_testkit
from gateway.web.theming import init_theming
from gateway.web.tickets import tickets
from gateway.web.verifying import verifying
from gateway.web.visitors import SESSION_LIFE, SESSION_RENEWED

log = logging.getLogger(__name__)

# A card or a code is far less; merchants' protocols, each with its own limit, need more.
_BODY_MAX = 16 * 1024

# Counted by name (RFC 9110 section 9.3, RFC 5789).
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"})


class _Session(SecureCookieSession):
    # Signed so long ago that its cookie is worth sending anew.
    is_old = False


class _Sessions(SecureCookieSessionInterface):
    # itsdangerous signs with SHA-1 unless told otherwise.
    digest_method = staticmethod(sha256)

    def __init__(self, app: Flask) -> None:
        # Made once: Flask makes two for each request, each with its keys' objects.
        self._serializer = super().get_signing_serializer(app)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:  # noqa: ARG002
        """Give what the cookie is signed with; Flask calls this."""
        return self._serializer

    def open_session(self, app: Flask, request: Request) -> _Session:
        """Read the cookie; Flask calls this."""
        cookie, now = request.cookies.get(self.get_cookie_name(app), ""), utc_now()
        try:
            if self._serializer is None or not cookie:
                return _Session()
            said, signed_at = self._serializer.loads(cookie, int(SESSION_LIFE.total_seconds()), return_timestamp=True)
        except BadSignature:
            return _Session()
        session = _Session(said)
        session.is_old = now - signed_at > SESSION_RENEWED
        return session

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:  # noqa: ARG002
        """Say whether the browser is sent the cookie; Flask calls this."""
        is_old = isinstance(session, _Session) and session.is_old
        return session.modified or (is_old and session.accessed and session.permanent)


class _App(Flask):
    def log_exception(self, exc_info: object) -> None:
        """Leave it to the error page, which logs a reference: Flask's own line would tell the address, and so the token."""


def create_app(home: Path, now: Callable[[], datetime] = utc_now, *, settings: Settings | None = None) -> Flask:
    """Make the web application. Raises :class:`SettingsError` with every fault."""
    settings = settings or load_settings(home)
    wishes = Wishes(settings.var / "acquirer.sqlite3")

    def heeding(bank: Acquirer) -> Acquirer:
        return Attentive(bank, wishes) if settings.is_test_kit_on else bank

    parts = build(settings, now, around=heeding)
    app = _App("gateway", static_folder=str(home / "checkout_templates/static"), template_folder=None)
    refusals = Refusals(settings.var / "signatures.jsonl", now)
    is_https = settings.base_url.startswith("https://")
    _configure(app, parts, is_https=is_https)
    app.extensions["gateway"] = Services(
        settings=settings,
        keys=parts.keys,
        checkout=parts.checkout,
        dialects=parts.dialects,
        links=parts.links,
        now=now,
        faults=parts.faults,
        figures=parts.figures,
        worded=parts.worded,
        auditor=parts.auditor,
        press=parts.press(),
        explain=refusals.add if settings.is_test_kit_on else lambda _: None,
    )
    init_rendering(app, home)
    init_theming(app, home, settings.merchants)
    init_headers(app, is_https=is_https)
    init_errors(app)
    csrf = CSRFProtect(app)
    entry = make_entry(parts.dialects.values())
    csrf.exempt(entry)
    for blueprint in (entry, pages, linked, tickets, verifying, ops, statement):
        app.register_blueprint(blueprint)
    if settings.is_test_kit_on:
        testkit = make_testkit(parts.inbox, cards.load(home / "config/test_cards.toml"), refusals)
        csrf.exempt(testkit)
        app.register_blueprint(testkit)
        app.register_blueprint(make_lab(parts.inbox, wishes))
    _introduce(app)
    _measure(app)
    if settings.web.proxies:
        hops = settings.web.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _configure(app: Flask, parts: Parts, *, is_https: bool) -> None:
    *older, newest = parts.keys.secrets("cookie")
    host = urlsplit(parts.settings.base_url).hostname or ""
    loopback = ["localhost", "127.0.0.1"] if host in ("localhost", "127.0.0.1") else []
    app.config.update(
        SECRET_KEY=newest,
        SECRET_KEY_FALLBACKS=older,
        # All of them too, oldest first: a form that was shown before a rotation is sent after it.
        WTF_CSRF_SECRET_KEY=[*older, newest],
        SESSION_COOKIE_NAME="__Host-guichet" if is_https else "guichet",
        SESSION_COOKIE_SECURE=is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=SESSION_LIFE,
        MAX_CONTENT_LENGTH=_BODY_MAX,
        MAX_FORM_MEMORY_SIZE=_BODY_MAX,
        MAX_FORM_PARTS=30,
        TRUSTED_HOSTS=[host, *loopback],
        # The pages send no Referer, by policy; the token and the SameSite cookie prove where a post comes from.
        WTF_CSRF_SSL_STRICT=False,
        WTF_CSRF_TIME_LIMIT=None,
        # Every fault is worded by our own forms; the library would read a catalogue of its words anew for each request.
        WTF_I18N_ENABLED=False,
    )
    app.session_interface = _Sessions(app)


def _introduce(app: Flask) -> None:
    """Say who acts during a request, as far as the address tells; the entry says it better once it has read."""

    @app.before_request
    def _begin() -> None:
        become(
            Actor(
                "payer" if request.blueprint in ("pages", "linked", "tickets") else "caller", request.remote_addr or ""
            )
        )

    @app.teardown_request
    def _end(_error: BaseException | None) -> None:
        become(None)


def _measure(app: Flask) -> None:
    # Endpoints, methods and statuses are few, and looking a counter up takes longer than counting.
    requests, seconds = cache(REQUESTS.labels), cache(SECONDS.labels)

    @app.before_request
    def _start() -> None:
        g.started = monotonic()

    @app.after_request
    def _count(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        # Any word may stand where a method belongs, as many as a caller likes, and a card number too.
        method = request.method if request.method in _METHODS else "other"
        requests(endpoint, method, response.status_code).inc()
        seconds(endpoint).observe(monotonic() - g.get("started", monotonic()))
        return response
