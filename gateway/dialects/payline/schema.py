"""Payline's messages, from the description in ``schema.toml``: read tolerantly, written for the caller's version.

Strict clients raise on an element their own WSDL does not know and on a missing one it requires, so a reply holds all
that its version knows and nothing else, in WSDL order, nil where there is nothing to say.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lxml.etree import _Element as Element
from pydantic import TypeAdapter

from gateway.dialects import soap
from gateway.dialects.soap import Node

# A scalar, an object by field name, or what stands several times.
Value: TypeAlias = "str | Mapping[str, Value] | tuple[Value, ...] | None"
Values = Mapping[str, Value]

# Scalars, and what XML Schema calls them; a verbatim one keeps the blanks around it.
BUILT_IN = {"string": "string", "verbatim": "string", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a message or type.

    :ivar count_max: how often it may stand, as XML Schema says it (``100``, ``unbounded``); empty for once
    :ivar since: the first API version that knows it
    """

    name: str
    type: str
    count_max: str
    since: int

    @property
    def is_list(self) -> bool:
        """Whether it may stand several times."""
        return bool(self.count_max)

    @classmethod
    def parse(cls, written: str, oldest: int) -> "Field":
        """Read ``name[:[type]][*[count]][@version]``."""
        counted, _, since = written.partition("@")
        named, star, count = counted.partition("*")
        name, colon, kind = named.partition(":")
        return cls(
            name, kind or (name if colon else "string"), (count or "unbounded") if star else "", int(since or oldest)
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """One service: the API whose WSDL lists it, and its two messages."""

    name: str
    api: str
    request: tuple[Field, ...]
    reply: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """Every message of the protocol, at every version.

    :ivar inline: types that live in the namespace of the messages, not in that of the objects
    :ivar absent: the operations that are described and answered, but not carried out
    """

    namespace: str
    object_namespace: str
    inline: frozenset[str]
    version_min: int
    version_max: int
    operations: Mapping[str, Operation]
    types: Mapping[str, tuple[Field, ...]]
    absent: frozenset[str]

    def version(self, told: str | None) -> int:
        """Take the version a request names; one client names none and means the oldest."""
        number = int(told) if told and told.isascii() and told.isdigit() and len(told) < 6 else self.version_min
        return min(max(number, self.version_min), self.version_max)

    def read(self, element: Element | None, kind: str) -> Values | None:
        """Read an object by local names, whatever their order and namespaces; what the schema does not know is left.

        ``None`` for an absent object and for one without content.
        """
        if element is None:
            return None
        read: dict[str, Value] = {}
        for field in self.types[kind]:
            value = self._read_all(element, field) if field.is_list else self._read_one(element, field)
            if value:
                read[field.name] = value
        return read or None

    def reply(self, operation: str, version: int, values: Values) -> bytes:
        """Write the reply to an operation as an envelope.

        :param values: by field name; what is left out is nil
        """
        known = self.operations.get(operation)
        fields = known.reply if known else (Field.parse("result:result", self.version_min),)
        content = tuple(
            node for field in fields for node in self._nodes("impl", field, values.get(field.name), version)
        )
        declared = (("xmlns:impl", self.namespace), ("xmlns:obj", self.object_namespace), ("xmlns:xsi", soap.XSI))
        return soap.envelope(Node(f"impl:{operation}Response", content, declared), prefix="soap", namespaces=())

    def _read_all(self, element: Element, field: Field) -> tuple[Value, ...]:
        found = soap.children(element, field.name)
        # suds sends <selectedContractList>1234567</selectedContractList>: a list of one.
        if not found and field.type in BUILT_IN:
            only = soap.text(element)
            return (only,) if only else ()
        values = (soap.text(one) if field.type in BUILT_IN else self.read(one, field.type) for one in found)
        return tuple(value for value in values if value)

    def _read_one(self, element: Element, field: Field) -> Value:
        found = soap.child(element, field.name)
        if field.type not in BUILT_IN:
            return self.read(found, field.type)
        return soap.verbatim(found) if field.type == "verbatim" else soap.text(found)

    def _nodes(self, prefix: str, field: Field, value: Value, version: int) -> tuple[Node, ...]:
        if field.since > version:
            return ()
        if field.is_list:
            each = value if isinstance(value, tuple) else ()
            return tuple(self._node(prefix, field, one, version) for one in each)
        return (self._node(prefix, field, value, version),)

    def _node(self, prefix: str, field: Field, value: Value, version: int) -> Node:
        name = f"{prefix}:{field.name}"
        if isinstance(value, Mapping) and field.type not in BUILT_IN:
            inner, home = self.types[field.type], "impl" if field.type in self.inline else "obj"
            return Node(name, tuple(n for f in inner for n in self._nodes(home, f, value.get(f.name), version)))
        return Node(name, value if isinstance(value, str) and value else None)


@dataclass(frozen=True, slots=True)
class _File:
    namespace: str
    object_namespace: str
    inline: frozenset[str]
    version_min: int
    version_max: int
    operations: dict[str, dict[str, str]]
    types: dict[str, str]


# By API and name: what is asked with, and what the reply holds.
_Absent = dict[str, dict[str, tuple[str, str]]]


def load() -> Schema:
    """Read the descriptions that come with this package."""
    file = TypeAdapter(_File).validate_python(_read("schema.toml"))
    absent = TypeAdapter(_Absent).validate_python(_read("absent.toml"))

    def fields(written: str) -> tuple[Field, ...]:
        return tuple(Field.parse(one, file.version_min) for one in written.split())

    operations = {
        name: Operation(name, table["api"], fields(table["request"]), fields(table["reply"]))
        for name, table in file.operations.items()
    }
    for api, listed in absent.items():
        operations |= {
            name: Operation(name, api, fields(asked), fields(told)) for name, (asked, told) in listed.items()
        }
    types = {name: fields(written) for name, written in file.types.items()}
    return Schema(
        file.namespace,
        file.object_namespace,
        file.inline,
        file.version_min,
        file.version_max,
        operations,
        types,
        frozenset(name for listed in absent.values() for name in listed),
    )


def _read(name: str) -> dict[str, object]:
    return tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))


SCHEMA = load()
