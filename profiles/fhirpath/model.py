"""FHIR's types as FHIRPath walks them: which elements a type has, where they stand in JSON, what a type descends from.

https://hl7.org/fhir/R4/fhirpath.html#types and https://hl7.org/fhirpath/N1/#types-and-reflection
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from profiles.definitions import Field, UnknownStructure, r4

SYSTEM_TYPES = frozenset({"Any", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"})
# Types that exist by name only: what every type descends from, and profiles of Quantity that expressions name like types.
_NAMED_ONLY = frozenset({"SimpleQuantity", "MoneyQuantity"})


@dataclass(frozen=True, slots=True)
class Property:
    """Where one JSON property of a type leads: its name, the name of its sibling with an underscore, and its type."""

    name: str
    sibling: str
    type: str
    primitive: bool
    repeats: bool


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A type: its name, the types it descends from (itself among them), its elements by name, in order.

    A choice is one element with a property for each type. `known` is false for a type that R4 does not define, whose
    elements are whatever its JSON holds.
    """

    name: str
    ancestry: frozenset[str]
    elements: Mapping[str, tuple[Property, ...]]
    kind: str
    known: bool = True

    @property
    def primitive(self) -> bool:
        return self.kind == "primitive-type"


_SHAPES: dict[str, Shape] = {}


def shape(name: str) -> Shape:
    """The type of this name: a resource type, data type, or backbone by its path; an unknown one has no elements."""
    return _SHAPES.get(name) or _shape(name)


def _shape(name: str) -> Shape:
    made = _make(name)
    if made.known:  # what a client may invent is not kept
        _SHAPES[name] = made
    return made


def _make(name: str) -> Shape:
    try:
        structure = r4().structure(name)
    except UnknownStructure:
        return Shape(name, frozenset({name}), {}, "unknown", known=False)
    elements: dict[str, tuple[Property, ...]] = {}
    if structure.kind == "primitive-type":
        fields = [field for field in structure.fields.values() if field.name != "value"]
    else:
        fields = list(structure.fields.values())
    for field in fields:
        elements[field.element] = (*elements.get(field.element, ()), _property(field))
    return Shape(name, _ancestry(name), elements, structure.kind)


def _property(field: Field) -> Property:
    return Property(field.name, f"_{field.name}", field.type, field.primitive, field.repeats)


def _ancestry(name: str) -> frozenset[str]:
    found: list[str] = []
    current: str | None = name
    while current is not None:
        found.append(current)
        current = r4().structure(current).base
    return frozenset(found)


@functools.lru_cache(maxsize=1024)
def is_type(name: str) -> bool:
    """Whether FHIR has a type of this name (not a backbone, which has no name in an expression)."""
    if name in _NAMED_ONLY:
        return True
    return "." not in name and shape(name).known
