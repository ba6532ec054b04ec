"""``guichet links`` as an operator meets it: a table in, a folder out; and the codes say what they should."""

import csv
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pypdf
import pytest
import time_machine
from click.testing import CliRunner, Result
from PIL import Image

from gateway.cli import guichet
from gateway.parts import Parts
from tests.factories import pay
from tests.support.clock import Clock

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "portal"))

import qr

# The verbs are tried on both engines beside this file.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
TABLE = (
    "reference;amount;label;payer_name;email;pay_before;language\n"
    "FACT/2026 1;51,24;Cantine de novembre;=HYPERLINK(1);;31/12/2026;\n"
    "FACT-2;1,00;Eau;+33;-a@example.org;;en\n"
)


@pytest.fixture
def run(home: Path, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a closure
    monkeypatch.setenv("GUICHET_DATABASE_URL", str(parts.settings.database_url))

    def run(*words: str) -> Result:
        with time_machine.travel(clock.now(), tick=False):
            return CliRunner().invoke(guichet, ["--home", str(home), "links", *words])

    return run


@pytest.fixture
def made(run, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]  # a closure
    (tmp_path / "debts.csv").write_text(TABLE, "utf-8")
    told = run("make", str(tmp_path / "debts.csv"), "--merchant", "mairie-demo", "--out", str(tmp_path / "out"))
    assert told.exit_code == 0, told.output
    assert "2 links" in told.output
    return tmp_path / "out"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "links.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def scanned(picture: Path) -> str:
    """Read a code as a scanner does, by the layout that the example portal's own writer of codes knows."""
    image = Image.open(picture).convert("L")
    modules = [[image.getpixel((x + 4, y + 4)) for x in range(0, image.width, 8)] for y in range(0, image.height, 8)]
    grid = [[int(module == 0) for module in row[4:-4]] for row in modules[4:-4]]
    assert {module for row in (*modules[:4], *modules[-4:]) for module in row} == {255}
    format_bits = [grid[y][x] for y, x in qr._format_places(len(grid))[0]][:5]
    level, mask = (int("".join(map(str, bits)), 2) for bits in (format_bits[:2], format_bits[2:]))
    # The standard's mask of the format bits begins with 10101; level M is 00.
    assert (level ^ 0b10, mask ^ 0b101) == (0, 3)
    version = (len(grid) - 17) // 4
    frame = qr._frame(version)
    read = [grid[y][x] ^ qr._MASKS[3](y, x) for y, x in qr._path(len(grid)) if frame[y][x] < 0]
    words = [int("".join(map(str, read[n : n + 8])), 2) for n in range(0, len(read) - 7, 8)]
    _, blocks, size = qr._SHAPES[version - 1]
    data = [word for block in range(blocks) for word in words[block : blocks * size : blocks]]
    bits = "".join(f"{word:08b}" for word in data)
    assert bits[:4] == "0010"
    length, text = int(bits[4:13], 2), ""
    for place in range(13, 13 + 11 * (length // 2), 11):
        text += "".join(ALPHANUMERIC[part] for part in divmod(int(bits[place : place + 11], 2), 45))
    end = 13 + 11 * (length // 2)
    return text + (ALPHANUMERIC[int(bits[end : end + 6], 2)] if length % 2 else "")


def test_a_folder_is_made(made: Path) -> None:
    names = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())

    assert names == [
        "labels.pdf", "links.csv", "qr/FACT-2-2.png", "qr/FACT-2-2.svg", "qr/FACT-2026-1-1.png", "qr/FACT-2026-1-1.svg"
    ]  # fmt: skip
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_code_holds_the_address_of_its_line(made: Path) -> None:
    for row in rows(made):
        assert scanned(made / row["png"]) == row["address"].upper()
    assert (made / "qr/FACT-2-2.svg").read_text("utf-8").startswith("<?xml")


def test_no_cell_is_a_formula(made: Path) -> None:
    first, second = rows(made)

    assert (first["payer_name"], second["payer_name"], second["email"]) == ("'=HYPERLINK(1)", "'+33", "'-a@example.org")
    assert (first["amount"], first["pay_before"]) == ("51,24", "2026-12-31")
    assert (made / "links.csv").read_bytes().startswith(b"\xef\xbb\xbflink;merchant;")


def test_the_sheet_says_in_words_what_a_code_does(made: Path) -> None:
    (page,) = pypdf.PdfReader(made / "labels.pdf").pages
    text = page.extract_text().replace("\u202f", " ").replace("\xa0", " ")

    for words in (
        "Ville de Démonstration", "51,24 €", "Cantine de novembre", "Référence FACT/2026 1", "31 décembre 2026",
        "http://127.0.0.1:8000/L/", "AAAA-AA", "€1.00", "Reference FACT-2", "Test: no money will move.",
    ):  # fmt: skip
        assert words in text, (words, text)
    assert (round(page.mediabox.width), round(page.mediabox.height)) == (595, 842)


def test_a_wrong_line_makes_nothing(run, parts: Parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "debts.csv").write_text(TABLE + "FACT-3;100;Eau;;;;\nfact-2;1,00;Eau;;;;\n", "utf-8")

    told = run("make", str(tmp_path / "debts.csv"), "--merchant", "mairie-demo", "--out", str(tmp_path / "out"))

    assert told.exit_code == 1
    assert "nothing was made; mend 2 faults" in told.output
    assert "line 4, amount: format" in told.output
    assert "line 5, reference: duplicate_reference" in told.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["debts.csv", "home"]
    assert parts.checkout.linking.listed(9) == ()


def test_a_folder_that_is_there_is_left_alone(run, made: Path) -> None:  # type: ignore[no-untyped-def]
    told = run("make", str(made.parent / "debts.csv"), "--merchant", "mairie-demo", "--out", str(made))

    assert told.exit_code == 1
    assert "exists" in told.output


def test_a_disk_that_fails_leaves_no_half_a_folder_and_the_same_addresses(run, made: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    words = ("make", str(made.parent / "debts.csv"), "--merchant", "mairie-demo", "--out", str(made.parent / "again"))
    with monkeypatch.context() as patch:
        patch.setattr("gateway.cli.links.write", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
        assert run(*words).exit_code == 1
    assert sorted(path.name for path in made.parent.iterdir()) == ["debts.csv", "home", "out"]

    run(*words)

    assert rows(made.parent / "again") == rows(made)
    assert (made.parent / "again/labels.pdf").read_bytes() == (made / "labels.pdf").read_bytes()


def test_links_are_listed_shown_and_revoked(run, made: Path, parts: Parts) -> None:  # type: ignore[no-untyped-def]
    number = int(rows(made)[0]["link"])
    payment = parts.checkout.linking.open(number)
    assert payment is not None
    pay(parts, parts.checkout.paying.show(payment).result)

    assert [line.split()[:4] for line in run("list").output.splitlines()] == [
        ["2", "payable", "1.00", "EUR"], ["1", "paid", "51.24", "EUR"]
    ]  # fmt: skip
    assert payment in run("list").output
    shown = run("show", "fact/2026 1", "--merchant", "mairie-demo").output
    assert rows(made)[0]["address"] in shown
    assert "payable until 2026-12-31" in shown
    assert run("revoke", "2").output == "link 2: revoked\n"
    assert run("revoke", "FACT-2", "--merchant", "mairie-demo").output == "link 2: was revoked before\n"
    assert "revoked" in run("show", "2").output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "FACT-2"), "add --merchant"),
        (("revoke", "FACT-9", "--merchant", "mairie-demo"), "no link of mairie-demo"),
        (("show", "77"), "no such link"),
    ],
)
def test_what_is_not_there_is_told(run, words: tuple[str, ...], told: str) -> None:  # type: ignore[no-untyped-def]
    result = run(*words)

    assert result.exit_code == 1
    assert told in result.output + str(result.exception)


def test_an_address_leads_to_its_page(made: Path, client) -> None:  # type: ignore[no-untyped-def]
    path = urlsplit(scanned(made / rows(made)[0]["png"]).replace("HTTP://127.0.0.1:8000", "")).path

    assert 'data-page="link-payable"' in client.get(path).text
