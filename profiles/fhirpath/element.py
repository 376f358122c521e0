"""The elements of a resource as an expression meets them: a value, its type, and where it stands.

https://hl7.org/fhir/R4/fhirpath.html#1.4.2 and https://hl7.org/fhirpath/N1/#path-selection
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profiles.fhirpath.model import Property, Shape, shape
from profiles.fhirpath.quantity import Quantity
from profiles.fhirpath.temporal import Temporal

Location = tuple[str | int, ...]
"""JSON keys and array indexes from the root: ("name", 0, "given", 1); of a primitive, those of its value."""


class Element:
    """One element: `value` is its JSON (None where a primitive has only extensions), `extra` its id and extensions.

    `parent`, `name` and `index` (-1 outside arrays) say where it stands. Elements are made while an expression walks, so
    this is a plain class with slots: a frozen dataclass takes three times as long to make.
    """

    __slots__ = ("extra", "index", "name", "parent", "shape", "value")

    def __init__(
        self,
        value: Any,
        kind: Shape,
        extra: Any = None,
        parent: "Element | None" = None,
        name: str = "",
        index: int = -1,
    ) -> None:
        self.value = value
        self.shape = kind
        self.extra = extra
        self.parent = parent
        self.name = name
        self.index = index

    def __repr__(self) -> str:
        return f"Element({self.shape.name}, {self.path()})"

    def location(self) -> Location:
        """The JSON keys and indexes that lead here from the root."""
        if self.parent is None:
            return ()
        step: Location = (self.name,) if self.index < 0 else (self.name, self.index)
        return self.parent.location() + step

    def path(self) -> str:
        """The FHIRPath that leads here: Patient.name[0].given[1]."""
        if self.parent is None:
            return self.shape.name
        step = f"{self.parent.path()}.{_element_name(self.parent.shape, self.name)}"
        return f"{step}[{self.index}]" if self.index >= 0 else step

    def resource(self) -> "Element":
        """The nearest resource around this element, itself included; the root where there is none."""
        here = self
        while here.parent is not None and here.shape.kind != "resource":
            here = here.parent
        return here


def _element_name(kind: Shape, name: str) -> str:
    """The element that a JSON property belongs to: value for valueQuantity."""
    return name if name in kind.elements else _names(kind).get(name, name)


@functools.lru_cache(maxsize=1024)
def _names(kind: Shape) -> dict[str, str]:
    return {place.name: name for name, places in kind.elements.items() for place in places}


@dataclass(frozen=True, slots=True)
class TypeName:
    """What type() tells: the namespace System or FHIR, and the name."""

    namespace: str
    name: str


def root(resource: dict[str, Any], type_name: str | None = None) -> Element:
    """A resource as element; with `type_name` a value of a data type."""
    return Element(resource, shape(type_name or str(resource.get("resourceType", "Resource"))))


def members(element: Element, name: str) -> list[Element]:
    """The elements of this name below one; a choice by its common name (value). Null padding is left out."""
    kind = element.shape
    properties = kind.elements.get(name)
    found: list[Element] = []
    if properties is not None:
        holder = element.extra if kind.kind == "primitive-type" else element.value
        if type(holder) is dict:
            for place in properties:
                if place.name in holder or (place.primitive and place.sibling in holder):
                    _collect(element, holder, place, found)
    elif not kind.known and type(element.value) is dict and name != "resourceType":
        _collect(element, element.value, guess(element.value, name), found)
    return found


def _collect(parent: Element, holder: dict[str, Any], place: Property, found: list[Element]) -> None:
    name, value = place.name, holder.get(place.name)
    extra = holder.get(place.sibling) if place.primitive else None
    kind = None if place.type == "Resource" else shape(place.type)
    if type(value) is not list and type(extra) is not list:
        if value is not None or extra is not None:
            found.append(Element(value, kind or _shape_of(value), extra, parent, name))
    elif extra is None:
        found += [
            Element(one, kind or _shape_of(one), None, parent, name, index)
            for index, one in enumerate(value or ())
            if one is not None
        ]
    else:
        values: list[Any] = value if type(value) is list else []
        extras: list[Any] = extra if type(extra) is list else []
        for index, (one, more) in enumerate(itertools.zip_longest(values, extras)):
            if one is not None or more is not None:
                found.append(Element(one, kind or _shape_of(one), more, parent, name, index))


def _shape_of(value: Any) -> Shape:
    """The type of a resource, which it says itself."""
    return shape(str(value.get("resourceType", "Resource")) if type(value) is dict else "Resource")


def guess(holder: dict[str, Any], name: str) -> Property:
    """The property of a type R4 does not define, as its JSON looks."""
    value = holder.get(name, holder.get(f"_{name}"))
    sample = value[0] if type(value) is list and value else value
    match sample:
        case bool():
            kind = "boolean"
        case int():
            kind = "integer"
        case Decimal():
            kind = "decimal"
        case dict() if name in holder:
            kind = "Resource" if "resourceType" in sample else "Element?"
        case _:
            kind = "string"
    return Property(name, f"_{name}", kind, kind[0].islower(), repeats=type(value) is list)


def children(element: Element) -> Iterator[Element]:
    """All elements directly below one, in the order of its definition."""
    if element.shape.known:
        for name in element.shape.elements:
            yield from members(element, name)
    elif type(element.value) is dict:
        for name in dict.fromkeys(key.removeprefix("_") for key in element.value):
            yield from members(element, name)


def plain(item: Any) -> Any:
    """The System value an item stands for in a calculation; an element of a complex type is returned as it is."""
    if type(item) is not Element:
        return item
    kind = item.shape.kind
    if kind == "primitive-type":
        value = item.value  # none, or by mistake no scalar: then it is only an element
        return item if value is None or type(value) in (dict, list) else _primitive(value, item.shape.name)
    if kind == "complex-type" and "Quantity" in item.shape.ancestry:
        return _quantity(item.value) or item
    return item


def _primitive(value: Any, type_name: str) -> Any:
    match type_name:
        case "date":
            return Temporal.parse(value, "Date") or value if type(value) is str else value
        case "dateTime" | "instant":
            return Temporal.parse(value, "DateTime") or value if type(value) is str else value
        case "time":
            return Temporal.parse(value, "Time") or value if type(value) is str else value
        case "decimal":
            return Decimal(value) if type(value) is int else value
        case _:
            return value


def _quantity(value: Any) -> Quantity | None:
    """A FHIR Quantity as System.Quantity; None where it has no number."""
    number = value.get("value") if type(value) is dict else None
    if type(number) is bool or not isinstance(number, int | Decimal):
        return None
    if value.get("system") == "http://unitsofmeasure.org" or "unit" not in value:
        unit = value.get("code")
    else:
        unit = value["unit"]
    return Quantity(Decimal(number), str(unit) if unit is not None else "1")


def type_name(item: Any) -> TypeName:
    """The type of an item; a backbone element is a FHIR.BackboneElement."""
    match item:
        case Element():
            return TypeName("FHIR", _public_name(item.shape))
        case bool():
            return TypeName("System", "Boolean")
        case int():
            return TypeName("System", "Integer")
        case Decimal():
            return TypeName("System", "Decimal")
        case str():
            return TypeName("System", "String")
        case Temporal():
            return TypeName("System", item.kind)
        case Quantity():
            return TypeName("System", "Quantity")
        case _:
            return TypeName("System", "Any")


def _public_name(kind: Shape) -> str:
    if kind.kind != "backbone":
        return kind.name
    return "BackboneElement" if "BackboneElement" in kind.ancestry else "Element"


def is_of(item: Any, namespace: str, name: str) -> bool:
    """Whether an item is of a type or one that descends from it (is); without namespace, of either."""
    if type(item) is Element:
        return namespace != "System" and name in item.shape.ancestry
    return namespace != "FHIR" and type_name(item).name == name


def is_just(item: Any, namespace: str, name: str) -> bool:
    """Whether an item is of a type as ofType and as mean it: of a primitive type itself, not of one that descends from it."""
    if type(item) is Element and item.shape.kind == "primitive-type":
        return namespace != "System" and name == item.shape.name
    return is_of(item, namespace, name)
