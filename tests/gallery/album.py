"""The gallery's one page: thumbnails by state, each leading to its picture; no script, nothing from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 90rem; padding: 1.5rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; padding: 0; list-style: none; }
section { border-top: 1px solid; padding-block: 1rem 2rem; }
.shots { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
figure { margin: 0; }
figcaption { font-size: 0.875rem; }
img { display: block; height: 24rem; max-width: 100%; object-fit: contain; object-position: top left; border: 1px solid #888; }
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file of the album, by its path from the index, and what it shows."""

    path: str
    caption: str


@dataclass(frozen=True, slots=True)
class Group:
    """The pictures of one state."""

    title: str
    pictures: Sequence[Picture]


def write(folder: Path, groups: Sequence[Group]) -> int:
    """Write the index; gives how many pictures there are."""
    contents = "".join(f'<li><a href="#g{n}">{escape(group.title)}</a></li>' for n, group in enumerate(groups))
    sections = "".join(_section(n, group) for n, group in enumerate(groups))
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Guichet: the payer’s pages</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>The payer’s pages</h1>'
        f"<nav><ul>{contents}</ul></nav>{sections}</html>",
        encoding="utf-8",
    )
    return sum(len(group.pictures) for group in groups)


def _section(number: int, group: Group) -> str:
    shots = "".join(
        f'<figure><a href="{escape(picture.path)}"><img loading="lazy" src="{escape(picture.path)}" alt=""></a>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in group.pictures
    )
    return f'<section id="g{number}"><h2>{escape(group.title)}</h2><div class="shots">{shots}</div></section>'
