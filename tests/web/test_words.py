"""Templates with the words of one language written in say what looking the words up would have said."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, g, render_template
from jinja2 import Environment

from gateway.steps.phrases import gettext, lazy_gettext
from gateway.web.rendering import init_rendering

TEMPLATE = """{{ _("Card number") }} {{ _("100 %%") }} {{ _(word) }} {{ {"name": _("Card number")}.name }}
{{ _("Pay %(amount)s", amount="<1 €>") }} {{ ngettext("%(num)s try left for this payment.",
"%(num)s tries left for this payment.", 2) }} {{ "<b>" }}"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    folder = tmp_path / "checkout_templates"
    for name in ("static", "translations", "page"):
        (folder / name).mkdir(parents=True)
    (folder / "page/words.html").write_text(TEMPLATE)
    (folder / "page/one.html").write_text("{{ word }}")
    (folder / "merchants/own/page").mkdir(parents=True)
    (folder / "merchants/own/page/one.html").write_text("own")
    shipped = Path(__file__).parents[2] / "checkout_templates/translations/fr"
    (folder / "translations/fr").symlink_to(shipped)
    app = Flask("words")
    init_rendering(app, tmp_path)
    with app.test_request_context():
        yield app


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("fr", "Numéro de carte 100 % Marque de la carte Numéro de carte\nPayer &lt;1 €&gt; Il reste 2 essais"),
        ("en", "Card number 100 % Brand of the card Card number\nPay &lt;1 €&gt; 2 tries left"),
    ],
)
@pytest.mark.usefixtures("app")
def test_each_language_is_spoken_whichever_came_first(language: str, said: str) -> None:
    for one in ("en", "fr", language):
        g.language = one
        page = render_template("page/words.html", word="Brand of the card")

    assert page.startswith(said), page
    assert page.endswith("&lt;b&gt;")


def test_constant_phrases_are_looked_up_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    g.language = "fr"
    asked: list[str] = []
    spoken = app.jinja_env.spoken("fr")  # type: ignore[attr-defined]  # our own environment

    def ask(phrase: str, **_blanks: str) -> str:
        asked.append(phrase)
        return ""

    monkeypatch.setitem(spoken.globals, "_", ask)

    render_template("page/words.html", word="Brand of the card")

    assert asked == ["Brand of the card", "Pay %(amount)s"]


@pytest.mark.usefixtures("app")
def test_what_python_says_is_in_the_language_of_the_page() -> None:
    later = lazy_gettext("Card number")
    said = []
    for g.language in ("en", "fr"):
        said.append((str(later), gettext("Pay %(amount)s", amount="1 €"), render_template("page/one.html", word=later)))

    assert said == [("Card number", "Pay 1 €", "Card number"), ("Numéro de carte", "Payer 1 €", "Numéro de carte")]


def test_a_page_that_is_not_there_is_looked_for_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[str] = []
    loader = app.jinja_env.loader
    assert loader is not None
    get_source = loader.get_source

    def look(environment: Environment, name: str) -> object:
        sought.append(name)
        return get_source(environment, name)

    monkeypatch.setattr(loader, "get_source", look)

    for g.language in ("en", "fr", "fr"):
        render_template(["merchants/none/page/one.html", "page/one.html"], word="x")

    assert sought.count("merchants/none/page/one.html") == 1


@pytest.mark.usefixtures("app")
def test_a_merchants_own_page_comes_first() -> None:
    g.language = "fr"
    own = render_template(["merchants/own/page/one.html", "page/one.html"], word="x")

    assert own == "own"
