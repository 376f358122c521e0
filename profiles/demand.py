"""What R4 demands beyond structure: codes of required bindings, types of reference targets, invariants.

https://hl7.org/fhir/R4/validation.html
"""

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from profiles import binding, reference
from profiles.answer import Answer, Unsure
from profiles.definitions import Definitions, Field, Structure
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.invariant import Invariant, invariants, quick
from profiles.issue import Findings, did_you_mean, shown

_SIMPLE = "http://hl7.org/fhir/StructureDefinition/SimpleQuantity"
_FEW = 20
_INSIDE = "Extension."
Asked = tuple[tuple[Invariant, Answer | None], ...]


def is_simple(place: Field) -> bool:
    """Whether a Quantity is a SimpleQuantity here, which has no comparator."""
    return place.type == "Quantity" and _SIMPLE in place.profiles


def is_outermost_extension(place: Field) -> bool:
    """Whether an extension stands here that is not part of another extension, and so has an absolute url."""
    return place.type == "Extension" and not place.path.startswith(_INSIDE)


@dataclass(frozen=True, slots=True)
class Known:
    """What was made of some definitions already; kept from one resource to the next."""

    definitions: Definitions
    _asked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    _bindings: dict[str, binding.Binding | None] = field(default_factory=dict)

    def required_binding(self, place: Field) -> binding.Binding | None:
        """The required binding of a field, as `profiles.binding` says."""
        if place.strength != "required" or place.binding is None:
            return None
        if place.binding not in self._bindings:
            self._bindings[place.binding] = binding.required_binding(self.definitions, place)
        return self._bindings[place.binding]

    def invariants_at(self, structure: Structure, path: str, element: Element) -> Asked:
        """The constraints at a path of a structure; those on objects with their quick tests."""
        key = path, element.shape.name
        if key not in self._asked:
            found = invariants(structure, path)
            kind = element.shape
            self._asked[key] = tuple((one, None if kind.primitive else quick(one, kind.name)) for one in found)
        return self._asked[key]


@dataclass(frozen=True, slots=True)
class Demands:
    """Looks at elements whose structure is right; what it finds goes into `findings`."""

    known: Known
    findings: Findings
    _types: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def look(self, element: Element, place: Field | None, structure: Structure | None) -> None:
        """One element, the field it stands in (None: a root), and its structure (None: that of a primitive type)."""
        if place is not None:
            self._look_at_place(element, place)
        if structure is None:
            return
        self._evaluate(element, structure, structure.name)
        if structure.name == "Reference":
            self._look_inside(element)
        elif structure.name == "Bundle.entry" and not reference.agrees(element.value):
            # No more than a warning, since examples that HL7 publishes have it too.
            text = "fullUrl names another type or id than the resource of this entry has"
            self.findings.add("value", text, f"{element.path()}.fullUrl", "warning")
        elif structure.kind == "resource" and "contained" in element.value:
            self._look_at_contained(element)

    def _look_at_contained(self, element: Element) -> None:
        for position in reference.unreferred(element.value):
            text = "nothing refers to this contained resource, nor does it refer to the one around it (dom-3)"
            self._add("invariant", text, f"{element.path()}.contained[{position}]", "dom-3")
        for position in reference.repeated(element.value):
            text = "another contained resource has this id, so that #id leads to two"
            self._add("duplicate", text, f"{element.path()}.contained[{position}].id")

    def _look_at_place(self, element: Element, place: Field) -> None:
        value = element.value
        if value is None:
            return
        if (bound := self.known.required_binding(place)) and (text := binding.fault(bound, value)):
            self._add("code-invalid", text, element.path())
        if (
            place.targets
            and place.type == "Reference"
            and (text := reference.fault(value, self._contained(element), place.targets, self.known.definitions))
        ):
            step = ".reference" if "reference" in value else ".type"
            self._add("value", text, element.path() + step)
        if is_outermost_extension(place) and ":" not in value["url"]:
            text = f"{shown(value['url'])} is no absolute address; only an extension inside another one has a name for a url"
            self._add("value", text, f"{element.path()}.url")
        if is_simple(place) and "comparator" in value:
            self._add("structure", "a quantity here has no comparator", f"{element.path()}.comparator", "sqty-1")
        if element.parent is not None and place.type != place.path:
            self._evaluate(element, self.known.definitions.structure(place.path.rpartition(".")[0]), place.path)

    def _look_inside(self, element: Element) -> None:
        local = element.value.get("reference", "")
        if local and local[:1] != "#" and not reference.is_literal(local):
            text = f"{shown(local)} is no reference: it is #id, an absolute address, or Type/id"
            self._add("value", text, f"{element.path()}.reference")
        if local[:1] == "#" and local != "#" and local[1:] not in self._contained(element):
            # Comparing takes time for each: a resource that contains more than a few of these is no slip of the pen.
            known = [f"#{one}" for one in itertools.islice(self._contained(element), _FEW) if one]
            text = f"{shown(local)} leads to no contained resource of this one{did_you_mean(local, known)} (ref-1)"
            self._add("invariant", text, element.path(), "ref-1")

    def _contained(self, element: Element) -> Mapping[str, Any]:
        """The types of what #id may lead to from an element."""
        container = element
        while container.parent is not None and not _is_outermost(container):
            container = container.parent
        key = id(container.value)
        if key not in self._types:
            self._types[key] = reference.contained_types(container.value)
        return self._types[key]

    def _evaluate(self, element: Element, structure: Structure, path: str) -> None:
        for invariant, answer in self.known.invariants_at(structure, path, element):
            try:
                met = _is_met(invariant, answer, element)
            except FhirPathError as error:
                text = f"{invariant.key} could not be checked: {error.message}"
                self.findings.add("processing", text, element.path(), "warning", invariant.key)
                continue
            if not met:
                text = f"{invariant.human} ({invariant.key})"
                self.findings.add("invariant", text, element.path(), invariant.severity, invariant.key)

    def _add(self, code: str, text: str, location: str, key: str = "") -> None:
        self.findings.add(code, text, location, key=key)


def _is_met(invariant: Invariant, answer: Answer | None, element: Element) -> bool:
    with contextlib.suppress(Unsure):
        if answer is not None and answer(element.value):
            return True
    return invariant.holds(element)


def _is_outermost(element: Element) -> bool:
    """Whether an element is a resource that is not contained in another one."""
    return element.shape.kind == "resource" and element.name != "contained"
