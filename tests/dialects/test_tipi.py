"""TIPI by URL with bytes alone: what real portals send is taken, what breaks a rule is named by its code."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    BadRequest,
    DeliveryFailed,
    GatewayError,
    NotFound,
    RequestConflict,
    SettingsError,
    StoreBusy,
)
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Event, PaymentResult
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import ErrorPage, Find, House, HttpCall, HttpReply, LookUp, Open, Try, Which
from gateway.dialects.tipi import TipiDialect
from gateway.dialects.treasury import Anomalies
from gateway.settings.merchant import Merchant

NOW = datetime(2026, 7, 4, 11, 25, tzinfo=UTC)
HOUSE = House("https://pay.example.org", ZoneInfo("Europe/Paris"), loopback_allowed=True, draw=lambda n: b"\x07" * n)
PATH = "/tpa/paiement.web"
PAGE = "https://pay.example.org/p/secret"

REGIE = "006270"
ROLE_REFERENCE = "999999990000000000000"
TITRE_REFERENCE = "999900000000999999"

GOOD = {
    "numcli": REGIE,
    "exer": "2026",
    "refdet": "X960030101000001317",
    "objet": "Cantine de novembre",
    "montant": "09612",
    "mel": "parent@example.org",
    "urlcl": "http://127.0.0.1:8001/retour?idretour=3",
    "saisie": "T",
}


def merchant(name: str = "sistec", protocol: Mapping[str, object] | None = None, **changes: object) -> Merchant:
    facts = {"id": name, "name": "Mairie", "dialect": "tipi", "protocol": protocol or {"numcli": REGIE}, **changes}
    return Merchant.model_validate(facts)


def dialect(*merchants: Merchant, house: House = HOUSE) -> TipiDialect:
    return TipiDialect({one.id: one for one in merchants or (merchant(),)}, house)


def ledger(kind: str, reference: str, amount: int = 9612) -> TipiDialect:
    debt = {"reference": reference, "exer": "9999", "amount": amount, "label": "Taxe"}
    return dialect(merchant("titres", {"numcli": "004201", "kind": kind, "debts": [debt]}))


def ask(query: str, spoken: TipiDialect | None = None) -> Open:
    command = (spoken or dialect()).read(HttpCall("GET", PATH, query), NOW)
    assert isinstance(command, Open)
    return command


def refused(query: str, spoken: TipiDialect | None = None) -> ErrorPage:
    spoken = spoken or dialect()
    call = HttpCall("GET", PATH, query)
    with pytest.raises(BadRequest) as caught:
        spoken.read(call, NOW)
    page = spoken.refused(call, caught.value)
    assert isinstance(page, ErrorPage)
    return page


def with_(**changes: str) -> str:
    return urlencode({**GOOD, **changes})


def without(*names: str) -> str:
    return urlencode({name: value for name, value in GOOD.items() if name not in names})


def result(status: Status = Status.PAID, query: str | None = None, **changes: object) -> PaymentResult:
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
    request = ask(urlencode(GOOD) if query is None else query).request
    whole = PaymentResult(
        id="pay_1",
        number="0000000042",
        request=request,
        payee=merchant().payee,
        status=status,
        created_at=NOW - timedelta(minutes=3),
        expires_at=NOW + timedelta(minutes=27),
        paid_at=NOW if status is Status.PAID else None,
        ended_at=NOW,
        email="parent@example.org",
        attempts=(attempt,),
        dialect="tipi",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # a test names the fields it changes


def event(kind: str, at: datetime = NOW) -> Event:
    return Event("evt_1", 5, kind, at)


def test_a_request_becomes_a_payment_that_remembers_every_field_as_it_came() -> None:
    command = ask(with_(numcli="6270"))

    assert command.by_browser
    assert command.resumes
    assert (command.request.merchant, command.request.reference) == ("sistec", "X960030101000001317")
    assert command.request.amount == Money(9612, "EUR")
    assert command.request.lines[0].amount == Money(9612, "EUR")
    assert (command.request.fiscal_year, command.request.label) == ("2026", "Cantine de novembre")
    assert command.request.notify_url == "http://127.0.0.1:8001/retour?idretour=3"
    assert command.request.return_url == ""
    assert command.request.wire == {
        "numcli": "6270",
        "exer": "2026",
        "refdet": "X960030101000001317",
        "objet": "Cantine de novembre",
        "montant": "09612",
        "mel": "parent@example.org",
        "saisie": "T",
    }


def test_the_same_wish_has_the_same_digest_and_another_amount_another() -> None:
    assert ask(with_()).signed.digest == ask("&".join(reversed(with_().split("&")))).signed.digest
    assert ask(with_()).signed.digest != ask(with_(montant="9613")).signed.digest
    assert ask(with_()).signed.digest != ask(with_(urlcl="http://127.0.0.1:8001/other")).signed.digest


TOLERATED = {
    "unencoded": "numcli=006270&exer=2026&refdet=ABC123&objet=Cantine&montant=0912&mel=p@example.org"
    "&urlcl=http://127.0.0.1:8001/ret?idretour=3&saisie=T",
    "any order": "saisie=T&urlcl=http://127.0.0.1:8001/ret?idretour=3&mel=p@example.org&montant=0912&objet=Cantine"
    "&refdet=ABC123&exer=2026&numcli=006270",
    "upper case": "NUMCLI=006270&EXER=2026&REFDET=ABC123&OBJET=Cantine&MONTANT=0912&MEL=p@example.org"
    "&URLCL=http://127.0.0.1:8001/ret?idretour=3&SAISIE=T",
    "unknown names": "openInPopUp=true&numcli=006270&exer=2026&refdet=ABC123&objet=Cantine&montant=0912"
    "&mel=p@example.org&urlcl=http://127.0.0.1:8001/ret?idretour=3&saisie=T&x=1&x=2",
    "address without its name": "numcli=006270&exer=2026&refdet=ABC123&objet=Cantine&montant=0912&mel=p@example.org"
    "&http://127.0.0.1:8001/ret?idretour=3&saisie=T",
    "the same, encoded, beside an empty one": "numcli=006270&exer=2026&refdet=ABC123&objet=Cantine&montant=0912"
    "&mel=p@example.org&urlcl=&http%3A%2F%2F127.0.0.1:8001/ret?idretour=3&saisie=T",
    "host in upper case": "numcli=006270&exer=2026&refdet=ABC123&objet=Cantine&montant=0912&mel=p@example.org"
    "&urlcl=HTTP://127.0.0.1:8001/ret?idretour=3&saisie=T",
}


@pytest.mark.parametrize("query", TOLERATED.values(), ids=TOLERATED)
def test_what_real_portals_send_is_understood(query: str) -> None:
    request = ask(query).request

    assert (request.reference, request.fiscal_year, request.amount.cents) == ("ABC123", "2026", 912)
    assert (request.email, request.label) == ("p@example.org", "Cantine")
    assert request.notify_url == "http://127.0.0.1:8001/ret?idretour=3"
    assert request.wire["montant"] == "0912"


def test_a_year_sent_under_another_name_is_a_year_not_sent() -> None:
    assert ask(without("exer") + "&year=2026").request.fiscal_year == ""


@pytest.mark.parametrize("urlcl", ["", "http:/host/path", "www.ville.fr/retour", "https://"])
def test_a_missing_or_malformed_address_counts_as_not_given(urlcl: str) -> None:
    command = ask(with_(urlcl=urlcl))

    assert command.request.notify_url == ""
    assert command.marks.get("urlcl", "") == ("not an address, ignored" if urlcl else "")


def test_a_plus_sign_is_a_blank_but_in_mailboxes_and_addresses() -> None:
    request = ask(
        without("mel", "objet", "urlcl") + "&mel=a+b@example.org&objet=Cantine+de+mai&urlcl=http://127.0.0.1/a+b?c=d+e"
    ).request

    assert request.email == "a+b@example.org"
    assert request.wire["objet"] == "Cantine de mai"
    assert request.notify_url == "http://127.0.0.1/a+b?c=d+e"


def test_an_encoded_plus_sign_stays_one_everywhere() -> None:
    assert ask(with_(mel="a+b@example.org")).request.email == "a+b@example.org"
    assert refused(with_(objet="a+b")).code == "O1"


def test_blanks_of_the_label_are_given_back_and_not_shown() -> None:
    request = ask(with_(objet="  Cantine ")).request

    assert (request.wire["objet"], request.label) == ("  Cantine ", "Cantine")


def test_a_label_that_is_not_given_has_a_sensible_default() -> None:
    request = ask(without("objet")).request

    assert request.label == "Facture X960030101000001317"
    assert "objet" not in request.wire


def test_the_payer_is_asked_for_an_address_that_the_request_lacks() -> None:
    assert ask(without("mel")).request.email == ""
    assert refused(without("mel"), dialect(merchant(email_rule="fixed"))).code == "A1"


def test_a_posted_form_is_read_like_a_query() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    command = dialect().read(HttpCall("POST", PATH, "numcli=006270", headers, without("numcli").encode()), NOW)

    assert isinstance(command, Open)
    assert command.request.reference == "X960030101000001317"


FAULTS = {
    "S1 missing": (without("saisie"), "S1"),
    "S1 of the web service": (with_(saisie="W"), "S1"),
    "S1 lower case": (with_(saisie="t"), "S1"),
    "S1 two letters": (with_(saisie="TX"), "S1"),
    "T1 missing": (without("numcli"), "T1"),
    "T1 letters": (with_(numcli="00627A"), "T1"),
    "T1 seven digits": (with_(numcli="0062700"), "T1"),
    "T1 other digits": (with_(numcli="٠٠٦٢٧٠"), "T1"),
    "T2 unknown": (with_(numcli="123456"), "T2"),
    "E1 three digits": (with_(exer="202"), "E1"),
    "E1 letters": (with_(exer="2O26"), "E1"),
    "R1 missing": (without("refdet"), "R1"),
    "R3 four signs": (with_(refdet="ABCD"), "R3"),
    "R3 31 signs": (with_(refdet="A" * 31), "R3"),
    "R3 dash": (with_(refdet="ABC-123"), "R3"),
    "R3 line feed at the end": (with_(refdet="ABC123\n"), "R3"),
    "A2 no at": (with_(mel="parent.example.org"), "A2"),
    "A2 five signs": (with_(mel="a@b.f"), "A2"),
    "A2 81 signs": (with_(mel="a" * 70 + "@example.org"), "A2"),
    "A2 two mailboxes": (with_(mel="a@example.org,b@example.org"), "A2"),
    "A2 header": (with_(mel="a@example.org\nBcc:x"), "A2"),
    "M2 missing": (without("montant"), "M2"),
    "M1 sign": (with_(montant="-100"), "M1"),
    "M1 comma": (with_(montant="10,00"), "M1"),
    "M1 twelve digits": (with_(montant="000000001000"), "M1"),
    "M3 under one euro": (with_(montant="050"), "M3"),
    "M3 99": (with_(montant="99"), "M3"),
    "M5 over the merchant's": (with_(montant="500001"), "M5"),
    "O1 accent": (with_(objet="Éclairage"), "O1"),
    "O1 slash": (with_(objet="A/B"), "O1"),
    "O1 101 signs": (with_(objet="a" * 101), "O1"),
    "O1 Latin-1": (without("objet") + "&objet=cr\xe8che", "O1"),
    "N1 credentials": (with_(urlcl="http://a:b@ville.fr/"), "N1"),
    "N1 fragment": (with_(urlcl="https://ville.fr/#a"), "N1"),
    "N1 251 characters": (with_(urlcl="https://ville.fr/" + "a" * 234), "N1"),
    "N1 private address": (with_(urlcl="http://10.0.0.1/"), "N1"),
    "S before T": (with_(saisie="Z", numcli="x"), "S1"),
    "T before E": (with_(numcli="x", exer="x"), "T1"),
    "E before R": (with_(exer="x", refdet="x"), "E1"),
    "R before A": (with_(refdet="x", mel="x"), "R3"),
    "A before M": (with_(mel="x", montant="99999999999"), "A2"),
    "M before O": (with_(montant="x", objet="/"), "M1"),
    "O before N": (with_(objet="/", urlcl="http://a:b@c.fr/"), "O1"),
}


@pytest.mark.parametrize(("query", "code"), FAULTS.values(), ids=FAULTS)
def test_the_first_broken_rule_is_told_on_a_page(query: str, code: str) -> None:
    page = refused(query)

    assert (page.status, page.code) == (400, code)
    assert page.wording == Anomalies()[code].libelle.strip()
    assert page.detail


def test_the_recorded_wordings_reach_the_payer() -> None:
    assert refused(with_(refdet="ABCD")).wording == "Le format du paramètre REFDET n'est pas conforme"
    assert refused(with_(mel="x")).wording == "Adresse mél incorrecte."


def test_the_offending_sign_is_named() -> None:
    assert "character 3 is 'è'" in refused(with_(objet="crèche")).detail
    assert "character 3 is 'è'" in refused(without("objet") + "&objet=cr\xe8che").detail


@pytest.mark.parametrize("text", ["A" * 6, "a" * 30, "aB3dE6"])
def test_references_of_a_regie_at_their_bounds(text: str) -> None:
    assert ask(with_(refdet=text)).request.reference == text


@pytest.mark.parametrize("text", ["100", "00000000100", "500000"])
def test_amounts_at_their_bounds(text: str) -> None:
    assert ask(with_(montant=text)).request.amount == Money(int(text))


def test_the_variant_caps_what_a_merchant_allows() -> None:
    rich = dialect(merchant(amount_cents_max=99_999_999))

    assert ask(with_(montant="999999"), rich).request.amount == Money(999_999)
    assert refused(with_(montant="1000000"), rich).code == "M5"


REPEATED = {
    "saisie": "S1",
    "numcli": "T1",
    "exer": "E1",
    "refdet": "R3",
    "mel": "A2",
    "montant": "M1",
    "objet": "O1",
    "urlcl": "N1",
}


@pytest.mark.parametrize(("name", "code"), REPEATED.items())
def test_a_name_given_twice_is_refused_even_in_another_case(name: str, code: str) -> None:
    again = urlencode({name.upper(): GOOD[name]})

    assert refused(f"{with_()}&{again}").code == code
    assert "more than once" in refused(f"{again}&{with_()}").detail


def test_two_addresses_are_refused_with_or_without_their_name() -> None:
    assert refused(with_() + "&http://127.0.0.1/other").code == "N1"
    assert refused(without("urlcl") + "&http://127.0.0.1/a&http://127.0.0.1/b").code == "N1"


@pytest.mark.parametrize("query", ["&" * 5000, "x=" + "a" * 9000])
def test_an_endless_query_is_refused(query: str) -> None:
    assert refused(query).code == "too_large"


@pytest.mark.parametrize(("letter", "is_activation"), [("T", False), ("X", True), ("A", False), ("M", False)])
def test_a_client_in_test_mode_may_send_every_letter(letter: str, *, is_activation: bool) -> None:
    command = ask(with_(saisie=letter))

    assert (command.request.wire["saisie"], command.is_activation) == (letter, is_activation)


def test_an_open_page_keeps_its_debt() -> None:
    command = ask(with_())

    assert command.replaces == {Status.CREATED, Status.OPENED}
    assert command.spares == {"card", "challenge", "review"}


def test_a_client_of_the_web_service_is_unknown_here() -> None:
    by_service = merchant("payfip-demo", {"numcli": "102030"}, dialect="payfip")
    spoken = dialect(house=replace(HOUSE, book={"payfip-demo": by_service, "sistec": merchant()}))

    assert refused(with_(numcli="102030"), spoken).code == "T2"


def test_a_payer_is_told_when_a_debt_that_is_being_paid_is_free_again() -> None:
    error = RequestConflict("debt_locked", "until 12:02 UTC", until=datetime(2026, 7, 4, 12, 2, tzinfo=UTC))

    page = dialect().refused(HttpCall("GET", PATH), error)

    assert isinstance(page, ErrorPage)
    assert (page.status, page.code) == (400, "R2")
    assert page.wording.endswith("ou recommencez après 14:02.")


@pytest.mark.parametrize("mode", ["production", "activation"])
def test_only_a_client_in_test_mode_may_send_t(mode: str) -> None:
    live = dialect(merchant(mode=mode))

    assert refused(with_(urlcl=""), live).code == "S1"
    assert ask(with_(urlcl="", saisie="X"), live).request.wire["saisie"] == "X"


def test_in_production_only_registered_addresses_are_called() -> None:
    live = dialect(merchant(mode="production", callback_urls=("https://ville.fr/tipi",)))

    assert (
        ask(with_(saisie="A", urlcl="https://ville.fr/tipi/1?a=b"), live).request.notify_url
        == "https://ville.fr/tipi/1?a=b"
    )
    assert refused(with_(saisie="A", urlcl="https://ville.fr/autre"), live).code == "N1"
    assert refused(with_(saisie="A", urlcl="http://127.0.0.1/"), live).code == "N1"


def test_this_machine_is_called_only_where_the_house_allows_it() -> None:
    strict = dialect(house=replace(HOUSE, loopback_allowed=False))

    assert refused(with_(), strict).code == "N1"
    assert ask(with_(urlcl="http://portail.example:8080/"), strict).request.notify_url == "http://portail.example:8080/"


@pytest.mark.parametrize(("kind", "reference"), [("titre", TITRE_REFERENCE), ("role", ROLE_REFERENCE)])
def test_the_published_test_references_open_a_payment_of_the_ledger(kind: str, reference: str) -> None:
    query = with_(numcli="004201", exer="9999", refdet=reference, objet="")

    assert ask(query, ledger(kind, reference)).request.label == "Taxe"


LEDGER_FAULTS = {
    "unknown": ({"refdet": "999900000000999998"}, "R4"),
    "another year": ({"exer": "2026"}, "R4"),
    "no year": ({"exer": ""}, "E1"),
    "17 digits": ({"refdet": "99990000000099999"}, "R3"),
    "a letter": ({"refdet": "99990000000099999A"}, "R3"),
    "a part of it": ({"montant": "9611"}, "M4"),
}


@pytest.mark.parametrize(("changes", "code"), LEDGER_FAULTS.values(), ids=LEDGER_FAULTS)
def test_nothing_but_the_ledger_can_be_paid(changes: dict[str, str], code: str) -> None:
    query = with_(**{"numcli": "004201", "exer": "9999", "refdet": TITRE_REFERENCE, **changes})

    assert refused(query, ledger("titre", TITRE_REFERENCE)).code == code


def test_the_browser_is_sent_to_the_page_and_nowhere_afterwards() -> None:
    spoken = dialect()

    reply = spoken.opened(ask(with_()), result(Status.CREATED), PAGE, NOW)

    assert reply == HttpReply(303, {"Location": PAGE, "Cache-Control": "no-store"})
    assert spoken.returned(result(), NOW) is None


def form_of(spoken: TipiDialect, told: PaymentResult, kind: str, at: datetime = NOW) -> list[tuple[str, str]]:
    body = spoken.confirmed(told, event(kind, at)).decode("ascii")
    return parse_qsl(body, keep_blank_values=True, strict_parsing=True)


def test_a_paid_debt_is_told_in_eleven_parameters() -> None:
    body = dialect().confirmed(result(), event("payment.succeeded"))

    assert body == (
        b"numcli=006270&exer=2026&refdet=X960030101000001317&objet=Cantine+de+novembre&montant=09612"
        b"&mel=parent%40example.org&saisie=T&resultrans=P&numauto=A55A&dattrans=04072026&heurtrans=1325"
    )


@pytest.mark.parametrize(
    ("kind", "status", "letter"),
    [
        ("payment.refused", Status.FAILED, "R"),
        ("payment.cancelled", Status.CANCELLED, "A"),
        ("payment.expired", Status.EXPIRED, "A"),
    ],
)
def test_an_unpaid_debt_is_told_without_an_authorisation(kind: str, status: Status, letter: str) -> None:
    told = dict(form_of(dialect(), result(status), kind))

    assert (told["resultrans"], told["numauto"]) == (letter, "")
    assert dialect().code(result(status), event(kind)) == f"resultrans={letter}"
    assert dialect().due(result(status), event(kind)) == NOW


@pytest.mark.parametrize(
    "kind", ["payment.created", "payment.opened", "attempt.declined", "attempt.captured", "payment.refunded"]
)
def test_nothing_else_is_told(kind: str) -> None:
    assert dialect().due(result(), event(kind)) is None
    assert dialect().code(result(), event(kind)) == ""


def test_time_is_told_on_the_treasurys_clock() -> None:
    winter = datetime(2026, 1, 31, 23, 5, tzinfo=UTC)

    told = dict(form_of(dialect(), result(), "payment.succeeded", winter))

    assert (told["dattrans"], told["heurtrans"]) == ("01022026", "0005")


def test_what_was_not_sent_is_told_empty() -> None:
    told = form_of(dialect(), result(query=without("exer", "objet", "mel")), "payment.succeeded")

    assert [name for name, value in told if not value] == ["exer", "objet", "mel"]
    assert len(told) == 11


def test_upper_case_names_can_be_added() -> None:
    spoken = dialect(merchant(protocol={"numcli": REGIE, "upper_case": True}))

    told = form_of(spoken, result(), "payment.succeeded")

    assert len(told) == 22
    assert [(name.upper(), value) for name, value in told[:11]] == told[11:]


def test_a_notification_is_posted_as_a_form_to_the_address_of_the_request() -> None:
    call = dialect().delivery(result().recipient, Try("evt_1", b"a=1", 1, NOW))

    assert (call.method, call.url, call.body) == ("POST", "http://127.0.0.1:8001/retour?idretour=3", b"a=1")
    assert (call.path, call.query) == ("/retour", "idretour=3")
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"


def test_headers_beside_the_form_prove_it() -> None:
    def sign(client: str, this: Try) -> Mapping[str, str]:
        return {"webhook-signature": f"{client} {this.id} {this.body.decode()}"}

    for protocol in ({"numcli": REGIE}, {"numcli": REGIE, "notify": "query"}):
        spoken = dialect(merchant(protocol=protocol), house=replace(HOUSE, sign=sign))
        call = spoken.delivery(result().recipient, Try("evt_1", b"a=1", 1, NOW))
        assert call.headers["webhook-signature"] == "sistec evt_1 a=1"


@pytest.mark.parametrize(("place", "body"), [("query", b""), ("both", b"a=1")])
def test_a_client_may_read_the_query_instead(place: str, body: bytes) -> None:
    spoken = dialect(merchant(protocol={"numcli": REGIE, "notify": place}))

    call = spoken.delivery(result().recipient, Try("evt_1", b"a=1", 1, NOW))

    assert (call.method, call.url, call.body) == ("POST", "http://127.0.0.1:8001/retour?idretour=3&a=1", body)
    assert call.query == "idretour=3&a=1"


def test_a_query_longer_than_an_address_may_be_is_told_all_the_same() -> None:
    """Each field at its widest, each name twice: no rule bounds what is added to a client's address."""
    widest = {
        "objet": "A" * 100, "refdet": "R" * 30, "mel": "'" * 70 + "@ville.fr", "urlcl": "https://ville.fr/" + "a" * 233,
    }  # fmt: skip
    spoken = dialect(merchant(protocol={"numcli": REGIE, "notify": "query", "upper_case": True}))
    told = result(query=with_(**widest))
    body = spoken.confirmed(told, event("payment.succeeded"))

    call = spoken.delivery(told.recipient, Try("evt_1", body, 1, NOW))

    assert len(call.url) > 1024
    assert call.url == f"{widest['urlcl']}?{body.decode()}"
    assert call.query == body.decode()


def test_the_book_knows_an_address_the_request_does_not_give() -> None:
    told = result(query=without("urlcl"))

    assert dialect(merchant(notify_url="https://ville.fr/tipi")).target(told.recipient) == "https://ville.fr/tipi"
    assert dialect().target(told.recipient) == ""
    with pytest.raises(DeliveryFailed) as caught:
        dialect().delivery(told.recipient, Try("evt_1", b"a=1", 1, NOW))
    assert not caught.value.again


@pytest.mark.parametrize("status", [200, 204, 301, 302, 303, 399])
def test_any_2xx_or_3xx_is_a_receipt(status: int) -> None:
    assert dialect().received(status, b'{"status": "failure"}')


@pytest.mark.parametrize("status", [100, 199, 400, 403, 410, 500])
def test_anything_else_is_none(status: int) -> None:
    assert not dialect().received(status, b"OK")


def test_a_failed_notification_is_tried_again_at_the_published_pace() -> None:
    spoken, pauses, at = dialect(), [], NOW
    for tries in range(1, 10):
        again = spoken.retry_at(tries, at)
        assert again is not None
        pauses.append(again)
        at = again

    assert pauses[:4] == [NOW + timedelta(minutes=minutes) for minutes in (1, 1 + 5, 1 + 5 + 30, 1 + 5 + 30 + 120)]
    assert pauses[4:] == [datetime(2026, 7, day, 1, 0, tzinfo=UTC) for day in (5, 6, 7, 8, 9)]
    assert spoken.retry_at(10, at) is None


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        ("2026-10-24T12:00:00+00:00", "2026-10-25T02:00:00+00:00"),
        ("2026-10-25T00:30:00+00:00", "2026-10-25T02:00:00+00:00"),
        ("2026-12-31T23:30:00+00:00", "2027-01-01T02:00:00+00:00"),
        ("2026-07-04T01:00:00+00:00", "2026-07-05T01:00:00+00:00"),
    ],
)
def test_the_night_is_three_oclock_in_paris(now: str, night: str) -> None:
    assert dialect().retry_at(5, datetime.fromisoformat(now)) == datetime.fromisoformat(night)


@pytest.mark.parametrize(
    ("error", "status", "code", "wording"),
    [
        (
            RequestConflict("debt_already_paid", "it was paid"),
            400,
            "R2",
            "Cette dette est déjà payée ou en cours de paiement.",
        ),
        (
            RequestConflict("debt_locked", "until 10:02 UTC"),
            400,
            "R2",
            "Cette dette est déjà payée ou en cours de paiement.",
        ),
        (StoreBusy("locked"), 503, "999", "Erreur technique"),
        (GatewayError("boom"), 500, "999", "Erreur technique"),
    ],
)
def test_the_cores_refusals_are_worded_for_the_payer(error: GatewayError, status: int, code: str, wording: str) -> None:
    page = dialect().refused(HttpCall("GET", PATH), error)

    assert isinstance(page, ErrorPage)
    assert (page.status, page.code, page.wording) == (status, code, wording)


def test_nothing_can_be_looked_up() -> None:
    with pytest.raises(NotFound):
        dialect().found(LookUp(Which()), result(), PAGE, NOW)
    with pytest.raises(NotFound):
        dialect().listed(Find(frozenset(), "x"), (), NOW)


BAD_SETTINGS = {
    "numcli": ({"numcli": "4200"}, 'merchants.sistec.protocol.numcli: must be six digits in quotes, such as "004200"'),
    "missing": ({}, "merchants.sistec.protocol.numcli: missing"),
    "unknown": ({"numcli": REGIE, "siret": "1"}, "merchants.sistec.protocol.siret: unknown setting"),
    "kind": ({"numcli": REGIE, "kind": "impot"}, "merchants.sistec.protocol.kind: "),
    "no ledger": ({"numcli": REGIE, "kind": "titre"}, "merchants.sistec.protocol: debts: a titre client"),
    "ledger of a régie": (
        {"numcli": REGIE, "debts": [{"reference": "ABC123", "exer": "2026", "amount": 100}]},
        "merchants.sistec.protocol: debts: only a titre or role client",
    ),
    "wrong reference": (
        {"numcli": REGIE, "kind": "titre", "debts": [{"reference": "12", "exer": "2026", "amount": 100}]},
        "merchants.sistec.protocol: debts: 12 is no reference of a titre",
    ),
    "twice": (
        {
            "numcli": REGIE,
            "kind": "titre",
            "debts": [{"reference": TITRE_REFERENCE, "exer": "9999", "amount": 100}] * 2,
        },
        "merchants.sistec.protocol: debts: the same exer and reference stand twice",
    ),
}


@pytest.mark.parametrize(("protocol", "line"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_a_wrong_setting_is_named_with_its_place(protocol: dict[str, object], line: str) -> None:
    wrong = merchant().model_copy(update={"protocol": protocol})

    with pytest.raises(SettingsError) as caught:
        dialect(wrong)

    assert caught.value.faults[0].startswith(line)


def test_two_clients_cannot_share_a_number_and_all_count_in_euros() -> None:
    with pytest.raises(SettingsError) as caught:
        dialect(merchant("aa"), merchant("bb"), merchant("cc", {"numcli": "004201"}, currency="CHF"))

    assert caught.value.faults == (
        "merchants.bb.protocol.numcli: 006270 is aa's already; give each client its own",
        "merchants.cc.currency: this protocol counts in euros alone; set EUR",
    )


def test_the_table_of_anomalies_says_where_each_row_comes_from() -> None:
    table = Anomalies()
    codes = [
        "S1",
        "T1",
        "T2",
        "T4",
        "E1",
        "R1",
        "R2",
        "R3",
        "R4",
        "A1",
        "A2",
        "M1",
        "M2",
        "M3",
        "M4",
        "M5",
        "O1",
        "N1",
        "D1",
        "P1",
        "P2",
        "P3",
        "P4",
        "P5",
        "999",
    ]

    recorded = {code: table[code].libelle for code in codes if table[code].libelle_evidence == "recorded"}

    assert recorded == {
        "A2": "Adresse mél incorrecte. ",
        "R3": "Le format du paramètre REFDET n'est pas conforme",
        "P1": "IdOp incorrect.",
        "P5": "Résultat de la transaction non connu.",
    }
    assert {code for code in codes if table[code].evidence == "house"} == {
        "E1",
        "R1",
        "R2",
        "R4",
        "M2",
        "M4",
        "O1",
        "P2",
    }
    assert all(table[code].libelle for code in codes)


texts = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters=" "), min_size=1, max_size=100)
references = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=6, max_size=30)


@given(texts, references)
def test_label_and_reference_come_back_byte_for_byte(label: str, reference: str) -> None:
    query = without("objet", "refdet") + f"&objet={quote(label)}&refdet={reference}"

    told = dict(form_of(dialect(), result(query=query), "payment.succeeded"))

    assert (told["objet"], told["refdet"]) == (label, reference)


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_any_query_is_taken_or_refused_by_its_code(query: str) -> None:
    told = outcome(query)

    assert told in Anomalies() or told in {"", "too_large"}


@given(st.binary(max_size=40))
def test_any_label_is_either_refused_or_harmless(raw: bytes) -> None:
    query = without("objet") + "&objet=" + quote(raw)

    told = outcome(query)

    assert told in {"", "O1"}
    if not told:
        assert ask(query).request.wire["objet"].encode() == raw
        assert raw.replace(b" ", b"a").isalnum() or not raw


def outcome(query: str) -> str:
    """Give the code of a refusal, empty when there is none."""
    try:
        ask(query)
    except BadRequest as error:
        return error.faults[0].code
    return ""
