"""Templates compiled once for each language, with that language's words written into them.

A card page asks for some forty phrases, and looking them up was two fifths of the work of rendering it. Most have no blank
to fill: what they say in French is known when the French page is compiled. The others are looked up when they are shown.
"""

from collections.abc import Callable, MutableMapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from babel.support import NullTranslations, Translations
from flask.sansio.app import App
from flask.templating import Environment
from jinja2 import Template, TemplateNotFound, nodes
from jinja2.visitor import NodeTransformer
from markupsafe import Markup


class SpeakingEnvironment(Environment):
    """Renders each page in an environment of its language, an overlay of this one made at the language's first page.

    :ivar catalogues: where the words are, a folder for each language; without one, pages say what templates say
    :ivar language: says which language is spoken at present
    """

    catalogues: Path
    language: Callable[[], str]
    _words: NullTranslations | None = None

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(app, **options)
        self.spoken = cache(self._speak)
        self._is_there = cache(self._look_for)

    def get_or_select_template(self, template_name_or_list: Any, *args: Any, **options: Any) -> Template:
        """Give a page in the present language; Flask calls this."""
        names = template_name_or_list
        if isinstance(names, list) and not self.auto_reload:
            # Jinja remembers what it found, not what it missed: a merchant's own page was looked for on disk each time.
            names = next(filter(self._is_there, names), names)
        return super(SpeakingEnvironment, self.spoken(self.language())).get_or_select_template(names, *args, **options)

    def say(self, phrase: str) -> str:
        """Say a phrase as templates would, in the present language."""
        words = self.spoken(self.language())._words
        return str(words.ugettext(phrase)) if words else phrase

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Give the names every template knows as one dictionary: Jinja's chain of two is copied key by key for each page."""
        return {**self.globals, **(d or {})}

    def _speak(self, language: str) -> "SpeakingEnvironment":
        words = Translations.load(self.catalogues, [language])
        one = self.overlay()
        one._words = words
        one.globals = {**self.globals, "_": partial(_one, words), "ngettext": partial(_one_of_two, words)}
        return one

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        """Write the words in before the code is; Jinja calls this."""
        if self._words is not None:
            _Writer(self._words).visit(source)
        return super()._generate(source, *args, **options)

    def _look_for(self, name: str) -> bool:
        try:
            return self.loader is not None and bool(self.loader.get_source(self, name))
        except TemplateNotFound:
            return False


def _one(words: NullTranslations, phrase: str, **blanks: object) -> Markup:
    return Markup(words.ugettext(phrase)) % blanks  # noqa: S704 - translations may hold markup, blanks are escaped


def _one_of_two(words: NullTranslations, one: str, many: str, num: int, **blanks: object) -> Markup:
    return Markup(words.ungettext(one, many, num)) % {"num": num, **blanks}  # noqa: S704 - as above


class _Writer(NodeTransformer):
    """Puts what a phrase says in the place of the call that would look it up."""

    def __init__(self, words: NullTranslations) -> None:
        self._words = words

    def visit_Call(self, call: nodes.Call) -> nodes.Node:  # noqa: N802 - named after the node
        self.generic_visit(call)
        match call:
            case nodes.Call(node=nodes.Name(name="_"), args=[nodes.Const(value=str(phrase))], kwargs=[]):
                # Translated phrases are format strings, whether or not there is something to fill in.
                return nodes.TemplateData(self._words.ugettext(phrase) % {}, lineno=call.lineno)
        return call
