"""What the payer's forms accept, how they word what they refuse, and what they forget."""

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from gateway.core.errors import CardRefused
from gateway.steps.card import CardForm, EmailRule
from gateway.steps.challenge import ChallengeForm
from gateway.web.rendering import init_rendering
from gateway.web.stages import card_form

HOME = Path(__file__).parents[2]
TODAY = date(2026, 11, 21)
GOOD = {"number": "4970 1000 0000 0001", "expiry": "03/28", "security_code": "123", "email": "claire@exemple.fr"}


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a test key", WTF_CSRF_ENABLED=False)
    init_rendering(app, HOME)
    return app


def post(app: Flask, email_rule: EmailRule = "required", /, **changes: str) -> CardForm:
    """Fill the card page with good values, changed as told, and check it."""
    with app.test_request_context(method="POST", data=GOOD | changes):
        form = CardForm(today=TODAY, email_rule=email_rule)
        form.validate()
        # Messages are translated when read, and need the request for it.
        form.said = {name: [str(text) for text in texts] for name, texts in form.errors.items()}
        return form


def test_a_good_card_becomes_an_entry(app: Flask) -> None:
    form = post(app, brand="cb", email=" claire@exemple.fr ")

    assert form.errors == {}
    assert form.entry().number.reveal() == "4970100000000001"
    assert (form.entry().expiry.year, form.entry().expiry.month) == (2028, 3)
    assert form.entry().security_code == "123"
    assert (form.scheme, form.address) == ("cb", "claire@exemple.fr")


@pytest.mark.parametrize("number", ["4970-1000.0000 0001", "4970\u00a01000\u202f0000\u00a00001", " 4970100000000001 "])
def test_a_pasted_number_of_any_shape_is_taken(app: Flask, number: str) -> None:
    assert post(app, number=number).entry().number.last4 == "0001"


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("number", "", "Saisissez le numéro"),
        ("number", "497O 1000 0000 0001", "uniquement les chiffres"),
        ("number", "4970 1000", "de 12 à 19 chiffres"),
        ("expiry", "", "03/28"),
        ("expiry", "mars 2028", "03/28"),
        ("expiry", "13/28", "de 01 à 12"),
        ("expiry", "10/26", "Si elle est passée"),
        ("security_code", "", "au dos de la carte"),
        ("security_code", "12", "chiffres du cryptogramme"),
        ("security_code", "1234", "3 chiffres"),
        ("email", "", "nom@exemple.fr"),
        ("email", "claire@exemple", "en entier"),
        ("email", "claire@exemple.fr,autre@exemple.fr", "en entier"),
        ("email", "=?utf-8?q?a=0d=0aBcc=3ac?=@exemple.fr", "en entier"),
        ("email", "claire@exem\x00ple.fr", "en entier"),
        ("email", "claire@exemple].fr", "en entier"),
        ("brand", "unknown", "Choisissez une autre marque"),
    ],
)
def test_each_fault_is_told_at_its_field(app: Flask, field: str, typed: str, said: str) -> None:
    form = post(app, "required", **{field: typed})

    assert list(form.said) == [field]
    assert said in form.said[field][0]


def test_all_faults_are_told_at_once(app: Flask) -> None:
    form = post(app, number="12", expiry="0", security_code="x", email="")

    assert set(form.said) == {"number", "expiry", "security_code", "email"}


def test_a_card_is_good_in_the_last_month_written_on_it(app: Flask) -> None:
    assert post(app, expiry="11/26").errors == {}


def test_a_card_ends_with_its_month_on_the_treasurys_clock(app: Flask) -> None:
    known = SimpleNamespace(
        now=lambda: datetime(2026, 11, 30, 23, 30, tzinfo=UTC),
        settings=SimpleNamespace(merchants={"m": SimpleNamespace(email_rule="required")}, timezone="Europe/Paris"),
    )
    result = SimpleNamespace(email="", request=SimpleNamespace(merchant="m", email=""))

    with app.test_request_context(method="POST", data=GOOD | {"expiry": "11/26"}):
        form = card_form(known, result)  # type: ignore[arg-type]  # as much of them as is asked
        assert not form.validate()
        assert list(form.errors) == ["expiry"]


def test_an_american_express_card_has_a_code_of_four_digits(app: Flask) -> None:
    assert post(app, number="3782 822463 10005", security_code="1234").errors == {}
    assert list(post(app, number="3782 822463 10005", security_code="123").said) == ["security_code"]


def test_after_a_fault_number_and_code_are_forgotten_and_the_rest_is_kept(app: Flask) -> None:
    form = post(app, expiry="13/28", brand="visa")

    assert (form.number.data, form.security_code.data) == ("", "")
    assert (form.expiry.data, form.brand.data, form.email.data) == ("13/28", "visa", "claire@exemple.fr")


@pytest.mark.parametrize("field", ["email", "expiry", "brand"])
@pytest.mark.parametrize("typed", ["4970 1000 0000 0001", "123"])
def test_card_details_in_the_wrong_field_are_refused_and_forgotten(app: Flask, field: str, typed: str) -> None:
    form = post(app, "required", **{field: typed})

    assert list(form.said) == [field]
    assert form[field].data == ""


def test_a_number_hidden_in_an_address_is_refused(app: Flask) -> None:
    form = post(app, email="4970100000000001@exemple.fr")

    assert "données de votre carte" in form.said["email"][0]
    assert form.email.data == ""


def test_an_optional_address_may_be_left_empty_but_not_be_wrong(app: Flask) -> None:
    assert post(app, "optional", email="").said == {}
    assert list(post(app, "optional", email="claire").said) == ["email"]


def test_a_fixed_address_is_not_read_from_the_browser(app: Flask) -> None:
    with app.test_request_context(method="POST", data=GOOD | {"email": "other@exemple.fr"}):
        form = CardForm(today=TODAY, email_rule="fixed", email="claire@exemple.fr")

        assert form.validate()
        assert form.address == "claire@exemple.fr"


def test_a_refusal_found_later_is_shown_at_its_field(app: Flask) -> None:
    form = post(app)

    with app.test_request_context():
        form.refuse(CardRefused("cc-number", "luhn"))

        assert "un de ses chiffres" in str(form.number.errors[0])
    assert (form.number.data, form.security_code.data) == ("", "")


def test_the_form_prints_no_card_number(app: Flask) -> None:
    assert "497010" not in repr(post(app).entry())


@pytest.mark.parametrize("typed", ["123456", "123 456", "123-456", " 123456 "])
def test_a_code_is_taken_as_telephones_write_it(app: Flask, typed: str) -> None:
    with app.test_request_context(method="POST", data={"code": typed}):
        form = ChallengeForm()

        assert form.validate()
        assert form.digits == "123456"


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"])
def test_what_cannot_be_a_code_is_sent_back(app: Flask, typed: str) -> None:
    with app.test_request_context(method="POST", data={"code": typed}):
        form = ChallengeForm()

        assert not form.validate()
        assert "6 chiffres" in str(form.code.errors[0])
