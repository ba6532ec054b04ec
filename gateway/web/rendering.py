"""How templates become pages: Jinja and our words set up in one place, the same for the server and for tests.

What a page says is in ``checkout_templates``; which page is due is the views' business.
"""

from collections.abc import Mapping
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

from flask import Flask, g, has_request_context
from jinja2 import FileSystemLoader, StrictUndefined, Template

from gateway.core.languages import CODES
from gateway.core.money import Money
from gateway.steps.phrases import SAYS
from gateway.web import formats, scripts
from gateway.web.files import init_files
from gateway.web.languages import guess_language
from gateway.web.words import SpeakingEnvironment

# The payment's pages and the bank's: two dozen, compiled in a tenth of a second.
_SEEN_BY_PAYERS = ("page/", "bank/")

# Scripts written from right to left; everything else is left to right.
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he"})


def init_rendering(app: Flask, home: Path) -> None:
    """Make ``app`` render ``home/checkout_templates`` strictly, in the language of ``flask.g.language``.

    A name a template does not know is an error, not an empty place: half a payment page is worse than an error page.
    """
    templates = home / "checkout_templates"
    app.jinja_environment = SpeakingEnvironment
    app.static_folder = str(templates / "static")
    init_files(app, templates / "static")
    app.jinja_loader = FileSystemLoader(templates)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    environment = _environment(app)
    environment.catalogues, environment.language = templates / "translations", page_language
    app.extensions[SAYS] = environment.say
    app.jinja_env.globals.update(
        asset=_asset_urls(templates / "static").__getitem__,
        integrity=scripts.digests(templates).__getitem__,
        direction=_direction,
        theme_of=lambda _payment: None,
    )
    app.jinja_env.filters.update(
        money=_money, moment=_moment, day=_day, time_of_day=_time_of_day, scheme_name=formats.scheme_name
    )


def warm(app: Flask) -> None:
    """Compile what payers see, in the first language, for all the processes that are yet to be forked."""
    spoken = _environment(app).spoken(CODES[0])
    for name in spoken.list_templates(filter_func=lambda name: name.startswith(_SEEN_BY_PAYERS)):
        spoken.get_template(name)


def template_names(page: str, merchant: str = "") -> list[str | Template]:
    """List where to look for ``page`` ("page/card.html"), for ``render_template``: the merchant's own first."""
    return [f"merchants/{merchant}/{page}", page] if merchant else [page]


def page_language() -> str:
    """Give the language of the present page; without a payment that decides it, the payer's own."""
    if "language" not in g:
        g.language = guess_language() if has_request_context() else CODES[0]
    return str(g.language)


def _environment(app: Flask) -> SpeakingEnvironment:
    if not isinstance(app.jinja_env, SpeakingEnvironment):
        raise TypeError("templates were used before rendering was set up")
    return app.jinja_env


def _asset_urls(folder: Path) -> Mapping[str, str]:
    """Give the address of each static file, with the digest of its content, so that caches may keep it."""
    files = (file for file in folder.glob("*") if file.is_file())
    return {file.name: f"/static/{file.name}?v={sha256(file.read_bytes()).hexdigest()[:12]}" for file in files}


def _direction(language: str) -> str:
    return "rtl" if language in _RIGHT_TO_LEFT else "ltr"


def _money(amount: Money) -> str:
    return formats.money(amount, page_language())


def _moment(at: datetime) -> str:
    return formats.moment(at, page_language())


def _day(on: date | datetime) -> str:
    return formats.day(on, page_language())


def _time_of_day(at: datetime) -> str:
    return formats.time_of_day(at, page_language())
