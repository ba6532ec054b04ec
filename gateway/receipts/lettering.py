"""How a line of text becomes glyphs: put in the order of the eye, joined and measured; and the operators that paint it.

fpdf2's cells can do much more (several styles in a line, links, underlines), and that is most of what a ticket would cost.
The order is the Unicode bidirectional algorithm's (UAX #9), which is fpdf2's; HarfBuzz joins the letters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from unicodedata import bidirectional

import uharfbuzz as hb
from fpdf.bidi import BidiParagraph, auto_detect_base_direction
from fpdf.enums import TextDirection
from fpdf.fonts import Glyph, TTFFont

from gateway.receipts.typeface import is_right_to_left

# Letters read from right to left, and what goes along with them where nothing runs the other way (UAX #9, 3.2 and 3.3):
# most lines of an Arabic ticket, and the whole algorithm takes as long as all else that is done to a line.
_ALONG = frozenset({"AL", "R", "NSM", "WS", "CS", "ON"})


@dataclass(frozen=True, slots=True)
class Placed:
    """One glyph of a line, in thousandths of the type size.

    :ivar advance: how far the next glyph is, which may differ from how wide the font says this one is
    :ivar offset: how far right and up of its place it is painted
    """

    glyph: Glyph
    advance: int
    offset: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line ready to be painted.

    :ivar width: thousandths of the type size
    :ivar placed: its glyphs from left to right; empty when they follow each other as the letters do
    """

    font: TTFFont
    text: str
    width: int
    placed: tuple[Placed, ...] = ()

    @classmethod
    def of(cls, font: TTFFont, text: str) -> "Line":
        """Lay out a text that is to be on one line.

        A line with no letter read from right to left is spared what would change nothing and take a dozen times as long.
        """
        if not is_right_to_left(text):
            return cls(font, text, int(sum(font.cw[ord(char)] for char in text)))
        placed = tuple(one for piece, way in _ordered(text) for one in _shaped(font, piece, way))
        return cls(font, text, sum(one.advance for one in placed), placed)

    def paint(self, size: float) -> str:
        """Write the operators that show it (ISO 32000-1, 9.4.3), and have the font keep its glyphs.

        :param size: of the type, in points
        """
        if not self.placed:
            codes = (self.font.subset.pick(ord(char)) for char in self.text)
            return f"({self._written([code for code in codes if code])}) Tj"
        lifts = groupby(self.placed, key=lambda one: one.offset[1])
        runs = ((lift * size / 1000, "".join(map(self._moved, run))) for lift, run in lifts)
        shown = [f"{lift:.2f} Ts [{run}] TJ" if lift else f"0 Ts [{run}] TJ" for lift, run in runs]
        return " ".join(shown).replace(")(", "").removeprefix("0 Ts ")

    def _moved(self, one: Placed) -> str:
        """Write one glyph with the steps aside before and after it, where there are any."""
        code = self.font.subset.pick_glyph(one.glyph)
        aside, back = one.offset[0], one.offset[0] + one.glyph.glyph_width - one.advance
        return f"{-aside if aside else ''}({self._written([code or 0])}){back if back else ''}"

    def _written(self, codes: list[int]) -> str:
        return self.font.escape_text("".join(map(chr, codes)))


def _ordered(text: str) -> Iterator[tuple[str, TextDirection]]:
    """Cut a text into pieces of one direction each, and give them from left to right."""
    if _ALONG.issuperset(map(bidirectional, text)):
        yield text, TextDirection.RTL
        return
    base = auto_detect_base_direction(text)
    pieces = BidiParagraph(text=text, base_direction=base, preserve_bn_chars=True).get_bidi_fragments()
    runs = [list(run) for _, run in groupby(pieces, key=lambda piece: piece[1])]
    for run in runs[::-1] if base is TextDirection.RTL else runs:
        yield from run[::-1] if run[0][1] is TextDirection.RTL else run


def _shaped(font: TTFFont, text: str, direction: TextDirection) -> Iterator[Placed]:
    """Choose the glyphs of a piece, and say which letters each stands for: the first of a cluster for all of them."""
    buffer = hb.Buffer()
    buffer.cluster_level = hb.BufferClusterLevel.MONOTONE_CHARACTERS
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = direction.value
    hb.shape(font.hbfont, buffer)
    starts = sorted({one.cluster for one in buffer.glyph_infos})
    letters = {start: text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)}
    for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        unicode = tuple(map(ord, letters.pop(info.cluster, "")))
        width = _thousandths(font, font.hbfont.get_glyph_h_advance(info.codepoint))
        offset = _thousandths(font, place.x_offset), _thousandths(font, place.y_offset)
        yield Placed(Glyph(info.codepoint, unicode, "", width), _thousandths(font, place.x_advance), offset)


def _thousandths(font: TTFFont, units: int) -> int:
    """Convert from the font's units as the widths in the file are, halves up."""
    return round(font.scale * units + 0.001)
