"""The PayFiP web service with bytes alone: envelopes in, envelopes out, and every moment of an operation's life."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.core.errors import BadRequest, GatewayError, NotFound, RequestConflict, SettingsError, StoreBusy
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Event, PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import (
    Departure,
    ErrorPage,
    Find,
    House,
    HttpCall,
    HttpReply,
    LookUp,
    Open,
    Resume,
    Say,
    Try,
    Which,
)
from gateway.dialects.payfip import PayfipDialect
from gateway.dialects.payfip.dialect import DETAIL
from gateway.dialects.treasury import Anomalies, Anomaly
from gateway.settings.merchant import Merchant

NOW = datetime(2026, 7, 4, 11, 25, tzinfo=UTC)
ORIGIN = "https://pay.example.org"
# The drawn bytes count up from zero, so that the name of the operation is known.
HOUSE = House(ORIGIN, ZoneInfo("Europe/Paris"), loopback_allowed=True, draw=lambda n: bytes(range(n)))
IDOP = "00010203-0405-4607-8809-0a0b0c0d0e0f"

SERVICE = "/tpa/services/securite"
GUIDE_SERVICE = "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService"
PAGE_PATH = "/tpa/paiementws.web"
PAGE = "https://pay.example.org/p/secret"
NS_S = (
    "http://securite.service.tpa.cp.finances.gouv.fr/services/mas_securite/contrat_paiement_securise"
    "/PaiementSecuriseService"
)
NS_Q = "http://securite.service.tpa.cp.finances.gouv.fr/requete"
NS_P = "http://securite.service.tpa.cp.finances.gouv.fr/reponse"

VECTORS = Path(__file__).parent / "vectors/payfip"

GOOD = {
    "exer": "2026",
    "mel": "parent@example.org",
    "montant": "09612",
    "numcli": "102030",
    "objet": "Cantine de novembre",
    "refdet": "X960030101000001317",
    "saisie": "T",
    "urlnotif": "http://127.0.0.1:8001/notif",
    "urlredirect": "http://127.0.0.1:8001/retour?a=1&b=2",
}


def vector(name: str) -> bytes:
    return (VECTORS / f"{name}.xml").read_bytes().removesuffix(b"\n")


def merchant(protocol: Mapping[str, object] | None = None, **changes: object) -> Merchant:
    facts = {
        "id": "payfip-demo",
        "name": "Mairie & écoles",
        "service": "Régie périscolaire",
        "dialect": "payfip",
        "protocol": {"numcli": "102030", "activity": "Enfance", **(protocol or {})},
        **changes,
    }
    return Merchant.model_validate(facts)


def dialect(one: Merchant | None = None, house: House = HOUSE) -> PayfipDialect:
    one = one or merchant()
    return PayfipDialect({one.id: one}, house)


def post(body: bytes, path: str = SERVICE, **headers: str) -> HttpCall:
    return HttpCall("POST", path, headers=headers, body=body)


def enveloped(operation: str, members: Mapping[str, str]) -> bytes:
    envelope = etree.Element("{http://schemas.xmlsoap.org/soap/envelope/}Envelope")
    body = etree.SubElement(envelope, "{http://schemas.xmlsoap.org/soap/envelope/}Body")
    argument = etree.SubElement(etree.SubElement(body, f"{{{NS_S}}}{operation}"), "arg0")
    for name, value in members.items():
        etree.SubElement(argument, name).text = value
    return etree.tostring(envelope)


def create(members: Mapping[str, str], spoken: PayfipDialect | None = None) -> Open:
    command = (spoken or dialect()).read(post(enveloped("creerPaiementSecurise", members)), NOW)
    assert isinstance(command, Open)
    return command


def answered(body: bytes, spoken: PayfipDialect | None = None) -> HttpReply:
    """Give what a program is answered that sends ``body`` and is refused."""
    spoken, call = spoken or dialect(), post(body)
    with pytest.raises(GatewayError) as caught:
        spoken.read(call, NOW)
    reply = spoken.refused(call, caught.value)
    assert isinstance(reply, HttpReply)
    return reply


def code_of(reply: HttpReply) -> str:
    assert reply.status == 500
    return etree.fromstring(reply.body).findtext(".//code") or ""


def result(status: Status = Status.PAID, *kinds: str, **changes: object) -> PaymentResult:
    attempt = AttemptResult(
        id="att_1",
        number=1,
        status=AttemptStatus.CAPTURED if status is Status.PAID else AttemptStatus.DECLINED,
        scheme="cb",
        bin="497886",
        last4="1312",
        started_at=NOW,
        authorisation_number="A55A",
    )
    whole = PaymentResult(
        id="pay_1",
        number="0000000042",
        request=create(GOOD).request,
        payee=merchant().payee,
        status=status,
        created_at=NOW - timedelta(minutes=3),
        expires_at=NOW + timedelta(minutes=27),
        paid_at=NOW if status is Status.PAID else None,
        ended_at=NOW,
        attempts=(attempt,),
        events=tuple(event(kind) for kind in kinds),
        dialect="payfip",
        handle=IDOP,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # a test names the fields it changes


def event(kind: str, at: datetime = NOW) -> Event:
    return Event("evt_1", 5, kind, at)


def look_up(told: PaymentResult, now: datetime = NOW, spoken: PayfipDialect | None = None) -> HttpReply:
    """Look an operation up as a program does, and give the reply."""
    spoken, call = spoken or dialect(), post(enveloped("recupererDetailPaiementSecurise", {"idOp": IDOP}))
    command = spoken.read(call, now)
    assert isinstance(command, LookUp)
    assert command.which == Which(frozenset({"payfip-demo"}), handle=IDOP)
    assert not command.is_receipt
    try:
        return spoken.found(command, told, PAGE, now)
    except Anomaly as anomaly:
        reply = spoken.refused(call, anomaly)
        assert isinstance(reply, HttpReply)
        return reply


def arrive(told: PaymentResult, now: datetime = NOW) -> HttpReply | ErrorPage:
    """Bring the payer's browser to the page."""
    spoken, call = dialect(), HttpCall("GET", PAGE_PATH, f"idop={IDOP}")
    command = spoken.read(call, now)
    assert isinstance(command, Resume)
    try:
        return spoken.found(command, told, PAGE, now)
    except Anomaly as anomaly:
        return spoken.refused(call, anomaly)


def test_a_request_becomes_a_payment_with_an_operation_of_its_own() -> None:
    command = create(GOOD)

    assert command.handle == IDOP
    assert not command.by_browser
    assert not command.resumes
    assert not command.is_activation
    assert command.replaces == {Status.CREATED, Status.OPENED}
    assert command.spares == {"card", "challenge", "review"}
    assert command.request.amount == Money(9612, "EUR")
    assert (command.request.reference, command.request.fiscal_year) == ("X960030101000001317", "2026")
    assert command.request.notify_url == "http://127.0.0.1:8001/notif"
    assert command.request.return_url == "http://127.0.0.1:8001/retour?a=1&b=2"
    assert command.request.wire == {name: value for name, value in GOOD.items() if not name.startswith("url")}


def test_the_same_request_again_is_another_wish() -> None:
    drawn = iter(range(256))
    spoken = dialect(house=replace(HOUSE, draw=lambda n: bytes([next(drawn)]) * n))

    first, second = create(GOOD, spoken), create(GOOD, spoken)

    assert first.handle != second.handle
    assert first.signed.digest != second.signed.digest


def test_the_operation_is_answered_byte_for_byte() -> None:
    reply = dialect().opened(create(GOOD), result(Status.CREATED), PAGE, NOW)

    assert (reply.status, reply.headers) == (200, {"Content-Type": "text/xml;charset=utf-8"})
    assert reply.body == vector("created")


@pytest.mark.parametrize("name", ["create_zeep", "create_raw", "create_namespaced"])
@pytest.mark.parametrize("around", [b"", b"\n   \t\r\n"], ids=["bare", "blanks around"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/xml"},
        {"content-type": "text/xml; charset=utf-8", "soapaction": '""'},
        {"content-type": "application/x-www-form-urlencoded", "soapaction": ""},
    ],
    ids=["none", "plain", "charset", "of a form"],
)
@pytest.mark.parametrize("path", [SERVICE, GUIDE_SERVICE])
def test_envelopes_of_published_clients_are_understood(
    name: str, around: bytes, headers: dict[str, str], path: str
) -> None:
    command = dialect().read(post(around + vector(name) + around, path, **headers), NOW)

    assert isinstance(command, Open)
    assert (command.request.reference, command.request.amount) == ("X960030101000001317", Money(9612))
    assert command.request.return_url == "http://127.0.0.1:8001/retour?a=1&b=2"
    assert command.request.wire.get("objet") == (None if name == "create_raw" else "Cantine de novembre")


def test_members_stand_in_any_order() -> None:
    for order in list(permutations(GOOD))[::20_000]:
        assert create({name: GOOD[name] for name in order}).request.wire == create(GOOD).request.wire


def test_blanks_around_members_are_the_clients_indentation() -> None:
    padded = {name: f"\n    {value}\t\r\n  " for name, value in GOOD.items()}

    assert create(padded).request == create(GOOD).request


def test_blanks_of_a_label_that_is_not_indented_are_given_back() -> None:
    request = create({**GOOD, "objet": "  Cantine "}).request

    assert (request.wire["objet"], request.label) == ("  Cantine ", "Cantine")


def test_an_idop_is_found_with_blanks_around_it() -> None:
    asked = Which(frozenset({"payfip-demo"}), handle=IDOP)
    body = enveloped("recupererDetailPaiementSecurise", {"idOp": f"\n  {IDOP}\n"})

    assert dialect().read(post(body), NOW) == LookUp(asked)
    assert dialect().read(HttpCall("GET", PAGE_PATH, f"idop=%20{IDOP}%0A"), NOW) == Resume(asked)


@pytest.mark.parametrize("name", ["exer", "objet"])
def test_year_and_label_may_be_left_out(name: str) -> None:
    command = create({key: value for key, value in GOOD.items() if key != name})

    assert name not in command.request.wire


FAULTS = {
    "S1 missing": ({"saisie": ""}, "S1"),
    "S1 by url": ({"saisie": "A"}, "S1"),
    "S1 by form": ({"saisie": "M"}, "S1"),
    "T1": ({"numcli": "12345X"}, "T1"),
    "T1 missing": ({"numcli": ""}, "T1"),
    "T2": ({"numcli": "999999"}, "T2"),
    "E1": ({"exer": "20"}, "E1"),
    "R1": ({"refdet": ""}, "R1"),
    "R3 four signs": ({"refdet": "ABCD"}, "R3"),
    "R3 blank inside": ({"refdet": "ABC 123"}, "R3"),
    "A1": ({"mel": ""}, "A1"),
    "A2": ({"mel": "john.doeexample.com"}, "A2"),
    "A2 before an absurd amount": ({"mel": "x", "montant": "9990000001"}, "A2"),
    "M1": ({"montant": "12.5"}, "M1"),
    "M2": ({"montant": ""}, "M2"),
    "M3": ({"montant": "99"}, "M3"),
    "M5": ({"montant": "9990000001"}, "M5"),
    "O1": ({"objet": "Éclairage"}, "O1"),
    "N1 missing": ({"urlnotif": ""}, "N1"),
    "N1 no address": ({"urlnotif": "http:/ville.fr"}, "N1"),
    "N1 scheme": ({"urlnotif": "ftp://ville.fr/"}, "N1"),
    "N1 long": ({"urlnotif": "https://ville.fr/" + "a" * 234}, "N1"),
    "D1 missing": ({"urlredirect": ""}, "D1"),
    "D1 credentials": ({"urlredirect": "https://a@ville.fr/"}, "D1"),
    "D1 fragment": ({"urlredirect": "https://ville.fr/#a"}, "D1"),
    "D1 script": ({"urlredirect": "javascript:alert(1)"}, "D1"),
    "O before N": ({"objet": "/", "urlnotif": ""}, "O1"),
    "N before D": ({"urlnotif": "", "urlredirect": ""}, "N1"),
}


@pytest.mark.parametrize(("changes", "code"), FAULTS.values(), ids=FAULTS)
def test_the_first_broken_rule_is_told_as_a_fault(changes: dict[str, str], code: str) -> None:
    reply = answered(enveloped("creerPaiementSecurise", {**GOOD, **changes}))

    assert code_of(reply) == code
    assert etree.fromstring(reply.body).findtext(".//libelle") == Anomalies()[code].libelle


@pytest.mark.parametrize(
    ("changes", "name"), [({"refdet": "ABCD"}, "fault_r3"), ({"mel": "john.doeexample.com"}, "fault_a2")]
)
def test_recorded_faults_are_given_byte_for_byte(changes: dict[str, str], name: str) -> None:
    reply = answered(enveloped("creerPaiementSecurise", {**GOOD, **changes}))

    assert (reply.status, reply.headers) == (500, {"Content-Type": "text/xml;charset=utf-8"})
    assert reply.body == vector(name)


def test_a_fault_explains_itself_where_the_merchant_wants_it() -> None:
    spoken = dialect(merchant({"explains_faults": True}))

    reply = answered(enveloped("creerPaiementSecurise", {**GOOD, "objet": "a/<b"}), spoken)

    assert "character 2 is '/'" in (etree.fromstring(reply.body).findtext(".//descriptif") or "")


@pytest.mark.parametrize(("letter", "is_activation"), [("T", False), ("X", True), ("W", False)])
def test_a_client_in_test_mode_may_send_every_letter(letter: str, *, is_activation: bool) -> None:
    command = create({**GOOD, "saisie": letter})

    assert (command.request.wire["saisie"], command.is_activation) == (letter, is_activation)


def test_a_client_may_let_a_newer_operation_replace_an_open_page_but_no_code() -> None:
    assert create(GOOD, dialect(merchant({"replaces_open": True}))).spares == {"challenge", "review"}


@pytest.mark.parametrize(
    ("operation", "members"),
    [("creerPaiementSecurise", {**GOOD, "numcli": "004200"}), ("recupererDetailClient", {"numCli": "004200"})],
)
def test_a_client_of_the_variant_by_url_has_no_access_to_the_service(
    operation: str, members: Mapping[str, str]
) -> None:
    by_url = merchant({"numcli": "004200"}, id="sistec-demo", dialect="tipi")
    spoken = dialect(house=replace(HOUSE, book={"sistec-demo": by_url, "payfip-demo": merchant()}))

    assert code_of(answered(enveloped(operation, members), spoken)) == "T4"
    assert code_of(answered(enveloped(operation, members))) == "T2"


def test_in_production_there_is_no_test_letter_and_addresses_are_registered() -> None:
    live = dialect(
        merchant(mode="production", callback_urls=("https://ville.fr/n",), return_urls=("https://ville.fr/r",))
    )
    asked = {**GOOD, "saisie": "W", "urlnotif": "https://ville.fr/n/1", "urlredirect": "https://ville.fr/r?a=b"}

    assert create(asked, live).request.return_url == "https://ville.fr/r?a=b"
    for change, code in (
        ({"saisie": "T"}, "S1"),
        ({"urlnotif": "https://ville.fr/r"}, "N1"),
        ({"urlredirect": "https://ville.fr/n"}, "D1"),
    ):
        assert code_of(answered(enveloped("creerPaiementSecurise", {**asked, **change}), live)) == code


def test_the_web_services_ceiling_is_above_that_of_the_url() -> None:
    rich = dialect(merchant(amount_cents_max=99_999_999))

    assert create({**GOOD, "montant": "9999999"}, rich).request.amount == Money(9_999_999)
    reply = answered(enveloped("creerPaiementSecurise", {**GOOD, "montant": "10000000"}), rich)
    assert code_of(reply) == "M5"


def test_the_client_detail_is_answered_byte_for_byte() -> None:
    command = dialect().read(post(enveloped("recupererDetailClient", {"numCli": "102030"})), NOW)

    assert isinstance(command, Say)
    assert (command.reply.status, command.reply.body) == (200, vector("client"))


@pytest.mark.parametrize(
    ("members", "code"), [({"numCli": "999999"}, "T2"), ({"numCli": ""}, "T1"), ({"numcli": "102030"}, "T1")]
)
def test_the_client_detail_of_nobody_is_a_fault(members: dict[str, str], code: str) -> None:
    assert code_of(answered(enveloped("recupererDetailClient", members))) == code


@pytest.mark.parametrize(
    "members",
    [{}, {"idop": IDOP}, {"idOp": ""}, {"idOp": IDOP.upper()}, {"idOp": "' OR 1=1"}, {"idOp": IDOP + "\u00a0"}],
)
def test_what_is_no_idop_is_answered_like_an_unknown_one(members: dict[str, str]) -> None:
    assert answered(enveloped("recupererDetailPaiementSecurise", members)).body == vector("fault_p1")


def test_an_operation_the_core_does_not_know_is_answered_byte_for_byte() -> None:
    assert dialect().refused(post(b""), NotFound("no such payment")) == HttpReply(
        500, {"Content-Type": "text/xml;charset=utf-8"}, vector("fault_p1")
    )


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (Status.PAID, "detail_p"),
        (Status.FAILED, "detail_r"),
        (Status.CANCELLED, "detail_a"),
        (Status.EXPIRED, "detail_a"),
    ],
)
def test_an_outcome_is_answered_byte_for_byte(status: Status, name: str) -> None:
    reply = look_up(result(status, "payment.created", "payment.opened"))

    assert (reply.status, reply.body) == (200, vector(name))


def test_a_refund_changes_nothing_of_the_outcome() -> None:
    assert look_up(result(refunded_cents=9612)).body == vector("detail_p")


def test_members_that_were_not_sent_are_not_answered() -> None:
    request = create({name: value for name, value in GOOD.items() if name not in ("exer", "objet")}).request

    reply = look_up(result(request=request))

    names = [str(child.tag) for child in etree.fromstring(reply.body).iterfind(".//return/*")]
    assert names == [name for name in DETAIL if name not in ("exer", "objet")]


@pytest.mark.parametrize("status", [Status.CREATED, Status.OPENED, Status.WORKING])
def test_a_live_operation_has_no_result_yet(status: Status) -> None:
    reply = look_up(result(status))

    assert (reply.status, reply.body) == (500, vector("fault_p5"))


# Created at noon in Paris; the night that purges it begins at 1:00 UTC.
NOON = datetime(2026, 7, 4, 10, 0, tzinfo=UTC)
NIGHT = datetime(2026, 7, 5, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXPIRED, Status.CANCELLED])
def test_what_was_never_opened_is_unknown_until_the_night_and_purged_then(status: Status) -> None:
    told = result(status, "payment.created", created_at=NOON, attempts=())

    assert look_up(told, NIGHT - timedelta(seconds=1)).body == vector("fault_p5")
    assert look_up(told, NIGHT).body == vector("fault_p1")


def test_the_night_spares_what_may_still_be_opened() -> None:
    told = result(Status.CREATED, created_at=NIGHT - timedelta(minutes=14), attempts=())

    assert look_up(told, NIGHT + timedelta(hours=2)).body == vector("fault_p5")
    assert look_up(told, NIGHT + timedelta(days=1)).body == vector("fault_p1")


@pytest.mark.parametrize("status", [Status.PAID, Status.FAILED, Status.CANCELLED, Status.EXPIRED])
def test_what_was_opened_stays_readable_for_a_year(status: Status) -> None:
    told = result(status, "payment.opened")

    assert look_up(told, told.created_at + timedelta(days=365)).status == 200
    assert look_up(told, told.created_at + timedelta(days=365, seconds=1)).body == vector("fault_p1")


def test_the_payer_is_sent_to_the_page_within_fifteen_minutes() -> None:
    told = result(Status.CREATED, created_at=NOW)

    reply = arrive(told, NOW + timedelta(minutes=15))

    assert reply == HttpReply(303, {"Location": PAGE, "Cache-Control": "no-store"})


def code_of_page(page: HttpReply | ErrorPage) -> str:
    assert isinstance(page, ErrorPage)
    assert (page.status, page.wording) == (400, Anomalies()[page.code].libelle)
    return page.code


def test_the_payer_who_comes_too_late_is_told_so() -> None:
    told = result(Status.CREATED, created_at=NOW)

    assert code_of_page(arrive(told, NOW + timedelta(minutes=15, seconds=1))) == "P4"
    assert code_of_page(arrive(told, NOW + timedelta(days=1))) == "P1"


def test_a_page_that_was_opened_in_time_may_be_loaded_again() -> None:
    assert isinstance(arrive(result(Status.OPENED, created_at=NOW), NOW + timedelta(minutes=20)), HttpReply)


@pytest.mark.parametrize("status", [Status.PAID, Status.FAILED, Status.CANCELLED, Status.EXPIRED])
def test_an_operation_is_used_once(status: Status) -> None:
    assert code_of_page(arrive(result(status, "payment.opened"))) == "P3"


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "P2"), ("idop=", "P2"), ("idop=x", "P1"), (f"idop={IDOP}&idop={IDOP}", "P1"), (f"idop={IDOP}%00", "P1")],
)
def test_a_payer_without_a_right_idop_is_told_so(query: str, code: str) -> None:
    call = HttpCall("GET", PAGE_PATH, query)

    with pytest.raises(Anomaly) as caught:
        dialect().read(call, NOW)

    assert code_of_page(dialect().refused(call, caught.value)) == code


def test_a_payer_with_an_unknown_idop_is_told_so() -> None:
    assert code_of_page(dialect().refused(HttpCall("GET", PAGE_PATH, f"idop={IDOP}"), NotFound("none"))) == "P1"


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "call",
    [
        HttpCall("GET", PAGE_PATH, f"idop={IDOP}&reference=SO012&amount=96.12&return_url=%2Fp&data_set=x"),
        HttpCall("GET", PAGE_PATH, f"idOp={IDOP}"),
        HttpCall("POST", PAGE_PATH, "", FORM, f"idop={IDOP}&reference=SO012".encode()),
        HttpCall("POST", PAGE_PATH, f"idop={IDOP}", FORM, b""),
    ],
)
def test_a_payer_arrives_by_address_or_by_form(call: HttpCall) -> None:
    assert dialect().read(call, NOW) == Resume(Which(frozenset({"payfip-demo"}), handle=IDOP))


@pytest.mark.parametrize("flood", ["&".join(f"a{n}=1" for n in range(100)), "a&" * 5000])
def test_a_flood_of_parameters_is_refused(flood: str) -> None:
    call = HttpCall("GET", PAGE_PATH, flood)

    with pytest.raises(BadRequest) as caught:
        dialect().read(call, NOW)

    page = dialect().refused(call, caught.value)
    assert isinstance(page, ErrorPage)
    assert (page.status, page.code) == (400, "too_large")


def test_the_browser_goes_back_with_the_operations_name() -> None:
    plain = replace(create(GOOD).request, return_url="https://ville.fr/retour")

    assert dialect().returned(result(), NOW) == Departure(f"http://127.0.0.1:8001/retour?a=1&b=2&idop={IDOP}")
    assert dialect().returned(result(request=plain), NOW) == Departure(f"https://ville.fr/retour?idop={IDOP}")


def test_a_notification_names_the_operation_and_nothing_else() -> None:
    spoken = dialect()

    body = spoken.confirmed(result(), event("payment.succeeded"))
    call = spoken.delivery(result().recipient, Try("evt_1", body, 1, NOW))

    assert body == f"idop={IDOP}".encode()
    assert (call.method, call.url, call.body) == ("POST", "http://127.0.0.1:8001/notif", body)


@pytest.mark.parametrize(
    ("place", "url", "body"),
    [
        ("query", f"http://127.0.0.1:8001/notif?idOp={IDOP}", b""),
        ("both", f"http://127.0.0.1:8001/notif?idOp={IDOP}", f"idOp={IDOP}".encode()),
    ],
)
def test_a_client_may_read_another_key_in_another_place(place: str, url: str, body: bytes) -> None:
    spoken = dialect(merchant({"notify": place, "idop_key": "idOp"}))

    call = spoken.delivery(
        result().recipient, Try("evt_1", spoken.confirmed(result(), event("payment.succeeded")), 1, NOW)
    )

    assert (call.method, call.url, call.body) == ("POST", url, body)


@pytest.mark.parametrize(
    ("kind", "status", "letter"),
    [
        ("payment.succeeded", Status.PAID, "P"),
        ("payment.refused", Status.FAILED, "R"),
        ("payment.cancelled", Status.CANCELLED, "A"),
    ],
)
def test_what_the_payer_finished_is_told_at_once(kind: str, status: Status, letter: str) -> None:
    told = result(status, "payment.opened")

    assert dialect().due(told, event(kind)) == NOW
    assert dialect().code(told, event(kind)) == f"resultrans={letter}"


def test_what_came_to_nothing_is_told_two_hours_after_it_was_asked_for() -> None:
    abandoned = result(Status.EXPIRED, "payment.opened", created_at=NOW)
    replaced = result(Status.CANCELLED, "payment.created", created_at=NOW)
    two_hours = NOW + timedelta(hours=2)

    assert dialect().due(abandoned, event("payment.expired", NOW + timedelta(minutes=30))) == two_hours
    assert dialect().due(replaced, event("payment.cancelled", NOW)) == two_hours
    late = NOW + timedelta(hours=5)
    assert dialect().due(abandoned, event("payment.expired", late)) == late
    assert dialect().code(replaced, event("payment.cancelled")) == "P5"


@pytest.mark.parametrize("kind", ["payment.created", "payment.opened", "attempt.declined", "payment.refunded"])
def test_nothing_else_is_told(kind: str) -> None:
    assert dialect().due(result(), event(kind)) is None
    assert dialect().code(result(), event(kind)) == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestConflict("debt_already_paid", "paid"), "R2"),
        (RequestConflict("debt_locked", "until 10:02 UTC"), "R2"),
    ],
)
def test_a_debt_that_is_paid_or_being_paid_is_told_by_its_code(error: GatewayError, code: str) -> None:
    reply = dialect().refused(post(b""), error)

    assert isinstance(reply, HttpReply)
    assert code_of(reply) == code


@pytest.mark.parametrize(("explains", "told"), [(True, "until 10:02 UTC"), (False, "")])
def test_a_client_that_wants_to_know_is_told_how_long_a_debt_is_held(*, explains: bool, told: str) -> None:
    spoken = dialect(merchant({"explains_faults": explains}))
    call = post(enveloped("creerPaiementSecurise", GOOD))

    reply = spoken.refused(call, RequestConflict("debt_locked", "until 10:02 UTC"))

    assert isinstance(reply, HttpReply)
    assert (etree.fromstring(reply.body).findtext(".//descriptif") or "") == told


@pytest.mark.parametrize("error", [StoreBusy("locked"), GatewayError("boom")])
def test_a_technical_failure_is_told_as_one(error: GatewayError) -> None:
    reply = dialect().refused(post(b""), error)

    assert isinstance(reply, HttpReply)
    assert (reply.status, reply.body) == (500, vector("fault_999"))


def test_an_unknown_operation_is_the_clients_fault() -> None:
    reply = answered(enveloped("payerTout", {}))

    assert (reply.status, reply.body) == (500, vector("fault_client"))


BILLION_LAUGHS = b'<!DOCTYPE a [<!ENTITY b "c">]><S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>&b;</S:Body></S:Envelope>'
HOSTILE = {
    "nothing": b"",
    "no XML": b"idop=1",
    "cut short": vector("create_zeep")[:-20],
    "no envelope": b"<a/>",
    "empty body": b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body/></S:Envelope>',
    "entities": BILLION_LAUGHS,
    "endless": vector("create_zeep") + b" " * 10 + b"<!--" + b"a" * 70_000 + b"-->",
    "Latin-1 without saying so": vector("create_zeep").replace(b"Cantine", b"Cr\xe8che"),
    "member twice": vector("create_zeep").replace(b"<montant>", b"<montant>100</montant><montant>"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_message_that_is_none_is_the_clients_fault(body: bytes) -> None:
    reply = answered(body)

    root = etree.fromstring(reply.body)
    assert reply.status == 500
    assert root.findtext(".//faultcode") == "S:Client"
    assert root.findtext(".//faultstring")
    assert root.find(".//detail") is None


@given(st.text(max_size=60))
def test_any_value_of_any_member_is_taken_or_refused_by_a_code(text: str) -> None:
    try:
        body = enveloped("creerPaiementSecurise", {**GOOD, "refdet": text, "objet": text})
    except ValueError:
        return  # not writable in XML
    try:
        command = dialect().read(post(body), NOW)
    except Anomaly as anomaly:
        reply = dialect().refused(post(body), anomaly)
        assert isinstance(reply, HttpReply)
        told = code_of(reply)
    else:
        assert isinstance(command, Open)
        told = command.request.wire["refdet"]

    assert told in {"R1", "R3", text}


def described(query: str, path: str = SERVICE, method: str = "GET") -> bytes:
    command = dialect().read(HttpCall(method, path, query), NOW)
    assert isinstance(command, Say)
    assert (command.reply.status, command.reply.headers["Content-Type"]) == (200, "text/xml;charset=utf-8")
    return command.reply.body


@pytest.mark.parametrize("query", ["wsdl", "WSDL", "Wsdl", "wsdl="])
@pytest.mark.parametrize("path", [SERVICE, GUIDE_SERVICE])
def test_the_description_publishes_our_own_address(query: str, path: str) -> None:
    root = etree.fromstring(described(query, path))
    soap, xsd = "{http://schemas.xmlsoap.org/wsdl/soap/}", "{http://www.w3.org/2001/XMLSchema}"

    assert [address.get("location") for address in root.iter(f"{soap}address")] == [ORIGIN + SERVICE]
    assert [(one.get("namespace"), one.get("schemaLocation")) for one in root.iter(f"{xsd}import")] == [
        (NS_S, f"{ORIGIN}{SERVICE}?xsd=1"),
        (NS_Q, f"{ORIGIN}{SERVICE}?xsd=2"),
        (NS_P, f"{ORIGIN}{SERVICE}?xsd=3"),
    ]


def test_the_description_names_what_clients_ask_for() -> None:
    root = etree.fromstring(described("wsdl"))
    wsdl, soap = "{http://schemas.xmlsoap.org/wsdl/}", "{http://schemas.xmlsoap.org/wsdl/soap/}"
    operations = ["creerPaiementSecurise", "recupererDetailClient", "recupererDetailPaiementSecurise"]
    faults = [
        "FonctionnelleErreur",
        "TechDysfonctionnementErreur",
        "TechIndisponibiliteErreur",
        "TechProtocolaireErreur",
    ]

    assert (root.get("name"), root.get("targetNamespace")) == ("PaiementSecuriseService", NS_S)
    named = {kind: root.find(f".//{wsdl}{kind}") for kind in ("portType", "binding", "service", "port")}
    assert {kind: one.get("name") for kind, one in named.items() if one is not None} == {
        "portType": "PaiementSecuriseService",
        "binding": "PaiementSecuriseServicePortBinding",
        "service": "PaiementSecuriseService",
        "port": "PaiementSecuriseServicePort",
    }
    for one in root.iterfind(f"{wsdl}portType/{wsdl}operation"):
        assert [fault.get("name") for fault in one.iterfind(f"{wsdl}fault")] == faults
    assert [one.get("name") for one in root.iterfind(f"{wsdl}binding/{wsdl}operation")] == operations
    assert {one.get("soapAction") for one in root.iter(f"{soap}operation")} == {""}
    parts = {one.get("name"): [part.get("name") for part in one] for one in root.iterfind(f"{wsdl}message")}
    wrapped = [name for operation in operations for name in (operation, operation + "Response")]
    assert parts == {**{name: ["parameters"] for name in wrapped}, **{name: ["fault"] for name in faults}}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("folder", ["/tpa/services", "/tpa/services/mas_securite/contrat_paiement_securise"])
def test_schemas_are_found_by_number_and_by_their_old_names(number: int, folder: str) -> None:
    named = f"{folder}/PaiementSecuriseService_schema{number}.xsd"

    assert named in PayfipDialect.paths
    assert described("", named) == described(f"xsd={number}") == described(f"XSD={number}", GUIDE_SERVICE)
    assert etree.fromstring(described("", named)).get("targetNamespace") == (NS_S, NS_Q, NS_P)[number - 1]


@pytest.mark.parametrize("query", ["", "xsd=4", "xsd=", "xsd=1a", "x=wsdl", "a&" * 500])
def test_there_is_no_other_document(query: str) -> None:
    command = dialect().read(HttpCall("GET", SERVICE, query), NOW)

    assert isinstance(command, Say)
    assert command.reply.status == 404


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> etree.XMLSchema:
    """The published schemas, their imports resolved as a client would, and checked as a client would."""
    folder = tmp_path_factory.mktemp("schemas")
    for number in (1, 2, 3):
        text = described(f"xsd={number}").decode()
        for other in (2, 3):
            text = text.replace(f"{ORIGIN}{SERVICE}?xsd={other}", f"{other}.xsd")
        (folder / f"{number}.xsd").write_text(text, "utf-8")
    return etree.XMLSchema(etree.parse(folder / "1.xsd"))


ANSWERS = ["created", "client", "detail_p", "detail_r", "detail_a"]
FUNCTIONAL = ["fault_p1", "fault_p5", "fault_r3", "fault_a2", "fault_999"]


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_what_the_schema_promises(schema: etree.XMLSchema, name: str) -> None:
    schema.assertValid(etree.fromstring(vector(name))[0][0])


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_fault_details_hold_the_schemas_members(schema: etree.XMLSchema, name: str) -> None:
    detail = etree.fromstring(vector(name)).find(".//detail")

    assert detail is not None
    schema.assertValid(detail[0])


def test_the_schema_refuses_what_zeep_would(schema: etree.XMLSchema) -> None:
    wrapper = etree.fromstring(vector("detail_p"))[0][0]
    wrapper[0].append(wrapper[0][0])

    assert not schema.validate(wrapper)


def test_the_schema_takes_the_request_of_a_typed_client(schema: etree.XMLSchema) -> None:
    schema.assertValid(etree.fromstring(vector("create_zeep"))[0][0])


def test_no_payments_are_listed() -> None:
    with pytest.raises(NotFound):
        dialect().listed(Find(frozenset(), "x"), (), NOW)


def test_a_wrong_setting_is_named_with_its_place() -> None:
    with pytest.raises(SettingsError) as caught:
        dialect(merchant({"idop_key": "IDOP", "upper_case": True}))

    assert [fault.partition(": ")[0] for fault in caught.value.faults] == [
        "merchants.payfip-demo.protocol.idop_key",
        "merchants.payfip-demo.protocol.upper_case",
    ]
