"""TIPI by URL against a live server: eopayment's ``tipi``, and the sloppiness of portals that write their own address.

Not run here: Connecthys (its handler is eopayment's and answers 302, which is tried below), LibreDémat, PMB, Moka
Tourisme and the other portals, which are whole applications; the exact echo that LibreDémat keys on, and the answers of
each of them, are tried by raw requests.
"""

from datetime import timedelta

import pytest

from tests.foreign.driver import Driver
from tests.foreign.payer import TRIES_MAX, Person, deliveries, let_pass
from tests.foreign.shop import Answer, Shop
from tests.foreign.treasury import EMAIL, Portal, new_debt
from tests.support.server import Server, get, wait_until

# The eleven parameters, in lower case, that exact-field clients compare.
ELEVEN = {
    "numcli", "exer", "refdet", "objet", "montant", "mel", "saisie", "resultrans", "numauto", "dattrans", "heurtrans",
}  # fmt: skip

# The treasury's published Visa test card.
VISA = "5017674000000002"


@pytest.fixture
def portal(eopayment: Driver, server: Server, shop: Shop) -> Portal:
    return Portal(eopayment, "tipi", "004200", server, shop)


def test_eopayment_is_told_of_a_payment(portal: Portal, shop: Shop, person: Person) -> None:
    asked = portal.request(objet="Cantine de novembre")

    person.pay(person.open(asked["url"]), VISA)

    heard = shop.wait("/callback")
    told = portal.wait()
    assert heard.method == "POST"
    assert heard.headers["content-type"] == "application/x-www-form-urlencoded"
    assert heard.headers["webhook-signature"].startswith("v1,")
    assert heard.form.keys() == ELEVEN
    assert (told["result"], told["order_id"], told["test"]) == ("PAID", asked["number"], True)
    assert told["bank_data"]["objet"] == "Cantine de novembre"


def test_eopayment_is_told_of_a_refusal(portal: Portal, shop: Shop, person: Person) -> None:
    page = person.open(portal.request()["url"])

    person.be_refused(page)

    heard = shop.wait("/callback")
    assert portal.wait()["result"] == "DENIED"
    assert (heard.form["resultrans"], heard.form["numauto"]) == ("R", "")


def test_eopayment_is_told_of_a_cancellation(portal: Portal, person: Person) -> None:
    page = person.open(portal.request()["url"])

    person.cancel(page)

    assert portal.wait()["result"] == "CANCELLED"


def test_eopayment_is_told_of_a_page_left_open(portal: Portal, person: Person, server: Server) -> None:
    page = person.open(portal.request()["url"])

    let_pass(server, page.payment, timedelta(hours=1))

    assert portal.wait()["result"] == "CANCELLED"
    assert person.open(page.url).name == "expired"


def test_a_debt_given_up_can_be_paid_at_once(portal: Portal, person: Person) -> None:
    refdet = new_debt()
    person.cancel(person.open(portal.request(refdet=refdet)["url"]))

    person.pay(person.open(portal.request(refdet=refdet)["url"]))

    assert (portal.wait(1)["result"], portal.wait(2)["result"]) == ("CANCELLED", "PAID")


@pytest.mark.parametrize("status", [302, 204])
def test_any_answer_but_an_error_is_a_receipt(
    portal: Portal, shop: Shop, person: Person, server: Server, status: int
) -> None:
    shop.answers["/callback"] = lambda _: Answer(status, headers={"Location": f"{shop.origin}/merci"})

    page = person.pay(person.open(portal.request()["url"]))

    wait_until(lambda: deliveries(server, page.payment) == [("sent", 1)])
    assert shop.on("/merci") == []


def test_a_portal_that_fails_is_told_the_same_again(portal: Portal, shop: Shop, person: Person, server: Server) -> None:
    shop.answers["/callback"] = lambda _: Answer(403 if len(shop.heard) == 1 else 200)
    page = person.pay(person.open(portal.request()["url"]))
    wait_until(lambda: deliveries(server, page.payment) == [("new", 1)])

    let_pass(server, page.payment, timedelta(minutes=2))

    wait_until(lambda: deliveries(server, page.payment) == [("sent", 2)])
    first, second = shop.on("/callback")
    assert first.body == second.body


@pytest.mark.parametrize(
    "query",
    [
        "NUMCLI=004200&EXER=2026&REFDET={debt}&OBJET=Cantine&MONTANT=9612&MEL={email}&URLCL={url}&SAISIE=T",
        "saisie=T&urlcl={url}&mel={email}&montant=9612&objet=Cantine&refdet={debt}&exer=2026&numcli=004200",
        "numcli=004200&exer=2026&refdet={debt}&objet=Cantine&montant=09612&mel={email}&{url}&saisie=T",
        "numcli=4200&exer=2026&refdet={debt}&objet=Cantine&montant=9612&mel={email}&urlcl={url}&saisie=T&openInPopUp=true&year=2026",
    ],
    ids=["upper-case names", "shuffled and not encoded", "an address without its name", "unknown names"],
)
def test_an_address_written_by_hand_leads_to_the_page(server: Server, shop: Shop, person: Person, query: str) -> None:
    debt, url = new_debt(), f"{shop.origin}/tipi?idretour=12/a"

    page = person.open(f"{server.base_url}/tpa/paiement.web?{query.format(debt=debt, email=EMAIL, url=url)}")
    person.cancel(page)

    heard = shop.wait("/tipi")
    assert (heard.form["refdet"], heard.form["mel"], heard.form["resultrans"]) == (debt, EMAIL, "A")
    assert heard.query == "idretour=12/a"


def test_what_was_sent_comes_back_byte_for_byte(server: Server, shop: Shop, person: Person) -> None:
    debt, url = f"AbC{new_debt()}", f"{shop.origin}/tipi"
    query = f"numcli=004200&exer=2026&refdet={debt}&objet=Cantine+de++mai&montant=0912&mel=a+b@example.org&urlcl={url}"

    person.cancel(person.open(f"{server.base_url}/tpa/paiement.web?{query}&saisie=X"))

    told = shop.wait("/tipi").form
    assert (told["refdet"], told["objet"], told["montant"]) == (debt, "Cantine de  mai", "0912")
    assert (told["mel"], told["saisie"]) == ("a+b@example.org", "X")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"saisie": "W"}, "S1"),
        ({"numcli": "999999"}, "T2"),
        ({"refdet": "F2"}, "R3"),
        ({"mel": "famille"}, "A2"),
        ({"montant": "99"}, "M3"),
        ({"objet": "Crèche"}, "O1"),
    ],
)
def test_a_wrong_address_is_a_page_for_the_payer(
    server: Server, shop: Shop, changes: dict[str, str], code: str
) -> None:
    asked = {
        "numcli": "004200", "exer": "2026", "refdet": new_debt(), "objet": "Cantine", "montant": "9612", "mel": EMAIL,
        "saisie": "T", "urlcl": f"{shop.origin}/tipi",
    }  # fmt: skip

    reply = get(f"{server.base_url}/tpa/paiement.web", {**asked, **changes})

    assert (reply.status_code, f">{code} (400)<" in reply.text) == (400, True), reply.text
    assert shop.heard == []


def test_the_ledger_of_a_titre_is_paid_once(server: Server, shop: Shop, person: Person) -> None:
    query = (
        f"numcli=004201&exer=9999&refdet=999900000000999999&montant=9612&mel={EMAIL}&urlcl={shop.origin}/tipi&saisie=T"
    )
    address = f"{server.base_url}/tpa/paiement.web?{query}"

    person.pay(person.open(address))
    again = get(address)

    assert shop.wait("/tipi").form["resultrans"] == "P"
    assert (again.status_code, ">R2 (400)<" in again.text) == (400, True), again.text


def test_a_refused_card_may_be_followed_by_a_good_one(portal: Portal, shop: Shop, person: Person) -> None:
    page = person.open(portal.request()["url"])

    for _ in range(TRIES_MAX - 1):
        page = person.press(person.enter(page, "4000000000510000"), "retry")
    person.pay(page)

    assert portal.wait()["result"] == "PAID"
    assert len(shop.on("/callback")) == 1
