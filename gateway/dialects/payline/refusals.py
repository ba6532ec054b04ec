"""How Payline says no: a result code inside an HTTP 200, but for bad credentials and what is no request at all."""

from gateway.core.errors import (
    AcquirerUnreachable,
    BadRequest,
    GatewayError,
    NotFound,
    RequestConflict,
    StoreBusy,
    WrongStatus,
)
from gateway.dialects import HttpReply, soap
from gateway.dialects.payline import details
from gateway.dialects.payline.codes import CODES, Code
from gateway.dialects.payline.form import BAD_FIELD
from gateway.dialects.payline.operations import Asked
from gateway.dialects.payline.schema import SCHEMA, Values

# Of the reason phrase: the PHP SDK hands it on as longMessage, and a published plugin compares it with this very word.
UNAUTHORIZED = HttpReply(
    401,
    {"WWW-Authenticate": 'Basic realm="Payline web services"', "Content-Type": "text/plain; charset=utf-8"},
    b"Unauthorized",
    reason="Unauthorized",
)

NOT_FOUND = HttpReply(404, {"Content-Type": "text/plain; charset=utf-8"}, b"No such service")
POST_ONLY = HttpReply(
    405, {"Allow": "POST", "Content-Type": "text/plain; charset=utf-8"}, b"POST a SOAP envelope here, or GET ?wsdl"
)

_CONFLICTS = {
    "debt_already_paid": "01185",
    "debt_locked": "02306",
    "jti_reused": "02001",
    "refund_exceeds": "02110",
    "amount_differs": "02110",
    "captured": "02105",
}

_LONG_MAX = 1000


def refusal(asked: Asked, error: GatewayError) -> HttpReply:
    """Answer an operation that failed."""
    code = _code(asked.operation, error)
    long = _long(code, error)
    values: Values = {"result": details.outcome(code, long)}
    if asked.operation == "getWebPaymentDetails":
        values = details.skeleton(code, long)
    return soap.reply(SCHEMA.reply(asked.operation, asked.version, values))


def _code(operation: str, error: GatewayError) -> Code:
    match error:
        case BadRequest():
            codes = [fault.code for fault in error.faults]
            known = [code for code in codes if code in CODES]
            return CODES[BAD_FIELD if BAD_FIELD in codes or not known else known[0]]
        case NotFound():
            return CODES["02304" if operation == "getWebPaymentDetails" else "01914"]
        # Merchants fall back from a reset to a refund on this one code, whatever stands in the way.
        case RequestConflict() | WrongStatus() if operation == "doReset":
            return CODES["01917"]
        case RequestConflict():
            return CODES[_CONFLICTS.get(error.code, "02302")]
        case WrongStatus():
            return CODES["02302"]
        case AcquirerUnreachable():
            return CODES["02102"]
        case StoreBusy():
            # The PHP SDK asks another address again after this one.
            return CODES["02101"]
    return CODES["02101"]


def _long(code: Code, error: GatewayError) -> str:
    """Word what is wrong in this request; Payline names one field, we name them all."""
    if not isinstance(error, BadRequest) or code.number == "02301":
        return ""
    told = dict.fromkeys(fault.detail for fault in error.faults if fault.code == code.number or fault.code not in CODES)
    return f"{code.long} : {'; '.join(told)}"[:_LONG_MAX]
