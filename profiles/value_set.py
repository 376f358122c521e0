"""The codes of a value set, worked out from definitions at hand alone.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

Code = tuple[str, str]
"""A code and the system it comes from: (system, code)."""
Find = Callable[[str], dict[str, Any] | None]
Concept = Mapping[str, Any]


class _Unknown(Exception):
    """The codes cannot be told from the definitions at hand."""


def expand(url: str, value_set: Find, code_system: Find) -> frozenset[Code] | None:
    """All (system, code) in the value set of a canonical, looking definitions up with the two functions.

    None where that takes more than they have: an unknown value set, a code system that is not wholly there, a filter
    other than is-a, descendent-of, is-not-a, =, in and not-in, or value sets that include each other in a circle.
    """
    try:
        return _expand(url, value_set, code_system, ())
    except _Unknown:
        return None


def _expand(url: str, value_set: Find, code_system: Find, within: tuple[str, ...]) -> frozenset[Code]:
    definition = value_set(url)
    if definition is None or url in within:
        raise _Unknown(url)
    compose = definition.get("compose")
    if compose is None:
        return frozenset(_contains(definition.get("expansion") or {}))

    def codes(include: Mapping[str, Any]) -> frozenset[Code]:
        """What one include or exclude names: its system's codes that are in every value set it lists."""
        parts = [_expand(imported, value_set, code_system, (*within, url)) for imported in include.get("valueSet", ())]
        if "system" in include:
            parts.append(_of_system(include, code_system))
        return reduce(frozenset.__and__, parts) if parts else frozenset()

    included = frozenset[Code]().union(*map(codes, compose["include"]))
    return included.difference(*map(codes, compose.get("exclude", ())))


def _contains(expansion: Mapping[str, Any]) -> Iterator[Code]:
    for item in expansion.get("contains", ()):
        if "code" in item:
            yield item["system"], item["code"]
        yield from _contains(item)


def _of_system(include: Mapping[str, Any], code_system: Find) -> frozenset[Code]:
    system = include["system"]
    if "concept" in include:
        return frozenset((system, concept["code"]) for concept in include["concept"])
    definition = code_system(system)
    if definition is None or definition["content"] != "complete":
        raise _Unknown(system)
    concepts = {concept["code"]: concept for concept in _walk(definition.get("concept", ()))}
    chosen = set(concepts)
    for condition in include.get("filter", ()):
        chosen &= _filtered(condition, concepts)
    return frozenset((system, code) for code in chosen)


def _walk(concepts: Any) -> Iterator[Concept]:
    for concept in concepts:
        yield concept
        yield from _walk(concept.get("concept", ()))


def _filtered(condition: Mapping[str, Any], concepts: Mapping[str, Concept]) -> set[str]:
    """The codes that meet one filter of an include."""
    name, value = condition["property"], condition["value"]
    match condition["op"], name:
        case "is-a", "concept" | "code":
            return _descendants(value, concepts) | {value}
        case "descendent-of", "concept" | "code":
            return _descendants(value, concepts)
        case "is-not-a", "concept" | "code":
            return set(concepts) - _descendants(value, concepts) - {value}
        case "=" | "in" | "not-in" as operator, _:
            wanted = {value} if operator == "=" else {item.strip() for item in value.split(",")}
            having = {code for code, concept in concepts.items() if wanted & _values(concept, name)}
            return set(concepts) - having if operator == "not-in" else having
        case _:
            raise _Unknown(f"{condition['op']} {name}")


def _values(concept: Concept, name: str) -> set[str]:
    """The values of one property of a concept, as a filter writes them."""
    if name in ("code", "concept"):
        return {concept["code"]}
    if name == "display":
        return {concept.get("display", "")}
    return {
        str(value).lower() if isinstance(value, bool) else value["code"] if isinstance(value, dict) else str(value)
        for item in concept.get("property", ())
        if item["code"] == name
        for key, value in item.items()
        if key.startswith("value")
    }


def _descendants(root: str, concepts: Mapping[str, Concept]) -> set[str]:
    """All codes under a code: nested in it, named by its `child` properties, or naming it by theirs."""
    if root not in concepts:
        raise _Unknown(root)
    children: dict[str, set[str]] = {}
    for code, concept in concepts.items():
        nested = {child["code"] for child in concept.get("concept", ())}
        children.setdefault(code, set()).update(nested, _values(concept, "child"))
        for parent in _values(concept, "parent") | _values(concept, "subsumedBy"):
            children.setdefault(parent, set()).add(code)
    found: set[str] = set()
    pending = [root]
    while pending:
        fresh = children.get(pending.pop(), set()) - found
        found |= fresh
        pending.extend(fresh)
    return found & set(concepts)
