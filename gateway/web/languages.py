"""Which of the languages of the pages this payer hears: the one chosen, else the one asked for, else the browser's."""

from flask import g, request, session

from gateway.core.languages import CODES, spoken
from gateway.core.languages import LANGUAGES as LANGUAGES  # where the views look for them


def choose_language(asked: str) -> None:
    """Speak from here on what the payer chose last; until then, what the merchant ``asked`` for."""
    g.language = _chosen() or spoken(asked) or _liked() or CODES[0]


def guess_language() -> str:
    """Give the language of a page without a payment: what the payer chose before, else what the browser prefers."""
    return _chosen() or _liked() or CODES[0]


def _chosen() -> str:
    """Read the choice of the payer's session, after what ``?lang=`` changes in it.

    ``?lang=browser`` is the word of a merchant that asked for nothing: it is kept too, for the pages after this one, but
    never over a choice.
    """
    wished = request.args.get("lang", "")
    if wished == "browser" and (liked := _liked()):
        session.setdefault("language", liked)
    elif spoken(wished):
        session["language"] = spoken(wished)
    return spoken(str(session.get("language", "")))


def _liked() -> str:
    """Find what we speak of what the browser prefers (``Accept-Language``, RFC 9110 section 12.5.4), the dearest first.

    Werkzeug's own match would take ``en`` from ``pt-BR, en;q=0.1``, where Portuguese is understood.
    """
    return next((spoken(tag) for tag, quality in request.accept_languages if quality and spoken(tag)), "")
