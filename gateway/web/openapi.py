"""The OpenAPI 3.1 document of the native protocol, derived from the models that check and tell it.

Bodies of requests are compact JWS texts; what their claims may say is given by ``contentSchema`` (JSON Schema 2020-12,
validation, section 8.6). Nothing here is served; ``ops`` does that.
"""

from collections.abc import Mapping

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.dialects.native import claims, views
from gateway.dialects.native.faults import FAULTS
from gateway.dialects.native.problems import ERRORS
from gateway.web.openapi_page import outline

Json = dict[str, object]

_CLAIMS: tuple[type[BaseModel], ...] = (claims.PaymentClaims, claims.RefundClaims, claims.CancelClaims)
_VIEWS: tuple[type[BaseModel], ...] = (
    views.OpenedView,
    views.PaymentView,
    views.ListView,
    views.NoticeView,
    views.ResultClaims,
    views.ProblemView,
)

_INTRODUCTION = """\
A merchant signs a request, Guichet hosts the card page, and posts a signed confirmation.

Every request is one compact JWS (RFC 7515). Its header holds `alg`, `kid` and, if you like, `typ`, and nothing else; \
`kid` names a key registered for the merchant in `iss`, and each key has exactly one algorithm: EdDSA, ES256, RS256 or \
HS256. Requests live at most 15 minutes and each has its own `jti`. The same request sent again gets the same answer.

Amounts are integers in minor units (cents). A JSON number with a fraction or an exponent is refused, even when it is \
whole. Errors are problem documents (RFC 9457) that list all faults at once."""

_NOTICE_HEADERS: Mapping[str, str] = {
    "webhook-id": "id of the notice, the same over all tries: do each id once",
    "webhook-timestamp": "seconds since 1970 of this try: refuse more than five minutes from your clock",
    "webhook-signature": "signatures separated by spaces: v1 (HMAC-SHA256) and v1a (Ed25519) over id.timestamp.body",
}

_EVENTS: Mapping[str, str] = {
    "payment.succeeded": "The money is authorised; the debt is paid.",
    "payment.refused": "The payer gave up after a refusal, or ran out of cards; nothing was debited.",
    "payment.cancelled": "The payer or the merchant cancelled; nothing was debited.",
    "payment.expired": "Nobody paid in time; nothing was debited.",
    "payment.refunded": "Part or all of the money was given back.",
}

# The API's own number, not the server's: what an answer tells must not name what software to attack.
API_VERSION = "1.0"


def document(origin: str) -> Json:
    """Build the OpenAPI document.

    :param origin: scheme, host and port of this server, which is also the audience requests must name
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Guichet native protocol",
            "version": API_VERSION,
            "summary": "Signed payment requests in, signed confirmations out",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": origin.rstrip("/")}],
        "security": [],
        "tags": [
            {"name": "payments", "description": "Ask for a payment and read what became of it."},
            {"name": "changes", "description": "Give money back, or close a page nobody needs any more."},
            {"name": "browser", "description": "The payer's browser carries the signed request itself."},
            {"name": "keys", "description": "What this server signs with."},
        ],
        "paths": _paths(),
        "webhooks": {name: _webhook(name, summary) for name, summary in _EVENTS.items()},
        "components": {
            "schemas": _schemas(),
            "responses": {"Problem": _problem_response()},
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "API key of the merchant, or of its portal",
                }
            },
        },
        "x-error-codes": {
            code: {"status": card.status, "title": card.title, "fix": card.fix} for code, card in ERRORS.items()
        },
        "x-fault-codes": dict(FAULTS),
    }


def page(origin: str) -> Json:
    """Give what ``docs/api.html`` shows: the same document, laid out for reading."""
    return outline(document(origin))


def _paths() -> Json:
    return {
        "/v1/payments": {"post": _create(), "get": _find()},
        "/v1/payments/{id}": {"parameters": [_ID], "get": _read()},
        "/v1/payments/{id}/refunds": {"parameters": [_ID], "post": _change("refund", "RefundClaims")},
        "/v1/payments/{id}/cancel": {"parameters": [_ID], "post": _change("cancel", "CancelClaims")},
        "/pay": {"get": _carry_in_query(), "post": _carry_in_form()},
        "/.well-known/jwks.json": {"get": _jwks()},
    }


def _create() -> Json:
    return {
        "operationId": "createPayment",
        "tags": ["payments"],
        "summary": "Ask for a payment",
        "description": "Send the payer's browser to checkout_url. The JWS typ is payment-request+jwt, JWT or absent.",
        "requestBody": _jws_body("PaymentClaims"),
        "responses": {
            "201": _answer("The page was made", "OpenedView"),
            "200": _answer("The page existed already; the same body", "OpenedView"),
            **_problems(401, 409, 413, 415, 422, 429),
        },
    }


def _find() -> Json:
    return {
        "operationId": "findPayments",
        "tags": ["payments"],
        "summary": "Find payments by reference",
        "description": "The payment's own reference, or one of its lines'. Newest first.",
        "security": [{"apiKey": []}],
        "parameters": [_parameter("reference", "query", "reference of a payment or of one of its lines")],
        "responses": {"200": _answer("Those found, possibly none", "ListView"), **_problems(401, 422, 429)},
    }


def _read() -> Json:
    return {
        "operationId": "readPayment",
        "tags": ["payments"],
        "summary": "Read a payment",
        "description": "State, attempts, refunds and history.",
        "security": [{"apiKey": []}],
        "responses": {"200": _answer("The payment", "PaymentView"), **_problems(401, 404, 429)},
    }


def _change(verb: str, schema: str) -> Json:
    summaries = {"refund": "Give money back", "cancel": "Close a page"}
    return {
        "operationId": f"{verb}Payment",
        "tags": ["changes"],
        "summary": summaries[verb],
        "description": f"The JWS typ is {verb}-request+jwt, JWT or absent; its payment claim repeats the id.",
        "requestBody": _jws_body(schema),
        "responses": {
            "200": _answer("The payment as it is now", "PaymentView"),
            **_problems(401, 404, 409, 413, 415, 422, 429, 503),
        },
    }


def _carry_in_query() -> Json:
    return {
        **_carried("carryPaymentInQuery", "Carry a request in the address"),
        "parameters": [_parameter("request", "query", "the same JWS as for createPayment")],
    }


def _carry_in_form() -> Json:
    form = {"type": "object", "required": ["request"], "properties": {"request": _jws_text("PaymentClaims")}}
    return {
        **_carried("carryPaymentInForm", "Carry a request in a form"),
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
    }


def _carried(operation_id: str, summary: str) -> Json:
    location = {"description": "the checkout page", "schema": {"type": "string", "format": "uri"}}
    return {
        "operationId": operation_id,
        "tags": ["browser"],
        "summary": summary,
        "description": "The payer's own browser brings the signed request. Errors are shown to the payer as a page, not as a problem document.",
        "responses": {
            "303": {"description": "On to the checkout page", "headers": {"Location": location}},
            "4XX": {"description": "A page in plain words"},
        },
    }


def _jwks() -> Json:
    key = {"type": "object", "additionalProperties": {"type": "string"}}
    keys = {"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": key}}}
    return {
        "operationId": "readKeys",
        "tags": ["keys"],
        "summary": "Public keys of this server",
        "description": "JSON Web Key Set (RFC 7517); verifies the result a browser brings back. Old keys stay a while.",
        "responses": {"200": {"description": "The key set", "content": {"application/json": {"schema": keys}}}},
    }


def _webhook(name: str, summary: str) -> Json:
    headers = [_parameter(header, "header", about) for header, about in _NOTICE_HEADERS.items()]
    return {
        "post": {
            "operationId": "on" + "".join(part.capitalize() for part in name.split(".")),
            "summary": summary,
            "parameters": headers,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("NoticeView")}}},
            "responses": {
                "2XX": {"description": "Taken; it is not sent again"},
                "410": {"description": "Not wanted here; no more tries"},
                "default": {"description": "Tried again over three days, always with the same webhook-id"},
            },
        }
    }


_JWS_HEADER: Json = {
    "type": "object",
    "required": ["alg", "kid"],
    "properties": {
        "alg": {"enum": ["EdDSA", "Ed25519", "ES256", "RS256", "HS256"], "description": "the algorithm of the key"},
        "kid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "id of a registered key"},
        "typ": {"type": "string", "description": "JWT, or the type the operation names"},
    },
    "additionalProperties": False,
}


def _jws_body(schema: str) -> Json:
    return {"required": True, "content": {"application/jose": {"schema": _jws_text(schema)}}}


def _jws_text(schema: str) -> Json:
    return {
        "type": "string",
        "description": "compact JWS of these claims",
        "contentMediaType": "application/jwt",
        "contentSchema": {"type": "array", "prefixItems": [_JWS_HEADER, _ref(schema)], "minItems": 2},
        "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$",
        "maxLength": 65536,
    }


def _answer(description: str, schema: str) -> Json:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _problems(*statuses: int) -> dict[str, object]:
    return {str(status): {"$ref": "#/components/responses/Problem"} for status in statuses}


def _problem_response() -> Json:
    return {
        "description": "An error, with every fault at once",
        "content": {"application/problem+json": {"schema": _ref("ProblemView")}},
    }


def _parameter(name: str, place: str, description: str) -> Json:
    return {"name": name, "in": place, "required": True, "description": description, "schema": {"type": "string"}}


_ID = _parameter("id", "path", "payment id, such as pay_...")


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> Json:
    _, whole = models_json_schema(
        [*((model, "validation") for model in _CLAIMS), *((model, "serialization") for model in _VIEWS)],
        ref_template="#/components/schemas/{model}",
    )
    found = whole["$defs"]
    if not isinstance(found, dict):
        raise TypeError("pydantic gave no definitions")
    return found
