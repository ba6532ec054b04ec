"""One speaker per protocol. The clients know the wire and nothing of the portals; here is where the two meet."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import spplus_client
from guichet_client import Guichet, GuichetRefused, KeyMissing
from payline_client import Payline, PaylineRefused
from payments import Payment
from portals import Portal
from proof import Confirmation, Departure, GuichetUnreachable, NotVerified
from speaking import Call, CameBack, Find, NotOpened, Speaker, Started
from spplus_client import SpPlus
from systempay_client import Systempay
from tipi_client import Tipi

_PARIS = ZoneInfo("Europe/Paris")
_VALIDITY = timedelta(days=30)


class Native:
    """Guichet's own protocol."""

    checked, receipt = "Signature vérifiée", ""

    def __init__(self, guichet: Guichet, address: str) -> None:
        self._guichet, self._address = guichet, address

    def start(self, portal: Portal, payment: Payment) -> Started:
        claims = self._claims(portal, payment)
        try:
            opened = self._guichet.open_payment(portal.credential, claims)
        except GuichetRefused as error:
            summary = f"Guichet a répondu {error.status}, code {error.code}. {error.title}"
            raise NotOpened(summary, error.detail, error.faults, claims) from error
        except KeyMissing as error:
            detail = "Guichet fabrique les clés de démonstration à son premier démarrage ; leur dossier se donne avec --keys."
            raise NotOpened(f"Il manque le fichier {error}.", detail, sent=claims) from error
        except GuichetUnreachable as error:
            raise _unreachable(error, claims) from error
        return Started(Departure(opened.checkout_url), opened.id, opened.expires_at)

    def notice(self, portal: Portal, call: Call, find: Find) -> Confirmation | None:  # noqa: ARG002 - it says all itself
        try:
            notice = self._guichet.read_confirmation(call.body, call.headers, portal.credential)
        except KeyMissing as error:
            raise NotVerified(f"{portal.credential}: no secret at {error}") from error
        if notice.merchant not in portal.merchants:
            raise NotVerified(f"{portal.credential}: signed for {notice.merchant!r}, a merchant of another portal")
        return notice

    def come_back(self, portal: Portal, call: Call, payment: Payment | None) -> CameBack:  # noqa: ARG002 - as above
        brought = call.pairs(call.query)
        result = self._guichet.read_return(brought.get("result", ""), frozenset(portal.merchants))
        if result.payment != brought.get("payment"):
            raise NotVerified("result: about another payment than the address says")
        return CameBack(result.reference, result.status)

    def _claims(self, portal: Portal, payment: Payment) -> Mapping[str, object]:
        return {
            "iss": payment.merchant,
            "amount": payment.amount_cents,
            "currency": "EUR",
            "reference": payment.reference,
            "email": payment.email,
            "label": payment.label,
            "kind": payment.kind,
            "lines": [
                {"reference": line.reference, "label": line.label, "amount": line.amount_cents}
                for line in payment.lines
            ],
            "payer": {"name": portal.payer, "phone": portal.phone},
            "beneficiary": payment.beneficiary,
            "fiscal_year": str(payment.created_at.year),
            "language": "fr",
            "return_url": f"{self._address}/{portal.slug}/return",
            "notify_url": f"{self._address}/confirmations",
            "metadata": {"portal": portal.slug},
        }


@dataclass(frozen=True, slots=True)
class _Older:
    """What the speakers of the four older protocols know: where Guichet is, and how it reaches us."""

    origin: str
    address: str

    def notices(self, portal: Portal) -> str:
        return f"{self.address}/{portal.slug}/notification"

    def returns(self, portal: Portal, payment: Payment) -> str:
        return f"{self.address}/{portal.slug}/return/{payment.reference}"


class ByPayline(_Older):
    """Payline: notices and returns carry a token, and what it stands for is asked with the shop's credentials."""

    checked, receipt = "Demandée à Guichet avec nos identifiants (getWebPaymentDetails)", "OK"

    def start(self, portal: Portal, payment: Payment) -> Started:
        first, _, last = portal.payer.partition(" ")
        order = {
            "ref": payment.reference,
            "amount": str(payment.amount_cents),
            "date": f"{payment.created_at.astimezone(_PARIS):%d/%m/%Y %H:%M}",
            "label": payment.label,
        }
        back = self.returns(portal, payment)
        urls = {"returnURL": back, "cancelURL": back, "notificationURL": self.notices(portal)}
        buyer = {"lastName": last, "firstName": first, "email": payment.email, "mobilePhone": portal.phone}
        asked = {"order": order, **urls, "buyer": buyer}
        try:
            token, url = self._shop(portal).open_page(order, urls, buyer)
        except PaylineRefused as error:
            raise NotOpened(f"Guichet a répondu {error.code}.", error.detail, sent=asked) from error
        except GuichetUnreachable as error:
            raise _unreachable(error, asked) from error
        return Started(Departure(url), token, _page_end(portal))

    def notice(self, portal: Portal, call: Call, find: Find) -> Confirmation | None:
        token = call.pairs(call.query).get("token", "")
        payment = find(token) if token else None
        if payment is None or payment.pay_id != token:
            raise NotVerified("token: not one of ours")
        return self._details(portal, token)

    def come_back(self, portal: Portal, call: Call, payment: Payment | None) -> CameBack:
        brought = call.pairs(call.query)
        if payment is None or not payment.pay_id or brought.get("paylinetoken", brought.get("token")) != payment.pay_id:
            raise NotVerified("token: not that of this payment")
        proof = self._details(portal, payment.pay_id)
        return CameBack(payment.reference, proof.type.partition(".")[2] if proof else "", proof)

    def _details(self, portal: Portal, token: str) -> Confirmation | None:
        try:
            return self._shop(portal).details(token)
        except PaylineRefused as error:
            raise GuichetUnreachable(str(error)) from error

    def _shop(self, portal: Portal) -> Payline:
        return Payline(self.origin, portal.credential, portal.secret, contract="1234567")


class BySystempay(_Older):
    """Systempay: a signed form there, a signed form back."""

    checked, receipt = "Signature vérifiée (HMAC-SHA-256)", "OK"

    def start(self, portal: Portal, payment: Payment) -> Started:
        more = {
            "order_info": payment.label,
            "cust_email": payment.email,
            "cust_name": portal.payer,
            "cust_cell_phone": portal.phone,
            "return_mode": "GET",
            "url_return": self.returns(portal, payment),
            "url_check": self.notices(portal),
        }
        departure = self._shop(portal).depart(payment.reference, payment.amount_cents, more)
        return Started(departure, expires_at=_page_end(portal))

    def notice(self, portal: Portal, call: Call, find: Find) -> Confirmation | None:  # noqa: ARG002 - the form says all
        return self._shop(portal).read(call.pairs(call.body.decode("ascii", "replace")))

    def come_back(self, portal: Portal, call: Call, payment: Payment | None) -> CameBack:
        brought = call.pairs(call.query)
        if payment and not brought:
            return CameBack(payment.reference, "")
        told = self._shop(portal).read(brought)
        # The notice is on its way to its own address; this is a courtesy.
        return CameBack(told.reference, told.type.partition(".")[2])

    def _shop(self, portal: Portal) -> Systempay:
        return Systempay(self.origin, portal.credential, portal.secret)


class BySpPlus(_Older):
    """SP Plus: a signed address there; notices and returns carry the same signed values and a state."""

    checked, receipt = "Signature vérifiée (hmac)", spplus_client.ACKNOWLEDGEMENT

    def start(self, portal: Portal, payment: Payment) -> Started:
        last_day = f"{(datetime.now(_PARIS) + _VALIDITY):%d/%m/%Y}"
        more = {
            "email": payment.email,
            "urlretour": self.returns(portal, payment),
            "arg1": payment.beneficiary,
            "arg2": payment.comment,
        }
        departure = self._shop(portal).depart(payment.reference, payment.amount_cents, last_day, more)
        return Started(departure, expires_at=_page_end(portal))

    def notice(self, portal: Portal, call: Call, find: Find) -> Confirmation | None:
        payment = find(spplus_client.reference_of(call.query))
        if payment is None or payment.portal != portal.slug:
            raise NotVerified("reference: not one of ours")
        return self._shop(portal).read(call.query, payment.checkout_url)

    def come_back(self, portal: Portal, call: Call, payment: Payment | None) -> CameBack:
        if payment is None:
            raise NotVerified("reference: not one of ours")
        if "hmac=" not in call.query:
            return CameBack(payment.reference, "")
        told = self._shop(portal).read(call.query, payment.checkout_url)
        # Where notices go is written in the bank's book, not in the request: a portal served from elsewhere gets none.
        # The return is signed over the same values, so it counts.
        return CameBack(payment.reference, told.type.partition(".")[2], told)

    def _shop(self, portal: Portal) -> SpPlus:
        return SpPlus(self.origin, portal.credential, portal.secret)


class ByTipi(_Older):
    """TIPI by URL: nothing is signed, and the payer's browser never comes back."""

    checked, receipt = "Sans signature : origine et contenu comparés à la demande", "OK"

    def start(self, portal: Portal, payment: Payment) -> Started:
        departure = self._client(portal).depart(self._fields(portal, payment), self.notices(portal))
        return Started(departure, expires_at=_page_end(portal))

    def notice(self, portal: Portal, call: Call, find: Find) -> Confirmation | None:
        if call.peer not in _addresses(self.origin):
            raise NotVerified(f"{call.peer} is not the payment server")
        told = call.pairs(call.body.decode("ascii", "replace"))
        payment = find(told.get("refdet", ""))
        if payment is None or payment.portal != portal.slug:
            raise NotVerified("refdet: not one of ours")
        return self._client(portal).read(told, self._fields(portal, payment))

    def come_back(self, portal: Portal, call: Call, payment: Payment | None) -> CameBack:  # noqa: ARG002 - there is none
        raise NotVerified("this protocol has no return")

    def _fields(self, portal: Portal, payment: Payment) -> dict[str, str]:
        year = str(payment.created_at.astimezone(_PARIS).year)
        client = self._client(portal)
        return client.fields(payment.reference, payment.amount_cents, year, payment.label, payment.email)

    def _client(self, portal: Portal) -> Tipi:
        return Tipi(self.origin, portal.credential)


def make_speakers(guichet: Guichet, address: str) -> Mapping[str, Speaker]:
    """Make one speaker per protocol.

    :param address: how browsers and Guichet reach this portal
    """
    origin = guichet.origin
    return {
        "native": Native(guichet, address),
        "payline": ByPayline(origin, address),
        "systempay": BySystempay(origin, address),
        "spplus": BySpPlus(origin, address),
        "tipi": ByTipi(origin, address),
    }


def _page_end(portal: Portal) -> str:
    return (datetime.now(UTC) + timedelta(minutes=portal.page_minutes)).isoformat()


def _unreachable(error: GuichetUnreachable, sent: object) -> NotOpened:
    detail = "Est-il démarré ? Son adresse se donne avec --guichet."
    return NotOpened(f"Pas de réponse utilisable de Guichet : {error}.", detail, sent=sent)


def _addresses(origin: str) -> frozenset[str]:
    """Resolve where Guichet is; behind a proxy of its own, this would be a setting."""
    found = socket.getaddrinfo(urlsplit(origin).hostname, None)
    return frozenset(str(entry[4][0]) for entry in found)
