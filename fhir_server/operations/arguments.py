"""What an operation is called with: read from a Parameters resource, a bare resource and the URL, and compared with its definition.

https://hl7.org/fhir/R4/operations.html#request and https://hl7.org/fhir/R4/parameters.html
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fhir_server.json import OutOfBoundsError, number
from fhir_server.operations.operation import ANY_NAME, ANY_RESOURCE, Argument, Operation, Parameter, Resource
from fhir_server.outcome import did_you_mean, refuse
from profiles.definitions import r4
from profiles.primitive import PRIMITIVES, fault

Pairs = Iterable[tuple[str, str]]
SHAPING = frozenset(("_format", "_pretty", "_summary", "_elements"))  # of the answer, not of the call
ANYTHING = frozenset(("Any", "Element", "*"))
LONGEST = 80
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# Types whose values look alike: who names another one of the family is understood all the same.
FAMILIES = (
    frozenset(("string", "code", "id", "markdown")),
    frozenset(("uri", "url", "canonical", "oid", "uuid", "string")),
)


def arguments_of(operation: Operation, body: Resource | None, pairs: Pairs, target: str = "") -> tuple[Argument, ...]:
    """The arguments of a call at the type `target`, those of the body first.

    Raises Refusal (400) for a name that the operation does not know, a value of another type, too many or too few.
    """
    known = operation.parameters
    found = [*_of_body(operation, known, body, target), *_of_url(known, pairs)]
    _check_counts(known, found, "")
    return tuple(found)


def _of_body(operation: Operation, known: Sequence[Parameter], body: Resource | None, target: str) -> list[Argument]:
    if body is None:
        return []
    bare = [one for one in known if one.resource]
    stated = body.get("resourceType")
    if stated == "Parameters" and not (target == stated and _is_subject(bare, body)):
        return _listed(known, body.get("parameter", []), "Parameters.parameter")
    if len(bare) != 1:
        text = f"${operation.code} takes a Parameters resource, this is {str(stated)[:LONGEST]}"
        raise refuse("invalid", text, "resourceType")
    return [Argument(bare[0].name, _fitting_type(bare[0], stated, "resourceType"), body)]


def _is_subject(bare: Sequence[Parameter], body: Resource) -> bool:
    """Whether a Parameters resource sent to the type Parameters is itself what the operation is about."""
    listed = body.get("parameter")
    names = {one.get("name") for one in listed if isinstance(one, dict)} if isinstance(listed, list) else set()
    return len(bare) == 1 and bare[0].name not in names


def _listed(known: Sequence[Parameter], listed: Any, place: str) -> list[Argument]:
    if not isinstance(listed, list):
        raise refuse("structure", f"{place} is an array", place)
    return [_argument(known, one, f"{place}[{n}]") for n, one in enumerate(listed)]


def _argument(known: Sequence[Parameter], given: Any, place: str) -> Argument:
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str):
        raise refuse("required", f"{place} has no name", f"{place}.name")
    definition = _named(known, name, place)
    keys = [key for key in given if key in value_types() or key in ("resource", "part")]
    if len(keys) != 1:
        raise refuse("structure", f"the parameter {name} has one of value[x], resource and part", place)
    (key,) = keys
    if key == "part":
        if definition.type is not None:
            raise refuse("structure", f"the parameter {name} has no parts, it is of type {definition.type}", place)
        return Argument(name, "", None, tuple(_parts(definition, given["part"], f"{place}.part")))
    if key == "resource":
        value = given["resource"]
        stated = value.get("resourceType") if isinstance(value, dict) else None
        return Argument(name, _fitting_type(definition, stated, f"{place}.resource"), value)
    kind = value_types()[key]
    return Argument(name, _checked(definition, kind, given[key], f"{place}.value"), given[key])


def _parts(definition: Parameter, listed: Any, place: str) -> list[Argument]:
    known = definition.parts
    if isinstance(listed, list) and any(one.name == ANY_NAME for one in known):
        known = tuple(Parameter(str(one.get("name")), 0, None, "Any") for one in listed if isinstance(one, dict))
    found = _listed(known, listed, place)
    _check_counts(known, found, f"{definition.name}.")
    return found


def _named(known: Sequence[Parameter], name: str, place: str) -> Parameter:
    found = next((one for one in known if one.name == name), None)
    if found is None:
        names = [one.name for one in known]
        offer = f"; there are {', '.join(names)}" if names else "; there are none"
        hint = did_you_mean(name[:LONGEST], names) or offer
        raise refuse("not-supported", f"unknown parameter '{name[:LONGEST]}'{hint}", place)
    return found


def _fitting_type(definition: Parameter, stated: Any, place: str) -> str:
    """The type of a resource, where it is one that the parameter takes."""
    if not isinstance(stated, str):
        raise refuse("structure", f"the parameter {definition.name} is no resource: it has no resourceType", place)
    if definition.type not in (*ANYTHING, *ANY_RESOURCE, stated):
        raise _other(definition, stated[:LONGEST], place)
    return stated


def _checked(definition: Parameter, kind: str, value: Any, place: str) -> str:
    """The type of a value, where it is one that the parameter takes and the value is one of it."""
    wanted = definition.type
    if wanted in ANYTHING:
        wanted = kind
    if wanted is None or not (kind == wanted or any({kind, wanted} <= family for family in FAMILIES)):
        raise _other(definition, kind, place)
    primitive = PRIMITIVES.get(wanted)
    text = fault(primitive, value) if primitive is not None else None
    if text is not None:
        raise refuse("value", f"{definition.name}: {text}", place)
    if primitive is None and not isinstance(value, dict):
        raise refuse("structure", f"{definition.name} is an object", place)
    return kind


def _other(definition: Parameter, given: str, place: str) -> Exception:
    wanted = definition.type or "no value, but parts"
    return refuse("value", f"the parameter {definition.name} is of type {wanted}; this is {given}", place)


def _of_url(known: Sequence[Parameter], pairs: Pairs) -> list[Argument]:
    found = []
    for name, text in pairs:
        if name not in SHAPING:
            definition = _named(known, name, name[:LONGEST])
            if not definition.primitive or definition.type is None:
                raise refuse("invalid", f"{name} cannot be given in the URL; POST a Parameters resource", name)
            value = _value(definition.type, text)
            _checked(definition, definition.type, value, name)
            found.append(Argument(name, definition.type, value))
    return found


def _value(kind: str, text: str) -> Any:
    """A value as JSON, where the text in the URL is one; else the text itself, which is found at fault."""
    match PRIMITIVES[kind].kind:
        case type() as wanted if wanted is bool:
            return {"true": True, "false": False}.get(text, text)
        case type() as wanted if wanted is int:
            return int(text) if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 12 else text
        case type() as wanted if wanted is Decimal:
            try:
                return number(text) if JSON_NUMBER.fullmatch(text) else text
            except OutOfBoundsError:
                return text
        case _:
            return text


def _check_counts(known: Sequence[Parameter], found: Sequence[Argument], place: str) -> None:
    counts = Counter(one.name for one in found)
    for one in known:
        if counts[one.name] < one.min:
            raise refuse("required", f"the parameter {place}{one.name} is missing", one.name)
        if one.max is not None and counts[one.name] > one.max:
            times = "once" if one.max == 1 else f"{one.max} times"
            raise refuse("invalid", f"the parameter {place}{one.name} is given more than {times}", one.name)


@functools.cache
def value_types() -> Mapping[str, str]:
    """The types of value[x] in a Parameters resource, by their JSON properties."""
    fields = r4().structure("Parameters.parameter").fields.values()
    return {one.name: one.type for one in fields if one.element == "value"}
