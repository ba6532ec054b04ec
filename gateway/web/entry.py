"""Merchants come in here: HTTP is handed to their dialect, its command to the checkout, the result to the dialect again.

The payer's own browser may carry a request too; what is wrong then is shown to a person, not to a program.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial

from flask import Blueprint, Response, abort, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.core.errors import BadRequest, Fault, GatewayError, NotAuthentic
from gateway.dialects import (
    Cancel,
    Capture,
    Dialect,
    ErrorPage,
    Find,
    HttpCall,
    HttpReply,
    LookUp,
    Open,
    Refund,
    Resume,
    Say,
)
from gateway.web import services
from gateway.web.errors import entry_error_page

log = logging.getLogger(__name__)

_METHODS = ("GET", "POST")


def make_entry(dialects: Iterable[Dialect]) -> Blueprint:
    """Make the ways in of every dialect. A path is a werkzeug rule, with its one method before it where it has one."""
    entry = Blueprint("entry", __name__)
    for dialect in dialects:
        for path in dialect.paths:
            method, _, rule = path.rpartition(" ")
            name = f"{dialect.name} {path}".translate(str.maketrans("./", "--"))
            view: Callable[..., Response] = partial(_answer, dialect)
            entry.add_url_rule(rule, name, view, methods=[method] if method else _METHODS)
    return entry


def _answer(dialect: Dialect, **_parts: str) -> Response:
    """Answer one call in its dialect, which reads the path itself."""
    request.max_content_length = dialect.body_max
    # A redirect with another opener policy would already cut the window off from the portal that opened it.
    g.is_popup = dialect.popup
    try:
        call = _call()
    except RequestEntityTooLarge:
        return _too_large(dialect)
    try:
        return _response(_obey(dialect, call))
    except GatewayError as error:
        log.info("request refused", extra={"code": error.code, "dialect": dialect.name})
        if isinstance(error, NotAuthentic) and error.diagnosis:
            services().explain(error.diagnosis)
        return _refusal(dialect, call, error)


def _refusal(dialect: Dialect, call: HttpCall, error: GatewayError) -> Response:
    refusal = dialect.refused(call, error)
    return entry_error_page(refusal, error) if isinstance(refusal, ErrorPage) else _response(refusal)


def _too_large(dialect: Dialect) -> Response:
    """Refuse in the caller's own form what was not even read."""
    error = BadRequest((Fault("", "too_large", f"send at most {dialect.body_max} bytes"),))
    response = _refusal(dialect, _call(with_body=False), error)
    response.status_code = 413
    return response


def _call(*, with_body: bool = True) -> HttpCall:
    return HttpCall(
        method="GET" if request.method == "HEAD" else request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.get_data(cache=True) if with_body else b"",
        url=request.url,
    )


def _obey(dialect: Dialect, call: HttpCall) -> HttpReply:
    """Do what the call asks and word the answer."""
    checkout, links, name = services().checkout, services().links, dialect.name
    now, worded = services().now(), services().worded
    command = dialect.read(call, now)
    match command:
        case Say(reply):
            return reply
        case Open():
            if request.method == "HEAD":
                abort(405, valid_methods=_METHODS)
            result, _ = checkout.opening.open(command, name)
            return dialect.opened(command, result, links.page(result.id), now)
        case Find(merchants, reference):
            return dialect.listed(command, tuple(map(worded, checkout.opening.find(merchants, reference))), now)
        case LookUp() | Resume():
            result = checkout.opening.look_up(command, name)
        case Cancel():
            result = checkout.refunding.cancel(command, name)
        case Capture():
            result = checkout.refunding.capture(command, name)
        case Refund():
            result = checkout.refunding.refund(command, name)
    return dialect.found(command, worded(result), links.page(result.id), now)


def _response(reply: HttpReply) -> Response:
    status = f"{reply.status} {reply.reason}" if reply.reason else reply.status
    response = Response(reply.body, status=status)
    response.headers.pop("Content-Type", None)
    for name, value in reply.headers.items():
        response.headers[name] = value
    return response
