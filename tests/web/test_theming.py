"""A merchant's colour and logo: read where anybody can read them, served as what they are, and never in the way."""

import logging
import re
import tomllib
from pathlib import Path

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.settings.merchant import Merchant
from gateway.web import init_headers
from gateway.web.rendering import init_rendering
from gateway.web.theming import init_theming, theme_faults, theme_remarks
from gateway.web.theming_contrast import TEXT_RATIO, contrast, ink_on, legible, stronger
from tests.web.test_templates import a_payment

HOME = Path(__file__).parents[2]
CSS = (HOME / "checkout_templates/static/checkout.css").read_text("utf-8")
# The surfaces of the stylesheet on which a link or a button may stand, written out once more.
LIGHT = ("#f2f0e9", "#fffdf7", "#ffffff", "#fcf0d4")
DARK = ("#101819", "#1e2a2b", "#172122", "#33270d")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8L" + bytes(8)

colours = st.builds("#{:02x}{:02x}{:02x}".format, *[st.integers(0, 255)] * 3)


def svg(body: str, attributes: str = "") -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>'.encode()


def merchant(**theme: str) -> Merchant:
    return Merchant(id="mairie", name="Ville", theme=theme)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Give a home with the product's pages and a folder for logos."""
    (tmp_path / "config/logos").mkdir(parents=True)
    (tmp_path / "checkout_templates").symlink_to(HOME / "checkout_templates")
    return tmp_path


def app_of(home: Path, **theme: str) -> Flask:
    app = Flask("themed")
    app.config["SECRET_KEY"] = "a test key"
    init_rendering(app, home)
    init_headers(app, is_https=False)
    init_theming(app, home, {"mairie": merchant(**theme)})
    return app


@pytest.fixture
def themed(book: Path) -> FlaskClient:
    (book / "config/logos/town.svg").write_bytes(svg('<path d="M0 0h9v9z"/>'))
    return app_of(book, colour="#ffd93b", logo="logos/town.svg", logo_alt="Blason").test_client()


def test_contrast_is_what_the_guideline_says() -> None:
    # WCAG 2.2's own extremes, and the well-known lightest grey that passes on white.
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#808080", "#808080") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@given(colours)
@example("#777777")
@example("#ffd93b")
@example("#ffffff")
@example("#000000")
def test_every_colour_is_made_legible(colour: str) -> None:
    assert contrast(ink_on(colour), colour) >= TEXT_RATIO
    for grounds in (LIGHT, DARK):
        accent = legible(colour, grounds)
        hover = stronger(accent, grounds)
        for ground in grounds:
            assert contrast(accent, ground) >= TEXT_RATIO
            assert contrast(hover, ground) >= TEXT_RATIO
        assert contrast(ink_on(accent), accent) >= TEXT_RATIO
        assert contrast(ink_on(accent), hover) >= TEXT_RATIO


@given(colours)
def test_a_colour_is_changed_no_more_than_it_takes(colour: str) -> None:
    accent = legible(colour, LIGHT)

    if all(contrast(colour, ground) >= TEXT_RATIO for ground in LIGHT):
        assert accent == colour
    else:
        # A 64th part of the way to black is a step of at most 0.3 there.
        assert TEXT_RATIO <= min(contrast(accent, ground) for ground in LIGHT) < TEXT_RATIO + 0.3


@pytest.mark.parametrize("colour", ["#ffd93b", "#1f4e79", "#ffffff", "#777777", "#ff0000"])
def test_what_is_served_can_be_read_in_both_looks(book: Path, colour: str) -> None:
    sheet = served(app_of(book, colour=colour))

    for look, grounds in zip(looks(sheet), (LIGHT, DARK), strict=True):
        assert contrast(look["head"], look["head-ink"]) >= TEXT_RATIO
        assert contrast(look["accent"], look["on-accent"]) >= TEXT_RATIO
        assert contrast(look["accent-deep"], look["on-accent"]) >= TEXT_RATIO
        for ground in grounds:
            assert contrast(look["accent"], ground) >= TEXT_RATIO
            assert contrast(look["accent-deep"], ground) >= TEXT_RATIO


def test_the_house_s_own_colours_can_be_read() -> None:
    for look in looks(CSS + "@media {" + CSS):
        grounds = [look[name] for name in ("paper", "sheet", "panel", "wait-wash")]
        assert all(contrast(look["accent"], ground) >= TEXT_RATIO for ground in grounds)
        assert contrast(look["head"], look.get("head-ink", "#eef4f0")) >= TEXT_RATIO


def served(app: Flask) -> str:
    client = app.test_client()
    return client.get(dressed(app, "{{ theme_of(payment).stylesheet }}")).get_data(as_text=True)


def dressed(app: Flask, template: str) -> str:
    with app.test_request_context():
        payment = a_payment()
        return render_template_string(template, payment=payment)


def looks(sheet: str) -> list[dict[str, str]]:
    """Read the properties of the last two looks of a stylesheet, the light and the dark one."""
    blocks = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    blocks = blocks[:2] if sheet.startswith(CSS + "@media {") else blocks[-2:]
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks]


def test_one_file_holds_the_house_s_style_and_the_merchant_s_colours(themed: FlaskClient) -> None:
    app = themed.application
    first = dressed(app, "{{ theme_of(payment).stylesheet }}")
    reply = themed.get(first)

    assert reply.get_data(as_text=True).startswith(CSS)
    assert reply.mimetype == "text/css"
    assert "immutable" in reply.headers["Cache-Control"]
    assert "@media screen {" in reply.get_data(as_text=True)


def test_another_colour_has_another_address(book: Path) -> None:
    ask = "{{ theme_of(payment).stylesheet }}"

    assert dressed(app_of(book, colour="#ffd93b"), ask) != dressed(app_of(book, colour="#ffd93c"), ask)


def test_a_logo_is_served_as_a_picture_that_can_do_nothing(themed: FlaskClient) -> None:
    logo = dressed(themed.application, "{{ theme_of(payment).logo }}")
    reply = themed.get(logo)

    assert reply.data == svg('<path d="M0 0h9v9z"/>')
    assert reply.mimetype == "image/svg+xml"
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_but_known_digests_is_served(themed: FlaskClient) -> None:
    for name in ("..%2fmerchants.toml", "merchants.toml", "0" * 16 + ".css", "town.svg"):
        reply = themed.get(f"/theme/{name}")
        assert reply.status_code == 404
        assert "immutable" not in reply.headers["Cache-Control"]


def test_a_payment_of_another_merchant_keeps_the_house_s_look(book: Path) -> None:
    app = app_of(book, colour="#ffd93b")
    with app.test_request_context():
        assert render_template_string("{{ theme_of(none) }}") == "None"
    assert dressed(app, "{{ theme_of(payment).head }}") == "#ffd93b"
    app = Flask("other")
    app.config["SECRET_KEY"] = "a test key"
    init_rendering(app, book)
    init_theming(app, book, {"lycee": Merchant(id="lycee", name="Lycée", theme={"colour": "#ffd93b"})})
    assert dressed(app, "{{ theme_of(payment) }}") == "None"


@pytest.mark.parametrize(
    ("theme", "field", "rule"),
    [
        ({"colour": "yellow"}, "theme.colour", "format"),
        ({"colour": "#FFD93B"}, "theme.colour", "format"),
        ({"colour": "#ffd93b; } * { display: none"}, "theme.colour", "format"),
        ({"color": "#ffd93b"}, "theme.color", "unknown"),
        ({"logo_alt": "Blason"}, "theme.logo_alt", "alone"),
        ({"logo": "logos/none.png"}, "theme.logo", "missing"),
        ({"logo": "../merchants.png"}, "theme.logo", "format"),
        ({"logo": "/etc/logo.png"}, "theme.logo", "format"),
        ({"logo": "logos/logo.gif"}, "theme.logo", "format"),
        ({"logo": "logos/ok.png", "logo_alt": "x" * 141}, "theme.logo_alt", "too_long"),
    ],
)
def test_a_bad_theme_is_named_with_its_rule_and_cure(book: Path, theme: dict[str, str], field: str, rule: str) -> None:
    (book / "config/logos/ok.png").write_bytes(PNG)
    faults = theme_faults(merchant(**theme), book)

    assert [(fault.field, fault.rule) for fault in faults] == [(field, rule)]
    assert len(faults[0].fix) > 15


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("a.png", PNG, ""),
        ("a.webp", WEBP, ""),
        ("a.svg", svg('<g style="fill:#123456"><path fill="url(#a)" d="M0 0z"/></g>'), ""),
        ("a.png", WEBP, "format"),
        ("a.webp", PNG, "format"),
        ("a.png", b"<svg/>", "format"),
        ("a.png", PNG + bytes(8_000), "too_big"),
        ("a.svg", b"not xml", "format"),
        ("a.svg", b"<html/>", "format"),
        ("a.svg", b'<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("&a;"), "format"),
        ("a.svg", b'<?xml-stylesheet href="https://x.example/a.css"?>' + svg(""), "active"),
        ("a.svg", svg("<script>alert(1)</script>"), "active"),
        ("a.svg", svg("<g><foreignObject/></g>"), "active"),
        ("a.svg", svg("<style>@import 'a'</style>"), "active"),
        ("a.svg", svg('<image href="a.png"/>'), "active"),
        ("a.svg", svg('<p xmlns="http://www.w3.org/1999/xhtml"/>'), "active"),
        ("a.svg", svg("", 'onload="alert(1)"'), "active"),
        ("a.svg", svg('<path fill="url( https://x.example/a)"/>'), "active"),
        ("a.svg", svg('<path style="fill:\\75 rl(//x.example/a)"/>'), "active"),
        ("a.svg", svg('<g xmlns:x="http://www.w3.org/1999/xlink" x:href="//x.example"/>'), "active"),
    ],
)
def test_a_logo_is_a_small_picture_and_no_program(book: Path, name: str, content: bytes, rule: str) -> None:
    (book / "config" / name).write_bytes(content)

    assert [fault.rule for fault in theme_faults(merchant(logo=name), book)] == ([rule] if rule else [])


def test_a_theme_with_a_fault_is_left_out_and_logged(book: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        app = app_of(book, colour="#ffd93b", logo="logos/none.svg")

    assert dressed(app, "{{ theme_of(payment) }}") == "None"
    assert [record.message for record in caplog.records] == ["theme left out"]


def test_whoever_chose_a_colour_is_told_what_became_of_it(book: Path) -> None:
    (light,) = theme_remarks(merchant(colour="#ffd93b"), book)

    assert re.search(r"theme\.colour #ffd93b: 1\.\d:1 on light pages; links and buttons are #[0-9a-f]{6} there", light)
    assert theme_remarks(merchant(), book) == ()


def test_the_themes_of_the_demonstration_have_no_fault() -> None:
    book = tomllib.loads((HOME / "config/merchants.toml").read_text("utf-8"))["merchants"]
    themes = {name: table["theme"] for name, table in book.items() if "theme" in table}

    assert len(themes) == 2
    assert {name: theme_faults(merchant(**theme), HOME) for name, theme in themes.items()} == dict.fromkeys(themes, ())
