"""The rim: where HTTP meets the verbs. What every view shares: the services, the headers, the faces of errors."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from flask import Flask, Response, current_app, g, request

from gateway.audit import Auditor
from gateway.checkout import Checkout
from gateway.core.payment import PaymentResult
from gateway.dialects import Dialect
from gateway.keys import Keys
from gateway.links import Links
from gateway.receipts.press import Press
from gateway.settings import Settings

# Threads that go on asking the acquirer after the payer was sent to the waiting page.
_BACKGROUND = 16

# Nothing of what a browser may offer is used here; the code by SMS is read by the field's own ``autocomplete``.
_PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "camera", "accelerometer", "clipboard-read", "display-capture", "geolocation", "gyroscope", "hid",
        "idle-detection", "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get",
        "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Services:
    """What views may use; built once by ``gateway.app``.

    :ivar explain: keeps why a signature was refused, for the developer of a merchant in test mode; does nothing elsewhere
    :ivar faults: what keeps this server from serving, as plain sentences; empty when ready
    """

    settings: Settings
    keys: Keys
    checkout: Checkout
    dialects: Mapping[str, Dialect]
    links: Links
    now: Callable[[], datetime]
    faults: Callable[[], tuple[str, ...]]
    figures: Callable[[], Mapping[str, Mapping[str, int]]]
    worded: Callable[[PaymentResult], PaymentResult]
    auditor: Auditor
    press: Press
    explain: Callable[[Mapping[str, str]], None] = lambda _: None
    background: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_BACKGROUND, "authorise"))


def services() -> Services:
    """Give the services of the running application."""
    found: Services = current_app.extensions["gateway"]
    return found


def security_headers(*, is_https: bool, form_action: str = "'self'", opener: str = "same-origin") -> dict[str, str]:
    """Give what every answer carries, whatever its status and whoever wrote it."""
    https = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"} if is_https else {}
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"font-src 'self'; connect-src 'self'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'; "
        "require-trusted-types-for 'script'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": opener,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": _PERMISSIONS,
        "X-Robots-Tag": "noindex",
        "Cache-Control": "no-store",
        **https,
    }


def init_headers(app: Flask, *, is_https: bool) -> None:
    """Send the security headers on every answer, whatever its status.

    ``form-action`` also governs where a form's answer may redirect; the one page that leads back to the merchant adds
    the merchant's origin through ``flask.g.form_action``.
    """

    @app.after_request
    def _secure(response: Response) -> Response:
        form_action = " ".join(["'self'", *g.get("form_action", ())])
        # A portal that opened the page in a window of its own must see it close.
        opener = "unsafe-none" if g.get("is_popup") else "same-origin"
        headers = security_headers(is_https=is_https, form_action=form_action, opener=opener)
        # A view may be stricter than this; none may be laxer (a test walks the routes).
        headers["Content-Security-Policy"] = (
            response.headers.get("Content-Security-Policy") or headers["Content-Security-Policy"]
        )
        if request.endpoint in ("static", "theme") and response.status_code in (200, 206, 304):
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers.update(headers)
        return response
