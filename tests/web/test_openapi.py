"""The published description: a valid document, derived from the models, and a page that loads nothing foreign."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.core.states import Status
from gateway.dialects.native.claims import PaymentClaims
from gateway.dialects.native.problems import ERRORS
from gateway.dialects.native.showing import public_status
from gateway.web import openapi

ORIGIN = "https://pay.example.org"
TEMPLATES = Path(__file__).parents[2] / "checkout_templates"


@pytest.fixture(scope="module")
def html() -> str:
    jinja = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    jinja.globals["asset"] = lambda name: f"/static/{name}"
    return jinja.get_template("docs/api.html").render(**openapi.page(ORIGIN))


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield str(inner)
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(openapi.document(ORIGIN)).validate()


def test_every_reference_leads_somewhere() -> None:
    document = openapi.document(ORIGIN)

    for reference in set(_references(document)):
        place: object = document
        for step in reference.removeprefix("#/").split("/"):
            assert isinstance(place, dict)
            place = place[step]


def test_every_claim_and_error_is_explained(html: str) -> None:
    for name in PaymentClaims.model_fields:
        assert f"<code>{name}</code>" in html
    for code in ERRORS:
        assert f'id="error-{code}"' in html


def test_every_link_inside_the_page_leads_somewhere(html: str) -> None:
    targets = set(re.findall(r'id="([^"]+)"', html))

    assert set(re.findall(r'href="#([^"]+)"', html)) <= targets


def test_the_page_runs_no_script_and_loads_nothing_foreign(html: str) -> None:
    loaded = re.findall(r'<(?:link|img|script|iframe|source)[^>]*?(?:href|src)="([^"]+)"', html)
    css = (TEMPLATES / "static/docs.css").read_text("utf-8")

    assert all(address.startswith("/static/") for address in loaded)
    assert "<script" not in html
    assert not re.search(r"\son\w+=|\sstyle=|<style", html)
    assert "url(" not in css
    assert "@import" not in css


def test_every_status_has_a_public_word() -> None:
    assert {str(public_status(status)) for status in Status} == {
        "created",
        "opened",
        "working",
        "paid",
        "refused",
        "cancelled",
        "expired",
    }
