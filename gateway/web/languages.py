"""Which languages the pages speak, and which of them this payer hears."""

from flask import g, request, session

LANGUAGES = (("fr", "Français"), ("en", "English"))


def choose_language(default: str) -> None:
    """Speak from here on what the payer chose last, or ``default``."""
    codes = [code for code, _ in LANGUAGES]
    wished = request.args.get("lang", "")
    if wished == "browser":
        wished = request.accept_languages.best_match(codes) or ""
    if wished in codes:
        session["language"] = wished
    spoken = session.get("language") or default
    g.language = spoken if spoken in codes else codes[0]
