"""``make bench``: prints what a payment and a ticket cost beside their floors."""

import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fpdf import FPDF

from gateway import keys, migrations
from gateway.parts import Parts, build
from gateway.receipts import pdf
from gateway.receipts.content import Receipt
from gateway.settings import load
from tests.factories import open_payment, pay

ROOT = Path(__file__).parents[1]
ROUNDS, EACH = 5, 20
# What one journey commits: opened, shown, card taken, intent, outcome.
COMMITS = 5


def main() -> None:
    """Measure in interleaved rounds and print medians."""
    with tempfile.TemporaryDirectory() as folder:
        parts = _parts(Path(folder))
        floor = sqlite3.connect(Path(folder) / "floor.sqlite", isolation_level=None)
        floor.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (x TEXT)")
        _print("journey in process, SQLite FULL", lambda: pay(parts, open_payment(parts)), lambda: _commits(floor))
        receipt = Receipt.of(pay(parts, open_payment(parts)), "payment.succeeded", "payer")
        _print("ticket PDF", lambda: pdf.render(receipt, "fr"), _empty_page)
        parts.store.engine.dispose()


def _parts(home: Path) -> Parts:
    (home / "checkout_templates").symlink_to(ROOT / "checkout_templates")
    shutil.copytree(ROOT / "config", home / "config")
    settings = load(home, {})
    keys.ensure_demo(home / "keys", settings.key_holders, datetime.now(UTC))
    parts = build(settings)
    migrations.upgrade(parts.store.engine)
    return parts


def _commits(floor: sqlite3.Connection) -> None:
    for _ in range(COMMITS):
        floor.execute("BEGIN IMMEDIATE")
        floor.execute("INSERT INTO t VALUES ('x')")
        floor.execute("COMMIT")


def _empty_page() -> None:
    page = FPDF()
    page.add_page()
    page.set_font("helvetica")
    page.cell(text="Guichet")
    page.output()


def _print(name: str, work: Callable[[], object], floor: Callable[[], object]) -> None:
    work()
    rounds = [(_milliseconds(work), _milliseconds(floor)) for _ in range(ROUNDS)]
    mine, least = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{name:34} {mine:8.2f} ms   floor {least:6.2f} ms   {mine / least:6.1f} x the floor")


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(EACH):
        work()
    return (time.process_time() - began) / EACH * 1000


main()
