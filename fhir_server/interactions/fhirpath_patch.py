"""FHIRPath Patch: operations on the elements that expressions find, all or none.

https://hl7.org/fhir/R4/fhirpatch.html
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.interactions.json_patch import MAX_OPERATIONS, keep_identity
from fhir_server.interactions.patch_value import Pair, pairs, put, read_value
from fhir_server.outcome import Refusal, did_you_mean, refuse
from profiles.definitions import Field, Structure, UnknownStructure, r4
from profiles.fhirpath import CLIENT_STEPS, Element, Expression, FhirPathError, compile_expression

_PARTS = ("type", "path", "name", "value", "index", "source", "destination")
_NEEDED = {
    "add": ("path", "name", "value"), "insert": ("path", "index", "value"), "delete": ("path",),
    "replace": ("path", "value"), "move": ("path", "source", "destination"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the patch: its index from 0, its type, and its parts by name."""

    index: int
    type: str
    path: str
    parts: Mapping[str, Mapping[str, Any]]

    def refusal(self, reason: str, code: str = "processing", *, status: int = 422) -> Refusal:
        """The refusal of this operation, saying which it is and at which path."""
        return refuse(code, f"operation [{self.index}] ({self.type} {self.path}): {reason}", self.path, status=status)

    def integer(self, name: str) -> int:
        """An integer part: index, source or destination."""
        part = self.parts[name]
        for key in ("valueInteger", "valueUnsignedInt", "valuePositiveInt"):
            if type(part.get(key)) is int:
                return int(part[key])
        raise self.refusal(f"{name} is no valueInteger", "structure", status=400)

    def structure(self, element: Element) -> Structure:
        """What the definitions say of the type of an element."""
        try:
            return r4().structure(element.shape.name)
        except UnknownStructure as error:
            raise self.refusal(str(error)) from None

    def value(self, parent: Element, name: str) -> tuple[Field, Pair]:
        """The field of `parent` that the value of this operation belongs in, as an element called `name`, and the value."""
        try:
            return read_value(self.parts["value"], self.structure(parent), name)
        except ValueError as error:
            raise self.refusal(str(error)) from None


def apply(resource: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The resource after all operations of a FHIRPath Patch, as a new dict; neither argument is changed.

    Raises Refusal: 400 for Parameters that are no patch and paths that are no FHIRPath for this type, 413 for too many
    operations, 422 for one that does not fit this resource, and for a change of id.
    """
    patched = copy.deepcopy(resource)
    for operation in _operations(parameters):
        _APPLY[operation.type](patched, operation)
    keep_identity(resource, patched)
    return patched


def _operations(parameters: Mapping[str, Any]) -> list[Operation]:
    if parameters.get("resourceType") != "Parameters":
        raise refuse("structure", "a FHIRPath Patch is a Parameters resource")
    given = parameters.get("parameter", [])
    if not isinstance(given, list) or any(not isinstance(one, dict) for one in given):
        raise refuse("structure", "Parameters.parameter is no array of objects", "Parameters.parameter")
    if len(given) > MAX_OPERATIONS:
        raise refuse("too-long", f"the patch has {len(given)} operations; at most {MAX_OPERATIONS} are taken")
    return [_operation(index, parameter) for index, parameter in enumerate(given)]


def _operation(index: int, parameter: Mapping[str, Any]) -> Operation:
    """One parameter named operation with its parts; raises Refusal (400) for anything else."""
    where = f"Parameters.parameter[{index}]"
    if parameter.get("name") != "operation":
        raise refuse("structure", f"{where} has the name {parameter.get('name')!r}, not 'operation'", where)
    parts: dict[str, Mapping[str, Any]] = {}
    given = parameter.get("part", [])
    for part in given if isinstance(given, list) else [given]:
        name = part.get("name") if isinstance(part, dict) else None
        if name not in _PARTS:
            raise refuse("structure", f"{where} has a part {name!r}{did_you_mean(str(name), _PARTS)}", where)
        if name in parts:
            raise refuse("structure", f"{where} has its part '{name}' twice", where)
        parts[name] = part
    kind = _text(parts.get("type", {}), "valueCode")
    if kind not in _NEEDED:
        raise refuse("structure", f"{where} has the type {kind!r}, which is none of {', '.join(_NEEDED)}", where)
    for name in _NEEDED[kind]:
        if name not in parts:
            raise refuse("required", f"{where} ({kind}) lacks its part '{name}'", where)
    path = _text(parts["path"], "valueString")
    if path is None:
        raise refuse("structure", f"{where} has a path that is no valueString", where)
    return Operation(index, kind, path, parts)


def _text(part: Mapping[str, Any], key: str) -> str | None:
    """The text of a part, a string where a code is asked for and the other way round too."""
    value = part.get(key, part.get("valueString", part.get("valueCode")))
    return value if isinstance(value, str) else None


def _compiled(resource: Mapping[str, Any], operation: Operation) -> Expression:
    try:
        return compile_expression(operation.path, on=str(resource["resourceType"]), strict=True)
    except FhirPathError as error:
        raise operation.refusal(error.message, "invalid", status=400) from None


def _elements(resource: dict[str, Any], operation: Operation, expression: Expression) -> list[Element]:
    """The elements of the resource that an expression leads to."""
    try:
        items = expression.items(resource, limit=CLIENT_STEPS)
    except FhirPathError as error:
        raise operation.refusal(error.message) from None
    if any(not isinstance(item, Element) for item in items):
        raise operation.refusal("the path leads to a value, not to an element of the resource")
    return items


def _only(resource: dict[str, Any], operation: Operation, expression: Expression) -> Element:
    elements = _elements(resource, operation, expression)
    if len(elements) != 1:
        raise operation.refusal(f"the path leads to {len(elements) or 'no'} elements, not to one")
    return elements[0]


def _list(resource: dict[str, Any], operation: Operation) -> tuple[Element, str]:
    """The element around the list that a path leads to, and the name of the list, which may be empty."""
    parent = _compiled(resource, operation).parent()
    if parent is None:
        raise operation.refusal("the path does not end in the name of a list", "invalid", status=400)
    return _only(resource, operation, parent[0]), parent[1]


def _field(element: Element, operation: Operation) -> tuple[Element, Field]:
    """The parent of an element and its field there; the resource itself has none."""
    if element.parent is None:
        raise operation.refusal("a patch changes elements of the resource, not the resource as a whole")
    field = operation.structure(element.parent).fields.get(element.name)
    if field is None:
        raise operation.refusal(f"R4 defines no element '{element.name}' here")
    return element.parent, field


def _holder(element: Element, operation: Operation) -> dict[str, Any]:
    """The JSON object with what is below an element; of a primitive the one for its extensions, made if need be."""
    if element.shape.primitive and element.extra is None:
        element.extra = {}
        parent, field = _field(element, operation)
        _set(parent, field, element.index, (element.value, element.extra), operation)
    holder = element.extra if element.shape.primitive else element.value
    if not isinstance(holder, dict):
        raise operation.refusal(f"{element.path()} is no JSON object")
    return holder


def _set(parent: Element, field: Field, index: int, value: Pair | None, operation: Operation) -> None:
    """Writes one element below another, None to remove it."""
    holder = _holder(parent, operation)
    content = pairs(holder, field)
    at = max(index, 0)
    content[at : at + 1] = [] if value is None else [value]
    put(holder, field, content)


def _add(resource: dict[str, Any], operation: Operation) -> None:
    parent = _only(resource, operation, _compiled(resource, operation))
    name = _text(operation.parts["name"], "valueString")
    if not name:
        raise operation.refusal("the name of the element to add is no valueString", "structure", status=400)
    field, value = operation.value(parent, name)
    holder = _holder(parent, operation)
    if not field.repeats:
        for other in operation.structure(parent).fields.values():
            if other.element == field.element and pairs(holder, other):
                raise operation.refusal(f"{parent.path()}.{other.name} is there already; replace it instead")
    put(holder, field, [*pairs(holder, field), value])


def _insert(resource: dict[str, Any], operation: Operation) -> None:
    parent, name = _list(resource, operation)
    field, value = operation.value(parent, name)
    if not field.repeats:
        raise operation.refusal(f"{field.path} is no list; add to {parent.path()} instead")
    holder = _holder(parent, operation)
    content, index = pairs(holder, field), operation.integer("index")
    if not 0 <= index <= len(content):
        raise operation.refusal(f"the index {index} is not between 0 and {len(content)}, the length of the list")
    put(holder, field, [*content[:index], value, *content[index:]])


def _delete(resource: dict[str, Any], operation: Operation) -> None:
    elements = _elements(resource, operation, _compiled(resource, operation))
    if len(elements) > 1:
        raise operation.refusal(f"the path leads to {len(elements)} elements; one at a time can be deleted")
    for element in elements:
        _remove(element, operation)


def _remove(element: Element, operation: Operation) -> None:
    """Removes an element, and what is left empty around it."""
    parent, field = _field(element, operation)
    _set(parent, field, element.index, None, operation)
    if parent.parent is None or _holder(parent, operation):
        return
    if parent.shape.primitive and parent.value is not None:
        _set(*_field(parent, operation), parent.index, (parent.value, None), operation)
    else:
        _remove(parent, operation)


def _replace(resource: dict[str, Any], operation: Operation) -> None:
    element = _only(resource, operation, _compiled(resource, operation))
    parent, before = _field(element, operation)
    field, value = operation.value(parent, before.element)
    if field is before:
        _set(parent, field, element.index, value, operation)
        return
    # A choice changes its type: the new property takes the place of the old one among the members.
    holder = _holder(parent, operation)
    members = list(holder.items())
    holder.clear()
    for key, member in members:
        if key.removeprefix("_") != before.name:
            holder[key] = member
        else:
            put(holder, field, [value])


def _move(resource: dict[str, Any], operation: Operation) -> None:
    parent, name = _list(resource, operation)
    field = next((f for f in operation.structure(parent).fields.values() if f.name == name and f.repeats), None)
    if field is None:
        raise operation.refusal(f"{operation.path} is no list")
    holder = _holder(parent, operation)
    content = pairs(holder, field)
    source, destination = operation.integer("source"), operation.integer("destination")
    for index in (source, destination):
        if not 0 <= index < len(content):
            raise operation.refusal(f"the index {index} is outside the list, which has {len(content)} elements")
    content.insert(destination, content.pop(source))
    put(holder, field, content)


_APPLY: dict[str, Callable[[dict[str, Any], Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
