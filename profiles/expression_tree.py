"""What can be said of an expression by its tree: what it reads, what it asks the resource around, and what it comes to in parts.

https://hl7.org/fhirpath/N1/#expressions
"""

from collections.abc import Callable, Iterator, Mapping

from profiles.fhirpath.syntax import Binary, Call, Index, Literal, Member, Polarity, Special, Tree, TypeTest, Variable

# Functions that have one result without input, whatever their argument is.
_INPUT_FIRST = frozenset({"where", "select", "all", "exists", "repeat", "trace", "intersect", "exclude"})
CONDITIONS = frozenset({"exists", "empty", "not", "hasValue", "startsWith", "contains", "matches", "all"})
"""Functions that have a boolean as their result."""
_OUTSIDE = frozenset({"resource", "rootResource"})


def is_condition(tree: Tree) -> bool:
    """Whether the result of an expression is a boolean, so that equality can be told from truth."""
    match tree:
        case Call(_, name, _):
            return name in CONDITIONS
        case Literal((bool(),)):
            return True
        case Binary(operator, _, _):
            return operator in ("and", "or", "xor", "implies", "=", "!=")
        case _:
            return False


def counted(tree: Tree) -> tuple[str, ...]:
    """The elements of a sum of counts, `identifier.count() + name.count()`; empty for anything else."""
    match tree:
        case Call(Member(None, name), "count", ()):
            return (name,)
        case Binary("+", left, right):
            one, other = counted(left), counted(right)
            return (*one, *other) if one and other else ()
        case _:
            return ()


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


def untraced(tree: Tree) -> Tree:
    """The expression without trace(), which changes no result."""
    match tree:
        case Call(source, "trace", (_,)) if source is not None:
            return untraced(source)
        case _:
            return _mapped(tree, untraced)


def replaced(tree: Tree, parts: Mapping[Tree, Tree]) -> Tree:
    """The expression with others in place of some of its parts."""
    found = parts.get(tree)
    return found if found is not None else _mapped(tree, lambda part: replaced(part, parts))


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


def of_resource(tree: Tree) -> Iterator[Tree]:
    """The conditions in an expression that ask one element of the resource for a value, the same for every item."""
    match tree:
        case Binary("=" | "!=", Member(Variable("resource"), _), Literal((str(),))):
            yield tree
        case Binary("and" | "or" | "xor" | "implies" | "=" | "!=", left, right):
            yield from of_resource(left)
            yield from of_resource(right)
        case Call(source, "not", ()) if source is not None:
            yield from of_resource(source)


def from_within(tree: Tree) -> Tree:
    """A condition of the resource, `%resource.type = 'x'`, as the resource itself is asked it: `type = 'x'`."""
    match tree:
        case Binary(operator, Member(_, name), wanted):
            return Binary(operator, Member(None, name), wanted)
        case _:
            return tree


def texts_of(tree: Tree) -> frozenset[str]:
    """The texts of a union of literals; empty for anything else."""
    match tree:
        case Literal((str(text),)):
            return frozenset({text})
        case Binary("|", left, right):
            one, other = texts_of(left), texts_of(right)
            return one | other if one and other else frozenset()
        case _:
            return frozenset()
