"""FHIR XML into the dict that FHIR JSON of the same resource would have given, led by the definitions.

https://hl7.org/fhir/R4/xml.html
"""

import re
from decimal import Decimal
from typing import Any, NoReturn

from fhir_server.json import MAX_DEPTH, MAX_NUMBER_LENGTH, OutOfBoundsError, number
from fhir_server.outcome import did_you_mean, refuse
from fhir_server.rest.xml_tree import FHIR, XHTML, Element, parse_tree
from profiles.definitions import Field, Structure, r4

_SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE_TYPES = frozenset({"integer", "positiveInt", "unsignedInt"})


def parse_xml(data: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The resource of a FHIR XML document in its JSON form: numbers int or Decimal with the digits they were written with.

    Elements may come in any order. Raises Refusal (400, structure or value) with line, column and path for everything
    that the definitions of R4 do not know, and as `parse_tree` does for what is no plain XML.
    """
    return _resource(parse_tree(data, max_depth=max_depth), None)


def _refuse(element: Element, diagnostics: str, path: str, code: str = "structure") -> NoReturn:
    raise refuse(code, f"{diagnostics}, at line {element.line}, column {element.column}", *([path] if path else []))


def _resource(element: Element, path: str | None) -> dict[str, Any]:
    """A resource; `path` is where it is contained, None for the document itself."""
    where = path or element.name
    _require_namespace(element, FHIR, where)
    if not r4().is_resource(element.name):
        hint = did_you_mean(element.name, r4().resource_types)
        _refuse(element, f"<{element.name}> is no resource type of FHIR R4{hint}", where)
    content: dict[str, Any] = {"resourceType": element.name}
    _fill(content, element, r4().structure(element.name), where)
    return content


def _require_namespace(element: Element, namespace: str, path: str) -> None:
    if element.namespace != namespace:
        found = f"the namespace {element.namespace}" if element.namespace else "no namespace"
        _refuse(element, f"<{element.name}> is in {found}, not in {namespace}", path)


def _fill(content: dict[str, Any], element: Element, structure: Structure, path: str) -> None:
    """Adds the attributes and children of an element to its object."""
    for name, text in _attributes(element, path):
        known = structure.fields.get(name)
        if known is None or not known.attribute:
            _refuse(element, f"<{element.name}> has no attribute '{name}'", path)
        content[name] = text
    padded: list[str] = []
    for child in element.children:
        field = _field(child, structure, path)
        if not field.repeats:
            _add_single(content, child, field, f"{path}.{field.name}")
        elif field.primitive:
            padded += [] if field.name in content else [field.name]
            _add_padded(content, child, field, path)
        else:
            items = content.setdefault(field.name, [])
            items.append(_value(child, field, f"{path}.{field.name}[{len(items)}]"))
    for name in padded:
        _drop_padding(content, name)


def _attributes(element: Element, path: str) -> list[tuple[str, str]]:
    """Names and texts of the attributes that FHIR may know; refuses those in namespaces and empty ones."""
    found = []
    for (namespace, name), text in element.attributes.items():
        if namespace == _SCHEMA_INSTANCE:
            continue  # xsi:schemaLocation is a hint for editors and says nothing about the resource
        if namespace:
            _refuse(
                element, f"<{element.name}> has an attribute '{name}' of {namespace}, which FHIR does not allow", path
            )
        if not text:
            _refuse(element, f"the attribute '{name}' of <{element.name}> is empty; leave out what has no value", path)
        found.append((name, text))
    return found


def _field(child: Element, structure: Structure, path: str) -> Field:
    field = structure.fields.get(child.name)
    if field is None or field.attribute:
        hint = did_you_mean(child.name, structure.fields)
        _refuse(child, f"unknown element <{child.name}> in {structure.name}{hint}", path)
    _require_namespace(child, XHTML if field.type == "xhtml" else FHIR, f"{path}.{child.name}")
    return field


def _add_single(content: dict[str, Any], child: Element, field: Field, path: str) -> None:
    if field.name in content or "_" + field.name in content:
        _refuse(child, f"<{child.name}> may stand only once here", path)
    if not field.primitive:
        content[field.name] = _value(child, field, path)
        return
    value, companion = _primitive(child, field, path)
    if value is not None:
        content[field.name] = value
    if companion is not None:
        content["_" + field.name] = companion


def _add_padded(content: dict[str, Any], child: Element, field: Field, path: str) -> None:
    """Adds to the two arrays of a repeating primitive, which keep step by null."""
    values, companions = content.setdefault(field.name, []), content.setdefault("_" + field.name, [])
    value, companion = _primitive(child, field, f"{path}.{field.name}[{len(values)}]")
    values.append(value)
    companions.append(companion)


def _drop_padding(content: dict[str, Any], name: str) -> None:
    """Removes the one of the two arrays that holds nothing."""
    for key in (name, "_" + name):
        if all(item is None for item in content[key]):
            del content[key]


def _value(child: Element, field: Field, path: str) -> dict[str, Any]:
    """The object of a complex element or of the resource inside it."""
    if field.type == "Resource":
        if len(child.children) != 1 or child.attributes:
            _refuse(child, f"<{child.name}> holds exactly one resource and has no attributes", path)
        return _resource(child.children[0], path)
    content: dict[str, Any] = {}
    _fill(content, child, r4().structure(field.type), path)
    if not content:
        _refuse(child, f"<{child.name}> is empty; leave out what has no value", path)
    return content


def _primitive(
    child: Element, field: Field, path: str
) -> tuple[str | int | bool | Decimal | None, dict[str, Any] | None]:
    """A primitive's value, and the object with its id and extensions; None for the one it has not."""
    if child.markup is not None:
        return child.markup, None
    text = child.attributes.pop(("", "value"), None)
    if text == "":
        _refuse(child, f"the attribute 'value' of <{child.name}> is empty; leave out what has no value", path)
    companion: dict[str, Any] = {}
    _fill(companion, child, r4().structure("Element"), path)
    if text is None and not companion:
        _refuse(child, f"<{child.name}> has neither a value nor an extension", path)
    return None if text is None else _scalar(child, field.type, text, path), companion or None


def _scalar(child: Element, type_name: str, text: str, path: str) -> str | int | bool | Decimal:
    if type_name == "boolean":
        if text not in ("true", "false"):
            _refuse(child, f"'{text[:40]}' is not true or false", path, "value")
        return text == "true"
    if type_name in _WHOLE_TYPES or type_name == "decimal":
        return _number(child, type_name, text, path)
    return text


def _number(child: Element, type_name: str, text: str, path: str) -> int | Decimal:
    """A number as JSON can carry it: no leading plus sign, no leading zeros, no white space."""
    if not (_WHOLE if type_name in _WHOLE_TYPES else _DECIMAL).fullmatch(text):
        _refuse(child, f"'{text[:40]}' is not a number of type {type_name} that JSON could carry", path, "value")
    if len(text) <= MAX_NUMBER_LENGTH and text != "-0" and _WHOLE.fullmatch(text):
        return int(text)
    try:
        return number(text)
    except OutOfBoundsError as error:
        _refuse(child, str(error), path, "value")
