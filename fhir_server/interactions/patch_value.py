"""The values of a FHIRPath Patch, and the places in a resource's JSON they go to.

https://hl7.org/fhir/R4/fhirpatch.html and https://hl7.org/fhir/R4/json.html#primitive
"""

import copy
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fhir_server.outcome import did_you_mean
from profiles.definitions import Field, Structure, UnknownStructure, r4

Pair = tuple[Any, Any]
"""The JSON value of an element and, of a primitive, the object with its id and extensions; None for what is not there."""

_WHOLE = frozenset({"integer", "positiveInt", "unsignedInt"})


def pairs(holder: Mapping[str, Any], field: Field) -> list[Pair]:
    """What a JSON object has of a field; of a repeating one all its places, padding included."""
    value, extra = holder.get(field.name), holder.get(f"_{field.name}") if field.primitive else None
    if not field.repeats:
        return [] if value is None and extra is None else [(value, extra)]
    values, extras = value or [], extra or []
    missing = len(values) - len(extras)
    return list(zip([*values, *[None] * -missing], [*extras, *[None] * missing], strict=True))


def put(holder: dict[str, Any], field: Field, content: Sequence[Pair]) -> None:
    """Writes what `pairs` reads; a property that has become empty is removed."""
    for key, column in ((field.name, [v for v, _ in content]), (f"_{field.name}", [e for _, e in content])):
        if all(one is None for one in column):
            holder.pop(key, None)
        else:
            holder[key] = column if field.repeats else column[0]


def read_value(part: Mapping[str, Any], structure: Structure, name: str) -> tuple[Field, Pair]:
    """The field of a structure for an element called `name`, and the value that a part of the patch gives it.

    The part holds a value[x], a resource, or parts of its own for an element without a type that value[x] knows; a
    choice is found by the type of the value. Raises ValueError where the value does not fit, or there is no such element.
    """
    fields = [f for f in structure.fields.values() if name in (f.name, f.element, f"{f.element}[x]")]
    if not fields:
        hint = did_you_mean(name, {f.element for f in structure.fields.values()})
        raise ValueError(f"{structure.name} has no element '{name}'{hint}")
    keys = {key.removeprefix("_") for key in part if key.removeprefix("_") not in ("name", "id", "extension")}
    if len(keys) != 1:
        raise ValueError(f"the value of {name} is one value[x], one resource, or parts; here are {len(keys)} of them")
    (key,) = keys
    match key:
        case "part":
            field = _single(fields, name)
            return field, (_composed(part[key], field), None)
        case "resource":
            field = _single(fields, name)
            return field, (_resource(part[key], field), None)
        case _:
            return _typed(part, key, fields, name)


def _single(fields: list[Field], name: str) -> Field:
    if len(fields) > 1:
        raise ValueError(f"the type of {name} is not clear; name it as one of {', '.join(f.name for f in fields[:6])}")
    return fields[0]


def _resource(value: Any, field: Field) -> dict[str, Any]:
    kind = str(value.get("resourceType")) if isinstance(value, dict) else ""
    if field.type != "Resource" or not r4().is_resource(kind):
        raise ValueError(f"{field.path} is a {field.type}; it cannot be the resource given")
    return dict(copy.deepcopy(value))


def _composed(parts: Any, field: Field) -> dict[str, Any]:
    """The object that nested parts describe, each an element of the field's type."""
    try:
        structure = r4().structure(field.type)
    except UnknownStructure as error:
        raise ValueError(str(error)) from None
    if structure.kind not in ("backbone", "complex-type") or not isinstance(parts, list) or not parts:
        raise ValueError(f"{field.path} is a {field.type}, which is not made of parts")
    made: dict[str, Any] = {}
    for part in parts:
        name = str(part.get("name", "")) if isinstance(part, dict) else ""
        if not name:
            raise ValueError(f"a part of {field.path} has no name")
        inner, value = read_value(part, structure, name)
        before = pairs(made, inner)
        if before and not inner.repeats:
            raise ValueError(f"{inner.path} is given twice")
        put(made, inner, [*before, value])
    return made


def _typed(part: Mapping[str, Any], key: str, fields: list[Field], name: str) -> tuple[Field, Pair]:
    """A value[x] for the field of its type, or the only field if it is near enough."""
    given = r4().structure("Parameters.parameter").fields.get(key)
    if given is None or given.element != "value":
        raise ValueError(f"{key} is no value[x]")
    value, extra = copy.deepcopy(part.get(key)), copy.deepcopy(part.get(f"_{key}"))
    if value in (None, {}) and not extra:
        raise ValueError(f"the value of {name} is empty")
    if extra is not None and type(extra) is not dict:
        raise ValueError(f"_{key} is no object with an id or extensions")
    exact = [field for field in fields if field.type == given.type]
    near = exact or [field for field in fields if len(fields) == 1 and _near(given, field, value)]
    if not near:
        wanted = ", ".join(sorted({field.type for field in fields})[:6])
        raise ValueError(f"{name} is a {wanted}, not a {given.type}")
    field = near[0]
    if value is not None and not _has_form(value, field):
        raise ValueError(f"{value!r} is no {field.type}")
    return field, (value, extra)


def _near(given: Field, field: Field, value: Any) -> bool:
    """Whether a value of another type will do: any primitive of the same JSON form, and any quantity for another."""
    if given.primitive and field.primitive:
        return value is None or _has_form(value, field)
    return _is_quantity(given.type) and _is_quantity(field.type)


def _is_quantity(name: str) -> bool:
    return name == "Quantity" or _base(name) == "Quantity"


def _base(name: str) -> str | None:
    try:
        return r4().structure(name).base
    except UnknownStructure:
        return None


def _has_form(value: Any, field: Field) -> bool:
    """Whether a JSON value has the JSON form of a field's type; the rest is for validation."""
    match value:
        case bool():
            return field.type == "boolean"
        case int():
            return field.type in _WHOLE or field.type == "decimal"
        case Decimal():
            return field.type == "decimal"
        case str():
            return field.primitive and field.type not in _WHOLE | {"boolean", "decimal"}
        case dict():
            return not field.primitive
        case _:
            return False
