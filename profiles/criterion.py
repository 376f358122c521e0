"""Whether an item is of a slice: criteria as closures over elements, with three answers, as a reference may lead nowhere.

https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from profiles.definitions import r4
from profiles.fhirpath.element import Element, members
from profiles.reference import named_type
from profiles.slicing import (
    Bound,
    Child,
    Conforming,
    Criterion,
    Demand,
    Extension,
    Fixed,
    OfType,
    Pattern,
    Present,
    Resolve,
    Step,
    Typed,
)
from profiles.target import target
from profiles.value_set import Bounds, Code

Answer = bool | None
"""None: it cannot be told, because what a reference leads to, or what a value set holds, is not at hand."""
Match = Callable[[Element], Answer]
Codes = Callable[[str], frozenset[Code] | None]
Conforms = Callable[[Element, tuple[str, ...]], Answer]

_CODED = frozenset({"code", "Coding", "CodeableConcept", "string", "uri"})
_ABSTRACT = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})


def equals(value: Any, fixed: Any) -> bool:
    """Whether a JSON value is exactly another; true is not 1, and 1.0 is 1.00."""
    if isinstance(fixed, str):
        return isinstance(value, str) and value == fixed
    if isinstance(value, bool) or isinstance(fixed, bool):
        return value is fixed
    if isinstance(fixed, dict):
        return (
            isinstance(value, dict)
            and value.keys() == fixed.keys()
            and all(equals(value[key], fixed[key]) for key in fixed)
        )
    if isinstance(fixed, list):
        return isinstance(value, list) and len(value) == len(fixed) and all(map(equals, value, fixed))
    return isinstance(value, int | Decimal) and bool(value == fixed)


def has_pattern(value: Any, pattern: Any) -> bool:
    """Whether a JSON value has at least what a pattern has: its members, and for each item of an array one that has it."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and has_pattern(value[key], pattern[key]) for key in pattern
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(has_pattern(one, wanted) for one in value) for wanted in pattern)
    return equals(value, pattern)


def is_one_of(element: Element, names: Collection[str]) -> bool:
    """Whether an element is of one of some types; a code is no string here, but every resource is a Resource."""
    kind = element.shape
    return kind.name in names or (
        kind.kind != "primitive-type" and any(name in kind.ancestry for name in names if name in _ABSTRACT)
    )


def is_coded(element: Element) -> bool:
    """Whether an element is of a type that has codes, as a binding of a choice means nothing for its other types."""
    kind = element.shape
    return kind.name in _CODED or "Quantity" in kind.ancestry or not kind.known


def codes_of(value: Any) -> list[tuple[str | None, str]]:
    """The (system, code) of a code, Coding, Quantity or CodeableConcept; a bare code has no system."""
    match value:
        case str():
            return [(None, value)]
        case {"coding": list() as codings}:
            return [(one.get("system"), one["code"]) for one in codings if isinstance(one, dict) and "code" in one]
        case {"code": str() as code}:
            return [(value.get("system"), code)]
        case _:
            return []


def is_in(value: Any, codes: frozenset[Code]) -> bool:
    """Whether a coded value has a code of a value set; a bare code has it where any system has."""
    return any(
        (system, code) in codes if system is not None else _bare(code, codes) for system, code in codes_of(value)
    )


def may_be_in(value: Any, bounds: Bounds | None) -> bool:
    """Whether a coded value may have a code of a value set that does not go beyond some bounds; None: it holds anything."""
    for system, code in codes_of(value):
        if bounds is None:
            return True
        allowed = bounds.get(system, frozenset[str]()) if system is not None else None
        if allowed is None or code in allowed:
            return True
    return False


def _bare(code: str, codes: frozenset[Code]) -> bool:
    return any(code == known for _, known in codes)


def resolved(reference: Any, element: Element) -> dict[str, Any] | None:
    """The JSON of what a reference leads to without asking anybody."""
    found = target(reference, element)
    return None if found is None else found.value


def matcher(criteria: tuple[Criterion, ...], codes: Codes, conforms: Conforms) -> Match:
    """Whether an item meets all criteria."""
    parts = tuple(_match(one, codes, conforms) for one in criteria)
    if len(parts) == 1:
        return parts[0]

    def match(item: Element) -> Answer:
        answer: Answer = True
        for part in parts:
            found = part(item)
            if found is False:
                return False
            answer = answer and found
        return answer

    return match


def _match(one: Criterion, codes: Codes, conforms: Conforms) -> Match:
    if one.steps == (Child("url"),) and isinstance(one.demand, Fixed):
        # Nearly all slices that there are: extensions, whose url is a plain attribute.
        url = one.demand.value
        return lambda item: isinstance(item.value, dict) and item.value.get("url") == url
    if isinstance(one.demand, Typed) and one.steps[-1:] == (Resolve(),):
        return _leading_to(_walk(one.steps[:-1]), one.demand.names)
    walk = _walk(one.steps)
    if isinstance(one.demand, Present):
        wanted = one.demand.wanted
        return lambda item: None if (found := walk(item)) is None else bool(found) is wanted
    met = _met(one.demand, codes, conforms)

    def match(item: Element) -> Answer:
        found = walk(item)
        if found is None:
            return None
        answers = [met(element) for element in found]
        return True if True in answers else None if None in answers else False

    return match


def _leading_to(walk: "Walk", names: tuple[str, ...]) -> Match:
    """Whether references lead to one of some types: where what they lead to is not at hand, by the type they name."""
    allowed = frozenset(names)

    def leads(element: Element) -> Answer:
        if found := _target(element):
            return is_one_of(found[0], allowed)
        reference = _reference(element)
        named = named_type(reference, r4()) if isinstance(reference, str) else None
        return None if named is None else named in allowed or not _ABSTRACT.isdisjoint(allowed)

    def match(item: Element) -> Answer:
        found = walk(item)
        answers = [None] if found is None else [leads(element) for element in found]
        return True if True in answers else None if None in answers else False

    return match


def _met(demand: Demand, codes: Codes, conforms: Conforms) -> Match:
    """Whether what stands at the end of the path meets the demand."""
    match demand:
        case Fixed(value):
            return lambda element: equals(element.value, value)
        case Pattern(value):
            return lambda element: has_pattern(element.value, value)
        case Typed(names):
            return lambda element: is_one_of(element, names)
        case Conforming(profiles):
            return lambda element: conforms(element, profiles)
        case Bound(value_set):
            return lambda element: None if (known := codes(value_set)) is None else is_in(element.value, known)
        case Present(wanted):
            return lambda _: wanted


Walk = Callable[[Element], list[Element] | None]
"""The elements a path leads to; None where it leads through a reference that nobody can follow here."""


def _walk(steps: tuple[Step, ...]) -> Walk:
    if not steps:
        return lambda item: [item]
    if len(steps) == 1 and isinstance(steps[0], Child):
        name = steps[0].name
        return lambda item: members(item, name)
    moves = tuple(map(_move, steps))

    def walk(item: Element) -> list[Element] | None:
        found = [item]
        for move in moves:
            moved = [move(element) for element in found]
            if None in moved:
                return None
            found = [element for part in moved if part is not None for element in part]
        return found

    return walk


def _move(step: Step) -> Walk:
    match step:
        case Child(name):
            return lambda element: members(element, name)
        case Extension(url):
            return lambda element: [one for one in members(element, "extension") if one.value.get("url") == url]
        case OfType(name):
            return lambda element: [element] if name in element.shape.ancestry else []
        case Resolve():
            return _target


def _target(element: Element) -> list[Element] | None:
    found = target(_reference(element), element)
    return None if found is None else [found]


def _reference(element: Element) -> Any:
    """The text of a Reference or canonical."""
    value: Mapping[str, Any] | str | None = element.value
    return value.get("reference") if isinstance(value, dict) else value
