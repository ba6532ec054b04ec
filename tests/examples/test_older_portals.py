"""The portals of the older protocols, from a choice of invoices to what a notice makes of it."""

import hashlib
import hmac
import re
import sqlite3
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import requests
import responses
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "portal"))

from app import create_app
from desk import Settings

GUICHET = "http://127.0.0.1:8000"
PORTAL = "http://127.0.0.1:8001"
SERVICE = f"{GUICHET}/V4/services/WebPaymentAPI"

# What the demonstration key of the bank's kits deciphers to.
SPPLUS_KEY = bytes.fromhex("fabdb877b8ef7003f70350bb91090e76c5c75b29")
SYSTEMPAY_KEY = "1122334455667788"


@dataclass
class Stage:
    """A browser on the portals, and a way to speak for Guichet."""

    browser: FlaskClient
    database: Path

    def due(self, slug: str) -> list[str]:
        """The ids of the invoices that can be paid."""
        listed = self.browser.get("/api/invoices").json or {}
        return [str(one["id"]) for one in listed[slug] if one["state"] == "due"]

    def states(self, slug: str) -> list[str]:
        """The states of all invoices."""
        return [one["state"] for one in (self.browser.get("/api/invoices").json or {})[slug]]

    def pay(self, slug: str, count: int = 1) -> TestResponse:
        """Leave with the first invoices."""
        return self.browser.post(f"/{slug}/pay", data={"invoice": self.due(slug)[:count]})

    def order(self, slug: str) -> dict[str, object]:
        """The newest order as a driver of demonstrations sees it."""
        orders: list[dict[str, object]] = (self.browser.get(f"/api/orders/{slug}").json or {})["orders"]
        return orders[0]

    def words(self, slug: str) -> list[str]:
        """What was confirmed about the newest order, newest first, in the protocol's own words."""
        events = self.order(slug)["events"]
        assert isinstance(events, list)
        return [event["words"] for event in events]

    def tell_spplus(self, asked_url: str, etat: str, place: str = "/alise/notification") -> TestResponse:
        """Send the browser or a notice with a state, signed as the bank does."""
        told = asked_url.partition("?")[2].rpartition("&hmac=")[0] + f"&refsfp=36628282&etat={etat}"
        values = "".join(pair.partition("=")[2] for pair in told.split("&"))
        signature = hmac.new(SPPLUS_KEY, values.encode(), hashlib.sha1).hexdigest().upper()
        return self.browser.get(f"{place}?{told}&hmac={signature}")

    def tell_tipi(self, asked_url: str, result: str, peer: str = "127.0.0.1") -> TestResponse:
        """Send a notice that repeats the request."""
        asked = {name: value for name, (value,) in parse_qs(urlsplit(asked_url).query).items() if name != "urlcl"}
        told = {**asked, "resultrans": result, "numauto": "A55A", "dattrans": "21112026", "heurtrans": "1005"}
        return self.browser.post("/sistec/notification", data=told, environ_base={"REMOTE_ADDR": peer})

    def form(self) -> dict[str, str]:
        """The fields of ifac's form, on the page that leads to Guichet."""
        page = self.browser.get(f"/ifac/payments/{self.order('ifac')['reference']}/go").text
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        return {unescape(name): unescape(value) for name, value in fields}

    def told_by_systempay(self, status: str) -> dict[str, str]:
        """The form sent back with an outcome, signed as the vendor does."""
        fields = {name: value for name, value in self.form().items() if name.startswith("vads_")}
        fields |= {"vads_trans_status": status, "vads_operation_type": "DEBIT", "vads_trans_uuid": "0f" * 16}
        text = "+".join([*(fields[name] for name in sorted(fields)), SYSTEMPAY_KEY])
        digest = hmac.new(SYSTEMPAY_KEY.encode(), text.encode(), hashlib.sha256).digest()
        return {**fields, "signature": b64encode(digest).decode()}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    database = tmp_path / "portal.sqlite"
    app = create_app(Settings(GUICHET, tmp_path / "keys", database, PORTAL))
    responses.start()
    yield Stage(app.test_client(), database)
    responses.stop()
    responses.reset()


def payline(operation: str, inner: str) -> str:
    """An answer of Payline."""
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<{operation}Response xmlns="http://impl.ws.payline.experian.com"'
        f' xmlns:o="http://obj.ws.payline.experian.com">{inner}</{operation}Response></s:Body></s:Envelope>'
    )


def begin_at_payline(stage: Stage) -> str:
    """Pay ecolesoft's first invoice, and give its reference."""
    inner = "<result><o:code>00000</o:code></result><token>T1</token>"
    inner += f"<redirectURL>{GUICHET}/v2/?token=T1</redirectURL>"
    responses.post(SERVICE, body=payline("doWebPayment", inner))
    answer = stage.pay("ecolesoft")
    assert answer.headers["Location"] == f"{GUICHET}/v2/?token=T1"
    return str(stage.order("ecolesoft")["reference"])


def payline_says(reference: str, code: str, word: str, amount: int = 9612) -> None:
    """Have Payline answer the next question about a payment."""
    inner = (
        f"<result><o:code>{code}</o:code><o:shortMessage>{word}</o:shortMessage></result>"
        f"<payment><o:amount>{amount}</o:amount><o:currency>978</o:currency></payment>"
        f"<order><o:ref>{reference}</o:ref></order>"
    )
    responses.replace("POST", SERVICE, body=payline("getWebPaymentDetails", inner))


def test_the_treasurys_page_is_asked_for_several_invoices_at_once(stage: Stage) -> None:
    url = urlsplit(stage.pay("sistec", 2).headers["Location"])

    asked = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert (asked["numcli"], asked["montant"], asked["saisie"]) == ("004200", "30191", "T")
    assert re.fullmatch(r"X004200[0-9A-Z]{9}", asked["refdet"])
    assert asked["urlcl"] == f"{PORTAL}/sistec/notification"


def test_what_is_suspended_debited_or_at_the_treasury_cannot_be_paid(stage: Stage) -> None:
    listed = (stage.browser.get("/api/invoices").json or {})["sistec"]

    assert stage.states("sistec") == ["due", "due", "suspended", "direct_debit", "treasury"]
    for one in listed[2:]:
        assert stage.browser.post("/sistec/pay", data={"invoice": one["id"]}).status_code == 409


def test_each_list_of_sistec_holds_its_own_invoices(stage: Stage) -> None:
    treasury = stage.browser.get("/sistec/?liste=tresorerie").text

    assert "avis de somme à payer" in treasury
    assert "Multi Services" not in treasury
    assert "Aucune facture dans cette liste" in stage.browser.get("/sistec/?liste=reglees").text


def test_the_service_suspends_all_payment_for_a_while(stage: Stage) -> None:
    stage.browser.post("/sistec/switches", data={"suspended": "on"})

    assert stage.due("sistec") == []
    assert "temporairement suspendu" in stage.browser.get("/sistec/").text
    stage.browser.post("/sistec/switches")
    assert len(stage.due("sistec")) == 2


def test_a_notice_of_the_treasury_settles_the_invoices(stage: Stage) -> None:
    url = stage.pay("sistec", 2).headers["Location"]

    answers = [stage.tell_tipi(url, "P") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (stage.order("sistec")["state"], stage.words("sistec")) == ("paid", ["resultrans=P"])
    assert stage.states("sistec")[:2] == ["paid", "paid"]


def test_a_notice_from_elsewhere_than_the_payment_server_is_refused(stage: Stage) -> None:
    url = stage.pay("sistec").headers["Location"]

    assert stage.tell_tipi(url, "P", peer="203.0.113.9").status_code == 401
    assert stage.order("sistec")["state"] == "pending"


def test_a_notice_that_does_not_repeat_the_request_is_refused(stage: Stage) -> None:
    url = stage.pay("sistec").headers["Location"]

    assert stage.tell_tipi(url.replace("montant=24311", "montant=100"), "P").status_code == 401
    assert stage.tell_tipi(re.sub("refdet=[A-Z0-9]+", "refdet=XOTHER0001", url), "P").status_code == 401
    assert stage.order("sistec")["state"] == "pending"


def test_without_the_two_hour_rule_an_abandoned_debt_is_free_at_once(stage: Stage) -> None:
    stage.tell_tipi(stage.pay("sistec").headers["Location"], "A")

    assert (stage.order("sistec")["state"], stage.states("sistec")[0]) == ("abandoned", "due")


def test_with_the_two_hour_rule_it_waits_until_the_rule_is_lifted(stage: Stage) -> None:
    stage.browser.post("/sistec/switches", data={"two_hours": "on"})
    stage.tell_tipi(stage.pay("sistec").headers["Location"], "A")

    assert stage.states("sistec")[0] == "waiting"
    assert "nouvelle tentative possible à partir du" in stage.browser.get("/sistec/").text
    stage.browser.post("/sistec/switches")
    assert stage.states("sistec")[0] == "due"


def test_a_payment_nobody_ever_heard_of_frees_its_debt_in_the_end(stage: Stage) -> None:
    stage.pay("sistec")
    assert stage.states("sistec")[0] == "pending"

    with sqlite3.connect(stage.database) as db:
        db.execute("UPDATE payment SET holds_until = '2026-01-01T00:00:00+00:00'")
    db.close()

    assert stage.states("sistec")[0] == "due"


def test_ifac_posts_a_signed_form_and_offers_a_button_without_javascript(stage: Stage) -> None:
    answer = stage.pay("ifac", 2)

    page = stage.browser.get(answer.headers["Location"]).text
    assert f'action="{GUICHET}/vads-payment/"' in page
    assert "Aller à la page de paiement</button>" in page
    form = stage.form()
    assert (form["vads_amount"], form["vads_site_id"], form["vads_return_mode"]) == ("7450", "12345678", "GET")
    assert form["vads_url_check"] == f"{PORTAL}/ifac/notification"


def test_ifac_takes_the_remainder_of_an_invoice(stage: Stage) -> None:
    stage.pay("ifac")

    assert stage.form()["vads_amount"] == "450"
    assert "31,00\u00a0€" in stage.browser.get("/ifac/").text


def test_a_top_up_reaches_the_account_once_it_is_confirmed(stage: Stage) -> None:
    stage.browser.post("/ifac/top-up", data={"account": "famille", "amount": "40"})
    assert "débiteur supérieur à" in stage.browser.get("/ifac/").text

    stage.browser.post("/ifac/notification", data=stage.told_by_systempay("AUTHORISED"))

    page = stage.browser.get("/ifac/").text
    assert "5,50\u00a0€" in page
    assert "débiteur supérieur à" not in page


@pytest.mark.parametrize(
    ("status", "state"), [("AUTHORISED", "paid"), ("REFUSED", "refused"), ("ABANDONED", "abandoned")]
)
def test_a_notification_of_systempay_moves_the_payment(stage: Stage, status: str, state: str) -> None:
    stage.pay("ifac")

    answer = stage.browser.post("/ifac/notification", data=stage.told_by_systempay(status))

    assert (answer.status_code, stage.order("ifac")["state"]) == (200, state)


def test_an_altered_notification_of_systempay_is_refused(stage: Stage) -> None:
    stage.pay("ifac")
    told = stage.told_by_systempay("AUTHORISED")

    altered = stage.browser.post("/ifac/notification", data={**told, "vads_trans_status": "CAPTURED"})
    twice = stage.browser.post(
        "/ifac/notification",
        data=urlencode([("vads_amount", "1"), *told.items()]),
        content_type="application/x-www-form-urlencoded",
    )

    assert (altered.status_code, twice.status_code, stage.order("ifac")["state"]) == (401, 401, "pending")


def test_a_return_of_systempay_is_a_courtesy(stage: Stage) -> None:
    stage.pay("ifac")
    reference = stage.order("ifac")["reference"]

    answer = stage.browser.get(f"/ifac/return/{reference}", query_string=stage.told_by_systempay("AUTHORISED"))
    forged = stage.browser.get(f"/ifac/return/{reference}", query_string={"vads_trans_status": "AUTHORISED"})

    assert (answer.status_code, forged.status_code) == (303, 400)
    assert stage.order("ifac")["state"] == "pending"
    assert "annonçant un paiement accepté" in stage.browser.get(answer.headers["Location"]).text


def test_a_return_under_the_name_of_another_payment_is_refused(stage: Stage) -> None:
    stage.pay("ifac")
    first = stage.order("ifac")["reference"]
    stage.pay("ifac")

    answer = stage.browser.get(f"/ifac/return/{first}", query_string=stage.told_by_systempay("AUTHORISED"))

    assert answer.status_code == 400


def test_alise_sums_up_a_free_amount_with_its_comment_before_it_leaves(stage: Stage) -> None:
    typed = {
        "kind": "top_up",
        "account": "julia",
        "amount": "45,50",
        "email": "mere@example.org",
        "comment": "Merci à l’équipe",
    }

    recap = stage.browser.post("/alise/credit", data=typed)

    page = stage.browser.get(recap.headers["Location"]).text
    assert [
        text for text in ("45,50", "mere@example.org", "Merci à l’équipe", "Julia Durand") if text not in page
    ] == []
    reference = recap.headers["Location"].rpartition("/")[2]
    assert re.fullmatch(r"ali20[0-9]{12}", reference)
    url = stage.browser.post("/alise/pay", data={"payment": reference}).headers["Location"]
    asked = parse_qs(urlsplit(url).query)
    assert (asked["montant"], asked["email"], asked["arg2"]) == (["45.50"], ["mere@example.org"], ["Merci à l’équipe"])


def test_a_recap_takes_nothing_and_is_no_history(stage: Stage) -> None:
    before = stage.due("alise")

    recap = stage.browser.post("/alise/recap", data={"invoice": before[0]})

    assert recap.status_code == 303
    assert stage.due("alise") == before
    assert (stage.browser.get("/api/orders/alise").json or {})["orders"] == []


def test_of_two_recaps_of_one_invoice_only_the_first_can_be_paid(stage: Stage) -> None:
    chosen = {"invoice": stage.due("alise")[0]}
    places = [stage.browser.post("/alise/recap", data=chosen).headers["Location"] for _ in range(2)]

    answers = [stage.browser.post("/alise/pay", data={"payment": place.rpartition("/")[2]}) for place in places]

    assert [answer.status_code for answer in answers] == [303, 409]


def test_a_recap_that_is_paid_is_not_paid_again(stage: Stage) -> None:
    typed = {"kind": "top_up", "account": "julia", "amount": "20"}
    reference = stage.browser.post("/alise/credit", data=typed).headers["Location"].rpartition("/")[2]
    url = stage.browser.post("/alise/pay", data={"payment": reference}).headers["Location"]
    stage.tell_spplus(url, "1")

    again = stage.browser.post("/alise/pay", data={"payment": reference})

    assert (again.status_code, stage.order("alise")["state"]) == (409, "paid")


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ({"kind": "top_up", "amount": "4,99"}, 422),
        ({"kind": "top_up", "amount": "100,01"}, 422),
        ({"kind": "debt", "amount": "0,99"}, 422),
        ({"kind": "debt", "amount": "158,51"}, 409),
        ({"kind": "debt", "amount": "10", "email": "nobody"}, 422),
        ({"kind": "debt", "amount": "10", "comment": "x" * 201}, 422),
        ({"kind": "gift", "amount": "10"}, 400),
    ],
)
def test_alise_keeps_amounts_within_their_limits(stage: Stage, typed: dict[str, str], status: int) -> None:
    assert stage.browser.post("/alise/credit", data={"account": "julia", **typed}).status_code == status


def test_part_of_a_debt_leaves_the_rest_to_pay(stage: Stage) -> None:
    recap = stage.browser.post("/alise/credit", data={"kind": "debt", "account": "julia", "amount": "100"})
    url = stage.browser.post("/alise/pay", data={"payment": recap.headers["Location"].rpartition("/")[2]})

    stage.tell_spplus(url.headers["Location"], "1")

    julia, *_ = (stage.browser.get("/api/invoices").json or {})["alise"]
    assert (julia["state"], julia["due"]) == ("due", 5850)


@pytest.mark.parametrize("order", [("1", "4", "10"), ("10", "1", "4")])
def test_the_three_steps_of_spplus_are_acknowledged_in_any_order(stage: Stage, order: tuple[str, ...]) -> None:
    url = stage.pay("alise").headers["Location"]
    assert "En attente de paiement" in stage.browser.get("/alise/history").text

    answers = [stage.tell_spplus(url, etat) for etat in order]

    assert [answer.text for answer in answers] == ["spcheckok"] * 3
    assert sorted(stage.words("alise")) == ["etat=1", "etat=10", "etat=4"]
    assert "Paiement validé" in stage.browser.get("/alise/history").text


@pytest.mark.parametrize(("etat", "state"), [("2", "refused"), ("12", "abandoned"), ("15", "refunded")])
def test_the_other_states_of_spplus_move_the_payment(stage: Stage, etat: str, state: str) -> None:
    stage.tell_spplus(stage.pay("alise").headers["Location"], etat)

    assert stage.order("alise")["state"] == state


def test_a_signed_return_of_spplus_counts_where_no_notice_can_come(stage: Stage) -> None:
    url = stage.pay("alise").headers["Location"]
    place = f"/alise/return/{stage.order('alise')['reference']}"

    forged = stage.browser.get(f"{place}?{urlsplit(url).query}")
    genuine = stage.tell_spplus(url, "1", place)

    assert (forged.status_code, genuine.status_code, stage.order("alise")["state"]) == (400, 303, "paid")


def test_a_state_spplus_invented_since_is_kept_for_a_person(stage: Stage) -> None:
    stage.tell_spplus(stage.pay("alise").headers["Location"], "99")

    assert stage.order("alise")["state"] == "pending"
    assert "À examiner" in stage.browser.get("/alise/feed").text


def test_a_notice_of_another_reference_is_refused(stage: Stage) -> None:
    url = stage.pay("alise").headers["Location"]
    other = url.replace(quote(str(stage.order("alise")["reference"])), "ali20090528102502")

    assert stage.tell_spplus(other, "1").status_code == 401


def test_ecolesoft_settles_one_invoice_at_a_time_and_none_too_late(stage: Stage) -> None:
    assert stage.states("ecolesoft") == ["due", "due", "too_late"]
    assert stage.pay("ecolesoft", 2).status_code == 409
    assert "ne peut plus être réglée par carte" in stage.browser.get("/ecolesoft/").text


def test_ecolesoft_asks_where_to_send_the_confirmation_on_its_recap(stage: Stage) -> None:
    typed = {"invoice": stage.due("ecolesoft")[0], "email": "pere@example.org"}

    recap = stage.browser.post("/ecolesoft/recap", data=typed)

    page = stage.browser.get(recap.headers["Location"]).text
    assert [text for text in ("96,12", "pere@example.org", "Continuer</button>") if text not in page] == []


def test_a_token_is_only_a_signal_to_ask_payline(stage: Stage) -> None:
    reference = begin_at_payline(stage)
    payline_says(reference, "00000", "ACCEPTED")

    answer = stage.browser.get("/ecolesoft/notification?notificationType=WEBTRS&token=T1")

    assert (answer.status_code, stage.order("ecolesoft")["state"]) == (200, "paid")
    assert stage.words("ecolesoft") == ["00000 ACCEPTED"]


def test_a_payline_payment_that_is_open_is_asked_about_again(stage: Stage) -> None:
    reference = begin_at_payline(stage)
    payline_says(reference, "02306", "INPROGRESS")

    answer = stage.browser.get("/ecolesoft/notification?token=T1")

    assert (answer.status_code, stage.order("ecolesoft")["state"]) == (409, "pending")


def test_a_payline_that_cannot_be_asked_is_asked_again(stage: Stage) -> None:
    begin_at_payline(stage)
    responses.replace("POST", SERVICE, body=requests.ConnectionError("reset"))

    assert stage.browser.get("/ecolesoft/notification?token=T1").status_code == 503
    assert stage.order("ecolesoft")["state"] == "pending"


@pytest.mark.parametrize("query", ["", "token=T2", "token=T1&token=T2"])
def test_a_token_of_nobody_is_refused(stage: Stage, query: str) -> None:
    begin_at_payline(stage)

    assert stage.browser.get(f"/ecolesoft/notification?{query}").status_code == 401


def test_a_reference_is_no_token(stage: Stage) -> None:
    reference = begin_at_payline(stage)
    payline_says(reference, "00000", "ACCEPTED")

    assert stage.browser.get(f"/ecolesoft/notification?token={reference}").status_code == 401


def test_a_return_with_the_right_token_is_as_good_as_a_notice(stage: Stage) -> None:
    reference = begin_at_payline(stage)
    payline_says(reference, "02319", "CANCELLED")

    wrong = stage.browser.get(f"/ecolesoft/return/{reference}?token=T2&paylinetoken=T2")
    right = stage.browser.get(f"/ecolesoft/return/{reference}?token=T1&paylinetoken=T1")

    assert (wrong.status_code, right.status_code) == (400, 303)
    assert (stage.order("ecolesoft")["state"], stage.states("ecolesoft")[0]) == ("cancelled", "due")


def test_another_amount_than_the_one_asked_for_is_kept_for_a_person(stage: Stage) -> None:
    reference = begin_at_payline(stage)
    payline_says(reference, "00000", "ACCEPTED", amount=1)

    stage.browser.get("/ecolesoft/notification?token=T1")

    assert stage.order("ecolesoft")["state"] == "pending"
    assert "À examiner" in stage.browser.get("/ecolesoft/feed").text


def test_a_refused_page_gives_the_invoice_back(stage: Stage) -> None:
    refusal = "<result><o:code>02303</o:code><o:longMessage>Invalid contract</o:longMessage></result>"
    responses.post(SERVICE, body=payline("doWebPayment", refusal))

    answer = stage.pay("ecolesoft")

    assert (answer.status_code, len(stage.due("ecolesoft"))) == (502, 2)
    assert "02303" in answer.text
    assert "Invalid contract" in answer.text


def test_a_printed_code_opens_its_invoice_and_no_other(stage: Stage) -> None:
    first, second, *_ = stage.due("jvs")
    page = stage.browser.get(f"/jvs/invoices/{first}").text
    link = re.search(rf'href="{PORTAL}(/jvs/q/[^"]+)"', page)
    assert link is not None

    phone = stage.browser.get(link[1])

    assert "<svg" in page
    assert (phone.status_code, f'name="invoice" value="{first}"' in phone.text) == (200, True)
    assert stage.browser.get(link[1].replace(f"/{first}-", f"/{second}-")).status_code == 404
    assert stage.browser.get(link[1][:-1]).status_code == 404


def test_a_portal_shows_only_its_own_payments(stage: Stage) -> None:
    stage.pay("sistec")
    reference = stage.order("sistec")["reference"]

    assert stage.browser.get(f"/sistec/payments/{reference}").status_code == 200
    for path in ("payments", "recap", "return"):
        assert stage.browser.get(f"/alise/{path}/{reference}").status_code == 404
    assert stage.browser.post("/alise/pay", data={"payment": reference}).status_code == 409


@pytest.mark.parametrize("slug", ["mairie", "jvs", "nobody"])
def test_only_the_older_portals_take_notices_under_their_own_name(stage: Stage, slug: str) -> None:
    assert stage.browser.get(f"/{slug}/notification").status_code == 404


def test_a_file_of_an_older_version_is_begun_anew(tmp_path: Path) -> None:
    database = tmp_path / "portal.sqlite"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE invoice (id INTEGER PRIMARY KEY)")
    db.close()

    browser = create_app(Settings(GUICHET, tmp_path, database, PORTAL)).test_client()

    listed = browser.get("/api/invoices").json or {}
    assert {slug: len(found) for slug, found in listed.items()} == {
        "mairie": 4,
        "ecolesoft": 3,
        "ifac": 3,
        "alise": 2,
        "sistec": 5,
        "jvs": 4,
    }
