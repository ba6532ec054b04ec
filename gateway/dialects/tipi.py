"""TIPI by URL: a debt in the query of one address, opened by the payer's own browser; no signature, no return.

The query is read as leniently as real portals need: any order and case of names, values that were never
percent-encoded, an address without its name. Names nobody knows are ignored.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import unquote_to_bytes

from gateway.core.errors import BadRequest, Fault, GatewayError, NotFound
from gateway.core.payment import Event, Line, PaymentRequest, PaymentResult
from gateway.core.states import Status
from gateway.dialects import (
    About,
    Command,
    Departure,
    ErrorPage,
    House,
    HttpCall,
    HttpReply,
    Open,
    Signed,
)
from gateway.dialects.treasury import (
    ACTIVATION,
    ECHOED,
    FORM,
    OUTCOMES,
    SPARED,
    Anomaly,
    Client,
    Clients,
    Fields,
    Notifying,
    Terms,
    Variant,
    check,
    check_address,
    form,
    local_date,
    local_time,
)
from gateway.settings.merchant import Merchant

# Published clients stop at 9 999.99 euros.
VARIANT = Variant(letters=frozenset("TXAM"), amount_cents_max=999_999, is_email_required=False)

# Longer than every field at its widest, percent-encoded throughout.
QUERY_LENGTH_MAX = 8 * 1024
PAIRS_MAX = 64

_NAMES = frozenset({*ECHOED, "urlcl"})
# A plus sign is a blank everywhere but here: mailboxes hold it, and no address holds a blank.
_PLUS_STAYS = frozenset({"mel", "urlcl"})
_GLUED = re.compile(r"https?(?::|%3a)(?:/|%2f){2}", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^/?#]", re.IGNORECASE)


class TipiTerms(Terms):
    """A merchant's ``protocol`` table for this variant.

    :ivar upper_case: send every parameter of a notification a second time under its upper-case name; some portals read
        those
    """

    upper_case: bool = False


class TipiDialect(Notifying[TipiTerms]):
    """Translates TIPI by URL.

    A client in test mode may send every ``saisie`` of this variant, since all of its payments are simulated; ``T`` from
    any other client is refused as ``S1``.
    """

    name = "tipi"
    paths: tuple[str, ...] = ("/tpa/paiement.web",)
    tells_first = False

    def __init__(self, merchants: Mapping[str, Merchant], house: House) -> None:
        super().__init__(Clients(merchants, TipiTerms, house), house)

    def read(self, call: HttpCall, now: datetime) -> Command:  # noqa: ARG002 - nothing in a request ages
        """Check the query and ask for the page. Raises :class:`Anomaly` for the first thing wrong."""
        fields = _fields(_query(call))
        wish = check(fields, VARIANT, self._clients)
        url = self._notify_url(fields, wish.client)
        request = PaymentRequest(
            merchant=wish.client.merchant.id,
            reference=wish.reference,
            amount=wish.amount,
            lines=(Line(wish.reference, wish.label, wish.amount),),
            label=wish.label,
            email=wish.email,
            fiscal_year=wish.year,
            notify_url=url,
            wire=wish.echo,
        )
        meaning = json.dumps({**wish.echo, "urlcl": url}, sort_keys=True).encode()
        signed = Signed(request.merchant, self._house.draw(16).hex(), hashlib.sha256(meaning).hexdigest())
        marks = {"signature": "none"}
        if not url and fields.values.get("urlcl"):
            marks["urlcl"] = "not an address, ignored"
        return Open(
            request,
            signed,
            by_browser=True,
            replaces=frozenset({Status.CREATED, Status.OPENED}),
            spares=SPARED,
            is_activation=wish.letter == ACTIVATION,
            marks=marks,
        )

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:  # noqa: ARG002
        """Send the payer's browser to the page."""
        return HttpReply(303, {"Location": page_url, "Cache-Control": "no-store"})

    def found(
        self,
        command: About,  # noqa: ARG002
        result: PaymentResult,  # noqa: ARG002
        page_url: str,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> HttpReply:
        """Refuse: this variant can ask nothing about a payment."""
        raise NotFound("this protocol looks nothing up")

    def refused(self, call: HttpCall, error: GatewayError) -> ErrorPage:  # noqa: ARG002 - one form for every call
        """Tell the payer, in the wording of the first failing check."""
        return self._anomalies.page(error, self._house.zone)

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:  # noqa: ARG002
        """Send nobody anywhere: the portal opened a window, and the payer closes it."""
        return None

    def due(self, result: PaymentResult, event: Event) -> datetime | None:  # noqa: ARG002
        """Tell every end of a payment at once."""
        return event.at if event.type in OUTCOMES else None

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the eleven parameters that clients expect, the echoed ones exactly as they came."""
        wire, client = result.request.wire, self._clients.of(result.request.merchant)
        outcome = OUTCOMES[event.type]
        pairs = [(name, wire.get(name, "")) for name in ECHOED]
        pairs += [
            ("resultrans", outcome),
            ("numauto", result.attempt.authorisation_number if result.attempt and outcome == "P" else ""),
            ("dattrans", local_date(event.at, self._house.zone)),
            ("heurtrans", local_time(event.at, self._house.zone)),
        ]
        if client and client.terms.upper_case:
            pairs += [(name.upper(), value) for name, value in pairs]
        return form(pairs)

    def code(self, result: PaymentResult, event: Event) -> str:  # noqa: ARG002
        """Give the outcome's letter."""
        return f"resultrans={OUTCOMES[event.type]}" if event.type in OUTCOMES else ""

    def _notify_url(self, fields: Fields, client: Client[TipiTerms]) -> str:
        """Check ``urlcl``; what does not begin like an address at all (``http:/host``) counts as not given."""
        url = fields.get("urlcl", "N1")
        if not _ADDRESS.match(url):
            return ""
        try:
            return check_address(url, client, client.merchant.callback_urls, self._house)
        except ValueError as error:
            raise Anomaly("N1", f"urlcl: {error}", client.merchant.id) from error


def _query(call: HttpCall) -> str:
    """Take the parameters from the address and, of a posted form, from the body."""
    posted = ""
    if call.method == "POST" and call.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        posted = call.body.decode("latin-1")
    query = "&".join(part for part in (call.query, posted) if part)
    if len(query) > QUERY_LENGTH_MAX or query.count("&") >= PAIRS_MAX:
        raise BadRequest((Fault("", "too_large", f"send at most {PAIRS_MAX} parameters of {QUERY_LENGTH_MAX} bytes"),))
    return query


def _fields(query: str) -> Fields:
    values: dict[str, str] = {}
    repeated: set[str] = set()
    glued: list[str] = []
    for name, value in _pairs(query):
        if not name:
            glued.append(value)
        elif name in values:
            repeated.add(name)
        else:
            values[name] = value
    if glued and (values.get("urlcl") or len(glued) > 1):
        repeated.add("urlcl")
    elif glued:
        values["urlcl"] = glued[0]
    return Fields(values, frozenset(repeated))


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    """Give the parameters we know, decoded; an address that stands without a name has an empty one."""
    for pair in query.split("&"):
        if _GLUED.match(pair):
            yield "", _decoded(pair)
            continue
        written, _, value = pair.partition("=")
        name = _decoded(written.strip()).lower()
        if name in _NAMES:
            yield name, _decoded(value if name in _PLUS_STAYS else value.replace("+", " "))


def _decoded(text: str) -> str:
    """Undo percent-encoding; what is not UTF-8 is read as Latin-1 and then refused by the rule of its field."""
    raw = unquote_to_bytes(text.encode("latin-1", "replace"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
