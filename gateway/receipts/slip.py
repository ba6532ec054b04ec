"""The slip a ticket is drawn on: an A5 page, text in its tags, mirrored for what is read from right to left.

Positions are millimetres; ``x`` counts from the edge where reading starts. Nothing here knows what a receipt says.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fpdf import FPDF
from fpdf.actions import URIAction
from fpdf.annotations import PDFAnnotation
from fpdf.enums import DocumentCompliance
from fpdf.prefs import ViewerPreferences

from gateway.receipts.lettering import Line
from gateway.receipts.tags import Element, Tags, text_entry
from gateway.receipts.typeface import FAMILY, install, is_right_to_left, printable

# A5 as a tuple: fpdf2's own "A5" warns about a change of dimensions.
PAGE = (148.0, 210.0)
MARGIN = 14.0
WIDTH = PAGE[0] - 2 * MARGIN

# The paper: its sides, the slot it comes out of, and where it must be torn off at last.
_SIDE, _TOP, _BOTTOM = 8.0, 10.0, 199.0
_TOOTH = 3.0

# The colours of the payer's pages (checkout.css), as they are on paper.
INK, QUIET, ACCENT = (23, 38, 42), (76, 91, 95), (15, 92, 88)
GOOD, WARNING = (21, 94, 56), (160, 29, 29)
_RULE, _SLOT, _WATERMARK = (190, 187, 174), (11, 37, 38), (247, 230, 228)

# The mark of the pages' masthead, in the 32 units of its drawing there.
_MARK = (
    "2.4 w 1 J 1 j 5 27 m 5 14 l 5 7.925 9.925 3 16 3 c 22.075 3 27 7.925 27 14 c 27 27 l h S "
    "2.5 27 m 29.5 27 l S 10.5 21 m 21.5 21 l S 4.4 w 16 13.5 m 16 13.5 l S"
)

Colour = tuple[int, int, int]


class Slip(FPDF):
    """One document being drawn, from top to bottom."""

    def __init__(self, language: str, text: str, *, mirrored: bool) -> None:
        super().__init__(unit="mm", format=PAGE, enforce_compliance=DocumentCompliance.PDFA_2U)
        self.tags = Tags()
        self._element: Element | None = self.tags.document
        self._mirrored = mirrored
        self.set_lang(language)
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, margin=PAGE[1] - _BOTTOM + 2)
        self.c_margin = 0
        self._fonts = install(self)
        self._tells_order = is_right_to_left(text)
        self._laid_out: dict[tuple[str, str], Line] = {}

    @contextmanager
    def tagged(self, kind: str, entries: str = "") -> Iterator[None]:
        """Draw what follows as one element of the document, or of the element being drawn."""
        outer = self._element
        self._element = outer.add(kind, entries) if outer else None
        yield
        self._element = outer

    @contextmanager
    def decoration(self) -> Iterator[None]:
        """Draw what follows as no part of the text: a reader skips it."""
        outer, self._element = self._element, None
        yield
        self._element = outer

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Draw one piece of content, on one page."""
        element = self._element
        self._out(self.tags.begin(self.pages[self.page], element) if element else "/Artifact BMC")
        yield
        self._out("EMC")

    def style(self, weight: str, size: float, colour: Colour) -> None:
        """Write from here on so; ``B`` is bold."""
        self.set_font(FAMILY, weight, size)
        self.set_text_color(*colour)

    def say(self, height: float, text: str, *, x: float = MARGIN, width: float = WIDTH, align: str = "L") -> None:
        """Print one line here, and stay at its height.

        :param align: ``L`` where reading starts, ``R`` where it ends, ``C``
        """
        if not text:
            return
        if self._mirrored:
            x, align = PAGE[0] - x - width, {"L": "R", "R": "L"}.get(align, align)
        if self._tells_order and self._element:
            # Glyphs are in the order of the eye; this is the order of the mind, for whoever copies or listens.
            self._element.say(text)
        if self.will_page_break(height):
            self.add_page()
        line, size = self._line(text), self.font_size_pt
        left = x + (width - self.measure(text)) * {"L": 0.0, "C": 0.5, "R": 1.0}[align]
        # The letters stand in the middle of the line's height.
        base = PAGE[1] - self.get_y() - 0.5 * height - 0.3 * self.font_size
        font = self._set_font_for_page(line.font, size, wrap_in_text_object=False)
        colour = self.text_color.serialize() if self.text_color else ""
        with self.marked():
            self._out(f"q BT {font} {colour} {left * self.k:.2f} {base * self.k:.2f} Td {line.paint(size)} ET Q")

    def write_text(
        self, height: float, text: str, *, x: float = MARGIN, width: float = WIDTH, align: str = "L"
    ) -> None:
        """Print a text over as many lines as it needs, and go below it."""
        for line in self.lines(printable(text), width):
            if self.will_page_break(height):
                self.add_page()
            self.say(height, line, x=x, width=width, align=align)
            self.set_xy(MARGIN, self.get_y() + height)

    def lines(self, text: str, width: float) -> list[str]:
        """Cut a text into lines, at its spaces while it can."""
        if self.measure(text) <= width:
            return [text]
        lines, line = list[str](), ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if self.measure(longer) <= width:
                line = longer
                continue
            *cut, rest = self._cut(word, width)
            lines += [line] * bool(line) + cut
            line = rest
        return [*lines, line]

    def _cut(self, word: str, width: float) -> Iterator[str]:
        """Cut a word that is longer than a line."""
        while (whole := self.measure(word)) > width:
            fits = min(len(word) - 1, int(len(word) * width / whole) + 1)
            while fits > 1 and self.measure(word[:fits]) > width:
                fits -= 1
            yield word[:fits]
            word = word[fits:]
        yield word

    def measure(self, text: str) -> float:
        """Say how wide a text is in the present style."""
        return self._line(text).width * self.font_size / 1000

    def _line(self, text: str) -> Line:
        """Lay out a line, once: it is measured, cut and painted."""
        key = (self.font_style, text)
        if key not in self._laid_out:
            self._laid_out[key] = Line.of(self._fonts[self.font_style], text)
        return self._laid_out[key]

    def rule(self, *, x: float = MARGIN, width: float = WIDTH, dashed: bool = False) -> None:
        """Draw a thin line here."""
        left = PAGE[0] - x - width if self._mirrored else x
        with self.decoration(), self.marked():
            self.set_draw_color(*_RULE)
            self.set_line_width(0.2)
            if dashed:
                self.set_dash_pattern(dash=0.9, gap=0.9)
            self.line(left, self.get_y(), left + width, self.get_y())
            self.set_dash_pattern()

    def stamp(self, text: str, *, x: float, y: float, colour: Colour) -> None:
        """Press a word in a double frame, tilted as a hand does it; ``x`` is where it ends."""
        self.style("B", 11, colour)
        width = self.measure(text) + 8
        with self.rotation(7, (PAGE[0] - x + width / 2) if self._mirrored else x - width / 2, y + 4):
            left = PAGE[0] - x if self._mirrored else x - width
            with self.decoration(), self.marked():
                self.set_draw_color(*colour)
                self.set_line_width(0.35)
                for inset in (0.0, 0.8):
                    box = (left + inset, y + inset, width - 2 * inset, 8 - 2 * inset)
                    self.rect(*box, style="D", round_corners=True, corner_radius=1.2)
            self.set_y(y)
            self.say(8, text, x=x - width, width=width, align="C")

    def bitmap(self, rows: Iterable[Iterable[int]], *, x: float, y: float, size: float) -> None:
        """Draw a square of dark modules, as one small image within the page; it is one element, a figure."""
        bits = ["".join("1" if module else "0" for module in row) for row in rows]
        count, octets = len(bits), -(-len(bits) // 8)
        drawn = b"".join(int(row.ljust(octets * 8, "0"), 2).to_bytes(octets) for row in bits)
        left = (PAGE[0] - x - size if self._mirrored else x) * self.k
        side, bottom = size * self.k, (PAGE[1] - y - size) * self.k
        with self.marked():
            self._out(
                f"q 0 0 0 rg {side:.2f} 0 0 {side:.2f} {left:.2f} {bottom:.2f} cm BI /W {count} /H {count} /IM true "
                f"/D [1 0] /F /AHx ID {drawn.hex().upper()}> EI Q"
            )

    def figure_entries(self, words: str, *, x: float, y: float, size: float) -> str:
        """Say what a square picture shows and where it is, as its element must."""
        left = PAGE[0] - x - size if self._mirrored else x
        corners = (left, PAGE[1] - y - size, left + size, PAGE[1] - y)
        box = " ".join(f"{corner * self.k:.2f}" for corner in corners)
        return f"{text_entry('Alt', words)}/A<</O/Layout/BBox[{box}]>>"

    def address(self, height: float, url: str) -> None:
        """Print an address that leads there, over as many lines as it needs."""
        lines = self.lines(url, WIDTH)
        if self.will_page_break(height * len(lines)):
            self.add_page()
        top = self.get_y()
        with self.tagged("Link"):
            for line in lines:
                self.say(height, line)
                self.set_y(self.get_y() + height)
            if self._element:
                box = (MARGIN, PAGE[1] - top, WIDTH, self.get_y() - top)
                at = (measure * self.k for measure in box)
                link = PDFAnnotation("Link", *at, action=URIAction(url), contents=url, flags=("PRINT",))
                link.struct_parent = self.tags.link(self._element)  # type: ignore[attr-defined]  # fpdf2 writes all
                self._element.annotate(link)
                self.pages[self.page].add_annotation(link)

    def tear(self) -> None:
        """Draw the edges of the paper: it ends where the text does."""
        bottom = min(self.get_y() + 4, _BOTTOM)
        count = round((PAGE[0] - 2 * _SIDE) / _TOOTH)
        tooth = (PAGE[0] - 2 * _SIDE) / count
        edge = [(_SIDE + tooth * n / 2, bottom + (tooth / 2 if n % 2 else 0)) for n in range(2 * count + 1)]
        with self.decoration(), self.marked():
            self.set_draw_color(*_RULE)
            self.set_line_width(0.2)
            self.polyline([(_SIDE, _TOP), *edge, (PAGE[0] - _SIDE, _TOP)])

    def draw_slot(self) -> None:
        """Draw the slot the paper comes out of, and whose counter it is."""
        self.pages[self.page].tabs = "/S"  # type: ignore[attr-defined]  # fpdf2 writes every attribute
        with self.decoration(), self.marked():
            self.set_fill_color(*_SLOT)
            self.rect(_SIDE - 2, _TOP - 3, PAGE[0] - 2 * _SIDE + 4, 3, style="F", round_corners=True, corner_radius=1.4)
            size = 6.5
            left = PAGE[0] - MARGIN - size if self._mirrored else MARGIN
            scale, colour = size * self.k / 32, " ".join(f"{part / 255:.3f}" for part in ACCENT)
            self._out(
                f"q {colour} RG {scale:.4f} 0 0 {-scale:.4f} {left * self.k:.2f} {(PAGE[1] - 14) * self.k:.2f} cm "
                f"{_MARK} Q"
            )

    def watermark(self, word: str) -> None:
        """Write a word from corner to corner, opaque and first, so that everything else stays legible on it."""
        self.style("B", 110, _WATERMARK)
        self.style("B", 110 * min(1.0, 140 / self.measure(word)), _WATERMARK)
        width, middle_x, middle_y = self.measure(word), PAGE[0] / 2, PAGE[1] / 2
        with self.rotation(52, middle_x, middle_y), self.decoration():
            self.set_y(middle_y - 10)
            self.say(20, word, x=middle_x - width / 2, width=width)
