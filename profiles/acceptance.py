"""Resources that are surely right, told fast: structures compiled to closures that answer yes, or leave it to a closer look.

https://hl7.org/fhir/R4/json.html and https://hl7.org/fhir/R4/elementdefinition.html

Nearly everything that reaches a server is valid, so this is the path that counts: it builds no places and no texts, stops at
the first doubt, and says no also to what is rare and right (nulls that pad arrays, a required element that has extensions
only). `profiles.validator` then looks again, slowly and completely; only what it finds is ever reported.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from profiles.definitions import Definitions, Field, Structure
from profiles.primitive import PRIMITIVES
from profiles.reference import Container, contained_types

Right = Callable[[Any], object]
"""True for a JSON value, of the kind that was looked for before, that is surely right."""
Rule = tuple[type, Right, int]
"""What the value of a property has to be: its kind in Python, its test, and the bit of the choice it is a variant of.

0 for a property that belongs to no choice, BESIDE for a sibling that has to stand beside its value: that of a variant, and
that of an array, which has to be as long.
"""
BESIDE = -1
Refine = Callable[[Field, Right], Right]
"""Adds to the test of a field's single value what more than its structure is asked of it."""
Invariants = Callable[[Structure], tuple[Right, ...]]


def _refine_nothing(_: Field, right: Right) -> Right:
    return right


def _no_invariants(_: Structure) -> tuple[Right, ...]:
    return ()


class Acceptance:
    """The structures of some definitions as tests; each is compiled when a value of it is first met.

    `container` is told which resource is being looked at; `refine` and `invariants` add what more than the structure is
    demanded.
    """

    def __init__(
        self,
        definitions: Definitions,
        container: Container,
        narrative: Callable[[str], bool],
        refine: Refine = _refine_nothing,
        invariants: Invariants = _no_invariants,
    ) -> None:
        self._definitions = definitions
        self._narrative = narrative
        self._refine = refine
        self._invariants = invariants
        self._container = container
        self._compiled: dict[str, Right] = {}

    def resource(self, value: dict[str, Any]) -> object:
        """Whether a JSON object is surely a valid resource."""
        outer = self._container.types
        self._container.types = contained_types(value)
        try:
            return self._resource(value)
        finally:
            self._container.types = outer

    def _resource(self, value: dict[str, Any]) -> object:
        name = value.get("resourceType")
        right = self._compiled.get(name) if type(name) is str else None
        if right is not None:
            return right(value)
        return type(name) is str and self._definitions.is_resource(name) and self.structure(name)(value)

    def structure(self, name: str) -> Right:
        """The test for the JSON objects of a resource type, data type or backbone."""
        found = self._compiled.get(name)
        if found is None:
            structure = self._definitions.structure(name)
            rules: dict[str, Rule] = {}
            found = _object_of(structure, rules, self._invariants(structure))
            rules.update(self._rules(structure, rules))
            self._compiled[name] = found
        return found

    def _contained(self, value: dict[str, Any]) -> object:
        return "contained" not in value and "id" in value and self._resource(value)

    def _rules(self, structure: Structure, rules: dict[str, Rule]) -> Iterable[tuple[str, Rule]]:
        bits = _choice_bits(structure)
        if structure.kind == "resource":
            yield "resourceType", (str, structure.name.__eq__, 0)
        for field in structure.fields.values():
            bit = bits.get(field.element, 0) if field.choice else 0
            yield field.name, self._rule(field, rules, bit)
            if has_sibling(field):
                yield f"_{field.name}", self._sibling(field, rules)

    def _sibling(self, field: Field, rules: dict[str, Rule]) -> Rule:
        """The id and extensions of a primitive element: an object, or an array of these and of nulls."""
        name, beside = f"_{field.name}", BESIDE if field.choice or field.repeats else 0
        wrap = _nullable if field.repeats else _same
        return (list if field.repeats else dict), self._later("Element", rules, name, beside, wrap), beside

    def _rule(self, field: Field, rules: dict[str, Rule], bit: int) -> Rule:
        def wrap(right: Right) -> Right:
            refined = self._refine(field, right)
            return _all_of(refined, field) if field.repeats else refined

        kind = list if field.repeats else dict
        if field.type == "xhtml":
            return str, wrap(self._narrative), bit
        if field.primitive:
            primitive = PRIMITIVES[field.type]
            return (list if field.repeats else primitive.kind), wrap(primitive.right), bit
        if field.type == "Resource":
            return kind, wrap(self._contained if field.name == "contained" else self.resource), bit
        return kind, self._later(field.type, rules, field.name, bit, wrap), bit

    def _later(
        self, type_name: str, rules: dict[str, Rule], name: str, bit: int, wrap: Callable[[Right], Right]
    ) -> Right:
        """A test that compiles its structure when it is first needed and then takes its own place in the rules."""

        def right(value: Any) -> object:
            made = wrap(self.structure(type_name))
            rules[name] = rules[name][0], made, bit
            return made(value)

        return right


def has_sibling(field: Field) -> bool:
    """Whether a property may stand beside another one with an underscore, which has its id and extensions."""
    return field.primitive and not field.attribute and field.type != "xhtml"


def _same(right: Right) -> Right:
    return right


def _nullable(right: Right) -> Right:
    """The test of the array that stands beside one of primitive values."""

    def accept(items: list[Any]) -> bool:
        return all(item is None or (type(item) is dict and right(item)) for item in items)

    return accept


def _beside(value: dict[str, Any], name: str, item: Any) -> bool:
    """Whether a sibling stands beside its value, and arrays are of one length."""
    other = value.get(name[1:])
    return other is not None and (type(item) is not list or (type(other) is list and len(other) == len(item) > 0))


def _choice_bits(structure: Structure) -> Mapping[str, int]:
    elements = dict.fromkeys(field.element for field in structure.fields.values() if field.choice)
    return {element: 1 << place for place, element in enumerate(elements)}


def _all_of(right: Right, field: Field) -> Right:
    """The test of an array, of the test of its items."""
    kind = PRIMITIVES[field.type].kind if field.primitive else dict
    most = field.max

    def accept(items: list[Any]) -> object:
        for item in items:
            if type(item) is not kind or not right(item):
                return False
        return items and (most is None or len(items) <= most)

    return accept


def _object_of(structure: Structure, rules: Mapping[str, Rule], invariants: tuple[Right, ...]) -> Right:
    """The test of an object."""
    demands = (*_required(structure), *invariants)

    def accept(value: dict[str, Any]) -> bool:
        if len(value) < 2 and (not value or "id" in value):
            return False
        chosen = 0
        try:
            for name, item in value.items():
                kind, right, bit = rules[name]
                if bit:
                    chosen = _choose(chosen, bit, value, name, item)
                if type(item) is kind:
                    if not right(item):
                        return False
                elif kind is not Decimal or type(item) is not int:
                    return False
        except KeyError:
            return False
        for holds in demands:
            if not holds(value):
                return False
        return chosen >= 0

    return accept


_TWICE = -1


def _choose(chosen: int, bit: int, value: dict[str, Any], name: str, item: Any) -> int:
    """The choices made so far and this one; _TWICE once one is made twice, or a sibling is without its value."""
    if bit == BESIDE:
        return chosen if _beside(value, name, item) else _TWICE
    return _TWICE if chosen & bit else chosen | bit  # all bits of _TWICE are set: it stays


def _required(structure: Structure) -> tuple[Right, ...]:
    """The tests that what is required is there, most often one name; a choice by any of its properties."""
    return tuple(
        _any_of(frozenset(field.name for field in structure.fields.values() if f"{field.element}[x]" == name))
        if name.endswith("[x]")
        else _member(name)
        for name in structure.required
    )


def _any_of(names: frozenset[str]) -> Right:
    return lambda value: not names.isdisjoint(value)


def _member(name: str) -> Right:
    return lambda value: name in value
