"""The clients of the older protocols against published vectors, and against what must not be believed."""

import base64
import hashlib
import hmac
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
import requests
import responses

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "portal"))

import qr
from payline_client import Payline, PaylineRefused
from proof import GuichetUnreachable, NotVerified
from spplus_client import SpPlus
from systempay_client import Systempay
from tipi_client import Tipi

GUICHET = "http://127.0.0.1:8000"

# SP Plus: the demonstration shop of the bank's kits.
SHOP = SpPlus(GUICHET, "00000000000001-01", "58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79")
ASKED = "siret=00000000000001-01&reference=ali20090528102502&langue=FR&devise=978&montant=158.50&taxe=0.00"
ASKED_URL = f"{GUICHET}/paiement/init.do?{ASKED}&hmac=0FFD9F837BD2DA1BFAB794D57A42931E9AF9E5DF"

# Systempay: the sample of the vendor's guide.
SITE = Systempay(GUICHET, "12345678", "1122334455667788")
GUIDE = {
    "vads_action_mode": "INTERACTIVE",
    "vads_amount": "5124",
    "vads_ctx_mode": "TEST",
    "vads_currency": "978",
    "vads_page_action": "PAYMENT",
    "vads_payment_config": "SINGLE",
    "vads_site_id": "12345678",
    "vads_trans_date": "20170129130025",
    "vads_trans_id": "123456",
    "vads_version": "V2",
}
ACCEPTED = {
    "vads_action_mode": "INTERACTIVE",
    "vads_amount": "15850",
    "vads_auth_mode": "FULL",
    "vads_auth_number": "3fcdd2",
    "vads_auth_result": "00",
    "vads_capture_delay": "0",
    "vads_card_brand": "CB",
    "vads_card_number": "497010XXXXXX0000",
    "vads_ctx_mode": "TEST",
    "vads_currency": "978",
    "vads_cust_name": "Jean Michél",
    "vads_effective_amount": "15850",
    "vads_extra_result": "",
    "vads_operation_type": "DEBIT",
    "vads_order_id": "ali20090528102502",
    "vads_page_action": "PAYMENT",
    "vads_payment_config": "SINGLE",
    "vads_result": "00",
    "vads_site_id": "12345678",
    "vads_trans_date": "20260101100000",
    "vads_trans_id": "A1b2C3",
    "vads_trans_status": "AUTHORISED",
    "vads_trans_uuid": "0123456789abcdef0123456789abcdef",
    "vads_url_check_src": "PAY",
    "vads_version": "V2",
    "signature": "ojddL+jk6hyoan5vJDYdgccgxJADH3xpfj6gWQdg/fk=",
}

TIPI = Tipi(GUICHET, "004200")
TIPI_ASKED = TIPI.fields("X9600301010", 24311, "2026", "Étude & garderie / été", "a@b.fr")
TIPI_TOLD = {**TIPI_ASKED, "resultrans": "P", "numauto": "A55A", "dattrans": "04052026", "heurtrans": "1325"}

SERVICE = f"{GUICHET}/V4/services/WebPaymentAPI"
PAYLINE = Payline(GUICHET, "1234567890", "DJMESHXYou6LmjQFdH", "1234567")


@pytest.mark.parametrize(
    ("values", "signature"),
    [
        (["coin"], "C04F8266D6AE3CE37551CCE996C751BE4A95D10A"),
        (["coin", "toto"], "EF008E02F8DBF5E70E83DA416B0B3A345DB203DE"),
        (
            ["00000000000001-01", "ref123456", "FR", "978", "10.00", "0.0", ""],
            "B904A738323EF88372DE75C83722F6E179CC089A",
        ),
    ],
)
def test_spplus_signs_as_the_banks_kits_do(values: list[str], signature: str) -> None:
    assert SHOP.sign(values) == signature


def test_spplus_signs_every_value_of_the_address() -> None:
    more = {"email": "j.durand@example.com", "urlretour": "http://127.0.0.1:8001/retour", "arg1": ""}

    url = SHOP.depart("ali20090528102502", 15850, "31/12/2099", more).url

    assert url == (
        f"{GUICHET}/paiement/init.do?siret=00000000000001-01&reference=ali20090528102502&langue=FR&devise=978"
        "&montant=158.50&taxe=0.00&validite=31%2F12%2F2099&version=1&modalite=1x&moyen=CBS"
        "&email=j.durand%40example.com&urlretour=http%3A%2F%2F127.0.0.1%3A8001%2Fretour"
        "&hmac=1A4D2D5E455DDCAA5AEAF9C1089205189C12B093"
    )


@pytest.mark.parametrize(
    ("etat", "signature", "meaning"),
    [
        ("1", "96785F248BF349A95B7FFDABE4594B18B2599810", "payment.succeeded"),
        ("4", "C3D9AD716A4729B1479D58F781304C9B4654E697", "payment.remittance_planned"),
        ("10", "75A596403F95B1FF33E97D35D7B3C2CCDF5EE3CC", "payment.remitted"),
        ("2", "220E08B8F9C468A79E00E4946869C40D8377AD1B", "payment.refused"),
        ("12", "13BE3366C74F9D709247BEE2A459A6E3DB789F20", "payment.abandoned"),
        ("99", "8C9A0F68CBD43CD3148DED380E14C843F23F2D93", "etat.99"),
    ],
)
def test_spplus_reads_the_states_of_a_payment(etat: str, signature: str, meaning: str) -> None:
    told = SHOP.read(f"{ASKED}&refsfp=36628282&etat={etat}&hmac={signature}", ASKED_URL)

    assert (told.type, told.reference, told.amount_cents, told.payment) == (
        meaning,
        "ali20090528102502",
        15850,
        "36628282",
    )


@pytest.mark.parametrize(
    "query",
    [
        "",
        ASKED,
        f"{ASKED}&refsfp=36628282&etat=1&hmac=",
        f"{ASKED}&refsfp=36628282&etat=1&hmac=96785F248BF349A95B7FFDABE4594B18B2599811",
        f"{ASKED}&refsfp=36628282&etat=2&hmac=96785F248BF349A95B7FFDABE4594B18B2599810",
        # A genuine refusal or success cut anew, whose signature still stands.
        f"{ASKED}&refsfp=3662828&etat=21&hmac=96785F248BF349A95B7FFDABE4594B18B2599810",
        f"{ASKED}&refsfp=366282821&etat=&hmac=96785F248BF349A95B7FFDABE4594B18B2599810",
        f"{ASKED.replace('158.50&taxe=0.00', '158.5&taxe=00.00')}&refsfp=36628282&etat=1"
        "&hmac=96785F248BF349A95B7FFDABE4594B18B2599810",
        f"{ASKED}&refsfp=36628282&etat=1&hmac=96785F248BF349A95B7FFDABE4594B18B259981é",
    ],
)
def test_spplus_does_not_believe_what_is_unsigned_altered_or_cut_anew(query: str) -> None:
    with pytest.raises(NotVerified):
        SHOP.read(query, ASKED_URL)


def test_systempay_signs_as_the_guide_does() -> None:
    assert SITE.sign(GUIDE) == "ycA5Do5tNvsnKdc/eP1bj2xa19z9q3iWPy9/rpesfS0="


def test_systempay_fills_a_form_that_an_independent_reading_of_the_guide_accepts() -> None:
    form = dict(SITE.depart("THP-1", 7450, {"cust_email": "é@example.org", "url_check": ""}).fields)

    signature = form.pop("signature")
    text = "+".join(form[name] for name in sorted(form)) + "+1122334455667788"
    digest = hmac.new(b"1122334455667788", text.encode(), hashlib.sha256).digest()
    assert base64.b64encode(digest).decode() == signature
    assert (form["vads_amount"], form["vads_ctx_mode"], len(form["vads_trans_id"])) == ("7450", "TEST", 6)


def test_systempay_reads_a_notification() -> None:
    told = SITE.read(ACCEPTED)

    assert (told.type, told.reference, told.amount_cents, told.currency) == (
        "payment.succeeded",
        "ali20090528102502",
        15850,
        "EUR",
    )
    assert (told.card["last4"], told.card["authorisation_number"]) == ("0000", "3fcdd2")


@pytest.mark.parametrize(
    "change",
    [
        {"vads_amount": "15851"},
        {"vads_trans_status": "CAPTURED"},
        {"vads_more": ""},
        {"signature": ""},
        {"signature": "é"},
    ],
)
def test_systempay_does_not_believe_one_altered_field(change: dict[str, str]) -> None:
    with pytest.raises(NotVerified):
        SITE.read({**ACCEPTED, **change})


@pytest.mark.parametrize("change", [{"vads_site_id": "87654321"}, {"vads_ctx_mode": "PRODUCTION"}])
def test_systempay_does_not_believe_another_shop_or_mode_of_the_same_key(change: dict[str, str]) -> None:
    fields = {**ACCEPTED, **change}

    with pytest.raises(NotVerified):
        SITE.read({**fields, "signature": SITE.sign(fields)})


def test_tipi_writes_the_label_with_the_signs_the_treasury_takes() -> None:
    url = urlsplit(TIPI.depart(TIPI_ASKED, "http://127.0.0.1:8001/sistec/notification").url)

    assert url.path == "/tpa/paiement.web"
    assert {name: value for name, (value,) in parse_qs(url.query).items()} == {
        "numcli": "004200",
        "exer": "2026",
        "refdet": "X9600301010",
        "objet": "Etude garderie ete",
        "montant": "24311",
        "mel": "a@b.fr",
        "saisie": "T",
        "urlcl": "http://127.0.0.1:8001/sistec/notification",
    }


@pytest.mark.parametrize(
    ("letter", "meaning"), [("P", "payment.succeeded"), ("R", "payment.refused"), ("A", "payment.abandoned")]
)
def test_tipi_reads_the_three_results(letter: str, meaning: str) -> None:
    told = TIPI.read({**TIPI_TOLD, "resultrans": letter}, TIPI_ASKED)

    assert (told.type, told.reference, told.amount_cents) == (meaning, "X9600301010", 24311)


@pytest.mark.parametrize(
    "change",
    [
        *({name: "1"} for name in ("numcli", "exer", "refdet", "objet", "montant", "mel", "saisie")),
        *({"resultrans": letter} for letter in ("V", "p", "")),
        {"dattrans": "4 mai"},
    ],
)
def test_tipi_does_not_believe_what_differs_from_the_request(change: dict[str, str]) -> None:
    with pytest.raises(NotVerified):
        TIPI.read({**TIPI_TOLD, **change}, TIPI_ASKED)


def answer(operation: str, inner: str) -> str:
    """An answer of Payline, in prefixes of its own."""
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<{operation}Response xmlns="http://impl.ws.payline.experian.com"'
        f' xmlns:o="http://obj.ws.payline.experian.com">{inner}</{operation}Response></s:Body></s:Envelope>'
    )


def details(code: str, word: str) -> str:
    """An answer about a payment of 96,12 euros."""
    return answer(
        "getWebPaymentDetails",
        f"<result><o:code>{code}</o:code><o:shortMessage>{word}</o:shortMessage></result>"
        "<payment><o:amount>9612</o:amount><o:currency>978</o:currency></payment>"
        "<card><o:number>497010XXXXXX1646</o:number><o:type>CB</o:type></card><order><o:ref>LF-1</o:ref></order>",
    )


def open_page() -> tuple[str, str]:
    """Ask for the page of one payment."""
    order = {"ref": "LF-1", "amount": "9612", "date": "21/11/2026 10:00", "label": "Cantine <4e>"}
    urls = dict.fromkeys(("returnURL", "cancelURL", "notificationURL"), "http://127.0.0.1:8001/x?a=1&b=2")
    return PAYLINE.open_page(order, urls, {"email": "a@example.org"})


@responses.activate
def test_payline_asks_for_a_page_with_the_shops_credentials() -> None:
    url = f"{GUICHET}/v2/?token=T1"
    body = f"<result><o:code>00000</o:code></result><token>T1</token><redirectURL>{url}</redirectURL>"
    responses.post(SERVICE, body=answer("doWebPayment", body))

    assert open_page() == ("T1", url)

    request = responses.calls[0].request
    assert request.headers["Authorization"] == "Basic MTIzNDU2Nzg5MDpESk1FU0hYWW91NkxtalFGZEg="
    assert isinstance(request.body, bytes)
    sent = ET.fromstring(request.body)  # noqa: S314 - our own
    texts = {element.tag.rpartition("}")[2]: element.text for element in sent.iter()}
    assert (texts["amount"], texts["ref"], texts["comment"]) == ("9612", "LF-1", "Cantine <4e>")
    assert texts["returnURL"] == "http://127.0.0.1:8001/x?a=1&b=2"
    message = sent.find(".//{http://impl.ws.payline.experian.com}payment")
    assert message is not None
    assert message[0].tag == "{http://obj.ws.payline.experian.com}amount"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, answer("doWebPayment", "<result><o:code>02305</o:code></result><token/><redirectURL/>")),
        (200, answer("doWebPayment", "<result><o:code>00000</o:code></result><token>T</token>")),
        (
            200,
            answer(
                "doWebPayment",
                "<result><o:code>00000</o:code></result><token>T</token><redirectURL>javascript:1</redirectURL>",
            ),
        ),
        (401, "Unauthorized"),
    ],
)
@responses.activate
def test_payline_without_a_usable_page_is_a_refusal(status: int, body: str) -> None:
    responses.post(SERVICE, body=body, status=status)

    with pytest.raises(PaylineRefused):
        open_page()


@pytest.mark.parametrize(
    ("code", "word", "meaning"),
    [
        ("00000", "ACCEPTED", "payment.succeeded"),
        ("01116", "REFUSED", "payment.refused"),
        ("02319", "CANCELLED", "payment.cancelled"),
        ("02014", "CANCELLED", "payment.cancelled"),
        ("02324", "REFUSED", "payment.expired"),
    ],
)
@responses.activate
def test_payline_reads_what_became_of_a_payment(code: str, word: str, meaning: str) -> None:
    responses.post(SERVICE, body=details(code, word))

    told = PAYLINE.details("T1")

    assert told is not None
    assert (told.type, told.reference, told.amount_cents, told.currency) == (meaning, "LF-1", 9612, "EUR")
    assert told.card["last4"] == "1646"


@pytest.mark.parametrize(
    ("code", "word"), [("02306", "INPROGRESS"), ("02533", "REFUSED"), ("02015", "REFUSED"), ("04003", "PENDING_RISK")]
)
@responses.activate
def test_payline_tells_an_open_payment_from_a_refused_one(code: str, word: str) -> None:
    responses.post(SERVICE, body=details(code, word))

    assert PAYLINE.details("T1") is None


@responses.activate
def test_payline_does_not_believe_a_token_nobody_gave() -> None:
    result = "<result><o:code>02304</o:code><o:shortMessage>ERROR</o:shortMessage></result>"
    responses.post(SERVICE, body=answer("getWebPaymentDetails", result))

    with pytest.raises(NotVerified):
        PAYLINE.details("T1")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        '<!DOCTYPE x [<!ENTITY a "00000">]>' + details("&a;", "ACCEPTED").partition("?>")[2],
        answer("doWebPayment", ""),
        # A database that is busy says nothing of the payment.
        answer("getWebPaymentDetails", "<result><o:code>02101</o:code><o:shortMessage>ERROR</o:shortMessage></result>"),
        requests.ConnectionError("reset"),
    ],
)
@responses.activate
def test_payline_without_an_answer_that_makes_sense_is_unreachable(body: str | Exception) -> None:
    responses.post(SERVICE, body=body)

    with pytest.raises(GuichetUnreachable):
        PAYLINE.details("T1")


def test_a_printed_code_is_what_an_independent_encoder_draws() -> None:
    # segno 1.6.6, fourteen "x", version 1-M; the text fills the symbol, so nothing is left to padding.
    expected = [
        "1fc77f",
        "105c41",
        "17475d",
        "174e5d",
        "17515d",
        "104e41",
        "1fd57f",
        "000600",
        "154812",
        "0999dd",
        "086f77",
        "13aa22",
        "175c88",
        "0015dd",
        "1fc777",
        "104623",
        "175c8a",
        "1749de",
        "175775",
        "104222",
        "1fdc8b",
    ]

    assert [f"{int(''.join(map(str, row)), 2):06x}" for row in qr.encode(b"x" * 14)] == expected


@pytest.mark.parametrize(("length", "side"), [(14, 21), (15, 25), (62, 33), (84, 37), (106, 41)])
def test_a_longer_address_takes_a_larger_code(length: int, side: int) -> None:
    assert len(qr.encode(b"x" * length)) == side


def test_an_address_that_no_code_holds_is_said_to_be_too_long() -> None:
    with pytest.raises(ValueError, match="too long"):
        qr.draw("x" * 107)
