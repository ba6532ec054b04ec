"""How lines of a ticket are laid out: joined and ordered letters, each glyph embedded once, many tickets at a time."""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import segno
from fpdf import FPDF
from fpdf.bidi import BidiParagraph
from fpdf.enums import TextDirection
from fpdf.fonts import SubsetMap
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from gateway.core.money import Money
from gateway.core.payment import Line
from gateway.links import Links
from gateway.receipts import Receipt, lettering, pdf
from gateway.receipts.press import Press
from gateway.receipts.typeface import install, is_right_to_left
from tests.support.receipts import a_paid_payment

NAME, VOWELLED = "محمد بن علي", "مُحَمَّد بْن عَلِيّ"
PAID = a_paid_payment(
    *(Line(f"2026/{number}-P4", "Cantine et garderie, période 4", Money(9612)) for number in range(3)),
    payer_name=NAME,
    email="parent@example.org",
)
RECEIPT = Receipt.of(PAID, "payment.succeeded", "payer")
PRESS = Press(Links("https://guichet.example", (b"page key",), (b"ticket key",)))


def test_vowel_marks_stand_on_their_letters_and_let_them_join() -> None:
    font = install(FPDF())[""]

    plain, vowelled = lettering.Line.of(font, NAME), lettering.Line.of(font, VOWELLED)

    assert vowelled.width == plain.width
    joined = {one.glyph.glyph_id for one in plain.placed}
    assert joined <= {one.glyph.glyph_id for one in vowelled.placed}
    assert " Ts [" in vowelled.paint(10)


@given(st.text(st.sampled_from("اب ج،.؟!-٣3aé(\u064b\u200e\u05d0"), min_size=1, max_size=12).filter(is_right_to_left))
def test_the_short_way_of_ordering_gives_what_the_whole_algorithm_does(text: str) -> None:
    ordered = list(lettering._ordered(text))

    assert sorted("".join(piece for piece, _ in ordered)) == sorted(text)
    if len(ordered) == 1 and ordered[0][1] is TextDirection.RTL:
        whole = BidiParagraph(text=text, base_direction=TextDirection.RTL, preserve_bn_chars=True)
        assert whole.get_bidi_fragments() == ((text, TextDirection.RTL),)


def test_a_ticket_embeds_its_own_glyphs_alone_and_is_small_in_arabic_too() -> None:
    content = PRESS.ticket(RECEIPT, "ar")

    assert len(content) < 40_000
    fonts = PdfReader(io.BytesIO(content)).pages[0]["/Resources"]["/Font"].values()  # type: ignore[index]  # pypdf's
    for font in fonts:
        (part,) = font.get_object()["/DescendantFonts"]
        described = part.get_object()["/FontDescriptor"]
        # A whole style is 125 kB.
        assert len(described["/FontFile2"].get_data()) < 15_000


def test_tickets_drawn_at_once_are_those_drawn_one_by_one() -> None:
    receipts = [replace(RECEIPT, number=f"{n:010d}", payer_name="Zoé"[: n % 4] + NAME[: n % 5]) for n in range(12)]
    alone = [pdf.render(receipt, "fr") for receipt in receipts]

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda receipt: pdf.render(receipt, "fr"), receipts * 2))

    assert together == alone * 2


def test_nothing_of_a_ticket_is_kept_by_its_typeface() -> None:
    pdf.render(RECEIPT, "ar")
    pdf.render(RECEIPT, "fr")

    assert SubsetMap.pick.cache_info().currsize == SubsetMap.get_glyph.cache_info().currsize == 0


def test_a_ticket_just_made_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[str]()

    def render(receipt: Receipt, language: str, _check_url: str) -> bytes:
        drawn.append(language)
        return receipt.number.encode()

    monkeypatch.setattr(pdf, "render", render)
    press = Press()

    for _ in range(3):
        assert press.ticket(RECEIPT, "fr") == b"0000000042"
    press.ticket(RECEIPT, "ar")
    press.ticket(replace(RECEIPT, duplicate=True), "fr")

    assert drawn == ["fr", "ar", "fr"]


def test_copies_asked_for_at_once_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[str]()

    def render(receipt: Receipt, language: str, _check_url: str) -> bytes:
        drawn.append(language)
        # Longer than it takes the others to ask for the same.
        time.sleep(0.1)
        return receipt.number.encode()

    monkeypatch.setattr(pdf, "render", render)
    press = Press()
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: press.ticket(RECEIPT, "fr"), range(4)))

    assert (copies, drawn) == ([b"0000000042"] * 4, ["fr"])


def test_the_code_of_both_copies_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = list[str](), segno.make_qr

    def make_qr(url: str, **options: object) -> segno.QRCode:
        made.append(url)
        return make(url, **options)  # type: ignore[arg-type]  # passed on untouched

    monkeypatch.setattr(segno, "make_qr", make_qr)
    receipts = [Receipt.of(replace(PAID, id="pay_both"), "payment.succeeded", whose) for whose in ("payer", "merchant")]
    for receipt in receipts:
        PRESS.ticket(receipt, "fr")

    assert made == [PRESS.check_url(receipts[0])]
