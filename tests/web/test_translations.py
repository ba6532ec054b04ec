"""The French catalogue says everything the pages say, no more, and is compiled."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

HOME = Path(__file__).parents[2]
TEMPLATES = HOME / "checkout_templates"
FRENCH = TEMPLATES / "translations/fr/LC_MESSAGES/messages.po"


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


def test_every_text_is_in_french(extracted: Catalog) -> None:
    with FRENCH.open("rb") as file:
        french = read_po(file, locale="fr")

    texts = [message.id for message in extracted if message.id]
    assert len(texts) > 100
    missing = [text for text in texts if text not in french or not _is_translated(french, text)]
    assert missing == []


def test_no_translation_outlived_its_text(extracted: Catalog) -> None:
    with FRENCH.open("rb") as file:
        french = read_po(file, locale="fr")

    assert [message.id for message in french if message.id and message.id not in extracted] == []


def test_the_compiled_catalogue_is_that_of_the_texts() -> None:
    with FRENCH.open("rb") as texts, FRENCH.with_suffix(".mo").open("rb") as compiled:
        written, shipped = read_po(texts, locale="fr"), read_mo(compiled)

    assert _strings(shipped) == _strings(written)


def _strings(catalogue: Catalog) -> dict[str, list[str]]:
    return {_first(message.id): _forms(message.string) for message in catalogue if message.id}


def _is_translated(catalogue: Catalog, text: str | Sequence[str]) -> bool:
    message = catalogue[_first(text)]
    return bool(message) and all(_forms(message.string)) and not message.fuzzy


def _first(text: str | Sequence[str]) -> str:
    return _forms(text)[0]


def _forms(text: str | Sequence[str] | None) -> list[str]:
    return [text or ""] if isinstance(text, str | None) else list(text)
