"""What Python says on a page, in the language of that page.

The application says how (``gateway.web.words``): a card page asks for a dozen phrases, and a library that finds out about
request, domain and locale for each took longer over them than over the form they belong to.
"""

from dataclasses import dataclass

from flask import current_app, has_app_context

# Under what name an application keeps what says a phrase in the present language.
SAYS = "gateway.phrases"


def gettext(phrase: str, **blanks: object) -> str:
    """Say a phrase; outside of an application, as it stands here."""
    said: str = current_app.extensions[SAYS](phrase) if has_app_context() else phrase
    return said % blanks if blanks else said


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that is known here and said later, by the page that shows it."""

    text: str

    def __str__(self) -> str:
        return gettext(self.text)

    def __html__(self) -> str:
        return gettext(self.text)


# The name by which catalogues are made.
lazy_gettext = Phrase
