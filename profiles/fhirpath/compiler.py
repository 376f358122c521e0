"""A syntax tree as Python closures.

https://hl7.org/fhirpath/N1/#expressions
"""

from typing import Any

from profiles.fhirpath.arithmetic import calculate, negative
from profiles.fhirpath.comparison import compare, equal, equivalent, identity
from profiles.fhirpath.element import Element, TypeName, is_just, is_of, members
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import EMPTY, Code, Items, Scope, boolean, integer_of, one, truth
from profiles.fhirpath.functions import (
    conversion,
    existence,
    fhir,
    filtering,
    mathematics,
    navigation,
    strings,
    subsetting,
)
from profiles.fhirpath.functions.function import FUNCTIONS
from profiles.fhirpath.model import SYSTEM_TYPES, is_type
from profiles.fhirpath.syntax import Binary, Call, Index, Literal, Member, Polarity, Special, Tree, TypeTest, Variable

CHAPTERS = (conversion, existence, fhir, filtering, mathematics, navigation, strings, subsetting)
"""The modules that fill the table of functions."""
_FIXED = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}
_VALUE_SET, _EXTENSION = "http://hl7.org/fhir/ValueSet/", "http://hl7.org/fhir/StructureDefinition/"
_TYPE_FUNCTIONS = ("is", "as", "ofType")


def compile_tree(tree: Tree, *, strict: bool = False) -> Code:
    """The closure of a tree; with `strict`, `as` of more than one item is an error rather than ofType.

    Raises FhirPathError for what no data can make right: an unknown function or type, a wrong number of arguments.
    """
    return _Compiler(strict=strict).code(tree)


def _this(scope: Scope) -> Items:
    return scope.this


class _Compiler:
    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def code(self, tree: Tree) -> Code:
        match tree:
            case Literal(values):
                constant = list(values)
                return lambda _: constant
            case Member(None, name):
                return _leading(name)
            case Member(source, name):
                return _member(self._source(source), name)
            case Call():
                return self._call(tree)
            case Special(name):
                return _special(name)
            case Variable(name):
                return _variable(name)
            case Index(source, index):
                return _indexed(self.code(source), self.code(index))
            case Polarity(sign, operand):
                inner = self.code(operand)
                return (lambda scope: negative(inner(scope))) if sign == "-" else _positive(inner)
            case Binary(operator, left, right):
                return _binary(operator, self.code(left), self.code(right))
            case TypeTest(operator, operand, namespace, name):
                return self._type_test(operator, self.code(operand), namespace, name)

    def _source(self, tree: Tree | None) -> Code:
        return _this if tree is None else self.code(tree)

    def _call(self, tree: Call) -> Code:
        source = self._source(tree.source)
        if tree.name in _TYPE_FUNCTIONS and len(tree.arguments) == 1:
            return self._type_test(tree.name, source, *_type_argument(tree.arguments[0]))
        if tree.name == "sort":
            return filtering.sort(source, [self._sort_key(argument) for argument in tree.arguments])
        function = FUNCTIONS.get(tree.name)
        if function is None:
            raise FhirPathError(f"there is no function {tree.name}()")
        if not function.least <= len(tree.arguments) <= function.most:
            wanted = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
            raise FhirPathError(f"{tree.name}() takes {wanted} arguments, not {len(tree.arguments)}")
        return function.build(source, tuple(self.code(argument) for argument in tree.arguments))

    def _sort_key(self, tree: Tree) -> tuple[Code, bool]:
        """A key of sort() and whether it is descending, which a minus before it says."""
        match tree:
            case Polarity("-", operand):
                return self.code(operand), True
            case _:
                return self.code(tree), False

    def _type_test(self, operator: str, operand: Code, namespace: str, name: str) -> Code:
        if not _type_exists(namespace, name):
            raise FhirPathError(f"there is no type {name}")
        match operator:
            case "is":
                return lambda scope: _is(one(operand(scope)), namespace, name)
            case "as" if self._strict:
                return lambda scope: _as(one(operand(scope)), namespace, name)
            case _:
                return lambda scope: [item for item in operand(scope) if is_just(item, namespace, name)]


def _is(item: Any, namespace: str, name: str) -> Items:
    return EMPTY if item is None else boolean(is_of(item, namespace, name))


def _as(item: Any, namespace: str, name: str) -> Items:
    return [item] if item is not None and is_just(item, namespace, name) else EMPTY


def _type_argument(tree: Tree) -> tuple[str, str]:
    """The type that is(), as() and ofType() are given, as namespace and name."""
    match tree:
        case Member(None, name):
            return "", name
        case Member(Member(None, namespace), name):
            return namespace, name
        case _:
            raise FhirPathError("a type is expected as the argument of is(), as() and ofType()")


def _type_exists(namespace: str, name: str) -> bool:
    match namespace:
        case "System":
            return True  # a name System does not have is of no item, as HL7's tests ask
        case "FHIR":
            return is_type(name)
        case "":
            return is_type(name) or name in SYSTEM_TYPES
        case _:
            return False


def _leading(name: str) -> Code:
    """A name at the start of a path: the type of the context itself, or an element of it."""
    if not name[:1].isupper():
        return _member(_this, name)

    def call(scope: Scope) -> Items:
        itself = [item for item in scope.this if type(item) is Element and name in item.shape.ancestry]
        return itself or below(scope)

    below = _member(_this, name)
    return call


def _member(source: Code, name: str) -> Code:
    def call(scope: Scope) -> Items:
        items = source(scope)
        if len(items) == 1 and type(items[0]) is Element:
            return members(items[0], name)
        found: Items = []
        for item in items:
            if type(item) is Element:
                found += members(item, name)
            elif type(item) is TypeName and name in ("name", "namespace"):
                found.append(getattr(item, name))
        return found

    return call


def _special(name: str) -> Code:
    match name:
        case "this":
            return _this
        case "index":
            return lambda scope: EMPTY if scope.index is None else [scope.index]
        case _:
            return lambda scope: scope.total


def _variable(name: str) -> Code:
    constant = _FIXED.get(name)
    if name.startswith("vs-"):
        constant = _VALUE_SET + name[3:]
    elif name.startswith("ext-"):
        constant = _EXTENSION + name[4:]
    if constant is not None:
        return lambda _: [constant]

    def call(scope: Scope) -> Items:
        environment = scope.environment
        if name in environment.variables:
            value = environment.variables[name]
            return value if type(value) is list else [value]
        match name:
            case "context":
                return environment.context
            case "resource":
                return [item.resource() for item in environment.context[:1] if type(item) is Element]
            case "rootResource":
                return [_outermost(item) for item in environment.context[:1] if type(item) is Element]
            case _:
                raise FhirPathError(f"there is no variable %{name}")

    return call


def _outermost(item: Element) -> Element:
    """The resource that is not contained: an entry of a Bundle is one, whatever the Bundle says."""
    here = item.resource()
    while here.name == "contained" and here.parent is not None:
        here = here.parent.resource()
    return here


def _indexed(source: Code, index: Code) -> Code:
    def call(scope: Scope) -> Items:
        at = one(index(scope))
        if at is None:
            return EMPTY
        number = integer_of(at, "[ ]")
        items = source(scope)
        return [items[number]] if 0 <= number < len(items) else EMPTY

    return call


def _positive(operand: Code) -> Code:
    def call(scope: Scope) -> Items:
        items = operand(scope)
        negative(items)
        return items

    return call


def _binary(operator: str, left: Code, right: Code) -> Code:
    match operator:
        case "and" | "or" | "xor" | "implies":
            return _logic(operator, left, right)
        case "=":
            return lambda scope: boolean(equal(left(scope), right(scope)))
        case "!=":
            return lambda scope: _negated(equal(left(scope), right(scope)))
        case "~":
            return lambda scope: boolean(equivalent(left(scope), right(scope)))
        case "!~":
            return lambda scope: boolean(not equivalent(left(scope), right(scope)))
        case "<" | ">" | "<=" | ">=":
            return _ordered(operator, left, right)
        case "in":
            return lambda scope: _contains(right(scope), left(scope))
        case "contains":
            return lambda scope: _contains(left(scope), right(scope))
        case "|":
            return lambda scope: subsetting.union(left(scope), right(scope))
        case _:
            return lambda scope: calculate(operator, left(scope), right(scope))


def _negated(value: bool | None) -> Items:
    return boolean(None if value is None else not value)


def _contains(items: Items, item: Items) -> Items:
    wanted = one(item)
    if wanted is None:
        return EMPTY
    key = identity(wanted)
    return boolean(any(identity(candidate) == key for candidate in items))


_HOLDS = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (1, 0)}


def _ordered(operator: str, left: Code, right: Code) -> Code:
    holds = _HOLDS[operator]

    def call(scope: Scope) -> Items:
        a, b = one(left(scope)), one(right(scope))
        if a is None or b is None:
            return EMPTY
        order = compare(a, b)
        return EMPTY if order is None else boolean(order in holds)

    return call


def _logic(operator: str, left: Code, right: Code) -> Code:
    """Three-valued logic; the right side is left alone where the left side decides."""
    match operator:
        case "and":
            return lambda scope: boolean(_and(truth(left(scope)), right, scope))
        case "or":
            return lambda scope: boolean(_or(truth(left(scope)), right, scope))
        case "xor":
            return lambda scope: boolean(_xor(truth(left(scope)), truth(right(scope))))
        case _:
            return lambda scope: boolean(_or(_not(truth(left(scope))), right, scope))


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _and(one_side: bool | None, right: Code, scope: Scope) -> bool | None:
    if one_side is False:
        return False
    other = truth(right(scope))
    return other if one_side else (False if other is False else None)


def _or(one_side: bool | None, right: Code, scope: Scope) -> bool | None:
    if one_side is True:
        return True
    other = truth(right(scope))
    return other if one_side is False else (True if other else None)


def _xor(one_side: bool | None, other: bool | None) -> bool | None:
    return None if one_side is None or other is None else one_side is not other
