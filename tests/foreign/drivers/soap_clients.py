"""Runs zeep, suds and pysimplesoap as published, each over the WSDL that the server itself serves.

Verbs come as lines of JSON and are answered by one line each. zeep is strict: it raises on an element its WSDL does not
know, on one that stands in the wrong place and on one that is missing.
"""

import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import requests
import suds.client
import suds.sudsobject
import zeep
from lxml import etree
from pysimplesoap.client import SoapClient
from zeep.helpers import serialize_object


def by_zeep(wsdl: str, operation: str, arguments: dict[str, object], login: str = "", password: str = "") -> object:
    """Call, and give the answer as plain values."""
    answer = getattr(_zeep(wsdl, login, password).service, operation)(**arguments)
    plain: object = serialize_object(answer, dict)
    return plain


@cache
def _zeep(wsdl: str, login: str, password: str) -> zeep.Client:
    session = requests.Session()
    session.auth = (login, password) if login else None
    transport = zeep.Transport(session=session)
    return zeep.Client(wsdl, transport=transport, settings=zeep.Settings(strict=True))


def by_suds(wsdl: str, operation: str, arguments: dict[str, object], login: str = "", password: str = "") -> object:
    """Call; credentials are held back until the server asks for them."""
    answer = getattr(_suds(wsdl, login, password).service, operation)(**arguments)
    return _plain(answer)


@cache
def _suds(wsdl: str, login: str, password: str) -> suds.client.Client:
    return suds.client.Client(wsdl, username=login, password=password, cache=None)


def _plain(value: Any) -> object:
    if isinstance(value, suds.sudsobject.Object):
        return {name: _plain(inner) for name, inner in suds.sudsobject.asdict(value).items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def by_pysimplesoap(wsdl: str, operation: str, arguments: dict[str, object], headers: dict[str, str]) -> object:
    """Call with headers of the caller's own; an unknown tag in the answer raises."""
    return getattr(_pysimplesoap(wsdl, tuple(headers.items())), operation)(**arguments)


@cache
def _pysimplesoap(wsdl: str, headers: tuple[tuple[str, str], ...]) -> SoapClient:
    return SoapClient(wsdl=wsdl, http_headers=dict(headers), cache=None)


def _facts(error: Exception) -> dict[str, object]:
    """Tell of a fault what zeep keeps of it."""
    detail = getattr(error, "detail", None)
    if detail is None:
        return {"faultcode": getattr(error, "code", "")}
    inner = {etree.QName(one).localname: one.text for one in detail.iter(etree.Element)}
    return {"faultcode": getattr(error, "code", ""), "detail": inner}


VERBS: dict[str, Callable[..., object]] = {"zeep": by_zeep, "suds": by_suds, "pysimplesoap": by_pysimplesoap}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = {"answer": VERBS[asked.pop("verb")](**asked)}
    except Exception as error:  # noqa: BLE001 - whatever a client raises, the test must see it
        said = {"raised": type(error).__name__, "text": str(error), "facts": _facts(error)}
    sys.stdout.write(json.dumps(said, default=str) + "\n")
    sys.stdout.flush()
