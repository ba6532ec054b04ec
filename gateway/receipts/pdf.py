"""The PDF ticket: one A5 slip that prints well on A4, PDF/A-2a, real text in its tags, the same bytes for the same receipt.

What is where is decided here; how it is drawn in :mod:`gateway.receipts.slip`, what it says in
:mod:`gateway.receipts.content`. Importing this module costs most of a second (fpdf2), so it is imported where a ticket
is really made.
"""

from gateway.receipts.codes import code_of
from gateway.receipts.content import Operation, Receipt, Row
from gateway.receipts.slip import ACCENT, GOOD, INK, MARGIN, QUIET, WARNING, WIDTH, Slip
from gateway.receipts.tags import COLUMN, ROW, Tagged
from gateway.receipts.typeface import printable
from gateway.receipts.words import RIGHT_TO_LEFT, WORDS

_GUTTER = 6.0
_COLUMN = (WIDTH - _GUTTER) / 2
_REFERENCE_WIDTH = 38.0
_AMOUNT_WIDTH = 28.0
_DEBT_HEIGHT = 4.0
_LABEL_HEIGHT, _VALUE_HEIGHT, _FACT_GAP = 3.0, 3.8, 0.6

# Of 49 modules at most, so that each is wider than a third of a millimetre: what a telephone reads off paper.
_CODE = 20.0
_CODE_TOP = 20.0

# Facts the head of the slip, or the card's own column, already shows.
_SHOWN_ABOVE = frozenset({"date", "operation", "amount", "means"})


def render(receipt: Receipt, language: str, check_url: str = "") -> bytes:
    """Draw the ticket.

    :param language: one of ``WORDS``
    :param check_url: where whoever holds the ticket can check it; without it the ticket has no QR code
    """
    page = _Ticket(receipt, language, check_url)
    page.add_page()
    page.draw_payee()
    page.draw_amount()
    page.draw_debts()
    page.draw_facts()
    page.draw_end()
    return bytes(page.output(output_producer_class=Tagged))


class _Ticket(Slip):
    """One ticket being drawn, from top to bottom."""

    def __init__(self, receipt: Receipt, language: str, check_url: str) -> None:
        self._receipt, self._language, self._words = receipt, language, WORDS[language]
        self._check_url = check_url
        self._title = receipt.title(language)
        super().__init__(language, self._all_text(), mirrored=language in RIGHT_TO_LEFT)
        self.set_title(printable(f"{self._title} {receipt.number}"))
        self.set_author(printable(receipt.payee_name))
        self.set_subject(printable(f"{self._words['order']} {receipt.order}"))
        self.set_creator("Guichet")
        # The instant of the operation, not of the drawing: a ticket drawn twice is the same file.
        self.set_creation_date(receipt.at)

    def header(self) -> None:
        """Mark every page: the slip, whose copy, and TEST across the sheet."""
        if self._receipt.test:
            self.watermark(self._words["test"])
        self.draw_slot()
        self.set_y(13)
        # Told once; what later pages repeat is decoration.
        if self.page > 1:
            with self.decoration():
                self._head()
        else:
            self._head()

    def _head(self) -> None:
        receipt, words = self._receipt, self._words
        with self.decoration():
            self.style("B", 9, ACCENT)
            self.say(5, "Guichet", x=MARGIN + 8, width=40)
        self.style("", 8, QUIET)
        with self.tagged("P"):
            self.say(5, words[f"copy_{receipt.audience}"], x=MARGIN + 48, width=WIDTH - 48, align="R")
        self.set_y(20)
        self.style("B", 8.5, WARNING)
        for flag in (receipt.duplicate and words["duplicate"], receipt.test and words["test_notice"]):
            if flag:
                with self.tagged("P"):
                    self.say(4.5, flag, width=WIDTH - _CODE - _GUTTER)
                self.set_y(self.get_y() + 4.5)
        self.set_xy(MARGIN, self.get_y() + 1)

    def footer(self) -> None:
        """Tear the slip off, and say below it which ticket and which page this is."""
        self.tear()
        self.set_y(-7)
        self.style("", 6.5, QUIET)
        with self.decoration():
            self.say(4, f"{self._title} {self._receipt.number}", width=WIDTH - 20)
            self.say(4, f"{self._words['page']} {self.page_no()}", x=MARGIN + WIDTH - 20, width=20, align="R")

    def draw_payee(self) -> None:
        """Name the document and who was paid, with the whole postal address, beside the code that proves it."""
        receipt, width = self._receipt, WIDTH - (_CODE + _GUTTER if self._check_url else 0)
        self.style("B", 14, INK)
        with self.tagged("H1"):
            self.write_text(7, self._title, width=width)
        if self._check_url:
            self._draw_code()
        self.style("B", 9.5, INK)
        with self.tagged("P"):
            self.write_text(4.6, receipt.payee_name, width=width)
        self.style("", 8, QUIET)
        for text in (receipt.payee_service, ", ".join(receipt.payee_address)):
            if text:
                with self.tagged("P"):
                    self.write_text(3.8, text, width=width)
        below = _CODE_TOP + _CODE + 5 if self._check_url and self.page == 1 else 0
        self.set_xy(MARGIN, max(self.get_y() + 1.5, below))

    def draw_amount(self) -> None:
        """Show the sum large, with its moment and its stamp."""
        receipt, words = self._receipt, self._words
        if self.will_page_break(20):
            self.add_page()
        top = self.get_y()
        self.rule(dashed=True)
        self.style("", 7.5, QUIET)
        self.set_y(top + 1.5)
        with self.tagged("P"):
            self.say(3.5, words[f"amount_{receipt.operation}"], width=WIDTH / 2)
        self.style("B", 20, INK)
        self.set_y(top + 5)
        with self.tagged("P"):
            self.say(8.5, receipt.money(receipt.amount, self._language), width=WIDTH * 0.7)
        self.style("", 8, INK)
        self.set_y(top + 13.7)
        with self.tagged("P"):
            self.say(4, receipt.moment(self._language), width=WIDTH * 0.7)
        colour = GOOD if receipt.operation is Operation.DEBIT else ACCENT
        with self.tagged("P"):
            self.stamp(words[receipt.operation], x=MARGIN + WIDTH - 2, y=top + 5, colour=colour)
        self.set_xy(MARGIN, top + 19)

    def draw_debts(self) -> None:
        """List the debts this payment covers, and their sum."""
        receipt, words = self._receipt, self._words
        self._heading(words["debts"])
        with self.tagged("Table"):
            self.style("", 6.5, QUIET)
            self._debt(words["debt_reference"], words["debt_label"], words["debt_amount"], heads=(COLUMN,) * 3)
            self.style("", 8, INK)
            for line in receipt.lines:
                self._debt(line.reference, line.label, receipt.money(line.amount, self._language))
            self.rule(dashed=True)
            self.set_y(self.get_y() + 0.6)
            self.style("B", 8.5, INK)
            self._debt(words["total"], "", receipt.money(receipt.total, self._language), heads=(ROW, "", ""))
        self.set_xy(MARGIN, self.get_y() + 2)

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
                self._facts(title, rows, MARGIN, WIDTH)
            return
        top, bottoms = self.get_y(), []
        for index, (title, rows) in enumerate(groups):
            self.set_y(top)
            self._facts(title, rows, MARGIN + index * (_COLUMN + _GUTTER), _COLUMN)
            bottoms.append(self.get_y())
        self.set_xy(MARGIN, max(bottoms))

    def draw_end(self) -> None:
        """Close with whom to ask, how to check the ticket, a kind word, and the identifier support will ask for."""
        receipt, words = self._receipt, self._words
        self.set_y(self.get_y() + 1)
        if self.will_page_break(16):
            self.add_page()
        self.rule(dashed=True)
        self.set_y(self.get_y() + 1.2)
        self.style("", 6.5, QUIET)
        if receipt.payee_contact:
            with self.tagged("P"):
                # The marks keep the groups of a telephone number in order when the sentence runs the other way.
                ways = (
                    f"\u200e{way}\u200e" if self._language in RIGHT_TO_LEFT else way for way in receipt.payee_contact
                )
                self.write_text(3.2, f"{words['contact']} {' · '.join(ways)}")
        if self._check_url:
            with self.tagged("P"):
                self.write_text(3.2, words["check_how"])
            self.style("", 6, ACCENT)
            self.address(2.9, self._check_url)
        self.style("", 6.5, QUIET)
        with self.tagged("P"):
            self.write_text(3.2, receipt.payment)
        self.style("B", 8, ACCENT)
        with self.tagged("P"):
            self.write_text(4.4, words["courtesy"], align="C")

    def _draw_code(self) -> None:
        """Draw the code where it is seen first; its words are the caption's."""
        top, back = _CODE_TOP, self.get_y()
        x = MARGIN + WIDTH - _CODE
        with self.tagged("Figure", self.figure_entries(self._words["check_alt"], x=x, y=top, size=_CODE)):
            self.bitmap(code_of(self._check_url).matrix, x=x, y=top, size=_CODE)
        self.set_y(top + _CODE + 0.8)
        self.style("B", 6.5, ACCENT)
        with self.tagged("P"):
            self.say(3, self._words["check"], x=x - 12, width=_CODE + 12, align="R")
        self.set_xy(MARGIN, back)

    def _facts(self, title: str, rows: tuple[Row, ...], x: float, width: float) -> None:
        self._heading(title, x, width)
        with self.tagged("L"):
            for row in rows:
                with self.tagged("LI"):
                    self.style("", 6.5, QUIET)
                    with self.tagged("Lbl"):
                        self.write_text(_LABEL_HEIGHT, row.label, x=x, width=width)
                    self.style("B" if row.key == "number" else "", 8, INK)
                    with self.tagged("LBody"):
                        self.write_text(_VALUE_HEIGHT, row.value, x=x, width=width)
                self.set_y(self.get_y() + _FACT_GAP)

    def _fact_height(self, row: Row) -> float:
        self.style("B", 8, INK)
        return _LABEL_HEIGHT + _VALUE_HEIGHT * len(self.lines(printable(row.value), _COLUMN)) + _FACT_GAP

    def _debt(self, *texts: str, heads: tuple[str, ...] = ("", "", "")) -> None:
        """Print one row of the table; each cell wraps, the row is as tall as its tallest cell."""
        widths = (_REFERENCE_WIDTH, WIDTH - _REFERENCE_WIDTH - _AMOUNT_WIDTH, _AMOUNT_WIDTH)
        cells = [self.lines(printable(text), width - 2) for text, width in zip(texts, widths, strict=True)]
        height = max(map(len, cells)) * _DEBT_HEIGHT
        with self.tagged("TR"):
            if height < 60 and self.will_page_break(height):
                self.add_page()
            self._cells(cells, widths, heads)

    def _cells(self, cells: list[list[str]], widths: tuple[float, ...], heads: tuple[str, ...]) -> None:
        page, top = self.page, self.get_y()
        bottoms = []
        for index, (lines, width, head) in enumerate(zip(cells, widths, heads, strict=True)):
            if self.page == page:
                self.set_y(top)
            x = MARGIN + sum(widths[:index])
            with self.tagged("TH" if head else "TD", head):
                for line in lines:
                    if self.will_page_break(_DEBT_HEIGHT):
                        self.add_page()
                    self.say(_DEBT_HEIGHT, line, x=x, width=width, align="R" if index == 2 else "L")
                    self.set_xy(MARGIN, self.get_y() + _DEBT_HEIGHT)
            bottoms.append(self.get_y())
        self.set_y(max(bottoms))

    def _heading(self, title: str, x: float = MARGIN, width: float = WIDTH) -> None:
        self.style("B", 8, ACCENT)
        with self.tagged("H2"):
            self.say(4.3, title, x=x, width=width)
        self.set_y(self.get_y() + 4.3)
        self.rule(x=x, width=width)
        self.set_y(self.get_y() + 1)

    def _all_text(self) -> str:
        receipt = self._receipt
        debts = (text for line in receipt.lines for text in (line.reference, line.label))
        facts = (row.value for row in receipt.rows(self._language))
        payee = (receipt.payee_name, receipt.payee_service, *receipt.payee_address, *receipt.payee_contact)
        return printable("".join((*debts, *facts, *payee, *self._words.values(), receipt.payment, self._check_url)))
