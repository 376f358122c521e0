"""Resources compared with profiles: each profile compiled once into closures that find what the profile does not allow.

https://hl7.org/fhir/R4/profiling.html and https://hl7.org/fhir/R4/validation.html

What R4 itself demands is the business of `profiles.validator`; here is only what profiles add to it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from profiles.criterion import Answer, Match, codes_of, equals, has_pattern, is_in, is_one_of, matcher, resolved
from profiles.definitions import Constraint, Field, UnknownStructure, r4
from profiles.extension import misplaced, with_extensions
from profiles.fhirpath.element import Element, members, root
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import Host
from profiles.fhirpath.expression import Expression, compile_expression
from profiles.issue import Findings, Issue, TooMany, shown
from profiles.profile import BindingRule, ElementRule, Profile, TypeRule
from profiles.reference import named_type
from profiles.registry import Registry
from profiles.slicing import Slice, Slicing

Check = Callable[[Element, Findings], None]
Look = Callable[[Element, list[Element], Findings], None]
"""Looks at the items of one name below an element, together."""
Base = Field | None
"""What R4 itself says of an element; None where nothing is known of it, and everything is looked at."""


class _Run(Findings):
    """The findings of one validation, and which extensions were compared with which definition: a profile may do it first."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, str]] = set()


class ProfileValidator:
    """The profiles of a registry, ready to be compared with. One is enough for a process; a profile is compiled when first met."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._checks: dict[str, tuple[Profile, Check] | None] = {}
        self._host = Host(
            resolve=resolved,
            member_of=lambda value, value_set: (
                None if (codes := registry.codes(value_set)) is None else is_in(value, codes)
            ),
        )

    def validate(self, resource: dict[str, Any], canonicals: Iterable[str]) -> list[Issue]:
        """What profiles, and the definitions of its extensions, find wrong with a resource that is valid R4, each thing once.

        A profile that is not installed is a warning of code not-found. Values outside an extensible binding are warnings;
        a value set whose codes are not at hand (SNOMED CT, LOINC) and a reference that leads out of the resource or its
        Bundle find nothing.
        """
        findings = _Run()
        element = root(resource)
        with contextlib.suppress(TooMany):
            for canonical in canonicals:
                self._against(element, canonical, findings)
            for extension in with_extensions(element):
                self._extension(extension, findings)
        return list(dict.fromkeys(findings.issues))

    def _against(self, element: Element, canonical: str, findings: Findings) -> None:
        found = self._check(canonical)
        if found is None:
            why = self._registry.problems.get(canonical, "it is not installed")
            findings.add("not-found", f"the profile {canonical} cannot be checked: {why}", element.path(), "warning")
        elif found[0].type not in element.shape.ancestry:
            text = f"the profile {canonical} is for {found[0].type}, not for {element.shape.name}"
            findings.add("structure", text, element.path())
        elif found[0].type != "Extension" or _first_time(element, found[0], findings):
            found[1](element, findings)

    def _extension(self, element: Element, findings: Findings) -> None:
        """An extension, by the definition its url names; one that nobody here knows may say what it likes."""
        definition = self._registry.extension(element.value["url"])
        if definition is None:
            return
        self._against(element, definition.canonical, findings)
        if misplaced(element, definition.contexts):
            places = ", ".join(expression for _, expression in definition.contexts)
            text = f"the extension {definition.url} may not stand here; it is for {places}"
            findings.add("extension", text, element.path())

    def _conforms(self, element: Element, profiles: tuple[str, ...]) -> Answer:
        """Whether an element meets one of some profiles; None where that cannot be told."""
        answers: list[Answer] = [self._meets(element, profile) for profile in profiles]
        return True if True in answers else None if None in answers else False

    def _meets(self, element: Element, canonical: str) -> Answer:
        found = self._check(canonical)
        if found is None:
            return None
        findings = _Run()
        with contextlib.suppress(TooMany):
            self._against(element, canonical, findings)
        return all(issue.severity != "error" for issue in findings.issues)

    def _check(self, canonical: str) -> tuple[Profile, Check] | None:
        if canonical not in self._checks:
            profile = self._registry.profile(canonical)
            # The check looks itself up when it is called: profiles lead to each other in circles.
            self._checks[canonical] = None if profile is None else (profile, self._compiled(profile))
        return self._checks[canonical]

    # A profile as a closure.

    def _compiled(self, profile: Profile) -> Check:
        checks: list[Check] = []

        def check(element: Element, findings: Findings) -> None:
            if not checks:
                checks.extend(self._item(profile.root, None, profile.type) or (_nothing,))
            for one in checks:
                one(element, findings)

        return check

    def _item(self, rule: ElementRule, base: Base, type_name: str) -> tuple[Check, ...]:
        """What is looked at in one item of an element, or of a slice."""
        checks: list[Check] = []
        if rule.types and (base is None or base.choice or base.type == "Resource"):
            checks += _typed(rule, type_name)
        checks += _valued(rule)
        if rule.binding is not None and (
            base is None or (rule.binding.value_set, rule.binding.strength) != (base.binding, base.strength)
        ):
            checks += self._bound(rule.binding)
        checks += (
            self._constraint(one)
            for one in rule.constraints
            if (one.key, one.expression) not in _known(type_name, base)
        )
        checks += (
            self._meeting(kind)
            for kind in rule.types
            if kind.profiles and kind.profiles != (base.profiles if base else ())
        )
        checks += (_referring(rule.types, self._registry) for _ in range(any(kind.targets for kind in rule.types)))
        for child in rule.children:
            checks += self._child(child, type_name)
        return tuple(checks)

    def _child(self, rule: ElementRule, parent: str) -> tuple[Check, ...]:
        """What is looked at in the children of one name; nothing where the profile says no more than R4."""
        base = _field(parent, rule.name)
        items = self._item(rule, base, _type_name(rule, base))
        slicing = self._sliced(rule.slicing, base, rule) if rule.slicing else None
        counted = base is None or (rule.min, rule.max) != (base.min, base.max)
        if not (items or slicing or counted):
            return ()
        place, keys = f".{rule.name}", _keys(parent, rule.name)

        def check(element: Element, findings: Findings) -> None:
            holder = element.value if type(element.value) is dict else element.extra
            count = None if keys is None else _count(holder, keys)
            if count == 0 and rule.min == 0 and slicing is None:
                return
            found = members(element, rule.name) if count is None or (count and (items or slicing)) else []
            _check_count(rule, len(found) if count is None else count, element, place, findings)
            for item in found:
                for one in items:
                    one(item, findings)
            if slicing is not None:
                slicing(element, found, findings)

        return (check,)

    # Slices.

    def _sliced(self, slicing: Slicing, base: Base, rule: ElementRule) -> Look:
        parts = tuple(self._part(one, base) for one in slicing.slices if one.criteria)
        name = rule.name

        def check(parent: Element, found: list[Element], findings: Findings) -> None:
            slices = [_slice_of(item, parts) for item in found]
            for item, at in zip(found, slices, strict=True):
                if at is not None and at >= 0:
                    for one in parts[at].looks:
                        one(item, findings)
                elif at == _NONE and slicing.rules == "closed":
                    known = ", ".join(part.name for part in parts) or "none"
                    findings.add(
                        "structure", f"this is of none of the slices that {rule.path} may have: {known}", item.path()
                    )
            for number, part in enumerate(parts):
                if part.inner is not None:
                    part.inner(parent, [item for item, at in zip(found, slices, strict=True) if at == number], findings)
            _check_order(slicing, found, slices, findings)
            _check_counts(parts, slices, f"{parent.path()}.{name}", findings)

        return check

    def _part(self, one: Slice, base: Base) -> "_Part":
        rule = one.rule
        match = matcher(one.criteria, self._registry.codes, self._conforms)
        inner = self._sliced(rule.slicing, base, rule) if rule.slicing else None
        return _Part(one.name, match, self._item(rule, base, _type_name(rule, base)), inner, rule)

    # What is looked at in an item.

    def _bound(self, binding: BindingRule) -> Iterable[Check]:
        if binding.strength in ("required", "extensible"):
            yield self._from(
                binding.value_set, "error" if binding.strength == "required" else "warning", binding.strength
            )
        if binding.max_value_set and binding.strength != "required":
            yield self._from(binding.max_value_set, "error", "maximum")

    def _from(self, value_set: str, severity: str, strength: str) -> Check:
        codes = functools.cache(lambda: self._registry.codes(value_set))

        def check(element: Element, findings: Findings) -> None:
            known = codes()
            if known is None or element.value is None or is_in(element.value, known):
                return
            named = ", ".join(f"{system or ''}#{code}" for system, code in codes_of(element.value)[:3])
            if not named and severity == "warning":
                return
            text = (
                f"{shown(named)} is not in the {strength} value set {value_set}"
                if named
                else f"a code is missing; it has to come from {value_set}"
            )
            findings.add("code-invalid", text, element.path(), severity)

        return check

    def _constraint(self, one: Constraint) -> Check:
        try:
            expression = compile_expression(one.expression) if one.expression else None
        except FhirPathError:
            # `package check` is the place to hear of an expression that cannot be read; here it finds nothing.
            expression = None
        return _nothing if expression is None else self._holding(one, expression)

    def _holding(self, one: Constraint, expression: Expression) -> Check:
        def check(element: Element, findings: Findings) -> None:
            try:
                met = expression.holds(element, host=self._host)
            except FhirPathError as error:
                text = f"{one.key} could not be checked: {error.message}"
                findings.add("processing", text, element.path(), "warning", one.key)
                return
            if not met:
                findings.add("invariant", f"{one.human} ({one.key})", element.path(), one.severity, one.key)

        return check

    def _meeting(self, kind: TypeRule) -> Check:
        """The value meets one of the profiles of its type."""
        if len(kind.profiles) == 1:
            return lambda element, findings: (
                self._against(element, kind.profiles[0], findings) if _is(element, kind.code) else None
            )

        def check(element: Element, findings: Findings) -> None:
            if _is(element, kind.code) and self._conforms(element, kind.profiles) is False:
                findings.add("structure", f"this meets none of the profiles {', '.join(kind.profiles)}", element.path())

        return check


@dataclass(frozen=True, slots=True)
class _Part:
    """A slice, compiled: which items are of it, and what is looked at in them."""

    name: str
    match: Match
    looks: tuple[Check, ...]
    inner: Look | None
    """Of a slice that is sliced again."""
    rule: ElementRule


_NONE = -1


def _slice_of(item: Element, parts: tuple[_Part, ...]) -> int | None:
    """The number of the slice an item is of; _NONE: of none; None: that cannot be told."""
    answer: int | None = _NONE
    for number, part in enumerate(parts):
        match part.match(item):
            case True:
                return number
            case None:
                answer = None
    return answer


def _check_order(slicing: Slicing, found: list[Element], slices: list[int | None], findings: Findings) -> None:
    last, ended = _NONE, False
    for item, at in zip(found, slices, strict=True):
        if at is None:
            continue
        if slicing.rules == "openAtEnd" and at >= 0 and ended:
            findings.add("structure", "what is of no slice stands at the end, after this", item.path())
        if slicing.ordered and 0 <= at < last:
            findings.add(
                "structure", f"'{slicing.slices[at].name}' stands before '{slicing.slices[last].name}'", item.path()
            )
        ended, last = ended or at == _NONE, max(last, at)


def _check_counts(parts: tuple[_Part, ...], slices: list[int | None], place: str, findings: Findings) -> None:
    unknown = slices.count(None)
    for number, part in enumerate(parts):
        count = slices.count(number)
        if count + unknown < part.rule.min:
            _too_few(findings, place, part.rule.id, part.rule.min, count)
        if part.rule.max is not None and count > part.rule.max:
            _too_many(findings, place, part.rule.id, part.rule.max, count)


def _count(holder: Any, keys: frozenset[str]) -> int:
    """How many items of an element an object has, whichever of its properties they stand in."""
    if type(holder) is not dict or keys.isdisjoint(holder):
        return 0
    return max(len(value) if type(value := holder[key]) is list else 1 for key in keys if key in holder)


def _check_count(rule: ElementRule, count: int, parent: Element, place: str, findings: Findings) -> None:
    if count < rule.min:
        _too_few(findings, parent.path() + place, rule.path, rule.min, count)
    if rule.max is not None and count > rule.max:
        _too_many(findings, parent.path() + place, rule.path, rule.max, count)


def _too_few(findings: Findings, place: str, name: str, least: int, count: int) -> None:
    text = (
        f"{name} is missing: the profile requires it"
        if count == 0
        else f"{name} is there {count} times; the profile requires {least}"
    )
    findings.add("required", text, place)


def _too_many(findings: Findings, place: str, name: str, most: int, count: int) -> None:
    times = "may not be there" if most == 0 else f"is there {count} times; the profile allows {most}"
    findings.add("structure", f"{name} {times}", place)


def _first_time(element: Element, profile: Profile, findings: Findings) -> bool:
    """Whether an extension is compared with its definition for the first time; its value stays where it is meanwhile."""
    key = id(element.value), profile.canonical
    if not isinstance(findings, _Run):
        return True
    known = key in findings.seen
    findings.seen.add(key)
    return not known


def _nothing(_element: Element, _findings: Findings) -> None:
    return None


def _is(element: Element, code: str) -> bool:
    """Whether an element is of a type; backbones go by their paths and are what they are."""
    return element.shape.kind == "backbone" or code in element.shape.ancestry


def _typed(rule: ElementRule, type_name: str) -> Iterable[Check]:
    allowed = frozenset(kind.code for kind in rule.types if kind.code)
    if not allowed or "Resource" in allowed or type_name == rule.path:
        return

    def check(element: Element, findings: Findings) -> None:
        if not is_one_of(element, allowed) and element.shape.known:
            text = f"this is of type {element.shape.name}; the profile allows {', '.join(sorted(allowed))}"
            findings.add("structure", text, element.path())

    yield check


def _valued(rule: ElementRule) -> Iterable[Check]:
    """Fixed and pattern values, lengths, least and greatest values."""
    if rule.fixed is not None:
        yield _told(lambda value: equals(value, rule.fixed), f"the profile fixes this to {shown(rule.fixed)}")
    if rule.pattern is not None:
        yield _told(
            lambda value: has_pattern(value, rule.pattern), f"the profile requires at least {shown(rule.pattern)}"
        )
    if (longest := rule.max_length) is not None:
        yield _told(
            lambda value: not isinstance(value, str) or len(value) <= longest,
            f"at most {longest} characters are allowed",
        )
    if (least := rule.min_value) is not None:
        yield _told(
            lambda value: _number(value) is None or _number(value) >= _number(least),
            f"the least value allowed is {shown(least)}",
        )
    if (most := rule.max_value) is not None:
        yield _told(
            lambda value: _number(value) is None or _number(value) <= _number(most),
            f"the greatest value allowed is {shown(most)}",
        )


def _number(value: Any) -> Any:
    """What an ordered value is compared by: that of a Quantity, a number, the text of a date."""
    return value.get("value") if isinstance(value, dict) else value


def _told(right: Callable[[Any], bool], text: str) -> Check:
    def check(element: Element, findings: Findings) -> None:
        if not right(element.value):
            findings.add("value", text, element.path())

    return check


def _referring(types: tuple[TypeRule, ...], registry: Registry) -> Check:
    """A reference leads to a resource of a type that the target profiles are for."""
    targets = tuple(target for kind in types for target in kind.targets)
    names: list[frozenset[str]] = []

    def check(element: Element, findings: Findings) -> None:
        if not isinstance(element.value, dict) or not isinstance(reference := element.value.get("reference"), str):
            return
        if not names:
            profiles = [(target, registry.profile(target)) for target in targets]
            names.append(frozenset(found.type if found else target.rpartition("/")[2] for target, found in profiles))
        inside = resolved(reference, element)
        named = inside.get("resourceType") if inside else named_type(reference, r4())
        if named is not None and "Resource" not in names[0] and named not in names[0]:
            findings.add(
                "value",
                f"{shown(reference)} leads to {named}; the profile allows {', '.join(sorted(names[0]))}",
                element.path(),
            )

    return check


def _field(parent: str, name: str) -> Base:
    """What R4 says of a child; None for a choice's several fields, whose types are looked at then, and for the unknown."""
    try:
        fields = r4().structure(parent).fields.values()
    except UnknownStructure:
        return None
    return next((field for field in fields if field.element == name), None)


def _keys(parent: str, name: str) -> frozenset[str] | None:
    """The JSON properties of an element; None where R4 does not know it."""
    try:
        fields = [field.name for field in r4().structure(parent).fields.values() if field.element == name]
    except UnknownStructure:
        return None
    return frozenset((*fields, *(f"_{one}" for one in fields))) or None


def _type_name(rule: ElementRule, base: Base) -> str:
    """The type whose fields the children of an element are."""
    if base is not None and not base.choice and base.type != "Resource":
        return base.type
    return rule.types[0].code if len(rule.types) == 1 else "Element"


def _known(type_name: str, base: Base) -> frozenset[tuple[str, str]]:
    """The constraints that R4 has for an element already, by key and expression."""
    names = {type_name, "Element", "Extension", "DomainResource", "Resource"} | (
        {base.path.rpartition(".")[0]} if base else set()
    )
    found: set[tuple[str, str]] = set()
    for name in names:
        with contextlib.suppress(UnknownStructure):
            found.update((one.key, one.expression) for one in r4().structure(name).constraints)
    return frozenset(found)
