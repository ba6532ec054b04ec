"""Published SOAP clients against the Payline dialect, over our own WSDL: strict ones read every reply of every version."""

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import zeep
from pysimplesoap.client import SoapClient  # type: ignore[import-untyped]  # ships no types
from suds.client import Client as SudsClient  # type: ignore[import-untyped]  # ships no types
from suds.transport import Reply, Transport, TransportError  # type: ignore[import-untyped]
from zeep.transports import Transport as ZeepTransport

from gateway.core.payment import AttemptStatus, Event, Status
from gateway.dialects import HttpCall, HttpReply
from tests.dialects.payline_counter import BASIC, DIRECT, EXTENDED, NOW, ORIGIN, WEB, Counter, an_attempt, basic

VERSIONS = ("4", "13", "19", "26", "34")


def wsdl(counter: Counter, api: str, query: str = "wsdl") -> bytes:
    reply = counter.call(HttpCall("GET", api, query))
    assert isinstance(reply, HttpReply)
    return reply.body


class ByHand(ZeepTransport):
    """Hands zeep's envelopes to the counter."""

    def __init__(self, counter: Counter, query: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # zeep ships half its types
        self._counter, self._query = counter, query

    def load(self, url: str) -> bytes:
        return wsdl(self._counter, url.removeprefix(ORIGIN), self._query)

    def post(self, address: str, message: bytes, headers: dict[str, str]) -> SimpleNamespace:
        assert address.startswith(ORIGIN), headers
        reply = self._counter.post(address.removeprefix(ORIGIN), message)
        return SimpleNamespace(status_code=reply.status, content=reply.body, headers=reply.headers, encoding="utf-8")


def strict(counter: Counter, api: str, query: str = "wsdl") -> zeep.Client:
    """Make a zeep client that raises on any element its WSDL does not know."""
    settings = zeep.Settings(strict=True)
    return zeep.Client(ORIGIN + api, transport=ByHand(counter, query), settings=settings)  # type: ignore[no-untyped-call]  # as above


def wish(version: str) -> dict[str, object]:
    return {
        "version": version,
        "payment": {"amount": "9612", "currency": "978", "action": "101", "mode": "CPT", "contractNumber": "1234567"},
        "returnURL": "https://shop.example/return",
        "cancelURL": "https://shop.example/cancel",
        "order": {
            "ref": "44023989",
            "amount": "9612",
            "currency": "978",
            "date": "21/11/2026 10:00",
            "details": {"details": [{"ref": "A", "price": "9612", "comment": "Cantine"}]},
        },
        "selectedContractList": {"selectedContract": ["1234567"]},
        "privateDataList": {"privateData": [{"key": "id_cart", "value": "7"}, {"key": "secure_key", "value": " x "}]},
        "buyer": {"lastName": "Martin", "email": "famille@example.org", "shippingAdress": {"cityName": "Falaise"}},
    }


@pytest.mark.parametrize("query", ["wsdl", "wsdl&version={}"], ids=["whole", "of the version"])
@pytest.mark.parametrize("version", VERSIONS)
def test_strict_zeep_reads_every_state_at_every_version(version: str, query: str) -> None:
    counter = Counter()
    client = strict(counter, WEB, query.format(version))

    token = client.service.doWebPayment(**wish(version)).token
    states = [client.service.getWebPaymentDetails(version=version, token=token)]
    declined = an_attempt(status=AttemptStatus.DECLINED, response_code="51", response_family="funds")
    opened = Event("evt_2", 2, "payment.opened", NOW)
    for change in (
        {"status": Status.OPENED},
        {"status": Status.WORKING},
        {"status": Status.CANCELLED},
        {"status": Status.EXPIRED, "events": (opened,)},
        {"status": Status.FAILED, "attempts": (declined,), "ended_at": NOW},
        {"status": Status.PAID, "attempts": (an_attempt(),), "paid_at": NOW},
    ):
        counter.change(**change)
        states.append(client.service.getWebPaymentDetails(version=version, token=token))
    states.append(client.service.getWebPaymentDetails(version=version, token="unknown"))

    assert [state.result.code for state in states] == [
        "02533", "02306", "02306", "02319", "02324", "01116", "00000", "02304",
    ]  # fmt: skip
    assert [(one.key, one.value) for one in states[-2].privateDataList.privateData] == [
        ("id_cart", "7"),
        ("secure_key", " x "),
    ]
    assert states[-2].card.number == "497010XXXXXX1646"
    assert states[-2].order.details.details[0].comment == "Cantine"
    assert (getattr(states[-2], "buyer", None) is not None) == (int(version) >= 19)


@pytest.mark.parametrize("version", VERSIONS)
def test_strict_zeep_reads_the_other_operations_at_every_version(version: str) -> None:
    counter = Counter()
    strict(counter, WEB).service.doWebPayment(**wish(version))
    number = counter.pay().number
    direct, extended = strict(counter, DIRECT), strict(counter, EXTENDED)
    payment = {"amount": "9612", "currency": "978", "action": "421", "mode": "CPT", "contractNumber": "1234567"}

    told = extended.service.getTransactionDetails(version=version, transactionId=number)
    captured = direct.service.doCapture(version=version, transactionID=number, payment=payment)
    refunded = direct.service.doRefund(version=version, transactionID=number, payment=payment, comment="trop payé")
    reset = direct.service.doReset(version=version, transactionID=number)
    settings = direct.service.getMerchantSettings(version=version)
    keys = direct.service.getEncryptionKey(version=version)

    codes = {reply.result.code for reply in (told, captured, refunded, reset, settings, keys)}
    assert codes == {"00000"}
    assert told.transaction.id == "00000000000001"
    contract = settings.listPointOfSell.pointOfSell[0].contracts.contract[0]
    assert (contract.cardType, contract.contractNumber, contract.currency) == ("CB", "1234567", "978")


def test_strict_zeep_reads_a_refused_opening() -> None:
    reply = strict(Counter(), WEB).service.doWebPayment(**{**wish("34"), "returnURL": "ftp://x"})

    assert reply.result.code == "02305"
    assert (reply.token, reply.redirectURL) == (None, None)


class Challenged(Transport):  # type: ignore[misc]  # suds ships no types
    """As suds does over HTTP: no credentials until the server asks for them."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter
        self.statuses: list[int] = []

    def open(self, request: SimpleNamespace) -> BytesIO:
        return BytesIO(wsdl(self._counter, str(request.url).removeprefix(ORIGIN).partition("?")[0]))

    def send(self, request: SimpleNamespace) -> Reply:
        path = str(request.url).removeprefix(ORIGIN)
        for credentials in ("", BASIC):
            reply = self._counter.post(path, request.message, credentials)
            self.statuses.append(reply.status)
            if reply.status != 401:
                return Reply(reply.status, dict(reply.headers), reply.body)
        raise TransportError("refused", 401)


def suds_client(counter: Counter) -> tuple[SudsClient, Challenged]:
    transport = Challenged(counter)
    return SudsClient(f"{ORIGIN}{WEB}?wsdl", transport=transport, cache=None), transport


def test_suds_opens_after_a_challenge_and_reads_the_result() -> None:
    counter = Counter()
    client, transport = suds_client(counter)

    opened = client.service.doWebPayment(**{**wish("19"), "selectedContractList": ("1234567",)})
    counter.pay()
    told = client.service.getWebPaymentDetails("19", opened.token)

    assert transport.statuses == [401, 200, 401, 200]
    assert opened.redirectURL == f"{ORIGIN}/v2/?token={opened.token}"
    assert (told.result.code, told.order.ref, told.card.number) == ("00000", "44023989", "497010XXXXXX1646")


def test_suds_reads_the_redirect_address_of_a_refusal() -> None:
    client, _ = suds_client(Counter())

    refused = client.service.doWebPayment(**{**wish("19"), "returnURL": "ftp://x"})

    assert refused.result.code == "02305"
    assert refused.redirectURL is None


class Carrier:
    """What pysimplesoap wants of an HTTP library."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def request(self, location: str, method: str, body: str | bytes, headers: object) -> tuple[dict[str, str], bytes]:
        assert method == "POST", headers
        raw = body.encode() if isinstance(body, str) else body
        reply = self._counter.post(location.removeprefix(ORIGIN), raw)
        return {"status": str(reply.status), "content-type": "text/xml"}, reply.body


@pytest.mark.parametrize("version", VERSIONS)
def test_pysimplesoap_knows_every_tag(version: str, tmp_path: Path) -> None:
    counter = Counter()
    path = tmp_path / "web.wsdl"
    path.write_bytes(wsdl(counter, WEB, f"wsdl&version={version}"))
    client = SoapClient(wsdl=path.as_uri(), http_headers={"Authorization": BASIC, "Content-Type": "text/plain"})
    client.http = Carrier(counter)

    # With the published WSDL too, this library takes one of each only.
    order = {"ref": "44023989", "amount": "9612", "currency": "978", "details": {"details": {"ref": "A"}}}
    singles = {
        "order": order,
        "selectedContractList": [],
        "privateDataList": {"privateData": {"key": "k", "value": "v"}},
    }
    opened = client.doWebPayment(**{**wish(version), **singles})
    counter.pay()
    told = client.getWebPaymentDetails(version=version, token=opened["token"])

    assert told["result"]["shortMessage"] == "ACCEPTED"
    assert told["privateDataList"]["privateData"] == {"key": "k", "value": "v"}
    assert told["transaction"]["id"] == "00000000000001"
    assert int(told["transaction"]["isPossibleFraud"]) == 0


def test_wrong_credentials_are_told_by_the_reason_phrase() -> None:
    reply = Counter().post(WEB, b"", basic("1234567890", "wrong-key"))

    assert (reply.status, reply.reason) == (401, "Unauthorized")
    assert reply.headers["WWW-Authenticate"].startswith('Basic realm="')
