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


class UnknownCodes(Exception):
    """The codes cannot be told from the definitions at hand; the message says what is missing, as part of a sentence."""


def expand(url: str, value_set: Find, code_system: Find) -> frozenset[Code] | None:
    """All (system, code) in the value set of a canonical, looking definitions up with the two functions.

    None where that takes more than they have: an unknown value set, a code system that is not wholly there, a filter
    other than is-a, descendent-of, is-not-a, =, in and not-in, or value sets that include each other in a circle.
    """
    try:
        return codes_of(url, value_set, code_system)
    except UnknownCodes:
        return None


def codes_of(url: str, value_set: Find, code_system: Find) -> frozenset[Code]:
    """The same as `expand`; raises UnknownCodes where it gives None."""
    known: dict[str, frozenset[Code]] = {}  # value sets that include each other many times over are expanded once

    def expanded(imported: str, within: tuple[str, ...]) -> frozenset[Code]:
        if imported not in known:
            known[imported] = _expand(imported, value_set, code_system, within, expanded)
        return known[imported]

    return expanded(url, ())


def _expand(
    url: str,
    value_set: Find,
    code_system: Find,
    within: tuple[str, ...],
    expanded: Callable[[str, tuple[str, ...]], frozenset[Code]],
) -> frozenset[Code]:
    definition = value_set(url)
    if definition is None:
        raise UnknownCodes(f"the value set {url} is not at hand")
    if url in within:
        raise UnknownCodes(f"the value set {url} includes itself")
    compose = definition.get("compose")
    if compose is None:
        if not is_whole(definition.get("expansion")):
            raise UnknownCodes(f"the value set {url} says neither how it is composed nor all its codes")
        return frozenset(_contains(definition["expansion"]))

    def codes(include: Mapping[str, Any]) -> frozenset[Code]:
        """What one include or exclude names: its system's codes that are in every value set it lists."""
        parts = [expanded(imported, (*within, url)) for imported in include.get("valueSet", ())]
        if "system" in include:
            parts.append(_of_system(include, code_system))
        return reduce(frozenset.__and__, parts) if parts else frozenset()

    included = frozenset[Code]().union(*map(codes, compose["include"]))
    return included.difference(*map(codes, compose.get("exclude", ())))


Bounds = Mapping[str, frozenset[str] | None]
"""The systems a value set may take codes from, each with the only codes it may take; None: any."""


def bounds(url: str, value_set: Find, code_system: Find) -> Bounds | None:
    """What surely holds all codes of a value set, for one whose codes `expand` cannot tell; None where nothing does."""
    try:
        return _bounds(url, value_set, code_system, ())
    except UnknownCodes:
        return None


def _bounds(url: str, value_set: Find, code_system: Find, within: tuple[str, ...]) -> Bounds:
    definition = value_set(url)
    if definition is None or url in within or "compose" not in definition:
        raise UnknownCodes(url)
    found: dict[str, frozenset[str] | None] = {}
    for include in definition["compose"]["include"]:
        part = _bounds_of(include, value_set, code_system, (*within, url))
        for system, codes in part.items():
            before = found.get(system, frozenset())
            found[system] = None if codes is None or before is None else before | codes
    return found


def _bounds_of(include: Mapping[str, Any], value_set: Find, code_system: Find, within: tuple[str, ...]) -> Bounds:
    if "system" not in include:
        return _bounds(include["valueSet"][0], value_set, code_system, within)
    try:
        return {include["system"]: frozenset(code for _, code in _of_system(include, code_system))}
    except UnknownCodes:
        return {include["system"]: None}


def is_whole(expansion: Any) -> bool:
    """Whether an expansion has all codes of its value set, as far as it says so itself."""
    if not isinstance(expansion, Mapping) or expansion.get("offset") or not expansion.get("contains"):
        return False
    if any(one.get("url") in _UNFINISHED for one in expansion.get("extension", ())):
        return False
    total = expansion.get("total")
    return total is None or total <= sum(1 for _ in _contains(expansion))


_UNFINISHED = frozenset(
    f"http://hl7.org/fhir/StructureDefinition/valueset-{name}" for name in ("toocostly", "unclosed")
)


def _contains(expansion: Mapping[str, Any]) -> Iterator[Code]:
    for item in expansion.get("contains", ()):
        if "code" in item:
            yield item["system"], item["code"]
        yield from _contains(item)


def _of_system(include: Mapping[str, Any], code_system: Find) -> frozenset[Code]:
    system = include["system"]
    if "concept" in include:
        return frozenset((system, concept["code"]) for concept in include["concept"])
    version = include.get("version")
    stated = code_system(f"{system}|{version}") if version else None
    concepts = _concepts(system, stated or code_system(system))
    chosen = set(concepts)
    for condition in include.get("filter", ()):
        chosen &= _filtered(condition, concepts)
    return frozenset((system, code) for code in chosen)


def _concepts(system: str, definition: Mapping[str, Any] | None) -> dict[str, Concept]:
    """All concepts of a code system by code. Raises UnknownCodes where its definition does not have them all."""
    if definition is None or definition["content"] != "complete":
        raise UnknownCodes(f"the code system {system} is not at hand with all its codes")
    return {concept["code"]: concept for concept in _walk(definition.get("concept", ()))}


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
            raise UnknownCodes(f"a filter '{name} {condition['op']} {value}' is not evaluated here")


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
        raise UnknownCodes(f"there is no code {root} to take codes under")
    return _reached(root, _children(concepts)) & set(concepts)


def _children(concepts: Mapping[str, Concept]) -> dict[str, set[str]]:
    """By code, the codes directly under it."""
    children: dict[str, set[str]] = {}
    for code, concept in concepts.items():
        nested = {child["code"] for child in concept.get("concept", ())}
        children.setdefault(code, set()).update(nested, _values(concept, "child"))
        for parent in _values(concept, "parent") | _values(concept, "subsumedBy"):
            children.setdefault(parent, set()).add(code)
    return children


def _reached(root: str, steps: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = [root]
    while pending:
        fresh = steps.get(pending.pop(), set()) - found
        found |= fresh
        pending.extend(fresh)
    return found


def subsumed(system: str, definition: Mapping[str, Any] | None, code: str, *, up: bool) -> frozenset[str]:
    """The code and all codes under it, or with `up` all above it; of a code that the system does not have, it alone.

    Raises UnknownCodes where the definition has not all codes, or has a hierarchy by which one is no kind of the other.
    """
    concepts = _concepts(system, definition)
    assert definition is not None
    meaning = definition.get("hierarchyMeaning", "is-a")
    if meaning != "is-a":
        raise UnknownCodes(f"the hierarchy of the code system {system} means {meaning}, not is-a")
    root = code
    if code not in concepts and not definition.get("caseSensitive"):
        root = next((one for one in concepts if one.casefold() == code.casefold()), code)
    steps = _children(concepts)
    if up:
        parents: dict[str, set[str]] = {}
        for parent, under in steps.items():
            for one in under:
                parents.setdefault(one, set()).add(parent)
        steps = parents
    return frozenset((_reached(root, steps) & set(concepts)) | {root})
