"""A merchant's logo, read once and not trusted: a small PNG or WebP, or an SVG drawing that does nothing but draw."""

import re
from pathlib import Path

from lxml import etree

from gateway.core.errors import BadField

# The media type of each kind of file a theme serves, with the end of its name.
MEDIA_TYPES = {"text/css": ".css", "image/png": ".png", "image/webp": ".webp", "image/svg+xml": ".svg"}

# What the page's 60 kB have left beside its text, its style and its script.
LOGO_MAX_BYTES = 8_000

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*\.(?:png|webp|svg)")
_SVG = "{http://www.w3.org/2000/svg}"
# Shapes, text and paint. Not: script, style sheets, foreign content, images, references, animation.
_DRAWING = frozenset(
    _SVG + name
    for name in (
        "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "title",
        "desc", "defs", "linearGradient", "radialGradient", "stop", "clipPath", "mask",
    )
)  # fmt: skip


def read_logo(folder: Path, name: str) -> tuple[bytes, str]:
    """Give a logo's bytes and media type. Raises :class:`BadField`.

    :param folder: where the merchant book lies
    :param name: the path below it
    """
    if not _NAME.fullmatch(name):
        raise _bad("format", "name a .png, .webp or .svg file below config/, such as logos/town.svg")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _bad("missing", f"put the file at {folder / name}") from error
    if len(content) > LOGO_MAX_BYTES:
        raise _bad("too_big", f"it has {len(content)} bytes; {LOGO_MAX_BYTES} are allowed, draw it simpler or smaller")
    return content, _media_type(name, content)


def _media_type(name: str, content: bytes) -> str:
    """Believe the content and not the name: a browser is told to (``nosniff``)."""
    if name.endswith(".svg"):
        _check_drawing(content)
        return "image/svg+xml"
    is_webp = content.startswith(b"RIFF") and content[8:12] == b"WEBP"
    if not is_webp if name.endswith(".webp") else not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise _bad("format", "the file is not what its name says; save it as PNG, WebP or SVG")
    return "image/webp" if is_webp else "image/png"


def _check_drawing(content: bytes) -> None:
    """Let nothing through but shapes: shown as an image an SVG runs no script, but its address can be opened too."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise _bad("format", f"it is no XML: {error.msg}") from error
    if root.getroottree().docinfo.internalDTD is not None or root.tag != f"{_SVG}svg":
        raise _bad("format", "begin with <svg xmlns=...>, without DOCTYPE")
    for node in (*root.itersiblings(preceding=True), *root.iter()):
        if node.tag is etree.Comment:
            continue
        if node.tag not in _DRAWING:
            name = etree.QName(node).localname if isinstance(node.tag, str) else "processing instructions"
            raise _bad("active", f"remove {name}: a logo may only draw")
        for attribute, value in node.attrib.items():
            word = etree.QName(attribute).localname.lower()
            # A CSS escape could spell url() otherwise.
            if word.startswith("on") or word == "href" or "\\" in value or re.search(r"url\(\s*[^#\s]|@", value):
                raise _bad("active", f"remove the attribute {word}: a logo may neither run nor load anything")


def _bad(rule: str, fix: str) -> BadField:
    return BadField("theme.logo", rule, fix)
