"""The ticket's typeface, embedded cheaply.

Subsetting a font costs more than drawing a ticket, so the glyphs of the seven languages in Latin letters are subset once
per process and the finished PDF objects are put into every ticket (about 20 kB). A ticket with any other letter (Arabic,
Greek, Cyrillic, Vietnamese...) takes the slow road: its own subset, drawn from the same files.
"""

import re
import threading
from pathlib import Path

from fpdf import FPDF
from fpdf.fonts import TTFFont
from fpdf.output import OutputProducer, PDFFont, PDFType3Font
from fpdf.syntax import PDFContentStream, PDFObject

FAMILY = "DejaVu"
_FOLDER = Path(__file__).resolve().parents[2] / "checkout_templates" / "ticket" / "fonts"
_FILES = {"": "DejaVuSans.subset.ttf", "B": "DejaVuSans-Bold.subset.ttf"}

# ASCII, the letters of western Europe, typographic and Spanish punctuation, ordinals, narrow spaces
# and the euro: what nearly every ticket needs and nothing more, so that both styles embedded whole stay under 40 kB.
EVERYDAY = frozenset(
    "".join(map(chr, range(0x20, 0x7F)))
    + "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŒœŸ"
    + "\u00a0\u202f¡¿ªº«»·°§²–—‘’“”•…€\ufffd"
)

# What a character the typeface lacks is printed as.
REPLACEMENT = "\ufffd"

# Hebrew, Arabic and their neighbours, and their presentation forms (Unicode chapter 9).
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

# The characters both styles have, read from the files when first asked for.
_COVERAGE: list[frozenset[int]] = []

# The finished objects are numbered anew by each document, so one document at a time is written.
OUTPUT_LOCK = threading.Lock()


class _Everyday:
    """Fonts and finished PDF objects of the everyday glyphs, made at the first ticket."""

    fonts: dict[str, TTFFont] = {}  # noqa: RUF012 - filled once under the lock
    objects: tuple[PDFObject, ...] = ()
    by_index: dict[int, PDFFont | PDFType3Font] = {}  # noqa: RUF012 - filled once under the lock


class _Harvest(OutputProducer):
    """Writes the specimen document and keeps the font objects made on the way."""

    def _add_fonts(self, *resources: object) -> dict[int, PDFFont | PDFType3Font]:
        before = len(self.pdf_objs)
        _Everyday.by_index = super()._add_fonts(*resources)  # type: ignore[arg-type]  # passed on untouched
        made = [one for one in self.pdf_objs[before:] if isinstance(one, PDFObject)]
        for one in made:
            _press(one)
        _Everyday.objects = tuple(made)
        return _Everyday.by_index


def _press(made: PDFObject) -> None:
    """Compress a table of the letters behind the glyphs, which fpdf2 leaves as it is: a tenth of a ticket."""
    if isinstance(made, PDFContentStream) and made.filter is None:
        pressed = PDFContentStream(made.content_stream(), compress=True)
        made._contents, made.filter, made.length = pressed._contents, pressed.filter, pressed.length


class Producer(OutputProducer):
    """Writes a ticket, with the finished fonts when it uses them, and with no trace of when it was written."""

    def _build_xmp_from_info(self) -> str:
        # fpdf2 writes the present instant here, so that no two files would be the same.
        written = self.fpdf.creation_date.isoformat(timespec="seconds")
        return re.sub(r'(xmp:(?:Modify|Metadata)Date=")[^"]*', rf"\g<1>{written}", super()._build_xmp_from_info())

    def _add_fonts(self, *resources: object) -> dict[int, PDFFont | PDFType3Font]:
        if self.fpdf.fonts != _Everyday.fonts:
            return super()._add_fonts(*resources)  # type: ignore[arg-type]  # passed on untouched
        for pdf_object in _Everyday.objects:
            self._add_pdf_obj(pdf_object, "fonts")
        return _Everyday.by_index


def install(document: FPDF, text: str) -> None:
    """Give ``document`` the two styles of the typeface, enough to print every character of ``text``."""
    if not EVERYDAY.issuperset(text):
        _load(document)
        return
    with OUTPUT_LOCK:
        if not _Everyday.fonts:
            _Everyday.fonts = _subset_everyday()
    document.fonts.update(_Everyday.fonts)


def printable(text: str) -> str:
    """Replace the characters the typeface has no glyph for."""
    if EVERYDAY.issuperset(text):
        return text
    known = _coverage()
    return "".join(char if ord(char) in known else REPLACEMENT for char in text)


def is_right_to_left(text: str) -> bool:
    """Say whether any letter of ``text`` is joined and ordered by rules that a line of glyphs does not know."""
    return bool(_RIGHT_TO_LEFT.search(text))


def _load(document: FPDF) -> None:
    for style, name in _FILES.items():
        document.add_font(FAMILY, style, _FOLDER / name)


def _coverage() -> frozenset[int]:
    if not _COVERAGE:
        specimen = FPDF()
        _load(specimen)
        fonts = _true_type(specimen).values()
        _COVERAGE.append(frozenset.intersection(*(frozenset(font.cmap) for font in fonts)))
        for font in fonts:
            font.close()
    return _COVERAGE[0]


def _subset_everyday() -> dict[str, TTFFont]:
    specimen = FPDF()
    _load(specimen)
    specimen.add_page()
    for style in _FILES:
        specimen.set_font(FAMILY, style, 8)
        specimen.text(0, 10, "".join(sorted(EVERYDAY)))
    specimen.output(output_producer_class=_Harvest)
    return _true_type(specimen)


def _true_type(document: FPDF) -> dict[str, TTFFont]:
    return {key: font for key, font in document.fonts.items() if isinstance(font, TTFFont)}
