"""The Systempay / PayZen dialect: which call asks what, and every answer.

Form V2 comes by the payer's browser (``/vads-payment/``), REST V4 from the shop's server; both are told the end by a
notification and by the payer's return. The order of checks never changes: form, shop, mode, signature, then meaning.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from gateway.core.errors import BadRequest, DeliveryFailed, GatewayError, NotFound, StoreBusy
from gateway.core.payment import Event, PaymentResult
from gateway.dialects import About, Command, Departure, ErrorPage, Find, House, HttpCall, HttpReply, Open, Signed, Try
from gateway.dialects.addresses import parse_address
from gateway.dialects.systempay import krypton, notice, rest
from gateway.dialects.systempay.asking import PAGE_MINUTES, REPLACED, ask
from gateway.dialects.systempay.forms import BYTES_MAX, read_form
from gateway.dialects.systempay.proof import form_error, proved
from gateway.dialects.systempay.results import Outcome, outcome_of
from gateway.dialects.systempay.schedule import next_call
from gateway.dialects.systempay.shops import Shop, Shops, mode_of
from gateway.settings import Merchant

ENTRY = "/vads-payment/"

# Redirects are not followed, and lose what was posted; the platform counts them as received all the same.
_RECEIVED = frozenset({*range(200, 207), 301, 302, 303, 307, 308})


class SystempayDialect:
    """Translates form V2 and REST V4. Pure: shops are given, the clock comes with each call."""

    name = "systempay"
    paths: tuple[str, ...] = (ENTRY, ENTRY.rstrip("/"), rest.BASE + "<group>/<service>")
    popup = False
    tells_first = True
    weaknesses: tuple[str, ...] = ("a site whose algorithm is sha1 should move to hmac",)
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
        command: About,  # noqa: ARG002 - the contract's
        result: PaymentResult,  # noqa: ARG002
        page_url: str,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> HttpReply:
        """Never called: this dialect asks for nothing but new payments."""
        raise NotFound("no such address in this protocol")

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:  # noqa: ARG002 - as above
        """Never called either."""
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
        shop, asked = self._shops.of(result), result.request
        if shop is None:
            return None
        outcome = outcome_of(result)
        if asked.wire["api"] == "rest":
            return _rest_departure(result, shop, outcome, now)
        said: dict[str, str] = json.loads(asked.wire["fields"])
        urls = outcome.urls if outcome else ("vads_url_return",)
        url = next((said[name] for name in urls if said.get(name)), shop.site.url_return)
        if not url:
            return None
        way = said.get("vads_return_mode", "")
        if outcome is None or way not in ("GET", "POST"):
            return Departure(url)
        told = notice.with_signature(notice.outcome_fields(result, outcome), shop, mode_of(result))
        if way == "POST":
            return Departure(url, "POST", tuple(told.items()))
        joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
        return Departure(url + joint + urlencode(told))

    def due(self, result: PaymentResult, event: Event) -> datetime | None:
        """Tell at once what the shop's rules want told; REST V4 shops are told ends only."""
        shop = self._shops.of(result)
        if shop is None or not self.target(result):
            return None
        rules, is_form = shop.terms.rules, result.request.wire["api"] == "form"
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
        shop = self._shops.of(result)
        if shop is None:
            raise ValueError("the shop of this payment is no longer in the book")
        if shop.site.rest is None or result.request.wire["api"] == "form":
            return notice.notice_body(result, event, shop)
        outcome = outcome_of(result)
        if outcome is None:
            raise ValueError(f"{event.type} tells no outcome")
        return urlencode(krypton.notified(result, outcome, shop.site.rest, event.at)).encode("ascii")

    def target(self, result: PaymentResult) -> str:
        """Give the address of the form or call, else the shop's rule of today."""
        wire, shop = result.request.wire, self._shops.of(result)
        own = json.loads(wire["fields"]).get("vads_url_check", "") if wire.get("api") == "form" else ""
        if own or shop is None:
            return str(own)
        return shop.url_check(mode_of(result)) if wire["api"] == "form" else result.request.notify_url

    def delivery(self, result: PaymentResult, this: Try) -> HttpCall:
        """Wrap a notification for one call; a repeated one says so, and is signed anew.

        Raises :class:`DeliveryFailed`, for good, without a usable address.
        """
        try:
            url = self.target(result)
            address = parse_address(url)
        except ValueError as error:
            raise DeliveryFailed("the shop gave no usable address", again=False) from error
        shop = self._shops.of(result)
        if shop is None:
            raise DeliveryFailed("the shop of this payment is no longer in the book", again=False)
        body = this.body
        if this.number > 1 and result.request.wire["api"] == "form" and shop.terms.retry_source == "RETRY":
            body = notice.again(body, shop, mode_of(result), "RETRY")
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8", "accept": "*/*"}
        return HttpCall("POST", address.path, address.query, headers, body, url)

    def received(self, status: int, body: bytes) -> bool:  # noqa: ARG002 - bodies are for people here
        """Say whether the shop has it: the status alone counts, whatever the body says."""
        return status in _RECEIVED

    def retry_at(self, tries: int, now: datetime) -> datetime | None:
        """Give the next quarter hour, for three repeats."""
        return next_call(tries, now)

    def code(self, result: PaymentResult, event: Event) -> str:
        """Give status, result and authorisation result of an end: ``AUTHORISED 00/00``."""
        if event.type == "attempt.captured":
            outcome = outcome_of(result, status="CAPTURED")
        elif event.type in _ENDS:
            outcome = outcome_of(result)
        else:
            outcome = None
        return outcome.words if outcome else ""


_ENDS = frozenset({"payment.succeeded", "payment.refused", "payment.cancelled", "payment.expired", "payment.refunded"})


def _rest_departure(result: PaymentResult, shop: Shop, outcome: Outcome | None, now: datetime) -> Departure | None:
    """Post the result to the shop's address, as the vendor's embedded form does."""
    url = result.request.return_url
    if not url:
        return None
    if outcome is None or shop.site.rest is None:
        return Departure(url)
    return Departure(url, "POST", tuple(krypton.brought_back(result, outcome, shop.site.rest, now).items()))


def _digest(fields: Mapping[str, str]) -> str:
    """Digest what a form says: SHA-256 over all its fields, sorted."""
    text = json.dumps(dict(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _browser_language(call: HttpCall) -> str:
    """Read the first language of ``Accept-Language`` (RFC 9110 section 12.5.4), which comes first when it is liked best."""
    tag = call.headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()[:2].lower()
    return tag if len(tag) == 2 and tag.isascii() and tag.isalpha() else ""
