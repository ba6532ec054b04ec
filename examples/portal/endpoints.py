"""What machines ask of the portals: Guichet's notices, and JSON for whoever drives a demonstration."""

import logging

import confirmations
import ledger
import payments
from desk import the_desk
from flask import Blueprint, Response, abort, jsonify, request
from portals import PORTALS, Portal
from proof import Confirmation, GuichetUnreachable, NotVerified
from speaking import Call

log = logging.getLogger("portal")
endpoints = Blueprint("endpoints", __name__)


@endpoints.post("/confirmations")
def receive_confirmation() -> tuple[Response, int]:
    """Take a notice of the native protocol: 401 when it is not genuine, 200 once it is kept, however often it comes."""
    try:
        portal, notice = _read_native()
    except NotVerified as error:
        log.warning("confirmation refused: %s", error)
        return jsonify(error="not_verified"), 401
    except ValueError as error:
        log.error("confirmation not understood: %s", error)
        return jsonify(error="not_understood"), 400
    is_new = _keep(portal, notice)
    return jsonify(received=notice.id, new=is_new), 200


@endpoints.route("/<slug>/notification", methods=["GET", "POST"])
def receive_notice(slug: str) -> Response:
    """Take a notice of an older protocol, answered in the words that protocol expects."""
    portal = PORTALS.get(slug)
    if portal is None or portal.protocol == "native":
        abort(404)
    speaker = the_desk().speaker(portal)
    try:
        notice = speaker.notice(portal, incoming(), _find)
    except NotVerified as error:
        log.warning("notice of %s refused: %s", slug, error)
        return Response("not verified", 401, mimetype="text/plain")
    except GuichetUnreachable as error:
        log.warning("notice of %s not checked: %s", slug, error)
        return Response("try again", 503, mimetype="text/plain")
    if notice is None:
        # Told before the end: not taken, so that it is told again.
        return Response("nothing decided yet", 409, mimetype="text/plain")
    _keep(portal, notice)
    return Response(speaker.receipt, mimetype="text/plain")


@endpoints.get("/api/payments/<key>")
def tell_payment(key: str) -> tuple[Response, int]:
    with the_desk().ledger.transaction() as db:
        payment = payments.find_payment(db, key)
        if payment is None:
            return jsonify(error="not_found"), 404
        events = confirmations.list_events(db, PORTALS[payment.portal], payment.reference)
    return jsonify(_told(payment, events)), 200


@endpoints.get("/api/orders/<slug>")
def tell_orders(slug: str) -> Response:
    """List a portal's payments, newest first, with what was confirmed about each."""
    portal = PORTALS.get(slug)
    if portal is None:
        abort(404)
    with the_desk().ledger.transaction() as db:
        orders = [
            _told(payment, confirmations.list_events(db, portal, payment.reference))
            for payment in payments.list_payments(db, portal)[:20]
        ]
    return jsonify(orders=orders)


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


def incoming() -> Call:
    """Take the present request as bytes, before anything decodes it."""
    return Call(
        query=request.query_string.decode("ascii", "replace"),
        body=request.get_data(),
        headers={name.lower(): value for name, value in request.headers.items()},
        peer=request.remote_addr or "",
    )


def _read_native() -> tuple[Portal, Confirmation]:
    """Find the portal whose secret made the signature; the body is believed only after that."""
    reasons = []
    for portal in PORTALS.values():
        if portal.protocol != "native":
            continue
        try:
            notice = the_desk().speaker(portal).notice(portal, incoming(), _find)
        except NotVerified as error:
            reasons.append(str(error))
            continue
        if notice is not None:
            return portal, notice
    raise NotVerified("; ".join(reasons))


def _keep(portal: Portal, notice: Confirmation) -> bool:
    with the_desk().ledger.transaction() as db:
        return confirmations.record_confirmation(db, portal, notice)


def _find(key: str) -> payments.Payment | None:
    with the_desk().ledger.transaction() as db:
        return payments.find_payment(db, key)


def _told(payment: payments.Payment, events: list[confirmations.Event]) -> dict[str, object]:
    # Only verified confirmations are ever kept.
    told = [
        {
            "id": event.id,
            "type": event.type,
            "words": event.words,
            "verified": True,
            "at": event.received_at.isoformat(),
        }
        for event in events
    ]
    return {
        "reference": payment.reference,
        "portal": payment.portal,
        "state": payment.state,
        "amount": payment.amount_cents,
        "events": told,
    }
