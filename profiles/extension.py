"""Extensions in a resource: where they are, and whether they may stand there.

https://hl7.org/fhir/R4/extensibility.html and https://hl7.org/fhir/R4/defining-extensions.html#context
"""

import functools
from collections.abc import Iterator
from typing import Any

from profiles.fhirpath.element import Element, members
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.expression import compile_expression
from profiles.fhirpath.model import Shape

_NAMES = frozenset({"extension", "modifierExtension"})
_CONTAINERS = frozenset({dict, list})
# An extension of an element is defined by itself; these, inside it, by the extension they stand in.
_ABSOLUTE = ("http:", "https:", "urn:")


def with_extensions(element: Element) -> Iterator[Element]:
    """Every extension at any depth whose url is absolute, in the order of the JSON."""
    holder = element.extra if element.shape.primitive else element.value
    if type(holder) is not dict:
        return
    names = _elements(element.shape)
    for name in dict.fromkeys(
        names.get(key, key.removeprefix("_")) for key, value in holder.items() if _leads(key, value)
    ):
        for child in members(element, name):
            if name in _NAMES and str(child.value.get("url", "")).startswith(_ABSOLUTE):
                yield child
            yield from with_extensions(child)


def _leads(key: str, value: Any) -> bool:
    return key in _NAMES or (type(value) in _CONTAINERS and _has_extension(value))


@functools.cache
def _elements(kind: Shape) -> dict[str, str]:
    """The element of each JSON property of a type: value for valueQuantity and for _valueString."""
    return {
        key: name for name, places in kind.elements.items() for place in places for key in (place.name, place.sibling)
    }


def _has_extension(value: Any) -> bool:
    """Whether there is an extension somewhere in a JSON object or array: most have none, and need not be walked."""
    if type(value) is dict:
        if "extension" in value or "modifierExtension" in value:
            return True
        value = value.values()
    for one in value:  # noqa: SIM110 - any() takes twice as long, and this is asked of every object of every resource
        if type(one) in _CONTAINERS and _has_extension(one):
            return True
    return False


def misplaced(extension: Element, contexts: tuple[tuple[str, str], ...]) -> bool:
    """Whether an extension stands where none of its contexts allows it; without contexts it may stand anywhere."""
    return bool(contexts) and not any(_fits(extension, kind, expression) for kind, expression in contexts)


def fits(extension: Element, invariant: str) -> bool:
    """Whether a context invariant is true of the element that an extension stands in; one that is none is."""
    if extension.parent is None:
        return True
    try:
        return compile_expression(invariant).holds(extension.parent, variables={"extension": extension})
    except FhirPathError:
        return True


def _fits(extension: Element, kind: str, expression: str) -> bool:
    holder = extension.parent
    if holder is None:
        return True
    match kind:
        case "element":
            name = expression.rpartition("/")[2]
            return name == holder.shape.name or name in holder.shape.ancestry or name in _names(holder)
        case "extension":
            return isinstance(holder.value, dict) and holder.value.get("url") == expression.partition("#")[0]
        case _:
            return _selected(holder, expression)


def _names(holder: Element) -> set[str]:
    """What an element context may call an element: the names of its types, and its paths from the types around it."""
    names = {*holder.shape.ancestry, holder.shape.name}
    around, steps = holder, ""
    while around.parent is not None:
        around, steps = around.parent, f".{_step(around)}{steps}"
        names |= {f"{kind}{steps}" for kind in around.shape.ancestry}
    return names


def _step(element: Element) -> str:
    parent = element.parent
    kinds = parent.shape.elements.items() if parent is not None else ()
    found = next((name for name, places in kinds if any(place.name == element.name for place in places)), element.name)
    choice = parent is not None and len(parent.shape.elements.get(found, ())) > 1
    return f"{found}[x]" if choice else found


def _selected(holder: Element, expression: str) -> bool:
    """Whether a FHIRPath context, from the resource, leads to the element."""
    try:
        found = compile_expression(expression).items(holder.resource())
    except FhirPathError:
        return True
    return any(isinstance(item, Element) and item.location() == holder.location() for item in found)
