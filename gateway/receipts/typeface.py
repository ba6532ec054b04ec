"""The ticket's typeface: read once per process, and of each style just the glyphs a document uses embedded in it.

fpdf2 has fontTools read and cut the files for each document, which takes a dozen times as long as drawing a ticket.
HarfBuzz, which joins the Arabic letters anyway, cuts a style in a tenth of a millisecond; and what is cut to measure is
half as large as one subset for all tickets, so that there is one road for every script.
"""

import re
from collections.abc import Mapping
from copy import copy
from functools import cache
from pathlib import Path

import uharfbuzz as hb
from fpdf import FPDF
from fpdf.fonts import Glyph, HarfBuzzFont, SubsetMap, TTFFont
from fpdf.output import CIDSystemInfo, OutputProducer, PDFFont, PDFFontStream, PDFType3Font
from fpdf.syntax import Name, PDFArray, PDFContentStream

FAMILY = "DejaVu"
_FOLDER = Path(__file__).resolve().parents[2] / "checkout_templates" / "ticket" / "fonts"
_FILES = {"": "DejaVuSans.subset.ttf", "B": "DejaVuSans-Bold.subset.ttf"}

# What a character the typeface lacks is printed as.
REPLACEMENT = "\ufffd"

# Hebrew, Arabic and their neighbours, and their presentation forms (Unicode chapter 9).
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

# What lays text out or names the font: a font within a PDF needs none of it (ISO 32000-1, 9.9, table 126).
_NOT_EMBEDDED = tuple(
    int.from_bytes(name) for name in (b"cmap", b"GDEF", b"GPOS", b"GSUB", b"MATH", b"name", b"OS/2", b"post")
)

# From the codes of the text back to Unicode (ISO 32000-1, 9.10.3).
_TO_UNICODE = """\
/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
@endcmap
CMapName currentdict /CMap defineresource pop
end
end"""
# As many lines as one block of it may have.
_BLOCK = 100


class Producer(OutputProducer):
    """Writes a document with the glyphs it uses, and with no trace of when it was written."""

    def _build_xmp_from_info(self) -> str:
        # fpdf2 writes the present instant here, so that no two files would be the same.
        written = self.fpdf.creation_date.isoformat(timespec="seconds")
        return re.sub(r'(xmp:(?:Modify|Metadata)Date=")[^"]*', rf"\g<1>{written}", super()._build_xmp_from_info())

    def _add_fonts(self, *_resources: object) -> dict[int, PDFFont | PDFType3Font]:
        return {font.i: self._add_font(font) for font in self.fpdf.fonts.values() if isinstance(font, TTFFont)}

    def _add_font(self, font: TTFFont) -> PDFFont:
        """Embed one style: a composite font of TrueType outlines (ISO 32000-1, 9.7)."""
        # Code 0 stands for no letter.
        used = {code: glyph for glyph, code in font.subset.items() if glyph and code}
        file, places = _cut(font, [glyph.glyph_id for glyph in used.values()])
        codes, name = range(max(used) + 1), f"GUICHT+{font.name}"
        nowhere = font.desc.missing_width
        widths = (f"{used[code].glyph_width if code in used else nowhere:g}" for code in codes)
        map_ = b"".join((places[used[code].glyph_id] if code in used else 0).to_bytes(2) for code in codes)
        letters = PDFContentStream(_to_unicode(used), compress=True)
        described, glyphs = copy(font.desc), PDFFontStream(file)
        described.font_name, described.font_file2 = Name(name), glyphs  # type: ignore[attr-defined]  # fpdf2 writes all
        part = PDFFont("CIDFontType2", name, d_w=nowhere, w=f"[0 [{' '.join(widths)}]]")
        part.c_i_d_system_info, part.font_descriptor = CIDSystemInfo(), described
        part.c_i_d_to_g_i_d_map = PDFContentStream(map_, compress=True)
        whole = PDFFont("Type0", name, "Identity-H")
        whole.descendant_fonts, whole.to_unicode = PDFArray([part]), letters
        for one in (whole, part, letters, part.c_i_d_system_info, described, part.c_i_d_to_g_i_d_map, glyphs):
            self._add_pdf_obj(one, "fonts")
        # What these keep, they keep for the whole class: without this, every document there ever was.
        font.subset.pick.cache_clear()
        font.subset.get_glyph.cache_clear()
        return whole


def install(document: FPDF) -> Mapping[str, TTFFont]:
    """Give ``document`` the two styles of the typeface, ``""`` and ``B``, each with a list of the glyphs it uses."""
    given = {}
    for style, font in _styles().items():
        given[style] = own = copy(font)
        own.subset, own.missing_glyphs = SubsetMap(own), []
        # The file and what HarfBuzz worked out of it are shared; a size is set here, so that this is not.
        own._hbfont = HarfBuzzFont(font.hbfont.face)
        document.fonts[font.fontkey] = own
    return given


def printable(text: str) -> str:
    """Replace the characters the typeface has no glyph for."""
    known = _coverage()
    return text if known.issuperset(text) else "".join(char if char in known else REPLACEMENT for char in text)


def is_right_to_left(text: str) -> bool:
    """Say whether any letter of ``text`` is joined and ordered by rules that a line of glyphs does not know."""
    return bool(_RIGHT_TO_LEFT.search(text))


@cache
def _styles() -> Mapping[str, TTFFont]:
    """Read both styles, which takes a while."""
    specimen = FPDF()
    for style, name in _FILES.items():
        specimen.add_font(FAMILY, style, _FOLDER / name)
    fonts = [font for font in specimen.fonts.values() if isinstance(font, TTFFont)]
    for font in fonts:
        # All that is asked of it later, names and widths, it has by now.
        font.ttfont.close()
    return dict(zip(_FILES, fonts, strict=True))


@cache
def _coverage() -> frozenset[str]:
    """List the characters both styles have."""
    return frozenset.intersection(*(frozenset(map(chr, font.cmap)) for font in _styles().values()))


def _cut(font: TTFFont, glyphs: list[int]) -> tuple[bytes, Mapping[int, int]]:
    """Make a font file of some glyphs, and say which place each has there."""
    wanted = hb.SubsetInput()
    wanted.glyph_set.update(glyphs)
    wanted.drop_table_tag_set.update(_NOT_EMBEDDED)
    wanted.flags = hb.SubsetFlags.NO_LAYOUT_CLOSURE | hb.SubsetFlags.NOTDEF_OUTLINE
    plan = hb.SubsetPlan(font.hbfont.face, wanted)
    return plan.execute().blob.data, plan.old_to_new_glyph_mapping


def _to_unicode(used: Mapping[int, Glyph]) -> bytes:
    """Write which letters each code stands for."""
    lines = [
        f"<{code:04X}> <{''.join(map(chr, glyph.unicode)).encode('utf-16-be').hex().upper()}>\n"
        for code, glyph in used.items()
        if isinstance(glyph.unicode, tuple) and glyph.unicode
    ]
    blocks = (lines[at : at + _BLOCK] for at in range(0, len(lines), _BLOCK))
    said = "".join(f"{len(block)} beginbfchar\n{''.join(block)}endbfchar\n" for block in blocks)
    return _TO_UNICODE.replace("@", said).encode()
