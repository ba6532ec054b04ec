"""Merchants come in here: HTTP is handed to their dialect, its command to the checkout, the result to the dialect again.

The payer's own browser may carry a request too; what is wrong then is shown to a person, not to a program.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from functools import partial

from flask import Blueprint, Response, abort, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.acting import Actor, become
from gateway.core.errors import BadRequest, Fault, GatewayError, NotAuthentic, StoreBusy, TooMany
from gateway.core.limits import network_of
from gateway.dialects import (
    Cancel,
    Capture,
    Command,
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
    except TooMany as error:
        _note_refusal(dialect, error)
        return _too_many(dialect, call, error)
    except GatewayError as error:
        log.info("request refused", extra={"code": error.code, "dialect": dialect.name})
        _note_refusal(dialect, error)
        if isinstance(error, NotAuthentic) and error.diagnosis:
            services().explain(error.diagnosis)
        return _refusal(dialect, call, error)


def _note_refusal(dialect: Dialect, error: GatewayError) -> None:
    """Have the log say who was refused what; by the rule, because the address is the caller's own words."""
    if not isinstance(error, StoreBusy):
        services().auditor.refused(f"{dialect.name} {request.url_rule}", error.code)


def _refusal(dialect: Dialect, call: HttpCall, error: GatewayError) -> Response:
    refusal = dialect.refused(call, error)
    return entry_error_page(refusal, error) if isinstance(refusal, ErrorPage) else _response(refusal)


def _too_large(dialect: Dialect) -> Response:
    """Refuse in the caller's own form what was not even read."""
    error = BadRequest((Fault("", "too_large", f"send at most {dialect.body_max} bytes"),))
    response = _refusal(dialect, _call(with_body=False), error)
    response.status_code = 413
    return response


def _too_many(dialect: Dialect, call: HttpCall, error: TooMany) -> Response:
    """Ask the caller, in its own form, to wait (RFC 6585 section 4)."""
    response = _refusal(dialect, call, error)
    response.status_code = 429
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def _introduce(command: Command) -> None:
    """Say who is acting from here on, now that it is known."""
    match command:
        case Say() | Resume():
            return
        case Open():
            merchants = {command.request.merchant}
        case Find():
            merchants = set(command.merchants)
        case LookUp():
            merchants = set(command.which.merchants)
        case _:
            merchants = {command.signed.merchant}
    become(Actor(f"merchant {' '.join(sorted(merchants))}", request.remote_addr or ""))


def _count(call: HttpCall, command: Command) -> None:
    """Count the calls of a merchant's programs, not those a payer's browser carries: anybody could send those.

    A merchant is held to what it has proven to be its own. Where nothing is proven, or no one merchant is named, a caller
    is counted by its network: else a stranger could use up the calls of a town hall.

    Raises :class:`TooMany`.
    """
    if call.method != "POST" or isinstance(command, Say | Find | Resume) or getattr(command, "by_browser", False):
        return
    merchants = {command.signed.merchant} if not isinstance(command, LookUp) else command.which.merchants
    caller = " ".join(sorted(merchants))
    if len(merchants) != 1 or (isinstance(command, Open) and command.marks.get("signature") == "none"):
        caller = hashlib.sha256(f"{caller} {network_of(request.remote_addr or '')}".encode()).hexdigest()
    services().checkout.limiting.count_post(caller)


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
    _introduce(command)
    _count(call, command)
    match command:
        case Say(reply):
            return reply
        case Open():
            if request.method == "HEAD":
                abort(405, valid_methods=_METHODS)
            result, _ = checkout.opening.open(command, name)
            return dialect.opened(command, result, links.page(result.id), now)
        case Find(merchants, reference):
            results = tuple(map(worded, checkout.opening.find(merchants, reference)))
            services().auditor.record("payment.read", f"{len(results)} found", payments=[one.id for one in results])
            return dialect.listed(command, results, now)
        case LookUp() | Resume():
            result = checkout.opening.look_up(command, name)
            _note_visit(command, result.id)
        case Cancel():
            result = checkout.refunding.cancel(command, name)
        case Capture():
            result = checkout.refunding.capture(command, name)
        case Refund():
            result = checkout.refunding.refund(command, name)
    return dialect.found(command, worded(result), links.page(result.id), now)


def _note_visit(command: LookUp | Resume, payment: str) -> None:
    """Keep in the audit log what a program read; give the page to the browser that a merchant sends there anew."""
    if isinstance(command, LookUp):
        services().auditor.record("payment.read", payment)
    else:
        services().checkout.visiting.release(payment)


def _response(reply: HttpReply) -> Response:
    status = f"{reply.status} {reply.reason}" if reply.reason else reply.status
    response = Response(reply.body, status=status)
    response.headers.pop("Content-Type", None)
    for name, value in reply.headers.items():
        response.headers[name] = value
    return response
