"""The Systempay / PayZen dialect: which call asks what, and every answer.

Form V2 comes by the payer's browser (``/vads-payment/``), REST V4 from the shop's server; both are told the end by a
notification and by the payer's return. The order of checks never changes: form, shop, mode, signature, then meaning.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode, urlsplit

from gateway.core.errors import BadRequest, DeliveryFailed, GatewayError, NotFound, StoreBusy
from gateway.core.payment import Event, PaymentResult, Recipient
from gateway.core.states import REFUSED
from gateway.dialects import (
    About,
    Command,
    Departure,
    ErrorPage,
    Find,
    House,
    HttpCall,
    HttpReply,
    Open,
    Refund,
    Signed,
    Try,
)
from gateway.dialects.systempay import krypton, notice, rest
from gateway.dialects.systempay.asking import PAGE_MINUTES, REPLACED, ask
from gateway.dialects.systempay.forms import BYTES_MAX, read_form
from gateway.dialects.systempay.places import parse_place
from gateway.dialects.systempay.proof import form_error, proved
from gateway.dialects.systempay.results import TRIES, outcome_at
from gateway.dialects.systempay.returning import way_back
from gateway.dialects.systempay.schedule import next_call
from gateway.dialects.systempay.shops import Shop, Shops, mode_of
from gateway.dialects.systempay.transactions import RestLookUp
from gateway.settings.merchant import Merchant

ENTRY = "/vads-payment/"

# Redirects are not followed, and lose what was posted; the platform counts them as received all the same.
_RECEIVED = frozenset({*range(200, 207), 301, 302, 303, 307, 308})


class SystempayDialect:
    """Translates form V2 and REST V4. Pure: shops are given, the clock comes with each call."""

    name = "systempay"
    paths: tuple[str, ...] = (ENTRY, ENTRY.rstrip("/"), rest.BASE + "<group>/<service>")
    popup = False
    tells_first = True
    weaknesses: tuple[str, ...] = (
        "a site whose algorithm is sha1 should move to hmac",
        "signatures cover values, not names: a payer may rename a field that keeps its place; compare the notice's amount",
    )
    body_max = BYTES_MAX

    def __init__(self, merchants: Mapping[str, Merchant], house: House) -> None:
        """Take the book's shops. Raises :class:`~gateway.core.errors.SettingsError` with every fault."""
        self._shops, self._house = Shops(merchants), house

    def read(self, call: HttpCall, now: datetime) -> Command:
        """Check who is asking, then say what is asked.

        Raises :class:`NotAuthentic`, :class:`BadRequest` whose faults carry form errors, or :class:`NotFound`.
        """
        if call.path.startswith(rest.BASE):
            return rest.read_rest(call, self._shops, self._house, now)
        if call.path.rstrip("/") != ENTRY.rstrip("/") or call.method not in ("GET", "POST"):
            raise NotFound("no such address in this protocol")
        shop, fields = proved(read_form(call), self._shops)
        mode = shop.ctx_mode
        asked = ask(fields, shop, self._house, now, _browser_language(call))
        jti = f"{shop.site.site_id}-{mode}-{asked.day}-{fields['vads_trans_id'].lower()}"
        return Open(
            asked.request,
            Signed(shop.merchant.id, jti, _digest(fields)),
            by_browser=True,
            handle=self._house.draw(16).hex(),
            replaces=REPLACED,
            resumes=False,
            page_minutes=PAGE_MINUTES,
            marks={"algorithm": shop.algorithm(mode), "skew_seconds": str(asked.skew_seconds)},
        )

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:
        """Send the payer's browser to the page, or tell the shop's server where it is."""
        if command.by_browser:
            return HttpReply(303, {"Location": page_url, "Cache-Control": "no-store"})
        return rest.opened_reply(result.handle, page_url, now)

    def found(
        self,
        command: About,
        result: PaymentResult,
        page_url: str,  # noqa: ARG002 - the contract's
        now: datetime,
    ) -> HttpReply:
        """Tell a transaction, which only REST V4 asks about."""
        if not isinstance(command, RestLookUp | Refund):
            raise NotFound("no such address in this protocol")
        return rest.found_reply(command, result, now)

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:  # noqa: ARG002
        """Never called: this dialect lists nothing."""
        raise NotFound("no such address in this protocol")

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply | ErrorPage:
        """Answer the payer's browser with a form error, a program with the envelope of its service."""
        if call.path.startswith(rest.BASE):
            return rest.refused_reply(call.path, error)
        code, detail = form_error(error)
        status = 400 if self._is_strict(call) else 200
        if isinstance(error, NotFound):
            status = 404
        elif isinstance(error, StoreBusy):
            status = 503
        return ErrorPage(status, code, detail, headers={"X-Form-Error": code})

    def _is_strict(self, call: HttpCall) -> bool:
        try:
            shop = self._shops.get(read_form(call).text("vads_site_id"))
        except BadRequest:
            return False
        return shop is not None and shop.terms.strict_status

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:
        """Send the payer to the address of the outcome, with what ``vads_return_mode`` says; plainly while it is open."""
        shop = self._shops.of(result.recipient)
        return way_back(result, shop, now) if shop else None

    def due(self, result: PaymentResult, event: Event) -> datetime | None:
        """Tell at once what the shop's rules want told; REST V4 shops are told ends only."""
        shop = self._shops.of(result.recipient)
        if shop is None or not self.target(result.recipient):
            return None
        rules, is_form = shop.terms.rules, result.request.wire["api"] == "form"
        if event.type in TRIES:
            return event.at if rules.tries and _is_told_alone(result, event) else None
        if result.parent and event.type in ("payment.cancelled", "payment.expired"):
            # No payer has left: the shop stopped its instalments itself, or its managers were written to.
            return None
        told = {
            "payment.succeeded": rules.end,
            "payment.refused": rules.end,
            "payment.cancelled": rules.abandon,
            "payment.expired": rules.abandon,
            "attempt.captured": rules.batch and is_form,
            "payment.refunded": rules.back_office and is_form,
        }
        return event.at if told.get(event.type) else None

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the body of a notification's first call.

        Raises :class:`ValueError` for an event that tells no outcome, or a shop that has left the book.
        """
        shop = self._shops.of(result.recipient)
        if shop is None:
            raise ValueError("the shop of this payment is no longer in the book")
        if shop.site.rest is None or result.request.wire["api"] == "form":
            return notice.notice_body(result, event, shop)
        outcome = outcome_at(result, event)
        if outcome is None:
            raise ValueError(f"{event.type} tells no outcome")
        return urlencode(krypton.notified(result, outcome, shop.site.rest, event.at)).encode("ascii")

    def target(self, to: Recipient) -> str:
        """Give the address of the form or call, else the shop's rule of today."""
        wire, shop = to.wire, self._shops.of(to)
        own = json.loads(wire["fields"]).get("vads_url_check", "") if wire.get("api") == "form" else ""
        if own or shop is None:
            return parse_place(own).called if own else ""
        return shop.url_check(mode_of(to)) if wire["api"] == "form" else to.notify_url

    def copies(self, to: Recipient) -> tuple[str, ...]:  # noqa: ARG002
        """Tell nobody else."""
        return ()

    def delivery(self, to: Recipient, this: Try) -> HttpCall:
        """Wrap a notification for one call; a repeated one says so, and is signed anew.

        Raises :class:`DeliveryFailed`, for good, without a usable address.
        """
        try:
            url = parse_place(self.target(to)).called
        except ValueError as error:
            raise DeliveryFailed("the shop gave no usable address", again=False) from error
        shop = self._shops.of(to)
        if shop is None:
            raise DeliveryFailed("the shop of this payment is no longer in the book", again=False)
        body, source = this.body, _source(this, shop)
        # Nothing in ``kr-answer`` says what caused a call: a REST notification is the same each time.
        if source and to.wire["api"] == "form":
            body = notice.again(body, shop, mode_of(to), source)
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8", "accept": "*/*"}
        parts = urlsplit(url)
        return HttpCall("POST", parts.path or "/", parts.query, headers, body, url)

    def received(self, status: int, body: bytes) -> bool:  # noqa: ARG002 - bodies are for people here
        """Say whether the shop has it: the status alone counts, whatever the body says."""
        return status in _RECEIVED

    def retry_at(self, tries: int, now: datetime, *, merchant: str = "") -> datetime | None:  # noqa: ARG002
        """Give the next quarter hour, for three repeats."""
        return next_call(tries, now)

    def code(self, result: PaymentResult, event: Event) -> str:
        """Give status, result and authorisation result of an end: ``AUTHORISED 00/00``."""
        outcome = outcome_at(result, event)
        return outcome.words if outcome else ""


def _source(this: Try, shop: Shop) -> str:
    """Name what caused a call, ``vads_url_check_src``; empty for the notice's own first cause.

    A person's call begins a new series: what repeats it is the automatic retry again.
    """
    if this.number == 1:
        return "BO" if this.by_hand else ""
    return "RETRY" if shop.terms.retry_source == "RETRY" else ""


def _is_told_alone(result: PaymentResult, event: Event) -> bool:
    """Whether a card was refused and the payment goes on; the last refusal is told as the payment's end."""
    outcome = outcome_at(result, event)
    refused = sum(attempt.status in REFUSED for attempt in result.attempts)
    return outcome is not None and outcome.trans_status == "REFUSED" and refused < result.attempts_max


def _digest(fields: Mapping[str, str]) -> str:
    """Digest what a form says: SHA-256 over all its fields, sorted."""
    text = json.dumps(dict(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _browser_language(call: HttpCall) -> str:
    """Read the first language of ``Accept-Language`` (RFC 9110 section 12.5.4), which comes first when it is liked best."""
    tag = call.headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()[:2].lower()
    return tag if len(tag) == 2 and tag.isascii() and tag.isalpha() else ""
