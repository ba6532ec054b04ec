"""The Payline dialect: which call asks what, and every answer.

Sources: the WSDLs of the SDKs Monext publishes (releases 4.44 to 4.77), docs.payline.com ("doWebPaymentRequest",
"Return codes", "Notification par URL") and the published plugins that read our answers.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from gateway.core.card_guard import holds_card_number
from gateway.core.errors import AcquirerUnreachable, BadRequest, GatewayError, NotAuthentic, NotFound, RequestConflict
from gateway.core.payment import Event, PaymentResult, Recipient
from gateway.core.states import AttemptStatus, Status
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
    Resume,
    Say,
    Try,
    Which,
    soap,
)
from gateway.dialects.payline import codes, details, notices, refusals, urls, wsdl
from gateway.dialects.payline.access import account_of
from gateway.dialects.payline.codes import CODES, Code
from gateway.dialects.payline.details import Clock
from gateway.dialects.payline.merchant import Account, accounts
from gateway.dialects.payline.operations import (
    Asked,
    Caller,
    PaylineCapture,
    PaylineFind,
    PaylineLookUp,
    PaylineRefund,
    UnknownOperation,
    asked_of,
    command_of,
    is_token,
)
from gateway.dialects.payline.schema import SCHEMA, Values
from gateway.settings.merchant import Merchant

_SERVICE = re.compile(r"/(?:V4/)?services/(?P<api>[A-Za-z]{1,40})", re.ASCII)
_DIRECTORY = "/services/servicesendpoints/SOAP/"
_PAYER_PATHS = frozenset({"/v2/", "/webpayment/step2.do"})

_MARK_MAX = 80

# How long the SDKs keep the list of addresses, in seconds.
_DIRECTORY_TTL = 60


class PaylineDialect:
    """Translates Payline's web payment. Pure: merchants and house are given, the clock comes with each call."""

    name = "payline"
    paths: tuple[str, ...] = (
        "/V4/services/<api>",
        "/services/<api>",
        "GET /services/servicesendpoints/SOAP/<merchant>",
        "GET /v2/",
        "GET /webpayment/step2.do",
    )
    body_max = soap.BODY_BYTES_MAX
    # The portals of 2015 open the payment in a new window.
    popup = True
    tells_first = False
    weaknesses: tuple[str, ...] = (
        "notifications are not signed: fetch the details after each one, or set protocol.notice_key",
    )

    def __init__(self, merchants: Mapping[str, Merchant], house: House) -> None:
        """Take everything this dialect will ever know. Raises :class:`~gateway.core.errors.SettingsError`."""
        self._accounts = accounts(merchants)
        self._house = house

    def read(self, call: HttpCall, now: datetime) -> Command:
        """Check who is asking, then say what is asked; descriptions and the payer's way in ask for no credentials."""
        if call.path in _PAYER_PATHS:
            return Resume(Which(handle=_carried_token(call)))
        if call.path.startswith(_DIRECTORY):
            listed = {"urls": [self._house.origin], "ttl": _DIRECTORY_TTL}
            return Say(HttpReply(200, {"Content-Type": "application/json"}, json.dumps(listed).encode()))
        match = _SERVICE.fullmatch(call.path)
        if not match or match["api"] not in wsdl.APIS:
            raise NotFound("no such service")
        if soap.asks_wsdl(call):
            version = SCHEMA.version(dict(parse_qsl(call.query)).get("version", str(SCHEMA.version_max)))
            return Say(soap.reply(wsdl.describe(match["api"], self._house.origin + call.path, version)))
        if call.method != "POST":
            return Say(refusals.POST_ONLY)
        account = account_of(call, self._accounts)
        return command_of(soap.parse(call.body), Caller(account, self._house, now, _marks(call)))

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:  # noqa: ARG002
        """Give the token and the address the payer is to be sent to."""
        values: Values = {
            "result": details.outcome(CODES["00000"]),
            "token": result.handle,
            "redirectURL": f"{self._house.origin}/v2/?token={result.handle}",
        }
        return _reply(Asked("doWebPayment", int(command.request.wire["version"])), values)

    def found(self, command: About, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:
        """Tell the state of the payment that ``command`` was about."""
        match command:
            case PaylineLookUp(asked=asked):
                return self._told(asked, result)
            case PaylineCapture(asked=asked):
                return self._captured(asked, result, now)
            case PaylineRefund(asked=asked):
                return self._refunded(asked, result)
        # The merchant named no language: the payer's browser does.
        asks = "" if result.request.wire.get("language") else "?lang=browser"
        return HttpReply(303, {"Location": page_url + asks, "Cache-Control": "no-store"})

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:  # noqa: ARG002
        """Tell the newest transaction of an order. Raises :class:`NotFound` when it has none."""
        asked = command.asked if isinstance(command, PaylineFind) else Asked("getTransactionDetails")
        for result in results:
            # Later debits of a purchase are told as its billing records.
            if details.has_transaction(result) and not result.parent:
                return self._told(asked, result)
        raise NotFound("no transaction of this order")

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply | ErrorPage:
        """Say no: to the payer on a page, to a program in an envelope."""
        if call.path in _PAYER_PATHS:
            code = "02304" if isinstance(error, NotFound) else "02101"
            return ErrorPage(404 if isinstance(error, NotFound) else 503, code, detail=CODES[code].long)
        if isinstance(error, NotAuthentic):
            return refusals.UNAUTHORIZED
        match = _SERVICE.fullmatch(call.path)
        if call.method != "POST" or not match or match["api"] not in wsdl.APIS:
            return refusals.NOT_FOUND
        if isinstance(error, BadRequest) and not call.body:
            return soap.fault("Client", "; ".join(fault.detail for fault in error.faults))
        if isinstance(error, UnknownOperation):
            return soap.fault("Client", f"{error.name} is no operation of this service")
        try:
            asked = asked_of(soap.parse(call.body))
        except soap.MalformedSoap as malformed:
            return soap.fault(malformed.fault_code, malformed.detail)
        return refusals.refusal(asked, error)

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:  # noqa: ARG002
        """Send the payer back with the token under both its names: published shops read the one or the other."""
        wire = result.request.wire
        url = wire.get("cancel_url", "") if result.status is Status.CANCELLED else result.request.return_url
        if not url:
            return None
        return Departure(urls.extended(url, ("token", result.handle), ("paylinetoken", result.handle)))

    def due(self, result: PaymentResult, event: Event) -> datetime | None:
        """Tell the end of a payment, a little after the payer's browser could have; but not what the merchant did."""
        account = self._accounts.get(result.request.merchant)
        if account is None or event.type not in notices.TOLD or codes.is_merchants_doing(result):
            return None
        return event.at + timedelta(seconds=account.terms.first_notice_seconds)

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:  # noqa: ARG002 - a token says nothing more
        """Give the parameters of the notification."""
        return notices.body(result, self._house.zone)

    def target(self, to: Recipient) -> str:
        """Give the request's own address, or the merchant's, which took its place when the payment was opened."""
        return to.notify_url

    def copies(self, to: Recipient) -> tuple[str, ...]:  # noqa: ARG002
        """Tell nobody else."""
        return ()

    def delivery(self, to: Recipient, this: Try) -> HttpCall:
        """Make the GET of one try."""
        account = self._accounts.get(to.merchant)
        return notices.call(to, this.body, account.terms.notice_key if account else None, this.at)

    def received(self, status: int, body: bytes) -> bool:  # noqa: ARG002 - merchants answer OK, {} or a whole page
        """Take any 2xx for "I have it", unless only the merchant's own question ends the notifications."""
        is_strict = any(account.terms.retry == "until_details" for account in self._accounts.values())
        return 200 <= status < 300 and not is_strict

    def retry_at(self, tries: int, now: datetime, *, merchant: str = "") -> datetime | None:  # noqa: ARG002
        """Try once a minute for two hours."""
        return notices.retry_at(tries, now)

    def code(self, result: PaymentResult, event: Event) -> str:
        """Give the result code and its short word, such as ``01116 REFUSED``."""
        account = self._accounts.get(result.request.merchant)
        code = codes.of_event(result, event, account.terms) if account else None
        return str(code) if code else ""

    def _told(self, asked: Asked, result: PaymentResult) -> HttpReply:
        account = self._owner(result)
        is_direct = asked.operation == "getTransactionDetails"
        if is_direct and not details.has_transaction(result):
            raise NotFound("no transaction yet")
        style = account.terms.direct_dates if is_direct else account.terms.details_dates
        return _reply(asked, details.describe(result, account, Clock(self._house.zone, style)))

    def _captured(self, asked: Asked, result: PaymentResult, now: datetime) -> HttpReply:
        """Say whether the money is paid out. Raises what :meth:`refused` words when it is not, or was before."""
        captured = [event.at for event in result.events if event.type == "attempt.captured"]
        if captured and captured[-1] < now:
            raise RequestConflict("captured", "it was captured before", result.id)
        attempt = codes.telling_attempt(result)
        if not captured or attempt is None or attempt.status is not AttemptStatus.CAPTURED:
            raise AcquirerUnreachable("the acquirer has not taken the capture yet")
        made = details.operation(result, captured[-1], self._clock(result))
        return _reply(asked, {"result": details.outcome(CODES["00000"]), "transaction": made, "reAuthorization": "0"})

    def _refunded(self, asked: Asked, result: PaymentResult) -> HttpReply:
        last = result.refunds[-1] if result.refunds else None
        code: Code = CODES["01915" if last and last.status == "refused" else "00000"]
        made = details.operation(result, last.requested_at if last else None, self._clock(result))
        return _reply(asked, {"result": details.outcome(code), "transaction": made})

    def _owner(self, result: PaymentResult) -> Account:
        """Find the account of a payment. Raises :class:`NotFound` when the book has lost it since."""
        if result.request.merchant not in self._accounts:
            raise NotFound("no such merchant")
        return self._accounts[result.request.merchant]

    def _clock(self, result: PaymentResult) -> Clock:
        return Clock(self._house.zone, self._owner(result).terms.direct_dates)


def _marks(call: HttpCall) -> dict[str, str]:
    """Note what the published SDKs tell of themselves in headers; nothing depends on it."""
    told = {"client": call.headers.get("version", ""), "failover": call.headers.get("x-failover-cause", "")}
    return {name: value[:_MARK_MAX] for name, value in told.items() if value and _is_plain(value)}


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and not holds_card_number(value)


def _reply(asked: Asked, values: Values) -> HttpReply:
    return soap.reply(SCHEMA.reply(asked.operation, asked.version, values))


def _carried_token(call: HttpCall) -> str:
    """Take the payer's token. Raises :class:`NotFound` unless it is given once and has a token's shape."""
    given = [value for name, value in parse_qsl(call.query) if name == "token"]
    if len(given) != 1 or not is_token(given[0]):
        raise NotFound("no such token")
    return given[0]
