"""Colours that can be read: contrast as WCAG 2.2 measures it, and the guard that makes any colour reach it.

Colours are ``#rrggbb``. Nothing here knows pages; which pairs of colours meet there is ``gateway.web.theming``'s business.
"""

from collections.abc import Sequence

# WCAG 2.2, 1.4.3 (AA), for text of ordinary size; RGAA 4.1, 3.2.
TEXT_RATIO = 4.5

_WHITE, _BLACK = "#ffffff", "#000000"
# The first that can be read wins: the house's own ink before plain black, which every colour that white fails on takes.
_INKS = (_WHITE, "#17262a", _BLACK)
_STEPS = 64


def contrast(one: str, other: str) -> float:
    """Give the contrast ratio of two colours, 1 to 21 (WCAG 2.2, definition of "contrast ratio")."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(ground: str) -> str:
    """Choose the colour of text on ``ground``."""
    return next(ink for ink in _INKS if contrast(ink, ground) >= TEXT_RATIO)


def legible(colour: str, grounds: Sequence[str], ratio: float = TEXT_RATIO) -> str:
    """Darken or lighten ``colour`` as little as it takes to reach ``ratio`` on each of ``grounds``.

    Mixed with black or white, whichever is further from the grounds, a colour keeps its hue.
    """
    pole = _pole(grounds)
    steps = (mix(colour, pole, step / _STEPS) for step in range(_STEPS))
    return next((one for one in steps if all(contrast(one, ground) >= ratio for ground in grounds)), pole)


def stronger(colour: str, grounds: Sequence[str]) -> str:
    """Give the shade of ``colour`` under the pointer: one that stands out more on ``grounds``."""
    return mix(colour, _pole(grounds), 0.25)


def mix(colour: str, other: str, share: float) -> str:
    """Mix ``share`` of ``other``, 0 to 1, into ``colour``, channel by channel in sRGB."""
    parts = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in parts)


def _pole(grounds: Sequence[str]) -> str:
    return max((_BLACK, _WHITE), key=lambda pole: min(contrast(pole, ground) for ground in grounds))


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    # WCAG's threshold is 0.03928, that of the sRGB standard 0.04045; no channel of 8 bits lies between them.
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
