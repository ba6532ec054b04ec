"""A merchant's own colour and logo on its payers' pages; the bank's page is another house and takes neither.

The policy allows no inline style, so a merchant's colours are a stylesheet: the house's own with a few properties more,
in one file, because a page may cost four requests. The logo is the page's icon too, for the same reason. Both are served
from here, under the digest of what is in them, so that caches may keep them.

A theme with a fault is left out and the page keeps the house's look: no drawing may keep a town from being paid.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, abort

from gateway.core.errors import BadField
from gateway.core.payment import PaymentResult
from gateway.settings.merchant import Merchant
from gateway.web.files import WebFile
from gateway.web.theming_contrast import contrast, ink_on, legible, stronger
from gateway.web.theming_logo import MEDIA_TYPES, read_logo

log = logging.getLogger(__name__)

ENDPOINT = "theme"

# On these of the house's surfaces links and buttons stand.
_GROUNDS = ("paper", "sheet", "panel", "wait-wash")
_PROPERTY = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")
_KEYS = frozenset({"logo", "logo_alt", "colour"})
# In the dark a masthead must not glare: white is read on it as body text is at WCAG's higher level, 1.4.6 (AAA).
_DARK_HEAD_RATIO = 7.0
_LOGO_ALT_MAX = 140
# An opened logo is a document of this origin: it may load and run nothing.
_LOGO_POLICY = "default-src 'none'; sandbox"


@dataclass(frozen=True, slots=True)
class Theme:
    """What a template needs to dress a page: addresses, and the colour of the browser's own frame.

    :ivar logo: empty when there is none
    """

    stylesheet: str
    head: str
    logo: str
    logo_alt: str


def init_theming(app: Flask, home: Path, merchants: Mapping[str, Merchant]) -> None:
    """Serve the merchants' stylesheets and logos, and let templates ask for ``theme_of(payment)``."""
    css = (home / "checkout_templates/static/checkout.css").read_text("utf-8")
    files: dict[str, WebFile] = {}
    themes = {one.id: theme for one in merchants.values() if one.theme and (theme := _dress(one, home, css, files))}

    def theme_of(payment: PaymentResult | None) -> Theme | None:
        return themes.get(payment.payee.id) if payment else None

    def serve(name: str) -> Response:
        file = files.get(name) or abort(404)
        response = file.send()
        if file.media_type != "text/css":
            response.headers["Content-Security-Policy"] = _LOGO_POLICY
        return response

    app.add_url_rule("/theme/<name>", ENDPOINT, serve, methods=["GET"])
    app.jinja_env.globals["theme_of"] = theme_of


def theme_faults(merchant: Merchant, home: Path) -> tuple[BadField, ...]:
    """Find everything wrong with a merchant's theme, each with its cure."""
    checks: list[Callable[[], object]] = [
        lambda: _check_keys(merchant.theme),
        lambda: _check_colour(merchant.theme.get("colour", "")),
        lambda: _check_alternative(merchant.theme),
        lambda: _logo(merchant, home),
    ]
    return tuple(fault for check in checks if (fault := _fault_of(check)))


def theme_remarks(merchant: Merchant, home: Path) -> tuple[str, ...]:
    """Say what keeps a theme from being shown, or else which colours the guard had to change."""
    if faults := theme_faults(merchant, home):
        return tuple(map(str, faults))
    colour = merchant.theme.get("colour", "")
    return _adjustments(colour, home) if colour else ()


def _adjustments(colour: str, home: Path) -> tuple[str, ...]:
    css = (home / "checkout_templates/static/checkout.css").read_text("utf-8")
    told = []
    for look, grounds in zip(("light", "dark"), _looks(css), strict=True):
        accent = _properties(colour, grounds, is_dark=look == "dark")["accent"]
        if accent != colour:
            worst = min(contrast(colour, ground) for ground in grounds)
            told.append(f"theme.colour {colour}: {worst:.1f}:1 on {look} pages; links and buttons are {accent} there")
    return tuple(told)


def _dress(merchant: Merchant, home: Path, css: str, files: dict[str, WebFile]) -> Theme | None:
    if faults := theme_faults(merchant, home):
        log.warning("theme left out", extra={"merchant": merchant.id, "reason": "; ".join(map(str, faults))})
        return None
    colour = merchant.theme.get("colour", "")
    light, dark = _looks(css)
    sheet = WebFile((css + _stylesheet(colour, light, dark)).encode(), "text/css")
    logo = _logo(merchant, home)
    for file in (sheet, logo) if logo else (sheet,):
        files[_name(file)] = file
    return Theme(
        stylesheet=f"/theme/{_name(sheet)}",
        head=colour,
        logo=f"/theme/{_name(logo)}" if logo else "",
        logo_alt=merchant.theme.get("logo_alt", ""),
    )


def _name(file: WebFile) -> str:
    return f"{file.digest}{MEDIA_TYPES[file.media_type]}"


def _stylesheet(colour: str, light: tuple[str, ...], dark: tuple[str, ...]) -> str:
    """Write the properties for the screen; paper keeps the ink of the house's print style."""
    if not colour:
        return ""
    looks = (("screen", light, False), ("screen and (prefers-color-scheme: dark)", dark, True))
    rules = []
    for medium, grounds, is_dark in looks:
        properties = _properties(colour, grounds, is_dark=is_dark).items()
        rules.append(
            f"@media {medium} {{ :root {{ {' '.join(f'--{name}: {value};' for name, value in properties)} }} }}"
        )
    return "\n" + "\n".join(rules) + "\n"


def _properties(colour: str, grounds: tuple[str, ...], *, is_dark: bool) -> dict[str, str]:
    head = legible(colour, ("#ffffff",), _DARK_HEAD_RATIO) if is_dark else colour
    accent = legible(colour, grounds)
    return {
        "head": head,
        "head-ink": ink_on(head),
        "accent": accent,
        "accent-deep": stronger(accent, grounds),
        "on-accent": ink_on(accent),
    }


def _looks(css: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the grounds of the light and of the dark look out of the stylesheet, their one source."""
    light, dark = (dict(_PROPERTY.findall(block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2])
    return tuple(light[name] for name in _GROUNDS), tuple(dark[name] for name in _GROUNDS)


def _logo(merchant: Merchant, home: Path) -> WebFile | None:
    name = merchant.theme.get("logo", "")
    return WebFile(*read_logo(home / "config", name)) if name else None


def _check_keys(theme: Mapping[str, str]) -> None:
    for name in sorted(set(theme) - _KEYS):
        raise BadField(f"theme.{name}", "unknown", f"use {', '.join(sorted(_KEYS))}")


def _check_colour(colour: str) -> None:
    if colour and not re.fullmatch(r"#[0-9a-f]{6}", colour):
        raise BadField("theme.colour", "format", "write # and six hexadecimal digits in lower case, such as #0f5c58")


def _check_alternative(theme: Mapping[str, str]) -> None:
    if len(theme.get("logo_alt", "")) > _LOGO_ALT_MAX:
        raise BadField("theme.logo_alt", "too_long", f"use at most {_LOGO_ALT_MAX} characters")
    if theme.get("logo_alt") and not theme.get("logo"):
        raise BadField("theme.logo_alt", "alone", "name the logo it describes, or remove it")


def _fault_of(check: Callable[[], object]) -> BadField | None:
    try:
        check()
    except BadField as fault:
        return fault
    return None
