"""One merchant never sees or changes another's payments: every address of the application, under every name a payment has.

"Not yours" and "not there" are the same answer, to the byte count. The list of addresses comes from the application: one
that is not classed below fails the build.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from gateway.core.payment import PaymentResult
from gateway.dialects import HttpCall
from gateway.dialects.spplus.key import MerchantKey
from gateway.dialects.spplus.notices import refsfp
from gateway.parts import Parts
from gateway.store import tables as t
from tests.dialects.samples import PAYFIP, SAMPLES, SOAP
from tests.factories import pay
from tests.support.clock import Clock
from tests.support.figures import record
from tests.support.portal import Portal

# A second merchant for each protocol with credentials of its own.
TWINS = """
[merchants.falaise-twin]
dialect = "payline"
name = "La Falaise bis"
[merchants.falaise-twin.protocol]
merchant_id = "1234567899"
access_key = "TWINXYou6LmjQFdHDJME"
contracts = [{ number = "7654321", label = "CB en ligne" }]
[merchants.alise-twin]
dialect = "spplus"
name = "Lycée bis"
notify_url = "http://127.0.0.1:8001/alise/notification"
[merchants.alise-twin.protocol]
siret = "00000000000002-01"
key = "58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79"
[merchants.ifac-twin]
dialect = "systempay"
name = "Accueil bis"
[[merchants.ifac-twin.protocol.sites]]
site_id = "11223344"
algorithm = "hmac"
keys = { TEST = "9988776655443322" }
rest = { password = "testpassword_TWIN", hmac_key = "hmackeyTWIN1" }
"""

# Tells the same to everybody.
PUBLIC = {
    "/", "/.well-known/jwks.json", "/docs", "/healthz", "/metrics", "/openapi.json", "/readyz", "/static/<path:filename>",
    "/accessibility", "/accessibility/<merchant>", "/theme/<name>",
    "/bo-war/identification.do", "/cgi-bin/<signer>", "/services/servicesendpoints/SOAP/<merchant>",
    "/tpa/services/PaiementSecuriseService_schema1.xsd", "/tpa/services/PaiementSecuriseService_schema2.xsd",
    "/tpa/services/PaiementSecuriseService_schema3.xsd",
    "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService_schema1.xsd",
    "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService_schema2.xsd",
    "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService_schema3.xsd",
}  # fmt: skip
# Only while every merchant is in test mode: one developer's machine, where all are his.
TEST_KIT = "/_test/"
# Opens a payment and names none; what a merchant may open is tested with its protocol.
OPENING = {
    "/pay", "/paiement/init.do", "/IPaiement/initialiserPaiement.do", "/cgis-bin/spdecrypt.exe", "/tpa/paiement.web",
    "/vads-payment", "/vads-payment/",
}  # fmt: skip
# Whoever knows the name is the payer: it is a secret, signed or drawn at random.
BY_TOKEN = {
    "/L/<token>", "/l/<token>", "/p/<token>", "/p/<token>/brands", "/p/<token>/challenge", "/p/<token>/leave", "/p/<token>/state", "/t/<token>",
    "/t/<token>.pdf", "/v/<token>",
}  # fmt: skip
BY_HANDLE = {"/tpa/paiementws.web", "/v2/", "/webpayment/step2.do"}


@dataclass(frozen=True)
class Target:
    """The names of one payment, in every protocol."""

    payment: str
    number: str
    handle: str
    reference: str

    @classmethod
    def of(cls, result: PaymentResult) -> "Target":
        return cls(result.id, result.number, result.handle, result.request.reference)

    @property
    def missing(self) -> "Target":
        """Give names of the same shape that nobody has."""
        handle = "".join("0" if letter.isalnum() and n > 20 else letter for n, letter in enumerate(self.handle))
        return Target("pay_" + "0" * 24, "0" * 3 + "9" * (len(self.number) - 3), handle, "Z" * len(self.reference))


Ask = Callable[["Scene", str, Target], HttpCall]


class Scene:
    """A paid payment of each protocol, and who may ask about it: its ``owner``, an ``other`` merchant, ``nobody``."""

    def __init__(self, client: FlaskClient, parts: Parts, home: Path, clock: Clock) -> None:
        self.client, self.parts, self.home, self.clock = client, parts, home, clock

    def send(self, call: HttpCall) -> TestResponse:
        headers = dict(call.headers)
        return self.client.open(
            call.path, method=call.method, query_string=call.query, headers=headers, data=call.body or None
        )

    def paid(self, dialect: str) -> PaymentResult:
        if dialect == "native":
            portal = Portal(self.home)
            token = portal.request(self.clock, reference="COMMANDE0001")
            call = HttpCall("POST", "/v1/payments", headers={"content-type": "application/jose"}, body=token.encode())
        else:
            call = SAMPLES[dialect]("ORDER0000001", self.clock.now())
        assert self.send(call).status_code < 400
        with self.parts.store.reading() as tx:
            newest = tx.payments.newest(1)[0].public_id
        return pay(self.parts, self.parts.checkout.paying.show(newest).result)


def native(verb: str) -> Ask:
    def ask(scene: Scene, who: str, target: Target) -> HttpCall:
        portal = Portal(scene.home, "jvs-demo" if who == "other" else "mairie-demo")
        if verb in ("show", "find"):
            headers = portal.bearer if who != "nobody" else {}
            path = f"/v1/payments/{target.payment}" if verb == "show" else "/v1/payments"
            return HttpCall("GET", path, "" if verb == "show" else f"reference={target.reference}", headers)
        claims: dict[str, Any] = {
            "iss": portal.merchant,
            "aud": "http://127.0.0.1:8000",
            "jti": f"{verb}-{who}-{target.number}",
        }
        now = int(scene.clock.now().timestamp())
        claims |= {"iat": now, "exp": now + 300, "payment": target.payment}
        token = portal.sign(claims | ({"amount": 100} if verb == "refunds" else {}))
        token = token[:-8] + "AAAAAAAA" if who == "nobody" else token
        path = f"/v1/payments/{target.payment}/{verb}"
        return HttpCall("POST", path, headers={"content-type": "application/jose"}, body=token.encode())

    return ask


def payline(operation: str, name: str, api: str = "DirectPaymentAPI") -> Ask:
    def ask(_scene: Scene, who: str, target: Target) -> HttpCall:
        value = {"token": target.handle, "orderRef": target.reference}.get(name, target.number)
        more = ""
        if operation in ("doCapture", "doRefund", "doReset"):
            amount = (
                "<i:amount>100</i:amount>"
                if operation == "doReset"
                else "<i:payment><o:amount>100</o:amount></i:payment>"
            )
            more = "" if operation == "doCapture" else amount
        keys = {
            "owner": b"1234567890:DJMESHXYou6LmjQFdH",
            "other": b"1234567899:TWINXYou6LmjQFdHDJME",
            "nobody": b"0:0",
        }
        body = (
            f'<e:Envelope xmlns:e="{SOAP}"><e:Body><i:{operation}Request xmlns:i="http://impl.ws.payline.experian.com" '
            f'xmlns:o="http://obj.ws.payline.experian.com"><i:version>26</i:version><i:{name}>{value}</i:{name}>{more}'
            f"</i:{operation}Request></e:Body></e:Envelope>"
        )
        who_is = base64.b64encode(keys[who]).decode()
        headers = {"authorization": f"Basic {who_is}", "content-type": "text/xml"}
        return HttpCall("POST", f"/V4/services/{api}", headers=headers, body=body.encode())

    return ask


def systempay(service: str) -> Ask:
    def ask(_scene: Scene, who: str, target: Target) -> HttpCall:
        keys = {"owner": "12345678:testpassword_DEMO", "other": "11223344:testpassword_TWIN", "nobody": "12345678:no"}
        members = {"uuid": target.handle} | ({"amount": 100} if "Refund" in service else {})
        who_is = base64.b64encode(keys[who].encode()).decode()
        headers = {"authorization": f"Basic {who_is}", "content-type": "application/json"}
        return HttpCall("POST", f"/api-payment/V4/{service}", headers=headers, body=json.dumps(members).encode())

    return ask


def spplus(action: str, *names: str) -> Ask:
    def ask(_scene: Scene, who: str, target: Target) -> HttpCall:
        key = MerchantKey.read("58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79")
        siret = "00000000000002-01" if who == "other" else "00000000000001-01"
        told = {
            "reference": target.reference,
            "refcde": target.reference,
            "refsfp": refsfp(target.number),
            "mnt": "1.00",
        }
        values = {name: told[name] for name in names}
        signature = key.sign((action + siret[:14] + "".join(values.values())).encode())
        signature = "0" * 40 if who == "nobody" else signature
        asked = {"action": action, "siret": siret, **values, "hmac": signature}
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        return HttpCall("GET", "/administration/spadm/spadminservlet", query)

    return ask


def payfip(_scene: Scene, _who: str, target: Target) -> HttpCall:
    operation = (
        f'<p:recupererDetailPaiementSecurise xmlns:p="{PAYFIP}"><arg0><idOp>{target.handle}</idOp></arg0>'
        "</p:recupererDetailPaiementSecurise>"
    )
    body = f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{operation}</e:Body></e:Envelope>'
    return HttpCall("POST", "/tpa/services/securite", body=body.encode())


# Every way a merchant can name a payment: the address, how to ask, and a word of the answer its owner gets.
NAMED: list[tuple[str, str, Ask, str]] = [
    ("native", "/v1/payments/<payment>", native("show"), '"paid"'),
    ("native", "/v1/payments", native("find"), '"paid"'),
    ("native", "/v1/payments/<payment>/cancel", native("cancel"), "payment_over"),
    ("native", "/v1/payments/<payment>/refunds", native("refunds"), '"refunded_amount":100'),
    ("payline", "/V4/services/<api>", payline("getWebPaymentDetails", "token", "WebPaymentAPI"), "00000"),
    ("payline", "/V4/services/<api>", payline("getTransactionDetails", "transactionId"), "00000"),
    ("payline", "/V4/services/<api>", payline("getTransactionDetails", "orderRef"), "00000"),
    ("payline", "/V4/services/<api>", payline("doRefund", "transactionID"), "00000"),
    ("payline", "/V4/services/<api>", payline("doReset", "transactionID"), "code>"),
    ("payline", "/V4/services/<api>", payline("doCapture", "transactionID"), "code>"),
    ("systempay", "/api-payment/V4/<group>/<service>", systempay("Transaction/Get"), "SUCCESS"),
    ("systempay", "/api-payment/V4/<group>/<service>", systempay("Transaction/CancelOrRefund"), "SUCCESS"),
    ("spplus", "/administration/spadm/spadminservlet", spplus("etatpaiement", "reference"), "TERMINE"),
    ("spplus", "/administration/spadm/spadminservlet", spplus("etattrans", "refcde"), "TERMINE"),
    ("spplus", "/administration/spadm/spadminservlet", spplus("informationsTransaction", "refcde"), "TERMINE"),
    ("spplus", "/administration/spadm/spadminservlet", spplus("paiement", "reference", "refsfp", "mnt"), "spadmin"),
    ("spplus", "/administration/spadm/spadminservlet", spplus("annulation", "reference", "refsfp"), "spadmin"),
    (
        "spplus",
        "/administration/spadm/spadminservlet",
        spplus("remboursement", "reference", "refsfp", "mnt"),
        "spadmin",
    ),
]
# The same view at another address.
TWIN_ADDRESSES = {
    "/services/<api>": "/V4/services/<api>",
    "/administration_distante/adminADistance.do": "/administration/spadm/spadminservlet",
    "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService": "/tpa/services/securite",
}
# Nobody is authenticated there; the name is the secret.
UNSIGNED = {"/tpa/services/securite"}


@pytest.fixture
def home(home: Path) -> Path:
    book = home / "config/merchants.toml"
    book.write_text(book.read_text("utf-8") + TWINS, "utf-8")
    return home


@pytest.fixture
def scene(client: FlaskClient, parts: Parts, home: Path, clock: Clock) -> Scene:
    return Scene(client, parts, home, clock)


def rules(app: Flask) -> set[str]:
    return {rule.rule for rule in app.url_map.iter_rules() if not rule.rule.startswith(TEST_KIT)}


def test_every_address_is_classed(app: Flask) -> None:
    named = {rule for _, rule, _, _ in NAMED} | TWIN_ADDRESSES.keys() | UNSIGNED

    assert rules(app) == PUBLIC | OPENING | BY_TOKEN | BY_HANDLE | named
    assert set(app.view_functions) == {rule.endpoint for rule in app.url_map.iter_rules()}


def test_a_twin_address_is_the_same_view(app: Flask) -> None:
    views = {rule.rule: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()}
    for twin, known in TWIN_ADDRESSES.items():
        # Both are the one function of the entry, given their dialect.
        assert repr(views[twin]) == repr(views[known]), twin


def read(answer: TestResponse) -> str:
    """Read an answer in whatever its protocol writes."""
    return str(answer.data, "utf-8", "replace")


def facts(parts: Parts) -> list[Any]:
    """Give all that is known of payments and money, to compare."""
    with parts.store.engine.connect() as db:
        tables = (t.payment, t.attempt, t.refund, t.ledger, t.event, t.operation, t.notice, t.debt)
        return [sorted(map(repr, db.execute(select(table)))) for table in tables]


def test_not_yours_is_not_there(scene: Scene) -> None:
    asked = 0
    paid = {dialect: scene.paid(dialect) for dialect in ("native", "payline", "systempay", "spplus")}
    before = facts(scene.parts)
    for dialect, rule, ask, _ in NAMED:
        target = Target.of(paid[dialect])
        for who in ("other", "nobody"):
            theirs, missing = (scene.send(ask(scene, who, one)) for one in (target, target.missing))

            told = (dialect, rule, who, read(theirs), read(missing))
            assert (theirs.status_code, len(theirs.data)) == (missing.status_code, len(missing.data)), told
            assert not any(fact in read(theirs) for fact in ("famille@example.org", "4242", "9612", "96.12")), told
            asked += 2
    assert facts(scene.parts) == before
    for dialect, rule, ask, word in NAMED:
        answer = scene.send(ask(scene, "owner", Target.of(paid[dialect])))
        assert word in read(answer), (dialect, rule, read(answer))
        asked += 1
    record("promise 20", asked=asked, leaks=0)


def test_a_name_that_is_a_secret_is_known_or_not(scene: Scene, app: Flask) -> None:
    """A forged token, a token of a payment that is gone, and a name nobody drew: all the same, and nothing is told."""
    payfip_paid, payline_paid = scene.paid("payfip"), scene.paid("payline")
    links = app.extensions["gateway"].links
    token = links.page_token(payline_paid.id)
    forged = token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")
    gone = links.page_token("pay_" + "0" * 24)
    for rule in sorted(BY_TOKEN):
        (method,) = {
            m for r in app.url_map.iter_rules() if r.rule == rule for m in r.methods or () if m in ("GET",)
        } or {"POST"}
        answers = [scene.client.open(rule.replace("<token>", one), method=method) for one in (forged, gone)]
        assert len({(one.status_code, len(one.data)) for one in answers}) == 1, rule
        assert answers[0].status_code in (400, 404), rule
    known, unknown = (
        scene.send(payfip(scene, "", one)) for one in (Target.of(payfip_paid), Target.of(payfip_paid).missing)
    )
    assert "resultrans" in known.text
    assert "P1" in unknown.text
    assert "9612" not in unknown.text
    for path in ("/v2/?token=", "/webpayment/step2.do?token=", "/tpa/paiementws.web?idop="):
        result = payfip_paid if "idop" in path else payline_paid
        assert scene.client.get(path + result.handle).status_code == 303 or "idop" in path
        assert scene.client.get(path + Target.of(result).missing.handle).status_code in (400, 404)
