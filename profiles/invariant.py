"""Invariants: the constraints of R4 as compiled FHIRPath.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from dataclasses import dataclass

from profiles.answer import Answer
from profiles.definitions import Constraint, Structure
from profiles.erratum import CHECKED_ELSEWHERE, LEFT_OUT, REPAIRED
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.expression import Expression, compile_expression
from profiles.shortcut import shortcut


@dataclass(frozen=True, slots=True)
class Invariant:
    """A constraint, ready for use."""

    key: str
    severity: str
    human: str
    expression: Expression

    def holds(self, element: Element) -> bool:
        """Whether an element meets it; raises FhirPathError where the expression does not fit the data."""
        return self.expression.holds(element)

    def surely_holds(self, element: Element) -> bool:
        """Whether an element meets it; not where that cannot be evaluated."""
        try:
            return self.holds(element)
        except FhirPathError:
            return False


def invariants(structure: Structure, path: str) -> tuple[Invariant, ...]:
    """The constraints on the elements at a path of a structure: on the structure itself at its name, else on a field."""
    return tuple(
        _invariant(constraint) for constraint in structure.constraints if constraint.path == path and _used(constraint)
    )


def quick(invariant: Invariant, type_name: str) -> Answer:
    """The invariant as a test of the JSON object, whose structure is right, of an element of a type; it may raise Unsure."""
    return shortcut(invariant.expression.tree, type_name)


def _used(constraint: Constraint) -> bool:
    return constraint.key not in CHECKED_ELSEWHERE and constraint.key not in LEFT_OUT


def _invariant(constraint: Constraint) -> Invariant:
    text, _ = REPAIRED.get(constraint.expression, (constraint.expression, ""))
    return Invariant(constraint.key, constraint.severity, constraint.human, compile_expression(text))
