"""Replies of the web service, to the byte.

Clients are easily broken here. Members stand in the order of the schema with none added, or zeep raises; nothing below
the wrapper has a prefix or a namespace, or ElementTree clients lose it; a fault has status 500, or Guzzle clients take
it for a success; its faultstring is the Java class, or the code is lost.
"""

from collections.abc import Iterable

from gateway.dialects import HttpReply
from gateway.dialects.soap import ENVELOPE, Node, write
from gateway.dialects.treasury import Row

NAMESPACE = (
    "http://securite.service.tpa.cp.finances.gouv.fr/services/mas_securite/contrat_paiement_securise"
    "/PaiementSecuriseService"
)

_EXCEPTIONS = "fr.gouv.finances.cp.tpa.webservice.exceptions."
_HEADERS = {"Content-Type": "text/xml;charset=utf-8"}

# Declared on every fault of the recordings, and used by none of their elements.
_SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"


def answer(operation: str, members: Iterable[tuple[str, str]]) -> HttpReply:
    """Answer ``operation``.

    :param members: of ``return``, in the order of the schema
    """
    wrapper = f"ns2:{operation}Response"
    inner = "".join(_element(name, value) for name, value in members)
    return _reply(200, f'<{wrapper} xmlns:ns2="{NAMESPACE}"><return>{inner}</return></{wrapper}>')


def fault(row: Row, descriptif: str = "") -> HttpReply:
    """Answer with an anomaly of the table."""
    members = (
        ("code", row.code),
        ("descriptif", descriptif),
        ("libelle", row.libelle),
        ("severite", str(row.severite)),
    )
    inner = "".join(_element(name, value) for name, value in members)
    detail = f'<detail><ns2:{row.exception} xmlns:ns2="{NAMESPACE}">{inner}</ns2:{row.exception}></detail>'
    return _fault("S:Server", _EXCEPTIONS + row.exception, detail)


def client_fault(wording: str) -> HttpReply:
    """Answer a message that is none of this service's: no code could be read from it."""
    return _fault("S:Client", wording, "")


def _fault(code: str, wording: str, detail: str) -> HttpReply:
    inner = _element("faultcode", code) + _element("faultstring", wording) + detail
    return _reply(500, f'<S:Fault xmlns:ns4="{_SOAP_12}">{inner}</S:Fault>')


def _reply(status: int, body: str) -> HttpReply:
    whole = (
        f"<?xml version='1.0' encoding='UTF-8'?><S:Envelope xmlns:S=\"{ENVELOPE}\"><S:Body>{body}</S:Body></S:Envelope>"
    )
    return HttpReply(status, _HEADERS, whole.encode())


def _element(name: str, value: str) -> str:
    return write(Node(name, value)) if value else f"<{name}/>"
