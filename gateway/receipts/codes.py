"""The QR code on a ticket (ISO/IEC 18004): one way to make it, for paper and for the page."""

from functools import lru_cache

import segno

# Both copies of a ticket have the same code, which takes a fifth of the drawing.
_KEPT = 16


@lru_cache(_KEPT)
def code_of(url: str) -> segno.QRCode:
    """Make the code of an address, at level M: it bears a fold or a stain.

    One mask always: choosing among eight costs more than the rest of a ticket, and any of them can be read.
    """
    return segno.make_qr(url, error="m", mask=4, boost_error=False)


def code_svg(url: str, words: str) -> str:
    """Draw the code for a page, without any inline style; ``words`` say what it is to whoever does not see it."""
    drawn = code_of(url).svg_inline(border=4, dark="#000", light="#fff", omitsize=True, svgclass="code", lineclass=None)
    return drawn.replace("<svg ", '<svg role="img" aria-labelledby="code-words" ', 1).replace(
        "<path", f'<title id="code-words">{words}</title><path', 1
    )
