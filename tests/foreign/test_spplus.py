"""SP Plus against a live server, by a plain script: no published client of it runs on a Python of today.

The old eopayment back end and its copies are Python 2, the vendor's kits need a C library that PHP 5 loaded, and the
shops around them (CapDémat, Thelia, CS-Cart, a PrestaShop module) are whole applications. What they send is tried with
the vectors of the vendor's kits, over the demonstration shop whose key is printed in them; what they check is checked
here in a few lines of the standard library.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote, unquote

import pytest

from gateway.cli.payer import Page
from tests.foreign.payer import Person, deliveries, let_pass
from tests.foreign.raw import post
from tests.foreign.shop import Answer, Heard, Shop
from tests.support.server import Server, get, wait_until

SIRET = "00000000000001-01"
# What the printed demonstration key decrypts to.
KEY = bytes.fromhex("fabdb877b8ef7003f70350bb91090e76c5c75b29")

ENTRIES = ("/paiement/init.do", "/IPaiement/initialiserPaiement.do", "/cgis-bin/spdecrypt.exe")
TOLD = "/alise/notification"

# The service's own demonstration cards.
ACCEPTED, REFUSED = "1234567890123456", "0000000000000000"

# The kits' worked example, and the signature each of their functions makes of it.
WORKED = (
    "siret=00000000000001-01&reference=ali20090528102502&langue=FR&devise=978&montant=158.50&taxe=0.00"
    "&validite=31%2F12%2F2099&version=1&modalite=1x&moyen=CBS&email=j.durand%40example.com"
    "&urlretour=http%3A%2F%2F127.0.0.1%3A8001%2Fretour"
)
SIGNATURES = {
    "canonical seven": "04206A274ECDE714C5E1953586355F639B48FED9",
    "all values": "1A4D2D5E455DDCAA5AEAF9C1089205189C12B093",
    "all values as written": "57BFB389C45F5B1E96576105D164A48C90487553",
}
ENCODED = (
    "!c2lyZXQ9MDAwMDAwMDAwMDAwMDElMkQwMSZyZWZlcmVuY2U9cmVmMTIzNDU2Jmxhbmd1ZT1GUiZkZXZpc2U9OTc4Jm1vbnRhbnQ9MTAlMkUwMCZ0YX"
    "hlPTAlMkUwMCZ2YWxpZGl0ZT0zMSUyRjEyJTJGMjA5OSZtb3llbj1DQlMmbW9kYWxpdGU9MXgmZW1haWw9Ym9iJTQwZXhhbXBsZSUyRWNvbSZ1cmxyZX"
    "RvdXI9aHR0cCUzQSUyRiUyRjEyNyUyRTAlMkUwJTJFMSUzQTgwMDElMkZyZXRvdXImdmVyc2lvbj0xJmhtYWM9QkIwNTAwQjY5RUE4M0EzNzQxRDI0OU"
    "I2RjIzNUZBOTMzQzQ0NDk0RQ=="
)


def signed(text: str) -> str:
    return hmac.new(KEY, text.encode(), hashlib.sha1).hexdigest().upper()


def asked(reference: str, shop: Shop, **changes: str) -> str:
    """Write a request as a shop with the library does: the seven values signed, the rest beside them."""
    seven = {
        "siret": SIRET, "reference": reference, "langue": "FR", "devise": "978", "montant": "158.50", "taxe": "0.00",
        "validite": "31/12/2099", **changes,
    }  # fmt: skip
    beside = {"arg1": "commande 7", "email": "j.durand@example.com", "urlretour": f"{shop.origin}/retour?panier=7"}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in {**seven, **beside}.items())
    return f"{query}&hmac={signed(''.join(seven.values()))}"


def is_genuine(query: str) -> bool:
    """Check what came back as the vendor's PHP kit does: values as written, the signature at the very end."""
    values, _, proof = query.rpartition("&hmac=")
    return proof == signed("".join(pair.partition("=")[2] for pair in values.split("&")))


def new_reference() -> str:
    return f"spp{secrets.token_hex(6)}"


def states(canteen: Shop, reference: str) -> list[str]:
    """List the states told of a reference, oldest first."""
    return [heard.form["etat"] for heard in canteen.on(TOLD) if heard.form["reference"] == reference]


@pytest.fixture
def quiet(canteen: Shop) -> Shop:
    """Acknowledge as the kits do, in the middle of whatever else is printed."""
    canteen.answers[TOLD] = lambda _: Answer(body="<html>\nspcheckok\nERREUR_HMAC")
    return canteen


def come(server: Server, person: Person, query: str) -> Page:
    page = person.open(f"{server.base_url}{ENTRIES[0]}?{query}")
    assert page.name == "card", page
    return page


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("way", list(SIGNATURES))
def test_each_signature_of_the_kits_opens_the_page(server: Server, person: Person, entry: str, way: str) -> None:
    page = person.open(f"{server.base_url}{entry}?{WORKED}&hmac={SIGNATURES[way]}")

    assert page.name == "card"


@pytest.mark.parametrize(
    "encoded",
    [
        ENCODED,
        ENCODED.rstrip("="),
        ENCODED + "=",
        ENCODED[:1024] + "%0A" + ENCODED[1024:],
        ENCODED[:90] + "%0D%0A" + ENCODED[90:],
    ],
    ids=["as published", "unpadded", "stray sign", "line end last", "line end inside"],
)
def test_the_hidden_query_of_the_kit_opens_the_page(server: Server, person: Person, encoded: str) -> None:
    assert person.open(f"{server.base_url}{ENTRIES[0]}?{encoded}").name == "card"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"{WORKED.replace('158.50', '1.50')}&hmac={SIGNATURES['canonical seven']}", "HMAC"),
        (WORKED + "&montant=1.00&hmac=" + SIGNATURES["canonical seven"], "FORM"),
        (WORKED, "FIELD"),
        (WORKED.replace("00000000000001-01", "99999999999999-01") + "&hmac=" + SIGNATURES["canonical seven"], "SIRET"),
    ],
    ids=["another amount", "two amounts", "no signature", "nobody's shop"],
)
def test_an_altered_request_is_a_page_for_the_payer(server: Server, query: str, code: str) -> None:
    reply = get(f"{server.base_url}{ENTRIES[0]}?{query}")

    assert (reply.status_code, f">{code} (400)<" in reply.text) == (400, True), reply.text


def test_a_success_is_told_in_three_steps_and_by_the_return(
    server: Server, quiet: Shop, shop: Shop, person: Person
) -> None:
    reference = new_reference()
    page = person.pay(come(server, person, asked(reference, shop)), ACCEPTED)

    person.open(person.follow_out(page, "return"))
    wait_until(lambda: states(quiet, reference) == ["1", "4"])
    person.close_day()
    wait_until(lambda: states(quiet, reference) == ["1", "4", "10"])

    told = [heard for heard in quiet.on(TOLD) if heard.form["reference"] == reference]
    back = shop.wait("/retour")
    assert [heard.method for heard in (*told, back)] == ["GET"] * 4
    assert [is_genuine(heard.query) for heard in told] == [True] * 3
    assert is_genuine(back.query)
    for heard in (*told, back):
        echoed = ("siret", "montant", "taxe", "devise", "arg1", "email", "validite")
        assert {name: heard.form[name] for name in echoed} == {
            "siret": SIRET, "montant": "158.50", "taxe": "0.00", "devise": "978", "arg1": "commande 7",
            "email": "j.durand@example.com", "validite": "31/12/2099",
        }  # fmt: skip
        assert len(heard.form["refsfp"]) == 8
    assert (back.form["etat"], back.form["panier"]) == ("1", "7")
    wait_until(lambda: deliveries(server, page.payment) == [("sent", 1)] * 3)


def expire(person: Person, page: Page, server: Server) -> Page:
    let_pass(server, page.payment, timedelta(hours=2))
    page = person.open(page.url)
    assert page.name == "expired"
    return page


@pytest.mark.parametrize(
    ("leave", "etat"),
    [
        (lambda person, page, _: person.be_refused(page, REFUSED), "2"),
        (lambda person, page, _: person.cancel(page), "12"),
        (expire, "12"),
    ],
    ids=["refused", "cancelled", "expired"],
)
def test_what_came_to_nothing_is_told(
    server: Server,
    quiet: Shop,
    shop: Shop,
    person: Person,
    leave: Callable[[Person, Page, Server], Page],
    etat: str,
) -> None:
    reference = new_reference()
    page = leave(person, come(server, person, asked(reference, shop)), server)

    person.open(person.follow_out(page, "return"))

    back = shop.wait("/retour")
    wait_until(lambda: states(quiet, reference) == [etat])
    assert (back.form["etat"], is_genuine(back.query)) == (etat, True)
    # What was left may be paid at once.
    assert come(server, person, asked(reference, shop)).payment != page.payment


def test_a_shop_that_does_not_acknowledge_is_told_again(
    server: Server, canteen: Shop, shop: Shop, person: Person
) -> None:
    reference = new_reference()

    def answer(_: Heard) -> Answer:
        return Answer(body="spcheckok" if len(states(canteen, reference)) > 1 else "OK")

    canteen.answers[TOLD] = answer
    page = person.cancel(come(server, person, asked(reference, shop)))
    wait_until(lambda: deliveries(server, page.payment) == [("new", 1)])

    let_pass(server, page.payment, timedelta(minutes=2))

    wait_until(lambda: deliveries(server, page.payment) == [("sent", 2)])
    first, second = (heard for heard in canteen.on(TOLD) if heard.form["reference"] == reference)
    assert first.query == second.query


def test_a_paid_reference_is_not_paid_again(server: Server, quiet: Shop, shop: Shop, person: Person) -> None:
    reference = new_reference()
    person.pay(come(server, person, asked(reference, shop)), ACCEPTED)

    again = get(f"{server.base_url}{ENTRIES[0]}?{asked(reference, shop)}")

    assert (again.status_code, ">PAYE (409)<" in again.text) == (409, True)
    assert "12" not in states(quiet, reference)


def test_an_order_past_its_day_is_refused(server: Server, shop: Shop) -> None:
    reply = get(f"{server.base_url}{ENTRIES[0]}?{asked(new_reference(), shop, validite='20/11/2020')}")

    assert (reply.status_code, ">VALIDITE (400)<" in reply.text) == (400, True)


def test_the_remote_signer_signs_for_a_shop_without_the_library(server: Server, shop: Shop, person: Person) -> None:
    unsigned = asked(new_reference(), shop).rpartition("&hmac=")[0]

    line = get(f"{server.base_url}/cgi-bin/hmac_001.exe?{unsigned}").text

    # As the published module cuts it.
    assert person.open(line[:2048].split("'")[1]).name == "card"


def test_a_shop_asks_for_the_state_of_a_payment(server: Server, quiet: Shop, shop: Shop, person: Person) -> None:
    reference = new_reference()
    person.pay(come(server, person, asked(reference, shop)), ACCEPTED)
    wait_until(lambda: states(quiet, reference)[:1] == ["1"])
    proof = signed(f"etatpaiement{SIRET[:14]}{reference}")
    query = f"action=etatpaiement&siret={SIRET}&reference={reference}"

    told = get(f"{server.base_url}/administration/spadm/spadminservlet?{query}&hmac={proof}").text
    forged = get(f"{server.base_url}/administration/spadm/spadminservlet?{query}&hmac={'0' * 40}").text

    assert told.startswith("reference;idtftpaie;etatpaie;libetatpaie;payscarte;numautopaie;mode")
    assert f"\n{reference};" in told
    assert ";TERMINE;" in told
    assert forged.strip() == "spadminko"


def test_a_form_may_carry_the_request(server: Server, shop: Shop) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    reply = post(f"{server.base_url}{ENTRIES[0]}", asked(new_reference(), shop), headers)

    assert (reply.status, "/p/" in unquote(reply.headers["location"])) == (303, True)
