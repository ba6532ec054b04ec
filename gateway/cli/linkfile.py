"""The table of debts that payment links are made of, as spreadsheets write it, and the table of addresses given back.

A line of it is held to the rules of a native request, by the very code that reads those: the operator vouches for it in
the place of a signature. Every fault of the whole file is told at once.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from gateway.core.errors import BadRequest, Fault
from gateway.core.money import EXPONENTS, Money
from gateway.core.paylink import LinkTerms
from gateway.dialects.native.calls import request_of
from gateway.dialects.native.claims import PaymentClaims
from gateway.dialects.native.faults import validated
from gateway.dialects.native.merchant import NativeMerchant, Terms

REQUIRED = ("reference", "amount", "label")
COLUMNS = ("merchant", *REQUIRED, "email", "payer_name", "fiscal_year", "pay_before", "grace_days", "language")

# A year's invoices of a large town go in a few files; a wrong file must not fill the machine's memory.
BYTES_MAX, ROWS_MAX = 8 * 1024 * 1024, 20_000
GRACE_DAYS_MAX = 366

# What a cell may not begin with, lest a spreadsheet calculates it (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

# What a signed request says of itself and a line need not.
_ENVELOPE = {"aud": "", "iat": 0, "exp": 0, "jti": "paymentlink"}
_DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})", re.ASCII)
_FRENCH_DAY = re.compile(r"(?P<day>\d{2})/(?P<month>\d{2})/(?P<year>\d{4})", re.ASCII)
_COLUMN_OF = {"/payer/name": "payer_name", "/iss": "merchant"}


@dataclass(frozen=True, slots=True)
class CellFault:
    """One thing wrong in the file.

    :ivar line: as an editor counts, from 1; a cell with line breaks in it takes several
    """

    line: int
    column: str
    rule: str
    fix: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.column}" if self.column else f"line {self.line}"
        return f"{where}: {self.rule}: {self.fix}"


class FileRefused(Exception):
    """A file with faults; carries all of them."""

    def __init__(self, faults: Iterable[CellFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(slots=True)
class LinkFile:
    """What a file asks for.

    :ivar delimiter: semicolon, as French spreadsheets write, or comma
    :ivar lines: where each of ``terms`` stands
    """

    delimiter: str
    terms: list[LinkTerms] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[CellFault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one such file.

    :ivar merchants: the book
    :ivar merchant: whose the lines are that do not say so
    :ivar today: by the treasury's calendar
    """

    merchants: Mapping[str, NativeMerchant]
    merchant: str
    today: date

    def read(self, raw: bytes) -> LinkFile:
        """Read the whole file; what is wrong with single lines is in its ``faults``.

        Raises :class:`FileRefused` when it is no such table at all.
        """
        text = _text(raw)
        head = text.partition("\n")[0]
        file = LinkFile(";" if ";" in head else ",")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=file.delimiter, strict=True)
        names = _names(next(rows, []))
        start = rows.line_num + 1
        try:
            for cells in rows:
                if any(map(str.strip, cells)):
                    self._read_row(file, start, names, cells)
                if start - 1 > ROWS_MAX:
                    raise FileRefused(
                        [CellFault(start, "", "too_long", f"at most {ROWS_MAX} lines; cut the file in two")]
                    )
                start = rows.line_num + 1
        except csv.Error as error:
            raise FileRefused([CellFault(start, "", "not_csv", f"{error}; close every quotation mark")]) from error
        if not file.lines and not file.faults:
            file.faults.append(CellFault(2, "", "empty", "write one line for each debt below the names of the columns"))
        return file

    def _read_row(self, file: LinkFile, line: int, names: list[str], cells: list[str]) -> None:
        if len(cells) != len(names):
            fix = f"{len(cells)} cells below {len(names)} names; put a cell with a {file.delimiter} in it into quotation marks"
            file.faults.append(CellFault(line, "", "cells", fix))
            return
        told = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
        faults: list[CellFault] = []
        terms = self._terms(line, told, faults)
        file.faults += faults
        if terms is not None and not faults:
            file.terms.append(terms)
            file.lines.append(line)

    def _terms(self, line: int, told: Mapping[str, str], faults: list[CellFault]) -> LinkTerms | None:
        name = told.get("merchant", self.merchant)
        merchant = self.merchants.get(name)
        if merchant is None:
            fix = "name one of the book (guichet merchant list)" if name else "fill it, or give --merchant"
            faults.append(CellFault(line, "merchant", "unknown" if name else "missing", fix))
            # The other cells are wrong or right whosever they are.
            merchant = NativeMerchant("")
        (currency,) = merchant.currencies
        claims: dict[str, object] = {**_ENVELOPE, "iss": merchant.id, "currency": currency}
        claims |= {
            name: told[name] for name in ("reference", "label", "email", "fiscal_year", "language") if name in told
        }
        claims |= {"payer": {"name": told["payer_name"]}} if "payer_name" in told else {}
        grace_days = 0
        for column, read in (("amount", _cents), ("pay_before", _iso_day), ("grace_days", _grace)):
            if column in told:
                try:
                    claims[column] = read(told[column], currency)
                except ValueError as error:
                    faults.append(CellFault(line, column, "format", str(error)))
        grace_days = int(str(claims.pop("grace_days", 0)))
        if grace_days and "pay_before" not in told:
            faults.append(
                CellFault(line, "pay_before", "missing", "days of grace need the last payable day they follow")
            )
        wrong = {fault.column for fault in faults}
        try:
            return LinkTerms(request_of(validated(PaymentClaims, claims, Terms(merchant, self.today))), grace_days)
        except BadRequest as error:
            found = (_cell_fault(line, fault, currency) for fault in error.faults)
            faults += [fault for fault in found if fault.column not in wrong]
        return None


def conflicts(file: LinkFile, faults: Iterable[Fault]) -> Iterator[CellFault]:
    """Say where in the file the faults are that only the database knows of (``/<place>/<column>``)."""
    for fault in faults:
        _, place, column = fault.pointer.split("/")
        yield CellFault(file.lines[int(place)], column, fault.code, fault.detail)


def write(path: Path, delimiter: str, rows: Iterable[Mapping[str, str]]) -> None:
    """Write the table of addresses: with a byte-order mark, which spreadsheets take for UTF-8, and without formulas."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file, delimiter=delimiter)
        for n, row in enumerate(rows):
            if n == 0:
                table.writerow(row)
            table.writerow("'" + cell if cell.startswith(_FORMULA) else cell for cell in row.values())


def amount_text(amount: Money, delimiter: str) -> str:
    """Write an amount as the file's reader reads numbers: with a comma where commas do not part the cells."""
    whole, rest = divmod(amount.cents, 10**amount.exponent)
    sign = "," if delimiter == ";" else "."
    return f"{whole}{sign}{rest:0{amount.exponent}d}" if amount.exponent else str(whole)


def _text(raw: bytes) -> str:
    if len(raw) > BYTES_MAX:
        raise FileRefused(
            [CellFault(1, "", "too_large", f"at most {BYTES_MAX // 1024 // 1024} MiB; cut the file in two")]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise FileRefused([CellFault(line, "", "not_utf8", 'save it as "CSV UTF-8"')]) from error


def _names(cells: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    faults = [
        CellFault(1, name or f"column {place}", "unknown_column", f"use {', '.join(COLUMNS)}")
        for place, name in enumerate(names, 1)
        if name not in COLUMNS
    ]
    faults += [
        CellFault(1, name, "twice", "name each column once")
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    faults += [
        CellFault(1, name, "missing_column", "add it; the first line names the columns")
        for name in REQUIRED
        if name not in names
    ]
    if faults:
        raise FileRefused(faults)
    return names


def _amount_rule(currency: str) -> str:
    if EXPONENTS[currency] == 0:
        return f"write whole {currency}, digits alone"
    return (
        f"write {currency} with exactly two decimals, such as 51,24 or 51.24: no spaces, no sign; 5124 alone is refused"
    )


def _cents(text: str, currency: str) -> int:
    exponent = EXPONENTS[currency]
    match = re.fullmatch(rf"(\d{{1,9}})[.,](\d{{{exponent}}})" if exponent else r"(\d{1,9})()", text, re.ASCII)
    if not match:
        raise ValueError(_amount_rule(currency))
    return int(match[1] + match[2])


def _iso_day(text: str, _currency: str) -> str:
    match = _DAY.fullmatch(text) or _FRENCH_DAY.fullmatch(text)
    try:
        return date(int(match["year"]), int(match["month"]), int(match["day"])).isoformat() if match else _no_day()
    except ValueError as error:
        raise ValueError("write a day that exists, as 31/12/2026 (day first) or 2026-12-31") from error


def _no_day() -> str:
    raise ValueError("not a day")


def _grace(text: str, _currency: str) -> int:
    if not re.fullmatch(r"\d{1,3}", text, re.ASCII) or int(text) > GRACE_DAYS_MAX:
        raise ValueError(f"write whole days from 0 to {GRACE_DAYS_MAX}")
    return int(text)


def _cell_fault(line: int, fault: Fault, currency: str) -> CellFault:
    """Say in the words of the file what a request's rule found."""
    column = _COLUMN_OF.get(fault.pointer, fault.pointer.removeprefix("/"))
    detail = fault.detail
    if column == "amount" and fault.code == "out_of_range":
        detail = f"it is out of range; {_amount_rule(currency)}"
    return CellFault(line, column, fault.code, detail)
