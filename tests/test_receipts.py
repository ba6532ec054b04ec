"""Receipts: what they say, the PDF ticket, the mail, the HTML ticket."""

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import Markup
from pypdf import PdfReader

from gateway.core.errors import BadField
from gateway.core.languages import CODES
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Line, Mode, Payee, PaymentRequest, PaymentResult, RefundResult
from gateway.core.states import AttemptStatus, Status
from gateway.links import Links
from gateway.receipts import Receipt, pdf, sheet
from gateway.receipts.codes import code_svg
from gateway.receipts.content import language_of
from gateway.receipts.mail import Envelope, compose, environment
from gateway.receipts.press import Press
from gateway.receipts.sheet import Label
from gateway.receipts.words import WORDS, direction, format_moment, format_money, receipt_language

TEMPLATES = Path(__file__).resolve().parents[1] / "checkout_templates"
WINTER = datetime(2015, 3, 17, 13, 31, 5, tzinfo=UTC)
LINES = (
    Line("2014/15-P4-7", "Cantine, période 4", Money(9612)),
    Line("2014/15-P1-6", "Garderie, période 1", Money(114_388)),
)
PAYEE = Payee(
    "falaise-demo",
    "La Falaise - Régie périscolaire",
    "Restauration scolaire",
    ("120 rue de Bercy", "75012 PARIS"),
    "2339303",
    "regie@la-falaise.example",
    "01 40 04 04 04",
    Mode.PRODUCTION,
)
REQUEST = PaymentRequest(
    "falaise-demo",
    "CDE-4232",
    Money(124_000),
    LINES,
    "Cantine",
    payer_name="Élodie Nœl",
    beneficiary="Léa Nœl",
    comment="Merci de créditer Léa",
)
ATTEMPT = AttemptResult(
    "att_2", 2, AttemptStatus.CAPTURED, "cb", "497010", "1234", WINTER, authorisation_number="A55A01"
)
REFUSED = AttemptResult("att_1", 1, AttemptStatus.DECLINED, "visa", "411111", "9999", WINTER)
PAID = PaymentResult(
    "pay_7Q2mX9",
    "250317000089",
    REQUEST,
    PAYEE,
    Status.PAID,
    WINTER,
    WINTER,
    paid_at=WINTER,
    email="parent@wanadoo.example",
    attempts=(REFUSED, ATTEMPT),
    refunds=(
        RefundResult("ref_1", Money(3560), "done", WINTER + timedelta(days=120)),
        RefundResult("ref_2", Money(1000), "done", WINTER + timedelta(days=121)),
    ),
)
PRESS = Press(Links("https://guichet.example", (b"page key",), (b"ticket key",)))
IN_TEST = replace(PAID, payee=replace(PAYEE, mode=Mode.TEST))
PAYER_FACTS = {
    "order": "CDE-4232",
    "number": "250317000089",
    "date": "17/03/2015 à 14:31 CET",
    "operation": "DÉBIT",
    "amount": "1\u202f240,00\u00a0EUR",
    "means": "Carte bancaire CB",
    "payer_name": "Élodie Nœl",
    "email": "parent@wanadoo.example",
    "beneficiary": "Léa Nœl",
    "scheme": "CB",
    "card": "•••• •••• •••• 1234",
    "contract": "2339303",
    "authorisation": "A55A01",
    "entry": "Saisie manuelle, vente à distance",
}


@pytest.fixture(scope="module")
def templates() -> Environment:
    return environment(TEMPLATES)


def paid(result: PaymentResult = PAID, audience: str = "payer") -> Receipt:
    return Receipt.of(result, "payment.succeeded", audience)


def read_pdf(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


def mail(receipt: Receipt, templates: Environment, language: str = "fr", **envelope: str) -> EmailMessage:
    given = {
        "notice": "evt_1",
        "target": "parent@wanadoo.example",
        "sender": "Guichet <justificatif@guichet.example>",
        "ticket_url": "https://guichet.example/t/abc",
    } | envelope
    sent = compose(receipt, Envelope(**given, at=WINTER), templates, language, PRESS)
    return message_from_bytes(sent.as_bytes(), policy=policy.default)


def parts(message: EmailMessage) -> tuple[str, str]:
    return tuple(str(message.get_body((kind,)).get_content()) for kind in ("plain", "html"))  # type: ignore[union-attr,return-value]  # both are there, or the test fails


def test_the_payers_copy_states_every_field() -> None:
    assert {row.key: row.value for row in paid().rows("fr")} == PAYER_FACTS


def test_the_merchants_copy_adds_the_comment_alone() -> None:
    rows = {row.key: row.value for row in paid(audience="merchant").rows("fr")}

    assert rows == PAYER_FACTS | {"comment": "Merci de créditer Léa"}


def test_the_english_receipt_says_the_same_in_english() -> None:
    rows = {row.label: row.value for row in paid().rows("en")}

    assert rows["Order number"] == "CDE-4232"
    assert rows["Amount"] == "1,240.00\u00a0EUR"
    assert rows["Date and time"] == "17 Mar 2015 at 14:31 CET"
    assert rows["Entry mode"] == "Manual key-in, distance selling"


def test_a_refund_receipt_states_the_refund_it_is_asked_for_and_the_original() -> None:
    receipt = Receipt.of(PAID, "payment.refunded", "payer", refund="ref_1")

    rows = {row.key: row.value for row in receipt.rows("fr")}
    assert rows["operation"] == "REMBOURSEMENT"
    assert rows["amount"] == "35,60\u00a0EUR"
    assert rows["date"] == "15/07/2015 à 15:31 CEST"
    assert rows["original"] == "1\u202f240,00\u00a0EUR, 17/03/2015 à 14:31 CET"


def test_the_latest_refund_is_meant_when_none_is_named() -> None:
    assert Receipt.of(PAID, "payment.refunded", "payer").amount == Money(1000)


@pytest.mark.parametrize(("event", "refund"), [("payment.refused", ""), ("payment.refunded", "ref_9")])
def test_no_receipt_is_made_of_anything_else(event: str, refund: str) -> None:
    with pytest.raises(BadField):
        Receipt.of(PAID, event, "payer", refund=refund)


def test_a_payment_without_lines_shows_its_own_reference() -> None:
    receipt = paid(replace(PAID, request=replace(REQUEST, lines=())))

    assert receipt.lines == (Line("CDE-4232", "Cantine", Money(124_000)),)


@pytest.mark.parametrize(
    ("audience", "name"),
    [("payer", "ticket-client-250317000089.pdf"), ("merchant", "ticket-merchant-250317000089.pdf")],
)
def test_the_file_name_says_whose_copy_it_is(audience: str, name: str) -> None:
    assert paid(audience=audience).file_name == name


def test_what_the_bank_statement_will_say_is_printed() -> None:
    named = replace(PAID, request=replace(REQUEST, statement="LA FALAISE CANTINE\u202e"))

    rows = {row.key: (row.label, row.value) for row in paid(named).rows("fr")}

    assert rows["statement"] == ("Libellé sur le relevé de compte", "LA FALAISE CANTINE")
    assert "LA FALAISE CANTINE" in read_pdf(pdf.render(paid(named), "fr"))
    assert "statement" not in {row.key for row in paid().rows("fr")}


def test_a_file_name_cannot_leave_its_directory() -> None:
    assert paid(replace(PAID, number='../x"\r\n1')).file_name == "ticket-client----x---1.pdf"


def test_the_refused_card_of_an_earlier_attempt_is_not_printed() -> None:
    assert "9999" not in read_pdf(pdf.render(paid(), "fr"))


def test_a_card_number_typed_into_a_free_text_is_masked() -> None:
    typed = replace(REQUEST, comment="ma carte 4111 1111-1111.1111, merci", payer_name="4111111111111111")

    rows = {row.key: row.value for row in paid(replace(PAID, request=typed), "merchant").rows("fr")}

    assert rows["comment"] == "ma carte •••• 1111, merci"
    assert rows["payer_name"] == "•••• 1111"


def test_no_free_text_brings_a_card_number_onto_a_ticket() -> None:
    number = "4111111111111111"
    texts: Mapping[str, Any] = dict.fromkeys(("payer_name", "beneficiary", "comment", "statement"), number)
    typed = replace(REQUEST, lines=(Line("R-1", number, REQUEST.amount),), **texts)

    receipt = paid(replace(PAID, request=typed), "merchant")

    assert receipt.lines[0].label == receipt.statement == "•••• 1111"
    assert number not in repr(receipt)


def test_a_reference_that_is_no_card_number_is_left_alone() -> None:
    typed = replace(REQUEST, comment="dossier 123456789012345678")

    assert paid(replace(PAID, request=typed), "merchant").comment == "dossier 123456789012345678"


def test_control_characters_and_reading_order_tricks_become_spaces() -> None:
    receipt = paid(replace(PAID, payee=replace(PAYEE, name="Régie\r\nBcc: x@y\u202eevil\x00")))

    assert receipt.payee_name == "Régie Bcc: x@y evil"


def test_tickets_speak_every_language_of_the_pages_with_the_same_words() -> None:
    def places(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name)

    assert set(WORDS) == set(CODES)
    for words in WORDS.values():
        assert {key: places(text) for key, text in words.items()} == {
            key: places(text) for key, text in WORDS["fr"].items()
        }
        assert all(words.values())


@pytest.mark.parametrize(
    ("language", "amount", "moment"),
    [
        ("fr", "1\u202f240,50\u00a0EUR", "17/03/2015 à 14:31 CET"),
        ("en", "1,240.50\u00a0EUR", "17 Mar 2015 at 14:31 CET"),
        ("es", "1.240,50\u00a0EUR", "17 mar 2015 a las 14:31 CET"),
        ("de", "1.240,50\u00a0EUR", "17.03.2015 um 14:31 CET"),
        ("nl", "1.240,50\u00a0EUR", "17 mrt 2015 om 14:31 CET"),
        ("pt", "1\u00a0240,50\u00a0EUR", "17/03/2015 às 14:31 CET"),
        ("it", "1.240,50\u00a0EUR", "17 mar 2015 alle 14:31 CET"),
        ("ar", "1.240,50\u00a0EUR", "17 مارس 2015، الساعة 14:31 CET"),
    ],
)
def test_amounts_and_moments_are_written_as_each_language_does(language: str, amount: str, moment: str) -> None:
    assert format_money(Money(124_050), language) == amount
    assert format_moment(WINTER, language) == moment


def test_the_payers_copy_is_in_the_payments_language_and_the_merchants_in_its_own() -> None:
    german = replace(PAID, request=replace(REQUEST, language="de"), payee=replace(PAYEE, language="nl"))

    assert language_of(german, "payer") == "de"
    assert language_of(german, "merchant") == "nl"
    assert language_of(replace(german, payee=PAYEE), "merchant") == "fr"


@pytest.mark.parametrize("language", sorted(WORDS))
def test_a_mail_and_a_page_are_whole_in_every_language(language: str, templates: Environment) -> None:
    message = mail(paid(IN_TEST), templates, language)

    words, turn = WORDS[language], "rtl" if language == "ar" else "ltr"
    plain_text, html = parts(message)
    for text in (plain_text, html, ticket_page(paid(IN_TEST), test_mode=True, language=language)):
        assert words["test_notice"] in text.replace("&#39;", "'")
        assert words["courtesy"] in text
        assert format_money(PAID.request.amount, language) in text
        assert "/v/" in text
    assert f'<html lang="{language}" dir="{turn}">' in html
    assert message["Content-Language"] == language
    assert f"[{words['test']}]" in message["Subject"]


def test_what_an_arabic_sentence_names_keeps_its_own_order(templates: Environment) -> None:
    assert "\u2068CDE-4232\u2069" in parts(mail(paid(), templates, "ar"))[0]
    assert "\u2068" not in parts(mail(paid(), templates, "fr"))[0]


def test_a_mail_loads_nothing_and_adapts_to_the_dark_and_to_a_telephone(templates: Environment) -> None:
    html = parts(mail(paid(), templates))[1]

    assert not re.search(r"<(img|link|script|iframe)|url\(|@import", html)
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert "max-width:600px" in html


@pytest.mark.parametrize(("asked", "used"), [("fr-BE", "fr"), ("pt_BR", "pt"), ("AR", "ar"), ("ja", "en"), ("", "en")])
def test_languages_without_words_of_their_own_read_english(asked: str, used: str) -> None:
    assert receipt_language(asked) == used


def test_amounts_have_their_currencys_digits() -> None:
    assert format_money(Money(1), "fr") == "0,01\u00a0EUR"
    assert format_money(Money(99_999_999), "en") == "999,999.99\u00a0EUR"
    assert format_money(Money(1500, "XPF"), "fr") == "1\u202f500\u00a0XPF"


def test_a_label_of_a_link_has_its_currencys_digits() -> None:
    address = "https://guichet.example/l/aaaa"
    label = Label(PAYEE, "F-1", "Cantine", Money(1500, "XPF"), None, "fr", address, address.upper())

    text = read_pdf(sheet.render([label], translations=TEMPLATES / "translations", at=WINTER))

    assert "1 500 FCFP" in text.replace("\u202f", " ").replace("\xa0", " ")


def test_summer_has_its_own_zone_abbreviation() -> None:
    assert format_moment(datetime(2015, 7, 1, 22, 5, tzinfo=UTC), "fr") == "02/07/2015 à 00:05 CEST"


@pytest.mark.parametrize("audience", ["payer", "merchant"])
def test_the_pdf_holds_every_field_as_text(audience: str) -> None:
    text = read_pdf(pdf.render(paid(audience=audience), "fr"))

    wanted = [value for key, value in PAYER_FACTS.items() if key != "means"]
    wanted += [text for line in LINES for text in (line.reference, line.label)]
    wanted += ["Ticket de paiement", "La Falaise - Régie périscolaire", "Restauration scolaire"]
    wanted += ["120 rue de Bercy, 75012 PARIS", "96,12\u00a0EUR", "1\u202f143,88\u00a0EUR", "Bonne journée"]
    wanted += ["Exemplaire client" if audience == "payer" else "Merci de créditer Léa", "pay_7Q2mX9"]
    flat = " ".join(text.split())
    assert [one for one in wanted if " ".join(one.split()) not in flat] == []


def test_the_pdf_is_small_titled_and_says_its_language() -> None:
    content = pdf.render(paid(), "fr")

    reader = PdfReader(io.BytesIO(content))
    assert len(content) < 40_000
    described = reader.xmp_metadata
    assert described is not None
    assert described.dc_title == {"x-default": "Ticket de paiement 250317000089"}
    assert described.dc_creator == ["La Falaise - Régie périscolaire"]
    assert described.pdfaid_part == "2"
    assert described.pdfaid_conformance == "A"
    assert str(reader.root_object["/Lang"]) == "fr"


def test_the_same_receipt_is_the_same_file_whenever_it_is_drawn() -> None:
    first = pdf.render(paid(), "fr")

    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC)):
        pdf.render(paid(IN_TEST, "merchant"), "en")
        again = pdf.render(paid(), "fr")

    assert again == first


def test_twelve_debts_fit_on_one_page_and_forty_flow_on() -> None:
    def pages(count: int) -> int:
        lines = tuple(Line(f"2014/15-P{number}", "Cantine et garderie", Money(100)) for number in range(count))
        request = replace(REQUEST, lines=lines, amount=Money(100 * count))
        content = pdf.render(paid(replace(IN_TEST, request=request), "merchant"), "fr")
        assert all(f"2014/15-P{number}" in read_pdf(content) for number in range(count))
        return len(PdfReader(io.BytesIO(content)).pages)

    assert pages(12) == 1
    assert pages(40) == 2


def test_test_mode_is_marked_on_every_page_and_production_is_not() -> None:
    assert "TEST - aucune somme n'est débitée" in read_pdf(pdf.render(paid(IN_TEST), "fr"))
    assert "TEST" not in read_pdf(pdf.render(paid(), "fr"))


def test_activation_mode_counts_as_a_test() -> None:
    assert paid(replace(PAID, payee=replace(PAYEE, mode=Mode.ACTIVATION))).test


@pytest.mark.parametrize(("language", "mark"), [("fr", "DUPLICATA"), ("en", "DUPLICATE")])
def test_a_ticket_made_again_is_marked(language: str, mark: str) -> None:
    again = Receipt.of(PAID, "payment.succeeded", "payer", duplicate=True)

    assert mark in read_pdf(pdf.render(again, language))
    assert mark not in read_pdf(pdf.render(paid(), language))


@pytest.mark.parametrize(
    "name", ["😀 汉字", "Δήμος Αθηναίων", "Щука", "x" * 4000, "mot " * 900, "\x00\x01", "<b>&amp;</b>", "Nguyễn"]
)
def test_hostile_and_foreign_names_are_printed(name: str) -> None:
    result = replace(
        PAID,
        payee=replace(PAYEE, name=name, address=(name,)),
        request=replace(REQUEST, comment=name, beneficiary=name, lines=(Line(name, name, Money(124_000)),)),
    )

    text = read_pdf(pdf.render(paid(result, "merchant"), "fr"))

    assert "1\u202f240,00\u00a0EUR" in text
    if name.isprintable() and len(name) < 20 and not name.startswith("😀"):
        assert name in text


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=120))
def test_any_text_can_be_printed(text: str) -> None:
    request = replace(REQUEST, comment=text, beneficiary=text, lines=(Line(text, text, Money(124_000)),))

    assert pdf.render(paid(replace(PAID, request=request), "merchant"), "fr").startswith(b"%PDF-")


def test_the_mail_states_every_field_in_text_and_html(templates: Environment) -> None:
    message = mail(paid(), templates)

    for body in parts(message):
        flat = " ".join(body.split())
        wanted = [*PAYER_FACTS.values(), "2014/15-P4-7", "Garderie, période 1", "120 rue de Bercy", "75012 PARIS"]
        wanted += ["La Falaise - Régie périscolaire", "https://guichet.example/t/abc", "regie@la-falaise.example"]
        assert [one for one in wanted if " ".join(one.split()) not in flat] == []
        assert "Votre paiement de la commande CDE-4232" in flat


def test_the_headers_of_a_production_mail(templates: Environment) -> None:
    message = mail(paid(), templates)

    assert message["Subject"] == "Paiement de la commande CDE-4232 - La Falaise - Régie périscolaire"
    assert message["From"] == "Guichet <justificatif@guichet.example>"
    assert message["To"] == "parent@wanadoo.example"
    assert message["Date"].datetime == WINTER
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Guichet-Payment"] == "pay_7Q2mX9"


def test_a_test_mail_says_so_in_sender_subject_and_body(templates: Environment) -> None:
    message = mail(paid(IN_TEST), templates)

    assert message["From"] == "Guichet <justificatif-TEST@guichet.example>"
    assert message["Subject"].startswith("[TEST] Paiement de la commande CDE-4232")
    assert all("TEST - aucune somme n" in body for body in parts(message))


def test_a_duplicate_says_so_in_subject_and_body(templates: Environment) -> None:
    message = mail(Receipt.of(PAID, "payment.succeeded", "payer", duplicate=True), templates)

    assert message["Subject"].startswith("[DUPLICATA] ")
    assert all("DUPLICATA" in body for body in parts(message))


def test_the_ticket_is_attached(templates: Environment) -> None:
    (attached,) = mail(paid(audience="merchant"), templates).iter_attachments()

    assert attached.get_filename() == "ticket-merchant-250317000089.pdf"
    assert attached.get_content_type() == "application/pdf"
    assert "A55A01" in read_pdf(attached.get_content())


def test_the_message_id_follows_the_notice_and_the_reader(templates: Environment) -> None:
    first = mail(paid(), templates)["Message-ID"]

    assert re.fullmatch(r"<[0-9a-f]{32}@guichet\.example>", first)
    assert mail(paid(), templates)["Message-ID"] == first
    assert mail(paid(), templates, target="autre@wanadoo.example")["Message-ID"] != first
    assert mail(paid(), templates, notice="evt_2")["Message-ID"] != first


def test_a_mail_tried_again_is_the_same_to_the_byte(templates: Environment) -> None:
    first, again = (mail(paid(), templates).as_bytes() for _ in range(2))

    assert again == first
    kinds = [part.get_content_type() for part in message_from_bytes(first, policy=policy.default).walk()]
    assert kinds == ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"]


def test_a_name_cannot_add_a_header_or_markup(templates: Environment) -> None:
    hostile = "Régie\r\nBcc: voleur@evil.example\r\n\r\n<script>alert(1)</script>"
    result = replace(PAID, payee=replace(PAYEE, name=hostile), request=replace(REQUEST, reference=hostile))

    message = mail(paid(result), templates)

    assert message["Bcc"] is None
    assert "<script>" not in parts(message)[1]
    assert "&lt;script&gt;" in parts(message)[1]


def test_an_encoded_word_in_a_reference_cannot_add_a_header(templates: Environment) -> None:
    hostile = "=?utf-8?q?a=0d=0aBcc=3ac=40d.example?="

    message = mail(paid(replace(PAID, request=replace(REQUEST, reference=hostile))), templates)

    assert message["Bcc"] is None
    assert "a=0d=0aBcc=3ac=40d.example" in message["Subject"]


@pytest.mark.parametrize(
    "target",
    ["a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example", "", "a", "a@b@c", "<a@b.example>", "a b@c.example",
     "=?utf-8?q?a=0d=0aBcc=3ac=40d.example?=@b.example", "a@=?utf-8?q?b=2ec=0d=0aBcc=3ad?=.example", "a@b].example"],
)  # fmt: skip
def test_a_target_that_is_not_one_address_is_refused(target: str, templates: Environment) -> None:
    with pytest.raises(BadField):
        mail(paid(), templates, target=target)


def test_a_very_long_name_does_not_break_the_subject(templates: Environment) -> None:
    message = mail(paid(replace(PAID, payee=replace(PAYEE, name="Régie " * 200))), templates)

    assert len(message["Subject"]) <= 150
    assert message["Subject"].startswith("Paiement de la commande CDE-4232 - Régie")


def test_no_document_shows_seven_digits_of_a_card(templates: Environment) -> None:
    message = mail(paid(), templates)
    shown = "\n".join([*parts(message), read_pdf(pdf.render(paid(), "fr")), str(message["Subject"])])

    assert "497010" not in shown
    shown = re.sub(r"https://\S+", "", shown)
    digits = re.sub(r"[ \-•]", "", shown.replace("250317000089", "").replace("2339303", "").replace("0140040404", ""))
    assert not re.search(r"\d{7}", digits.replace("0140040404", ""))


def ticket_page(receipt: Receipt, *, test_mode: bool, language: str = "fr") -> str:
    page = environment(TEMPLATES)
    page.globals["asset"] = lambda name: f"/static/{name}"
    return page.get_template("ticket/ticket.html").render(
        receipt=receipt,
        words=WORDS[language],
        language=language,
        direction=direction(language),
        pdf_url="/t/abc.pdf",
        check_url="https://guichet.example/v/abc",
        code=Markup(code_svg("https://guichet.example/v/abc", WORDS[language]["check_alt"])),  # noqa: S704 - drawn of our own words
        test_mode=test_mode,
    )


def test_the_html_ticket_shows_the_same_rows_under_a_strict_policy() -> None:
    page = ticket_page(paid(), test_mode=False)

    assert '<main class="ticket" data-page="ticket" data-payment="pay_7Q2mX9">' in page
    assert dict(re.findall(r'data-fact="(\w+)">([^<]*)<', page)) == PAYER_FACTS
    assert '<link rel="stylesheet" href="/static/ticket.css">' in page
    assert 'href="/t/abc.pdf"' in page
    assert " style=" not in page
    assert "<script" not in page
    assert "TEST" not in page


def test_the_html_ticket_is_marked_in_test_mode() -> None:
    assert "TEST - aucune somme n" in ticket_page(paid(IN_TEST), test_mode=True)


def test_the_typefaces_licence_is_beside_it() -> None:
    assert "Bitstream" in (TEMPLATES / "ticket" / "fonts" / "LICENSE.txt").read_text()
