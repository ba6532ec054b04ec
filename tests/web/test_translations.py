"""Every catalogue says everything the pages say, no more, with the same facts in it, and is compiled."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from gettext import c2py
from io import BytesIO
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from gateway.core.languages import CODES

HOME = Path(__file__).parents[2]
TEMPLATES = HOME / "checkout_templates"
TRANSLATIONS = TEMPLATES / "translations"
# English is what the templates themselves are written in.
TRANSLATED = [code for code in CODES if code != "en"]

_PLACES = re.compile(r"%\(\w+\)s|\{\w+\}")
_OPENED, _CLOSED = "\u2066\u2067\u2068", "\u2069"
_ENDS = {"؟": "?", "،": ","}

every_language = pytest.mark.parametrize("language", TRANSLATED)


@pytest.fixture(scope="module")
def extracted() -> Catalog:
    """Collect the texts of templates and code, as a translator would."""
    with (TEMPLATES / "babel.cfg").open() as config:
        methods, options = parse_mapping_cfg(config)  # type: ignore[no-untyped-call]  # Babel leaves it untyped
    catalogue = Catalog()
    keywords = {**DEFAULT_KEYWORDS, "lazy_gettext": None}
    for _file, _line, text, _comments, _context in extract_from_dir(HOME, methods, options, keywords):
        catalogue.add(text)
    return catalogue


def catalogue_of(language: str) -> Catalog:
    with _path(language).open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def test_each_language_of_the_pages_has_a_catalogue_and_no_other_has() -> None:
    assert sorted(folder.name for folder in TRANSLATIONS.iterdir()) == sorted(TRANSLATED)


@every_language
def test_every_text_is_translated(extracted: Catalog, language: str) -> None:
    catalogue = catalogue_of(language)

    texts = [message.id for message in extracted if message.id]
    assert len(texts) > 100
    assert [text for text in texts if text not in catalogue or not _is_translated(catalogue, text)] == []


@every_language
def test_no_translation_outlived_its_text(extracted: Catalog, language: str) -> None:
    catalogue = catalogue_of(language)

    assert [message.id for message in catalogue if message.id and message.id not in extracted] == []
    assert list(catalogue.obsolete) == []


@every_language
def test_a_translation_holds_the_places_of_its_text(language: str) -> None:
    wrong = [said for text, said in _single(language) if _places(said) != _places(text)]

    assert wrong == []


@every_language
def test_a_plural_form_leaves_out_its_number_only_where_it_stands_for_one_number(language: str) -> None:
    catalogue, wrong = catalogue_of(language), []
    stands_for = Counter(map(c2py(catalogue.plural_expr), range(1000)))
    for text, forms in _plurals(language):
        assert len(forms) == catalogue.num_plurals
        for form, said in enumerate(forms):
            may_miss = {"%(num)s"} if stands_for[form] == 1 else set()
            wrong += [said] if set(_places(text) - _places(said)) - may_miss or _places(said) - _places(text) else []

    assert wrong == []


@every_language
def test_plural_forms_are_those_of_the_language(language: str) -> None:
    form_of = c2py(catalogue_of(language).plural_expr)
    category_of = Locale.parse("pt_PT" if language == "pt" else language).plural_form

    pairs = {(category_of(number), form_of(number)) for number in range(1000)}

    assert len({category for category, _ in pairs}) == len({form for _, form in pairs}) == len(pairs)


@every_language
def test_translations_are_plain_sentences(language: str) -> None:
    wrong = [
        said
        for text, said in [*_single(language), *_forms_of(language)]
        if re.search(r"[<>&\n\"]|  ", said)
        or _end(said) != _end(text)
        or (said.strip() != said and text.strip() == text)
    ]

    assert wrong == []


@every_language
def test_what_is_isolated_ends_where_it_should(language: str) -> None:
    for _, said in [*_single(language), *_forms_of(language)]:
        depth = 0
        for letter in said:
            depth += (letter in _OPENED) - (letter == _CLOSED)
            assert 0 <= depth <= 1, said
        assert depth == 0, said


@every_language
def test_the_compiled_catalogue_is_that_of_the_texts(language: str) -> None:
    compiled = BytesIO()
    write_mo(compiled, catalogue_of(language))

    assert _path(language).with_suffix(".mo").read_bytes() == compiled.getvalue()


def _path(language: str) -> Path:
    return TRANSLATIONS / language / "LC_MESSAGES/messages.po"


def _single(language: str) -> Iterator[tuple[str, str]]:
    for message in catalogue_of(language):
        if message.id and isinstance(message.id, str):
            yield message.id, str(message.string)


def _plurals(language: str) -> Iterator[tuple[str, Sequence[str]]]:
    for message in catalogue_of(language):
        if message.id and not isinstance(message.id, str):
            yield message.id[1], _forms(message)


def _forms_of(language: str) -> Iterator[tuple[str, str]]:
    return ((text, said) for text, forms in _plurals(language) for said in forms)


def _forms(message: Message) -> Sequence[str]:
    said = message.string or ""
    return (said,) if isinstance(said, str) else said


def _places(text: str) -> Counter[str]:
    return Counter(_PLACES.findall(text))


def _end(text: str) -> str:
    """Give the mark a text ends with, whatever the script; a place is no mark."""
    last = text.rstrip("\u2069")[-1:]
    return "" if last.isalnum() or last in ")}" or not last else _ENDS.get(last, last)


def _is_translated(catalogue: Catalog, text: str | Sequence[str]) -> bool:
    message = catalogue.get(text if isinstance(text, str) else text[0])
    return message is not None and all(_forms(message)) and not message.fuzzy
