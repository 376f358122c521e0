"""Profiles as trees of rules: what a StructureDefinition with a snapshot demands of each element, ready to be compiled.

https://hl7.org/fhir/R4/profiling.html and https://hl7.org/fhir/R4/elementdefinition.html
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from profiles.definitions import Constraint
from profiles.element_tree import Members, Node, tree
from profiles.slicing import (
    Bound,
    Child,
    Conforming,
    Criterion,
    Discriminator,
    Extension,
    Fixed,
    OfType,
    Pattern,
    Present,
    Resolve,
    Slice,
    Slicing,
    Step,
    Typed,
    UnfitDiscriminator,
    discriminator,
)

Json = dict[str, Any]
_SYSTEM = "http://hl7.org/fhirpath/"
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"


@dataclass(frozen=True, slots=True)
class TypeRule:
    """A type an element may have: its name, the profiles of which the value meets one, and those of what it refers to."""

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """Canonicals, of profiles or of plain types."""
    aggregation: tuple[str, ...] = ()
    """How it may refer: contained, referenced or bundled; anyhow where nothing is said."""


@dataclass(frozen=True, slots=True)
class BindingRule:
    """The value set of an element; `strength` is required, extensible, preferred or example."""

    strength: str
    value_set: str
    max_value_set: str | None
    """The value set that even an extensible or preferred binding may not be left for."""


@dataclass(frozen=True, slots=True)
class ElementRule:
    """What a profile demands of one element, or of a slice of it.

    Children are listed where the profile looks into the element; else the type, or its profile, says it all.
    """

    id: str
    path: str
    name: str
    """Last step of the path, a choice by its common name: `value`."""
    choice: bool
    min: int
    max: int | None
    """None is *."""
    types: tuple[TypeRule, ...]
    fixed: Any | None
    pattern: Any | None
    binding: BindingRule | None
    constraints: tuple[Constraint, ...]
    must_support: bool
    modifier: bool
    max_length: int | None
    min_value: Any | None
    max_value: Any | None
    content_reference: str | None
    """Canonical and, behind #, the id of the element whose children this one has."""
    children: "tuple[ElementRule, ...]"
    slicing: Slicing | None

    def child(self, name: str) -> "ElementRule | None":
        """The child of this name; a choice goes by its common name."""
        return next((child for child in self.children if child.name == name), None)


@dataclass(frozen=True, slots=True)
class Profile:
    """A StructureDefinition, compiled: the rules of its root, and what says where it applies."""

    url: str
    version: str | None
    name: str
    type: str
    kind: str
    """resource, complex-type, primitive-type or logical."""
    derivation: str | None
    """constraint: a profile; specialization: a type."""
    abstract: bool
    base: str | None
    contexts: tuple[tuple[str, str], ...]
    """Of an extension: (element | fhirpath | extension, expression) where it may stand."""
    root: ElementRule
    context_invariants: tuple[str, ...] = ()
    """Of an extension: what, in FHIRPath, has to be true of the element it stands in; it is itself %extension."""

    @property
    def canonical(self) -> str:
        """Its url with its version."""
        return f"{self.url}|{self.version}" if self.version else self.url

    def elements(self) -> Iterator[ElementRule]:
        """All its rules in the order of the snapshot, those of slices included."""
        return _walk(self.root)


Pin = Callable[[str], str]
"""A canonical as a profile names it -> with the version that is meant, where that is known."""
Lookup = Callable[[str], Profile | None]
"""The profile of a canonical; None where there is none, or where it is just being compiled."""


def _as_named(canonical: str) -> str:
    return canonical


def compile_profile(definition: Json, lookup: Lookup, pin: Pin = _as_named) -> Profile:
    """The profile of a StructureDefinition with a snapshot; `lookup` is asked for what discriminators look through.

    Raises ValueError where the snapshot is none; discriminators that cannot be read leave slices without criteria.
    """
    node = tree(definition.get("snapshot", {}).get("element", ()))
    return Profile(
        url=definition["url"],
        version=definition.get("version"),
        name=definition.get("name", ""),
        type=definition["type"],
        kind=definition["kind"],
        derivation=definition.get("derivation"),
        abstract=definition.get("abstract", False),
        base=definition.get("baseDefinition"),
        contexts=tuple((item["type"], item["expression"]) for item in definition.get("context", ())),
        root=_Compilation(definition["url"], lookup, pin).rule(node, node.name, node.name),
        context_invariants=tuple(definition.get("contextInvariant", ())),
    )


@dataclass(frozen=True, slots=True)
class _Compilation:
    url: str
    lookup: Lookup
    pin: Pin

    def rule(self, node: Node, name: str, path: str) -> ElementRule:
        """The rule of an element or slice whose id is `name`."""
        if not node.members and len(node.slices) == 1:
            # Old definitions name an element that they do not slice.
            node = node.slices[0]
        members = node.members
        last = node.name.removesuffix("[x]")
        return ElementRule(
            id=name,
            path=path,
            name=last,
            choice=last != node.name,
            min=members.get("min", 0),
            max=None if members.get("max", "*") == "*" else int(members["max"]),
            types=tuple(self._type(kind) for kind in members.get("type", ())),
            fixed=_valued(members, "fixed"),
            pattern=_valued(members, "pattern"),
            binding=self._binding(members.get("binding")),
            constraints=tuple(_constraints(path, members)),
            must_support=members.get("mustSupport", False),
            modifier=members.get("isModifier", False),
            max_length=members.get("maxLength"),
            min_value=_valued(members, "minValue"),
            max_value=_valued(members, "maxValue"),
            content_reference=self._reference(members.get("contentReference")),
            children=tuple(self.rule(child, f"{name}.{child.name}", f"{path}.{child.name}") for child in node.children),
            slicing=self._slicing(node, node.slices, name, path),
        )

    def _type(self, kind: Json) -> TypeRule:
        code = str(kind.get("code", ""))
        if code.startswith(_SYSTEM) or not code:
            code = next(
                (str(item.get("valueUrl")) for item in kind.get("extension", ()) if item["url"] == _FHIR_TYPE), "string"
            )
        profiles, targets = kind.get("profile", ()), kind.get("targetProfile", ())
        aggregation = tuple(kind.get("aggregation", ()))
        return TypeRule(code, tuple(map(self.pin, profiles)), tuple(map(self.pin, targets)), aggregation)

    def _binding(self, binding: Json | None) -> BindingRule | None:
        if not binding or "valueSet" not in binding:
            return None
        more = (item.get("valueCanonical") for item in binding.get("extension", ()) if item["url"] == _MAX_VALUE_SET)
        most = next(more, None)
        return BindingRule(binding["strength"], self.pin(binding["valueSet"]), most and self.pin(most))

    def _reference(self, reference: str | None) -> str | None:
        return self.url + reference if reference and reference.startswith("#") else reference

    def _slicing(self, node: Node, slices: list[Node], name: str, path: str) -> Slicing | None:
        """How the items of an element, or those of one of its slices, are sliced."""
        says = node.members.get("slicing")
        own = [one for one in slices if not any(one.slice_name.startswith(f"{other.slice_name}/") for other in slices)]
        if says is None or (not own and says.get("rules") != "closed"):
            return None
        found = tuple(_discriminators(says))
        sliced = name.removesuffix(f":{node.slice_name}")
        return Slicing(
            discriminators=found,
            ordered=says.get("ordered", False),
            rules=says.get("rules", "open"),
            slices=tuple(self._slice(one, slices, found, f"{sliced}:{one.slice_name}", path) for one in own),
        )

    def _slice(
        self, node: Node, slices: list[Node], discriminators: tuple[Discriminator, ...], name: str, path: str
    ) -> Slice:
        within = [one for one in slices if one.slice_name.startswith(f"{node.slice_name}/")]
        rule = self.rule(Node(node.name, node.slice_name, node.members, node.children, within), name, path)
        criteria = tuple(criterion for one in discriminators for criterion in self._criteria(one, rule))
        return Slice(node.slice_name, rule, criteria)

    # What tells an item of a slice from others.

    def _criteria(self, one: Discriminator, rule: ElementRule) -> Iterator[Criterion]:
        """The criteria of a discriminator: what the rule of the slice demands at its path."""
        for place in self._places(rule, one.steps):
            match one.type:
                case "value" | "pattern" if found := [
                    Criterion((*one.steps, *below.steps), below.demand) for below in self._values(place)
                ]:
                    yield from found
                case "value" | "pattern" if place.max == 0:
                    yield Criterion(one.steps, Present(False))
                case "exists" if place.max == 0 or place.min > 0:
                    yield Criterion(one.steps, Present(place.max != 0))
                case "type":
                    yield Criterion(one.steps, Typed(self._type_names(place, one.steps)))
                case "profile":
                    yield Criterion(one.steps, Conforming(_profiles(place, one.steps)))

    def _values(self, rule: ElementRule) -> Iterator[Criterion]:
        """What a rule, or else the rules below it, say of values."""
        if rule.fixed is not None:
            yield Criterion((), Fixed(rule.fixed))
        elif rule.pattern is not None:
            yield Criterion((), Pattern(rule.pattern))
        elif below := [
            Criterion((Child(child.name), *found.steps), found.demand)
            for child in rule.children
            for found in self._values(child)
        ]:
            yield from below
        elif rule.binding is not None and rule.binding.strength == "required":
            yield Criterion((), Bound(rule.binding.value_set))

    def _places(self, rule: ElementRule, steps: tuple[Step, ...]) -> Iterator[ElementRule]:
        """The rules that the steps of a path lead to, through the profiles of types and references where the tree ends."""
        if not steps:
            yield rule
            return
        step, rest = steps[0], steps[1:]
        match step:
            case Child(name):
                for child in self._children(rule, name):
                    yield from self._places(child, rest)
            case Extension(url):
                for one in self._extensions(rule, url):
                    yield from self._places(one, rest)
            case OfType():
                yield from self._places(rule, rest)
            case Resolve() if rest:
                for target in _profiles(rule, (step,)):
                    profile = self.lookup(target)
                    if profile is not None:
                        yield from self._places(profile.root, rest)
            case Resolve():
                yield rule

    def _children(self, rule: ElementRule, name: str) -> Iterator[ElementRule]:
        child = rule.child(name)
        if child is not None:
            return iter((child,))
        profiles = [self.lookup(profile) for kind in rule.types for profile in kind.profiles]
        found = [profile.root.child(name) for profile in profiles if profile is not None]
        if not profiles or None not in profiles or name != "url":
            return iter([one for one in found if one is not None])
        # An extension that is not installed, or a definition of itself: its url is its canonical.
        return (_extension_url(rule, profile) for kind in rule.types for profile in kind.profiles)

    def _extensions(self, rule: ElementRule, url: str) -> Iterator[ElementRule]:
        child = rule.child("extension")
        slices = child.slicing.slices if child is not None and child.slicing is not None else ()
        for one in slices:
            if Criterion((Child("url"),), Fixed(url)) in one.criteria:
                yield one.rule
                profiles = (self.lookup(profile) for kind in one.rule.types for profile in kind.profiles)
                yield from (profile.root for profile in profiles if profile is not None)

    def _type_names(self, rule: ElementRule, steps: tuple[Step, ...]) -> tuple[str, ...]:
        """The types of a rule, or of the resources its references lead to."""
        if not steps or not isinstance(steps[-1], Resolve):
            return tuple(kind.code for kind in rule.types)
        named = ((target, self.lookup(target)) for target in _profiles(rule, steps))
        return tuple(profile.type if profile else target.rpartition("/")[2] for target, profile in named)


def _walk(rule: ElementRule) -> Iterator[ElementRule]:
    yield rule
    for child in rule.children:
        yield from _walk(child)
    for one in rule.slicing.slices if rule.slicing else ():
        yield from _walk(one.rule)


def _discriminators(says: Json) -> Iterator[Discriminator]:
    for item in says.get("discriminator", ()):
        try:
            yield discriminator(item["type"], item["path"])
        except UnfitDiscriminator:
            # The slices stay without this criterion; nothing can be said of an item by a path nobody can follow.
            continue


def _profiles(rule: ElementRule, steps: Iterable[Step]) -> tuple[str, ...]:
    """The profiles of a rule's types, or behind `resolve()` those of what they refer to."""
    resolved = any(isinstance(step, Resolve) for step in steps)
    return tuple(name for kind in rule.types for name in (kind.targets if resolved else kind.profiles))


def _extension_url(rule: ElementRule, profile: str) -> ElementRule:
    url = profile.partition("|")[0]
    node = Node("url", "", {"min": 1, "max": "1", "type": [{"code": "uri"}], "fixedUri": url})
    return _Compilation(url, lambda _: None, _as_named).rule(node, f"{rule.id}.url", f"{rule.path}.url")


def _valued(members: Members, family: str) -> Any | None:
    """The member of a family that is named with a type: fixedCode, patternCoding."""
    size = len(family)
    return next(
        (value for key, value in members.items() if key[:size] == family and key[size : size + 1].isupper()), None
    )


def _constraints(path: str, members: Members) -> Iterator[Constraint]:
    for one in members.get("constraint", ()):
        yield Constraint(
            path, one["key"], one.get("severity", "error"), one.get("human", ""), one.get("expression", "")
        )
