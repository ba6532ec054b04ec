"""Payline's messages: every operation is described and answered, and each reply is what our WSDL of its version says."""

from pathlib import Path
from typing import cast

import pytest
from lxml import etree
from lxml.etree import _Element as Element

from gateway.core.states import Status
from gateway.dialects import HttpCall, HttpReply
from tests.dialects.payline_counter import DIRECT, EXTENDED, WEB, Counter, an_attempt, ask, has, opening, read

WSDL = {"wsdl": "http://schemas.xmlsoap.org/wsdl/", "xsd": "http://www.w3.org/2001/XMLSchema"}
VERSIONS = ("4", "13", "19", "26", "34")

CARRIED_OUT = {
    WEB: "doWebPayment getWebPaymentDetails",
    DIRECT: "doCapture doRefund doReset getEncryptionKey getMerchantSettings",
    EXTENDED: "getTransactionDetails",
}
# As the published WSDLs share them out.
ABSENT = {
    WEB: "manageWebWallet createWebWallet updateWebWallet getWebWallet",
    DIRECT: """
        doAuthorization doReAuthorization doDebit doCredit createWallet updateWallet getWallet getCards disableWallet
        enableWallet doImmediateWalletPayment doScheduledWalletPayment doRecurrentWalletPayment getPaymentRecord
        disablePaymentRecord updatePaymentRecord getBillingRecord updateBillingRecord verifyEnrollment
        verifyAuthentication doScoringCheque getBalance getToken unBlock doBankTransfer isRegistered prepareSession
        doAuthorizationRedirect""",
    EXTENDED: "transactionsSearch getAlertDetails",
}
EACH_ABSENT = [(path, name) for path, names in ABSENT.items() for name in names.split()]


def described(path: str, version: str = "") -> Element:
    query = f"wsdl&version={version}" if version else "wsdl"
    reply = Counter().call(HttpCall("GET", path, query))
    assert isinstance(reply, HttpReply)
    return etree.fromstring(reply.body)


def found(element: Element, path: str) -> list[Element]:
    return cast("list[Element]", element.xpath(path, namespaces=WSDL))


def schema(folder: Path, path: str, version: str) -> etree.XMLSchema:
    """Give the XML Schema inside a WSDL, as a validator would load it."""
    objects, messages = found(described(path, version), "//xsd:schema")
    (folder / "objects.xsd").write_bytes(etree.tostring(objects))
    found(messages, "xsd:import")[0].set("schemaLocation", "objects.xsd")
    (folder / "messages.xsd").write_bytes(etree.tostring(messages))
    return etree.XMLSchema(file=str(folder / "messages.xsd"))


def content(reply: HttpReply) -> Element:
    return etree.fromstring(reply.body)[0][0]


@pytest.mark.parametrize("path", [WEB, DIRECT, EXTENDED])
def test_every_operation_is_described_where_clients_look_for_it(path: str) -> None:
    wsdl = described(path)

    names = sorted([*CARRIED_OUT[path].split(), *ABSENT[path].split()])
    assert sorted(str(one.get("name")) for one in found(wsdl, "wsdl:portType/wsdl:operation")) == names
    assert sorted(str(one.get("name")) for one in found(wsdl, "wsdl:binding/wsdl:operation")) == names
    sides = sorted(f"{name}{side}" for name in names for side in ("Request", "Response"))
    assert sorted(str(one.get("name")) for one in found(wsdl, "//xsd:schema/xsd:element")) == sides


@pytest.mark.parametrize("operation", [name for _, name in EACH_ABSENT])
def test_what_is_not_carried_out_says_so_at_every_address(operation: str) -> None:
    replies = [Counter().post(at, ask(operation, "<version>26</version>")) for at in (WEB, DIRECT, EXTENDED)]

    assert {(reply.status, read(reply, "result", "code")) for reply in replies} == {(200, "02010")}
    assert len({reply.body for reply in replies}) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_carried_out_is_answered_as_described(tmp_path: Path, version: str) -> None:
    described_as = {path: schema(tmp_path, path, version) for path in ABSENT}

    for path, operation in EACH_ABSENT:
        reply = Counter().post(path, ask(operation, f"<version>{version}</version>"))
        described_as[path].assertValid(content(reply))


def test_the_skeleton_of_an_answer_is_whole_and_of_its_version() -> None:
    old, new = (
        Counter().post(DIRECT, ask("doAuthorization", f"<version>{version}</version>")) for version in ("19", "34")
    )

    base = ["result", "transaction", "authorization", "card", "extendedCard", "privateDataList", "contractNumber"]
    later = ["linkedTransactionId", "travelFileNumber", "authentication3DSecure", "resultContainer"]
    assert [etree.QName(one).localname for one in content(old)] == base
    assert [etree.QName(one).localname for one in content(new)] == ["transient", *base, *later]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_reply_is_what_the_wsdl_of_its_version_says(tmp_path: Path, version: str) -> None:
    counter, spoken = Counter(), f"<version>{version}</version>"
    line = "</date><details><details><ref>A</ref><comment>é</comment></details></details>"
    asked = opening(lambda text: text.replace("<version>26</version>", spoken).replace("</date>", line))
    replies = {(WEB, "opened"): counter.post(WEB, asked)}
    token = f"<token>{read(replies[WEB, 'opened'], 'token')}</token>"
    replies[WEB, "new"] = counter.post(WEB, ask("getWebPaymentDetails", spoken + token))
    counter.change(status=Status.PAID, attempts=(an_attempt(),))
    replies[WEB, "paid"] = counter.post(WEB, ask("getWebPaymentDetails", spoken + token))
    replies[WEB, "unknown"] = counter.post(WEB, ask("getWebPaymentDetails", spoken))
    replies[WEB, "refused"] = counter.post(WEB, ask("doWebPayment", spoken))
    for operation in CARRIED_OUT[DIRECT].split():
        body = ask(operation, f"{spoken}<transactionID>1</transactionID>")
        replies[DIRECT, operation] = counter.post(DIRECT, body)
    replies[EXTENDED, "told"] = counter.post(
        EXTENDED, ask("getTransactionDetails", f"{spoken}<transactionId>1</transactionId>")
    )

    described_as = {path: schema(tmp_path, path, version) for path in (WEB, DIRECT, EXTENDED)}
    for (path, _), reply in replies.items():
        described_as[path].assertValid(content(reply))


def test_the_encryption_key_is_nil_since_cards_are_typed_on_our_page_alone() -> None:
    reply = Counter().post(DIRECT, ask("getEncryptionKey", "<version>26</version>"))

    assert (read(reply, "result", "code"), read(reply, "key")) == ("00000", None)
    assert has(reply, "key")
