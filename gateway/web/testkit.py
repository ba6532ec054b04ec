"""The developer's corner, mounted in test mode only: caught mails and SMS, and the published cards."""

from urllib.parse import quote

from flask import Blueprint, Response, abort, jsonify, render_template, request, url_for

from gateway.acquirers.cards import CardTable
from gateway.channels.inbox import Inbox, InboxMessage
from gateway.core.errors import NotFound

# An HTML mail is shown as its own document, in a frame of nothing: no script, no request, inline styles only.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def make_testkit(inbox: Inbox, cards: CardTable) -> Blueprint:
    """Make the blueprint over what was caught and what is published."""
    testkit = Blueprint("testkit", __name__, url_prefix="/_test")

    def asked() -> list[InboxMessage]:
        wish = {name: request.args.get(name) or None for name in ("kind", "payment", "to")}
        return list(inbox.messages(**wish))

    @testkit.get("/inbox.json")
    def inbox_json() -> Response:
        return jsonify(messages=[_told(message) for message in asked()])

    @testkit.get("/inbox")
    def inbox_page() -> str:
        return render_template("testkit/inbox.html", messages=asked()[:100], payment=request.args.get("payment", ""))

    @testkit.get("/inbox/<key>")
    def message(key: str) -> str:
        return render_template("testkit/message.html", message=_one(inbox, key))

    @testkit.get("/inbox/<key>/html")
    def message_html(key: str) -> Response:
        found = _one(inbox, key)
        if not found.html:
            abort(404)
        response = Response(found.html, mimetype="text/html")
        response.headers["Content-Security-Policy"] = _MAIL_POLICY
        return response

    @testkit.get("/inbox/<key>/<int:index>")
    def attachment(key: str, index: int) -> Response:
        found = _one(inbox, key)
        kept = next((part for part in found.attachments if part.index == index), None)
        if kept is None:
            abort(404)
        response = Response(inbox.attachment(key, index), mimetype=kept.content_type)
        response.headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(kept.name)}"
        return response

    @testkit.get("/cards")
    def cards_page() -> str:
        return render_template("testkit/cards.html", published=cards.published())

    return testkit


def _one(inbox: Inbox, key: str) -> InboxMessage:
    for message in inbox.messages():
        if message.key == key:
            return message
    raise NotFound("no such message")


def _told(message: InboxMessage) -> dict[str, object]:
    """Word a message as the contract of ``/_test/inbox.json`` does."""
    told: dict[str, object] = {
        "kind": message.kind,
        "to": message.to,
        "at": message.at.isoformat(),
        "payment": message.payment,
        "text": message.text,
    }
    if message.kind == "sms":
        return told | {"code": message.code}
    attachments = [
        {
            "name": part.name,
            "content_type": part.content_type,
            "size": part.size,
            "url": url_for("testkit.attachment", key=message.key, index=part.index, _external=True),
        }
        for part in message.attachments
    ]
    return told | {"subject": message.subject, "html": message.html, "attachments": attachments}
