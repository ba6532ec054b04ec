"""The PDF ticket: one A5 page that prints well on A4, PDF/A-2u, real text, the same bytes for the same receipt.

Only drawing lives here; the words and facts come from :mod:`gateway.receipts.content`. Importing this module costs
most of a second (fpdf2), so it is imported where a ticket is really made.
"""

from typing import cast

from fpdf import FPDF
from fpdf.enums import DocumentCompliance
from fpdf.prefs import ViewerPreferences

from gateway.receipts.content import Receipt, Row
from gateway.receipts.typeface import FAMILY, OUTPUT_LOCK, Producer, install, printable
from gateway.receipts.words import WORDS

# Millimetres. A5 as a tuple: fpdf2's own "A5" warns about a change of dimensions.
_PAGE = (148.0, 210.0)
_MARGIN = 12.0
_WIDTH = _PAGE[0] - 2 * _MARGIN
_GUTTER = 6.0
_COLUMN = (_WIDTH - _GUTTER) / 2
_REFERENCE_WIDTH = 40.0
_AMOUNT_WIDTH = 28.0
_LABEL_HEIGHT, _VALUE_HEIGHT, _FACT_GAP = 3.0, 3.8, 0.7

# Facts the frame at the top, or the card's own column, already shows.
_SHOWN_ABOVE = frozenset({"date", "operation", "amount", "means"})

_INK = (28, 36, 48)
_QUIET = (92, 102, 117)
_RULE = (205, 211, 219)
_ACCENT = (18, 57, 58)
_WARNING = (158, 42, 43)
_WATERMARK = (247, 226, 226)


def render(receipt: Receipt, language: str) -> bytes:
    """Draw the ticket.

    :param language: ``fr`` or ``en``
    """
    page = _Ticket(receipt, language)
    page.add_page()
    page.draw_payee()
    page.draw_amount()
    page.draw_debts()
    page.draw_facts()
    page.draw_courtesy()
    with OUTPUT_LOCK:
        return bytes(page.output(output_producer_class=Producer))


class _Ticket(FPDF):
    """One ticket being drawn, from top to bottom."""

    def __init__(self, receipt: Receipt, language: str) -> None:
        super().__init__(unit="mm", format=_PAGE, enforce_compliance=DocumentCompliance.PDFA_2U)
        self._receipt, self._language, self._words = receipt, language, WORDS[language]
        self._title = receipt.title(language)
        self.set_title(printable(f"{self._title} {receipt.number}"))
        self.set_author(printable(receipt.payee_name))
        self.set_subject(printable(f"{self._words['order']} {receipt.order}"))
        self.set_creator("Guichet")
        self.set_lang(language)
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)
        # The instant of the operation, not of the drawing: a ticket drawn twice is the same file.
        self.set_creation_date(receipt.at)
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=17)
        self.c_margin = 0
        install(self, self._all_text())

    def header(self) -> None:
        """Mark every page: whose copy, duplicate, and TEST across the sheet."""
        receipt, words = self._receipt, self._words
        if receipt.test:
            self._watermark()
        self.set_fill_color(*_ACCENT)
        self.rect(0, 0, _PAGE[0], 4, style="F")
        self.set_xy(_MARGIN, 9)
        self._style("B", 9, _ACCENT)
        self.cell(_WIDTH / 2, 5, self._title.upper())
        self._style("", 8, _QUIET)
        self.cell(_WIDTH / 2, 5, words[f"copy_{receipt.audience}"], align="R")
        self.ln(5)
        self._style("B", 8.5, _WARNING)
        for flag in (receipt.duplicate and words["duplicate"], receipt.test and words["test_notice"]):
            if flag:
                self._print(4.5, flag)
        self.ln(3)

    def footer(self) -> None:
        """Say how to ask about the sum, and which page this is."""
        self.set_y(-14)
        self._rule()
        self._style("", 6.5, _QUIET)
        asks = (
            f"{self._words['contact']} {' · '.join(self._receipt.payee_contact)}" if self._receipt.payee_contact else ""
        )
        self.cell(_WIDTH - 20, 5, self._fitting(asks or self._words["keep"], _WIDTH - 22))
        self.cell(20, 5, f"{self._words['page']} {self.page_no()}", align="R", new_x="LMARGIN", new_y="NEXT")

    def draw_payee(self) -> None:
        """Name who was paid, with the whole postal address."""
        receipt = self._receipt
        self._style("B", 13, _INK)
        self._print(6, receipt.payee_name)
        self._style("", 8, _QUIET)
        for text in (receipt.payee_service, ", ".join(receipt.payee_address)):
            if text:
                self._print(4, text)
        self.ln(3)

    def draw_amount(self) -> None:
        """Show the sum large, with its moment."""
        receipt, words = self._receipt, self._words
        if self.will_page_break(22):
            self.add_page()
        top = self.get_y()
        self.set_draw_color(*_ACCENT)
        self.set_line_width(0.5)
        self.rect(_MARGIN, top, _WIDTH, 18, style="D", round_corners=True, corner_radius=2)
        self.set_xy(_MARGIN + 4, top + 2.5)
        self._style("", 7.5, _QUIET)
        self.cell(_WIDTH / 2, 4, words[f"amount_{receipt.operation}"])
        self.set_xy(_MARGIN + 4, top + 7)
        self._style("B", 18, _ACCENT)
        self.cell(_WIDTH / 2, 8, receipt.money(receipt.amount, self._language))
        self.set_xy(_MARGIN + _WIDTH / 2, top + 2.5)
        self._style("B", 8, _INK)
        self.cell(_WIDTH / 2 - 4, 4, words[receipt.operation], align="R")
        self.set_xy(_MARGIN + _WIDTH / 2, top + 9)
        self._style("", 8, _INK)
        self.cell(_WIDTH / 2 - 4, 5, receipt.moment(self._language), align="R")
        self.set_xy(_MARGIN, top + 22)

    def draw_debts(self) -> None:
        """List the debts this payment covers, and their sum."""
        receipt, words = self._receipt, self._words
        self._heading(words["debts"])
        self._style("", 6.5, _QUIET)
        self._debt(words["debt_reference"], words["debt_label"], words["debt_amount"])
        self._style("", 8, _INK)
        for line in receipt.lines:
            self._debt(line.reference, line.label, receipt.money(line.amount, self._language))
        self._rule()
        self.ln(0.8)
        self._style("B", 8.5, _INK)
        self._debt(words["total"], "", receipt.money(receipt.total, self._language))
        self.ln(2.5)

    def draw_facts(self) -> None:
        """Print the payment's and the card's facts side by side, or one below the other when they are too tall."""
        receipt, language = self._receipt, self._language
        payment = tuple(row for row in receipt.payment_rows(language) if row.key not in _SHOWN_ABOVE)
        groups = ((self._words["payment"], payment), (self._words["card_group"], receipt.card_rows(language)))
        tallest = max(sum(self._fact_height(row) for row in rows) for _, rows in groups) + 6
        if self.will_page_break(tallest):
            self.add_page()
        if self.will_page_break(tallest):
            for title, rows in groups:
                self._facts(title, rows, _MARGIN, _WIDTH)
            return
        top, bottoms = self.get_y(), []
        for index, (title, rows) in enumerate(groups):
            self.set_y(top)
            self._facts(title, rows, _MARGIN + index * (_COLUMN + _GUTTER), _COLUMN)
            bottoms.append(self.get_y())
        self.set_xy(_MARGIN, max(bottoms))

    def draw_courtesy(self) -> None:
        """Close with a kind word and the identifier support will ask for."""
        self.ln(2)
        self._style("B", 8.5, _ACCENT)
        self._print(4.5, self._words["courtesy"], align="C")
        self._style("", 6.5, _QUIET)
        self._print(3.5, self._receipt.payment, align="C")

    def _facts(self, title: str, rows: tuple[Row, ...], x: float, width: float) -> None:
        self.set_x(x)
        self._heading(title, width)
        for row in rows:
            self.set_x(x)
            self._style("", 6.5, _QUIET)
            self._print(_LABEL_HEIGHT, row.label, x=x, width=width)
            self._style("B" if row.key == "number" else "", 8, _INK)
            self._print(_VALUE_HEIGHT, row.value, x=x, width=width)
            self.ln(_FACT_GAP)

    def _fact_height(self, row: Row) -> float:
        self._style("B", 8, _INK)
        return _LABEL_HEIGHT + _VALUE_HEIGHT * len(self._split(printable(row.value), _COLUMN)) + _FACT_GAP

    def _debt(self, reference: str, label: str, amount: str) -> None:
        """Print one row of the table; each cell wraps, the row is as tall as its tallest cell."""
        cells = (
            (reference, _REFERENCE_WIDTH, "L"),
            (label, _WIDTH - _REFERENCE_WIDTH - _AMOUNT_WIDTH, "L"),
            (amount, _AMOUNT_WIDTH, "R"),
        )
        texts = [self._split(printable(text), width - 2) for text, width, _ in cells]
        for index in range(max(map(len, texts))):
            if self.will_page_break(4.2):
                self.add_page()
            for (_, width, align), lines in zip(cells, texts, strict=True):
                self.cell(width, 4.2, lines[index] if index < len(lines) else "", align=align)
            self.ln(4.2)

    def _print(self, height: float, text: str, *, x: float = _MARGIN, width: float = _WIDTH, align: str = "L") -> None:
        """Print a text over as many lines as it needs."""
        for line in self._split(printable(text), width):
            if self.will_page_break(height):
                self.add_page()
            self.set_x(x)
            self.cell(width, height, line, align=align)
            self.ln(height)

    def _split(self, text: str, width: float) -> list[str]:
        """Cut a text into lines; most fit, and measuring is ten times cheaper than fpdf2's line breaking."""
        if self.get_string_width(text) <= width:
            return [text]
        return cast("list[str]", self.multi_cell(width, 4, text, align="L", dry_run=True, output="LINES"))

    def _heading(self, title: str, width: float = _WIDTH) -> None:
        x = self.get_x()
        self._style("B", 8, _ACCENT)
        self.cell(width, 4.5, title)
        self.set_xy(x, self.get_y() + 4.5)
        self._rule(width)
        self.set_xy(x, self.get_y() + 1.2)

    def _rule(self, width: float = _WIDTH) -> None:
        self.set_draw_color(*_RULE)
        self.set_line_width(0.2)
        self.line(self.get_x(), self.get_y(), self.get_x() + width, self.get_y())

    def _watermark(self) -> None:
        """Write TEST from corner to corner, opaque and first, so that everything else stays legible on it."""
        self._style("B", 110, _WATERMARK)
        width = self.get_string_width("TEST")
        middle_x, middle_y = _PAGE[0] / 2, _PAGE[1] / 2
        with self.rotation(52, middle_x, middle_y):
            self.text(middle_x - width / 2, middle_y + 14, "TEST")

    def _fitting(self, text: str, width: float) -> str:
        """Cut a footer that is longer than its line; the same addresses are whole in the mail."""
        kept = printable(text)
        while self.get_string_width(kept) > width:
            kept = kept[: int(len(kept) * 0.9)].rstrip("… ") + "…"
        return kept

    def _style(self, style: str, size: float, colour: tuple[int, int, int]) -> None:
        self.set_font(FAMILY, style, size)
        self.set_text_color(*colour)

    def _all_text(self) -> str:
        receipt = self._receipt
        debts = (text for line in receipt.lines for text in (line.reference, line.label))
        facts = (row.value for row in receipt.rows(self._language))
        payee = (receipt.payee_name, receipt.payee_service, *receipt.payee_address, *receipt.payee_contact)
        return printable("".join((*debts, *facts, *payee, receipt.payment)))
