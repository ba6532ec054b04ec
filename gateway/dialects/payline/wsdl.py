"""Our own WSDL, from the same description as the replies.

Every element is optional and nillable, so that a strict parser bound to it reads the replies of every version; a client
that wants the elements of one version only asks for ``?wsdl&version=19``.
"""

from gateway.dialects import soap
from gateway.dialects.payline.schema import BUILT_IN, SCHEMA, Field, Operation
from gateway.dialects.soap import Node

_NAMESPACES = (
    ("xmlns:wsdl", "http://schemas.xmlsoap.org/wsdl/"),
    ("xmlns:soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
    ("xmlns:xsd", "http://www.w3.org/2001/XMLSchema"),
    ("xmlns:impl", SCHEMA.namespace),
    ("xmlns:obj", SCHEMA.object_namespace),
)
_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"

APIS = tuple(sorted({operation.api for operation in SCHEMA.operations.values()}))


def describe(api: str, address: str, version: int) -> bytes:
    """Write the WSDL of one API.

    :param address: where its operations are posted to (``soap:address``)
    """
    operations = [operation for operation in SCHEMA.operations.values() if operation.api == api]
    parts = [_types(operations, version)]
    parts += [_message(f"{operation.name}{side}") for operation in operations for side in ("Request", "Response")]
    parts += [
        Node("wsdl:portType", tuple(map(_port_operation, operations)), (("name", api),)),
        _binding(api, operations),
        _service(api, address),
    ]
    attributes = (("name", api), ("targetNamespace", SCHEMA.namespace), *_NAMESPACES)
    return soap.document(soap.write(Node("wsdl:definitions", tuple(parts), attributes)))


def _types(operations: list[Operation], version: int) -> Node:
    inline: list[Node] = []
    objects: list[Node] = []
    for name, fields in SCHEMA.types.items():
        described = Node("xsd:complexType", (_sequence(fields, version),), (("name", name),))
        (inline if name in SCHEMA.inline else objects).append(described)
    elements = []
    for operation in operations:
        for name, fields in (("Request", operation.request), ("Response", operation.reply)):
            content = (Node("xsd:complexType", (_sequence(fields, version),)),)
            elements.append(Node("xsd:element", content, (("name", operation.name + name),)))
    imported = Node("xsd:import", (), (("namespace", SCHEMA.object_namespace),))
    own = _schema(SCHEMA.namespace, (imported, *inline, *elements))
    return Node("wsdl:types", (_schema(SCHEMA.object_namespace, tuple(objects)), own))


def _schema(namespace: str, content: tuple[Node, ...]) -> Node:
    return Node("xsd:schema", content, (("targetNamespace", namespace), ("elementFormDefault", "qualified")))


def _sequence(fields: tuple[Field, ...], version: int) -> Node:
    return Node("xsd:sequence", tuple(_element(field) for field in fields if field.since <= version))


def _element(field: Field) -> Node:
    home = "impl" if field.type in SCHEMA.inline else "obj"
    kind = f"xsd:{BUILT_IN[field.type]}" if field.type in BUILT_IN else f"{home}:{field.type}"
    many = (("maxOccurs", field.count_max),) if field.is_list else ()
    return Node(
        "xsd:element", (), (("name", field.name), ("type", kind), ("minOccurs", "0"), *many, ("nillable", "true"))
    )


def _message(element: str) -> Node:
    part = Node("wsdl:part", (), (("name", "parameters"), ("element", f"impl:{element}")))
    return Node("wsdl:message", (part,), (("name", element),))


def _port_operation(operation: Operation) -> Node:
    sides = (("input", "Request"), ("output", "Response"))
    content = tuple(Node(f"wsdl:{way}", (), (("message", f"impl:{operation.name}{side}"),)) for way, side in sides)
    return Node("wsdl:operation", content, (("name", operation.name),))


def _binding(api: str, operations: list[Operation]) -> Node:
    literal = (Node("soap:body", (), (("use", "literal"),)),)
    bound = tuple(
        Node(
            "wsdl:operation",
            (
                Node("soap:operation", (), (("soapAction", operation.name),)),
                Node("wsdl:input", literal),
                Node("wsdl:output", literal),
            ),
            (("name", operation.name),),
        )
        for operation in operations
    )
    style = Node("soap:binding", (), (("style", "document"), ("transport", _TRANSPORT)))
    return Node("wsdl:binding", (style, *bound), (("name", f"{api}SoapBinding"), ("type", f"impl:{api}")))


def _service(api: str, address: str) -> Node:
    place = Node("soap:address", (), (("location", address),))
    port = Node("wsdl:port", (place,), (("name", api), ("binding", f"impl:{api}SoapBinding")))
    return Node("wsdl:service", (port,), (("name", api),))
