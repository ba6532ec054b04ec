"""Which languages payers are spoken to in. The words themselves are with whoever says them: pages, messages, tickets."""

# ISO 639-1 code and the language's name in itself; the first is spoken when nothing better is known.
LANGUAGES = (
    ("fr", "Français"),
    ("en", "English"),
    ("es", "Español"),
    ("de", "Deutsch"),
    ("nl", "Nederlands"),
    ("pt", "Português"),
    ("it", "Italiano"),
    ("ar", "العربية"),
)
CODES = tuple(code for code, _ in LANGUAGES)


def spoken(tag: str) -> str:
    """Give the code of the language a tag means (``DE``, ``pt-BR``, ``nl_BE``: BCP 47), empty when we do not speak it."""
    code = tag.replace("_", "-").partition("-")[0].lower()
    return code if code in CODES else ""
