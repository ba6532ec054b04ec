"""``guichet verify-audit``: whether the audit log, and what it says of every payment, still hold."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.audit import Anchor, Anchors, Inspection
from gateway.cli.serving import home_argument, open_parts

# Further ones are mostly the same one again.
_SHOWN = 20


@click.command()
@click.option("--anchors", "copy", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A copy of var/audit/anchors.jsonl that was kept elsewhere, to hold the log against too.")  # fmt: skip
@home_argument
def verify_audit(home: Path, copy: Path | None) -> None:
    """Read the audit log again: exits 0 when it holds, 1 with what was changed, the oldest first."""
    parts = open_parts(home)
    parts.keys.remember(home / "keys")
    anchors = list(parts.anchors().all())
    if copy is not None:
        anchors += Anchors(copy, sign=parts.keys.sign_anchor, read=parts.keys.read_anchor, now=parts.now).all()
    # The keys that were retired check what they wrote.
    pen = parts.pen()
    with parts.store.reading() as tx:
        inspection = Inspection(tx, pen)
        faults = list(inspection.faults(anchors))
    parts.auditor.record("audit.verified", result="holds" if not faults else f"{len(faults)} faults")
    with parts.store.transaction() as tx:
        tx.watch.found("audit", len(faults), parts.now())
    for fault in faults[:_SHOWN]:
        click.echo(f"[wrong] {fault}")
    if len(faults) > _SHOWN:
        click.echo(f"        and {len(faults) - _SHOWN} more")
    click.echo(_summary(inspection, anchors))
    sys.exit(1 if faults else 0)


def _summary(inspection: Inspection, anchors: list[Anchor | str]) -> str:
    moments = [anchor.at for anchor in anchors if isinstance(anchor, Anchor)]
    last = f"the last of {datetime.fromtimestamp(max(moments), UTC):%Y-%m-%d %H:%M} UTC" if moments else "none yet"
    told = f"{inspection.entries} entries, {inspection.payments} payments, {len(moments)} anchors ({last})"
    if inspection.loose:
        told += f"; {inspection.loose} entries wait for a worker to chain them"
    if inspection.unknown:
        told += f"; {inspection.unknown} payments were last written down by another version and were not compared"
    return told
