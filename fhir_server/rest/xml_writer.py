"""A resource as FHIR XML: its elements in the order of the definitions, every string such that it is read back unchanged.

https://hl7.org/fhir/R4/xml.html
"""

import functools
import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NoReturn

from fhir_server.outcome import Refusal, refuse
from fhir_server.rest.xml_tree import FHIR, read_narrative
from profiles.definitions import Field, r4

_SPECIAL = re.compile('[&<>"\x00-\x1f\ud800-\udfff\ufffe\uffff]')
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Tabs and line ends by number, because a parser turns them into spaces in an attribute.
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def to_xml(resource: Mapping[str, Any], *, pretty: bool = False) -> bytes:
    """The FHIR XML document of a resource in UTF-8, on one line or indented by two spaces.

    Raises Refusal (422, not-supported) for what XML cannot carry: control characters, members that R4 does not define,
    a narrative that is not well-formed.
    """
    writer = _Writer(pretty=pretty)
    writer.out.append('<?xml version="1.0" encoding="UTF-8"?>')
    writer.resource(resource, str(resource.get("resourceType")), f' xmlns="{FHIR}"', 0)
    return "".join(writer.out).encode()


def _refuse(diagnostics: str, path: str) -> NoReturn:
    raise refuse("not-supported", f"{diagnostics}; XML cannot carry it, ask for JSON", path, status=422)


@functools.cache
def _members(structure: str) -> dict[str, tuple[int, Field]]:
    """Each JSON member of a structure, the underscored ones included, with its place in the XML and its field."""
    members: dict[str, tuple[int, Field]] = {}
    for place, field in enumerate(r4().structure(structure).fields.values()):
        members[field.name] = (place, field)
        if field.primitive and not field.attribute:
            members["_" + field.name] = (place, field)
    return members


class _Writer:
    """The text so far, in pieces."""

    def __init__(self, *, pretty: bool) -> None:
        self.out: list[str] = []
        self.pretty = pretty

    def put(self, level: int, markup: str) -> None:
        """Adds markup, on a line of its own where that is wanted."""
        self.out.append("\n" + "  " * level + markup if self.pretty else markup)

    def resource(self, content: Any, path: str, attributes: str, level: int) -> None:
        name = content.get("resourceType") if isinstance(content, Mapping) else None
        if not isinstance(name, str) or not r4().is_resource(name):
            _refuse(f"{path} is no resource of FHIR R4", path)
        self.element(name, name, content, attributes, path, level)

    def element(self, name: str, structure: str, content: Any, attributes: str, path: str, level: int) -> None:
        """An element with the members of an object as its attributes and children."""
        if not isinstance(content, Mapping):
            _refuse(f"{path} is not an object", path)
        fields = self.fields(structure, content, path)
        for field in fields:
            if field.attribute:
                attributes += f' {field.name}="{self.escaped(content[field.name], f"{path}.{field.name}")}"'
        children = [field for field in fields if not field.attribute]
        self.put(level, f"<{name}{attributes}{'>' if children else '/>'}")
        for field in children:
            self.member(field, content, f"{path}.{field.name}", level + 1)
        if children:
            self.put(level, f"</{name}>")

    def fields(self, structure: str, content: Mapping[str, Any], path: str) -> list[Field]:
        """The fields that an object has, in the order of the definition."""
        members = _members(structure)
        found: dict[int, Field] = {}
        for key in content:
            if key in members:
                place, field = members[key]
                found[place] = field
            elif key != "resourceType":
                _refuse(f"{path}.{key} is not defined by FHIR R4", f"{path}.{key}")
        return [found[place] for place in sorted(found)]

    def member(self, field: Field, content: Mapping[str, Any], path: str, level: int) -> None:
        """All elements of one field."""
        values = _items(content.get(field.name))
        if field.primitive:
            companions = _items(content.get("_" + field.name))
            for value, companion in zip_longest(values, companions):
                self.primitive(field, value, companion, path, level)
            return
        for value in values:
            if field.type == "Resource":
                self.put(level, f"<{field.name}>")
                self.resource(value, path, "", level + 1)
                self.put(level, f"</{field.name}>")
            else:
                self.element(field.name, field.type, value, "", path, level)

    def primitive(self, field: Field, value: Any, companion: Any, path: str, level: int) -> None:
        if field.type == "xhtml":
            self.put(level, _narrative(value, path))
            return
        attributes = "" if value is None else f' value="{self.escaped(value, path)}"'
        self.element(field.name, "Element", companion or {}, attributes, path, level)

    def escaped(self, value: Any, path: str) -> str:
        match value:
            case str() as text:
                pass
            case bool():
                text = "true" if value else "false"
            case int() | Decimal():
                text = str(value)
            case _:
                _refuse(f"{path} is not a single value", path)
        if not _SPECIAL.search(text):
            return text
        if bad := _FORBIDDEN.search(text):
            _refuse(f"{path} holds the character U+{ord(bad[0]):04X}", path)
        return text.translate(_ESCAPES)


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _narrative(value: Any, path: str) -> str:
    try:
        return read_narrative(value if isinstance(value, str) else "")
    except Refusal as refusal:
        _refuse(f"{path} is not well-formed XHTML ({refusal})", path)
