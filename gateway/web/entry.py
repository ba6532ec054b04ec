"""Merchants come in here: HTTP is handed to their dialect, its command to the checkout, the result to the dialect again.

The payer's own browser may carry a request too (``/pay``); what is wrong then is shown to a person, not to a program.
"""

import logging

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.core.errors import GatewayError
from gateway.core.payment import PaymentResult
from gateway.dialects import Cancel, Find, HttpCall, HttpReply, LookUp, Open, Refund
from gateway.web import services
from gateway.web.errors import entry_error_page

log = logging.getLogger(__name__)
entry = Blueprint("entry", __name__)

_NATIVE = "native"


@entry.post("/v1/payments")
@entry.get("/v1/payments")
@entry.get("/v1/payments/<payment>")
@entry.post("/v1/payments/<payment>/refunds")
@entry.post("/v1/payments/<payment>/cancel")
def api(payment: str = "") -> Response:
    """Answer a merchant's server in the native dialect. The dialect reads the path itself."""
    dialect, call = services().dialects[_NATIVE], _call()
    try:
        return _response(_obey(call))
    except GatewayError as error:
        log.info("request refused", extra={"code": error.code, "path": request.endpoint, "payment": payment})
        return _response(dialect.refused(call, error))


def _call() -> HttpCall:
    return HttpCall(
        method=request.method,
        path=request.path,
        query=request.query_string.decode("ascii", "replace"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.get_data(cache=True),
        url=request.url,
    )


def _obey(call: HttpCall) -> HttpReply:
    """Do what the call asks and word the answer."""
    known = services()
    dialect, checkout = known.dialects[_NATIVE], known.checkout
    command = dialect.read(call, known.now())
    match command:
        case Open():
            result, _ = checkout.opening.open(command, _NATIVE)
            return dialect.opened(command, result, known.links.page(result.id))
        case LookUp(merchants, payment):
            return _found(checkout.opening.look_up(merchants, payment))
        case Find(merchants, reference):
            return dialect.listed(checkout.opening.find(merchants, reference))
        case Cancel():
            return _found(checkout.refunding.cancel(command))
        case Refund():
            return _found(checkout.refunding.refund(command))


def _found(result: PaymentResult) -> HttpReply:
    known = services()
    return known.dialects[_NATIVE].found(result, known.links.page(result.id))


def _response(reply: HttpReply) -> Response:
    response = Response(reply.body, status=reply.status)
    for name, value in reply.headers.items():
        response.headers[name] = value
    return response


@entry.get("/pay")
@entry.post("/pay")
def pay() -> AnyResponse:
    """Take a signed request carried by the payer's browser, and show the page it asks for."""
    call = _call()
    try:
        reply = _obey(call)
    except GatewayError as error:
        log.info("browser request refused", extra={"code": error.code})
        status = services().dialects[_NATIVE].refused(call, error).status
        return entry_error_page(error, status)
    return redirect(reply.headers["Location"], code=303)
