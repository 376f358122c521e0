"""Invariants: the constraints of R4 as compiled FHIRPath, and what of them can be told from a few keys of the JSON.

https://hl7.org/fhir/R4/conformance-rules.html#constraints

Evaluating an expression takes microseconds, and an element has several. Most of what R4's expressions ask is which
elements are there, and a part that reads nothing that is there has a result that is known beforehand. So each expression is
compiled a second time, to a test of the bare JSON that answers true, false or, where it cannot tell, None.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from profiles.definitions import Constraint, Structure
from profiles.fhirpath.compiler import compile_tree
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import Host, truth
from profiles.fhirpath.expression import Expression, compile_expression
from profiles.fhirpath.model import Shape, shape
from profiles.fhirpath.syntax import Binary, Call, Index, Literal, Member, Polarity, Special, Tree, TypeTest, Variable

Answer = Callable[[dict[str, Any]], bool | None]

CHECKED_ELSEWHERE: Mapping[str, str] = {
    "ele-1": "an object that is empty or has an id alone is refused with the structure",
    "dom-2": "contained resources inside contained ones are refused with the structure",
    "txt-1": "profiles.narrative reads the XHTML",
    "txt-2": "profiles.narrative reads the XHTML",
}
LEFT_OUT: Mapping[str, str] = {
    "dom-6": "a best practice: that a resource should have a narrative",
}
REPAIRED: Mapping[str, tuple[str, str]] = {
    "ref-1": (
        "reference.empty() or reference.startsWith('#').not() or reference = '#' or "
        "reference.substring(1) in %rootResource.contained.id",
        "as published it is empty, not true, for a reference by identifier, and false for '#', the container itself",
    ),
}
"""By key: the expression that is used, and why not the published one."""

_HOST = Host(resolve=lambda reference, element: None)


@dataclass(frozen=True, slots=True)
class Invariant:
    """A constraint, ready for use."""

    key: str
    severity: str
    human: str
    expression: Expression

    def holds(self, element: Element) -> bool:
        """Whether an element meets it; raises FhirPathError where the expression does not fit the data."""
        return self.expression.holds(element, host=_HOST)

    def met(self, element: Element) -> bool:
        """Whether an element surely meets it."""
        return _result(self.expression, element) is True


def invariants(structure: Structure, path: str) -> tuple[Invariant, ...]:
    """The constraints on the elements at a path of a structure: on the structure itself at its name, else on a field."""
    return tuple(_invariant(constraint) for constraint in structure.constraints if constraint.path == path and _used(constraint))


def _used(constraint: Constraint) -> bool:
    return constraint.key not in CHECKED_ELSEWHERE and constraint.key not in LEFT_OUT


def _invariant(constraint: Constraint) -> Invariant:
    text, _ = REPAIRED.get(constraint.key, (constraint.expression, ""))
    return Invariant(constraint.key, constraint.severity, constraint.human, compile_expression(text))


def quick(invariant: Invariant, type_name: str) -> Answer:
    """The test of the JSON object of an element of a type: true is sure, all else wants a closer look."""
    return _Quick(shape(type_name)).answer(invariant.expression.tree)


# Functions that ask their argument of each item of their input: without input it is not looked at.
_PER_ITEM = frozenset({"where", "select", "all", "exists", "repeat", "trace", "iif"})
_OUTSIDE = frozenset({"resource", "rootResource"})


@dataclass(frozen=True, slots=True)
class _Quick:
    shape: Shape

    def answer(self, tree: Tree) -> Answer:
        match tree:
            case Binary("and" | "or" | "xor" | "implies" as operator, left, right):
                return _logic(operator, self.answer(left), self.answer(right))
            case Call(source, "not", ()) if source is not None:
                return _negation(self.answer(source))
            case Call(Member(None, name), "exists", ()) if name in self.shape.elements:
                return self._presence(name)
            case Call(Member(None, name), "empty", ()) if name in self.shape.elements:
                return _negation(self._presence(name))
            case Call(Member(None, name), "hasValue", ()) if self._is_text(name):
                return lambda value: name in value
            case Call(Member(None, name), "startsWith", (Literal((str(start),)),)) if self._is_text(name):
                return lambda value: value[name].startswith(start) if name in value else None
            case Binary("=", Member(None, name), Literal((str(wanted),))) if self._is_text(name):
                return lambda value: value[name] == wanted if name in value else None
            case _:
                return self._guarded(tree)

    def _is_text(self, name: str) -> bool:
        """Whether an element is one text, whose equality is that of its characters."""
        places = self.shape.elements.get(name, ())
        texts = ("code", "string", "uri", "id", "url", "canonical", "dateTime", "date", "instant")
        return len(places) == 1 and not places[0].repeats and places[0].type in texts

    def _presence(self, name: str) -> Answer:
        places = self.shape.elements[name]
        keys = frozenset(key for place in places for key in ((place.name, place.sibling) if place.primitive else (place.name,)))
        if len(keys) == 1:
            return lambda value: name in value
        return lambda value: not keys.isdisjoint(value)

    def _guarded(self, tree: Tree) -> Answer:
        """The full evaluation of a part, spared where nothing that it reads is there."""
        evaluated = self._evaluated(tree)
        names = reads(tree, self.shape.name)
        if names is None:
            return evaluated
        places = [place for name in names for place in self.shape.elements.get(name, ())]
        keys = frozenset(key for place in places for key in (place.name, place.sibling))
        constant = _result(Expression("", tree, compile_tree(tree)), Element({}, self.shape))
        return lambda value: constant if keys.isdisjoint(value) else evaluated(value)

    def _evaluated(self, tree: Tree) -> Answer:
        if self.shape.kind != "resource" and looks_outside(tree):
            return lambda value: None
        expression, kind = Expression("", tree, compile_tree(tree)), self.shape
        return lambda value: _result(expression, Element(value, kind))


def _result(expression: Expression, element: Element) -> bool | None:
    try:
        return truth(expression.items(element, host=_HOST))
    except FhirPathError:
        return None


def reads(tree: Tree, type_name: str) -> frozenset[str] | None:
    """The elements of its context without which an expression has one result, whatever else is there; None: no such set."""
    match tree:
        case Literal() | Variable():
            return None if isinstance(tree, Variable) and tree.name in (*_OUTSIDE, "context") else frozenset()
        case Member(None, name):
            return frozenset({name}) if name != type_name else None
        case Member(Member(None, source), name) if source == type_name:
            return frozenset({name})
        case Member(source, _) | TypeTest(_, source, _, _) | Polarity(_, source):
            return reads(source, type_name) if source is not None else None
        case Call(None, _, _) | Special():
            return None
        case Call(source, name, _) if name in _PER_ITEM and source is not None:
            return reads(source, type_name) if name != "iif" else None
        case Call(source, _, arguments):
            return _together([source, *arguments], type_name)
        case Binary(_, left, right) | Index(left, right):
            return _together([left, right], type_name)
        case _:
            return None


def _together(trees: list[Tree | None], type_name: str) -> frozenset[str] | None:
    found: frozenset[str] = frozenset()
    for tree in trees:
        names = reads(tree, type_name) if tree is not None else None
        if names is None:
            return None
        found |= names
    return found


def looks_outside(tree: Tree) -> bool:
    """Whether an expression asks for the resource around its context, or for another one."""
    match tree:
        case Variable(name):
            return name in _OUTSIDE
        case Call(source, name, arguments):
            return name == "resolve" or any(looks_outside(part) for part in (source, *arguments) if part is not None)
        case Member(source, _) | TypeTest(_, source, _, _) | Polarity(_, source):
            return source is not None and looks_outside(source)
        case Binary(_, left, right) | Index(left, right):
            return looks_outside(left) or looks_outside(right)
        case _:
            return False


def _negation(inner: Answer) -> Answer:
    def answer(value: dict[str, Any]) -> bool | None:
        found = inner(value)
        return None if found is None else not found

    return answer


def _logic(operator: str, left: Answer, right: Answer) -> Answer:
    """Three-valued logic, sound also where None stands for what is not known rather than for an empty collection."""

    def conjunction(value: dict[str, Any]) -> bool | None:
        one = left(value)
        if one is False:
            return False
        other = right(value)
        return other if one else (False if other is False else None)

    def disjunction(value: dict[str, Any]) -> bool | None:
        one = left(value)
        if one is True:
            return True
        other = right(value)
        return other if one is False else (True if other else None)

    def exclusive(value: dict[str, Any]) -> bool | None:
        one, other = left(value), right(value)
        return None if one is None or other is None else one is not other

    match operator:
        case "and":
            return conjunction
        case "or":
            return disjunction
        case "xor":
            return exclusive
        case _:
            return _logic("or", _negation(left), right)
