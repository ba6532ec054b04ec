"""What is shown when something is wrong: a problem document to programs, a plain sentence and a reference to people."""

import logging
import secrets

from flask import Flask, Response, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError, SecurityError

from gateway.core.errors import GatewayError, NotAuthentic, NotFound, OpenedElsewhere, RequestConflict, StoreBusy
from gateway.core.languages import LANGUAGES, spoken
from gateway.dialects import ErrorPage
from gateway.steps.phrases import gettext as _
from gateway.web import services
from gateway.web.obstacles import obstacle_of, only_looked
from gateway.web.rendering import page_language

log = logging.getLogger(__name__)


def problem(status: int, code: str, title: str, detail: str) -> Response:
    """Make an RFC 9457 problem document for what HTTP itself refuses (size, method, type, address)."""
    origin = services().settings.base_url
    body = {"type": f"{origin}/docs#error-{code}", "title": title, "status": status, "detail": detail, "code": code}
    response = make_response(body, status)
    response.headers["Content-Type"] = "application/problem+json"
    return response


def error_page(status: int, title: str, message: str, code: str, **more: object) -> Response:
    """Show a person what went wrong; never a trace.

    :param more: of the template's other names those that differ: ``fact`` and ``verdict``, what holds for the money;
        ``payee``, whom to ask; ``reference``; ``detail`` and ``explained_url``, for the developer
    """
    context = {
        "payment": None,
        "payee": None,
        "page": "error",
        "base": "",
        "language": page_language(),
        "languages": _other_languages(),
        "test_mode": services().settings.is_test_kit_on,
        "title": title,
        "message": message,
        "error_code": code,
        "reference": secrets.token_hex(4),
        "status": status,
        "detail": "",
        "explained_url": "",
        "fact": "not-debited",
        "verdict": only_looked(),
    }
    return make_response(render_template("page/error.html", **context | more), status)


def _other_languages() -> list[tuple[str, str, str]]:
    """Offer the languages where the address alone leads back here: a merchant's request must not be sent again."""
    if request.method != "GET" or set(request.args) - {"lang", "stay"}:
        return []
    return [(code, name, f"?lang={code}") for code, name in LANGUAGES]


def entry_error_page(refusal: ErrorPage, error: GatewayError) -> Response:
    """Tell a payer that the request of the site they come from cannot be taken; in test mode, tell its developer why."""
    # A debt's state is worded here, in any language; another refusal is in the protocol's own.
    if spoken(refusal.language) and not (isinstance(error, RequestConflict) or refusal.paid):
        g.language = spoken(refusal.language)
    obstacle = obstacle_of(error, refusal.wording, paid=refusal.paid)
    explained = ""
    if isinstance(error, NotAuthentic) and error.diagnosis and services().settings.is_test_kit_on:
        explained = f"/_test/signatures?merchant={error.diagnosis.get('merchant', '')}"
    response = error_page(
        refusal.status,
        obstacle.title,
        obstacle.advice,
        refusal.code,
        explained_url=explained,
        detail=refusal.detail if services().settings.is_test_kit_on else "",
        fact=obstacle.fact,
        verdict=obstacle.verdict,
        payee=obstacle.payee,
    )
    response.headers.extend(refusal.headers)
    return response


def init_errors(app: Flask) -> None:
    """Give every error its face."""
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(NotFound, _unknown)
    app.register_error_handler(OpenedElsewhere, _elsewhere)
    app.register_error_handler(StoreBusy, _busy)
    app.register_error_handler(SecurityError, _foreign_host)
    app.register_error_handler(HTTPException, _refused)


def _is_api() -> bool:
    return request.path.startswith("/v1/")


def _in_doubt() -> str:
    return str(_("This page cannot tell whether you were debited. Do not pay a second time before you have looked."))


def _stale_form(_error: CSRFError) -> Response:
    message = _("This form was open for too long, or cookies are blocked. Go back to the page and try again.")
    # The form may be that of the page that says "paid".
    return error_page(400, _("Please try again"), message, "stale_form", verdict=only_looked())


def _foreign_host(_error: SecurityError) -> Response:
    """Refuse a request for a host that is not ours, in plain words: without a known host no page can name its files."""
    return Response("This server does not answer for that host name.\n", status=400, mimetype="text/plain")


def _unknown(_error: Exception) -> Response:
    message = _("This address does not lead to a payment. Use the link given by the site you come from.")
    return error_page(404, _("Page not found"), message, "not_found", verdict=only_looked())


def _elsewhere(error: OpenedElsewhere) -> Response:
    """Tell the truth to a payer with two devices, and nothing of the payment to a stranger with its address."""
    message = _(
        "This payment is under way on another device or in another browser, where it was opened first. Go on there. To go"
        " on here instead, go back to the site you come from and press its payment button again."
    )
    return error_page(403, _("Opened on another device"), message, error.code, verdict=only_looked())


def _busy(_error: StoreBusy) -> Response:
    log.warning("database busy")
    if _is_api():
        response = problem(
            503, "store_busy", "Busy", "send the very same request again (same jti): it is carried out once"
        )
    else:
        message = _("The service is very busy. Reload the page in a moment: it shows where your payment stands.")
        response = error_page(503, _("Please try again"), message, "busy", fact="checking", verdict=_in_doubt())
    response.headers["Retry-After"] = "1"
    return response


def _refused(error: HTTPException) -> Response:
    """Word what HTTP itself refuses, keeping the headers that belong to the status (Allow, Retry-After)."""
    status = error.code or 500
    if isinstance(error, InternalServerError):
        return _broken(error)
    code = _HTTP_CODES.get(status, "http_error")
    if _is_api():
        response = problem(status, code, error.name, error.description or error.name)
    elif status == 404:
        return _unknown(error)
    else:
        message = _("The server cannot take this request. Go back and try again.")
        # What cannot be taken may have been about a payment that is paid.
        response = error_page(status, _("Something went wrong"), message, code, verdict=only_looked())
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _broken(error: InternalServerError) -> Response:
    reference = secrets.token_hex(4)
    log.error(
        "unexpected error",
        exc_info=error.original_exception,
        extra={"reference": reference, "reason": type(error.original_exception).__name__},
    )
    if _is_api():
        return problem(500, "internal_error", "Internal error", f"reference {reference}; look the payment up")
    message = _("Something went wrong on our side. Reload the page: it shows where your payment stands.")
    title = _("Something went wrong")
    return error_page(500, title, message, "internal_error", reference=reference, fact="checking", verdict=_in_doubt())


_HTTP_CODES = {400: "bad_http", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_type"}
