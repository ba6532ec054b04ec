"""The developer's pages, over messages that were really delivered: by the outbox, through SMTP, into the inbox."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.channels.catcher import Catcher
from gateway.channels.inbox import Inbox
from gateway.core.payment import PaymentResult
from gateway.parts import Parts
from gateway.settings import Settings, load
from tests import factories
from tests.support.clock import Clock

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
# The discard port of this machine, where nobody listens: what the portal is told is another test's matter.
NOWHERE = "http://127.0.0.1:9/confirmations"
ROUTES = ("inbox", "inbox.json", "inbox/1.M1P1Q1.host", "inbox/1.M1P1Q1.host/html", "inbox/1.M1P1Q1.host/0", "cards")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite only: what is shown here lies in files, so the engine makes no difference."""
    return sqlite_url


@pytest.fixture
def inbox(home: Path) -> Inbox:
    return Inbox(home / "var/inbox")


@pytest.fixture
def settings(home: Path, database_url: str, inbox: Inbox) -> Iterator[Settings]:
    with Catcher("127.0.0.1", 0, inbox) as catcher:
        yield load(home, {"GUICHET_DATABASE_URL": database_url, "GUICHET_SMTP__PORT": str(catcher.port)})


@pytest.fixture
def paid(parts: Parts) -> PaymentResult:
    """Pay with a code: one SMS, a mail to the payer, a mail to the merchant."""
    payment = factories.open_payment(parts, notify_url=NOWHERE, reference="FACT-2026-1")
    factories.enter(parts, payment, factories.CHALLENGE)
    parts.checkout.paying.answer_challenge(payment.id, factories.read_code(parts, payment))
    parts.checkout.settling.authorise(payment.id)
    factories.deliver(parts)
    return payment


def _messages(client: FlaskClient, query: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.get(f"/_test/inbox.json{query}").get_json()["messages"]
    return found


def _ticket(mail: dict[str, object]) -> dict[str, object]:
    attachments = mail["attachments"]
    assert isinstance(attachments, list)
    (ticket,) = attachments
    assert isinstance(ticket, dict)
    return ticket


def _a_mail(**parts: str) -> bytes:
    mail = EmailMessage()
    mail["To"], mail["Subject"], mail["Date"] = "someone@example.org", "Votre reçu", AT
    mail.set_content("Bonjour")
    if "html" in parts:
        mail.add_alternative(parts["html"], subtype="html")
    if "file" in parts:
        main, _, sub = parts["type"].partition("/")
        mail.add_attachment(b"content", maintype=main, subtype=sub, filename=parts["file"])
    return mail.as_bytes()


def test_a_delivered_sms_is_told_with_its_code(client: FlaskClient, paid: PaymentResult) -> None:
    (sms,) = _messages(client, "?kind=sms")

    code = str(sms["code"])
    assert re.fullmatch(r"[0-9]{6}", code)
    assert set(sms) == {"kind", "to", "at", "payment", "text", "code"}
    assert sms["kind"] == "sms"
    assert sms["at"] == "2026-11-21T10:00:00+00:00"
    assert sms["payment"] == paid.id
    assert re.fullmatch(r"\+33639980\d{3}", str(sms["to"]))
    assert str(sms["text"]).startswith(f"{code} : votre code pour payer 96,12 EUR à Ville de Démonstration.")
    assert str(sms["text"]).endswith(f"\n@127.0.0.1 #{code}")


@pytest.mark.usefixtures("paid")
def test_a_delivered_mail_is_told_with_its_ticket(client: FlaskClient) -> None:
    (mail,) = _messages(client, "?to=famille@example.org")

    assert set(mail) == {"kind", "to", "at", "payment", "text", "subject", "html", "attachments"}
    assert mail["kind"] == "mail"
    assert mail["subject"] == "[TEST] Paiement de la commande FACT-2026-1 - Ville de Démonstration"
    assert "FACT-2026-1" in str(mail["text"])
    assert str(mail["html"]).startswith("<!doctype html>")
    ticket = _ticket(mail)
    assert set(ticket) == {"name", "content_type", "size", "url"}
    assert ticket["name"] == "ticket-client-0000000001.pdf"
    assert ticket["content_type"] == "application/pdf"


@pytest.mark.usefixtures("paid")
def test_an_attachment_is_where_the_list_says(client: FlaskClient) -> None:
    (mail,) = _messages(client, "?to=famille@example.org")
    ticket = _ticket(mail)

    answer = client.get(str(ticket["url"]))

    assert answer.status_code == 200
    assert answer.content_type == "application/pdf"
    assert answer.data.startswith(b"%PDF-")
    assert len(answer.data) == ticket["size"]
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''ticket-client-0000000001.pdf"


def test_the_list_is_narrowed_by_kind_payment_and_receiver(client: FlaskClient, paid: PaymentResult) -> None:
    receivers = {str(one["to"]) for one in _messages(client, "?kind=mail")}

    assert receivers == {"famille@example.org", "regisseur@demonstration.example"}
    assert [one["kind"] for one in _messages(client, f"?payment={paid.id}")].count("sms") == 1
    assert len(_messages(client, f"?payment={paid.id}")) == 3
    assert len(_messages(client, f"?payment={paid.id}&kind=mail&to=FAMILLE@example.org")) == 1


@pytest.mark.parametrize("query", ["?kind=fax", "?payment=pay_other", "?to=nobody@example.org", "?kind=sms&to=a@b.c"])
@pytest.mark.usefixtures("paid")
def test_what_matches_nothing_lists_nothing(client: FlaskClient, query: str) -> None:
    assert _messages(client, query) == []


def test_the_newest_message_comes_first(client: FlaskClient, inbox: Inbox) -> None:
    for text in ("text one", "text two", "text three"):
        inbox.add_sms("+33639980001", text, "pay_1", AT)

    assert [one["text"] for one in _messages(client)] == ["text three", "text two", "text one"]
    page = client.get("/_test/inbox").text
    assert page.index("text three") < page.index("text two") < page.index("text one")


def test_a_list_is_bounded(client: FlaskClient, inbox: Inbox) -> None:
    for number in range(101):
        inbox.add_sms("+33639980001", f"message {number}", "pay_1", AT)

    assert len(_messages(client)) == 100
    assert "The newest 100 messages" in client.get("/_test/inbox").text


def test_a_payment_s_newest_code_stands_at_the_top(client: FlaskClient, inbox: Inbox) -> None:
    inbox.add_sms("+33639980001", "111111 : code\n\n@127.0.0.1 #111111", "pay_1", AT)
    inbox.add_sms("+33639980001", "222222 : code\n\n@127.0.0.1 #222222", "pay_1", AT)
    inbox.add_sms("+33639980002", "333333 : code\n\n@127.0.0.1 #333333", "pay_2", AT)

    page = client.get("/_test/inbox?payment=pay_1").text

    assert '<p class="big-code">222222</p>' in page
    assert "333333" not in page
    assert 'href="/_test/inbox?payment=pay_1">Refresh</a>' in page


def test_a_payment_without_a_code_is_told_so(client: FlaskClient, inbox: Inbox) -> None:
    inbox.add_sms("+33639980001", "111111 : code\n\n@127.0.0.1 #111111", "pay_1", AT)

    assert "No code was sent for this payment so far." in client.get("/_test/inbox?payment=pay_2").text
    assert "big-code" not in client.get("/_test/inbox").text


def test_the_filter_form_keeps_what_was_asked(client: FlaskClient) -> None:
    page = client.get("/_test/inbox?kind=sms&payment=pay_1&to=a@b.example").text

    assert '<option value="sms" selected>SMS</option>' in page
    assert 'name="payment" type="text" value="pay_1"' in page
    assert 'name="to" type="text" value="a@b.example"' in page
    assert '<form class="filters" method="get"' in page


@pytest.mark.usefixtures("paid")
def test_the_list_leads_to_each_message_and_ticket(client: FlaskClient) -> None:
    page = client.get("/_test/inbox").text

    links = set(re.findall(r'href="(/_test/inbox/[^"]+)"', page))
    assert len(links) == 5
    assert {client.get(link).status_code for link in links} == {200}
    assert re.search(r"ticket-client-0000000001\.pdf</a>\s*<span class=\"hint\">application/pdf, \d+\.\d kB<", page)


def test_a_mail_is_read_as_text_and_in_a_sandboxed_frame(client: FlaskClient, inbox: Inbox) -> None:
    key = inbox.add_mail(_a_mail(html="<p>Bonjour <b>à vous</b>", file="reçu.pdf", type="application/pdf"))

    page = client.get(f"/_test/inbox/{key}")

    assert f'<iframe class="letter" sandbox src="/_test/inbox/{key}/html"' in page.text
    assert ">Bonjour</pre>" in page.text
    assert "reçu.pdf" in page.text
    assert "à vous" not in page.text
    assert client.get(f"/_test/inbox/{key}/html").text.startswith("<p>Bonjour <b>à vous</b>")


def test_only_the_page_of_a_mail_may_hold_a_frame(client: FlaskClient, inbox: Inbox) -> None:
    key = inbox.add_mail(_a_mail(html="<p>Bonjour"))

    policies = {
        path: client.get(path).headers["Content-Security-Policy"]
        for path in ("/", "/_test/inbox", "/_test/cards", f"/_test/inbox/{key}", f"/_test/inbox/{key}/html")
    }
    assert [path for path, policy in policies.items() if "frame-src" in policy] == [f"/_test/inbox/{key}"]
    assert [path for path, policy in policies.items() if "frame-ancestors 'self'" in policy] == [
        f"/_test/inbox/{key}/html"
    ]
    assert policies[f"/_test/inbox/{key}"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )


def test_a_hostile_mail_can_neither_run_nor_fetch(client: FlaskClient, inbox: Inbox) -> None:
    key = inbox.add_mail(_a_mail(html="<script>steal()</script>"))

    policy = client.get(f"/_test/inbox/{key}/html").headers["Content-Security-Policy"]

    assert policy == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
        "form-action 'none'; frame-ancestors 'self'; base-uri 'none'"
    )
    assert "steal()" not in client.get(f"/_test/inbox/{key}").text


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/xhtml+xml"])
def test_a_file_that_could_run_is_downloaded(client: FlaskClient, inbox: Inbox, content_type: str) -> None:
    key = inbox.add_mail(_a_mail(file='a"b/c.html', type=content_type))

    answer = client.get(f"/_test/inbox/{key}/0")

    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''a")
    assert '"' not in answer.headers["Content-Disposition"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_texts_of_messages_are_escaped_everywhere(client: FlaskClient, inbox: Inbox) -> None:
    key = inbox.add_sms("<i>to</i>", "<b>text</b> http://127.0.0.1/t/x", "<u>pay</u>", AT)

    for page in (client.get("/_test/inbox").text, client.get(f"/_test/inbox/{key}").text):
        assert "&lt;b&gt;text" in page
        assert re.search(r"<[biu]>", page) is None
    assert '<a href="http://127.0.0.1/t/x" rel="noopener noreferrer" target="_blank">' in page


@pytest.mark.parametrize(
    "path", ["1.M1P1Q1.host", "nothing", "..%2Fguichet.sqlite", "1.M1P1Q1.host/html", "1.M1P1Q1.host/0"]
)
def test_an_unknown_message_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(f"/_test/inbox/{path}").status_code == 404


def test_a_message_has_no_more_parts_than_it_has(client: FlaskClient, inbox: Inbox) -> None:
    key = inbox.add_sms("+33639980001", "text", "pay_1", AT)

    assert client.get(f"/_test/inbox/{key}/html").status_code == 404
    assert client.get(f"/_test/inbox/{key}/0").status_code == 404
    assert "<iframe" not in client.get(f"/_test/inbox/{key}").text


def test_the_cards_are_listed_with_what_happens_in_both_languages(client: FlaskClient) -> None:
    page = client.get("/_test/cards").text

    assert page.count('class="pan"') == 135
    row = page.partition("<span>4000</span><span>0000</span><span>0051</span><span>0000</span>")[2].partition("</tr>")[
        0
    ]
    assert "Refused: insufficient funds" in row
    assert '<span class="title-fr" lang="fr">Refusée : provision insuffisante</span>' in row
    assert "51 funds" in row
    assert "<code>000</code> and <code>0000</code>" in page


def test_amounts_that_force_a_refusal_are_listed_with_what_they_mean(client: FlaskClient) -> None:
    page = client.get("/_test/cards").text

    listed = re.findall(
        r'<span class="figure">([\d.]+)</span> <span class="amount-what">(.+?) <span class="refusal">(..)<', page
    )
    assert len(listed) == 29
    assert ("333.51", "Insufficient funds", "51") in listed
    assert ("333.16", "3-D Secure wanted", "16") in listed
    assert ("333.54", "Expired, keep the card", "33") in listed
    assert "any approved card of Payline or of Guichet’s own set" in page
    assert 'class="figure"' in client.get("/_test/cards?outcome=refused").text
    assert 'class="figure"' not in client.get("/_test/cards?outcome=approved").text


@pytest.mark.parametrize(
    ("outcome", "shown", "hidden"),
    [
        ("approved", "<span>4242</span><span>4242</span><span>4242</span><span>4242</span>", "Refused"),
        ("code", "<span>4000</span><span>0000</span><span>0000</span><span>3220</span>", "Refused"),
        ("refused", "Refused: insufficient funds", "Approved without a question"),
        ("authentication", "3-D Secure: authentication refused (N)", "Refused: insufficient funds"),
        ("unclear", "Approved slowly (6 seconds)", "Approved without a question"),
        ("silent", "Silent bank: the request never arrived", "Approved without a question"),
        ("afterwards", "Approved, then refund refused", "Approved without a question"),
    ],
)
def test_the_cards_are_narrowed_by_outcome(client: FlaskClient, outcome: str, shown: str, hidden: str) -> None:
    page = client.get(f"/_test/cards?outcome={outcome}").text

    assert shown in page
    assert hidden not in re.sub(r'<nav class="outcomes".*?</nav>', "", page, flags=re.DOTALL)
    assert f'<a href="/_test/cards?outcome={outcome}" aria-current="true">' in page


def test_every_card_stands_under_one_outcome(client: FlaskClient) -> None:
    links = re.findall(r'href="(/_test/cards\?outcome=\w+)"', client.get("/_test/cards").text)

    assert sum(client.get(link).text.count('class="pan"') for link in links) == 135


def test_an_unknown_outcome_is_not_found(client: FlaskClient) -> None:
    assert client.get("/_test/cards?outcome=lottery").status_code == 404


@pytest.mark.parametrize("path", ["/", "/_test/inbox", "/_test/cards", "message"])
def test_the_pages_need_no_script_and_load_nothing_foreign(client: FlaskClient, inbox: Inbox, path: str) -> None:
    key = inbox.add_mail(_a_mail(html="<p>Bonjour"))

    page = client.get(f"/_test/inbox/{key}" if path == "message" else path).text

    assert re.findall(r"<script|<style|\sstyle=|\son\w+=|javascript:", page) == []
    loaded = re.findall(r'<(?:link|img|iframe)[^>]*?(?:href|src)="([^"]+)"', page)
    assert all(address.startswith(("/static/", "/_test/")) for address in loaded)


def test_home_leads_the_developer_on_in_test_mode(client: FlaskClient) -> None:
    page = client.get("/").text

    assert 'data-page="home"' in page
    for address in ("/docs", "/_test/cards", "/_test/inbox", "/healthz", "/readyz"):
        assert f'<a href="{address}"' in page
        assert client.get(address).status_code in (200, 503)


@pytest.fixture
def live_client(home: Path, database_url: str, clock: Clock) -> Iterator[FlaskClient]:
    """Give a client of a server where one merchant is past its tests."""
    book = home / "config/merchants.toml"
    book.write_text(
        book.read_text("utf-8").replace("[merchants.jvs-demo]", '[merchants.jvs-demo]\nmode = "activation"')
    )
    settings = load(home, {"GUICHET_DATABASE_URL": database_url})
    app: Flask = create_app(home, clock.now, settings=settings)
    yield app.test_client()
    app.extensions["gateway"].checkout.desk.store.engine.dispose()


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_is_caught_or_shown_beside_a_live_merchant(live_client: FlaskClient, inbox: Inbox, route: str) -> None:
    inbox.add_sms("+33639980001", "111111 : code\n\n@127.0.0.1 #111111", "pay_1", AT)

    answer = live_client.get(f"/_test/{route}")

    assert answer.status_code == 404
    assert "111111" not in answer.text


def test_a_refusal_explains_nothing_beside_a_live_merchant(client: FlaskClient, live_client: FlaskClient) -> None:
    here, there = (one.get("/tpa/paiement.web?saisie=X&numcli=nobody").text for one in (client, live_client))

    assert "numcli is 6 digits" in here
    assert 'data-page="error"' in there
    assert "numcli is 6 digits" not in there


def test_home_is_calm_beside_a_live_merchant(live_client: FlaskClient) -> None:
    page = live_client.get("/").text

    assert 'data-page="home"' in page
    assert "Passez par le site de votre mairie" in page
    assert "use the payment link on the site of your town hall" in page
    assert re.search(r"_test|/docs|Test mode|developer", page) is None
