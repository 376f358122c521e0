"""One resource looked at closely: every element with its place, every rule of its structure, every issue.

https://hl7.org/fhir/R4/json.html and https://hl7.org/fhir/R4/elementdefinition.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from profiles import narrative
from profiles.acceptance import has_sibling
from profiles.definitions import Definitions, Field, Structure
from profiles.fhirpath.element import Element
from profiles.fhirpath.model import Shape, shape
from profiles.issue import Findings, did_you_mean, kind_of, shown
from profiles.primitive import PRIMITIVES, fault

TOLERATED: Mapping[tuple[str, str], str] = {
    ("SearchParameter.base", "required"): "ten SearchParameters of R4's own core package, on extensions, have none",
    ("SearchParameter.id", "value"): "a SearchParameter of R4's own core package has an id of 71 characters",
}
"""By place and code: what is told as a warning, since R4's own definitions do it."""
Rules = Callable[[Element, Field | None, Structure | None], None]
"""More than structure: looks at one element, which stands in a field (None: a root) and has a structure (None: primitive)."""


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
            text = (
                "has nothing but an id: an element has a value or children"
                if value
                else "is empty; leave the element out"
            )
            self._add("structure", f"the object {text}", element.path(), key="ele-1")
        present = self._present(element, structure)
        for one in present.values():
            self._property(element, one)
        self._choices(element, present)
        self._missing(element, structure, present)
        if self.rules is not None and len(self.findings.issues) == before:
            self.rules(element, field, structure)

    def _present(self, element: Element, structure: Structure) -> Mapping[str, Field]:
        """The fields that are there, as value or by their sibling, in the order of the resource; reports what is no field."""
        present: dict[str, Field] = {}
        for name in element.value:
            field = structure.fields.get(name.removeprefix("_"))
            if name == "resourceType" and structure.kind == "resource":
                continue
            if field is None:
                self._unknown(element, structure, name)
            elif name.startswith("_") and not has_sibling(field):
                text = f"'{name}' stands beside no primitive element: only these have an id and extensions of their own"
                self._add("structure", text, _below(element, field))
            else:
                present[field.name] = field
        return present

    def _unknown(self, element: Element, structure: Structure, name: str) -> None:
        known = [*structure.fields, *(f"_{f.name}" for f in structure.fields.values() if has_sibling(f))]
        path = element.path()
        if choice := [f.name for f in structure.fields.values() if f.choice and f.element == name]:
            few = ", ".join(choice[:3]) + (" …" if len(choice) > 3 else "")
            text = f"'{name}' is written with its type in its name: {few}"
        else:
            text = f"{structure.name} has no element {shown(name)}{did_you_mean(name, known)}"
        self._add("structure", text, f"{path}.{name}" if name.isidentifier() and len(name) <= 100 else path)

    def _choices(self, element: Element, present: Mapping[str, Field]) -> None:
        variants: dict[str, list[str]] = {}
        for field in present.values():
            if field.choice:
                variants.setdefault(field.element, []).append(field.name)
        for choice, names in variants.items():
            if len(names) > 1:
                text = f"{choice}[x] is there {len(names)} times, as {', '.join(names)}; one of them is allowed"
                self._add("structure", text, f"{element.path()}.{choice}")

    def _missing(self, element: Element, structure: Structure, present: Mapping[str, Field]) -> None:
        for name in structure.required:
            wanted = name.removesuffix("[x]")
            if wanted not in present and not any(field.element == wanted for field in present.values()):
                self._add(
                    "required", f"{structure.name}.{name} is missing: it is required", f"{element.path()}.{wanted}"
                )

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
            self._add(
                "structure", f"'{field.name}' has {count} items; at most {field.max} are allowed", _below(parent, field)
            )
        for index in range(count):
            one, more = values[index] if values else None, extras[index] if index < len(extras) else None
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
        severity = "warning" if (location, code) in TOLERATED else "error"
        self.findings.add(code, text, location, severity, key)


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
        # A sibling may end early: a library that many use leaves out the nulls behind the last extension.
        if counts[0] < counts[1]:
            return [
                f"'{names[0]}' has {counts[0]} items and '{names[1]}' {counts[1]}: null stands for one that is missing"
            ]
    return wrong


def _names_of(field: Field) -> tuple[str, ...]:
    return (field.name, f"_{field.name}") if has_sibling(field) else (field.name,)


def _below(parent: Element, field: Field) -> str:
    return f"{parent.path()}.{field.element}"


def _shape_of(field: Field, value: Any) -> Shape:
    name = type_of(value) if field.type == "Resource" and type(value) is dict else field.type
    return shape(name)


def _fault(field: Field, value: Any) -> str | None:
    if field.type == "xhtml":
        return narrative.fault(value) if type(value) is str else f"a narrative is a JSON string, not {kind_of(value)}"
    return fault(PRIMITIVES[field.type], value)


def type_of(resource: dict[str, Any]) -> str:
    """The type that paths begin with: that of the resource, or Resource where it says none."""
    name = resource.get("resourceType")
    return name if type(name) is str and name.isalpha() else "Resource"
