"""Runs the eopayment library, unmodified and by its documented interface, in a process that holds nothing else.

It comes from the package index and is under the AGPL: Guichet neither contains it nor imports it. Only the addresses of
the services are changed, the way each back end allows. Verbs come as lines of JSON and are answered by one line each.
"""

import json
import sys
from collections.abc import Callable
from functools import cache, lru_cache

# It is in this script's own environment, where mypy does not look.
import eopayment  # type: ignore[import-not-found]
import eopayment.payfip_ws  # type: ignore[import-not-found]
import eopayment.tipi  # type: ignore[import-not-found]

RESULTS = {
    getattr(eopayment, name): name
    for name in ("RECEIVED", "ACCEPTED", "PAID", "DENIED", "CANCELLED", "ERROR", "WAITING", "EXPIRED")
}


def request(kind: str, origin: str, options: dict[str, object], wish: dict[str, object]) -> dict[str, object]:
    """Begin a payment: what the portal keeps, and where it sends the payer."""
    number, way, what = _payment(kind, origin, options).request(**wish)
    if way == eopayment.URL:
        return {"number": number, "url": what}
    return {"number": number, "url": what.url, "fields": {field["name"]: field["value"] for field in what.fields}}


def response(kind: str, origin: str, options: dict[str, object], query: str) -> dict[str, object]:
    """Read a notification or a return."""
    return _told(_payment(kind, origin, options).response(query))


def status(kind: str, origin: str, options: dict[str, object], number: str) -> dict[str, object]:
    """Ask what became of a payment."""
    return _told(_payment(kind, origin, options).payment_status(number))


def _payment(kind: str, origin: str, options: dict[str, object]) -> eopayment.Payment:
    return _kept(kind, origin, tuple(options.items()))


@lru_cache(maxsize=16)
def _kept(kind: str, origin: str, options: tuple[tuple[str, object], ...]) -> eopayment.Payment:
    eopayment.tipi.TIPI_URL = f"{origin}/tpa/paiement.web"
    eopayment.payfip_ws.PAYMENT_URL = f"{origin}/tpa/paiementws.web"
    payment = eopayment.Payment(kind, dict(options))
    if kind == "payfip_ws":
        payment.backend.payfip = _web_service(f"{origin}/tpa/services/securite?wsdl")
    return payment


@cache
def _web_service(wsdl: str) -> eopayment.payfip_ws.PayFiP:
    return eopayment.payfip_ws.PayFiP(wsdl_url=wsdl)


def _told(answer: eopayment.common.PaymentResponse) -> dict[str, object]:
    names = ("signed", "bank_data", "order_id", "transaction_id", "bank_status", "transaction_date", "test")
    return {"result": RESULTS[answer.result], **{name: getattr(answer, name) for name in names}}


VERBS: dict[str, Callable[..., object]] = {"request": request, "response": response, "status": status}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = {"answer": VERBS[asked.pop("verb")](**asked)}
    except Exception as error:  # noqa: BLE001 - whatever the library raises, the test must see it
        said = {"raised": type(error).__name__, "text": str(error)}
    sys.stdout.write(json.dumps(said, default=str) + "\n")
    sys.stdout.flush()
