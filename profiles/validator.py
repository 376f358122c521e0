"""Resources compared with the definitions of R4: what is wrong with them, where, and what to do about it.

https://hl7.org/fhir/R4/validation.html
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from profiles import narrative
from profiles.acceptance import Acceptance, Right, has_sibling
from profiles.binding import required_binding, right_code
from profiles.definitions import Definitions, Field, Structure
from profiles.fhirpath.element import Element
from profiles.fhirpath.model import shape
from profiles.demand import Demands, is_simple
from profiles.invariant import Invariant, Unsure, invariants, quick
from profiles.issue import Findings, Issue, TooMany, did_you_mean, kind_of, shown
from profiles.primitive import PRIMITIVES, fault
from profiles.reference import Container, all_referred, resolves, right_reference

Level = Literal["structure", "base"]
Rules = Callable[[Element, Field | None, Structure | None], None]
"""More than structure: looks at one element, which stands in a field (None: a root) and has a structure (None: primitive)."""


class Validator:
    """The rules of some definitions. One is enough for a process; it compiles a type when it first meets one."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._container = Container()
        self._structure = Acceptance(definitions, self._container, _is_narrative)
        self._base = Acceptance(definitions, self._container, _is_narrative, self._refined, self._answers)

    def validate(self, resource: Any, level: Level = "base") -> list[Issue]:
        """All issues of a resource as JSON, in its order; at most `profiles.issue.LIMIT`, then a closing note.

        Level structure: elements, kinds, cardinalities, formats, choices, contained, narrative. Level base adds required
        bindings, types of reference targets and invariants. Raises nothing, whatever the JSON is.
        """
        if type(resource) is not dict:
            return [Issue("error", "structure", f"a resource is a JSON object; this is {kind_of(resource)}", "")]
        try:
            return [] if self._is_right(resource, level) else self._examine(resource, level)
        except RecursionError:
            return [Issue("error", "structure", "the resource is nested too deeply to be read", "")]

    def _is_right(self, resource: dict[str, Any], level: Level) -> object:
        """Whether nothing is wrong with a resource, and that can be told quickly."""
        try:
            return (self._structure if level == "structure" else self._base).resource(resource)
        except Unsure:
            return False

    def _examine(self, resource: dict[str, Any], level: Level) -> list[Issue]:
        findings = Findings()
        rules = None if level == "structure" else Demands(self._definitions, findings).look
        with contextlib.suppress(TooMany):
            root = Element(resource, shape(_type_of(resource)))
            Examination(self._definitions, findings, rules).resource(root, None)
        return findings.issues

    def _refined(self, field: Field, right: Right) -> Right:
        """The test of a field's value, with its binding, its targets, its profile and the constraints on the field."""
        if binding := required_binding(self._definitions, field):
            right = right_code(binding, field.type, right)
        if field.targets and field.type == "Reference":
            right = right_reference(field.targets, right, self._definitions, self._container)
        if is_simple(field):
            right = _without_comparator(right)
        parent = self._definitions.structure(field.path.rpartition(".")[0])
        return _with_answers(right, parent, field)

    def _answers(self, structure: Structure) -> tuple[Right, ...]:
        """The constraints on a structure as tests; those that look around in the whole resource have tests of their own."""
        return tuple(self._answer(invariant, structure) for invariant in invariants(structure, structure.name))

    def _answer(self, invariant: Invariant, structure: Structure) -> Right:
        match invariant.key:
            case "ref-1":
                return resolves(self._container)
            case "dom-3":
                return all_referred
            case _:
                return quick(invariant, structure.name)


def _is_narrative(div: str) -> bool:
    return narrative.fault(div) is None


def _with_answers(right: Right, parent: Structure, field: Field) -> Right:
    """The test of a value with the constraints that the parent puts on this field."""
    found = invariants(parent, field.path) if field.type != field.path else ()
    if not found:
        return right
    if field.primitive:
        return lambda value: right(value) and all(one.met(Element(value, shape(field.type))) for one in found)
    answers = tuple(quick(invariant, field.type) for invariant in found)
    return lambda value: right(value) and all(answer(value) for answer in answers)


def _without_comparator(right: Right) -> Right:
    return lambda value: "comparator" not in value and right(value)


def _type_of(resource: dict[str, Any]) -> str:
    """The type that paths begin with: that of the resource, or Resource where it says none."""
    name = resource.get("resourceType")
    return name if type(name) is str and name.isalpha() else "Resource"


@dataclass(frozen=True, slots=True)
class Examination:
    """One resource looked at closely: every element with its place, every rule, every issue into `findings`."""

    definitions: Definitions
    findings: Findings
    rules: Rules | None = None

    def resource(self, element: Element, field: Field | None) -> None:
        """An element whose value is an object that should be a resource."""
        value = element.value
        name = value.get("resourceType")
        path = element.path()
        if name is None:
            self._add("structure", "resourceType is missing: it says what kind of resource this is", path)
        elif type(name) is not str or not self.definitions.is_resource(name):
            hint = did_you_mean(name, self.definitions.resource_types) if type(name) is str else ""
            self._add("structure", f"{shown(name)} is not a resource type of R4{hint}", f"{path}.resourceType")
        else:
            self._object(element, field, self.definitions.structure(name))

    def _contained(self, element: Element, field: Field) -> None:
        """A contained resource: it has an id to be referred to by, and contains nothing itself."""
        if "id" not in element.value:
            self._add("required", "a contained resource needs an id, by which #id refers to it", f"{element.path()}.id")
        if "contained" in element.value:
            text = "a contained resource does not contain resources itself: they all stand in the outermost one"
            self._add("structure", text, f"{element.path()}.contained", key="dom-2")
        self.resource(element, field)

    def _object(self, element: Element, field: Field | None, structure: Structure) -> None:
        """The members of an object, what is missing among them, and then what more is asked of it."""
        before = len(self.findings.issues)
        value: dict[str, Any] = element.value
        if not value.keys() - {"id"}:
            text = "has nothing but an id: an element has a value or children" if value else "is empty; leave the element out"
            self._add("structure", f"the object {text}", element.path(), key="ele-1")
        self._names(element, structure)
        for name, one in structure.fields.items():
            if name in value or f"_{name}" in value:
                self._property(element, one)
        self._choices(element, structure)
        self._missing(element, structure)
        if self.rules is not None and len(self.findings.issues) == before:
            self.rules(element, field, structure)

    def _names(self, element: Element, structure: Structure) -> None:
        """Each property that the structure does not have."""
        for name in element.value:
            field = structure.fields.get(name.removeprefix("_"))
            if name == "resourceType" and structure.kind == "resource":
                continue
            if field is None:
                self._unknown(element, structure, name)
            elif name.startswith("_") and not has_sibling(field):
                text = f"'{name}' stands beside no primitive element: only these have an id and extensions of their own"
                self._add("structure", text, f"{element.path()}.{field.element}")

    def _unknown(self, element: Element, structure: Structure, name: str) -> None:
        known = [*structure.fields, *(f"_{f.name}" for f in structure.fields.values() if has_sibling(f))]
        path = element.path()
        if choice := [f.name for f in structure.fields.values() if f.choice and f.element == name]:
            few = ", ".join(choice[:3]) + (" …" if len(choice) > 3 else "")
            text = f"'{name}' is written with its type in its name: {few}"
        else:
            text = f"{structure.name} has no element {shown(name)}{did_you_mean(name, known)}"
        self._add("structure", text, f"{path}.{name}" if name.isidentifier() else path)

    def _choices(self, element: Element, structure: Structure) -> None:
        variants: dict[str, list[str]] = {}
        for name, field in structure.fields.items():
            if field.choice and (name in element.value or f"_{name}" in element.value):
                variants.setdefault(field.element, []).append(name)
        for choice, names in variants.items():
            if len(names) > 1:
                text = f"{choice}[x] is there {len(names)} times, as {', '.join(names)}; one of them is allowed"
                self._add("structure", text, f"{element.path()}.{choice}")

    def _missing(self, element: Element, structure: Structure) -> None:
        for name in structure.required:
            wanted = name.removesuffix("[x]")
            fields = [f.name for f in structure.fields.values() if f.element == wanted]
            if not any(f in element.value or f"_{f}" in element.value for f in fields):
                self._add("required", f"{structure.name}.{name} is missing: it is required", f"{element.path()}.{wanted}")

    def _property(self, parent: Element, field: Field) -> None:
        """One property, with its sibling: an array of items, or the item."""
        value, extra = parent.value.get(field.name), parent.value.get(f"_{field.name}") if has_sibling(field) else None
        if wrong := _misshapen(parent.value, field):
            for text in wrong:
                self._add("structure", text, _below(parent, field))
        elif field.repeats:
            self._array(parent, field, value or [], extra or [])
        else:
            self._item(Element(value, _shape_of(field, value), extra, parent, field.name), field)

    def _array(self, parent: Element, field: Field, values: list[Any], extras: list[Any]) -> None:
        count = max(len(values), len(extras))
        if field.max is not None and count > field.max:
            self._add("structure", f"'{field.name}' has {count} items; at most {field.max} are allowed", _below(parent, field))
        for index in range(count):
            one, more = values[index] if values else None, extras[index] if extras else None
            self._item(Element(one, _shape_of(field, one), more, parent, field.name, index), field)

    def _item(self, element: Element, field: Field) -> None:
        if field.primitive:
            self._primitive(element, field)
        elif type(element.value) is not dict:
            text = f"an object is expected here, of type {field.type}; this is {kind_of(element.value)}"
            self._add("structure", text, element.path())
        elif field.type == "Resource":
            self._contained(element, field) if field.name == "contained" else self.resource(element, field)
        else:
            self._object(element, field, self.definitions.structure(field.type))

    def _primitive(self, element: Element, field: Field) -> None:
        before = len(self.findings.issues)
        value, extra = element.value, element.extra
        if value is None and extra is None:
            self._add("structure", "null stands here, and no extension beside it that says why", element.path())
        if value is not None and (text := _fault(field, value)):
            self._add("structure" if type(value) in (dict, list) else "value", text, element.path())
        if type(extra) is dict:
            self._sibling(element)
        elif extra is not None:
            text = f"'_{field.name}' is an object with id and extension, not {kind_of(extra)}"
            self._add("structure", text, element.path())
        if self.rules is not None and len(self.findings.issues) == before:
            self.rules(element, field, None)

    def _sibling(self, element: Element) -> None:
        """The id and extensions of a primitive element."""
        holder = Element(element.extra, shape("Element"), None, element.parent, element.name, element.index)
        if element.value is None or element.extra.keys() != {"id"}:
            self._object(holder, None, self.definitions.structure("Element"))
        else:
            self._property(holder, self.definitions.structure("Element").fields["id"])

    def _add(self, code: str, text: str, location: str, key: str = "") -> None:
        self.findings.add(code, text, location, key=key)


def _misshape(name: str, value: Any, *, repeats: bool) -> str | None:
    if value is None:
        return f"'{name}' is null; an element without a value is left out"
    if repeats and type(value) is not list:
        return f"'{name}' repeats: an array is expected, not {kind_of(value)}"
    if not repeats and type(value) is list:
        return f"'{name}' does not repeat: an array is not allowed"
    return f"'{name}' is an empty array; leave the element out" if value == [] else None


def _misshapen(holder: dict[str, Any], field: Field) -> list[str]:
    """What is wrong with the outside of a property and its sibling: null, no array where one is due, uneven arrays."""
    names = [name for name in _names_of(field) if name in holder]
    wrong = [text for name in names if (text := _misshape(name, holder[name], repeats=field.repeats))]
    if not wrong and field.repeats and len(names) > 1:
        counts = [len(holder[name]) for name in names]
        if counts[0] != counts[1]:
            return [f"'{names[0]}' has {counts[0]} items and '{names[1]}' {counts[1]}: null stands for one that is missing"]
    return wrong


def _names_of(field: Field) -> tuple[str, ...]:
    return (field.name, f"_{field.name}") if has_sibling(field) else (field.name,)


def _below(parent: Element, field: Field) -> str:
    return f"{parent.path()}.{field.element}"


def _shape_of(field: Field, value: Any) -> Any:
    name = _type_of(value) if field.type == "Resource" and type(value) is dict else field.type
    return shape(name)


def _fault(field: Field, value: Any) -> str | None:
    if field.type == "xhtml":
        return narrative.fault(value) if type(value) is str else f"a narrative is a JSON string, not {kind_of(value)}"
    return fault(PRIMITIVES[field.type], value)
