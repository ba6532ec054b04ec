"""The PayFiP web service through eopayment 3.15: a portal's whole loop by its library, and its command line.

The answer is asked for inside the notification's own request, as portals do.
"""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.foreign.conftest import clean, found
from tests.foreign.driver import Driver
from tests.foreign.payer import Person, deliveries, let_pass
from tests.foreign.shop import Answer, Shop
from tests.foreign.treasury import EMAIL, Portal, new_debt
from tests.support import foreign
from tests.support.server import Server, get, make_home, running, wait_until

NOBODYS = "b4d09716-a494-486a-a361-673752f205a1"

# The treasury's published Mastercard test card.
MASTERCARD = "5017670000001800"


@pytest.fixture
def portal(eopayment: Driver, server: Server, shop: Shop) -> Portal:
    return Portal(eopayment, "payfip_ws", "102030", server, shop)


def test_a_portal_is_told_of_a_payment_before_the_payer_returns(portal: Portal, shop: Shop, person: Person) -> None:
    asked = portal.request(subject="Cantine de novembre")
    assert portal.status(asked["number"]) == "WAITING"
    page = person.open(asked["url"])
    assert portal.status(asked["number"]) == "WAITING"

    page = person.pay(page, MASTERCARD)
    person.open(person.follow_out(page, "return"))

    notified, back = shop.heard
    assert (notified.method, notified.path, notified.form) == ("POST", "/callback", {"idop": asked["number"]})
    assert (back.method, back.path, back.form) == ("GET", "/back", {"idop": asked["number"]})
    read = portal.wait()
    assert portal.read(back.query) == read
    assert (read["result"], read["order_id"], read["test"]) == ("PAID", asked["number"], True)
    assert read["bank_data"]["exer"] == "2026"
    assert read["bank_data"]["numauto"] in read["transaction_id"]


def test_a_portal_is_told_of_a_refusal(portal: Portal, shop: Shop, person: Person) -> None:
    asked = portal.request()
    page = person.be_refused(person.open(asked["url"]))

    assert (portal.wait()["result"], portal.wait()["bank_data"]["numauto"]) == ("DENIED", None)
    assert person.follow_out(page, "return") == f"{shop.origin}/back?idop={asked['number']}"


def test_a_portal_is_told_of_a_cancellation_and_believes_it_when_the_idop_has_died(
    portal: Portal, shop: Shop, person: Person, server: Server
) -> None:
    asked = portal.request()
    page = person.cancel(person.open(asked["url"]))

    # For some minutes it does not believe an A, for the real service lets the payer come back.
    assert portal.wait()["result"] == "WAITING"
    let_pass(server, page.payment, timedelta(minutes=30))

    assert portal.status(asked["number"]) == "CANCELLED"
    assert person.follow_out(page, "return") == f"{shop.origin}/back?idop={asked['number']}"


def test_a_portal_is_told_of_a_page_left_open(portal: Portal, person: Person, server: Server) -> None:
    asked = portal.request()
    page = person.open(asked["url"])

    let_pass(server, page.payment, timedelta(hours=3))

    assert portal.wait()["bank_data"]["resultrans"] == "A"
    assert person.open(page.url).name == "expired"


def test_a_portal_is_told_of_what_was_never_opened_and_loses_it_in_the_night(
    eopayment: Driver, shop: Shop, key_folder: Path, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "home", key_folder)
    settings = home / "config/gateway.toml"
    settings.write_text(settings.read_text().replace("Europe/Paris", noon(datetime.now(UTC))))

    with running(home, f"sqlite:///{home}/var/guichet.sqlite") as server:
        portal = Portal(eopayment, "payfip_ws", "102030", server, shop)
        asked = portal.request()

        let_pass(server, asked["number"], timedelta(hours=3))
        late = get(asked["url"])

        assert (late.status_code, ">P4 (400)<" in late.text) == (400, True)
        assert portal.wait()["result"] == "WAITING"
        let_pass(server, asked["number"], timedelta(days=2))
        assert portal.status(asked["number"]) == "EXPIRED"


def noon(now: datetime) -> str:
    """Name a zone where it is noon, so that no night lies within three hours; such names count from the other side."""
    return f"Etc/GMT{now.hour - 12:+}"


def test_a_portal_gets_a_new_idop_for_a_second_try(portal: Portal, person: Person) -> None:
    refdet = new_debt()
    first = portal.request(refdet=refdet)
    person.cancel(person.open(first["url"]))

    second = portal.request(refdet=refdet)
    person.pay(person.open(second["url"]))

    assert portal.wait(2)["result"] == "PAID"
    used = get(first["url"])
    assert (used.status_code, ">P3 (400)<" in used.text) == (400, True)


def test_a_portal_has_its_answer_when_the_notification_is_lost(
    portal: Portal, shop: Shop, person: Person, server: Server
) -> None:
    shop.answers["/callback"] = lambda _: Answer(503 if len(shop.on("/callback")) == 1 else 200)
    asked = portal.request()
    page = person.pay(person.open(asked["url"]))

    assert portal.status(asked["number"]) == "PAID"
    wait_until(lambda: deliveries(server, page.payment) == [("new", 1)])
    let_pass(server, page.payment, timedelta(minutes=2))
    wait_until(lambda: deliveries(server, page.payment) == [("sent", 2)])


def test_the_command_line_walks_through_a_payment(server: Server, shop: Shop, person: Person, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        return command_line(server, tmp_path, *words)

    assert "libelleN2: Ville de Démonstration" in run("info-client", "102030")
    made = run("get-idop", "102030", *wished(shop))
    idop = made.split()[1]
    address = f"{server.base_url}/tpa/paiementws.web?idop={idop}"
    assert run("info-paiement", idop) == 'PayFiP ERROR : P5 "Résultat de la transaction non connu."\n'
    person.pay(person.open(address))

    assert "'resultrans': 'P'" in run("info-paiement", idop)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"refdet": "F202"}, 'R3 "Le format du paramètre REFDET n\'est pas conforme"'),
        ({"mel": "famille", "montant": "99999999999"}, 'A2 "Adresse mél incorrecte. "'),
    ],
)
def test_the_command_line_tells_the_recorded_anomalies(
    server: Server, shop: Shop, tmp_path: Path, changes: dict[str, str], answer: str
) -> None:
    made = command_line(server, tmp_path, "get-idop", "102030", *wished(shop, **changes))

    assert made == f"PayFiP ERROR : {answer}\n"


def test_the_command_line_does_not_know_a_stranger(server: Server, tmp_path: Path) -> None:
    assert "P1" in command_line(server, tmp_path, "info-paiement", NOBODYS)
    assert "T2" in command_line(server, tmp_path, "info-client", "999999")


def command_line(server: Server, home: Path, *words: str) -> str:
    """Run ``python -m eopayment.payfip_ws`` and give what it prints."""
    python = found(lambda: foreign.python_path("eopayment"))
    command = [
        str(python),
        "-m",
        "eopayment.payfip_ws",
        "--wsdl-url",
        f"{server.base_url}/tpa/services/securite?wsdl",
        *words,
    ]
    told = subprocess.run(command, env=clean(home), capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout


def wished(shop: Shop, **changes: str) -> list[str]:
    """Give the options of one debt of 96.12 EUR."""
    options = {
        "saisie": "T", "exer": "2026", "montant": "9612", "refdet": new_debt(), "mel": EMAIL, "objet": "Cantine",
        "url-notification": f"{shop.origin}/callback", "url-redirect": f"{shop.origin}/back",
    }  # fmt: skip
    return [word for name, value in {**options, **changes}.items() for word in (f"--{name}", value)]
