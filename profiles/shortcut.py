"""Expressions as tests of bare JSON: what of them can be told from a few keys.

https://hl7.org/fhirpath/N1/#expressions

Evaluating an expression takes microseconds, and an element has several constraints. Most of what R4's expressions ask is which
elements are there, and a part that reads nothing that is there has a result that is known beforehand. So an expression is
compiled a second time, to a test of the bare JSON that gives the same answer, or raises Unsure.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from profiles.fhirpath.compiler import compile_tree
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import truth
from profiles.fhirpath.expression import Expression
from profiles.fhirpath.model import Shape, shape
from profiles.fhirpath.pattern import compiled
from profiles.fhirpath.syntax import Binary, Call, Index, Literal, Member, Polarity, Special, Tree, TypeTest, Variable

Answer = Callable[[dict[str, Any]], bool | None]
"""The truth of an expression for the JSON object of an element; None where its result is empty."""


class Unsure(Exception):
    """The bare JSON of an element is not enough to evaluate an expression."""


def shortcut(tree: Tree, type_name: str) -> Answer:
    """The expression as a test of the JSON object, whose structure is right, of an element of a type; it may raise Unsure."""
    return _Quick(shape(type_name)).answer(_untraced(tree))


# Functions that have one result without input, whatever their argument is.
_INPUT_FIRST = frozenset({"where", "select", "all", "exists", "repeat", "trace", "intersect", "exclude"})
_CONDITIONS = frozenset({"exists", "empty", "not", "hasValue", "startsWith", "contains", "matches", "all"})
_OUTSIDE = frozenset({"resource", "rootResource"})
_TEXTS = frozenset({"code", "string", "uri", "id", "url", "canonical"})
_MOMENTS = frozenset({"dateTime", "date", "instant"})
_NUMBERS = frozenset({"decimal", "integer", "unsignedInt", "positiveInt"})


@dataclass(frozen=True, slots=True)
class _Quick:
    shape: Shape

    def answer(self, tree: Tree) -> Answer:
        match tree:
            case Binary("and" | "or" | "xor" | "implies" as operator, left, right):
                return _logic(operator, self.answer(left), self.answer(right))
            case Binary("=" | "!=" as operator, left, right) if _is_condition(left) and _is_condition(right):
                differ = _logic("xor", self.answer(left), self.answer(right))
                return differ if operator == "!=" else _negation(differ)
            case Literal((bool(constant),)):
                return lambda _: constant
            case Binary("=" | "!=" as operator, Member(None, name), Literal((str(wanted),))) if self._is(name, _TEXTS):
                return _of_text(name, wanted.__eq__ if operator == "=" else wanted.__ne__)
            case Binary("in", Member(None, name), choice) if self._is(name, _TEXTS) and (known := _texts_of(choice)):
                return _of_text(name, known.__contains__)
            case Call(
                None,
                "iif",
                (Binary(">", Member(None, after), Member(None, first)), Literal((False,)), Literal((True,))),
            ) if self._is(first, _MOMENTS) and self._is(after, _MOMENTS):
                return _in_order(after, first, self._evaluated(tree))
            case Binary(">=", Member(None, name), Literal((int(least),))) if self._is(name, _NUMBERS):
                return _at_least(name, least)
            case Binary(">", counts, Literal((int(0),))) if names := _counted(counts):
                return self._any_there(tree, names)
            case Call(source, name, arguments) if source is not None and name in _CONDITIONS:
                return self._condition(tree, source, name, arguments)
            case _:
                return self._guarded(tree)

    def _condition(self, tree: Tree, source: Tree, name: str, arguments: tuple[Tree, ...]) -> Answer:
        """A call of a function that has a boolean as its result."""
        match name, source, arguments:
            case "not", _, ():
                return _negation(self.answer(source))
            case "exists" | "empty", Call(None, "where", (condition,)), ():
                return _is_true(self.answer(condition), wanted=name == "exists")
            case "exists" | "empty", Member(), () if steps := self._steps(source):
                return _presence(steps) if name == "exists" else _negation(_presence(steps))
            case "all", Member(None, element), (criteria,) if (items := self._items(element)) is not None:
                return self._each(tree, element, items, criteria)
            case "hasValue", Member(None, element), () if self._is(element, _TEXTS | _MOMENTS):
                return lambda value: element in value
            case "startsWith", Member(None, element), (Literal((str(text),)),) if self._is(element, _TEXTS):
                return _of_text(element, lambda found: found.startswith(text))
            case "contains", Member(None, element), (Literal((str(text),)),) if self._is(element, _TEXTS):
                return _of_text(element, lambda found: text in found)
            case "matches", Member(None, element), (Literal((str(text),)),) if self._is(element, _TEXTS):
                return _of_text(element, _matcher(text))
            case _:
                return self._guarded(tree)

    def _any_there(self, tree: Tree, names: tuple[str, ...]) -> Answer:
        steps = [self._steps(Member(None, name)) for name in names]
        if not all(steps):
            return self._guarded(tree)
        return functools.reduce(_disjunction, map(_presence, steps))

    def _items(self, name: str) -> Shape | None:
        """The type of the objects in the array that an element is; None for an element that is none, or of any resource."""
        places = self.shape.elements.get(name, ())
        fit = len(places) == 1 and places[0].repeats and not places[0].primitive and places[0].type != "Resource"
        return shape(places[0].type) if fit else None

    def _each(self, tree: Tree, name: str, kind: Shape, criteria: Tree) -> Answer:
        """Whether all items meet criteria, of which what the resource alone decides is looked at once, not for each."""
        own = {part: _from_within(part) for part in _of_resource(criteria)} if self.shape.kind == "resource" else {}
        rest = {part: Literal(()) for part in own}
        if looks_outside(_replaced(criteria, rest)):
            return self._guarded(tree)
        decide = tuple(self.answer(part) for part in own.values())
        variants: dict[tuple[bool | None, ...], Answer] = {}

        def answer(value: dict[str, Any]) -> bool:
            decided = tuple(one(value) for one in decide)
            if decided not in variants:
                known = (Literal(() if one is None else (one,)) for one in decided)
                variants[decided] = _Quick(kind).answer(_replaced(criteria, dict(zip(own, known, strict=True))))
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
            return _unsure
        expression, kind = Expression("", tree, compile_tree(tree)), self.shape
        return lambda value: _truth(expression, Element(value, kind))


def _unsure(_: dict[str, Any]) -> bool | None:
    raise Unsure


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


def _is_condition(tree: Tree) -> bool:
    """Whether the result of an expression is a boolean, so that equality can be told from truth."""
    match tree:
        case Call(_, name, _):
            return name in _CONDITIONS
        case Literal((bool(),)):
            return True
        case Binary(operator, _, _):
            return operator in ("and", "or", "xor", "implies", "=", "!=")
        case _:
            return False


def _counted(tree: Tree) -> tuple[str, ...]:
    """The elements of a sum of counts, `identifier.count() + name.count()`; empty for anything else."""
    match tree:
        case Call(Member(None, name), "count", ()):
            return (name,)
        case Binary("+", left, right):
            one, other = _counted(left), _counted(right)
            return (*one, *other) if one and other else ()
        case _:
            return ()


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


def reads(tree: Tree, type_name: str) -> frozenset[str] | None:
    """The elements of its context without which an expression has one result, whatever else is there; None: no such set."""
    match tree:
        case Literal():
            return frozenset()
        case Variable(name):
            return None if name in (*_OUTSIDE, "context") else frozenset()
        case Member(None, name):
            return frozenset({name}) if name != type_name else None
        case Member(Member(None, source), name) if source == type_name:
            return frozenset({name})
        case Member(source, _) | TypeTest(_, source, _, _) | Polarity(_, source):
            return reads(source, type_name) if source is not None else None
        case Call(None, _, _) | Special():
            return None
        case Call(source, name, _) if name in _INPUT_FIRST and source is not None:
            return reads(source, type_name) if name != "iif" else None
        case Call(source, _, arguments):
            return _together([source, *arguments], type_name)
        case Binary(_, left, right) | Index(left, right):
            return _together([left, right], type_name)


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


def _untraced(tree: Tree) -> Tree:
    """The expression without trace(), which changes no result."""
    match tree:
        case Call(source, "trace", (_,)) if source is not None:
            return _untraced(source)
        case _:
            return _mapped(tree, _untraced)


def _replaced(tree: Tree, parts: Mapping[Tree, Tree]) -> Tree:
    found = parts.get(tree)
    return found if found is not None else _mapped(tree, lambda part: _replaced(part, parts))


def _mapped(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The tree with each of its parts changed."""
    match tree:
        case Member(source, name) if source is not None:
            return Member(change(source), name)
        case Call(source, name, arguments):
            return Call(change(source) if source is not None else None, name, tuple(map(change, arguments)))
        case Index(source, index):
            return Index(change(source), change(index))
        case Binary(operator, left, right):
            return Binary(operator, change(left), change(right))
        case Polarity(sign, operand):
            return Polarity(sign, change(operand))
        case TypeTest(operator, operand, namespace, name):
            return TypeTest(operator, change(operand), namespace, name)
        case _:
            return tree


def _of_resource(tree: Tree) -> Iterator[Tree]:
    """The conditions in an expression that ask one element of the resource for a value, the same for every item."""
    match tree:
        case Binary("=" | "!=", Member(Variable("resource"), _), Literal((str(),))):
            yield tree
        case Binary("and" | "or" | "xor" | "implies" | "=" | "!=", left, right):
            yield from _of_resource(left)
            yield from _of_resource(right)
        case Call(source, "not", ()) if source is not None:
            yield from _of_resource(source)


def _from_within(tree: Tree) -> Tree:
    """A condition of the resource, `%resource.type = 'x'`, as the resource itself is asked it: `type = 'x'`."""
    match tree:
        case Binary(operator, Member(_, name), wanted):
            return Binary(operator, Member(None, name), wanted)
        case _:
            return tree


def _texts_of(tree: Tree) -> frozenset[str]:
    """The texts of a union of literals; empty for anything else."""
    match tree:
        case Literal((str(text),)):
            return frozenset({text})
        case Binary("|", left, right):
            one, other = _texts_of(left), _texts_of(right)
            return one | other if one and other else frozenset()
        case _:
            return frozenset()


def _matcher(pattern: str) -> Callable[[str], bool]:
    try:
        code = compiled(pattern)
    except FhirPathError:
        return _cannot_tell

    def holds(text: str) -> bool:
        try:
            return code.found(text)
        except FhirPathError:
            raise Unsure from None

    return holds


def _cannot_tell(_: str) -> bool:
    raise Unsure


def _presence(steps: tuple[frozenset[str], ...]) -> Answer:
    """Whether anything is there at the end of a path of keys."""
    first, rest = steps[0], steps[1:]
    if not rest and len(first) == 1:
        (key,) = first
        return lambda value: key in value
    if not rest:
        return lambda value: not first.isdisjoint(value)

    def answer(value: dict[str, Any]) -> bool:
        items: list[Any] = [value]
        for keys in steps:
            below = [item[key] for item in items if type(item) is dict for key in keys if key in item]
            items = [one for item in below for one in (item if type(item) is list else (item,))]
        return bool(items)

    return lambda value: not first.isdisjoint(value) and answer(value)


def _of_text(name: str, holds: Callable[[str], bool]) -> Answer:
    sibling = f"_{name}"

    def answer(value: dict[str, Any]) -> bool | None:
        text = value.get(name)
        if text is not None:
            return holds(text)
        if sibling in value:
            raise Unsure
        return None

    return answer


def _at_least(name: str, least: int) -> Answer:
    sibling = f"_{name}"

    def answer(value: dict[str, Any]) -> bool | None:
        number = value.get(name)
        if number is not None:
            return bool(number >= least)
        if sibling in value:
            raise Unsure
        return None

    return answer


def _in_order(first: str, second: str, evaluated: Answer) -> Answer:
    """Whether one date is not after another: two of one form and one time zone are ordered like their characters."""

    def answer(value: dict[str, Any]) -> bool | None:
        one, other = value.get(first), value.get(second)
        if one is None or other is None:
            return True
        alike = type(one) is str and type(other) is str and len(one) == len(other)
        if alike and (len(one) <= 10 or one[-6:] == other[-6:] or one[-1] == other[-1] == "Z"):
            return bool(one <= other)
        return evaluated(value)

    return answer


def _is_true(inner: Answer, *, wanted: bool) -> Answer:
    return lambda value: (inner(value) is True) is wanted


def _negation(inner: Answer) -> Answer:
    def answer(value: dict[str, Any]) -> bool | None:
        found = inner(value)
        return None if found is None else not found

    return answer


def _logic(operator: str, left: Answer, right: Answer) -> Answer:
    """Three-valued logic; the right side is left alone where the left side decides."""
    match operator:
        case "and":
            return _conjunction(left, right)
        case "or":
            return _disjunction(left, right)
        case "implies":
            return _disjunction(_negation(left), right)

    def exclusive(value: dict[str, Any]) -> bool | None:
        one, other = left(value), right(value)
        return None if one is None or other is None else one is not other

    return exclusive


def _conjunction(left: Answer, right: Answer) -> Answer:
    def answer(value: dict[str, Any]) -> bool | None:
        one = left(value)
        if one is False:
            return False
        other = right(value)
        return other if one or other is False else None

    return answer


def _disjunction(left: Answer, right: Answer) -> Answer:
    def answer(value: dict[str, Any]) -> bool | None:
        one = left(value)
        if one:
            return True
        other = right(value)
        return other if one is False or other else None

    return answer
