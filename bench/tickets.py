"""P6: what a ticket costs a worker, beside the same words on paper without anything that makes them a ticket.

Drawn in a process of its own under the memory settings of ``guichet serve``, which cost a worker a fifth of its speed.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

from fpdf import FPDF
from pypdf import PdfReader

from bench.harness import Bench, Row, Target, Turn, cpu_milliseconds, row, take_turns
from bench.site import ROOT, make_home
from gateway import migrations
from gateway.core.money import Money
from gateway.core.payment import Line, PaymentResult, Which
from gateway.dialects import Refund, Signed
from gateway.memory import MEMORY
from gateway.parts import Parts, build
from gateway.receipts import Audience, Receipt
from gateway.receipts.content import language_of
from gateway.receipts.press import Press
from gateway.settings import load
from tests.factories import MERCHANT, open_payment, pay

# Payments, each with a payer's and a merchant's copy; one in six in Arabic, one in six of somebody with an Arabic name,
# one in six refunded in part. More tickets than a press keeps ready, so that each is drawn each time.
PAYMENTS, TURNS = 24, 5
SMALL_KILOBYTES = 40.0

Copy = tuple[Receipt, str]


def measure(bench: Bench) -> Iterator[Row]:
    """Tickets: CPU each in steady state, and how large they are; the floor is their words alone, by fpdf2's own fonts."""
    home = make_home(bench.folder)
    command = [sys.executable, "-m", "bench.tickets", str(home)]
    told = subprocess.run(command, cwd=ROOT, env={**os.environ, **MEMORY}, check=True, stdout=subprocess.PIPE)  # noqa: S603 - itself
    turns: dict[str, list[Turn]] = {kind: [(a, b) for a, b in taken] for kind, taken in json.loads(told.stdout).items()}
    quick = Target(at_most=15, absolute=True)
    yield row("P6", "ticket, of a mixed lot", "ms CPU", turns["mixed"], quick)
    yield row("P6", "ticket in Arabic", "ms CPU", turns["arabic"], quick)
    note = "PDF/A-2a with its own glyphs embedded; the floor embeds nothing and has no tags and no code"
    yield row("P6", "ticket, the largest", "kB", turns["size"], Target(at_most=SMALL_KILOBYTES, absolute=True), note)


def take(home: Path) -> dict[str, list[Turn]]:
    """Draw every ticket, turn by turn with the floor."""
    parts = build(load(home, {"GUICHET_DATABASE_URL": f"sqlite:///{home}/var/bench.sqlite"}))
    migrations.upgrade(parts.store.engine)
    lot = [copy for number in range(PAYMENTS) for copy in _copies(_payment(parts, number))]
    # The worker's own kind of link to check a ticket; a press for each turn, so that nothing is left of the last one.
    kinds = {"mixed": lot, "arabic": [one for one in lot if one[1] == "ar"]}
    turns = {
        kind: take_turns(_drawing(parts.press, some), _drawing(_Plain, some), TURNS) for kind, some in kinds.items()
    }
    press, plain = parts.press(), _Plain()
    for content in (press.ticket(*lot[0]), press.ticket(*kinds["arabic"][0])):
        _refuse_other_than_archivable(content)
    sizes = [max(len(maker.ticket(*one)) for one in lot) / 1000 for maker in (press, plain)]
    return turns | {"size": [(sizes[0], sizes[1])]}


def _payment(parts: Parts, number: int) -> PaymentResult:
    """Have a debt of one to five lines paid, by payers of several languages."""
    reference = f"BENCH-{number:06d}"
    count = number % 5 + 1
    lines = tuple(
        Line(f"{reference}/{n}", f"Cantine et garderie, période {n}", Money(4806)) for n in range(1, count + 1)
    )
    changes: dict[str, object] = {
        "amount": Money(4806 * count),
        "reference": reference,
        "lines": lines,
        "language": {0: "ar", 2: "en", 4: "es"}.get(number % 6, "fr"),
        "payer_name": "محمد بن علي" if number % 6 == 1 else f"Élodie Nœl {number}",
        "email": f"famille{number}@example.org",
    }
    paid = pay(parts, open_payment(parts, **changes))
    if number % 6 == 3:
        signed = Signed(MERCHANT, f"bench-{number}", f"bench-{number}")
        parts.checkout.refunding.refund(Refund(Which(payment=paid.id), Money(100), signed, ""), "native")
        paid = parts.checkout.opening.told(paid.id)
    return paid


def _copies(paid: PaymentResult) -> Iterator[Copy]:
    kind = "payment.refunded" if paid.refunds else "payment.succeeded"
    for audience in Audience:
        yield Receipt.of(paid, kind, audience), language_of(paid, audience)


def _drawing(make: Callable[[], "Press | _Plain"], copies: Sequence[Copy]) -> Callable[[], float]:
    def turn() -> float:
        maker, left = make(), iter(copies)
        return cpu_milliseconds(lambda: maker.ticket(*next(left)), len(copies))

    return turn


class _Plain:
    """The floor: every fact in a cell of its own, in a typeface each reader has; not one letter of Arabic."""

    def ticket(self, receipt: Receipt, language: str) -> bytes:
        """Print the words of a receipt."""
        page = FPDF(format=(148, 210))
        page.add_page()
        page.set_font("Helvetica", "", 8)
        rows = [(one.label, one.value) for one in receipt.rows(language)]
        rows += [(line.reference, f"{line.label} {receipt.money(line.amount, language)}") for line in receipt.lines]
        rows += [("", way) for way in (receipt.payee_name, *receipt.payee_address, *receipt.payee_contact)]
        for label, value in rows:
            for text in (label, value):
                page.cell(60, 4, text.encode("latin-1", "replace").decode("latin-1"))
            page.ln(4)
        return bytes(page.output())


def _refuse_other_than_archivable(content: bytes) -> None:
    """Make sure that what was measured is what is promised: PDF/A-2a, both styles embedded, as subsets."""
    reader = PdfReader(BytesIO(content))
    told = reader.xmp_metadata
    fonts = reader.pages[0]["/Resources"]["/Font"].values()  # type: ignore[index]  # a page of ours has fonts
    parts = [font.get_object()["/DescendantFonts"][0].get_object() for font in fonts]
    subsets = [bool(re.fullmatch(r"/[A-Z]{6}\+.+", str(one["/BaseFont"]))) for one in parts]
    embedded = ["/FontFile2" in one["/FontDescriptor"].get_object() for one in parts]
    if told is None or (told.pdfaid_part, told.pdfaid_conformance) != ("2", "A") or not all(subsets + embedded):
        raise RuntimeError("a ticket is no PDF/A-2a with embedded subsets")


if __name__ == "__main__":
    print(json.dumps(take(Path(sys.argv[1]))))
