"""Expressions as tests of bare JSON: what of them can be told from a few keys.

https://hl7.org/fhirpath/N1/#expressions

Evaluating an expression takes microseconds, and an element has several constraints. Most of what R4's expressions ask is which
elements are there, and a part that reads nothing that is there has a result that is known beforehand. So an expression is
compiled a second time, to a test of the bare JSON that gives the same answer, or raises Unsure.
"""

import functools
from dataclasses import dataclass
from typing import Any

from profiles.answer import (
    Answer,
    Unsure,
    disjunction,
    in_order,
    is_true,
    logic,
    matcher,
    negation,
    of_value,
    presence,
    unsure,
)
from profiles.expression_tree import (
    CONDITIONS,
    counted,
    from_within,
    is_condition,
    looks_outside,
    of_resource,
    reads,
    replaced,
    texts_of,
    untraced,
)
from profiles.fhirpath.compiler import compile_tree
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import truth
from profiles.fhirpath.expression import Expression
from profiles.fhirpath.model import Shape, shape
from profiles.fhirpath.syntax import Binary, Call, Literal, Member, Tree


def shortcut(tree: Tree, type_name: str) -> Answer:
    """The expression as a test of the JSON object, whose structure is right, of an element of a type; it may raise Unsure."""
    return _Quick(shape(type_name)).answer(untraced(tree))


_TEXTS = frozenset({"code", "string", "uri", "id", "url", "canonical"})
_MOMENTS = frozenset({"dateTime", "date", "instant"})
_NUMBERS = frozenset({"decimal", "integer", "unsignedInt", "positiveInt"})


@dataclass(frozen=True, slots=True)
class _Quick:
    shape: Shape

    def answer(self, tree: Tree) -> Answer:
        match tree:
            case Binary("and" | "or" | "xor" | "implies" as operator, left, right):
                return logic(operator, self.answer(left), self.answer(right))
            case Binary("=" | "!=" as operator, left, right) if is_condition(left) and is_condition(right):
                differ = logic("xor", self.answer(left), self.answer(right))
                return differ if operator == "!=" else negation(differ)
            case Literal((bool(constant),)):
                return lambda _: constant
            case Binary("=" | "!=" as operator, Member(None, name), Literal((str(wanted),))) if self._is(name, _TEXTS):
                return of_value(name, wanted.__eq__ if operator == "=" else wanted.__ne__)
            case Binary("in", Member(None, name), choice) if self._is(name, _TEXTS) and (known := texts_of(choice)):
                return of_value(name, known.__contains__)
            case Call(
                None,
                "iif",
                (Binary(">", Member(None, after), Member(None, first)), Literal((False,)), Literal((True,))),
            ) if self._is(first, _MOMENTS) and self._is(after, _MOMENTS):
                return in_order(after, first, self._evaluated(tree))
            case Binary(">=", Member(None, name), Literal((int(least),))) if self._is(name, _NUMBERS):
                return of_value(name, lambda found: bool(found >= least))
            case Binary(">", counts, Literal((int(0),))) if names := counted(counts):
                return self._any_there(tree, names)
            case Call(source, name, arguments) if source is not None and name in CONDITIONS:
                return self._condition(tree, source, name, arguments)
            case _:
                return self._guarded(tree)

    def _condition(self, tree: Tree, source: Tree, name: str, arguments: tuple[Tree, ...]) -> Answer:
        """A call of a function that has a boolean as its result."""
        match name, source, arguments:
            case "not", _, ():
                return negation(self.answer(source))
            case "exists" | "empty", Call(None, "where", (condition,)), ():
                return is_true(self.answer(condition), wanted=name == "exists")
            case "exists" | "empty", Member(), () if steps := self._steps(source):
                return presence(steps) if name == "exists" else negation(presence(steps))
            case "all", Member(None, element), (criteria,) if (items := self._items(element)) is not None:
                return self._each(tree, element, items, criteria)
            case "hasValue", Member(None, element), () if self._is(element, _TEXTS | _MOMENTS):
                return lambda value: element in value
            case "startsWith", Member(None, element), (Literal((str(text),)),) if self._is(element, _TEXTS):
                return of_value(element, lambda found: found.startswith(text))
            case "contains", Member(None, element), (Literal((str(text),)),) if self._is(element, _TEXTS):
                return of_value(element, lambda found: text in found)
            case "matches", Member(None, element), (Literal((str(text),)),) if self._is(element, _TEXTS):
                return of_value(element, matcher(text))
            case _:
                return self._guarded(tree)

    def _any_there(self, tree: Tree, names: tuple[str, ...]) -> Answer:
        steps = [self._steps(Member(None, name)) for name in names]
        if not all(steps):
            return self._guarded(tree)
        return functools.reduce(disjunction, map(presence, steps))

    def _items(self, name: str) -> Shape | None:
        """The type of the objects in the array that an element is; None for an element that is none, or of any resource."""
        places = self.shape.elements.get(name, ())
        fit = len(places) == 1 and places[0].repeats and not places[0].primitive and places[0].type != "Resource"
        return shape(places[0].type) if fit else None

    def _each(self, tree: Tree, name: str, kind: Shape, criteria: Tree) -> Answer:
        """Whether all items meet criteria, of which what the resource alone decides is looked at once, not for each."""
        own = {part: from_within(part) for part in of_resource(criteria)} if self.shape.kind == "resource" else {}
        rest = {part: Literal(()) for part in own}
        if looks_outside(replaced(criteria, rest)):
            return self._guarded(tree)
        decide = tuple(self.answer(part) for part in own.values())
        variants: dict[tuple[bool | None, ...], Answer] = {}

        def answer(value: dict[str, Any]) -> bool:
            decided = tuple(one(value) for one in decide)
            if decided not in variants:
                known = (Literal(() if one is None else (one,)) for one in decided)
                variants[decided] = _Quick(kind).answer(replaced(criteria, dict(zip(own, known, strict=True))))
            holds = variants[decided]
            return all(holds(item) is True for item in value.get(name, ()))

        return answer

    def _is(self, name: str, types: frozenset[str]) -> bool:
        """Whether an element is a single value of one of some primitive types."""
        places = self.shape.elements.get(name, ())
        return len(places) == 1 and not places[0].repeats and places[0].type in types

    def _steps(self, path: Tree) -> tuple[frozenset[str], ...]:
        """The JSON keys that each step of a path may go by; empty where that cannot be told beforehand."""
        names: list[str] = []
        while isinstance(path, Member):
            names.insert(0, path.name)
            if path.source is None:
                return _keys_along(self.shape, names)
            path = path.source
        return ()

    def _guarded(self, tree: Tree) -> Answer:
        """The full evaluation of a part, spared where nothing that it reads is there."""
        evaluated = self._evaluated(tree)
        names = reads(tree, self.shape.name)
        if names is None:
            return evaluated
        places = [place for name in names for place in self.shape.elements.get(name, ())]
        keys = frozenset(key for place in places for key in (place.name, place.sibling))
        constant = _constant(evaluated)
        if constant is None:
            return evaluated
        return lambda value: constant if keys.isdisjoint(value) else evaluated(value)

    def _evaluated(self, tree: Tree) -> Answer:
        if self.shape.kind != "resource" and looks_outside(tree):
            return unsure
        expression, kind = Expression("", tree, compile_tree(tree)), self.shape
        return lambda value: _truth(expression, Element(value, kind))


def _constant(evaluated: Answer) -> bool | None:
    try:
        return evaluated({})
    except Unsure:
        return None


def _truth(expression: Expression, element: Element) -> bool | None:
    try:
        return truth(expression.items(element))
    except FhirPathError:
        raise Unsure from None


def _keys_along(kind: Shape, names: list[str]) -> tuple[frozenset[str], ...]:
    steps: list[frozenset[str]] = []
    for position, name in enumerate(names):
        places = kind.elements.get(name, ())
        last = position == len(names) - 1
        if not places or (len(places) > 1 and not last):
            return ()
        steps.append(
            frozenset(key for one in places for key in ((one.name, one.sibling) if one.primitive else (one.name,)))
        )
        kind = shape("DomainResource" if places[0].type == "Resource" else places[0].type)
    return tuple(steps)
