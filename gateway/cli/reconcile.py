"""``guichet reconcile``: our book held against the acquirer's statement."""

import sys
from typing import TYPE_CHECKING, TextIO

import click

from gateway.cli.serving import home_argument, open_parts
from gateway.core.errors import AcquirerUnreachable, WrongStatus

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.checkout.reconciling import Difference
    from gateway.parts import Parts


@click.command()
@click.argument("file", type=click.File("r", encoding="utf-8"), default="-")
@click.option("--repair", is_flag=True, help="Settle what the acquirer, asked again, confirms.")
@home_argument
def reconcile(home: "Path", file: TextIO, repair: bool) -> None:
    """Compare with the acquirer's statement: exits 0 when the books agree, 1 with what differs and is left."""
    from gateway.acquirers.statement import read

    statement = read(file)
    parts = open_parts(home)
    found = parts.checkout.reconciling.differences(statement)
    left = sum(not (repair and _repaired(parts, one)) for one in found)
    if not repair:
        for one in found:
            click.echo(f"{one.operation}: {one.what}; {_todo(one)}")
    parts.auditor.record("statement.compared", result="agrees" if not found else f"{len(found)} differ, {left} left")
    with parts.store.transaction() as tx:
        tx.watch.found("reconcile", left, parts.now())
    click.echo(f"{len(statement.standings)} authorisations compared, {len(found)} differences, {left} left")
    sys.exit(1 if left else 0)


def _repaired(parts: "Parts", one: "Difference") -> bool:
    if one.remedy is None:
        click.echo(f"{one.operation}: {one.what}; {_todo(one)}")
        return False
    try:
        became = parts.checkout.reconciling.repair(one)
    except (AcquirerUnreachable, WrongStatus) as error:
        click.echo(f"{one.operation}: {one.what}; not settled: {error}")
        return False
    click.echo(f"{one.operation}: {one.what}; settled: {became}")
    return True


def _todo(one: "Difference") -> str:
    return f"--repair would {one.remedy}" if one.remedy else "a person must see to it"
