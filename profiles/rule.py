"""What a profile may ask of one element or value, as closures: types, values, references, how often it is there.

https://hl7.org/fhir/R4/elementdefinition.html
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from profiles.criterion import Conforms, equals, has_pattern, is_one_of
from profiles.definitions import Field, UnknownStructure, r4
from profiles.fhirpath.comparison import compare
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.issue import Findings, shown
from profiles.profile import ElementRule, TypeRule
from profiles.reference import named_type
from profiles.registry import Registry
from profiles.target import target

Check = Callable[[Element, Findings], None]
"""Looks at an element, and adds what it finds."""
Base = Field | None
"""What R4 itself says of an element; None where nothing is known of it, and everything is looked at."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def nothing(_element: Element, _findings: Findings) -> None:
    return None


def is_of_type(element: Element, code: str) -> bool:
    """Whether an element is of a type; backbones go by their paths and are what they are."""
    return element.shape.kind == "backbone" or code in element.shape.ancestry


def typed(rule: ElementRule, type_name: str) -> Iterable[Check]:
    allowed = frozenset(kind.code for kind in rule.types if kind.code)
    if not allowed or "Resource" in allowed or type_name == rule.path:
        return

    def check(element: Element, findings: Findings) -> None:
        if not is_one_of(element, allowed) and element.shape.known:
            text = f"this is of type {element.shape.name}; the profile allows {', '.join(sorted(allowed))}"
            findings.add("structure", text, element.path())

    yield check


def valued(rule: ElementRule) -> Iterable[Check]:
    """Fixed and pattern values, lengths, least and greatest values."""
    if rule.fixed is not None:
        yield _told(lambda value: equals(value, rule.fixed), f"the profile fixes this to {shown(_json(rule.fixed))}")
    if rule.pattern is not None:
        yield _told(
            lambda value: has_pattern(value, rule.pattern),
            f"the profile requires at least {shown(_json(rule.pattern))}",
        )
    if (longest := rule.max_length) is not None:
        yield _told(
            lambda value: not isinstance(value, str) or len(value) <= longest,
            f"at most {longest} characters are allowed",
        )
    if rule.min_value is not None:
        yield _limited(rule.min_value, -1, f"the least value allowed is {shown(_json(rule.min_value))}")
    if rule.max_value is not None:
        yield _limited(rule.max_value, 1, f"the greatest value allowed is {shown(_json(rule.max_value))}")


def _limited(bound: Any, wrong: int, text: str) -> Check:
    """A value is not on the wrong side (-1 below, 1 above) of a bound; what cannot be compared with it may be anything."""

    def check(element: Element, findings: Findings) -> None:
        with contextlib.suppress(FhirPathError):
            if element.value is not None and compare(element, Element(bound, element.shape)) == wrong:
                findings.add("value", text, element.path())

    return check


def _json(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def _told(right: Callable[[Any], bool], text: str) -> Check:
    def check(element: Element, findings: Findings) -> None:
        if not right(element.value):
            findings.add("value", text, element.path())

    return check


def referring(types: tuple[TypeRule, ...], registry: Registry, conforms: Conforms) -> Check:
    """A reference leads to a resource of a type that the target profiles are for and, where it is at hand, that meets one."""
    targets = tuple(canonical for kind in types for canonical in kind.targets)
    ways = frozenset(way for kind in types for way in kind.aggregation)
    by_type: dict[str, tuple[str, ...]] = {}

    def check(element: Element, findings: Findings) -> None:
        if not isinstance(element.value, dict) or not isinstance(reference := element.value.get("reference"), str):
            return
        if not by_type:
            by_type.update(_by_type(targets, registry))
        found = target(reference, element)
        if ways and ways.isdisjoint(way := _way(reference, found)):
            text = f"{shown(reference)} is {way[0]}; the profile allows {', '.join(sorted(ways))}"
            findings.add("value", text, element.path())
        named = found.shape.name if found else named_type(reference, r4())
        if named is None or "Resource" in by_type:
            return
        if named not in by_type:
            text = f"{shown(reference)} leads to {named}; the profile allows {', '.join(sorted(by_type))}"
            findings.add("value", text, element.path())
        elif found is not None and (profiles := by_type[named]) and conforms(found, profiles) is False:
            text = f"what {shown(reference)} leads to meets none of the profiles {', '.join(profiles)}"
            findings.add("structure", text, element.path())

    return check


def _by_type(targets: Iterable[str], registry: Registry) -> dict[str, tuple[str, ...]]:
    """The profiles one of which a target has to meet, by its type; none where any resource of the type will do."""
    found: dict[str, list[str]] = {}
    free: set[str] = set()
    for canonical in targets:
        profile = registry.profile(canonical)
        name = profile.type if profile else canonical.rpartition("/")[2]
        found.setdefault(name, []).append(canonical)
        if profile is None or profile.derivation != "constraint":
            free.add(name)
    return {name: () if name in free else tuple(profiles) for name, profiles in found.items()}


def _way(reference: str, found: Element | None) -> tuple[str, ...]:
    if reference.startswith("#"):
        return ("contained",)
    # What is in the Bundle is on a server, too.
    return ("referenced",) if found is None else ("bundled", "referenced")


def count_of(holder: Any, keys: frozenset[str]) -> int:
    """How many items of an element an object has, whichever of its properties they stand in."""
    if type(holder) is not dict or keys.isdisjoint(holder):
        return 0
    found = 0
    for key in keys:
        if key in holder:
            value = holder[key]
            count = len(value) if type(value) is list else 1
            found = max(count, found)
    return found


def check_count(rule: ElementRule, count: int, parent: Element, place: str, findings: Findings) -> None:
    if count < rule.min:
        too_few(findings, parent.path() + place, rule.path, rule.min, count)
    if rule.max is not None and count > rule.max:
        too_many(findings, parent.path() + place, rule.path, rule.max, count)


def too_few(findings: Findings, place: str, name: str, least: int, count: int) -> None:
    text = (
        f"{name} is missing: the profile requires it"
        if count == 0
        else f"{name} is there {count} times; the profile requires {least}"
    )
    findings.add("required", text, place)


def too_many(findings: Findings, place: str, name: str, most: int, count: int) -> None:
    times = "may not be there" if most == 0 else f"is there {count} times; the profile allows {most}"
    findings.add("structure", f"{name} {times}", place)


# What R4 says already.


def field_of(parent: str, name: str) -> Base:
    """What R4 says of a child; None for a choice's several fields, whose types are looked at then, and for the unknown."""
    try:
        fields = r4().structure(parent).fields.values()
    except UnknownStructure:
        return None
    return next((field for field in fields if field.element == name), None)


def keys_of(parent: str, name: str) -> frozenset[str] | None:
    """The JSON properties of an element; None where R4 does not know it."""
    try:
        fields = [field.name for field in r4().structure(parent).fields.values() if field.element == name]
    except UnknownStructure:
        return None
    return frozenset((*fields, *(f"_{one}" for one in fields))) or None


def type_name_of(rule: ElementRule, base: Base) -> str:
    """The type whose fields the children of an element are."""
    if base is not None and not base.choice and base.type != "Resource":
        return base.type
    return rule.types[0].code if len(rule.types) == 1 else "Element"


def known_constraints(type_name: str, base: Base) -> frozenset[tuple[str, str]]:
    """The constraints that R4 has for an element already, by key and expression."""
    names = {type_name, "Element", "Extension", "DomainResource", "Resource"} | (
        {base.path.rpartition(".")[0]} if base else set()
    )
    found: set[tuple[str, str]] = set()
    for name in names:
        with contextlib.suppress(UnknownStructure):
            found.update((one.key, one.expression) for one in r4().structure(name).constraints)
    return frozenset(found)
