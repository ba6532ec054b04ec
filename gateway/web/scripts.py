"""The scripts that payers' pages may run: an inventory with a reason and a digest each (PCI DSS 4.0.1, 6.4.3 and 11.6.1).

``checkout_templates/scripts.toml`` is written by ``guichet scripts`` and read by people. Pages carry its digests, so that
a browser does not run a script of any other content; tests and ``guichet doctor`` compare it with the files.
"""

import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha384
from pathlib import Path

_NAME = "scripts.toml"
_HEADING = (
    "# The scripts of payers' pages: what each is for, and its digest (Subresource Integrity).\n"
    "# After a change that was reviewed: guichet scripts\n"
)


def integrity(content: bytes) -> str:
    """Compute the digest of a script as browsers check it (W3C Subresource Integrity)."""
    return f"sha384-{b64encode(sha384(content).digest()).decode()}"


def digests(templates: Path) -> dict[str, str]:
    """Give the digest that the inventory has of each script."""
    return {name: entry["integrity"] for name, entry in _inventory(templates).items()}


def faults(templates: Path) -> Iterator[str]:
    """Say where the inventory and the files differ."""
    listed, found = _inventory(templates), _files(templates)
    for name in sorted(found.keys() - listed.keys()):
        yield f"{name} is in no inventory; remove it, or give {_NAME} its reason"
    for name, entry in listed.items():
        if name not in found:
            yield f"{name} is gone; take it out of {_NAME}"
        elif integrity(found[name]) != entry["integrity"]:
            yield f"{name} is not the script that was reviewed; restore it, or review it and run guichet scripts"
        if not entry.get("reason"):
            yield f"{name} has no reason in {_NAME}"


def write(templates: Path) -> Path:
    """Bring the inventory's digests up to date; reasons are people's business."""
    listed, found, path = _inventory(templates), _files(templates), templates / _NAME
    entries = "".join(
        f'\n[{name.removesuffix(".js")}]\nfile = "{name}"\nreason = "{listed.get(name, {}).get("reason", "")}"\n'
        f'integrity = "{integrity(content)}"\n'
        for name, content in sorted(found.items())
    )
    path.write_text(_HEADING + entries, "utf-8")
    return path


def _inventory(templates: Path) -> Mapping[str, Mapping[str, str]]:
    path = templates / _NAME
    listed = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    return {entry["file"]: entry for entry in listed.values()}


def _files(templates: Path) -> dict[str, bytes]:
    folder = templates / "static"
    return {file.name: file.read_bytes() for file in folder.glob("*") if file.suffix in (".js", ".mjs")}
