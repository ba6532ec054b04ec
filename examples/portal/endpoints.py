"""What machines ask of the portal: Guichet's confirmations, and JSON for whoever drives a demonstration."""

import logging

import confirmations
import ledger
from desk import the_desk
from flask import Blueprint, Response, jsonify, request
from guichet_client import Confirmation, KeyMissing, NotVerified
from invoices import PORTALS, Portal

log = logging.getLogger("portal")
endpoints = Blueprint("endpoints", __name__)


@endpoints.post("/confirmations")
def receive_confirmation() -> tuple[Response, int]:
    """Take a notice of Guichet: 401 when it is not genuine, 200 once it is kept, however often it comes."""
    try:
        portal, notice = _read_confirmation(request.get_data())
    except NotVerified as error:
        log.warning("confirmation refused: %s", error)
        return jsonify(error="not_verified"), 401
    except ValueError as error:
        log.error("confirmation not understood: %s", error)
        return jsonify(error="not_understood"), 400
    with the_desk().ledger.transaction() as db:
        is_new = confirmations.record_confirmation(db, portal, notice)
    return jsonify(received=notice.id, new=is_new), 200


@endpoints.get("/api/payments/<key>")
def tell_payment(key: str) -> tuple[Response, int]:
    with the_desk().ledger.transaction() as db:
        payment = ledger.find_payment(db, key)
        if payment is None:
            return jsonify(error="not_found"), 404
        events = confirmations.list_events(db, PORTALS[payment.portal], payment.reference)
    # Only verified confirmations are ever kept.
    told = [
        {"id": event.id, "type": event.type, "verified": True, "at": event.received_at.isoformat()} for event in events
    ]
    return jsonify(reference=payment.reference, portal=payment.portal, state=payment.state, events=told), 200


@endpoints.get("/api/invoices")
def tell_invoices() -> Response:
    with the_desk().ledger.transaction() as db:
        return jsonify(
            {
                slug: [
                    {
                        "id": invoice.id,
                        "number": invoice.number,
                        "merchant": invoice.merchant,
                        "label": invoice.label,
                        "due": invoice.due_cents,
                        "state": invoice.state,
                    }
                    for invoice in ledger.list_invoices(db, portal)
                ]
                for slug, portal in PORTALS.items()
            }
        )


@endpoints.get("/healthz")
def tell_health() -> Response:
    return jsonify(status="ok")


def _read_confirmation(body: bytes) -> tuple[Portal, Confirmation]:
    """Find the portal whose secret made the signature; the body is believed only after that."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    reasons = []
    for portal in PORTALS.values():
        try:
            notice = the_desk().guichet.read_confirmation(body, headers, portal.credential)
        except (NotVerified, KeyMissing) as error:
            reasons.append(f"{portal.credential}: {error}")
            continue
        if notice.merchant in portal.merchants:
            return portal, notice
        reasons.append(f"{portal.credential}: signed for {notice.merchant!r}, a merchant of another portal")
    raise NotVerified("; ".join(reasons))
