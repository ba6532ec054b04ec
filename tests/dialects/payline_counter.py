"""A counter where Payline clients are served without a server: the dialect, and payments kept in a list."""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from lxml import etree

from gateway.core.errors import GatewayError, NotFound
from gateway.core.payment import AttemptResult, Event, Mode, PaymentResult, RefundResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import (
    Capture,
    ErrorPage,
    Find,
    House,
    HttpCall,
    HttpReply,
    LookUp,
    Open,
    Refund,
    Resume,
    Say,
    Which,
)
from gateway.dialects.payline import PaylineDialect
from gateway.settings.merchant import Merchant

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ORIGIN = "https://pay.example.org"
PAGE = "https://pay.example.org/p/secret"
WEB = "/V4/services/WebPaymentAPI"
DIRECT = "/V4/services/DirectPaymentAPI"
EXTENDED = "/V4/services/ExtendedAPI"
# The published pair and its header.
BASIC = "Basic MTIzNDU2Nzg5MDpESk1FU0hYWW91NkxtalFGZEg="


def a_merchant(protocol: Mapping[str, object] = MappingProxyType({}), **changes: object) -> Merchant:
    """Make the demonstration merchant; names the book does not know are settings of the protocol, as ``protocol`` is."""
    spoken = {
        "merchant_id": "1234567890",
        "access_key": "DJMESHXYou6LmjQFdH",
        "contracts": [{"number": "1234567", "label": "CB en ligne"}],
        **{name: value for name, value in changes.items() if name not in Merchant.model_fields},
        **protocol,
    }
    book = {name: value for name, value in changes.items() if name in Merchant.model_fields}
    return Merchant.model_validate(
        {"id": "falaise-demo", "name": "La Falaise", "dialect": "payline", "protocol": spoken, **book}
    )


def a_house(**changes: object) -> House:
    facts: dict[str, object] = {
        "origin": ORIGIN,
        "zone": ZoneInfo("Europe/Paris"),
        "loopback_allowed": True,
        "draw": os.urandom,
        **changes,
    }
    return House(**facts)  # type: ignore[arg-type]  # a test names the fields it changes


def a_dialect(protocol: Mapping[str, object] = MappingProxyType({}), **changes: object) -> PaylineDialect:
    merchant = a_merchant(protocol, **changes)
    return PaylineDialect({merchant.id: merchant}, a_house())


def an_attempt(**changes: object) -> AttemptResult:
    facts: dict[str, object] = {
        "id": "att_1",
        "number": 1,
        "status": AttemptStatus.CAPTURED,
        "scheme": "cb",
        "bin": "49701021",
        "last4": "1646",
        "started_at": NOW,
        "flow": "frictionless",
        "authorisation_number": "A55A",
        "eci": "05",
        "ended_at": NOW + timedelta(minutes=2),
        **changes,
    }
    return AttemptResult(**facts)  # type: ignore[arg-type]  # a test names the fields it changes


@dataclass
class Counter:
    """Payments by token; ``body`` of the last reply is kept for a second look."""

    dialect: PaylineDialect = field(default_factory=a_dialect)
    payments: list[PaymentResult] = field(default_factory=list)
    commands: list[object] = field(default_factory=list)

    def post(self, path: str, body: bytes, basic: str = BASIC) -> HttpReply:
        headers = {"authorization": basic} if basic else {}
        reply = self.call(HttpCall("POST", path, headers=headers, body=body))
        assert isinstance(reply, HttpReply)
        return reply

    def call(self, call: HttpCall) -> HttpReply | ErrorPage:
        try:
            return self._obey(call)
        except GatewayError as error:
            return self.dialect.refused(call, error)

    def change(self, **changes: object) -> PaymentResult:
        self.payments[-1] = replace(self.payments[-1], **changes)  # type: ignore[arg-type]
        return self.payments[-1]

    def pay(self, **changes: object) -> PaymentResult:
        """Have the newest payment paid by card."""
        attempt = an_attempt(**changes)
        return self.change(status=Status.PAID, paid_at=attempt.ended_at, attempts=(attempt,))

    def _obey(self, call: HttpCall) -> HttpReply:
        command = self.dialect.read(call, NOW)
        self.commands.append(command)
        match command:
            case Say(reply):
                return reply
            case Open():
                self.payments.append(_opened(command, len(self.payments) + 1))
                return self.dialect.opened(command, self.payments[-1], PAGE, NOW)
            case Find(_, reference):
                found = tuple(one for one in reversed(self.payments) if one.request.reference == reference)
                return self.dialect.listed(command, found, NOW)
            case Capture():
                self._named(command.which)
                at = NOW + timedelta(seconds=1)
                self.change(attempts=(an_attempt(),), events=(Event("evt_9", 9, "attempt.captured", at),))
            case Refund():
                amount = command.amount or self._named(command.which).request.amount
                self.change(refunds=(RefundResult("ref_1", amount, "done", NOW, command.reason),))
            case LookUp() | Resume():
                pass
            case _:
                raise AssertionError(command)
        return self.dialect.found(command, self._named(command.which), PAGE, NOW)

    def _named(self, which: Which) -> PaymentResult:
        for result in self.payments:
            is_named = result.handle == which.handle if which.handle else int(result.number) == int(which.number or 0)
            if is_named and (not which.merchants or result.request.merchant in which.merchants):
                return result
        raise NotFound("no such payment")


def _opened(command: Open, number: int) -> PaymentResult:
    merchant = a_merchant(mode=Mode.TEST)
    return PaymentResult(
        id=f"pay_{number}",
        number=f"{number:010d}",
        request=command.request,
        payee=merchant.payee,
        status=Status.CREATED,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=command.page_minutes),
        handle=command.handle,
        dialect="payline",
        events=(Event("evt_1", 1, "payment.created", NOW),),
    )


IMPL = "http://impl.ws.payline.experian.com"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"


def ask(operation: str, content: str = "") -> bytes:
    """Write a request by hand: everything in one default namespace, as some clients do."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="{ENVELOPE}"><soap:Body>'
        f'<{operation}Request xmlns="{IMPL}">{content}</{operation}Request></soap:Body></soap:Envelope>'
    ).encode()


ORDINARY = (
    "<version>26</version><payment><amount>9612</amount><currency>978</currency><action>101</action><mode>CPT</mode>"
    "<contractNumber>1234567</contractNumber></payment><returnURL>https://shop.example/return?e=1</returnURL>"
    "<cancelURL>https://shop.example/cancel#top</cancelURL><order><ref>44023989</ref><amount>9612</amount>"
    "<currency>978</currency><date>21/11/2026 10:00</date></order>"
    "<notificationURL>https://shop.example/notify?shop=2</notificationURL>"
)


def opening(edit: Callable[[str], str] = lambda content: content) -> bytes:
    """Give an ordinary doWebPayment, changed by ``edit``."""
    return ask("doWebPayment", edit(ORDINARY))


def read(reply: HttpReply, *path: str) -> str | None:
    """Read one value of a reply by local names; ``None`` for nil."""
    step = "".join(f"/*[local-name()='{name}']" for name in path)
    found = etree.fromstring(reply.body).xpath(f"/*/*/*{step}")
    assert isinstance(found, list)
    assert len(found) == 1, (path, found)
    text = found[0].text  # type: ignore[union-attr]  # the path selects elements
    assert text is None or isinstance(text, str)
    return text


def has(reply: HttpReply, *path: str) -> bool:
    """Say whether a reply holds an element, nil or not."""
    step = "".join(f"/*[local-name()='{name}']" for name in path)
    return bool(etree.fromstring(reply.body).xpath(f"boolean(/*/*/*{step})"))


def basic(user: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()
