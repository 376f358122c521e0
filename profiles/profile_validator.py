"""Resources compared with profiles: each profile compiled once into closures that find what the profile does not allow.

https://hl7.org/fhir/R4/profiling.html and https://hl7.org/fhir/R4/validation.html

What R4 itself demands is the business of `profiles.validator`; here is only what profiles add to it.
"""

import contextlib
import functools
import threading
from collections.abc import Iterable
from typing import Any

from profiles.child import Child, checks_of
from profiles.criterion import Answer, codes_of, is_coded, is_in, matcher, may_be_in, resolved
from profiles.definitions import Constraint
from profiles.extension import fits, misplaced, with_extensions
from profiles.fhirpath.element import Element, members, root
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import Host
from profiles.fhirpath.expression import Expression, compile_expression
from profiles.issue import Findings, Issue, TooMany, shown
from profiles.profile import BindingRule, ElementRule, Profile, TypeRule
from profiles.registry import Registry
from profiles.rule import (
    Base,
    Check,
    check_count,
    count_of,
    field_of,
    is_of_type,
    keys_of,
    known_constraints,
    nothing,
    referring,
    type_name_of,
    typed,
    valued,
)
from profiles.sliced import OF_NONE, Look, Part, check_counts, check_order, slice_of
from profiles.slicing import Slice, Slicing
from profiles.target import nested


class _Run(Findings):
    """The findings of one validation, and which extensions were compared with which definition: a profile may do it first."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, str]] = set()


class _Met(threading.local):
    """What this thread found out during one validation: which values, which stay where they are, meet which profiles."""

    answers: dict[tuple[int, str], Answer]

    def __init__(self) -> None:
        self.answers = {}


class ProfileValidator:
    """The profiles of a registry, ready to be compared with. One is enough for a process; a profile is compiled when first met."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._met = _Met()
        self._checks: dict[str, tuple[Profile, Check]] = {}
        self._extensions: dict[str, Profile] = {}
        self._host = Host(
            resolve=resolved,
            member_of=lambda value, value_set: (
                None if (codes := registry.codes(value_set)) is None else is_in(value, codes)
            ),
        )

    def validate(self, resource: dict[str, Any], canonicals: Iterable[str]) -> list[Issue]:
        """What profiles, and the definitions of its extensions, find wrong with a resource that is valid R4, each thing once.

        Resources inside it are compared with the profiles they claim, and with those a reference to them asks for.

        A profile that is not installed is a warning of code not-found. Values outside an extensible binding are warnings;
        a value set whose codes are not at hand (SNOMED CT, LOINC) and a reference that leads out of the resource or its
        Bundle find nothing.
        """
        findings = _Run()
        element = root(resource)
        with contextlib.suppress(TooMany):
            for canonical in canonicals:
                self._against(element, canonical, findings)
            for inner in nested(element):
                for canonical in _claimed(inner):
                    self._against(inner, canonical, findings)
            for extension in with_extensions(element):
                self._extension(extension, findings)
        self._met.answers = {}
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
        url = element.value["url"]
        definition = self._extensions.get(url) or self._defined(url)
        modifies = element.name == "modifierExtension"
        if definition is None:
            if modifies:
                text = f"the modifier extension {shown(url)} is not known here, so the meaning of this is not"
                findings.add("not-found", text, element.path(), "warning")
            return
        if definition.root.modifier != modifies:
            text = f"the extension {definition.url} is {'a' if definition.root.modifier else 'no'} modifier extension"
            findings.add("extension", text, element.path())
        self._against(element, definition.canonical, findings)
        if misplaced(element, definition.contexts):
            places = ", ".join(expression for _, expression in definition.contexts)
            text = f"the extension {definition.url} may not stand here; it is for {places}"
            findings.add("extension", text, element.path())
        for expression in definition.context_invariants:
            if not fits(element, expression):
                text = f"the extension {definition.url} may stand only where {expression}"
                findings.add("extension", text, element.path())

    def _defined(self, url: str) -> Profile | None:
        found = self._registry.extension(url)
        if found is not None:  # what a client may invent is not kept
            self._extensions[url] = found
        return found

    def _conforms(self, element: Element, profiles: tuple[str, ...]) -> Answer:
        """Whether an element meets one of some profiles; None where that cannot be told."""
        answers: list[Answer] = [self._meets(element, profile) for profile in profiles]
        return True if True in answers else None if None in answers else False

    def _meets(self, element: Element, canonical: str) -> Answer:
        if self._check(canonical) is None:
            return None
        answers, key = self._met.answers, (id(element.value), canonical)
        if key not in answers:
            answers[key] = None  # what leads back to itself is not told by itself
            findings = _Run()
            with contextlib.suppress(TooMany):
                self._against(element, canonical, findings)
            answers[key] = all(issue.severity != "error" for issue in findings.issues)
        return answers[key]

    def _check(self, canonical: str) -> tuple[Profile, Check] | None:
        found = self._checks.get(canonical)
        if found is None:
            profile = self._registry.profile(canonical)
            if profile is None:  # what a client may invent is not kept
                return None
            # The check looks itself up when it is called: profiles lead to each other in circles.
            found = self._checks[canonical] = profile, self._compiled(profile)
        return found

    # A profile as a closure.

    def _compiled(self, profile: Profile) -> Check:
        checks: list[Check] = []

        def check(element: Element, findings: Findings) -> None:
            if not checks:
                checks.extend(self._item(profile.root, None, profile.type) or (nothing,))
            for one in checks:
                one(element, findings)

        return check

    def _item(self, rule: ElementRule, base: Base, type_name: str) -> tuple[Check, ...]:
        """What is looked at in one item of an element, or of a slice."""
        checks: list[Check] = []
        if rule.types and (base is None or base.choice or base.type == "Resource"):
            checks += typed(rule, type_name)
        checks += valued(rule)
        if rule.binding is not None and (
            base is None or (rule.binding.value_set, rule.binding.strength) != (base.binding, base.strength)
        ):
            checks += self._bound(rule.binding)
        checks += (
            self._constraint(one)
            for one in rule.constraints
            if (one.key, one.expression) not in known_constraints(type_name, base)
        )
        checks += (
            self._meeting(kind)
            for kind in rule.types
            if kind.profiles and kind.profiles != (base.profiles if base else ())
        )
        if any(kind.targets for kind in rule.types):
            checks.append(referring(rule.types, self._registry, self._conforms))
        found = [self._child(child, type_name) for child in rule.children]
        return (*checks, *checks_of([one for one in found if one is not None]))

    def _child(self, rule: ElementRule, parent: str) -> Child | None:
        """What is looked at in the children of one name; nothing where the profile says no more than R4."""
        base = field_of(parent, rule.name)
        items = self._item(rule, base, type_name_of(rule, base))
        slicing = self._sliced(rule.slicing, base, rule) if rule.slicing else None
        counted = base is None or (rule.min, rule.max) != (base.min, base.max)
        if not (items or slicing or counted):
            return None
        place, keys = f".{rule.name}", keys_of(parent, rule.name)
        # The url of every extension has a fixed text and nothing else to be looked at: what has it is right as it is.
        text = rule.fixed if isinstance(rule.fixed, str) and len(items) == 1 and not rule.choice else None

        def look(element: Element, findings: Findings) -> None:
            if text is not None and type(element.value) is dict and element.value.get(rule.name) == text:
                return
            for item in members(element, rule.name):
                for one in items:
                    one(item, findings)

        def check(element: Element, findings: Findings) -> None:
            holder = element.value if type(element.value) is dict else element.extra
            count = None if keys is None else count_of(holder, keys)
            if count == 0 and rule.min == 0 and slicing is None:
                return
            found = members(element, rule.name) if count is None or (count and (items or slicing)) else []
            check_count(rule, len(found) if count is None else count, element, place, findings)
            for item in found:
                for one in items:
                    one(item, findings)
            if slicing is not None:
                slicing(element, found, findings)

        if slicing is None and not counted:
            return Child(keys, needed=False, check=look)
        return Child(keys, needed=rule.min > 0 or slicing is not None, check=check)

    # Slices.

    def _sliced(self, slicing: Slicing, base: Base, rule: ElementRule) -> Look:
        parts = tuple(self._part(one, base) for one in slicing.slices if one.criteria)
        name = rule.name

        def check(parent: Element, found: list[Element], findings: Findings) -> None:
            slices = [slice_of(item, parts) for item in found]
            for item, at in zip(found, slices, strict=True):
                if at is not None and at >= 0:
                    for one in parts[at].looks:
                        one(item, findings)
                elif at == OF_NONE and slicing.rules == "closed":
                    known = ", ".join(part.name for part in parts) or "none"
                    findings.add(
                        "structure", f"this is of none of the slices that {rule.path} may have: {known}", item.path()
                    )
            for number, part in enumerate(parts):
                if part.inner is not None:
                    part.inner(parent, [item for item, at in zip(found, slices, strict=True) if at == number], findings)
            if slicing.ordered or slicing.rules == "openAtEnd":
                check_order(slicing, parts, found, slices, findings)
            check_counts(parts, slices, parent, name, findings)

        return check

    def _part(self, one: Slice, base: Base) -> Part:
        rule = one.rule
        match = matcher(one.criteria, self._registry.codes, self._conforms)
        inner = self._sliced(rule.slicing, base, rule) if rule.slicing else None
        return Part(one.name, match, self._item(rule, base, type_name_of(rule, base)), inner, rule)

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
        bounds = functools.cache(lambda: self._registry.bounds(value_set))

        def check(element: Element, findings: Findings) -> None:
            if element.value is None or not is_coded(element):
                return
            known = codes()
            if may_be_in(element.value, bounds()) if known is None else is_in(element.value, known):
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
        if not one.expression:
            return nothing
        try:
            return self._holding(one, compile_expression(one.expression))
        except FhirPathError as error:
            text = f"{one.key} could not be checked: {error.message}"
            return lambda element, findings: findings.add("processing", text, element.path(), "warning", one.key)

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
                self._against(element, kind.profiles[0], findings) if is_of_type(element, kind.code) else None
            )

        def check(element: Element, findings: Findings) -> None:
            if is_of_type(element, kind.code) and self._conforms(element, kind.profiles) is False:
                findings.add("structure", f"this meets none of the profiles {', '.join(kind.profiles)}", element.path())

        return check


def _claimed(resource: Element) -> Iterable[str]:
    meta = resource.value.get("meta")
    claimed = meta.get("profile") if type(meta) is dict else None
    return [one for one in claimed if isinstance(one, str)] if type(claimed) is list else ()


def _first_time(element: Element, profile: Profile, findings: Findings) -> bool:
    """Whether an extension is compared with its definition for the first time; its value stays where it is meanwhile."""
    key = id(element.value), profile.canonical
    if not isinstance(findings, _Run):
        return True
    known = key in findings.seen
    findings.seen.add(key)
    return not known
