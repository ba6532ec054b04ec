"""What a ticket is to whoever listens to it: every mark belongs to the tree, in the order it is read, in any language.

ISO 19005-2, 6.7 (PDF/A-2, level A) asks for it and ISO 32000-1, 14.7 and 14.8, says how. Read back with pypdf.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import segno
from pypdf import PageObject, PdfReader
from pypdf.generic import ArrayObject, ContentStream, DictionaryObject

from gateway.core.money import Money
from gateway.core.payment import Line, Mode, PaymentResult
from gateway.receipts import Receipt, pdf
from gateway.receipts.words import WORDS
from tests.support.receipts import a_paid_payment

URL = (
    "https://guichet.example/v/0123456789abcdef01234567__9612EUR_20261121_1.q4tq9xEJH3mJwZ0m2wY6lq8w1xU0mXH1n0l2rVdO3kA"
)
PAID = a_paid_payment(
    *(Line(f"2026/{number}-P4", "Cantine, période 4", Money(9612)) for number in (1, 2)),
    payer_name="Élodie Nœl",
    email="parent@example.org",
)
# Enough debts for three pages.
LONG = replace(
    PAID,
    request=replace(
        PAID.request,
        lines=tuple(Line(f"REF-{number}", "Cantine " * (number % 9 + 1), Money(100)) for number in range(70)),
    ),
)
PAINTS = {
    b"Tj",
    b"TJ",
    b"'",
    b'"',
    b"f",
    b"F",
    b"f*",
    b"B",
    b"B*",
    b"b",
    b"b*",
    b"S",
    b"s",
    b"Do",
    b"sh",
    b"INLINE IMAGE",
}


def read(result: PaymentResult, language: str = "fr") -> PdfReader:
    receipt = Receipt.of(result, "payment.succeeded", "payer")
    return PdfReader(io.BytesIO(pdf.render(receipt, language, URL)))


def operations(page: PageObject, reader: PdfReader) -> Iterator[tuple[list[Any], bytes]]:
    yield from ContentStream(page.get_contents(), reader).operations


def walk(element: Any) -> Iterator[Any]:  # of pypdf's many kinds of objects
    """Give an element and all below it, as they are read."""
    yield element
    for kid in kids(element):
        if isinstance(kid, DictionaryObject) and kid.get("/S"):
            yield from walk(kid)


def kids(element: Any) -> list[Any]:
    found = element.get("/K", ArrayObject())
    return [one.get_object() for one in (found if isinstance(found, ArrayObject) else [found])]


def tree(reader: PdfReader) -> list[Any]:
    root = reader.root_object["/StructTreeRoot"]
    return list(walk(root["/K"].get_object()))  # type: ignore[index]  # a dictionary


@pytest.mark.parametrize(("result", "language"), [(PAID, "fr"), (LONG, "fr"), (LONG, "ar")], ids=["fr", "long", "ar"])
def test_every_mark_on_every_page_is_in_the_tree_or_decoration(result: PaymentResult, language: str) -> None:
    reader = read(replace(result, payee=replace(PAID.payee, mode=Mode.TEST)), language)
    nums = reader.root_object["/StructTreeRoot"]["/ParentTree"]["/Nums"]  # type: ignore[index]  # as above
    owners = dict(zip(nums[::2], nums[1::2], strict=True))
    marked = {(page.idnum, number): id(element) for element in tree(reader) for page, number in marks(element)}

    for page in reader.pages:
        open_marks: list[int | None] = []
        seen: list[int] = []
        for operands, operator in operations(page, reader):
            if operator == b"BDC":
                seen.append(operands[1]["/MCID"])
                open_marks.append(seen[-1])
            elif operator == b"BMC":
                assert operands == ["/Artifact"]
                open_marks.append(None)
            elif operator == b"EMC":
                open_marks.pop()
            elif operator in PAINTS:
                # One deep: content is either told or decoration, never both.
                assert len(open_marks) == 1, operands
        assert open_marks == []
        assert seen == list(range(len(seen)))
        reference = page.indirect_reference
        assert reference
        mine = [one.get_object() for one in owners[page["/StructParents"]]]
        assert [marked.get((reference.idnum, number)) for number in seen] == [id(one) for one in mine]
        assert str(page["/Tabs"]) == "/S"


def marks(element: Any) -> Iterator[tuple[Any, int]]:
    """Give the pieces of content an element owns: page and number."""
    for kid in kids(element):
        if isinstance(kid, int):
            yield element.raw_get("/Pg"), kid
        elif kid.get("/Type") == "/MCR":
            yield kid.raw_get("/Pg"), kid["/MCID"]


def test_the_tree_reads_as_the_ticket_does() -> None:
    reader = read(PAID)

    kinds = [str(one["/S"])[1:] for one in tree(reader)]
    assert kinds[:5] == ["Document", "P", "P", "H1", "Figure"]
    assert kinds.count("H2") == 3
    assert [kinds.count(kind) for kind in ("Table", "TR", "TH", "TD")] == [1, 4, 4, 8]
    assert kinds.count("LI") == kinds.count("Lbl") == kinds.count("LBody")
    assert kinds.index("Table") < kinds.index("L") < kinds.index("Link")
    (figure,) = (one for one in tree(reader) if one["/S"] == "/Figure")
    assert figure["/Alt"] == WORDS["fr"]["check_alt"]
    heads = [one["/A"]["/Scope"] for one in tree(reader) if one["/S"] == "/TH"]
    assert heads == ["/Column"] * 3 + ["/Row"]
    assert reader.root_object["/MarkInfo"]["/Marked"] == True  # type: ignore[index]  # noqa: E712 - pypdf's own kind of true
    assert reader.root_object["/ViewerPreferences"]["/DisplayDocTitle"] == True  # type: ignore[index]  # noqa: E712


def test_the_address_leads_there_and_is_in_the_tree() -> None:
    reader = read(PAID)

    (annotation,) = (one.get_object() for one in reader.pages[0]["/Annots"])  # type: ignore[attr-defined]  # as above
    assert annotation["/A"]["/URI"] == URL
    (link,) = (one for one in tree(reader) if one["/S"] == "/Link")
    assert [one["/Obj"] for one in kids(link) if not isinstance(one, int) and one["/Type"] == "/OBJR"] == [annotation]
    nums = reader.root_object["/StructTreeRoot"]["/ParentTree"]["/Nums"]  # type: ignore[index]  # as above
    assert nums[nums.index(annotation["/StructParent"]) + 1].get_object() == link


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_the_code_is_that_of_the_address(language: str) -> None:
    reader = read(PAID, language)

    (image,) = (operands for operands, operator in operations(reader.pages[0], reader) if operator == b"INLINE IMAGE")
    wanted = [
        [int(bool(module)) for module in row] for row in segno.make_qr(URL, error="m", mask=4, boost_error=False).matrix
    ]
    settings = image["settings"]  # type: ignore[call-overload]  # pypdf gives a dictionary here
    assert settings["/W"] == settings["/H"] == len(wanted)
    # A one paints (ISO 32000-1, 8.9.6.2), and rows begin at an octet.
    assert settings["/D"] == [1, 0]
    row_octets = -(-len(wanted) // 8)
    drawn = bytes.fromhex(image["data"].decode().strip().rstrip(">"))  # type: ignore[call-overload]  # as above
    rows = [drawn[start : start + row_octets] for start in range(0, len(drawn), row_octets)]
    bits = [[row[column // 8] >> (7 - column % 8) & 1 for column in range(len(wanted))] for row in rows]
    assert bits == wanted


def test_an_arabic_ticket_tells_its_words_in_the_order_they_are_read() -> None:
    reader = read(PAID, "ar")

    told = {str(one["/S"])[1:]: one["/ActualText"] for one in tree(reader) if "/ActualText" in one}
    assert told["H1"] == "قسيمة الدفع"
    everything = [one["/ActualText"] for one in tree(reader) if "/ActualText" in one]
    for words in (
        "192,24\u00a0EUR",
        "120 rue de Bercy",
        "2026/1-P4",
        "المبلغ المدفوع",
        "21 نوفمبر 2026، الساعة 11:00 CET",
    ):
        assert words in everything
    assert str(reader.root_object["/Lang"]) == "ar"


@pytest.mark.parametrize("language", sorted(WORDS))
def test_every_glyph_tells_its_letter_and_every_word_has_its_glyphs(language: str) -> None:
    """Level U, which A contains: a way back to Unicode for each code that is used (ISO 19005-2, 6.2.11.7.2)."""
    reader = read(PAID, language)

    (page,) = reader.pages
    text = page.extract_text()
    assert "\ufffd" not in text
    fonts = {name: font.get_object() for name, font in page["/Resources"]["/Font"].items()}  # type: ignore[index]  # as above
    font = ""
    used: dict[str, set[int]] = {}
    for operands, operator in operations(page, reader):
        if operator == b"Tf":
            font = operands[0]
        elif operator in (b"Tj", b"TJ"):
            for piece in operands[0] if operator == b"TJ" else operands:
                if not isinstance(piece, (int, float)):
                    octets = piece.original_bytes
                    used.setdefault(font, set()).update(
                        int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)
                    )
    assert used
    for name, codes in used.items():
        known = mapped(fonts[name]["/ToUnicode"].get_data().decode("ascii"))
        assert codes - known == set()
        assert 0 not in codes


def mapped(table: str) -> set[int]:
    """Read which codes a ToUnicode table knows; fpdf2 writes one ``<code> <letters>`` to a line."""
    return {int(code, 16) for code in re.findall(r"^<([0-9A-F]{4})> <[0-9A-F]{4,}>$", table, re.MULTILINE)}


def test_an_arabic_name_is_joined_and_ordered_in_a_french_ticket_too() -> None:
    named = replace(PAID, request=replace(PAID.request, payer_name="محمد بن علي"))

    reader = read(named)

    assert "محمد بن علي" in [one.get("/ActualText") for one in tree(reader)]
    assert "\ufffd" not in reader.pages[0].extract_text()
