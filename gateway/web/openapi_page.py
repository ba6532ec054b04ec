"""The OpenAPI document laid out for a page: flat rows, in reading order, so that the template computes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

_METHODS = ("post", "get")


@dataclass(frozen=True, slots=True)
class Row:
    """One member of a body, one parameter, one answer: a name, what it is, and what to know."""

    name: str
    kind: str
    about: str
    is_required: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked, or (for a confirmation) that is posted to the merchant."""

    id: str
    method: str
    path: str
    summary: str
    about: str
    access: str
    body: str
    parameters: tuple[Row, ...]
    answers: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """One object of the protocol and its members."""

    name: str
    about: str
    members: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """One error or fault code and its cure."""

    name: str
    status: str
    title: str
    fix: str


def outline(document: Mapping[str, object]) -> dict[str, object]:
    """Flatten a document made by ``openapi.document``."""
    info, components = _object(document["info"]), _object(document["components"])
    return {
        "title": info["title"],
        "version": info["version"],
        "introduction": str(info["description"]).split("\n\n"),
        "server": _object(_list(document["servers"])[0])["url"],
        "operations": _operations(_object(document["paths"]), components),
        "notices": _operations(_object(document["webhooks"]), components),
        "shapes": [_shape(name, _object(schema)) for name, schema in _object(components["schemas"]).items()],
        "errors": [_code(name, _object(card)) for name, card in _object(document["x-error-codes"]).items()],
        "faults": [Code(name, "", str(text), "") for name, text in _object(document["x-fault-codes"]).items()],
    }


def _operations(paths: Mapping[str, object], components: Mapping[str, object]) -> list[Operation]:
    found = []
    for path, item in paths.items():
        shared = _list(_object(item).get("parameters", []))
        for method in _METHODS:
            if method in _object(item):
                operation = _object(_object(item)[method])
                found.append(_operation(f"{method.upper()} {path}", operation, shared, components))
    return found


def _operation(
    address: str, operation: Mapping[str, object], shared: list[object], components: Mapping[str, object]
) -> Operation:
    method, _, path = address.partition(" ")
    parameters = [_object(one) for one in [*shared, *_list(operation.get("parameters", []))]]
    answers = _object(operation["responses"])
    body = _body(_object(operation.get("requestBody", {})))
    return Operation(
        id=str(operation["operationId"]),
        method=method,
        path=path,
        summary=str(operation["summary"]),
        about=str(operation.get("description", "")),
        access="bearer API key" if operation.get("security") else "signed request" if "Claims" in body else "open",
        body=body,
        parameters=tuple(Row(str(one["name"]), str(one["in"]), str(one["description"]), True) for one in parameters),
        answers=_answers(answers, components),
    )


def _answers(answers: Mapping[str, object], components: Mapping[str, object]) -> tuple[Row, ...]:
    """Give one row per kind of answer; the statuses of shared answers stand together."""
    rows: list[Row] = []
    shared: dict[str, list[str]] = {}
    for status, value in answers.items():
        answer = _object(value)
        if "$ref" in answer:
            shared.setdefault(_target(answer), []).append(status)
        else:
            rows.append(Row(status, "", str(answer["description"]), link=_body(answer)))
    for name, statuses in shared.items():
        answer = _object(_object(components["responses"])[name])
        rows.append(Row(", ".join(statuses), "", str(answer["description"]), link=_body(answer)))
    return tuple(rows)


def _body(holder: Mapping[str, object]) -> str:
    """Name the shape a body carries, in plain JSON or inside a signed text."""
    for content in _object(holder.get("content", {})).values():
        schema = _object(_object(content)["schema"])
        for part in (schema, *(_object(one) for one in _object(schema.get("properties", {})).values())):
            signed = _list(_object(part.get("contentSchema", {})).get("prefixItems", []))
            if signed:
                return _target(_object(signed[-1]))
        return _target(schema)
    return ""


def _shape(name: str, schema: Mapping[str, object]) -> Shape:
    # Answers always hold every member; only what a merchant writes can lack one.
    required = _list(schema.get("required", [])) if name.endswith("Claims") else []
    members = [
        Row(member, _kind(_object(rules)), _rule(_object(rules)), member in required, _linked(_object(rules)))
        for member, rules in _object(schema.get("properties", {})).items()
    ]
    words = ", ".join(str(word) for word in _list(schema.get("enum", [])))
    return Shape(name, " ".join(filter(None, [str(schema.get("description", "")), words])), tuple(members))


def _variants(rules: Mapping[str, object]) -> list[Mapping[str, object]]:
    return [_object(one) for one in _list(rules.get("anyOf", []))] or [rules]


def _kind(rules: Mapping[str, object]) -> str:
    kinds = []
    for one in _variants(rules):
        if one.get("type") == "array":
            kinds.append("list of " + (_target(_object(one["items"])) or str(_object(one["items"]).get("type", ""))))
        else:
            kinds.append(_target(one) or " ".join(str(one[key]) for key in ("format", "type") if key in one))
    return " or ".join(filter(None, kinds))


def _linked(rules: Mapping[str, object]) -> str:
    for one in _variants(rules):
        target = _target(_object(one.get("items", one)))
        if target:
            return target
    return ""


def _rule(rules: Mapping[str, object]) -> str:
    default = rules.get("default")
    words = ", ".join(str(word) for word in _list(rules.get("enum", [])))
    about = str(rules.get("description", "")) or words
    return f"{about} (default {default})" if default not in (None, "") else about


def _code(name: str, card: Mapping[str, object]) -> Code:
    return Code(name, str(card["status"]), str(card["title"]), str(card["fix"]))


def _target(schema: Mapping[str, object]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {type(value).__name__}")
    return value
