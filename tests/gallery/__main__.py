"""``make gallery``: photographs every page of the payer into ``var/gallery``, with an ``index.html`` to leaf through.

``make gallery IN=de`` takes another language, ``IN=all`` all of them. The pages are the catalogue's (``tests/support/pages.py``),
by a clock that stands: two runs of the same pages give the same pictures.
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, sync_playwright

from gateway import keys, migrations
from gateway.channels.catcher import Catcher
from gateway.channels.inbox import Inbox
from gateway.core.languages import CODES
from gateway.settings import load
from gateway.store import open_engine
from tests.factories import deliver, open_payment, pay
from tests.gallery.album import Group, Picture, write
from tests.support.browser import chromium_path, launch_flags
from tests.support.clock import Clock
from tests.support.pages import STATES, no_shop, with_more_payees
from tests.support.server import ROOT, make_home
from tests.support.theatre import Theatre, in_this_process

FOLDER = ROOT / "var/gallery"
LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = (
    (360, "light"),
    (1280, "light"),
    (360, "dark"),
    (1280, "dark"),
)
TICKET_DPI = "100"


def main(words: Sequence[str]) -> int:
    """Take the pictures and write the album; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.gallery", description=__doc__)
    parser.add_argument("language", nargs="?", default="fr", choices=[*CODES, "all"])
    language = parser.parse_args(words).language
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    shutil.rmtree(FOLDER, ignore_errors=True)
    began = time.monotonic()
    groups = []
    with tempfile.TemporaryDirectory() as folder, _theatre(Path(folder)) as theatre, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=launch_flags())
        for code in CODES if language == "all" else (language,):
            # Another language is another payer: each page belongs to the browser that saw it first.
            with browser.new_context(locale=code) as context:
                page = context.new_page()
                no_shop(page)
                groups += _photograph(page, theatre, code)
        browser.close()
    count = write(FOLDER, groups)
    sys.stdout.write(f"{count} pictures in {time.monotonic() - began:.0f} s: {FOLDER / 'index.html'}\n")
    return 0


@contextmanager
def _theatre(folder: Path) -> Iterator[Theatre]:
    """Serve from a home of its own, with demonstration keys and an empty database."""
    clock = Clock()
    keys.ensure_demo(folder / "keys", load(ROOT, {}).key_holders, clock.now())
    home = with_more_payees(make_home(folder / "home", folder / "keys"))
    engine = open_engine(f"sqlite:///{home}/var/guichet.sqlite")
    migrations.upgrade(engine)
    engine.dispose()
    catcher = Catcher("127.0.0.1", 0, Inbox(home / "var/inbox"))
    with catcher, in_this_process(home, clock, catcher.port) as theatre:
        yield theatre


def _photograph(page: Page, theatre: Theatre, language: str) -> list[Group]:
    groups = []
    # The page's own clock is the server's: what it says of the time left is the same in each run.
    page.clock.set_fixed_time(theatre.clock.now())
    for state in STATES:
        state.show(page, theatre, language)
        groups.append(Group(f"{state.name} ({language})", _shots(page, f"{language}/{state.name}")))
    groups.append(Group(f"mail and ticket ({language})", _papers(page, replace(theatre, language=language))))
    return groups


def _shots(page: Page, stem: str) -> list[Picture]:
    pictures = []
    for width, scheme in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 800})
        path = FOLDER / f"{stem}-{width}-{scheme}.png"
        page.screenshot(path=path, full_page=True)
        pictures.append(Picture(path.relative_to(FOLDER).as_posix(), f"{width} px, {scheme}"))
    return pictures


def _papers(page: Page, theatre: Theatre) -> list[Picture]:
    """Show the receipt as the mail's reader shows it, and the PDF beside it."""
    paid = pay(theatre.parts, open_payment(theatre.parts, language=theatre.language))
    while deliver(theatre.parts):
        pass  # What the states before it promised to send is due first.
    mail, stem = theatre.parts.inbox.messages(kind="mail", payment=paid.id)[0], FOLDER / theatre.language
    page.emulate_media(color_scheme="light")
    page.goto("about:blank")
    page.set_viewport_size({"width": 700, "height": 800})
    page.set_content(mail.html)
    page.screenshot(path=stem / "mail.png", full_page=True)
    pictures = [Picture(f"{theatre.language}/mail.png", f"mail: {mail.subject}")]
    pdf = page.request.get(f"{theatre.parts.links.ticket(paid, 'payer')}.pdf").body()
    (stem / "ticket.pdf").write_bytes(pdf)
    if pdftoppm := shutil.which("pdftoppm"):
        command = [
            pdftoppm,
            "-png",
            "-singlefile",
            "-r",
            TICKET_DPI,
            str(stem / "ticket.pdf"),
            str(stem / "ticket-pdf"),
        ]
        subprocess.run(command, check=True)
        pictures.append(Picture(f"{theatre.language}/ticket-pdf.png", "ticket, PDF"))
    else:
        sys.stdout.write(f"no pdftoppm (Debian: poppler-utils): the ticket is {stem / 'ticket.pdf'}\n")
    return pictures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
