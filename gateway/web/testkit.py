"""The developer's corner, mounted in test mode only: caught mails and SMS, and the published cards.

A caught message is foreign matter: whoever reaches the mail port wrote it. Its HTML is shown in a sandbox, its files are
downloaded unless a browser can show them without running anything.
"""

from urllib.parse import quote

from flask import Blueprint, Response, abort, g, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from gateway.acquirers.cards import CardTable
from gateway.channels.inbox import Inbox, InboxMessage
from gateway.core.errors import NotFound
from gateway.web import services
from gateway.web.cardlist import OUTCOMES, lay_out, refused_amounts
from gateway.web.signatures import Refusals, add_signature_views

# How many messages a page or an answer shows; a developer looks at the newest, or narrows the list.
_SHOWN = 100

# The page around an HTML mail: the one page of the server that may hold a frame.
_READER_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)

# The HTML mail itself: no script, no request, an origin of its own, inline styles only; framed by the page above only.
_MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'none'; frame-ancestors 'self'; base-uri 'none'"
)

# What a browser shows without running anything; every other attachment is downloaded.
_SHOWABLE = frozenset({"application/pdf", "image/png", "image/jpeg", "text/plain"})


def make_testkit(inbox: Inbox, cards: CardTable, refusals: Refusals) -> Blueprint:
    """Make the blueprint over what was caught, what is published and what was refused."""
    testkit = Blueprint("testkit", __name__, url_prefix="/_test")

    @testkit.before_request
    def _speak_english() -> None:
        g.language = "en"

    _add_inbox(testkit, inbox)
    _add_cards(testkit, cards)
    add_signature_views(testkit, refusals)
    _add_evening(testkit)
    return testkit


def _add_evening(testkit: Blueprint) -> None:
    @testkit.get("/evening")
    def evening_page() -> str:
        return render_template("testkit/evening.html", closed=request.args.get("closed", ""))

    @testkit.post("/evening")
    def close_day() -> AnyResponse:
        """Close the simulated bank's day; scripts press this button too, hence no form token."""
        return redirect(url_for("testkit.evening_page", closed=services().checkout.close_day()), code=303)


def _add_inbox(testkit: Blueprint, inbox: Inbox) -> None:
    @testkit.get("/inbox.json")
    def inbox_json() -> Response:
        return jsonify(messages=[_told(message) for message in _asked(inbox)])

    @testkit.get("/inbox")
    def inbox_page() -> str:
        messages, wish = _asked(inbox), _wish()
        # A payer's developer comes from the code page with the payment's id, for this one number.
        code = next((message for message in messages if message.code), None) if wish["payment"] else None
        return render_template("testkit/inbox.html", messages=messages, wish=wish, code=code, shown=_SHOWN)

    @testkit.get("/inbox/<key>")
    def message(key: str) -> Response:
        response = make_response(render_template("testkit/message.html", message=inbox.message(key)))
        response.headers["Content-Security-Policy"] = _READER_POLICY
        return response

    @testkit.get("/inbox/<key>/html")
    def message_html(key: str) -> Response:
        found = inbox.message(key)
        if not found.html:
            raise NotFound("this message has no HTML part")
        response = Response(found.html, mimetype="text/html")
        response.headers["Content-Security-Policy"] = _MAIL_POLICY
        return response

    @testkit.get("/inbox/<key>/<int:index>")
    def attachment(key: str, index: int) -> Response:
        return _file(inbox, key, index)


def _add_cards(testkit: Blueprint, cards: CardTable) -> None:
    @testkit.get("/cards")
    def cards_page() -> str:
        outcome = request.args.get("outcome", "")
        if outcome and outcome not in OUTCOMES:
            abort(404)
        return render_template(
            "testkit/cards.html",
            cards=lay_out(cards, outcome),
            outcomes=OUTCOMES,
            outcome=outcome,
            amounts=refused_amounts(cards) if outcome in ("", "refused") else (),
            wrong_codes=sorted(cards.wrong_security_codes),
        )


def _wish() -> dict[str, str]:
    return {name: request.args.get(name, "").strip() for name in ("kind", "payment", "to")}


def _asked(inbox: Inbox) -> list[InboxMessage]:
    wish = _wish()
    return inbox.messages(wish["kind"], wish["payment"], wish["to"], limit=_SHOWN)


def _file(inbox: Inbox, key: str, index: int) -> Response:
    part = next((part for part in inbox.message(key).attachments if part.index == index), None)
    if part is None:
        raise NotFound("no such attachment")
    is_showable = part.content_type in _SHOWABLE
    response = Response(
        inbox.attachment(key, index), content_type=part.content_type if is_showable else "application/octet-stream"
    )
    manner = "inline" if is_showable else "attachment"
    response.headers["Content-Disposition"] = f"{manner}; filename*=UTF-8''{quote(part.name, safe='')}"
    return response


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
