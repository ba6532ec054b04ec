"""SOAP 1.1 envelopes over HTTP: read tolerantly, written to the byte.

Shared by the dialects that speak SOAP. Fields are found by local name, because published clients disagree on prefixes,
namespaces and order; what XML lets an attacker do besides saying something (document types, entities, instructions to
processors) is refused before anything is read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree
from lxml.etree import _Element as Element

from gateway.core.errors import BadRequest, Fault
from gateway.dialects import HttpCall, HttpReply

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

# SOAP 1.2 differs in nothing this module reads.
_ENVELOPES = frozenset({ENVELOPE, "http://www.w3.org/2003/05/soap-envelope"})

BODY_BYTES_MAX = 1024 * 1024

# Encodings in which "<" is the byte 0x3C: in UTF-7 or UTF-16 a document type could hide from the check below. Python's
# own ElementTree writes "utf8" where it was told so.
_UTF_8 = frozenset({b"utf-8", b"utf8"})
_ENCODINGS = _UTF_8 | {b"us-ascii", b"ascii", b"iso-8859-1", b"iso-8859-15", b"windows-1252"}
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"']*)["']""")
_BOM = b"\xef\xbb\xbf"

# What XML 1.0 section 2.2 has no way to carry.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class MalformedSoap(BadRequest):
    """A body that is no SOAP envelope we are willing to read.

    :ivar detail: why, for the client's developer
    :ivar fault_code: how a SOAP fault calls that (SOAP 1.1, section 4.4.1)
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__((Fault("", code, detail),))
        self.detail = detail
        self.fault_code = "VersionMismatch" if code == "version" else "Client"


@dataclass(frozen=True, slots=True)
class Call:
    """What an envelope asks: the local name of the first element in its Body, and that element."""

    name: str
    element: Element


def parse(body: bytes, *, bytes_max: int = BODY_BYTES_MAX) -> Call:
    """Read an envelope.

    Whatever HTTP says of it (``SOAPAction``, media type) is the caller's to ignore: published clients disagree on both.
    Nothing is asked in headers, so none is read, whatever it says must be understood.
    Raises :class:`MalformedSoap`.
    """
    if len(body) > bytes_max:
        raise MalformedSoap("too_large", f"send at most {bytes_max} bytes")
    _check_encoding(body)
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise MalformedSoap("doctype", "send no document type and no entity (SOAP 1.1, section 3)")
    try:
        root = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedSoap("not_xml", f"send well-formed XML ({_first_line(error)})") from error
    if root.getroottree().xpath("boolean(//processing-instruction())"):
        raise MalformedSoap("instruction", "send no processing instruction (SOAP 1.1, section 3)")
    return _call_of(root)


def local(element: Element) -> str:
    """Give an element's name without its namespace."""
    return etree.QName(element).localname


def children(element: Element | None, name: str = "") -> list[Element]:
    """List the child elements, in any namespace; only those called ``name`` when it is given."""
    if element is None:
        return []
    return [child for child in element.iterchildren(tag=etree.Element) if not name or local(child) == name]


def child(element: Element | None, *names: str) -> Element | None:
    """Walk down by local names; ``None`` where nothing is, or where ``xsi:nil`` says that nothing is.

    Raises :class:`MalformedSoap` when a name stands twice under one parent: two readers could read two requests.
    """
    for name in names:
        found = children(element, name)
        if len(found) > 1:
            raise MalformedSoap("repeated", f"give {name} once")
        element = found[0] if found and not _is_nil(found[0]) else None
    return element


def text(element: Element | None, *names: str) -> str | None:
    """Read a value by the local names that lead to it, without the blanks around it.

    ``None`` for an absent element, an empty one and one marked ``xsi:nil``: clients mean the same by all three.
    Raises :class:`MalformedSoap` as :func:`child` does.
    """
    read = verbatim(child(element, *names))
    return (read or "").strip() or None


def verbatim(element: Element | None) -> str | None:
    """Read a value with its blanks, for what must be given back as it came; ``None`` when there is none.

    Raises :class:`MalformedSoap` for text around elements: one reader would take its beginning, another all of it.
    """
    if element is None or _is_nil(element):
        return None
    if len(element) and any((text or "").strip() for text in (element.text, *(inner.tail for inner in element))):
        raise MalformedSoap("mixed", f"give {local(element)} text alone")
    return element.text or None


@dataclass(frozen=True, slots=True)
class Node:
    """One element to be written, exactly so.

    :ivar name: as it is written, prefix included
    :ivar content: its text, its children, or ``None`` for ``xsi:nil="true"``
    :ivar attributes: in the order they are written, ``xmlns`` declarations among them
    """

    name: str
    content: "str | tuple[Node, ...] | None" = ()
    attributes: tuple[tuple[str, str], ...] = ()


def write(node: Node) -> str:
    """Write an element and all below it; the prefixes it uses are declared where its attributes say so."""
    return "".join(_pieces(node))


def envelope(*body: Node, prefix: str = "soap", namespaces: tuple[tuple[str, str], ...] = (("xsi", XSI),)) -> bytes:
    """Write an envelope around ``body``, in UTF-8 with an XML declaration.

    :param prefix: of the envelope's own namespace
    :param namespaces: prefixes declared on the envelope besides its own, in this order; nil elements need ``xsi``
    """
    declared = ((f"xmlns:{prefix}", ENVELOPE), *((f"xmlns:{name}", uri) for name, uri in namespaces))
    whole = Node(f"{prefix}:Envelope", (Node(f"{prefix}:Body", body),), declared)
    return document(write(whole))


def document(xml: str) -> bytes:
    """Give an XML document's bytes, declaration first."""
    return b'<?xml version="1.0" encoding="UTF-8"?>' + xml.encode()


def reply(body: bytes, status: int = 200) -> HttpReply:
    """Send an XML document in the media type of SOAP 1.1 (section 6.2)."""
    return HttpReply(status, {"Content-Type": "text/xml; charset=UTF-8", "Cache-Control": "no-store"}, body)


def fault(code: str, wording: str, *details: Node, prefix: str = "soap") -> HttpReply:
    """Answer with a SOAP 1.1 fault (section 4.4); HTTP 500, as section 6.2 wants.

    :param code: ``Client`` or ``Server``
    :param details: what stands inside ``detail``, which is written only when there is something
    """
    parts = [Node("faultcode", f"{prefix}:{code}"), Node("faultstring", wording)]
    if details:
        parts.append(Node("detail", details))
    return reply(envelope(Node(f"{prefix}:Fault", tuple(parts)), prefix=prefix), 500)


def asks_wsdl(call: HttpCall) -> bool:
    """Say whether a request is for the service's description: ``?wsdl``, in any case, with or without a value."""
    if call.method not in {"GET", "HEAD"}:
        return False
    names = {pair.partition("=")[0].lower() for pair in call.query.split("&")}
    return bool(names & {"wsdl", "singlewsdl"})


def _check_encoding(body: bytes) -> None:
    declared = _DECLARED.match(body.removeprefix(_BOM))
    # A byte order mark says UTF-8 by itself: a declaration of anything else beside it would be read in two ways.
    allowed = _UTF_8 if body.startswith(_BOM) else _ENCODINGS
    if b"\x00" in body or (declared and declared[1].lower() not in allowed):
        raise MalformedSoap("encoding", "send UTF-8")


def _parser() -> etree.XMLParser:
    """Make a parser that fetches nothing, expands nothing and keeps libxml2's own bounds on depth and size.

    One per call: an lxml parser carries the errors of its last document.
    """
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
    )


def _call_of(root: Element) -> Call:
    name = etree.QName(root)
    if name.localname != "Envelope":
        raise MalformedSoap("no_envelope", "send a SOAP 1.1 Envelope")
    if name.namespace not in _ENVELOPES:
        raise MalformedSoap("version", f"send a SOAP 1.1 Envelope, of the namespace {ENVELOPE}")
    bodies = children(root, "Body")
    if len(bodies) != 1:
        raise MalformedSoap("no_body", "give the Envelope one Body")
    calls = children(bodies[0])
    if not calls:
        raise MalformedSoap("empty_body", "name an operation in the Body")
    return Call(local(calls[0]), calls[0])


def _is_nil(element: Element) -> bool:
    return (element.get(f"{{{XSI}}}nil") or "").strip() in {"true", "1"}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _pieces(node: Node) -> Iterator[str]:
    attributes = "".join(f' {name}="{_quoted(value)}"' for name, value in node.attributes)
    if node.content is None:
        yield f'<{node.name}{attributes} xsi:nil="true"/>'
        return
    yield f"<{node.name}{attributes}>"
    if isinstance(node.content, str):
        yield _escaped(node.content)
    else:
        for inner in node.content:
            yield from _pieces(inner)
    yield f"</{node.name}>"


def _escaped(value: str) -> str:
    """Escape for an element's text; a bare carriage return would be read back as a line feed."""
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _UNWRITABLE.sub("\ufffd", value)


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
