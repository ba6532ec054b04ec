"""The printed side of payment links: their QR codes, and an A4 sheet of labels to cut out and stick on invoices.

A label says in words what its code does: who is paid, what for, how much, until when, and the address for whoever cannot
scan. Importing this module costs most of a second (fpdf2).
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import cast

import segno
from babel.dates import format_date
from babel.numbers import format_currency
from babel.support import NullTranslations, Translations
from fpdf import FPDF

from gateway.core.money import Money
from gateway.core.payment import Payee
from gateway.receipts.typeface import FAMILY, Producer, install, printable
from gateway.receipts.words import RIGHT_TO_LEFT, WORDS, receipt_language

# Millimetres: two labels beside each other, five below each other, on A4 with margins every office printer keeps.
_MARGIN_X, _MARGIN_Y = 10.0, 11.0
_WIDTH, _HEIGHT = 95.0, 55.0
_COLUMNS, _ROWS = 2, 5
_INSET = 4.0
# With the quiet zone. A code of 33 modules then has squares of 0.75 mm; telephones read half of that (ISO/IEC 18004).
_CODE = 31.0
_QUIET_ZONE = 4
# Squares are drawn a hair too high: viewers leave white lines between what only touches.
_OVERLAP = 0.02

# Medium correction (15 %) bears a fold or a stamp. Any of the eight masks may be read, and choosing costs more than drawing.
_LEVEL, _MASK = "m", 3
_WHITE_OR_BLACK = bytes([0xFF, 0]) + bytes(254)

_INK, _QUIET, _RULE = (28, 36, 48), (92, 102, 117), (205, 211, 219)


@dataclass(frozen=True, slots=True)
class Label:
    """What one label says.

    :ivar address: as it is read and typed
    :ivar scanned: the same address as the QR code holds it
    """

    payee: Payee
    reference: str
    subject: str
    amount: Money
    pay_before: date | None
    language: str
    address: str
    scanned: str


# Drawn as files and then on the sheet: the codes of a usual batch are kept between the two.
@lru_cache(maxsize=2048)
def code(scanned: str) -> segno.QRCode:
    """Make the QR code of an address (ISO/IEC 18004)."""
    return segno.make_qr(scanned, error=_LEVEL, mask=_MASK)


def write_code(label: Label, stem: Path) -> None:
    """Write the code of a label as ``<stem>.svg`` and ``<stem>.png``, black on white, with the quiet zone."""
    drawn = code(label.scanned)
    drawn.save(f"{stem}.svg", border=_QUIET_ZONE, light="white", unit="mm", scale=0.75, title=label.reference)
    Path(f"{stem}.png").write_bytes(_png([bytes(row) for row in drawn.matrix]))


def _png(rows: list[bytes]) -> bytes:
    """Write a code as a picture of one bit (PNG, third edition): eight pixels a square are one byte.

    segno's own writer scales by any number and takes a dozen times as long.
    """
    quiet = bytes([0xFF]) * _QUIET_ZONE
    blank = b"\0" + bytes([0xFF]) * (len(rows) + 2 * _QUIET_ZONE)
    lines = [blank] * _QUIET_ZONE + [b"\0" + quiet + row.translate(_WHITE_OR_BLACK) + quiet for row in rows]
    pixels = b"".join(line * 8 for line in (*lines, *[blank] * _QUIET_ZONE))
    side = 8 * (len(rows) + 2 * _QUIET_ZONE)
    parts = {b"IHDR": struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0), b"IDAT": zlib.compress(pixels), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def render(labels: Iterable[Label], *, translations: Path, at: datetime) -> bytes:
    """Draw the labels on as many sheets as they need.

    :param translations: the folder of the pages' catalogues
    :param at: when they were made; drawn again they are the same file
    """
    sheet = _Sheet(tuple(labels), translations, at)
    return bytes(sheet.output(output_producer_class=Producer))


class _Sheet(FPDF):
    """Sheets of labels being drawn, row by row."""

    def __init__(self, labels: tuple[Label, ...], translations: Path, at: datetime) -> None:
        super().__init__(unit="mm", format="A4")
        self._folder = translations
        self._catalogues: dict[str, NullTranslations] = {}
        self._lines: dict[tuple[str, float, float, int, str], list[str]] = {}
        self.set_title("QR")
        self.set_creator("Guichet")
        self.set_creation_date(at)
        self.set_auto_page_break(False)
        self.c_margin = 0
        install(self)
        for place, label in enumerate(labels):
            row, column = divmod(place % (_COLUMNS * _ROWS), _COLUMNS)
            if not (row or column):
                self.add_page()
            self._draw(label, _MARGIN_X + column * _WIDTH, _MARGIN_Y + row * _HEIGHT)

    def _draw(self, label: Label, x: float, y: float) -> None:
        self.set_draw_color(*_RULE)
        self.set_line_width(0.15)
        self.set_dash_pattern(1, 1)
        self.rect(x, y, _WIDTH, _HEIGHT)
        self.set_dash_pattern()
        self._draw_code(label, x + _INSET - 2, y + 3)
        self._draw_facts(label, x + _INSET + _CODE, y + 4)
        self._draw_address(label, x + _INSET, max(self.get_y(), y + 3 + _CODE) + 1)

    def _draw_code(self, label: Label, x: float, y: float) -> None:
        rows = [bytes(row) for row in code(label.scanned).matrix]
        module = _CODE / (len(rows) + 2 * _QUIET_ZONE)
        left, top, high = x + _QUIET_ZONE * module, y + _QUIET_ZONE * module, module + _OVERLAP
        runs = []
        for n, row in enumerate(rows):
            start = row.find(1)
            while start >= 0:
                end = row.find(0, start)
                end = len(row) if end < 0 else end
                runs.append((left + start * module, top + n * module, (end - start) * module))
                start = row.find(1, end)
        # One path of PDF operators (ISO 32000-1, 8.5.2): fpdf2 would write each square with its own ceremony.
        path = (
            f"{x * self.k:.2f} {(self.h - y) * self.k:.2f} {w * self.k:.2f} {-high * self.k:.2f} re" for x, y, w in runs
        )
        self.set_fill_color(0)
        self._out("\n".join((*path, "f")))

    def _draw_facts(self, label: Label, x: float, y: float) -> None:
        _, width = self._catalogue(label).gettext, _WIDTH - _CODE - _INSET - 4
        self.set_xy(x, y)
        self._line("B", 9.5, _INK, label.payee.name, width, lines=2)
        self._line("", 7.5, _QUIET, label.payee.service, width)
        self.set_xy(x, self.get_y() + 0.5)
        value = Decimal(label.amount.cents).scaleb(-label.amount.exponent)
        self._line("B", 14, _INK, format_currency(value, label.amount.currency, locale=self._locale(label)), width)
        self.set_xy(x, self.get_y() + 0.5)
        self._line("", 8, _INK, label.subject, width)
        self._line("", 8, _INK, _("Reference %(reference)s") % {"reference": label.reference}, width, lines=2)
        if label.pay_before:
            day = format_date(label.pay_before, "long", locale=self._locale(label))
            self._line("", 8, _INK, _("Payable until %(day)s") % {"day": day}, width, lines=2)

    def _draw_address(self, label: Label, x: float, y: float) -> None:
        _, width = self._catalogue(label).gettext, _WIDTH - 2 * _INSET
        path, token = label.address.rsplit("/", 1)
        invitation = _("To pay by card, scan this code with a telephone, or open this address:")
        if label.payee.mode != "production":
            invitation = " ".join((_("Test: no money will move."), invitation))
        self.set_xy(x, y)
        self._line("", 6.5, _QUIET, invitation, width, lines=2)
        self.set_xy(x, self.get_y() + 0.5)
        self._line("B", 7.5, _INK, f"{path}/", width)
        self._line("B", 7.5, _INK, token, width)

    def _line(  # noqa: PLR0913 - how it looks, what it says, how far it may go
        self, style: str, size: float, colour: tuple[int, int, int], text: str, width: float, *, lines: int = 1
    ) -> None:
        """Print a text at the present place, over at most so many lines; the rest of a longer one is cut."""
        if not text:
            return
        x, height = self.get_x(), size * 0.46
        self.set_font(FAMILY, style, size)
        self.set_text_color(*colour)
        for line in self._cut((style, size, width, lines, text)):
            self.set_x(x)
            self.cell(width, height, line)
            self.set_xy(x, self.get_y() + height)

    def _cut(self, asked: tuple[str, float, float, int, str]) -> list[str]:
        """Cut a text into lines, in the font that is set. Most texts stand on every label, and breaking lines is slow."""
        if asked not in self._lines:
            _, size, width, lines, text = asked
            cut = [printable(text)]
            if self.get_string_width(cut[0]) > width:
                cut = cast("list[str]", self.multi_cell(width, size, cut[0], align="L", dry_run=True, output="LINES"))
            if len(cut) > lines:
                cut = [*cut[: lines - 1], self._fitting(" ".join(cut[lines - 1 :]), width)]
            self._lines[asked] = cut
        return self._lines[asked]

    def _fitting(self, text: str, width: float) -> str:
        while self.get_string_width(f"{text}…") > width:
            text = text[:-1].rstrip()
        return f"{text}…"

    @staticmethod
    def _language(label: Label) -> str:
        """Choose the language of a label. Arabic needs a joined script from right to left: such labels speak French."""
        spoken = receipt_language(label.language)
        return "fr" if spoken in RIGHT_TO_LEFT else spoken

    def _locale(self, label: Label) -> str:
        return WORDS[self._language(label)]["locale"]

    def _catalogue(self, label: Label) -> NullTranslations:
        language = self._language(label)
        if language not in self._catalogues:
            self._catalogues[language] = Translations.load(self._folder, [language])
        return self._catalogues[language]
