"""The scripts of payers' pages are those of the inventory, and no others."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.parts import Parts
from gateway.web import scripts
from tests.factories import open_payment

TEMPLATES = Path(__file__).parents[2] / "checkout_templates"


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """Give a copy of the inventory and of what it lists."""
    (tmp_path / "static").mkdir()
    for name in ("scripts.toml", *(f"static/{file.name}" for file in (TEMPLATES / "static").glob("*.js"))):
        (tmp_path / name).write_bytes((TEMPLATES / name).read_bytes())
    return tmp_path


def test_the_shipped_scripts_are_those_that_were_reviewed() -> None:
    assert list(scripts.faults(TEMPLATES)) == []


def test_one_byte_more_less_or_other_is_found(templates: Path) -> None:
    file = templates / "static/checkout.js"
    content = file.read_bytes()
    for changed in (content + b"\n", content[:-1], content.replace(b"e", b"f", 1), b""):
        file.write_bytes(changed)

        assert [fault.partition(";")[0] for fault in scripts.faults(templates)] == [
            "checkout.js is not the script that was reviewed"
        ]


def test_a_script_more_or_less_is_found(templates: Path) -> None:
    (templates / "static/checkout.js").rename(templates / "static/analytics.js")

    assert [fault.partition(";")[0] for fault in scripts.faults(templates)] == [
        "analytics.js is in no inventory",
        "checkout.js is gone",
    ]


def test_writing_the_inventory_keeps_the_reasons_and_asks_for_new_ones(templates: Path) -> None:
    (templates / "static/other.js").write_text("'use strict';")

    scripts.write(templates)

    assert [fault.partition(" in")[0] for fault in scripts.faults(templates)] == ["other.js has no reason"]
    assert "Pages work without it" in (templates / "scripts.toml").read_text("utf-8")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_script_of_a_page_carries_its_digest(client: FlaskClient, parts: Parts) -> None:
    page = client.get(parts.links.page(open_payment(parts).id)).text

    tags = re.findall(r"<script\b[^>]*>", page)
    assert len(tags) == 1
    for tag in tags:
        (path,) = re.findall(r'src="([^"]+)"', tag)
        (digest,) = re.findall(r'integrity="([^"]+)"', tag)
        with client.get(path) as script:
            assert digest == scripts.integrity(script.data)
