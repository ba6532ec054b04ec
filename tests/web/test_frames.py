"""What frames and slips share: the choice of language, long lists of debts, and styles that mirror themselves."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from gateway.core.languages import LANGUAGES
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentResult
from gateway.core.states import Status
from gateway.web.theming_logo import LOGO_MAX_BYTES
from tests.support.server import ROOT
from tests.web.test_templates import OWN, WEIGHT_MAX_BYTES, Render, a_payment, app, every_page, render

__all__ = ["app", "render"]  # fixtures

# CSS Logical Properties (W3C): whatever names a side of the screen stands on the wrong one in Arabic.
PHYSICAL = re.compile(
    r"(?<![\w-])(?:(?:margin|padding|border|inset|scroll-margin|scroll-padding)-)?(?:left|right|top|bottom)\s*:"
    r"|(?<![\w-])(?:margin|padding|border|scroll-padding)-(?:left|right|top|bottom)"
    r"|text-align:\s*(?:left|right)|(?<![\w-])(?:float|clear)\s*:"
    r"|(?:margin|padding|inset):\s*[^\s;]+ ([^\s;]+) [^\s;]+ (?!\1;)[^\s;]+;"
)


def with_debts(count: int) -> PaymentResult:
    payment = a_payment()
    lines = tuple(Line(f"2026-{n:03}", f"Cantine {n}", Money(100)) for n in range(count))
    return replace(payment, request=replace(payment.request, amount=Money(100 * count), lines=lines))


@every_page
def test_every_language_is_named_in_itself_and_opens_without_script(render: Render, page: str) -> None:
    html = render(page, "en")

    (menu,) = re.findall(r'<nav class="languages".*?</nav>', html, re.DOTALL)
    links = re.findall(r'<a href="\?lang=(\w+)" lang="(\w+)" hreflang="(\w+)"[^>]*><bdi>(.*?)</bdi>', menu)
    assert links == [(code, code, code, name) for code, name in LANGUAGES]
    assert re.findall(r'lang="(\w+)" hreflang="\w+" aria-current="true"', menu) == ["en"]
    (summary,) = re.findall(r"<details>\s*<summary>(.*?)</summary>", menu, re.DOTALL)
    assert '<bdi lang="en">English</bdi>' in summary


@every_page
def test_one_language_is_no_choice(render: Render, page: str) -> None:
    assert "hreflang" not in render(page, languages=[("fr", "Français", "?lang=fr")])


@pytest.mark.parametrize("page", sorted(set(OWN) - {"error"}))
def test_a_short_list_of_debts_lies_open_and_a_long_one_is_folded(render: Render, page: str) -> None:
    short, long = render(page, payment=with_debts(5)), render(page, payment=with_debts(12))

    assert '<details class="debts"' not in short
    assert re.search(r'<details class="debts"( open)?>\s*<summary>Ce que règle ce paiement\u00a0: 12 dettes<', long)
    for html, count in ((short, 5), (long, 12)):
        assert len(re.findall(r'<th scope="row"><bdi>Cantine \d+</bdi>', html)) == count


def test_a_receipt_shows_all_it_settled_at_once(render: Render) -> None:
    assert '<details class="debts" open>' in render("paid", payment=with_debts(12))
    assert '<details class="debts">' in render("card", payment=with_debts(12))


@every_page
def test_each_page_says_what_holds_for_the_money(render: Render, page: str) -> None:
    facts = {
        "card": "Rien n’est encore débité",
        "review": "Rien n’est encore débité",
        "challenge": "Rien n’est encore débité",
    }
    verdicts = {"paid": "paid", "waiting": "checking"}

    html = render(page)

    if page in facts:
        assert facts[page] in html
    else:
        assert re.findall(r'verdict verdict-([a-z-]+)"', html) == [verdicts.get(page, "not-debited")]


@pytest.mark.parametrize(("status", "fact"), [(Status.PAID, "paid"), (Status.CANCELLED, "not-debited")])
def test_a_page_that_only_leads_back_says_it_too(
    render: Render, monkeypatch: pytest.MonkeyPatch, status: Status, fact: str
) -> None:
    departure = SimpleNamespace(url="https://shop.example/", fields=())
    monkeypatch.setitem(OWN, "leaving", lambda: {"departure": departure})

    html = render("leaving", payment=a_payment(status))

    assert re.findall(r'verdict verdict-([a-z-]+)"', html) == [fact]


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_the_heaviest_logo_fits_beside_a_page(render: Render, language: str) -> None:
    static = ROOT / "checkout_templates/static"
    files = sum((static / name).stat().st_size for name in ("checkout.css", "checkout.js"))

    assert len(render("card", language, payment=with_debts(12)).encode()) + files + LOGO_MAX_BYTES < WEIGHT_MAX_BYTES


def test_numbers_and_references_keep_their_direction(render: Render) -> None:
    html = render("paid", "ar")

    assert '<html lang="ar" dir="rtl">' in html
    for text in ("REF-44023989", "20261121-000417", "01 23 45 67 89", "regie@ville.example"):
        assert f'<bdi dir="ltr">{text}</bdi>' in html


@pytest.mark.parametrize("sheet", ["checkout.css", "bank.css"])
def test_styles_name_no_side_of_the_screen(sheet: str) -> None:
    rules = (ROOT / "checkout_templates/static" / sheet).read_text("utf-8")
    rules = re.sub(r"/\*.*?\*/", "", rules, flags=re.DOTALL)

    assert [match[0] for match in PHYSICAL.finditer(rules)] == []


@pytest.mark.parametrize(
    "rule", ["margin-left: 1px;", "left: 0;", "text-align: right;", "float: left;", "padding: 1px 2px 3px 4px;"]
)
def test_a_side_of_the_screen_would_be_seen(rule: str) -> None:
    assert PHYSICAL.search(f".a {{ {rule} }}")
