"""``guichet links``: addresses and QR codes by which a paper invoice is paid, made of a table of debts."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.linkfile import COLUMNS, FileRefused, Reader, amount_text, conflicts, write
from gateway.cli.serving import home_argument, open_parts
from gateway.core.errors import BadRequest

if TYPE_CHECKING:
    from gateway.checkout import LinkStanding
    from gateway.core.paylink import PayLink
    from gateway.parts import Parts
    from gateway.receipts.sheet import Label


@click.group()
def links() -> None:
    """Make, list, show and revoke payment links (QR codes for paper invoices)."""


@links.command(
    epilog=f"Columns: {', '.join(COLUMNS)}. Those without which a line says nothing: reference, amount, label."
)
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The folder to make: it must not exist yet."
)
@click.option("--merchant", default="", help="Whose the lines are that do not say so.")
@home_argument
def make(home: Path, table: Path, out: Path, merchant: str) -> None:
    """Make a link for each line of a CSV file: SVG and PNG codes, a PDF sheet of labels, and a CSV of addresses.

    Nothing is made when one line is wrong. A link that is there already with the same terms is given again.
    """
    if out.exists():
        raise click.ClickException(f"{out} exists; name a folder to be made")
    parts = open_parts(home)
    delimiter, made = _make(parts, table, merchant)
    # Beside its place and then moved: a folder that is there is whole.
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        whole = Path(scratch) / out.name
        whole.mkdir(mode=0o700)
        _write_all(parts, whole, delimiter, made)
        whole.rename(out)
    click.echo(f"{len(made)} links in {out}: links.csv, labels.pdf, qr/")


def _make(parts: "Parts", table: Path, merchant: str) -> tuple[str, Sequence["PayLink"]]:
    """Read the table and make its links, or say everything that is wrong with it."""
    from gateway.parts import native_merchant

    book = {one.id: native_merchant(one) for one in parts.settings.merchants.values()}
    desk = parts.checkout.desk
    reader = Reader(book, merchant, desk.now().astimezone(desk.zone).date())
    try:
        file = reader.read(table.read_bytes())
        faults = [*file.faults, *conflicts(file, parts.checkout.linking.faults(file.terms))]
        if faults:
            raise FileRefused(sorted(faults, key=lambda fault: fault.line))
        try:
            return file.delimiter, parts.checkout.linking.make(file.terms)
        except BadRequest as error:
            raise FileRefused(conflicts(file, error.faults)) from error
    except FileRefused as refused:
        count = len(refused.faults)
        lines = "\n".join(f"  - {fault}" for fault in refused.faults)
        raise click.ClickException(f"{table}: nothing was made; mend {count} faults:\n{lines}") from refused


def _write_all(parts: "Parts", folder: Path, delimiter: str, made: Sequence["PayLink"]) -> None:
    from gateway.receipts import sheet

    (folder / "qr").mkdir()
    labels = [_label(parts, link) for link in made]
    for link, label in zip(made, labels, strict=True):
        sheet.write_code(label, folder / _stem(link))
    translations = parts.settings.home / "checkout_templates/translations"
    (folder / "labels.pdf").write_bytes(sheet.render(labels, translations=translations, at=parts.now()))
    write(folder / "links.csv", delimiter, _rows(parts, delimiter, made))


def _label(parts: "Parts", link: "PayLink") -> "Label":
    from gateway.receipts.sheet import Label

    request = link.terms.request
    return Label(
        payee=link.payee,
        reference=request.reference,
        subject=request.label,
        amount=request.amount,
        pay_before=request.pay_before,
        language=request.language,
        address=parts.links.paylink_typed(link.number),
        scanned=parts.links.paylink_scanned(link.number),
    )


def _stem(link: "PayLink") -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", link.terms.request.reference)
    return f"qr/{name}-{link.number}"


def _rows(parts: "Parts", delimiter: str, made: Sequence["PayLink"]) -> Iterator[dict[str, str]]:
    for link in made:
        request, stem = link.terms.request, _stem(link)
        yield {
            "link": str(link.number),
            "merchant": request.merchant,
            "reference": request.reference,
            "amount": amount_text(request.amount, delimiter),
            "label": request.label,
            "email": request.email,
            "payer_name": request.payer_name,
            "fiscal_year": request.fiscal_year,
            "pay_before": request.pay_before.isoformat() if request.pay_before else "",
            "address": parts.links.paylink(link.number),
            "svg": f"{stem}.svg",
            "png": f"{stem}.png",
        }


@links.command(name="list")
@click.option("--merchant", default="", help="Of this merchant alone.")
@click.option("--limit", default=20, show_default=True)
@home_argument
def list_links(home: Path, merchant: str, limit: int) -> None:
    """List the latest links and how they stand."""
    parts = open_parts(home)
    for standing in parts.checkout.linking.listed(limit, merchant):
        click.echo(_line(standing))
    parts.auditor.record("link.read", f"the latest {limit}")


@links.command()
@click.argument("name")
@click.option("--merchant", default="", help="Whose reference it is, when it is not a link's number.")
@home_argument
def show(home: Path, name: str, merchant: str) -> None:
    """Show a link by its number, or all of a reference: how it stands, its terms, its address."""
    parts = open_parts(home)
    for standing in _found(parts, name, merchant):
        terms = standing.link.terms
        click.echo(_line(standing))
        click.echo(f"  {terms.request.label}")
        if terms.request.pay_before:
            click.echo(f"  payable until {terms.request.pay_before}, {terms.grace_days} days of grace")
        click.echo(f"  {parts.links.paylink(standing.link.number)}")
        parts.auditor.record("link.read", str(standing.link.number))


@links.command()
@click.argument("name")
@click.option("--merchant", default="", help="Whose reference it is, when it is not a link's number.")
@home_argument
def revoke(home: Path, name: str, merchant: str) -> None:
    """End a link by its number, or all of a reference, at once; a payment under way goes on."""
    parts = open_parts(home)
    numbers = [standing.link.number for standing in _found(parts, name, merchant)]
    revoked = parts.checkout.linking.revoke(numbers)
    for number in numbers:
        click.echo(f"link {number}: {'revoked' if number in revoked else 'was revoked before'}")


def _found(parts: "Parts", name: str, merchant: str) -> Sequence["LinkStanding"]:
    """Find links by a merchant's reference when one is named, else by number: references are often numbers too."""
    if merchant:
        found = parts.checkout.linking.of_reference(merchant, name)
        if not found:
            raise click.ClickException(f"no link of {merchant} with the reference {name!r}")
        return found
    if not re.fullmatch(r"\d{1,10}", name, re.ASCII):
        raise click.ClickException(f"{name!r} is no link's number; to find a reference, add --merchant")
    return (parts.checkout.linking.show(int(name)),)


def _line(standing: "LinkStanding") -> str:
    link, request = standing.link, standing.link.terms.request
    amount = f"{amount_text(request.amount, ',')} {request.amount.currency}"
    payment = f"  {standing.payment.id}" if standing.payment else ""
    return f"{link.number:8}  {standing.state:9} {amount:>14}  {request.merchant}  {request.reference}{payment}"
