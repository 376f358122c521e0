"""Expressions checked against the definitions before any data is there: unknown elements, wrong contexts, lost order.

https://hl7.org/fhirpath/N1/#type-safety-and-strict-evaluation
"""

import difflib
from dataclasses import dataclass, replace

from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.model import is_type, shape
from profiles.fhirpath.syntax import Binary, Call, Index, Literal, Member, Polarity, Special, Tree, TypeTest, Variable

Types = frozenset[str] | None
"""Names of the types that items may have, System types with their namespace; None where anything may come."""

_BOOLEAN: Types = frozenset({"System.Boolean"})
_BOOLEAN_FUNCTIONS = frozenset(
    "empty exists all allTrue anyTrue allFalse anyFalse subsetOf supersetOf isDistinct not startsWith endsWith contains "
    "matches matchesFull convertsToBoolean convertsToInteger convertsToDecimal convertsToString convertsToDate "
    "convertsToDateTime convertsToTime convertsToQuantity is hasValue hasExtension conformsTo memberOf comparable htmlChecks".split()
)
_SAME = frozenset("where single first last tail skip take distinct intersect exclude trace sort getValue".split())
_NEED_ORDER = frozenset("first last tail skip take".split())
_BOOLEAN_OPERATORS = frozenset("and or xor implies = != ~ !~ < > <= >= in contains".split())
_OPEN = frozenset({"Resource", "DomainResource", "Element"})
_PER_ITEM = frozenset("where select all exists repeat aggregate trace sort".split())


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a collection before it is there."""

    types: Types
    ordered: bool = True


_ANYTHING = _Known(None)


def check(tree: Tree, on: str) -> None:
    """Raises FhirPathError where a tree, evaluated on a type, names an element that the type does not have.

    Also for another type's name at its start, for a condition that is no boolean, and for first(), skip() and the like
    of collections without order. What comes out of resolve(), descendants() and variables may be anything.
    """
    _infer(tree, _of(on))


def _of(name: str) -> _Known:
    kind = shape(name)
    return _Known(frozenset({name})) if kind.known and name not in _OPEN else _ANYTHING


def _infer(tree: Tree, this: _Known) -> _Known:
    match tree:
        case Literal(values):
            return _literal(values)
        case Member(None, name):
            return _leading(name, this)
        case Member(source, name):
            return _member(this if source is None else _infer(source, this), name)
        case Call():
            return _call(tree, this)
        case Special(name):
            return this if name == "this" else _ANYTHING
        case Variable():
            return _ANYTHING
        case Index(source, index):
            _infer(index, this)
            return _infer(source, this)
        case Polarity(_, operand):
            return replace(_infer(operand, this), types=None)
        case Binary(operator, left, right):
            return _binary(operator, _infer(left, this), _infer(right, this))
        case TypeTest(operator, operand, namespace, name):
            return _typed(operator, _infer(operand, this), namespace, name)


def _literal(values: tuple[object, ...]) -> _Known:
    if not values:
        return _ANYTHING
    return _Known(_BOOLEAN if type(values[0]) is bool else frozenset({"System.Any"}))


def _leading(name: str, this: _Known) -> _Known:
    if this.types is not None and name[:1].isupper():
        if any(name in shape(t).ancestry for t in this.types):
            return this
        if is_type(name):
            raise FhirPathError(f"{name} is not what this is evaluated on, which is {_either(this.types)}")
    return _member(this, name)


def _member(source: _Known, name: str) -> _Known:
    if source.types is None:
        return source
    places = [place for t in source.types for place in shape(t).elements.get(name, ())]
    if not places:
        if any(not shape(t).known for t in source.types):
            return replace(source, types=None)
        elements = [element for t in source.types for element in shape(t).elements]
        close = difflib.get_close_matches(name, elements, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise FhirPathError(f"{_either(source.types)} has no element '{name}'{hint}")
    types = frozenset(place.type for place in places)
    return replace(source, types=None if types & {"Resource", "Element"} else types)


def _either(types: frozenset[str]) -> str:
    names = sorted(types)
    return names[0] if len(names) == 1 else f"any of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"


def _binary(operator: str, left: _Known, right: _Known) -> _Known:
    if operator in _BOOLEAN_OPERATORS:
        return _Known(_BOOLEAN)
    if operator == "|" and left.types is not None and right.types is not None:
        return _Known(left.types | right.types)
    return _ANYTHING


def _typed(operator: str, operand: _Known, namespace: str, name: str) -> _Known:
    if operator == "is":
        return _Known(_BOOLEAN)
    return replace(operand, types=frozenset({name}) if namespace != "System" and shape(name).known else None)


def _call(tree: Call, this: _Known) -> _Known:
    source = this if tree.source is None else _infer(tree.source, this)
    if tree.name in _NEED_ORDER and not source.ordered:
        raise FhirPathError(f"{tree.name}() needs an order, which this collection has not")
    if tree.name in ("is", "as", "ofType"):
        return _type_function(tree, source)
    inner = source if tree.name in _PER_ITEM or (tree.name == "iif" and tree.source is not None) else this
    arguments = [_infer(argument, inner) for argument in tree.arguments]
    if tree.name == "iif" and (kind := arguments[0].types) is not None and not kind & {"System.Boolean", "boolean"}:
        raise FhirPathError("the condition of iif() is no boolean")
    return _result(tree.name, source, arguments)


def _type_function(tree: Call, source: _Known) -> _Known:
    match tree.arguments:
        case (Member(None, name),):
            return _typed(tree.name, source, "", name)
        case (Member(Member(None, namespace), name),):
            return _typed(tree.name, source, namespace, name)
        case _:
            return _ANYTHING


def _result(name: str, source: _Known, arguments: list[_Known]) -> _Known:
    if name in _BOOLEAN_FUNCTIONS:
        return _Known(_BOOLEAN)
    if name in _SAME:
        return source
    match name:
        case "select" | "repeat":
            return arguments[0] if name == "select" else replace(source, types=None)
        case "children" | "descendants":
            return _Known(None, ordered=False)
        case "union" | "combine":
            return _binary("|", source, arguments[0])
        case "extension":
            return _Known(frozenset({"Extension"}))
        case _:
            return _ANYTHING
