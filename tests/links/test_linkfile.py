"""The table of debts as spreadsheets write it: every fault at once, each with its line, column and cure."""

from datetime import date

import pytest

from gateway.cli.linkfile import CellFault, FileRefused, LinkFile, Reader
from gateway.dialects.native.merchant import NativeMerchant

BOOK = {
    "mairie": NativeMerchant("mairie", amount_max=50_000),
    "lycee": NativeMerchant("lycee", currencies=frozenset({"XPF"}), email_rule="fixed"),
}
HEAD = "reference;amount;label\n"


def read(text: str | bytes, merchant: str = "mairie") -> LinkFile:
    raw = text.encode() if isinstance(text, str) else text
    return Reader(BOOK, merchant, date(2026, 11, 21)).read(raw)


def faults(text: str | bytes, merchant: str = "mairie") -> list[tuple[int, str, str]]:
    try:
        found = read(text, merchant).faults
    except FileRefused as refused:
        found = list(refused.faults)
    return [(one.line, one.column, one.rule) for one in found]


def cents(amount: str, merchant: str = "mairie") -> int:
    (one,) = read(f"{HEAD}A-1;{amount};Eau\n", merchant).terms
    return one.request.amount.cents


def test_a_french_spreadsheet_is_read() -> None:
    text = (
        "\ufeffReference;AMOUNT;label;merchant;email;payer_name;fiscal_year;pay_before;grace_days;language\r\n"
        'A-1;51,24;"Eau ; froide\nou chaude";mairie;a@example.org;Léa;2026;31/12/2026;7;en\r\n'
        ";;;;;;;;;\r\n"
        "A-2;1,00;Eau;;;;;;;\r\n"
    )
    file = read(text.replace("\nou", " ou"))

    assert (file.delimiter, file.lines, file.faults) == (";", [2, 4], [])
    first, second = file.terms
    assert (first.request.merchant, first.request.reference, first.request.amount.cents) == ("mairie", "A-1", 5124)
    assert (first.request.label, first.request.email) == ("Eau ; froide ou chaude", "a@example.org")
    assert (first.request.payer_name, first.request.fiscal_year, first.request.language) == ("Léa", "2026", "en")
    assert (first.request.pay_before, first.grace_days, first.last_on) == (date(2026, 12, 31), 7, date(2027, 1, 7))
    assert (second.request.pay_before, second.grace_days, second.request.language) == (None, 0, "fr")


def test_an_english_one_too() -> None:
    file = read('reference,amount,label,pay_before\nA-1,51.24,Water,2026-12-31\nA-2,"51,24",Water,\n')

    assert [one.request.amount.cents for one in file.terms] == [5124, 5124]
    assert file.terms[0].request.pay_before == date(2026, 12, 31)


@pytest.mark.parametrize(("amount", "expected"), [("51,24", 5124), ("51.24", 5124), ("0,01", 1), (" 500,00 ", 50_000)])
def test_an_amount_has_two_decimals(amount: str, expected: int) -> None:
    assert cents(amount) == expected


@pytest.mark.parametrize(
    "amount",
    ["5124", "51,2", "51,240", "1 234,56", "1.234,56", "1,234.56", "-1,00", "+1,00", "51,24 €", "1e2", "٥١,٢٤", ",50"],
)
def test_an_amount_that_could_be_another_is_refused(amount: str) -> None:
    assert faults(f'{HEAD}A-1;"{amount}";Eau\n') == [(2, "amount", "format")]


def test_a_currency_without_cents_has_no_decimals() -> None:
    head = "reference;amount;label;email\n"

    assert read(f"{head}A-1;5124;Eau;a@example.org\n", "lycee").terms[0].request.amount.cents == 5124
    assert faults(f"{head}A-1;51,24;Eau;a@example.org\n", "lycee") == [(2, "amount", "format")]


def test_all_faults_are_told_at_once() -> None:
    text = (
        "merchant;reference;amount;label;email;payer_name;fiscal_year;pay_before;grace_days;language\n"
        ";A-1;12,5;Eau;;;;;;\n"
        "nobody;A-2;12,50;;;;;;;\n"
        "mairie;-A-3;5124;Eau;not-mail;;26;31/02/2027;9999;xx\n"
        "mairie;A-4;0,00;Eau;;;;20/11/2026;;\n"
        "mairie;A-5;501,00;4242 4242 4242 4242;;;;;3;\n"
        "mairie;A-6;1,00\n"
        "mairie;A-7;1,00;Eau;;;;12/31/2026;;\n"
        "lycee;A-8;100;Eau;;;;;;\n"
    )

    assert faults(text, "") == [
        (2, "merchant", "missing"), (2, "amount", "format"),
        (3, "merchant", "unknown"), (3, "label", "missing"),
        (4, "amount", "format"), (4, "pay_before", "format"), (4, "grace_days", "format"), (4, "reference", "format"),
        (4, "email", "format"), (4, "fiscal_year", "format"), (4, "language", "language_not_spoken"),
        (5, "amount", "out_of_range"), (5, "pay_before", "date_past"),
        (6, "pay_before", "missing"), (6, "amount", "amount_above_limit"), (6, "label", "card_number"),
        (7, "", "cells"),
        (8, "pay_before", "format"),
        (9, "email", "missing"),
    ]  # fmt: skip


def test_each_fault_says_how_to_mend_it() -> None:
    (fault,) = read(f"{HEAD}A-1;5124;Eau\n").faults

    assert str(fault) == (
        "line 2, amount: format: write EUR with exactly two decimals, such as 51,24 or 51.24: no spaces, no sign; "
        "5124 alone is refused"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, "amount", "missing_column"), (1, "label", "missing_column"), (1, "reference", "missing_column")]),
        ("reference;amount;label;colour\nA;1,00;x;red", [(1, "colour", "unknown_column")]),
        ("reference;amount;label;label\nA;1,00;x;y", [(1, "label", "twice")]),
        ("reference\tamount\tlabel\nA\t1,00\tx", None),
        (HEAD, [(2, "", "empty")]),
        (HEAD + '"A;1,00;x\n', [(2, "", "not_csv")]),
        (HEAD.encode() + "A-1;1,00;Électricité".encode("latin-1"), [(2, "", "not_utf8")]),
        (b"x" * (8 * 1024 * 1024 + 1), [(1, "", "too_large")]),
    ],
    ids=["nothing", "unknown", "twice", "tabs", "no lines", "open quote", "latin-1", "too large"],
)
def test_what_is_no_such_table_is_refused_whole(text: str | bytes, expected: list[tuple[int, str, str]] | None) -> None:
    with_lines = faults(text)

    assert sorted(with_lines) == expected if expected is not None else with_lines[0][2] == "unknown_column"


def test_a_line_is_where_an_editor_shows_it() -> None:
    text = f'{HEAD}A-1;1,00;"two\nlines"\nA-2;x;Eau\n'

    assert read(text).faults[-1] == CellFault(4, "amount", "format", read(f"{HEAD}A;x;y\n").faults[0].fix)


def test_a_file_has_so_many_lines_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.linkfile.ROWS_MAX", 3)

    assert faults(HEAD + "A;1,00;x\n" * 4) == [(5, "", "too_long")]
    assert faults(HEAD + "A;1,00;x\n" * 3) == []
