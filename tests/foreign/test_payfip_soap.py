"""The PayFiP web service through SOAP clients, each over our own WSDL: PHP's SoapClient, Node's soap, zeep and suds.

Not run, since no package registry has them: the Sylius plug-in (its calls, and its reading of faults by their status,
are replayed by raw requests), Horanet's module for Odoo (likewise, with the ElementTree paths it uses), and whole
applications such as SchoolBusManager, Seolan, Lutece or IDemat, whose calls are SoapClient's or a WCF proxy's.
"""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from tests.foreign.driver import Driver, Failed
from tests.foreign.payer import Person
from tests.foreign.raw import Reply, post
from tests.foreign.shop import Shop
from tests.foreign.treasury import EMAIL, new_debt
from tests.support.server import Server, get

SERVICE = "/tpa/services/securite"
GUIDE = "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService"
NOBODYS = "b4d09716-a494-486a-a361-673752f205a1"

# As recorded.
R3 = "Le format du paramètre REFDET n'est pas conforme"

Call = Callable[..., Any]


def members(shop: Shop, **changes: str) -> dict[str, str]:
    """Give the members of one request, in the order of the schema."""
    return {
        "exer": "2026", "mel": EMAIL, "montant": "9612", "numcli": "102030", "objet": "Cantine", "refdet": new_debt(),
        "saisie": "T", "urlnotif": f"{shop.origin}/callback", "urlredirect": f"{shop.origin}/back?facture=12", **changes,
    }  # fmt: skip


@pytest.fixture(params=["zeep", "suds", "php", "node"])
def call(request: pytest.FixtureRequest, server: Server) -> Call:
    """Give one published client: ``call(operation, members, path=...)`` answers the members of ``return``."""
    name = str(request.param)
    driver: Driver = request.getfixturevalue({"zeep": "soap", "suds": "soap"}.get(name, name))

    def call(operation: str, arguments: dict[str, str], path: str = SERVICE) -> Any:
        wsdl = f"{server.base_url}{path}?wsdl"
        answer = driver.ask(name, wsdl=wsdl, operation=operation, arguments={"arg0": arguments})
        # The Python ones take the wrapper off by themselves, zeep a single member's too.
        answer = answer["return"] if name in ("php", "node") else answer
        return {"idOp": answer} if isinstance(answer, str) else answer

    return call


@pytest.mark.parametrize("path", [SERVICE, GUIDE], ids=["real address", "address of the guide"])
def test_every_client_walks_through_a_payment(
    call: Call, path: str, shop: Shop, person: Person, server: Server
) -> None:
    asked = members(shop)
    client = call("recupererDetailClient", {"numCli": "102030"}, path)
    idop = call("creerPaiementSecurise", asked, path)["idOp"]
    with pytest.raises(Failed):
        call("recupererDetailPaiementSecurise", {"idOp": idop}, path)
    page = person.pay(person.open(f"{server.base_url}/tpa/paiementws.web?idop={idop}"))

    detail = call("recupererDetailPaiementSecurise", {"idOp": idop}, path)

    assert client["libelleN2"] == "Ville de Démonstration"
    echoed = ("exer", "mel", "montant", "numcli", "objet", "refdet", "saisie")
    assert {name: detail[name] for name in echoed} == {name: asked[name] for name in echoed}
    assert (detail["idOp"], detail["resultrans"]) == (idop, "P")
    assert (len(detail["dattrans"]), len(detail["heurtrans"]), bool(detail["numauto"])) == (8, 4, True)
    assert person.follow_out(page, "return") == f"{shop.origin}/back?facture=12&idop={idop}"


def test_every_client_reads_a_refusal_and_a_cancellation(
    call: Call, shop: Shop, person: Person, server: Server
) -> None:
    letters = []
    for leave in (person.be_refused, person.cancel):
        idop = call("creerPaiementSecurise", members(shop))["idOp"]
        leave(person.open(f"{server.base_url}/tpa/paiementws.web?idop={idop}"))
        letters.append(call("recupererDetailPaiementSecurise", {"idOp": idop})["resultrans"])

    assert letters == ["R", "A"]


@pytest.mark.parametrize(
    ("operation", "changes", "code", "libelle"),
    [
        ("creerPaiementSecurise", {"refdet": "F202"}, "R3", R3),
        ("creerPaiementSecurise", {"mel": "x", "montant": "99999999999"}, "A2", "Adresse mél incorrecte. "),
        ("recupererDetailPaiementSecurise", {"idOp": NOBODYS}, "P1", "IdOp incorrect."),
        ("recupererDetailClient", {"numCli": "999999"}, "T2", "Ce numéro de client n'est pas enregistré."),
    ],
    ids=["R3", "A2", "P1", "T2"],
)
def test_php_reads_the_properties_of_a_fault(
    php: Driver, server: Server, shop: Shop, operation: str, changes: dict[str, str], code: str, libelle: str
) -> None:
    asked = members(shop, **changes) if operation == "creerPaiementSecurise" else changes

    with pytest.raises(Failed) as fault:
        php.ask("call", wsdl=f"{server.base_url}{SERVICE}?wsdl", operation=operation, arguments={"arg0": asked})

    assert fault.value.text == "fr.gouv.finances.cp.tpa.webservice.exceptions.FonctionnelleErreur"
    told = fault.value.facts["detail"]["FonctionnelleErreur"]
    assert told == {"code": code, "descriptif": "", "libelle": libelle, "severite": "2"}


@pytest.mark.parametrize("client", ["zeep", "node"])
def test_other_clients_read_the_same_of_a_fault(client: str, request: pytest.FixtureRequest, server: Server) -> None:
    driver: Driver = request.getfixturevalue("soap" if client == "zeep" else client)

    with pytest.raises(Failed) as fault:
        driver.ask(
            client,
            wsdl=f"{server.base_url}{SERVICE}?wsdl",
            operation="recupererDetailPaiementSecurise",
            arguments={"arg0": {"idOp": NOBODYS}},
        )

    facts = fault.value.facts
    told = facts["detail"] if client == "zeep" else facts["fault"]["detail"]["FonctionnelleErreur"]
    assert (told["code"], told["libelle"], told["severite"]) == ("P1", "IdOp incorrect.", "2")


NS = (
    "http://securite.service.tpa.cp.finances.gouv.fr/services/mas_securite/contrat_paiement_securise"
    "/PaiementSecuriseService"
)


def written(operation: str, fields: dict[str, str]) -> str:
    """Write an envelope as clients without a SOAP library do: no declaration, blanks around, an empty header."""
    inner = "".join(f"\n    <{name}>{value}</{name}>" for name, value in fields.items())
    return (
        '\n  <soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        f' xmlns:pai="{NS}"><soapenv:Header/><soapenv:Body>'
        f"<pai:{operation}><arg0>{inner}\n  </arg0></pai:{operation}></soapenv:Body></soapenv:Envelope>\n "
    )


def tree(reply: Reply) -> Element:
    return ElementTree.fromstring(reply.body)  # noqa: S314 - what our own server said


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/xml"},
        {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
        {"Content-Type": "application/x-www-form-urlencoded", "SOAPAction": ""},
    ],
    ids=["no header at all", "no action", "quoted action", "empty action"],
)
def test_a_written_envelope_is_read_whatever_http_says_of_it(
    server: Server, shop: Shop, headers: dict[str, str]
) -> None:
    shuffled = dict(reversed(members(shop).items()))

    reply = post(f"{server.base_url}{SERVICE}", written("creerPaiementSecurise", shuffled), headers)

    # Neither name has a namespace, or clients with ElementTree find nothing.
    found = tree(reply).findtext(".//return/idOp")
    assert (reply.status, len(found or "")) == (200, 36), reply.body
    assert reply.headers["content-type"] == "text/xml;charset=utf-8"


def test_a_client_that_reads_error_statuses_alone_learns_of_p5_and_r3(server: Server, shop: Shop) -> None:
    made = post(f"{server.base_url}{SERVICE}", written("creerPaiementSecurise", members(shop)))
    idop = tree(made).findtext(".//idOp") or ""

    waiting = post(f"{server.base_url}{SERVICE}", written("recupererDetailPaiementSecurise", {"idOp": idop}))
    wrong = post(f"{server.base_url}{SERVICE}", written("creerPaiementSecurise", members(shop, refdet="F202")))

    assert (waiting.status, wrong.status) == (500, 500)
    assert tree(waiting).findtext(".//code") == "P5"
    fault = tree(wrong)
    assert (fault.findtext(".//code"), fault.findtext(".//libelle")) == ("R3", R3)


def test_a_member_nobody_knows_is_ignored(server: Server, shop: Shop) -> None:
    asked = members(shop)
    fields = {**{name: value for name, value in asked.items() if name not in ("objet", "exer")}, "object": "Cantine"}

    reply = post(f"{server.base_url}{SERVICE}", written("creerPaiementSecurise", fields))

    assert (reply.status, "<idOp>" in reply.body) == (200, True), reply.body


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_a_form_may_bring_the_payer_with_more_than_the_idop(
    server: Server, shop: Shop, person: Person, node: Driver, way: str
) -> None:
    asked = {"operation": "creerPaiementSecurise", "arguments": {"arg0": members(shop)}}
    idop = node.ask("call", wsdl=f"{server.base_url}{SERVICE}?wsdl", **asked)["return"]["idOp"]
    address, fields = f"{server.base_url}/tpa/paiementws.web", {"idop": idop, "amount": "96.12", "return_url": "/x"}

    if way == "GET":
        page = person.open(f"{address}?idop={idop}&amount=96.12&return_url=/x&data_set=1")
    else:
        page = person.submit(address, list(fields.items()))

    assert page.name == "card"


def test_a_saved_wsdl_finds_its_schemas_beside_either_address(server: Server) -> None:
    for folder in ("/tpa/services", GUIDE.rpartition("/")[0]):
        for number in (1, 2, 3):
            found = get(f"{server.base_url}{folder}/PaiementSecuriseService_schema{number}.xsd")
            assert (found.status_code, found.content) == (
                200,
                get(f"{server.base_url}{SERVICE}?xsd={number}").content,
            )
