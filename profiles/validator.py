"""Resources compared with the definitions of R4: what is wrong with them, where, and what to do about it.

https://hl7.org/fhir/R4/validation.html
"""

import contextlib
from typing import Any, Literal

from profiles import narrative
from profiles.acceptance import Acceptance, Right
from profiles.answer import Unsure
from profiles.binding import right_code
from profiles.definitions import Definitions, Field, Structure
from profiles.demand import Demands, Known, is_outermost_extension, is_simple
from profiles.examination import Examination, type_of
from profiles.fhirpath.element import Element
from profiles.fhirpath.model import shape
from profiles.invariant import invariants, quick
from profiles.issue import Findings, Issue, TooMany, kind_of
from profiles.reference import Container, agrees, all_referred, resolves, right_reference

Level = Literal["structure", "base"]


class Validator:
    """The rules of some definitions. One is enough for a process; it compiles a type when it first meets one."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._container = Container()
        self._known = Known(definitions)
        self._structure = Acceptance(definitions, self._container, _is_narrative)
        self._base = Acceptance(definitions, self._container, _is_narrative, self._refined, self._demands)

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
        rules = None if level == "structure" else Demands(self._known, findings).look
        with contextlib.suppress(TooMany):
            root = Element(resource, shape(type_of(resource)))
            Examination(self._definitions, findings, rules).resource(root, None)
        return findings.issues

    def _refined(self, field: Field, right: Right) -> Right:
        """The test of a field's value, with its binding, its targets, its profile and the constraints on the field."""
        if binding := self._known.required_binding(field):
            right = right_code(binding, field.type, right)
        if field.targets and field.type == "Reference":
            right = right_reference(field.targets, right, self._definitions, self._container)
        if is_simple(field):
            right = _without_comparator(right)
        if is_outermost_extension(field):
            right = _absolute(right)
        parent = self._definitions.structure(field.path.rpartition(".")[0])
        return _with_answers(right, parent, field)

    def _demands(self, structure: Structure) -> tuple[Right, ...]:
        """What a structure's objects have to meet as tests: its constraints, and those that look around in the resource."""
        found: list[Right] = [quick(invariant, structure.name) for invariant in invariants(structure, structure.name)]
        if structure.name == "Reference":
            found.append(resolves(self._container))
        elif structure.name == "Bundle.entry":
            found.append(agrees)
        elif "contained" in structure.fields:
            found.append(all_referred)
        return tuple(found)


def _is_narrative(div: str) -> bool:
    return narrative.fault(div) is None


def _with_answers(right: Right, parent: Structure, field: Field) -> Right:
    """The test of a value with the constraints that the parent puts on this field."""
    found = invariants(parent, field.path) if field.type != field.path else ()
    if not found:
        return right
    if field.primitive:
        return lambda value: right(value) and all(one.surely_holds(Element(value, shape(field.type))) for one in found)
    answers = tuple(quick(invariant, field.type) for invariant in found)
    return lambda value: right(value) and all(answer(value) for answer in answers)


def _absolute(right: Right) -> Right:
    return lambda value: right(value) and ":" in value.get("url", "")  # a string only where it is right


def _without_comparator(right: Right) -> Right:
    return lambda value: "comparator" not in value and right(value)
