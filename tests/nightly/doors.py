"""What strangers' bytes come in by, each as a function of bytes that raises only when something is wrong with us.

Some doors take the bytes as they are. Others let them say the values of a request that is otherwise good and rightly
signed, for what is behind a signature is never reached by chance.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from gateway.core.card import CardNumber
from gateway.core.card_guard import holds_card_number, without_card_numbers
from gateway.core.errors import CardRefused, GatewayError
from gateway.dialects import Command, HttpCall
from gateway.dialects.addresses import parse_address
from gateway.parts import Parts
from tests.dialects.samples import SAMPLES, spplus, systempay
from tests.support.clock import Clock
from tests.support.portal import Portal

# Between two values that the bytes say, each after a byte that says which value it is.
_NEXT = b"\xff"
_TEXTS = re.compile(rb"(?<=>)[^<>]+(?=</)")

_VADS = (
    "vads_amount", "vads_currency", "vads_payment_config", "vads_payment_cards", "vads_order_id", "vads_trans_id",
    "vads_trans_date", "vads_capture_delay", "vads_validation_mode", "vads_return_mode", "vads_url_return", "vads_url_check",
    "vads_cust_email", "vads_language", "vads_theme_config", "vads_ext_info_a", "vads_ctx_mode", "vads_available_languages",
    "vads_cust_name", "vads_redirect_success_timeout", "vads_order_info", "vads_shop_name",
)  # fmt: skip
_SPPLUS = ("siret", "reference", "langue", "devise", "montant", "taxe", "validite", "modalite", "email", "arg1")
_CLAIMS = (
    "iss", "aud", "iat", "exp", "jti", "amount", "currency", "reference", "label", "kind", "email", "return_url", "notify_url",
    "lines", "payer", "language", "pay_before", "metadata", "fiscal_year", "stranger",
)  # fmt: skip


@dataclass(frozen=True)
class Door:
    """One way in.

    :ivar enter: takes bytes; gives what came of them, ``None`` where they were refused; an exception is a fault of ours
    :ivar keys: bytes that come far, to begin with
    """

    enter: Callable[[bytes], object]
    keys: tuple[bytes, ...]


def doors(parts: Parts, portal: Portal) -> Mapping[str, Door]:
    """Give every door of a server."""
    now, read = parts.now(), _Reader(parts)
    said = json.dumps(portal.claims(Clock(now))).encode()
    found = {
        "native token": Door(lambda raw: read("native", _native(raw)), (portal.sign_raw(said).encode(),)),
        "native claims": Door(lambda raw: read("native", _native(portal.sign_raw(raw).encode())), (said,)),
        "native values": Door(
            lambda raw: read("native", _native(portal.sign_raw(_changed(portal, Clock(now), raw)).encode())),
            (
                b"\x05100\xff\x07A-1",
                b'\x0d[{"reference":"A","label":"B","amount":9612}]',
                b'\x11{"a":"b"}',
                b"\x102026-12-01",
            ),
        ),
        "systempay values": Door(
            lambda raw: read("systempay", systempay("ORDER0000001", now, **_values(_VADS, raw))),
            (b"\x00100", b"\x02MULTI:first=100;count=3;period=30", b"\x03VISA;CB", b"\x0akhttp://127.0.0.1:8001/back"),
        ),
        "spplus values": Door(
            lambda raw: read("spplus", spplus("A1", now, **_values(_SPPLUS, raw))),
            (b"\x0412.50", b"\x071x/2x/3x", b"\x0631/12/2027"),
        ),
        "address": Door(_address, (b"https://portal.example/back?a=1", b"http://127.0.0.1:8001/x")),
        "card number": Door(_card, (b"4970 1005 0001 0000", b"ref 4970-1005-0001-0000")),
    }
    for name, sample in SAMPLES.items():
        good = sample("ORDER0000001", now)
        found[f"{name} call"] = Door(read.calling(name, good), (good.query.encode("latin-1") or good.body,))
        if good.body.startswith(b"<"):
            found[f"{name} values"] = Door(read.telling(name, good), (b"", b"\x02100", b"\x00A1\xff\x012027"))
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads calls, and has their dialect word a refusal."""

    parts: Parts

    def __call__(self, name: str, call: HttpCall) -> Command | None:
        dialect = self.parts.dialects[name]
        try:
            return dialect.read(call, self.parts.now())
        except GatewayError as error:
            dialect.refused(call, error)
            return None

    def calling(self, name: str, good: HttpCall) -> Callable[[bytes], object]:
        """Take bytes for the query, or for the body, of a good call."""

        def enter(raw: bytes) -> object:
            return self(name, replace(good, query=raw.decode("latin-1")) if good.query else replace(good, body=raw))

        return enter

    def telling(self, name: str, good: HttpCall) -> Callable[[bytes], object]:
        """Have bytes say texts of a good call in XML."""
        spans = [found.span() for found in _TEXTS.finditer(good.body)]
        places = [str(place) for place in range(len(spans))]

        def enter(raw: bytes) -> object:
            body = good.body
            # From the last on, so that the places of the others stay what they are.
            for place, text in sorted(_values(places, raw).items(), key=lambda told: -int(told[0])):
                start, end = spans[int(place)]
                body = body[:start] + escape(text).encode() + body[end:]
            return self(name, replace(good, body=body))

        return enter


def _values(names: Sequence[str], raw: bytes) -> dict[str, str]:
    pieces = [piece for piece in raw.split(_NEXT) if piece]
    return {names[piece[0] % len(names)]: piece[1:].decode("utf-8", "replace") for piece in pieces}


def _changed(portal: Portal, clock: Clock, raw: bytes) -> bytes:
    return json.dumps(
        portal.claims(clock, **{name: _json(text) for name, text in _values(_CLAIMS, raw).items()})
    ).encode()


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _native(token: bytes) -> HttpCall:
    return HttpCall("POST", "/v1/payments", headers={"content-type": "application/jose"}, body=token)


def _address(raw: bytes) -> object:
    text = raw.decode("utf-8", "replace")
    try:
        address = parse_address(text)
    except ValueError:
        return None
    # Whoever else takes it apart finds the same host: two parsers that disagree are a hole.
    assert urlsplit(text).hostname == address.host.strip("[]"), text
    return address


def _card(raw: bytes) -> object:
    text = raw.decode("utf-8", "replace")
    assert not holds_card_number(without_card_numbers(text)), text
    try:
        digits = CardNumber(text).reveal()
    except CardRefused:
        return None
    assert re.fullmatch(r"[0-9]{12,19}", digits, re.ASCII), text
    return digits
