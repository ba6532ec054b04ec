"""The PayFiP web service: which call asks what, and every answer."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

from gateway.core.errors import BadRequest, GatewayError, RequestConflict
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
    LookUp,
    Open,
    Resume,
    Say,
    Signed,
    Which,
)
from gateway.dialects.payfip import envelope, timeline
from gateway.dialects.payfip.calls import carried_idop, check_idop, read_envelope
from gateway.dialects.payfip.description import GUIDE_SERVICE, SCHEMA_PATHS, SERVICE, Description
from gateway.dialects.treasury import (
    ACTIVATION,
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
    find_client,
    form,
    joined,
    local_date,
    local_time,
)
from gateway.settings.merchant import Merchant

# Published clients stop at 99 999.99 euros.
VARIANT = Variant(letters=frozenset("TXW"), amount_cents_max=9_999_999, is_email_required=True, closed="T4")

# The members of a payment's detail, in the order of the schema.
DETAIL = (
    "dattrans", "exer", "heurtrans", "idOp", "mel", "montant", "numauto", "numcli", "objet", "refdet", "resultrans",
    "saisie",
)  # fmt: skip

_PAGE = "/tpa/paiementws.web"

_NO_DOCUMENT = HttpReply(
    404, {"Content-Type": "text/plain;charset=utf-8"}, b"Ask for ?wsdl, or POST a SOAP envelope.\n"
)


class PayfipTerms(Terms):
    """A merchant's ``protocol`` table for this variant.

    :ivar idop_key: how notifications spell their one parameter; a few clients read ``idOp``
    :ivar activity: the department or activity, told as ``libelleN3``
    :ivar replaces_open: give an older payment up for a newer one of the same debt even while its card page is open; never
        once its payer was sent a code
    :ivar explains_faults: put the broken rule into ``descriptif``, which the real service leaves empty and some portals
        show to their staff
    """

    idop_key: Literal["idop", "idOp"] = "idop"
    activity: str = ""
    replaces_open: bool = False
    explains_faults: bool = False


class PayfipDialect(Notifying[PayfipTerms]):
    """Translates the PayFiP web service.

    A client in test mode may send every ``saisie`` of this variant, since all of its payments are simulated; ``T`` from
    any other client is refused as ``S1``.
    """

    name = "payfip"
    paths: tuple[str, ...] = (_PAGE, SERVICE, GUIDE_SERVICE, *SCHEMA_PATHS)
    body_max = 64 * 1024
    tells_first = True

    def __init__(self, merchants: Mapping[str, Merchant], house: House) -> None:
        super().__init__(Clients(merchants, PayfipTerms, house), house)
        self._description = Description(house.origin)

    def read(self, call: HttpCall, now: datetime) -> Command:  # noqa: ARG002 - nothing in a request ages
        """Say what is asked; nobody is authenticated in this protocol.

        Raises :class:`Anomaly` for the first thing wrong, :class:`BadRequest` for a message that is none of ours.
        """
        if call.path == _PAGE:
            return Resume(self._which(carried_idop(call)))
        if call.method != "POST" or call.path in SCHEMA_PATHS:
            return Say(self._description.asked(call.path, call.query) or _NO_DOCUMENT)
        asked = read_envelope(call.body, self.body_max)
        if asked.operation == "recupererDetailClient":
            return Say(self._client_detail(asked.values.get("numCli", "")))
        if asked.operation == "recupererDetailPaiementSecurise":
            return LookUp(self._which(check_idop(asked.values.get("idOp", ""))))
        return self._open(Fields(asked.values))

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:  # noqa: ARG002
        """Give the merchant the operation's name, with which the payer will come."""
        return envelope.answer("creerPaiementSecurise", [("idOp", result.handle)])

    def found(self, command: About, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:
        """Send the payer to the page, or tell the merchant the outcome.

        Raises :class:`Anomaly`: P1 once purged; P3 and P4 to the payer; P5 while nothing was concluded.
        """
        timeline.check_known(result, now, self._house.zone)
        if isinstance(command, Resume):
            timeline.check_openable(result, now)
            return HttpReply(303, {"Location": page_url, "Cache-Control": "no-store"})
        outcome = timeline.letter(result)
        if not outcome:
            raise Anomaly("P5", f"the payment is {result.status}", result.request.merchant)
        return envelope.answer("recupererDetailPaiementSecurise", self._detail(result, outcome))

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply | ErrorPage:
        """Tell the payer on a page, a program by a fault."""
        if call.path == _PAGE:
            return self._anomalies.page(error, self._house.zone)
        if isinstance(error, BadRequest) and not isinstance(error, Anomaly):
            return envelope.client_fault("; ".join(fault.detail for fault in error.faults))
        return envelope.fault(self._anomalies.of(error), self._explanation(call, error))

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:  # noqa: ARG002
        """Send the payer back with the operation's name; the merchant asks for the outcome itself."""
        url = result.request.return_url
        return Departure(joined(url, f"idop={result.handle}")) if url else None

    def due(self, result: PaymentResult, event: Event) -> datetime | None:
        """Tell what the payer finished at once; what came to nothing, two hours after it was asked for."""
        if event.type not in OUTCOMES:
            return None
        if event.type == "payment.expired" or not timeline.was_opened(result):
            return max(event.at, result.created_at + timeline.FALLBACK)
        return event.at

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:  # noqa: ARG002
        """Name the operation, and nothing else: the client must ask what became of it."""
        client = self._clients.of(result.request.merchant)
        return form([(client.terms.idop_key if client else "idop", result.handle)])

    def code(self, result: PaymentResult, event: Event) -> str:
        """Give the outcome's letter, or the code that a client asking for it would get."""
        if event.type not in OUTCOMES:
            return ""
        return f"resultrans={OUTCOMES[event.type]}" if timeline.was_opened(result) else "P5"

    def _which(self, idop: str) -> Which:
        return Which(self._clients.merchants, handle=idop)

    def _open(self, fields: Fields) -> Open:
        wish = check(fields, VARIANT, self._clients)
        client, merchant = wish.client, wish.client.merchant
        notify_url = self._address(fields, "urlnotif", "N1", client)
        return_url = self._address(fields, "urlredirect", "D1", client)
        request = PaymentRequest(
            merchant=merchant.id,
            reference=wish.reference,
            amount=wish.amount,
            lines=(Line(wish.reference, wish.label, wish.amount),),
            label=wish.label,
            email=wish.email,
            fiscal_year=wish.year,
            notify_url=notify_url,
            return_url=return_url,
            wire=wish.echo,
        )
        idop = str(UUID(bytes=self._house.draw(16), version=4))
        # Every call is a wish of its own, and gets an operation of its own: the name belongs to what is asked.
        meaning = json.dumps({**wish.echo, "idOp": idop, "n": notify_url, "d": return_url}, sort_keys=True)
        signed = Signed(merchant.id, self._house.draw(16).hex(), hashlib.sha256(meaning.encode()).hexdigest())
        return Open(
            request,
            signed,
            handle=idop,
            replaces=frozenset({Status.CREATED, Status.OPENED}),
            spares=SPARED - {"card"} if client.terms.replaces_open else SPARED,
            resumes=False,
            life=timeline.FALLBACK,
            is_activation=wish.letter == ACTIVATION,
            marks={"signature": "none"},
        )

    def _address(self, fields: Fields, name: str, code: str, client: Client[PayfipTerms]) -> str:
        merchant = client.merchant
        registered = merchant.callback_urls if name == "urlnotif" else merchant.return_urls
        try:
            return check_address(fields.get(name, code), client, registered, self._house)
        except ValueError as error:
            raise Anomaly(code, f"{name}: {error}", merchant.id) from error

    def _client_detail(self, numcli: str) -> HttpReply:
        client = find_client(numcli, VARIANT, self._clients)
        merchant = client.merchant
        members = (
            ("libelleN1", merchant.service or merchant.name),
            ("libelleN2", merchant.name),
            ("libelleN3", client.terms.activity),
            ("numcli", client.terms.numcli),
        )
        return envelope.answer("recupererDetailClient", members)

    def _detail(self, result: PaymentResult, outcome: str) -> Iterator[tuple[str, str]]:
        at, zone = result.paid_at or result.ended_at or result.created_at, self._house.zone
        values = {
            **result.request.wire,
            "dattrans": local_date(at, zone),
            "heurtrans": local_time(at, zone),
            "idOp": result.handle,
            "resultrans": outcome,
        }
        if outcome == "P" and result.attempt:
            values["numauto"] = result.attempt.authorisation_number
        return ((name, values[name]) for name in DETAIL if name in values)

    def _explanation(self, call: HttpCall, error: GatewayError) -> str:
        """Word what is wrong for a client that wants to be told; a debt that is being paid is free again at some time."""
        if isinstance(error, Anomaly):
            client, told = self._clients.of(error.merchant), error.detail
        elif isinstance(error, RequestConflict):
            client, told = self._asking(call), error.fix
        else:
            return ""
        return told if client and client.terms.explains_faults else ""

    def _asking(self, call: HttpCall) -> Client[PayfipTerms] | None:
        """Find the client that sent a message the core refused."""
        try:
            asked = read_envelope(call.body, self.body_max)
        except BadRequest:
            return None
        return self._clients.numbered(asked.values.get("numcli", ""))
